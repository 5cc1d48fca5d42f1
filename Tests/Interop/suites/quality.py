"""What was heard of calls: the reports that a collector gets, and the metrics that phones get and send."""

import hashlib
import re
import time

from harness import audio, sipp
from harness.audio import spoken
from harness.case import test
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.world import World

WORDS = "The birch canoe slid on the smooth planks."


class Watched(World):
    """A Demarc whose tenant has a collector: SIPp, which takes what is published."""

    def __init__(self, t, credentials=None, **rules):
        self.collector_port, self.credentials, self.rules = free_port(), credentials, rules
        super().__init__(t.folder, t.program, media_pairs=50)
        t.defer(self.close)
        self.start()

    def resources(self):
        document = super().resources()
        tenant = next(one for one in document["tenants"] if one["name"] == "test")
        tenant["qualityCollector"] = "collector"
        tenant.update(self.rules)
        address = f"127.0.0.1:{self.collector_port}"
        document["trunks"].append(
            {"name": "collector", "tenant": "test", "kind": "pbx", "network": "loopback", "targets": [address],
             "sources": [address], "probe": {"enabled": False},
             **({"credentials": self.credentials} if self.credentials else {})})
        return document


def fields(report):
    """The lines of a vq-rtcpxr body by their names; those of the far end apart."""
    local, _, remote = report.partition("RemoteMetrics:")
    def named(text):
        return dict(line.split(":", 1) for line in text.strip().splitlines() if ":" in line)
    return named(local), named(remote)


@test("in-the-midst", 60)
def in_the_midst(t):
    """Each five seconds of a call SIPp hears of both sides what was heard since then, once that each is below the alert's MOS,
    and of the whole at the end"""
    world = Watched(t, qualityInterval=5, qualityAlert=4.5)
    published = sipp.scenario("collector", sipp.recv("PUBLISH"), sipp.reply(200, "OK", tag=True))
    inbox = t.callee("collector", published, port=world.collector_port, calls=8)
    _, says = spoken(3 * WORDS)
    bob = t.user("bob", world, answer="auto")
    alice = t.user("alice", world, says=says)
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    time.sleep(12)
    alice.hang_up()
    bob.closed()
    inbox.wait(15)
    reports = [text.replace("\r\n", "\n").partition("\n\n")[2] for text in inbox.received() if text.startswith("PUBLISH ")]
    kinds = [report.partition("\n")[0] for report in reports]
    alert = "VQAlertReport: Type=MOSCQ Severity=Warning Dir=local"
    expect(sorted(kinds) == 2 * [alert] + 4 * ["VQIntervalReport"] + 2 * ["VQSessionReport: CallTerm"], f"{kinds}")
    for report in reports:
        local, _ = fields(report)
        expect("NLR=" in local["PacketLoss"] and "MOSCQ=4" in local["QualityEstimates"], f"{local}")
    starts = {}
    for report in reports:
        if report.startswith("VQIntervalReport"):
            local, _ = fields(report)
            starts.setdefault(local["CallID"], []).append(re.findall(r"(?:START|STOP)=(\S+)", local["Timestamps"]))
    for windows in starts.values():
        expect(len(windows) == 2 and windows[0][1] <= windows[1][0] < windows[1][1], f"{windows} overlap")


@test("collector", 60)
def collector(t):
    """After a call with speech SIPp gets a PUBLISH for each leg: names, places, times, losses and MOS as the record has them"""
    world = Watched(t)
    published = sipp.scenario("collector", sipp.recv("PUBLISH"), sipp.reply(200, "OK", tag=True))
    inbox = t.callee("collector", published, port=world.collector_port, calls=2)
    words, says = spoken(WORDS)
    bob = t.user("bob", world, answer="auto")
    alice = t.user("alice", world, says=says)
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    # Long enough for a report of each phone (RFC 3550: five seconds, give or take).
    bob.wait_heard(9, 15)
    call = world.live(world.extension("bob"))
    alice.hang_up()
    bob.closed()
    inbox.wait(15)
    record = world.ended(call["id"])
    audio.check_likeness("bob heard", words, bob.heard())
    reports = [text for text in inbox.received() if text.startswith("PUBLISH ")]
    expect(len(reports) == 2, f"{len(reports)} reports")
    expect(all("Event: vq-rtcpxr" in one and "application/vq-rtcpxr" in one for one in reports), "event or type")
    for report, side in zip(reports, ("fromCaller", "fromCallee")):
        quality = record["quality"][side]
        local, remote = fields(report.replace("\r\n", "\n").partition("\n\n")[2])
        mos = float(local["QualityEstimates"].partition("MOSCQ=")[2])
        expect(abs(mos - quality["mos"]) < 0.11, f"{side}: MOS {mos}, the record has {quality['mos']}")
        expect("NLR=0.0" in local["PacketLoss"], f"{local}")
        expect("PT=0 PD=PCMU SR=8000" in local["SessionDesc"] or "PT=8 PD=PCMA" in local["SessionDesc"], f"{local}")
        expect("SSRC=0x00000000" not in local["LocalAddr"] + local["RemoteAddr"], f"{local}")
        expect("NLR=0.0" in remote.get("PacketLoss", ""), f"the far end's reports: {remote}")
    calls = [fields(report.partition("\n\n")[2] or report.partition("\r\n\r\n")[2])[0].get("CallID") for report in reports]
    expect(len(set(calls)) == 2, f"{calls}")
    wait_until(
        lambda: world.demarc.metrics()['demarc_quality_reports_total{outcome="sent"}'] == 2, 5, "the metric")
    expect(world.demarc.metrics()['demarc_quality_reports_total{outcome="failed"}'] == 0, "a report failed")
    t.remark = f"MOS {record['quality']['fromCaller']['mos']}"


@test("collector-challenges", 50)
def collector_challenges(t):
    """A collector that challenges gets the report again, with the digest of its trunk's credentials (RFC 7616)"""
    world = Watched(t, credentials={"username": "demarc", "password": "collector-secret"})
    inbox = t.agent(world=world, user="collector", port=world.collector_port)
    pbx = t.agent(world=world, user="pbx", port=world.ports["pbx"])
    media = Endpoint(free_port())
    t.defer(media.close)
    body = pbx.sdp(media.socket.getsockname()[1])
    answer, dialog = pbx.exchange("INVITE", f"sip:+4940103@{world.domain}", body=body)
    expect(answer.status == 200, f"the caller got {answer.start}")
    port = int(re.search(rb"m=audio (\d+)", answer.body).group(1))
    media.speak(audio.silence(1), ("127.0.0.1", port)).join()
    dialog.bye()
    first = inbox.expect_request("PUBLISH")
    expect(not first.get("authorization"), "it has credentials before it was asked")
    challenge = 'Digest realm="collect.test", nonce="a7f3", algorithm=MD5, qop="auth"'
    inbox.socket.sendto(
        inbox.answer_to(first, 401, "Unauthorized", "c", extra=(f"WWW-Authenticate: {challenge}",)), first.source)
    again = inbox.wait(
        lambda m: m.method == "PUBLISH" and m.get("authorization"), 5, "the report with credentials")
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', again.get("authorization")))

    def hashed(*parts):
        return hashlib.md5(":".join(parts).encode()).hexdigest()
    secret = hashed("demarc", "collect.test", "collector-secret")
    what = hashed("PUBLISH", given["uri"])
    expected = hashed(secret, "a7f3", given["nc"], given["cnonce"], "auth", what)
    expect(given["response"] == expected and given["username"] == "demarc", f"{given}")
    expect(again.body == first.body, "another report")
    inbox.socket.sendto(inbox.answer_to(again, 200, "OK", "c"), again.source)
    wait_until(
        lambda: world.demarc.metrics()['demarc_quality_reports_total{outcome="sent"}'] == 1, 5, "the metric")
    expect(world.demarc.metrics()['demarc_quality_reports_total{outcome="failed"}'] == 0, "a report failed")
