"""An outage of a large office: every phone registers, Demarc dies, and all of them come back at once.

    python3 scripts/avalanche.py [--phones 100000] [--within 5] [--demarc PATH] [--results FILE] [--keep]

The phones are one process with one socket that speaks from an address of 127.0.0.0/8 for each of them, five to a
user. Each phone has its own Call-ID, answers the challenge, keeps the nonce, sends again as RFC 3261 17.1.2 says and
honours a Retry-After. Three times all of them register: for the first time, to refresh, and after Demarc was killed
and started again, when they all begin within a few seconds, whatever it answers.

A binding is lost when Demarc does not have it at the end, or did not have it after its restart. It is calm again when
every phone has its 200.
"""

import hashlib
import heapq
import json
import select
import socket
import struct
import sys
import time

from campaign import arguments, carry_out, sample
from harness.demarc import Demarc
from harness.ports import free_port, free_range
from harness.process import Failure, wait_until

EACH = 5
DOMAIN = "demarc.test"
T1, T2, TIMER_F = 0.5, 4.0, 32.0
IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
CALM = 60
# REGISTERs that wait for their answer while nobody is in a hurry.
WINDOW = 400


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def field(message, name):
    """The value of a header field of ours to read; both ends write it in one way."""
    start = message.find(b"\r\n" + name + b": ")
    if start < 0:
        return None
    start += len(name) + 4
    return message[start:message.index(b"\r\n", start)].decode()


def parameter(value, name):
    start = value.find(name + '="')
    if start < 0:
        return None
    start += len(name) + 2
    return value[start:value.index('"', start)]


class Phone:
    __slots__ = ("number", "cseq", "challenge", "count", "attempt", "sent", "due", "request", "done", "began", "ha1")

    def __init__(self, number):
        self.number, self.cseq, self.challenge, self.count = number, 0, None, 0
        self.attempt, self.sent, self.due, self.request, self.done, self.began = 0, 0.0, 0.0, b"", True, 0.0
        self.ha1 = md5(f"u{number // EACH}:{DOMAIN}:secret-{number // EACH}")


class Phones:
    """All of them: what each has sent last, and when it sends again."""

    def __init__(self, count, server):
        self.phones = [Phone(number) for number in range(count)]
        self.server, self.port = server, free_port()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self.socket.bind(("0.0.0.0", self.port))
        self.socket.setblocking(False)
        self.timers, self.waiting = [], 0
        self.again = self.refused = self.failed = self.challenged = 0
        self.times = []

    @staticmethod
    def address(number):
        number += 1
        return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"

    def write(self, phone):
        phone.cseq += 1
        user, host = f"u{phone.number // EACH}", f"{self.address(phone.number)}:{self.port}"
        proof = ""
        if phone.challenge:
            phone.count += 1
            nc = f"{phone.count:08x}"
            response = md5(f"{phone.ha1}:{phone.challenge}:{nc}:c:auth:{HA2}")
            proof = (f'Authorization: Digest username="{user}", realm="{DOMAIN}", nonce="{phone.challenge}", '
                     f'uri="sip:{DOMAIN}", response="{response}", algorithm=MD5, qop=auth, nc={nc}, cnonce="c"\r\n')
        phone.request = (
            f"REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bK{phone.number}x{phone.cseq}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=f{phone.number}\r\nTo: <sip:{user}@{DOMAIN}>\r\n"
            f"Call-ID: {phone.number}@phones\r\nCSeq: {phone.cseq} REGISTER\r\nContact: <sip:{user}@{host}>\r\n"
            f"User-Agent: Phone/1.0\r\nExpires: 3600\r\n{proof}Content-Length: 0\r\n\r\n").encode()
        phone.attempt, phone.sent = 0, time.monotonic()
        self.send(phone)

    def send(self, phone):
        source = socket.inet_aton(self.address(phone.number))
        try:
            self.socket.sendmsg(
                [phone.request], [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("@I4s4s", 0, source, b"\0" * 4))], 0,
                self.server)
        except BlockingIOError:
            pass
        except ConnectionRefusedError:
            pass
        wait = min(T1 * 2 ** phone.attempt, T2)
        phone.due = time.monotonic() + wait
        heapq.heappush(self.timers, (phone.due, phone.number))

    def begin(self, phone):
        phone.done, phone.began = False, time.monotonic()
        self.waiting += 1
        self.write(phone)

    def finish(self, phone):
        phone.done = True
        self.waiting -= 1
        self.times.append(time.monotonic() - phone.began)

    def receive(self):
        for _ in range(256):
            try:
                message = self.socket.recv(4096)
            except (BlockingIOError, ConnectionRefusedError):
                return
            start = message.find(b"\r\nCall-ID: ") + 11
            phone = self.phones[int(message[start:message.index(b"@", start)])]
            cseq = field(message, b"CSeq")
            if phone.done or cseq is None or int(cseq.split()[0]) != phone.cseq:
                continue
            status = message[8:11]
            if status == b"200":
                self.finish(phone)
            elif status == b"401":
                self.challenged += 1
                phone.challenge, phone.count = parameter(field(message, b"WWW-Authenticate"), "nonce"), 0
                self.write(phone)
            elif status == b"503":
                self.refused += 1
                phone.due = time.monotonic() + float((field(message, b"Retry-After") or "5").split()[0])
                phone.request = b""
                heapq.heappush(self.timers, (phone.due, phone.number))
            elif status[:1] != b"1":
                raise Failure(f"a phone got {message.splitlines()[0].decode()}")

    def fire(self):
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            due, number = heapq.heappop(self.timers)
            phone = self.phones[number]
            if phone.done or phone.due != due:
                continue
            if not phone.request:
                self.write(phone)
            elif now - phone.sent >= TIMER_F:
                self.failed += 1
                self.write(phone)
            else:
                phone.attempt += 1
                self.again += 1
                self.send(phone)

    def turn(self, patience=0.001):
        if select.select([self.socket], [], [], patience)[0]:
            self.receive()
        self.fire()

    def all_register(self, within=None, limit=600):
        """Seconds until each has its 200. `within`: all begin in that time, whatever is answered."""
        self.times, self.again, self.refused, self.failed, self.challenged = [], 0, 0, 0, 0
        self.timers = []
        start, begun = time.monotonic(), 0
        while begun < len(self.phones) or self.waiting:
            now = time.monotonic()
            if now - start > limit:
                raise Failure(f"{self.waiting} phones wait after {limit} s, {len(self.phones) - begun} have not begun")
            if within:
                due = min(len(self.phones), int(len(self.phones) * (now - start) / within))
            else:
                due = min(len(self.phones), begun + WINDOW - self.waiting)
            for phone in self.phones[begun:min(due, begun + 256)]:
                self.begin(phone)
            begun = max(begun, min(due, begun + 256))
            self.turn(0.001 if begun >= due else 0)
        return time.monotonic() - start

    def figures(self, seconds):
        times = sorted(self.times)
        return {"seconds": round(seconds, 1), "per_second": round(len(times) / seconds), "sent_again": self.again,
                "challenged": self.challenged, "refused_503": self.refused, "timed_out": self.failed,
                "median_ms": round(times[len(times) // 2] * 1000, 1),
                "p99_ms": round(times[len(times) * 99 // 100] * 1000, 1), "longest_ms": round(times[-1] * 1000)}


HA2 = md5(f"REGISTER:sip:{DOMAIN}")


class Office(Demarc):
    def __init__(self, program, folder, phones):
        super().__init__(program, folder, free_port(), (free_range(40, ("127.0.0.1",)), 40), False)
        self.phones = phones

    def configuration(self):
        document = super().configuration()
        document["limits"] = {"registrations": self.phones}
        return document

    def resources(self):
        return {
            "tenants": [{"name": "test", "domains": [DOMAIN]}],
            "networks": [{"name": "loopback", "listeners": ["v4"], "media": ["127.0.0.1"]}],
            "users": [
                {"name": f"u{number}", "extension": str(100000 + number), "password": f"secret-{number}"}
                for number in range(-(-self.phones // EACH))],
        }

    def bindings(self):
        return int(self.metrics()["demarc_bindings"])


def avalanche(options, verdict, folder):
    office = Office(options.demarc, folder, options.phones)
    office.start()
    try:
        apply(office)
        phones = Phones(options.phones, ("127.0.0.1", office.sip_port))
        empty = sample(office)
        for name in ("first", "refresh"):
            seconds = phones.all_register()
            verdict.figures[name] = phones.figures(seconds)
            print(f"{name}: {verdict.figures[name]}", flush=True)
            verdict.check(office.bindings() == options.phones,
                          f"{office.bindings()} of {options.phones} bindings after they registered ({name})")
        wait_until(lambda: sample(office)["transactions"] == 0, 60, "the transactions to end", 1)
        full = sample(office)
        verdict.figures["binding_bytes"] = round((full["rss_mb"] - empty["rss_mb"]) * 1e6 / options.phones)
        wait_until(lambda: sample(office)["store_waiting"] == 0, 120, "the store to have everything", 0.5)

        office.kill()
        started = time.monotonic()
        office.start()
        verdict.figures["restart_seconds"] = round(time.monotonic() - started, 1)
        verdict.figures["restored"] = office.bindings()
        verdict.check(office.bindings() == options.phones,
                      f"{office.bindings()} of {options.phones} bindings after the restart")
        seconds = phones.all_register(within=options.within)
        verdict.figures["avalanche"] = phones.figures(seconds)
        after = sample(office)
        verdict.figures["avalanche"]["dropped_by_kernel"] = after["dropped_by_kernel"]
        verdict.figures["avalanche"]["cpu_seconds"] = round(after["cpu_seconds"], 1)
        print(f"avalanche: {verdict.figures['avalanche']}", flush=True)
        verdict.check(seconds <= CALM, f"it was calm after {seconds:.0f} s, not within {CALM}")
        verdict.check(office.bindings() == options.phones,
                      f"{office.bindings()} of {options.phones} bindings after the avalanche")
        verdict.check(after["internal_faults"] == 0, "an internal fault")
        wait_until(lambda: sample(office)["transactions"] == 0, 60, "the transactions to end", 1)
        print({name: value for name, value in verdict.figures.items() if not isinstance(value, dict)})
    finally:
        office.stop()


def apply(office):
    path = office.folder / "resources.json"
    path.write_text(json.dumps(office.resources()))
    office.command("apply", "-f", path, seconds=300)


def main():
    parser = arguments("avalanche", __doc__)
    parser.add_argument("--phones", type=int, default=100_000)
    parser.add_argument("--within", type=float, default=5, help="seconds in which all come back")
    options = parser.parse_args()
    return carry_out("avalanche", avalanche, options, phones=options.phones, within=options.within)


if __name__ == "__main__":
    sys.exit(main())
