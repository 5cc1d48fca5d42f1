"""Digits as tones and as telephone-events, and what multimon-ng hears of tones."""

import os
import random
import struct
import time

import numpy

from . import audio
from .process import expect, run

ROWS = {697: "123A", 770: "456B", 852: "789C", 941: "*0#D"}
COLUMNS = (1209, 1336, 1477, 1633)
PAIRS = {key: (row, column) for row, keys in ROWS.items() for key, column in zip(keys, COLUMNS)}
EVENTS = "0123456789*#ABCD"
EVENT_TYPE = 101


def tones(keys, length=0.1, pause=0.1, low=9020, high=11355):
    """The keys one after another, with silence around them; peaks as of -8 and -6 dBm0."""
    times = numpy.arange(int(length * audio.RATE)) / audio.RATE
    parts = [audio.silence(0.3)]
    for key in keys:
        row, column = PAIRS[key]
        parts += [low * numpy.sin(2 * numpy.pi * row * times) + high * numpy.sin(2 * numpy.pi * column * times),
                  audio.silence(pause)]
    return numpy.concatenate([*parts, audio.silence(0.6)])


def decoded(samples):
    """What multimon-ng takes for digits."""
    wanted = audio.resample(samples, audio.RATE, 22050)
    data = numpy.clip(wanted, -32768, 32767).astype("<i2").tobytes()
    code, output = run(["multimon-ng", "-q", "-a", "DTMF", "-t", "raw", "-"], stdin=data)
    expect(code == 0, f"multimon-ng failed: {output}")
    return "".join(line.removeprefix("DTMF:").strip() for line in output.splitlines() if line.startswith("DTMF:"))


class Flow:
    """An RTP flow of a phone: speech, and events in its place."""

    def __init__(self, endpoint, target, loss=0.0, seed=1):
        self.endpoint, self.target, self.loss = endpoint, target, loss
        self.ssrc, self.sequence, self.stamp = os.urandom(4), 100, 8000
        self.random = random.Random(seed)
        self.due = time.monotonic()

    def _send(self, kind, stamp, body, marker=False):
        header = struct.pack("!BBHI", 0x80, kind | (0x80 if marker else 0), self.sequence & 0xFFFF, stamp) + self.ssrc
        self.sequence += 1
        if self.random.random() >= self.loss:
            self.endpoint.socket.sendto(header + body, self.target)
        self.due += 0.02
        time.sleep(max(0.0, self.due - time.monotonic()))

    def speak(self, samples):
        data = audio.g711_encode("PCMU", samples)
        for start in range(0, len(data) - 159, 160):
            self._send(0, self.stamp, data[start: start + 160])
            self.stamp += 160

    def press(self, keys, length=0.1):
        """As RFC 4733 §2.5.1 has it: a report each 20 ms, the last one three times."""
        for key in keys:
            event = EVENTS.index(key)
            steps = int(length / 0.02)
            for step in range(1, steps):
                self._send(EVENT_TYPE, self.stamp, struct.pack("!BBH", event, 10, step * 160), step == 1)
            for _ in range(3):
                self._send(EVENT_TYPE, self.stamp, struct.pack("!BBH", event, 0x8A, steps * 160))
            self.stamp += (steps + 2) * 160
            self.speak(audio.silence(0.06))


def reported(endpoint):
    """The keys of the telephone-events that arrived, each once; their rules are checked on the way (RFC 4733 §2.5)."""
    keys, reports = [], {}
    for _, packet in list(endpoint.packets):
        if packet[1] & 0x7F != EVENT_TYPE:
            continue
        stamp, ssrc = struct.unpack("!II", packet[4:12])
        event, flags, duration = struct.unpack("!BBH", packet[12:16])
        if (ssrc, stamp) not in reports:
            keys.append(EVENTS[event])
        reports.setdefault((ssrc, stamp), []).append((event, bool(packet[1] & 0x80), bool(flags & 0x80), duration))
    for group in reports.values():
        events, markers, ends, durations = zip(*group)
        expect(len(set(events)) == 1, f"one timestamp, several events: {group}")
        expect(markers == (True,) + (False,) * (len(group) - 1), f"the marker is not on the first alone: {group}")
        expect(list(durations) == sorted(durations), f"durations do not grow: {group}")
        expect(sum(ends) == 3 and all(ends[-3:]), f"the end is not said three times: {group}")
    return "".join(keys)
