"""Free ports, below the range that the kernel gives out by itself, so that nothing takes them meanwhile."""

import collections
import os
import random
import socket

# Long rows have a part of their own, which single ports do not cut up. When none is left that was never given out, one
# that nobody holds any more will do.
_SINGLE, _ROWS = range(10_000, 18_000), range(18_000, 32_000)
_random = random.Random(os.getpid() ^ int.from_bytes(os.urandom(4), "big"))
_taken = set()
# Given out a moment ago, and perhaps not bound yet.
_recent = collections.deque(maxlen=2_000)


def _is_free(port, address="127.0.0.1"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def free_port():
    """An even port with the odd one after it, both free for UDP and TCP, on 127.0.0.1 and ::1."""
    return free_range(2)


def free_range(count, addresses=("127.0.0.1", "::1")):
    """The first of `count` ports in a row, even, that nothing uses."""
    zone = _SINGLE if count < 16 else _ROWS
    return _find(count, zone, addresses, _taken) or _find(count, zone, addresses, set(_recent))


def _find(count, zone, addresses, taken):
    for _ in range(1000):
        first = _random.randrange(zone.start, zone.stop - count) & ~1
        row = range(first, first + count)
        if taken.isdisjoint(row) and all(
                _is_free(port, address) for address in _present(addresses) for port in row):
            _taken.update(row)
            _recent.extend(row)
            return first
    if taken is _taken:
        return None
    raise RuntimeError(f"no {count} free ports in a row between {zone.start} and {zone.stop}")


def _present(addresses):
    return [address for address in addresses if ":" not in address or has_ipv6()]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False
