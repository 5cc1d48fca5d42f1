"""Faxes by T.38 between two terminals with spandsp: how real gateways change to it and back, and what may not pass."""

import os
import random
import re
import socket
import threading
import time

from harness import audio, srtp
from harness.case import test
from harness.fax import Fax, Lossy, Terminal, arrived, page, program, read_tiff, remark, write_tiff
from harness.pair import Pair, audio as audio_line, lines
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.world import World

WORDS = "The dark blue background."
BACK = "Fine punch and lemons."
ATTRIBUTES = [
    "T38FaxVersion:0", "T38MaxBitRate:14400", "T38FaxRateManagement:transferredTCF", "T38FaxMaxBuffer:1800",
    "T38FaxMaxDatagram:400", "T38FaxUdpEC:t38UDPRedundancy"]


def image_line(port):
    return f"m=image {port} udptl t38\r\n" + "".join(f"a={attribute}\r\n" for attribute in ATTRIBUTES)


NO_AUDIO = "m=audio 0 RTP/AVP 0\r\n"
NOTE = "fax by T.38"
NO_IMAGE = "m=image 0 udptl t38\r\n"


class Mouth:
    """The audio of one end."""

    def __init__(self, t, port=None, namespace=None):
        self.port = port or free_port()
        self.endpoint = Endpoint(self.port, namespace=namespace)
        t.defer(self.endpoint.close)
        self.line = audio_line(self.port)
        self.target = None

    def close(self):
        self.endpoint.close()


def talk(one, other):
    """Both speak at once, and each hears the other whole."""
    words = [audio.speech(WORDS), audio.speech(BACK, voice="en-us")]
    for mouth, said in zip((one, other), words):
        mouth.endpoint.packets.clear()
        mouth.endpoint.speak(said, mouth.target)
    time.sleep(max(map(len, words)) / audio.RATE + 0.3)
    found = [audio.check_likeness(f"the {who} heard", said, mouth.endpoint.heard())
             for who, said, mouth in (("callee", words[0], other), ("caller", words[1], one))]
    return " and ".join(f"{likeness.correlation:.4f}" for likeness in found)


def spoken_call(t, callee="east", world=None, namespace=None):
    """A call with speech both ways, as each fax begins: (the pair, the caller's audio, the callee's)."""
    prefix = {"east": "+4938", "north": "+4930"}[callee]
    pair = Pair(t, (world or t.world).number(prefix), callee, world, namespace)
    one, other = Mouth(t, namespace=namespace), Mouth(t, namespace=namespace)
    offered, answered = pair.connect([one.line], [other.line])
    other.target, one.target = offered[0].target, answered[0].target
    talk(one, other)
    return pair, one, other


def image_of(found, terminal, place=0):
    """The line of T.38 that came: ours and not the far end's port, with what the far end said of itself."""
    line = found[place]
    expect((line.kind, line.transport.lower(), line.formats) == ("image", "udptl", ["t38"]), f"{line}")
    expect(line.port not in (0, terminal.port), f"the fax is not anchored: {line}")
    missing = [attribute for attribute in ATTRIBUTES if f"a={attribute}".lower() not in line.text.lower()]
    expect(not missing, f"{missing} are missing of {line}")
    return line.target


def closed(record, note=None):
    expect(record["state"] == "ended" and record["cause"] == "normal-clearing", f"{record}")
    expect(note is None or note in record["notes"], f"nothing of {note} in {record}")
    return record


@test("reinvite", 40)
def reinvite(t):
    """The callee, who hears that it is a fax, changes the audio line into T.38; three pages arrive bit for bit"""
    pair, _, _ = spoken_call(t)
    fax = Fax(t)
    offered, answered = pair.change(
        pair.callee, [image_line(fax.receiver.port)], [image_line(fax.sender.port)])
    fax.go(image_of(offered, fax.receiver), image_of(answered, fax.sender))
    said = fax.whole()
    record = closed(pair.hang_up(), NOTE)
    expect(record["codec"] == "T.38", f"{record}")
    for side, end in zip(("fromCaller", "fromCallee"), said):
        expect(record["quality"][side]["packets"] > end["sent"], f"{side} sent {end['sent']}: {record['quality'][side]}")
    t.remark = remark(*said)


@test("by-caller", 40)
def by_caller(t):
    """It is the caller who changes to T.38, and no error correction: two pages arrive bit for bit"""
    pair, _, _ = spoken_call(t)
    fax = Fax(t, pages=2, ecm=False)
    offered, answered = pair.change(
        pair.caller, [image_line(fax.sender.port)], [image_line(fax.receiver.port)])
    fax.go(image_of(answered, fax.receiver), image_of(offered, fax.sender))
    said = fax.whole()
    closed(pair.hang_up(pair.callee), NOTE)
    t.remark = remark(*said)


@test("beside", 40)
def beside(t):
    """T.38 comes as a second line while the audio is given the port 0, and the other way round after the fax"""
    pair, one, other = spoken_call(t)
    fax = Fax(t, pages=1)
    offered, answered = pair.change(
        pair.callee, [NO_AUDIO, image_line(fax.receiver.port)], [NO_AUDIO, image_line(fax.sender.port)])
    for found in (offered, answered):
        expect((found[0].kind, found[0].port) == ("audio", 0), f"the audio goes on: {found}")
    fax.go(image_of(offered, fax.receiver, 1), image_of(answered, fax.sender, 1))
    said = fax.whole()
    offered, answered = pair.change(pair.callee, [other.line, NO_IMAGE], [one.line, NO_IMAGE])
    one.target, other.target = offered[0].target, answered[0].target
    heard = talk(one, other)
    closed(pair.hang_up(), NOTE)
    t.remark = f"{remark(*said)}; {heard}"


@test("added", 40)
def added(t):
    """T.38 comes as a second line, and the audio goes on beside it"""
    pair, one, other = spoken_call(t)
    fax = Fax(t, pages=1)
    offered, answered = pair.change(
        pair.callee, [other.line, image_line(fax.receiver.port)], [one.line, image_line(fax.sender.port)])
    one.target, other.target = offered[0].target, answered[0].target
    fax.go(image_of(offered, fax.receiver, 1), image_of(answered, fax.sender, 1))
    heard = talk(one, other)
    said = fax.whole()
    closed(pair.hang_up(), NOTE)
    t.remark = f"{remark(*said)}; {heard}"


@test("first", 40)
def first(t):
    """T.38 alone in the first INVITE"""
    pair = Pair(t, t.world.number("+4938"))
    fax = Fax(t, pages=1)
    offered, answered = pair.connect([image_line(fax.sender.port)], [image_line(fax.receiver.port)])
    fax.go(image_of(answered, fax.receiver), image_of(offered, fax.sender))
    said = fax.whole()
    closed(pair.hang_up(), NOTE)
    t.remark = remark(*said)


def refused(pair, status, reason):
    """The callee offers T.38 and the caller answers with a failure, which is what the callee hears."""
    pair.callee.offer(image_line(free_port()))
    invite = pair.caller.asked()
    expect([line.kind for line in lines(invite)] == ["image"], f"{invite}")
    pair.caller.reply(invite, status, reason)
    final = pair.callee.outcome()
    pair.caller.acknowledged(invite)
    expect(final.status == status, f"the refusal arrives as {final.start}")


@test("refused", 30)
def refused_by_status(t):
    """The other side has no T.38 and says 488: the callee hears that, and speech goes on both ways"""
    pair, one, other = spoken_call(t)
    refused(pair, 488, "Not Acceptable Here")
    t.remark = talk(one, other)
    closed(pair.hang_up())


@test("refused-by-port", 40)
def refused_by_port(t):
    """The other side refuses T.38 by the port 0, beside the audio and in its place: speech goes on"""
    pair, one, other = spoken_call(t)
    offered, answered = pair.change(
        pair.callee, [other.line, image_line(free_port())], [one.line, NO_IMAGE])
    expect([(line.kind, line.port > 0) for line in answered] == [("audio", True), ("image", False)], f"{answered}")
    one.target, other.target = offered[0].target, answered[0].target
    said = [talk(one, other)]
    _, answered = pair.change(pair.callee, [NO_AUDIO, image_line(free_port())], [NO_AUDIO, NO_IMAGE])
    expect([line.port for line in answered] == [0, 0], f"{answered}")
    offered, answered = pair.change(pair.callee, [other.line, NO_IMAGE], [one.line, NO_IMAGE])
    one.target, other.target = offered[0].target, answered[0].target
    said.append(talk(one, other))
    closed(pair.hang_up())
    t.remark = ", then ".join(said)


def there_and_back(t, pair, one, other, namespace=None, while_it_runs=lambda: None):
    """A page by T.38 at the ports of the audio, and back to audio; how well both ends heard each other then."""
    one.close()
    other.close()
    there = t.folder / "sent.tif"
    write_tiff(there, [page(7)])
    sender = Terminal(t, "send", there, port=one.port, namespace=namespace)
    receiver = Terminal(t, "receive", t.folder / "arrived.tif", port=other.port, namespace=namespace)
    offered, answered = pair.change(pair.callee, [image_line(receiver.port)], [image_line(sender.port)])
    receiver.speak_to(image_of(answered, sender))
    sender.speak_to(image_of(offered, receiver))
    while_it_runs()
    sent, received = sender.result(20), receiver.result(5)
    expect(sent["code"] == received["code"] == 0, f"sender {sent}, receiver {received}")
    expect((read_tiff(program(t), t.folder / "arrived.tif")[0] == page(7)).all(), "the page is not what was sent")
    one, other = (Mouth(t, mouth.port, namespace) for mouth in (one, other))
    offered, answered = pair.change(pair.caller, [one.line], [other.line])
    other.target, one.target = offered[0].target, answered[0].target
    return talk(one, other)


@test("back", 40)
def back(t):
    """To T.38 at the port of the audio, and back to audio: both ends hear each other again"""
    pair, one, other = spoken_call(t)
    t.remark = there_and_back(t, pair, one, other)
    closed(pair.hang_up(), NOTE)


class SpeechOnly(World):
    """A Demarc whose trunk east and user alice have speech and nothing else, and whose trunk north has video as well."""

    def __init__(self, t):
        super().__init__(t.folder, t.program, media_pairs=50)
        t.defer(self.close)
        self.start()

    def resources(self):
        document = super().resources()
        allowed = {"east": [], "alice": [], "north": ["video"]}
        for party in document["trunks"] + document["users"]:
            if party["name"] in allowed:
                party["streams"] = allowed[party["name"]]
        return document


@test("not-allowed", 40)
def not_allowed(t):
    """`streams: []`: 488 to T.38 in a call and at its start, whichever side asks, and no word of it to the other"""
    world = SpeechOnly(t)
    pair, one, other = spoken_call(t, world=world)
    for asking in (pair.callee, pair.caller):
        asking.offer(image_line(free_port()))
        final = asking.outcome()
        expect(final.status == 488, f"T.38 got {final.start}")
        expect(pair.other(asking).agent.receive(0.3) is None, "the other side heard of it")
    t.remark = talk(one, other)
    closed(pair.hang_up())
    pair.caller.call_id = None
    number = world.number("+4938")
    pair.caller.dial(f"sip:{number}@{world.domain}", image_line(free_port()))
    final = pair.caller.outcome()
    expect(final.status == 488, f"T.38 at the start got {final.start}")
    expect(pair.callee.agent.receive(0.3) is None, "the carrier heard of it")


@test("lossy", 60)
def lossy(t):
    """Two of a hundred datagrams are lost, each way: redundancy makes them good, with and without error correction"""
    for ecm in (True, False):
        pair = Pair(t, t.world.number("+4938"))
        fax = Fax(t, pages=2 if ecm else 1, ecm=ecm)
        path = Lossy(t, fax.sender, 0.02, seed=38)
        offered, answered = pair.connect([image_line(path.port)], [image_line(fax.receiver.port)])
        fax.go(path.between(image_of(answered, fax.receiver)), image_of(offered, fax.sender))
        sent, received = fax.check(25)
        closed(pair.hang_up())
        for end in (pair.caller, pair.callee):
            end.agent.close()
        expect(path.lost >= 4, f"only {path.lost} were lost")
        expect(sent["recovered"] + received["recovered"] > 0, f"nothing was made good: {sent}, {received}")
        t.remark += f"{', ' if t.remark else ''}{path.lost} of {path.lost + path.passed} lost; {remark(sent, received)}"


class Stranger:
    """Sends to both of Demarc's ports of a fax what the other end would believe, and what nobody does: from an address
    that SDP does not name, and once the ends have been heard from other ports of the one that it names as well."""

    def __init__(self, t, targets):
        self.targets, self.sent = targets, 0
        self.ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        self.speaking = self.ends[:1]
        for end, address in zip(self.ends, ("127.0.0.9", "127.0.0.1")):
            end.bind((address, 0))
            end.setblocking(False)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        t.defer(self.close)
        self.thread.start()

    def _run(self):
        dice = random.Random(3)
        while not self.stop.wait(0.02):
            number = dice.randrange(0, 400)
            # An indicator "no signal" under a number that may be next, garbage, and parity with absurd counts.
            data_of_turn = [number.to_bytes(2, "big") + b"\x01\x00\x00\x00", os.urandom(dice.randrange(1, 300)),
                            b"\x00\x01\x01\x00\x80\xff\xff\xff", b""]
            # Few of them: they fill the socket's buffer, and the kernel then drops what is behind them.
            if number < 20:
                data_of_turn.append(bytes(65000))
            for data in data_of_turn:
                for end in self.speaking:
                    for target in self.targets:
                        end.sendto(data, target)
                        self.sent += 1

    def heard(self):
        found = 0
        for end in self.ends:
            try:
                while end.recv(65536) is not None:
                    found += 1
            except BlockingIOError:
                pass
        return found

    def close(self):
        self.stop.set()
        self.thread.join(1)
        for end in self.ends:
            end.close()


def dropped(world):
    return {name: value for name, value in world.demarc.metrics().items()
            if name.startswith("demarc_media_packets_dropped_total")}


@test("hostile", 60)
def hostile(t):
    """Garbage between the ends' datagrams, a stranger's before and among them: nothing of the stranger's gets through"""
    before = dropped(t.world)
    pair, _, _ = spoken_call(t)
    fax = Fax(t, noise=True)
    offered, answered = pair.change(
        pair.callee, [image_line(fax.receiver.port)], [image_line(fax.sender.port)])
    there, here = image_of(offered, fax.receiver), image_of(answered, fax.sender)
    stranger = Stranger(t, (there, here))
    time.sleep(0.2)
    fax.go(there, here)
    time.sleep(1)
    stranger.speaking = stranger.ends
    sent, received = fax.check(25)
    stranger.stop.set()
    stranger.thread.join()
    expect(stranger.heard() == 0, "the stranger got an answer")
    closed(pair.hang_up())
    for one, other in ((sent, received), (received, sent)):
        expect(arrived(one, other) and other["malformed"] <= one["noise"] and not other["strangers"],
               f"sender {sent}, receiver {received}")

    def counted():
        after = dropped(t.world)
        return {re.search(r'"(\w+)"', name).group(1): value - before.get(name, 0)
                for name, value in after.items() if value > before.get(name, 0)}
    wait_until(lambda: sum(counted().values()) >= stranger.sent, 3,
               f"{stranger.sent} datagrams of the stranger to be counted: {counted()}")
    t.remark = (f"{stranger.sent} of the stranger, {counted()}; {sent['malformed'] + received['malformed']} of "
                f"{sent['noise'] + received['noise']} of the ends' own garbage passed")


@test("bad-answers", 40)
def bad_answers(t):
    """What answers T.38 and cannot: no address, no line, another kind, too many lines: 488 or an answer that fits, one record"""
    good = image_line(free_port())
    head = "v=0\r\no=- 77 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    address = "c=IN IP4 127.0.0.1\r\n"
    outcomes = []
    for body in (
            head + good, head + address, head + address + audio_line(free_port()), head + address + good + good,
            head + address + good.replace("udptl", "TCP"), head + address + "m=image 99999 udptl t38\r\n",
            head + address + "m=image 0 udptl t38\r\n", head + "c=IN IP4 999.1.2.3\r\n" + good, "nonsense", ""):
        pair = Pair(t, t.world.number("+4938"))
        pair.connect([audio_line(free_port())], [audio_line(free_port())])
        pair.callee.offer(good)
        invite = pair.caller.asked()
        pair.caller.agent.socket.sendto(
            pair.caller.agent.answer_to(invite, 200, "OK", pair.caller.tag, body=body), invite.source)
        final = pair.callee.outcome()
        outcomes.append(final.status)
        pair.caller.acknowledged(invite)
        pair.caller.request("BYE")
        expect(pair.caller.agent.final(pair.caller.call_id, "BYE").status in (200, 481), "BYE")
        pair.callee.ended()
        t.world.record(pair.number)
        for end in (pair.caller, pair.callee):
            end.agent.close()
        # RFC 3264 §6: line by line what was offered, whatever the far end said.
        expect(final.status == 488 or [line.kind for line in lines(final)] == ["image"], f"for {body}\n{final}")
    t.remark = " ".join(map(str, outcomes))


class Silent(World):
    """A Demarc that takes two seconds of silence for the end of a call."""

    def __init__(self, t):
        super().__init__(t.folder, t.program, media_pairs=50)
        t.defer(self.close)
        self.start()

    def resources(self):
        document = super().resources()
        for trunk in document["trunks"]:
            if trunk["name"] in ("pbx", "east"):
                trunk["mediaTimeout"] = "2s"
        return document


@test("long-page", 60)
def long_page(t):
    """While a page goes its receiver says nothing, for longer than the media time-out: the call lives"""
    world = Silent(t)
    pair, _, _ = spoken_call(t, world=world)
    fax = Fax(t, pages=1, length=2000)
    offered, answered = pair.change(
        pair.callee, [image_line(fax.receiver.port)], [image_line(fax.sender.port)])
    fax.go(image_of(offered, fax.receiver), image_of(answered, fax.sender))
    said = fax.whole(30)
    silence = said[1]["silence"]
    expect(silence > 2.5, f"the receiver was silent for {silence} s only")
    closed(pair.hang_up())
    t.remark = f"silent for {silence:.1f} s, {remark(*said)}"


class Encrypted(World):
    """A Demarc whose trunk east must have SRTP, by SIP over UDP as on a protected line."""

    def __init__(self, t):
        super().__init__(t.folder, t.program, media_pairs=50)
        t.defer(self.close)
        self.start()

    def resources(self):
        document = super().resources()
        for trunk in document["trunks"]:
            if trunk["name"] == "east":
                trunk.update(srtp="require", srtpWithoutTLS=True)
        return document


@test("secure", 30)
def secure(t):
    """On a leg with SRTP T.38 would go unprotected: 488, whichever side asks, and SRTP goes on"""
    world = Encrypted(t)
    pair = Pair(t, world.number("+4938"), world=world)
    mouth, port = Mouth(t), free_port()
    tag, suite, key = 0, "AES_CM_128_HMAC_SHA1_80", srtp.new_key()

    def answer(offer):
        nonlocal tag
        tag = next(tag for tag, name, _ in srtp.lines(offer[0].text) if name == suite)
        return [audio_line(port).replace("RTP/AVP", "RTP/SAVP") + srtp.line(key, suite, tag)]

    offered, answered = pair.connect([mouth.line], answer)
    expect(offered[0].transport == "RTP/SAVP" and answered[0].transport == "RTP/AVP", f"{offered}, {answered}")
    peer_key = next(own for number, _, own in srtp.lines(offered[0].text) if number == tag)
    end = srtp.Endpoint(port, suite, key, peer_key)
    t.defer(end.close)
    mouth.target = answered[0].target

    def speaks(value):
        words = audio.speech(WORDS)
        mouth.endpoint.speak(words, mouth.target)
        end.kept = []
        end.say(offered[0].target, 20, value)
        good, bad = end.hear(1)
        expect(len(good) > 30 and not bad, f"{len(good)} packets came under the key and {bad} under none")
        heard = [packet[12:] for _, packet in mouth.endpoint.packets if packet[12:] == bytes([value]) * 160]
        expect(len(heard) == 20, f"{len(heard)} of 20 packets were heard")

    speaks(0x31)
    for asking in (pair.callee, pair.caller):
        asking.offer(image_line(free_port()))
        final = asking.outcome()
        expect(final.status == 488, f"T.38 beside SRTP got {final.start}")
    expect(pair.caller.agent.receive(0.3) is None, "the other side heard of it")
    speaks(0x32)
    closed(pair.hang_up())
