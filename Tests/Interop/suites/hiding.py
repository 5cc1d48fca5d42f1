"""Nothing of one side is visible on the other."""

import os
import re
import socket
import struct

from harness.agent import token
from harness.case import test
from harness.pair import Pair, audio, lines
from harness.ports import free_port
from harness.process import expect
from harness.sipp import Caller, sdp, uac, uas

from .sip import carrier, from_pbx

SECRETS = {
    "display": "CanaryDisplay", "agent": "CanaryAgent/1", "call": "canarycall", "origin": "canaryorigin",
    "session": "canarysession", "header": "canaryheader", "route": "canaryroute",
}


@test("canaries")
def canaries(t):
    """Tokens planted in one leg's headers and SDP never appear on the other, either way"""
    world = t.world
    number = world.number("+4930")
    callee = {name: "callee-" + value for name, value in SECRETS.items()}
    caller_extra = f"X-Canary: {SECRETS['header']}\nSubject: {SECRETS['header']}\nOrganization: {SECRETS['route']}\n"
    callee_extra = f"X-Canary: {callee['header']}\nServer: {callee['agent']}\nOrganization: {callee['route']}\n"
    ports = {"caller media": free_port(), "callee media": free_port()}
    north = carrier(t, "north", uas(
        body=sdp(port=ports["callee media"], origin=callee["origin"], session=callee["session"]),
        extra=callee_extra))
    speaker = Caller(domain=world.domain, user="pbx", agent=SECRETS["agent"],
                     call_id=f"{SECRETS['call']}///[call_id]")
    pbx = from_pbx(t, uac(
        caller=speaker, extra=caller_extra,
        body=sdp(port=ports["caller media"], origin=SECRETS["origin"], session=SECRETS["session"])), number)
    pbx.wait()
    north.wait()
    at_callee, at_caller = "\n".join(north.received()), "\n".join(pbx.received())
    expect("INVITE" in at_callee and "200 OK" in at_caller, "no messages were traced")
    hidden_from_callee = [*SECRETS.values(), f":{pbx.port}", f" {ports['caller media']} ",
                          f"{pbx.process.pid}A"]
    hidden_from_caller = [*callee.values(), f":{north.port}", f" {ports['callee media']} ",
                          f"{north.process.pid}B"]
    leaked = [word for word in hidden_from_callee if word.lower() in at_callee.lower()]
    # The caller's own Call-ID and tag rightly come back to it.
    leaked += [word for word in hidden_from_caller if word.lower() in at_caller.lower()]
    expect(not leaked, f"seen on the other side: {leaked}")


@test("display-name")
def display_name(t):
    """What the caller writes beside its number does not cross either"""
    world = t.world
    number = world.number("+4930")
    north = carrier(t, "north", uas())
    speaker = Caller(domain=world.domain, user="pbx", display=SECRETS["display"])
    from_pbx(t, uac(caller=speaker), number).wait()
    north.wait()
    expect(SECRETS["display"] not in "".join(north.received()), "the display name crossed")


@test("rtcp")
def rtcp(t):
    """RTCP passes, but not the name that its SDES carries (a phone writes user@host there)"""
    world = t.world
    number = world.number("+4938")
    east = t.agent(user="east", port=world.ports["east"])
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    ends = {}
    for name in ("caller", "callee"):
        port = free_port()
        for kind, offset in (("rtp", 0), ("rtcp", 1)):
            ends[name, kind] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ends[name, kind].bind(("127.0.0.1", port + offset))
            ends[name, kind].settimeout(3)
            t.defer(ends[name, kind].close)
    uri, call_id, tag = f"sip:{number}@{world.domain}", token(), token()
    pbx.send(pbx.request(
        "INVITE", uri, call_id, 1, tag, body=pbx.sdp(ends["caller", "rtp"].getsockname()[1])))
    invite = east.expect_request("INVITE")
    east.socket.sendto(
        east.answer_to(invite, 200, "OK", token(), body=east.sdp(ends["callee", "rtp"].getsockname()[1])),
        invite.source)
    final = pbx.final(call_id, "INVITE")
    pbx.send(pbx.request("ACK", final.contact_uri(), call_id, 1, tag, final.get("to")))
    east.expect_request("ACK")
    to = {
        "caller": int(re.search(rb"m=audio (\d+)", final.body).group(1)),
        "callee": int(re.search(rb"m=audio (\d+)", invite.body).group(1)),
    }
    for name, other in (("caller", "callee"), ("callee", "caller")):
        canary = f"canary-{name}@10.9.8.7".encode()
        ssrc = os.urandom(4)
        for sequence in range(5):
            ends[name, "rtp"].sendto(
                struct.pack("!BBHI", 0x80, 0, sequence, sequence * 160) + ssrc + b"\xff" * 160,
                ("127.0.0.1", to[name]))
        item = b"\x01" + bytes([len(canary)]) + canary
        chunk = ssrc + item + bytes(4 - len(item) % 4)
        report = struct.pack("!BBH", 0x80, 200, 6) + ssrc + os.urandom(8) + struct.pack("!III", 800, 5, 800)
        names = struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk
        ends[name, "rtcp"].sendto(report + names, ("127.0.0.1", to[name] + 1))
        ends[other, "rtp"].recv(2048)
        passed = ends[other, "rtcp"].recv(2048)
        expect(passed[1] in (200, 201), "what passed is no report")
        expect(canary not in passed and b"10.9.8.7" not in passed, f"the {name}'s CNAME passed: {passed!r}")
    pbx.send(pbx.request("BYE", final.contact_uri(), call_id, 2, tag, final.get("to")))
    bye = east.expect_request("BYE")
    east.socket.sendto(east.answer_to(bye, 200, "OK"), bye.source)


# --- Canaries in every message ---------------------------------------------------------------------------------------

# Whatever a header of its kind may hold; {c} is a word that nobody else says. Where a part of a header passes, as the
# cause of Reason does, the canary sits in the rest of it.
HEADERS = """
Warning: 399 {c}.example.com "{c}"
Organization: {c}
Subject: {c}
User-Agent: {c}/1.0
Server: {c}/1.0
Alert-Info: <http://{c}.example.com/ring.wav>;info={c}
Call-Info: <http://{c}.example.com/face.png>;purpose=icon
Error-Info: <sip:{c}@example.com>
Reason: Q.850;cause=31;text="{c}"
Reason: SIP;cause=503;text="{c}"
Allow-Events: {c}
Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, {c}
Accept: application/sdp, application/{c}
Accept-Language: {c}
Accept-Encoding: {c}
Accept-Contact: *;{c}
Content-Language: {c}
Content-Disposition: session;{c}={c}
Geolocation: <sip:{c}@example.com>
Geolocation-Routing: {c}
In-Reply-To: {c}@example.com
Reply-To: <sip:{c}@example.com>
Priority: {c}
Resource-Priority: {c}.0
Retry-After: 18 ({c});duration=5
Timestamp: 54.21{c}
User-to-User: {c};encoding=hex
Feature-Caps: *;+g.{c}
Recv-Info: {c}
Identity: {c};info=<https://{c}.example.com/cert>;alg=ES256
Authentication-Info: nextnonce="{c}"
Target-Dialog: {c};local-tag={c};remote-tag={c}
Session-ID: {c}
P-Access-Network-Info: 3GPP-E-UTRAN-FDD; utran-cell-id-3gpp={c}
P-Asserted-Service: urn:urn-7:3gpp-service.{c}
P-Associated-URI: <sip:{c}@example.com>
P-Charging-Vector: icid-value={c};icid-generated-at={c}
P-Charging-Function-Addresses: ccf={c}
P-Early-Media: sendrecv, {c}
P-Preferred-Service: urn:urn-7:3gpp-service.{c}
P-Profile-Key: <sip:{c}@example.com>
P-Served-User: <sip:{c}@example.com>
Referred-By: "{c}" <sip:{c}@example.com>;cid="{c}@example.com"
Service-Route: <sip:{c}.example.com;lr>
P-User-Database: <aaa://{c}>
P-Visited-Network-ID: {c}
P-{c}: {c}
X-{c}: {c}
Authorization: Digest username="{c}", realm="{c}", nonce="{c}", uri="sip:{c}", response="{c}"
Min-SE: 90;{c}={c}
Session-Expires: 1800;{c}={c}
Supported: {c}
P-Asserted-Identity: "{c}" <sip:{c}@example.com>
P-Called-Party-ID: <sip:{c}@example.com>
P-Preferred-Identity: "{c}" <sip:{c}@example.com>
Diversion: <sip:{c}@example.com>;reason=unconditional
History-Info: <sip:{c}@example.com>;index=1
Remote-Party-ID: "{c}" <sip:{c}@example.com>;party=called
"""
SESSION = """
i={c}
u=http://{c}.example.com/
e={c}@example.com
p=+1 617 555-6011 {c}
a=tool:{c}
a=charset:{c}
a=group:BUNDLE {c}
a=msid-semantic:WMS {c}
a=ice-options:{c}
a=identity:{c}
a=x-{c}:{c}
"""
MEDIA = """
i={c}
a=candidate:{c} 1 UDP 2130706431 10.99.98.97 49999 typ host
a=candidate:1 2 UDP 2130706430 {c}.local 49998 typ host generation 0 ufrag {c}
a=end-of-candidates:{c}
a=ice-ufrag:{c}
a=ice-pwd:{c}{c}
a=fingerprint:sha-256 {c}
a=setup:{c}
a=mid:{c}
a=msid:{c} {c}
a=ssrc:1234 cname:{c}
a=ssrc-group:FID {c}
a=extmap:1 urn:{c}
a=label:{c}
a=content:{c}
a=lang:{c}
a=rtcp:49997 IN IP4 10.99.98.96
a=imageattr:96 {c}
a=rid:{c} send
a=simulcast:send {c}
a=x-{c}:{c}
a={c}
"""
# What Demarc writes, as docs/standards.md lists it, and what of a description passes (docs/decisions/0032).
WRITTEN = set("""via from to call-id cseq max-forwards contact content-type content-length record-route require
    supported unsupported allow allow-events accept user-agent server retry-after p-asserted-identity privacy rseq rack
    session-expires min-se reason session-id p-early-media""".split())
PASSING = re.compile(
    r"v=0|o=- \d+ \d+ IN IP4 127\.0\.0\.1|s=-|c=IN IP4 127\.0\.0\.1|t=0 0|m=(audio|video|image) \d+ [\w/]+ [\w ]+"
    r"|a=rtpmap:\d+ [\w-]+/\d+|a=(max)?ptime:\d+|a=(sendrecv|sendonly|recvonly|inactive)|b=(AS|TIAS):\d+"
    r"|a=T38FaxVersion:0|a=T38FaxUdpEC:t38UDPRedundancy|a=rtcp-fb:96 nack pli|a=framerate:30|a=fmtp:(96 max-fr=30|101 0-15)")
VIDEO = ("m=video {port} RTP/AVPF 96\r\nb=AS:512\r\na=rtpmap:96 VP8/90000\r\na=fmtp:96 max-fr=30\r\n"
         "a=rtcp-fb:96 nack pli\r\na=framerate:30\r\na=sendrecv\r\n")
FAX = ("m=image {port} udptl t38\r\nb=AS:64\r\na=T38FaxVersion:0\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n")


class Planted:
    """A socket that plants canaries in whatever is sent by it, and keeps whatever arrives."""

    def __init__(self, agent, mark):
        self.socket, self.port, self.server, self.mark = agent.socket, agent.port, agent.server, mark
        self.said, self.heard = [], []
        agent.socket, agent.mark = self, f"{mark}-"

    def __getattr__(self, name):
        return getattr(self.socket, name)

    def sendto(self, data, target):
        head, _, body = data.decode().partition("\r\n\r\n")
        start, *fields = head.split("\r\n")
        sequence = next(field for field in fields if field.startswith("CSeq:")).split()[2]
        answers = start.startswith("SIP/2.0 ")
        label = f"{start.split()[1]}-{sequence}" if answers else sequence
        self.said.append(label)
        word = f"{self.mark}-{label}-"

        def planted(text, prefix=""):
            return [line.format(c=word + prefix + re.match(r"[\w-]+=?[\w-]*", line).group(0).replace("=", "-"))
                    for line in text.strip().splitlines()]
        if answers:
            start = " ".join(start.split()[:2]) + f" {word}reason"
        written = []
        for field in fields:
            name, value = field.split(": ", 1)
            if name == "Via" and not answers:
                value += f";{word}via={word}via"
            elif name == "From" and not answers:
                value = f'"{word}from" {value};{word}from={word}from'
            elif name == "To" and answers:
                value += f";{word}to={word}to"
            elif name == "Contact" and f":{self.port}" in value:
                value = (f'"{word}contact" <sip:{word}contact@127.0.0.1:{self.port};{word}contact={word}contact>'
                         f";{word}contact={word}contact;+sip.instance=\"<urn:uuid:{word}contact>\"")
            elif name == "Content-Type" and value == "application/sdp":
                value += f";{word}type={word}type"
            elif name == "Content-Length":
                continue
            written.append(f"{name}: {value}")
            if name == "Via" and not answers:
                written.append(f"Via: SIP/2.0/TCP {word}via.example.com;branch=z9hG4bK{word}via")
        if not answers:
            server = "%s:%d" % self.server
            written.append(f"Route: <sip:{server};lr;{word}route={word}route>")
        if sequence == "INVITE":
            written.append(f"Record-Route: <sip:{word}route@127.0.0.1:{self.port};lr;{word}route={word}route>")
        if body.startswith("v=0"):
            session, *media = re.split(r"(?m)^(?=m=)", body)
            session = session.replace("o=-", f"o={word}o").replace("s=-", f"s={word}s")
            origin, c, rest = session.partition("c=IN")
            parts = planted(SESSION, "sdp-")
            named = [line for line in parts if not line.startswith("a=")]
            session = (origin + "".join(line + "\r\n" for line in named) + c + rest
                       + "".join(line + "\r\n" for line in parts if line.startswith("a=")))
            for place, line in enumerate(media):
                title, first, *others = planted(MEDIA, f"sdp{place}-")
                head, _, tail = line.partition("\r\n")
                media[place] = "\r\n".join([head, title, *tail.split("\r\n")[:-1], first, *others, ""])
            body = session + "".join(media)
        headers = planted(HEADERS)
        if sequence == "SUBSCRIBE" and not answers:
            # Of a SUBSCRIBE 4 096 bytes are taken: each has a part of the canaries, and the next one the next.
            first = self.said.count(label) * 20 % len(headers)
            headers = (headers[first:] + headers[:first])[:20]
        written += [*headers, f"Content-Length: {len(body)}"]
        self.socket.sendto(("\r\n".join([start, *written]) + "\r\n\r\n" + body).encode(), target)

    def recvmsg(self, *words):
        found = self.socket.recvmsg(*words)
        self.heard.append(found[0].decode())
        return found


def check_hidden(sides, written=(), passing=()):
    """Nothing that one side has said was seen by another one, and Demarc wrote no header fields but its own and those
    that are `written` besides. A line that matches one of `passing`, behind what it stood in (INVITE, 200-INVITE), is
    not looked at."""
    problems = set()
    for side in sides:
        for text in side.heard:
            head, _, body = text.partition("\r\n\r\n")
            start, *fields = head.split("\r\n")
            number, method = re.search(r"CSeq: (.*)", head).group(1).split()
            what = f"{side.mark} saw " + " ".join(start.split()[:2]) + f" {number} {method}"
            label = f"{start.split()[1]}-{method}" if start.startswith("SIP/2.0 ") else method

            def passes(line):
                return any(re.fullmatch(one, f"{label} {line}") for one in passing)
            left = "\r\n".join(line for line in text.split("\r\n") if not passes(line))
            for other in sides:
                if other is not side:
                    problems |= {f"{what}: {word}" for word in re.findall(rf"(?i){other.mark}[\w.-]*", left)}
                    problems |= {f"{what}: :{other.port}" for _ in re.findall(rf":{other.port}\b", left)}
            problems |= {f"{what}: 10.99.98" for _ in re.findall(r"10\.99\.98", left)}
            names = {field.split(":")[0].lower() for field in fields if not passes(field)}
            own = {"route"} if not text.startswith("SIP/2.0") else set()
            problems |= {f"{what}: {name}" for name in names - WRITTEN - own - set(written)}
            if body.startswith("v=0"):
                alien = [line for line in body.split("\r\n")[:-1] if not PASSING.fullmatch(line)]
                problems |= {f"{what}: {line}" for line in alien}
    expect(not problems, "seen on the other side: " + "\n".join(sorted(problems)))


class Watched(Pair):
    """A pair that plants canaries, and looks for them."""

    def __init__(self, t, number):
        super().__init__(t, number)
        self.sides = [Planted(end.agent, mark) for end, mark in ((self.caller, "birda"), (self.callee, "birdb"))]
        for end in (self.caller, self.callee):
            end.tag = end.agent.mark + end.tag

    def check(self, said_by_caller, said_by_callee):
        """Both have said all that, and nothing of it was seen on the other side."""
        for side, wanted in zip(self.sides, (said_by_caller, said_by_callee)):
            missing = set(wanted.split()) - set(side.said)
            expect(not missing, f"{side.mark} never said {missing}, but {side.said}")
        check_hidden(self.sides)


def answered(end, request, status, *media, extra=()):
    """A response of one end to a request within the call."""
    body = end.sdp(*media) if media else b""
    end.agent.socket.sendto(end.agent.answer_to(request, status, "-", end.tag, extra, body), request.source)


def asked(end, method):
    found = end.agent.wait(lambda m: m.method == method and m.get("call-id") == end.call_id, 5, method)
    end.remote = found.contact_uri() or end.remote
    return found


@test("every-message", 40)
def every_message(t):
    """Canaries in each header and attribute of each message of a call, both ways: not one is seen on the other side"""
    pair = Watched(t, t.world.number("+4938"))
    caller, callee = pair.caller, pair.callee
    uri = f"sip:{pair.number}@{t.world.domain}"
    ports = [free_port() for _ in range(6)]
    # Of speech that nobody here speaks, and without telephone-event: so INFO stays INFO.
    streams = [[audio(speech, "18"), VIDEO.format(port=video), FAX.format(port=fax)]
               for speech, video, fax in (ports[:3], ports[3:])]
    caller.call_id, caller.remote, caller.to = caller.agent.mark + token(8), uri, f"<{uri}>"
    caller.request("INVITE", caller.sdp(*streams[0]), ("Supported: 100rel, timer",))
    invite = callee.asked()
    answered(callee, invite, 100)
    answered(callee, invite, 180)
    answered(callee, invite, 183, *streams[1], extra=("Require: 100rel", "RSeq: 17"))
    early = caller.agent.wait(lambda m: m.status == 183, 5, "183")
    expect(early.get("rseq"), f"183 is not reliable: {early}")
    for message in (invite, early):
        found = lines(message)
        expect([line.kind for line in found if line.port] == ["audio", "video", "image"], f"not every stream: {found}")
        passed = set(str(message).splitlines())
        missing = [line for line in (VIDEO + FAX).splitlines() if line[:2] != "m=" and line not in passed]
        expect(not missing, f"{missing} did not pass: {message}")
    # PRACK is a request of the early dialog, and may bear an offer: ours leaves when the caller's has come.
    caller.remote, caller.to = early.contact_uri(), early.get("to")
    caller.request("PRACK", extra=(f"RAck: {early.get('rseq')} 1 INVITE",))
    prack = asked(callee, "PRACK")
    answered(callee, prack, 200)
    expect(caller.agent.final(caller.call_id, "PRACK").status == 200, "PRACK was refused")
    answered(callee, invite, 200)
    final = caller.agent.final(caller.call_id, "INVITE")
    expect(final.status == 200, f"the caller got {final}")
    caller.agent.send(caller.agent.request("ACK", caller.remote, caller.call_id, 1, caller.tag, caller.to))
    callee.acknowledged(invite)
    for one, other, mine, theirs in ((caller, callee, *streams), (callee, caller, *reversed(streams))):
        one.request("INVITE", one.sdp(*mine))
        again = other.asked()
        answered(other, again, 180)
        answered(other, again, 200, *theirs)
        expect(one.outcome().status == 200, "the re-INVITE was refused")
        other.acknowledged(again)
        one.request("INVITE", one.sdp(*[line.replace("sendrecv", "sendonly") for line in mine]))
        again = other.asked()
        answered(other, again, 488)
        expect(one.outcome().status == 488, "the re-INVITE was not refused")
        other.acknowledged(again)
        one.request("UPDATE", one.sdp(*mine))
        answered(other, asked(other, "UPDATE"), 200, *theirs)
        expect(one.agent.final(one.call_id, "UPDATE").status == 200, "UPDATE was refused")
        one.sequence += 1
        one.agent.send(one.agent.request(
            "INFO", one.remote, one.call_id, one.sequence, one.tag, one.to, body="Signal=5\r\nDuration=160\r\n",
            content_type="application/dtmf-relay", sender=one.sender))
        info = asked(other, "INFO")
        expect("Signal=5" in str(info), f"the digit is gone: {info}")
        answered(other, info, 200)
        expect(one.agent.final(one.call_id, "INFO").status == 200, "INFO was refused")
    pair.hang_up(callee)
    bye = [text for text in pair.sides[0].heard if text.startswith("BYE")][0]
    expect("\r\nReason: Q.850;cause=31\r\n" in bye, f"the cause did not cross: {bye}")
    both = "INVITE ACK UPDATE INFO 180-INVITE 200-INVITE 488-INVITE 200-INFO"
    pair.check(f"{both} PRACK 200-BYE", f"{both} 100-INVITE 183-INVITE 200-PRACK BYE")


@test("refusals")
def refusals(t):
    """The same of calls that fail: refused, given up while they ring, hung up by the caller"""
    for end in ("refused", "cancelled", "hung up"):
        pair = Watched(t, t.world.number("+4938"))
        caller, callee = pair.caller, pair.callee
        caller.dial(f"sip:{pair.number}@{t.world.domain}", audio(free_port()))
        invite = callee.asked()
        answered(callee, invite, 183, audio(free_port()))
        caller.agent.wait(lambda m: m.status == 183, 5, "183")
        if end == "refused":
            answered(callee, invite, 486)
            expect(caller.outcome().status == 486, "busy did not cross")
            callee.acknowledged(invite)
            pair.check("INVITE ACK", "183-INVITE 486-INVITE")
        elif end == "cancelled":
            caller.agent.send(caller.agent.request(
                "CANCEL", caller.remote, caller.call_id, caller.sequence, caller.tag, caller.to, branch=caller.branch))
            cancel = asked(callee, "CANCEL")
            answered(callee, cancel, 200)
            answered(callee, invite, 487)
            expect(caller.outcome().status == 487, "it was not given up")
            callee.acknowledged(invite)
            pair.check("INVITE CANCEL ACK", "183-INVITE 200-CANCEL 487-INVITE")
        else:
            answered(callee, invite, 200, audio(free_port()))
            expect(caller.outcome().status == 200, "it was not answered")
            callee.acknowledged(invite)
            pair.hang_up(caller)
            pair.check("INVITE ACK BYE", "183-INVITE 200-INVITE 200-BYE")
        caller.agent.close()
        callee.agent.close()


@test("digits")
def digits(t):
    """Of an INFO with a digit the digit passes, and its time; not what else its sender has written into the body"""
    pair = Pair(t, t.world.number("+4938"))
    # Of speech that nobody here speaks, and without telephone-event: so INFO stays INFO.
    pair.connect([audio(free_port(), "18")], [audio(free_port(), "18")])
    for one, other in ((pair.caller, pair.callee), (pair.callee, pair.caller)):
        one.sequence += 1
        one.agent.send(one.agent.request(
            "INFO", one.remote, one.call_id, one.sequence, one.tag, one.to, sender=one.sender,
            body="Signal=5\r\nDuration=160\r\nX-Gateway=birda 10.99.98.97\r\n", content_type="application/dtmf-relay"))
        info = asked(other, "INFO")
        answered(other, info, 200)
        expect(one.agent.final(one.call_id, "INFO").status == 200, "INFO was refused")
        expect(re.search(rb"Signal= ?5\r\n", info.body) and b"160" in info.body, f"the digit is gone: {info}")
        expect(b"birda" not in info.body and b"10.99.98" not in info.body, f"seen on the other side: {info}")
    pair.hang_up()


@test("listed-attributes")
def listed_attributes(t):
    """T.38's attributes pass by their names, not by three letters, and a rate of pictures is a number"""
    pair = Pair(t, t.world.number("+4938"))
    fax = FAX + "a=T38VendorInfo:181 0 birda\r\na=T38birda:10.99.98.97\r\na=T38FaxMaxBuffer:birda 10.99.98.97\r\n"
    video = VIDEO.replace("framerate:30", "framerate:birda@10.99.98.97")
    offer = [audio(free_port()), video.format(port=free_port()), fax.format(port=free_port())]
    answer = [audio(free_port()), video.format(port=free_port()), fax.format(port=free_port())]
    for found in pair.connect(offer, answer):
        seen = [word for line in found for word in line.text.splitlines() if "birda" in word or "VendorInfo" in word]
        expect(not seen, f"seen on the other side: {seen}")
    pair.hang_up()
