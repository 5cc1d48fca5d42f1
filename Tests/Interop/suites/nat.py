"""Phones behind NATs of four kinds, made of network namespaces and the kernel's own NAT (harness/nat.py says how near
each is to its definition). Skipped where namespaces are not permitted."""

import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness import audio
from harness.agent import token
from harness.audio import spoken
from harness.case import test
from harness.namespaces import command, inside
from harness.nat import HOSTS, KINDS, Internet
from harness.ports import free_port
from harness.process import Failure, expect
from harness.rtp import Endpoint
from harness.stun import binding_request, mapped
from harness.world import World

SENTENCES = (
    "The birch canoe slid on.", "Four hours of steady work.", "The depth of a well.", "The boy was there at noon.")
# How long the NATs of the tests about keep-alives keep what is silent.
SHORT = 2


def internet(t):
    net = Internet()
    t.defer(net.close)
    return net


def public_demarc(t, net):
    """A Demarc of the test's own on the public network."""
    folder = t.folder / "office"
    folder.mkdir()
    world = World(folder, t.program, media_pairs=20, media_addresses=HOSTS[:1], namespace=net.namespace)
    world.demarc.ipv6 = False
    t.defer(world.close)
    return world.start()


# --- the NATs themselves -------------------------------------------------------------------------------
class Prober:
    """A port behind a NAT, and three outside: two of one host, one of another."""

    def __init__(self, t, net, home):
        port = 7000 + 10 * len(net.homes)
        self.at_home = self.bound(t, home.namespace, (home.address, 5060))
        self.first, self.port, self.host = (
            self.bound(t, net.namespace, address) for address in (
                (HOSTS[0], port), (HOSTS[0], port + 1), (HOSTS[1], port)))

    @staticmethod
    def bound(t, namespace, address):
        with inside(namespace):
            end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        t.defer(end.close)
        end.bind(address)
        end.settimeout(0.3)
        return end

    @staticmethod
    def got(end):
        try:
            return end.recvfrom(100)[1]
        except TimeoutError:
            return None

    def behaviour(self):
        """(mapping, filtering) in the words of RFC 4787."""
        self.at_home.sendto(b"out", self.first.getsockname())
        there = self.got(self.first)
        self.first.sendto(b"answer", there)
        expect(self.got(self.at_home), "an answer does not come through")
        self.port.sendto(b"in", there)
        from_port = self.got(self.at_home)
        self.host.sendto(b"in", there)
        from_host = self.got(self.at_home)
        self.at_home.sendto(b"out", self.host.getsockname())
        mapping = "endpoint-independent" if self.got(self.host) == there else "address-dependent"
        return mapping, "any" if from_host else "address" if from_port else "address and port"


@test("kinds", 20)
def kinds(t):
    """The four NATs are what they are called: what they map and what they let in (RFC 4787)"""
    net = internet(t)
    probers = [Prober(t, net, net.home(kind)) for kind in KINDS]
    with ThreadPoolExecutor() as at_once:
        found = dict(zip(KINDS, at_once.map(Prober.behaviour, probers)))
    wanted = {
        "full-cone": ("endpoint-independent", "any"), "address": ("endpoint-independent", "address"),
        "port": ("endpoint-independent", "address and port"), "symmetric": ("address-dependent", "address and port")}
    expect(found == wanted, f"{found}")


# --- calls ---------------------------------------------------------------------------------------------
def talk(t, world, pairs, words, seconds):
    """All pairs talk at once; what each phone heard is what the other one said. The correlations."""
    ends = [(phones[0], phones[1]) for phones in pairs]
    for caller, callee in ends:
        caller.dial(f"sip:{world.extension(callee.name)}@{world.domain}")
    for caller, callee in ends:
        caller.established()
        callee.established()
    begin = time.monotonic()
    # The recordings are of this call alone: the newest file of each phone.
    time.sleep(max(0.0, begin + seconds - time.monotonic()))
    for caller, callee in ends:
        caller.hang_up()
        callee.closed()
    found = []
    for caller, callee in ends:
        for speaker, listener in ((caller, callee), (callee, caller)):
            what = f"{listener.name} behind {listener.behind} heard {speaker.name} behind {speaker.behind}"
            found.append(audio.check_likeness(what, words[speaker.name], listener.heard()).correlation)
    return found


def phone_at(t, world, home, user, says, **options):
    phone = t.user(user, world=world, address=home.address, namespace=home.namespace, says=says, answer="auto",
                   **options)
    phone.behind = home.kind
    return phone


def source_of(world, user):
    """(address, port) that a user's only binding was registered from."""
    found = [one for one in world.demarc.registrations() if one["user"] == user]
    expect(len(found) == 1, f"{user} has {len(found)} bindings: {found}")
    host, _, port = found[0]["source"].rpartition(":")
    return host, int(port)


@test("speech", 40)
def speech(t):
    """Behind each kind of NAT a phone registers, calls and is called, and speech arrives both ways"""
    net = internet(t)
    world = public_demarc(t, net)
    homes, users = [net.home(kind) for kind in KINDS], list(world.users)[:4]
    texts = {user: spoken(text) for user, text in zip(users, SENTENCES)}
    words = {user: text for user, (text, _) in texts.items()}
    # A process ends with the thread that started it, so the threads stay until the test is over.
    at_once = ThreadPoolExecutor()
    t.defer(at_once.shutdown)
    phones = list(at_once.map(
        lambda home, user: phone_at(t, world, home, user, texts[user][1]), homes, users))
    for phone, home in zip(phones, net.homes):
        expect(source_of(world, phone.name)[0] == home.public, f"{phone.name} did not come from {home.public}")
    cone, address, port, symmetric = phones
    seconds = max(map(len, words.values())) / audio.RATE + 1.8
    found = talk(t, world, [(cone, address), (port, symmetric)], words, seconds)
    found += talk(t, world, [(address, port), (symmetric, cone)], words, seconds)
    # Each takes a while to end, so they end together.
    for phone in phones:
        phone.command("quit")
    for record in world.demarc.closed_records(4):
        expect(record["cause"] == "normal-clearing", f"ended with {record['cause']}")
    t.remark = f"correlation of eight ways {min(found):.4f} or better"


# --- bindings ------------------------------------------------------------------------------------------
class Reachable:
    """A caller outside, and whether its call reaches a phone."""

    def __init__(self, t, net, world):
        self.world = world
        self.caller = t.agent(world=world, user="grace", password=world.users["grace"]["password"], address=HOSTS[1],
                              namespace=net.namespace)

    def finds(self, agent, seconds):
        """Calls the agent's user; True where its INVITE arrives. The call is over afterwards."""
        caller, uri = self.caller, f"sip:{self.world.extension(agent.user)}@{self.world.domain}"
        agent.inbox = [m for m in agent.inbox if m.method != "INVITE"]
        outcome = []
        calling = threading.Thread(
            target=lambda: outcome.append(caller.exchange("INVITE", uri, body=caller.sdp(9), seconds=12)))
        calling.start()
        try:
            invite = agent.expect_request("INVITE", seconds)
        except Failure:
            invite = None
        if invite:
            agent.socket.sendto(agent.answer_to(invite, 486, "Busy Here", token()), invite.source)
        else:
            # Nobody is there to answer: an operator ends what would ring for half a minute.
            for call in self.world.demarc.calls():
                self.world.demarc.try_command("call", "hangup", call["id"])
        calling.join(15)
        expect(outcome, f"the call to {agent.user} got no final response")
        return invite is not None


def phone_agent(t, world, home, user):
    agent = t.agent(world=world, user=user, password=world.users[user]["password"], address=home.address,
                    namespace=home.namespace)
    answer = agent.register()
    expect(answer.status == 200, f"{user}'s REGISTER got {answer.start}")
    return agent


def stun(agent):
    """A keep-alive, and the address that the answer names."""
    request, transaction = binding_request()
    agent.send(request)
    deadline = time.monotonic() + 2
    agent.socket.settimeout(2)
    try:
        while time.monotonic() < deadline:
            data, _ = agent.socket.recvfrom(2048)
            if data[8:20] == transaction:
                return mapped(data, transaction)
    except TimeoutError:
        pass
    finally:
        agent.socket.settimeout(None)
    raise Failure(f"{agent.user}: a STUN keep-alive was not answered")


@test("keep-alive", 40)
def keep_alive(t):
    """STUN, empty lines and REGISTER keep a mapping open past the NAT's time-out; without them it closes"""
    net = internet(t)
    world = public_demarc(t, net)
    home = net.home("port", timeout=SHORT)
    users = ("alice", "bob", "carol", "dave")
    by_stun, by_lines, by_register, by_nothing = (phone_agent(t, world, home, user) for user in users)
    keeps = {by_stun: lambda: stun(by_stun), by_lines: lambda: by_lines.send("\r\n\r\n"),
             by_register: by_register.register}
    until = time.monotonic() + 2.5 * SHORT
    while time.monotonic() < until:
        for keep in keeps.values():
            keep()
        time.sleep(SHORT / 4)
    reach = Reachable(t, net, world)
    for agent in keeps:
        expect(reach.finds(agent, 2), f"{agent.user} was not reached although it kept its mapping open")
    # Else the NAT did not close anything, and the rest says nothing.
    expect(not reach.finds(by_nothing, 1.2), "a phone that kept silent was reached: the NAT closes nothing")
    by_nothing.register()
    expect(reach.finds(by_nothing, 2), "after its next REGISTER the phone is not reached")


@test("moved", 40)
def moved(t):
    """A NAT that gives a phone another port: its next keep-alive tells it, its next REGISTER makes it reachable again"""
    net = internet(t)
    world = public_demarc(t, net)
    moving, still = net.home("port", ports="20000-29999"), net.home("port")
    agent = phone_agent(t, world, moving, "carol")
    bob_words, bob_says = spoken(SENTENCES[1])
    bob = phone_at(t, world, still, "bob", bob_says)
    before = source_of(world, "carol")
    expect(stun(agent) == before, "STUN names another address than the REGISTER came from")
    moving.translate("30000-39999")
    reach = Reachable(t, net, world)
    expect(not reach.finds(agent, 1.2), "the phone is reached at its old port: the NAT did not move it")
    now = stun(agent)
    expect(now[0] == moving.public and 30000 <= now[1] <= 39999, f"the keep-alive was told {now}")
    expect(agent.register().status == 200, "the REGISTER after the move was refused")
    expect(source_of(world, "carol") == now, f"the binding is at {source_of(world, 'carol')}, not {now}")
    expect(reach.finds(agent, 2), "after its REGISTER the phone is not reached")

    words, says = spoken(SENTENCES[0])
    media = Endpoint(free_port(), address=moving.address, namespace=moving.namespace)
    t.defer(media.close)
    bob.dial(f"sip:{world.extension('carol')}@{world.domain}")
    invite = agent.expect_request("INVITE")
    agent.send(agent.answer_to(invite, 200, "OK", token(), body=agent.sdp(media.socket.getsockname()[1])))
    agent.expect_request("ACK")
    bob.established()
    ours = int(re.search(rb"m=audio (\d+)", invite.body).group(1))
    media.speak(says, (HOSTS[0], ours)).join()
    time.sleep(max(0.0, (len(bob_words) - len(words)) / audio.RATE) + 1)
    bob.command("hangup")
    bye = agent.expect_request("BYE")
    agent.send(agent.answer_to(bye, 200, "OK"))
    bob.closed()
    found = [audio.check_likeness("the phone that moved heard", bob_words, media.heard()),
             audio.check_likeness("it was heard", words, bob.heard())]
    t.remark = f"from port {before[1]} to {now[1]}; correlation {min(one.correlation for one in found):.4f}"


@test("moved-in-call", 40)
def moved_in_call(t):
    """A NAT that gives a phone other ports in the middle of a call: it is heard again, and hears, after a moment"""
    net = internet(t)
    world = public_demarc(t, net)
    moving = net.home("port", ports="20000-29999")
    agent = phone_agent(t, world, moving, "carol")
    media = Endpoint(free_port(), address=moving.address, namespace=moving.namespace)
    t.defer(media.close)
    answer, dialog = agent.exchange(
        "INVITE", f"sip:9001@{world.domain}", body=agent.sdp(media.socket.getsockname()[1]).encode())
    expect(answer.status == 200, str(answer))
    ours = int(re.search(rb"m=audio (\d+)", answer.body).group(1))
    _, says = spoken(" ".join(SENTENCES))
    speaking = media.speak(says, (HOSTS[0], ours))
    time.sleep(2)
    before = len(media.packets)
    moving.translate("30000-39999")
    moved, sent = time.monotonic(), media.sent
    speaking.join()
    time.sleep(0.3)
    after = [at for at, _ in media.packets if at > moved + 0.05]
    lost = media.sent - sent - len(after)
    expect(before > 80, f"{before} packets came back before the move")
    # 200 ms until the old port counts as silent, and what was under way.
    expect(len(after) > 50 and lost <= 20, f"{len(after)} packets came back after the move, {lost} did not")
    moves = world.demarc.metrics()["demarc_media_moves_total"]
    # While its rule is replaced the kernel leaves the phone's port as it is, and that is the one in SDP.
    expect(moves in (1, 2), f"{moves:.0f} moves were counted")
    expect(dialog.bye().status == 200, "BYE")
    t.remark = f"{lost} packets of {media.sent - sent} lost at the move"


# --- Demarc itself behind a NAT ------------------------------------------------------------------------
class BehindOurNAT(World):
    """A Demarc in a home, whose router passes the port of SIP and those of speech in. It has two networks: one is the
    world outside, which is told of the router's address, the other the house, which is told of its own."""

    def __init__(self, folder, program, home):
        prefix = home.address.rpartition(".")[0]
        self.outer, self.inner, self.phone, self.round = (f"{prefix}.{number}" for number in (2, 3, 4, 5))
        self.public = home.public
        for address in (self.inner, self.phone, self.round):
            command("ip", "-n", home.namespace, "addr", "add", f"{address}/24", "dev", "eth")
        super().__init__(folder, program, media_pairs=20, media_addresses=(self.outer,), namespace=home.namespace)
        self.demarc.ipv6 = False
        ports = f"{self.demarc.first_media_port}-{self.demarc.first_media_port + 39}"
        self.demarc.settings = {
            "listeners": [{"name": "v4", "address": self.outer, "port": self.port},
                          {"name": "house", "address": self.inner, "port": self.port}],
            "media": [{"name": self.outer, "address": self.outer, "ports": ports},
                      {"name": "house", "address": self.inner, "ports": ports}]}
        home.forward(self.outer, self.port, ports)

    def networks(self):
        outside = super().networks()[0]
        outside.update(advertisedSignalling=self.public, advertisedMedia=self.public)
        return [outside, {"name": "house", "listeners": ["house"], "media": ["house"]}]

    def user_accounts(self):
        return [{**account, "network": "house"} if account["name"] == "bob" else account
                for account in super().user_accounts()]


class Talker:
    """An agent with a media port and words of its own."""

    def __init__(self, t, world, user, address, namespace, server, sentence):
        self.agent = t.agent(world=world, user=user, password=world.users[user]["password"], address=address,
                             namespace=namespace, server=(server, world.port))
        answer = self.agent.register()
        expect(answer.status == 200, f"{user}'s REGISTER got {answer.start}")
        self.media = Endpoint(free_port(), address=address, namespace=namespace)
        t.defer(self.media.close)
        self.words, self.says = spoken(sentence)

    def sdp(self):
        return self.agent.sdp(self.media.socket.getsockname()[1])


def told(message):
    """Every IPv4 address that a message names as its sender's own: Contact, Via of a request, and its SDP."""
    lines = [line for line in str(message).split("\r\n")
             if line.lower().startswith(("contact:", "c=", "o=")) or message.status is None and line.startswith("Via:")]
    return set(re.findall(r"\d+\.\d+\.\d+\.\d+", " ".join(lines)))


def media_of(message):
    found = re.search(rb"c=IN IP4 (\S+)\r\n.*?m=audio (\d+)", message.body, re.S)
    return found.group(1).decode(), int(found.group(2))


def converse(world, caller, callee, at_caller, at_callee):
    """A call in which both are told of one address of Demarc's and no other, and speech arrives both ways."""
    outcome = []
    calling = threading.Thread(target=lambda: outcome.append(caller.agent.exchange(
        "INVITE", f"sip:{world.extension(callee.agent.user)}@{world.domain}", body=caller.sdp(), seconds=12)))
    calling.start()
    invite = callee.agent.expect_request("INVITE", 6)
    callee.agent.send(callee.agent.answer_to(invite, 200, "OK", token(), body=callee.sdp()))
    callee.agent.expect_request("ACK")
    calling.join(15)
    expect(outcome and outcome[0][0].status == 200, f"the call was not answered: {outcome}")
    answer, dialog = outcome[0]
    expect(told(invite) == {at_callee}, f"{callee.agent.user} was told of {told(invite)}, not of {at_callee} alone")
    expect(told(answer) == {at_caller}, f"{caller.agent.user} was told of {told(answer)}, not of {at_caller} alone")
    speaking = [caller.media.speak(caller.says, media_of(answer)), callee.media.speak(callee.says, media_of(invite))]
    for one in speaking:
        one.join()
    time.sleep(0.4)
    expect(dialog.bye().status == 200, "BYE")
    bye = callee.agent.expect_request("BYE")
    callee.agent.send(callee.agent.answer_to(bye, 200, "OK"))
    found = [audio.check_likeness(f"{callee.agent.user} heard", caller.words, callee.media.heard()),
             audio.check_likeness(f"{caller.agent.user} heard", callee.words, caller.media.heard())]
    for one in (caller, callee):
        one.media.packets.clear()
    return min(one.correlation for one in found)


@test("ours-behind", 60)
def ours_behind(t):
    """Demarc behind a NAT, with a network inside: each side is told of the address that it can reach, and of no other"""
    net = internet(t)
    home = net.home("port")
    folder = t.folder / "office"
    folder.mkdir()
    world = BehindOurNAT(folder, t.program, home)
    t.defer(world.close)
    world.start()
    outside = Talker(t, world, "alice", HOSTS[1], net.namespace, world.public, SENTENCES[0])
    inside_ = Talker(t, world, "bob", world.phone, home.namespace, world.inner, SENTENCES[1])
    # In the house too, and it knows the public address alone: the router turns its packets round (hairpin, RFC 4787 §6).
    turned = Talker(t, world, "carol", world.round, home.namespace, world.public, SENTENCES[2])
    found = [converse(world, outside, inside_, world.public, world.inner),
             converse(world, inside_, outside, world.inner, world.public),
             converse(world, outside, turned, world.public, world.public),
             converse(world, turned, inside_, world.public, world.inner)]
    t.remark = f"correlation of eight ways {min(found):.4f} or better"
