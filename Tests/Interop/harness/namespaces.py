"""Network namespaces of our own: made by name, entered by one thread for a while, and removed whatever happens.

Every name has the process id of the run that made it, so that a run which was killed is cleaned up by the next."""

import atexit
import contextlib
import ctypes
import os
import pathlib
import re
import shutil

from .process import Failure, Skipped, run

_CLONE_NEWNET = 0x40000000
_FOLDER = pathlib.Path("/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)
_made = []


def _enter(descriptor):
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def inside(name):
    """What this thread opens within, it opens in that namespace; None is the machine's own."""
    if name is None:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(_FOLDER / name, os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def prefix(name):
    """The words before a command that has to run in a namespace; it keeps its process id."""
    return ["ip", "netns", "exec", name] if name else []


def command(*words, stdin=None):
    code, output = run(words, 10, stdin=stdin.encode() if stdin else None)
    if code != 0:
        raise Failure(f"`{' '.join(map(str, words))}` ended with {code}: {output.strip()}")
    return output


def require(*programs):
    """Skips the test where namespaces cannot be made, and says why."""
    if os.geteuid() != 0:
        raise Skipped("network namespaces need root")
    for program in programs:
        if not shutil.which(program):
            raise Skipped(f"{program} is not installed")
    _remove_left_over()
    probe = f"demarc-{os.getpid()}-probe"
    code, output = run(["ip", "netns", "add", probe], 10)
    if code != 0:
        raise Skipped(f"this machine permits no network namespace: {output.strip()}")
    run(["ip", "netns", "del", probe], 10)


def make(label):
    """A namespace with its loopback up; `remove` is for the caller to call."""
    name = f"demarc-{os.getpid()}-{label}"
    command("ip", "netns", "add", name)
    if not _made:
        atexit.register(_remove_all)
    _made.append(name)
    command("ip", "-n", name, "link", "set", "lo", "up")
    return name


def remove(name):
    if name in _made:
        _made.remove(name)
        command("ip", "netns", "del", name)


def _remove_all():
    for name in list(_made):
        with contextlib.suppress(Exception):
            remove(name)


def _remove_left_over():
    """Namespaces of runs that are no more: only names that `make` gives, only of processes that have ended."""
    for path in _FOLDER.glob("demarc-*-*") if _FOLDER.exists() else []:
        owner = re.fullmatch(r"demarc-(\d+)-\w+", path.name)
        if owner and not pathlib.Path("/proc", owner.group(1)).exists():
            run(["ip", "netns", "del", path.name], 10)
