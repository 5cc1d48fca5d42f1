"""Random edits of the resources while calls run: no call fails, and each edit is applied whole or refused clearly.

    python3 scripts/edits.py [--edits 10000] [--seed NUMBER] [--rate 20] [--demarc PATH] [--results FILE] [--keep]

An edit adds, changes or removes networks, trunks, users, numbers, routes, applications, pools, classes, emergencies and
tenants, one to four at once, in a document of the sections that it touches or of all of them; one in a hundred goes
through `demarc apply`, the others through the API. What calls need stays: their route may move from one carrier to the
other, their network may advertise other addresses and gain and lose listeners. One edit in eight is wrong on purpose.
After each edit the resources in force are compared with what they must be, and every edit writes its number into two
sections, which a second reader compares all the time: it may never see one edit's half.

Passwords change as well: of users, and of a trunk whose calls go on over it. After each edit an agent finds out that
the password from before is refused and the new one taken (the other way round where the edit was refused), which
listeners belong to a network, and what addresses a new call is told.

Memory is compared at rest, after a tenth of the edits and at the end: it may grow by 5 % or 8 MB, whichever is more.
"""

import copy
import http.client
import json
import random
import re
import signal
import socket
import sys
import threading
import time

from campaign import (
    PORT_REST, SIPP_BUFFER, Office, arguments, at_rest, carry_out, datagrams_lost, differences, sample, wait_for_end)
from harness.agent import Agent  # noqa: E402
from harness.ports import free_port, free_range  # noqa: E402
from harness.process import Failure, wait_until  # noqa: E402
from harness.sipp import Caller, ready, sdp, Sipp, uac, uas  # noqa: E402

HOLD_MS = 500
MEMORY_SHARE, MEMORY_LEAST_MB = 0.05, 8
MOST = {"users": 40, "trunks": 12, "numbers": 30, "routes": 12, "applications": 8, "pools": 4, "classes": 6,
        "tenants": 4, "networks": 4}
# What calls go by is never removed, and what is changed of it does no call any harm.
KEPT = {"trunks": {"pbx", "desk", "north", "south"}, "routes": {"to-4930"}, "tenants": {"test"}, "classes": {"mark"},
        "applications": {"mark", "echo"}, "networks": {"loopback"}}
SECRETS = {"password"}
ECHO = "99"
# Listeners that no network needs, and port pairs of a media address that each may have.
SPARES, SPARE_PAIRS = 3, 60
# Calls that are held while the password of their trunk changes.
DESK_CALLS, DESK_HOLD_MS = 8, 4000


# --- the API -------------------------------------------------------------------------------------------
class Api:
    def __init__(self, path):
        self.path, self.connection, self.used = str(path), None, 0.0

    def ask(self, method, path, body=None):
        """(status, what the answer says)."""
        # A connection that is idle for a minute is closed.
        if self.connection and time.monotonic() - self.used > 20:
            self.connection.close()
            self.connection = None
        self.used = time.monotonic()
        if self.connection is None:
            self.connection = http.client.HTTPConnection("demarc")
            self.connection.sock = socket.socket(socket.AF_UNIX)
            self.connection.sock.settimeout(20)
            self.connection.sock.connect(self.path)
        try:
            self.connection.request(method, path, body)
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except Exception:
            self.connection.close()
            self.connection = None
            raise

    def resources(self):
        status, found = self.ask("GET", "/v1/resources")
        if status != 200:
            raise Failure(f"GET /v1/resources answered {status}")
        return found


# --- what is edited ------------------------------------------------------------------------------------
class Editor:
    """The resources as they must be, and random changes of them."""

    def __init__(self, document, seed):
        self.document, self.random, self.serial = document, random.Random(seed), 0
        document["classes"] = [{"name": "mark", "tenant": "test", "prefixes": ["+99999"], "maxCalls": 0}]
        document["applications"] = [{"name": "mark", "tenant": "test", "kind": "echo", "extension": "90000"},
                                    {"name": "echo", "tenant": "test", "kind": "echo", "extension": ECHO}]
        document["pools"], document["emergencies"] = [], []
        # No call of the desk may be between its challenge and its answer when its password changes.
        self.desk_is_held = False

    def names(self, kind, tenant="test"):
        return [item["name"] for item in self.document[kind] if item.get("tenant", tenant) == tenant]

    def fresh(self, kind):
        self.serial += 1
        return f"{kind.rstrip('s')}-{self.serial}"

    def maybe(self, item, **choices):
        for key, values in choices.items():
            if self.random.random() < 0.5:
                item[key] = self.random.choice(values)
        return item

    def secret(self):
        return f"a secret of {self.random.getrandbits(40):x}"

    # Each makes an item of its kind, under the name of one that is there or under a new one; None: it cannot be made.
    def users(self, name):
        extension = str(20000 + int(name.rpartition("-")[2]))
        item = {"name": name, "tenant": "test", "network": self.network(), "extension": extension,
                "password": self.secret()}
        self.maybe(item, callerID=["+493012345", "+493099999"], maxContacts=[1, 5, 100], mediaTimeout=["30s", "2m"],
                   redirects=["follow", "reject"], maxCalls=[1, 50], callsPerSecond=[1, 20])
        if self.random.random() < 0.3:
            forward = {"busy": {"number": "+493055555"}, "noAnswerAfter": self.random.choice(["5s", "1m"])}
            others = [one for one in self.names("users") if one != name]
            if others:
                forward["noAnswer"] = {"user": self.random.choice(others)}
            item["forward"] = forward
        return item

    def trunks(self, name):
        if name in KEPT["trunks"]:
            item = copy.deepcopy(next(one for one in self.base_trunks if one["name"] == name))
            # The limits are out of reach: what is edited is only what a call does not notice.
            if name == "desk":
                item["authentication"] = self.item("trunks", name)["authentication"]
            return self.maybe(
                item, maxCalls=[2000, 3000], callsPerSecond=[2000, 3000], mediaTimeout=["30s", "5m"],
                codecs=[["PCMU", "PCMA"], ["PCMU"]], wideLatching=[True, False], sessionTimers=["on", "off"],
                diversion=["none", "both"], earlyMedia=["pass", "ringback"], dtmfInfo=[True, False],
                sessionExpires=["10m", "1h"], rules=[
                    [{"name": "note", "direction": "out", "then": [{"add": "X-Note", "value": "edited"}]}]])
        port = 40000 + int(name.rpartition("-")[2]) % 20000
        item = {"name": name, "tenant": "test", "kind": "carrier", "network": self.network(),
                "targets": [f"127.1.0.1:{port}"], "sources": [f"127.1.0.1:{port}"]}
        return self.maybe(
            item, maxCalls=[1, 100], callsPerSecond=[1, 100], credentials=[{"username": "we", "password": "theirs"}],
            codecs=[["PCMA"], ["opus", "PCMU"]], mediaTimeout=["10s", "3m"], earlyOffer=[True, False],
            reliableProvisionals=["off", "required"], callerID=[{"allow": "owned", "otherwise": "anonymous"}])

    def numbers(self, number):
        chain = [{"application": "mark", "timeout": "10s"}]
        for kind, key in (("users", "user"), ("trunks", "trunk")):
            if self.names(kind) and self.random.random() < 0.6:
                chain.insert(0, {key: self.random.choice(self.names(kind)), "timeout": self.random.choice(["5s", "20s"])})
        return {"number": number, "tenant": "test", "destinations": chain}

    def routes(self, name):
        if name in KEPT["routes"]:
            first, second = self.random.choice([("north", "south"), ("south", "north")])
            item = {"name": name, "tenant": "test", "prefix": "+4930", "carriers": [
                {"trunk": first, "priority": 1}, {"trunk": second, "priority": 2}]}
        else:
            carriers = self.random.sample(self.names("trunks"), min(2, len(self.names("trunks"))))
            item = {"name": name, "tenant": "test", "prefix": f"+1{name.rpartition('-')[2]}",
                    "carriers": [{"trunk": trunk, "priority": place, "weight": self.random.randint(1, 99)}
                                 for place, trunk in enumerate(carriers)]}
            self.maybe(item, strip=[0, 1, 2], prepend=["", "+49", "00"])
        return self.maybe(item, timeout=["3s", "7s"], failoverOn=[["carrier-timeout", "transport-failed"]])

    def applications(self, name):
        item = {"name": name, "tenant": "test", "kind": self.random.choice(["echo", "milliwatt", "quality"])}
        return self.maybe(item, extension=[str(80000 + int(name.rpartition("-")[2]))])

    def pools(self, name):
        trunks = self.random.sample(self.names("trunks"), self.random.randint(1, len(self.names("trunks"))))
        return self.maybe({"name": name, "tenant": "test", "lines": self.random.choice([2000, 5000]),
                           "trunks": trunks}, whenFull=["busy", "next"])

    def classes(self, name):
        # A class that limits nothing is refused.
        item = {"name": name, "tenant": "test", "prefixes": [f"+8{name.rpartition('-')[2]}"],
                "maxCalls": self.random.randint(0, 10)}
        return self.maybe(item, callsPerSecond=[1, 10])

    def tenants(self, name):
        if name in KEPT["tenants"]:
            # SIPp takes the first algorithm, and knows no other than MD5.
            return self.maybe({"name": name, "domains": ["demarc.test"], "numbers": {"countryCode": "49"}}, maxCalls=[2000, 3000],
                              callsPerSecond=[2000, 3000], digestAlgorithms=[["MD5"], ["MD5", "SHA-256"]])
        return self.maybe({"name": name, "domains": [f"{name}.test"]}, maxCalls=[5, 100])

    def networks(self, name):
        mine = {"loopback": ["v4"]}.get(name, [])
        spare = [listener for listener, holder in self.listeners().items() if holder in (None, name)]
        if not mine and not spare:
            return None
        listeners = mine + self.random.sample(spare, self.random.randint(0 if mine else 1, len(spare)))
        media = self.random.choice([["127.0.0.1"], ["127.0.0.1", "spare"], ["spare", "127.0.0.1"]])
        self.random.shuffle(listeners)
        # SIPp speaks by whatever it was reached by, and says nothing: what is advertised does a call no harm.
        return self.maybe({"name": name, "listeners": listeners, "media": media}, trusted=[True, False],
                          advertisedSignalling=["127.0.0.1", "127.9.0.1"], advertisedMedia=["127.0.0.1", "127.9.0.2"])

    def network(self):
        return self.random.choice(["loopback", *self.names("networks")])

    def listeners(self):
        """Each spare listener, and the network that has it."""
        held = {name: network["name"] for network in self.document["networks"] for name in network["listeners"]}
        return {f"spare-{index}": held.get(f"spare-{index}") for index in range(SPARES)}

    # --- an edit -------------------------------------------------------------------------------------
    def start(self):
        self.base_trunks = copy.deepcopy(self.document["trunks"])

    def key(self, kind):
        return "number" if kind == "numbers" else "name"

    def item(self, kind, name):
        return next((item for item in self.document[kind] if item[self.key(kind)] == name), None)

    def change(self):
        """One random change of the document; the kind that it touched, or None where it could not be made."""
        kind = self.random.choice([*MOST, "emergencies"])
        if kind == "emergencies":
            self.document[kind] = [] if self.document[kind] else [
                {"tenant": "test", "country": "49", "carriers": [{"trunk": "north"}], "reserved": self.random.randint(0, 9)}]
            return kind
        items, key, make = self.document[kind], self.key(kind), getattr(self, kind)
        loose = [item for item in items if item[key] not in KEPT.get(kind, ())]
        chance = self.random.random()
        if chance < 0.3 and loose:
            gone = self.random.choice(loose)
            if self.is_referred_to(kind, gone[key]):
                return None
            items.remove(gone)
        elif chance < 0.7 and items:
            place = self.random.randrange(len(items))
            made = items[place][key] not in ("mark", "echo") and make(items[place][key])
            if not made:
                return None
            items[place] = made
        elif len(items) < MOST[kind]:
            name = self.fresh(kind)
            made = make(f"+4940{name.rpartition('-')[2]}" if kind == "numbers" else name)
            if not made:
                return None
            items.insert(self.random.randint(0, len(items)), made)
        else:
            return None
        return kind

    def rotate(self):
        """A new password and nothing else, of the desk or of a user; the kind that it touched, or None where nobody's
        may change now."""
        desk = self.desk_is_held and (not self.document["users"] or self.random.random() < 0.5)
        if desk:
            self.item("trunks", "desk")["authentication"]["password"] = self.secret()
            return "trunks"
        if self.document["users"]:
            self.random.choice(self.document["users"])["password"] = self.secret()
            return "users"
        return None

    def is_referred_to(self, kind, name):
        """Whether any other item has this name in it; every name is unique in the document."""
        for other, items in self.document.items():
            for item in items:
                if not (other == kind and item[self.key(kind)] == name) and f'"{name}"' in json.dumps(item):
                    return True
        return False

    def mark(self, number):
        """The same number in two sections."""
        for item in self.document["classes"]:
            if item["name"] == "mark":
                item["maxCalls"] = number
        for item in self.document["applications"]:
            if item["name"] == "mark":
                item["extension"] = str(90000 + number)

    def edit(self, number):
        """A document to apply; the resources as they must be afterwards are in `document`."""
        touched = {"classes", "applications"}
        wanted, tries = self.random.randint(1, 4), 0
        while wanted and tries < 50:
            tries += 1
            kind = self.rotate() if self.random.random() < 0.2 else self.change()
            if kind:
                touched.add(kind)
                wanted -= 1
        self.mark(number)
        sections = list(self.document) if self.random.random() < 0.3 else [
            kind for kind in self.document if kind in touched]
        return {kind: self.document[kind] for kind in sections}

    def mistake(self, document):
        """A document with one mistake: (text of it, what the error must name or None)."""
        document = copy.deepcopy(document)
        trunks = document.setdefault("trunks", copy.deepcopy(self.document["trunks"]))
        routes = document.setdefault("routes", copy.deepcopy(self.document["routes"]))
        which = self.random.randrange(10)
        if which == 0:
            self.random.choice(trunks)["maxCals"] = 3
            return json.dumps(document), "maxCals"
        if which == 1:
            self.random.choice(routes)["carriers"] = [{"trunk": "nobody"}]
            return json.dumps(document), "nobody"
        if which == 2:
            trunks.append(copy.deepcopy(self.random.choice(trunks)))
            return json.dumps(document), None
        if which == 3:
            self.random.choice(trunks)["maxCalls"] = "many"
            return json.dumps(document), "many"
        if which == 4:
            self.random.choice(routes)["timeout"] = "5 parsecs"
            return json.dumps(document), "parsecs"
        if which == 5:
            text = json.dumps(document)
            return text[:self.random.randrange(1, len(text) - 1)] + "[{", None
        if which == 6:
            document["networks"] = []
            return json.dumps(document), None
        if which in (7, 8):
            networks = document.setdefault("networks", copy.deepcopy(self.document["networks"]))
            # No such listener, or one that another network has.
            listener = "v5" if which == 7 else "v4"
            networks.append({"name": "astray", "listeners": [listener], "media": ["spare"]})
            return json.dumps(document), listener
        document["routes"] = [item for item in routes if item["name"] != "to-4930"]
        document["trunks"] = [item for item in trunks if item["name"] != "north"] + [
            {"name": "north", "tenant": "test", "kind": "carrier", "network": "nowhere", "targets": ["127.0.0.1"]}]
        return json.dumps(document), "nowhere"


def lacks(wanted, found, path=""):
    """Where `found` is not what was written: it may have more keys (defaults), and has no secrets."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return f"{path}: {found!r}"
        for key, value in wanted.items():
            if key not in SECRETS:
                problem = lacks(value, found.get(key), f"{path}.{key}")
                if problem:
                    return problem
        return None
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return f"{path}: {len(found) if isinstance(found, list) else found!r} in place of {len(wanted)}"
        for index, (one, other) in enumerate(zip(wanted, found)):
            problem = lacks(one, other, f"{path}[{index}]")
            if problem:
                return problem
        return None
    return None if wanted == found else f"{path}: {found!r} in place of {wanted!r}"


class HalfReader(threading.Thread):
    """Reads the resources all the time: the two marks of an edit must always be of the same edit."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.api, self.ending, self.reads, self.problem = Api(path), threading.Event(), 0, None

    def run(self):
        while not self.ending.is_set() and not self.problem:
            try:
                found = self.api.resources()
            except Exception as error:  # told at the end, as what it is
                self.problem = f"the second reader: {error!r}"
                return
            classes = next(item["maxCalls"] for item in found["classes"] if item["name"] == "mark")
            applications = next(item["extension"] for item in found["applications"] if item["name"] == "mark")
            if int(applications) != 90000 + classes:
                self.problem = f"half an edit: classes are of {classes}, applications of {int(applications) - 90000}"
            self.reads += 1
            time.sleep(0.02)


# --- what an edit does ---------------------------------------------------------------------------------
def passwords(document):
    """{(kind, name): (username, password, network)} of whoever proves itself."""
    found = {("users", one["name"]): (one["name"], one["password"], one["network"]) for one in document["users"]}
    for one in document["trunks"]:
        if "authentication" in one:
            found["trunks", one["name"]] = (*one["authentication"].values(), one["network"])
    return found


class Guesses:
    """Wrong passwords are tried no more often than Demarc looks at: of an account ten, and then one every six seconds."""
    MOST, WITHIN = 8, 60.0

    def __init__(self):
        self.made = {}

    def may(self, account):
        now, made = time.monotonic(), self.made.setdefault(account, [])
        made[:] = [then for then in made if now - then < self.WITHIN]
        if len(made) == self.MOST:
            return False
        made.append(now)
        return True


class Tester:
    """Asks as a user and as the desk whether what was edited is so. Of several users it takes one."""

    def __init__(self, office, ports, desk_port, seed):
        self.random, self.told = random.Random(seed), {"passwords": 0, "desk": 0, "refused": 0, "networks": 0}
        self.guesses = Guesses()
        self.desk = Agent(office.address, "desk", domain=office.domain, port=desk_port)
        self.agents = {name: Agent(("127.0.0.1", port), domain=office.domain) for name, port in ports.items()}

    def close(self):
        for agent in (self.desk, *self.agents.values()):
            agent.close()

    def look(self, before, after, what):
        """Of two documents the other one is in force, and the one is not: whatever differs is tried."""
        old, new = passwords(before), passwords(after)
        desk = ("trunks", "desk")
        changed = [who for who in new if who in old and old[who][1] != new[who][1]]
        if desk in changed:
            self.told["desk"] += 1
            if self.guesses.may(desk):
                self.told["refused"] += 1
                self.expect_call(old[desk][1], 401, None, f"{what}: the desk's other password")
        if desk in changed or before["networks"] != after["networks"]:
            network = next(one for one in after["networks"] if one["name"] == "loopback")
            self.expect_call(new[desk][1], 200, network, f"{what}: the desk's password")
        users = [who for who in changed if who != desk]
        if users:
            self.told["passwords"] += 1
            who = self.random.choice(users)
            if self.guesses.may(who):
                self.told["refused"] += 1
                self.expect_register(new[who], old[who][1], after, 401, f"{what}: the other password of {who[1]}")
            self.expect_register(new[who], new[who][1], after, 200, f"{what}: the valid password of {who[1]}")
        if before["networks"] != after["networks"]:
            self.told["networks"] += 1
            held = {name for network in after["networks"] for name in network["listeners"]}
            for name, agent in self.agents.items():
                agent.password, agent.user = None, "nobody"
                status = answered(agent, "REGISTER").status
                if status != (401 if name in held else 403):
                    raise Failure(f"{what}: {name} is {'' if name in held else 'not '}of a network, and says {status}")

    def expect_register(self, account, password, document, status, what):
        """A REGISTER that leaves nothing behind."""
        user, _, network = account
        listeners = next(one["listeners"] for one in document["networks"] if one["name"] == network)
        agent = self.agents[self.random.choice(listeners)]
        agent.user, agent.password = user, password
        found = answered(agent, "REGISTER").status
        if found != status:
            raise Failure(f"{what} got {found}, not {status}")

    def expect_call(self, password, status, network, what):
        """A call of the desk to the echo, which is told of the addresses that the network has now."""
        self.desk.password = password
        answer, dialog = answered(self.desk, "INVITE", whole=True)
        if answer.status != status:
            raise Failure(f"{what} got {answer.status}, not {status}")
        if status != 200:
            return
        ended = dialog.bye(10).status
        signalling, media = (network.get(key, "127.0.0.1") for key in ("advertisedSignalling", "advertisedMedia"))
        told = (re.search(r"([\d.]+):\d+", answer.contact_uri()).group(1),
                re.search(r"(?m)^c=IN IP4 ([\d.]+)", answer.body.decode()).group(1))
        if ended != 200 or told != (signalling, media):
            raise Failure(f"{what}: BYE got {ended}, and {told} was told in place of {(signalling, media)}")


def answered(agent, method, whole=False):
    """The final response of whoever is not sent away for a moment, as strangers are on a busy machine."""
    found = None

    def final():
        nonlocal found
        if method == "REGISTER":
            found = agent.exchange(method, f"sip:{agent.domain}", ("Expires: 0",), seconds=10,
                                   to=f"<sip:{agent.user}@{agent.domain}>")
        else:
            found = agent.exchange(method, f"sip:{ECHO}@{agent.domain}", body=agent.sdp(40000), seconds=10)
        return found[0].status != 503
    wait_until(final, 10, f"an answer to {method} other than 503", 0.2)
    return found if whole else found[0]


# --- the run -------------------------------------------------------------------------------------------
class Desk:
    """Calls of a trunk that proves itself by digest: a few begin together, and are held while edits are made."""

    def __init__(self, office, folder):
        self.office, self.folder = office, folder
        self.caller, self.is_held, self.rounds, self.good, self.failed = None, True, 0, 0, 0

    def look(self, api, password):
        """Begins the next round when the one before is over; `is_held` says that no call of this one is on its way."""
        if self.caller is None:
            self.rounds += 1
            self.is_held = False
            self.caller = Sipp(
                self.folder, f"desk-{self.rounds}",
                uac(hold_ms=DESK_HOLD_MS, body=sdp(formats="0"), digest=401,
                    caller=Caller(domain=self.office.domain, user="desk")),
                port=self.office.ports["desk"], remote=self.office.sip, calls=DESK_CALLS, rate=20,
                service="+4930200001", user="desk", password=password, messages=False, timeout=60)
        elif not self.caller.process.running():
            self.collect()
        elif not self.is_held:
            status, found = api.ask("GET", "/v1/calls")
            if status != 200:
                raise Failure(f"GET /v1/calls answered {status}")
            running = [one for one in found["items"] if one["from"] == "trunk:desk" and one["state"] == "answered"]
            self.is_held = len(running) == DESK_CALLS

    def collect(self):
        self.caller.process.wait(1)
        self.good += self.caller.count("SuccessfulCall(C)")
        self.failed += DESK_CALLS - self.caller.count("SuccessfulCall(C)")
        self.caller, self.is_held = None, True

    def end(self):
        """(good, failed) since the last end."""
        if self.caller:
            wait_for_end([self.caller], 40)
            self.stop()
            self.collect()
        told = self.good, self.failed
        self.good = self.failed = 0
        return told

    def stop(self):
        if self.caller:
            self.caller.stop()


class Calls:
    """SIPp at both ends, for as long as edits are made."""

    def __init__(self, office, folder, rate):
        folder.mkdir()
        plain = sdp(formats="0")
        self.callees = [
            ready(Sipp(folder, f"callee-{carrier}", uas(ring_ms=50, body=plain), port=office.ports[carrier], calls=0,
                       messages=False, timeout=7200, extra=SIPP_BUFFER, limit=rate * 20))
            for carrier in ("north", "south")]
        self.caller = Sipp(
            folder, "caller", uac(hold_ms=HOLD_MS, body=plain), port=office.ports["pbx"], remote=office.sip, calls=0,
            rate=rate, service="+4930100001", messages=False, timeout=7200, extra=SIPP_BUFFER, limit=rate * 20)
        self.desk = Desk(office, folder)
        self.lost = 0

    def look(self):
        self.lost = max(self.lost, datagrams_lost(self.caller.port, *(one.port for one in self.callees)))

    def end(self):
        """(good, failed, how many of the good were the desk's): the open calls come to their end first."""
        self.look()
        if self.caller.process.running():
            self.caller.process.child.send_signal(signal.SIGUSR1)
        held, dropped = self.desk.end()
        wait_for_end([self.caller], 40)
        self.stop()
        return self.caller.count("SuccessfulCall(C)") + held, self.caller.count("FailedCall(C)") + dropped, held

    def stop(self):
        self.desk.stop()
        for one in (self.caller, *self.callees):
            one.stop()


class Tally:
    def __init__(self):
        self.applied = self.refused = self.by_command = 0
        self.slowest = 0.0


def apply_through_command(demarc, text, folder):
    path = folder / "edit.yaml"
    path.write_text(text)
    code, output = demarc.try_command("apply", "-f", path)
    return code, output


def one_edit(number, editor, api, demarc, folder, tally, tester):
    """Makes an edit and holds what came of it against the document; a Failure where they differ."""
    before = copy.deepcopy(editor.document)
    document = editor.edit(number)
    wrong, wanted = editor.random.random() < 0.125, editor.document
    if wrong:
        text, named = editor.mistake(document)
        editor.document = before
    else:
        text, named = json.dumps(document), None
    what = f"edit {number}"
    began = time.monotonic()
    if editor.random.random() < 0.01:
        tally.by_command += 1
        code, output = apply_through_command(demarc, text, folder)
        if code != (1 if wrong else 0):
            raise Failure(f"{what}: `demarc apply` ended with {code}: {output[:600]}\n{text[:4000]}")
        if wrong and named and named not in output:
            raise Failure(f"{what}: the error does not name {named}: {output[:600]}")
    else:
        status, answer = api.ask("POST", "/v1/resources:apply", text)
        if wrong:
            problems = answer.get("error", {}).get("problems", [])
            if status != 422 or not problems or not all(one.get("message") and one.get("remedy") for one in problems):
                raise Failure(f"{what}: a mistake got {status}: {json.dumps(answer)[:600]}\n{text[:4000]}")
            if named and named not in json.dumps(problems):
                raise Failure(f"{what}: the error does not name {named}: {json.dumps(problems)[:600]}")
        elif status != 200:
            raise Failure(f"{what}: a valid edit got {status}: {json.dumps(answer)[:1200]}\n{text[:4000]}")
        elif not answer["changed"]:
            raise Failure(f"{what}: it is said to change nothing")
    tally.slowest = max(tally.slowest, time.monotonic() - began)
    if wrong:
        tally.refused += 1
    else:
        tally.applied += 1
    problem = lacks(editor.document, api.resources())
    if problem:
        raise Failure(f"{what} was {'refused' if wrong else 'applied'}, and yet there is {problem}")
    # What was refused is no more in force than what was before an edit that was applied.
    tester.look(wanted if wrong else before, editor.document, what)


def configure(office, spares):
    """More listeners and media ports than are needed. The ring of ladders fills as calls go by, which is not what is
    measured here."""
    plain, first = office.demarc.configuration, free_range(2 * SPARE_PAIRS)
    office.pairs += SPARE_PAIRS

    def configuration():
        found = plain()
        found["listeners"] += [{"name": name, "address": "127.0.0.1", "port": port} for name, port in spares.items()]
        found["media"].append(
            {"name": "spare", "address": "127.0.0.1", "ports": f"{first}-{first + 2 * SPARE_PAIRS - 1}"})
        return {**found, "limits": {"ladderMemory": "1MiB"}}
    office.demarc.configuration = configuration


def edits(options, verdict, folder):
    pairs = int(options.rate * 2 * (PORT_REST + 2) * 1.5) + 100
    office = Office(options.demarc, folder / "office", {"pbx": {}, "desk": {}}, {"north": {}, "south": {}},
                    {"+4930": ["north", "south"]}, pairs)
    # The agent that looks whether a password is taken is the desk as well.
    desk_port = free_port()
    office.callers["desk"].update({
        "authentication": {"username": "desk", "password": "a secret"},
        "sources": [f"127.0.0.1:{port}" for port in (office.ports["desk"], desk_port)]})
    spares = {f"spare-{index}": free_port() for index in range(SPARES)}
    configure(office, spares)
    demarc, tally = office.demarc, Tally()
    tester = Tester(office, {"v4": demarc.sip_port, **spares}, desk_port, options.seed)
    calls = reader = None
    good = failed = held = 0
    try:
        office.start()
        editor = Editor(office.resources(), options.seed)
        editor.start()
        api = Api(demarc.socket)
        status, answer = api.ask("POST", "/v1/resources:apply", json.dumps(editor.document))
        if status != 200:
            raise Failure(f"the first document got {status}: {answer}")
        warm_up = max(1, options.edits // 10)
        before, told, began = None, time.monotonic(), time.monotonic()
        calls, reader = Calls(office, folder / "calls-0", options.rate), HalfReader(demarc.socket)
        reader.start()
        wait_until(lambda: reader.reads or reader.problem, 10, "the second reader")
        empty = {**sample(demarc), "ports_leased": 0, "media_transports": 0, "calls_active": 0, "trunk_calls": 0,
                 "transactions": 0, "timers": 0, "facts_unconfirmed": 0, "store_waiting": 0, "ports_free": office.pairs}
        for number in range(1, warm_up + options.edits + 1):
            calls.desk.look(api, editor.item("trunks", "desk")["authentication"]["password"])
            editor.desk_is_held = calls.desk.is_held
            one_edit(number, editor, api, demarc, folder, tally, tester)
            if reader.problem:
                raise Failure(reader.problem)
            if not demarc.running():
                raise Failure(f"Demarc died: {demarc.last_words()}")
            if number == warm_up:
                one, other, of_desk = calls.end()
                good, failed, held = good + one, failed + other, held + of_desk
                before, lost = at_rest(demarc, empty), calls.lost
                verdict.check(not differences(before, empty), f"left after the warm-up: {differences(before, empty)}")
                print(f"warm-up over: {warm_up} edits, {before['rss_mb']} MB at rest", flush=True)
                calls = Calls(office, folder / "calls-1", options.rate)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                calls.look()
                print(f"{number - warm_up:6} edits  {tally.applied} applied  {tally.refused} refused  "
                      f"{calls.caller.count('SuccessfulCall(C)')} calls, {calls.caller.count('FailedCall(C)')} failed  "
                      f"{sample(demarc)['rss_mb']} MB", flush=True)
        one, other, of_desk = calls.end()
        good, failed, held, lost = good + one, failed + other, held + of_desk, lost + calls.lost
        after = at_rest(demarc, before)
        reader.ending.set()
        reader.join(10)
        took = time.monotonic() - began
        verdict.check(reader.problem is None, reader.problem)
        verdict.check(good > held > 0, "no call was made")
        verdict.check(failed <= lost, f"{failed} of {good + failed} calls failed, SIPp's sockets lost {lost} datagrams")
        left = differences(after, before)
        verdict.check(not left, f"left at the end: {[(name, after[name], before[name]) for name in left]}")
        allowed = max(MEMORY_SHARE * before["rss_mb"], MEMORY_LEAST_MB)
        growth = after["rss_mb"] - before["rss_mb"]
        verdict.check(growth <= allowed, f"resident memory grew by {growth:.1f} MB; {allowed:.1f} are allowed")
        verdict.check(after["internal_faults"] == 0, f"{after['internal_faults']:.0f} internal faults")
        verdict.figures.update({
            "edits": warm_up + options.edits, "applied": tally.applied, "refused": tally.refused,
            "by_command": tally.by_command, "slowest_ms": round(tally.slowest * 1000), "reads": reader.reads,
            "calls": good + failed, "failed": failed, "lost_datagrams": lost, "seconds": round(took),
            "desk_calls": held, "desk_passwords": tester.told["desk"], "user_passwords": tester.told["passwords"],
            "wrong_passwords": tester.told["refused"], "network_edits": tester.told["networks"],
            "rss_before_mb": before["rss_mb"], "rss_after_mb": after["rss_mb"], "rate": options.rate})
        print(f"{tally.applied} edits applied and {tally.refused} refused in {took:.0f} s, the slowest in "
              f"{tally.slowest * 1000:.0f} ms; {reader.reads} reads beside them; {good} calls, {held} of them of the "
              f"desk, {failed} failed; tried out: {tester.told['desk']} passwords of the desk, "
              f"{tester.told['passwords']} of users ({tester.told['refused']} times the wrong one as well) and "
              f"{tester.told['networks']} edits of networks; "
              f"{before['rss_mb']} MB before, {after['rss_mb']} MB after")
    finally:
        if reader:
            reader.ending.set()
        if calls:
            calls.stop()
        tester.close()
        office.close()


def main():
    parser = arguments("edits", __doc__)
    parser.add_argument("--edits", type=int, default=10_000, help="after a warm-up of a tenth as many")
    parser.add_argument("--seed", type=int, help="of the edits; a new one if left out")
    parser.add_argument("--rate", type=int, default=20, help="calls a second")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 31)
    print(f"seed {options.seed}")

    def work(*given):
        try:
            edits(*given)
        except (OSError, http.client.HTTPException) as failure:
            raise Failure(f"the API: {failure!r}") from failure
    return carry_out("edits", work, options, seed=options.seed)


if __name__ == "__main__":
    sys.exit(main())
