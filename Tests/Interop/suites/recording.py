"""Recorded calls: what each side said is in its channel, in both formats; paused is silent; both hear that they are
recorded; a killed process leaves a file that plays; a full disk ends the recording and not the call."""

import os
import pathlib
import subprocess
import time
import wave

import numpy

from harness import audio, digits
from harness.case import test
from harness.conversation import voices
from harness.process import Skipped, expect, run, wait_until
from harness.world import World

from .codecs import MODULES
from .dtmf import connected

NOTICE = "This call is recorded."

# What is left of the waves of speech, half a second by half a second.
EXACT = 0.85
SHAPE = 0.75


class RecordingWorld(World):
    """A Demarc of its own, whose user bob is recorded by `record`, and alice never."""

    def __init__(self, t, record, recordings=None, notice=False, code=None):
        super().__init__(t.folder, t.program, media_pairs=40)
        t.defer(self.close)
        self.record_policy, self.has_notice, self.code = record, notice, code
        self.recordings = pathlib.Path((recordings or {}).get("path", self.folder / "recordings"))
        self.demarc.settings["recordings"] = {"minimumFree": "0", **(recordings or {})}
        audio.write_wav(self.folder / "notice.wav", audio.speech(NOTICE))

    def user_accounts(self):
        accounts = super().user_accounts()
        for account in accounts:
            if account["name"] == "bob":
                account["record"] = self.record_policy
                if self.has_notice:
                    account["recordingNotice"] = "recorded"
        return accounts

    def tenants(self):
        tenants = super().tenants()
        return [{**tenants[0], "recordingCode": self.code}, *tenants[1:]] if self.code else tenants

    def resources(self):
        resources = super().resources()
        if self.code:
            next(trunk for trunk in resources["trunks"] if trunk["name"] == "pbx")["record"] = "on-demand"
        resources["applications"].append(
            {"name": "recorded", "tenant": "test", "kind": "announcement", "file": str(self.folder / "notice.wav")})
        return resources

    def files(self):
        return self.demarc.ask("recordings")["items"]

    def recording(self, call):
        """The newest recording of a live call."""
        return (self.demarc.call(call["id"]).get("recordings") or [None])[-1]


def connect(t, world, a_says, b_says, codec="PCMU/8000/1", rate=audio.RATE):
    """alice calls bob; both phones and the call. `rate` is that of what they say."""
    modules = MODULES.get(codec.split("/")[0], ())
    bob = t.user("bob", world=world, says=b_says, codecs=codec, modules=modules, answer="auto", rate=rate)
    alice = t.user("alice", world=world, says=a_says, codecs=codec, modules=modules, rate=rate)
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    return alice, bob, world.live(world.extension("bob"))


def fetch(t, world, name, kind, rate=audio.RATE):
    """The recording's left and right samples, of which there are to be `rate` a second, by way of the command, and of
    opusdec where it is Opus."""
    path = t.folder / f"fetched.{kind}"
    with open(path, "wb") as out:
        done = subprocess.run(
            [world.demarc.program, "recording", "get", name, "--socket", str(world.demarc.socket)],
            stdout=out, stderr=subprocess.PIPE, timeout=20)
    expect(done.returncode == 0, f"recording get: {done.stderr.decode()}")
    return channels(t, path, kind, rate)


def channels(t, path, kind, rate=audio.RATE):
    if kind == "opus":
        code, output = run(["opusinfo", path])
        expect(code == 0 and "WARNING" not in output and "ERROR" not in output.upper(), f"opusinfo: {output}")
        # What was encoded; opusdec makes of it whatever it is asked for.
        head = path.read_bytes()[28:47]
        expect(head[:8] == b"OpusHead" and int.from_bytes(head[12:16], "little") == rate, f"{head}")
        decoded = t.folder / "decoded.wav"
        code, output = run(["opusdec", "--rate", rate, path, decoded])
        expect(code == 0, f"opusdec: {output}")
        path = decoded
    with wave.open(str(path), "rb") as file:
        expect((file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, rate), f"{file.getparams()}")
        data = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(float)
    return data[::2], data[1::2]


def follow(what, said, channel, limit):
    """What was said is in the channel, half a second by half a second, each at its time within 40 ms."""
    near = int(audio.compare(said, channel).lag_ms * audio.RATE / 1000)
    size, reach = audio.RATE // 2, audio.RATE * 60 // 1000
    found = []
    for first in range(0, len(said) - size, size // 2):
        part = said[first: first + size]
        place = first + near - reach
        if part @ part < size * 300.0**2 or place < 0 or place + size + 2 * reach > len(channel):
            continue
        around = channel[place: place + size + 2 * reach]
        products = numpy.correlate(around, part, "valid")
        powers = numpy.convolve(around**2, numpy.ones(size), "valid")
        likeness = products / numpy.sqrt(powers * (part @ part) + 1e-9)
        best = int(numpy.argmax(likeness))
        found.append((float(likeness[best]), (best - reach) / audio.RATE * 1000))
    expect(len(found) >= 8, f"{what}: {len(found)} parts of it are there")
    # A phone that was held up is moved once, which the parts that overlap there show.
    likenesses, lags = sorted(likeness for likeness, _ in found), [lag for _, lag in found]
    worst = likenesses[3]
    expect(likenesses[0] >= 0.4 and worst >= limit, f"{what}: {found}")
    expect(max(lags) - min(lags) <= 40, f"{what}: its time is off by {max(lags) - min(lags):.1f} ms")
    return f"{worst:.3f} (±{(max(lags) - min(lags)) / 2:.1f} ms)"


def needs_opus_tools():
    for tool in ("opusdec", "opusinfo"):
        if run(["which", tool])[0] != 0:
            raise Skipped(f"{tool} of Debian's opus-tools is not installed")


def talk(t, codec, kind, limits):
    """A whole call, recorded by rule; each channel is what that side said, and nothing of the other."""
    if kind == "opus":
        needs_opus_tools()
    world = RecordingWorld(t, "on", {"format": kind}).start()
    (a, a_says), (b, b_says) = voices()
    alice, bob, call = connect(t, world, a_says, b_says, codec)
    seconds = max(len(a), len(b)) / audio.RATE + 1.5
    alice.wait_heard(seconds, seconds + 10)
    recording = world.recording(call)
    expect(recording["state"] == "recording" and recording["consent"] == "none", f"{recording}")
    expect(recording["origin"] == "rule" and recording["by"] == "user:bob", f"{recording}")
    active = world.demarc.metrics()["demarc_recordings_active"]
    expect(active == 1, f"{active} recordings are active")
    alice.hang_up()
    bob.closed()
    record = world.ended(call["id"])
    last = record["recordings"][-1]
    expect(last["end"] == "released" and last["format"] == kind and "lostSeconds" not in last, f"{last}")
    rate = 16_000 if codec.startswith("opus") else 8_000
    expect(last["rate"] == rate, f"{last}")
    left, right = (audio.resample(side, rate, audio.RATE) for side in fetch(t, world, last["name"], kind, rate))
    expect(abs(len(left) / audio.RATE - last["seconds"]) < 0.03, f"{len(left) / audio.RATE} s, {last}")
    one = follow("the left channel", alice.said(), left, limits)
    other = follow("the right channel", bob.said(), right, limits)
    # The two stand as they were spoken: both phones began within a moment of the answer.
    for name, said, channel in (("left", bob.said(), left), ("right", alice.said(), right)):
        crossed = audio.compare(said, channel)
        expect(crossed.correlation < 0.3, f"the {name} channel has the other side in it: {crossed}")
    path = world.recordings / last["file"]
    expect(path.stat().st_mode & 0o777 == 0o600, oct(path.stat().st_mode))
    expect([file["name"] for file in world.files()] == [last["name"]], f"{world.files()}")
    t.remark = f"{one} and {other}, {last['bytes']} bytes"


@test("pcmu-wav", 60)
def pcmu_wav(t):
    """PCMU to WAV: each channel is what that side said"""
    talk(t, "PCMU/8000/1", "wav", EXACT)


@test("pcmu-opus", 60)
def pcmu_opus(t):
    """PCMU to Opus in Ogg, read by opusinfo and opusdec"""
    talk(t, "PCMU/8000/1", "opus", SHAPE)


@test("opus-wav", 60)
def opus_wav(t):
    """A call in Opus to WAV"""
    talk(t, "opus/48000/2", "wav", SHAPE)


@test("opus-opus", 60)
def opus_opus(t):
    """A call in Opus to Opus in Ogg"""
    talk(t, "opus/48000/2", "opus", SHAPE)


def band(t, codec, kind, rate):
    """Both sides say tones of 1 and 6 kHz; their parts in the middle of each channel of the file, which has that rate."""
    folder = t.folder / codec.split("/")[0] / kind
    folder.mkdir(parents=True)
    world = RecordingWorld(t, "on", {"format": kind, "path": str(folder)}).start()
    times = numpy.arange(30 * 16_000) / 16_000
    says = sum(5000 * numpy.sin(2 * numpy.pi * hertz * times) for hertz in (1000, 6000))
    alice, bob, call = connect(t, world, says, says, codec, rate=16_000)
    alice.wait_heard(3, 15)
    alice.hang_up()
    bob.closed()
    last = world.ended(call["id"])["recordings"][-1]
    expect(last["rate"] == rate and last["end"] == "released", f"{last}")
    sides = fetch(t, world, last["name"], kind, rate)
    middles = [side[rate: 2 * rate + rate // 2] for side in sides]
    world.close()
    for path in t.folder.glob("baresip-*"):
        path.rename(folder / path.name)
    for path in t.folder.glob("demarc.db*"):
        path.unlink()
    return [tuple(audio.tone_share(middle, hertz, rate) for hertz in (1000, 6000)) for middle in middles]


@test("wide", 90)
def wide(t):
    """6 kHz in the speech of G.722 is in the file, which has 16 kHz, by WAV and Opus; that of a PCMU call has 8 kHz"""
    needs_opus_tools()
    for kind in ("wav", "opus"):
        for low, high in band(t, "G722/16000/1", kind, 16_000):
            # Half each, of which Opus takes something from the upper one; by a narrow band nothing of it would be left.
            expect(low > 0.35 and high > 0.2, f"{kind}: {low:.2f} of the power are at 1 kHz, {high:.2f} at 6 kHz")
    # The phone's own way from 16 to 8 kHz leaves something of the other tone, folded.
    for low, _ in band(t, "PCMU/8000/1", "wav", 8_000):
        expect(low > 0.35, f"PCMU: {low:.2f} of the power are at 1 kHz")


def loud(samples):
    """Seconds at whose samples something is heard, as a mask of 20 ms frames."""
    count = len(samples) // 160
    return numpy.abs(samples[: count * 160]).reshape(count, 160).max(axis=1) > 200


def tone(seconds):
    return 8000 * numpy.sin(2 * numpy.pi * 600 * numpy.arange(int(seconds * audio.RATE)) / audio.RATE)


@test("on-demand", 60)
def on_demand(t):
    """Begun, paused, continued and ended by command: the pause is silent in both channels, and its length stays"""
    world = RecordingWorld(t, "on-demand").start()
    alice, bob, call = connect(t, world, tone(60), tone(60))
    alice.wait_heard(1, 10)
    expect(world.recording(call) is None, "recorded though nobody has asked for it")
    record = ["call", "record", call["id"]]
    world.demarc.command(*record, "start")
    wait_until(lambda: (world.recording(call) or {}).get("state") == "recording", 5, "the recording to begin")
    time.sleep(1.5)
    world.demarc.command(*record, "pause")
    code, output = world.demarc.try_command(*record, "pause")
    expect(code == 1 and "paused" in output, f"{code}: {output}")
    expect(world.recording(call)["state"] == "paused", f"{world.recording(call)}")
    time.sleep(1.5)
    world.demarc.command(*record, "resume")
    time.sleep(1.5)
    world.demarc.command(*record, "stop")
    ended = wait_until(
        lambda: (world.recording(call) or {}).get("state") == "ended" and world.recording(call), 5, "the recording's end")
    expect(ended["end"] == "stopped" and len(ended["pauses"]) == 1, f"{ended}")
    for name, channel in zip(("left", "right"), fetch(t, world, ended["name"], "wav")):
        heard = loud(channel)
        expect(3.9 < len(channel) / audio.RATE < 6.5, f"{len(channel) / audio.RATE} s")
        quiet = numpy.nonzero(~heard[30:-30])[0]
        expect(50 <= len(quiet) <= 110, f"{name}: {len(quiet) * 20} ms are silent")
        expect(quiet[-1] - quiet[0] + 1 - len(quiet) <= 2, f"{name}: something is heard in the pause")
    # The call goes on, and may not be recorded where alice alone has a say.
    alice.hang_up()
    bob.closed()
    name = ended["name"]
    world.ended(call["id"])
    world.demarc.command("recording", "delete", name)
    expect(world.files() == [], f"{world.files()}")
    gone = world.ended(call["id"])["recordings"][0]
    expect(gone["deletedBecause"] == "requested" and gone["deleted"], f"{gone}")
    code, _ = world.demarc.try_command("recording", "get", name)
    expect(code == 1, "a deleted recording was fetched")


@test("code", 60)
def code(t):
    """A PBX's side types the code: the recording begins, and ends with the next; the carrier hears other digits alone"""
    world = RecordingWorld(t, "off", code="*1").start()
    pair, (mouth, target), (ear, _) = connected(t, "0 101", "0 101", world)
    flow = digits.Flow(mouth, target)
    flow.speak(audio.silence(0.5))

    def state():
        call = next(iter(world.demarc.calls()), None)
        return (world.recording(call) or {}) if call else {}

    flow.press("5*1", 0.1)
    flow.speak(audio.silence(0.5))
    begun = wait_until(lambda: state().get("state") == "recording" and state(), 5, "the recording to begin")
    expect(begun["origin"] == "code" and begun["by"] == "trunk:pbx", f"{begun}")
    flow.speak(audio.silence(1.5))
    flow.press("*1", 0.1)
    flow.speak(audio.silence(0.5))
    wait_until(lambda: state().get("state") == "ended", 5, "the recording's end")
    # A star that nothing follows is the other side's, some time later.
    flow.press("*", 0.1)
    flow.speak(audio.silence(3))
    heard = digits.reported(ear)
    expect(heard == "5*", f"the carrier got {heard!r} as digits")
    record = pair.hang_up()
    last = record["recordings"][-1]
    expect(last["end"] == "stopped" and last["seconds"] > 1.5, f"{last}")


@test("not-allowed", 40)
def not_allowed(t):
    """Where neither side may be recorded nobody records"""
    world = RecordingWorld(t, "off").start()
    alice, bob, call = connect(t, world, tone(30), tone(30))
    code, output = world.demarc.try_command("call", "record", call["id"], "start")
    expect(code == 1 and "may be recorded" in output, f"{code}: {output}")
    alice.hang_up()
    bob.closed()
    expect("recordings" not in world.ended(call["id"]), "the record tells of a recording")
    expect(world.files() == [], f"{world.files()}")


@test("notice", 60)
def notice(t):
    """Both sides hear the announcement to its end, before anything is recorded, and the record is stamped"""
    world = RecordingWorld(t, "on", notice=True).start()
    alice, bob, call = connect(t, world, tone(60), tone(60))
    recording = wait_until(
        lambda: (world.recording(call) or {}).get("state") == "recording" and world.recording(call), 15,
        "the recording to begin")
    expect(recording["consent"].startswith("announced at 20"), f"{recording}")
    expect(recording["consent"][len("announced at "):] <= recording["started"], f"{recording}")
    time.sleep(2)
    alice.hang_up()
    bob.closed()
    said = audio.speech(NOTICE)
    for phone in (alice, bob):
        heard = phone.heard()
        # Its own announcement, and before it and behind it the other's tone.
        likeness = audio.compare(said, heard)
        expect(likeness.correlation > 0.9, f"{phone.name} heard {likeness}")
        after = heard[int((likeness.lag_ms / 1000 + len(said) / audio.RATE + 0.3) * audio.RATE):]
        expect(audio.tone_share(after[: audio.RATE], 600) > 0.8, f"{phone.name} does not hear the other any more")
    last = world.ended(call["id"])["recordings"][-1]
    for channel in fetch(t, world, last["name"], "wav"):
        expect(audio.tone_share(channel[800:8800], 600) > 0.8, "the recording is not of the tone alone")


@test("killed", 60)
def killed(t):
    """kill -9 in the middle leaves a file that plays, and a record that says so"""
    needs_opus_tools()
    for kind in ("wav", "opus"):
        folder = t.folder / kind
        folder.mkdir()
        world = RecordingWorld(t, "on", {"format": kind, "path": str(folder)})
        world.start()
        alice, bob, call = connect(t, world, tone(60), tone(60))
        recording = wait_until(
            lambda: (world.recording(call) or {}).get("state") == "recording" and world.recording(call), 5, "a recording")
        time.sleep(4)
        world.demarc.kill()
        expect([path.suffix for path in folder.iterdir()] == [".part"], f"{list(folder.iterdir())}")
        alice.kill()
        bob.kill()
        world.demarc.start()
        left, right = fetch(t, world, recording["name"], kind)
        expect(1.5 < len(left) / audio.RATE < 8, f"{len(left) / audio.RATE} s are left of a call of 4 s")
        for channel in (left, right):
            expect(audio.tone_share(channel[4000:12000], 600) > 0.8, "what is left is not what was said")
        # The call is up again, though nobody is there any more.
        world.demarc.command("call", "hangup", call["id"])
        first = world.ended(call["id"], 10)["recordings"][0]
        expect(first["name"] == recording["name"] and first["end"] == "interrupted", f"{first}")
        expect(first["file"] in [one["file"] for one in world.files()], f"{first['file']} is not among {world.files()}")
        world.close()
        for path in t.folder.glob("baresip-*"):
            path.rename(t.folder / f"{kind}-{path.name}")
        for path in t.folder.glob("demarc.db*"):
            path.unlink()


@test("disk-full", 60)
def disk_full(t):
    """A disk that fills ends the recording, with what fitted; the call goes on and the record says why"""
    disk = t.folder / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk])[0] != 0:
        raise Skipped("a small tmpfs cannot be mounted here")
    t.defer(lambda: run(["umount", "-l", disk]))
    world = RecordingWorld(t, "on", {"path": str(disk / "recordings")}).start()
    alice, bob, call = connect(t, world, tone(60), tone(60))
    # 128 kB are four seconds.
    ended = wait_until(
        lambda: (world.recording(call) or {}).get("state") == "ended" and world.recording(call), 15, "the disk to fill")
    expect(ended["end"] == "disk-full", f"{ended}")
    before = len(bob.heard())
    time.sleep(2)
    expect(len(bob.heard()) - before > audio.RATE, "the call did not go on")
    alice.hang_up()
    bob.closed()
    record = world.ended(call["id"])
    expect(record["cause"] == "normal-clearing", f"{record}")
    expect(any("disk-full" in note for note in record["notes"]), f"{record['notes']}")
    expect(world.demarc.metrics()["demarc_recordings_failed_total"] == 1, "the failure was not counted")
    left, _ = channels(t, disk / "recordings" / ended["file"], "wav")
    expect(2 < len(left) / audio.RATE < 4.5, f"{len(left) / audio.RATE} s")


@test("no-room", 40)
def no_room(t):
    """Less room than is to stay free: nothing is begun, and the call is as ever"""
    world = RecordingWorld(t, "on", {"minimumFree": "900000GiB"}).start()
    alice, bob, call = connect(t, world, tone(30), tone(30))
    ended = wait_until(
        lambda: (world.recording(call) or {}).get("state") == "ended" and world.recording(call), 5, "the refusal")
    expect(ended["end"] == "disk-full" and "file" not in ended, f"{ended}")
    bob.wait_heard(2, 10)
    alice.hang_up()
    bob.closed()
