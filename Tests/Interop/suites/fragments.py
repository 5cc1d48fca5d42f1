"""Messages longer than a packet: over a network of our own with an MTU of 1500, where IP cuts them, and by TCP instead.
Skipped where namespaces are not permitted."""

import socket
import time

from harness import namespaces
from harness.agent import Dialog, token
from harness.case import test
from harness.namespaces import command, inside
from harness.process import expect
from harness.stream import Connection
from harness.world import World

HERE, THERE, OTHER = "10.85.0.1", "10.85.0.2", "10.85.0.3"
# Transactions of UDP stay for what may still be under way.
CALLS = ("demarc_calls_active", 'demarc_media_ports{state="leased"}')

# Where it arrives, before anything puts it together again: the second of the parts that 1500 bytes make.
_RULES = """\
table ip demarc {
  chain in {
    type filter hook prerouting priority -500;
    ip frag-off & 0x1fff != 0 counter name parts
    ip frag-off & 0x1fff == 185 %s
  }
  counter parts { }
}
"""


class Office(World):
    """A Demarc behind a link of Ethernet's size, with a PBX at its other end and a carrier beside it."""

    def __init__(self, t, tcp=False):
        namespaces.require("ip", "nft")
        self.near, self.far = (namespaces.make(label) for label in ("near", "far"))
        for space in (self.near, self.far):
            t.defer(lambda space=space: namespaces.remove(space))
        command("ip", "link", "add", "eth", "netns", self.near, "mtu", "1500", "type", "veth", "peer", "name", "eth",
                "netns", self.far, "mtu", "1500")
        for space, addresses in ((self.near, (HERE,)), (self.far, (THERE, OTHER))):
            for address in addresses:
                command("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "eth")
            command("ip", "-n", space, "link", "set", "eth", "up")
        folder = t.folder / "office"
        folder.mkdir()
        super().__init__(folder, t.program, media_pairs=20, media_addresses=(HERE,), namespace=self.near)
        self.demarc.ipv6, self.tcp = False, tcp
        plain = self.demarc.configuration

        def configuration():
            document = plain()
            if tcp:
                document["listeners"].append(
                    {"name": "tcp", "transport": "tcp", "address": HERE, "port": self.demarc.sip_port})
            return document
        self.demarc.configuration = configuration
        for space in (self.near, self.far):
            self.lose(space, False)
        t.defer(self.close)
        self.start()

    def networks(self):
        networks = super().networks()
        networks[0]["listeners"] += ["tcp"] if self.tcp else []
        return networks

    def resources(self):
        def trunk(name, kind, address):
            place = f"{address}:{self.ports[name]}"
            return {"name": name, "tenant": "test", "kind": kind, "network": "loopback", "targets": [place],
                    "sources": [place]}
        return {
            "tenants": self.tenants(), "networks": self.networks(),
            "trunks": [trunk("pbx", "pbx", THERE), trunk("north", "carrier", OTHER)],
            # Which makes it a German tenant, whose calls to +49 are domestic.
            "numbers": [{"number": "+4940199", "tenant": "test", "state": "available"}],
            "routes": [{"name": "all", "tenant": "test", "prefix": "+", "carriers": [{"trunk": "north"}]}]}

    def agents(self, t):
        return (
            t.agent(world=self, user=name, port=self.ports[name], address=address, namespace=self.far)
            for name, address in (("pbx", THERE), ("north", OTHER)))

    def lose(self, space, on):
        """Whether of each packet that arrives in parts there the second one is lost; the counts begin again."""
        command(*namespaces.prefix(space), "nft", "flush", "ruleset")
        command(*namespaces.prefix(space), "nft", "-f", "-", stdin=_RULES % ("drop" if on else "accept"))

    @staticmethod
    def parts(space):
        """How many parts arrived there since, but first ones."""
        text = command(*namespaces.prefix(space), "nft", "list", "counters")
        return int(text.split("packets ")[1].split()[0])


def long_sdp(agent, port, size):
    """As of phones with every codec there is: further ones with settings, until it is long enough."""
    body = agent.sdp(port)
    for kind in range(102, 128) if size else ():
        settings = ";".join(f"setting-{place}={kind}" for place in range(size // 26 // 16))
        body = body.replace("RTP/AVP 0 8 101", f"RTP/AVP 0 8 101 {kind}")
        body += f"a=rtpmap:{kind} codec{kind}/16000\r\na=fmtp:{kind} {settings}\r\n"
    return body


def settings(message):
    return sorted(line for line in message.body.decode().split("\r\n") if line.startswith("a=fmtp:1") and "setting" in line)


class Call:
    """Begun by the PBX with a long offer."""

    def __init__(self, t, world, size=5000):
        self.world, self.number = world, world.number("+4930")
        self.pbx, self.north = (
            t.agent(world=world, user=name, port=world.ports[name], address=address, namespace=world.far)
            for name, address in (("pbx", THERE), ("north", OTHER)))
        self.offer, self.reply = long_sdp(self.pbx, 4000, size), long_sdp(self.north, 4002, size)
        self.call_id, self.tag = token(), token()
        self.invite = self.pbx.request(
            "INVITE", f"sip:{self.number}@{world.domain}", self.call_id, 1, self.tag, body=self.offer)

    def arrives(self, seconds=5):
        return self.north.expect_request("INVITE", seconds)

    def answer(self, invite):
        self.north.socket.sendto(
            self.north.answer_to(invite, 200, "OK", token(), body=self.reply), invite.source)
        self.north.expect_request("ACK")

    def talk(self):
        """The call is answered at its carrier; what the PBX got. Then it hangs up."""
        final = self.pbx.final(self.call_id, "INVITE")
        expect(final.status == 200, f"the PBX got {final.start}")
        self.dialog = Dialog(self.pbx, self.call_id, self.tag, 1, self.number, final)
        self.dialog.acknowledge()
        expect(self.dialog.bye().status == 200, "the BYE was not answered")
        return final

    def over(self, bye, answer):
        answer(self.north.answer_to(bye, 200, "OK"))
        record = self.world.record(self.number)
        expect(record["cause"] == "normal-clearing" and len(record["attempts"]) == 1, f"{record}")
        for agent in (self.pbx, self.north):
            agent.close()
        for space in (self.world.near, self.world.far):
            self.world.lose(space, False)

    def over_by_udp(self):
        bye = self.north.expect_request("BYE")
        self.over(bye, lambda data: self.north.socket.sendto(data, bye.source))


@test("in-parts", 30)
def in_parts(t):
    """INVITEs of 4 to 8 kB come in parts, and so do our requests and responses: calls like any other"""
    world = Office(t)
    for size in (4000, 8000):
        call = Call(t, world, size)
        expect(size < len(call.invite) < size + 1000, f"an INVITE of {len(call.invite)} bytes")
        call.pbx.send(call.invite)
        invite = call.arrives()
        call.answer(invite)
        final = call.talk()
        parts = [world.parts(space) for space in (world.near, world.far)]
        call.over_by_udp()
        expect(settings(invite) and len(settings(invite)) == len(settings(final)) == 26, "something of it is missing")
        expect(min(len(invite.data), len(final.data)) > size, "they are not long")
        # Of two messages each, but for their first parts.
        expect(min(parts) >= 2 * (size // 1500), f"they did not come in parts: {parts}")
    world.at_rest(8, CALLS)


@test("part-lost", 40)
def part_lost(t):
    """A part is lost of each long message: nothing is begun, what is sent again arrives, and nothing is left"""
    world = Office(t)
    for space in (world.near, world.far):
        world.lose(space, True)
    call = Call(t, world)
    for _ in range(3):
        call.pbx.send(call.invite)
    expect(call.pbx.receive(1) is None, "an INVITE that lacks a part was answered")
    expect(world.parts(world.near) > 0, "it did not come in parts")
    world.at_rest(0.1)
    expect(not world.records(call.number), "there is a record of it")
    # Ours to the carrier and to the PBX: they are repeated until they arrive.
    world.lose(world.near, False)
    call.pbx.send(call.invite)
    call.pbx.wait(lambda m: m.status == 100, 2, "100")
    expect(call.north.receive(0.6) is None, "an INVITE that lacks a part arrived")
    world.lose(world.far, False)
    invite = call.arrives(2)
    world.lose(world.far, True)
    call.answer(invite)
    time.sleep(0.3)
    expect(world.parts(world.far) > 0, "our answer did not leave in parts")
    expect(call.pbx.receive(0) is None, "an answer that lacks a part arrived")
    world.lose(world.far, False)
    call.talk()
    call.over_by_udp()
    world.at_rest(8, CALLS)


class Taken(Connection):
    """A connection that Demarc made."""

    def __init__(self, taken):
        self.socket, self.buffer = taken, b""


@test("long-requests", 30)
def long_requests(t):
    """Beyond 1300 bytes an INVITE goes by TCP, a short one never; where no TCP is to be had by UDP, at once the next time"""
    world = Office(t, tcp=True)
    with inside(world.far):
        door = socket.create_server((OTHER, world.ports["north"]))
    t.defer(door.close)
    door.settimeout(3)
    call = Call(t, world)
    call.pbx.send(call.invite)
    by_tcp = Taken(door.accept()[0])
    t.defer(by_tcp.close)
    invite = by_tcp.expect_request("INVITE")
    expect("SIP/2.0/TCP" in invite.get("via") and len(settings(invite)) == 26, f"it came with {invite.get('via')}")
    plain = f"{OTHER}:{world.ports['north']}>".encode()
    by_tcp.send(call.north.answer_to(invite, 200, "OK", token(), body=call.reply).replace(
        b"<sip:north@" + plain, b"<sip:north@" + plain[:-1] + b";transport=tcp>"))
    by_tcp.expect_request("ACK")
    # The answer to the PBX goes where the INVITE came from, as long as it is (RFC 3261 §18.2.2).
    final = call.talk()
    expect(len(final.data) > 1500 and "SIP/2.0/UDP" in final.get("via"), "the answer is short, or was for another")
    call.over(by_tcp.expect_request("BYE"), by_tcp.send)

    call = Call(t, world, 0)
    call.pbx.send(call.invite)
    invite = call.arrives(2)
    expect(len(invite.data) < 1300 and "SIP/2.0/UDP" in invite.get("via"), "a short one went elsewhere")
    call.answer(invite)
    call.talk()
    call.over_by_udp()

    # Nobody takes connections any more.
    by_tcp.close()
    door.close()
    for _ in range(2):
        call = Call(t, world)
        began = time.monotonic()
        call.pbx.send(call.invite)
        invite = call.arrives(2)
        expect(time.monotonic() - began < 0.5, "it took long to go by UDP")
        expect("SIP/2.0/UDP" in invite.get("via"), f"it came with {invite.get('via')}")
        call.answer(invite)
        call.talk()
        call.over_by_udp()
    # The first of the two has found out, the second knew.
    metrics = world.demarc.metrics()
    ways = [metrics[f'demarc_sip_large_requests_total{{way="{way}"}}'] for way in ("toTCP", "back")]
    expect(ways == [2, 1], f"{ways[0]:.0f} went by TCP, {ways[1]:.0f} back to UDP")
