"""Video, text and data beside speech: phones with VP8, and what their feedback and their refusals come to."""

import re
import socket
import struct
import time

from harness import srtp
from harness.audio import spoken
from harness.case import test
from harness.conversation import hear_out, part, voices
from harness.pair import End, Pair, lines
from harness.ports import free_port
from harness.process import expect, wait_until

from .dtls import HandshakeWorld, agreed
from .fax import Encrypted, Mouth, SpeechOnly, closed, image_line, spoken_call, talk
from .secure import SecureWorld, dropped, notes

PICTURE = (320, 240, 15)
FEEDBACK = ["rtcp-fb:* nack pli", "rtcp-fb:96 ccm fir", "framerate:15.00"]


def talk_of_phones(t, world, alice, bob, a, b):
    """They speak until each has said all; (each one's pictures before and after, the closed record)."""
    began = [phone.pictures() for phone in (alice, bob) if phone.video]
    hear_out(alice, bob, a, b)
    ended = [phone.pictures() for phone in (alice, bob) if phone.video]
    return list(zip(began, ended)), part(t, world, alice, bob, a, b)


def no_video(phone):
    """The phone offered video, and was told that there is none."""
    found = re.findall(r"(?m)^m=video (\d+)", phone.process.text())
    expect(any(port != "0" for port in found) and found[-1] == "0", f"{phone.name} has video at {found}")


@test("phones", 60)
def phones(t):
    """Two phones talk and see each other: each shows what the other sends, at its rate, and no packet is lost"""
    world = t.world
    (a, a_says), (b, b_says) = voices()
    bob = t.user("bob", says=b_says, answer="auto", video=PICTURE)
    alice = t.user("alice", says=a_says, video=PICTURE)
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    for phone in (alice, bob):
        wait_until(lambda: phone.pictures().shown, 5, f"{phone.name} to see a picture")
    found, record = talk_of_phones(t, world, alice, bob, a, b)
    rates = [now.rate(before) for before, now in found]
    for (before, now), rate in zip(found, rates):
        expect(now.key_frames >= 1, "no key frame was decoded")
        expect(abs(rate - PICTURE[2]) < 2, f"{rate:.1f} pictures a second are shown")
    for phone in (alice, bob):
        expect(re.findall(r"lost:\s+(\d+)\s+(\d+)", phone.process.text())[1] == ("0", "0"), "video was lost")
    (sent, received), (other_sent, other_received) = alice.packets(), bob.packets()
    expect(abs(sent - other_received) < 4 and abs(other_sent - received) < 4,
           f"video packets: {sent} sent, {other_received} received; {other_sent} sent, {received} received")
    expect("with video" in record["notes"], f"{record['notes']}")
    for side in ("fromCaller", "fromCallee"):
        expect(record["quality"][side]["lost"] == 0, f"{side}: {record['quality'][side]}")
    t.remark += f"; {rates[0]:.1f} and {rates[1]:.1f} pictures a second, {sent} and {other_sent} packets of video"


@test("one-without", 60)
def one_without(t):
    """A phone that has video calls one that has none: they talk, and the caller is told"""
    world = t.world
    (a, a_says), (b, b_says) = voices()
    bob = t.user("bob", says=b_says, answer="auto")
    alice = t.user("alice", says=a_says, video=PICTURE)
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    talk_of_phones(t, world, alice, bob, a, b)
    no_video(alice)


@test("taken-away", 40)
def taken_away(t):
    """A phone takes its video away and adds it again: pictures stop and come back at both, and the call stands"""
    world = t.world
    bob = t.user("bob", answer="auto", video=PICTURE)
    alice = t.user("alice", video=PICTURE)
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    call = world.live(world.extension("bob"))

    def both(running, what):
        wait_until(lambda: all(phone.pictures().running is running for phone in (alice, bob)), 4, what)
        time.sleep(0.5)
        before = [phone.pictures() for phone in (alice, bob)]
        time.sleep(1.5)
        return [now.rate(then) for then, now in zip(before, (phone.pictures() for phone in (alice, bob)))]
    at_first = both(True, "video")
    alice.command("video_dir", "inactive")
    without = both(False, "the video to be gone")
    alice.command("video_dir", "sendrecv")
    again = both(True, "video once more")
    expect(without == [0, 0], f"pictures while there is no video: {without}")
    expect(min(at_first + again) > PICTURE[2] - 3, f"{at_first} pictures a second, then {again}")
    alice.hang_up()
    bob.closed()
    expect(world.ended(call["id"])["cause"] == "normal-clearing", "the call ended otherwise")
    t.remark = ", ".join(f"{rate:.1f}" for rate in at_first + without + again) + " pictures a second"


# --- with agents -------------------------------------------------------------------------------------
class Stream:
    """RTP and RTCP of one line of an agent."""

    def __init__(self, t, kind, rtpmap, more=()):
        self.port, self.target = free_port(), None
        self.ends = []
        for offset in (0, 1):
            end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            end.bind(("127.0.0.1", self.port + offset))
            end.settimeout(3)
            t.defer(end.close)
            self.ends.append(end)
        self.kind, self.payload_type = kind, int(rtpmap.split()[0])
        self.transport = "RTP/AVPF" if any("rtcp-fb" in attribute for attribute in more) else "RTP/AVP"
        self.line = (f"m={kind} {self.port} {self.transport} {self.payload_type}\r\na=rtpmap:{rtpmap}\r\n"
                     + "".join(f"a={attribute}\r\n" for attribute in more))
        self.none = f"m={kind} 0 {self.transport} {self.payload_type}\r\n"
        self.ssrc = free_port()

    def say(self, number, text):
        head = struct.pack("!BBHII", 0x80, self.payload_type, number, number * 900, self.ssrc)
        self.ends[0].sendto(head + text, self.target)

    def put(self, packet):
        self.ends[0].sendto(packet, self.target)

    def get(self):
        return self.ends[0].recv(2048)

    def control(self, packet):
        self.ends[1].sendto(packet, (self.target[0], self.target[1] + 1))

    def get_control(self):
        return self.ends[1].recv(2048)

    def hear(self):
        return self.get()[12:]

    def nothing(self, seconds=0.3):
        self.ends[0].settimeout(seconds)
        try:
            return not self.ends[0].recv(2048)
        except (TimeoutError, socket.timeout):
            return True
        finally:
            self.ends[0].settimeout(3)


def video(t):
    return Stream(t, "video", "96 VP8/90000", ["fmtp:96 max-fs=3600;max-fr=30", *FEEDBACK])


def joined(one, other, offered, answered, place):
    """The two streams of a line that both sides took, each told where to send; packets pass both ways."""
    for line, from_ in ((offered[place], one), (answered[place], other)):
        expect((line.kind, line.formats) == (from_.kind, [str(from_.payload_type)]), f"{line}")
        expect(line.port not in (0, from_.port), f"the line is not anchored: {line}")
    other.target, one.target = offered[place].target, answered[place].target
    # What leaves in the very moment of the answer may come before it is known whose it is.
    for speaker, listener in ((one, other), (other, one)):
        wait_until(lambda: speaker.say(0, b"first") or not listener.nothing(0.05), 2, f"{one.kind} to pass", 0)
        while not listener.nothing(0.02):
            pass
    passes(one, other)


def passes(one, other):
    for number, (speaker, listener) in enumerate(((one, other), (other, one)) * 2):
        text = f"{one.kind} {number}".encode()
        speaker.say(number, text)
        heard = listener.hear()
        expect(heard == text, f"{heard} arrived for {text}")


@test("added", 40)
def added(t):
    """Video comes to a call by re-INVITE, with its attributes, and goes again; speech stays whole all the while"""
    pair, one, other = spoken_call(t)
    there, here = video(t), video(t)
    offered, answered = pair.change(
        pair.caller, [one.line, "b=AS:64\r\n" and there.line.replace("\r\n", "\r\nb=AS:512\r\n", 1)],
        [other.line, here.line])
    other.target, one.target = offered[0].target, answered[0].target
    for found in (offered[1], answered[1]):
        missing = [name for name in ("rtpmap:96 VP8/90000", "fmtp:96 max-fs=3600;max-fr=30", *FEEDBACK)
                   if f"a={name}" not in found.text]
        expect(not missing and found.transport == "RTP/AVPF", f"{missing} are missing: {found}")
    expect("b=AS:512" in offered[1].text, f"{offered[1]}")
    joined(there, here, offered, answered, 1)
    said = [talk(one, other)]
    passes(there, here)
    offered, answered = pair.change(pair.callee, [other.line, here.none], [one.line, there.none])
    expect(offered[1].port == answered[1].port == 0, f"{offered}, {answered}")
    one.target, other.target = offered[0].target, answered[0].target
    there.say(9, b"late")
    expect(here.nothing(), "video passes that is no more")
    said.append(talk(one, other))
    closed(pair.hang_up())
    t.remark = ", then ".join(said)


@test("all-kinds", 30)
def all_kinds(t):
    """Speech, video, text and data in one INVITE: all pass, each at a port of its own; a second voice does not"""
    pair = Pair(t, t.world.number("+4938"))
    one, other = Mouth(t), Mouth(t)
    kinds = [("video", "96 H264/90000"), ("text", "98 t140/1000"), ("application", "97 H224/4800")]
    there, here = ([Stream(t, *kind) for kind in kinds] for _ in range(2))
    second = f"m=audio {free_port()} RTP/AVP 0\r\n"
    # What is answered to the second voice is ours to say, should it be asked.
    offered, answered = pair.connect(
        [one.line, *(stream.line for stream in there), second],
        lambda offer: [other.line, *(stream.line for stream in here), *(
            ["m=audio 0 RTP/AVP 0\r\n"] if len(offer) > 4 else [])])
    expect(answered[4].port == 0 and all(line.port == 0 for line in offered[4:]), f"{offered}, {answered}")
    ports = [line.port for line in answered[:4]]
    expect(len(set(ports)) == 4, f"ports {ports}")
    other.target, one.target = offered[0].target, answered[0].target
    for place, (a, b) in enumerate(zip(there, here), 1):
        joined(a, b, offered, answered, place)
    t.remark = talk(one, other)
    closed(pair.hang_up())


@test("feedback", 30)
def feedback(t):
    """RTCP feedback passes as it is, alone and behind a report: PLI, FIR, NACK, TMMBR, REMB"""
    pair = Pair(t, t.world.number("+4938"))
    one, other = Mouth(t), Mouth(t)
    there, here = video(t), video(t)
    offered, answered = pair.connect([one.line, there.line], [other.line, here.line])
    joined(there, here, offered, answered, 1)

    def packet(kind, form, own, about, rest=b""):
        return struct.pack("!BBHII", 0x80 | form, kind, 2 + len(rest) // 4, own, about) + rest
    for speaker, listener in ((there, here), (here, there)):
        own, about = speaker.ssrc, listener.ssrc
        asked = {
            "PLI": packet(206, 1, own, about), "FIR": packet(206, 4, own, 0, struct.pack("!IBxxx", about, 7)),
            "NACK": packet(205, 1, own, about, struct.pack("!HH", 17, 0x0005)),
            "TMMBR": packet(205, 3, own, 0, struct.pack("!II", about, 0x12345678)),
            "REMB": packet(206, 15, own, 0, b"REMB" + struct.pack("!II", 0x01123456, about))}
        report = struct.pack("!BBHI", 0x80, 201, 1, own)
        for name, data in asked.items():
            for sent in (data, report + data):
                speaker.control(sent)
                heard = listener.ends[1].recv(2048)
                expect(heard == sent, f"{name} of {sent.hex()} arrived as {heard.hex()}")
    closed(pair.hang_up())


@test("hidden", 20)
def hidden(t):
    """Of a line beside speech addresses, names and keys stay behind, either way, and its RTCP goes where SDP says"""
    pair = Pair(t, t.world.number("+4938"))
    one, other = Mouth(t), Mouth(t)
    there, here = video(t), video(t)
    apart = [free_port() for _ in range(2)]
    secret = (
        "i=canary\r\nc=IN IP4 127.0.0.1\r\nb=X-CANARY:1\r\n", "a=rtcp:{port} IN IP4 127.0.0.1\r\n"
        "a=ssrc:1 cname:canary@10.9.8.7\r\na=mid:canary\r\na=label:canary\r\na=ice-ufrag:canary\r\n"
        "a=candidate:1 1 UDP 1 10.9.8.7 9 typ host\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:canary\r\n"
        "a=msid:canary canary\r\na=x-canary:1\r\na=T38FaxVersion:canary\r\n")
    planted = []
    for stream, port in zip((there, here), apart):
        head, _, rest = stream.line.partition("\r\n")
        planted.append(head + "\r\n" + secret[0] + rest + secret[1].format(port=port))
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        control.bind(("127.0.0.1", port))
        control.settimeout(3)
        t.defer(control.close)
        stream.ends[1] = control
    offered, answered = pair.connect([one.line, planted[0]], [other.line, planted[1]])
    for line, stream, port in ((offered[1], there, apart[0]), (answered[1], here, apart[1])):
        leaked = [word for word in ("canary", "10.9.8.7", str(stream.port), str(port)) if word in line.text.lower()]
        expect(not leaked and "a=rtcp-fb:* nack pli" in line.text, f"{leaked} in {line}")
    joined(there, here, offered, answered, 1)
    for speaker, listener in ((there, here), (here, there)):
        report = struct.pack("!BBHI", 0x80, 201, 1, speaker.ssrc)
        speaker.control(report)
        heard = listener.ends[1].recv(2048)
        expect(heard == report, f"{heard.hex()}")
    closed(pair.hang_up())


def is_key_frame(payload):
    """Of a VP8 payload: None unless a frame begins here (RFC 7741 §4.2, §4.3)."""
    first, at = payload[0], 1
    if first & 0x80:
        extension = payload[1]
        at = 2
        if extension & 0x80:
            at += 2 if payload[at] & 0x80 else 1
        at += bool(extension & 0x40) + bool(extension & 0x30)
    return payload[at] & 1 == 0 if first & 0x17 == 0x10 else None


@test("key-frame", 40)
def key_frame(t):
    """A phone's encoder sends a key frame as soon as the far end asks for one by PLI, and none in between"""
    world = t.world
    east = End(t.agent(user="east", port=world.ports["east"]))
    alice = t.user("alice", video=PICTURE)
    alice.dial(f"sip:{world.number('+4938')}@{world.domain}")
    invite = east.asked()
    offered = lines(invite)
    expect("a=rtcp-fb:* nack pli" in offered[1].text, f"{offered}")
    mouth, here = Mouth(t), video(t)
    # It is answered under the transport of the offer (RFC 3264 §6.1).
    east.reply(invite, 200, "OK", mouth.line, here.line.replace(here.transport, offered[1].transport))
    east.acknowledged(invite)
    here.target = offered[1].target
    alice.established()

    def frames(seconds):
        """(moment, whether it is a key frame) of what begins within the time, and the SSRC."""
        found, ssrc, end = [], None, time.monotonic() + seconds
        while time.monotonic() < end:
            packet = here.ends[0].recv(2048)
            ssrc = struct.unpack("!I", packet[8:12])[0]
            key = is_key_frame(packet[12:])
            if key is not None:
                found.append((time.monotonic(), key))
        return found, ssrc
    first, ssrc = frames(1.5)
    expect(first[0][1], "the video does not begin with a key frame")
    took = []
    for _ in range(2):
        idle, _ = frames(1)
        expect(len(idle) > 10 and not any(key for _, key in idle), f"key frames that nobody asked for: {idle}")
        asked = time.monotonic()
        here.control(struct.pack("!BBHII", 0x81, 206, 2, here.ssrc, ssrc))
        answer, _ = frames(1)
        keys = [at - asked for at, key in answer if key]
        expect(len(keys) == 1 and keys[0] < 0.5, f"key frames after {keys} s")
        took.append(keys[0])
    alice.command("hangup")
    east.ended()
    t.remark = "after " + " and ".join(f"{seconds * 1000:.0f} ms" for seconds in took)


# --- what may not pass -------------------------------------------------------------------------------
@test("refused", 30)
def refused(t):
    """The callee takes the speech and refuses the video: the caller is told, and they talk"""
    pair = Pair(t, t.world.number("+4938"))
    one, other = Mouth(t), Mouth(t)
    there = video(t)
    offered, answered = pair.connect([one.line, there.line], [other.line, there.none])
    expect((answered[1].kind, answered[1].port) == ("video", 0), f"{answered}")
    other.target, one.target = offered[0].target, answered[0].target
    t.remark = talk(one, other)
    closed(pair.hang_up())


@test("not-allowed", 40)
def not_allowed(t):
    """`streams: []`: video at the start and in a call is answered with the port 0, and they talk"""
    world = SpeechOnly(t)
    pair = Pair(t, world.number("+4938"), world=world)
    one, other = Mouth(t), Mouth(t)
    there, said = video(t), []

    def speech_alone(offer):
        expect(not any(line.port for line in offer[1:]), f"the carrier is offered more than speech: {offer}")
        return [other.line, *(there.none for _ in offer[1:])]
    for connect in (pair.connect, lambda *media: pair.change(pair.caller, *media)):
        offered, answered = connect([one.line, there.line], speech_alone)
        expect([line.port > 0 for line in answered] == [True, False], f"{answered}")
        other.target, one.target = offered[0].target, answered[0].target
        said.append(talk(one, other))
    closed(pair.hang_up())
    t.remark = ", then ".join(said)


@test("not-fax", 30)
def not_fax(t):
    """`streams: [video]`: video passes and T.38 gets 488"""
    world = SpeechOnly(t)
    pair = Pair(t, world.number("+4930"), "north", world)
    one, other = Mouth(t), Mouth(t)
    there, here = video(t), video(t)
    offered, answered = pair.connect([one.line, there.line], [other.line, here.line])
    joined(there, here, offered, answered, 1)
    pair.callee.offer(image_line(free_port()))
    final = pair.callee.outcome()
    expect(final.status == 488, f"T.38 got {final.start}")
    passes(there, here)
    closed(pair.hang_up())


@test("phone-not-allowed", 40)
def phone_not_allowed(t):
    """A phone whose user has speech alone offers video, and is called with it: there is none, and they talk"""
    world = SpeechOnly(t)
    (a, a_says), (b, b_says) = spoken("The dark blue background."), spoken("Fine punch and lemons.")
    bob = t.user("bob", world, says=b_says, answer="auto", video=PICTURE)
    alice = t.user("alice", world, says=a_says, answer="auto", video=PICTURE)
    for caller, callee, first, second in ((alice, bob, a, b), (bob, alice, b, a)):
        caller.dial(f"sip:{world.extension(callee.name)}@{world.domain}")
        caller.established()
        callee.established()
        found, _ = talk_of_phones(t, world, caller, callee, first, second)
        expect(not any(now.running for _, now in found), f"{found}")
    no_video(alice)
    no_video(bob)


# --- under keys --------------------------------------------------------------------------------------
def both_seen(t, world, callee, **options):
    """alice calls, and they talk and see each other, each at its rate; the closed record."""
    (a, a_says), (b, b_says) = voices()
    bob = world.phone(t, callee, b_says, answer="auto", video=PICTURE, **options)
    alice = world.phone(t, "alice", a_says, video=PICTURE)
    alice.dial(f"sip:{world.extension(bob.name)}@{world.domain}")
    alice.established()
    for phone in (alice, bob):
        wait_until(lambda: phone.pictures().shown, 10, f"{phone.name} to see a picture")
    found, record = talk_of_phones(t, world, alice, bob, a, b)
    rates = [now.rate(before) for before, now in found]
    for (_, now), rate in zip(found, rates):
        expect(now.key_frames >= 1, "no key frame was decoded")
        expect(abs(rate - PICTURE[2]) < 2, f"{rate:.1f} pictures a second are shown")
    expect("with video" in record["notes"], f"{record['notes']}")
    t.remark += "; " + " and ".join(f"{rate:.1f}" for rate in rates) + " pictures a second"
    return record


@test("secure", 60)
def secure(t):
    """Two phones by TLS that must be encrypted, with keys in SDP, talk and see each other"""
    world = SecureWorld(t)
    record = both_seen(t, world, "bob")
    expect("caller by SRTP" in notes(record) and "callee by SRTP" in notes(record), f"notes: {notes(record)}")
    for reason in ("unauthentic", "unprotectable"):
        expect(dropped(world, reason) == 0, f"{dropped(world, reason)} packets are {reason}")


@test("secure-bridged", 60)
def secure_bridged(t):
    """A phone that must be encrypted and one of plain RTP talk and see each other"""
    world = SecureWorld(t)
    record = both_seen(t, world, "carol", secure=False, more="")
    expect("caller by SRTP" in notes(record) and "callee by SRTP" not in notes(record), f"notes: {notes(record)}")


@test("secure-dtls", 60)
def secure_dtls(t):
    """Two phones with DTLS talk and see each other: a handshake for each line"""
    world = HandshakeWorld(t)
    record = both_seen(t, world, "bob")
    expect(agreed(record, "caller") and agreed(record, "callee"), f"notes: {notes(record)}")
    expect(world.handshakes("done") >= 4, f"{world.handshakes('done')} handshakes for two lines of two phones")


@test("secure-mixed", 60)
def secure_mixed(t):
    """A phone with DTLS calls one with keys in SDP: they talk and see each other"""
    world = HandshakeWorld(t)
    record = both_seen(t, world, "dave", keys="sdes")
    expect(agreed(record, "caller") and "callee by SRTP" in notes(record), f"notes: {notes(record)}")


SUITE = "AES_CM_128_HMAC_SHA1_80"


class Locked(Stream):
    """A stream with keys in SDP (RFC 4568), protected and opened by libsrtp2."""

    def __init__(self, t):
        super().__init__(t, "video", "96 VP8/90000", FEEDBACK)
        self.key, self.bare, self.peer = srtp.new_key(SUITE), self.line, None
        self.out = srtp.Context(SUITE, self.key, True)
        self.line = self.keyed(1)

    def keyed(self, tag):
        """Its line, with its key under this tag."""
        return secured(self.bare, self.key, tag)

    def learn(self, line):
        """Takes the far end's key."""
        self.peer = srtp.Context(SUITE, key_of(line)[1], False)

    def put(self, packet):
        self.ends[0].sendto(self.out.protect(packet), self.target)

    def get(self):
        return self.peer.unprotect(self.ends[0].recv(2048))

    def control(self, packet):
        super().control(self.out.protect_control(packet))

    def get_control(self):
        return self.peer.unprotect_control(self.ends[1].recv(2048))


def secured(line, key, tag=1):
    return line.replace("RTP/AVP", "RTP/SAVP", 1) + srtp.line(key, SUITE, tag)


def key_of(line):
    """(tag, key) of the line's a=crypto of our suite."""
    found = [(tag, key) for tag, suite, key in srtp.lines(line.text) if suite == SUITE]
    expect(len(found) == 1, f"{len(found)} keys of {SUITE} in {line}")
    return found[0]


def picture(number, ssrc, text=b"picture"):
    return struct.pack("!BBHII", 0x80, 96, number & 0xFFFF, number * 900 & 0xFFFFFFFF, ssrc) + text


def begun(speaker, listener, ssrc, number):
    """Speaks until it is heard: what leaves at the moment of the answer may come too early. The next number."""
    for number in range(number, number + 20):
        speaker.put(picture(number, ssrc))
        if not listener.nothing(0.1):
            return number + 1
    expect(False, "no picture is seen")


@test("secure-packets", 40)
def secure_packets(t):
    """Keys on one side: packets keep source and number over a rollover, a NACK names the same, no number leaves twice"""
    pair = Pair(t, t.world.number("+4938"))
    one, other = Mouth(t), Mouth(t)
    there, here = Locked(t), video(t)
    offered, answered = pair.connect(
        [secured(one.line, srtp.new_key(SUITE)), there.line], [other.line, here.line])
    expect(offered[1].transport == "RTP/AVPF" and "crypto" not in offered[1].text, f"{offered[1]}")
    expect(answered[1].transport == "RTP/SAVPF", f"{answered[1]}")
    expect(key_of(answered[0])[1] != key_of(answered[1])[1], "speech and pictures have one key")
    there.learn(answered[1])
    here.target, there.target = offered[1].target, answered[1].target
    for speaker, listener in ((there, here), (here, there)):
        number = begun(speaker, listener, speaker.ssrc, 65_500)
        for step in range(60):
            for ssrc, at in ((speaker.ssrc, number + step), (speaker.ssrc + 1, 200 + step)):
                sent = picture(at, ssrc, b"%d" % step)
                speaker.put(sent)
                heard = listener.get()
                expect(heard == sent, f"{heard} arrived for {sent.hex()}")
        own, about = speaker.ssrc, listener.ssrc
        asked = struct.pack("!BBHI", 0x80, 201, 1, own) + struct.pack("!BBHIIHH", 0x81, 205, 3, own, about, 65_533, 7)
        speaker.control(asked)
        heard = listener.get_control()
        expect(heard == asked, f"{asked.hex()} arrived as {heard and heard.hex()}")
    before = dropped(t.world, "unprotectable")
    here.put(picture(259, here.ssrc + 1, b"59"))
    here.put(picture(259, here.ssrc + 1, b"another"))
    expect(there.nothing(), "a number has left twice")
    wait_until(lambda: dropped(t.world, "unprotectable") == before + 2, 3, "the repeated ones to be counted")
    there.ends[0].sendto(picture(900, there.ssrc), there.target)
    expect(here.nothing(), "what is plain has passed")
    closed(pair.hang_up())


@test("secure-offered", 40)
def secure_offered(t):
    """A side that must be encrypted is asked for keys on each line; one that it answers without is answered with port 0"""
    world = Encrypted(t)
    pair = Pair(t, world.number("+4938"), world=world)
    one, other = Mouth(t), Mouth(t)
    there, here, key = video(t), Locked(t), srtp.new_key(SUITE)

    def keyed(offer):
        keys = [key for line in offer for _, _, key in srtp.lines(line.text)]
        expect(len(keys) == 8 and len(set(keys)) == 8, f"{len(set(keys))} keys of {len(keys)}: {offer}")
        expect([line.transport for line in offer] == ["RTP/SAVP", "RTP/SAVPF"], f"{offer}")
        here.learn(offer[1])
        return [secured(other.line, key, key_of(offer[0])[0]), here.keyed(key_of(offer[1])[0])]
    offered, answered = pair.connect([one.line, there.line], keyed)
    expect(answered[1].transport == "RTP/AVPF" and "crypto" not in answered[1].text, f"{answered[1]}")
    here.target, there.target = offered[1].target, answered[1].target
    for speaker, listener in ((there, here), (here, there)):
        number = begun(speaker, listener, speaker.ssrc, 7)
        sent = picture(number, speaker.ssrc)
        speaker.put(sent)
        heard = listener.get()
        expect(heard == sent, f"{heard} arrived for {sent.hex()}")
    # Pictures in plain words are none.
    offered, answered = pair.change(
        pair.caller, [one.line, there.line],
        lambda offer: [secured(other.line, key, key_of(offer[0])[0]), here.bare])
    expect(offered[1].port != 0 and answered[1].port == 0, f"{offered[1]}, {answered[1]}")
    there.put(picture(number + 1, there.ssrc))
    expect(here.nothing(), "pictures pass that nobody may see")
    closed(pair.hang_up())
