"""A PBX that registers for its trunk: SIPp with a number block (RFC 6140) and with one contact; phones with flows."""

from harness.case import test
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.sipp import recv, scenario, send, uac, uas
from harness.stun import mapped_address
from harness.world import World

NUMBERS = ["+4930777101", "+4930777102", "+4930777199"]


def pbx_world(t):
    """A Demarc of its own whose trunk `branch` has no address: its PBX registers."""
    world = World(t.folder, t.program, 40)
    t.defer(world.close)
    world.demarc.start()
    document = world.resources()
    document["trunks"].append({
        "name": "branch", "tenant": "test", "kind": "pbx", "network": "loopback",
        "authentication": {"username": "branch", "password": "branch-secret"}})
    document["numbers"] += [
        {"number": number, "tenant": "test", "destinations": [{"trunk": "branch"}]} for number in NUMBERS]
    world.demarc.apply(document)
    return world


def register(t, world, port, contact, extra="", code=200, name="register"):
    """One REGISTER of SIPp with its challenge answered."""
    def request(sequence, more):
        return send(
            f"REGISTER sip:{world.domain} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"
            f"From: <sip:branch@{world.domain}>;tag=[pid]R\nTo: <sip:branch@{world.domain}>\n"
            f"Call-ID: [call_id]\nCSeq: {sequence} REGISTER\nMax-Forwards: 70\nContact: {contact}\n"
            f"Expires: 600\n{extra}{more}\n\n", retrans=500)
    text = scenario("register", request(1, ""), recv(401, auth="true"), request(2, "[authentication]\n"), recv(code))
    sipp = t.caller(name, text, port=port, remote=world.sip, user="branch", password="branch-secret")
    sipp.wait()
    return sipp


GIN = "Require: gin\nProxy-Require: gin\nSupported: path\n"


@test("number-block", 60)
def number_block(t):
    """SIPp registers a block; every number of it reaches the PBX with the number put in"""
    world = pbx_world(t)
    port = free_port()
    refused = t.agent(world=world, user="north", port=world.ports["north"])
    answer, _ = refused.exchange("INVITE", f"sip:{NUMBERS[0]}@{world.domain}", body=refused.sdp(31998))
    expect(answer.status == 480, f"nobody is registered, and the caller got {answer.start}")
    sipp = register(t, world, port, f"<sip:127.0.0.1:{port};bnc;k=v>", GIN)
    expect(any("bnc" in text and "200 OK" in text for text in sipp.received()), "the 200 does not list the block")
    binding = world.demarc.registrations()[0]
    expect(binding["kind"] == "trunk" and binding["numberBlock"] and binding["user"] == "branch", f"{binding}")
    for number in NUMBERS:
        pbx = t.callee(f"pbx-{number}", uas(), port=port)
        t.caller(f"call-{number}", uac(hold_ms=100), remote=world.sip, port=world.ports["pbx"],
                 service=number).wait()
        pbx.wait()
        invite = next(text for text in pbx.received() if text.startswith("INVITE"))
        expect(invite.startswith(f"INVITE sip:{number}@127.0.0.1:{port};k=v SIP/2.0"), invite.splitlines()[0])
        wait_until(
            lambda: any(r["status"] == 200 and r["state"] == "ended" and r["to"] == "trunk:branch"
                        for r in world.records(number)), 5, "the record of a call to the trunk")


@test("partial-support", 30)
def partial_support(t):
    """An option beside gin that Demarc does not know: 420 with that one"""
    world = pbx_world(t)
    agent = t.agent(world=world, user="branch", password="branch-secret")
    answer, _ = agent.exchange(
        "REGISTER", f"sip:{world.domain}", ("Require: gin, vendor", "Proxy-Require: gin", "Supported: path"),
        to=f"<sip:branch@{world.domain}>")
    expect(answer.status == 420 and answer.all("unsupported") == ["vendor"], str(answer))
    expect(not world.demarc.registrations(), "something is registered")


@test("registration-survives", 60)
def registration_survives(t):
    """A PBX registered before a kill -9 is called after the restart"""
    world = pbx_world(t)
    port = free_port()
    register(t, world, port, f"<sip:127.0.0.1:{port};bnc>", GIN)
    world.demarc.kill()
    world.demarc.start()
    binding = world.demarc.registrations()[0]
    expect(binding["kind"] == "trunk" and binding["numberBlock"], f"{binding}")
    pbx = t.callee("pbx", uas(), port=port)
    t.caller("call", uac(hold_ms=100), remote=world.sip, port=world.ports["pbx"], service=NUMBERS[0]).wait()
    pbx.wait()


@test("phone-with-flows", 40)
def phone_with_flows(t):
    """baresip with outbound: its instance and flow are known, and STUN on the SIP port shows its address"""
    world = pbx_world(t)
    account = world.users["bob"]
    phone = t.phone("bob", user="bob", password=account["password"], registrar=world.sip, domain=world.domain,
                    answer="auto", more="sipnat=outbound")
    phone.registered()
    binding = wait_until(
        lambda: next((one for one in world.demarc.registrations() if one["user"] == "bob"), None), 5, "bob")
    expect(binding.get("instance", "").startswith("urn:uuid:"), f"no instance: {binding}")
    t.remark = f"flow {binding.get('flow')}"
    t.caller("call", uac(hold_ms=300), remote=world.sip, port=world.ports["pbx"],
             service=world.extension("bob")).wait()
    phone.established()
    port, seen = mapped_address(world.address)
    expect(seen == ("127.0.0.1", port), f"STUN from port {port} says {seen}")
