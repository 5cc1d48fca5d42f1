"""SRTP by libsrtp2, which is not what Demarc has: an endpoint that protects and opens, and does it wrongly on demand."""

import base64
import ctypes
import os
import re
import socket
import struct
import time

from .process import Failure

# The suite's name in SDP: how libsrtp makes its policy, for RTP and RTCP, and the length of key and salt.
SUITES = {
    "AES_CM_128_HMAC_SHA1_80": ("rtp_default", "rtp_default", 30),
    "AES_CM_128_HMAC_SHA1_32": ("aes_cm_128_hmac_sha1_32", "rtp_default", 30),
    "AES_256_CM_HMAC_SHA1_80": ("aes_cm_256_hmac_sha1_80", "aes_cm_256_hmac_sha1_80", 46),
    "AEAD_AES_128_GCM": ("aes_gcm_128_16_auth", "aes_gcm_128_16_auth", 28),
    "AEAD_AES_256_GCM": ("aes_gcm_256_16_auth", "aes_gcm_256_16_auth", 44),
}
_INBOUND, _OUTBOUND = 2, 3
_library = None


def library():
    global _library
    if _library is None:
        try:
            _library = ctypes.CDLL("libsrtp2.so.1")
        except OSError as error:
            raise Failure(f"libsrtp2 is not there: {error}") from None
        if _library.srtp_init() != 0:
            raise Failure("libsrtp2 does not start")
    return _library


class Context:
    """One direction of `srtp_policy_t` as of 2.x: SSRC type at 0, RTP at 8, RTCP at 32, the key's address at 56."""

    def __init__(self, suite, key, sends):
        media, control, size = SUITES[suite]
        if len(key) != size:
            raise Failure(f"{suite} has keys of {size} bytes, not {len(key)}")
        lib = library()
        self._key = ctypes.create_string_buffer(key, len(key))
        policy = ctypes.create_string_buffer(256)
        struct.pack_into("=I", policy, 0, _OUTBOUND if sends else _INBOUND)
        getattr(lib, f"srtp_crypto_policy_set_{media}")(ctypes.byref(policy, 8))
        getattr(lib, f"srtp_crypto_policy_set_{control}")(ctypes.byref(policy, 32))
        struct.pack_into("=Q", policy, 56, ctypes.addressof(self._key))
        self._session = ctypes.c_void_p()
        if lib.srtp_create(ctypes.byref(self._session), policy) != 0:
            raise Failure(f"libsrtp2 has no {suite}")

    def _run(self, name, packet):
        buffer = ctypes.create_string_buffer(packet, len(packet) + 160)
        length = ctypes.c_int(len(packet))
        status = getattr(library(), name)(self._session, buffer, ctypes.byref(length))
        return buffer.raw[:length.value] if status == 0 else None

    def protect(self, packet):
        return self._run("srtp_protect", packet)

    def unprotect(self, packet):
        return self._run("srtp_unprotect", packet)

    def protect_control(self, packet):
        return self._run("srtp_protect_rtcp", packet)

    def unprotect_control(self, packet):
        return self._run("srtp_unprotect_rtcp", packet)


def new_key(suite="AES_CM_128_HMAC_SHA1_80"):
    return os.urandom(SUITES[suite][2])


def line(key, suite="AES_CM_128_HMAC_SHA1_80", tag=1, more=""):
    return f"a=crypto:{tag} {suite} inline:{base64.b64encode(key).decode()}{more}\r\n"


def lines(body):
    """(tag, suite, key) of each a=crypto line."""
    text = body.decode() if isinstance(body, bytes) else body
    return [(int(tag), suite, base64.b64decode(key))
            for tag, suite, key in re.findall(r"a=crypto:(\d+) (\S+) inline:([A-Za-z0-9+/=]+)", text)]


class Endpoint:
    """A socket that sends PCMU frames of one value, protected by `key`, and opens what comes by `peer_key`."""

    def __init__(self, port, suite, key, peer_key, address="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.settimeout(0.3)
        self.suite = suite
        self.out = Context(suite, key, True) if key else None
        self.peer = Context(suite, peer_key, False) if peer_key else None
        self.ssrc, self.sequence = struct.unpack("!IH", os.urandom(6))
        self.sequence &= 0x3FFF
        self.kept = []

    def frame(self, value=0x55):
        self.sequence = (self.sequence + 1) & 0xFFFF
        header = struct.pack("!BBHII", 0x80, 0, self.sequence, self.sequence * 160, self.ssrc)
        return header + bytes([value]) * 160

    def say(self, target, count=10, value=0x55, context=None, pace=0.01):
        """Sends so many frames; `context` in place of the right one, "plain" for none."""
        for _ in range(count):
            packet = self.frame(value)
            if context != "plain" and self.out:
                packet = (context or self.out).protect(packet)
                self.kept.append(packet)
            self.socket.sendto(packet, target)
            time.sleep(pace)

    def again(self, target):
        for packet in self.kept:
            self.socket.sendto(packet, target)
            time.sleep(0.005)

    def hear(self, seconds=1.0):
        """Payloads of what comes and can be opened, and how many packets could not."""
        good, bad = [], 0
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                packet = self.socket.recv(2048)
            except (TimeoutError, socket.timeout):
                continue
            if not self.is_media(packet):
                continue
            opened = self.peer.unprotect(packet) if self.peer else packet
            if opened is None:
                bad += 1
            else:
                good.append(opened[12:])
        return good, bad

    def is_media(self, packet):
        """What is none does not count as heard."""
        return True

    def close(self):
        self.socket.close()
