"""DTLS-SRTP by libssl through ctypes: a far end with a certificate of its own, which shakes hands over a socket as client
or server, talks under the keys that come of it, and does it wrongly on demand."""

import ctypes
import os
import pathlib
import re
import socket
import struct
import subprocess
import time

from . import srtp
from .process import Failure

# The profile's number (RFC 5764 §4.1.2, RFC 7714 §14.2): its suite's name in SDP, and the lengths of key and salt.
PROFILES = {
    1: ("AES_CM_128_HMAC_SHA1_80", 16, 14), 2: ("AES_CM_128_HMAC_SHA1_32", 16, 14),
    7: ("AEAD_AES_128_GCM", 16, 12), 8: ("AEAD_AES_256_GCM", 32, 12),
}
_ALL = b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_32"
_SET_MTU, _HANDLE_TIMEOUT, _MEMORY_RETURN, _PENDING = 17, 74, 130, 10
_NO_QUERY_MTU = 0x1000
_VERIFY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_take_any = _VERIFY(lambda good, store: 1)
_library = None


class _Profile(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("id", ctypes.c_ulong)]


def library():
    global _library
    if _library is None:
        try:
            crypto = ctypes.CDLL("libcrypto.so.3", mode=ctypes.RTLD_GLOBAL)
            ssl = ctypes.CDLL("libssl.so.3")
        except OSError as error:
            raise Failure(f"OpenSSL is not there: {error}") from None
        pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        for owner, name, result, arguments in (
                (ssl, "DTLS_method", pointer, []), (ssl, "SSL_CTX_new", pointer, [pointer]),
                (ssl, "SSL_CTX_free", None, [pointer]),
                (ssl, "SSL_CTX_use_certificate_file", number, [pointer, text, number]),
                (ssl, "SSL_CTX_use_PrivateKey_file", number, [pointer, text, number]),
                (ssl, "SSL_CTX_set_verify", None, [pointer, number, _VERIFY]),
                (ssl, "SSL_CTX_set_tlsext_use_srtp", number, [pointer, text]),
                (ssl, "SSL_new", pointer, [pointer]), (ssl, "SSL_free", None, [pointer]),
                (ssl, "SSL_set_bio", None, [pointer, pointer, pointer]),
                (ssl, "SSL_set_options", ctypes.c_uint64, [pointer, ctypes.c_uint64]),
                (ssl, "SSL_ctrl", ctypes.c_long, [pointer, number, ctypes.c_long, pointer]),
                (ssl, "SSL_set_alpn_protos", number, [pointer, text, ctypes.c_uint]),
                (ssl, "SSL_set_accept_state", None, [pointer]), (ssl, "SSL_set_connect_state", None, [pointer]),
                (ssl, "SSL_do_handshake", number, [pointer]),
                (ssl, "SSL_read", number, [pointer, text, number]),
                (ssl, "SSL_get_error", number, [pointer, number]),
                (ssl, "SSL_get_selected_srtp_profile", ctypes.POINTER(_Profile), [pointer]),
                (ssl, "SSL_export_keying_material", number,
                 [pointer, text, ctypes.c_size_t, text, ctypes.c_size_t, text, ctypes.c_size_t, number]),
                (ssl, "SSL_get1_peer_certificate", pointer, [pointer]),
                (crypto, "X509_digest", number, [pointer, pointer, text, ctypes.POINTER(ctypes.c_uint)]),
                (crypto, "X509_free", None, [pointer]), (crypto, "EVP_sha256", pointer, []),
                (crypto, "BIO_s_mem", pointer, []), (crypto, "BIO_new", pointer, [pointer]),
                (crypto, "BIO_ctrl", ctypes.c_long, [pointer, number, ctypes.c_long, pointer]),
                (crypto, "BIO_read", number, [pointer, text, number]),
                (crypto, "BIO_write", number, [pointer, text, number]),
                (crypto, "ERR_clear_error", None, [])):
            function = getattr(owner, name)
            function.restype, function.argtypes = result, arguments
            setattr(ssl, name, function)
        _library = ssl
    return _library


class Certificate:
    """Self-signed, on P-256 as most have it."""

    def __init__(self, folder, name="peer"):
        folder = pathlib.Path(folder) / f"dtls-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.key = folder / "certificate.pem", folder / "key.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.file)
        said = self._openssl("x509", "-in", self.file, "-noout", "-fingerprint", "-sha256")
        self.fingerprint = said.strip().split("=", 1)[1]

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=20)
        if done.returncode != 0:
            raise Failure(f"openssl {arguments[0]}: {done.stderr}")
        return done.stdout

    def lines(self, setup="actpass"):
        """What a description says of it."""
        return f"a=fingerprint:sha-256 {self.fingerprint}\r\na=setup:{setup}\r\n"


def described(body):
    """(fingerprint, setup, address of RTP) of a description."""
    text = body.decode() if isinstance(body, bytes) else body
    fingerprint = re.search(r"a=fingerprint:sha-256 ([0-9A-F:]+)\r\n", text, re.I)
    setup = re.search(r"a=setup:(\w+)\r\n", text)
    host = re.search(r"c=IN IP4 ([0-9.]+)", text).group(1)
    port = int(re.search(r"m=audio (\d+) ", text).group(1))
    return fingerprint and fingerprint.group(1), setup and setup.group(1), (host, port)


def hello():
    """A ClientHello of nobody's, without a cookie."""
    number = os.urandom(32)
    body = b"\xfe\xfd" + number + b"\0\0" + struct.pack("!H", 2) + b"\xc0\x2b" + b"\1\0"
    message = b"\1" + struct.pack("!I", len(body))[1:] + b"\0\0" + b"\0\0\0" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\xfe\xff" + bytes(8) + struct.pack("!H", len(message)) + message


class Endpoint(srtp.Endpoint):
    """A far end whose keys come of a handshake: before `shake` it has none. `mtu`: libssl cuts messages so that no
    datagram is longer. `names`: of protocols (RFC 7301), 200 bytes each, which make a hello long. `reorders`: messages
    that leave together leave in the opposite order, as far as they are in the clear: what comes before its key is lost."""

    def __init__(self, port, certificate, client, address="127.0.0.1", profiles=_ALL, mtu=1200, names=0, reorders=False):
        super().__init__(port, None, None, None, address)
        lib = library()
        self.client, self.target, self.done, self.reorders = client, None, False, reorders
        self.cut = 0
        self._context = lib.SSL_CTX_new(lib.DTLS_method())
        if (lib.SSL_CTX_use_certificate_file(self._context, str(certificate.file).encode(), 1) != 1
                or lib.SSL_CTX_use_PrivateKey_file(self._context, str(certificate.key).encode(), 1) != 1
                or lib.SSL_CTX_set_tlsext_use_srtp(self._context, profiles) != 0):
            raise Failure("libssl takes no certificate or profile of ours")
        lib.SSL_CTX_set_verify(self._context, 3, _take_any)
        self._session = lib.SSL_new(self._context)
        self._in, self._out = (lib.BIO_new(lib.BIO_s_mem()) for _ in range(2))
        for memory in (self._in, self._out):
            lib.BIO_ctrl(memory, _MEMORY_RETURN, -1, None)
        lib.SSL_set_bio(self._session, self._in, self._out)
        lib.SSL_set_options(self._session, _NO_QUERY_MTU)
        lib.SSL_ctrl(self._session, _SET_MTU, mtu, None)
        if names:
            # This one says 0 where all is well.
            protocols = (b"\xc7" + b"x" * 199) * names
            if lib.SSL_set_alpn_protos(self._session, protocols, len(protocols)) != 0:
                raise Failure("libssl takes no names of protocols")
        (lib.SSL_set_connect_state if client else lib.SSL_set_accept_state)(self._session)

    def close(self):
        if self._session:
            library().SSL_free(self._session)
            library().SSL_CTX_free(self._context)
            self._session = None
        super().close()

    def _flush(self):
        lib, records = library(), []
        while lib.BIO_ctrl(self._out, _PENDING, 0, None) > 0:
            buffer = ctypes.create_string_buffer(16384)
            count = lib.BIO_read(self._out, buffer, len(buffer))
            data, at = buffer.raw[:count], 0
            # Each record in a datagram of its own.
            while at + 13 <= len(data) and self.target:
                end = at + 13 + struct.unpack_from("!H", data, at + 11)[0]
                records.append(data[at:end])
                at = end
        # What is encrypted has another epoch.
        clear = [record for record in records if record[0] == 22 and record[3:5] == bytes(2)]
        # A fragment that is not the first of its message (RFC 6347 §4.2.2).
        self.cut += sum(record[19:22] != bytes(3) for record in clear)
        if self.reorders:
            records = clear[::-1] + [record for record in records if record not in clear]
        for record in records:
            self.socket.sendto(record, self.target)

    def take(self, datagram):
        """One datagram of DTLS; true when the handshake is over."""
        lib = library()
        lib.BIO_write(self._in, datagram, len(datagram))
        return self._step()

    def _step(self):
        lib = library()
        lib.ERR_clear_error()
        if self.done:
            lib.SSL_read(self._session, ctypes.create_string_buffer(512), 512)
        elif lib.SSL_do_handshake(self._session) == 1:
            self.done = True
            self._agree()
        self._flush()
        return self.done

    def shake(self, target=None, seconds=3.0):
        """Until the handshake is over; false: it was not in time."""
        self.target = target or self.target
        deadline = time.monotonic() + seconds
        if self.client:
            self._step()
        while not self.done and time.monotonic() < deadline:
            self.socket.settimeout(0.05)
            try:
                datagram, source = self.socket.recvfrom(4096)
            except (TimeoutError, socket.timeout):
                library().SSL_ctrl(self._session, _HANDLE_TIMEOUT, 0, None)
                self._flush()
                continue
            except ConnectionRefusedError:
                continue
            if datagram and 20 <= datagram[0] <= 63:
                self.target = self.target or source
                self.take(datagram)
        self.socket.settimeout(0.3)
        return self.done

    def is_media(self, packet):
        if not packet or not 20 <= packet[0] <= 63:
            return True
        self.take(packet)
        return False

    def _agree(self):
        lib = library()
        profile = lib.SSL_get_selected_srtp_profile(self._session)
        if not profile:
            return
        self.suite, key, salt = PROFILES[profile.contents.id]
        size = 2 * (key + salt)
        buffer = ctypes.create_string_buffer(size)
        label = b"EXTRACTOR-dtls_srtp"
        if lib.SSL_export_keying_material(self._session, buffer, size, label, len(label), None, 0, 0) != 1:
            raise Failure("libssl exports no keys")
        raw = buffer.raw
        ours = raw[:key] + raw[2 * key:2 * key + salt]
        theirs = raw[key:2 * key] + raw[2 * key + salt:]
        if not self.client:
            ours, theirs = theirs, ours
        self.out, self.peer = srtp.Context(self.suite, ours, True), srtp.Context(self.suite, theirs, False)

    def peer_fingerprint(self):
        lib = library()
        certificate = lib.SSL_get1_peer_certificate(self._session)
        if not certificate:
            return None
        digest, count = ctypes.create_string_buffer(64), ctypes.c_uint()
        lib.X509_digest(certificate, lib.EVP_sha256(), digest, ctypes.byref(count))
        lib.X509_free(certificate)
        return ":".join(f"{byte:02X}" for byte in digest.raw[:count.value])

