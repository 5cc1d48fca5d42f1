"""An RTP endpoint in a thread: speaks G.711 from its port and keeps what arrives there."""

import os
import socket
import struct
import threading
import time

import numpy

from . import audio
from .namespaces import inside

_PAYLOAD_TYPES = {"PCMU": 0, "PCMA": 8}
_FRAME = 160
_PERIOD = 0.020


class Endpoint:
    """`speak` starts sending; everything received is kept by sequence number until `close`."""

    def __init__(self, port, codec="PCMU", address="127.0.0.1", namespace=None):
        self.codec = codec
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with inside(namespace):
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.settimeout(0.1)
        self.sources = set()
        self.packets = []
        self.sent = 0
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._receive, daemon=True)]
        self._threads[0].start()

    def speak(self, samples, target, way=None):
        """Sends samples to (address, port), a frame each 20 ms, then stays silent. `way`: what the network does to the
        packet of a number, seconds that it is late, or None where it is lost."""
        data = audio.g711_encode(self.codec, samples)
        data += data[-1:] * (-len(data) % _FRAME)
        thread = threading.Thread(target=self._send, args=(data, target, way or (lambda number: 0.0)), daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _send(self, data, target, way):
        ssrc, sequence, stamp = struct.unpack("!IHI", os.urandom(10))
        ways = [way(number) for number in range(len(data) // _FRAME)]
        due = sorted((number * _PERIOD + late, number) for number, late in enumerate(ways) if late is not None)
        begin = time.monotonic()
        for at, number in due:
            time.sleep(max(0.0, begin + at - time.monotonic()))
            if self._closing.is_set():
                return
            marker = 0x80 if number == 0 else 0
            header = struct.pack(
                "!BBHII", 0x80, marker | _PAYLOAD_TYPES[self.codec], sequence + number & 0xFFFF,
                stamp + number * _FRAME & 0xFFFFFFFF, ssrc)
            self.socket.sendto(header + data[number * _FRAME: (number + 1) * _FRAME], target)
            self.sent += 1
        time.sleep(max(0.0, begin + len(data) // _FRAME * _PERIOD - time.monotonic()))

    def _receive(self):
        while not self._closing.is_set():
            try:
                packet, source = self.socket.recvfrom(2048)
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                return
            if len(packet) > 12 and packet[0] >> 6 == 2:
                self.sources.add(source[:2])
                self.packets.append((time.monotonic(), packet))

    def heard(self):
        """What arrived, laid out by the RTP time-stamps of the longest stream; gaps are silence."""
        streams = {}
        for _, packet in list(self.packets):
            kind, _, stamp, ssrc = struct.unpack("!xBHII", packet[:12])
            if kind & 0x7F == _PAYLOAD_TYPES[self.codec]:
                header = 12 + 4 * (packet[0] & 15)
                streams.setdefault(ssrc, []).append((stamp, packet[header:]))
        if not streams:
            return numpy.zeros(0)
        stream = max(streams.values(), key=len)
        first = stream[0][0]
        places = [((stamp - first + (1 << 31)) % (1 << 32)) - (1 << 31) for stamp, _ in stream]
        early = min(places)
        size = max(place + len(body) for place, (_, body) in zip(places, stream)) - early
        if size > audio.RATE * 600:
            return numpy.zeros(0)
        samples = numpy.zeros(size)
        for place, (_, body) in zip(places, stream):
            samples[place - early: place - early + len(body)] = audio.g711_decode(self.codec, body)
        return samples

    def close(self):
        self._closing.set()
        self.socket.close()
        for thread in self._threads:
            thread.join(1)
