"""Connections of our own to Demarc: bare TCP and TLS, and WebSockets by hand, each as a peer that speaks SIP."""

import base64
import hashlib
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import time

from .agent import CRLF, Message, challenges, digest, token
from .process import Failure, expect


def make_certificate(folder, name, names, authority=None):
    """A key and a certificate for host names and addresses, signed by an authority or by itself: (cert, key)."""
    folder = pathlib.Path(folder)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    alternatives = ",".join(f"IP:{n}" if re.fullmatch(r"[\d.]+|[\da-f]*:[\da-f:]*", n) else f"DNS:{n}" for n in names)
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternatives}",
            "-keyout", key, "-out", certificate]
    if authority:
        argv += ["-CA", authority[0], "-CAkey", authority[1], "-addext", "basicConstraints=critical,CA:FALSE"]
    made = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    if made.returncode != 0:
        # OpenSSL 3.0's `req` cannot sign for another: a request, and `x509`.
        request = folder / f"{name}.csr"
        subprocess.run(
            ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", f"/CN={name}", "-keyout", key, "-out", request], check=True, capture_output=True)
        extension = folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={alternatives}\nbasicConstraints=critical,CA:FALSE\n")
        subprocess.run(
            ["openssl", "x509", "-req", "-in", request, "-CA", authority[0], "-CAkey", authority[1],
             "-CAcreateserial", "-days", "30", "-extfile", extension, "-out", certificate], check=True,
            capture_output=True)
    return certificate, key


def tls_context(authority=None, identity=None, low=None, high=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        context.load_verify_locations(str(authority))
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if identity:
        context.load_cert_chain(str(identity[0]), str(identity[1]))
    if low:
        context.minimum_version = low
    if high:
        context.maximum_version = high
    return context


class Connection:
    """Bytes to Demarc and SIP messages from it."""

    transport = "TCP"

    def __init__(self, address, context=None, name=None, seconds=5):
        self.socket = socket.create_connection(address, seconds)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
            self.transport = "TLS"
        self.buffer = b""

    @classmethod
    def over(cls, connected):
        """One that Demarc has opened."""
        self = cls.__new__(cls)
        self.socket, self.buffer = connected, b""
        self.transport = "TLS" if isinstance(connected, ssl.SSLSocket) else "TCP"
        return self

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self, deadline):
        self.socket.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            raise Failure(f"nothing came; so far {self.buffer[:200]!r}") from None
        except OSError:
            data = b""
        if not data:
            raise EOFError
        self.buffer += data

    def receive(self, seconds=5):
        """The next message; EOFError when Demarc has closed the connection."""
        deadline = time.monotonic() + seconds
        while True:
            self.buffer = self.buffer.lstrip(CRLF)
            head, found, _ = self.buffer.partition(CRLF * 2)
            if found:
                length = int(re.search(rb"(?im)^Content-Length:\s*(\d+)", head).group(1))
                end = len(head) + 4 + length
                if len(self.buffer) >= end:
                    data, self.buffer = self.buffer[:end], self.buffer[end:]
                    return Message(data, None)
            self._more(deadline)

    def is_closed(self, seconds=5):
        """Demarc closes the connection within the time, whatever it says before."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self._more(deadline)
        except EOFError:
            return True
        except Failure:
            return False

    # --- SIP -----------------------------------------------------------------------------------------
    def request(self, method, uri, user="agent", domain="127.0.0.1", headers=(), body=b"", sequence=1,
                call_id=None, tag=None, to=None):
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {token()}.invalid;branch=z9hG4bK{token()};rport",
            "Max-Forwards: 70", f"From: <sip:{user}@{domain}>;tag={tag or token()}",
            f"To: {to or f'<{uri}>'}", f"Call-ID: {call_id or token()}", f"CSeq: {sequence} {method}",
            f"Contact: <sip:{user}@{token()}.invalid;transport={self.transport.lower()}>", *headers,
            f"Content-Length: {len(body)}"]
        return CRLF.join(line.encode() for line in lines) + CRLF * 2 + body

    def exchange(self, method, uri, seconds=5, **options):
        """The final answer to a request."""
        self.send(self.request(method, uri, **options))
        while True:
            answer = self.receive(seconds)
            if answer.status and answer.status >= 200:
                return answer

    def options(self, seconds=5):
        answer = self.exchange("OPTIONS", "sip:demarc@127.0.0.1", seconds)
        expect(answer.status == 200, f"OPTIONS: {answer.start}")
        return answer

    def register(self, user, password, domain, expires=600):
        call_id, tag, uri = token(), token(), f"sip:{domain}"
        common = {"user": user, "domain": domain, "call_id": call_id, "tag": tag,
                  "to": f"<sip:{user}@{domain}>"}
        challenge = self.exchange("REGISTER", uri, headers=[f"Expires: {expires}"], **common)
        expect(challenge.status == 401, f"REGISTER: {challenge.start}")
        credentials = digest(challenges(challenge)[0], "REGISTER", uri, user, password)
        answer = self.exchange(
            "REGISTER", uri, sequence=2, headers=[f"Expires: {expires}", f"Authorization: {credentials}"],
            **common)
        expect(answer.status == 200, f"REGISTER: {answer.start}")

    def answer(self, request, status, reason, tag=None, body=b"", headers=()):
        """Answers a request of Demarc's."""
        lines = [f"SIP/2.0 {status} {reason}"]
        lines += [f"Via: {via}" for via in request.all("via")]
        lines += [f"From: {request.get('from')}", f"To: {request.get('to')}" + (f";tag={tag}" if tag else ""),
                  f"Call-ID: {request.get('call-id')}", f"CSeq: {request.get('cseq')}",
                  f"Contact: <sip:ws@{token()}.invalid;transport={self.transport.lower()}>", *headers]
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        self.send(CRLF.join(line.encode() for line in lines) + CRLF * 2 + body)

    def expect_request(self, method, seconds=8):
        while True:
            message = self.receive(seconds)
            if message.method == method:
                return message


class WebSocket(Connection):
    """RFC 7118's client, as a browser's phone is one: a message of SIP is a message of the WebSocket."""

    def __init__(self, address, context=None, name=None, protocol="sip", origin=None, seconds=5):
        super().__init__(address, context, name, seconds)
        self.transport = "WSS" if context else "WS"
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET / HTTP/1.1", f"Host: {address[0]}:{address[1]}", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Protocol: {protocol}", "Sec-WebSocket-Version: 13"]
        if origin:
            lines.append(f"Origin: {origin}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        deadline = time.monotonic() + seconds
        while CRLF * 2 not in self.buffer:
            self._more(deadline)
        head, _, self.buffer = self.buffer.partition(CRLF * 2)
        self.response = head.decode()
        if not self.response.startswith("HTTP/1.1 101"):
            raise Failure(self.response.splitlines()[0])
        wanted = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        expect(base64.b64encode(wanted).decode() in self.response, f"the key was not proved: {self.response}")
        expect("Sec-WebSocket-Protocol: sip" in self.response, "the subprotocol was not chosen")

    def frame(self, opcode, payload, final=True):
        mask = os.urandom(4)
        head = bytes([(0x80 if final else 0) | opcode])
        if len(payload) < 126:
            head += bytes([0x80 | len(payload)])
        elif len(payload) < 65536:
            head += bytes([0xFE]) + struct.pack(">H", len(payload))
        else:
            head += bytes([0xFF]) + struct.pack(">Q", len(payload))
        self.socket.sendall(head + mask + bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload)))

    def send(self, data):
        # In two fragments with a ping between them, as a client may.
        self.frame(1, data[:50], final=False)
        self.frame(9, b"here")
        self.frame(0, data[50:])

    def receive_frame(self, seconds=5):
        deadline = time.monotonic() + seconds
        while True:
            if len(self.buffer) >= 2:
                length, start = self.buffer[1] & 127, 2
                if length == 126 and len(self.buffer) >= 4:
                    length, start = struct.unpack(">H", self.buffer[2:4])[0], 4
                elif length == 126:
                    length = 1 << 30
                if len(self.buffer) >= start + length:
                    opcode, payload = self.buffer[0] & 15, self.buffer[start:start + length]
                    self.buffer = self.buffer[start + length:]
                    return opcode, payload
            self._more(deadline)

    def receive(self, seconds=5):
        while True:
            opcode, payload = self.receive_frame(seconds)
            if opcode in (1, 2) and payload.strip():
                return Message(payload, None)
            if opcode == 10:
                expect(payload == b"here", f"the pong holds {payload!r}")
