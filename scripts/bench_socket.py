"""The measurements over real sockets: SIPp at both ends of Demarc, media anchored, digest, record written.

    python3 scripts/bench_socket.py [--demarc PATH] [--results FILE] [--quick]

Writes its figures into the results beside those that are there, and prints a table with the aims.
CPU is all of the process, user and system, from the kernel's scheduler: wall time says little on a machine
that does other things.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/Interop"))

from harness.agent import token  # noqa: E402
from harness.process import Failure, wait_until  # noqa: E402
from harness.sipp import Caller, Sipp, ready, sdp, uac, uas  # noqa: E402
from harness.world import World  # noqa: E402

RATE = 500
# Of a PBX, a second, while a flood comes.
FLOOD_CALLS = 300
STEPS = [1000, 1500, 2000, 2500, 3000, 4000, 5000]
# A call has two port pairs, and both rest for five seconds after it.
PORT_REST = 5.5
PAIRS_PER_ADDRESS = 1500
# SIPp asks for 64 kB, which holds some 50 datagrams: what comes while it is off its core is lost.
SIPP_BUFFER = ["-buff_size", pathlib.Path("/proc/sys/net/core/rmem_max").read_text().strip()]

AIMS = {
    "parse_invite_ns": 500, "parse_invite_mallocs": 0, "engine_call_us": 15, "socket_call_us": 100,
    "established_call_bytes": 4096, "relay_userspace_packet_us": 6, "relay_fastpath_packet_us_100": 1,
    "relay_fastpath_packet_us_500": 1, "relay_fastpath_packet_us_2000": 1, "relay_fastpath_delay_p99_us": 200,
    "start_ms": 200, "idle_rss_mb": 60,
}


def cpu_seconds(pid):
    """User and system time of every thread: nanoseconds of the scheduler, or the clock ticks of stat."""
    try:
        total = 0
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
        return total / 1e9
    except (OSError, ValueError):
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def lost_datagrams():
    """Those that found a receiver's buffer full, on this machine since it started."""
    lines = [line.split() for line in pathlib.Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Udp:")]
    return int(dict(zip(lines[0], lines[1]))["RcvbufErrors"])


def first_answer_ms(world):
    """From the start of the process to its first answer to an OPTIONS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        probe.settimeout(0.002)
        port = probe.getsockname()[1]
        options = (
            f"OPTIONS sip:{world.sip} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{token()};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:bench@127.0.0.1>;tag={token()}\r\nTo: <sip:{world.sip}>\r\n"
            f"Call-ID: {token()}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n").encode()
        began = time.monotonic()
        world.demarc.launch()
        while time.monotonic() - began < 20:
            probe.sendto(options, world.address)
            try:
                if probe.recv(2048).startswith(b"SIP/2.0"):
                    return (time.monotonic() - began) * 1000
            except OSError:
                continue
    raise Failure("Demarc did not answer an OPTIONS within 20 s")


def load(world, folder, name, rate, calls):
    """Calls of half a second at a rate: (successful, failed, calls/s reached, CPU seconds of Demarc)."""
    seconds = calls // rate + 1
    callee = ready(Sipp(
        folder, f"{name}-callee", uas(ring_ms=0, body=sdp(formats="0")), port=world.ports["north"], calls=0,
        messages=False, timeout=seconds + 30, extra=SIPP_BUFFER, limit=rate * 3))
    text = uac(caller=Caller(domain=world.domain, user="pbx"), digest=401, hold_ms=500, body=sdp(formats="0"))
    before, began = cpu_seconds(world.demarc.pid), time.monotonic()
    caller = Sipp(
        folder, f"{name}-caller", text, port=world.ports["pbx-digest"], remote=world.sip, calls=calls, rate=rate,
        service=world.number("+4930"), user="pbx", password="pbx-secret", messages=False, timeout=seconds + 20,
        extra=SIPP_BUFFER, limit=rate * 3)
    try:
        caller.process.wait(seconds + 40)
        took = time.monotonic() - began
        used = cpu_seconds(world.demarc.pid) - before
    finally:
        caller.process.stop()
        callee.process.kill()
    good = caller.count("SuccessfulCall(C)")
    # Half a second each, so the last ones end later than the rate alone says.
    return good, calls - good, calls / max(took - 0.5, 0.001), used


def at_rest(program, folder):
    """Start and memory of the example's size: 200 port pairs."""
    folder.mkdir()
    world = World(folder, program, media_pairs=200)
    try:
        starts = []
        for _ in range(3):
            starts.append(first_answer_ms(world))
            world.demarc.wait_ready()
            if len(starts) < 3:
                world.demarc.stop()
        world.demarc.apply(world.resources())
        time.sleep(2)
        return {
            "start_ms": {"value": round(min(starts), 1), "unit": "ms"},
            "idle_rss_mb": {"value": round(resident_mb(world.demarc.pid), 1), "unit": "MB"},
        }
    finally:
        world.close()


def port_pairs():
    """As many as this user may have descriptors for, up to what the highest step needs."""
    wanted = 10 * STEPS[-1]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (max(2 * wanted + 2000, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            break
        except (ValueError, OSError):
            continue
    return min(wanted, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1500) // 2)


def under_load(program, folder, quick):
    folder.mkdir()
    pairs = port_pairs()
    count = -(-pairs // PAIRS_PER_ADDRESS)
    world = World(folder, program, pairs // count, tuple(f"127.0.0.{index + 1}" for index in range(count)))
    world.demarc.ipv6 = False
    results = {}
    try:
        world.start()
        # The ports are bound little by little after the start.
        wait_until(lambda: world.demarc.metrics()['demarc_media_ports{state="free"}'] >= pairs - count, 60,
                   "every media port to be bound", 0.5)
        load(world, folder, "warm-up", 200, 400)
        time.sleep(PORT_REST)
        calls = min(RATE * (5 if quick else 20), int(pairs / 2 / PORT_REST) * 20)
        good, bad, reached, used = load(world, folder, "steady", RATE, calls)
        if bad:
            raise Failure(f"{bad} of {good + bad} calls failed at {RATE} calls/s: see {folder}")
        results["socket_call_us"] = {"value": round(used / good * 1e6, 1), "unit": "us"}
        best = reached
        for rate in [] if quick else STEPS:
            # Steps that a limit of descriptors makes short rather than wait for ports to have rested.
            time.sleep(PORT_REST)
            lost = lost_datagrams()
            good, bad, reached, used = load(world, folder, f"step-{rate}", rate, min(rate * 5, pairs // 2))
            # A failure beside lost datagrams says that somebody was off its core for longer than its buffer
            # holds; SIPp does not get over a lost ACK.
            print(f"  {rate:5} calls/s offered for {(good + bad) / rate:.1f} s: {reached:6.0f} reached, {bad} failed, "
                  f"{lost_datagrams() - lost} datagrams lost, {used / max(good, 1) * 1e6:5.1f} us a call",
                  file=sys.stderr)
            # SIPp that cannot keep its own rate measures SIPp.
            if bad or reached < 0.85 * rate:
                break
            best = reached
        results["socket_calls_per_s"] = {"value": round(best), "unit": "calls/s"}
        return results
    finally:
        world.close()


def under_flood(program, folder, bench, capacity):
    """Calls of a known PBX while strangers send INVITEs at ten times the highest rate that was reached."""
    folder.mkdir()
    port_pairs()
    count = -(-int(2 * FLOOD_CALLS * (PORT_REST + 1)) // PAIRS_PER_ADDRESS)
    world = World(folder, program, PAIRS_PER_ADDRESS, tuple(f"127.0.0.{index + 1}" for index in range(count)))
    world.demarc.ipv6 = False
    try:
        world.start()
        wait_until(lambda: world.demarc.metrics()['demarc_media_ports{state="free"}'] >= (PAIRS_PER_ADDRESS - 1) * count,
                   60, "every media port to be bound", 0.5)
        load(world, folder, "warm-up", 100, 200)
        time.sleep(PORT_REST)
        quiet, _, _, calm = load(world, folder, "calm", FLOOD_CALLS, FLOOD_CALLS * 5)
        time.sleep(PORT_REST)
        lost = lost_datagrams()
        with subprocess.Popen(
                [bench, "flood", world.sip, str(10 * capacity), "12", "250"], stdout=subprocess.PIPE, text=True) as flood:
            time.sleep(3)
            good, bad, _, used = load(world, folder, "flooded", FLOOD_CALLS, FLOOD_CALLS * 5)
            sent = json.loads(flood.communicate(timeout=60)[0])
        rate = sent["sent"] / sent["seconds"]
        print(f"  {rate:,.0f} INVITEs of strangers a second: {good} of {good + bad} calls kept, {quiet} without them; "
              f"{lost_datagrams() - lost} datagrams lost; {used:.1f} s of CPU for the calls and the flood beside them, "
              f"{calm:.1f} s without it", file=sys.stderr)
        return {
            "flood_invites_per_s": {"value": round(rate), "unit": "1/s"},
            "flood_calls_kept_percent": {"value": round(100 * good / (good + bad), 2), "unit": "%"},
            "flood_rss_mb": {"value": round(resident_mb(world.demarc.pid), 1), "unit": "MB"},
        }
    finally:
        world.close()


def measure(program, bench, quick):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="demarc-bench-"))
    results = {**at_rest(program, folder / "rest"), **under_load(program, folder / "load", quick)}
    if not quick:
        capacity = results["socket_calls_per_s"]["value"]
        results.update(under_flood(program, folder / "flood", bench, capacity))
    shutil.rmtree(folder, ignore_errors=True)
    return results


def table(results):
    width = max(map(len, results))
    lines = [f"{'name':{width}} {'value':>14} {'unit':10} {'aim':>8}"]
    for name, result in sorted(results.items()):
        aim = AIMS.get(name)
        value = result["value"]
        verdict = "" if aim is None else f"<= {aim}" + ("" if value <= aim else "  missed")
        lines.append(f"{name:{width}} {value:>14,} {result['unit']:10} {verdict}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demarc", default=str(ROOT / ".build/release/demarc"))
    parser.add_argument("--bench", default=str(ROOT / ".build/release/demarc-bench"))
    parser.add_argument("--results", default=str(ROOT / "bench/results/latest.json"))
    parser.add_argument("--quick", action="store_true", help="5 s at one rate alone")
    parser.add_argument("--table", action="store_true", help="only print what the results hold")
    options = parser.parse_args()
    path = pathlib.Path(options.results)
    results = json.loads(path.read_text()) if path.exists() else {}
    if not options.table:
        try:
            results.update(measure(options.demarc, options.bench, options.quick))
        except Failure as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 1
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
        temporary.replace(path)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
