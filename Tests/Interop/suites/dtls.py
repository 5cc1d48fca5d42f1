"""Encrypted media whose keys are agreed on by DTLS: phones that speak it, and far ends of our own that do it wrongly."""

import socket
import threading
import time

from harness import audio, dtls, srtp
from harness.agent import token
from harness.case import test
from harness.conversation import talk
from harness.linphone import registered_user
from harness.ports import free_range
from harness.process import expect, wait_until
from harness.world import World

from .secure import BACK, WORDS, notes

BY_DTLS = {"srtp": "require", "srtpKeys": "dtls"}


class HandshakeWorld(World):
    """alice and bob must be encrypted by DTLS, dave by keys in SDP, though all come by UDP; carol may be; erin must not.
    The carrier north must be as alice is."""

    def __init__(self, t):
        super().__init__(t.folder, t.program, media_pairs=100)
        t.defer(self.close)
        self.start()

    def user_accounts(self):
        rules = {
            "alice": BY_DTLS, "bob": BY_DTLS, "dave": {"srtp": "require", "srtpWithoutTLS": True},
            "erin": {"srtp": "off"},
        }
        return [{**account, **rules.get(account["name"], {})} for account in super().user_accounts()]

    def resources(self):
        document = super().resources()
        for trunk in document["trunks"]:
            if trunk["name"] == "north":
                trunk.update(BY_DTLS)
        return document

    def phone(self, t, name, says, answer="manual", keys="dtls", **options):
        modules, more = {
            "dtls": (["dtls_srtp"], "mediaenc=dtls_srtp"), "sdes": (["srtp"], "mediaenc=srtp-mand"), None: ([], ""),
        }[keys]
        return t.user(name, world=self, says=says, answer=answer, modules=modules, more=more, **options)

    def agent(self, t, user):
        return t.agent(world=self, user=user, password=self.users[user]["password"])

    def handshakes(self, outcome):
        return self.demarc.metrics()[f'demarc_media_handshakes_total{{outcome="{outcome}"}}']


def agreed(record, side):
    return f"{side}: keys agreed by DTLS, SRTP_" in notes(record)


# --- phones ----------------------------------------------------------------------------------------------


@test("baresip", 60)
def baresip(t):
    """Two phones that demand DTLS talk, each under keys of its own, and hear each other whole"""
    world = HandshakeWorld(t)
    (a, a_says), (b, b_says) = audio.spoken(WORDS), audio.spoken(BACK)
    bob = world.phone(t, "bob", b_says, answer="auto")
    alice = world.phone(t, "alice", a_says)
    record = talk(t, world, alice, bob, a, b)
    expect(agreed(record, "caller") and agreed(record, "callee"), f"notes: {notes(record)}")
    t.remark += f"; {notes(record)}"
    ladder = world.demarc.command("call", "ladder", record["id"], "--messages")
    expect("UDP/TLS/RTP/SAVP" in ladder and "a=setup:" in ladder, "no DTLS in the ladder")


@test("bridged-sdes", 60)
def bridged_sdes(t):
    """A phone with DTLS calls one with keys in SDP"""
    world = HandshakeWorld(t)
    (a, a_says), (b, b_says) = audio.spoken(WORDS), audio.spoken(BACK)
    dave = world.phone(t, "dave", b_says, answer="auto", keys="sdes")
    alice = world.phone(t, "alice", a_says)
    record = talk(t, world, alice, dave, a, b)
    expect(agreed(record, "caller") and "callee by SRTP" in notes(record), f"notes: {notes(record)}")


@test("bridged-plain", 60)
def bridged_plain(t):
    """A phone of plain RTP calls one with DTLS"""
    world = HandshakeWorld(t)
    (a, a_says), (b, b_says) = audio.spoken(WORDS), audio.spoken(BACK)
    bob = world.phone(t, "bob", b_says, answer="auto")
    carol = world.phone(t, "carol", a_says, keys=None)
    record = talk(t, world, carol, bob, a, b)
    expect(agreed(record, "callee") and not agreed(record, "caller"), f"notes: {notes(record)}")
    expect("caller" not in notes(record), f"notes: {notes(record)}")


@test("hold", 60)
def hold(t):
    """A phone with DTLS holds and resumes: the same association goes on, and packets flow again both ways"""
    world = HandshakeWorld(t)
    alice = world.phone(t, "alice", None)
    alice.dial(f"sip:9002@{world.domain}")
    alice.established()
    alice.wait_heard(2, 8)
    call = world.live("9002")
    before = world.handshakes("done")
    alice.command("hold")
    time.sleep(1)
    alice.command("resume")
    # Its recording ends with the hold, so that packets are counted.
    time.sleep(4)
    after = world.handshakes("done")
    alice.hang_up()
    record = world.ended(call["id"])
    expect(after == before, f"{before} handshakes before and {after} after")
    expect(notes(record).count("keys agreed by DTLS") == 1, f"notes: {notes(record)}")
    sent, received = alice.packets()
    heard = record["quality"]["fromCaller"]["packets"]
    expect(received > 230 and heard > 230, f"{received} packets to the phone and {heard} from it, of {sent}")


@test("linphone", 60)
def linphone(t):
    """linphone with mandatory DTLS hears its own words from the echo application"""
    world = HandshakeWorld(t)
    words, says = audio.spoken(WORDS)
    phone = registered_user(
        t, world, "alice", says, sip="media_encryption=dtls\nmedia_encryption_mandatory=1\n")
    # It swallows a part of the first syllable where it has its keys by DTLS: all packets pass both ways from the first on.
    record, likeness = phone.hear_echo(world, words, correlation=0.9, window=0.3)
    expect(agreed(record, "caller"), f"notes: {notes(record)}")
    t.remark = f"{likeness}; {notes(record)}"


# --- far ends of our own ------------------------------------------------------------------------------------


def offer(agent, port, lines, profile="UDP/TLS/RTP/SAVP"):
    return agent.sdp(port, formats="0").replace("RTP/AVP", profile).replace("a=ptime", lines + "a=ptime")


def call_echo(t, world, user, certificate, setup, profile="UDP/TLS/RTP/SAVP"):
    """A call to the echo, answered: its dialog, our port, the answer's fingerprint, setup and address."""
    agent, port = world.agent(t, user), free_range(2)
    answer, dialog = agent.exchange(
        "INVITE", f"sip:9001@{world.domain}", body=offer(agent, port, certificate.lines(setup), profile))
    expect(answer.status == 200, answer.start)
    expect(f" {profile} " in answer.body.decode(), answer.body.decode())
    return dialog, port, dtls.described(answer.body)


def echoes(end, target, count=15, value=0x42):
    """Whether so many frames come back, and nothing else."""
    end.say(target, count, value)
    good, bad = end.hear(0.5)
    expect(not bad, f"{bad} packets could not be opened")
    return len(good) == count and set(good) == {bytes([value]) * 160}


@test("roles", 60)
def roles(t):
    """Who offers actpass is called upon, who offers active begins itself; each protection profile carries an echo"""
    world = HandshakeWorld(t)
    certificate = dtls.Certificate(t.folder)
    profiles = (b"SRTP_AES128_CM_SHA1_80", b"SRTP_AES128_CM_SHA1_32", b"SRTP_AEAD_AES_128_GCM", b"SRTP_AEAD_AES_256_GCM")
    first, slowest = None, 0
    for profile in profiles:
        for setup, answered, client in (("actpass", "active", False), ("active", "passive", True)):
            dialog, port, (fingerprint, said, target) = call_echo(t, world, "alice", certificate, setup)
            expect(said == answered, f"{setup} was answered by {said}")
            end = dtls.Endpoint(port, certificate, client, profiles=profile)
            t.defer(end.close)
            began = time.monotonic()
            expect(end.shake(target if client else None), f"{setup}: no handshake with {profile.decode()}")
            slowest = max(slowest, time.monotonic() - began)
            expect(end.peer_fingerprint() == fingerprint, "another certificate than the answer names")
            first = first or fingerprint
            expect(fingerprint == first, "a certificate is for all calls of a process")
            expect(echoes(end, target), f"{setup}, {profile.decode()}: no echo")
            expect(dialog.bye().status == 200, "BYE")
    expect(slowest < 1, f"a handshake took {slowest:.2f} s")
    t.remark = f"slowest handshake {slowest * 1000:.0f} ms"


@test("fragments", 60)
def fragments(t):
    """Hellos of 1 700 bytes, as one with post-quantum key shares has, and certificates, in datagrams of 256 bytes and of
    1 200, in order and in the opposite one: each handshake is over within a second, and an echo comes"""
    world = HandshakeWorld(t)
    certificate = dtls.Certificate(t.folder)
    slowest = 0
    for setup, client in (("active", True), ("actpass", False)):
        for mtu, names in ((1200, 8), (256, 8), (256, 0)) if client else ((256, 0),):
            for reorders in (False, True):
                dialog, port, (fingerprint, _, target) = call_echo(t, world, "alice", certificate, setup)
                end = dtls.Endpoint(port, certificate, client, mtu=mtu, names=names, reorders=reorders)
                t.defer(end.close)
                what = f"{setup}, {mtu} bytes, {names} names, reordered: {reorders}"
                began = time.monotonic()
                expect(end.shake(target if client else None), f"{what}: no handshake")
                slowest = max(slowest, time.monotonic() - began)
                expect(end.cut > 0, f"{what}: nothing came in fragments")
                expect(end.peer_fingerprint() == fingerprint, "another certificate than the answer names")
                expect(echoes(end, target), f"{what}: no echo")
                expect(dialog.bye().status == 200, "BYE")
    expect(slowest < 1, f"a handshake took {slowest:.2f} s")
    t.remark = f"slowest handshake {slowest * 1000:.0f} ms"


@test("reoffers", 60)
def reoffers(t):
    """The same description again keeps the association, another certificate begins a new one"""
    world = HandshakeWorld(t)
    first, second = dtls.Certificate(t.folder, "first"), dtls.Certificate(t.folder, "second")
    dialog, port, (fingerprint, _, target) = call_echo(t, world, "alice", first, "active")
    end = dtls.Endpoint(port, first, True)
    t.defer(end.close)
    expect(end.shake(target), "no handshake")
    expect(echoes(end, target), "no echo")
    done = world.handshakes("done")
    for direction in ("sendonly", "sendrecv"):
        body = offer(dialog.agent, port, first.lines("actpass")).replace("a=sendrecv", f"a={direction}")
        answer = dialog.reoffer(body.replace("o=- 1 1", f"o=- 1 {5 if direction == 'sendonly' else 6}"))
        expect(answer.status == 200, answer.start)
        expect(dtls.described(answer.body)[:2] == (fingerprint, "passive"), f"{answer}")
    expect(echoes(end, target, value=0x24), "no echo after the hold")
    expect(world.handshakes("done") == done, "the association did not stay")
    body = offer(dialog.agent, port, second.lines("active")).replace("o=- 1 1", "o=- 1 7")
    expect(dialog.reoffer(body).status == 200, "another certificate")
    end.say(target, 10)
    good, _ = end.hear(0.3)
    expect(not good, "the old keys still hold")
    end.close()
    other = dtls.Endpoint(port, second, True)
    t.defer(other.close)
    expect(other.shake(target), "no second handshake")
    expect(echoes(other, target), "no echo under the second one's keys")
    expect(dialog.bye().status == 200, "BYE")


@test("strangers", 90)
def strangers(t):
    """Hellos, alerts and garbage of strangers, before and during: each of twenty handshakes is over within a second"""
    world = HandshakeWorld(t)
    certificate, other = dtls.Certificate(t.folder), dtls.Certificate(t.folder, "other")
    alert = b"\x15\xfe\xfd" + bytes(7) + b"\1\0\2\2\x28"
    slowest = 0
    for number in range(20):
        client = number % 2 == 0
        dialog, port, (_, _, target) = call_echo(
            t, world, "alice", certificate, "active" if client else "passive")
        end = dtls.Endpoint(port, certificate, client)
        stop = threading.Event()
        noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        noise.bind(("127.0.0.9", 0))

        def disturb():
            while not stop.wait(0.002):
                for datagram in (dtls.hello(), alert, b"\x16\xfe\xfd" + bytes(70)):
                    noise.sendto(datagram, target)
        thread = threading.Thread(target=disturb)
        thread.start()
        intruder = dtls.Endpoint(free_range(2), other, True, address="127.0.0.9")
        try:
            intruder.shake(target, 0.1)
            began = time.monotonic()
            expect(end.shake(target if client else None, 2), f"no handshake in call {number}")
            slowest = max(slowest, time.monotonic() - began)
            expect(echoes(end, target), f"no echo in call {number}")
        finally:
            stop.set()
            thread.join()
            noise.close()
            intruder.close()
            end.close()
        expect(dialog.bye().status == 200, "BYE")
    expect(slowest < 1, f"a handshake took {slowest:.2f} s")
    kinds = 'demarc_media_handshake_datagrams_total{kind="%s"}'
    metrics = world.demarc.metrics()
    expect(metrics[kinds % "hello"] > 100 and metrics[kinds % "stray"] > 100, "strangers were not counted")
    t.remark = f"slowest handshake {slowest * 1000:.0f} ms"


@test("wrong-certificate", 60)
def wrong_certificate(t):
    """Who shows another certificate than its SDP names gets no echo, is told of, and can still do it right"""
    world = HandshakeWorld(t)
    certificate, other = dtls.Certificate(t.folder), dtls.Certificate(t.folder, "other")
    dialog, port, (_, _, target) = call_echo(t, world, "alice", certificate, "active")
    call = world.live("9001")
    wrong = dtls.Endpoint(port, other, True)
    expect(wrong.shake(target), "the handshake itself goes well")
    wrong.say(target, 20)
    good, bad = wrong.hear(0.4)
    expect(not good and not bad, f"{len(good)} and {bad} packets came back")
    wait_until(lambda: world.handshakes("wrongFingerprint") == 1, 3, "the wrong certificate to be counted")
    verdict = 'demarc_audio_verdicts_total{reason="wrong-fingerprint"}'
    wait_until(lambda: world.demarc.metrics()[verdict] == 1, 5, "a verdict")
    wrong.close()
    right = dtls.Endpoint(port, certificate, True)
    t.defer(right.close)
    expect(right.shake(target), "no second handshake")
    expect(echoes(right, target), "no echo")
    expect(dialog.bye().status == 200, "BYE")
    record = world.ended(call["id"])
    expect(notes(record).count("caller: wrong fingerprint") == 1 and agreed(record, "caller"), notes(record))


@test("no-handshake", 30)
def no_handshake(t):
    """Who offers DTLS and never begins is told to be unheard for that, and what it sends unprotected is dropped"""
    world = HandshakeWorld(t)
    certificate = dtls.Certificate(t.folder)
    dialog, port, (_, _, target) = call_echo(t, world, "alice", certificate, "active")
    call = world.live("9001")
    end = srtp.Endpoint(port, None, None, None)
    t.defer(end.close)
    end.say(target, 30)
    good, _ = end.hear(0.3)
    expect(not good, f"{len(good)} packets came back")
    verdict = 'demarc_audio_verdicts_total{reason="no-handshake"}'
    wait_until(lambda: world.demarc.metrics()[verdict] == 1, 5, "a verdict")
    expect(dialog.bye().status == 200, "BYE")
    record = world.ended(call["id"])
    expect("the caller is not heard: no-handshake" in notes(record), notes(record))


@test("offers", 30)
def offers(t):
    """What is offered decides: plain or SHA-1 where DTLS must be, DTLS where nothing may be: 488 with its cause"""
    world = HandshakeWorld(t)
    certificate = dtls.Certificate(t.folder)
    weak = "a=fingerprint:sha-1 " + ":".join(["AB"] * 20) + "\r\na=setup:actpass\r\n"
    good = certificate.lines()
    for user, lines, profile, cause in (
            ("alice", "", "RTP/AVP", "srtp-required"), ("alice", weak, "UDP/TLS/RTP/SAVP", "srtp-unsupported"),
            ("carol", "", "UDP/TLS/RTP/SAVPF", "srtp-unsupported"),
            ("erin", good, "UDP/TLS/RTP/SAVP", "srtp-refused")):
        agent = world.agent(t, user)
        known = {record["id"] for record in world.records("9001")}
        answer, _ = agent.exchange(
            "INVITE", f"sip:9001@{world.domain}", body=offer(agent, free_range(2), lines, profile))
        record = wait_until(
            lambda: next((record for record in world.records("9001")
                          if record["id"] not in known and record["state"] == "ended"), None), 5, "the record")
        expect(answer.status == 488 and record.get("cause") == cause, f"{user}: {answer.start}, {record.get('cause')}")
    # Both kinds of keys under one protocol: that one is taken. An old way to say DTLS is understood.
    key = srtp.line(srtp.new_key())
    for lines, profile, has in ((good + key, "UDP/TLS/RTP/SAVPF", "fingerprint"), (good + key, "RTP/SAVP", "crypto"),
                                (good, "RTP/SAVPF", "fingerprint")):
        agent = world.agent(t, "carol" if has == "fingerprint" else "dave")
        answer, dialog = agent.exchange(
            "INVITE", f"sip:9001@{world.domain}", body=offer(agent, free_range(2), lines, profile))
        body = answer.body.decode()
        expect(answer.status == 200 and f" {profile} " in body and f"a={has}:" in body, f"{answer}")
        expect(("fingerprint" in body) != ("crypto" in body), body)
        expect(dialog.bye().status == 200, "BYE")


@test("carrier", 30)
def carrier(t):
    """A carrier is offered actpass, may begin or be called upon, and talks with a caller of plain RTP; one that answers
    plain RTP ends the call"""
    world = HandshakeWorld(t)
    certificate = dtls.Certificate(t.folder, "carrier")
    north = t.agent(world=world, user="north", port=world.ports["north"])
    for setup in ("active", "passive", None):
        number, port, plain = world.number("+4930"), free_range(2), srtp.Endpoint(free_range(2), None, None, None)
        caller = world.agent(t, "carol")
        result = {}

        def dial():
            result["answer"], result["dialog"] = caller.exchange(
                "INVITE", f"sip:{number}@{world.domain}", seconds=10,
                body=caller.sdp(plain.socket.getsockname()[1], formats="0"))
        thread = threading.Thread(target=dial)
        thread.start()
        invite = north.expect_request("INVITE", 10)
        fingerprint, offered, target = dtls.described(invite.body)
        expect(" UDP/TLS/RTP/SAVP " in invite.body.decode() and offered == "actpass", f"{invite}")
        end = dtls.Endpoint(port, certificate, setup == "active")
        body = north.sdp(port, formats="0")
        if setup:
            body = offer(north, port, certificate.lines(setup))
        north.send(north.answer_to(invite, 200, "OK", tag=token(), body=body))
        thread.join(10)
        if setup is None:
            expect(result["answer"].status == 488, result["answer"].start)
            record = world.record(number)
            expect(record["cause"] == "srtp-required", f"{record}")
        else:
            expect(result["answer"].status == 200, result["answer"].start)
            expect(end.shake(target if setup == "active" else None), f"{setup}: no handshake")
            expect(end.peer_fingerprint() == fingerprint, "another certificate than the offer names")
            way = dtls.described(result["answer"].body)[2]
            plain.say(way, 15, 0x21)
            end.say(target, 15, 0x12)
            good, bad = end.hear(0.5)
            expect(not bad and good.count(b"\x21" * 160) >= 14, f"{setup}: the carrier heard {len(good)}, {bad}")
            good, _ = plain.hear(0.5)
            expect(good.count(b"\x12" * 160) >= 14, f"{setup}: the caller heard {len(good)}")
            expect(result["dialog"].bye().status == 200, "BYE")
            bye = north.expect_request("BYE")
            north.send(north.answer_to(bye, 200, "OK"))
            record = world.record(number)
            expect(agreed(record, "callee") and not agreed(record, "caller"), notes(record))
        end.close()
        plain.close()
