"""Many RTP flows in one thread, for load and not for listening: each packet sent is to arrive once, in its place, and
where it belongs, and what did not is known by number."""

import os
import select
import socket
import struct
import threading
import time

# A flow's packets are 20 ms apart; the flows take turns in groups, so that not all send at once.
PERIOD, GROUPS = 0.020, 4
_SPEECH, _DIGIT = 0, 101
_FRAME = b"\xd5" * 160
_DIGIT_5 = struct.pack("!BBH", 5, 0x80 | 10, 160)
# Every five seconds a digit, which takes another way through Demarc than the speech around it.
_BETWEEN_DIGITS = 250
# linux/sock_diag.h: SO_MEMINFO, and the place of the datagrams that found the buffer full.
_SO_MEMINFO, _DROPS, _MEMINFO = 55, 8, struct.Struct("9I")
# linux/in.h: ICMP of a socket's own packets comes back to it, with the packet.
_IP_RECVERR = 11
_HEADER = struct.Struct("!BBHII")


class Flow:
    """One end of a call: what it sends, and what it hears of the flow of `other`."""

    def __init__(self, address="127.0.0.1"):
        self.address, self.sockets = address, []
        self.target = self.other = None
        self.sending = False
        self.ssrc, self.first, self.stamp = struct.unpack("!IHI", os.urandom(10))
        self.sent = self.received = 0
        # Of the other's packets: the next one, [(its number, how many are missing from there on)], and those that came
        # twice or late; and packets of anybody else.
        self.expected, self.gaps, self.misplaced, self.strange = 0, [], 0, 0
        # Own packets that found nobody at the port that they were sent to, by number, and how many of those that came
        # found our buffer full.
        self.unheard, self.dropped = [], 0
        self.bind()

    def bind(self):
        """A port of its own, from which it sends from now on; what still comes to the one before is heard."""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((self.address, 0))
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        self.sockets.append(made)
        return made

    @property
    def port(self):
        return self.sockets[-1].getsockname()[1]

    def send(self):
        number = self.sent
        if number % _BETWEEN_DIGITS == _BETWEEN_DIGITS - 1:
            kind, payload = 0x80 | _DIGIT, _DIGIT_5
        else:
            kind, payload = _SPEECH, _FRAME
        stamp = self.stamp + 160 * number & 0xFFFFFFFF
        header = _HEADER.pack(0x80, kind, self.first + number & 0xFFFF, stamp, self.ssrc)
        try:
            self.sockets[-1].sendto(header + payload, self.target)
        except ConnectionRefusedError:
            # Of an earlier one; this has not left.
            self.sockets[-1].sendto(header + payload, self.target)
        self.sent += 1

    def receive(self):
        for each in self.sockets:
            _all(lambda: self.take(each.recv(2048)))
            _all(lambda: self.give_up(each.recvmsg(2048, 512, socket.MSG_ERRQUEUE)[0]))

    def give_up(self, packet):
        """ICMP has brought one back."""
        self.unheard.append(_HEADER.unpack_from(packet)[2] - self.first & 0xFFFF)

    def take(self, packet):
        _, _, sequence, _, ssrc = _HEADER.unpack_from(packet)
        if ssrc != self.other.ssrc:
            self.strange += 1
            return
        step = sequence - self.other.first - self.expected & 0xFFFF
        if step >= 0x8000:
            self.misplaced += 1
            return
        if step:
            self.gaps.append((self.expected, step))
        self.expected += step + 1
        self.received += 1

    @property
    def early(self):
        """Those of the unheard behind which others were heard."""
        return [number for number in self.unheard if number < self.other.expected]

    def close(self):
        for each in self.sockets:
            self.dropped += _MEMINFO.unpack(each.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS]
            each.close()


def _all(take):
    """Until there is no more; that a packet was refused is told in between, once."""
    while True:
        try:
            take()
        except ConnectionRefusedError:
            continue
        except BlockingIOError:
            return


class Flows:
    """The thread. Everything that others ask of a flow is done between two of its turns."""

    def __init__(self):
        self.cpu_seconds = 0.0
        self._groups = [[] for _ in range(GROUPS)]
        self._flows = {}
        self._poll = select.epoll()
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def pair(self):
        """Two flows that hear each other."""
        one, two = Flow(), Flow()
        one.other, two.other = two, one
        with self._lock:
            for flow in (one, two):
                min(self._groups, key=len).append(flow)
                self._watch(flow, flow.sockets[-1])
        return one, two

    def start(self, *flows):
        self._set(flows, True)

    def stop(self, *flows):
        """No packet of these leaves afterwards."""
        self._set(flows, False)

    def _set(self, flows, sending):
        with self._lock:
            for flow in flows:
                flow.sending = sending

    def move(self, flow):
        """It sends from another port from now on, and says so to nobody."""
        with self._lock:
            self._watch(flow, flow.bind())

    def close(self, *flows):
        with self._lock:
            for flow in flows:
                flow.receive()
                for each in flow.sockets:
                    self._poll.unregister(each)
                    del self._flows[each.fileno()]
                next(group for group in self._groups if flow in group).remove(flow)
                flow.close()

    def end(self):
        self._closing = True
        self._thread.join()
        self._poll.close()

    def _watch(self, flow, made):
        self._flows[made.fileno()] = flow
        self._poll.register(made, select.EPOLLIN)

    def _run(self):
        due, turn = time.monotonic(), 0
        while not self._closing:
            # Where it came too late it makes up for one packet and no more: a burst would find buffers full, or be
            # what an end sends in no time at all.
            due = max(due, time.monotonic() - PERIOD) + PERIOD / GROUPS
            time.sleep(max(0.0, due - time.monotonic()))
            turn = (turn + 1) % GROUPS
            with self._lock:
                for flow in self._groups[turn]:
                    if flow.sending:
                        flow.send()
                for descriptor, _ in self._poll.poll(0):
                    self._flows[descriptor].receive()
            self.cpu_seconds = time.thread_time()
