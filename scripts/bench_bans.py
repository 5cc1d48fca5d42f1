"""What a datagram of somebody who is banned costs the machine, with `admission.kernelTable` and without.

    python3 scripts/bench_bans.py [--demarc PATH] [--bench PATH] [--rate N] [--seconds N] [--rounds N] [--dry]

Two trunks stand in a network namespace, one with the table and one without, and are flooded in turn by somebody whom
both have banned. Counted is the CPU time of the sender, of the trunk's threads and of the kernel's softirq threads, by
the scheduler's own clocks: on loopback the kernel works on the sender's account. Taken away is what the same sender
costs whose datagrams leave by a device that drops them. Of several rounds, in each of which all three take their turn,
the least of each counts, since what the machine does besides only adds. Needs root, and nft for nothing but to say
that tables are to be had.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from bench_socket import ROOT, cpu_seconds

from harness import namespaces
from harness.namespaces import command, prefix
from harness.process import Failure, Skipped, expect, wait_until
from harness.world import World

# Where the flood of `demarc-bench` comes from, and where nobody is.
STRANGER, NOWHERE = "127.8.0.1", "127.9.0.1"
TABLE = "demarc-bench"


class Trunk(World):
    def __init__(self, folder, program, space, table):
        folder.mkdir()
        super().__init__(folder, program, media_pairs=20, namespace=space)
        self.demarc.ipv6, self.table = False, table
        self.demarc.settings |= {"mediaFastPath": "off"}
        if table:
            self.demarc.settings |= {"admission": {"kernelTable": TABLE}}

    def start(self):
        super().start()
        self.demarc.command("bans", "add", STRANGER, "--for", "1h")
        if self.table:
            wait_until(lambda: self.demarc.metrics()["demarc_bans_in_kernel"] == 1, 5, "the ban in the kernel's table")
        return self

    def dropped(self):
        name = "bans_in_kernel_dropped_packets_total" if self.table else 'strangers_turned_away_total{reason="banned"}'
        return self.demarc.metrics()[f"demarc_{name}"]


def softirq_seconds():
    """Of the kernel's own threads for it, whoever's packets they work on."""
    pids = [path.parent.name for path in pathlib.Path("/proc").glob("[0-9]*/comm")
            if path.read_text().startswith("ksoftirqd/")]
    return sum(cpu_seconds(pid) for pid in pids)


def flood(options, space, target):
    """(how many have left, CPU seconds of the sender)"""
    words = [*prefix(space), options.bench, "flood", target, str(options.rate), str(options.seconds), "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as sender:
        said = sender.stdout.read()
        _, status, usage = waited(sender)
    expect(status == 0, f"the flood ended with {status}")
    return json.loads(said)["sent"], usage.ru_utime + usage.ru_stime


def waited(child):
    """Its end, with what it has used, which Popen does not tell."""
    found = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(found[1])
    return found


def cost(options, space, trunk):
    """µs of CPU for a datagram, the sender's part among them; of a trunk, or of nobody."""
    target = trunk.sip if trunk else f"{NOWHERE}:5060"
    before = trunk.dropped() if trunk else 0
    used = -softirq_seconds() - (cpu_seconds(trunk.demarc.pid) if trunk else 0)
    sent, sender = flood(options, space, target)
    used += softirq_seconds() + (cpu_seconds(trunk.demarc.pid) if trunk else 0)
    wanted = options.rate * options.seconds
    expect(sent > 0.95 * wanted, f"{sent} of {wanted} datagrams have left")
    if trunk:
        try:
            # The kernel's counter is read every few seconds.
            wait_until(lambda: trunk.dropped() - before >= 0.98 * sent, 10, "")
        except Failure:
            # They have found a full buffer, and cost less than they should.
            print(f"  {trunk.dropped() - before:.0f} of {sent} were dropped where they should: not counted", file=sys.stderr)
            return math.inf
    return (used + sender) / sent * 1e6


def nowhere(space):
    """A way that ends in a device which drops what leaves by it, since its other end is down."""
    command("ip", "-n", space, "link", "add", "nowhere", "type", "veth", "peer", "name", "nobody")
    command("ip", "-n", space, "link", "set", "nowhere", "arp", "off", "up")
    command(*prefix(space), "sysctl", "-qw", "net.ipv4.conf.nowhere.route_localnet=1")
    command("ip", "-n", space, "route", "add", "unicast", f"{NOWHERE}/32", "dev", "nowhere", "table", "local")


def measure(options):
    namespaces.require("ip", "nft", "sysctl")
    space = namespaces.make("bans")
    folder, trunks = pathlib.Path(tempfile.mkdtemp(prefix="demarc-bench-")), []
    try:
        nowhere(space)
        for name, table in (("process", None), ("kernel", TABLE)):
            trunks.append(Trunk(folder / name, options.demarc, space, table))
            trunks[-1].start()
        costs = {}
        for number in range(options.rounds):
            for name, trunk in (("nobody", None), ("process", trunks[0]), ("kernel", trunks[1])):
                costs.setdefault(name, []).append(cost(options, space, trunk))
            print(f"  round {number + 1}: " + ", ".join(f"{name} {found[-1]:.2f} us" for name, found in costs.items()),
                  file=sys.stderr)
        least = {name: min(found) for name, found in costs.items()}
        if max(least.values()) == math.inf:
            raise Skipped("datagrams were lost in each round: the machine is too busy")
        return {f"banned_packet_{name}_us": round(least[name] - least["nobody"], 2) for name in ("process", "kernel")}
    finally:
        for trunk in trunks:
            trunk.close()
        namespaces.remove(space)
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demarc", default=str(ROOT / ".build/release/demarc"))
    parser.add_argument("--bench", default=str(ROOT / ".build/release/demarc-bench"))
    parser.add_argument("--rate", type=int, default=10_000, help="datagrams a second")
    parser.add_argument("--seconds", type=int, default=3, help="of each flood")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="only print what was measured")
    options = parser.parse_args()
    try:
        found = measure(options)
    except (Skipped, Failure) as reason:
        print(f"bans in the kernel: not measured, because {reason}", file=sys.stderr)
        # Where it should have been measured, that is a failure of the bench.
        return 0 if isinstance(reason, Skipped) else 1
    for name, value in found.items():
        print(f"{name:30} {value:6.2f} us")
        if not options.dry:
            subprocess.run([options.bench, "record", name, str(value), "us"], check=True, cwd=ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
