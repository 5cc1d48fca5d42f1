# In the order in which they run; the last one looks at what the others left.
from . import (  # noqa: F401
    command, stages, sip, streams, limits, moves, kernel, phones, codecs, jitter, dtmf, formats, secure, dtls,
    quality, probes, hiding, unseen, hostile, attack, numbers, recovery, crash, recording, provider, pbx, passing,
    dialogs, fax, video, location, nat, watching, silence, clocks, service, fragments, six, profiles, admission, banned,
    toll, secrets, hold, marks, stir, rest,
)
