"""What calls may cost, with a stolen password."""

import re
import time

from harness.case import test
from harness.process import expect, wait_until
from harness.sipp import Caller, uac, uas, uac_refused
from harness.world import World

SATELLITE = "+881612345678"
OFFERED = 500
CAP = 3


class Office(World):
    """A German tenant; `mine` is what alice's account says of money."""

    def __init__(self, t, mine=None):
        super().__init__(t.folder, t.program, media_pairs=800)
        self.t, self.mine = t, mine or {}
        t.defer(self.close)
        self.start()
        self.north = t.callee("north", uas(ring_ms=0), port=self.ports["north"], calls=0, messages=True)

    def resources(self):
        document = super().resources()
        document["routes"].append(
            {"name": "world", "tenant": "test", "prefix": "+", "carriers": [{"trunk": "north"}]})
        for user in document["users"]:
            if user["name"] == "alice" and user["tenant"] == "test":
                user.update(self.mine)
        return document

    def thief(self, text, calls=OFFERED, name="thief", rate=100, limit=None, number=SATELLITE):
        """Somebody with alice's password."""
        return self.t.caller(
            name, text, remote=self.sip, service=number, calls=calls, rate=rate, user="alice",
            password=self.users["alice"]["password"], limit=limit, timeout=60)

    def from_alice(self):
        return Caller(domain=self.domain, user="alice")

    def honest(self, name="honest", calls=20, hold_ms=500):
        """The PBX calls within the country meanwhile."""
        return self.t.caller(
            name, uac(hold_ms=hold_ms), port=self.ports["pbx"], remote=self.sip, service=self.number("+4930"),
            calls=calls, rate=20)

    def arrived(self, number):
        """INVITEs to the number that the carrier has seen, each call once."""
        found = set()
        for text in self.north.received():
            if text.startswith(f"INVITE sip:{number}@"):
                found.add(re.search(r"^(?:Call-ID|i): *(\S+)", text, re.I | re.M).group(1))
        return len(found)

    def accounts(self):
        return {one["account"]: one for one in self.demarc.ask("toll")["items"]}

    def alarms(self, reason):
        return self.demarc.metrics()[f'demarc_toll_alarms_total{{reason="{reason}"}}']


@test("denied-by-default", 90)
def denied_by_default(t):
    """500 calls to a satellite with a stolen password: none leaves; others call as ever; it is told"""
    world = Office(t)
    thief = world.thief(uac_refused(403, caller=world.from_alice(), digest=401))
    honest = world.honest()
    honest.wait()
    thief.wait(70)
    expect(world.arrived(SATELLITE) == 0, f"{world.arrived(SATELLITE)} calls left")
    records = world.demarc.closed_records(OFFERED, number=SATELLITE)
    causes = {record["cause"] for record in records}
    expect(causes == {"destination-denied"}, causes)
    note = f"called {SATELLITE} is satellite: not allowed for user:alice"
    expect(note in (records[0].get("notes") or []), records[0])
    expect(world.alarms("probing") >= 1, "nobody was told")
    expect(world.accounts()["user:alice"]["lastReason"] == "probing", world.accounts())


@test("spellings", 60)
def spellings(t):
    """However a number abroad is spelled, it stays in the house"""
    world = Office(t)
    alice = t.agent(user="alice", password=world.users["alice"]["password"], world=world)
    written = [
        "+881612345678", "00881612345678", "%2B881612345678", "+881-612-345678", "00-881.612(345678)",
        "+00881612345678", "00881612345678%23", "*6700881612345678", "%2331%23+881612345678", "+88213300655",
        "+8816123456789999", "+881612345678;phone-context=+49"]
    for number in written:
        answer, _ = alice.exchange("INVITE", f"sip:{number}@{world.domain}", body=alice.sdp(40060))
        expect(answer.status >= 400, f"{number}: {answer.start}")
    seen = [text.splitlines()[0] for text in world.north.received() if text.startswith("INVITE")]
    expect(not seen, f"these left: {seen}")


@test("capped", 120)
def capped(t):
    """Allowed three at once, three of 500 leave; the account is blocked until somebody lifts that; others call on"""
    world = Office(t, {"mayCall": ["domestic", "satellite"], "costlyCalls": {
        "maxCalls": CAP, "callsPerMinute": 1000, "block": True}})
    thief = world.thief(uac(hold_ms=60000, caller=world.from_alice(), digest=401), limit=OFFERED)
    honest = world.honest()
    honest.wait()
    wait_until(lambda: thief.count("FailedCall(C)") >= OFFERED - CAP, 40, "the calls above the limit to fail")
    expect(world.arrived(SATELLITE) == CAP, f"{world.arrived(SATELLITE)} calls left, and {CAP} may")
    account = world.accounts()["user:alice"]
    expect(account["blocked"] and account["alarms"] >= 1, account)
    expect(world.alarms("calls") >= 1, "nobody was told")
    # One order ends what is left, within two seconds.
    done = world.demarc.ask("toll", "hangup", "user:alice")
    expect(done["count"] == CAP, done)
    wait_until(lambda: not [call for call in world.demarc.calls() if call.get("calledNumber") == SATELLITE], 2,
               "the calls to end", 0.1)
    alice = t.agent(user="alice", password=world.users["alice"]["password"], world=world)
    number = world.number("+4930")
    answer, _ = alice.exchange("INVITE", f"sip:{number}@{world.domain}", body=alice.sdp(40062))
    expect(answer.status == 403, f"blocked: {answer.start}")
    record = world.record(number)
    expect(record["cause"] == "account-blocked", record)
    # Inside she may call as ever, and outside again when the block is lifted.
    answer, dialog = alice.exchange("INVITE", f"sip:9001@{world.domain}", body=alice.sdp(40064))
    expect(answer.status == 200, f"inside: {answer.start}")
    dialog.bye()
    expect(world.demarc.ask("toll", "unblock", "user:alice")["count"] == 1, "no block was lifted")
    answer, dialog = alice.exchange("INVITE", f"sip:{world.number('+4930')}@{world.domain}", body=alice.sdp(40066))
    expect(answer.status == 200, f"unblocked: {answer.start}")
    dialog.bye()


@test("duration", 40)
def duration(t):
    """A call ends when it has lasted as long as it may; both sides get a BYE and the record says why"""
    world = Office(t, {"maxCallDuration": "2s"})
    number = world.number("+4930")
    caller = world.thief(
        uac(hold_ms=0, caller=world.from_alice(), digest=401, bye=False), calls=1, name="alice", number=number)
    caller.wait(20)
    record = world.record(number)
    expect(record["cause"] == "duration-limit" and record["releasedBy"] == "system", record)
    expect(1.9 <= record["seconds"] <= 2.5, f"it lasted {record['seconds']} s")
    wait_until(lambda: any(text.startswith("BYE") for text in world.north.received()), 3, "the carrier's BYE", 0.1)


@test("over-a-restart", 120)
def over_a_restart(t):
    """A crash gives a thief neither his block nor his minutes back; a block that was lifted stays so"""
    world = Office(t, {"mayCall": ["domestic", "satellite"], "mediaTimeout": "60s", "costlyCalls": {
        "maxCalls": 3, "callsPerMinute": 1000, "minutesPerDay": 1, "block": True}})
    # Three that talk at once have used up a minute after twenty seconds.
    world.thief(uac(hold_ms=0, caller=world.from_alice(), digest=401, bye=False), calls=3)
    wait_until(lambda: world.alarms("minutes") >= 1, 30, "the minutes to be used up", 0.2)
    spent = world.demarc.closed_records(3, number=SATELLITE)
    expect({record["cause"] for record in spent} == {"costly-limit"}, spent)

    def refused(cause):
        alice = t.agent(user="alice", password=world.users["alice"]["password"], world=world)
        answer, _ = alice.exchange("INVITE", f"sip:{SATELLITE}@{world.domain}", body=alice.sdp(40070))
        expect(answer.status >= 400, f"{cause}: {answer.start}")
        wait_until(lambda: world.demarc.records(number=SATELLITE)[0].get("cause") == cause, 5,
                   f"a record of {cause}; the last is {world.demarc.records(number=SATELLITE)[0]}", 0.1)

    time.sleep(1.2)
    world.demarc.kill()
    world.demarc.start()
    # The first that is refused for its minutes is one too many: the account is blocked.
    refused("costly-limit")
    expect(world.accounts()["user:alice"]["blocked"], world.accounts())
    before = world.accounts()["user:alice"]
    time.sleep(1.2)
    world.demarc.kill()
    world.demarc.start()
    after = world.accounts()["user:alice"]
    # To the millisecond it may be rounded another way.
    before["lastAlarm"], after["lastAlarm"] = before["lastAlarm"][:17], after["lastAlarm"][:17]
    expect(after == before, f"{before} became {after}")
    refused("account-blocked")
    expect(world.demarc.ask("toll", "unblock", "user:alice")["count"] == 1, "no block was lifted")
    world.demarc.kill()
    world.demarc.start()
    expect(not world.accounts().get("user:alice", {}).get("blocked"), world.accounts())
    alice = t.agent(user="alice", password=world.users["alice"]["password"], world=world)
    answer, dialog = alice.exchange("INVITE", f"sip:{world.number('+4930')}@{world.domain}", body=alice.sdp(40072))
    expect(answer.status == 200, f"within the country: {answer.start}")
    dialog.bye()
    refused("costly-limit")
