"""What a trunk may do at most."""

from harness.case import test
from harness.process import expect, wait_until
from harness.sipp import uac, uas
from harness.world import CALLS_PER_SECOND, MAX_CALLS

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
    refused = [r for r in world.records(number) if r["status"] != 200]
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
