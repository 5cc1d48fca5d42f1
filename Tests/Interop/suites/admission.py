"""Standing on the internet: scanners, guessers and floods, from addresses of 127.0.0.0/8 that are nobody's."""

import json
import re
import shutil
import socket
import time

from harness.agent import challenges, digest, token
from harness.case import test
from harness.process import Skipped, expect, run, wait_until
from harness.world import World


class Border(World):
    """A Demarc of its own, since bans of one test must not reach another; by UDP and TCP."""

    def __init__(self, t, admission=None, access=None):
        super().__init__(t.folder, t.program, media_pairs=20)
        self.admission, self.access = admission or {}, access
        plain = self.demarc.configuration

        def configuration():
            document = plain()
            document["listeners"].append(
                {"name": "tcp", "transport": "tcp", "address": "127.0.0.1", "port": self.demarc.sip_port})
            document["limits"] = {"messageTime": "1s"}
            if self.admission:
                document["admission"] = self.admission
            return document

        self.demarc.configuration = configuration
        t.defer(self.close)
        self.start()

    def networks(self):
        networks = super().networks()
        networks[0]["listeners"].append("tcp")
        if self.access:
            networks[0]["access"] = self.access
        return networks

    def bans(self):
        return {one["network"]: one for one in self.demarc.ask("bans")["items"]}

    def turned_away(self, reason):
        return self.demarc.metrics()[f'demarc_strangers_turned_away_total{{reason="{reason}"}}']


def stranger(t, world, address, user="stranger", **options):
    return t.agent(world=world, user=user, address=address, **options)


def register(agent, name, proof=None):
    """Sends a REGISTER of this name; its Call-ID."""
    call_id = token()
    extra = ("User-Agent: Phone/1.0", "Expires: 60", *([f"Authorization: {proof}"] if proof else []))
    agent.send(agent.request(
        "REGISTER", f"sip:{agent.domain}", call_id, 1, token(), to=f"<sip:{name}@{agent.domain}>", extra=extra,
        sender=f"<sip:{name}@{agent.domain}>"))
    return call_id


def options(agent, extra=()):
    agent.send(agent.request("OPTIONS", f"sip:{agent.domain}", token(), 1, token(), extra=extra))


def answers(agent, seconds=0.5):
    """The statuses of what comes until nothing comes for so long."""
    found = []
    while (message := agent.receive(seconds)) is not None:
        found.append(message.status)
    return found


def guess(agent, name, password):
    """A REGISTER and an answer to its challenge: the last status; None where one gets no answer."""
    register(agent, name)
    challenge = agent.receive(0.5)
    if challenge is None:
        return None
    register(agent, name, digest(challenges(challenge)[0], "REGISTER", f"sip:{agent.domain}", name, password))
    answer = agent.receive(0.5)
    return answer and answer.status


@test("sipvicious", 90)
def sipvicious(t):
    """svmap, svwar and svcrack find nothing, and are banned by their first request unless they share a trunk's address"""
    for tool in ("svmap", "svwar", "svcrack"):
        if shutil.which(tool) is None:
            raise Skipped(f"{tool} is not installed")
    world = Border(t)
    words = t.folder / "words"
    words.write_text("".join(f"guess-{i}\n" for i in range(50)) + world.users["alice"]["password"] + "\n")
    port = str(world.demarc.sip_port)
    for address, argv in [
            ("127.0.0.66", ["svmap", "-p", port, "-b", "127.0.0.66", "127.0.0.1"]),
            # These do as they like with `-b`, and have the address of the trunks.
            (None, ["svwar", "-p", port, "--force", "-e", "1000-1050", "--maximumtime", "3", "127.0.0.1"]),
            (None, ["svcrack", "-p", port, "-u", "alice", "-d", words, "--maximumtime", "3", "127.0.0.1"])]:
        before = world.turned_away("scanner")
        _, output = run(["timeout", "10", *argv], 25)
        expect("secret-alice" not in output and "reqauth" not in output, f"{argv[0]} found something: {output}")
        if address is None:
            expect(world.turned_away("scanner") > before and len(world.bans()) == 1, f"{world.bans()}")
            continue
        ban = world.bans().get(address)
        expect(ban is not None, f"{argv[0]} is not banned: {output}")
        expect(ban["reason"] == "scanner" and "friendly-scanner" in ban["evidence"], f"{ban}")
    table = world.demarc.command("bans")
    expect(re.search(r"127\.0\.0\.66\s+scanner\s", table), table)


@test("one-name-after-the-other", 30)
def enumeration(t):
    """Who asks for many names and proves none gets eight answers, and is banned after two seconds"""
    world = Border(t)
    agent = stranger(t, world, "127.0.0.70")
    for i in range(60):
        register(agent, str(1000 + i))
        time.sleep(0.05)
    found = answers(agent)
    expect(found == [401] * 8, f"{len(found)} answers: {found}")
    ban = world.bans().get("127.0.0.70")
    expect(ban and ban["reason"] == "names", f"{ban}")
    expect(world.turned_away("names") > 0 and world.turned_away("banned") > 0, "nothing was counted")


@test("guesser", 30)
def guesser(t):
    """A guesser is banned within ten requests, hears nothing more, and is heard again when the ban is lifted"""
    world = Border(t)
    agent = stranger(t, world, "127.0.0.71")
    register(agent, "alice")
    challenge = agent.receive(2)
    requests = 1
    while challenge is not None and requests < 40:
        proof = digest(challenges(challenge)[0], "REGISTER", f"sip:{agent.domain}", "alice", f"guess-{requests}")
        register(agent, "alice", proof)
        requests += 1
        challenge = agent.receive(0.5)
    ban = world.bans().get("127.0.0.71")
    expect(ban and ban["reason"] == "passwords", f"{ban}")
    expect(requests <= 11, f"{requests} requests, the last without an answer")
    expect(guess(agent, "alice", world.users["alice"]["password"]) is None, "it is still answered")
    expect(ban["endsInSeconds"] > 500, f"{ban}")
    expect("is banned no more" in world.demarc.command("bans", "lift", "127.0.0.71"), "not lifted")
    expect(guess(agent, "alice", world.users["alice"]["password"]) == 200, "it is not heard again")
    for line in ("banned  network=127.0.0.71", "ban ended  network=127.0.0.71"):
        wait_until(lambda: line in world.demarc.process.text(), 5, f"`{line}` in the log")


@test("plain-401", 30)
def plain_401(t):
    """A phone that never answers its challenge is challenged for ever"""
    world = Border(t)
    agent = stranger(t, world, "127.0.0.72")
    for _ in range(150):
        register(agent, "alice")
        time.sleep(0.02)
    found = answers(agent)
    expect(found == [401] * 150, f"{len(found)} answers, {set(found)}")
    expect(not world.bans(), f"{world.bans()}")


@test("beside-a-guesser", 40)
def beside_a_guesser(t):
    """A phone behind the NAT of a guesser gets its calls; no more than twenty guesses a minute are looked at"""
    world = Border(t)
    phone = stranger(t, world, "127.0.0.73", user="alice", password=world.users["alice"]["password"])
    expect(phone.register().status == 200, "the phone does not register")
    beside = stranger(t, world, "127.0.0.73")
    found = [guess(beside, "bob", f"guess-{i}") for i in range(40)]
    expect(found == [401] * 40, f"{found}")
    expect(not world.bans(), f"{world.bans()}")
    expect(world.turned_away("guesses") >= 20, f"{world.turned_away('guesses')} guesses were not looked at")
    # From elsewhere the account is as it was.
    other = stranger(t, world, "127.0.5.74", user="bob", password=world.users["bob"]["password"])
    expect(other.register().status == 200, "bob is locked out")
    pbx = t.agent(world=world, user="pbx", port=world.ports["pbx"])
    uri, call_id, tag = f"sip:+4940100@{world.domain}", token(), token()
    pbx.send(pbx.request("INVITE", uri, call_id, 1, tag, body=pbx.sdp(4000), branch="z9hG4bK" + tag))
    ringing = phone.expect_request("INVITE")
    phone.send(phone.answer_to(ringing, 486, "Busy Here", tag=token()))
    answer = pbx.final(call_id, "INVITE")
    pbx.acknowledge_failure(answer, uri, call_id, 1, tag, "z9hG4bK" + tag)
    expect(answer.status == 486, answer.start)


@test("trunks-are-spared", 30)
def spared(t):
    """Whatever comes from a trunk's address, it is not banned, and the trunk goes on"""
    world = Border(t)
    beside = t.agent(world=world)
    for i in range(30):
        options(beside, ("User-Agent: friendly-scanner",))
        register(beside, str(i))
        guess(beside, "alice", f"guess-{i}") if i < 15 else None
    expect(not world.bans(), f"{world.bans()}")
    north = t.agent(world=world, user="north", port=world.ports["north"])
    answer, _ = north.exchange("OPTIONS", f"sip:{world.domain}")
    expect(answer.status == 200, answer.start)
    code, output = world.demarc.try_command("bans", "add", "127.0.0.0/8")
    expect(code == 1 and "trunk" in output, f"{code}: {output}")


@test("bans-by-hand", 30)
def by_hand(t):
    """`demarc bans add` and `lift`, of an address and of a block"""
    world = Border(t)
    agent = stranger(t, world, "127.0.9.80")
    world.demarc.command("bans", "add", "127.0.9.0/24", "--reason", "calls at night", "--for", "2m")
    options(agent)
    expect(answers(agent) == [], "somebody who is banned was answered")
    ban = world.bans()["127.0.9.0/24"]
    expect((ban["reason"], ban["evidence"], ban["hits"]) == ("manual", "calls at night", 1), f"{ban}")
    expect(100 < ban["endsInSeconds"] <= 120, f"{ban}")
    world.demarc.command("bans", "lift", "127.0.9.80")
    options(agent)
    expect(answers(agent) == [200] and not world.bans(), "the ban was not lifted")
    code, output = world.demarc.try_command("bans", "lift", "127.0.9.80")
    expect(code == 1 and "is not banned" in output, f"{code}: {output}")
    world.demarc.command("bans", "add", "127.0.9.80", "--for", "1s")
    wait_until(lambda: not world.bans(), 5, "the ban to end")


def connection(t, world, address):
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    t.defer(end.close)
    end.settimeout(5)
    end.bind((address, 0))
    end.connect(("127.0.0.1", world.demarc.sip_port))
    return end


def is_closed(end):
    try:
        return end.recv(100) == b""
    except ConnectionResetError:
        return True


@test("silent-connections", 40)
def silent_connections(t):
    """Connections that say nothing are closed; their source is banned, and others are not"""
    world = Border(t)
    other = connection(t, world, "127.0.0.76")
    request = (f"OPTIONS sip:{world.domain} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.76:5060;branch=z9hG4bK{token()}\r\n"
               f"Max-Forwards: 70\r\nFrom: <sip:a@b>;tag={token()}\r\nTo: <sip:a@b>\r\nCall-ID: {token()}\r\n"
               "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n").encode()
    other.sendall(request)
    expect(other.recv(2000).startswith(b"SIP/2.0 200"), "no answer by TCP")
    silent = [connection(t, world, "127.0.0.75") for _ in range(9)]
    expect(all(is_closed(end) for end in silent), "a connection that says nothing stays open")
    ban = wait_until(lambda: world.bans().get("127.0.0.75"), 5, "the ban")
    expect(ban["reason"] == "connections", f"{ban}")
    expect(is_closed(connection(t, world, "127.0.0.75")), "a banned source is accepted")
    other.sendall(request.replace(b"z9hG4bK", b"z9hG4bKx"))
    expect(other.recv(2000).startswith(b"SIP/2.0 200"), "another source suffers")
    ended = world.demarc.metrics()['demarc_sip_connections_ended_total{reason="banned"}']
    expect(ended >= 1, f"{ended}")


@test("access-lists", 30)
def access_lists(t):
    """A network's list decides before everything else, by the longest block, for datagrams and connections"""
    world = Border(t, access={"allow": ["127.0.0.0/16"], "deny": ["127.0.8.0/24"]})
    for address, let_in in [("127.0.0.1", True), ("127.0.7.7", True), ("127.0.8.8", False), ("127.1.0.1", False)]:
        agent = stranger(t, world, address)
        options(agent)
        expect((answers(agent, 0.3) == [200]) == let_in, f"{address}")
    expect(world.turned_away("denied") == 2, f"{world.turned_away('denied')} were counted")
    expect(is_closed(connection(t, world, "127.0.8.8")), "a denied source is accepted")
    document = world.resources()
    document["networks"][0]["access"] = {"deny": ["127.0.0.1"]}
    path = t.folder / "denied.yaml"
    path.write_text(json.dumps(document))
    code, output = world.demarc.try_command("apply", "-f", path)
    expect(code == 1 and "by its access list" in output, f"{code}: {output}")


@test("rates", 30)
def rates(t):
    """Above the rate of an address nothing is answered; another address, and a trunk, do not suffer"""
    world = Border(t, admission={"sourceRate": 20})
    agent = stranger(t, world, "127.0.0.77")
    for _ in range(300):
        options(agent)
        time.sleep(0.005)
    found = answers(agent)
    expect(40 <= len(found) <= 40 + 20 * 4, f"{len(found)} of 300")
    expect(world.turned_away("sourceRate") == 300 - len(found), "not all were counted")
    other = stranger(t, world, "127.0.0.78")
    options(other)
    expect(answers(other) == [200], "another address suffers")
    north = t.agent(world=world, user="north", port=world.ports["north"])
    for _ in range(100):
        options(north)
    expect(answers(north) == [200] * 100, "a trunk suffers")
    expect(not world.bans(), f"{world.bans()}")


@test("bans-over-a-restart", 90)
def over_a_restart(t):
    """After a crash a ban holds for the rest of its time, an operator's though it was a moment before; then it ends"""
    world = Border(t, admission={"banTime": "30s"})
    agent = stranger(t, world, "127.0.7.81")
    for i in range(20):
        if guess(agent, "alice", f"guess-{i}") is None:
            break
    before = world.bans()["127.0.7.81"]
    expect(before["reason"] == "passwords", f"{before}")
    time.sleep(1.2)
    world.demarc.command("bans", "add", "127.0.9.0/24", "--reason", "by night", "--for", "1h")
    world.demarc.kill()
    world.demarc.start()
    after = world.bans()
    expect(set(after) == {"127.0.7.81", "127.0.9.0/24"}, f"{after}")
    one, block = after["127.0.7.81"], after["127.0.9.0/24"]
    expect(one["evidence"] == before["evidence"] and one["reason"] == "passwords", f"{one}")
    for key in ("since", "until"):
        expect(one[key][:18] == before[key][:18] or one[key][:17] == before[key][:17], f"{key}: {before} and {one}")
    expect(one["endsInSeconds"] < before["endsInSeconds"], f"{before} and {one}")
    expect(block["evidence"] == "by night" and 3_500 < block["endsInSeconds"] <= 3_600, f"{block}")
    expect(guess(agent, "alice", world.users["alice"]["password"]) is None, "it is answered again")
    expect(is_closed(connection(t, world, "127.0.9.7")), "a connection is accepted from there again")
    # A lifted one does not come back, and one whose time is over ends.
    world.demarc.command("bans", "lift", "127.0.9.0/24")
    world.demarc.kill()
    world.demarc.start()
    expect(set(world.bans()) == {"127.0.7.81"}, f"{world.bans()}")
    wait_until(lambda: not world.bans(), 35, "the ban to end", 0.2)
    expect(guess(agent, "alice", world.users["alice"]["password"]) == 200, "it is not heard again")


@test("guesses-at-a-pbx", 60)
def at_a_pbx(t):
    """Who guesses at the phones of a PBX is banned by what the PBX answers, and the PBX hears no more of him"""
    world = Border(t)
    document = world.resources()
    for trunk in document["trunks"]:
        if trunk["name"] == "pbx":
            trunk["passesRegistrations"] = {"domain": "pbx.test"}
    world.demarc.apply(document)
    pbx = t.agent(world=world, user="pbx", port=world.ports["pbx"])

    def passed(agent, proof=None, status=401):
        """A REGISTER through Demarc that the PBX answers so: whether it saw it, and what came back."""
        register(agent, "anna", proof)
        request = None
        while (message := pbx.receive(0.5)) is not None:
            if message.method == "REGISTER":
                request = message
                break
        if request is None:
            return None
        extra = ('WWW-Authenticate: Digest realm="pbx.test", nonce="' + token() + '", algorithm=MD5',)
        pbx.send(pbx.answer_to(request, status, "Prove it", tag=token(), extra=extra))
        return agent.receive(2)

    # Asking without credentials is no guess, however often.
    asking = stranger(t, world, "127.0.7.82", domain="pbx.test")
    for _ in range(30):
        expect(passed(asking).status == 401, "the PBX's challenge does not arrive")
    expect(not world.bans(), f"{world.bans()}")
    guessing = stranger(t, world, "127.0.7.83", domain="pbx.test")
    guesses = 0
    while guesses < 30:
        challenge = passed(guessing)
        if challenge is None:
            break
        proof = digest(challenges(challenge)[0], "REGISTER", "sip:pbx.test", "anna", f"guess-{guesses}")
        if passed(guessing, proof, 403 if guesses % 2 else 401) is None:
            break
        guesses += 1
    ban = world.bans().get("127.0.7.83")
    expect(ban and ban["reason"] == "passwords" and guesses <= 11, f"{guesses} guesses: {ban}")
    expect(passed(guessing) is None, "the PBX still hears of him")
    wait_until(lambda: "refused by pbx" in world.demarc.process.text(), 5, "the refusal in the log")
    expect(passed(stranger(t, world, "127.0.7.84", domain="pbx.test")).status == 401, "another one suffers")
