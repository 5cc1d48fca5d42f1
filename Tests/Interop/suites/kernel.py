"""Speech that the kernel relays, in a namespace of the test's own: a whole call by a real process, what is left of it when
the process is killed, and a process that may not. Skipped where namespaces are not permitted; CI runs as root."""

import json
import re
import struct
import time

from harness import audio, namespaces
from harness.agent import token
from harness.case import test
from harness.namespaces import command
from harness.ports import free_port
from harness.process import expect, run
from harness.rtp import Endpoint
from harness.world import World

from .fax import NOTE, closed, spoken_call, there_and_back
from .sip import check

FILTER = re.compile(r"demarc-media-[0-9a-f]+")


def office(t, mode, without=None):
    """A Demarc in a namespace where nobody else is."""
    namespaces.require("ip", "tc", "setpriv")
    space = namespaces.make("kernel")
    t.defer(lambda: namespaces.remove(space))
    folder = t.folder / mode
    folder.mkdir()
    world = World(folder, t.program, media_pairs=20, namespace=space)
    world.demarc.ipv6 = False
    world.demarc.settings = {"mediaFastPath": mode}
    if without:
        # A shell in between, since the command line of the process is the harness's.
        wrapper = folder / "demarc"
        wrapper.write_text(
            f"#!/bin/sh\nexec setpriv --bounding-set={without} --inh-caps={without} "
            f"{world.demarc.program} \"$@\"\n")
        wrapper.chmod(0o755)
        world.demarc.launcher = str(wrapper)
    t.defer(world.close)
    return world.start(), space


def filters(space):
    """The names of our filters at the namespace's loopback."""
    return FILTER.findall(command("tc", "-n", space, "filter", "show", "dev", "lo", "ingress"))


class Call:
    """A PBX's call to a carrier, both being agents here, and an RTP endpoint for each."""

    def __init__(self, t, world, space):
        self.world = world
        self.number = world.number("+4930")
        self.pbx, self.north = (
            t.agent(world=world, user=name, port=world.ports[name], namespace=space) for name in ("pbx", "north"))
        self.near, self.far = (Endpoint(free_port(), namespace=space) for _ in range(2))
        t.defer(self.near.close)
        t.defer(self.far.close)
        body = self.pbx.sdp(self.near.socket.getsockname()[1])
        self.call_id, self.tag = token(), token()
        uri = f"sip:{self.number}@{world.domain}"
        self.pbx.send(self.pbx.request("INVITE", uri, self.call_id, 1, self.tag, body=body))
        invite = self.north.expect_request("INVITE")
        answer = self.north.sdp(self.far.socket.getsockname()[1])
        self.north.send(self.north.answer_to(invite, 200, "OK", token(), body=answer))
        self.final = self.pbx.final(self.call_id, "INVITE")
        expect(self.final.status == 200, f"the caller got {self.final.start}")
        self.pbx.send(self.pbx.request(
            "ACK", self.final.contact_uri(), self.call_id, 1, self.tag, self.final.get("to")))
        self.north.expect_request("ACK")
        self.far_side, self.near_side = (
            ("127.0.0.1", int(re.search(rb"m=audio (\d+)", message.body).group(1)))
            for message in (invite, self.final))

    def bye(self):
        self.pbx.send(self.pbx.request(
            "BYE", self.final.contact_uri(), self.call_id, 2, self.tag, self.final.get("to")))
        bye = self.north.expect_request("BYE")
        self.north.send(self.north.answer_to(bye, 200, "OK"))
        expect(self.pbx.final(self.call_id, "BYE").status == 200, "the BYE was not answered")


def by_kernel(world):
    return world.demarc.metrics()["demarc_media_kernel_packets_total"]


def talk(call):
    """Both speak at once; what each heard."""
    words, other = audio.speech("The birch canoe slid on."), audio.speech("Four hours of steady work.")
    threads = [call.near.speak(words, call.near_side), call.far.speak(other, call.far_side)]
    for thread in threads:
        thread.join()
    time.sleep(0.2)
    return (audio.check_likeness("the carrier heard", words, call.far.heard()),
            audio.check_likeness("the PBX heard", other, call.near.heard()))


@test("kernel-relay", 40)
def kernel_relay(t):
    """A call whose speech the kernel relays: heard, counted in its record, and ended with it"""
    world, space = office(t, "auto")
    expect(world.demarc.metrics()['demarc_media_fast_path{state="on"}'] == 1, "the kernel does not relay")
    call = Call(t, world, space)
    likeness = talk(call)
    relayed = by_kernel(world)
    sent = call.near.sent + call.far.sent
    expect(relayed > 0.8 * sent, f"{relayed:.0f} of {sent} packets by the kernel")
    expect(world.demarc.metrics()["demarc_media_kernel_flows"] == 2, "two flows are in the kernel")
    call.bye()
    record = world.record(call.number)
    check(record, state="ended", cause="normal-clearing")
    there, back = record["quality"]["fromCaller"], record["quality"]["fromCallee"]
    for side, endpoint in ((there, call.near), (back, call.far)):
        expect(side["packets"] == endpoint.sent and side["lost"] == 0, f"{endpoint.sent} were sent: {side}")
        expect(side["mos"] >= 4, f"MOS on loopback: {side}")
    expect(world.demarc.metrics()["demarc_media_kernel_flows"] == 0, "a flow stays in the kernel")
    t.remark = f"{relayed:.0f} of {sent} packets by the kernel; {likeness[0]}"


def still_relayed(call):
    """Whether a packet of the PBX comes out at the carrier."""
    before = len(call.far.packets)
    for number in range(20):
        packet = struct.pack("!BBHII", 0x80, 0, number, number * 160, 7) + bytes(160)
        call.near.socket.sendto(packet, call.near_side)
        time.sleep(0.01)
    return len(call.far.packets) > before


@test("kernel-fax", 60)
def kernel_fax(t):
    """A call of the kernel's becomes a fax and a call again: the kernel lets go of it, and takes it back"""
    world, space = office(t, "auto")
    pair, one, other = spoken_call(t, "north", world, space)
    flows = [world.demarc.metrics()["demarc_media_kernel_flows"]]

    def while_it_runs():
        time.sleep(0.5)
        flows.append(world.demarc.metrics()["demarc_media_kernel_flows"])
    t.remark = there_and_back(t, pair, one, other, space, while_it_runs)
    flows.append(world.demarc.metrics()["demarc_media_kernel_flows"])
    expect(flows == [2, 0, 2], f"flows in the kernel before, in and after the fax: {flows}")
    closed(pair.hang_up(), NOTE)


@test("kernel-killed", 60)
def kernel_killed(t):
    """SIGKILL in a call: nothing relays any more; a filter of the older kind is cleaned up by the next start"""
    for mode in ("auto", "filter"):
        world, space = office(t, mode)
        call = Call(t, world, space)
        talk(call)
        expect(by_kernel(world) > 20, "the kernel did not relay")
        expect(len(filters(space)) == (mode == "filter"), f"filters: {filters(space)}")
        stale = filters(space)
        world.demarc.kill()
        expect(not still_relayed(call), f"{mode}: speech passes without the process")
        expect(filters(space) == stale, "a filter outlives its process")
        world.demarc.start()
        fresh = filters(space)
        expect(len(fresh) == len(stale) and not set(fresh) & set(stale), f"{stale}, and then {fresh}")
        # It is up again, and would be drained at the end.
        call.bye()
        call.pbx.close()
        call.north.close()
        after = Call(t, world, space)
        talk(after)
        expect(by_kernel(world) > 20, "the kernel does not relay after the start")
        after.bye()
        world.demarc.stop()
        expect(not filters(space), f"filters after the end: {filters(space)}")
        namespaces.remove(space)


@test("kernel-not-permitted", 40)
def kernel_not_permitted(t):
    """Without CAP_BPF: said once with the remedy, explained by the doctor, and calls work in user space"""
    world, space = office(t, "auto", without="-bpf,-sys_admin")
    call = Call(t, world, space)
    talk(call)
    call.bye()
    metrics = world.demarc.metrics()
    expect(metrics['demarc_media_fast_path{state="not-permitted"}'] == 1, "the metrics do not say why")
    expect(metrics["demarc_media_kernel_packets_total"] == 0, "the kernel relayed")
    said = [line for line in world.demarc.process.text().splitlines() if "user space" in line]
    expect(len(said) == 1 and "CAP_BPF" in said[0] and "doctor" in said[0], f"the log says {said}")
    code, output = run(
        [world.demarc.launcher, "doctor", "--config", world.demarc.folder / "demarc.yaml", "-o", "json"], 10)
    findings = {found["check"]: found for found in json.loads(output)}
    expect("CAP_BPF" in findings["media in the kernel"]["finding"], f"the doctor says {output}")
    expect(code == 0, f"advice alone ends with {code}")
