"""One-way audio: each way in which a caller may not be heard, or hear nothing, made to happen for real, and what Demarc
says of it within three seconds of the answer."""

import random
import socket
import struct
import threading
import time

from harness.case import test
from harness.ports import free_range
from harness.process import expect, wait_until

PERIOD = 0.02


def rtp(number, payload_type=0, ssrc=0x1234):
    return struct.pack("!BBHII", 0x80, payload_type, number & 0xFFFF, number * 160 & 0xFFFFFFFF, ssrc) + b"\xff" * 160


def receiver_report(about, lost, ssrc=0x1234):
    """An RR with a block about a stream of ours, and the CNAME that a compound needs (RFC 3550 6.1)."""
    block = struct.pack("!IIIIII", about, lost << 24 | 100, 100, 0, 0, 0)
    report = struct.pack("!BBHI", 0x81, 201, 7, ssrc) + block
    return report + struct.pack("!BBHIBB", 0x81, 202, 2, ssrc, 1, 0) + b"\0\0"


def sender_report(ssrc=0x1234):
    return (struct.pack("!BBHIIIIII", 0x80, 200, 6, ssrc, 0xE0000000, 0, 160, 10, 1600)
            + struct.pack("!BBHIBB", 0x81, 202, 2, ssrc, 1, 0) + b"\0\0")


class Caller:
    """Calls the echo test and sends what the test wants it to."""

    def __init__(self, t, address="127.0.0.1", says=None):
        self.t, self.agent = t, t.agent(user="alice", password=t.world.users["alice"]["password"])
        self.port = free_range(2)
        self.media = self.bound(address, self.port)
        self.control = self.bound(address, self.port + 1)
        self.heard = None
        self.before = t.world.demarc.metrics()
        self.stop = threading.Event()
        body = self.agent.sdp(self.port, formats="0 101")
        if says:
            body = body.replace("c=IN IP4 127.0.0.1", f"c=IN IP4 {says}")
        answer, self.dialog = self.agent.exchange("INVITE", f"sip:9001@{t.world.domain}", body=body.encode())
        self.answered = time.time()
        expect(answer.status == 200, str(answer))
        lines = answer.body.decode().splitlines()
        port = next(int(line.split()[1]) for line in lines if line.startswith("m=audio"))
        self.target = (next(line.split()[-1] for line in lines if line.startswith("c=")), port)

    def bound(self, address, port):
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.bind((address, port))
        end.setblocking(False)
        self.t.defer(end.close)
        return end

    def keep(self, send):
        """Calls `send` with a number each 20 ms until the call ends."""
        def run():
            number = random.randrange(1000)
            while not self.stop.wait(PERIOD):
                try:
                    self.heard = struct.unpack("!I", self.media.recv(2048)[8:12])[0]
                except BlockingIOError:
                    pass
                send(number)
                number += 1
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.t.defer(lambda: (self.stop.set(), thread.join(2)))

    def verdict(self, reason, *words):
        """Waits for the verdict, hangs up, and looks for it in the record and the metrics."""
        name = f'demarc_audio_verdicts_total{{reason="{reason}"}}'
        wait_until(lambda: self.t.world.demarc.metrics()[name] > self.before.get(name, 0), 5, f"a verdict {reason}", 0.05)
        took = time.time() - self.answered
        self.stop.set()
        expect(self.dialog.bye().status == 200, "BYE")

        def noted():
            record = self.t.world.demarc.records()[0]
            return record["state"] == "ended" and record
        notes = wait_until(noted, 5, "the record")["notes"]
        found = [note for note in notes if f" {reason}: " in note]
        expect(len(found) == 1 and all(word in found[0] for word in words), f"{notes}")
        expect(took <= 3, f"the verdict took {took:.1f} s")
        self.t.remark = f"after {took:.1f} s: {found[0]}"


@test("blocked", 15)
def blocked(t):
    """Nothing comes from the caller: a firewall, or a phone that sends nowhere"""
    caller = Caller(t)
    caller.verdict("blocked", f":{caller.target[1]}")


@test("far-end-silent", 15)
def far_end_silent(t):
    """The caller's RTCP comes, and no RTP"""
    caller = Caller(t)
    target = (caller.target[0], caller.target[1] + 1)
    caller.keep(lambda n: caller.control.sendto(sender_report(), target))
    caller.verdict("far-end-silent")


@test("nat", 15)
def nat(t):
    """SDP names a private address, and RTP comes from one that nobody named"""
    caller = Caller(t, "127.0.0.9", "10.9.8.7")
    caller.keep(lambda n: caller.media.sendto(rtp(n), caller.target))
    caller.verdict("nat-not-latched", f"127.0.0.9:{caller.port}", f"10.9.8.7:{caller.port}")


@test("wrong-address", 15)
def wrong_address(t):
    """SDP names a public address, and RTP comes from another"""
    caller = Caller(t, "127.0.0.9", "198.51.100.7")
    caller.keep(lambda n: caller.media.sendto(rtp(n), caller.target))
    caller.verdict("wrong-address", "127.0.0.9", f"198.51.100.7:{caller.port}")


@test("payload-type", 15)
def payload_type(t):
    """The caller sends a payload type that is in no SDP"""
    caller = Caller(t)
    caller.keep(lambda n: caller.media.sendto(rtp(n, 18), caller.target))
    caller.verdict("payload-type", "type 18")


@test("not-rtp", 15)
def not_rtp(t):
    """What comes from the caller is no RTP"""
    caller = Caller(t)
    caller.keep(lambda n: caller.media.sendto(b"\x16\xfe\xfd" + bytes(60), caller.target))
    caller.verdict("not-rtp")


@test("forbidden-address", 15)
def forbidden_address(t):
    """SDP names the address of a cloud's metadata service, and the caller waits to be spoken to"""
    caller = Caller(t, says="169.254.169.254")
    caller.verdict("forbidden-address", f"169.254.169.254:{caller.port}")


@test("not-arriving", 15)
def not_arriving(t):
    """The caller is heard, and reports that nothing of ours arrives"""
    caller = Caller(t)
    target = (caller.target[0], caller.target[1] + 1)

    def send(number):
        caller.media.sendto(rtp(number), caller.target)
        if caller.heard:
            caller.control.sendto(receiver_report(caller.heard, 255), target)
    caller.keep(send)
    caller.verdict("not-arriving")


@test("heard", 15)
def heard(t):
    """A caller who is heard and hears gets no verdict"""
    caller = Caller(t)
    caller.keep(lambda n: caller.media.sendto(rtp(n), caller.target))
    time.sleep(3)
    caller.stop.set()
    caller.dialog.bye()

    def noted():
        record = t.world.demarc.records()[0]
        return record["state"] == "ended" and record
    record = wait_until(noted, 5, "the record")
    expect(not any("heard" in note or "hears" in note for note in record.get("notes", [])), f"{record}")
