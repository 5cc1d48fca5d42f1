"""What is left after the process was killed. These have a Demarc of their own."""

import time

from harness.case import test
from harness.process import expect, wait_until
from harness.sipp import uac, uas
from harness.world import World


def own_world(t, media_pairs=20):
    world = World(t.folder, t.program, media_pairs)
    t.defer(world.close)
    return world.start()


@test("killed-in-a-call", 60)
def killed_in_a_call(t):
    """kill -9 in a call whose parties are gone too: it goes on under its name, and there is exactly one record of it"""
    world = own_world(t)
    number = world.number("+4930")
    north = t.callee("north", uas(), port=world.ports["north"])
    pbx = t.caller("pbx", uac(hold_ms=20000), port=world.ports["pbx"], remote=world.sip, service=number)
    call = world.live(number)
    world.demarc.kill()
    pbx.process.stop()
    north.process.stop()
    world.demarc.start()
    expect(world.live(number)["id"] == call["id"], "the call has another name")
    world.demarc.command("call", "hangup", call["id"])
    record = world.record(number, 10)
    expect(record["id"] == call["id"], f"record {record['id']} is not the call {call['id']}")
    expect(record["state"] == "ended" and record["cause"] == "hung-up-by-operator", f"{record}")
    expect(len(world.records(number)) == 1, f"{len(world.records(number))} records of one call")
    # And the next call is like any other.
    second = world.number("+4930")
    north = t.callee("north-after", uas(), port=world.ports["north"])
    t.caller("pbx-after", uac(hold_ms=100), port=world.ports["pbx"], remote=world.sip, service=second).wait()
    north.wait()
    expect(world.record(second)["state"] == "ended", "the next call has no record")


@test("killed-under-load", 90)
def killed_under_load(t):
    """kill -9 while calls come at 40 a second: each INVITE that reached the carrier has its one record"""
    world = own_world(t, media_pairs=500)
    number = world.number("+4930")
    north = t.callee("north", uas(ring_ms=50), port=world.ports["north"], calls=0)
    pbx = t.caller("pbx", uac(hold_ms=200), port=world.ports["pbx"], remote=world.sip, service=number,
                   calls=400, rate=40, messages=False)
    time.sleep(3)
    world.demarc.kill()
    pbx.process.stop(1)
    time.sleep(0.3)
    north.process.stop(1)
    reached = set()
    for text in north.received():
        if text.startswith("INVITE"):
            reached.add(next(
                line.partition(":")[2].strip() for line in text.splitlines() if line.lower().startswith("call-id")))
    world.demarc.start()
    # Those that were up go on, and nobody is there any more.
    for call in world.demarc.calls():
        world.demarc.try_command("call", "hangup", call["id"])

    def closed():
        records = world.records(number)
        return records and all(r["state"] in ("ended", "interrupted") for r in records) and records
    records = wait_until(closed, 10, "closed records", 0.3)
    identifiers = [record["id"] for record in records]
    expect(len(set(identifiers)) == len(identifiers), "two records of one call")
    expect(len(reached) > 20, f"only {len(reached)} calls reached the carrier")
    expect(len(records) >= len(reached), f"{len(reached)} calls reached the carrier, {len(records)} have a record")
    t.remark = f"{len(reached)} INVITEs left, {len(records)} records"


@test("registrations-survive", 60)
def registrations_survive(t):
    """A phone registered before the restart is called after it"""
    world = own_world(t)
    bob = t.user("bob", world=world, answer="auto", expires=600)
    before = [b for b in world.demarc.registrations() if b["user"] == "bob"]
    expect(before, "bob is not registered")
    world.demarc.kill()
    world.demarc.start()
    after = [b for b in world.demarc.registrations() if b["user"] == "bob"]
    expect([b["contact"] for b in after] == [b["contact"] for b in before], f"{after} is not {before}")
    extension = world.extension("bob")
    t.caller("pbx", uac(hold_ms=300), port=world.ports["pbx"], remote=world.sip, service=extension).wait()
    bob.established()


@test("drain", 60)
def drain(t):
    """SIGTERM: the running call goes on to its end, new ones are refused with 503, then the process ends"""
    world = own_world(t)
    number = world.number("+4930")
    north = t.callee("north", uas(), port=world.ports["north"])
    pbx = t.caller("pbx", uac(hold_ms=3000), port=world.ports["pbx"], remote=world.sip, service=number)
    world.live(number)
    world.demarc.ask_to_end()
    time.sleep(0.5)
    agent = t.agent(world=world, user="south", port=world.ports["south"])
    answer, _ = agent.exchange("INVITE", f"sip:+4940103@{world.domain}", body=agent.sdp(31998))
    expect(answer.status == 503, f"a new call got {answer.start}")
    pbx.wait()
    north.wait()
    expect(world.demarc.ended(15) == 0, "Demarc did not end by itself with code 0")
    world.demarc.start()
    expect(world.record(number)["state"] == "ended", "the drained call's record is not closed")
