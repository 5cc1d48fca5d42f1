"""Packets are marked for the network: media as EF, signalling as CS3, or as the settings say (RFC 2474, RFC 4594)."""

import os
import re
import time

from harness import audio
from harness.case import test
from harness.marks import Capture
from harness.ports import free_port, has_ipv6
from harness.process import Skipped, expect, wait_until
from harness.rtp import Endpoint
from harness.stream import Connection
from harness.world import World

from .kernel import Call, by_kernel, office, talk

EF, CS3 = 46, 24


def capture(t, interface="lo", namespace=None):
    if os.geteuid() != 0:
        raise Skipped("packets are captured by root alone")
    found = Capture(interface, namespace)
    t.defer(found.close)
    return found


def only(seen, dscp, what, at_least=1):
    expect(set(seen) == {dscp} and seen[dscp] >= at_least, f"{what} left with {seen}, not with {dscp}")


def speak_to_echo(t, world, name, address):
    """A PBX's call to the echo, for a second; our port for its media."""
    pbx = t.agent(world=world, user=name, port=world.ports[name], server=(address, world.port), address=address)
    media = Endpoint(free_port(), address=address)
    t.defer(media.close)
    body = pbx.sdp(media.socket.getsockname()[1])
    answer, dialog = pbx.exchange("INVITE", f"sip:+4940103@{world.domain}", body=body)
    expect(answer.status == 200, f"the caller got {answer.start}")
    port = int(re.search(rb"m=audio (\d+)", answer.body).group(1))
    media.speak(audio.silence(1.5), (address, port)).join()
    # Its first report is due within half of five seconds, and half of that.
    time.sleep(2.5)
    dialog.bye()
    return port


@test("user-space", 40)
def user_space(t):
    """Media and signalling that leave the process's own sockets, by IPv4"""
    world, seen = t.world, capture(t)
    port = speak_to_echo(t, world, "pbx", "127.0.0.1")
    only(seen.of(4, "udp", port), EF, "RTP", 50)
    only(seen.of(4, "udp", port + 1), EF, "RTCP")
    only(seen.of(4, "udp", world.port), CS3, "SIP by UDP", 2)


@test("six", 40)
def six(t):
    """The same by IPv6"""
    if not has_ipv6():
        raise Skipped("no IPv6 on this machine")
    world, seen = t.world, capture(t)
    port = speak_to_echo(t, world, "pbx-six", "::1")
    only(seen.of(6, "udp", port), EF, "RTP", 50)
    only(seen.of(6, "udp", port + 1), EF, "RTCP")
    only(seen.of(6, "udp", world.port), CS3, "SIP by UDP", 2)


@test("settings", 40)
def settings(t):
    """Other marks by dscp.media and dscp.signalling, those of TCP among them; 0 is none"""
    world = World(t.folder, t.program, media_pairs=20)
    world.demarc.ipv6 = False
    world.demarc.settings["dscp"] = {"media": 34, "signalling": 40}
    plain = world.demarc.configuration
    tcp = free_port()

    def configuration():
        document = plain()
        document["listeners"].append({"name": "tcp", "transport": "tcp", "address": "127.0.0.1", "port": tcp})
        return document
    world.demarc.configuration = configuration
    networks = world.networks

    def with_tcp():
        found = networks()
        found[0]["listeners"].append("tcp")
        return found
    world.networks = with_tcp
    t.defer(world.close)
    world.start()
    seen = capture(t)
    port = speak_to_echo(t, world, "pbx", "127.0.0.1")
    only(seen.of(4, "udp", port), 34, "RTP", 50)
    only(seen.of(4, "udp", world.port), 40, "SIP by UDP", 2)
    connection = Connection(("127.0.0.1", tcp))
    t.defer(connection.close)
    connection.send(b"\r\n\r\n")
    wait_until(lambda: sum(seen.of(4, "tcp", tcp).values()) >= 2, 5, "something by TCP")
    # The kernel's own handshake may come before the marks of the connection do.
    marks = seen.of(4, "tcp", tcp)
    expect(marks.get(40, 0) >= 1 and set(marks) <= {0, 40}, f"SIP by TCP left with {marks}")


@test("kernel", 40)
def kernel(t):
    """Media that the kernel relays has the same mark"""
    world, space = office(t, "auto")
    expect(world.demarc.metrics()['demarc_media_fast_path{state="on"}'] == 1, "the kernel does not relay")
    seen = capture(t, "lo", space)
    call = Call(t, world, space)
    talk(call)
    relayed = by_kernel(world)
    call.bye()
    for side in (call.near_side, call.far_side):
        only(seen.of(4, "udp", side[1]), EF, "RTP", 50)
    expect(relayed > 50, f"{relayed:.0f} packets by the kernel")
    t.remark = f"{relayed:.0f} packets by the kernel"
