"""Numbers and callers as each trunk has them, seen on the wire."""

import json

from harness.agent import Agent, token
from harness.case import test
from harness.demarc import Demarc
from harness.ports import free_port, free_range
from harness.process import expect, run, wait_until

OWNED = "+4930555100"
FOREIGN = "+14155550199"

# trunk → its numbers, and what it must be sent for +49 <prefix> 1234567 called by OWNED
CARRIERS = {
    "as-is": ("30", {}, "sip:+49301234567@", "<sip:+4930555100@"),
    "plain": ("31", {"form": "e164-without-plus", "userPhone": True},
              "sip:49311234567@", "<sip:4930555100@"),
    "national": ("32", {"countryCode": "49", "form": "national"}, "sip:0321234567@", "<sip:030555100@"),
    "abroad": ("33", {"countryCode": "1", "form": "national"}, "sip:01149331234567@", "<sip:0114930555100@"),
    "prefixed": ("34", {"form": "international-prefix", "prefix": "9"},
                 "sip:90049341234567@", "<sip:004930555100@"),
    "tel": ("35", {"form": "e164", "scheme": "tel", "callerIn": ["p-asserted-identity", "remote-party-id"]},
            "tel:+49351234567", "<tel:+4930555100>"),
}


class Office:
    """A tenant in Germany with a PBX and a carrier for each form."""

    def __init__(self, t, caller_policy=None):
        self.t = t
        self.port = free_port()
        self.pbx, *carriers = [
            Agent(("127.0.0.1", self.port), name, domain="office.test") for name in ("pbx", *CARRIERS)]
        self.carriers = dict(zip(CARRIERS, carriers))
        for agent in (self.pbx, *carriers):
            t.defer(agent.close)
        first = free_range(400)
        self.demarc = Demarc(t.program, t.folder, sip_port=self.port, media_ports=(first, 400), ipv6=False)
        self.demarc.start()
        t.defer(self.demarc.stop)
        self.demarc.apply(self.resources(caller_policy))

    def resources(self, caller_policy=None):
        def address(agent):
            return f"127.0.0.1:{agent.port}"

        pbx = {"name": "pbx", "kind": "pbx", "targets": [address(self.pbx)]}
        if caller_policy:
            pbx["callerID"] = caller_policy
        return {
            "tenants": [{"name": "office", "domains": ["office.test"], "numbers": {"countryCode": "49"}}],
            "networks": [{"name": "loopback", "listeners": ["v4"], "media": list(self.demarc.media_addresses)}],
            "trunks": [pbx, *(
                {"name": name, "kind": "carrier", "targets": [address(self.carriers[name])],
                 **({"numbers": CARRIERS[name][1]} if CARRIERS[name][1] else {})}
                for name in CARRIERS)],
            "numbers": [{"number": OWNED, "destinations": [{"trunk": "pbx"}]}],
            "routes": [
                {"name": name, "prefix": f"+49{prefix}", "carriers": [{"trunk": name}]}
                for name, (prefix, *_) in CARRIERS.items()],
        }

    def call(self, dialled, extra=(), caller=OWNED, carrier=None):
        """The PBX dials; the carrier, if there is to be one, is busy. Returns (the final response, the INVITE)."""
        pbx, call_id, tag, branch = self.pbx, token(), token(), "z9hG4bK" + token()
        uri = f"sip:{dialled}@office.test"
        pbx.user = caller
        pbx.send(pbx.request("INVITE", uri, call_id, 1, tag, None, extra, pbx.sdp(free_port()), branch))
        invite = None
        if carrier:
            invite = self.carriers[carrier].expect_request("INVITE")
            self.carriers[carrier].send(self.carriers[carrier].answer_to(invite, 486, "Busy Here", token()))
            self.carriers[carrier].expect_request("ACK")
        answer = pbx.final(call_id, "INVITE")
        pbx.acknowledge_failure(answer, uri, call_id, 1, tag, branch)
        return answer, invite


@test("forms")
def forms(t):
    """Each carrier gets the called number and the caller in its own form and places"""
    office = Office(t)
    for name, (prefix, _, called, caller) in CARRIERS.items():
        answer, invite = office.call(f"0{prefix}1234567", carrier=name)
        expect(answer.status == 486, f"{name}: {answer.start}")
        uri = invite.start.split()[1]
        expect(uri.startswith(called), f"{name}: the request URI is {uri}")
        expect(called in invite.get("to"), f"{name}: To is {invite.get('to')}")
        expect(caller in invite.get("from"), f"{name}: From is {invite.get('from')}")
        if name == "plain":
            expect(uri.endswith(";user=phone"), f"no user=phone in {uri}")
        if name == "tel":
            expect(caller in invite.get("p-asserted-identity"), "no P-Asserted-Identity")
            expect(invite.get("remote-party-id") == f"{caller};party=calling;screen=no;privacy=off",
                   f"Remote-Party-ID: {invite.get('remote-party-id')}")
        else:
            expect(not invite.get("p-asserted-identity"), f"{name}: an identity that nobody asked for")


@test("spellings")
def spellings(t):
    """However a PBX spells a number it is one number, or refused; the call says how it was read"""
    office = Office(t)
    read = ["+49301234567", "0301234567", "0049301234567", "%2B49301234567", "+49(0)30-123.4567",
            "0301234567;phone-context=+49"]
    for dialled in read:
        answer, invite = office.call(dialled, carrier="as-is")
        expect(invite.start.split()[1].startswith("sip:+49301234567@"), f"{dialled}: {invite.start}")
    refused = ["49301234567", "00049301234567", "1010288001149301234567", "+4930123456789012345",
               "%EF%BC%90301234567", "0301234567;phone-context=+1", "030*1234567"]
    for dialled in refused:
        answer, _ = office.call(dialled)
        expect(answer.status == 484, f"{dialled}: {answer.start}")
    records = office.demarc.closed_records(len(read) + len(refused))
    expect(records[0]["cause"] == "number-invalid", f"{records[0]}")
    noted = [note for record in records for note in record.get("notes") or []]
    expect("called 0301234567 read as +49301234567" in noted, f"notes: {noted}")


@test("caller-spoofing")
def caller_spoofing(t):
    """Wherever a customer writes a number that is not its own, the carrier does not see it"""
    office = Office(t, {"allow": "owned", "default": OWNED})
    claims = {
        "From": ([], FOREIGN), "P-Asserted-Identity": ([f"P-Asserted-Identity: <sip:{FOREIGN}@office.test>"], OWNED),
        "P-Preferred-Identity": ([f"P-Preferred-Identity: <tel:{FOREIGN}>"], OWNED),
        "Remote-Party-ID": ([f"Remote-Party-ID: <sip:{FOREIGN}@office.test>;party=calling;screen=yes"], OWNED),
        "Diversion": ([f"Diversion: <sip:{FOREIGN}@office.test>;reason=unconditional"], OWNED),
        "History-Info": ([f"History-Info: <sip:{FOREIGN}@office.test>;index=1"], OWNED),
    }
    for place, (extra, caller) in claims.items():
        _, invite = office.call("0351234567", extra, caller, carrier="tel")
        expect(FOREIGN not in str(invite), f"{place}: the carrier saw {FOREIGN}:\n{invite}")
        expect(OWNED in invite.get("from"), f"{place}: From is {invite.get('from')}")
    spellings = ("4930555100", "030555100", "004930555100")
    for spelling in spellings:
        _, invite = office.call("0351234567", (), spelling, carrier="tel")
        expect(f"<tel:{OWNED}>" in invite.get("from"), f"{spelling}: {invite.get('from')}")
    # Live: the same PBX, told to refuse what is not its own.
    office.demarc.apply(office.resources({"allow": "owned", "otherwise": "refuse"}))
    answer, _ = office.call("0351234567", (), FOREIGN)
    expect(answer.status == 403, f"{answer.start}")
    newest = office.demarc.closed_records(len(claims) + len(spellings) + 1)[0]
    expect(newest["cause"] == "caller-refused", f"{newest}")


@test("privacy")
def privacy(t):
    """A caller that asks for privacy is anonymous to a carrier that is not trusted, in every header"""
    office = Office(t)
    for extra in (["Privacy: id"], ["Privacy: header;user"], ["Privacy: user;critical"]):
        _, invite = office.call("0351234567", extra, carrier="tel")
        expect(OWNED not in str(invite), f"{extra}: the carrier saw the number:\n{invite}")
        expect(invite.get("from").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>'), invite.get("from"))
    _, invite = office.call("0351234567", ["Privacy: none"], carrier="tel")
    expect(OWNED in invite.get("p-asserted-identity"), "Privacy: none hides nothing")


RULES = {
    "pbx": [{
        "name": "outside-line", "direction": "in",
        "when": [{"part": "request-uri.user", "matches": r"9(\d+)"}],
        "then": [{"set": "request-uri.user", "value": "$1"}, {"pass": "X-Customer-ID"}]}],
    "as-is": [{
        "name": "dressing", "direction": "out", "methods": ["INVITE"],
        "then": [{"set": "Contact.host", "value": "sbc.example.com"}, {"add": "X-Account", "value": "4711"},
                 {"set": "User-Agent", "value": "PBX"}, {"remove": "Allow"}]}, {
        "name": "declined-is-busy", "direction": "in", "statuses": ["603"],
        "then": [{"set": "status", "value": "486"}]}],
}


def ruled(office):
    resources = office.resources()
    for trunk in resources["trunks"]:
        trunk["rules"] = RULES.get(trunk["name"], [])
    return resources


@test("rules")
def rules(t):
    """Rules repair what comes in and what goes out, live; only the header that a rule names crosses"""
    office = Office(t)
    office.demarc.apply(ruled(office))
    _, invite = office.call("90301234567", ["X-Customer-ID : 77", "x-customer-id:78", "X-Other: canary"],
                            carrier="as-is")
    expect(invite.start.split()[1].startswith("sip:+49301234567@"), invite.start)
    expect(invite.all("x-customer-id") == ["77", "78"], f"passed: {invite.all('x-customer-id')}")
    expect("canary" not in str(invite) and not invite.get("allow"), str(invite))
    expect("@sbc.example.com" in invite.get("contact") or "sip:sbc.example.com" in invite.get("contact"),
           invite.get("contact"))
    expect((invite.get("x-account"), invite.get("user-agent")) == ("4711", "PBX"), str(invite))
    record = wait_until(
        lambda: next((r for r in office.demarc.records() if r["state"] == "ended"), None), 5, "the closed record")
    shown = office.demarc.command("call", "show", record["id"])
    for rule in ("rule outside-line applied to what came in", "rule dressing applied to what went out"):
        expect(rule in record["notes"] and rule in shown, f"{rule}: {record['notes']}\n{shown}")
    office.demarc.apply(office.resources())
    _, invite = office.call("0301234567", ["X-Customer-ID: 77"], carrier="as-is")
    expect(not invite.get("x-customer-id") and not invite.get("x-account"), "rules that are gone were applied")


@test("rules-offline")
def rules_offline(t):
    """`demarc rules test` shows what rules make of a saved message, and why not"""
    office = Office(t)
    resources, message = t.folder / "resources.json", t.folder / "message.sip"
    resources.write_text(json.dumps(ruled(office)))

    def trial(trunk, expected=0):
        code, text = run(
            [office.demarc.program, "rules", "test", "-f", resources, "--trunk", trunk, "--direction", "in", message], 15)
        expect(code == expected, f"ended with {code}: {text}")
        return text

    message.write_text(
        "INVITE sip:90301@pbx.test SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nMax-Forwards: 70\n"
        "From: <sip:1@pbx.test>;tag=1\nTo: <sip:90301@pbx.test>\nCall-ID: 1\nCSeq: 1 INVITE\n"
        "X-Customer-ID: 4711\nContent-Length: 0\n\n")
    text = trial("pbx")
    for line in ("- INVITE sip:90301@pbx.test SIP/2.0", "+ INVITE sip:0301@pbx.test SIP/2.0",
                 "outside-line: applied", "crosses to the other side: X-Customer-ID: 4711"):
        expect(line in text, f"no `{line}` in\n{text}")
    message.write_text(message.read_text().replace("90301", "8301"))
    text = trial("pbx")
    expect("outside-line: not applied" in text and "it is `8301`" in text, text)
    text = trial("pbz", 1)
    expect("did you mean `pbx`?" in text, text)
