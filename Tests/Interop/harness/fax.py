"""Faxes: pages to send, terminals of T.38 that send and take them (tools/t38terminal.c over spandsp), and what arrived."""

import json
import pathlib
import random
import select
import shutil
import socket
import struct
import subprocess
import threading

import numpy

from .namespaces import prefix
from .ports import free_port
from .process import Failure, Process, Skipped, expect, run, wait_until

WIDTH = 1728
# How much faster than a telephone line the terminals' clocks run.
SPEED = 4
_SOURCE = pathlib.Path(__file__).resolve().parents[1] / "tools/t38terminal.c"


def program(t):
    """The terminal, compiled at first need."""
    built = t.bench.folder / "t38terminal"
    if not built.exists():
        if not shutil.which("gcc"):
            raise Skipped("gcc is not installed")
        code, output = run(["gcc", "-std=gnu11", "-O1", "-Wall", "-o", built, _SOURCE, "-lspandsp", "-ltiff"], 60)
        if code != 0:
            raise Failure(f"{_SOURCE.name} does not compile: {output}")
    return built


# --- pages -------------------------------------------------------------------------------------------
def page(seed, length=300):
    """Rows of a page, a bit a pixel: strokes that stand for eight rows, with a speck in each."""
    dice = numpy.random.default_rng(seed)
    rows, row = numpy.zeros((length, WIDTH), dtype=numpy.uint8), numpy.zeros(WIDTH, dtype=numpy.uint8)
    for number in range(length):
        if number % 8 == 0:
            row[:] = 0
            for start in dice.integers(0, WIDTH, 12):
                row[start: start + dice.integers(1, 60)] = 1
        row[dice.integers(0, WIDTH)] ^= 1
        rows[number] = row
    return numpy.packbits(rows, axis=1)


def write_tiff(path, pages):
    """Pages of standard width and fine resolution, not compressed (TIFF 6.0, as RFC 2306 wants the tags)."""
    file, link = bytearray(b"II*\0\0\0\0\0"), 4
    for number, rows in enumerate(pages):
        image = len(file)
        file += rows.tobytes()
        file += b"\0" * (len(file) % 2)
        resolution = len(file)
        file += struct.pack("<IIII", 204, 1, 196, 1)
        long, short, rational = 4, 3, 5
        tags = [
            (254, long, 1, 2), (256, long, 1, WIDTH), (257, long, 1, len(rows)), (258, short, 1, 1),
            (259, short, 1, 1), (262, short, 1, 0), (266, short, 1, 1), (273, long, 1, image), (277, short, 1, 1),
            (278, long, 1, len(rows)), (279, long, 1, rows.nbytes), (282, rational, 1, resolution),
            (283, rational, 1, resolution + 8), (296, short, 1, 2), (297, short, 2, number | len(pages) << 16)]
        struct.pack_into("<I", file, link, len(file))
        file += struct.pack("<H", len(tags))
        for tag in tags:
            file += struct.pack("<HHII", *tag)
        link = len(file)
        file += bytes(4)
    pathlib.Path(path).write_bytes(file)


def read_tiff(terminal, path):
    """The pages of a file, by libtiff."""
    done = subprocess.run([terminal, "rows", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    expect(done.returncode == 0, f"{path} cannot be read: {done.stderr.decode(errors='replace')}")
    sizes, _, rest = done.stdout.partition(b"\n")
    found, at = [], 0
    for width, length in json.loads(sizes):
        stride = (width + 7) // 8
        found.append(numpy.frombuffer(rest, numpy.uint8, stride * length, at).reshape(length, stride))
        at += stride * length
    return found


# --- terminals ---------------------------------------------------------------------------------------
class Terminal:
    """A fax machine of T.38 at a port. It begins when `speak_to` has told it where the far end is."""

    def __init__(self, t, role, path, ecm=True, speed=SPEED, noise=False, port=None,
                 namespace=None):
        self.role, self.path = role, path
        self.port = port or free_port()
        self.address = ("127.0.0.1", self.port)
        words = [*prefix(namespace), program(t), role, f"127.0.0.1:{self.port}", path, "ecm" if ecm else "no-ecm", "speed", speed]
        if noise:
            words.append("noise")
        self.process = Process(f"fax-{role}-{self.port}", words, t.folder, stdin=subprocess.PIPE)
        t.defer(self.process.stop)
        wait_until(
            lambda: self.process.text() or not self.process.running(), 5, f"the fax machine that is to {role}", 0.005)
        expect(self.process.running(), f"the fax machine that was to {role} said: {self.process.text()}")

    def speak_to(self, target):
        self.process.child.stdin.write(f"remote {target[0]}:{target[1]}\n".encode())
        self.process.child.stdin.flush()

    def result(self, seconds):
        """What it says at the end of its fax."""
        self.process.wait(seconds)
        lines = self.process.text().splitlines()
        expect(lines[-1].startswith("{"), f"the fax machine that was to {self.role} said: {lines}")
        return json.loads(lines[-1])


class Fax:
    """One document from one terminal to another."""

    def __init__(self, t, pages=3, length=300, **options):
        self.t = t
        self.pages = [page(number, length) for number in range(pages)]
        there, self.arrived = t.folder / "sent.tif", t.folder / "arrived.tif"
        write_tiff(there, self.pages)
        self.sender = Terminal(t, "send", there, **options)
        self.receiver = Terminal(t, "receive", self.arrived, **options)

    def go(self, sender_target, receiver_target):
        # The one who answers is there first.
        self.receiver.speak_to(receiver_target)
        self.sender.speak_to(sender_target)

    def check(self, seconds=20):
        """Sent and received without an error, and bit for bit the same: (what the sender says, what the receiver)."""
        sent, received = self.sender.result(seconds), self.receiver.result(5)
        for end, said in (("sender", sent), ("receiver", received)):
            expect(said["code"] == 0 and said["pages"] == len(self.pages), f"the {end} says {said}")
        found = read_tiff(program(self.t), self.arrived)
        expect(len(found) == len(self.pages), f"{len(found)} pages arrived")
        for number, (one, other) in enumerate(zip(self.pages, found), 1):
            expect(one.shape == other.shape, f"page {number} has {other.shape}, not {one.shape}")
            wrong = int(numpy.count_nonzero(numpy.unpackbits(one ^ other)))
            expect(wrong == 0, f"page {number} has {wrong} wrong pixels")
        return sent, received

    def whole(self, seconds=20):
        """As `check`, on a path that loses nothing: what one end sent reached the other, and nothing else did."""
        sent, received = self.check(seconds)
        for one, other in ((sent, received), (received, sent)):
            expect(arrived(one, other) and not other["strangers"] and not other["malformed"],
                   f"sender {sent}, receiver {received}")
        return sent, received


def arrived(one, other):
    """Whether all that one end sent came to the other, and no more. What leaves in the very moment of the answer, which
    is one packet three times over, may come before it is known whose it is; redundancy makes that good."""
    return 0 <= one["sent"] - (other["received"] - other["malformed"]) <= 3 and not other["lost"]


def remark(sent, received):
    return (f"{received['pages']} pages at {received['bitRate']} bit/s, {received['compression']}, "
            f"{'ECM' if received['ecm'] else 'no ECM'}, {sent['sent']} and {received['sent']} datagrams, "
            f"{sent['recovered']} and {received['recovered']} made good")


class Lossy:
    """Stands before a terminal and loses a share of what passes, each way: far ends see it in the terminal's place."""

    def __init__(self, t, terminal, share, seed):
        self.dice, self.share = random.Random(seed), share
        self.lost = self.passed = 0
        self.terminal, self.target = terminal.address, None
        self.outside, self.inside = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for end in (self.outside, self.inside):
            end.bind(("127.0.0.1", free_port()))
        self.port = self.outside.getsockname()[1]
        self.closing = threading.Event()
        t.defer(self.close)
        threading.Thread(target=self._run, daemon=True).start()

    def between(self, target):
        """Where the terminal has to send, so that it passes here to the target."""
        self.target = target
        return self.inside.getsockname()

    def _run(self):
        while not self.closing.is_set():
            ready, _, _ = select.select([self.outside, self.inside], [], [], 0.1)
            for end in ready:
                data = end.recv(65536)
                if self.dice.random() < self.share:
                    self.lost += 1
                    continue
                self.passed += 1
                if end is self.outside:
                    self.inside.sendto(data, self.terminal)
                else:
                    self.outside.sendto(data, self.target)

    def close(self):
        self.closing.set()
