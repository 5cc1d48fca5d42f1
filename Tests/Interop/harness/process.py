"""Processes that end with us: each is started with a log file, and ended by its own process id."""

import ctypes
import os
import pathlib
import signal
import subprocess
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Failure(Exception):
    """Something is not as it should be; the text says what was expected and what was found."""


class Skipped(Exception):
    """What a test needs is not to be had on this machine; the text says what."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


def wait_until(condition, seconds, what, interval=0.05):
    """The first true value of `condition()`, or a Failure that says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds:g} s for {what}")
        time.sleep(interval)


class Process:
    """A running program with its output in a file."""

    def __init__(self, name, argv, folder, env=None, stdin=subprocess.DEVNULL, cwd=None):
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = pathlib.Path(folder) / f"{name}.log"
        self._output = open(self.log, "ab")
        self.child = subprocess.Popen(
            self.argv, stdin=stdin, stdout=self._output, stderr=subprocess.STDOUT, cwd=cwd,
            env={**os.environ, **(env or {})}, preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def wait(self, seconds):
        """The exit code; a process that does not end in time is killed and is a Failure."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not end within {seconds:g} s") from None

    def stop(self, seconds=3, signal_number=signal.SIGTERM):
        """Asks to end, then ends."""
        if self.running():
            self.child.send_signal(signal_number)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()
        self._output.close()

    def kill(self):
        if self.running():
            self.child.kill()
        self.child.wait()
        self._output.close()


def run(argv, seconds=20, stdin=None, env=None):
    """Runs a program to its end: (exit code, output); where it failed its errors stand before the output."""
    try:
        done = subprocess.run(
            [str(word) for word in argv], **({"input": stdin} if stdin else {"stdin": subprocess.DEVNULL}),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, env={**os.environ, **(env or {})},
            preexec_fn=_die_with_parent)
    except subprocess.TimeoutExpired:
        raise Failure(f"{argv[0]} did not end within {seconds:g} s") from None
    shown = done.stdout if done.returncode == 0 else done.stderr + done.stdout
    return done.returncode, shown.decode(errors="replace")
