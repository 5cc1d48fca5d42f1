"""Calls with speech both ways that follow one another without a pause, and what must have become of each packet.

Of ten calls six are plain, two are put on hold and taken back, in one an end goes on from another port without a word
(a NAT that forgot), and in one an end falls silent, until Demarc ends the call.

Every packet arrives once, in order and at the right far end, save for
  - those of the end that moved, until its old port was silent for 200 ms: Demarc counts each as refused
  - those that the other end of a call of the fourth kind still sent when Demarc was ending it
  - those that a full socket lost, Demarc's or ours, which the kernel counts
One that ICMP brings back from a call that is up found Demarc's port closed, which it must not be.
"""

import itertools
import queue
import re
import socket
import threading
import time

from campaign import SIPP_BUFFER, datagrams_lost
from harness.agent import Agent, Message
from harness.flows import PERIOD, Flows
from harness.pair import End, Pair, audio
from harness.process import Failure, expect

KINDS = ("plain", "held", "plain", "moved", "plain", "silent", "plain", "held", "plain", "plain")
CAUSES = {"silent": "media-timeout"}
PREFIX, CALLER_PREFIX = "+4940", "+4969"
# What the trunks have besides. A hold is longer than the time-out, which does not count in it.
TALKER = {"mediaTimeout": "3s"}
LISTENER = {"mediaTimeout": "3s", "probe": {"enabled": False}}
SECONDS, HELD = 20, 4
# Ten packets in the 200 ms; one that was due already, one that is late.
MOST_REFUSED = 12
# A BYE's way to us and our own threads', on a machine that does other things.
MOST_BEHIND = round(1 / PERIOD)
# Where it may relay at all; what is not its own are the first packets, digits and what comes with them.
KERNEL_SHARE = 0.9
DROPPED = "demarc_media_packets_dropped_total"
REFUSED, FULL = '{reason="refused"}', '{reason="kernel"}'
_serial = itertools.count(100_001)


# --- SIP: one socket a trunk, one line a call -----------------------------------------------------------
class Line(Agent):
    """An agent for one call, told from the others by its user."""

    def __init__(self, board, user):
        self.socket, self.port, self.server, self.domain = board.socket, board.port, board.server, board.domain
        self.address, self.user, self.password, self.mark = "127.0.0.1", user, None, ""
        self.inbox, self.queue, self.board = [], queue.SimpleQueue(), board
        board.lines[user] = self

    def receive(self, seconds):
        try:
            return self.queue.get(timeout=max(0.001, seconds))
        except queue.Empty:
            return None

    def close(self):
        del self.board.lines[self.user]


class Board:
    """A trunk's socket: hands each message to the line that it is for."""

    def __init__(self, port, server, domain):
        self.port, self.server, self.domain, self.lines = port, server, domain, {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(SIPP_BUFFER[-1]))
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(0.2)
        self.closing = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.closing:
            try:
                data, source = self.socket.recvfrom(65536)
            except TimeoutError:
                continue
            message = Message(data, source)
            where = message.get("from") if message.status else message.start
            user = re.search(r"sip:([^@;>]+)@", where)
            # What is repeated after its call has no line any more.
            line = self.lines.get(user.group(1)) if user else None
            if line:
                line.queue.put(message)

    def close(self):
        self.closing = True
        self.thread.join()
        self.socket.close()


# --- one call -------------------------------------------------------------------------------------------
class Talk(Pair):
    """A call of one of the kinds; in every other ten the ends change places."""

    def __init__(self, flows, talkers, listeners, domain):
        serial = next(_serial)
        self.kind, self.turned = KINDS[serial % 10], serial // 10 % 2 == 1
        self.number, self.domain, self.flows = f"{PREFIX}{serial}", domain, flows
        self.caller = End(Line(talkers, f"{CALLER_PREFIX}{serial}"))
        self.callee = End(Line(listeners, self.number))
        self.near, self.far = flows.pair()
        self.failure = None

    def run(self):
        try:
            self.begin()
            getattr(self, self.kind)()
        except Failure as failure:
            self.failure = str(failure)
        finally:
            self.flows.close(self.near, self.far)
            self.caller.agent.close()
            self.callee.agent.close()
        return self

    @property
    def mover(self):
        """The end that moves or falls silent."""
        return self.far if self.turned else self.near

    def begin(self):
        self.caller.dial(f"sip:{self.number}@{self.domain}", audio(self.near.port))
        self.talk(*self.completed(self.caller, self.callee, [audio(self.far.port)]))

    def talk(self, offered, answered):
        """Both ends speak, to where the other's description says."""
        self.near.target, self.far.target = answered[0].target, offered[0].target
        self.flows.start(self.near, self.far)

    def plain(self):
        time.sleep(SECONDS)
        self.hang_up(self.callee if self.turned else self.caller)

    def held(self):
        """The caller has music for the other, or nothing."""
        time.sleep(SECONDS / 4)
        says, answers = ("inactive", "inactive") if self.turned else ("sendonly", "recvonly")
        self.flows.stop(self.far, *([self.near] if self.turned else []))
        self.settle()
        self.change(self.caller, [audio(self.near.port, more=f"a={says}\r\n")],
                    [audio(self.far.port, more=f"a={answers}\r\n")])
        time.sleep(HELD)
        self.talk(*self.change(self.caller, [audio(self.near.port)], [audio(self.far.port)]))
        time.sleep(SECONDS * 3 / 4 - HELD)
        self.hang_up(self.caller)

    def moved(self):
        time.sleep(SECONDS / 3)
        self.flows.move(self.mover)
        time.sleep(SECONDS * 2 / 3)
        self.hang_up(self.caller)

    def silent(self):
        time.sleep(SECONDS / 3)
        self.flows.stop(self.mover)
        self.caller.ended(10)
        self.flows.stop(self.mover.other)
        self.callee.ended(10)

    def settle(self):
        """Until the last that was sent is there; if it is not after two seconds it does not come any more."""
        deadline = time.monotonic() + 2
        while any(end.expected < end.other.sent for end in (self.near, self.far)) and time.monotonic() < deadline:
            time.sleep(PERIOD)

    def hang_up(self, end):
        self.flows.stop(self.near, self.far)
        self.settle()
        end.request("BYE")
        self.other(end).ended()
        answer = end.agent.final(end.call_id, "BYE")
        expect(answer.status == 200, f"BYE got {answer.start}")

    # --- afterwards --------------------------------------------------------------------------------
    def refused(self):
        """Packets of the end that moved, from its new port, before that was known."""
        if self.kind != "moved":
            return 0
        return sum(count for _, count in self.mover.other.gaps) - len(self.mover.early)

    def early(self):
        """Packets of either end that found Demarc's port closed at the beginning."""
        return len(self.near.early) + len(self.far.early)

    def behind(self):
        """Packets that were sent while the call was ended."""
        return self.mover.other.sent - self.mover.expected if self.kind == "silent" else 0

    def faults(self, row):
        """What is not as it should be of this call and its record: [text]."""
        if self.failure or row is None:
            return [self.failure or "no record"]
        found = []
        if row["cause"] != CAUSES.get(self.kind, "normal-clearing"):
            found.append(f"the record says {row['cause']}")
        for side, hearer in (("caller", self.far), ("callee", self.near)):
            packets, lost = (int(row[f"{side}_{column}"] or 0) for column in ("packets", "lost"))
            missing = sum(count for _, count in hearer.gaps)
            if hearer.misplaced or hearer.strange:
                found.append(f"{hearer.misplaced} from the {side} came twice or late, {hearer.strange} from elsewhere")
            if hearer.other.early:
                found.append(f"packets {hearer.other.early} from the {side} found the port closed")
            if packets != hearer.received + hearer.dropped:
                found.append(f"the record says {packets} packets from the {side}; {hearer.other.sent} were sent, "
                             f"{hearer.received} arrived, {hearer.dropped} found a full buffer")
            if not 0 <= missing - len(hearer.other.early) - lost <= hearer.dropped:
                found.append(f"the record says {lost} lost from the {side}; {hearer.gaps} are missing")
        if self.refused() > MOST_REFUSED:
            found.append(f"{self.refused()} were refused after the move")
        if self.behind() > MOST_BEHIND:
            found.append(f"{self.behind()} were sent while it was ended")
        return found


# --- all of them ----------------------------------------------------------------------------------------
class Speech:
    """So many calls at once; those that run at `end` are the last."""

    def __init__(self, office, count):
        self.demarc, self.domain = office.demarc, office.domain
        self.ports = office.ports["talker"], office.ports["listener"]
        self.boards = [Board(port, office.address, office.domain) for port in self.ports]
        self.flows, self.talks = Flows(), []
        self.ending = threading.Event()
        self.fast_path = 'demarc_media_fast_path{state="on"}' in self.demarc.metrics()
        self.before = self.counted()
        self.threads = [threading.Thread(target=self.slot, args=(place / count,), daemon=True)
                        for place in range(count)]
        for thread in self.threads:
            thread.start()

    def slot(self, phase):
        """One call after the other, shifted against those of the other slots."""
        self.ending.wait(phase * SECONDS)
        while not self.ending.is_set():
            talk = Talk(self.flows, *self.boards, self.domain)
            self.talks.append(talk.run())

    def end(self):
        if self.ending.is_set():
            return
        self.ending.set()
        for thread in self.threads:
            thread.join()
        self.lost = datagrams_lost(*self.ports)
        # A Demarc that died is told of elsewhere.
        after = self.counted() if self.demarc.running() else self.before
        self.by = {name: after[name] - self.before[name] for name in after}
        self.flows.end()
        for board in self.boards:
            board.close()

    def counted(self):
        """What Demarc has counted of media so far."""
        metrics = self.demarc.metrics()
        drops = {name.removeprefix(DROPPED): value for name, value in metrics.items() if name.startswith(DROPPED)}
        return {**drops, "by_kernel": metrics["demarc_media_kernel_packets_total"],
                "by_process": metrics['demarc_media_packets_relayed_total{kind="rtp"}'],
                "moves": metrics["demarc_media_moves_total"], "silences": metrics["demarc_media_silences_total"],
                "cpu_seconds": metrics["demarc_media_cpu_seconds_total"]}

    # --- afterwards --------------------------------------------------------------------------------
    def figures(self):
        ends = [end for talk in self.talks for end in (talk.near, talk.far)]
        kinds = {kind: sum(talk.kind == kind for talk in self.talks) for kind in sorted(set(KINDS))}
        return {
            "calls": len(self.talks), **kinds, "sent": sum(end.sent for end in ends),
            "received": sum(end.received for end in ends), "refused": sum(talk.refused() for talk in self.talks),
            "port_closed": sum(talk.early() for talk in self.talks),
            "behind_the_end": sum(talk.behind() for talk in self.talks), "full_socket": sum(end.dropped for end in ends),
            "lost_datagrams": self.lost, "sender_cpu_seconds": round(self.flows.cpu_seconds, 1),
            "demarc": {name: round(value, 2) for name, value in self.by.items() if value}}

    def check(self, verdict, rows):
        """`rows`: the records of these calls, by number."""
        found, by = self.figures(), self.by
        faults = [(talk, fault) for talk in self.talks for fault in talk.faults(rows.get(talk.number))]
        for talk, fault in faults[:10]:
            verdict.check(False, f"{talk.kind} call to {talk.number}: {fault}")
        verdict.check(len(faults) <= 10, f"{len(faults) - 10} more faults of calls with speech")
        missing = found["sent"] - found["received"]
        explained = by[REFUSED] + by[FULL] + sum(
            found[name] for name in ("full_socket", "port_closed", "behind_the_end"))
        gaps = [f"{talk.kind} {talk.number}" for talk in self.talks
                if talk.kind != "moved" and not talk.early() and (talk.near.gaps or talk.far.gaps)]
        verdict.check(missing == explained,
                      f"{missing} packets did not arrive, {explained:.0f} for a known reason; they are missing in "
                      f"{gaps[:5]}, {len(gaps)} in all: {found}")
        verdict.check(by["by_kernel"] + by["by_process"] == found["received"] + found["full_socket"],
                      f"Demarc says that it relayed another number of packets than arrived: {found}")
        verdict.check(not self.fast_path or by["by_kernel"] >= found["received"] * KERNEL_SHARE,
                      f"the kernel relayed {by['by_kernel']:.0f} packets only: {found}")
        others = {name: count for name, count in by.items()
                  if name.startswith("{") and name not in (REFUSED, FULL) and count}
        verdict.check(not others, f"Demarc dropped packets: {others}")
        verdict.check(self.lost == 0, f"our SIP sockets lost {self.lost} datagrams")
        verdict.check(by["moves"] == found["moved"],
                      f"{by['moves']:.0f} ends were found elsewhere, {found['moved']} moved")
        verdict.check(by["silences"] == found["silent"],
                      f"{by['silences']:.0f} ends were found silent, {found['silent']} were")

    def __str__(self):
        found, by = self.figures(), self.by
        arrived = max(1, found["received"])
        return (f"{found['calls']} calls with speech: {found['sent']} packets sent, {found['received']} arrived, "
                f"{found['refused']} refused after a move, {found['port_closed']} before the port was open, "
                f"{found['behind_the_end']} sent while a call was ended, {by[FULL]:.0f} and {found['full_socket']} "
                f"lost by full sockets of Demarc's and ours; {by['by_kernel']:.0f} by the kernel "
                f"({by['by_kernel'] / arrived:.1%}), {by['by_process']:.0f} by the process in {by['cpu_seconds']:.1f} s "
                f"of its CPU; {found['sender_cpu_seconds']} s of CPU in the sender")
