"""Phones that talk with each other, and what each has heard of the other."""

from . import audio
from .process import expect

FIRST = "The birch canoe slid on the smooth planks. It is easy to tell the depth of a well."
SECOND = "Four hours of steady work faced us. The boy was there when the sun rose."


def voices():
    """Two people's words, each as they are and as a phone plays them."""
    return audio.spoken(FIRST), audio.spoken(SECOND, voice="en-us", speed=140)


def hear_out(caller, callee, first, second):
    """The caller says `first` and the callee `second`; both have heard as long as the longer one lasts."""
    seconds = max(len(first), len(second)) / audio.RATE + 1.5
    caller.wait_heard(seconds, seconds + 10)
    callee.wait_heard(seconds, 5)


def part(t, world, caller, callee, first, second, number=None, **limits):
    """The caller hangs up, and each has heard the other whole; the call's closed record.

    `first` and `second` may be left out (None): then it is what each phone has put into its codec."""
    call = world.live(number or world.extension(callee.name))
    caller.hang_up()
    callee.closed()
    one = audio.check_likeness("the caller heard", callee.said() if second is None else second, caller.heard(), **limits)
    other = audio.check_likeness("the callee heard", caller.said() if first is None else first, callee.heard(), **limits)
    t.remark = f"{one.correlation:.4f} and {other.correlation:.4f}"
    return world.ended(call["id"])


def talk(t, world, caller, callee, first, second):
    """The caller calls the callee, who answers; each hears the other whole, and nothing is lost. The closed record."""
    caller.dial(f"sip:{world.extension(callee.name)}@{world.domain}")
    caller.established()
    hear_out(caller, callee, first, second)
    record = part(t, world, caller, callee, first, second)
    lost_nothing(record)
    return record


def lost_nothing(record):
    for side in ("fromCaller", "fromCallee"):
        expect(record["quality"][side]["lost"] == 0, f"{side}: {record['quality'][side]}")
