"""Offer/answer, reliable provisional responses, session timers: SIPp and phones on both sides."""

import re
import time

from harness import audio
from harness.audio import silence
from harness.case import test
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.sipp import Caller, optional, pause, recv, reply, scenario, sdp, send, uac

from .sip import carrier, check, from_pbx, seen_methods

WORDS = "The birch canoe slid on the smooth planks. It is easy to tell the depth of a well."

KEEP = (
    '<recv request="INVITE" rrs="true"><action>'
    '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>'
    '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>'
    '<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>'
    '<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="sequence"/></action></recv>\n')


def to_invite(code, reason, body="", extra="", **attributes):
    """A response to the INVITE that `KEEP` kept, whatever came since."""
    return send(
        f"SIP/2.0 {code} {reason}\nVia:[$via]\nFrom:[$from]\nTo:[$to];tag=[pid]B[call_number]\n"
        f"[last_Call-ID:]\nCSeq: [$sequence] INVITE\n"
        f"Contact: <sip:carrier@[local_ip]:[local_port]>\n{extra}\n{body}", **attributes)


def from_callee(method, sequence, body="", extra="", **attributes):
    return send(
        f"{method} [next_url] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"
        f"From:[$to];tag=[pid]B[call_number]\nTo:[$from]\n[last_Call-ID:]\nCSeq: {sequence} {method}\n"
        f"Max-Forwards: 70\nContact: <sip:carrier@[local_ip]:[local_port]>\n{extra}\n{body}", **attributes)


def headers(text, name):
    return re.findall(rf"(?im)^{name}:\s*(.*?)\s*$", text)


@test("prack")
def prack(t):
    """A carrier with 100rel, a PBX without: we acknowledge, and the answer of the 183 is the PBX's answer"""
    number = t.world.number("+4930")
    north = carrier(t, "north", scenario(
        "reliable", KEEP,
        to_invite(183, "Session Progress", sdp(), "Require: 100rel\nRSeq: 4711\n", retrans=500),
        recv("PRACK"), reply(200, "OK"), pause(300), to_invite(200, "OK", retrans=500),
        recv("ACK"), recv("BYE"), reply(200, "OK")))
    pbx = from_pbx(t, uac(), number)
    pbx.wait()
    north.wait()
    invite = north.received()[0]
    expect("100rel" in ",".join(headers(invite, "Supported")), "100rel was not offered")
    prack = next(text for text in north.received() if text.startswith("PRACK"))
    expect(headers(prack, "RAck") == [f"4711 {headers(invite, 'CSeq')[0].split()[0]} INVITE"], "RAck is wrong")
    ringing = next(text for text in pbx.received() if text.startswith("SIP/2.0 183"))
    expect("m=audio" in ringing and "RSeq" not in ringing, "the PBX's 183 is to be unreliable, with SDP")
    answer = next(text for text in pbx.received() if text.startswith("SIP/2.0 200") and "INVITE" in text)
    expect("m=audio" in answer, "the answer is lost with the carrier's 200 without SDP")
    check(t.world.record(number), cause="normal-clearing", status=200)


@test("prack-required")
def prack_required(t):
    """A PBX that requires 100rel, a carrier that has never heard of it"""
    number = t.world.number("+4930")
    north = carrier(t, "north", scenario(
        "unreliable", recv("INVITE", rrs="true"), reply(183, "Session Progress", tag=True, body=sdp()),
        pause(500), reply(200, "OK", tag=True, body=sdp(), retrans=500), recv("ACK"), recv("BYE"),
        reply(200, "OK")))
    caller = Caller()
    keep = ('<recv response="183" rrs="true"><action>'
            '<ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" assign_to="rseq"/></action></recv>\n')
    pbx = from_pbx(t, scenario(
        "requires", caller.invite(extra="Require: 100rel\n"), optional(100), keep,
        send(caller.request("PRACK", 2, uri="[next_url]", extra="[routes]\nRAck: [$rseq] 1 INVITE\n"),
             retrans=500),
        recv(200), recv(200, rrs="true"), caller.ack(), pause(200), caller.bye(3)), number)
    pbx.wait()
    north.wait()
    expect("PRACK" not in seen_methods(north), "the carrier got a PRACK for an unreliable response")
    check(t.world.record(number), cause="normal-clearing", status=200)


def updating(t, number, allow):
    """A PBX sends UPDATE with a new offer into a call with a carrier."""
    caller = Caller()
    north_steps = [
        KEEP, to_invite(200, "OK", sdp(), f"Allow: {allow}\n", retrans=500), recv("ACK")]
    if "UPDATE" in allow:
        north_steps += [recv("UPDATE"), reply(200, "OK", body=sdp().replace("2353687637", "2353687638"))]
    else:
        north_steps += [
            recv("INVITE"), reply(200, "OK", body=sdp().replace("2353687637", "2353687638"), retrans=500),
            recv("ACK")]
    north = carrier(t, "north", scenario("updated", *north_steps, recv("BYE"), reply(200, "OK")))
    held = sdp().replace("2353687637", "2353687638").replace("a=sendrecv", "a=sendonly")
    pbx = from_pbx(t, scenario(
        "updates", caller.invite(), optional(100, 180, 183), recv(200, rrs="true"), caller.ack(), pause(300),
        send(caller.request("UPDATE", 2, uri="[next_url]", extra="[routes]\n", body=held), retrans=500),
        recv(200), pause(200), caller.bye(3)), number)
    pbx.wait()
    north.wait()
    return pbx, north


@test("update")
def update(t):
    """An UPDATE reaches a carrier that knows it as UPDATE, and any other as re-INVITE"""
    for allow, method in (("INVITE, ACK, BYE, CANCEL, UPDATE", "UPDATE"), ("INVITE, ACK, BYE, CANCEL", "INVITE")):
        number = t.world.number("+4930")
        _, north = updating(t, number, allow)
        offer = [text for text in north.received() if text.startswith(method)][-1]
        expect("a=sendonly" in offer, f"the {method} does not hold: {offer}")
        check(t.world.record(number), cause="normal-clearing")


@test("glare")
def glare(t):
    """Both sides re-INVITE at once: the second one gets 491, the first one goes on"""
    number = t.world.number("+4930")
    caller = Caller()
    north = carrier(t, "north", scenario(
        "first", KEEP, to_invite(200, "OK", sdp(), retrans=500), recv("ACK"), pause(300),
        from_callee("INVITE", 1, sdp(session="changed"), retrans=500), optional(100), recv(200),
        from_callee("ACK", 1), recv("BYE"), reply(200, "OK")))
    keep = (
        '<recv request="INVITE"><action>'
        '<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>'
        '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>'
        '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>'
        '<ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="sequence"/></action></recv>\n')
    pbx = from_pbx(t, scenario(
        "second", caller.invite(), optional(100, 180, 183), recv(200, rrs="true"), caller.ack(), keep,
        send(caller.request("INVITE", 2, uri="[next_url]", extra="[routes]\n", body=sdp()), retrans=500),
        optional(100), recv(491),
        send(caller.request("ACK", 2, uri="[next_url]", branch="[branch-3]")),
        send("SIP/2.0 200 OK\nVia:[$via]\nFrom:[$from]\nTo:[$to]\n[last_Call-ID:]\nCSeq:[$sequence]\n"
             f"Contact: <sip:sipp@[local_ip]:[local_port]>\n\n{sdp()}", retrans=500),
        recv("ACK"), pause(200), caller.bye(3)), number)
    pbx.wait()
    north.wait()
    check(t.world.record(number), cause="normal-clearing")


@test("refused-change", 40)
def refused_change(t):
    """The carrier refuses a re-INVITE with T.38 by 488, and so do we; the call, and its speech, go on as before"""
    number = t.world.number("+4930")
    fax = sdp().split("m=audio")[0] + "m=image [media_port] udptl t38\na=T38FaxVersion:0\n"
    port = free_port()
    endpoint = Endpoint(port)
    t.defer(endpoint.close)
    caller = Caller()
    north = carrier(t, "north", scenario(
        "speaks", KEEP, to_invite(200, "OK", sdp(), retrans=500), recv("ACK"), recv("INVITE"),
        reply(488, "Not Acceptable Here", retrans=500), recv("ACK"), recv("BYE"), reply(200, "OK")),
        extra=["-rtp_echo"])
    pbx = from_pbx(t, scenario(
        "fax", caller.invite(body=sdp(port=port)), optional(100, 180, 183), recv(200, rrs="true"),
        caller.ack(), pause(300),
        send(caller.request("INVITE", 2, uri="[next_url]", extra="[routes]\n", body=fax), retrans=500),
        optional(100), recv(488), send(caller.request("ACK", 2, uri="[next_url]", branch="[branch-2]")),
        pause(7000), caller.bye(3)), number)
    wait_until(lambda: "SIP/2.0 488" in "".join(pbx.received()), 6, "the refusal")
    media = next(text for text in pbx.received() if "m=audio" in text)
    text = audio.speech(WORDS)
    endpoint.speak(text, ("127.0.0.1", int(re.search(r"m=audio (\d+)", media).group(1))))
    pbx.wait()
    north.wait()
    t.remark = str(audio.check_likeness("after the refusal", text, endpoint.heard()))
    check(t.world.record(number), cause="normal-clearing")


@test("moved-media", 50)
def moved_media(t):
    """A re-INVITE that changes the PBX's media port: speech passes both ways before and after, on our same port"""
    number = t.world.number("+4930")
    words = audio.speech(WORDS)
    first, second = Endpoint(free_port()), Endpoint(free_port())
    for endpoint in (first, second):
        t.defer(endpoint.close)
    ports = [endpoint.socket.getsockname()[1] for endpoint in (first, second)]
    caller = Caller()
    north = carrier(t, "north", scenario(
        "echo", KEEP, to_invite(200, "OK", sdp(), retrans=500), recv("ACK"), recv("INVITE"),
        reply(200, "OK", body=sdp().replace("2353687637", "2353687638"), retrans=500), recv("ACK"),
        recv("BYE"), reply(200, "OK")), extra=["-rtp_echo"])
    seconds = len(words) / audio.RATE + 0.7
    moved = sdp(port=ports[1]).replace("2353687637", "2353687638")
    pbx = from_pbx(t, scenario(
        "moves", caller.invite(body=sdp(port=ports[0])), optional(100, 180, 183), recv(200, rrs="true"),
        caller.ack(), pause(seconds * 1000 + 600),
        send(caller.request("INVITE", 2, uri="[next_url]", extra="[routes]\n", body=moved), retrans=500),
        optional(100), recv(200),
        send(caller.request("ACK", 2, uri="[next_url]", extra="[routes]\n")),
        pause(seconds * 1000 + 800), caller.bye(3)), number)
    targets = []

    def answers():
        return [text for text in pbx.received() if text.startswith("SIP/2.0 200") and "m=audio" in text]
    for number_of, endpoint in enumerate((first, second)):
        wait_until(lambda: len(answers()) > number_of, seconds + 6, "an answer")
        targets.append(("127.0.0.1", int(re.search(r"m=audio (\d+)", answers()[number_of]).group(1))))
        endpoint.speak(words, targets[-1])
    pbx.wait()
    north.wait()
    expect(targets[0] == targets[1], f"our port changed: {targets}")
    one = audio.check_likeness("before", words, first.heard())
    other = audio.check_likeness("after", words, second.heard())
    check(t.world.record(number), cause="normal-clearing")
    t.remark = f"{one.correlation:.4f} and {other.correlation:.4f}"


@test("held-by-callee", 60)
def held_by_callee(t):
    """The called phone holds and resumes: whatever either side sends then arrives at the other"""
    world = t.world
    quiet = silence(30)
    bob = t.user("bob", says=quiet, answer="auto")
    alice = t.user("alice", says=quiet)
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    call = world.live(world.extension("bob"))
    time.sleep(1)
    bob.command("hold")
    time.sleep(2)
    expect(world.live(world.extension("bob"))["id"] == call["id"], "the call on hold is gone")
    bob.command("resume")
    time.sleep(4)
    alice.hang_up()
    bob.closed()
    check(world.ended(call["id"]), cause="normal-clearing")
    # A phone stops its recording at a hold, but it counts what it sent and received to the end.
    sent, received = zip(alice.packets(), bob.packets())
    expect(min(sent) > 50 * 5, f"the phones sent {sent} packets")
    expect(abs(sent[0] - received[1]) < 10 and abs(sent[1] - received[0]) < 10, f"sent {sent}, received {received}")
    t.remark = f"sent {sent}, received {received}"


def timed(t, grant, *steps):
    """A call to a carrier whose 200 has a Session-Expires of its own."""
    number = t.world.number("+4930")
    north = carrier(t, "north", scenario(
        "timed", KEEP,
        to_invite(200, "OK", sdp(), f"Allow: INVITE, ACK, BYE, CANCEL, UPDATE\nSession-Expires: {grant}\n",
                  retrans=500),
        recv("ACK"), *steps), timeout=40)
    caller = Caller()
    pbx = from_pbx(t, scenario(
        "waits", caller.invite(), optional(100, 180, 183), recv(200, rrs="true"), caller.ack(),
        recv("BYE", timeout=35000), reply(200, "OK")), number, timeout=40)
    pbx.wait()
    north.wait()
    return t.world.record(number), north


@test("session-refresh", 50)
def session_refresh(t):
    """As refresher: an UPDATE at half the interval; a carrier that has forgotten the call ends it"""
    begin = time.monotonic()
    again = "Session-Expires: 10;refresher=uac\nAllow: INVITE, ACK, BYE, UPDATE\n"
    record, north = timed(
        t, "10;refresher=uac", recv("UPDATE"), reply(200, "OK", extra=again), recv("UPDATE"),
        reply(481, "Call/Transaction Does Not Exist"), recv("BYE"), reply(481, "Call/Transaction Does Not Exist"))
    spent = time.monotonic() - begin
    expect(9 < spent < 16, f"two refreshes took {spent:.1f} s")
    check(record, cause="session-expired", releasedBy="system")
    refreshes = [text for text in north.received() if text.startswith("UPDATE")]
    expect(all("refresher=uac" in text and "m=audio" not in text for text in refreshes), f"{refreshes}")


@test("session-vanished", 50)
def session_vanished(t):
    """The carrier was to refresh and does not: BYE to both a third of the interval before its end"""
    begin = time.monotonic()
    record, _ = timed(t, "12;refresher=uas", recv("BYE"), reply(200, "OK"))
    spent = time.monotonic() - begin
    expect(7 < spent < 11, f"it took {spent:.1f} s")
    check(record, cause="session-expired", releasedBy="system")


@test("session-interval")
def session_interval(t):
    """422 with our Min-SE to whoever asks for less than 90 s; 422 of a carrier is met with what it wants"""
    number = t.world.number("+4930")
    caller = Caller()
    from_pbx(t, scenario(
        "short", caller.invite(extra="Supported: timer\nSession-Expires: 60\n"), optional(100), recv(422),
        send(caller.request("ACK", 1, branch="[branch-2]"))), number, name="short").wait()
    number = t.world.number("+4930")
    north = carrier(t, "north", scenario(
        "longer", recv("INVITE"), reply(422, "Session Interval Too Small", tag=True, extra="Min-SE: 4000\n",
                                        retrans=500),
        recv("ACK"), recv("INVITE", rrs="true"), reply(200, "OK", tag=True, body=sdp(), retrans=500),
        recv("ACK"), recv("BYE"), reply(200, "OK")))
    from_pbx(t, uac(), number).wait()
    north.wait()
    invites = [text for text in north.received() if text.startswith("INVITE")]
    expect(headers(invites[-1], "Session-Expires") == ["4000"], "the interval was not raised")
    expect(headers(invites[-1], "Min-SE") == ["4000"], "Min-SE is missing")
    check(t.world.record(number), cause="normal-clearing")


@test("dtmf-info")
def dtmf_info(t):
    """Digits in INFO reach the carrier as they were; any other INFO ends here with 415"""
    number = t.world.number("+4930")
    caller = Caller()
    digit = "Signal=5\nDuration=160\n"
    # Of speech that nobody here speaks, and without telephone-event: so INFO stays INFO.
    speech = sdp(formats="18")
    north = carrier(t, "north", scenario(
        "digits", KEEP, to_invite(200, "OK", speech, retrans=500), recv("ACK"), recv("INFO"),
        reply(200, "OK"), recv("BYE"), reply(200, "OK")))

    def info(sequence, kind):
        head = caller.request("INFO", sequence, uri="[next_url]", extra=f"[routes]\nContent-Type: {kind}\n")
        return (f'<send retrans="500"><![CDATA[\n{head.strip()}\nContent-Length: [len]\n\n{digit}]]></send>\n')
    pbx = from_pbx(t, scenario(
        "presses", caller.invite(body=speech), optional(100, 180, 183), recv(200, rrs="true"), caller.ack(), pause(200),
        info(2, "application/dtmf-relay"), recv(200), info(3, "application/x-secret"), recv(415),
        caller.bye(4)), number)
    pbx.wait()
    north.wait()
    received = [text for text in north.received() if text.startswith("INFO")]
    expect(len(received) == 1 and "Signal=5" in received[0], f"INFO at the carrier: {received}")
    check(t.world.record(number), cause="normal-clearing")
