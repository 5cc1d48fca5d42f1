"""Encrypted media: phones that speak SRTP, and packets under no key, a wrong one, or twice."""

import re
import time

from harness import audio, srtp
from harness.case import test
from harness.conversation import talk
from harness.linphone import registered_user
from harness.ports import free_port
from harness.process import expect, wait_until
from suites.streams import StreamWorld

# Of linphone.
MANDATORY = "media_encryption=srtp\nmedia_encryption_mandatory=1\n"
WORDS = "Glue the sheet to the dark blue background."
BACK = "The juice of lemons makes fine punch."


class SecureWorld(StreamWorld):
    """alice and bob must be encrypted and come by TLS; carol may be; dave must, and may come by anything; erin
    must not."""

    def user_accounts(self):
        rules = {
            "alice": {"srtp": "require", "transport": "tls"}, "bob": {"srtp": "require", "transport": "tls"},
            "dave": {"srtp": "require", "srtpWithoutTLS": True}, "erin": {"srtp": "off"},
        }
        return [{**account, **rules.get(account["name"], {})} for account in super().user_accounts()]

    def phone(self, t, name, says, secure=True, more="mediaenc=srtp-mand", answer="manual", **options):
        account = self.users[name]
        tls = {"registrar": f"127.0.0.1:{self.ports['tls']};transport=tls", "cafile": self.authority[0],
               "transport": "tls"}
        plain = {"registrar": self.sip}
        phone = t.phone(
            name, user=name, password=account["password"], domain=self.domain, says=says, answer=answer,
            modules=["srtp"], more=more, **(tls if secure else plain), **options)
        return phone.registered()


def notes(record):
    return " / ".join(record.get("notes") or [])


def dropped(world, reason):
    return world.demarc.metrics()[f'demarc_media_packets_dropped_total{{reason="{reason}"}}']


@test("baresip", 60)
def baresip(t):
    """Two phones by TLS with mandatory SRTP talk, each under keys of its own, and hear each other whole"""
    world = SecureWorld(t)
    (a, a_says), (b, b_says) = audio.spoken(WORDS), audio.spoken(BACK)
    bob = world.phone(t, "bob", b_says, answer="auto")
    alice = world.phone(t, "alice", a_says)
    record = talk(t, world, alice, bob, a, b)
    expect("caller by SRTP" in notes(record) and "callee by SRTP" in notes(record), f"notes: {notes(record)}")
    expect(dropped(world, "unauthentic") == 0, "packets were refused")
    ladder = world.demarc.command("call", "ladder", record["id"], "--messages")
    expect("inline:***" in ladder, "no ladder of the call, or one without its keys' places")
    expect(not re.search(r"inline:[A-Za-z0-9+/]{8}", ladder), "a key stands in the ladder")


@test("bridged", 60)
def bridged(t):
    """A phone with SRTP by TLS talks with one of plain RTP by UDP"""
    world = SecureWorld(t)
    (a, a_says), (b, b_says) = audio.spoken(WORDS), audio.spoken(BACK)
    carol = world.phone(t, "carol", b_says, secure=False, more="", answer="auto")
    alice = world.phone(t, "alice", a_says)
    record = talk(t, world, alice, carol, a, b)
    expect("caller by SRTP" in notes(record) and "callee by SRTP" not in notes(record), f"notes: {notes(record)}")


@test("converted", 60)
def converted(t):
    """A phone with SRTP that has PCMA alone talks with one of plain RTP that has PCMU alone"""
    world = SecureWorld(t)
    (a, a_says), (b, b_says) = audio.spoken(WORDS), audio.spoken(BACK)
    carol = world.phone(t, "carol", b_says, secure=False, more="", answer="auto", codecs="PCMU/8000/1")
    alice = world.phone(t, "alice", a_says, codecs="PCMA/8000/1")
    record = talk(t, world, alice, carol, a, b)
    expect("caller by SRTP" in notes(record), f"notes: {notes(record)}")
    expect("speech is converted: PCMA and PCMU" in notes(record), f"notes: {notes(record)}")


@test("optional", 60)
def optional(t):
    """A phone that offers a key beside plain RTP gets SRTP; the echo is heard"""
    world = SecureWorld(t)
    a, a_says = audio.spoken(WORDS)
    carol = world.phone(t, "carol", a_says, more="mediaenc=srtp")
    carol.dial(f"sip:9001@{world.domain}")
    carol.established()
    seconds = len(a) / audio.RATE + 1.6
    carol.wait_heard(seconds, seconds + 8)
    call = world.live("9001")
    carol.hang_up()
    t.remark = str(audio.check_likeness("echo", a, carol.heard()))
    record = world.ended(call["id"])
    expect("caller by SRTP" in notes(record), f"notes: {notes(record)}")


@test("linphone", 60)
def linphone(t):
    """linphone with mandatory SRTP hears its own words from the echo application"""
    world = SecureWorld(t)
    words, says = audio.spoken(WORDS)
    phone = registered_user(t, world, "dave", says, sip=MANDATORY)
    record, likeness = phone.hear_echo(world, words)
    expect("caller by SRTP" in notes(record), f"notes: {notes(record)}")
    t.remark = f"{likeness}; {notes(record)}"


def offer(agent, port, crypto, profile="RTP/SAVP"):
    return agent.sdp(port).replace("RTP/AVP", profile).replace("a=ptime", crypto + "a=ptime")


def place(answer):
    body = answer.body.decode()
    return ("127.0.0.1", int(re.search(r"m=audio (\d+) ", body).group(1)))


@test("packets", 60)
def packets(t):
    """Under no key, a wrong one, or twice: nothing of it comes through, and the right packets do, over each suite"""
    world = SecureWorld(t)
    account = world.users["dave"]
    for number, suite in enumerate(srtp.SUITES):
        agent = t.agent(world=world, user="dave", password=account["password"])
        key, port = srtp.new_key(suite), free_port()
        answer, dialog = agent.exchange(
            "INVITE", f"sip:9001@{world.domain}", body=offer(agent, port, srtp.line(key, suite)))
        expect(answer.status == 200, answer.start)
        body = answer.body.decode()
        expect("RTP/SAVP" in body, body)
        found = srtp.lines(body)
        expect(len(found) == 1 and found[0][:2] == (1, suite), f"{found}")
        end = srtp.Endpoint(port, suite, key, found[0][2])
        t.defer(end.close)
        before = {reason: dropped(world, reason) for reason in ("unauthentic", "replayed")}
        wrong = srtp.Context(suite, srtp.new_key(suite), True)
        target = place(answer)
        end.say(target, 20, context="plain")
        end.say(target, 20, context=wrong)
        end.kept = []
        good, bad = end.hear(0.4)
        expect(not good and not bad, f"{suite}: {len(good)} and {bad} came back")
        end.say(target, 20, value=0x33)
        end.again(target)
        good, bad = end.hear(0.6)
        expect(len(good) == 20 and not bad and set(good) == {b"\x33" * 160}, f"{suite}: {len(good)} good, {bad} bad")
        # Counters are told ten times a second.
        wait_until(
            lambda: dropped(world, "unauthentic") - before["unauthentic"] == 40
            and dropped(world, "replayed") - before["replayed"] == 20, 3,
            f"the refused to be counted, {suite}: {dropped(world, 'unauthentic')}, {dropped(world, 'replayed')}")
        expect(dialog.bye().status == 200, "BYE")
    records = wait_until(
        lambda: (found := world.records("9001")) and len(found) == number + 1
        and all(record["state"] == "ended" for record in found) and found, 5, "the records")
    expect(all("refused 40 packets" in notes(record) for record in records), f"{records[0]}")


@test("offers", 30)
def offers(t):
    """What is offered decides: the first usable of two lines; none, plain RTP or SRTP where it may not be: 488"""
    world = SecureWorld(t)

    def call(user, body_of):
        agent = t.agent(world=world, user=user, password=world.users[user]["password"])
        before = {record["id"] for record in world.records("9001")}
        body = body_of(agent, free_port())
        answer, dialog = agent.exchange("INVITE", f"sip:9001@{world.domain}", body=body)
        if answer.status == 200:
            dialog.bye()
        record = wait_until(
            lambda: next((record for record in world.records("9001")
                          if record["id"] not in before and record["state"] == "ended"), None), 5, "the record")
        return answer, record.get("cause")

    good, other = srtp.new_key(), srtp.new_key()
    answer, _ = call("dave", lambda a, p: offer(
        a, p, srtp.line(other, more=" UNENCRYPTED_SRTCP") + srtp.line(good, tag=2, more="|2^31|1:1")))
    expect(answer.status == 200 and [item[:2] for item in srtp.lines(answer.body)] == [(2, "AES_CM_128_HMAC_SHA1_80")],
           f"{answer}")
    for user, body_of, cause in (
            ("dave", lambda a, p: a.sdp(p), "srtp-required"),
            ("dave", lambda a, p: offer(a, p, ""), "srtp-unsupported"),
            ("erin", lambda a, p: offer(a, p, srtp.line(good)), "srtp-refused"),
            ("carol", lambda a, p: offer(a, p, "a=fingerprint:sha-256 00:11\r\n", "UDP/TLS/RTP/SAVPF"),
             "srtp-unsupported")):
        answer, found = call(user, body_of)
        expect(answer.status == 488 and found == cause, f"{user}: {answer.start}, {found}")
        time.sleep(0.05)
