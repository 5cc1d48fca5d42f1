"""Digits are turned from each way into each other; multimon-ng is the judge of tones."""

import threading

from harness import audio, digits
from harness.case import test
from harness.pair import Pair
from harness.pair import audio as line
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.world import World

from .hiding import answered, asked

TYPED = "5501#*D990"
SPOKEN = "A rod is used to catch pink salmon. The source of the huge river is the clear spring."


class Ways(World):
    """A Demarc whose parties have digits in ways of their own."""

    def __init__(self, t, **ways):
        super().__init__(t.folder, t.program, media_pairs=50)
        self.ways = ways
        t.defer(self.close)
        self.start()

    def resources(self):
        document = super().resources()
        for party in document["trunks"] + document["users"]:
            if party["name"] in self.ways:
                party["dtmf"] = self.ways[party["name"]]
        return document


def connected(t, ours, theirs, world=None):
    """A call from the PBX to east, with these formats, and an RTP endpoint at each end: (pair, caller's endpoint and
    where it sends to, callee's)."""
    world = world or t.world
    pair = Pair(t, world.number("+4938"), world=world)
    ports = free_port(), free_port()
    ends = [Endpoint(port) for port in ports]
    for end in ends:
        t.defer(end.close)
    offered, answer = pair.connect([line(ports[0], ours)], [line(ports[1], theirs)])
    expect("101" in offered[0].formats, f"telephone-event is not offered: {offered}")
    expect(("101" in answer[0].formats) == ("101" in ours.split()), f"the answer to {ours} is {answer}")
    # Both ends find each other.
    digits.Flow(ends[1], offered[0].target).speak(audio.silence(0.1))
    return pair, (ends[0], answer[0].target), (ends[1], offered[0].target)


def noted(pair, note):
    record = pair.hang_up()
    expect(record["cause"] == "normal-clearing", f"{record}")
    expect(note in (record.get("notes") or []), f"{record.get('notes')}")


@test("events-to-tones", 40)
def events_to_tones(t):
    """telephone-event with 5 % of packets lost becomes tones that multimon-ng hears: each digit once, in order"""
    pair, (mouth, target), (ear, _) = connected(t, "0 101", "0")
    flow = digits.Flow(mouth, target, loss=0.05, seed=7)
    flow.speak(audio.silence(0.3))
    for length in (0.1, 0.04):
        flow.press(TYPED, length)
        flow.speak(audio.silence(1.5))
    heard = digits.decoded(ear.heard())
    expect(heard == 2 * TYPED, f"{heard} for twice {TYPED}")
    expect(digits.reported(ear) == "", "events passed as well")
    noted(pair, "digits are converted: telephone-event to in-band")


@test("tones-to-events", 40)
def tones_to_events(t):
    """Tones that multimon-ng hears, of several levels, lengths and twists, become the same digits as telephone-events,
    and nothing of them is left in the speech"""
    pair, (mouth, target), (ear, _) = connected(t, "0", "0 101")
    flow = digits.Flow(mouth, target)
    said = numpy_joined(
        digits.tones(TYPED), digits.tones(TYPED, 0.05, 0.05), digits.tones(TYPED, low=900, high=1100),
        digits.tones(TYPED, low=9000, high=4500), digits.tones(TYPED, low=5000, high=7500))
    independent = digits.decoded(said)
    expect(independent == 5 * TYPED, f"multimon-ng hears {independent}")
    flow.speak(said)
    flow.speak(audio.silence(1))
    heard = digits.reported(ear)
    expect(heard == independent, f"{heard} for {independent}")
    left = digits.decoded(ear.heard())
    expect(left == "", f"the speech still holds {left}")
    noted(pair, "digits are converted: in-band to telephone-event")


def numpy_joined(*parts):
    return audio.numpy.concatenate(parts)


@test("lossy-tones", 60)
def lossy_tones(t):
    """Tones over a link that loses 5 % of packets: 96 % of the digits at least, none twice and none invented"""
    pair, (mouth, target), (ear, _) = connected(t, "0", "0 101")
    flow = digits.Flow(mouth, target, loss=0.05, seed=11)
    typed = TYPED * 10
    flow.speak(digits.tones(typed, 0.1, 0.1))
    flow.speak(audio.silence(1))
    heard = digits.reported(ear)
    place = 0
    for key in heard:
        place = typed.find(key, place) + 1
        expect(place > 0, f"{heard} is not part of {typed}")
    share = len(heard) / len(typed)
    expect(share >= 0.96, f"{len(heard)} of {len(typed)}")
    t.remark = f"{share:.1%}"
    pair.hang_up()


@test("to-info", 60)
def to_info(t):
    """telephone-events and tones reach a trunk with `dtmf: info` as INFO, one at a time and in order"""
    world = Ways(t, east="info")
    for ours, way in (("0 101", "telephone-event"), ("0", "in-band")):
        pair, (mouth, target), (ear, _) = connected(t, ours, "0 101", world)
        flow = digits.Flow(mouth, target, loss=0.05 if way == "telephone-event" else 0, seed=3)

        def press(flow=flow, way=way):
            flow.speak(audio.silence(0.3))
            if way == "telephone-event":
                flow.press(TYPED)
            else:
                flow.speak(digits.tones(TYPED))
            flow.speak(audio.silence(0.5))
        pressing = threading.Thread(target=press, daemon=True)
        pressing.start()
        keys, seen = "", set()
        while len(keys) < len(TYPED):
            info = asked(pair.callee, "INFO")
            if info.get("cseq") in seen:
                continue
            seen.add(info.get("cseq"))
            expect(info.get("content-type") == "application/dtmf-relay", f"{info}")
            fields = dict(row.split("=") for row in info.body.decode().split())
            expect(50 <= int(fields["Duration"]) <= 160, f"{fields}")
            keys += fields["Signal"]
            other = pair.callee.agent.receive(0.05)
            expect(other is None or other.get("cseq") == info.get("cseq"), "the next one does not wait for the answer")
            answered(pair.callee, info, 200)
        pressing.join()
        expect(keys == TYPED, f"{keys} for {TYPED}")
        expect(digits.reported(ear) == "" and digits.decoded(ear.heard()) == "", "they passed as media too")
        noted(pair, f"digits are converted: {way} to INFO")
        pair.caller.agent.close()
        pair.callee.agent.close()


@test("from-info", 60)
def from_info(t):
    """INFO becomes telephone-events where the other side has them, and else tones; no ladder shows a digit"""
    for theirs, way in (("0 101", "telephone-event"), ("0", "in-band")):
        pair, (mouth, target), (ear, _) = connected(t, "0 101", theirs)
        thread = mouth.speak(audio.silence(8), target)
        caller = pair.caller
        for key in TYPED:
            caller.sequence += 1
            caller.agent.send(caller.agent.request(
                "INFO", caller.remote, caller.call_id, caller.sequence, caller.tag, caller.to,
                body=f"Signal={key}\r\nDuration=120\r\n", content_type="application/dtmf-relay"))
            final = caller.agent.final(caller.call_id, "INFO")
            expect(final.status == 200, f"INFO got {final.start}")
        thread.join()
        heard = digits.reported(ear) if way == "telephone-event" else digits.decoded(ear.heard())
        expect(heard == TYPED, f"{heard} for {TYPED}")
        expect(pair.callee.agent.receive(0.1) is None, "INFO passed as well")
        call = t.world.live(pair.number)
        ladder = t.world.demarc.command("call", "ladder", call["id"], "--messages")
        expect("Signal=x" in ladder and not any(f"Signal={key}" in ladder for key in TYPED), ladder)
        noted(pair, f"digits are converted: INFO to {way}")
        pair.caller.agent.close()
        pair.callee.agent.close()


@test("same-way", 30)
def same_way(t):
    """Two sides with telephone-event: every packet of it as it was"""
    pair, (mouth, target), (ear, _) = connected(t, "0 101", "0 101")
    flow = digits.Flow(mouth, target)
    before = t.world.demarc.metrics()["demarc_media_digits_converted_total"]
    flow.speak(audio.silence(0.2))
    flow.press(TYPED)
    wait_until(lambda: digits.reported(ear) == TYPED, 2, "the events")
    expect({packet[8:12] for _, packet in ear.packets} == {flow.ssrc}, "they are in another flow")
    expect(t.world.demarc.metrics()["demarc_media_digits_converted_total"] == before, "something was converted")
    pair.hang_up()


@test("phones", 60)
def phones(t):
    """A baresip that sends telephone-events is heard as tones by one whose user has `dtmf: inband`"""
    world = Ways(t, bob="inband")
    bob = t.user("bob", world=world, answer="auto")
    alice = t.user("alice", world=world)
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    bob.wait_heard(1, 10)
    for key in "159#":
        alice.command("sndcode", key)
        alice.wait_heard(len(alice.heard()) / audio.RATE + 0.4, 5)
    bob.wait_heard(len(bob.heard()) / audio.RATE + 1, 5)
    call = world.live(world.extension("bob"))
    alice.hang_up()
    bob.closed()
    heard = digits.decoded(bob.heard())
    expect(heard == "159#", f"bob heard {heard}")
    record = world.ended(call["id"])
    expect("digits are converted: telephone-event to in-band" in record["notes"], f"{record['notes']}")


@test("talk-off", 60)
def talk_off(t):
    """Speech is no digit: nothing is found in it, and nothing is taken away"""
    pair, (mouth, target), (ear, _) = connected(t, "0", "0 101")
    said = numpy_joined(*(audio.speech(SPOKEN, voice=voice, speed=speed) for voice, speed in (
        ("en", 150), ("en-us+f3", 170), ("de", 140), ("fr+f2", 160))))
    digits.Flow(mouth, target).speak(said)
    expect(digits.reported(ear) == "", "digits were found")
    t.remark = str(audio.check_likeness("east heard", said, ear.heard()))
    pair.hang_up()
