"""A small SIP user agent of our own over UDP, for what SIPp cannot do: SHA-256 digest, deliberate
faults, exact control over what is answered and when. It retransmits nothing by itself."""

import hashlib
import itertools
import os
import re
import select
import socket
import struct
import time

from .namespaces import inside
from .process import Failure

CRLF = b"\r\n"
_serial = itertools.count(1)
_SO_TIMESTAMPNS = 35


def token(bytes_count=6):
    return os.urandom(bytes_count).hex()


class Message:
    """A received message: `start` line, `headers` as (name, value) in order, `body`; `at` is when the kernel got it."""

    def __init__(self, data, source, at=None):
        head, _, self.body = data.partition(CRLF * 2)
        lines = head.decode(errors="replace").split("\r\n")
        self.data, self.source, self.start, self.at = data, source, lines[0], at
        self.headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers.append((name.strip().lower(), value.strip()))

    @property
    def status(self):
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else None

    @property
    def method(self):
        return None if self.status else self.start.split()[0]

    def get(self, name, default=""):
        for own, value in self.headers:
            if own == name.lower():
                return value
        return default

    def all(self, name):
        return [value for own, value in self.headers if own == name.lower()]

    @property
    def cseq_method(self):
        return self.get("cseq").split()[-1] if self.get("cseq") else ""

    def to_tag(self):
        found = re.search(r";tag=([^;>\s]+)", self.get("to"))
        return found.group(1) if found else None

    def contact_uri(self):
        value = self.get("contact")
        found = re.search(r"<([^>]+)>", value)
        return found.group(1) if found else value.split(";")[0].strip()

    def __str__(self):
        return self.data.decode(errors="replace")


def challenges(message):
    """[(algorithm, parameters)] of every challenge of a 401 or 407, in order."""
    found = []
    for header in ("www-authenticate", "proxy-authenticate"):
        for value in message.all(header):
            parameters = dict(
                (name.lower(), quoted or plain)
                for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^",\s]+))', value))
            found.append((parameters.get("algorithm", "MD5"), parameters))
    return found


def digest(challenge, method, uri, user, password, nc=1, cnonce=None):
    """The value of Authorization for one challenge (RFC 7616 §3.4)."""
    algorithm, parameters = challenge
    hasher = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm.upper().replace("-SESS", "")]
    cnonce = cnonce or token()

    def h(text):
        return hasher(text.encode()).hexdigest()

    realm, nonce = parameters["realm"], parameters["nonce"]
    a1 = h(f"{user}:{realm}:{password}")
    if algorithm.lower().endswith("-sess"):
        a1 = h(f"{a1}:{nonce}:{cnonce}")
    a2 = h(f"{method}:{uri}")
    parts = [f'Digest username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
    if "qop" in parameters:
        response = h(f"{a1}:{nonce}:{nc:08x}:{cnonce}:auth:{a2}")
        parts += ["qop=auth", f"nc={nc:08x}", f'cnonce="{cnonce}"']
    else:
        response = h(f"{a1}:{nonce}:{a2}")
    parts += [f'response="{response}"', f"algorithm={algorithm}"]
    if "opaque" in parameters:
        parts.append(f'opaque="{parameters["opaque"]}"')
    return ", ".join(parts)


class Agent:
    """One socket that speaks SIP with one peer."""

    def __init__(self, server, user="agent", password=None, domain=None, port=0, address="127.0.0.1",
                 namespace=None):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with inside(namespace):
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.bind((address, port))
        self.address = f"[{address}]" if ":" in address else address
        self.port = self.socket.getsockname()[1]
        self.server, self.user, self.password = server, user, password
        self.domain = domain or self.address
        # What its Call-IDs and tags begin with.
        self.mark = ""
        self.inbox = []

    def close(self):
        self.socket.close()

    # --- datagrams ---------------------------------------------------------------------------------
    def send(self, data):
        self.socket.sendto(data.encode() if isinstance(data, str) else data, self.server)

    def receive(self, seconds):
        """The next message, or None when none comes in time."""
        deadline = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.socket], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            try:
                data, stamps, _, source = self.socket.recvmsg(65536, socket.CMSG_SPACE(16))
            except ConnectionRefusedError:
                continue
            if data.strip():
                seconds, nanoseconds = struct.unpack("qq", stamps[0][2])
                return Message(data, source, seconds + nanoseconds / 1e9)

    def wait(self, matches, seconds, what):
        """The first message that matches, of those put aside or still to come; others are put aside."""
        for index, message in enumerate(self.inbox):
            if matches(message):
                return self.inbox.pop(index)
        deadline = time.monotonic() + seconds
        while True:
            message = self.receive(max(0.0, deadline - time.monotonic()))
            if message is None:
                raise Failure(f"{self.user} waited {seconds:g} s for {what}")
            if matches(message):
                return message
            self.inbox.append(message)

    def final(self, call_id, method, seconds=5):
        return self.wait(
            lambda m: m.status and m.status >= 200 and m.get("call-id") == call_id
            and m.cseq_method == method,
            seconds, f"a final response to {method}")

    # --- messages ----------------------------------------------------------------------------------
    def request(self, method, uri, call_id, sequence, from_tag, to=None, extra=(), body=b"", branch=None,
                content_type="application/sdp", sender=None):
        body = body.encode() if isinstance(body, str) else body
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.address}:{self.port};branch={branch or 'z9hG4bK' + token()};rport",
            "Max-Forwards: 70",
            f"From: {sender or f'<sip:{self.user}@{self.domain}>'};tag={from_tag}",
            f"To: {to or '<' + uri + '>'}",
            f"Call-ID: {call_id}",
            f"CSeq: {sequence} {method}",
            f"Contact: <sip:{self.user}@{self.address}:{self.port}>",
            *extra,
        ]
        if body:
            lines.append(f"Content-Type: {content_type}")
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + CRLF * 2 + body

    def answer_to(self, request, status, reason, tag=None, extra=(), body=b""):
        """A response to a received request, with our tag where it has none yet."""
        body = body.encode() if isinstance(body, str) else body
        to = request.get("to")
        if tag and ";tag=" not in to:
            to += f";tag={tag}"
        lines = [f"SIP/2.0 {status} {reason}", *(f"Via: {via}" for via in request.all("via"))]
        lines += [f"From: {request.get('from')}", f"To: {to}", f"Call-ID: {request.get('call-id')}",
                  f"CSeq: {request.get('cseq')}"]
        lines += [f"Record-Route: {route}" for route in request.all("record-route")]
        if request.method == "INVITE" and status < 300:
            lines.append(f"Contact: <sip:{self.user}@{self.address}:{self.port}>")
        lines += list(extra)
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + CRLF * 2 + body

    def sdp(self, port, session="-", formats="0 8 101"):
        family = "IP6" if self.address.startswith("[") else "IP4"
        address = self.address.strip("[]")
        return (
            f"v=0\r\no=- 1 1 IN {family} {address}\r\ns={session}\r\nc=IN {family} {address}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP {formats}\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n")

    # --- whole exchanges ---------------------------------------------------------------------------
    def exchange(self, method, uri, extra=(), body=b"", algorithm=None, seconds=5, to=None):
        """A request outside a dialog, with the challenge answered if one comes.

        Returns (final response, everything that a dialog needs as a Dialog)."""
        call_id, tag = f"{self.mark}{token()}-{next(_serial)}", self.mark + token()
        sequence, branch = 1, "z9hG4bK" + token()
        self.send(self.request(method, uri, call_id, sequence, tag, to, extra, body, branch))
        answer = self.final(call_id, method, seconds)
        if answer.status in (401, 407) and self.password is not None:
            if method == "INVITE":
                self.acknowledge_failure(answer, uri, call_id, sequence, tag, branch)
            offered = challenges(answer)
            chosen = next(
                (one for one in offered if algorithm in (None, one[0].upper())), None)
            if chosen is None:
                raise Failure(f"no challenge with {algorithm} in {[one[0] for one in offered]}")
            name = "Authorization" if answer.status == 401 else "Proxy-Authorization"
            value = digest(chosen, method, uri, self.user, self.password)
            sequence, branch = 2, "z9hG4bK" + token()
            self.send(self.request(
                method, uri, call_id, sequence, tag, to, (*extra, f"{name}: {value}"), body, branch))
            answer = self.final(call_id, method, seconds)
        dialog = Dialog(self, call_id, tag, sequence, uri, answer)
        if method == "INVITE":
            if answer.status >= 300:
                self.acknowledge_failure(answer, uri, call_id, sequence, tag, branch)
            else:
                dialog.acknowledge()
        return answer, dialog

    def acknowledge_failure(self, answer, uri, call_id, sequence, tag, branch):
        """ACK of a failure is part of the INVITE's transaction (RFC 3261 §17.1.1.3)."""
        self.send(self.request("ACK", uri, call_id, sequence, tag, answer.get("to"), branch=branch))

    def register(self, expires=60, algorithm=None, domain=None):
        domain = domain or self.domain
        answer, _ = self.exchange(
            "REGISTER", f"sip:{domain}", (f"Expires: {expires}",), algorithm=algorithm,
            to=f"<sip:{self.user}@{domain}>")
        return answer

    def expect_request(self, method, seconds=5):
        return self.wait(lambda m: m.method == method, seconds, f"{method}")


class Dialog:
    """The caller's side of an established dialog."""

    def __init__(self, agent, call_id, tag, sequence, uri, answer):
        self.agent, self.call_id, self.tag, self.sequence = agent, call_id, tag, sequence
        self.answer = answer
        self.remote = answer.contact_uri() or uri
        self.to = answer.get("to")

    def acknowledge(self):
        self.agent.send(self.agent.request(
            "ACK", self.remote, self.call_id, self.sequence, self.tag, self.to))

    def request(self, method, extra=(), seconds=5, body=b""):
        """A request, and its final response; an INVITE's is not acknowledged."""
        self.sequence += 1
        self.agent.send(self.agent.request(
            method, self.remote, self.call_id, self.sequence, self.tag, self.to, extra, body))
        return self.agent.final(self.call_id, method, seconds)

    def reoffer(self, body, seconds=5):
        """A re-INVITE, acknowledged; its final response, which has the answer."""
        answer = self.request("INVITE", seconds=seconds, body=body)
        if answer.status < 300:
            self.acknowledge()
        return answer

    def bye(self, seconds=5):
        return self.request("BYE", seconds=seconds)

    @property
    def remote_tag(self):
        return self.answer.to_tag()
