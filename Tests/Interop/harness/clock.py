"""The clocks of one process: its wall clock can be set while it runs, as NTP or an operator sets a machine's, and time
can pass that nobody has to wait for. Swift's programs lose their arguments under libfaketime, so this is a small
library of our own."""

import mmap
import pathlib
import shutil
import struct

from .process import Skipped, expect, run


class Clock:
    """Of a Demarc that is not started yet. `step` sets the wall clock, in seconds from the true time; `skip` moves both
    clocks on, and what was to come in that time comes now."""

    def __init__(self, demarc):
        compiler = next(filter(None, map(shutil.which, ("cc", "clang", "gcc"))), None)
        if not compiler:
            raise Skipped("no C compiler to make a clock that can be set")
        library, place = demarc.folder / "clock.so", demarc.folder / "clock.step"
        code, output = run([compiler, "-shared", "-fPIC", "-O1", "-o", library,
                            pathlib.Path(__file__).with_name("clock.c")], 20)
        expect(code == 0, f"the clock was not compiled: {output}")
        place.write_bytes(bytes(16))
        launcher = demarc.folder / "with-clock"
        launcher.write_text(
            f'#!/bin/sh\nLD_PRELOAD={library} STEPPED_CLOCK={place} exec {demarc.program} "$@"\n')
        launcher.chmod(0o755)
        demarc.launcher = launcher
        with open(place, "r+b") as file:
            self._step = mmap.mmap(file.fileno(), 16)

        self._wall = self.skipped = 0.0

    def step(self, seconds):
        self._wall = seconds
        self._write(0, self._wall + self.skipped)

    def skip(self, seconds):
        """The program notices when it next has something to do: a message, or a question of its command."""
        self.skipped += seconds
        self._write(8, self.skipped)
        self._write(0, self._wall + self.skipped)

    def _write(self, place, seconds):
        # Eight bytes at once: the program sees the old or the new.
        self._step[place:place + 8] = struct.pack("=q", int(seconds * 1_000_000_000))
