"""What a trunk may do at most, and what there is of the machine."""

import os
import re
import resource
import socket
import threading
import time

from harness import audio
from harness.agent import Dialog, token
from harness.case import test
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.sipp import uac, uas
from harness.world import CALLS_PER_SECOND, MAX_CALLS, World

from .sip import carrier, from_pbx
from .streams import StreamWorld, connect


@test("concurrent-calls", 40)
def concurrent_calls(t):
    """A trunk's limit of concurrent calls is reached and never passed, and free again afterwards"""
    world = t.world
    offered = MAX_CALLS + 3
    number = world.number("+4934")
    carrier(t, "few-calls", uas(), calls=0)
    pbx = from_pbx(t, uac(hold_ms=3000), number, calls=offered, rate=20)
    wait_until(lambda: pbx.count("FailedCall(C)") == offered - MAX_CALLS, 5, "the calls above the limit to fail")
    live = [call for call in world.demarc.calls() if call.get("calledNumber") == number]
    expect(len([call for call in live if call["state"] == "answered"]) == MAX_CALLS, f"{len(live)} calls are up")
    pbx.process.wait(15)
    expect(pbx.count("SuccessfulCall(C)") == MAX_CALLS, f"{pbx.count('SuccessfulCall(C)')} calls succeeded")
    refused = [r for r in world.demarc.closed_records(offered, number=number) if r["status"] != 200]
    expect(len(refused) == offered - MAX_CALLS, f"{len(refused)} records of refused calls")
    for record in refused:
        causes = {record["cause"], *(attempt.get("cause") for attempt in record["attempts"])}
        expect("trunk-call-limit" in causes, f"refused without its cause: {record}")
    again = from_pbx(t, uac(hold_ms=100), number, name="again")
    again.wait()


@test("calls-per-second", 40)
def calls_per_second(t):
    """Attempts above a trunk's rate are refused; the rate itself is let through"""
    world = t.world
    number = world.number("+4935")
    carrier(t, "few-per-second", uas(ring_ms=0), calls=0)
    seconds, rate = 4, 20
    pbx = from_pbx(t, uac(hold_ms=50), number, calls=seconds * rate, rate=rate)
    pbx.process.wait(30)
    passed = pbx.count("SuccessfulCall(C)")
    # The bucket is full at the start, so one second's worth comes on top.
    expect(passed <= CALLS_PER_SECOND * (seconds + 1), f"{passed} calls passed in {seconds} s")
    expect(passed >= CALLS_PER_SECOND * seconds * 0.9, f"only {passed} calls passed in {seconds} s")
    t.remark = f"{passed} of {seconds * rate} at {CALLS_PER_SECOND}/s"


class Lines(World):
    """North and south share three lines; calls for help go south, one of them with a place that nothing takes."""

    COUNT = 3

    def __init__(self, t):
        super().__init__(t.folder, t.program, media_pairs=100)
        t.defer(self.close)
        self.start()

    def resources(self):
        document = super().resources()
        document["pools"] = [
            {"name": "lines", "tenant": "test", "lines": self.COUNT, "trunks": ["north", "south"]}]
        document["emergencies"] = [
            {"tenant": "test", "country": "49", "carriers": [{"trunk": "south"}], "reserved": 1}]
        return document

    def causes(self, number, calls):
        return sorted(
            cause for record in self.demarc.closed_records(calls, number=number) for cause in {
                record.get("cause"), *(attempt.get("cause") for attempt in record["attempts"])} - {None})


@test("shared-lines", 40)
def shared_lines(t):
    """Calls at once through two trunks that share lines: as many get through as there are, and again afterwards"""
    world = Lines(t)
    t.callee("north", uas(), port=world.ports["north"], calls=0)
    offered = world.COUNT + 4
    for turn in ("first", "again"):
        number = world.number("+4930")
        pbx = t.caller(
            f"pbx-{turn}", uac(hold_ms=1500), port=world.ports["pbx"], remote=world.sip, service=number,
            calls=offered, rate=50)
        pbx.process.wait(20)
        expect(pbx.count("SuccessfulCall(C)") == world.COUNT, f"{pbx.count('SuccessfulCall(C)')} calls got through")
        causes = world.causes(number, offered)
        expect(causes.count("lines-busy") >= offered - world.COUNT, causes)


@test("help-with-all-lines-taken", 40)
def help_with_all_lines_taken(t):
    """112 goes its own way while every line is taken; beyond the places kept for it, it is a call like any other"""
    world = Lines(t)
    t.callee("north", uas(), port=world.ports["north"], calls=0)
    t.callee("south", uas(), port=world.ports["south"], calls=0)
    number = world.number("+4930")
    pbx = t.caller(
        "pbx", uac(hold_ms=5000), port=world.ports["pbx"], remote=world.sip, service=number, calls=world.COUNT,
        rate=50)
    wait_until(
        lambda: sum(call["state"] == "answered" for call in world.demarc.calls()) == world.COUNT, 5,
        "every line to be taken")
    alice = t.agent(user="alice", password=world.users["alice"]["password"], world=world)
    answer, dialog = alice.exchange("INVITE", f"sip:112@{world.domain}", body=alice.sdp(40030))
    expect(answer.status == 200, f"112: {answer.start}")
    second, _ = alice.exchange("INVITE", f"sip:112@{world.domain}", body=alice.sdp(40032))
    expect(second.status == 486, f"112 without a place: {second.start}")
    dialog.bye()
    third, dialog = alice.exchange("INVITE", f"sip:112@{world.domain}", body=alice.sdp(40034))
    expect(third.status == 200, f"112 after the first was over: {third.start}")
    dialog.bye()
    pbx.process.wait(20)
    expect(pbx.count("SuccessfulCall(C)") == world.COUNT, "an ordinary call was lost")
    helped = [record for record in world.demarc.closed_records(3, number="112") if record["status"] == 200]
    expect(len(helped) == 2 and all(r["to"] == "trunk:south" for r in helped), f"{helped}")


class Descriptors:
    """What a process has open, what it may have, and how much of a processor it takes."""

    def __init__(self, pid):
        self.pid, self.folder = pid, f"/proc/{pid}/fd"

    def open(self):
        return [int(name) for name in os.listdir(self.folder)]

    def leave(self, count):
        """So many more than now, where none below is free again."""
        limit = max(self.open()) + 1 + count
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (limit, limit))

    def all_taken(self):
        return len(self.open()) == resource.prlimit(self.pid, resource.RLIMIT_NOFILE)[0]

    def used(self):
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, seconds=1.5):
        """The part of a processor that it takes while nothing is asked of it."""
        before, began = self.used(), time.monotonic()
        time.sleep(seconds)
        return (self.used() - before) / (time.monotonic() - began)


class Exhausted(StreamWorld):
    """A Demarc with a phone by TLS whose every further descriptor is taken by connections that say nothing."""

    def __init__(self, t):
        super().__init__(t)
        wait_until(lambda: self.demarc.metrics()['demarc_media_ports{state="free"}'] >= 200, 10, "the media ports", 0.1)
        self.phone = connect(t, self, "tls")
        self.phone.register("erin", self.users["erin"]["password"], self.domain)
        self.descriptors = Descriptors(self.demarc.pid)
        self.before = len(self.descriptors.open())
        self.taken = []

    def exhaust(self, t):
        self.descriptors.leave(24)
        # Two dozen are taken, and as many wait.
        for place in range(48):
            self.taken.append(socket.create_connection(self.at("tcp" if place % 2 else "tls")))
            t.defer(self.taken[-1].close)
        wait_until(self.descriptors.all_taken, 3, "the last descriptor to be taken")

    def release(self):
        for each in self.taken:
            each.close()


@test("descriptors", 60)
def descriptors(t):
    """No descriptor is left: connections are refused without a spin, calls, speech and registrations go on, and it passes"""
    world = Exhausted(t)
    phone, alice = world.phone, t.agent(world=world, user="alice", password=world.users["alice"]["password"])
    pbx, east = (t.agent(world=world, user=name, port=world.ports[name]) for name in ("pbx", "east"))
    words = audio.speech("The birch canoe slid on the smooth planks.")
    ends = [Endpoint(free_port()) for _ in range(2)]
    for end in ends:
        t.defer(end.close)
    ports = [end.socket.getsockname()[1] for end in ends]
    number, call_id, tag = world.number("+4938"), token(), token()
    pbx.send(pbx.request("INVITE", f"sip:{number}@{world.domain}", call_id, 1, tag, body=pbx.sdp(ports[0])))
    invite = east.expect_request("INVITE")
    east.send(east.answer_to(invite, 200, "OK", token(), body=east.sdp(ports[1])))
    running = Dialog(pbx, call_id, tag, 1, number, pbx.final(call_id, "INVITE"))
    running.acknowledge()
    east.expect_request("ACK")

    world.exhaust(t)
    speaking = [
        end.speak(words, ("127.0.0.1", int(re.search(rb"m=audio (\d+)", body).group(1))))
        for end, body in zip(ends, (running.answer.body, invite.body))]
    load = world.descriptors.load()
    expect(load < 0.2, f"it takes {load:.0%} of a processor")
    late = socket.create_connection(world.at("tcp"))
    t.defer(late.close)
    late.settimeout(6)
    expect(late.recv(1) == b"", "a connection that cannot be had was left to wait")
    # What was there before goes on: a phone by its connection, and calls to it.
    phone.register("erin", world.users["erin"]["password"], world.domain)
    inviting = threading.Thread(target=answer_one_call, args=(phone,))
    inviting.start()
    answer, dialog = alice.exchange("INVITE", f"sip:{world.extension('erin')}@{world.domain}", body=alice.sdp(40000))
    expect(answer.status == 200, f"a call to the phone got {answer.start}")
    expect(dialog.bye().status == 200, "BYE")
    inviting.join(5)
    # A carrier that would need a connection of ours cannot be had, and the caller hears so at once.
    began = time.monotonic()
    refused, _ = alice.exchange("INVITE", f"sip:{world.number('+4950')}@{world.domain}", body=alice.sdp(40002))
    expect(refused.status == 503 and time.monotonic() - began < 3, f"after {time.monotonic() - began:.1f} s {refused.start}")
    expect(world.descriptors.all_taken(), "the descriptors were not all taken until now")
    for thread in speaking:
        thread.join()
    time.sleep(0.2)
    for end in ends:
        audio.check_likeness("in the running call", words, end.heard())

    world.release()
    wait_until(lambda: len(world.descriptors.open()) <= world.before + 2, 5, "the descriptors to come back", 0.1)
    connect(t, world, "tls").options()
    connect(t, world).options()
    phone.options()
    expect(world.connections_ended("noDescriptors") > 0, "the refusals were not counted")
    bye = threading.Thread(target=lambda: east.send(east.answer_to(east.expect_request("BYE"), 200, "OK")))
    bye.start()
    expect(running.bye().status == 200, "the call that was running is gone")
    bye.join(5)
    expect(world.record(number)["cause"] == "normal-clearing", "the call that was running did not end as it should")
    t.remark = f"{load:.1%} of a processor while none is left"


def answer_one_call(phone):
    invite = phone.expect_request("INVITE")
    body = (b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40004 RTP/AVP 0\r\n")
    phone.answer(invite, 200, "OK", "exhausted", body)
    phone.expect_request("ACK")
    phone.answer(phone.expect_request("BYE"), 200, "OK")


@test("descriptors-asked", 40)
def descriptors_asked(t):
    """No descriptor is left and somebody asks the local API: he waits without a spin, and is answered afterwards"""
    world = Exhausted(t)
    world.exhaust(t)
    askers = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for asker in askers:
        t.defer(asker.close)
        asker.settimeout(3)
        asker.connect(str(world.demarc.socket))
        asker.sendall(b"GET /metrics HTTP/1.1\r\nHost: demarc\r\n\r\n")
    load = world.descriptors.load()
    world.release()
    for asker in askers:
        expect(asker.recv(15) == b"HTTP/1.1 200 OK", "a question was not answered afterwards")
    expect(load < 0.2, f"it takes {load:.0%} of a processor")
