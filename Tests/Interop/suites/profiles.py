"""Each interop profile that ships, by the messages that made it necessary: as such a peer sends them, and as it wants
them. They are written as the makers publish them, with numbers and addresses of our own; without the profile the same
messages come out otherwise."""

from harness.agent import Agent, token
from harness.case import test
from harness.demarc import Demarc
from harness.ports import free_port, free_range
from harness.process import expect

CALLED, CALLER, ACCOUNT = "+49301234567", "+4930555100", "+4930555199"

# profile → From of its INVITE, further headers. From tells the account, the caller is who CALLER is.
SENT = {
    # send_pai=yes with a from_user.
    "asterisk": (f'"Office" <sip:{ACCOUNT}@192.0.2.10>', [
        f'P-Asserted-Identity: "Alice" <sip:{CALLER}@192.0.2.10>', "Allow-Events: message-summary, refer",
        "Supported: 100rel, timer, replaces, norefersub, histinfo"]),
    # A gateway without caller-id-in-from.
    "freeswitch": (f'"Alice" <sip:{ACCOUNT}@192.0.2.11>', [
        "Supported: timer, path, replaces", "X-FS-Support: update_display,send_info",
        f'Remote-Party-ID: "Alice" <sip:{CALLER}@192.0.2.11>;party=calling;screen=yes;privacy=off']),
    # OutboundCallerId in P-Asserted-Identity: User Part; From: User Part is the authentication's.
    "3cx": (f'"Alice" <sip:{ACCOUNT}@192.0.2.12:5060>', [
        f'P-Asserted-Identity: "Alice" <sip:{CALLER}@192.0.2.12:5060>', "Supported: replaces, timer"]),
    # Communications Manager 5.0, which does not know P-Asserted-Identity.
    "cisco": (f'"Switchboard" <sip:{ACCOUNT}@192.0.2.13>', [
        f'Remote-Party-ID: "Alice" <sip:{CALLER}@192.0.2.13>;party=calling;screen=yes;privacy=off',
        "Cisco-Guid: 1234567890-0987654321-1122334455-5566778899", "Min-SE:  1800", "Expires: 180",
        'Call-Info: <sip:192.0.2.13:5060>;method="NOTIFY;Event=telephone-event;Duration=500"']),
    # SIPconnect 2.0: From is for display, the identity is asserted.
    "sipconnect": (f'"Switchboard" <sip:{ACCOUNT}@office.test;user=phone>', [
        f"P-Asserted-Identity: <sip:{CALLER}@office.test;user=phone>"]),
}

# profile → what an INVITE for a number by CALLER has to be for it: the request URI, and headers with what they hold.
WANTED = {
    "teams": ("sip:{e164}@", {"contact": "<sip:sbc.example.com:"}),
    "twilio": ("sip:{e164}@office.pstn.twilio.example", {}),
    "telnyx": ("sip:{e164}@", {"from": f"<sip:{CALLER}@", "p-asserted-identity": f"<sip:{CALLER}@"}),
    "asterisk": ("sip:", {"p-asserted-identity": CALLER}),
    "freeswitch": ("sip:", {"p-asserted-identity": CALLER}),
    "3cx": ("sip:", {}),
    "cisco": ("sip:", {"p-asserted-identity": CALLER, "remote-party-id": CALLER}),
    "sipconnect": ("sip:{e164}@", {
        "from": f"<sip:{CALLER}@", "p-asserted-identity": f"<sip:{CALLER}@", "to": ";user=phone>"}),
}
# What no setting does but a rule, as the profile advises.
ADVISED = {
    "teams": {"set": "Contact.host", "value": "sbc.example.com"},
    "twilio": {"set": "request-uri.host", "value": "office.pstn.twilio.example"},
}


class Office:
    """A peer of each profile, each with a dial prefix, and a plain PBX and a plain carrier."""

    def __init__(self, t):
        self.port = free_port()
        self.agents = {name: Agent(("127.0.0.1", self.port), name) for name in ("pbx", "plain", *WANTED)}
        for agent in self.agents.values():
            t.defer(agent.close)
        self.demarc = Demarc(t.program, t.folder, sip_port=self.port, media_ports=(free_range(200), 200), ipv6=False)
        self.demarc.start()
        t.defer(self.demarc.stop)
        self.apply()

    def number(self, name):
        """One that leads to the peer."""
        return f"+498912345{list(self.agents).index(name):02}"

    def apply(self, profiles=True):
        """Or, to see what they are for, without."""
        def trunk(name, agent):
            own = {"name": name, "kind": "pbx", "targets": [f"127.0.0.1:{agent.port}"]}
            if name in WANTED:
                own |= {"profile": name} if profiles else {}
            if name in ADVISED:
                own["rules"] = [{"name": "advised", "direction": "out", "then": [ADVISED[name]]}]
            return own
        self.demarc.apply({
            "tenants": [{"name": "office", "domains": ["office.test"], "numbers": {"countryCode": "49"}}],
            "networks": [{"name": "loopback", "listeners": ["v4"], "media": list(self.demarc.media_addresses)}],
            "trunks": [trunk(name, agent) for name, agent in self.agents.items()],
            "numbers": [{"number": self.number(name), "destinations": [{"trunk": name}]} for name in WANTED],
            "routes": [{"name": "world", "prefix": "+49", "carriers": [{"trunk": "plain"}]}],
        })

    def call(self, name, message, callee):
        """The INVITE as the callee gets it, who is busy."""
        sender, receiver = self.agents[name], self.agents[callee]
        sender.send(message)
        got = receiver.expect_request("INVITE")
        receiver.send(receiver.answer_to(got, 486, "Busy Here", token()))
        receiver.expect_request("ACK")
        final = sender.wait(lambda m: m.status and m.status >= 200, 5, "the final response")
        expect(final.status == 486, f"{name} got {final.start}")
        head = message.partition(b"\r\n\r\n")[0].decode()
        keep = ("via:", "from:", "call-id:", "max-forwards:")
        lines = [line for line in head.split("\r\n")[1:] if line.lower().startswith(keep)]
        number = next(line for line in head.split("\r\n") if line.lower().startswith("cseq:")).split()[1]
        sender.send("\r\n".join([
            head.split("\r\n")[0].replace("INVITE", "ACK", 1), *lines, f"To: {final.get('to')}", f"CSeq: {number} ACK",
            "Content-Length: 0", "", ""]))
        return got


def written(agent, caller, extra=(), called=CALLED, host="office.test"):
    uri = f"sip:{called}@{host}"
    return agent.request("INVITE", uri, token(), 102, token(), None, extra, agent.sdp(free_port())).replace(
        f"From: <sip:{agent.user}@{agent.domain}>".encode(), f"From: {caller}".encode())


@test("callers")
def callers(t):
    """Where PBXs write their caller it is read: beside an account in From, in P-Asserted-Identity or Remote-Party-ID"""
    office = Office(t)
    for profiles, seen in ((True, CALLER), (False, ACCOUNT)):
        office.apply(profiles)
        for name, (caller, extra) in SENT.items():
            got = office.call(name, written(office.agents[name], caller, extra), "plain")
            expect(f"<sip:{seen}@" in got.get("from"), f"{name}: the caller is {got.get('from')}, not {seen}")
            expect(got.start.split()[1].startswith(f"sip:{CALLED}@"), f"{name}: {got.start}")
            expect("192.0.2" not in str(got) and "Guid" not in str(got), f"{name}: its headers crossed:\n{got}")


@test("forms")
def forms(t):
    """Each peer is sent the called number and the caller in the form and the places that it reads"""
    office = Office(t)
    for profiles in (True, False):
        office.apply(profiles)
        wrong = {}
        for name, (start, headers) in WANTED.items():
            number = office.number(name)
            got = office.call(
                "pbx", written(office.agents["pbx"], f'"Alice" <sip:{CALLER}@office.test>', called=number), name)
            uri = got.start.split()[1]
            if not uri.startswith(start.format(e164=number)):
                wrong[name] = uri
            for key, text in headers.items():
                if text not in got.get(key):
                    wrong[name] = f"{key}: {got.get(key)}"
        if profiles:
            expect(not wrong, f"{wrong}")
        else:
            # What the others want, a rule or the tenant's plan of numbers gives them.
            expect(set(wrong) == {"telnyx", "asterisk", "freeswitch", "cisco", "sipconnect"}, f"no need of: {wrong}")


@test("quirks")
def quirks(t):
    """Headers in capitals (Teams), Content-Length twice (Twilio), a Via without a branch (IOS 12): calls like any other"""
    office = Office(t)

    def teams(agent):
        plain = written(agent, f'"Alice" <sip:{CALLER}@sip.pstnhub.test:5061;user=phone>', (
            f"P-Asserted-Identity: <tel:{CALLER}>,<sip:alice@office.test>", "Privacy: none",
            "Record-Route: <sip:127.0.0.1:%d;lr>" % agent.port, "Supported: histinfo,timer"))
        head, _, body = plain.partition(b"\r\n\r\n")
        lines = [line.partition(b":") for line in head.split(b"\r\n")]
        return b"\r\n".join([b"".join(lines[0]), *(
            name.upper() + colon + value for name, colon, value in lines[1:])]) + b"\r\n\r\n" + body

    def twilio(agent):
        plain = written(agent, f"<sip:{CALLER}@office.pstn.twilio.example>")
        length = plain.split(b"Content-Length: ")[1].split(b"\r\n")[0]
        return plain.replace(b"\r\n\r\n", b"\r\nContent-Length: " + length + b"\r\n\r\n", 1)

    def cisco(agent):
        plain = written(agent, f'"Alice" <sip:{CALLER}@192.0.2.13>', ("Date: Mon, 01 Mar 1993 00:10:29 GMT",))
        via = plain.split(b"Via: ")[1].split(b"\r\n")[0]
        return plain.replace(via, via.split(b";")[0]).replace(b"Max-Forwards: 70", b"Max-Forwards: 6")

    for write in (teams, twilio, cisco):
        name = write.__name__
        got = office.call(name, write(office.agents[name]), "plain")
        expect(f"<sip:{CALLER}@" in got.get("from"), f"{name}: {got.get('from')}")
        expect(got.start.split()[1].startswith(f"sip:{CALLED}@"), f"{name}: {got.start}")
        expect(len(got.all("content-length")) == 1 and "branch=z9hG4bK" in got.get("via"), f"{name}: {got}")
