"""Published classes of attack, replayed: each with the outcome that it must have. Strangers have addresses of their own,
so that what Demarc thinks of them is nobody else's matter."""

import json
import pathlib
import socket
import struct
import time

import numpy

from harness.agent import challenges, digest, token
from harness.case import test
from harness.flood import Flood
from harness.pair import Pair, audio
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.sipp import uac, uas
from harness.world import World

from .hostile import undisturbed
from .sip import carrier, from_pbx

ROOT = pathlib.Path(__file__).resolve().parents[3]
CANARY = "evil7canary"
# Those that a stranger may try outside of a dialog, OPTIONS aside, which tells nothing.
METHODS = ["INVITE", "REGISTER", "SUBSCRIBE", "MESSAGE", "REFER", "NOTIFY", "PUBLISH", "INFO", "UPDATE", "PRACK", "BYE",
           "FROBNICATE"]
REFUSALS = (401, 403, 405, 407, 481, 489, 501)
# RELIABILITY B5, and RFC 4475's own bound of a half second.
MOST_BACK = 1.5
PATIENCE = 0.5


def stranger(t, place, **options):
    """Somebody at an address that is nobody's."""
    return t.agent(user="stranger", address=f"127.0.7.{place}", **options)


def answers(agent, seconds=PATIENCE):
    """Every message that comes until nothing does."""
    found = []
    while (message := agent.receive(seconds)) is not None:
        found.append(message)
    return found


class Attempt:
    """An INVITE that an agent has sent, and what its acknowledgement needs."""

    def __init__(self, agent, user, domain, extra=(), body=None, sender=None):
        self.agent, self.uri = agent, f"sip:{user}@{domain}"
        self.call_id, self.tag, self.branch = token(), token(), "z9hG4bK" + token()
        agent.send(agent.request(
            "INVITE", self.uri, self.call_id, 1, self.tag, None, extra,
            agent.sdp(free_port()) if body is None else body, self.branch, sender=sender))

    def refused(self, answer):
        self.agent.acknowledge_failure(answer, self.uri, self.call_id, 1, self.tag, self.branch)


@test("methods", 60)
def methods(t):
    """Whatever a stranger asks for is refused, and no message of it reaches anybody"""
    world = t.world
    north = t.agent(user="north", port=world.ports["north"])
    for place, method in enumerate(METHODS):
        agent = stranger(t, 10 + place)
        body = agent.sdp(free_port()) if method == "INVITE" else b""
        uri = f"sip:{world.number('+4930')}@{world.domain}"
        answer, _ = agent.exchange(method, uri, ("Event: dialog", "Refer-To: <sip:1@a>", "Expires: 60"), body)
        expect(answer.status in REFUSALS, f"{method} of a stranger got {answer.start}")
        expect(answer.cseq_method == method, f"{method} was answered with {answer.get('cseq')}")
    expect(north.receive(0.3) is None, "a carrier heard of a stranger")


@test("spoofed", 60)
def spoofed(t):
    """BYE, CANCEL, re-INVITE, UPDATE, INFO, REFER and NOTIFY of a third party end, move and tell nothing in a call"""
    world = t.world
    pair = Pair(t, world.number("+4938"))
    near, far = free_port(), free_port()
    pair.connect([audio(near)], [audio(far)])
    caller, callee = pair.caller, pair.callee
    strange = stranger(t, 30)
    for end in (caller, callee):
        # Whoever has overheard the call, from elsewhere; and who guesses, from the right host.
        for agent, to, wanted in ((strange, end.to, (481, 403)), (t.agent(user="guess"), f"{end.to}x", (481,))):
            for method in ("BYE", "INVITE", "UPDATE", "INFO", "REFER", "NOTIFY", "MESSAGE"):
                body = agent.sdp(free_port()) if method in ("INVITE", "UPDATE") else b""
                agent.send(agent.request(
                    method, end.remote, end.call_id, 900, end.tag, to, ("Refer-To: <sip:1@a>", "Event: refer"), body,
                    sender=end.sender))
                found = [one.status for one in answers(agent, 0.15) if one.status != 100]
                expect(not found or set(found) <= set(wanted), f"{method} of a third party got {found}")
        strange.send(strange.request("CANCEL", end.remote, end.call_id, 1, end.tag, end.to, branch=end.branch
                                     if end is caller else None, sender=end.sender))
    for end in (caller, callee):
        expect(not [m for m in answers(end.agent, 0.2) if m.method], "a peer heard of it")
    # It is up, in both directions, and where it was.
    for asking in (caller, callee):
        offered, answered = pair.change(
            asking, [audio(near if asking is caller else far)], [audio(far if asking is caller else near)])
        expect(offered and answered, "no change is possible any more")
    record = pair.hang_up()
    expect(record["cause"] == "normal-clearing", f"the record says {record['cause']}")


class Thief:
    """Sends to the media ports of somebody else's call, and counts the speech that it gets."""

    def __init__(self, t, address, mark):
        self.mark, self.stolen = mark, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.setblocking(False)
        t.defer(self.socket.close)

    def steal(self, targets, number):
        header = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, int.from_bytes(self.mark * 4, "big"))
        for host, port in targets:
            self.socket.sendto(header + self.mark * 160, (host, port))
            self.socket.sendto(struct.pack("!BBHI", 0x80, 201, 1, 0xBAD), (host, port + 1))
        self.take()

    def take(self):
        try:
            # Reports of RTCP are no speech; they go to whom the first came from, of the right address.
            while packet := self.socket.recv(2048):
                self.stolen += packet[1] & 0x7F not in range(72, 77)
        except (BlockingIOError, ConnectionRefusedError):
            pass

    def heard_by(self, end, since=0.0):
        """How many of its packets an end has got."""
        return len([1 for at, packet in end.packets if at >= since and self.mark * 100 in packet])


@test("rtp-bleed", 60)
def rtp_bleed(t):
    """Who sends to a call's ports before, during and after it gets no packet of it, and none of his is heard; who has the
    far end's own address, until that speaks from the port that it named"""
    world = t.world
    pair = Pair(t, world.number("+4938"))
    ends = [Endpoint(free_port()) for _ in range(2)]
    for end in ends:
        t.defer(end.close)
    offered, answered = pair.connect(*([audio(end.socket.getsockname()[1])] for end in ends))
    targets = answered[0].target, offered[0].target
    stranger, neighbour = Thief(t, "127.0.7.40", b"\x11"), Thief(t, "127.0.0.1", b"\x22")

    def steal(count):
        for number in range(count):
            for thief in (stranger, neighbour):
                thief.steal(targets, number)
            time.sleep(0.002)
    steal(50)
    speech = 0.3 * numpy.sin(numpy.arange(8_000 * 2) * 0.3)
    threads = [end.speak(speech, target) for end, target in zip(ends, targets)]
    time.sleep(0.1)
    neighbour.take()
    neighbour.stolen, speaking = 0, time.monotonic()
    steal(400)
    for thread in threads:
        thread.join()
    time.sleep(0.3)
    for name, end, other in (("caller", ends[0], ends[1]), ("callee", ends[1], ends[0])):
        expect(stranger.heard_by(end) == 0, f"the {name} got packets of a stranger")
        expect(neighbour.heard_by(end, speaking) == 0, f"the {name} got packets of somebody beside the other end")
        # The first may meet the neighbour's.
        got = len(end.packets) - neighbour.heard_by(end)
        expect(got >= other.sent - 1, f"the {name} got {got} of {other.sent} packets")
    pair.hang_up()
    steal(20)
    expect(stranger.stolen == neighbour.stolen == 0,
           f"a stranger got {stranger.stolen} packets, and somebody beside an end {neighbour.stolen}")


@test("digest-leak", 60)
def digest_leak(t):
    """Who challenges a request of ours gets no answer to it: neither a phone, nor a trunk without credentials"""
    world = t.world
    alice = t.agent(user="alice", password=world.users["alice"]["password"])
    expect(alice.register().status == 200, "alice is not registered")
    hostile = ('Proxy-Authenticate: Digest realm="demarc.test", nonce="00ff", algorithm=MD5, qop="auth"',
               'WWW-Authenticate: Digest realm="carrier", nonce="00ff", algorithm=MD5')
    east = t.agent(user="east", port=world.ports["east"])
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    for victim, number in ((alice, "+4940100"), (east, world.number("+4938"))):
        for status in (401, 407):
            attempt = Attempt(pbx, number, world.domain)
            invite = victim.expect_request("INVITE")
            victim.socket.sendto(
                victim.answer_to(invite, status, "Who are you", token(), hostile), invite.source)
            attempt.refused(pbx.final(attempt.call_id, "INVITE", 8))
            for message in [invite, *answers(victim, 0.4)]:
                expect(not message.get("authorization") and not message.get("proxy-authorization"),
                       f"credentials were told: {message}")
                expect(message.method in ("INVITE", "ACK"), f"after the challenge came {message.start}")
    alice.register(expires=0)


@test("replay", 60)
def replay(t):
    """A REGISTER and an INVITE that were overheard are worth nothing again, from there or from elsewhere"""
    world = t.world
    bob = t.agent(user="bob", password=world.users["bob"]["password"])

    def proven(agent, method, uri, extra=(), body=b""):
        """The request with the answer to its challenge, sent; and its bytes."""
        call_id, tag = token(), token()
        first = agent.request(method, uri, call_id, 1, tag, None, extra, body)
        agent.send(first)
        answer = agent.final(call_id, method)
        value = digest(challenges(answer)[0], method, uri, agent.user, agent.password)
        data = agent.request(
            method, uri, call_id, 2, tag, f"<sip:{agent.user}@{world.domain}>" if method == "REGISTER" else None,
            (*extra, f"Authorization: {value}"), body)
        agent.send(data)
        return data, agent.final(call_id, method)

    def again(data):
        """As another request, so that it is no repetition."""
        return data.replace(b"branch=z9hG4bK", b"branch=z9hG4bK" + token().encode()).replace(
            b"Call-ID: ", b"Call-ID: " + token().encode())

    registered, answer = proven(bob, "REGISTER", f"sip:{world.domain}", ("Expires: 60",))
    expect(answer.status == 200, f"bob got {answer.start}")
    known = len([one for one in world.demarc.registrations() if one["user"] == "bob"])
    called, answer = proven(bob, "INVITE", f"sip:9001@{world.domain}", (), bob.sdp(free_port()))
    expect(answer.status == 200, f"bob's call got {answer.start}")
    call_id = next(line for line in called.split(b"\r\n") if line.startswith(b"Call-ID")).split(b": ")[1].decode()
    tag = called.split(b";tag=")[1].split(b"\r\n")[0].decode()
    bob.send(bob.request("ACK", answer.contact_uri(), call_id, 2, tag, answer.get("to")))
    thief = stranger(t, 50)
    for agent in (bob, thief):
        for data in (registered, called):
            agent.send(again(data))
            found = [one.status for one in answers(agent) if one.status and one.status >= 200]
            expect(found and set(found) <= {401, 407}, f"what was overheard got {found}")
    now = len([one for one in world.demarc.registrations() if one["user"] == "bob"])
    expect(now == known, f"{now} contacts after the replay, {known} before")
    bob.send(bob.request("BYE", answer.contact_uri(), call_id, 3, tag, answer.get("to")))
    expect(bob.final(call_id, "BYE").status == 200, "the real call could not be ended")
    bob.register(expires=0)


SPELLINGS = [
    "P-Asserted-Identity : <sip:{0}@a>", "P-Asserted-Identity\t: <sip:{0}@a>", "p-asserted-identity:<sip:{0}@a>",
    "P-ASSERTED-IDENTITY: <sip:{0}@a>", "P-Asserted-Identity:\r\n <sip:{0}@a>", "Subject: a\r\n X-{0}: b",
    "Subject: a\nX-Own: {0}", "Subject: a\rX-Own: {0}", "Subject: a\0X-Own: {0}", "s: {0}", "X-Own: {0}",
    "X-Own : {0}", "Remote-Party-ID: <sip:{0}@a>;screen=yes", "Diversion: <sip:{0}@a>;reason=unknown",
    "History-Info: <sip:{0}@a>;index=1", "P-Charging-Vector: icid-value={0}", "Privacy: {0}",
    "Subject: a\u2028X-Own: {0}", "Alert-Info: <http://{0}/>", "Call-Info: <http://{0}/>", "User-Agent: {0}",
    "Organization: {0}", "In-Reply-To: {0}", "Identity: {0}",
]


@test("smuggling", 90)
def smuggling(t):
    """No spelling of a header of the caller's, split, folded, doubled or hidden, reaches the other side"""
    world = t.world
    east = t.agent(user="east", port=world.ports["east"])
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    crossed = 0
    for spelling in SPELLINGS:
        attempt = Attempt(pbx, world.number("+4938"), world.domain, (spelling.format(CANARY),))
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            message = east.receive(0.02)
            if message and message.method == "INVITE":
                crossed += 1
                expect(CANARY not in str(message), f"{spelling!r} came through: {message}")
                east.socket.sendto(east.answer_to(message, 486, "Busy", token()), message.source)
            ended = [m for m in pbx.inbox if m.get("call-id") == attempt.call_id] + [m for m in [pbx.receive(0.02)] if m]
            final = [m for m in ended if m.status and m.status >= 200]
            if final:
                attempt.refused(final[0])
                break
        else:
            expect(False, f"no answer to an INVITE with {spelling!r}")
        for message in answers(east, 0.03):
            expect(CANARY not in str(message), f"{spelling!r} came through: {message}")
    expect(crossed > len(SPELLINGS) / 2, f"only {crossed} of {len(SPELLINGS)} calls crossed at all")


@test("injection", 60)
def injection(t):
    """Line breaks in numbers, names and resources never begin a line of a message"""
    # What is dialled here stands in the records, which the last tests compare as they are exported.
    world = World(t.folder, t.program, media_pairs=40)
    t.defer(world.close)
    world.start()
    north = t.agent(world=world, user="north", port=world.ports["north"])
    pbx = t.agent(world=world, user="pbx", port=world.ports["pbx"])
    break_in = f"%0d%0aX-{CANARY}:%20a"
    tried = [
        (f"{world.number('+4930')}{break_in}", None), (f"{world.number('+4930')};x={break_in}", None),
        (world.number("+4930"), f"\"a%0d%0aX-{CANARY}: b\" <sip:pbx{break_in}@{world.domain}>"),
        (world.number("+4930"), f"\"a\\\r\\\nX-{CANARY}: b\" <sip:pbx@{world.domain}>"),
    ]
    for user, sender in tried:
        attempt = Attempt(pbx, user, world.domain, sender=sender)
        seen = answers(north, 0.3)
        for message in seen:
            north.socket.sendto(north.answer_to(message, 486, "Busy", token()), message.source)
            for name, _ in message.headers:
                expect(CANARY not in name, f"a header came through: {message}")
        for message in answers(pbx, 0.3):
            expect(not any(CANARY in name for name, _ in message.headers), f"a header came back: {message}")
            if message.status and message.status >= 300:
                attempt.refused(message)
    document = {"tenants": [{"name": f"a\r\nX-{CANARY}: b", "domains": [f"b\r\nX-{CANARY}: b"]}]}
    code, output = world.demarc.try_command("check", "-f", write(t, document))
    expect(code != 0, f"line breaks in a tenant's name and domain were taken: {output}")


def write(t, document):
    path = t.folder / "resources.yaml"
    path.write_text(json.dumps(document))
    return path


@test("thousand-streams", 60)
def thousand_streams(t):
    """Descriptions with a thousand of everything, in an INVITE and in its answer, are answered within a second"""
    world = t.world
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    north = t.agent(user="north", port=world.ports["north"])
    good = pbx.sdp(4000)
    many = [
        good + "m=audio 4000 RTP/AVP 0\r\n" * 1000, good + "m=video 4000 RTP/AVPF 99 ; N\r\n" * 100,
        good.replace("0 8 101", " ".join(str(one) for one in range(65535))[:40_000]),
        good + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40 + "\r\n" + "a=crypto:2 X inline:B\r\n" * 500,
        good + "a=rtpmap:101 x/8000\r\n" * 1500, good + "a=candidate:1 1 UDP 1 10.0.0.1 1 typ host\r\n" * 800,
        good.replace("a=ptime:20", "a=ptime:0"), good.replace("0 8 101", "65535 -1 256"),
    ]
    for body in many:
        body = body[:60_000]
        began = time.monotonic()
        attempt = Attempt(pbx, world.number("+4930"), world.domain, body=body)
        seen = None
        while seen is None and time.monotonic() < began + 1:
            invite = north.receive(0.01)
            if invite and invite.method == "INVITE":
                north.socket.sendto(north.answer_to(invite, 200, "OK", token(), body=body), invite.source)
            elif invite and invite.method == "BYE":
                north.socket.sendto(north.answer_to(invite, 200, "OK"), invite.source)
            message = pbx.receive(0.01)
            if message and message.status and message.status >= 200:
                seen = message
        expect(seen is not None, f"no answer within a second to {len(body)} bytes that begin {body[150:220]!r}")
        if seen.status < 300:
            pbx.send(pbx.request("ACK", seen.contact_uri(), attempt.call_id, 1, attempt.tag, seen.get("to")))
            pbx.send(pbx.request("BYE", seen.contact_uri(), attempt.call_id, 2, attempt.tag, seen.get("to")))
            pbx.final(attempt.call_id, "BYE")
        else:
            attempt.refused(seen)
        for message in answers(north, 0.05):
            if message.method in ("BYE", "INVITE"):
                north.socket.sendto(north.answer_to(message, 200 if message.method == "BYE" else 486, "X", token()),
                                    message.source)
    pbx.close()
    north.close()
    undisturbed(t, "thousand-streams")


@test("loop", 60)
def loop(t):
    """A call that comes back to us as it left, or with fewer hops each time, ends with 482 or 483"""
    world = t.world
    north = t.agent(user="north", port=world.ports["north"])
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    attempt = Attempt(pbx, world.number("+4930"), world.domain)
    invite = north.expect_request("INVITE")
    # A proxy that sends it back, as it came, with its own Via on top.
    via = f"Via: SIP/2.0/UDP 127.0.0.1:{north.port};branch=z9hG4bK{token()}\r\n".encode()
    head, rest = invite.data.split(b"\r\n", 1)
    north.send(head + b"\r\n" + via + rest)
    back = north.wait(lambda m: m.status and m.status >= 200, 5, "an answer to the call that came back")
    expect(400 <= back.status < 600, f"what came back got {back.start}")
    north.socket.sendto(north.answer_to(invite, 482, "Loop Detected", token()), invite.source)
    final = pbx.final(attempt.call_id, "INVITE", 8)
    attempt.refused(final)
    expect(final.status >= 400, f"the caller got {final.start}")
    hops = int(invite.get("max-forwards"))
    expect(hops < 70, f"Max-Forwards leaves as {hops}")


@test("reflection", 60)
def reflection(t):
    """Answers go to the source alone, and an unproven one gets no more than one and a half times what it sent"""
    world = t.world
    victim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    victim.bind(("127.0.7.60", 0))
    victim.setblocking(False)
    t.defer(victim.close)
    host, port = victim.getsockname()
    agent = stranger(t, 61)
    games = [
        f"{host}:{port};branch=z9hG4bK", f"127.0.7.61:{agent.port};maddr={host};branch=z9hG4bK",
        f"127.0.7.61:{port};received={host};branch=z9hG4bK", f"127.0.7.61:{agent.port};rport={port};branch=z9hG4bK",
        f"{host}:{port};received={host};rport={port};maddr={host};ttl=255;branch=z9hG4bK"]
    worst = 0
    for method in ("OPTIONS", "REGISTER", "INVITE", "SUBSCRIBE", "MESSAGE"):
        for game in games:
            call_id = token()
            # As short as such a request can be, and as a phone writes it.
            for short in (True, False):
                extra = "" if short else f"Max-Forwards: 70\r\nContact: <sip:a@{host}:{port}>\r\nUser-Agent: Phone 1\r\n"
                data = (f"{method} sip:{world.domain} SIP/2.0\r\nVia: SIP/2.0/UDP {game}{token()}\r\n"
                        f"f: <sip:a@{world.domain}>;tag=1\r\nt: <sip:a@{world.domain}>\r\ni: {call_id}{short}\r\n"
                        f"CSeq: 1 {method}\r\n{extra}l: 0\r\n\r\n").encode()
                agent.send(data)
                got = sum(len(message.data) for message in answers(agent, 0.03))
                worst = max(worst, got / len(data))
                expect(got <= MOST_BACK * len(data),
                       f"{got} bytes came back for {len(data)} of {method} by {game[:40]}")
    for _ in range(20):
        try:
            data = victim.recv(4096)
            expect(False, f"a third party got {data[:120]!r}")
        except BlockingIOError:
            time.sleep(0.01)
    t.remark = f"at most {worst:.2f} bytes back for each"


@test("torture", 90)
def torture(t):
    """Each message of RFC 4475 and RFC 5118: whatever it gets, the next request is answered within half a second"""
    world = t.world
    files = sorted((ROOT / "Fuzz/seeds/sip_datagram").glob("rfc*"))
    expect(len(files) > 60, f"{len(files)} messages")
    probe = t.agent(user="probe")
    slowest, tally = 0.0, {}
    for index, path in enumerate(files):
        agent = stranger(t, 70 + index)
        agent.send(path.read_bytes()[:65_000])
        began = time.monotonic()
        answer, _ = probe.exchange("OPTIONS", f"sip:{world.domain}", seconds=PATIENCE)
        slowest = max(slowest, time.monotonic() - began)
        expect(answer.status == 200, f"behind {path.name} OPTIONS got {answer.start}")
        statuses = [one.status for one in answers(agent, 0.03) if one.status]
        expect(not [one for one in statuses if 200 <= one < 300 and "insuf" in path.name], f"{path.name} got {statuses}")
        tally[statuses[-1] if statuses else "silence"] = tally.get(statuses[-1] if statuses else "silence", 0) + 1
        agent.close()
    t.remark = f"{len(files)} messages: {tally}; slowest {slowest * 1e3:.0f} ms"
    undisturbed(t, "torture")


@test("flood", 120)
def flood(t):
    """INVITEs and REGISTERs from 10 000 addresses at once: calls of a known PBX go on, and memory stays bounded"""
    world = t.world
    before = world.demarc.metrics()["demarc_process_resident_memory_bytes"]
    north = carrier(t, "north", uas(ring_ms=0), calls=0, messages=False, timeout=60)

    def write(number, source, port):
        method = "INVITE" if number % 2 else "REGISTER"
        return (f"{method} sip:{number % 977}@{world.domain} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {source}:{port};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n"
                f"From: <sip:{number % 977}@{world.domain}>;tag={number}\r\nTo: <sip:{number % 977}@{world.domain}>\r\n"
                f"Call-ID: f{number}@flood\r\nCSeq: 1 {method}\r\nContact: <sip:a@{source}:{port}>\r\n"
                f"User-Agent: Phone 1\r\nContent-Length: 0\r\n\r\n").encode()
    attack = Flood(world.address, write, sources=10_000, rate=4_000).start()
    try:
        time.sleep(0.5)
        calls = from_pbx(t, uac(hold_ms=200), world.number("+4930"), calls=100, rate=20, messages=False)
        calls.wait(40)
    finally:
        attack.stop()
    north.process.stop()
    grown = world.demarc.metrics()["demarc_process_resident_memory_bytes"] - before
    expect(grown < 200e6, f"{grown / 1e6:.0f} MB more")
    expect(attack.answered_bytes <= MOST_BACK * attack.sent_bytes, f"{attack.answered_bytes} bytes for {attack.sent_bytes}")
    t.remark = (f"{attack.sent} requests, {attack.answered} answered; 100 calls of 100; {grown / 1e6:.1f} MB more")
    wait_until(lambda: world.demarc.metrics()["demarc_sip_transactions"] == 0, 45, "the transactions to end", 0.5)
