"""A STUN Binding request, as phones send it to the port of SIP (RFC 5626 §3.5.2)."""

import os
import socket
import struct

_COOKIE = 0x2112A442


def binding_request():
    """(a request, what its answer is known by). It says what it is of, as phones do: of somebody who is not known a bare
    one would be too short for its answer."""
    transaction = os.urandom(12)
    software = struct.pack("!HH", 0x8022, 12) + b"test-harness"
    return struct.pack("!HHI", 1, len(software), _COOKIE) + transaction + software, transaction


def mapped(answer, transaction):
    """The address that an answer names."""
    kind, length, cookie = struct.unpack("!HHI", answer[:8])
    assert (kind, cookie, answer[8:20]) == (0x0101, _COOKIE, transaction) and length == len(answer) - 20
    _, _, _, family, port, address = struct.unpack("!HHBBHI", answer[20:32])
    assert family == 1
    return socket.inet_ntoa(struct.pack("!I", address ^ _COOKIE)), port ^ (_COOKIE >> 16)


def mapped_address(server, seconds=2):
    """(the port it was sent from, the address that the answer says it came from)."""
    request, transaction = binding_request()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(seconds)
        probe.bind(("127.0.0.1", 0))
        probe.sendto(request, server)
        answer, _ = probe.recvfrom(2048)
        return probe.getsockname()[1], mapped(answer, transaction)
