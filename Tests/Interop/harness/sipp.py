"""SIPp: scenarios written as Python lists of steps, and runs of them as caller or as callee."""

import csv
import pathlib
import signal

from .ports import free_port, free_range
from .process import Failure, Process, expect, wait_until

PCMU_SDP = """\
v=0
o={origin} 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s={session}
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio {port} RTP/AVP {formats}
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=sendrecv
"""


def sdp(port="[media_port]", origin="-", session="-", formats="0 8 101"):
    return PCMU_SDP.format(port=port, origin=origin, session=session, formats=formats)


def _attributes(values):
    return "".join(f' {name}="{value}"' for name, value in values.items() if value is not None)


def send(text, **attributes):
    """A message; `Content-Length` is added. `retrans` is in ms."""
    head, _, body = text.partition("\n\n")
    kind = "Content-Type: application/sdp\n" if body.strip() else ""
    return (
        f"<send{_attributes(attributes)}><![CDATA[\n{head.strip()}\n{kind}Content-Length: [len]\n\n"
        f"{body}]]></send>\n")


def recv(what, **attributes):
    kind = "response" if str(what).isdigit() else "request"
    return f'<recv {kind}="{what}"{_attributes(attributes)}/>\n'


def optional(*codes, **attributes):
    return "".join(recv(code, optional="true", **attributes) for code in codes)


def pause(milliseconds):
    return f'<pause milliseconds="{int(milliseconds)}"/>\n'


def action(text):
    return f"<nop><action>{text}</action></nop>\n"


def scenario(name, *steps):
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
        f'<!DOCTYPE scenario SYSTEM "sipp.dtd">\n<scenario name="{name}">\n{"".join(steps)}</scenario>\n')


# --- the caller's messages -----------------------------------------------------------------------------
class Caller:
    """Writes one caller's requests. `user` may be a SIPp keyword such as [field0]."""

    def __init__(self, domain="[remote_ip]", user="sipp", display=None, agent=None, call_id="[call_id]"):
        self.domain, self.user, self.call_id = domain, user, call_id
        self.display = f'"{display}" ' if display else ""
        self.agent = f"User-Agent: {agent}\n" if agent else ""

    def request(self, method, sequence, uri="sip:[service]@{domain}", extra="", body="", to_tag=True,
                branch="[branch]"):
        uri = uri.format(domain=self.domain)
        to = "[peer_tag_param]" if to_tag else ""
        contact = f"Contact: <sip:{self.user}@[local_ip]:[local_port]>\n"
        return (
            f"{method} {uri} SIP/2.0\n"
            f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\n"
            f"From: {self.display}<sip:{self.user}@{self.domain}>;tag=[pid]A[call_number]\n"
            f"To: <sip:[service]@{self.domain}>{to}\n"
            f"Call-ID: {self.call_id}\nCSeq: {sequence} {method}\nMax-Forwards: 70\n"
            f"{contact if method not in ('ACK', 'BYE', 'CANCEL') else ''}{self.agent}{extra}\n{body}")

    def invite(self, sequence=1, extra="", body=None, **attributes):
        attributes.setdefault("retrans", 500)
        text = self.request(
            "INVITE", sequence, extra=extra, body=sdp() if body is None else body, to_tag=False)
        return send(text, **attributes)

    def invite_with_digest(self, challenge=401, extra="", body=None):
        """INVITE, challenge, ACK, and the INVITE with its answer."""
        return (
            self.invite(1, extra, body, start_txn="first")
            + optional(100, response_txn="first")
            + recv(challenge, auth="true", response_txn="first")
            + send(self.request("ACK", 1, branch="[branch-3]"), ack_txn="first")
            + self.invite(2, "[authentication]\n" + extra, body, start_txn="second"))

    def ack(self, sequence=1, **attributes):
        return send(self.request("ACK", sequence, uri="[next_url]", extra="[routes]\n"), **attributes)

    def bye(self, sequence=2):
        return send(self.request("BYE", sequence, uri="[next_url]", extra="[routes]\n"), retrans=500) + recv(200)


def uac(name="uac", hold_ms=500, media="", caller=None, digest=None, extra="", body=None, bye=True):
    """A call that is answered and, after a while, ended by the caller."""
    caller = caller or Caller()
    if digest:
        start = caller.invite_with_digest(digest, extra, body)
        txn, sequence = {"response_txn": "second"}, 2
    else:
        start, txn, sequence = caller.invite(1, extra, body), {}, 1
    ack = {"ack_txn": "second"} if digest else {}
    return scenario(
        name, start, optional(100, 180, 183, **txn), recv(200, rrs="true", rtd="true", **txn),
        caller.ack(sequence, **ack), media, pause(hold_ms) if hold_ms else "",
        caller.bye(sequence + 1) if bye else recv("BYE") + reply(200, "OK"))


def uac_refused(code, name="refused", caller=None, digest=None):
    """A call that is to end with a final failure."""
    caller = caller or Caller()
    if digest:
        start, txn, sequence = caller.invite_with_digest(digest), {"response_txn": "second"}, 2
        ack = {"ack_txn": "second"}
    else:
        start, txn, sequence, ack = caller.invite(), {}, 1, {}
    return scenario(
        name, start, optional(100, 180, 183, **txn), recv(code, **txn),
        send(caller.request("ACK", sequence, branch="[branch-5]"), **ack))


def uac_cancels(after_ms=400, caller=None):
    """A caller that gives up while it rings."""
    caller = caller or Caller()
    return scenario(
        "cancels", caller.invite(start_txn="invite"), optional(100, response_txn="invite"),
        recv(180, response_txn="invite"), pause(after_ms),
        send(caller.request("CANCEL", 1, to_tag=False, branch="[branch-4]"), retrans=500,
             start_txn="cancel"),
        recv(200, response_txn="cancel"), recv(487, response_txn="invite"),
        send(caller.request("ACK", 1, branch="[branch-7]"), ack_txn="invite"))


# --- the callee's messages -----------------------------------------------------------------------------
def reply(code, reason, tag=False, body="", extra="", **attributes):
    to_tag = ";tag=[pid]B[call_number]" if tag else ""
    return send(
        f"SIP/2.0 {code} {reason}\n[last_Via:]\n[last_From:]\n[last_To:]{to_tag}\n[last_Call-ID:]\n"
        f"[last_CSeq:]\n[last_Record-Route:]\nContact: <sip:carrier@[local_ip]:[local_port]>\n{extra}"
        f"\n{body}", **attributes)


def uas(name="uas", ring_ms=100, media="", body=None, extra="", answer_retrans=500):
    """Rings, answers, and waits for BYE."""
    return scenario(
        name, recv("INVITE", rrs="true"), reply(180, "Ringing", tag=True, extra=extra),
        pause(ring_ms) if ring_ms else "",
        reply(200, "OK", tag=True, body=sdp() if body is None else body, extra=extra,
              retrans=answer_retrans),
        recv("ACK"), media, recv("BYE"), reply(200, "OK"))


def uas_refuses(code, reason, ring=True):
    return scenario(
        "refuses", recv("INVITE"), reply(180, "Ringing", tag=True) if ring else "",
        reply(code, reason, tag=True, retrans=500), recv("ACK"))


def uas_until_cancel():
    """Rings for ever; expects CANCEL and says 487 to the INVITE."""
    # The INVITE's own Via branch and CSeq are needed again after the CANCEL came between.
    keep = (
        '<recv request="INVITE"><action>'
        '<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>'
        '<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="sequence"/>'
        "</action></recv>\n")
    return scenario(
        "until-cancel", keep, reply(180, "Ringing", tag=True), recv("CANCEL"),
        reply(200, "OK", tag=True),
        send("SIP/2.0 487 Request Terminated\nVia:[$via]\n[last_From:]\n"
             "[last_To:];tag=[pid]B[call_number]\n[last_Call-ID:]\nCSeq: [$sequence] INVITE\n\n",
             retrans=500),
        recv("ACK"))


# --- runs ----------------------------------------------------------------------------------------------
class Sipp:
    """One SIPp. The folder gets its scenario, statistics, errors and messages."""

    def __init__(self, folder, name, text, port=None, remote=None, calls=1, rate=None, service=None,
                 user=None, password=None, extra=(), address="127.0.0.1", messages=True, timeout=30,
                 media_port=None, limit=None):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.port = port or free_port()
        # RTP and RTCP of audio, and two more that it takes for video unasked.
        self.media_port = media_port or free_range(4)
        self.address = address
        path = self.folder / f"{name}.xml"
        path.write_text(text)
        self.statistics = self.folder / f"{name}.csv"
        self.errors = self.folder / f"{name}.errors"
        self.messages_file = self.folder / f"{name}.messages"
        argv = ["sipp", "-sf", path, "-i", address, "-p", self.port, "-mi", address, "-mp", self.media_port,
                "-nostdin", "-default_behaviors", "bye,abortunexp,pingreply", "-trace_err", "-error_file", self.errors,
                "-trace_stat", "-stf", self.statistics, "-fd", "1", "-timeout", timeout, "-timeout_error"]
        if calls:
            argv += ["-m", calls]
        if messages:
            argv += ["-trace_msg", "-message_file", self.messages_file]
        if rate:
            argv += ["-r", rate]
        if limit:
            argv += ["-l", limit]
        if service:
            argv += ["-s", service]
        if user:
            argv += ["-au", user]
        if password:
            argv += ["-ap", password]
        if remote:
            argv.append(remote)
        # In its folder: with a socket for each call SIPp writes a file of a name of its own, wherever it stands.
        self.process = Process(name, argv + list(extra), folder, cwd=folder)
        self.timeout = timeout

    def wait(self, seconds=None):
        """Waits for the end; a Failure where a call of it did not go as its scenario says."""
        code = self.process.wait(seconds or self.timeout + 5)
        if code != 0:
            raise Failure(f"SIPp {self.name} ended with {code}: {self.why()}")
        return self

    def why(self):
        if self.errors.exists():
            lines = [line for line in self.errors.read_text(errors="replace").splitlines() if line.strip()]
            if lines:
                return " ".join(lines[:3])[:400]
        return f"see {self.process.log}"

    def stop(self):
        self.process.stop(2, signal.SIGUSR1)

    def numbers(self):
        """The last line of the statistics by column name."""
        if not self.statistics.exists():
            return {}
        with open(self.statistics, newline="", errors="replace") as file:
            rows = list(csv.reader(file, delimiter=";"))
        return dict(zip(rows[0], rows[-1])) if len(rows) > 1 else {}

    def count(self, column):
        return int(self.numbers().get(column) or 0)

    def messages(self):
        """[(direction, text)] of every message, in order; direction is "sent" or "received"."""
        if not self.messages_file.exists():
            return []
        found = []
        for part in self.messages_file.read_text(errors="replace").split("-" * 47)[1:]:
            head, _, body = part.partition("\n\n")
            if "message sent" in head:
                found.append(("sent", body.lstrip("\r\n")))
            elif "message received" in head:
                found.append(("received", body.lstrip("\r\n")))
        return found

    def received(self):
        return [text for direction, text in self.messages() if direction == "received"]


def ready(sipp, seconds=5):
    """Waits until a callee has bound its port. Its socket is looked for where the kernel lists them: whoever binds the
    port to find out keeps SIPp from it at that moment."""
    table = pathlib.Path("/proc/net/udp6" if ":" in sipp.address else "/proc/net/udp")

    def bound():
        expect(sipp.process.running(), f"SIPp {sipp.name} did not start: {sipp.why()}")
        return any(int(line.split()[1].rpartition(":")[2], 16) == sipp.port
                   for line in table.read_text().splitlines()[1:])
    wait_until(bound, seconds, f"SIPp {sipp.name} to listen", 0.02)
    return sipp
