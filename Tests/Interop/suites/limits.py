"""What a trunk may do at most."""

from harness.case import test
from harness.process import expect, wait_until
from harness.sipp import uac, uas
from harness.world import CALLS_PER_SECOND, MAX_CALLS, World

from .sip import carrier, from_pbx


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
