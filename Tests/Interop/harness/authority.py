"""An authority that certifies who may sign for which numbers (RFC 8226), and PASSporTs made and read by it.

Written from the RFCs with Python's `cryptography`: nothing of Demarc's is in it, so what both agree on is the standard.
"""

import base64
import datetime
import http.server
import json
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

TN_AUTH_LIST = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")


def der(tag, content):
    """One element with a short or long length."""
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(content).to_bytes(size, "big") + content


def number_authority(codes=(), ranges=(), numbers=()):
    """TNAuthorizationList (RFC 8226 §9), its tags explicit."""
    entries = [der(0xA0, der(0x16, code.encode())) for code in codes]
    for start, count in ranges:
        size = count.to_bytes(count.bit_length() // 8 + 1, "big")
        entries.append(der(0xA1, der(0x30, der(0x16, start.encode()) + der(0x02, size))))
    entries += [der(0xA2, der(0x16, number.encode())) for number in numbers]
    return der(0x30, b"".join(entries))


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Key:
    """A key on P-256 with its certificate."""

    def __init__(self, private, certificate, chain=()):
        self.private = private
        self.certificate = certificate
        self.chain = [certificate, *chain]

    def key_pem(self):
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def chain_pem(self):
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in self.chain)

    def sign(self, data):
        """ES256 (RFC 7518 §3.4): r and s, 32 octets each."""
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def passport(self, url, claims, ppt="shaken"):
        """`header.payload.signature` in the canonical form (RFC 8225 §9)."""
        header = {"alg": "ES256", "typ": "passport", "x5u": url}
        if ppt:
            header["ppt"] = ppt
        parts = [
            encoded(json.dumps(part, separators=(",", ":"), sort_keys=True).encode())
            for part in (header, claims)
        ]
        return ".".join([*parts, encoded(self.sign(".".join(parts).encode()))])

    def identity(self, url, claims, ppt="shaken"):
        """The value of an Identity header field."""
        return f"{self.passport(url, claims, ppt)};info=<{url}>;alg=ES256;ppt={ppt}"


def shaken(orig, dest, iat, attest="A", origid="1b2ac5b0-91f0-4d0f-9a4d-6fb2a8a7d0a1"):
    return {
        "attest": attest,
        "dest": {"tn": [dest] if isinstance(dest, str) else dest},
        "iat": int(iat),
        "orig": {"tn": orig},
        "origid": origid,
    }


def read_passport(value):
    """Header, claims, what is signed, and the signature of an Identity value."""
    token = value.split(";")[0].strip()
    header, claims, signature = token.split(".")
    return (
        json.loads(decoded(header)),
        json.loads(decoded(claims)),
        f"{header}.{claims}".encode(),
        decoded(signature),
    )


def is_signed(key, data, signature):
    """Whether the signature of the data is of the key's certificate."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.certificate.public_key().verify(
            utils.encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256())
        )
    except Exception:  # the library's own way to say no
        return False
    return len(signature) == 64


class Authority:
    """A root; what it certifies, and what it has revoked."""

    def __init__(self, name="STIR test authority", begins=None, ends=None):
        now = datetime.datetime.utcnow()
        self.begins = begins or now - datetime.timedelta(days=1)
        self.ends = ends or now + datetime.timedelta(days=3650)
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._built(self.name, self.private.public_key(), ca=True).sign(
            self.private, hashes.SHA256()
        )

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def _built(self, subject, public, ca=False, begins=None, ends=None):
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or self.begins)
            .not_valid_after(ends or self.ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )

    def certify(self, name, authority=None, hosts=(), addresses=(), curve=None, begins=None, ends=None):
        """A certificate of a provider; `authority` is a TNAuthList, `hosts` and `addresses` are of a server."""
        private = ec.generate_private_key(curve or ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = self._built(subject, private.public_key(), begins=begins, ends=ends)
        if authority is not None:
            extension = x509.UnrecognizedExtension(TN_AUTH_LIST, authority)
            built = built.add_extension(extension, critical=False)
        names = [x509.DNSName(host) for host in hosts] + [x509.IPAddress(one) for one in addresses]
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Key(private, built.sign(self.private, hashes.SHA256()))

    def revocations(self, *revoked, begins=None, ends=None):
        """A list of certificates that are not to be believed any more, as PEM."""
        built = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(begins or self.begins)
            .next_update(ends or self.ends)
        )
        for key in revoked:
            built = built.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(key.certificate.serial_number)
                .revocation_date(begins or self.begins)
                .build()
            )
        return built.sign(self.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)



class Shelf:
    """An HTTPS server of certificates on 127.0.0.1: `files` by path, and what it does wrong where it is told to."""

    def __init__(self, key, folder):
        self.files, self.asked, self.wait = {}, [], {}
        shelf = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802 (the library's name)
                shelf.asked.append(self.path)
                time.sleep(shelf.wait.get(self.path, 0))
                content = shelf.files.get(self.path)
                if isinstance(content, str):
                    self.send_response(302)
                    self.send_header("Location", content)
                    self.end_headers()
                    return
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                try:
                    self.wfile.write(content or b"")
                except OSError:
                    pass  # whoever asked had enough

            def log_message(self, *_):
                pass

        certificate, private = folder / "https.pem", folder / "https.key"
        certificate.write_bytes(key.chain_pem())
        private.write_bytes(key.key_pem())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"https://localhost:{self.port}{path}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
