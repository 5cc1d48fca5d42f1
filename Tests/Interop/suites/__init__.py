# In the order in which they run; the last one looks at what the others left.
from . import (  # noqa: F401
    dialogs, location, nat, watching, silence, kernel, rest,
)
