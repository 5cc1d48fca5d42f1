"""Nothing of one side is visible on the other."""

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
