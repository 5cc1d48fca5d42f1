"""The entries that Demarc shares with the kernel, one a direction of a call, as the kernel's half sees them
(ckp_entry in Sources/CKernelPath/include/ckernelpath.h)."""

import ctypes
import mmap
import os
import pathlib
import re

_ENTRY, _FAMILY, _ARMED = 256, 54, 128
_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


def in_use(pid):
    """How many ports of a process have an entry; None where it has no such map, or we may not look."""
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(descriptor) != "anon_inode:bpf-map":
            continue
        words = dict(re.findall(r"(\w+):\s*(\w+)", pathlib.Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text()))
        if int(words["value_size"]) == _ENTRY:
            return _count(pid, int(descriptor.name), int(words["max_entries"]))
    return None


def _count(pid, descriptor, entries):
    process = os.pidfd_open(pid)
    copy = _libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
    os.close(process)
    if copy < 0:
        return None
    with mmap.mmap(copy, entries * _ENTRY, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
        os.close(copy)
        return sum(memory[place + _FAMILY] != 0 or memory[place + _ARMED:place + _ARMED + 8] != bytes(8)
                   for place in range(0, len(memory), _ENTRY))
