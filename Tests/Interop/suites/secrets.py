"""Passwords: where they lie, how their key is changed, and that nothing else ever says one."""

import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

from harness.agent import challenges, digest, token
from harness.case import test
from harness.process import expect, run, wait_until
from harness.world import World

CANARY = "Kanarienvogel"
REALM = "demarc.test"


def canary(owner):
    return f"{CANARY}-{owner}-{hashlib.sha256(owner.encode()).hexdigest()[:12]}"


class Aviary(World):
    """Every password is a canary, the log says all that it has, and the store has a folder of its own."""

    def __init__(self, t):
        super().__init__(t.folder, t.program, media_pairs=20)
        self.t = t
        self.data = t.folder / "data"
        self.demarc.settings["store"] = {"path": str(self.data / "demarc.db")}
        self.demarc.settings["log"] = {"level": "debug", "personal": True}
        for name, account in self.users.items():
            account["password"] = canary(name)
        self.accounts = {("alice", canary("alice")), ("pbx", canary("pbx")), ("us", canary("credentials")),
                         ("acme", canary("register")), ("acme", canary("register2"))}
        t.defer(self.close)

    @property
    def key(self):
        return self.data / "demarc.db.key"

    def resources(self):
        document = super().resources()
        for trunk in document["trunks"]:
            if trunk["name"] == "wants-digest":
                trunk["credentials"] = {"username": "us", "password": canary("credentials")}
            elif trunk["name"] == "pbx-digest":
                trunk["authentication"] = {"username": "pbx", "password": canary("pbx")}
            elif trunk["name"] == "north":
                trunk["register"] = {
                    "registrar": "provider.test", "username": "acme", "password": canary("register")}
            elif trunk["name"] == "south":
                trunk["register"] = {
                    "registrar": "provider.test", "username": "acme",
                    "credentials": {"username": "acme", "password": canary("register2")}}
        for user in document["users"]:
            user["password"] = canary(user["name"])
        return document

    def words(self):
        """What must stand nowhere: the passwords, and what a realm makes of them."""
        found = [CANARY]
        for name, password in self.accounts:
            for realm in (REALM, "provider.test", "carrier.test"):
                text = f"{name}:{realm}:{password}".encode()
                found += [hashlib.md5(text).hexdigest(), hashlib.sha256(text).hexdigest()]
        return found

    def says_none(self, text, what):
        for word in self.words():
            expect(word.lower() not in text.lower(), f"{what} has {word}: …{around(text, word)}…")

    def files_have_none(self, when):
        words = [word.encode() for word in self.words()]
        files = [path for path in self.data.rglob("*") if path.is_file()]
        expect(any(path.name == "demarc.db" for path in files), f"{when}: no store among {files}")
        for path in files:
            content = path.read_bytes()
            for word in words:
                expect(word not in content, f"{when}: {path.name} has {word.decode()}")

    def phone(self, user="alice"):
        return self.t.agent(world=self, user=user, password=self.users[user]["password"])


def around(text, word):
    at = text.lower().find(word.lower())
    return text[max(0, at - 80):at + len(word) + 20]


def get(world, path):
    """What the local API answers, as text, whatever its status."""
    class Local(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(10)
            self.sock.connect(str(world.demarc.socket))

    connection = Local("localhost")
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def challenge(agent, request, status, realm):
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    extra = (f'{name}: Digest realm="{realm}", nonce="{token()}", algorithm=MD5, qop="auth"',)
    agent.send(agent.answer_to(request, status, "Prove it", tag=token(), extra=extra))


def is_proven(request, header, user, password):
    """Whether the request bears a right answer to the challenge that it quotes."""
    found = request.get(header)
    if not found:
        return False
    algorithm, parameters = challenges_of(found)
    again = digest(
        (algorithm, parameters), request.method, parameters["uri"], user, password, nc=int(parameters["nc"], 16),
        cnonce=parameters["cnonce"])
    return f'response="{parameters["response"]}"' in again


def challenges_of(value):
    class Quoted:
        @staticmethod
        def all(name):
            return [value] if name == "www-authenticate" else []

    return challenges(Quoted)[0]


def everything_said(world, call):
    """(what, text) of all that the command, the API and the metrics say."""
    commands = [
        ("status",), ("get", "all"), ("get", "all", "-o", "json"), ("get", "users"), ("get", "users", "alice"),
        ("get", "trunks", "wants-digest"), ("get", "trunks", "-o", "yaml"), ("trunks",), ("trunks", "-o", "json"),
        ("registrations",), ("registrations", "-o", "json"), ("registrations", "--upstream"),
        ("registrations", "--upstream", "-o", "json"), ("calls",), ("cdrs", "list", "-o", "json"),
        ("cdrs", "export", "--format", "csv"), ("cdrs", "export", "--format", "jsonl"), ("numbers",), ("toll",),
        ("numbers", "history", "+4940100"), ("bans",), ("subscriptions",), ("certificates",),
        ("call", "show", call), ("call", "ladder", call), ("call", "ladder", call, "--messages")]
    for words in commands:
        code, output = world.demarc.try_command(*words)
        expect(code == 0, f"`demarc {' '.join(words)}`: {output}")
        yield f"`demarc {' '.join(words)}`", output
    yield "doctor", run([world.t.program, "doctor", "--config", world.t.folder / "demarc.yaml"])[1]
    for path in ("/v1/resources", "/v1/resources/users", "/v1/resources/users/alice", "/v1/resources/trunks",
                 "/v1/resources/trunks/north", "/v1/status", "/v1/trunks", "/v1/registrations/upstream", "/metrics",
                 f"/v1/calls/{call}/ladder?messages=true"):
        yield path, get(world, path)


def wrong_documents():
    """What people write by mistake; each has a canary where it does not belong."""
    word = canary("alice")
    yield f'{{"users": [{{"name": "alice", "extension": "1001", "password {word}": null}}]}}'
    yield f'users:\n  - {{name: alice, extension: "1001", password {word}}}\n'
    yield f'users:\n  - name: alice\n    extension: "1001"\n    password: [{word}]\n'
    yield f'users:\n  - name: alice\n    extension: "1001"\n    password: {{is: {word}}}\n'
    yield f'users:\n  - name: alice\n    extension: "1001"\n    password:{word}\n'
    yield f"users:\n  - \"password: {word}\"\n"
    yield (f"trunks:\n  - name: x\n    kind: carrier\n    network: loopback\n    targets: [127.0.0.1]\n"
           f"    credentials: {word}\n")
    yield (f"trunks:\n  - name: x\n    kind: carrier\n    network: loopback\n    targets: [127.0.0.1]\n"
           f"    register: {word}\n")
    yield f'users:\n  - {{name: alice, extension: "1001", password: "{word}{"x" * 300}"}}\n'


@test("canaries", 90)
def canaries(t):
    """A password is in no log, answer, ladder, record, metric, error or file, whoever has proved it to whom"""
    world = Aviary(t)
    provider = t.agent(world=world, user="provider", port=world.ports["north"])
    carrier = t.agent(world=world, user="carrier", port=world.ports["wants-digest"])
    world.start()
    # We prove ourselves to a registrar …
    challenge(provider, provider.expect_request("REGISTER", 10), 401, "provider.test")
    again = provider.wait(
        lambda m: m.method == "REGISTER" and m.get("authorization"), 10, "a REGISTER with credentials")
    expect(is_proven(again, "authorization", "acme", canary("register")), "the registrar got a wrong answer")
    provider.send(provider.answer_to(
        again, 200, "OK", tag=token(), extra=(f"Contact: {again.get('contact')}", "Expires: 600")))
    # … and to a carrier that wants to know who calls.
    pbx = t.agent(world=world, user="pbx", port=world.ports["pbx"])
    number = world.number("+4936")
    uri, call_id, tag = f"sip:{number}@{world.domain}", token(), token()
    pbx.send(pbx.request("INVITE", uri, call_id, 1, tag, body=pbx.sdp(4000), branch="z9hG4bK" + tag))
    challenge(carrier, carrier.expect_request("INVITE"), 407, "carrier.test")
    again = carrier.wait(
        lambda m: m.method == "INVITE" and m.get("proxy-authorization"), 5, "an INVITE with credentials")
    expect(is_proven(again, "proxy-authorization", "us", canary("credentials")), "the carrier got a wrong answer")
    carrier.send(carrier.answer_to(again, 486, "Busy Here", tag=token()))
    expect(pbx.final(call_id, "INVITE").status == 486, "the call's end")
    call = world.record(number)["id"]
    # Phones and PBXs prove themselves to us, and somebody does not.
    phone = world.phone()
    expect(phone.register().status == 200, "alice does not register")
    office = t.agent(
        world=world, user="pbx", password=canary("pbx"), port=world.ports["pbx-digest"])
    answer, dialog = office.exchange("INVITE", f"sip:9001@{world.domain}", body=office.sdp(4002))
    expect(answer.status == 200, f"pbx-digest: {answer.start}")
    dialog.bye()
    wrong = t.agent(world=world, user="bob", password="wrong-" + token())
    expect(wrong.register().status == 401, "a wrong password registers")

    for what, text in everything_said(world, call):
        world.says_none(text, what)
    document = t.folder / "wrong.yaml"
    for text in wrong_documents():
        document.write_text(text)
        for code, output in (
                run([t.program, "check", "-f", document, "--config", t.folder / "demarc.yaml"]),
                world.demarc.try_command("apply", "-f", document)):
            expect(code == 1, f"this was taken: {text}")
            world.says_none(output, f"the error of {text!r}")
    expect("authentication failed" in world.demarc.process.text().lower(), "the log has no debug lines")
    world.says_none(world.demarc.process.text(), "the log")
    world.files_have_none("while it runs")
    world.demarc.kill()
    world.files_have_none("after a crash")
    world.demarc.start()
    expect(world.phone("carol").register().status == 200, "carol does not register after the crash")
    world.demarc.stop()
    world.says_none("".join(path.read_text(errors="replace") for path in t.folder.glob("demarc-*.log")), "the logs")
    world.files_have_none("after its end")


@test("what-lay-in-the-clear", 40)
def migrated(t):
    """A store of before is sealed at the first start, every revision of it, and its files have no password any more"""
    world = Aviary(t)
    world.start()
    world.demarc.stop()
    store = sqlite3.connect(world.data / "demarc.db")
    clear = json.dumps(world.resources())
    store.execute("DELETE FROM resource_revision")
    for revision in range(1, 31):
        text = clear + " " * (revision * 700)
        store.execute("INSERT INTO resource_revision VALUES (?, 1, ?, NULL)", (revision, text))
    store.commit()
    store.close()
    world.key.unlink()
    expect(CANARY.encode() in (world.data / "demarc.db").read_bytes(), "the test has put no canary there")
    world.demarc.start()
    world.files_have_none("right after the start")
    expect(world.phone().register().status == 200, "alice's password is another")
    expect(world.demarc.ask("status")["revision"] == 30, "the revision is another")
    world.demarc.stop()
    world.files_have_none("after the end")
    expect(world.key.stat().st_mode & 0o777 == 0o600, "others may read the key")


@test("the-key", 60)
def the_key(t):
    """A key that is lost, another one, or open to others ends a start with what to do; nothing is changed by that"""
    world = Aviary(t)
    world.start()
    world.demarc.stop()
    key = world.key.read_bytes()

    def refused(*words, of_key=True):
        world.demarc.launch()
        expect(world.demarc.ended(15) == 1, "it started")
        text = world.demarc.process.text()
        for word in words:
            expect(word in text, f"`{word}` is not in: {text}")
        # And before a start fails.
        code, output = run([t.program, "doctor", "files", "--config", t.folder / "demarc.yaml"])
        expect((words[0] in output and code == 1) == of_key, f"doctor, {code}: {output}")

    world.key.unlink()
    refused("demarc.db.key, is not there", "Put the key back")
    expect(not world.key.exists(), "a new key was made")
    world.key.write_bytes(b"ab" * 32 + b"\n")
    world.key.chmod(0o600)
    refused("is not the key of the store's passwords")
    world.key.write_bytes(key)
    world.key.chmod(0o644)
    refused("others than its owner may read the key", "chmod 600")
    world.key.write_bytes(key[:20])
    world.key.chmod(0o600)
    refused("is no key")
    world.key.write_bytes(key)
    # One password in another's place is noticed, and whose.
    copy = t.folder / "copy.db"
    shutil.copy(world.data / "demarc.db", copy)
    store = sqlite3.connect(world.data / "demarc.db")
    revision, text = store.execute(
        "SELECT revision, document FROM resource_revision ORDER BY revision DESC LIMIT 1").fetchone()
    document = json.loads(text)
    alice, bob = document["users"][0], document["users"][1]
    alice["password"], bob["password"] = bob["password"], alice["password"]
    store.execute("UPDATE resource_revision SET document = ? WHERE revision = ?", (json.dumps(document), revision))
    store.commit()
    store.close()
    refused(f"users.{alice['name']}.password", f"users.{bob['name']}.password", of_key=False)
    for path in world.data.glob("demarc.db-*"):
        path.unlink()
    shutil.copy(copy, world.data / "demarc.db")
    world.demarc.start()
    expect(world.phone().register().status == 200, "alice does not register")


@test("another-key", 90)
def another_key(t):
    """`demarc secret rotate-key` while phones register; killed in the middle of it, it starts again with all passwords"""
    world = Aviary(t)
    world.start()
    before = world.key.read_text()
    for i in range(20):
        world.demarc.apply({"applications": [
            *world.resources()["applications"], {"name": f"echo{i}", "tenant": "test", "extension": f"80{i:02}", "kind": "echo"}]})
    world.demarc.apply(world.resources())
    expect("another key" in world.demarc.command("secret", "rotate-key"), "it was not said")
    expect(world.key.read_text() != before, "the key is the same")
    expect(world.phone().register().status == 200, "alice does not register")
    source = random.Random(40)
    for _ in range(8):
        order = subprocess.Popen(
            [t.program, "secret", "rotate-key", "--socket", world.demarc.socket],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(source.uniform(0.02, 0.25))
        os.kill(world.demarc.pid, signal.SIGKILL)
        world.demarc.process.child.wait()
        order.wait(20)
        world.demarc.start()
        expect(world.phone().register().status == 200, "alice does not register after a crash")
    world.demarc.stop()
    leftovers = [path.name for path in world.data.glob("*.new")]
    expect(not leftovers, f"{leftovers} is left")
    store = sqlite3.connect(world.data / "demarc.db")
    keys = store.execute("SELECT count(*), count(DISTINCT key_id), count(key_id) FROM resource_revision").fetchone()
    store.close()
    expect(keys[1] == 1 and keys[0] == keys[2] > 20, f"{keys}")
    world.files_have_none("after the end")


@test("made-at-random", 10)
def made(t):
    """`demarc secret` makes another one each time"""
    found = {run([t.program, "secret"])[1].strip() for _ in range(20)}
    expect(len(found) == 20 and all(len(one) == 24 and one.isalnum() for one in found), f"{found}")
    code, output = run([t.program, "secret", "--length", "32"])
    expect(code == 0 and len(output.strip()) == 32, output)


@test("one-phone-after-the-other", 40)
def rotated(t):
    """`demarc secret rotate`: the new password and the old one are good until the overlap ends; then the new one alone"""
    world = Aviary(t)
    world.start()
    old = world.users["alice"]["password"]

    def registers(password):
        return t.agent(world=world, user="alice", password=password).register().status == 200

    new, said = world.demarc.command("secret", "rotate", "alice", "--overlap", "1h").splitlines()
    expect(len(new) == 24 and "is good until 20" in said, f"{new}: {said}")
    expect(registers(new) and registers(old), "one of the two is not good")
    wait_until(lambda: "previous password used" in world.demarc.process.text(), 5, "who comes with the old one in the log")
    expect(world.demarc.metrics()["demarc_previous_passwords_total"] == 1, "it was not counted")
    for text in (world.demarc.command("get", "users", "alice"), get(world, "/v1/resources"), world.demarc.process.text()):
        expect(new not in text and old not in text, "a password is shown")
    expect("previousPasswordUntil" in world.demarc.command("get", "users", "alice"), "until when is not shown")
    world.demarc.kill()
    world.demarc.start()
    expect(registers(new) and registers(old), "one of the two is not good after a crash")
    world.files_have_none("after a crash")
    files = [path for path in world.data.rglob("*") if path.is_file()]
    expect(not any(new.encode() in path.read_bytes() for path in files), "the new one is in a file")
    newer = world.demarc.ask("secret", "rotate", "alice", "--overlap", "0s")
    expect("previousPasswordUntil" not in newer and newer["user"] == "alice", "the stolen one is good still")
    expect(registers(newer["password"]), "the newest is not good")
    expect(not registers(new) and not registers(old), "an old one is good")
    # For a second only.
    last = world.demarc.ask("secret", "rotate", "alice", "--overlap", "2s")["password"]
    expect(registers(newer["password"]), "the one before is not good at once")
    time.sleep(2.5)
    expect(registers(last) and not registers(newer["password"]), "the one before is good for longer than it may")
    code, output = world.demarc.try_command("secret", "rotate", "nobody")
    expect(code == 1 and "there is no user" in output, output)
