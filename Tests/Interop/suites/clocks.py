"""A wall clock that is set while calls run (harness/clock.py): what is timed goes by the clock that nobody sets."""

import datetime
import re
import time

from harness import audio
from harness.agent import challenges, digest, token
from harness.case import test
from harness.clock import Clock
from harness.ports import free_port
from harness.process import expect
from harness.rtp import Endpoint
from harness.sipp import uac, uas
from harness.world import CARRIER_TIMEOUT, World

HOUR = 3600
INTERVAL = 10
MEDIA_TIMEOUT = 4


class Clocked(World):
    """A Demarc of the test's own whose wall clock can be set."""

    def __init__(self, t):
        super().__init__(t.folder, t.program, media_pairs=200)
        self.clock = Clock(self.demarc)
        t.defer(self.close)
        self.start()

    def resources(self):
        document = super().resources()
        east = next(trunk for trunk in document["trunks"] if trunk["name"] == "east")
        east["mediaTimeout"] = f"{MEDIA_TIMEOUT}s"
        return document

    def binding(self, user):
        return next(one for one in self.demarc.registrations() if one["user"] == user)


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Phone:
    """alice, with a challenge that she has not answered yet."""

    def __init__(self, t, world):
        self.world, self.uri, self.to = world, f"sip:{world.domain}", f"<sip:alice@{world.domain}>"
        self.agent = t.agent(world=world, user="alice", password=world.users["alice"]["password"])
        self.ask()

    def ask(self):
        self.call_id, self.tag = token(), token()
        self.agent.send(self.agent.request("REGISTER", self.uri, self.call_id, 1, self.tag, self.to))
        self.challenge = challenges(self.agent.final(self.call_id, "REGISTER"))[0]

    def answer(self):
        """The challenge is answered now, and there is a next one."""
        credentials = digest(self.challenge, "REGISTER", self.uri, self.agent.user, self.agent.password)
        self.agent.send(self.agent.request(
            "REGISTER", self.uri, self.call_id, 2, self.tag, self.to, (f"Authorization: {credentials}", "Expires: 600")))
        answer = self.agent.final(self.call_id, "REGISTER")
        self.ask()
        return answer.status


def media_port(message):
    return int(re.search(rb"m=audio (\d+)", message.body).group(1))


def answer(agent, request, status=200, reason="OK", **options):
    agent.socket.sendto(agent.answer_to(request, status, reason, **options), request.source)


def begin(pbx, number, media):
    """An INVITE from the PBX: its Call-ID, its tag."""
    call_id, tag = token(), token()
    pbx.send(pbx.request("INVITE", f"sip:{number}@{pbx.domain}", call_id, 1, tag, body=pbx.sdp(media)))
    return call_id, tag


@test("hour", 40)
def hour(t):
    """An hour on and back in a call: session timer, media time-out, failover, registrations, nonces, records keep time"""
    world = Clocked(t)
    number, other = world.number("+4938"), world.number("+4931")
    pbx, east, silent, south = (
        t.agent(world=world, user=name, port=world.ports[name]) for name in ("pbx", "east", "silent", "south"))
    alice = Phone(t, world)
    expect(alice.answer() == 200, "alice is not registered")
    registered = time.monotonic()

    ends = [Endpoint(free_port()) for _ in range(2)]
    for end in ends:
        t.defer(end.close)
    ports = [end.socket.getsockname()[1] for end in ends]
    call_id, tag = begin(pbx, number, ports[0])
    invite = east.expect_request("INVITE")
    answer(east, invite, tag=token(), body=east.sdp(ports[1]), extra=(
        f"Session-Expires: {INTERVAL};refresher=uac", "Allow: INVITE, ACK, BYE, UPDATE"))
    answered = time.monotonic()
    final = pbx.final(call_id, "INVITE")
    pbx.send(pbx.request("ACK", final.contact_uri(), call_id, 1, tag, final.get("to")))
    east.expect_request("ACK")
    words = audio.speech("The birch canoe slid on the smooth planks.")[: int(2.5 * audio.RATE)]
    speaking = [end.speak(words, ("127.0.0.1", media_port(message))) for end, message in zip(ends, (final, invite))]

    for step in (HOUR, -HOUR):
        time.sleep(0.8)
        world.clock.step(step)
        binding = world.binding("alice")
        told = moment(binding["expires"]) - binding["expiresInSeconds"]
        # Else the clock was not set, and the rest says nothing.
        expect(abs(told - time.time() - step) < 2, f"the process has another clock: {told - time.time():+.0f} s")
        left = 600 - (time.monotonic() - registered)
        expect(abs(binding["expiresInSeconds"] - left) < 2, f"{binding['expiresInSeconds']} s are left, not {left:.0f}")
        expect(alice.answer() == 200, f"a nonce from before a step of {step:+} s was refused")
        registered = time.monotonic()
    for thread in speaking:
        thread.join()
    quiet = time.monotonic()
    world.clock.step(HOUR)

    # While both are silent: a carrier that says nothing gives way neither early nor late.
    lost, _ = begin(pbx, other, free_port())
    first = silent.expect_request("INVITE")
    tried = time.monotonic()
    world.clock.step(-HOUR)
    second = south.expect_request("INVITE")
    waited = time.monotonic() - tried
    expect(abs(waited - CARRIER_TIMEOUT) < 0.4, f"the silent carrier was left after {waited:.2f} s")
    answer(south, second, 486, "Busy Here", tag=token())
    busy = pbx.final(lost, "INVITE")
    expect(busy.status == 486, busy.start)
    expect(first.get("call-id") != second.get("call-id"), "one dialog for two carriers")

    update = east.expect_request("UPDATE")
    refreshed = time.monotonic() - answered
    expect(abs(refreshed - INTERVAL / 2) < 0.7, f"the session was refreshed after {refreshed:.2f} s")
    answer(east, update, extra=(f"Session-Expires: {10 * INTERVAL};refresher=uac",))
    bye = east.expect_request("BYE", MEDIA_TIMEOUT + 2)
    ended = time.monotonic()
    expect(abs(ended - quiet - MEDIA_TIMEOUT) < 1.2, f"ended {ended - quiet:.2f} s after the last word")
    answer(east, bye)
    bye = pbx.expect_request("BYE")
    answer(pbx, bye)

    record = world.record(number)
    expect(record["cause"] == "media-timeout", f"ended with {record['cause']}")
    expect(abs(record["seconds"] - (ended - answered)) < 0.05,
           f"the record says {record['seconds']} s, it was {ended - answered:.3f} s")
    [row] = [row for row in world.demarc.exported("csv") if row["id"] == record["id"]]
    expect(abs(float(row["talk_s"]) - record["seconds"]) < 0.01, f"exported as {row['talk_s']} s")
    for stream in record["quality"].values():
        # A clock that is set is no jitter, and nothing was lost for it.
        expect(stream["lost"] == 0 and stream["maxJitterMilliseconds"] < 50, f"{stream}")
    expect("seconds" not in world.record(other), "a call that was never answered has a duration")
    world.at_rest(seconds=5, gauges=("demarc_calls_active",))
    t.remark = f"{record['seconds']} s of {ended - answered:.3f}, refreshed after {refreshed:.2f} s"


@test("small-steps", 40)
def small_steps(t):
    """Steps of seconds and parts of them, as NTP makes them, under calls: none is refused, none is long or short"""
    world = Clocked(t)
    number = world.number("+4930")
    calls = 60
    t.callee("north", uas(ring_ms=20), port=world.ports["north"], calls=0, messages=False)
    pbx = t.caller("pbx", uac(hold_ms=500), port=world.ports["pbx"], remote=world.sip, service=number, calls=calls,
                   rate=20, messages=False)
    place = 0
    while pbx.process.running():
        place += 1
        world.clock.step((0, -0.15, 0, -1, 0, -10, 0, -50, 50, 0.3, 0)[place % 11])
        time.sleep(0.07)
    records = world.demarc.closed_records(calls, number=number)
    causes = [record["cause"] for record in records if record["status"] != 200]
    expect(not causes, f"{len(causes)} of {calls} calls were refused: {', '.join(sorted(set(causes)))}")
    pbx.wait()
    long = [record["seconds"] for record in records]
    expect(0.45 < min(long) and max(long) < 0.8, f"calls of half a second took {min(long)} to {max(long)} s")
    t.remark = f"{place} steps, calls of {min(long)} to {max(long)} s"
