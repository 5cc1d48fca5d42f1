"""What the campaigns share: a Demarc with trunks for SIPp at both ends, what is sampled of it, and how a run tells."""

import argparse
import json
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/Interop"))

from harness.demarc import Demarc  # noqa: E402
from harness.ports import free_port, free_range  # noqa: E402
from harness.process import Failure, wait_until  # noqa: E402

# SIPp asks for 64 kB, which holds some 50 datagrams: what comes while it is off its core is lost.
SIPP_BUFFER = ["-buff_size", pathlib.Path("/proc/sys/net/core/rmem_max").read_text().strip()]
# A port pair rests after its call before another may have it.
PORT_REST = 5.5
PAIRS_PER_ADDRESS = 1500
# 64*T1 of the last transactions, the rest of the last ports, and a busy machine.
TIME_TO_REST = 60


class Office:
    """A Demarc with `callers` (PBX trunks) and `carriers` (name → what the trunk has besides), and a prefix for each
    entry of `routes` (prefix → carriers in order of priority)."""

    def __init__(self, program, folder, callers, carriers, routes, pairs, timeout="4s"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.domain = "demarc.test"
        self.callers, self.carriers, self.routes, self.timeout = callers, carriers, routes, timeout
        self.ports = {name: free_port() for name in (*callers, *carriers)}
        raise_descriptors(2 * pairs + 1500)
        count = -(-pairs // PAIRS_PER_ADDRESS)
        addresses = tuple(f"127.0.0.{index + 1}" for index in range(count))
        each = -(-pairs // count)
        self.pairs = each * count
        self.demarc = Demarc(program, self.folder, free_port(), (free_range(2 * each, addresses), 2 * each), False,
                             addresses)
        self.sip = f"127.0.0.1:{self.demarc.sip_port}"
        self.address = ("127.0.0.1", self.demarc.sip_port)

    def start(self):
        self.demarc.start()
        # The ports are bound little by little after the start.
        wait_until(lambda: self.demarc.metrics()['demarc_media_ports{state="free"}'] >= self.pairs, 60,
                   "every media port to be bound", 0.3)
        self.demarc.apply(self.resources())
        return self

    def close(self):
        self.demarc.stop()

    def resources(self):
        def trunk(name, kind, more):
            address = f"127.0.0.1:{self.ports[name]}"
            return {"name": name, "tenant": "test", "kind": kind, "network": "loopback", "targets": [address],
                    "sources": [address], **more}
        return {
            # Calls to +49 are domestic.
            "tenants": [{"name": "test", "domains": [self.domain], "numbers": {"countryCode": "49"}}],
            "networks": [
                {"name": "loopback", "listeners": ["v4"], "media": list(self.demarc.media_addresses)}],
            "trunks": [*(trunk(name, "pbx", more) for name, more in self.callers.items()),
                       *(trunk(name, "carrier", more) for name, more in self.carriers.items())],
            "routes": [
                {"name": f"to-{prefix.lstrip('+')}", "tenant": "test", "prefix": prefix, "timeout": self.timeout,
                 "carriers": [{"trunk": name, "priority": place + 1} for place, name in enumerate(names)]}
                for prefix, names in self.routes.items()],
            "users": [], "numbers": [], "applications": [],
        }


def raise_descriptors(wanted):
    """As many as this user may have: a port pair is two of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    for limit in (max(wanted, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            break
        except (ValueError, OSError):
            continue
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        raise Failure(f"{wanted} open files are needed, {hard} are allowed (ulimit -n)")


# --- samples -------------------------------------------------------------------------------------------
def sample(demarc):
    """What a leak would show in."""
    metrics = demarc.metrics()

    def total(name):
        return sum(value for key, value in metrics.items() if key.startswith(name + "{"))
    return {
        "rss_mb": round(metrics["demarc_process_resident_memory_bytes"] / 1e6, 1),
        "descriptors": len(os.listdir(f"/proc/{demarc.pid}/fd")),
        "ports_free": metrics['demarc_media_ports{state="free"}'],
        "ports_leased": metrics['demarc_media_ports{state="leased"}'],
        "media_transports": metrics["demarc_media_transports"],
        "kernel_flows": metrics["demarc_media_kernel_flows"],
        "calls_active": metrics["demarc_calls_active"],
        "trunk_calls": total("demarc_trunk_calls"),
        "transactions": metrics["demarc_sip_transactions"],
        "timers": metrics["demarc_timers"],
        "facts_unconfirmed": metrics["demarc_facts_unconfirmed"],
        "store_waiting": metrics["demarc_store_waiting"],
        "calls_attempted": metrics["demarc_calls_attempted_total"],
        "internal_faults": metrics["demarc_internal_faults_total"],
        "dropped_by_kernel": metrics['demarc_sip_datagrams_dropped_total{reason="kernel"}'],
        "facts_dropped": total("demarc_facts_dropped_total"),
        "trace_mb": round(metrics["demarc_trace_bytes"] / 1e6, 1),
        "cpu_seconds": metrics["demarc_process_cpu_seconds_total"],
    }


# Those that are back where they were when no call is left.
AT_REST = ("descriptors", "ports_free", "ports_leased", "media_transports", "kernel_flows", "calls_active",
           "trunk_calls", "transactions", "timers", "facts_unconfirmed", "store_waiting")


def at_rest(demarc, before, seconds=TIME_TO_REST, what=AT_REST):
    """The first sample in which everything is where it was `before` (no higher, ports no fewer), or the last one."""
    deadline = time.monotonic() + seconds
    while True:
        now = sample(demarc)
        if not differences(now, before, what) or time.monotonic() > deadline:
            return now
        time.sleep(1)


def differences(now, before, what=AT_REST):
    return [name for name in what
            if (now[name] < before[name] if name == "ports_free" else now[name] > before[name])]


def datagrams_lost(*ports):
    """Those that found the buffer of a socket of 127.0.0.1 full, by the kernel's count for the socket."""
    lost = 0
    for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) in ports:
            lost += int(fields[-1])
    return lost


def wait_for_end(processes, seconds):
    """True when all have ended in time."""
    deadline = time.monotonic() + seconds
    while any(one.process.running() for one in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


# --- what a run tells ----------------------------------------------------------------------------------
class Verdict:
    """Findings of a run; what is not as it should be is printed at the end, and decides the exit code."""

    def __init__(self, name):
        self.name, self.problems, self.figures = name, [], {}

    def check(self, holds, text):
        if not holds:
            self.problems.append(text)

    def write(self, path, **more):
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        result = {"campaign": self.name, "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                  "cores": os.cpu_count(), "problems": self.problems, "figures": self.figures, **more}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(result, indent=1) + "\n")
        temporary.replace(path)
        print(f"results: {path}")

    def code(self):
        for problem in self.problems:
            print(f"FAIL  {problem}")
        print(f"{self.name}: " + ("failed" if self.problems else "passed"))
        return 1 if self.problems else 0


def arguments(name, text):
    """A parser of what each campaign may be told, for it to add its own; `text` is the campaign's docstring."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--demarc", default=str(ROOT / ".build/release/demarc"))
    parser.add_argument("--results", default=str(ROOT / f"run/campaigns/{name}.json"))
    parser.add_argument("--keep", action="store_true", help="keep the logs, which a run that failed does anyway")
    return parser


def carry_out(name, work, options, **more):
    """Runs `work(options, verdict, folder)`, writes the results with what else is to stand there, and keeps the logs of
    a run that failed; the exit code."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"demarc-{name}-"))
    verdict = Verdict(name)
    try:
        work(options, verdict, folder)
    except Failure as failure:
        verdict.check(False, str(failure))
    verdict.write(options.results, **more)
    if verdict.problems or options.keep:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict.code()


def table(rows, head):
    """Columns of text, the first to the left and the others to the right."""
    rows = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) if index == 0 else cell.rjust(width)
                  for index, (cell, width) in enumerate(zip(row, widths))) for row in rows)
