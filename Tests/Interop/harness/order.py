"""Two endpoints of our own around Demarc: the callee sends 180 and 200 back to back, and the caller notes in what order
they come out. Both are in one thread, so that nothing here can turn them round."""

import dataclasses
import select
import socket
import time

from .agent import Agent, Message, token
from .process import Failure

_BUFFER = 4 << 20
# A call is given up after so long without its end: something got lost.
_PATIENCE = 10


@dataclasses.dataclass
class Order:
    """How many calls came out in order, and what was wrong with the others."""

    calls: int = 0
    in_order: int = 0
    swapped: int = 0
    without_ringing: int = 0
    unfinished: int = 0
    seconds: float = 0.0
    examples: list = dataclasses.field(default_factory=list)

    def perfect(self):
        return self.calls > 0 and self.in_order == self.calls

    def __str__(self):
        return (f"{self.in_order} of {self.calls} in order, {self.swapped} swapped, {self.without_ringing} without 180, "
                f"{self.unfinished} unfinished, {self.seconds:.1f} s" + "".join(f"; {text}" for text in self.examples[:3]))


class _Call:
    def __init__(self, uri):
        self.uri, self.tag, self.seen, self.began = uri, token(), [], time.monotonic()
        self.answered = self.ended = False


def back_to_back(server, domain, caller_port, callee_port, number, calls, rate, at_once=50, reverse=False):
    """Makes the calls at a rate; `reverse` has the callee send 200 before 180, to see that it is noticed."""
    caller = Agent(server, user="caller", domain=domain, port=caller_port)
    callee = Agent(server, user="callee", domain=domain, port=callee_port)
    try:
        for end in (caller, callee):
            end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        return _Run(caller, callee, number, reverse).make(calls, rate, at_once)
    finally:
        caller.close()
        callee.close()


class _Run:
    def __init__(self, caller, callee, number, reverse):
        self.caller, self.callee, self.number, self.reverse = caller, callee, number, reverse
        self.open, self.result = {}, Order()

    def make(self, calls, rate, at_once):
        began = time.monotonic()
        swept = began
        while self.result.calls < calls:
            now = time.monotonic()
            due = int((now - began) * rate) + 1
            started = self.result.calls + len(self.open)
            if started < min(calls, due) and len(self.open) < at_once:
                self.start()
                wait = 0
            else:
                wait = min(0.05, max(0.0, 1 / rate))
            ready, _, _ = select.select([self.caller.socket, self.callee.socket], [], [], wait)
            # Little by little, so that starts keep their rate.
            for end, handle in ((self.callee, self.at_callee), (self.caller, self.at_caller)):
                if end.socket in ready:
                    data, source = end.socket.recvfrom(65536)
                    if data.strip():
                        handle(Message(data, source))
            if now - swept > 1:
                swept = now
                self.sweep(now)
        self.result.seconds = time.monotonic() - began
        return self.result

    # --- the caller ----------------------------------------------------------------------------------
    def start(self):
        call_id = token(8)
        uri = f"sip:{self.number}@{self.caller.domain}"
        call = self.open[call_id] = _Call(uri)
        self.caller.send(self.caller.request("INVITE", uri, call_id, 1, call.tag, body=self.caller.sdp(9)))

    def at_caller(self, message):
        call = self.open.get(message.get("call-id"))
        if call is None or not message.status:
            return
        if message.cseq_method == "BYE":
            self.finish(message.get("call-id"), call)
        elif message.status >= 180:
            call.seen.append(message.status)
            if message.status >= 200 and not call.answered:
                call.answered = True
                if message.status >= 300:
                    raise Failure(f"a call was refused: {message.start}")
                self.leave(message, call)

    def leave(self, answer, call):
        call_id, remote, to = answer.get("call-id"), answer.contact_uri(), answer.get("to")
        self.caller.send(self.caller.request("ACK", remote, call_id, 1, call.tag, to))
        self.caller.send(self.caller.request("BYE", remote, call_id, 2, call.tag, to))

    def finish(self, call_id, call):
        del self.open[call_id]
        result = self.result
        result.calls += 1
        # A repetition says nothing; what counts is who came first.
        if 180 not in call.seen:
            result.without_ringing += 1
        elif 200 in call.seen and call.seen.index(180) > call.seen.index(200):
            result.swapped += 1
        else:
            result.in_order += 1
            return
        result.examples.append(f"{call_id}: {call.seen}")

    def sweep(self, now):
        for call_id, call in [(key, one) for key, one in self.open.items() if now - one.began > _PATIENCE]:
            del self.open[call_id]
            self.result.calls += 1
            self.result.unfinished += 1
            self.result.examples.append(f"{call_id}: {call.seen}, then nothing")

    # --- the callee ----------------------------------------------------------------------------------
    def at_callee(self, message):
        if message.method == "INVITE":
            tag = token()
            both = [self.callee.answer_to(message, 180, "Ringing", tag),
                    self.callee.answer_to(message, 200, "OK", tag, body=self.callee.sdp(9))]
            for data in reversed(both) if self.reverse else both:
                self.callee.socket.sendto(data, message.source)
        elif message.method == "BYE":
            self.callee.socket.sendto(self.callee.answer_to(message, 200, "OK"), message.source)
