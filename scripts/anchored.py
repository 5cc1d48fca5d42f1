"""As many anchored calls at once as the machine has descriptors for, with packets both ways in each of them.

    python3 scripts/anchored.py [--calls 10000] [--rate 100] [--seconds 30] [--demarc PATH] [--results FILE] [--keep]

A call has two port pairs, which are four sockets. They are bound at the start, on several addresses of 127.0.0.0/8. All
calls of a side share one socket for signalling and one for media: what tells them apart is Demarc's port, and the number
that each packet bears. While all of them are up each end sends, every two seconds; every packet must arrive once, from
the port that the far end was told. Then all end, and nothing may be left.
"""

import re
import resource
import select
import socket
import struct
import sys
import time

from campaign import (
    AT_REST, PAIRS_PER_ADDRESS, PORT_REST, Office, arguments, at_rest, carry_out, differences, raise_descriptors, sample)
from harness.agent import Message, token
from harness.process import Failure, expect, wait_until

# Of descriptors: what Demarc keeps for its store, API and connections beside media.
BESIDE_MEDIA = 1500
LARGE_BUFFER = 64 << 20
BETWEEN_PACKETS = 2.0
PREFIX = "+4940"
# Call, direction and number; behind RTP's header, in the place of speech.
_RTP, _MARK = struct.Struct("!BBHII"), struct.Struct("!IBxxxI")
_PADDING = b"\xd5" * (160 - _MARK.size)
_PORT = re.compile(rb"^m=audio (\d+) ", re.MULTILINE)
_ADDRESS = re.compile(rb"^c=IN IP4 ([\d.]+)", re.MULTILINE)


def described(message):
    """Demarc's media address for a side."""
    return _ADDRESS.search(message.body).group(1).decode(), int(_PORT.search(message.body).group(1))


def udp(port=0):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (getattr(socket, "SO_RCVBUFFORCE", 33), socket.SO_RCVBUF):
        try:
            made.setsockopt(socket.SOL_SOCKET, option, LARGE_BUFFER)
            break
        except PermissionError:
            continue
    made.bind(("127.0.0.1", port))
    made.setblocking(False)
    return made


class Side:
    """All ends of one side: the trunk's socket, and one for media. 0: callers, 1: callees."""

    def __init__(self, number, port):
        self.number = number
        self.signalling, self.media = udp(port), udp()
        self.port = port
        self.body = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self.media.getsockname()[1]} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n")

    def close(self):
        self.signalling.close()
        self.media.close()


class Call:
    __slots__ = ("serial", "tag", "to", "target", "ports", "sent", "heard", "state")

    def __init__(self, serial):
        self.serial, self.tag, self.to, self.target = serial, token(), None, None
        # Demarc's media address towards each side, and how many packets each side has sent and heard.
        self.ports, self.sent, self.heard, self.state = [None, None], [0, 0], [0, 0], "calling"


class Crowd:
    """Every call, in one thread."""

    def __init__(self, office, count, rate):
        self.office, self.count, self.rate = office, count, rate
        self.sides = [Side(0, office.ports["pbx"]), Side(1, office.ports["north"])]
        self.calls, self.refusals = {}, []
        self.misplaced = 0

    def close(self):
        for side in self.sides:
            side.close()

    # --- signalling --------------------------------------------------------------------------------
    def request(self, call, method, sequence, uri, body=""):
        self.sides[0].signalling.sendto(self.written(call, method, sequence, uri, body), self.office.address)

    def written(self, call, method, sequence, uri, body=""):
        side = self.sides[0]
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{side.port};branch=z9hG4bK{token()}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:+4969{call.serial}@{self.office.domain}>;tag={call.tag}\r\n"
            f"To: {call.to or f'<{uri}>'}\r\nCall-ID: {call.serial}@crowd\r\nCSeq: {sequence} {method}\r\n"
            f"Contact: <sip:pbx@127.0.0.1:{side.port}>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}")
        return text.encode()

    def begin(self, serial):
        call = self.calls[serial] = Call(serial)
        self.request(call, "INVITE", 1, f"sip:{PREFIX}{serial}@{self.office.domain}", self.sides[0].body)

    def hang_up(self, call):
        call.state = "ending"
        self.request(call, "BYE", 2, call.target)

    def answer(self, message, source, body=""):
        side = self.sides[1]
        to = message.get("to")
        if ";tag=" not in to:
            to += f";tag={token()}"
        kind = (f"Contact: <sip:north@127.0.0.1:{side.port}>\r\nContent-Type: application/sdp\r\n" if body else "")
        text = "".join(f"Via: {via}\r\n" for via in message.all("via"))
        text = (
            f"SIP/2.0 200 OK\r\n{text}From: {message.get('from')}\r\nTo: {to}\r\nCall-ID: {message.get('call-id')}\r\n"
            f"CSeq: {message.get('cseq')}\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}")
        side.signalling.sendto(text.encode(), source)

    def callee(self, message, source):
        if message.method == "INVITE":
            serial = int(re.search(r"sip:\+4940(\d+)@", message.start).group(1))
            # A repetition has the same description.
            self.calls[serial].ports[1] = described(message)
            self.answer(message, source, self.sides[1].body)
        elif message.method in ("BYE", "OPTIONS"):
            self.answer(message, source)

    def caller(self, message):
        if message.status is None or message.status < 200:
            return
        call = self.calls[int(message.get("call-id").partition("@")[0])]
        if message.cseq_method == "BYE":
            call.state = "ended"
            return
        if message.status != 200:
            self.refusals.append(message.start)
            call.state = "refused"
            return
        if call.state == "calling":
            call.state, call.to = "up", message.get("to")
            call.target, call.ports[0] = message.contact_uri(), described(message)
        self.request(call, "ACK", 1, call.target)

    def turn(self, seconds):
        """What has come until now, and for a while; media as well."""
        sockets = {side.signalling: side for side in self.sides} | {side.media: side for side in self.sides}
        ready, _, _ = select.select(list(sockets), [], [], max(0, seconds))
        for one in ready:
            side = sockets[one]
            for _ in range(200):
                try:
                    data, source = one.recvfrom(4096)
                except (BlockingIOError, ConnectionRefusedError):
                    break
                if one is side.media:
                    self.hear(side, data, source)
                elif side.number == 0:
                    self.caller(Message(data, source))
                else:
                    self.callee(Message(data, source), source)

    # --- media -------------------------------------------------------------------------------------
    def speak(self, call, number):
        sequence = call.sent[number]
        packet = _RTP.pack(0x80, 8, sequence & 0xFFFF, 16_000 * sequence & 0xFFFFFFFF, call.serial << 1 | number)
        try:
            self.sides[number].media.sendto(
                packet + _MARK.pack(call.serial, number, sequence) + _PADDING, call.ports[number])
        except ConnectionRefusedError:
            self.misplaced += 1
        call.sent[number] += 1

    def hear(self, side, data, source):
        if len(data) < _RTP.size + _MARK.size or data[1] & 0x7F != 8:
            return
        serial, sender, sequence = _MARK.unpack_from(data, _RTP.size)
        call = self.calls.get(serial)
        if (call is None or sender == side.number or source != call.ports[side.number]
                or sequence != call.heard[side.number]):
            self.misplaced += 1
        else:
            call.heard[side.number] += 1

    # --- the run -----------------------------------------------------------------------------------
    def pace(self, items, act, rate):
        """`act` for each of them, so many a second, and everything that comes meanwhile."""
        start = time.monotonic()
        for place, item in enumerate(items):
            while (rest := start + place / rate - time.monotonic()) > 0:
                self.turn(rest)
            act(item)
            if place % 16 == 0:
                self.turn(0)

    def until(self, holds, seconds, what):
        deadline = time.monotonic() + seconds
        while not holds():
            expect(time.monotonic() < deadline, f"waited {seconds} s for {what}")
            self.turn(0.05)

    def state(self, name):
        return sum(call.state == name for call in self.calls.values())

    def build(self):
        self.pace(range(100_001, 100_001 + self.count), self.begin, self.rate)
        self.until(lambda: not self.state("calling"), 40, "every call to be answered")

    def talk(self, seconds):
        """Each end, in turn, every two seconds."""
        up = [call for call in self.calls.values() if call.state == "up"]
        start, rounds = time.monotonic(), 0
        while time.monotonic() < start + seconds:
            for number in (0, 1):
                self.pace(up, lambda call: self.speak(call, number), 2 * len(up) / BETWEEN_PACKETS)
            rounds += 1
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            self.turn(0.2)
        return rounds

    def end(self):
        self.pace([call for call in self.calls.values() if call.state == "up"], self.hang_up, self.rate)
        self.until(lambda: not self.state("ending"), 40, "every call to be ended")


def affordable(wanted):
    """So many calls as there are descriptors for, at most."""
    needed = 4 * wanted + BESIDE_MEDIA
    try:
        raise_descriptors(needed)
        return wanted
    except Failure:
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return (allowed - BESIDE_MEDIA) // 4


def anchored(options, verdict, folder):
    count = affordable(options.calls)
    if count < options.calls:
        print(f"{count} calls of {options.calls}: a process may have "
              f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]} descriptors here, and a call takes four")
    # Each address has as many pairs; one in a hundred more than are needed, rounded up for all of them.
    office = Office(options.demarc, folder / "office", {"pbx": {}}, {"north": {}}, {PREFIX: ["north"]}, 2 * count)
    crowd = None
    try:
        office.start()
        demarc, empty = office.demarc, sample(office.demarc)
        print(f"{office.pairs} port pairs on {len(demarc.media_addresses)} addresses, "
              f"{empty['descriptors']} descriptors, {empty['rss_mb']} MB without a call")
        crowd = Crowd(office, count, options.rate)
        crowd.build()
        built = sample(demarc)
        up = crowd.state("up")
        print(f"{up} calls up, {built['rss_mb']} MB, {built['ports_leased']:.0f} port pairs in use")
        rounds = crowd.talk(options.seconds)
        spoken = sample(demarc)
        sent = sum(sum(call.sent) for call in crowd.calls.values())
        heard = sum(sum(call.heard) for call in crowd.calls.values())
        share = (spoken["cpu_seconds"] - built["cpu_seconds"]) / options.seconds
        print(f"{sent} packets sent in {rounds} rounds, {heard} arrived in their place, {crowd.misplaced} elsewhere; "
              f"{spoken['kernel_flows']:.0f} flows in the kernel, {share:.1%} of a core in Demarc")
        crowd.end()
        after = at_rest(demarc, empty, 60 + PORT_REST)
        records = wait_until(lambda: demarc.metrics()["demarc_facts_unconfirmed"] == 0, 30, "every record", 0.5) and (
            demarc.closed_records(up, 30))
        verdict.check(not crowd.refusals, f"{len(crowd.refusals)} calls refused: {crowd.refusals[:3]}")
        verdict.check(up == count, f"{up} calls of {count} were up")
        verdict.check(built["ports_leased"] == 2 * count, f"{built['ports_leased']:.0f} port pairs were in use")
        verdict.check(heard == sent and not crowd.misplaced,
                      f"{sent} packets sent, {heard} arrived once and in place, {crowd.misplaced} did not")
        verdict.check(spoken["dropped_by_kernel"] == 0, f"{spoken['dropped_by_kernel']:.0f} SIP messages lost")
        left = differences(after, empty, [name for name in AT_REST if name != "descriptors"])
        verdict.check(not left, f"left behind: {[(name, after[name]) for name in left]}")
        verdict.check(spoken["internal_faults"] == 0, "an internal fault")
        causes = {row["cause"] for row in records}
        verdict.check(causes == {"normal-clearing"}, f"records say {causes}")
        verdict.figures.update({
            "calls": up, "addresses": len(demarc.media_addresses), "pairs_per_address": PAIRS_PER_ADDRESS,
            "descriptors": built["descriptors"], "rss_mb_empty": empty["rss_mb"], "rss_mb": built["rss_mb"],
            "kilobytes_a_call": round((built["rss_mb"] - empty["rss_mb"]) * 1e3 / max(1, up), 2), "packets": sent,
            "kernel_flows": spoken["kernel_flows"], "cpu_share": round(share, 3)})
        print(verdict.figures)
    finally:
        if crowd:
            crowd.close()
        office.close()


def main():
    parser = arguments("anchored", __doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=100, help="new calls a second")
    parser.add_argument("--seconds", type=int, default=30, help="how long all of them speak")
    options = parser.parse_args()
    return carry_out("anchored", anchored, options)


if __name__ == "__main__":
    sys.exit(main())
