"""IPv6 by every transport, and calls between IPv6 on one side and IPv4 on the other, with speech. Skipped where the
machine has no IPv6."""

import re
import time

from harness import audio
from harness.agent import token
from harness.audio import spoken
from harness.case import test
from harness.ports import free_port, has_ipv6
from harness.process import Skipped, expect, wait_until
from harness.rtp import Endpoint
from harness.sipp import Caller, sdp, uac, uas
from harness.stream import Connection, WebSocket, make_certificate, tls_context
from harness.world import World

NAME = "sip.demarc.test"
FIRST = "The birch canoe slid on the smooth planks."
SECOND = "Four hours of steady work."


class SixWorld(World):
    """Phones on ::1 by every transport, a PBX and a carrier there by TCP; the others are on 127.0.0.1."""

    def __init__(self, t):
        if not has_ipv6():
            raise Skipped("no IPv6 on this machine")
        super().__init__(t.folder, t.program, media_pairs=60)
        self.authority = make_certificate(t.folder, "authority", ["authority.test"])
        identity = make_certificate(t.folder, "server", [NAME, "::1"], self.authority)
        self.ports.update({name: free_port() for name in ("tls6", "ws6", "wss6", "pbx-tcp6", "tcp6")})
        secure = {"certificate": str(identity[0]), "key": str(identity[1])}
        plain = self.demarc.configuration

        def configuration():
            document = plain()
            for transport in ("tcp", "tls", "ws", "wss"):
                document["listeners"].append({
                    "name": transport + "6", "transport": transport, "address": "::1", "port": self.at(transport)[1],
                    **(secure if transport in ("tls", "wss") else {})})
            return document
        self.demarc.configuration = configuration
        t.defer(self.close)
        self.start()

    def at(self, transport):
        return "::1", self.port if transport in ("udp", "tcp") else self.ports[transport + "6"]

    def networks(self):
        networks = super().networks()
        networks[1]["listeners"] += ["tcp6", "tls6", "ws6", "wss6"]
        return networks

    def user_accounts(self):
        return [{**user, "network": "loopback6" if user["name"] in ("alice", "carol") else "loopback"}
                for user in super().user_accounts()]

    def resources(self):
        document = super().resources()
        for name, kind in (("pbx-tcp6", "pbx"), ("tcp6", "carrier")):
            place = f"[::1]:{self.ports[name]}"
            document["trunks"].append({
                "name": name, "tenant": "test", "kind": kind, "network": "loopback6", "transport": "tcp",
                "targets": [place], "sources": [place]})
        document["routes"].append(
            {"name": "to-4960", "tenant": "test", "prefix": "+4960", "carriers": [{"trunk": "tcp6"}]})
        return document

    def connect(self, t, transport):
        secure = {"context": tls_context(self.authority[0]), "name": NAME} if transport in ("tls", "wss") else {}
        connection = (WebSocket if transport in ("ws", "wss") else Connection)(self.at(transport), **secure)
        t.defer(connection.close)
        return connection

    def phone(self, t, name, transport, **options):
        """A baresip on ::1."""
        phone = t.phone(
            name, user=name, password=self.users[name]["password"], domain=self.domain, address="::1",
            registrar=f"[::1]:{self.at(transport)[1]};transport={transport}", transport=transport,
            cafile=self.authority[0], **options)
        return phone.registered()


def port_of(text, family):
    """Where an SDP wants speech; it must be of one family alone."""
    text = text.decode() if isinstance(text, bytes) else text
    expect(f"c=IN {family} " in text and f"c=IN {'IP4' if family == 'IP6' else 'IP6'} " not in text, text)
    return int(re.search(r"m=audio (\d+)", text).group(1))


@test("bridged", 60)
def bridged(t):
    """A phone on ::1 by TLS and a carrier on 127.0.0.1 call each other, and each hears the other"""
    world = SixWorld(t)
    words, says = spoken(FIRST)
    theirs = audio.speech(SECOND)
    alice = world.phone(t, "alice", "tls", says=says, answer="auto")
    found = [(one["transport"], one["source"].startswith("[::1]:")) for one in world.demarc.registrations()]
    expect(found == [("tls", True)], f"{world.demarc.registrations()}")
    east = t.agent(world=world, user="east", port=world.ports["east"])
    pbx = t.agent(world=world, user="pbx", port=world.ports["pbx"])
    likenesses = []
    seconds = max(len(words), len(theirs)) / audio.RATE + 1

    def talk(end, body):
        end.speak(audio.numpy.concatenate([theirs, audio.silence(3)]), ("127.0.0.1", port_of(body, "IP4")))
        alice.wait_heard(seconds, seconds + 8)

    def compare(end):
        likenesses.append(audio.check_likeness("the phone was heard", words, end.heard()))
        likenesses.append(audio.check_likeness("the phone heard", theirs, alice.heard()))

    # From IPv6 to IPv4.
    end, number = Endpoint(free_port()), world.number("+4938")
    t.defer(end.close)
    alice.dial(f"sip:{number}@{world.domain}")
    invite = east.expect_request("INVITE")
    east.send(east.answer_to(invite, 200, "OK", token(), body=east.sdp(end.socket.getsockname()[1])))
    east.expect_request("ACK")
    talk(end, invite.body)
    alice.command("hangup")
    bye = east.expect_request("BYE")
    east.send(east.answer_to(bye, 200, "OK"))
    compare(end)
    expect("::1" not in str(invite), f"the carrier sees IPv6: {invite}")
    expect(world.record(number)["cause"] == "normal-clearing", f"{world.record(number)}")
    # And back.
    end = Endpoint(free_port())
    t.defer(end.close)
    answer, dialog = pbx.exchange("INVITE", f"sip:{world.extension('alice')}@{world.domain}",
                                  body=pbx.sdp(end.socket.getsockname()[1]))
    expect(answer.status == 200, answer.start)
    talk(end, answer.body)
    expect(dialog.bye().status == 200, "the BYE was refused")
    compare(end)
    expect("::1" not in str(answer), f"the PBX sees IPv6: {answer}")
    t.remark = f"correlation of four ways {min(one.correlation for one in likenesses):.4f} or better"


class Bridge:
    """A call by SIPp to SIPp between the families, one of them by TCP, whose callee sends back what it hears."""

    def __init__(self, t, world, near, far, prefix):
        self.near, self.far, self.number = near, far, world.number(prefix)
        here, there = ("::1" if name.endswith("6") else "127.0.0.1" for name in (near, far))
        stream = ["-t", "t1", "-max_socket", "100"]
        self.end = Endpoint(free_port(), address=here)
        t.defer(self.end.close)
        self.callee = t.caller(
            far, uas(), port=world.ports[far], address=there, extra=["-rtp_echo", *(stream if there == "::1" else [])])
        # A connection that only looks would be a call that SIPp never ends.
        time.sleep(0.4)
        self.caller = t.caller(
            near, uac(hold_ms=3100, body=sdp(port=self.end.socket.getsockname()[1])), port=world.ports[near],
            address=here, remote=f"[::1]:{world.port}" if here == "::1" else world.sip, service=self.number,
            extra=stream if here == "::1" else [])
        self.families = ["IP6" if address == "::1" else "IP4" for address in (here, there)]
        self.addresses = here, there

    def speak(self, words):
        wait_until(lambda: "m=audio" in "".join(self.caller.received()), 5, "the answer")
        answer = next(text for text in self.caller.received() if "m=audio" in text)
        self.end.speak(words, (self.addresses[0], port_of(answer, self.families[0])))

    def finish(self):
        self.caller.wait()
        self.callee.wait()
        offer = next(text for text in self.callee.received() if "m=audio" in text)
        port_of(offer, self.families[1])
        by_tcp = "SIP/2.0/TCP [::1]:" in offer
        expect(by_tcp == (self.addresses[1] == "::1"), f"the carrier was spoken to so: {offer}")


@test("sipp-tcp", 40)
def sipp_tcp(t):
    """SIPp by TCP on ::1 calls a carrier of UDP on 127.0.0.1, a PBX of UDP there a carrier of TCP on ::1"""
    world = SixWorld(t)
    words = audio.speech(FIRST)
    bridges = [Bridge(t, world, "pbx-tcp6", "east", "+4938"), Bridge(t, world, "pbx", "tcp6", "+4960")]
    for bridge in bridges:
        bridge.speak(words)
    for bridge in bridges:
        bridge.finish()
        likeness = audio.check_likeness(f"what came back from {bridge.far}", words, bridge.end.heard())
        record = world.record(bridge.number)
        expect((record["from"], record["to"]) == (f"trunk:{bridge.near}", f"trunk:{bridge.far}"), f"{record}")
        t.remark += f"{likeness.correlation:.4f} "


@test("websocket", 30)
def websocket(t):
    """A browser's phone on ::1, by WS and WSS, is called from 127.0.0.1; TCP and TLS answer on ::1"""
    world = SixWorld(t)
    for transport in ("tcp", "tls"):
        world.connect(t, transport).options()
    for transport in ("ws", "wss"):
        phone = world.connect(t, transport)
        phone.register("carol", world.users["carol"]["password"], world.domain)
        found = [(one["transport"], one["source"][:6]) for one in world.demarc.registrations()]
        expect(found == [(transport, "[::1]:")], f"{world.demarc.registrations()}")
        caller = t.caller(
            f"caller-{transport}", uac(hold_ms=200, caller=Caller(domain=world.domain, user="erin"), digest=401),
            remote=world.sip, service=world.extension("carol"), user="erin", password=world.users["erin"]["password"])
        invite = phone.expect_request("INVITE")
        expect(f"SIP/2.0/{transport.upper()} [::1]:" in invite.get("via"), f"Via: {invite.get('via')}")
        port_of(invite.body, "IP6")
        body = b"v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
        phone.answer(invite, 200, "OK", "six", body)
        phone.expect_request("ACK")
        phone.answer(phone.expect_request("BYE"), 200, "OK")
        caller.wait()
        phone.close()
        wait_until(lambda: not world.demarc.registrations(), 3, "the registration to go with its connection", 0.05)
