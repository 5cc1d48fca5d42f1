"""What the network does to packets, and what a peer that cannot bear it gets of that."""

import random
import struct
import time

import numpy

from harness.audio import spoken
from harness.case import test
from harness.pair import Pair, audio
from harness.ports import free_port
from harness.process import expect
from harness.rtp import Endpoint
from harness.world import EastWorld

WORDS = "The birch canoe slid on the smooth planks. It is easy to tell the depth of a well."


def wild(seed, late=0.060, lost=0.02):
    """Each packet up to so many seconds late, in whatever order that makes, and a part of them lost."""
    chance = random.Random(seed)
    return lambda number: None if number and chance.random() < lost else chance.random() * late


def headers(end):
    """(when, payload type, number, time stamp) of what came."""
    return [(at, *struct.unpack("!xBHI", packet[:8])) for at, packet in list(end.packets)]


def call(t, world, prefix, way):
    """The PBX speaks to a carrier over such a way, and the carrier back over a good one: the ends, and the record."""
    ends = [Endpoint(free_port()) for _ in range(2)]
    for end in ends:
        t.defer(end.close)
    pair = Pair(t, world.number(prefix), callee="east" if prefix == "+4938" else "north", world=world)
    offered, answered = pair.connect([audio(ends[0].socket.getsockname()[1], "0 101")],
                                     [audio(ends[1].socket.getsockname()[1], "0 101")])
    samples, _ = spoken(WORDS)
    threads = [ends[0].speak(samples, answered[0].target, way), ends[1].speak(samples, offered[0].target)]
    for thread in threads:
        thread.join(len(samples) / 8_000 + 10)
    time.sleep(0.6)
    return samples, ends, pair.hang_up()


def likeness(said, heard):
    """The median over half seconds with speech, each where it is found within a quarter of a second: delay grows."""
    found = []
    for start in range(0, len(said) - 4_000, 4_000):
        piece = said[start: start + 4_000]
        if numpy.abs(piece).mean() < 200:
            continue
        places = [heard[start + lag: start + lag + 4_000] for lag in range(0, 2_000)]
        found.append(max((float(numpy.corrcoef(piece, place)[0, 1]) for place in places if len(place) == 4_000
                          and place.std() > 0), default=0.0))
    return float(numpy.median(found)) if found else 0.0


@test("even", 60)
def even(t):
    """Packets that are late, out of order and lost reach a carrier with `playout: adaptive` evenly, each number once"""
    world = EastWorld(t, playout="adaptive")
    samples, (pbx, carrier), record = call(t, world, "+4938", wild(7))
    came = headers(carrier)
    expect(len(came) > 0.95 * len(samples) / 160, f"{len(came)} packets")
    for (_, _, number, stamp), (_, _, following, later) in zip(came, came[1:]):
        expect((following - number) & 0xFFFF == 1, f"{following} came behind {number}")
        expect((later - stamp) & 0xFFFFFFFF == 160, f"{later} came behind {stamp}")
    gaps = numpy.diff([at for at, *_ in came]) * 1_000
    middle, spread = float(numpy.median(gaps)), float(numpy.percentile(numpy.abs(gaps - 20), 90))
    expect(abs(middle - 20) < 1.5, f"every {middle:.1f} ms")
    # On a machine with other work; what came in was up to 60 ms off.
    expect(spread < 12, f"a tenth is {spread:.1f} ms off or more")
    # The samples of most packets are those that were said; of two in a hundred something stands in.
    alike = likeness(numpy.asarray(samples, dtype=float), carrier.heard())
    expect(alike > 0.95, f"a correlation of {alike:.3f}")
    quality = record["quality"]["fromCaller"]
    expect(quality["lost"] > 0, f"nothing was lost: {quality}")
    back = headers(pbx)
    expect(len(back) == carrier.sent, f"{len(back)} of {carrier.sent} came back")
    t.remark = f"every {middle:.1f} ms, a tenth {spread:.1f} ms off or more; correlation {alike:.3f}"


@test("as-it-comes", 60)
def as_it_comes(t):
    """A carrier that has not asked for it gets what came when it came: nothing waits or stands in for losses"""
    world = EastWorld(t, playout="adaptive")
    _, (pbx, carrier), _ = call(t, world, "+4930", wild(8))
    expect(len(headers(carrier)) == pbx.sent, f"{len(headers(carrier))} of {pbx.sent}")
    numbers = [number for _, _, number, _ in headers(carrier)]
    expect(numbers != sorted(numbers) or len(set(numpy.diff(numbers))) > 1, "the way was a good one")
