"""The Demarc that tests talk to: its resources as one document, its ports, its phones' accounts.

Every carrier has a dial prefix of its own, so that a test picks its carrier by the number it dials and
nothing that one test leaves behind can reach another.
"""

import itertools
import pathlib

from . import audio
from .demarc import Demarc
from .namespaces import inside
from .ports import free_port, free_range, has_ipv6
from .process import Failure, expect, wait_until

ANNOUNCEMENT = "Welcome to Demarc. This announcement is read from a file, word by word, and then the call ends."

# prefix → the trunks of its route, in order of priority
ROUTES = {
    "+4930": ["north"],
    "+4931": ["silent", "south"],
    "+4932": ["refusing", "south"],
    "+4933": ["closed", "south"],
    "+4934": ["few-calls"],
    "+4935": ["few-per-second"],
    "+4936": ["wants-digest"],
    "+4937": ["six"],
    "+4938": ["east"],
    "+4928": ["moved"],
    "+4927": ["moved", "south"],
}
CARRIERS = ["north", "silent", "mute", "shut", "south", "refusing", "closed", "few-calls", "few-per-second",
            "wants-digest", "east", "moved"]
USERS = ["alice", "bob", "carol", "dave", "erin", "frank", "grace"]
# Only users whom no other test calls.
FORWARDS = {
    "grace": {"forward": {
        "busy": {"number": "+4930555001"}, "noAnswer": {"user": "erin"}, "noAnswerAfter": "2s",
        "unreachable": {"application": "echo"}}},
}
PICKUPS = {"erin": {"pickup": ["frank"]}}
MAX_CALLS = 3
CALLS_PER_SECOND = 5
MEDIA_TIMEOUT = 6
CARRIER_TIMEOUT = 2
HOP_TIMEOUT = 3


class World:
    trunk_names = [*CARRIERS, "pbx", "pbx-digest", "six", "pbx-six"]

    def __init__(self, folder, program, media_pairs=600, media_addresses=("127.0.0.1",), namespace=None):
        self.folder = pathlib.Path(folder)
        self.domain, self.modern_domain = "demarc.test", "modern.test"
        self.ports = {name: free_port() for name in self.trunk_names}
        self.users = {
            name: {"extension": str(1001 + index), "password": f"secret-{name}"}
            for index, name in enumerate(USERS)}
        self._serial = itertools.count(100001)
        self.announcement = audio.speech(ANNOUNCEMENT)
        audio.write_wav(self.folder / "announcement.wav", self.announcement)
        with inside(namespace):
            first = free_range(2 * media_pairs, (*media_addresses, "::1"))
        self.demarc = Demarc(
            program, self.folder, sip_port=free_port(), media_ports=(first, 2 * media_pairs), ipv6=has_ipv6(),
            media_addresses=media_addresses, namespace=namespace)
        self.port = self.demarc.sip_port
        self.address = (media_addresses[0], self.port)
        self.sip = f"{media_addresses[0]}:{self.port}"

    def start(self):
        self.demarc.start()
        self.demarc.apply(self.resources())
        return self

    def close(self):
        self.demarc.stop()

    def number(self, prefix):
        """A number nobody has dialled yet that leads to the prefix's carriers."""
        return f"{prefix}{next(self._serial)}"

    def extension(self, user):
        return self.users[user]["extension"]

    # --- resources -----------------------------------------------------------------------------------
    def tenants(self):
        # sipsak takes the address that it sends to for the domain.
        return [{"name": "test", "domains": [self.domain, "127.0.0.1"]}]

    def modern_tenant(self):
        """Most phones of today give up at a challenge whose algorithm they do not know, so SHA-256 is a
        tenant's choice."""
        return {"name": "modern", "domains": [self.modern_domain], "digestAlgorithms": ["SHA-256", "MD5"]}

    def networks(self):
        networks = [{"name": "loopback", "listeners": ["v4"], "media": list(self.demarc.media_addresses)}]
        if self.demarc.ipv6:
            networks.append({"name": "loopback6", "listeners": ["v6"], "media": ["v6"]})
        return networks

    def user_accounts(self):
        return [
            {"name": name, "tenant": "test", "network": "loopback", **account, "mediaTimeout": f"{MEDIA_TIMEOUT}s",
             **FORWARDS.get(name, {}), **PICKUPS.get(name, {})}
            for name, account in self.users.items()]

    def resources(self):
        def trunk(name, kind="carrier", **more):
            address = f"127.0.0.1:{self.ports[name]}"
            return {"name": name, "tenant": "test", "kind": kind, "network": "loopback",
                    "targets": [address], "sources": [address], **more}

        limits = {
            "few-calls": {"maxCalls": MAX_CALLS},
            "few-per-second": {"callsPerSecond": CALLS_PER_SECOND},
            "north": {"diversion": "both"},
            "wants-digest": {"credentials": {"username": "demarc", "password": "carrier-secret"}},
            "east": {"mediaTimeout": f"{MEDIA_TIMEOUT}s"},
            "moved": {"redirects": "follow"},
        }
        trunks = [trunk(name, **limits.get(name, {})) for name in CARRIERS]
        trunks.append(trunk("pbx", "pbx"))
        trunks.append(trunk(
            "pbx-digest", "pbx", authentication={"username": "pbx", "password": "pbx-secret"}))
        routes = dict(ROUTES)
        if self.demarc.ipv6:
            for name, kind in (("six", "carrier"), ("pbx-six", "pbx")):
                address = f"[::1]:{self.ports[name]}"
                trunks.append({"name": name, "tenant": "test", "kind": kind, "network": "loopback6",
                               "targets": [address], "sources": [address]})
        else:
            routes.pop("+4937")
        chain = [{"user": "carol", "timeout": f"{HOP_TIMEOUT}s"}]
        return {
            "tenants": [*self.tenants(), self.modern_tenant()],
            "networks": self.networks(),
            "trunks": trunks,
            "users": [
                *self.user_accounts(),
                {"name": "max", "tenant": "modern", "network": "loopback", "extension": "1001",
                 "password": "secret-max"}],
            "numbers": [
                {"number": "+4940100", "tenant": "test", "destinations": [{"user": "alice"}]},
                {"number": "+4940101", "tenant": "test", "destinations": chain},
                {"number": "+4940102", "tenant": "test",
                 "destinations": [*chain, {"application": "announcement"}]},
                {"number": "+4940103", "tenant": "test", "destinations": [{"application": "echo"}]},
                {"number": "+4940111", "tenant": "test", "destinations": [
                    {"trunk": "mute", "timeout": "3s"}, {"trunk": "shut", "timeout": "3s"},
                    {"user": "grace", "timeout": "3s"}]},
                {"number": "+4940110", "tenant": "test", "destinations": [
                    {"ring": [{"user": "dave"}, {"user": "erin"}], "timeout": "20s"}]},
                {"number": "+4940104", "tenant": "test",
                 "destinations": [{"trunk": "east", "timeout": f"{HOP_TIMEOUT}s"}]},
            ],
            "routes": [
                {"name": f"to-{prefix.lstrip('+')}", "tenant": "test", "prefix": prefix, "timeout": f"{CARRIER_TIMEOUT}s",
                 "carriers": [{"trunk": name, "priority": place + 1} for place, name in enumerate(names)]}
                for prefix, names in routes.items()],
            "applications": [
                {"name": "echo", "tenant": "test", "extension": "9001", "kind": "echo"},
                {"name": "milliwatt", "tenant": "test", "extension": "9002", "kind": "milliwatt"},
                {"name": "announcement", "tenant": "test", "extension": "9003", "kind": "announcement",
                 "file": str(self.folder / "announcement.wav")},
                {"name": "quality", "tenant": "test", "extension": "9004", "kind": "quality"},
                {"name": "echo", "tenant": "modern", "extension": "9001", "kind": "echo"},
            ],
        }

    # --- what Demarc says ----------------------------------------------------------------------------
    def records(self, number):
        return [record for record in self.demarc.records(number=number) if record["calledNumber"] == number]

    def record(self, number, seconds=5):
        """The one record of the calls to a number, once it is closed."""
        def closed():
            found = self.records(number)
            expect(len(found) < 2, f"{len(found)} records of one call to {number}")
            return found and found[0]["state"] in ("ended", "interrupted") and found[0]
        return wait_until(closed, seconds, f"the closed record of the call to {number}", 0.1)

    def ended(self, identifier, seconds=5):
        """The closed record of a call by its name."""
        def closed():
            return next((record for record in self.demarc.records()
                         if record["id"] == identifier and record["state"] in ("ended", "interrupted")), None)
        return wait_until(closed, seconds, f"the closed record of {identifier}", 0.1)

    def live(self, number, seconds=5, state="answered"):
        """The running call to a number."""
        def there():
            return next(
                (call for call in self.demarc.calls()
                 if call.get("calledNumber") == number and call.get("state") == state), None)
        return wait_until(there, seconds, f"a call to {number} that is {state}", 0.1)

    def at_rest(self, seconds=45, gauges=Demarc.LEFT_OVERS):
        """Nothing is left of any call: no session, transaction or leased port."""
        found = {}

        def empty():
            metrics = self.demarc.metrics()
            found.update({name: metrics[name] for name in gauges})
            return not any(found.values())
        try:
            wait_until(empty, seconds, "", 0.3)
        except Failure:
            raise Failure(f"after {seconds} s there is still {found}") from None


class EastWorld(World):
    """A Demarc of a test's own, started, whose carrier `east` has these settings besides: playout="adaptive"."""

    def __init__(self, t, **settings):
        super().__init__(t.folder, t.program, media_pairs=20)
        self.settings_of_east = settings
        t.defer(self.close)
        self.start()

    def resources(self):
        document = super().resources()
        next(trunk for trunk in document["trunks"] if trunk["name"] == "east").update(self.settings_of_east)
        return document
