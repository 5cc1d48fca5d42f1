"""SIPp on both sides of Demarc: the ways a call can go."""

import re
import time

from harness import audio
from harness.agent import challenges, digest, token
from harness.case import test
from harness.order import back_to_back
from harness.pair import Pair, audio as audio_line
from harness.ports import free_port, has_ipv6
from harness.process import expect, wait_until
from harness.rtp import Endpoint
from harness.sipp import (
    Caller, pause, recv, reply, scenario, sdp, send, uac, uac_cancels, uac_refused, uas, uas_refuses,
    uas_until_cancel)
from harness.world import World


def from_pbx(t, text, number, name="pbx", **options):
    """SIPp as the PBX that Demarc knows by its address."""
    world = t.world
    return t.caller(
        name, text, port=world.ports[options.pop("trunk", "pbx")], remote=world.sip, service=number, **options)


def carrier(t, name, text, **options):
    return t.callee(name, text, port=t.world.ports[name], **options)


def seen_methods(sipp):
    """Methods of the requests that a SIPp received, in order, without repetitions of the same CSeq."""
    found = []
    for text in sipp.received():
        if not text.startswith("SIP/2.0"):
            entry = (text.split()[0], re.search(r"(?im)^CSeq:\s*(\d+)", text).group(1))
            if entry not in found:
                found.append(entry)
    return [method for method, _ in found]


def check(record, **expected):
    for name, value in expected.items():
        expect(record.get(name) == value, f"record has {name}={record.get(name)!r}, not {value!r}: {record}")


@test("success", 30)
def success(t):
    """PBX → Demarc → carrier, answered, with speech that comes back, ended by the caller"""
    number = t.world.number("+4930")
    text = audio.speech("Glue the sheet to the dark blue background.")
    port = free_port()
    endpoint = Endpoint(port)
    t.defer(endpoint.close)
    south = carrier(t, "north", uas(), extra=["-rtp_echo"])
    pbx = from_pbx(t, uac(hold_ms=4500, body=sdp(port=port)), number)
    call = t.world.live(number)
    wait_until(lambda: "200 OK" in "".join(pbx.received()), 5, "the answer")
    media = next(text for text in pbx.received() if "m=audio" in text)
    target = ("127.0.0.1", int(re.search(r"m=audio (\d+)", media).group(1)))
    expect(target[1] not in (port, south.media_port), "the media is not anchored")
    endpoint.speak(text, target)
    pbx.wait()
    south.wait()
    likeness = audio.check_likeness("what came back", text, endpoint.heard())
    record = t.world.record(number)
    check(record, id=call["id"], state="ended", status=200, cause="normal-clearing", releasedBy="caller",
          codec="PCMU/8000", to="trunk:north")
    expect(len(record["attempts"]) == 1, f"attempts: {record['attempts']}")
    there, back = record["quality"]["fromCaller"], record["quality"]["fromCallee"]
    expect(there["packets"] == endpoint.sent, f"{endpoint.sent} packets were sent: {there}")
    expect(there["lost"] == 0 and back["lost"] == 0, f"lost on loopback: {there}, {back}")
    expect(back["mos"] >= 4, f"MOS on loopback: {back}")
    t.remark = str(likeness)


@test("callee-ends")
def callee_ends(t):
    """The carrier hangs up first; the record says so"""
    number = t.world.number("+4930")
    # As callee SIPp has To and From the other way round: it takes them from the INVITE it kept.
    text = scenario(
        "ends", '<recv request="INVITE" rrs="true"><action>'
        '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>'
        '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/></action></recv>\n',
        reply(180, "Ringing", tag=True), reply(200, "OK", tag=True, body=sdp(), retrans=500), recv("ACK"),
        pause(500),
        send("BYE [next_url] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"
             "From:[$to];tag=[pid]B[call_number]\nTo:[$from]\n[last_Call-ID:]\nCSeq: 1 BYE\n"
             "Max-Forwards: 70\n\n", retrans=500),
        recv(200))
    north = carrier(t, "north", text)
    pbx = from_pbx(t, uac(hold_ms=0, bye=False), number)
    north.wait()
    pbx.wait()
    check(t.world.record(number), releasedBy="callee", cause="normal-clearing", status=200)


@test("busy")
def busy(t):
    """486 from the carrier reaches the caller, and only the ACK of its own transaction goes back"""
    number = t.world.number("+4930")
    north = carrier(t, "north", uas_refuses(486, "Busy Here"))
    from_pbx(t, uac_refused(486), number).wait()
    north.wait()
    check(t.world.record(number), state="ended", status=486, cause="busy")


@test("failures-of-our-own")
def failures_of_our_own(t):
    """What a carrier objects to in our INVITE is nothing that the caller said, and is told without what it would need"""
    wrong = []
    # Each has to name what is wrong in a header of its own: RFC 3261 §21.4.15 to §21.4.17, RFC 4028 §6, RFC 3329 §2.3.
    for status, needed in ((420, "unsupported"), (421, "require"), (422, "min-se"), (423, "min-expires"),
                           (494, "security-server")):
        pair = Pair(t, t.world.number("+4938"))
        pair.caller.dial(f"sip:{pair.number}@{t.world.domain}", audio_line(free_port()))
        invite = pair.callee.asked()
        pair.callee.reply(invite, status, "No")
        final = pair.caller.outcome()
        pair.callee.acknowledged(invite)
        if final.status == status:
            wrong.append(f"{status} {'with' if final.get(needed) else 'without'} {needed}")
        pair.caller.agent.close()
        pair.callee.agent.close()
    expect(not wrong, f"the caller got {', '.join(wrong)}")


@test("cancel")
def cancel(t):
    """The caller gives up while it rings: CANCEL on the second leg, 487 on the first"""
    number = t.world.number("+4930")
    north = carrier(t, "north", uas_until_cancel())
    from_pbx(t, uac_cancels(), number).wait()
    north.wait()
    expect("CANCEL" in seen_methods(north), f"the carrier saw {seen_methods(north)}")
    check(t.world.record(number), state="ended", status=487, cause="cancelled", releasedBy="caller")


@test("no-answer")
def no_answer(t):
    """Nobody answers within the hop's time: CANCEL on the second leg, a failure on the first"""
    east = carrier(t, "east", uas_until_cancel())
    before = len(t.world.records("+4940104"))
    began = time.monotonic()
    agent_port = t.world.ports["pbx"]
    agent = t.agent(user="pbx", port=agent_port)
    answer, _ = agent.exchange("INVITE", f"sip:+4940104@{t.world.domain}", body=agent.sdp(free_port()), seconds=10)
    took = time.monotonic() - began
    expect(answer.status in (408, 480), f"the caller got {answer.start}")
    expect(2.5 < took < 5, f"the hop's 3 s took {took:.1f} s")
    east.wait()
    expect("CANCEL" in seen_methods(east), f"the carrier saw {seen_methods(east)}")
    # The caller hears of the end before the media plane has told its last counters and the record is closed.
    record = wait_until(
        lambda: next((r for r in t.world.records("+4940104")[:-before or None] if r["state"] == "ended"), None),
        5, "the closed record")
    check(record, cause="no-answer")


def failover(t, prefix, first_cause, first=None, limit=5.0):
    number = t.world.number(prefix)
    south = carrier(t, "south", uas())
    began = time.monotonic()
    pbx = from_pbx(t, uac(hold_ms=300), number)
    pbx.wait()
    south.wait()
    if first:
        first.wait()
    record = t.world.record(number)
    check(record, state="ended", status=200, to="trunk:south")
    causes = [attempt.get("cause") for attempt in record["attempts"]]
    expect(len(causes) == 2 and causes[0] == first_cause, f"attempts: {record['attempts']}")
    took = time.monotonic() - began
    expect(took < limit, f"it took {took:.1f} s")
    t.remark = f"{took:.1f} s with the call"


@test("failover-503")
def failover_503(t):
    """The first carrier says 503, the second takes the call"""
    failover(t, "+4932", "carrier-unavailable", carrier(t, "refusing", uas_refuses(503, "No", ring=False)), 3)


@test("failover-refused")
def failover_refused(t):
    """The first carrier's port is closed (ICMP), the second takes the call at once"""
    failover(t, "+4933", "transport-failed", limit=3)


@test("failover-silent")
def failover_silent(t):
    """The first carrier says nothing: the second is tried after the route's time, the late answer is ended"""
    world = t.world
    silent = t.agent(user="silent", port=world.ports["silent"])
    failover(t, "+4931", "carrier-timeout", limit=6)
    invite = silent.expect_request("INVITE")
    # The abandoned INVITE is answered now: it must be acknowledged and ended, never spoken to.
    tag = token()
    answer = silent.answer_to(invite, 200, "OK", tag, body=silent.sdp(free_port()))
    silent.socket.sendto(answer, invite.source)
    silent.expect_request("ACK")
    bye = silent.expect_request("BYE")
    silent.socket.sendto(silent.answer_to(bye, 200, "OK"), bye.source)


@test("digest-user")
def digest_user(t):
    """A phone without credentials is challenged, and calls with the right ones (MD5, by SIPp)"""
    number = t.world.number("+4930")
    north = carrier(t, "north", uas())
    caller = Caller(domain=t.world.domain, user="alice")
    pbx = t.caller("alice", uac(caller=caller, digest=401), remote=t.world.sip, service=number,
                   user="alice", password=t.world.users["alice"]["password"])
    pbx.wait()
    north.wait()
    record = t.world.record(number)
    check(record, state="ended", to="trunk:north")
    expect("user:alice" in record["from"], f"from {record['from']}")


@test("wrong-password")
def wrong_password(t):
    """A wrong password is refused, and the carrier never hears of the call"""
    number = t.world.number("+4938")
    east = t.agent(user="east", port=t.world.ports["east"])
    mallory = t.agent(user="alice", password="guess")
    answer, _ = mallory.exchange("INVITE", f"sip:{number}@{t.world.domain}", body=mallory.sdp(free_port()))
    expect(answer.status in (401, 403, 407), f"the caller got {answer.start}")
    expect(east.receive(0.7) is None, "the carrier got a message")


@test("digest-sha-256")
def digest_sha256(t):
    """Where the tenant wants it SHA-256 is offered first, and a phone registers and calls with it (RFC 8760)"""
    world = t.world
    phone = t.agent(user="max", password="secret-max", domain=world.modern_domain)
    nobody = t.agent(user="max", domain=world.modern_domain)
    # As large as a phone's is: to less of somebody who is not known only the first is offered.
    answer, _ = nobody.exchange("REGISTER", f"sip:{world.modern_domain}", (
        "Expires: 60", "User-Agent: Phone/1.0", "Supported: replaces, outbound, path, gruu",
        "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, MESSAGE, SUBSCRIBE, INFO, UPDATE"))
    asked = [name for name, _ in challenges(answer)]
    expect(asked == ["SHA-256", "MD5"], f"the challenges are {asked}")
    for algorithm in ("SHA-256", "MD5"):
        answer = phone.register(algorithm=algorithm)
        expect(answer.status == 200, f"REGISTER with {algorithm} got {answer.start}")
    answer, dialog = phone.exchange(
        "INVITE", f"sip:9001@{world.modern_domain}", body=phone.sdp(free_port()), algorithm="SHA-256")
    expect(answer.status == 200, f"INVITE got {answer.start}")
    expect(dialog.bye().status == 200, "BYE was not answered with 200")
    answer = phone.register(expires=0, algorithm="SHA-256")
    expect(answer.status == 200, f"the last REGISTER got {answer.start}")


@test("nonce-replay")
def nonce_replay(t):
    """The same credentials sent again are not accepted a second time"""
    phone = t.agent(user="bob", password=t.world.users["bob"]["password"])
    uri = f"sip:{t.world.domain}"
    call_id, tag = token(), token()
    to = f"<sip:bob@{t.world.domain}>"
    phone.send(phone.request("REGISTER", uri, call_id, 1, tag, to))
    offered = challenges(phone.final(call_id, "REGISTER"))
    value = "Authorization: " + digest(offered[0], "REGISTER", uri, phone.user, phone.password)
    phone.send(phone.request("REGISTER", uri, call_id, 2, tag, to, (value,)))
    expect(phone.final(call_id, "REGISTER").status == 200, "the right answer was refused")
    other = token()
    phone.send(phone.request("REGISTER", uri, other, 3, tag, to, (value,)))
    answer = phone.final(other, "REGISTER")
    expect(answer.status in (401, 403), f"the repeated credentials got {answer.start}")


@test("pbx-digest")
def pbx_digest(t):
    """A trunk that must authenticate is challenged although its address is known"""
    number = t.world.number("+4930")
    north = carrier(t, "north", uas())
    caller = Caller(domain=t.world.domain, user="pbx")
    pbx = from_pbx(t, uac(caller=caller, digest=401), number, trunk="pbx-digest", user="pbx",
                   password="pbx-secret")
    pbx.wait()
    north.wait()
    check(t.world.record(number), state="ended", **{"from": "trunk:pbx-digest"})


@test("digest-to-carrier")
def digest_to_carrier(t):
    """A carrier's challenge is answered with the trunk's credentials, MD5 and SHA-256"""
    world = t.world
    east = t.agent(user="carrier", port=world.ports["wants-digest"])
    for algorithm in ("MD5", "SHA-256"):
        number = world.number("+4936")
        pbx = from_pbx(t, uac(hold_ms=100), number, name=f"pbx-{algorithm}")
        first = east.expect_request("INVITE")
        nonce = token()
        challenge = f'Proxy-Authenticate: Digest realm="carrier", nonce="{nonce}", qop="auth", algorithm={algorithm}'
        east.socket.sendto(east.answer_to(first, 407, "Who", token(), (challenge,)), first.source)
        second = east.wait(lambda m: m.method == "INVITE" and m.get("proxy-authorization"), 5, "the answer")
        given = dict((name, quoted or plain) for name, quoted, plain in re.findall(
            r'(\w+)=(?:"([^"]*)"|([^",\s]+))', second.get("proxy-authorization")))
        right = digest(
            (algorithm, {"realm": "carrier", "nonce": nonce, "qop": "auth"}), "INVITE", given["uri"], "demarc",
            "carrier-secret", int(given["nc"], 16), given["cnonce"])
        expect(f'response="{given["response"]}"' in right, f"{algorithm}: wrong response {given}")
        east.socket.sendto(
            east.answer_to(second, 200, "OK", token(), body=east.sdp(free_port())), second.source)
        east.wait(lambda m: m.method == "ACK" and "INVITE" not in m.get("cseq") and
                  m.get("cseq").split()[0] == second.get("cseq").split()[0], 5, "ACK of the answer")
        bye = east.expect_request("BYE")
        east.socket.sendto(east.answer_to(bye, 200, "OK"), bye.source)
        pbx.wait()


@test("retransmission", 40)
def retransmission(t):
    """Lost INVITE, lost 200 and lost ACK on both legs: one call, one record"""
    world = t.world
    number = world.number("+4938")
    east = t.agent(user="east", port=world.ports["east"])
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    uri, call_id, tag, branch = f"sip:{number}@{world.domain}", token(), token(), "z9hG4bK" + token()
    invite = pbx.request("INVITE", uri, call_id, 1, tag, body=pbx.sdp(free_port()), branch=branch)
    for _ in range(3):
        pbx.send(invite)
    first = east.expect_request("INVITE")
    # The first INVITE is "lost"; its retransmission is the same transaction.
    again = east.expect_request("INVITE", 3)
    expect(again.get("via") == first.get("via"), "a retransmitted INVITE has another branch")
    answer = east.answer_to(again, 200, "OK", token(), body=east.sdp(free_port()))
    east.socket.sendto(answer, again.source)
    east.expect_request("ACK")
    # That ACK is "lost": each repetition of the 200 must be acknowledged again.
    for _ in range(2):
        east.socket.sendto(answer, again.source)
        east.expect_request("ACK")
    # The caller does not acknowledge: its 200 must be repeated.
    def ok(message):
        return message.status == 200 and message.cseq_method == "INVITE"
    final = pbx.wait(ok, 5, "200")
    repeated = pbx.wait(ok, 5, "a repeated 200")
    expect(repeated.data == final.data, "the repeated 200 differs from the first")
    pbx.send(pbx.request("ACK", final.contact_uri(), call_id, 1, tag, final.get("to")))
    time.sleep(0.3)
    pbx.inbox.clear()
    while pbx.receive(0.01):
        pass
    expect(pbx.receive(2.5) is None, "the 200 is repeated after its ACK")
    pbx.send(pbx.request("BYE", final.contact_uri(), call_id, 2, tag, final.get("to")))
    bye = east.expect_request("BYE")
    repeat = east.expect_request("BYE", 3)
    expect(repeat.get("cseq") == bye.get("cseq"), "the BYE is not repeated")
    east.socket.sendto(east.answer_to(repeat, 200, "OK"), repeat.source)
    expect(pbx.final(call_id, "BYE").status == 200, "the BYE was not answered")
    invites = [m for m in east.inbox if m.method == "INVITE" and m.get("via") != first.get("via")]
    expect(not invites, "the repeated INVITE made a second call")
    check(world.record(number), state="ended", status=200)


@test("late-ack")
def late_ack(t):
    """An ACK that comes four seconds late still makes a call"""
    world = t.world
    number = world.number("+4930")
    north = carrier(t, "north", uas())
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    uri, call_id, tag = f"sip:{number}@{world.domain}", token(), token()
    pbx.send(pbx.request("INVITE", uri, call_id, 1, tag, body=pbx.sdp(free_port())))
    final = pbx.final(call_id, "INVITE")
    expect(final.status == 200, f"the caller got {final.start}")
    time.sleep(4)
    pbx.send(pbx.request("ACK", final.contact_uri(), call_id, 1, tag, final.get("to")))
    world.live(number)
    pbx.send(pbx.request("BYE", final.contact_uri(), call_id, 2, tag, final.get("to")))
    expect(pbx.final(call_id, "BYE").status == 200, "the BYE was not answered")
    north.wait()
    check(world.record(number), state="ended", cause="normal-clearing")


@test("early-media")
def early_media(t):
    """183 with SDP: the caller hears before the answer, and a second early dialog does no harm"""
    world = t.world
    number = world.number("+4938")
    east = t.agent(user="east", port=world.ports["east"])
    speaker = Endpoint(free_port())
    listener = Endpoint(free_port())
    t.defer(speaker.close)
    t.defer(listener.close)
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    uri, call_id, tag = f"sip:{number}@{world.domain}", token(), token()
    pbx.send(pbx.request(
        "INVITE", uri, call_id, 1, tag, body=pbx.sdp(listener.socket.getsockname()[1])))
    invite = east.expect_request("INVITE")
    early = east.sdp(speaker.socket.getsockname()[1])
    mine = token()
    east.socket.sendto(east.answer_to(invite, 180, "Ringing", token()), invite.source)
    east.socket.sendto(east.answer_to(invite, 183, "Progress", mine, body=early), invite.source)
    heard_of = pbx.wait(lambda m: m.status == 183, 5, "183")
    expect(b"m=audio" in heard_of.body, "183 without SDP")
    ours = re.search(rb"m=audio (\d+)", invite.body)
    words = audio.speech("The number you have dialled is ringing.")
    speaker.speak(words, ("127.0.0.1", int(ours.group(1)))).join()
    east.socket.sendto(east.answer_to(invite, 200, "OK", mine, body=early), invite.source)
    final = pbx.final(call_id, "INVITE")
    expect(final.status == 200, f"the caller got {final.start}")
    pbx.send(pbx.request("ACK", final.contact_uri(), call_id, 1, tag, final.get("to")))
    east.expect_request("ACK")
    pbx.send(pbx.request("BYE", final.contact_uri(), call_id, 2, tag, final.get("to")))
    bye = east.expect_request("BYE")
    east.socket.sendto(east.answer_to(bye, 200, "OK"), bye.source)
    t.remark = str(audio.check_likeness("early media", words, listener.heard()))


@test("ipv6")
def ipv6(t):
    """The same call on ::1, signalling and media"""
    if not has_ipv6():
        t.remark = "no IPv6 on this machine"
        return
    world = t.world
    number = world.number("+4937")
    endpoint = Endpoint(free_port(), address="::1")
    t.defer(endpoint.close)
    six = t.callee("six", uas(), port=world.ports["six"], address="::1", extra=["-rtp_echo"])
    pbx = t.caller(
        "pbx-six", uac(hold_ms=3500, body=sdp(port=endpoint.socket.getsockname()[1])),
        port=world.ports["pbx-six"], address="::1", remote=f"[::1]:{world.port}", service=number)
    wait_until(lambda: "m=audio" in "".join(pbx.received()), 5, "the answer")
    answer = next(text for text in pbx.received() if "m=audio" in text)
    expect("c=IN IP6 ::1" in answer, "the answer's SDP is not IPv6")
    words = audio.speech("A large size in stockings is hard to sell.")
    endpoint.speak(words, ("::1", int(re.search(r"m=audio (\d+)", answer).group(1))))
    pbx.wait()
    six.wait()
    t.remark = str(audio.check_likeness("what came back", words, endpoint.heard()))
    check(world.record(number), state="ended", status=200)


@test("many", 60)
def many(t):
    """200 calls at 50 a second through one carrier: each has its record"""
    world = t.world
    number = world.number("+4930")
    north = carrier(t, "north", uas(ring_ms=20), calls=200, messages=False)
    pbx = from_pbx(t, uac(hold_ms=300), number, calls=200, rate=50, messages=False)
    pbx.wait(40)
    north.wait(10)
    expect(pbx.count("SuccessfulCall(C)") == 200, f"{pbx.count('SuccessfulCall(C)')} of 200 calls succeeded")
    wait_until(
        lambda: len([r for r in world.records(number) if r["state"] == "ended"]) == 200, 10, "200 records", 0.5)


@test("ringing-then-answer", 60)
def ringing_then_answer(t):
    """180 and 200 sent back to back leave in that order, 1 000 times of 1 000 (`make order`: 10 000)"""
    folder = t.folder / "office"
    folder.mkdir()
    # Two pairs a call, none of which comes back within the five seconds that they rest.
    world = World(folder, t.program, media_pairs=1050, media_addresses=("127.0.0.1", "127.0.0.2"))
    t.defer(world.close)
    world.demarc.ipv6 = False
    world.start()
    wait_until(lambda: world.demarc.metrics()['demarc_media_ports{state="free"}'] >= 2000, 20, "free ports", 0.2)
    found = back_to_back(
        world.address, world.domain, world.ports["pbx"], world.ports["east"], world.number("+4938"), 1000, 200)
    expect(found.perfect(), str(found))
    t.remark = str(found)
