"""Demarc registers with a provider: Kamailio as registrar and proxy, with digest. These have a Demarc of their own."""

import pathlib
import socket

from harness.case import test
from harness.dns import Dnsmasq
from harness.kamailio import Kamailio
from harness.ports import free_port
from harness.process import expect, wait_until
from harness.sipp import uac, uas
from harness.stream import make_certificate
from harness.world import World

NUMBER = "+4930555100"


def provider_world(t, password="provider-secret", expires=3600, **register):
    """A provider and a Demarc that registers there; calls to +4939… leave by it, NUMBER comes in by it."""
    provider = Kamailio(
        t.folder, "provider.test", {"acme": "provider-secret"}, {NUMBER: "acme"}, expires=expires)
    t.defer(provider.stop)
    provider.start()
    world = World(t.folder, t.program, 20)
    t.defer(world.close)
    world.demarc.start()
    document = world.resources()
    document["trunks"].append({
        "name": "provider", "tenant": "test", "kind": "carrier", "network": "loopback", "targets": [provider.address],
        "register": {"registrar": provider.domain, "username": "acme", "password": password, **register}})
    document["numbers"].append({"number": NUMBER, "tenant": "test", "destinations": [{"application": "echo"}]})
    document["routes"].append({
        "name": "by-provider", "tenant": "test", "prefix": "+4939", "carriers": [{"trunk": "provider"}]})
    world.demarc.apply(document)
    return world, provider


def state(world):
    return world.demarc.ask("registrations", "--upstream")["items"][0]


def registered(world, seconds=10):
    return wait_until(
        lambda: next((one for one in [state(world)] if one["state"] == "registered"), None), seconds,
        "the registration")


def inbound(t, world, provider, name="public", calls=1):
    """A call from outside by the provider's number reaches the echo; with those before it there are so many."""
    t.caller(name, uac(hold_ms=200), port=provider.public, remote=provider.address, service=NUMBER).wait()
    records = wait_until(
        lambda: len(found := world.records(NUMBER)) == calls and all(one["state"] == "ended" for one in found) and found,
        5, f"{calls} closed records of calls to {NUMBER}")
    expect(all(record["from"] == "trunk:provider" for record in records), f"{records}")


@test("registers", 60)
def registers(t):
    """Registered with digest; a call comes in by the registration, one leaves by it; taken back at the end"""
    world, provider = provider_world(t)
    one = registered(world)
    expect(one["registered"] and one["address"] == provider.address, f"{one}")
    expect(one["attempts"] == 2, f"{one['attempts']} REGISTERs for one challenge")
    metrics = world.demarc.metrics()
    expect(metrics['demarc_trunk_registered{tenant="test",trunk="provider"}'] == 1, "the metric does not say so")
    expect("registered" in world.demarc.command("trunks"), "`demarc trunks` does not say so")
    inbound(t, world, provider)
    number = world.number("+4939")
    public = t.callee("callee", uas(), port=provider.public)
    t.caller("pbx", uac(hold_ms=200), port=world.ports["pbx"], remote=world.sip, service=number).wait()
    public.wait()
    record = world.record(number)
    expect(record["to"] == "trunk:provider" and record["status"] == 200, f"{record}")
    world.demarc.ask_to_end()
    expect(world.demarc.ended(10) == 0, "Demarc did not end by itself with code 0")
    refused = t.caller("late", uac(), port=provider.public, remote=provider.address, service=NUMBER, timeout=4)
    expect(refused.process.wait(10) != 0, "a call still found the registration")


@test("provider-restarts", 90)
def provider_restarts(t):
    """The provider is gone and comes back: the state says why, and Demarc is registered again by itself"""
    world, provider = provider_world(t, expires=10)
    registered(world)
    provider.stop()
    failed = wait_until(
        lambda: next((one for one in [state(world)] if one["state"] == "failed"), None), 15, "the failed refresh")
    expect(failed.get("reason"), f"no reason: {failed}")
    provider.start()
    registered(world, 40)
    inbound(t, world, provider)


@test("wrong-password", 60)
def wrong_password(t):
    """A wrong password is tried three times and then seldom; the right one, applied, works at once"""
    world, provider = provider_world(t, password="guess")
    failed = wait_until(
        lambda: next((one for one in [state(world)] if one.get("nextInSeconds", 0) > 600), None), 30,
        "the long wait")
    expect(failed["state"] == "failed" and failed["status"] == 401, f"{failed}")
    expect("password" in failed["reason"] and failed["failures"] == 3, f"{failed}")
    expect(failed["attempts"] == 6, f"{failed['attempts']} REGISTERs for three tries")
    document = world.resources()
    document["trunks"].append({
        "name": "provider", "tenant": "test", "kind": "carrier", "network": "loopback", "targets": [provider.address],
        "register": {"registrar": provider.domain, "username": "acme", "password": "provider-secret"}})
    world.demarc.apply(document)
    registered(world, 2)


class NamedProvider:
    """Kamailio as a provider that only DNS knows the address of, and a Demarc that registers there by its name."""

    def __init__(self, t):
        self.t, self.dns = t, free_port()
        self.provider = self.server("first")
        self.world = world = World(t.folder, t.program, 20)
        t.defer(world.close)
        plain = world.demarc.configuration
        world.demarc.configuration = lambda: {**plain(), "dns": {"servers": [f"127.0.0.2:{self.dns}"]}}

    def server(self, name):
        folder = pathlib.Path(self.t.folder) / name
        folder.mkdir()
        provider = Kamailio(folder, "provider.test", {"acme": "provider-secret"}, {NUMBER: "acme"})
        self.t.defer(provider.stop)
        return provider.start()

    def dead(self):
        """The port of a server that takes everything and says nothing."""
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.bind(("127.0.0.1", 0))
        self.t.defer(end.close)
        return end.getsockname()[1]

    def lines(self, *ports):
        """NAPTR leads to SRV, and that to the ports in their order; each record lives five seconds."""
        return [
            "local-ttl=5", "host-record=sip.provider.test,127.0.0.1",
            "naptr-record=provider.test,10,10,s,SIP+D2U,,_sip._udp.provider.test",
            *(f"srv-host=_sip._udp.provider.test,sip.provider.test,{port},{10 * place},0"
              for place, port in enumerate(ports, 1))]

    def apply(self):
        self.world.demarc.start()
        document = self.world.resources()
        document["trunks"].append({
            "name": "provider", "tenant": "test", "kind": "carrier", "network": "loopback",
            "register": {"registrar": "provider.test", "username": "acme", "password": "provider-secret"}})
        document["numbers"].append({"number": NUMBER, "tenant": "test", "destinations": [{"application": "echo"}]})
        self.world.demarc.apply(document)


@test("by-name", 90)
def by_name(t):
    """No address anywhere: NAPTR and SRV lead past a dead server; a changed record is followed, and calls with it"""
    named = NamedProvider(t)
    names = Dnsmasq(t.folder, "127.0.0.2", named.dns, named.lines(named.dead(), named.provider.port))
    t.defer(names.stop)
    named.apply()
    one = registered(named.world, 12)
    expect(one["address"] == named.provider.address, f"registered at {one['address']}")
    expect(one["attempts"] == 3, f"{one['attempts']} REGISTERs: one to the dead, two to the living")
    inbound(t, named.world, named.provider)
    second = named.server("second")
    names.start(named.lines(second.port))
    wait_until(
        lambda: (one := state(named.world))["state"] == "registered" and one["address"] == second.address, 25,
        "the registration at the new address", 0.2)
    inbound(t, named.world, second, "later", calls=2)


@test("unknown-name", 30)
def unknown_name(t):
    """A name that DNS does not know is a state with its reason, and is tried again"""
    named = NamedProvider(t)
    names = Dnsmasq(t.folder, "127.0.0.2", named.dns, ["host-record=other.test,127.0.0.1"])
    t.defer(names.stop)
    named.apply()
    failed = wait_until(
        lambda: next((one for one in [state(named.world)] if one["state"] == "failed"), None), 10, "the failure")
    expect("no address is known for provider.test" in failed["reason"], f"{failed}")
    expect(failed["attempts"] == 0 and failed["nextInSeconds"] < 5, f"{failed}")
    shown = named.world.demarc.command("registrations", "--upstream")
    expect("no address is known for" in shown, shown)
    wait_until(lambda: state(named.world)["failures"] >= 2, 10, "another try")


class SecureProvider:
    """Kamailio by TLS that wants our certificate, and a Demarc that registers there by a listener of TLS."""

    def __init__(self, t, name="provider.test"):
        authority = make_certificate(t.folder, "authority", ["authority.test"])
        theirs = make_certificate(t.folder, "provider", [name], authority)
        ours = make_certificate(t.folder, "ours", ["demarc.test"], authority)
        self.provider = Kamailio(
            t.folder, "provider.test", {"acme": "provider-secret"}, {NUMBER: "acme"},
            tls=(*theirs, authority[0]))
        t.defer(self.provider.stop)
        self.provider.start()
        self.world = world = World(t.folder, t.program, 20)
        t.defer(world.close)
        self.listener = free_port()
        plain = world.demarc.configuration

        def configuration():
            document = plain()
            document["listeners"].append({
                "name": "tls", "transport": "tls", "address": "127.0.0.1", "port": self.listener,
                "certificate": str(ours[0]), "key": str(ours[1])})
            return document
        world.demarc.configuration = configuration
        world.demarc.start()
        document = world.resources()
        document["networks"].append({"name": "outside", "listeners": ["tls"], "media": ["127.0.0.1"]})
        document["trunks"].append({
            "name": "provider", "tenant": "test", "kind": "carrier", "network": "outside", "transport": "tls",
            "targets": [f"127.0.0.1:{self.provider.secure}"],
            "tls": {"ca": str(authority[0]), "certificate": str(ours[0]), "key": str(ours[1])},
            "register": {"registrar": "provider.test", "username": "acme", "password": "provider-secret"}})
        document["numbers"].append({"number": NUMBER, "tenant": "test", "destinations": [{"application": "echo"}]})
        document["routes"].append({
            "name": "by-provider", "tenant": "test", "prefix": "+4939", "carriers": [{"trunk": "provider"}]})
        world.demarc.apply(document)

    def outbound(self, t, name):
        number = self.world.number("+4939")
        public = t.callee(f"callee-{name}", uas(), port=self.provider.public)
        t.caller(f"pbx-{name}", uac(hold_ms=200), port=self.world.ports["pbx"], remote=self.world.sip,
                 service=number).wait()
        public.wait()
        record = self.world.record(number)
        expect(record["to"] == "trunk:provider" and record["status"] == 200, f"{record}")


@test("registers-by-tls", 90)
def registers_by_tls(t):
    """By TLS with a certificate of ours: calls both ways; the provider restarts, and all is well"""
    secure = SecureProvider(t)
    one = registered(secure.world)
    expect(one["address"].endswith(f":{secure.provider.secure}"), f"{one}")
    inbound(t, secure.world, secure.provider)
    secure.outbound(t, "first")
    secure.provider.stop()
    failed = wait_until(
        lambda: next((one for one in [state(secure.world)] if one["state"] == "failed"), None), 10,
        "the end of the connection to be noticed")
    expect(not failed["registered"] and failed.get("reason"), f"{failed}")
    secure.provider.start()
    registered(secure.world, 40)
    inbound(t, secure.world, secure.provider, "again", calls=2)
    secure.outbound(t, "second")


@test("tls-of-another-name", 40)
def tls_of_another_name(t):
    """A registrar whose certificate is for another domain gets no REGISTER"""
    secure = SecureProvider(t, name="other.test")
    failed = wait_until(
        lambda: next((one for one in [state(secure.world)] if one["state"] == "failed"), None), 10, "the failure")
    expect(not failed["registered"], f"{failed}")
    metrics = secure.world.demarc.metrics()
    expect(metrics['demarc_sip_connections_ended_total{reason="wrongCertificateName"}'] >= 1, "the name was no matter")
