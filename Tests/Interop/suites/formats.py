"""Formats under other numbers and other clocks than both sides have: telephone-event/48000, payload types that are not the
same both ways, and silence that is left out."""

import struct
import time

import numpy

from harness import audio
from harness.case import test
from harness.digits import EVENTS
from harness.pair import Pair, lines
from harness.pair import audio as line
from harness.ports import free_port
from harness.process import expect
from harness.rtp import Endpoint
from harness.world import EastWorld, World

MORE = ("a=rtpmap:96 telephone-event/48000\r\na=rtpmap:97 telephone-event/8000\r\na=rtpmap:107 opus/48000/2\r\n"
        "a=rtpmap:108 iLBC/8000\r\na=rtpmap:109 iLBC/8000\r\na=rtpmap:13 CN/8000\r\na=sendrecv\r\n")
KEYS = "5*0#D9"


def connected(t, ours, theirs, prefix="+4938", world=None):
    """A call from the PBX to east with these formats: (pair, caller's end and its target, callee's, offered, answered)."""
    world = world or t.world
    ends = [Endpoint(free_port()) for _ in range(2)]
    for end in ends:
        t.defer(end.close)
    pair = Pair(t, world.number(prefix), world=world)
    offered, answered = pair.connect([line(ends[0].socket.getsockname()[1], ours, MORE)],
                                     [line(ends[1].socket.getsockname()[1], theirs, MORE)])
    return pair, (ends[0], answered[0].target), (ends[1], offered[0].target), offered[0], answered[0]


class Mouth:
    """An RTP flow with whatever payload types and bodies."""

    def __init__(self, end, target):
        self.end, self.target, self.sequence, self.stamp = end, target, 100, 40_000

    def send(self, kind, body, stamp=None, marker=False):
        header = struct.pack("!BBHII", 0x80, kind | (0x80 if marker else 0), self.sequence,
                             self.stamp if stamp is None else stamp, 0x5EED)
        self.sequence += 1
        self.end.socket.sendto(header + body, self.target)
        time.sleep(0.02)

    def press(self, keys, kind, clock):
        """RFC 4733 §2.5.1: a report each 20 ms, the last one three times."""
        step = clock // 50
        for key in keys:
            for count in (1, 2, 3, 4, 5, 5, 5):
                self.send(kind, struct.pack("!BBH", EVENTS.index(key), 0x8A if count == 5 else 10, count * step),
                          marker=count == 1)
            self.stamp += 10 * step
            time.sleep(0.1)


def events(end, kind):
    """The events that came by this payload type: (key, longest duration, ends)."""
    found = {}
    for _, packet in list(end.packets):
        if packet[1] & 0x7F == kind:
            event, flags, duration = struct.unpack("!BBH", packet[12:16])
            key, longest, ends = found.get(packet[4:8], (EVENTS[event], 0, 0))
            found[packet[4:8]] = (key, max(longest, duration), ends + (flags >> 7))
    return list(found.values())


def types(end):
    return {packet[1] & 0x7F for _, packet in list(end.packets)}


@test("events-of-48-khz", 40)
def events_of_48_khz(t):
    """A caller with telephone-event/48000 alone and a carrier that has 8000 alone: each is answered what it has, and keys go
    both ways with the length that they had"""
    pair, (near, to_near), (far, to_far), offered, answered = connected(t, "0 96", "0 101")
    expect("96" in offered.formats and "101" in offered.formats, f"{offered}")
    expect("telephone-event/48000" in answered.text and "96" in answered.formats, f"{answered}")
    expect("telephone-event/8000" not in answered.text, f"{answered}")
    Mouth(far, to_far).send(0, b"\xff" * 160)
    Mouth(near, to_near).press(KEYS, 96, 48_000)
    time.sleep(0.4)
    heard = events(far, 101)
    expect("".join(key for key, *_ in heard) == KEYS, f"{heard}")
    expect(all(640 <= length <= 1_120 and ends == 3 for _, length, ends in heard), f"{heard}")
    expect(96 not in types(far), f"{types(far)}")
    Mouth(far, to_far).press(KEYS, 101, 8_000)
    time.sleep(0.4)
    heard = events(near, 96)
    expect("".join(key for key, *_ in heard) == KEYS, f"{heard}")
    expect(all(3_840 <= length <= 6_720 and ends == 3 for _, length, ends in heard), f"{heard}")
    pair.hang_up()


@test("one-clock-of-two", 30)
def one_clock_of_two(t):
    """Of two clocks that a caller offers the answer has that of the codec which is agreed to"""
    for theirs, wanted, other in (("107 96 101", "48000", "8000"), ("0 96 101", "8000", "48000")):
        pair, _, _, _, answered = connected(t, "107 0 96 101", theirs)
        expect(f"telephone-event/{wanted}" in answered.text, f"{theirs}: {answered}")
        expect(f"telephone-event/{other}" not in answered.text, f"{theirs}: {answered}")
        pair.hang_up()
        for end in (pair.caller, pair.callee):
            end.agent.close()


@test("own-numbers", 30)
def own_numbers(t):
    """A carrier that answers by numbers of its own, and both ends send by whichever: each format arrives by the number that
    its receiver has named"""
    pair, (near, to_near), (far, to_far), _, answered = connected(t, "108 101", "109 97")
    expect(answered.formats == ["109", "97"], f"{answered}")
    there, back = Mouth(near, to_near), Mouth(far, to_far)
    for kind in (109, 108, 109, 108):
        there.send(kind, bytes(38))
        back.send(kind, bytes(38))
    for kind in (97, 101):
        there.send(kind, struct.pack("!BBH", 5, 0x8A, 800))
        back.send(kind, struct.pack("!BBH", 5, 0x8A, 800))
    time.sleep(0.3)
    expect(types(far) == {109, 97}, f"the carrier got {types(far)}")
    expect(types(near) == {108, 101}, f"the PBX got {types(near)}")
    expect(len(far.packets) == 6 and len(near.packets) == 6, f"{len(far.packets)} and {len(near.packets)}")
    record = pair.hang_up()
    expect("a format has another payload type each way" in (record.get("notes") or []), f"{record.get('notes')}")


@test("early-numbers", 30)
def early_numbers(t):
    """A carrier that rings by numbers of its own: early media arrives by those that the PBX has named, and so does what comes
    after the answer"""
    near, far = (Endpoint(free_port()) for _ in range(2))
    t.defer(near.close)
    t.defer(far.close)
    pair = Pair(t, t.world.number("+4938"), world=t.world)
    caller, callee = pair.caller, pair.callee
    caller.dial(f"sip:{pair.number}@{t.world.domain}", line(near.socket.getsockname()[1], "108 101", MORE))
    invite = callee.asked()
    described = line(far.socket.getsockname()[1], "109 97", MORE)
    callee.reply(invite, 183, "Session Progress", described)
    ringing = caller.agent.wait(
        lambda m: m.status == 183 and m.get("call-id") == caller.call_id, 5, "a 183 with a description")
    expect(lines(ringing)[0].formats == ["109", "97"], f"{ringing}")
    back = Mouth(far, lines(invite)[0].target)
    for kind, size in ((109, 38), (108, 38), (97, 4), (101, 4)):
        back.send(kind, bytes(size))
    time.sleep(0.3)
    expect(types(near) == {108, 101} and len(near.packets) == 4, f"early: the PBX got {types(near)}")
    # The same description again is the same version.
    callee.version -= 1
    callee.reply(invite, 200, "OK", described)
    answer = caller.outcome()
    expect(answer.status == 200, f"{answer}")
    callee.acknowledged(invite)
    for kind in (109, 108):
        back.send(kind, bytes(38))
    time.sleep(0.3)
    expect(types(near) == {108, 101} and len(near.packets) == 6, f"the PBX got {types(near)}")
    pair.hang_up()


class SparedWorld(World):
    """alice may be spared silence, bob may not; the announcement has a pause of 1.5 s."""

    def __init__(self, t):
        super().__init__(t.folder, t.program, media_pairs=20)
        self.announcement = numpy.concatenate([
            audio.speech("Welcome to Demarc."), audio.silence(1.5), audio.speech("This announcement is read from a file.")])
        audio.write_wav(self.folder / "announcement.wav", self.announcement)
        t.defer(self.close)
        self.start()

    def user_accounts(self):
        return [{**account, "silenceSuppression": "allow"} if account["name"] == "alice" else account
                for account in super().user_accounts()]


@test("announcement-pauses", 40)
def announcement_pauses(t):
    """The pauses of an announcement are a word of noise for who has named it and may be spared them, in one flow with all the
    words; for others every packet comes"""
    world = SparedWorld(t)
    shares = {}
    for name in ("alice", "bob"):
        end = Endpoint(free_port())
        t.defer(end.close)
        agent = t.agent(world=world, user=name, password=world.users[name]["password"])
        answer, dialog = agent.exchange(
            "INVITE", f"sip:9003@{world.domain}", body=agent.sdp(end.socket.getsockname()[1], formats="0 13"))
        expect(answer.status == 200, answer.start)
        formats = lines(answer)[0].formats
        expect(("13" in formats) == (name == "alice"), f"{name} was answered {formats}")
        time.sleep(4.0)
        expect(dialog.bye().status == 200, "BYE")
        came = [struct.unpack("!xBHI", packet[:8]) for _, packet in list(end.packets)]
        numbers, stamps = [number for _, number, _ in came], [stamp for _, _, stamp in came]
        expect(all((b - a) & 0xFFFF == 1 for a, b in zip(numbers, numbers[1:])), "numbers are missing")
        expect(len({packet[8:12] for _, packet in list(end.packets)}) == 1, "more than one source")
        noise = sum(kind & 0x7F == 13 for kind, _, _ in came)
        expect((noise > 0) == (name == "alice"), f"{name} got {noise} words of noise")
        shares[name] = len(came) / (((stamps[-1] - stamps[0]) & 0xFFFFFFFF) / 160 + 1)
        likeness = audio.compare(world.announcement[: 3 * audio.RATE], end.heard())
        expect(likeness.good(), f"{name}: {likeness}")
    expect(shares["alice"] < 0.85 and shares["bob"] > 0.9, f"{shares}")
    t.remark = f"{100 * (1 - shares['alice']):.0f} % of the packets left out"


@test("silence-left-out", 40)
def silence_left_out(t):
    """A carrier that has named comfort noise and may be spared silence gets a word of it in the place of packets, in one flow,
    and all that was said; the PBX, which may not, gets every packet"""
    world = EastWorld(t, silenceSuppression="allow")
    pair, (near, to_near), (far, to_far), offered, _ = connected(t, "0 13", "8 13", world=world)
    expect("13" in offered.formats and "8" in offered.formats, f"{offered}")
    far.codec = "PCMA"
    said, _ = audio.spoken("The birch canoe slid on the smooth planks.")
    samples = numpy.concatenate([said, audio.silence(2.0), said, audio.silence(1.5)])
    threads = [near.speak(samples, to_near), far.speak(samples, to_far)]
    for thread in threads:
        thread.join(len(samples) / audio.RATE + 10)
    time.sleep(0.4)
    came = [struct.unpack("!xBHI", packet[:8]) + (packet[12:],) for _, packet in list(far.packets)]
    noise = [body for kind, _, _, body in came if kind & 0x7F == 13]
    expect(4 <= len(noise) <= 40 and all(len(body) == 1 for body in noise), f"{len(noise)} words of noise")
    numbers = [number for _, number, _, _ in came]
    expect(all((b - a) & 0xFFFF == 1 for a, b in zip(numbers, numbers[1:])), "numbers are missing")
    share = len(came) / near.sent
    expect(share < 0.8, f"{len(came)} of {near.sent} packets")
    expect(len(near.packets) == far.sent, f"{len(near.packets)} of {far.sent} came back")
    likeness = audio.compare(samples, far.heard())
    expect(likeness.good(0.95, 0.85), f"{likeness}")
    record = pair.hang_up()
    expect(record["cause"] == "normal-clearing", f"{record}")
    t.remark = f"{100 * (1 - share):.0f} % of the packets left out; {likeness}"
