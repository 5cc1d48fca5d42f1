"""Music on hold, and hold in calls whose speech is converted."""

import re
import struct
import time

import numpy

from harness import audio
from harness.audio import silence
from harness.case import test
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.world import World

FIRST = "The birch canoe slid on the smooth planks. It is easy to tell the depth of a well."
MUSIC_HZ = 700


class HoldWorld(World):
    """A Demarc of its own, whose user alice has a tone of 700 Hz as her music, and bob the tenant's, which is ours."""

    def __init__(self, t):
        super().__init__(t.folder, t.program, media_pairs=40)
        t.defer(self.close)
        seconds = numpy.arange(2 * audio.RATE) / audio.RATE
        audio.write_wav(self.folder / "music.wav", 8000 * numpy.sin(2 * numpy.pi * MUSIC_HZ * seconds))

    def tenants(self):
        return [{**super().tenants()[0], "musicOnHold": "own"}]

    def user_accounts(self):
        accounts = super().user_accounts()
        for account in accounts:
            if account["name"] == "alice":
                account["musicOnHold"] = "tone"
        return accounts

    def resources(self):
        resources = super().resources()
        resources["applications"] += [
            {"name": "tone", "tenant": "test", "kind": "music", "file": str(self.folder / "music.wav")},
            {"name": "own", "tenant": "test", "kind": "music", "extension": "9098"}]
        return resources


class Far:
    """A carrier's end by hand: it answers each INVITE as it is told, and keeps what it hears."""

    def __init__(self, t, world, codec="PCMU"):
        self.agent = t.agent(world=world, user="east", port=world.ports["east"])
        self.media = Endpoint(free_port(), codec)
        t.defer(self.media.close)
        self.formats = "0 101" if codec == "PCMU" else "8 101"

    def answer(self, direction):
        """What the INVITE has offered."""
        invite = self.agent.expect_request("INVITE", 5)
        port = self.media.socket.getsockname()[1]
        body = self.agent.sdp(port, formats=self.formats).replace("a=sendrecv", f"a={direction}")
        # One law alone: no line of the other.
        body = body.replace("a=rtpmap:8 PCMA/8000\r\n" if self.media.codec == "PCMU" else "a=rtpmap:0 PCMU/8000\r\n", "")
        self.agent.socket.sendto(self.agent.answer_to(invite, 200, "OK", "east", body=body), invite.source)
        self.agent.expect_request("ACK")
        offer = invite.body.decode()
        self.target = ("127.0.0.1", int(re.search(r"m=audio (\d+)", offer).group(1)))
        return offer

    def since(self, begin):
        """Samples of what came from then on, packet by packet as it came."""
        return numpy.concatenate([numpy.zeros(0)] + [
            audio.g711_decode(self.media.codec, packet[12:]) for at, packet in list(self.media.packets) if at >= begin])

    def expect_one_flow(self):
        """All of it has one source, numbers without a gap or a repetition, and a time that goes on."""
        heads = [struct.unpack("!HII", packet[2:12]) for _, packet in list(self.media.packets)]
        expect(len({ssrc for _, _, ssrc in heads}) == 1, f"sources: {sorted({ssrc for _, _, ssrc in heads})}")
        steps = [(b[0] - a[0]) & 0xFFFF for a, b in zip(heads, heads[1:])]
        expect(all(step == 1 for step in steps), f"steps of the numbers: {[s for s in steps if s != 1]}")
        times = [(b[1] - a[1]) & 0xFFFFFFFF for a, b in zip(heads, heads[1:])]
        expect(all(160 <= step < 80_000 for step in times), f"steps of the time: {[s for s in times if s != 160]}")

    def ended_by(self, phone):
        phone.command("hangup")
        bye = self.agent.expect_request("BYE")
        self.agent.socket.sendto(self.agent.answer_to(bye, 200, "OK"), bye.source)


@test("music", 60)
def music(t):
    """A phone holds: the other side hears its music within a second, told sendonly, and speech again at the resume"""
    world = HoldWorld(t).start()
    number = world.number("+4938")
    words = audio.speech(FIRST)
    held, gap = 4, 1.5
    alice = t.user("alice", world=world, says=numpy.concatenate([silence(2 + held + gap + 1.5), words]))
    far = Far(t, world)
    alice.dial(f"sip:{number}@{world.domain}")
    far.answer("sendrecv")
    alice.established()
    far.media.speak(silence(30), far.target)
    wait_until(lambda: len(far.media.packets) > 75, 6, "a second and a half of silence")
    alice.command("hold")
    expect("a=sendonly" in far.answer("recvonly"), "the other side was not told of the hold")
    begin = time.monotonic()
    time.sleep(held)
    heard = far.since(begin + 1)
    expect(len(heard) > (held - 1.3) * audio.RATE, f"{len(heard) / audio.RATE} s of music in {held - 1} s")
    share = audio.tone_share(heard, MUSIC_HZ)
    expect(share > 0.95, f"{share:.3f} of what is heard is the music")
    level = audio.level_dbm0(heard)
    expect(-12 < level < -6, f"the music has {level:.1f} dBm0")
    call = world.live(number)
    alice.command("resume")
    expect("a=sendrecv" in far.answer("sendrecv"), "the resume did not reach the other side")
    resumed = time.monotonic()
    time.sleep(gap + 1.5 + len(words) / audio.RATE)
    after = far.since(resumed + 0.3)
    expect(audio.tone_share(after, MUSIC_HZ) < 0.3, "the music goes on")
    far.expect_one_flow()
    far.ended_by(alice)
    record = world.ended(call["id"])
    expect("music on hold" in record["notes"], f"{record['notes']}")
    expect(record["cause"] == "normal-clearing", f"ended with {record['cause']}")
    t.remark = f"{share:.3f} of it music, then {audio.check_likeness('after the resume', words, after)}"


@test("music-own", 50)
def music_own(t):
    """Between two phones, twice: music of our own, and each hears the other again"""
    world = HoldWorld(t).start()
    alice = t.user("alice", world=world, answer="auto")
    bob = t.user("bob", world=world)
    bob.dial(f"sip:{world.extension('alice')}@{world.domain}")
    bob.established()
    time.sleep(1.5)
    call = world.live(world.extension("alice"))
    for _ in range(2):
        bob.command("hold")
        time.sleep(3)
        bob.command("resume")
        time.sleep(1.5)
    bob.hang_up()
    alice.closed()
    sent, received = alice.packets()[0], alice.packets()[1]
    # Held for six of nearly eleven seconds: without music it would have been half as many.
    expect(received > 50 * 8.5, f"alice received {received} packets in eleven seconds, and sent {sent}")
    expect(bob.packets()[1] > 50 * 3, f"bob received {bob.packets()[1]} packets")
    expect("music on hold" in world.ended(call["id"])["notes"], "the record does not tell")


@test("music-dialled", 40)
def music_dialled(t):
    """The music of our own by its extension: it has no silence in it, and the phone ends it"""
    world = HoldWorld(t).start()
    alice = t.user("alice", world=world)
    alice.dial(f"sip:9098@{world.domain}")
    alice.established()
    alice.wait_heard(5, 10)
    alice.hang_up()
    heard = alice.heard()[audio.RATE: 4 * audio.RATE]
    levels = [audio.level_dbm0(heard[at: at + 800]) for at in range(0, len(heard), 800)]
    expect(min(levels) > -45 and max(levels) < -6, f"levels: {min(levels):.1f} to {max(levels):.1f} dBm0")
    t.remark = f"{audio.level_dbm0(heard):.1f} dBm0"


@test("music-converted", 60)
def music_converted(t):
    """G.722 alone holds PCMA alone: the music comes in PCMA, and what is said at the resume too"""
    world = HoldWorld(t).start()
    resume(t, world, "G722/16000/1", ("g722",), "PCMA", hears_music=True)


@test("resume-converted", 60)
def resume_converted(t):
    """Hold and resume in a call whose speech is converted: each hears the other again"""
    resume(t, t.world, "G722/16000/1", ("g722",), "PCMU", hears_music=False)


@test("resume-opus", 60)
def resume_opus(t):
    """The same with another clock: Opus alone, and PCMU alone"""
    resume(t, t.world, "opus/48000/2", ("opus",), "PCMU", hears_music=False)


def resume(t, world, codec, modules, theirs, hears_music):
    number = world.number("+4938")
    words = audio.speech(FIRST)
    held, gap = 2.5, 1.5
    # The phone's file plays on while it holds, so the words lie behind the hold.
    alice = t.user(
        "alice", world=world, codecs=codec, modules=modules,
        says=numpy.concatenate([silence(2 + held + gap + 1.5), words]))
    far = Far(t, world, theirs)
    alice.dial(f"sip:{number}@{world.domain}")
    offer = far.answer("sendrecv")
    expect(f"{theirs}/8000" in offer, "our offer has not what is converted")
    alice.established()
    far.media.speak(silence(30), far.target)
    wait_until(lambda: len(far.media.packets) > 75, 6, "a second and a half of silence")
    alice.command("hold")
    far.answer("recvonly")
    begin = time.monotonic()
    time.sleep(held)
    heard = far.since(begin + 1)
    if hears_music:
        share = audio.tone_share(heard, MUSIC_HZ)
        expect(share > 0.95, f"{share:.3f} of what is heard is the music")
    else:
        expect(len(heard) == 0, f"{len(heard) / audio.RATE} s are heard of who holds")
    call = world.live(number)
    alice.command("resume")
    far.answer("sendrecv")
    resumed = time.monotonic()
    time.sleep(gap + 1.5 + len(words) / audio.RATE)
    after = far.since(resumed + 0.3)
    far.expect_one_flow()
    far.ended_by(alice)
    record = world.ended(call["id"])
    expect(any(note.startswith("speech is converted") for note in record["notes"]), f"{record['notes']}")
    # It spoke to the phone all the time but for the hold.
    _, received = alice.packets()
    expect(received > 50 * (gap + len(words) / audio.RATE), f"alice received {received} packets")
    likeness = audio.check_likeness("after the resume", words, after, correlation=0.80, window=0.50)
    t.remark = f"{likeness.correlation:.4f}"
