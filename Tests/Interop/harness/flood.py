"""Datagrams from many source addresses of 127.0.0.0/8, through one socket: what a flood from a whole network looks like."""

import socket
import struct
import threading
import time

_PKTINFO = getattr(socket, "IP_PKTINFO", 8)


def address(number):
    """One of a million."""
    number += 1
    return f"127.{80 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class Flood:
    """A thread that sends, as fast as it may, what `write(number, source, port)` makes for one source after another."""

    def __init__(self, target, write, sources=10_000, rate=5_000):
        self.target, self.write, self.sources, self.rate = target, write, sources, rate
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind(("0.0.0.0", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]
        self.sent = self.sent_bytes = self.answered = self.answered_bytes = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._closing.set()
        self._thread.join()
        # What is still on its way.
        time.sleep(0.2)
        self._take()
        self.socket.close()
        return self

    def _run(self):
        began = time.monotonic()
        while not self._closing.is_set():
            due = int((time.monotonic() - began) * self.rate)
            for _ in range(min(due - self.sent, 200)):
                self._send(self.sent)
            self._take()
            time.sleep(0.002)

    def _send(self, number):
        source = address(number % self.sources)
        data = self.write(number, source, self.port)
        place = struct.pack("@I4s4s", 0, socket.inet_aton(source), b"\0" * 4)
        try:
            self.socket.sendmsg([data], [(socket.IPPROTO_IP, _PKTINFO, place)], 0, self.target)
        except (BlockingIOError, ConnectionRefusedError):
            pass
        self.sent += 1
        self.sent_bytes += len(data)

    def _take(self):
        for _ in range(2_000):
            try:
                data = self.socket.recv(4096)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self.answered += 1
            self.answered_bytes += len(data)
