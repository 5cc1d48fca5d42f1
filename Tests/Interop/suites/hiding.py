"""Nothing of one side is visible on the other."""

import os
import re
import socket
import struct

from harness.agent import token
from harness.case import test
from harness.ports import free_port
from harness.process import expect
from harness.sipp import Caller, sdp, uac, uas

from .sip import carrier, from_pbx

SECRETS = {
    "display": "CanaryDisplay", "agent": "CanaryAgent/1", "call": "canarycall", "origin": "canaryorigin",
    "session": "canarysession", "header": "canaryheader", "route": "canaryroute",
}


@test("canaries")
def canaries(t):
    """Tokens planted in one leg's headers and SDP never appear on the other, either way"""
    world = t.world
    number = world.number("+4930")
    callee = {name: "callee-" + value for name, value in SECRETS.items()}
    caller_extra = f"X-Canary: {SECRETS['header']}\nSubject: {SECRETS['header']}\nOrganization: {SECRETS['route']}\n"
    callee_extra = f"X-Canary: {callee['header']}\nServer: {callee['agent']}\nOrganization: {callee['route']}\n"
    ports = {"caller media": free_port(), "callee media": free_port()}
    north = carrier(t, "north", uas(
        body=sdp(port=ports["callee media"], origin=callee["origin"], session=callee["session"]),
        extra=callee_extra))
    speaker = Caller(domain=world.domain, user="pbx", agent=SECRETS["agent"],
                     call_id=f"{SECRETS['call']}///[call_id]")
    pbx = from_pbx(t, uac(
        caller=speaker, extra=caller_extra,
        body=sdp(port=ports["caller media"], origin=SECRETS["origin"], session=SECRETS["session"])), number)
    pbx.wait()
    north.wait()
    at_callee, at_caller = "\n".join(north.received()), "\n".join(pbx.received())
    expect("INVITE" in at_callee and "200 OK" in at_caller, "no messages were traced")
    hidden_from_callee = [*SECRETS.values(), f":{pbx.port}", f" {ports['caller media']} ",
                          f"{pbx.process.pid}A"]
    hidden_from_caller = [*callee.values(), f":{north.port}", f" {ports['callee media']} ",
                          f"{north.process.pid}B"]
    leaked = [word for word in hidden_from_callee if word.lower() in at_callee.lower()]
    # The caller's own Call-ID and tag rightly come back to it.
    leaked += [word for word in hidden_from_caller if word.lower() in at_caller.lower()]
    expect(not leaked, f"seen on the other side: {leaked}")


@test("display-name")
def display_name(t):
    """What the caller writes beside its number does not cross either"""
    world = t.world
    number = world.number("+4930")
    north = carrier(t, "north", uas())
    speaker = Caller(domain=world.domain, user="pbx", display=SECRETS["display"])
    from_pbx(t, uac(caller=speaker), number).wait()
    north.wait()
    expect(SECRETS["display"] not in "".join(north.received()), "the display name crossed")


@test("rtcp")
def rtcp(t):
    """RTCP passes, but not the name that its SDES carries (a phone writes user@host there)"""
    world = t.world
    number = world.number("+4938")
    east = t.agent(user="east", port=world.ports["east"])
    pbx = t.agent(user="pbx", port=world.ports["pbx"])
    ends = {}
    for name in ("caller", "callee"):
        port = free_port()
        for kind, offset in (("rtp", 0), ("rtcp", 1)):
            ends[name, kind] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ends[name, kind].bind(("127.0.0.1", port + offset))
            ends[name, kind].settimeout(3)
            t.defer(ends[name, kind].close)
    uri, call_id, tag = f"sip:{number}@{world.domain}", token(), token()
    pbx.send(pbx.request(
        "INVITE", uri, call_id, 1, tag, body=pbx.sdp(ends["caller", "rtp"].getsockname()[1])))
    invite = east.expect_request("INVITE")
    east.socket.sendto(
        east.answer_to(invite, 200, "OK", token(), body=east.sdp(ends["callee", "rtp"].getsockname()[1])),
        invite.source)
    final = pbx.final(call_id, "INVITE")
    pbx.send(pbx.request("ACK", final.contact_uri(), call_id, 1, tag, final.get("to")))
    east.expect_request("ACK")
    to = {
        "caller": int(re.search(rb"m=audio (\d+)", final.body).group(1)),
        "callee": int(re.search(rb"m=audio (\d+)", invite.body).group(1)),
    }
    for name, other in (("caller", "callee"), ("callee", "caller")):
        canary = f"canary-{name}@10.9.8.7".encode()
        ssrc = os.urandom(4)
        for sequence in range(5):
            ends[name, "rtp"].sendto(
                struct.pack("!BBHI", 0x80, 0, sequence, sequence * 160) + ssrc + b"\xff" * 160,
                ("127.0.0.1", to[name]))
        item = b"\x01" + bytes([len(canary)]) + canary
        chunk = ssrc + item + bytes(4 - len(item) % 4)
        report = struct.pack("!BBH", 0x80, 200, 6) + ssrc + os.urandom(8) + struct.pack("!III", 800, 5, 800)
        names = struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk
        ends[name, "rtcp"].sendto(report + names, ("127.0.0.1", to[name] + 1))
        ends[other, "rtp"].recv(2048)
        passed = ends[other, "rtcp"].recv(2048)
        expect(passed[1] in (200, 201), "what passed is no report")
        expect(canary not in passed and b"10.9.8.7" not in passed, f"the {name}'s CNAME passed: {passed!r}")
    pbx.send(pbx.request("BYE", final.contact_uri(), call_id, 2, tag, final.get("to")))
    bye = east.expect_request("BYE")
    east.socket.sendto(east.answer_to(bye, 200, "OK"), bye.source)
