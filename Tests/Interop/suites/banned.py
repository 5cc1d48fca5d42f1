"""Bans in the kernel: a Demarc in a namespace of its own, whose table nft(8) shows and whose packets do not arrive.
Skipped where namespaces are not permitted."""

import time

from harness import namespaces
from harness.agent import token
from harness.case import test
from harness.namespaces import command
from harness.process import expect, run, wait_until
from harness.world import World

SCANNER, FRIEND = "127.0.7.9", "127.0.7.8"
TABLE = "demarc"


class Guarded(World):
    """`admission.kernelTable` is set, and nobody else is in its network."""

    def __init__(self, t, without=None):
        namespaces.require("ip", "nft", "setpriv")
        self.t, self.space = t, namespaces.make("guarded")
        t.defer(lambda: namespaces.remove(self.space))
        super().__init__(t.folder, t.program, media_pairs=20, namespace=self.space)
        self.demarc.ipv6 = False
        self.demarc.settings |= {"admission": {"kernelTable": TABLE}, "mediaFastPath": "off"}
        self.wrapper = [*namespaces.prefix(self.space)]
        if without:
            drop = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"]
            self.wrapper += drop
            # A shell in between, since the command line of the process is the harness's.
            launcher = t.folder / "demarc"
            launcher.write_text(f'#!/bin/sh\nexec {" ".join(drop)} {self.demarc.program} "$@"\n')
            launcher.chmod(0o755)
            self.demarc.launcher = str(launcher)
        t.defer(self.close)
        self.start()

    def stranger(self, address):
        return self.t.agent(world=self, user="stranger", address=address, namespace=self.space)

    def nft(self, *words):
        return command(*namespaces.prefix(self.space), "nft", *words)

    def listed(self, name="ipv4"):
        """What the set holds, as nft shows it; nothing where there is none."""
        code, output = run([*namespaces.prefix(self.space), "nft", "list", "set", "inet", TABLE, name], 10)
        return output if code == 0 else ""

    def wait_listed(self, address=SCANNER):
        wait_until(lambda: address in self.listed(), 5, f"{address} in the kernel's table")

    def metric(self, name):
        return self.demarc.metrics()[f"demarc_{name}"]

    def received(self):
        return self.metric('sip_datagrams_total{direction="received"}')


def ask(agent, extra=()):
    agent.send(agent.request(
        "REGISTER", f"sip:{agent.domain}", token(), 1, token(), to=f"<sip:alice@{agent.domain}>",
        sender=f"<sip:alice@{agent.domain}>", extra=("Expires: 60", *extra)))


def is_heard(agent):
    """Whether it is challenged."""
    ask(agent)
    answer = agent.receive(0.3)
    return answer is not None and answer.status == 401


def scan(agent):
    ask(agent, ("User-Agent: friendly-scanner",))


@test("kernel-drops", 60)
def kernel_drops(t):
    """What comes from a scanner gets as far as the kernel, for as long as its ban lasts; nobody else notices"""
    world = Guarded(t)
    scanner, friend = world.stranger(SCANNER), world.stranger(FRIEND)
    expect(is_heard(scanner) and is_heard(friend), "strangers are not heard before anybody is banned")
    scan(scanner)
    world.wait_listed()
    expect("timeout" in world.listed(), world.listed())
    wait_until(lambda: world.metric("bans_in_kernel") == 1, 3, "the metric of one ban")
    expect(world.metric('bans_in_kernel_state{state="on"}') == 1, "the metric of its state")
    before, refused = world.received(), world.metric('strangers_turned_away_total{reason="banned"}')
    for _ in range(100):
        scan(scanner)
    expect(is_heard(friend), "somebody else is not heard")
    expect(world.received() - before == 1, f"{world.received() - before} datagrams arrived, 1 of them was a friend's")
    expect(world.metric('strangers_turned_away_total{reason="banned"}') == refused, "it was turned away by us")
    wait_until(lambda: world.metric("bans_in_kernel_dropped_packets_total") == 100, 8, "100 packets as dropped")
    # Whoever loads a firewall anew does not let it in.
    world.nft("flush", "ruleset")
    expect(SCANNER in world.listed(), "the table is gone with the others")

    world.demarc.command("bans", "lift", SCANNER)
    wait_until(lambda: is_heard(scanner), 5, "it to be heard after its ban was lifted")
    world.demarc.command("bans", "add", SCANNER, "--for", "4s")
    world.wait_listed()
    expect(not is_heard(scanner), "it is heard while its ban holds")
    wait_until(lambda: is_heard(scanner), 8, "it to be heard after its ban is over")
    expect(SCANNER not in world.listed(), "the ban is still in the table")
    wait_until(lambda: not world.demarc.ask("bans")["items"], 3, "the ban to be over")

    # A block, and one within it.
    world.demarc.command("bans", "add", "127.0.7.0/24")
    wait_until(lambda: not is_heard(friend), 5, "the block to be shut out")
    wait_until(lambda: "127.0.7.0" in world.listed("ipv4-24"), 5, "the block in a set of its length")
    world.demarc.command("bans", "lift", "127.0.7.0/24")
    wait_until(lambda: is_heard(friend), 5, "the block to be let in")
    expect(world.metric("bans_in_kernel_failures_total") == 0, "the kernel has refused something")
    code, output = run([*world.wrapper, t.program, "doctor", "ports", "--config", t.folder / "demarc.yaml"])
    expect(f"the table `inet {TABLE}`" in output, f"doctor, {code}: {output}")
    world.demarc.stop()
    expect(not world.nft("list", "tables").strip(), "a table is left")


@test("kernel-and-restarts", 60)
def restarts(t):
    """A process that is killed leaves no ban behind, and the next one puts back what is left of them"""
    world = Guarded(t)
    scanner = world.stranger(SCANNER)
    world.demarc.command("bans", "add", SCANNER, "--for", "1h")
    world.demarc.command("bans", "add", FRIEND, "--for", "3s")
    world.wait_listed()
    world.demarc.kill()
    # What is not gone with the process (Linux before 5.12) ends by itself.
    left = world.nft("list", "tables")
    expect(not left.strip() or "timeout" in world.listed(), f"what is left has no end: {left}")
    time.sleep(3)
    world.demarc.start()
    world.wait_listed()
    expect(not is_heard(scanner), "the ban is over after a crash")
    listed = world.listed()
    expect(FRIEND not in listed, f"one that is over was put back: {listed}")
    expect("timeout 59m" in listed, f"it lasts longer than it should: {listed}")
    expect(is_heard(world.stranger(FRIEND)), "who is not banned any more is not heard")
    world.demarc.stop()
    expect(not world.nft("list", "tables").strip(), "a table is left")


@test("kernel-not-permitted", 40)
def not_permitted(t):
    """Without CAP_NET_ADMIN bans hold in user space, the log says why once, and doctor what to do"""
    world = Guarded(t, without="-net_admin")
    scanner = world.stranger(SCANNER)
    wait_until(
        lambda: world.demarc.metrics().get('demarc_bans_in_kernel_state{state="not-permitted"}') == 1, 5,
        "the metric of what stands in the way")
    scan(scanner)
    wait_until(lambda: world.demarc.ask("bans")["items"], 5, "the ban")
    before = world.metric('strangers_turned_away_total{reason="banned"}')
    for _ in range(3):
        scan(scanner)
    wait_until(
        lambda: world.metric('strangers_turned_away_total{reason="banned"}') == before + 3, 5, "it to be turned away")
    expect(world.metric("bans_in_kernel") == 0, "the metrics say that the kernel has it")
    text = world.demarc.process.text()
    expect(text.count("the process lacks CAP_NET_ADMIN") == 1, f"the log says it not once: {text}")
    code, output = run([*world.wrapper, t.program, "doctor", "ports", "--config", t.folder / "demarc.yaml"])
    expect("bans hold in user space alone: the process lacks CAP_NET_ADMIN" in output, f"doctor, {code}: {output}")
