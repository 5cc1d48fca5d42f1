"""Compiles every Python file under the given folders without writing anything, and names what does not."""

import pathlib
import sys

bad = 0
for folder in sys.argv[1:]:
    for path in sorted(pathlib.Path(folder).rglob("*.py")):
        try:
            compile(path.read_bytes(), str(path), "exec")
        except SyntaxError as error:
            print(f"{path}:{error.lineno}: {error.msg}", file=sys.stderr)
            bad += 1
sys.exit(1 if bad else 0)
