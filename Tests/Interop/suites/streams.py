"""TCP, TLS and WebSockets: real peers, and hostile ones."""

import json
import shutil
import socket
import ssl
import time

from harness import audio, kamailio
from harness.agent import token
from harness.case import test
from harness.linphone import Linphone
from harness.ports import free_port
from harness.process import Failure, expect, wait_until
from harness.sipp import Caller, optional, pause, recv, reply, scenario, sdp, send, uac, uac_refused, uas, uas_refuses
from harness.stream import Connection, WebSocket, make_certificate, tls_context
from harness.stun import mapped_address
from harness.world import World

from .dialogs import KEEP, to_invite

NAME = "sip.demarc.test"
# Carriers that each fail in their own way, in the order in which a route tries them.
FAILING = ["shut-tcp", "shut-tls", "mute-tls", "mute-tcp", "refusing-tcp"]


class StreamWorld(World):
    """A Demarc with a listener of each transport, and carriers that are reached by TCP and TLS."""

    def __init__(self, t, limits=None):
        super().__init__(t.folder, t.program, media_pairs=200)
        self.limits = limits or {}
        self.authority = make_certificate(t.folder, "authority", ["authority.test"])
        self.identity = make_certificate(t.folder, "server", [NAME, "127.0.0.1"], self.authority)
        self.other = make_certificate(t.folder, "other", ["other.test"], self.authority)
        self.client = make_certificate(t.folder, "client", ["client.test"], self.authority)
        self.ports.update({name: free_port() for name in (
            "tcp", "tls", "mutual", "ws", "wss", "pbx-tcp", "north-tcp", "kamailio", "impostor", "behind",
            *FAILING)})
        secure = {"certificate": str(self.identity[0]), "key": str(self.identity[1])}
        named = [{"name": "other.test", "certificate": str(self.other[0]), "key": str(self.other[1])}]
        plain = self.demarc.configuration

        def configuration():
            document = plain()
            add = document["listeners"].append
            at = {"address": "127.0.0.1"}
            # The same port as UDP's: a phone finds both.
            add({"name": "tcp", "transport": "tcp", "port": self.demarc.sip_port, **at})
            add({"name": "tls", "transport": "tls", "port": self.ports["tls"], **at, **secure, "serverNames": named})
            add({"name": "mutual", "transport": "tls", "port": self.ports["mutual"], **at, **secure,
                 "clientCA": str(self.authority[0])})
            add({"name": "ws", "transport": "ws", "port": self.ports["ws"], **at})
            add({"name": "wss", "transport": "wss", "port": self.ports["wss"], **at, **secure,
                 "origins": ["https://phone.test"]})
            document["limits"] = self.limits
            return document
        self.demarc.configuration = configuration
        t.defer(self.close)
        self.start()

    def networks(self):
        networks = super().networks()
        networks[0]["listeners"] += ["tcp", "tls", "mutual", "ws", "wss"]
        return networks

    def resources(self):
        document = super().resources()

        def trunk(name, port, transport, kind="carrier", **more):
            document["trunks"].append({
                "name": name, "tenant": "test", "kind": kind, "network": "loopback", "transport": transport,
                "targets": [f"127.0.0.1:{self.ports[port]}"], "sources": [f"127.0.0.1:{self.ports[port]}"], **more})

        ca = {"ca": str(self.authority[0])}
        trunk("pbx-tcp", "pbx-tcp", "tcp", "pbx")
        trunk("north-tcp", "north-tcp", "tcp")
        document["trunks"].append({
            "name": "by-certificate", "tenant": "test", "kind": "pbx", "network": "loopback", "transport": "tls",
            "tls": {"clientName": "client.test"}})
        trunk("kamailio", "kamailio", "tls", tls={"serverName": NAME, **ca})
        trunk("impostor", "impostor", "tls", tls={"serverName": "carrier.test", **ca})
        for name in FAILING:
            trunk(name, name, name[-3:], probe={"enabled": False}, **({"tls": ca} if name.endswith("tls") else {}))
        for prefix, names in (("+4950", ["north-tcp"]), ("+4951", ["kamailio"]), ("+4952", ["impostor", "north-tcp"]),
                              ("+4953", [*FAILING, "north-tcp"])):
            document["routes"].append({
                "name": f"to-{prefix[1:]}", "tenant": "test", "prefix": prefix, "timeout": "3s",
                "carriers": [{"trunk": name, "priority": place + 1} for place, name in enumerate(names)]})
        return document

    def at(self, listener):
        return "127.0.0.1", self.demarc.sip_port if listener == "tcp" else self.ports[listener]

    def context(self, **options):
        return tls_context(self.authority[0], **options)

    def connections_ended(self, reason):
        return self.demarc.metrics()[f'demarc_sip_connections_ended_total{{reason="{reason}"}}']


def connect(t, world, listener="tcp", **options):
    secure = {"context": world.context(), "name": NAME} if listener in ("tls", "wss") else {}
    kind = WebSocket if listener in ("ws", "wss") else Connection
    connection = kind(world.at(listener), **{**secure, **options})
    t.defer(connection.close)
    return connection


@test("sipp-tcp", 60)
def sipp_tcp(t):
    """SIPp on both sides over TCP, the carrier with one connection for all calls and with one for each"""
    world = StreamWorld(t)
    for mode in ("t1", "tn"):
        number = world.number("+4950")
        north = t.caller(f"north-{mode}", uas(), port=world.ports["north-tcp"], calls=0, extra=["-t", mode, "-max_socket", "100"])
        # A connection that only looks would be a call that SIPp never ends.
        time.sleep(0.5)
        expect(north.process.running(), f"SIPp did not start: {north.why()}")
        pbx = t.caller(
            f"pbx-{mode}", uac(hold_ms=200), port=world.ports["pbx-tcp"], remote=f"127.0.0.1:{world.demarc.sip_port}",
            service=number, calls=20, rate=20, extra=["-t", "t1", "-max_socket", "100"])
        pbx.wait()
        records = wait_until(
            lambda: (found := world.records(number)) and all(r["state"] == "ended" for r in found)
            and len(found) == 20 and found, 8, "20 closed records")
        expect({(r["from"], r["to"], r["status"]) for r in records} == {("trunk:pbx-tcp", "trunk:north-tcp", 200)},
               f"{records[0]}")
        north.stop()
        expect(any("SIP/2.0/TCP" in text and "transport=tcp" in text for text in north.received()),
               "the carrier was not spoken to by TCP")
    metrics = world.demarc.metrics()
    expect(metrics['demarc_sip_retransmissions_total{direction="sent"}'] == 0, "something was sent again")


def phone_by(t, world, name, transport, **options):
    """A baresip registered by TCP or TLS."""
    port = world.ports["tls"] if transport == "tls" else world.demarc.sip_port
    phone = t.phone(
        name, user=name, password=world.users[name]["password"], domain=world.domain, transport=transport,
        registrar=f"127.0.0.1:{port};transport={transport}", cafile=world.authority[0], **options)
    return phone.registered()


def speak(t, world, first, second):
    """Two registered phones talk, and each hears the other."""
    words, says = audio.spoken("Glue the sheet to the dark blue background.")
    alice = phone_by(t, world, "alice", first, says=says)
    bob = phone_by(t, world, "bob", second, says=says, answer="auto")
    found = {item["user"]: item["transport"] for item in world.demarc.registrations()}
    expect(found == {"alice": first, "bob": second}, f"registered: {found}")
    alice.dial(f"sip:{world.extension('bob')}@{world.domain}")
    alice.established()
    seconds = len(words) / audio.RATE + 1.5
    alice.wait_heard(seconds, seconds + 10)
    call = world.live(world.extension("bob"))
    alice.hang_up()
    bob.closed()
    likeness = audio.check_likeness("alice heard", words, alice.heard())
    expect(world.demarc.call(call["id"])["cause"] == "normal-clearing", "the call did not end as it should")
    t.remark = str(likeness)


@test("baresip", 60)
def baresip(t):
    """baresip by TLS calls baresip by TCP, each heard; in-dialog requests find their connections"""
    speak(t, StreamWorld(t), "tls", "tcp")


@test("kamailio-tls", 60)
def kamailio_tls(t):
    """A carrier behind Kamailio by TLS: its certificate is checked, and a call goes through and ends"""
    world = StreamWorld(t)
    start_kamailio(t, world, "kamailio", world.identity)
    behind = t.callee("behind", uas(), port=world.ports["behind"])
    number = world.number("+4951")
    t.caller("pbx", uac(hold_ms=300), port=world.ports["pbx"], remote=world.sip, service=number).wait()
    behind.wait()
    record = world.record(number)
    expect(record["to"] == "trunk:kamailio" and record["cause"] == "normal-clearing", f"{record}")


@test("wrong-certificate", 60)
def wrong_certificate(t):
    """A carrier whose certificate is of another name gets nothing; the next carrier takes the call at once"""
    world = StreamWorld(t)
    start_kamailio(t, world, "impostor", world.identity)
    north = t.caller("north", uas(), port=world.ports["north-tcp"], extra=["-t", "t1", "-max_socket", "100"])
    time.sleep(0.5)
    number = world.number("+4952")
    began = time.monotonic()
    t.caller("pbx", uac(hold_ms=100), port=world.ports["pbx"], remote=world.sip, service=number).wait()
    expect(time.monotonic() - began < 3, "it took too long")
    north.wait()
    record = world.record(number)
    expect([a.get("cause") for a in record["attempts"]] == ["transport-failed", None], f"{record['attempts']}")
    # The call, and whatever asked since whether the carrier is well.
    expect(world.connections_ended("wrongCertificateName") >= 1, "the name was not what failed")


KAMAILIO = """\
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
enable_tls=yes
listen=tls:127.0.0.1:{port}
listen=udp:127.0.0.1:{port}
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "tls.so"
modparam("tls", "config", "{tls}")
modparam("rr", "enable_double_rr", 1)
request_route {{
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
    sl_send_reply("404", "Not Here");
    exit;
  }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  record_route();
  $du = "sip:127.0.0.1:{next}";
  t_relay();
}}
"""


def start_kamailio(t, world, name, identity, following=None):
    """Kamailio with this certificate, to its clients and to its servers; whatever comes goes on to `following`, the
    port `behind` without it."""
    folder = t.folder / f"kamailio-{name}"
    (folder / "run").mkdir(parents=True)
    tls = folder / "tls.cfg"
    tls.write_text(
        "[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n"
        f"private_key = {identity[1]}\ncertificate = {identity[0]}\n"
        "[client:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n"
        f"private_key = {identity[1]}\ncertificate = {identity[0]}\n")
    config = folder / "kamailio.cfg"
    port = world.ports[name]
    config.write_text(KAMAILIO.format(port=port, tls=tls, next=following or world.ports["behind"]))
    process = kamailio.launch(f"kamailio-{name}", config, folder / "run", memory=4)
    t.defer(lambda: process.stop(3))

    def up():
        expect(process.running(), f"Kamailio did not start: {process.text()[-600:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    wait_until(up, 10, "Kamailio to listen", 0.1)


@test("tls-versions", 30)
def tls_versions(t):
    """TLS 1.2 and 1.3 are spoken, 1.1 is not; names choose certificates; mutual TLS wants one of the client"""
    world = StreamWorld(t)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        connection = connect(t, world, "tls", context=world.context(low=version, high=version))
        connection.options()
        expect(connection.socket.version().replace("v", "v").endswith(version.name[-3:].replace("_", ".")),
               f"{connection.socket.version()} instead of {version.name}")
    old = tls_context(low=ssl.TLSVersion.TLSv1, high=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    try:
        connect(t, world, "tls", context=old)
        raise Failure("TLS 1.1 was spoken")
    except (ssl.SSLError, ConnectionError):
        pass
    for name in (NAME, "other.test"):
        connection = connect(t, world, "tls", name=name)
        names = [value for kind, value in connection.socket.getpeercert()["subjectAltName"] if kind == "DNS"]
        expect(name in names, f"asked for {name}, shown {names}")
    for identity in (world.client, None, make_certificate(t.folder, "stranger", ["client.test"])):
        context = world.context(identity=identity)
        try:
            connection = Connection(world.at("mutual"), context, NAME)
            t.defer(connection.close)
            connection.options(2)
            expect(identity is world.client, "a client without a good certificate was let in")
        except (ssl.SSLError, ConnectionError, EOFError):
            expect(identity is not world.client, "the good certificate was refused")
    wait_until(lambda: world.connections_ended("untrustedCertificate") >= 1, 2, "the stranger's certificate to be counted")


@test("known-by-certificate", 60)
def known_by_certificate(t):
    """A PBX is known by its certificate from any address; another certificate, or none, is a stranger"""
    world = StreamWorld(t)
    number = world.number("+4950")
    t.caller("north", uas(), port=world.ports["north-tcp"], calls=0, extra=["-t", "t1", "-max_socket", "100"])
    time.sleep(0.5)
    # SIPp speaks no TLS here: Kamailio shows the certificate for it.
    world.ports["edge"] = free_port()
    start_kamailio(t, world, "edge", world.client, f"{world.ports['mutual']};transport=tls")
    t.caller("pbx", uac(hold_ms=200), port=free_port(), remote=f"127.0.0.1:{world.ports['edge']}", service=number,
             calls=5, rate=5).wait()
    records = world.demarc.closed_records(5, number=number)
    expect({(record["from"], record["status"]) for record in records} == {("trunk:by-certificate", 200)}, f"{records[0]}")

    def refused(connection):
        status = connection.exchange("INVITE", f"sip:{number}@127.0.0.1").status
        expect(status in (401, 403), f"a stranger got {status}")
        connection.close()
    refused(Connection(world.at("mutual"), world.context(identity=world.other), NAME))
    refused(connect(t, world, "tls"))
    refused(connect(t, world, "tcp"))
    expect(len(world.records(number)) == 5 or all(
        record["from"] != "trunk:by-certificate" for record in world.records(number)[5:]), "a stranger's call was taken")


@test("certificate-of-a-callee", 40)
def certificate_of_a_callee(t):
    """A carrier that Demarc has connected to does not become a PBX by the name in its certificate"""
    world = StreamWorld(t)
    number = world.number("+4950")
    both = make_certificate(t.folder, "both", [NAME, "client.test"], world.authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, both))
    with socket.create_server(("127.0.0.1", world.ports["kamailio"])) as server:
        server.settimeout(15)
        # A probe or the call that is its occasion, whichever comes first.
        t.caller("pbx", uac_refused(480), port=world.ports["pbx"], remote=world.sip, service=world.number("+4951"))
        plain, _ = server.accept()
    carrier = Connection.over(context.wrap_socket(plain, server_side=True))
    t.defer(carrier.close)
    while (request := carrier.receive(8)).method != "INVITE":
        carrier.answer(request, 200, "OK", token())
    carrier.answer(request, 480, "Nobody", token())
    carrier.expect_request("ACK")
    t.caller("north", uas_refuses(486, "Busy"), port=world.ports["north-tcp"], extra=["-t", "t1"])
    carrier.send(carrier.request("INVITE", f"sip:{number}@127.0.0.1"))
    record = world.record(number)
    expect(record["from"] == "trunk:kamailio", f"the carrier's call is from {record['from']}")


@test("reload", 60)
def reload(t):
    """Certificates are replaced without dropping a connection or a call; a broken file changes nothing"""
    world = StreamWorld(t)
    north = t.caller("north", uas(), port=world.ports["north-tcp"], extra=["-t", "t1", "-max_socket", "100"])
    time.sleep(0.5)
    number = world.number("+4950")
    pbx = t.caller("pbx", uac(hold_ms=2500), port=world.ports["pbx"], remote=world.sip, service=number)
    world.live(number)
    old = [connect(t, world, "tls") for _ in range(20)]
    for connection in old:
        connection.options()
    before = old[0].socket.getpeercert()["serialNumber"]
    text = world.identity[0].read_text()
    world.identity[0].write_text("this is no certificate\n")
    code, output = world.demarc.try_command("certificates", "--reload")
    expect(code != 0 and "server.pem" in output, f"a broken file was taken: {output}")
    expect(connect(t, world, "tls").socket.getpeercert()["serialNumber"] == before, "something changed")
    world.identity[0].write_text(text)
    fresh = make_certificate(t.folder, "fresh", [NAME, "127.0.0.1"], world.authority)
    shutil.copy(fresh[0], world.identity[0])
    shutil.copy(fresh[1], world.identity[1])
    listed = world.demarc.ask("certificates", "--reload")["items"]
    expect(any(item["listener"] == "tls" and item["expiresInDays"] >= 28 for item in listed), f"{listed}")
    wait_until(lambda: connect(t, world, "tls").socket.getpeercert()["serialNumber"] != before, 3,
               "the new certificate", 0.1)
    for connection in old:
        connection.options()
    pbx.wait()
    north.wait()
    expect(world.record(number)["cause"] == "normal-clearing", "the call did not survive")
    expiries = [name for name in world.demarc.metrics() if name.startswith("demarc_certificate_expiry")]
    expect(len(expiries) == 4, f"{expiries}")


@test("websocket", 40)
def websocket(t):
    """A phone in a browser registers by WebSocket, calls and is called; other pages and protocols are refused"""
    world = StreamWorld(t)
    for listener in ("ws", "wss"):
        options = {"origin": "https://phone.test"} if listener == "wss" else {}
        phone = connect(t, world, listener, **options)
        phone.options()
        phone.register("erin", world.users["erin"]["password"], world.domain)
        found = [item for item in world.demarc.registrations() if item["user"] == "erin"]
        expect([item["transport"] for item in found] == [listener], f"{found}")
        # Somebody calls it: the INVITE comes by the connection, and so do the ACK and the BYE.
        caller = t.caller(
            f"caller-{listener}",
            uac(hold_ms=300, caller=Caller(domain=world.domain, user="alice"), digest=401),
            remote=world.sip, service=world.extension("erin"), user="alice", password=world.users["alice"]["password"])
        invite = phone.expect_request("INVITE")
        expect(f"SIP/2.0/{listener.upper()} " in invite.get("via"), f"Via: {invite.get('via')}")
        phone.answer(invite, 180, "Ringing", "wstag")
        body = sdp_of(free_port())
        phone.answer(invite, 200, "OK", "wstag", body)
        phone.expect_request("ACK")
        phone.answer(phone.expect_request("BYE"), 200, "OK")
        caller.wait()
        phone.frame(8, b"\x03\xe8")
        expect(phone.is_closed(3), "the close was not answered")
        wait_until(lambda: not any(item["user"] == "erin" for item in world.demarc.registrations()), 3,
                   "the registration to go with its connection")
    for listener, options in (("ws", {"protocol": "chat"}), ("wss", {"origin": "https://evil.test"})):
        try:
            connect(t, world, listener, **options)
            raise AssertionError("it was let in")
        except Failure as failure:
            expect("400" in str(failure) or "403" in str(failure), str(failure))
    bad = connect(t, world, "ws")
    bad.socket.sendall(b"\x81\x05hello")
    expect(bad.is_closed(3) and world.connections_ended("frameError") == 1, "a frame without a mask was read")


def sdp_of(port):
    return (f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
            "a=rtpmap:0 PCMU/8000\r\n").encode()


@test("hostile", 60)
def hostile(t):
    """Slow drips, half handshakes, silence, garbage and 64 KB: closed in time, and nobody else notices"""
    world = StreamWorld(t, limits={
        "connectionsPerSource": 400, "handshakeTime": "2s", "messageTime": "3s"})
    good = connect(t, world, "tls")
    good.options()
    slow = [socket.create_connection(world.at("tcp")) for _ in range(200)]
    half = [socket.create_connection(world.at("tls")) for _ in range(100)]
    for each in slow + half:
        t.defer(each.close)
    began = time.monotonic()
    while time.monotonic() - began < 4:
        for each in slow:
            try:
                each.send(b"O")
            except OSError:
                pass
        tick = time.monotonic()
        good.options()
        connect(t, world, "tcp").options()
        expect(time.monotonic() - tick < 1, "others had to wait")
        time.sleep(0.3)
    metrics = wait_until(
        lambda: (m := world.demarc.metrics()) and m["demarc_sip_connections_handshaking"] == 0 and m, 5, "the end")
    expect(metrics['demarc_sip_connections_ended_total{reason="handshakeTimeout"}'] == 100, "half handshakes stay")
    closed = metrics['demarc_sip_connections_ended_total{reason="firstMessageTimeout"}'] \
        + metrics['demarc_sip_connections_ended_total{reason="notSIP"}']
    expect(closed >= 200, f"{closed} of 200 slow connections were closed")
    # 64 KB are taken; more than that, and what is no SIP, is refused with its reason.
    large = connect(t, world)
    answer = large.exchange(
        "INVITE", f"sip:{world.extension('bob')}@{world.domain}", headers=["Content-Type: application/sdp"],
        body=sdp_of(9) + b"a=x:" + b"y" * 64_000 + b"\r\n")
    expect(answer.status == 401, f"{answer.start}")
    too_large = connect(t, world)
    too_large.send(b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nContent-Length: 99999\r\n\r\n")
    expect(too_large.is_closed(3), "a message that is too long was waited for")
    garbage = connect(t, world)
    garbage.send(bytes(range(256)) * 300)
    expect(garbage.is_closed(3), "garbage was read on")
    endless = connect(t, world)
    try:
        endless.send(b"OPTIONS sip:a SIP/2.0\r\n" + b"X: y\r\n" * 20_000)
    except OSError:
        pass
    expect(endless.is_closed(3), "headers without an end were read on")
    good.options()


@test("keepalive", 30)
def keepalive(t):
    """Double CRLF is answered by one, and a STUN request on UDP by the address seen (RFC 5626)"""
    world = StreamWorld(t)
    connection = connect(t, world)
    connection.send(b"\r\n\r\n")
    deadline = time.monotonic() + 3
    while connection.buffer != b"\r\n":
        connection._more(deadline)
    connection.options()
    port, seen = mapped_address(world.address)
    expect(seen == ("127.0.0.1", port), f"STUN from port {port} says {seen}")


@test("listeners", 90)
def listeners_change(t):
    """Listeners that come and go by `demarc reload` while a call runs over one of them"""
    world = StreamWorld(t)
    number = world.number("+4950")
    north = t.caller("north", uas(), port=world.ports["north-tcp"], extra=["-t", "t1"])
    time.sleep(0.5)
    pbx = t.caller("pbx", uac(hold_ms=6000), port=world.ports["pbx-tcp"], remote=f"127.0.0.1:{world.demarc.sip_port}",
                   service=number, calls=1, extra=["-t", "t1"])
    wait_until(lambda: any(call["state"] == "answered" for call in world.demarc.calls()), 5, "the call")
    path = world.demarc.folder / "demarc.yaml"
    whole = path.read_text()
    document = json.loads(whole)
    # A network still needs it: nothing changes, and the error says what to do.
    document["listeners"] = [listener for listener in document["listeners"] if listener["name"] != "tcp"]
    fresh = free_port()
    document["listeners"].append({"name": "fresh", "transport": "tcp", "address": "127.0.0.1", "port": fresh})
    document["log"] = {"level": "debug"}
    path.write_text(json.dumps(document))
    code, output = world.demarc.try_command("reload")
    expect(code != 0 and "no listener is named `tcp`" in output and "Apply" in output, output)
    expect(len(world.demarc.ask("status")["listeners"]) == len(json.loads(whole)["listeners"]), "something changed")
    # First one beside the other, then networks without the old one, then the old one goes.
    path.write_text(json.dumps({**document, "listeners": [*json.loads(whole)["listeners"], document["listeners"][-1]]}))
    told = world.demarc.ask("reload")
    expect({item["name"]: item["change"] for item in told["listeners"]}["fresh"] == "opened", told)
    expect(told["needsRestart"] == ["log"], told)
    resources = world.resources()
    listeners = resources["networks"][0]["listeners"]
    resources["networks"][0]["listeners"] = [name for name in listeners if name != "tcp"] + ["fresh"]
    world.demarc.apply(resources)
    path.write_text(json.dumps(document))
    told = world.demarc.command("reload")
    expect("leaving" in told and "restart" in told, told)
    expect("leaving" in world.demarc.command("status"), "status does not say what leaves")
    # The port takes no connection any more, the call on it goes on and is ended by its caller.
    try:
        Connection(("127.0.0.1", world.demarc.sip_port)).close()
        raise Failure("the listener that is leaving still takes connections")
    except ConnectionRefusedError:
        pass
    connect_to_fresh = Connection(("127.0.0.1", fresh))
    t.defer(connect_to_fresh.close)
    pbx.wait()
    record = wait_until(lambda: (found := world.records(number)) and found[0]["state"] == "ended" and found[0], 5, "its record")
    expect((record["status"], record["releasedBy"]) == (200, "caller"), record)
    north.stop()
    # Half a minute after its last call nothing is left of it.
    wait_until(lambda: "tcp" not in [item["name"] for item in world.demarc.ask("status")["listeners"]], 45,
               "the listener to close")
    wait_until(lambda: "listener closed" in world.demarc.process.text(), 2, "the log to say that it closed")


# --- what calls over datagrams are known to do, over connections -----------------------------------------
def by_tcp(text):
    """A scenario whose Contact says so."""
    return text.replace("[local_port]>", "[local_port];transport=tcp>")


def carrier_by_tcp(t, world, text, name="north-tcp", **options):
    sipp = t.caller(name, by_tcp(text), port=world.ports[name], extra=["-t", "t1", "-max_socket", "100"], **options)
    # A connection that only looks would be a call that SIPp never ends.
    time.sleep(0.4)
    expect(sipp.process.running(), f"SIPp did not start: {sipp.why()}")
    return sipp


def behind_proxy(text):
    """A scenario of `KEEP` and `to_invite` whose INVITE comes by a proxy that stays in the dialog, by two transports."""
    kept = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{header}:" occurrence="{place}" assign_to="{name}"/>'
        for header, place, name in (
            ("Via", 2, "via2"), ("Record-Route", 1, "route1"), ("Record-Route", 2, "route2")))
    return text.replace("</action>", kept + "</action>", 1).replace(
        "Via:[$via]", "Via:[$via]\nVia:[$via2]\nRecord-Route:[$route1]\nRecord-Route:[$route2]")


@test("prack", 40)
def prack(t):
    """A carrier that insists on PRACK, by TCP and behind Kamailio by TLS, and a PBX that insists on it by TCP"""
    world = StreamWorld(t)
    start_kamailio(t, world, "kamailio", world.identity)
    reliable = scenario(
        "reliable", KEEP, to_invite(183, "Session Progress", sdp(), "Require: 100rel\nRSeq: 4711\n", retrans=500),
        recv("PRACK"), reply(200, "OK"), pause(200), to_invite(200, "OK", retrans=500),
        recv("ACK"), recv("BYE"), reply(200, "OK"))
    caller = Caller()
    keep = ('<recv response="183" rrs="true"><action>'
            '<ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" assign_to="rseq"/></action></recv>\n')
    requires = by_tcp(scenario(
        "requires", caller.invite(extra="Require: 100rel\n"), optional(100), keep,
        send(caller.request("PRACK", 2, uri="[next_url]", extra="[routes]\nRAck: [$rseq] 1 INVITE\n"), retrans=500),
        recv(200), recv(200, rrs="true"), caller.ack(), pause(100), caller.bye(3)))
    for prefix in ("+4950", "+4951"):
        number = world.number(prefix)
        far = carrier_by_tcp(t, world, reliable) if prefix == "+4950" else t.callee(
            "behind", behind_proxy(reliable), port=world.ports["behind"])
        pbx = t.caller(f"pbx-{prefix[1:]}", requires, port=world.ports["pbx-tcp"], remote=world.sip, service=number,
                       extra=["-t", "t1", "-max_socket", "100"])
        pbx.wait()
        far.wait()
        acknowledged = next(text for text in far.received() if text.startswith("PRACK"))
        expect("RAck: 4711 " in acknowledged, acknowledged)
        expect(len([text for text in far.received() if text.startswith("PRACK")]) == 1, "PRACK came more than once")
        record = world.record(number)
        expect((record["status"], record["cause"]) == (200, "normal-clearing"), f"{record}")


class Silent:
    """A port that takes connections and reads what comes, and says nothing by itself."""

    def __init__(self, t, port):
        self.door = socket.create_server(("127.0.0.1", port))
        self.door.settimeout(5)
        t.defer(self.door.close)

    def taken(self):
        connection = Connection.__new__(Connection)
        connection.socket, connection.buffer = self.door.accept()[0], b""
        return connection


@test("failover", 40)
def failover(t):
    """Closed ports, a handshake that stalls, silence and 503 by TCP and TLS: the last carrier has the call in time"""
    world = StreamWorld(t)
    mute_tls, mute_tcp = (Silent(t, world.ports[name]) for name in ("mute-tls", "mute-tcp"))
    refusing = carrier_by_tcp(t, world, uas_refuses(503, "No", ring=False), "refusing-tcp")
    north = carrier_by_tcp(t, world, uas(ring_ms=0))
    number, began = world.number("+4953"), time.monotonic()
    pbx = t.caller("pbx", uac(hold_ms=300), port=world.ports["pbx"], remote=world.sip, service=number)
    pbx.wait(15)
    refusing.wait()
    north.wait()
    took = time.monotonic() - began
    record = world.record(number)
    causes = [attempt.get("cause") for attempt in record["attempts"]]
    expect([attempt["target"] for attempt in record["attempts"]] == [f"trunk:{name}" for name in (*FAILING, "north-tcp")],
           f"tried {record['attempts']}")
    expect(causes == ["transport-failed"] * 2 + ["carrier-timeout"] * 2 + ["carrier-unavailable", None], f"{causes}")
    expect(took < 6, f"it took {took:.1f} s")
    t.remark = f"{took:.1f} s with the call"
    mute_tls.door.close()
    # What was tried and given up answers now: it is acknowledged and ended, by the connection that it has.
    late = mute_tcp.taken()
    t.defer(late.close)
    invite = late.expect_request("INVITE")
    late.transport = "TCP"
    late.answer(invite, 200, "OK", "late", sdp_of(free_port()))
    late.expect_request("ACK")
    late.answer(late.expect_request("BYE"), 200, "OK")


@test("transfer", 40)
def transfer(t):
    """A phone by TLS hands its call with one by TCP on to another by TLS: the two that are left hear each other"""
    world = StreamWorld(t)
    words, says = audio.spoken("The birch canoe slid on.")
    other_words, other_says = audio.spoken("Four hours of steady work.")
    dave = phone_by(t, world, "dave", "tcp", says=says, answer="auto")
    erin = phone_by(t, world, "erin", "tls", says=other_says, answer="auto")
    frank = phone_by(t, world, "frank", "tls")
    frank.dial(f"sip:{world.extension('dave')}@{world.domain}")
    frank.established(5)
    call = world.live(world.extension("dave"))
    frank.command("transfer", f"sip:{world.extension('erin')}@{world.domain}")
    erin.established(8)
    frank.closed(8)
    made = world.live(world.extension("erin"))
    time.sleep(max(len(words), len(other_words)) / audio.RATE + 2)
    erin.hang_up()
    dave.closed(5)
    likenesses = [audio.check_likeness("erin heard", words, erin.heard()),
                  audio.check_likeness("dave heard", other_words, dave.heard())]
    record, old = world.ended(made["id"]), world.ended(call["id"])
    expect((record["from"], record["to"]) == ("user:frank", "user:erin"), f"{record}")
    expect(any(f"goes on with {made['id']}" in note for note in old["notes"]), f"{old}")
    t.remark = f"{likenesses[0].correlation:.4f} and {likenesses[1].correlation:.4f}"


@test("attended-transfer", 50)
def attended_transfer(t):
    """linphone by TLS joins its calls with a phone by TCP and one by TLS: these hear each other, and it is in neither"""
    world = StreamWorld(t)
    # Spoken once they are joined, and that is so sooner: else its beginning was not heard.
    words = audio.speech("The birch canoe slid on.")
    dave = phone_by(t, world, "dave", "tcp", answer="auto", says=audio.numpy.concatenate([audio.silence(2.5), words]))
    erin = phone_by(t, world, "erin", "tls", answer="auto")
    frank = Linphone(
        t.folder, "frank", world.users["frank"]["password"], f"127.0.0.1:{world.ports['tls']}", world.domain,
        audio.silence(2), sip=f"root_ca={world.authority[0]}\nverify_server_cn=0\n", transport="tls")
    t.defer(frank.stop)
    frank.registered()
    found = next(one for one in world.demarc.registrations() if one["user"] == "frank")
    expect(found["transport"] == "tls" and "Linphone" in found["userAgent"], f"{found}")
    began = time.monotonic()
    calls = []
    for place, name in enumerate(("dave", "erin")):
        frank.type(f"call sip:{world.extension(name)}@{world.domain}")
        calls.append(world.live(world.extension(name))["id"])
        if place == 0:
            wait_until(lambda: "Media streams established" in frank.process.text(), 3, "the first call", 0.05)
            frank.type("pause 1")
            frank.wait_text("is now paused", 3)
    wait_until(lambda: frank.process.text().count("Media streams established") > 1, 3, "the second call", 0.05)
    frank.type("transfer 1 --to-call 2")
    frank.wait_text("Call 1 with sip:" + world.extension("dave") + f"@{world.domain} ended", 5)
    joined = time.monotonic() - began
    time.sleep(max(0.0, began + 3.5 + len(words) / audio.RATE - time.monotonic()))
    erin.hang_up()
    dave.closed(5)
    likeness = audio.check_likeness("erin heard", words, erin.heard())
    # A phone stops its recording at a hold, but it counts what it sent and received to the end.
    received, received_there = dave.packets()[1], erin.packets()[1]
    spoken = 50 * (len(words) / audio.RATE + 1)
    expect(received > spoken and received_there > spoken, f"dave received {received} packets, erin {received_there}")
    for call in calls:
        record = world.ended(call)
        expect(any("goes on with" in note for note in record["notes"]), f"{record}")
    t.remark = f"joined after {joined:.1f} s; {likeness.correlation:.4f}"
