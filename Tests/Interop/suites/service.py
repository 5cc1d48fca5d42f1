"""Demarc as a service manager sees it: what it says of itself, and a thread that does not go on."""

import ctypes
import os
import pathlib
import socket
import sys
import threading
import time

from harness.agent import Agent, token
from harness.case import test
from harness.demarc import Demarc
from harness.ports import free_port, free_range
from harness.process import Failure, Skipped, expect, wait_until
from harness.sipp import uac, uas
from harness.world import World

WATCHDOG = 3
_libc = ctypes.CDLL(None, use_errno=True)


class Manager:
    """The datagram socket of sd_notify(3), in place of systemd's."""

    def __init__(self, t):
        self.path = t.folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)
        t.defer(self.socket.close)
        self.told = []

    def heard(self):
        """What has been told since the last time."""
        new = []
        while True:
            try:
                new.append(self.socket.recv(4096).decode().splitlines()[0])
            except BlockingIOError:
                self.told += new
                return new


def service(t):
    """A Demarc that has been started by a manager with a watchdog; both."""
    manager = Manager(t)
    demarc = Demarc(t.program, t.folder, free_port(), (free_range(40), 40), False)
    launcher = t.folder / "launcher"
    launcher.write_text(f"#!/bin/sh\nexport NOTIFY_SOCKET={manager.path} WATCHDOG_USEC={WATCHDOG * 1_000_000}\n"
                        f"exec {demarc.program} \"$@\"\n")
    launcher.chmod(0o755)
    demarc.launcher = launcher
    demarc.start()
    t.defer(demarc.stop)
    return manager, demarc


@test("notified", 40)
def notified(t):
    """The manager hears that it is ready, that it is alive as often as it asked, and that it is going to end"""
    manager, demarc = service(t)
    wait_until(lambda: manager.heard() or "READY=1" in manager.told, 5, "READY=1")
    # Sockets are given away as soon as they are in use, by messages of their own.
    words = [word for word in manager.told if not word.startswith("FDSTORE")]
    expect(words[0] == "READY=1", f"the first word was {words[0]}")
    manager.told.clear()
    time.sleep(2 * WATCHDOG)
    manager.heard()
    alive = manager.told.count("WATCHDOG=1")
    expect(alive >= 4, f"it said that it was alive {alive} times in {2 * WATCHDOG} s")
    demarc.ask_to_end()
    expect(demarc.ended(10) == 0, "it did not end")
    manager.heard()
    expect("STOPPING=1" in manager.told, f"the last words were {manager.told[-3:]}")


def thread(demarc, name):
    """The kernel's number of a thread of the process."""
    for task in pathlib.Path(f"/proc/{demarc.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"no thread is called {name}")


class Held:
    """A thread of Demarc's that stands still where it is about to send, so in the middle of a turn: ptrace(2)."""

    # Of x86-64 and of ARM: sendto, sendmsg, sendmmsg.
    sends = {44, 46, 307, 206, 211, 269}
    seize, interrupt, go_on, detach, where, system_calls = 0x4206, 0x4207, 24, 17, 0x420E, 1
    wall = 0x40000000

    def __init__(self, number, provoke):
        self.number = number
        self.ask(self.seize, data=self.system_calls)
        self.ask(self.interrupt)
        self.wait()
        for _ in range(2_000):
            provoke()
            self.ask(self.go_on)
            self.wait()
            if self.is_sending():
                return
        raise Failure("the thread sends nothing")

    def ask(self, request, address=None, data=None):
        if _libc.ptrace(request, self.number, address, data) < 0:
            raise Skipped(f"ptrace: {os.strerror(ctypes.get_errno())}")

    def wait(self):
        os.waitpid(self.number, self.wall)

    def is_sending(self):
        """struct ptrace_syscall_info: the kind of stop (1: a system call begins), and at 24 which one."""
        info = ctypes.create_string_buffer(88)
        self.ask(self.where, ctypes.c_void_p(len(info)), info)
        return info.raw[0] == 1 and int.from_bytes(info.raw[24:32], "little") in self.sends

    def release(self):
        if self.number:
            _libc.ptrace(self.detach, self.number, None, None)
            self.number = None


@test("stalled", 40)
def stalled(t):
    """The thread of the calls is held in a turn: the log says so, the watchdog is not fed, and it goes on"""
    manager, demarc = service(t)
    probe = Agent(("127.0.0.1", demarc.sip_port), "probe")
    t.defer(probe.close)
    held = Held(thread(demarc, "shard-0"), lambda: probe.send(
        probe.request("OPTIONS", "sip:demarc.test", token(), 1, token())))
    t.defer(held.release)
    wait_until(lambda: "a thread has stalled" in demarc.process.text(), 6, "the log to say that a thread has stalled")
    manager.heard()
    time.sleep(1.5)
    expect("WATCHDOG=1" not in manager.heard(), "the watchdog was fed while a thread stood still")
    line = next(one for one in demarc.process.text().splitlines() if "a thread has stalled" in one)
    expect("thread=calls" in line and "doing=" in line and "state" in line, f"the log says {line}")
    held.release()
    wait_until(lambda: "goes on" in demarc.process.text(), 5, "the log to say that it goes on")
    metrics = demarc.metrics()
    expect(metrics["demarc_thread_stalls_total"] == 1 and metrics["demarc_thread_stalled"] == 0, "the metrics differ")
    wait_until(lambda: "WATCHDOG=1" in manager.heard(), 5, "the watchdog to be fed again", 0.2)
    t.remark = line.partition("doing=")[2][:60]


# In the program's place: asks the keeper for what it has, and hands it on (sd_listen_fds(3)).
LAUNCHER = """#!{python}
import os, socket, sys
with socket.socket(socket.AF_UNIX) as keeper:
    keeper.connect({path!r})
    names, held, _, _ = socket.recv_fds(keeper, 65536, 64)
# Out of the way of the numbers that they get.
copies = [os.dup2(one, 100 + place) for place, one in enumerate(held)]
for one in held:
    os.close(one)
for place, one in enumerate(copies):
    os.dup2(one, 3 + place)
    os.close(one)
environment = {{**os.environ, "NOTIFY_SOCKET": {notify!r}}}
if held:
    environment.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(held)), LISTEN_FDNAMES=names.decode().strip())
os.execve({program!r}, [{program!r}, *sys.argv[1:]], environment)
"""


class Keeper:
    """A manager's store of descriptors: what it is told to keep it keeps, and gives to each start."""

    def __init__(self, t, program):
        self.held, self.lock, self.lines = {}, threading.Lock(), []
        self.notify, self.giver = (socket.socket(socket.AF_UNIX, kind) for kind in (
            socket.SOCK_DGRAM, socket.SOCK_STREAM))
        for one, name in ((self.notify, "notify"), (self.giver, "giver")):
            one.bind(str(t.folder / name))
            t.defer(one.close)
        self.giver.listen(4)
        t.defer(self.forget_all)
        self.launcher = t.folder / "launcher"
        self.launcher.write_text(LAUNCHER.format(
            python=sys.executable, path=str(t.folder / "giver"), notify=str(t.folder / "notify"), program=program))
        self.launcher.chmod(0o755)
        for work in (self.listen, self.give):
            threading.Thread(target=work, daemon=True).start()

    def listen(self):
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.notify, 4096, 4)
            except OSError:
                return
            fields = dict(line.partition("=")[::2] for line in data.decode().splitlines())
            with self.lock:
                self.lines.append(fields)
                name = fields.get("FDNAME")
                if "FDSTOREREMOVE" in fields:
                    self.drop(name)
                elif "FDSTORE" in fields:
                    self.drop(name)
                    self.held[name] = descriptors.pop()
            for one in descriptors:
                os.close(one)

    def give(self):
        while True:
            try:
                asking, _ = self.giver.accept()
            except OSError:
                return
            with self.lock, asking:
                socket.send_fds(asking, [":".join(self.held).encode() or b" "], list(self.held.values()))

    def drop(self, name):
        if name in self.held:
            os.close(self.held.pop(name))

    def forget_all(self):
        with self.lock:
            for name in list(self.held):
                self.drop(name)

    def names(self):
        with self.lock:
            return sorted(self.held)


@test("kept-sockets", 60)
def kept_sockets(t):
    """While no process lives its sockets are kept: an INVITE that comes then is answered by the next process, a
    connection waits to be taken, and nobody hears that nothing listens"""
    world = KeptWorld(t.folder, t.program, 40)
    t.defer(world.close)
    tcp = world.tcp
    configuration = world.demarc.configuration
    world.demarc.configuration = lambda: with_tcp(configuration(), tcp)
    keeper = Keeper(t, world.demarc.program)
    world.demarc.launcher = keeper.launcher
    world.start()
    wanted = [f"sip-datagram-127.0.0.1-{world.port}", f"sip-stream-127.0.0.1-{tcp}"]
    wait_until(lambda: set(wanted) <= set(keeper.names()), 5, f"{wanted} to be kept")
    number = world.number("+4930")
    north = t.callee("north", uas(ring_ms=50), port=world.ports["north"])
    world.demarc.kill()
    # SIPp gives up at the first ICMP message, and would send its INVITE again after half a second.
    pbx = t.caller("pbx", uac(hold_ms=500), port=world.ports["pbx"], remote=world.sip, service=number)
    with socket.create_connection(("127.0.0.1", tcp), 5) as stream:
        stream.sendall(
            f"OPTIONS sip:{world.domain} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{token()}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:probe@{world.domain}>;tag={token()}\r\nTo: <sip:{world.domain}>\r\n"
            f"Call-ID: {token()}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n".encode())
        time.sleep(1)
        expect(pbx.process.running(), "the caller gave up while no process lived")
        world.demarc.start()
        pbx.wait()
        north.wait()
        stream.settimeout(5)
        answer = stream.recv(4096)
    expect(answer.startswith(b"SIP/2.0 "), f"the connection brought {answer[:60]}")
    expect(world.record(number)["state"] == "ended", "the call has no record")
    expect(set(wanted) <= set(keeper.names()), f"kept are {keeper.names()}")
    # A listener that is configured no more is let go of, and its port with it.
    world.tcp = None
    world.demarc.apply(world.resources())
    world.demarc.kill()
    world.demarc.configuration = configuration
    world.demarc.start()
    wait_until(lambda: wanted[1] not in keeper.names(), 5, "the listener of TCP to be let go of")
    with socket.socket() as probe:
        probe.settimeout(2)
        expect(probe.connect_ex(("127.0.0.1", tcp)) != 0, "somebody still listens there")


class KeptWorld(World):
    """With a listener of TCP, while it has a port."""

    def __init__(self, *given):
        super().__init__(*given)
        self.tcp = free_port()

    def networks(self):
        networks = super().networks()
        networks[0]["listeners"] += ["tcp"] if self.tcp else []
        return networks


def with_tcp(document, port):
    document["listeners"].append({"name": "tcp", "address": "127.0.0.1", "port": port, "transport": "tcp"})
    return document
