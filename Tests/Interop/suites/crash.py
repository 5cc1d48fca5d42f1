"""Calls that were up when the process was killed, and what becomes of them once it is started again."""

import base64
import time

from harness import audio, dtls, srtp
from harness.audio import silence
from harness.case import test
from harness.linphone import registered_user
from harness.pair import Pair
from harness.pair import audio as audio_line
from harness.pair import lines
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.sipp import optional, pause, recv, reply, scenario, sdp, send, uac, uas
from harness.world import World

from .dtls import BY_DTLS, HandshakeWorld
from .secure import MANDATORY

# Of speech, from the last packet before the process was killed to the first one after it; seconds.
GAP = 2.0


class CrashWorld(World):
    """A Demarc of its own, with a second PBX, and a route to south alone."""

    trunk_names = [*World.trunk_names, "pbx-two"]

    def resources(self):
        resources = super().resources()
        address = f"127.0.0.1:{self.ports['pbx-two']}"
        resources["trunks"].append({
            "name": "pbx-two", "tenant": "test", "kind": "pbx", "network": "loopback", "targets": [address],
            "sources": [address]})
        resources["routes"].append({
            "name": "to-4929", "tenant": "test", "prefix": "+4929", "carriers": [{"trunk": "south", "priority": 1}]})
        return resources


def own_world(t, media_pairs=40):
    world = CrashWorld(t.folder, t.program, media_pairs)
    t.defer(world.close)
    return world.start()


def again(world):
    """kill -9, and the same once more; how long that took until the command is answered."""
    begin = time.monotonic()
    world.demarc.kill()
    world.demarc.start()
    return time.monotonic() - begin


def recovered(world, outcome="recovered"):
    return int(world.demarc.metrics().get(f'demarc_calls_recovered_total{{outcome="{outcome}"}}', 0))


def speaking_pair(t, world):
    """A call between two agents, each of whom speaks for half a minute; (pair, their endpoints)."""
    number = world.number("+4938")
    ends = [Endpoint(free_port()) for _ in range(2)]
    for end in ends:
        t.defer(end.close)
    pair = Pair(t, number, world=world)
    caller, callee = (audio_line(end.socket.getsockname()[1]) for end in ends)
    offered, answered = pair.connect([caller], [callee])
    ends[0].speak(silence(30), answered[0].target)
    ends[1].speak(silence(30), offered[0].target)
    wait_until(lambda: all(len(end.packets) > 50 for end in ends), 6, "a second of speech each way")
    # Where each of them speaks to.
    pair.targets = (answered[0].target, offered[0].target)
    return pair, ends


def gaps(ends):
    found = []
    for end in ends:
        at = [moment for moment, _ in list(end.packets)]
        found.append(max(b - a for a, b in zip(at, at[1:])))
    return found


def ended_normally(record, by):
    expect(record["state"] == "ended" and record["cause"] == "normal-clearing" and record["releasedBy"] == by,
           f"the record says {record['state']}, {record['cause']}, {record['releasedBy']}")


def speech_goes_on(t, hangs_up, by):
    world = own_world(t)
    pair, ends = speaking_pair(t, world)
    call = world.live(pair.number)
    took = again(world)
    expect(recovered(world) == 1, f"{recovered(world)} calls were recovered")
    before = [len(end.packets) for end in ends]
    wait_until(lambda: all(len(end.packets) > count + 50 for end, count in zip(ends, before)), 5,
               "a second of speech each way after the restart")
    longest = gaps(ends)
    expect(max(longest) <= GAP, f"nothing was heard for {max(longest):.2f} s")
    expect(world.live(pair.number)["id"] == call["id"], "the call has another name")
    record = pair.hang_up(getattr(pair, hangs_up))
    ended_normally(record, by)
    expect(record["id"] == call["id"] and len(world.records(pair.number)) == 1, "the call has another record")
    expect("went on after a restart" in (record.get("notes") or []), f"notes: {record.get('notes')}")
    # That takes half a minute: once is enough.
    if by == "caller":
        world.at_rest()
    t.remark = f"started anew in {took:.2f} s, nothing heard for {max(longest):.2f} s"


@test("caller-hangs-up", 60)
def caller_hangs_up(t):
    """kill -9 in a call: speech is heard again within 2 s of the kill, and the caller's BYE ends it on both sides"""
    speech_goes_on(t, "caller", "caller")


@test("callee-hangs-up", 60)
def callee_hangs_up(t):
    """The same with the callee's BYE"""
    speech_goes_on(t, "callee", "callee")


@test("twice", 60)
def twice(t):
    """Killed twice in a call, which goes on all the same"""
    world = own_world(t)
    pair, ends = speaking_pair(t, world)
    again(world)
    again(world)
    expect(recovered(world) == 1, f"{recovered(world)} calls were recovered")
    ended_normally(pair.hang_up(pair.callee), "callee")


@test("reoffer", 60)
def reoffer(t):
    """After the restart either side may move its media, and a target that moved before it is found"""
    world = own_world(t)
    pair, ends = speaking_pair(t, world)
    moved = [Endpoint(free_port()) for _ in range(2)]
    for end in moved:
        t.defer(end.close)
    lines = [audio_line(end.socket.getsockname()[1]) for end in (*ends, *moved)]
    pair.change(pair.caller, [lines[2]], [lines[1]])
    moved[0].speak(silence(30), pair.targets[0])
    wait_until(lambda: len(moved[0].packets) > 25, 5, "speech at the new place")
    again(world)
    heard = len(moved[0].packets)
    wait_until(lambda: len(moved[0].packets) > heard + 25, 5, "speech at the new place after the restart")
    pair.change(pair.callee, [lines[3]], [lines[2]])
    moved[1].speak(silence(30), pair.targets[1])
    wait_until(lambda: len(moved[1].packets) > 25, 5, "speech at the place that is new after the restart")
    ended_normally(pair.hang_up(pair.caller), "caller")


@test("phone", 90)
def phone(t):
    """A phone in a call hears the carrier again after the restart, and its BYE reaches the carrier"""
    world = own_world(t)
    number = world.number("+4930")
    alice = t.user("alice", world=world, says=silence(60))
    north = t.callee("north", uas(), port=world.ports["north"])
    alice.dial(f"sip:{number}@{world.domain}")
    alice.established()
    world.live(number)
    again(world)
    expect(recovered(world) == 1, f"{recovered(world)} calls were recovered")
    time.sleep(1)
    alice.command("hangup")
    north.wait(10)
    ended_normally(world.record(number), "caller")


def uas_hangs_up(after_ms):
    keep = (
        '<recv request="INVITE" rrs="true"><action>'
        '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="theirs"/>'
        '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="ours"/>'
        "</action></recv>\n")
    return scenario(
        "hangs-up", keep, reply(180, "Ringing", tag=True), pause(50),
        reply(200, "OK", tag=True, body=sdp(), retrans=500), recv("ACK"), pause(after_ms),
        send("BYE [next_url] SIP/2.0\n"
             "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"
             "From:[$ours];tag=[pid]B[call_number]\nTo:[$theirs]\n"
             "Call-ID: [call_id]\nCSeq: 1 BYE\nMax-Forwards: 70\n\n", retrans=500),
        optional(100), recv(200))


@test("two-hundred", 120)
def two_hundred(t):
    """kill -9 with 200 calls up: each of them is ended by BYE, half from either side, and has its one record"""
    world = own_world(t, media_pairs=500)
    ways = {"north": (uas(ring_ms=50), uac(hold_ms=15000)), "south": (uas_hangs_up(15000), uac(hold_ms=0, bye=False))}
    numbers, callers = {}, []
    for name, prefix, source in (("north", "+4930", "pbx"), ("south", "+4929", "pbx-two")):
        answers, calls = ways[name]
        numbers[name] = world.number(prefix)
        t.callee(name, answers, port=world.ports[name], calls=100, messages=False, timeout=60)
        callers.append(t.caller(
            f"calls-{name}", calls, port=world.ports[source], remote=world.sip, service=numbers[name], calls=100,
            rate=25, messages=False, timeout=60, limit=200))
    wait_until(lambda: world.demarc.metrics()["demarc_calls_active"] == 200, 12, "200 calls", 0.2)
    # The last one rings and is answered.
    time.sleep(1)
    took = again(world)
    expect(recovered(world) == 200, f"{recovered(world)} of 200 calls were recovered")
    for caller in callers:
        caller.wait()
    for name, by in (("north", "caller"), ("south", "callee")):
        records = world.demarc.closed_records(100, 10, number=numbers[name])
        for record in records:
            ended_normally(record, by)
    world.at_rest()
    t.remark = f"started anew in {took:.2f} s"


SUITE = "AES_CM_128_HMAC_SHA1_80"
BY_KEYS_IN_SDP = {"srtp": "require", "srtpWithoutTLS": True}


def protected_pair(t, world, line, port, rules):
    """A call whose caller has SRTP by this line, and whose callee has none; (pair, what the callee was offered, what the
    caller was answered)."""
    resources = world.resources()
    for trunk in resources["trunks"]:
        if trunk["name"] == "pbx":
            trunk.update(rules)
    world.demarc.apply(resources)
    number = world.number("+4938")
    pair = Pair(t, number, world=world)
    offered, answered = pair.connect([line], [audio_line(port)])
    world.live(number)
    # What the record is written behind by.
    time.sleep(0.5)
    return pair, offered[0], answered[0]


def protected_line(port, key):
    return audio_line(port, more=srtp.line(key, SUITE) + "a=sendrecv\r\n").replace("RTP/AVP", "RTP/SAVP")


@test("protected", 60)
def protected(t):
    """The keys of SRTP are gone with the process: the next one offers new ones, under which speech goes on, and nothing
    passes before that"""
    world = own_world(t)
    keys, ports = [srtp.new_key(SUITE) for _ in range(2)], [free_port() for _ in range(2)]
    pair, callee_line, answered = protected_pair(
        t, world, protected_line(ports[0], keys[0]), ports[1], BY_KEYS_IN_SDP)
    again(world)
    expect(recovered(world) == 1, f"{recovered(world)} calls were recovered")
    invite = pair.caller.asked()
    offered = lines(invite)
    expect(offered[0].transport == "RTP/SAVP" and offered[0].port == answered.port, f"the offer is {offered}")
    new = {suite: key for _, suite, key in srtp.lines(invite.body)}
    old = srtp.lines(answered.text)[0][2]
    expect(SUITE in new and new[SUITE] != old, f"the keys of the offer are of {sorted(new)}, or as before")
    number = next(number for number, suite, _ in srtp.lines(invite.body) if suite == SUITE)
    # By its own new key; what it hears comes under the one that it was offered.
    caller = srtp.Endpoint(ports[0], SUITE, keys[1], new[SUITE])
    callee = srtp.Endpoint(ports[1], None, None, None)
    for end in (caller, callee):
        t.defer(end.close)
    callee.say(callee_line.target, 20)
    good, bad = caller.hear(0.5)
    expect(not good and not bad, f"{len(good)} and {bad} packets came before the answer")
    line = protected_line(ports[0], keys[1]).replace("a=crypto:1", f"a=crypto:{number}")
    pair.caller.reply(invite, 200, "OK", line)
    pair.caller.acknowledged(invite)
    caller.say(offered[0].target, 25, value=0x33)
    good, _ = callee.hear(0.5)
    expect(len(good) >= 20 and set(good) == {b"\x33" * 160}, f"the callee heard {len(good)} packets")
    callee.say(callee_line.target, 25, value=0x44)
    good, bad = caller.hear(0.5)
    expect(len(good) >= 20 and not bad and set(good) == {b"\x44" * 160}, f"the caller heard {len(good)}, {bad} not")
    ended_normally(pair.hang_up(pair.caller), "caller")
    store = b"".join(path.read_bytes() for path in world.folder.glob("demarc.db*"))
    secrets = [base64.b64encode(key) for key in (*keys, old, *new.values())]
    expect(not any(secret in store for secret in secrets), "a key is in the store")


@test("protected-refused", 60)
def protected_refused(t):
    """New keys that are refused: both sides are told that it is over, and the record says why"""
    world = own_world(t)
    keys, ports = [srtp.new_key(SUITE)], [free_port() for _ in range(2)]
    pair, _, _ = protected_pair(
        t, world, protected_line(ports[0], keys[0]), ports[1], BY_KEYS_IN_SDP)
    again(world)
    invite = pair.caller.asked()
    pair.caller.reply(invite, 488, "Not Acceptable Here")
    pair.caller.acknowledged(invite)
    pair.caller.ended()
    pair.callee.ended()
    record = world.record(pair.number)
    expect(record["cause"] == "interrupted", f"the cause is {record['cause']}")
    expect(any("keys" in note for note in (record.get("notes") or [])), f"notes: {record.get('notes')}")
    expect(recovered(world, "released") == 1, "the metric does not say it")
    world.at_rest()


# --- a new handshake ----------------------------------------------------------------------------------------


UNUSED = "could not go on after a restart: a peer agreed to new keys of its media and did not use them"


def handshake_line(port, certificate, setup):
    line = audio_line(port, more=certificate.lines(setup) + "a=sendrecv\r\n")
    return line.replace("RTP/AVP", "UDP/TLS/RTP/SAVP")


def shaken(t, port, certificate, client, target):
    end = dtls.Endpoint(port, certificate, client)
    t.defer(end.close)
    expect(end.shake(target if client else None), "no handshake")
    return end


def hear_each_other(caller, callee, to_caller, to_callee):
    for speaker, target, listener, value in ((caller, to_caller, callee, 0x33), (callee, to_callee, caller, 0x44)):
        speaker.say(target, 25, value=value)
        good, bad = listener.hear(0.5)
        expect(len(good) >= 20 and not bad and set(good) == {bytes([value]) * 160},
               f"{len(good)} of 25 were heard, {bad} could not be opened")


def new_handshake(t, setup):
    world = own_world(t)
    certificate, client = dtls.Certificate(t.folder), setup == "active"
    ports = [free_port() for _ in range(2)]
    pair, callee_line, answered = protected_pair(
        t, world, handshake_line(ports[0], certificate, setup), ports[1], BY_DTLS)
    first = shaken(t, ports[0], certificate, client, answered.target)
    old = first.peer_fingerprint()
    callee = srtp.Endpoint(ports[1], None, None, None)
    t.defer(callee.close)
    hear_each_other(first, callee, answered.target, callee_line.target)
    again(world)
    first.close()
    invite = pair.caller.asked()
    fingerprint, offered, target = dtls.described(invite.body)
    expect(offered == "actpass" and target == answered.target, f"the offer is {invite}")
    expect(fingerprint != old, "the certificate is the earlier process's")
    pair.caller.reply(invite, 200, "OK", handshake_line(ports[0], certificate, setup))
    pair.caller.acknowledged(invite)
    second = shaken(t, ports[0], certificate, client, target)
    expect(second.peer_fingerprint() == fingerprint, "another certificate than the offer names")
    hear_each_other(second, callee, target, callee_line.target)
    # Whoever has shaken hands is not missed when the time for it is over.
    for _ in range(5):
        time.sleep(2)
        hear_each_other(second, callee, target, callee_line.target)
    ended_normally(pair.hang_up(pair.caller), "caller")


@test("handshake-active", 60)
def handshake_active(t):
    """Keys of DTLS are gone with the process too: the next one offers its new certificate, and under the keys of a new
    handshake, which the peer begins, speech goes on"""
    new_handshake(t, "active")


@test("handshake-passive", 60)
def handshake_passive(t):
    """The same where we begin it"""
    new_handshake(t, "passive")


@test("handshake-baresip", 60)
def handshake_baresip(t):
    """baresip 1.0.0 answers the offer of a new certificate by 200 and shakes hands no more: the call ends, on both sides,
    within the media timeout, and its record says why"""
    world = HandshakeWorld(t)
    bob = world.phone(t, "bob", silence(60), answer="auto")
    alice = world.phone(t, "alice", silence(60))
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    alice.wait_heard(1, 8)
    call = world.live(world.extension("bob"))
    again(world)
    expect(recovered(world) == 1, f"{recovered(world)} calls were recovered")
    back = time.monotonic()
    alice.closed(12)
    bob.closed(5)
    t.remark = f"ended {time.monotonic() - back:.1f} s after the restart"
    record = World.ended(world, call["id"])
    expect(record["cause"] == "interrupted" and UNUSED in (record.get("notes") or []),
           f"the cause is {record['cause']}, notes: {record.get('notes')}")
    expect(recovered(world, "released") == 1, "the metric does not say it")
    world.at_rest()


SAID, BACK = "Glue the sheet to the dark blue background.", "The juice of lemons makes fine punch."


def over_and_over(text, seconds=60):
    """(the words with what is silent behind them, the same again and again)"""
    words = audio.numpy.concatenate([audio.speech(text), silence(0.5)])
    return words, audio.numpy.tile(words, int(seconds * audio.RATE / len(words)) + 1)


@test("linphone", 90)
def keys_of_linphone(t):
    """linphone under keys of SDP in a call with a phone of plain RTP: it takes new ones, and each hears the other whole"""
    world = HandshakeWorld(t)
    (said, says), (back, says_back) = over_and_over(SAID), over_and_over(BACK)
    carol = world.phone(t, "carol", says_back, answer="auto", keys=None)
    phone = registered_user(t, world, "dave", says, sip=MANDATORY)
    phone.type(f"call sip:{world.extension('carol')}@{world.domain}")
    call = world.live(world.extension("carol"), 10)
    carol.wait_heard(2, 10)
    again(world)
    expect(recovered(world) == 1, f"{recovered(world)} calls were recovered")
    # Both texts twice from the first packet on, so that each is whole in what is looked at.
    seconds = 2 * max(len(said), len(back)) / audio.RATE
    carol.wait_heard(len(carol.heard()) / audio.RATE + seconds + 1, seconds + 15)
    phone.type("terminate all")
    record = World.ended(world, call["id"])
    ended_normally(record, "caller")
    phone.stop()
    size = int(seconds * audio.RATE)
    one = audio.check_likeness("the callee heard", said, carol.heard()[-size:])
    other = audio.check_likeness("the caller heard", back, audio.trim(phone.heard())[-size:])
    t.remark = f"{one.correlation:.4f} and {other.correlation:.4f}"


@test("linphone-echo", 90)
def keys_of_linphone_at_the_echo(t):
    """linphone under keys of SDP hears its words from the echo application again"""
    world = HandshakeWorld(t)
    said, says = over_and_over(SAID)
    phone = registered_user(t, world, "dave", says, sip=MANDATORY)
    phone.type(f"call sip:9001@{world.domain}")
    call = world.live("9001", 10)
    time.sleep(2)
    again(world)
    expect(recovered(world) == 1, f"{recovered(world)} calls were recovered")
    seconds = 2 * len(said) / audio.RATE
    time.sleep(seconds + 3)
    phone.type("terminate all")
    ended_normally(World.ended(world, call["id"]), "caller")
    phone.stop()
    heard = audio.trim(phone.heard())[-int(seconds * audio.RATE):]
    t.remark = str(audio.check_likeness("echo", said, heard))
