"""Phones without a common codec hear each other; who has one is left alone."""

from harness import audio
from harness.audio import spoken
from harness.case import test
from harness.conversation import FIRST, hear_out, lost_nothing, part, voices
from harness.process import expect

# What is left of speech: of its waves nearly all by G.711, most by G.722, and by GSM and Opus the coarse shape.
EXACT, WAVES, SHAPE = ({"correlation": low, "window": window} for low, window in (
    (0.98, 0.90), (0.95, 0.80), (0.80, 0.50)))
MODULES = {"G722": ("g722",), "GSM": ("gsm",), "L16": ("l16",), "opus": ("opus",)}


def speak(t, ours, theirs, limits):
    """alice, who has the one codec alone, talks with bob, who has the other alone."""
    world = t.world

    def phone(name, codec, says, **options):
        modules = MODULES.get(codec.split("/")[0], ())
        return t.user(name, says=says, codecs=codec, modules=modules, **options)

    (a, a_says), (b, b_says) = voices()
    bob = phone("bob", theirs, b_says, answer="auto")
    alice = phone("alice", ours, a_says)
    before = world.demarc.metrics()["demarc_media_packets_converted_total"]
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    hear_out(alice, bob, a, b)
    # As each phone has put it into its codec: baresip's way from 8 to 16 kHz and back is its own.
    record = part(t, world, alice, bob, None, None, **limits)
    names = [codec.split("/")[0] for codec in (ours, theirs)]
    expect(f"speech is converted: {names[0]} and {names[1]}" in record["notes"], f"{record['notes']}")
    expect(record["codec"].startswith(names[1]), record["codec"])
    lost_nothing(record)
    converted = world.demarc.metrics()["demarc_media_packets_converted_total"] - before
    seconds = max(len(a), len(b)) / audio.RATE + 1.5
    expect(converted > 95 * seconds, f"{converted} packets were converted")


@test("laws", 40)
def laws(t):
    """PCMA alone calls PCMU alone"""
    speak(t, "PCMA/8000/1", "PCMU/8000/1", EXACT)


@test("gsm", 40)
def gsm(t):
    """GSM alone calls PCMA alone"""
    speak(t, "GSM/8000/1", "PCMA/8000/1", SHAPE)


@test("g722", 40)
def g722(t):
    """G.722 alone calls PCMU alone"""
    speak(t, "G722/16000/1", "PCMU/8000/1", WAVES)


@test("opus", 40)
def opus(t):
    """Opus alone calls PCMU alone: other clocks, and an answer of one codec to an offer of one"""
    speak(t, "opus/48000/2", "PCMU/8000/1", SHAPE)


@test("opus-back", 40)
def opus_back(t):
    """PCMA alone calls Opus alone, who refuses the laws and is asked once more"""
    speak(t, "PCMA/8000/1", "opus/48000/2", SHAPE)


@test("opus-wide", 40)
def opus_wide(t):
    """Opus alone calls G.722 alone"""
    speak(t, "opus/48000/2", "G722/16000/1", SHAPE)


@test("linear", 40)
def linear(t):
    """Linear samples of 16 kHz alone call PCMU alone"""
    speak(t, "L16/16000/1", "PCMU/8000/1", WAVES)


@test("left-alone", 40)
def left_alone(t):
    """Phones that have PCMA in common speak that, unconverted, whatever else the one who answers prefers"""
    world = t.world
    a, a_says = spoken(FIRST)
    bob = t.user("bob", codecs="PCMU/8000/1,PCMA/8000/1", answer="auto")
    alice = t.user("alice", says=a_says, codecs="PCMA/8000/1")
    before = world.demarc.metrics()["demarc_media_packets_converted_total"]
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    seconds = len(a) / audio.RATE + 1.5
    bob.wait_heard(seconds, seconds + 8)
    call = world.live(world.extension("bob"))
    alice.hang_up()
    bob.closed()
    likeness = audio.check_likeness("bob heard", a, bob.heard())
    notes = world.ended(call["id"]).get("notes") or []
    expect(not any("converted" in note for note in notes), f"{notes}")
    expect(world.demarc.metrics()["demarc_media_packets_converted_total"] == before, "something was converted")
    t.remark = str(likeness)


@test("fork", 50)
def fork(t):
    """Two phones ring, of PCMU alone and of G.722 alone; the one that answers is converted, and nothing of the other"""
    world = t.world
    (a, a_says), (b, b_says) = voices()
    dave = t.user("dave", codecs="PCMU/8000/1")
    erin = t.user("erin", says=b_says, codecs="G722/16000/1", modules=("g722",))
    alice = t.user("alice", says=a_says, codecs="PCMA/8000/1")
    alice.dial(f"sip:+4940110@{world.domain}")
    dave.wait_event("CALL_INCOMING")
    erin.wait_event("CALL_INCOMING")
    erin.answer()
    alice.established()
    dave.closed()
    hear_out(alice, erin, a, b)
    record = part(t, world, alice, erin, None, None, "+4940110", **WAVES)
    expect("speech is converted: PCMA and G722" in record["notes"], f"{record['notes']}")
