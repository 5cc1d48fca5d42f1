"""Signed calls (STIR/SHAKEN) against PASSporTs made and read by another program."""

import ipaddress
import json
import re
import time

from harness.authority import Authority, Shelf, is_signed, number_authority, read_passport, shaken
from harness.case import test
from harness.process import expect, run, wait_until
from harness.sipp import uas
from harness.world import World

CALLER = "49891234567"
# Numbers of ours: one leads to the carrier north, one to a user who forwards to it.
OURS, FORWARDED, ELSEWHERE = "4940151", "4940150", "4930777001"


class Signed(World):
    """East is a carrier whose calls are verified, north one whose calls are signed; `stir` is what each is like."""

    def __init__(self, t, verify="require", private=True, ours=number_authority(codes=["512J"]), **settings):
        super().__init__(t.folder, t.program)
        self.t, self.verify = t, verify
        self.authority = Authority()
        self.provider = self.authority.certify("Provider", number_authority(codes=["709J"]))
        self.ours = self.authority.certify("Demarc", ours)
        server = self.authority.certify(
            "localhost", hosts=["localhost"], addresses=[ipaddress.ip_address("127.0.0.1")])
        self.shelf = Shelf(server, self.folder)
        t.defer(self.shelf.close)
        self.shelf.files = {"/provider.pem": self.provider.chain_pem(), "/ours.pem": self.ours.chain_pem()}
        files = {"ca.pem": self.authority.pem(), "ours.pem": self.ours.chain_pem(), "ours.key": self.ours.key_pem()}
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        self.demarc.settings["stir"] = {
            "trust": [str(self.folder / "ca.pem")], "ca": str(self.folder / "ca.pem"),
            "privateHosts": ["localhost"] if private else [],
            "certificates": [{
                "name": "ours", "url": self.shelf.url("/ours.pem"),
                "certificate": str(self.folder / "ours.pem"), "key": str(self.folder / "ours.key")}],
            **settings}
        t.defer(self.close)
        self.start()
        self.north = t.callee("north", uas(ring_ms=0), port=self.ports["north"], calls=0, messages=True)
        self.east = t.agent(world=self, port=self.ports["east"], user="+" + CALLER)

    def user_accounts(self):
        more = {
            "alice": {"callerID": "+4940100"}, "carol": {"callerID": "+4940999"},
            "dave": {"forward": {"always": {"number": "+" + ELSEWHERE}}},
        }
        return [{**account, **more.get(account["name"], {})} for account in super().user_accounts()]

    def resources(self):
        document = super().resources()
        for trunk in document["trunks"]:
            if trunk["name"] == "north":
                trunk["stir"] = {"sign": True, "pass": True, "verstat": True}
            if trunk["name"] == "east":
                trunk["stir"] = {"verify": self.verify}
        document["numbers"] += [
            {"number": "+" + OURS, "tenant": "test", "destinations": [{"trunk": "north"}]},
            {"number": "+" + FORWARDED, "tenant": "test", "destinations": [{"user": "dave"}]}]
        return document

    def identity(self, key=None, path="/provider.pem", dest=OURS, orig=CALLER, age=0, **more):
        claims = shaken(orig, dest, time.time() - age, **more)
        return (key or self.provider).identity(self.shelf.url(path), claims)

    def call(self, *identities, number=OURS):
        """East calls with these Identity values; the answer."""
        answer, dialog = self.east.exchange(
            "INVITE", f"sip:+{number}@{self.domain}", [f"Identity: {one}" for one in identities],
            self.east.sdp(40080), seconds=8)
        if answer.status == 200:
            dialog.bye()
        return answer

    def refused(self, line, *identities, number=OURS):
        answer = self.call(*identities, number=number)
        expect(answer.start == f"SIP/2.0 {line}", f"{answer.start}, not {line}")

    def invites(self):
        """The calls that north got, the last one last: each message's text."""
        found = {}
        for text in self.north.received():
            if text.startswith("INVITE "):
                found[re.search(r"^Call-ID: *(\S+)", text, re.I | re.M).group(1)] = text
        return list(found.values())

    def tokens(self):
        """Of the last call that north got: header and claims of each PASSporT, its signature verified."""
        text = self.invites()[-1]
        found = []
        for value in re.findall(r"^Identity: *(.*?)\r?$", text, re.I | re.M):
            header, claims, signed, signature = read_passport(value)
            key = self.ours if header["x5u"].endswith("/ours.pem") else self.provider
            expect(is_signed(key, signed, signature), f"not signed by {key.certificate.subject}: {value}")
            expect(f"info=<{header['x5u']}>" in value and f"ppt={header['ppt']}" in value, value)
            found.append((header, claims))
        return found

    def notes(self):
        def closed():
            records = self.demarc.records()
            return records and all(one["state"] == "ended" for one in records) and records
        records = wait_until(closed, 5, "the records to be closed", 0.1)
        return [note for record in records for note in record.get("notes") or []]


@test("sign", 40)
def sign(t):
    """A user's call is signed with A for the number that is the user's, and another program verifies it"""
    world = Signed(t)
    alice = t.agent(user="alice", password=world.users["alice"]["password"], world=world)
    number = world.number("+4930")
    answer, dialog = alice.exchange("INVITE", f"sip:{number}@{world.domain}", body=alice.sdp(40082))
    expect(answer.status == 200, answer.start)
    dialog.bye()
    ((header, claims),) = world.tokens()
    expect(header == {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": world.shelf.url("/ours.pem")}, header)
    expect(claims["attest"] == "A" and claims["orig"] == {"tn": "4940100"}, claims)
    expect(claims["dest"] == {"tn": [number.lstrip("+")]} and abs(claims["iat"] - time.time()) < 10, claims)
    expect(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", claims["origid"]), claims)
    expect("signed by ours, attestation A" in world.notes(), world.notes())


@test("sign-limited", 40)
def sign_limited(t):
    """A certificate of some numbers signs calls of those; others go unsigned, and the record and doctor say why"""
    world = Signed(t, ours=number_authority(ranges=[("4940100", 2)]))
    for name, has_token in (("alice", True), ("carol", False)):
        phone = t.agent(user=name, password=world.users[name]["password"], world=world)
        number = world.number("+4930")
        answer, dialog = phone.exchange("INVITE", f"sip:{number}@{world.domain}", body=phone.sdp(40082))
        expect(answer.status == 200, answer.start)
        dialog.bye()
        tokens = world.tokens()
        expect([claims["attest"] for _, claims in tokens] == (["A"] if has_token else []), f"{name}: {tokens}")
    notes = world.notes()
    for words in ("signed by ours, attestation A", "not signed: certificate may not speak for 4940999 (ours)"):
        expect(words in notes, f"{words}: {notes}")
    expect(world.demarc.metrics()["demarc_stir_signing_failures_total"] == 1, "the metric of what was not signed")
    _, output = run([t.program, "doctor", "files", "--config", world.folder / "demarc.yaml"])
    expect("speaks for one block of numbers alone" in output, output)


@test("verify", 90)
def verify(t):
    """A signed call goes on and is shown as verified; each thing that is wrong has its answer"""
    world = Signed(t)
    answer = world.call(world.identity())
    expect(answer.status == 200, answer.start)
    caller = re.search(r"^From: *(.*?)\r?$", world.invites()[-1], re.I | re.M).group(1)
    expect(f"<sip:+{CALLER};verstat=TN-Validation-Passed@" in caller, caller)
    expect(world.shelf.asked == ["/provider.pem"], world.shelf.asked)
    # The same certificate serves the next call.
    expect(world.call(world.identity()).status == 200, "the second call")
    expect(world.shelf.asked == ["/provider.pem"], world.shelf.asked)

    world.refused("428 Use Identity Header")
    world.refused("403 Stale Date", world.identity(age=75))
    world.refused("436 Bad Identity Info", world.identity(path="/none.pem"))
    stranger = Authority("Another").certify("Stranger", number_authority(codes=["709J"]))
    narrow = world.authority.certify("Narrow", number_authority(ranges=[("49891234000", 100)]))
    plain = world.authority.certify("Plain")
    for name, key in (("stranger", stranger), ("narrow", narrow), ("plain", plain)):
        world.shelf.files[f"/{name}.pem"] = key.chain_pem()
        world.refused("437 Unsupported Credential", world.identity(key, f"/{name}.pem"))
    world.refused("438 Invalid Identity Header", world.identity(stranger))
    world.refused("438 Invalid Identity Header", world.identity(orig="49891234568"))
    world.refused("438 Invalid Identity Header", world.identity(dest="4940152"))
    identity = world.identity()
    middle = len(identity.split(".")[0]) + 20
    swapped = "B" if identity[middle] != "B" else "C"
    world.refused("438 Invalid Identity Header", identity[:middle] + swapped + identity[middle + 1:])
    expect(world.call(identity).status == 200, "what was not changed")
    world.refused("438 Invalid Identity Header", identity)
    expect(len(world.invites()) == 3, f"{len(world.invites())} calls came through, and 3 may")
    metrics = world.demarc.metrics()
    for outcome, count in (
            ("passed", 3), ("absent", 1), ("stale", 1), ("unavailable", 1), ("untrusted", 3), ("invalid", 5)):
        found = metrics[f'demarc_stir_verified_total{{outcome="{outcome}"}}']
        expect(found == count, f"{outcome}: {found}")
    world.at_rest()


@test("report", 40)
def report(t):
    """Calls that fail go on where that is only told"""
    world = Signed(t, verify="report")
    expect(world.call().status == 200 and world.call(world.identity(age=304)).status == 200, "refused")
    texts = world.invites()
    expect("verstat=No-TN-Validation@" in texts[0], texts[0])
    expect("verstat=TN-Validation-Failed@" in texts[1], texts[1])
    notes = world.notes()
    expect("caller not verified: no PASSporT" in notes, notes)
    # Both clocks are read in whole seconds, one of them a little earlier.
    expect(any(note.startswith("caller not verified: PASSporT is 30") for note in notes), notes)


@test("uris", 40)
def uris(t):
    """A caller that is a URI is verified in its canonical form, by a certificate of its domain; no number was validated"""
    world = Signed(t)
    keys = {name: world.authority.certify(name, hosts=[host])
            for name, host in (("Example", "example.com"), ("Other", "other.example"))}
    world.shelf.files.update({f"/{name}.pem": key.chain_pem() for name, key in keys.items()})

    def call(user="Alice", domain="EXAMPLE.com:5070", name="Example"):
        world.east.user, world.east.domain = user, domain
        url = world.shelf.url(f"/{name}.pem")
        claims = {"dest": {"tn": [OURS]}, "iat": int(time.time()), "orig": {"uri": "sip:alice@example.com"}}
        return world.call(f"{keys[name].passport(url, claims, '')};info=<{url}>;alg=ES256")

    answer = call()
    expect(answer.status == 200, answer.start)
    expect(";verstat=No-TN-Validation@" in world.invites()[-1], world.invites()[-1])
    notes = world.notes()
    expect(any("caller verified, signed by" in note and "Example" in note for note in notes), notes)
    for line, arguments in (
            ("438 Invalid Identity Header", {"user": "mallory"}),
            ("438 Invalid Identity Header", {"domain": "other.example"}),
            ("437 Unsupported Credential", {"name": "Other"})):
        answer = call(**arguments)
        expect(answer.start == f"SIP/2.0 {line}", f"{arguments}: {answer.start}")
    expect(len(world.invites()) == 1, "a call that was refused came through")


@test("fetch", 60)
def fetch(t):
    """Nobody makes us wait longer than 2 s, read more than 64 kB, follow a redirection or ask inside"""
    world = Signed(t)
    world.shelf.files.update({
        "/slow.pem": world.provider.chain_pem(), "/huge.pem": world.provider.chain_pem() + b"\n" * 100_000,
        "/moved.pem": world.shelf.url("/provider.pem")})
    world.shelf.wait["/slow.pem"] = 6
    for path in ("/slow.pem", "/huge.pem", "/moved.pem"):
        start = time.monotonic()
        world.refused("436 Bad Identity Info", world.identity(path=path))
        expect(time.monotonic() - start < 3, f"{path}: {time.monotonic() - start:.1f} s")
    expect("/provider.pem" not in world.shelf.asked, world.shelf.asked)
    notes = world.notes()
    for words in ("did not answer in time", "is larger than 65536 octets", "answers 302"):
        expect(any(words in note for note in notes), f"{words}: {notes}")


@test("inside", 40)
def inside(t):
    """A URL that leads into a private network is not asked, whatever name it has"""
    world = Signed(t, private=False)
    for host in ("localhost", "127.0.0.1", "[::1]"):
        claims = shaken(CALLER, OURS, time.time())
        url = f"https://{host}:{world.shelf.port}/provider.pem"
        world.refused("436 Bad Identity Info", world.provider.identity(url, claims))
    expect(world.shelf.asked == [], world.shelf.asked)
    expect(any("is in a private network" in note for note in world.notes()), world.notes())


@test("forward", 40)
def forward(t):
    """A forwarded call has what its carrier signed and a div of ours; one that was not signed has neither"""
    world = Signed(t, verify="report")
    identity = world.identity(dest=FORWARDED, age=5)
    expect(world.call(identity, number=FORWARDED).status == 200, "the forwarded call")
    expect(identity in world.invites()[-1], world.invites()[-1])
    (_, original), (header, div) = world.tokens()
    expect(header["ppt"] == "div" and div == {
        "dest": {"tn": [ELSEWHERE]}, "div": {"tn": FORWARDED}, "iat": original["iat"],
        "orig": {"tn": CALLER}}, (header, div))
    expect(world.call(number=FORWARDED).status == 200, "the call without Identity")
    ((_, claims),) = world.tokens()
    expect(claims["attest"] == "C", claims)


@test("revoked", 40)
def revoked(t):
    """A certificate on a list is not believed once the settings are read again"""
    world = Signed(t)
    expect(world.call(world.identity()).status == 200, "before")
    (world.folder / "list.pem").write_bytes(world.authority.revocations(world.provider))
    world.demarc.settings["stir"]["crls"] = [str(world.folder / "list.pem")]
    (world.folder / "demarc.yaml").write_text(json.dumps(world.demarc.configuration()))
    world.demarc.command("reload")
    world.refused("437 Unsupported Credential", world.identity())
