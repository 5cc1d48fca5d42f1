"""baresip phones that register, call each other and the applications, with speech that is compared."""

import re
import time

from harness import audio
from harness.audio import numpy, silence, spoken
from harness.case import test
from harness.conversation import FIRST, SECOND, talk, voices
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.world import MEDIA_TIMEOUT


def call_application(t, extension, says=None, user="alice", **options):
    phone = t.user(user, says=says, **options)
    phone.dial(f"sip:{extension}@{t.world.domain}")
    phone.established()
    return phone


@test("each-other", 40)
def each_other(t):
    """Two registered phones talk, each hears the other whole"""
    world = t.world
    (a, a_says), (b, b_says) = voices()
    bob = t.user("bob", says=b_says, answer="auto")
    alice = t.user("alice", says=a_says)
    record = talk(t, world, alice, bob, a, b)
    expect(record["codec"] == "PCMU/8000", f"codec {record['codec']}")
    for side in ("fromCaller", "fromCallee"):
        expect(record["quality"][side]["mos"] > 4, f"{side}: {record['quality'][side]}")


@test("pcma", 40)
def pcma(t):
    """The codec that both sides choose is the one that is spoken: PCMA"""
    a, a_says = spoken(FIRST)
    phone = call_application(t, "9001", a_says, codecs="PCMA/8000/1")
    seconds = len(a) / audio.RATE + 1.6
    phone.wait_heard(seconds, seconds + 8)
    call = t.world.live("9001")
    phone.hang_up()
    likeness = audio.check_likeness("echo", a, phone.heard())
    record = t.world.ended(call["id"], 5)
    expect(record["codec"] == "PCMA/8000", f"codec {record['codec']}")
    t.remark = str(likeness)


@test("echo", 40)
def echo(t):
    """The echo application returns the phone's own words"""
    words, says = spoken(FIRST)
    phone = call_application(t, "9001", says)
    seconds = len(words) / audio.RATE + 1.6
    phone.wait_heard(seconds, seconds + 8)
    phone.hang_up()
    t.remark = str(audio.check_likeness("echo", words, phone.heard()))


@test("milliwatt")
def milliwatt(t):
    """The milliwatt application is 1004 Hz at 0 dBm0"""
    phone = call_application(t, "9002")
    phone.wait_heard(2.5, 12)
    phone.hang_up()
    heard = phone.heard()
    tone = heard[audio.RATE // 2: 2 * audio.RATE]
    share, level = audio.tone_share(tone, 1004), audio.level_dbm0(tone)
    expect(share > 0.99, f"only {share:.3f} of the power is at 1004 Hz")
    expect(abs(level) < 0.5, f"the level is {level:.2f} dBm0")
    t.remark = f"{share:.4f} of the power at 1004 Hz, {level:+.2f} dBm0"


@test("announcement", 40)
def announcement(t):
    """The announcement is heard whole, and then the call ends by itself"""
    world = t.world
    phone = call_application(t, "9003")
    phone.closed(len(world.announcement) / audio.RATE + 6)
    t.remark = str(audio.check_likeness("announcement", world.announcement, phone.heard()))


@test("quality-test", 50)
def quality_test(t):
    """The quality test listens, speaks its result and ends"""
    _, says = spoken(" ".join((FIRST, SECOND, FIRST)))
    phone = call_application(t, "9004", says)
    phone.closed(35)
    heard = phone.heard()
    spoken_part = audio.trim(heard, 300)
    seconds = len(spoken_part) / audio.RATE
    expect(seconds > 2, f"only {seconds:.1f} s were spoken")
    loud = spoken_part[numpy.abs(spoken_part) > 300]
    expect(audio.level_dbm0(loud) > -30, "what was spoken is too quiet")
    t.remark = f"{seconds:.1f} s of speech"


@test("hold", 60)
def hold(t):
    """A call on hold is not ended for its silence, and speech passes after the resume"""
    world = t.world
    number = world.number("+4938")
    words = audio.speech(FIRST)
    held, resumed_after = MEDIA_TIMEOUT + 3, 1.2
    # The phone's file plays on while it holds, so the words lie behind the hold.
    alice = t.user("alice", says=numpy.concatenate([silence(1 + held + resumed_after + 1.5), words]))
    east = t.agent(user="east", port=world.ports["east"])
    media = Endpoint(free_port())
    t.defer(media.close)
    here = media.socket.getsockname()[1]

    def answered(direction):
        """The next INVITE is answered with SDP of a direction; what it offered comes back."""
        invite = east.expect_request("INVITE", 5)
        body = east.sdp(here).replace("a=sendrecv", f"a={direction}")
        east.socket.sendto(east.answer_to(invite, 200, "OK", "east", body=body), invite.source)
        east.expect_request("ACK")
        return invite.body.decode()

    alice.dial(f"sip:{number}@{world.domain}")
    offer = answered("sendrecv")
    alice.established()
    target = ("127.0.0.1", int(re.search(r"m=audio (\d+)", offer).group(1)))
    media.speak(silence(1.5), target)
    alice.wait_heard(1, 6)
    alice.command("hold")
    expect("a=sendonly" in answered("recvonly"), "the hold did not reach the other side")
    call = world.live(number)
    time.sleep(held)
    expect(world.live(number)["id"] == call["id"], "the call on hold is gone")
    media.packets.clear()
    alice.command("resume")
    expect("a=sendrecv" in answered("sendrecv"), "the resume did not reach the other side")
    media.speak(silence(15), target)
    time.sleep(resumed_after + 1.5 + len(words) / audio.RATE)
    alice.command("hangup")
    bye = east.expect_request("BYE")
    east.socket.sendto(east.answer_to(bye, 200, "OK"), bye.source)
    record = world.ended(call["id"])
    expect(record["cause"] == "normal-clearing", f"ended with {record['cause']}")
    t.remark = str(audio.check_likeness("after the resume", words, media.heard()))


@test("media-timeout", 40)
def media_timeout(t):
    """A phone that dies in a call: the call ends by itself, and the record says why"""
    world = t.world
    bob = t.user("bob", answer="auto")
    alice = t.user("alice")
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    call = world.live(world.extension("bob"))
    bob.wait_heard(1, 6)
    alice.kill()
    bob.closed(MEDIA_TIMEOUT + 6)
    record = world.ended(call["id"], 40)
    expect(record["cause"] == "media-timeout", f"ended with {record['cause']}")
    expect(record["releasedBy"] == "system", f"ended by {record['releasedBy']}")


@test("chain", 60)
def chain(t):
    """A number's chain: its user does not answer, the announcement does"""
    world = t.world
    carol = t.user("carol")
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    answer, dialog = pbx.exchange(
        "INVITE", f"sip:+4940102@{world.domain}", body=pbx.sdp(31998), seconds=12)
    expect(answer.status == 200, f"the caller got {answer.start}")
    carol.closed()
    dialog.bye()
    record = wait_until(
        lambda: next((r for r in world.records("+4940102") if r["state"] == "ended"), None), 5, "the record")
    targets = [attempt["target"] for attempt in record["attempts"]]
    expect(len(targets) == 2, f"attempts: {record['attempts']}")


@test("operator-hangs-up", 40)
def operator_hangs_up(t):
    """`demarc call hangup` ends both legs"""
    world = t.world
    bob = t.user("bob", answer="auto")
    alice = t.user("alice")
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    call = world.live(world.extension("bob"))
    world.demarc.command("call", "hangup", call["id"])
    alice.closed()
    bob.closed()
    record = world.ended(call["id"])
    expect(record["cause"] == "hung-up-by-operator" and record["releasedBy"] == "operator", f"{record}")
