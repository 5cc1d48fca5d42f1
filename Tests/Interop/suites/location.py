"""Where a trunk's calls go: names by DNS (RFC 3263), and targets that die, rest and return."""

import datetime
import socket
import time

from harness.case import test
from harness.dns import Dnsmasq, Liar
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.sipp import recv, reply, scenario, sdp, uac, uac_refused, uas
from harness.world import World


class Office(World):
    """A Demarc of its own: a PBX that calls, and one carrier or more for every number."""

    def __init__(self, t, carriers, dns=None, timeout="5s"):
        self.carriers, self.dns, self.timeout = carriers, dns, timeout
        folder = t.folder / "office"
        folder.mkdir()
        super().__init__(folder, t.program, media_pairs=400)
        plain = self.demarc.configuration
        self.demarc.configuration = lambda: {**plain(), **({"dns": dns} if dns else {})}
        t.defer(self.close)
        self.t, self.count = t, 0
        self.start()

    def resources(self):
        common = {"tenant": "test", "network": "loopback"}
        pbx = f"127.0.0.1:{self.ports['pbx']}"
        return {
            "tenants": self.tenants(), "networks": self.networks()[:1],
            "trunks": [
                {"name": "pbx", "kind": "pbx", "targets": [pbx], "sources": [pbx], **common},
                *({"name": name, "kind": "carrier", **common, **carrier} for name, carrier in self.carriers.items())],
            # Which makes it a German tenant, whose calls to +49 are domestic.
            "numbers": [{"number": "+4940199", "tenant": "test", "state": "available"}],
            "routes": [
                {"name": "all", "tenant": "test", "prefix": "+", "timeout": self.timeout,
                 "carriers": [{"trunk": name, "priority": place + 1} for place, name in enumerate(self.carriers)]}],
        }

    def call(self, refused=None, calls=1, rate=None):
        """Calls from the PBX; the records of them, the oldest first."""
        self.count += 1
        number = self.number("+4930")
        text = uac_refused(refused) if refused else uac(hold_ms=50)
        caller = self.t.caller(f"pbx-{self.count}", text, port=self.ports["pbx"], remote=self.sip, service=number,
                               calls=calls, rate=rate)
        caller.wait()

        def closed():
            found = [record for record in self.records(number) if record["state"] == "ended"]
            return found if len(found) == calls else None
        return list(reversed(wait_until(closed, 5, "the records", 0.05)))

    def targets(self, trunk):
        found = next(item for item in self.demarc.ask("trunks")["items"] if item["name"] == trunk)
        return {target["address"]: target for target in found["addresses"]}

    def metric(self, name):
        return self.demarc.metrics().get("demarc_" + name, 0)


def patient_uas():
    """A carrier that answers OPTIONS too."""
    return scenario(
        "carrier", recv("OPTIONS", optional="true", next="options"),
        recv("INVITE", rrs="true"), reply(180, "Ringing", tag=True),
        reply(200, "OK", tag=True, body=sdp(), retrans=500), recv("ACK"), recv("BYE"), reply(200, "OK", next="end"),
        '<label id="options"/>', reply(200, "OK", tag=True), '<label id="end"/>')


def delay(record):
    """Seconds from the INVITE to the ringing: post-dial delay."""
    def moment(text):
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment(record["ringing"]) - moment(record["setup"])).total_seconds()


def addresses(record):
    return [attempt["address"] for attempt in record["attempts"]]


def silent(t, address="127.0.0.1"):
    """A port that takes everything and says nothing."""
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port = free_port()
    end.bind((address, port))
    t.defer(end.close)
    return port


def carrier(t, name, port=None, text=None, **options):
    return t.callee(name, text or uas(ring_ms=0), port=port or free_port(), calls=0, **options)


def quiet(targets):
    """Targets that are not asked by OPTIONS: what calls meet is all that counts."""
    return {"targets": targets, "probe": {"enabled": False, "slowStart": "0s"}}


@test("srv", 40)
def srv(t):
    """NAPTR leads to SRV, SRV to the living server of the next priority; the dead one costs two seconds once"""
    dead, port, dns = silent(t), free_port(), free_port()
    honest = Dnsmasq(t.folder, "127.0.0.2", dns, [
        "naptr-record=carrier.test,10,10,s,SIP+D2U,,_sip._udp.carrier.test",
        f"srv-host=_sip._udp.carrier.test,one.carrier.test,{dead},10,50",
        f"srv-host=_sip._udp.carrier.test,two.carrier.test,{port},20,50",
        "host-record=one.carrier.test,127.0.0.1,60", "host-record=two.carrier.test,127.0.0.1,60"])
    t.defer(honest.stop)
    office = Office(t, {"north": {"targets": ["carrier.test"]}}, {"servers": [f"127.0.0.2:{dns}"]})
    north = carrier(t, "north", port, patient_uas())
    [first] = office.call()
    expect(addresses(first) == [f"127.0.0.1:{dead}", f"127.0.0.1:{port}"], f"tried {addresses(first)}")
    expect(1.9 < delay(first) < 2.6, f"{delay(first)} s until it rang")
    later = [office.call()[0] for _ in range(3)]
    expect(all(addresses(record) == [f"127.0.0.1:{port}"] for record in later), "the dead one was tried again")
    expect(all(delay(record) < 0.5 for record in later), f"{[delay(record) for record in later]}")
    uri = next(text for text in north.received() if text.startswith("INVITE")).split()[1]
    expect(uri.endswith("@carrier.test"), f"the request URI is {uri}")
    expect(office.targets("north")[f"127.0.0.1:{dead}"]["name"] == "carrier.test", "where it comes from is not shown")
    t.remark = f"{delay(first):.2f} s, then {max(delay(record) for record in later):.2f} s"


@test("weights", 40)
def weights(t):
    """Servers of one priority share the calls by their weights"""
    heavy, light, dns = free_port(), free_port(), free_port()
    honest = Dnsmasq(t.folder, "127.0.0.2", dns, [
        f"srv-host=_sip._udp.carrier.test,one.carrier.test,{heavy},10,90",
        f"srv-host=_sip._udp.carrier.test,two.carrier.test,{light},10,30",
        "host-record=one.carrier.test,127.0.0.1", "host-record=two.carrier.test,127.0.0.1"])
    t.defer(honest.stop)
    office = Office(t, {"north": quiet(["carrier.test"])}, {"servers": [f"127.0.0.2:{dns}"]})
    carrier(t, "heavy", heavy)
    carrier(t, "light", light)
    records = office.call(calls=80, rate=40)
    share = sum(addresses(record) == [f"127.0.0.1:{heavy}"] for record in records) / len(records)
    expect(0.55 < share < 0.93, f"{share:.0%} of the calls went to three quarters of the weight")
    t.remark = f"{share:.0%} to three quarters of the weight"


@test("ttl", 60)
def ttl(t):
    """A name that changes is followed when its TTL is over, without a call waiting; a dead server changes nothing"""
    port, dns = free_port(), free_port()

    def lines(address):
        return [f"host-record=pbx.test,{address},5"]
    honest = Dnsmasq(t.folder, "127.0.0.2", dns, lines("127.0.0.3"))
    t.defer(honest.stop)
    office = Office(t, {"north": quiet([f"pbx.test:{port}"])}, {"servers": [f"127.0.0.2:{dns}"]})
    carrier(t, "old", port, address="127.0.0.3")
    carrier(t, "new", port, address="127.0.0.4")
    expect(addresses(office.call()[0]) == [f"127.0.0.3:{port}"], "the first answer")
    honest.start(lines("127.0.0.4"))
    wait_until(lambda: f"127.0.0.4:{port}" in office.targets("north"), 12, "the new address", 0.2)
    [record] = office.call()
    expect(addresses(record) == [f"127.0.0.4:{port}"] and delay(record) < 0.5, f"{record['attempts']}")
    honest.stop()
    wait_until(lambda: office.metric("dns_stale_answers_total") > 0, 25, "the answer to be kept", 0.3)
    [record] = office.call()
    expect(addresses(record) == [f"127.0.0.4:{port}"] and delay(record) < 0.5, "the stale answer is not used")


@test("no-such-name", 30)
def no_such_name(t):
    """NXDOMAIN, and a server that is not there: the call is refused with its cause and waits a bounded time"""
    dns = free_port()
    honest = Dnsmasq(t.folder, "127.0.0.2", dns, ["host-record=other.test,127.0.0.1"])
    t.defer(honest.stop)
    office = Office(t, {"north": quiet(["nowhere.test"])}, {"servers": [f"127.0.0.2:{dns}"]})
    wait_until(lambda: office.metric("names") == 1, 3, "the name to be asked for")
    [record] = office.call(refused=503)
    expect(record["cause"] == "name-unresolved", f"{record}")


@test("stalling", 30)
def stalling(t):
    """A name server that keeps silent costs nothing once the next one has answered"""
    port, dns = free_port(), free_port()
    stalled = Liar("127.0.0.2", dns, {}, "drop")
    t.defer(stalled.close)
    honest = Liar("127.0.0.3", dns, {"pbx.test": ["127.0.0.1"]})
    t.defer(honest.close)
    carrier(t, "north", port)
    office = Office(t, {"north": quiet([f"pbx.test:{port}"])},
                    {"servers": [f"127.0.0.2:{dns}", f"127.0.0.3:{dns}"], "timeout": "500ms"})
    # Perhaps the answer is not there yet: then the call waits for it, and no longer.
    [first] = office.call()
    expect(delay(first) < 1.5, f"the first call waited {delay(first)} s")
    [second] = office.call()
    expect(delay(second) < 0.3, f"the second call waited {delay(second)} s")
    expect(stalled.questions and len(honest.questions) >= 1, f"{stalled.questions} {honest.questions}")


@test("truncated", 30)
def truncated(t):
    """An answer that was cut off is fetched by TCP"""
    port, dns = free_port(), free_port()
    cutter = Liar("127.0.0.2", dns, {"pbx.test": ["127.0.0.1"]}, "truncate")
    t.defer(cutter.close)
    carrier(t, "north", port)
    office = Office(t, {"north": quiet([f"pbx.test:{port}"])}, {"servers": [f"127.0.0.2:{dns}"]})
    [record] = office.call()
    expect(addresses(record) == [f"127.0.0.1:{port}"], f"{record['attempts']}")
    expect(cutter.streams >= 1, "it was not asked by TCP")


@test("lies", 30)
def lies(t):
    """Forged replies, with a wrong id, a wrong question or somebody else's records, are not believed"""
    port, dns = free_port(), free_port()
    names = {f"pbx{i}.test": ["127.0.0.1"] for i in range(8)}
    liar = Liar("127.0.0.2", dns, names, "forge")
    t.defer(liar.close)
    carrier(t, "north", port)
    office = Office(t, {"north": quiet([f"{name}:{port}" for name in names])}, {"servers": [f"127.0.0.2:{dns}"]})
    [record] = office.call()
    expect(addresses(record) == [f"127.0.0.1:{port}"], f"{record['attempts']}")
    wait_until(lambda: len(liar.questions) >= len(names), 5, "all names to be asked for")
    expect(set(office.targets("north")) == {f"127.0.0.1:{port}"}, f"poisoned: {office.targets('north')}")
    wrong = office.metric('dns_failures_total{reason="wrongReply"}')
    expect(wrong >= 3 * len(names), f"{wrong} wrong replies were counted")
    expect(len(liar.sources) >= len(names), f"only {len(liar.sources)} source ports")


@test("dies-and-returns", 60)
def dies_and_returns(t):
    """A carrier is killed under calls, is passed by, is found again by OPTIONS and gets its calls back"""
    first, second = free_port(), free_port()
    office = Office(t, {"north": {
        "targets": [f"127.0.0.1:{first}", f"127.0.0.1:{second}"],
        "probe": {"interval": "2s", "slowStart": "2s"}}})
    one = carrier(t, "one", first, patient_uas())
    carrier(t, "two", second, patient_uas())
    here = f"127.0.0.1:{first}"
    expect(addresses(office.call()[0]) == [here], "the preferred one is not used")
    one.process.stop()
    [record] = office.call()
    expect(record["status"] == 200 and delay(record) < 0.5, f"{delay(record)} s until it rang: {record['attempts']}")
    wait_until(lambda: office.targets("north")[here]["state"] == "down", 6, "the dead one to be known", 0.1)
    expect(addresses(office.call()[0]) == [f"127.0.0.1:{second}"], "a dead target was tried")
    expect(office.targets("north")[here]["reason"] == "unreachable", f"{office.targets('north')[here]}")
    carrier(t, "one-again", first, patient_uas())
    wait_until(lambda: office.targets("north")[here]["state"] in ("usable", "returning"), 12, "its return", 0.1)
    wait_until(lambda: office.targets("north")[here]["state"] == "usable", 6, "the end of its slow start", 0.1)
    expect(addresses(office.call()[0]) == [here], "its calls do not come back")
    expect(office.metric("targets_lost_total") == 1, "it flapped")


@test("retry-after", 40)
def retry_after(t):
    """A 503 with Retry-After: the next carrier takes the call at once, and the busy one is left alone for so long"""
    busy, free = free_port(), free_port()
    refuses = scenario(
        "busy", recv("INVITE"), reply(503, "Busy", tag=True, extra="Retry-After: 3 (maintenance)\n", retrans=500),
        recv("ACK"))
    office = Office(t, {"north": quiet([f"127.0.0.1:{busy}"]), "south": quiet([f"127.0.0.1:{free}"])})
    north = carrier(t, "north", busy, refuses)
    carrier(t, "south", free)
    [record] = office.call()
    expect(len(record["attempts"]) == 2 and delay(record) < 0.5, f"{delay(record)} s: {record['attempts']}")
    expect(office.targets("north")[f"127.0.0.1:{busy}"]["state"] == "resting", f"{office.targets('north')}")
    began = time.monotonic()
    [record] = office.call()
    expect(addresses(record) == [f"127.0.0.1:{free}"], "it was not left alone")
    wait_until(lambda: office.targets("north")[f"127.0.0.1:{busy}"]["state"] == "usable", 5, "the end of its rest", 0.1)
    expect(time.monotonic() - began < 4, "it rested for too long")
    [record] = office.call()
    expect(len(record["attempts"]) == 2, "after its rest it is not tried again")
    expect(sum(text.startswith("INVITE") for text in north.received()) == 2, "it was called while it rested")
