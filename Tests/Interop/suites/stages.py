"""The five stages of a call, one test each, to be read as documentation: initialise, authenticate, establish, transfer
data, terminate.

Each test has a Demarc of its own between one phone and one carrier, both agents of ours, and follows one stage in five
ways: what is on the wire on both sides, what `demarc` says of it meanwhile, by which timers, how it is stamped in the
call record, and that afterwards everything that was taken for it is given back.

T1 is 500 ms, T4 5 s (RFC 3261 table 4). Where a timer takes longer than a reader would wait, the clocks of Demarc are
moved on (harness/clock.py) to just before it, and then past it.
"""

import datetime
import os
import re
import socket
import struct
import time

from harness.agent import Agent, challenges, digest, token
from harness.case import test
from harness.clock import Clock
from harness.demarc import Demarc
from harness.pair import End, audio, lines
from harness.ports import free_port, free_range
from harness.process import expect, wait_until

T1, T4 = 0.5, 5
LIFETIME = 64 * T1
PASSWORD = "alice's secret"
# A target that was heard from in the last half of it is not asked.
PROBE_INTERVAL = 30

# Everything that a stage may take for itself, as gauges of /metrics.
RESOURCES = (
    "demarc_calls_active", "demarc_sip_transactions", "demarc_timers", "demarc_bindings", "demarc_subscriptions",
    'demarc_media_ports{state="leased"}', 'demarc_media_ports{state="free"}', "demarc_media_transports",
    "demarc_media_kernel_flows", "demarc_facts_unconfirmed", "demarc_sip_connections",
    'demarc_trunk_calls{tenant="office",trunk="north"}')
CALLS, TRANSACTIONS, TIMERS, BINDINGS = RESOURCES[:4]
LEASED, SEATS = RESOURCES[5], RESOURCES[-1]


class Line:
    """A Demarc with a phone and a carrier and nothing else: alice, whom it knows by her password, and north, whom it
    knows by its address."""

    def __init__(self, t, **north):
        self.demarc = Demarc(
            t.program, t.folder, sip_port=free_port(), media_ports=(free_range(40), 40), ipv6=False)
        self.clock = Clock(self.demarc)
        t.defer(self.demarc.stop)
        server = ("127.0.0.1", self.demarc.sip_port)
        self.alice = Agent(server, "alice", PASSWORD, domain="office.test")
        self.north = Agent(server, "north")
        for agent in (self.alice, self.north):
            t.defer(agent.close)
        self.demarc.start()
        address = f"127.0.0.1:{self.north.port}"
        self.demarc.apply({
            "tenants": [{"name": "office", "domains": ["office.test"]}],
            "networks": [{"name": "loopback", "listeners": ["v4"], "media": ["127.0.0.1"]}],
            "users": [{"name": "alice", "extension": "1001", "password": PASSWORD}],
            "trunks": [{"name": "north", "kind": "carrier", "targets": [address], "sources": [address], "maxCalls": 2,
                        "probe": {"enabled": False}, **north}],
            # Which makes it a German tenant, whose calls to +49 are domestic.
            "numbers": [{"number": "+4940199", "state": "available"}],
            "routes": [{"name": "outside", "prefix": "+49", "carriers": [{"trunk": "north"}]}],
        })
        self.baseline = self.resources()

    def resources(self):
        metrics = self.demarc.metrics()
        return {name: metrics.get(name, 0) for name in RESOURCES}

    def taken(self):
        """What is taken at the moment, beside what was before anything happened."""
        differences = {name: now - self.baseline[name] for name, now in self.resources().items()}
        return {name: count for name, count in differences.items() if count}

    def settles(self, seconds=2, **wanted):
        """Within a moment these and no other resources are taken."""
        wanted = {globals()[name]: count for name, count in wanted.items()}
        found = {}

        def same():
            found.clear()
            found.update(self.taken())
            return found == wanted
        try:
            wait_until(same, seconds, "")
        except Exception:
            expect(False, f"taken are {found}, not {wanted}")

    def until(self, moment, seconds):
        """It is so many seconds after a moment, for Demarc."""
        self.clock.skip(max(0, moment + seconds - time.time() - self.clock.skipped))

    def trunk(self):
        return next(one for one in self.demarc.ask("trunks")["items"] if one["name"] == "north")

    def call(self, number="+4930123456"):
        """alice calls a number that north serves: (her end, its end, its INVITE). The challenge is answered."""
        phone, carrier = End(self.alice), End(self.north)
        phone.call_id, phone.remote, phone.to = token(8), f"sip:{number}@office.test", f"<sip:{number}@office.test>"
        phone.media, carrier.media = free_port(), free_port()
        phone.offer(audio(phone.media))
        asked = phone.outcome()
        expect(asked.status == 401, f"without credentials the INVITE got {asked.start}")
        credentials = digest(challenges(asked)[0], "INVITE", phone.remote, "alice", PASSWORD)
        phone.sent = time.time()
        phone.request("INVITE", phone.sdp(audio(phone.media)), (f"Authorization: {credentials}",))
        return phone, carrier, carrier.asked()

    def talking(self, **headers):
        """The same, answered: (her end, its end, the call's name). Both know where media goes."""
        phone, carrier, invite = self.call()
        carrier.answered = time.time()
        answer(carrier, invite, 200, "OK", carrier.sdp(audio(carrier.media)), **headers)
        final = phone.outcome()
        expect(final.status == 200, f"the phone got {final.start}")
        carrier.acknowledged(invite)
        phone.target, carrier.target = lines(final)[0].target, lines(invite)[0].target
        return phone, carrier, wait_until(self.demarc.calls, 2, "the call")[0]["id"]

    def hang_up(self, phone, carrier):
        """The phone says BYE; the closed record."""
        phone.request("BYE")
        final = self.alice.final(phone.call_id, "BYE")
        expect(final.status == 200, f"BYE got {final.start}")
        carrier.ended()
        [record] = self.demarc.closed_records(1)
        return record


def answer(end, request, status, reason, body="", extra=()):
    end.agent.socket.sendto(end.agent.answer_to(request, status, reason, end.tag, extra, body), request.source)


def apart(messages, *wanted):
    """Messages that came one after the other are repetitions, so many seconds apart. None comes early; a busy machine
    may make one late."""
    expect(len({message.data for message in messages}) == 1, f"these are no repetitions: {messages[0]}{messages[-1]}")
    found = [later.at - sooner.at for sooner, later in zip(messages, messages[1:])]
    for gap, want in zip(found, wanted):
        expect(want - 0.02 < gap < want + 0.25, f"repeated after {found} s, not {wanted}")
    return " and ".join(f"{gap * 1000:.0f}" for gap in found)


def stamp(record, name):
    return datetime.datetime.fromisoformat(record[name].replace("Z", "+00:00")).timestamp()


def between(record, name, after, before):
    """A stamp lies between what caused it and what came of it. It is cut off to a millisecond."""
    found = stamp(record, name)
    expect(after - 0.002 <= found <= before + 0.001,
           f"{name} is {found - after:+.4f} s from its cause, {found - before:+.4f} s from its effect: {record}")
    return found


def branch(message):
    return re.search(r"branch=([^;,\s]+)", message.get("via")).group(1)


def tag(value):
    found = re.search(r";tag=([^;>\s]+)", value)
    return found and found.group(1)


@test("initialise")
def initialise(t):
    """Demarc starts, holds its ports and asks the carrier whether it is there, again and again until it hears of it"""
    line = Line(t, probe={"enabled": True, "interval": f"{PROBE_INTERVAL}s"})
    status = line.demarc.ask("status")
    expect(status["state"] == "running" and status["revision"] == 1, f"{status}")
    expect(status["listeners"] == [{
        "name": "v4", "transport": "udp", "address": f"127.0.0.1:{line.demarc.sip_port}"}], f"{status}")
    first = status["media"][0]["address"]
    expect(first.endswith(f"{line.demarc.first_media_port}-{line.demarc.first_media_port + 39}"), first)
    expect(status["mediaPortsFree"] == 20, f"{status['mediaPortsFree']} pairs of ports are free, of 20")

    # A target counts as usable until it is known not to be. The first OPTIONS goes out at a random moment of the first
    # two seconds, so that the targets of many trunks are not asked at once.
    target = line.trunk()["addresses"][0]
    expect((target["state"], target["reason"], target["probesFailed"]) == ("usable", "new", 0), f"{target}")
    if target["probes"] == 0:
        expect(0 <= target["nextProbeInSeconds"] <= 2, f"{target}")
        line.clock.skip(target["nextProbeInSeconds"])

    # A request outside of any dialog: a branch and a tag of ours, no tag of theirs. Without an answer it is repeated,
    # byte for byte, after T1, then after 2·T1 (RFC 3261 §17.1.2.2, timer E).
    line.trunk()
    asked = [line.north.expect_request("OPTIONS", 3) for _ in range(3)]
    t.remark = f"OPTIONS repeated after {apart(asked, T1, 2 * T1)} ms"
    options = asked[0]
    expect(options.start == f"OPTIONS sip:127.0.0.1:{line.north.port} SIP/2.0", options.start)
    expect(branch(options).startswith("z9hG4bK") and options.get("max-forwards") == "70", f"{options}")
    expect(tag(options.get("from")) and not tag(options.get("to")), f"{options}")
    expect(options.get("contact") == f"<sip:127.0.0.1:{line.demarc.sip_port}>", options.get("contact"))
    target = line.trunk()["addresses"][0]
    expect("roundTripMilliseconds" not in target, f"there was no answer yet: {target}")

    # Any answer ends the repetitions. How long the carrier takes is not read from it: nobody knows which of the three
    # it answers (Karn's rule). The next OPTIONS, a request of its own, is answered at once and says it.
    line.north.send(line.north.answer_to(options, 200, "OK", token()))
    line.resources()
    line.clock.skip(4 * T1)
    target = line.trunk()["addresses"][0]
    expect(line.north.receive(0.2) is None, "answered, and still repeated")
    expect((target["probes"], target["probesFailed"]) == (1, 0) and "roundTripMilliseconds" not in target, f"{target}")
    line.clock.skip(target["nextProbeInSeconds"])
    line.trunk()
    following = line.north.expect_request("OPTIONS", 2)
    expect(branch(following) != branch(options) and following.get("call-id") != options.get("call-id"), f"{following}")
    line.north.send(line.north.answer_to(following, 200, "OK", token()))
    target = wait_until(
        lambda: next((one for one in line.trunk()["addresses"] if "roundTripMilliseconds" in one), None), 2,
        "the round trip")
    expect((target["state"], target["probes"], target["probesFailed"]) == ("usable", 2, 0), f"{target}")
    expect(target["roundTripMilliseconds"] < 1000 * T1, f"{target}")

    # It answers for itself as well: what it can do, with a tag of its own. Of somebody who is not known a request that
    # says nothing itself is told less.
    said, _ = line.alice.exchange("OPTIONS", "sip:office.test", (
        "Accept: application/sdp", "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER",
        "Supported: replaces, timer", "User-Agent: a phone that says what it is, as phones do"))
    expect(said.status == 200 and said.to_tag(), f"{said}")
    for name, words in (("allow", "INVITE ACK CANCEL BYE PRACK UPDATE INFO REFER"), ("accept", "application/sdp"),
                        ("supported", "100rel timer replaces"), ("allow-events", "dialog message-summary reg")):
        missing = set(words.split()) - set(said.get(name).split(", "))
        expect(not missing, f"{missing} missing in {name}: {said}")

    # No call and no record, and nothing is taken. What the phone asked was answered without a transaction, and our own
    # OPTIONS are counted with their targets.
    expect(line.demarc.records() == [], "a record without a call")
    line.settles()


@test("authenticate")
def authenticate(t):
    """A phone proves who it is and is registered until its time is over; Demarc proves itself to the carrier"""
    line = Line(t, credentials={"username": "demarc", "password": "carrier-secret"})
    uri, to, call_id, own = "sip:office.test", "<sip:alice@office.test>", token(8), token()

    def register(sequence, *extra):
        line.alice.send(line.alice.request("REGISTER", uri, call_id, sequence, own, to, ("Expires: 60", *extra)))
        return line.alice.final(call_id, "REGISTER")

    # 401 with a challenge. Of that Demarc keeps nothing: the nonce itself says when it was made, and by whom.
    asked = register(1)
    expect(asked.status == 401 and asked.to_tag(), f"{asked}")
    [(algorithm, challenge)] = challenges(asked)
    expect(algorithm == "MD5" and challenge["realm"] == "office.test" and challenge["qop"] == "auth", f"{asked}")
    line.settles()

    # A wrong password is refused and counted; the right one is believed.
    wrong = digest((algorithm, challenge), "REGISTER", uri, "alice", "a guess")
    refused = register(2, f"Authorization: {wrong}")
    expect(refused.status == 401 and challenges(refused)[0][1]["nonce"] != challenge["nonce"], f"{refused}")
    expect(line.demarc.metrics()["demarc_authentication_failures_total"] == 1, "the wrong password is not counted")
    began = time.time()
    right = digest(challenges(refused)[0], "REGISTER", uri, "alice", PASSWORD)
    accepted = register(3, f"Authorization: {right}")
    expect(accepted.status == 200, f"the right password got {accepted.start}")
    expect(accepted.get("contact") == f"<sip:alice@127.0.0.1:{line.alice.port}>;expires=60", accepted.get("contact"))

    # It is registered for 60 s. The answer is kept for 64·T1, for repetitions of the REGISTER (timer J).
    line.settles(BINDINGS=1, TRANSACTIONS=1, TIMERS=2)
    [binding] = line.demarc.registrations()
    expect((binding["user"], binding["source"], binding["kind"], binding["transport"])
           == ("alice", f"127.0.0.1:{line.alice.port}", "user", "udp"), f"{binding}")
    between(binding, "expires", began + 60, accepted.at + 60)
    line.until(accepted.at, LIFETIME + 0.3)
    line.settles(BINDINGS=1, TIMERS=1)
    line.until(began, 59)
    line.settles(BINDINGS=1, TIMERS=1)
    expect(line.demarc.registrations(), "the registration ended before its time")
    line.until(accepted.at, 60.3)
    line.settles()
    wait_until(lambda: not line.demarc.registrations(), 2, "the end of the registration")

    # The carrier's challenge: the failure is acknowledged within its own transaction, so by the same branch, and the
    # INVITE goes out again with credentials: the same Call-ID and tag, the next CSeq, another branch (§22.2).
    phone, carrier, first = line.call()
    expect(not first.get("proxy-authorization"), "credentials that nobody asked for")
    nonce = token()
    question = 'Proxy-Authenticate: Digest realm="north", nonce="%s", qop="auth", algorithm=SHA-256' % nonce
    line.north.send(line.north.answer_to(first, 407, "Who is it", carrier.tag, (question,)))
    ack = carrier.acknowledged(first)
    expect(branch(ack) == branch(first) and tag(ack.get("to")) == carrier.tag, f"{ack}")
    second = carrier.asked()
    expect(second.get("from") == first.get("from") and not tag(second.get("to")), f"{second}")
    expect(second.get("cseq") == "2 INVITE" and branch(second) != branch(first), f"{second}")
    given = dict((name, quoted or plain) for name, quoted, plain in re.findall(
        r'(\w+)=(?:"([^"]*)"|([^",\s]+))', second.get("proxy-authorization")))
    wanted = digest(("SHA-256", {"realm": "north", "nonce": nonce, "qop": "auth"}), "INVITE", given["uri"], "demarc",
                    "carrier-secret", int(given["nc"], 16), given["cnonce"])
    expect(f'response="{given["response"]}"' in wanted, f"the digest is wrong: {given}")
    line.north.send(line.north.answer_to(second, 486, "Busy Here", token()))
    carrier.acknowledged(second)
    expect(phone.outcome().status == 486, "busy did not reach the phone")

    # Neither challenge is a call: there is one record, with one attempt.
    [record] = line.demarc.closed_records(1)
    expect(record["from"] == "user:alice" and record["to"] == "trunk:north" and record["cause"] == "busy", f"{record}")
    expect([attempt["status"] for attempt in record["attempts"]] == [486], f"{record['attempts']}")
    expect("ringing" not in record and "answer" not in record, f"{record}")
    line.clock.skip(LIFETIME + 1)
    line.settles()


@test("establish")
def establish(t):
    """INVITE, ringing, answer: two dialogs with nothing in common, each with its own repetitions and stamps"""
    line = Line(t)
    phone, carrier, invite = line.call()
    trying = line.alice.wait(lambda m: m.status == 100, 2, "100")
    expect(not trying.to_tag(), "100 makes no dialog, so it has no tag")

    # The record is on the disk before the carrier hears of the call.
    [call] = line.demarc.calls()
    expect((call["state"], call["from"], call["to"]) == ("attempted", "user:alice", "trunk:north"), f"{call}")
    expect(call["sipCallId"] == phone.call_id and call["source"] == f"127.0.0.1:{line.alice.port}", f"{call}")
    [record] = line.demarc.records()
    expect(record["id"] == call["id"] and record["state"] == "attempted", f"{record}")

    # The second leg is a call of its own: other names, our address in Via, Contact and SDP.
    ours = f"127.0.0.1:{line.demarc.sip_port}"
    expect(invite.get("call-id") != phone.call_id and tag(invite.get("from")) != phone.tag, f"{invite}")
    expect(branch(invite) != phone.branch and len(invite.all("via")) == 1 and ours in invite.get("via"), f"{invite}")
    expect(ours in invite.get("contact") and invite.get("max-forwards") == "69", f"{invite}")
    offered = lines(invite)[0]
    expect(offered.port != phone.media and offered.address == "127.0.0.1", f"{offered}")
    first_port = line.demarc.first_media_port
    expect(first_port <= offered.port < first_port + 40 and offered.port % 2 == 0, f"{offered}")

    # Two pairs of ports and one of the trunk's two places are taken, and an INVITE transaction on each side.
    taken = line.taken()
    expect([taken[name] for name in (CALLS, LEASED, SEATS, TRANSACTIONS)] == [1, 2, 1, 2], f"{taken}")
    expect(line.trunk()["calls"] == 1, f"{line.trunk()}")

    # Nobody answers, so the INVITE is repeated after T1, then 2·T1 (timer A). The phone has its 100, and notices none.
    repeated = [line.north.expect_request("INVITE", 3) for _ in range(2)]
    said = "INVITE repeated after " + apart([invite, *repeated], T1, 2 * T1)
    expect(line.alice.receive(0) is None, "the phone was told something while there was nothing to tell")

    # 180 passes at once, in our own words, and makes the phone's early dialog. It ends the repetitions.
    rang = time.time()
    answer(carrier, invite, 180, "Ringing")
    ringing = line.alice.wait(lambda m: m.status == 180, 2, "180")
    expect(ringing.to_tag() and ringing.to_tag() != carrier.tag, f"{ringing}")
    expect(ringing.get("call-id") == phone.call_id and ours in ringing.get("contact"), f"{ringing}")
    expect(line.demarc.call(call["id"])["state"] == "ringing", "the call is not ringing")

    # The answer: 200 to the phone, in the same dialog, and ACK to the carrier, a transaction of its own.
    answered = time.time()
    answer(carrier, invite, 200, "OK", carrier.sdp(audio(carrier.media)))
    ack = carrier.acknowledged(invite)
    expect(branch(ack) != branch(invite) and tag(ack.get("to")) == carrier.tag, f"{ack}")
    # The phone does not acknowledge it: repeated after T1, then 2·T1 (§13.3.1.4), until it does.
    finals = [line.alice.final(phone.call_id, "INVITE") for _ in range(3)]
    said += "; 200 repeated after " + apart(finals, T1, 2 * T1)
    final = finals[0]
    expect(final.to_tag() == ringing.to_tag() and ours in final.get("contact"), f"{final}")
    expect(lines(final)[0].port not in (carrier.media, offered.port), f"{final}")
    line.alice.inbox.insert(0, final)
    phone.outcome()
    expect(line.alice.receive(2 * T1) is None, "the 200 is repeated after its ACK")
    expect(line.north.receive(0) is None, "a repetition crossed to the carrier")
    t.remark = said + " ms"

    # Each stamp lies between the message that caused it and the one that came of it.
    record = line.demarc.call(call["id"])
    expect((record["state"], record["status"], record["codec"]) == ("answered", 200, "PCMU/8000"), f"{record}")
    moments = [between(record, "setup", phone.sent, trying.at), between(record, "ringing", rang, ringing.at),
               between(record, "answer", answered, final.at)]
    expect(moments == sorted(moments) and "end" not in record, f"{record}")
    [attempt] = record["attempts"]
    expect((attempt["target"], attempt["address"], attempt["status"])
           == ("trunk:north", f"127.0.0.1:{line.north.port}", 200), f"{attempt}")
    between(attempt, "started", phone.sent, invite.at)

    line.hang_up(phone, carrier)
    line.clock.skip(LIFETIME + 1)
    line.settles()


@test("transfer-data")
def transfer_data(t):
    """Speech, digits and reports pass untouched between the two who may send, and the session is kept alive"""
    line = Line(t)
    phone, carrier, name = line.talking(
        extra=("Supported: timer", "Session-Expires: 90;refresher=uac", "Allow: INVITE, ACK, BYE, UPDATE, INFO"))
    before = line.demarc.metrics()
    mouths = {}
    for end in (phone, carrier):
        mouths[end] = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for offset, one in enumerate(mouths[end]):
            one.bind(("127.0.0.1", end.media + offset))
            one.settimeout(2)
            t.defer(one.close)

    # Half a second of speech each way, and one key pressed (RFC 4733). What arrives is what was sent, header and all,
    # and comes from the port that the SDP named.
    streams = {end: [os.urandom(4), 1000, 0] for end in (phone, carrier)}

    def packet(end, kind=0, body=None):
        stream = streams[end]
        stream[1], stream[2] = stream[1] + 1, stream[2] + 160
        return struct.pack("!BBHI", 0x80, kind, stream[1], stream[2]) + stream[0] + (body or os.urandom(160))

    def talk(count):
        for turn in range(count):
            for end, other in ((phone, carrier), (carrier, phone)):
                said = packet(end) if turn else packet(end, 101, bytes([5, 0x0A, 0, 160]))
                mouths[end][0].sendto(said, end.target)
                heard, source = mouths[other][0].recvfrom(2048)
                expect(heard == said, f"{said.hex()} arrived as {heard.hex()}")
                expect(source == other.target, f"it came from {source}, not {other.target}")
            time.sleep(0.02)
    talk(25)

    # Reports go the same way one port higher, with the numbers as they were (RFC 3550 §6.4.1).
    report = struct.pack("!BBH", 0x80, 200, 6) + streams[phone][0] + os.urandom(8) + struct.pack("!III", 4000, 25, 4000)
    mouths[phone][1].sendto(report, (phone.target[0], phone.target[1] + 1))
    heard = mouths[carrier][1].recv(2048)
    expect(heard[:len(report)] == report, f"{report.hex()} arrived as {heard.hex()}")

    # Whom nobody named is not heard, whatever he knows of the stream.
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    t.defer(stranger.close)
    stranger.sendto(packet(phone), phone.target)
    streams[phone][1] -= 1
    streams[phone][2] -= 160
    talk(2)

    # A digit in INFO of one who has said digits by telephone-event is one that was heard already: answered here.
    phone.request("INFO")
    expect(line.alice.final(phone.call_id, "INFO").status in (200, 415), "INFO without a body")
    phone.sequence += 1
    line.alice.send(line.alice.request(
        "INFO", phone.remote, phone.call_id, phone.sequence, phone.tag, phone.to, body="Signal=5\r\nDuration=160\r\n",
        content_type="application/dtmf-relay"))
    expect(line.alice.final(phone.call_id, "INFO").status == 200, "INFO is not answered")
    expect(line.north.receive(0) is None, "INFO crossed to the carrier")

    # The carrier granted 90 s and left the refreshing to us: UPDATE after half of it, without an offer (RFC 4028 §10).
    line.until(carrier.answered, 90 / 2 - 2)
    line.resources()
    expect(line.north.receive(0.1) is None, "refreshed too soon")
    line.until(carrier.answered, 90 / 2 + 0.3)
    line.resources()
    update = line.north.expect_request("UPDATE", 2)
    expect(update.get("session-expires") == "90;refresher=uac" and not update.body, f"{update}")
    answer(carrier, update, 200, "OK", extra=("Session-Expires: 90;refresher=uac",))
    talk(3)

    # What the books say: every packet that was let through, none lost, the stranger's refused.
    record = line.hang_up(phone, carrier)
    sent = 25 + 2 + 3
    for side in ("fromCaller", "fromCallee"):
        heard = record["quality"][side]
        expect((heard["packets"], heard["lost"]) == (sent, 0), f"{side}, of {sent}: {heard}")
    after = line.demarc.metrics()

    def counted(*names):
        return sum(after[name] - before[name] for name in names)
    # By our own threads until both ends are known, then by the kernel, where it may.
    relayed = counted('demarc_media_packets_relayed_total{kind="rtp"}', "demarc_media_kernel_packets_total")
    expect(relayed == 2 * sent, f"{relayed} of {2 * sent} packets are counted")
    expect(counted('demarc_media_packets_dropped_total{reason="refused"}') == 1, "the stranger is not counted")
    line.clock.skip(LIFETIME + 1)
    line.settles()


@test("terminate")
def terminate(t):
    """The carrier hangs up: answered at once, the phone told until it answers, and everything given back in its time"""
    line = Line(t)
    phone, carrier, name = line.talking()
    hung_up = time.time()
    carrier.request("BYE")
    answer_to_bye = line.north.final(carrier.call_id, "BYE")
    expect(answer_to_bye.status == 200, f"BYE got {answer_to_bye.start}")

    # The phone is told in its own dialog, and told again after T1, then 2·T1 (timer E). The call is over all the same:
    # ports and places are free for the next one.
    byes = [line.alice.expect_request("BYE", 3)]
    expect(line.demarc.calls() == [] and line.trunk()["calls"] == 0, "the call is still there")
    taken = line.taken()
    expect(not {CALLS, LEASED, SEATS} & set(taken), f"{taken}")
    byes += [line.alice.expect_request("BYE", 3) for _ in range(2)]
    t.remark = f"BYE repeated after {apart(byes, T1, 2 * T1)} ms"
    bye = byes[0]
    expect((bye.get("call-id"), tag(bye.get("to"))) == (phone.call_id, phone.tag), f"{bye}")
    expect(bye.start == f"BYE sip:alice@127.0.0.1:{line.alice.port} SIP/2.0", bye.start)
    line.alice.send(line.alice.answer_to(bye, 200, "OK"))
    told = time.time()

    # What was measured and what is written down.
    [record] = line.demarc.closed_records(1)
    expect((record["id"], record["state"], record["cause"], record["releasedBy"], record["status"])
           == (name, "ended", "normal-clearing", "callee", 200), f"{record}")
    answered = stamp(record, "answer")
    ended = between(record, "end", hung_up, answer_to_bye.at)
    expect(stamp(record, "setup") <= answered <= ended, f"{record}")
    expect(abs(record["seconds"] - (ended - answered)) < 0.003, f"{record}")
    [row] = line.demarc.exported("jsonl")
    expect(abs(float(row["talk_s"]) - (ended - answered)) < 0.003, f"{row}")
    expect(float(row["total_s"]) >= float(row["answer_after_s"]) + float(row["talk_s"]) - 0.003, f"{row}")

    # Of each transaction a remainder stays, for what may still be repeated: the BYE to the phone for T4 (timer K),
    # INVITE on both sides (L and M, RFC 6026) and the carrier's BYE (J) for 64·T1. The challenge at the beginning left
    # nothing.
    line.settles(TRANSACTIONS=4, TIMERS=4)
    line.until(told, T4 - 1)
    line.settles(TRANSACTIONS=4, TIMERS=4)
    line.until(told, T4 + 0.3)
    line.settles(TRANSACTIONS=3, TIMERS=3)
    # So a repetition gets the answer it had, until the last timer has gone.
    repeated = line.north.request(
        "BYE", carrier.remote, carrier.call_id, carrier.sequence, carrier.tag, carrier.to, branch=carrier.branch,
        sender=carrier.sender)
    line.north.send(repeated)
    expect(line.north.final(carrier.call_id, "BYE").data == answer_to_bye.data, "the repetition got something else")
    line.until(carrier.answered, LIFETIME - 1)
    line.settles(TRANSACTIONS=3, TIMERS=3)
    line.until(answer_to_bye.at, LIFETIME + 0.3)
    line.settles()
    line.north.send(repeated)
    gone = line.north.final(carrier.call_id, "BYE")
    expect(gone.status == 481, f"a BYE for nothing got {gone.start}")
    line.settles()
    expect(len(line.demarc.records()) == 1, "there is a second record")
