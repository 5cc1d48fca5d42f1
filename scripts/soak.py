"""Calls through Demarc for a long time: nothing may grow, and every call has exactly one record.

    python3 scripts/soak.py [--minutes 30] [--rate 200] [--hold-ms 1000] [--media 0]
                            [--demarc PATH] [--results FILE] [--keep]

Of ten calls eight are answered by the first carrier after a digest, one after the first carrier has refused, and one
is given up while it rings. What leaks, leaks most on the last two ways. Beside them go as many calls with speech as
`--media` says (scripts/speech.py).

The run begins with a warm-up, until the memory for ladders is full or two minutes are over; then all calls end.

  descriptors, ports, media transports, flows in   at the end exactly what they are then
  the kernel, calls, transactions, timers, waiting
  facts
  resident memory                                  at the end no more than in the first third of the run, plus 5 % or
                                                   8 MB, whichever is more: how often a challenge was answered is
                                                   remembered for up to ten minutes, so it settles that late

A failed call is Demarc's unless a socket of SIPp's lost a datagram to a full buffer: so many calls may fail, no more.
"""

import csv
import subprocess
import sys
import time

from campaign import (
    AT_REST, PORT_REST, SIPP_BUFFER, TIME_TO_REST, Office, arguments, at_rest, carry_out, datagrams_lost, differences, sample,
    table, wait_for_end)
from harness import lanes  # noqa: E402
from harness.process import Failure  # noqa: E402
from harness.sipp import Caller, Sipp, ready, sdp, uac, uac_cancels, uas, uas_refuses, uas_until_cancel  # noqa: E402
from speech import CAUSES, LISTENER, PREFIX, TALKER, Speech

WARM_UP = 120
BETWEEN_SAMPLES = 10
MEMORY_SHARE, MEMORY_LEAST_MB = 0.05, 8
# ladderMemory of the configuration's default, 64 MiB, is a ring: full, it no longer grows. Transactions are at their
# most only after 64*T1.
RING_MB, WARM_UP_LEAST = 66, 60


class Load:
    """SIPp at both ends, three ways at once, and calls with speech."""

    ways = {"answered": ("pbx-digest", "north", "+4930"), "failover": ("pbx-failover", "refusing", "+4932"),
            "cancelled": ("pbx-cancels", "east", "+4938")}

    def __init__(self, office, folder, rate, hold_ms, seconds, media):
        folder.mkdir()
        self.office, self.folder, self.rate, self.seconds = office, folder, rate, seconds
        plain = sdp(formats="0")
        self.callees = [
            self.callee("north", uas(ring_ms=50, body=plain)), self.callee("south", uas(ring_ms=0, body=plain)),
            self.callee("refusing", uas_refuses(503, "No", ring=False)), self.callee("east", uas_until_cancel())]
        for callee in self.callees:
            ready(callee)
        tenth = max(1, rate // 10)
        caller = Caller(domain=office.domain, user="pbx")
        self.callers = {
            "answered": self.caller("answered", max(1, rate - 2 * tenth),
                                    uac(caller=caller, digest=401, hold_ms=hold_ms, body=plain)),
            "failover": self.caller("failover", tenth, uac(hold_ms=hold_ms, body=plain)),
            "cancelled": self.caller("cancelled", tenth, uac_cancels(after_ms=300)),
        }
        self.speech = Speech(office, media)

    def callee(self, name, text):
        return Sipp(self.folder, f"callee-{name}", text, port=self.office.ports[name], calls=0, messages=False,
                    timeout=self.seconds + 180, extra=SIPP_BUFFER, limit=self.rate * 10)

    def caller(self, way, rate, text):
        trunk, _, prefix = self.ways[way]
        return Sipp(
            self.folder, f"caller-{way}", text, port=self.office.ports[trunk], remote=self.office.sip,
            calls=rate * self.seconds, rate=rate, service=f"{prefix}100001", user="pbx", password="pbx-secret",
            messages=False, timeout=self.seconds + 120, extra=SIPP_BUFFER, limit=rate * 10)

    def count(self, column):
        return sum(caller.count(column) for caller in self.callers.values())

    def lost(self):
        ports = [one.port for one in (*self.callers.values(), *self.callees)]
        return datagrams_lost(*ports)

    def stop(self):
        self.speech.end()
        for one in (*self.callers.values(), *self.callees):
            one.stop()


def office(program, folder, rate, hold_ms, media):
    # Two pairs a call, as long as it takes and its ports rest after it.
    pairs = int(rate * 2 * (hold_ms / 1000 + 1 + PORT_REST) * 1.3) + 200 + 4 * media
    return Office(
        program, folder, {
            "pbx-digest": {"authentication": {"username": "pbx", "password": "pbx-secret"}},
            "pbx-failover": {}, "pbx-cancels": {}, "talker": TALKER},
        # A carrier that always refuses is to be asked each time, so nothing may count as down.
        {**{name: {"probe": {"enabled": False}} for name in ("north", "south", "refusing", "east")},
         "listener": LISTENER},
        {"+4930": ["north"], "+4932": ["refusing", "south"], "+4938": ["east"], PREFIX: ["listener"]}, pairs)


def run_load(load, demarc, seconds, verdict, samples, began, until=None):
    """Runs a load to its end with a line for each sample; how many datagrams SIPp's sockets lost."""
    callers = list(load.callers.values())
    due, lost = time.monotonic() + BETWEEN_SAMPLES, 0
    deadline = time.monotonic() + seconds + 150
    before = sample(demarc) if not samples else samples[-1]
    while any(caller.process.running() for caller in callers):
        time.sleep(0.2)
        # The count goes with the socket, so it is read more often than it is told.
        lost = max(lost, load.lost())
        if time.monotonic() > deadline:
            verdict.check(False, f"SIPp did not end {deadline - began:.0f} s after the start")
            break
        if not demarc.running():
            raise Failure(f"Demarc died: {demarc.last_words()}")
        if time.monotonic() < due:
            continue
        due += BETWEEN_SAMPLES
        now = {"seconds": round(time.monotonic() - began), **sample(demarc), "lost": lost,
               "good": load.count("SuccessfulCall(C)"), "failed": load.count("FailedCall(C)")}
        cpu = (now["cpu_seconds"] - before["cpu_seconds"]) / BETWEEN_SAMPLES
        print(f"{now['seconds']:5} s  {now['good']:7} good {now['failed']:3} failed  {now['calls_active']:5.0f} active  "
              f"{now['rss_mb']:6.1f} MB  {now['descriptors']:5} fds  {now['ports_free']:5.0f} ports free  "
              f"{now['transactions']:5.0f} transactions  {now['timers']:5.0f} timers  {now['kernel_flows']:4.0f} in the "
              f"kernel  {cpu * 100:3.0f} % cpu  {now['lost']} lost", flush=True)
        samples.append(now)
        before = now
        if until and until(now):
            break
    return lost


def settled_memory(samples, seconds, before):
    """The most that was resident in the first third of a run, in MB."""
    return max([before["rss_mb"], *(one["rss_mb"] for one in samples if one["seconds"] <= seconds / 3)])


def records(program, socket, folder):
    """{cause: count} of the exported records, how many there are, how many Call-IDs have not just one, how many are not
    closed, and {number: record} of the calls with speech."""
    path = folder / "records.csv"
    with open(path, "wb") as file:
        done = subprocess.run([program, "cdrs", "export", "--format", "csv", "--socket", socket], stdout=file,
                              stdin=subprocess.DEVNULL, timeout=600)
    if done.returncode != 0:
        raise Failure(f"the export of the records ended with {done.returncode}")
    causes, calls, total, not_closed, speech = {}, {}, 0, 0, {}
    csv.field_size_limit(1 << 20)
    with open(path, newline="", errors="replace") as file:
        for row in csv.DictReader(file):
            total += 1
            causes[row["cause"]] = causes.get(row["cause"], 0) + 1
            calls[row["sip_call_id"]] = calls.get(row["sip_call_id"], 0) + 1
            not_closed += row["state"] != "ended"
            if row["called_number"].startswith(PREFIX):
                speech[row["called_number"]] = row
    path.unlink()
    return causes, total, sum(count - 1 for count in calls.values()), not_closed, speech


def check_speech(loads, demarc, verdict, records_by_number):
    """The packets of every call, and that the kernel was told to let go of each."""
    for load in loads:
        load.speech.check(verdict, records_by_number)
    left = lanes.in_use(demarc.pid)
    verdict.check(not left, f"{left} entries of the kernel's are in use after the last call")
    verdict.figures["speech"] = {**loads[-1].speech.figures(), "kernel_entries_left": left}


def soak(options, verdict, folder, samples):
    here = office(options.demarc, folder / "office", options.rate, options.hold_ms, options.media)
    demarc = here.demarc
    loads = []

    def load(name, seconds):
        made = Load(here, folder / name, options.rate, options.hold_ms, seconds, options.media)
        loads.append(made)
        return made
    try:
        here.start()
        empty = sample(demarc)
        seconds = options.minutes * 60
        warm = load("warm-up", min(WARM_UP, max(20, seconds)))
        print(f"warm-up: {options.rate} calls/s, at most {warm.seconds} s; {empty['rss_mb']} MB when empty")
        lost = run_load(warm, demarc, warm.seconds, verdict, [], time.monotonic(),
                        lambda now: now["trace_mb"] > RING_MB and now["seconds"] > WARM_UP_LEAST)
        for caller in warm.callers.values():
            caller.process.child.send_signal(10)  # SIGUSR1: no new calls, the open ones to their end
        wait_for_end(list(warm.callers.values()), 60)
        warm.stop()
        before = at_rest(demarc, empty)
        verdict.check(not differences(before, empty),
                      f"after the warm-up is left: {differences(before, empty)} of {before}")
        warm_good, warm_failed = warm.count("SuccessfulCall(C)"), warm.count("FailedCall(C)")
        print(f"soak: {options.minutes} min at {options.rate} calls/s beside {options.media} with speech; "
              f"at rest {before['rss_mb']} MB")

        main = load("soak", seconds)
        began = time.monotonic()
        lost += run_load(main, demarc, seconds, verdict, samples, began)
        took = time.monotonic() - began
        good, failed = main.count("SuccessfulCall(C)"), main.count("FailedCall(C)")
        main.stop()
        after = at_rest(demarc, before)
        during = samples or [after]

        settled = settled_memory(samples, seconds, before)
        allowed = max(MEMORY_SHARE * settled, MEMORY_LEAST_MB)
        rows = []
        for name in (*AT_REST, "rss_mb"):
            peak = (min if name == "ports_free" else max)(one[name] for one in during)
            rows.append((name, f"{before[name]:g}", f"{peak:g}", f"{after[name]:g}"))
        left = differences(after, before)
        verdict.check(not left, f"{TIME_TO_REST} s after the last call is left: " + ", ".join(
            f"{name} {after[name]:g}, was {before[name]:g}" for name in left))
        growth = round(after["rss_mb"] - settled, 1)
        verdict.check(growth <= allowed, f"resident memory grew by {growth} MB since the first third of the run; "
                                         f"{allowed:.1f} are allowed")
        wanted = sum(rate * seconds for rate in (
            max(1, options.rate - 2 * max(1, options.rate // 10)), *[max(1, options.rate // 10)] * 2))
        verdict.check(good + failed == wanted, f"SIPp made {good + failed} of {wanted} calls")
        all_failed = failed + warm_failed
        verdict.check(all_failed <= lost, f"{all_failed} calls failed, and SIPp's sockets lost {lost} datagrams: "
                                          f"see {folder}")
        verdict.check(after["dropped_by_kernel"] == 0, f"Demarc's sockets lost {after['dropped_by_kernel']:.0f} datagrams")
        verdict.check(after["internal_faults"] == 0, f"{after['internal_faults']:.0f} internal faults")
        verdict.check(after["facts_dropped"] == 0, f"{after['facts_dropped']:.0f} facts were dropped")
        spoken = sum(len(one.speech.talks) for one in loads)
        expected = good + failed + warm_good + warm_failed + spoken
        causes, total, doubled, not_closed, speech = records(options.demarc, demarc.socket, folder)
        verdict.check(total == expected, f"{total} records of {expected} calls")
        verdict.check(doubled == 0, f"{doubled} calls have more than one record")
        verdict.check(not_closed == 0, f"{not_closed} records are not closed")
        known = {"normal-clearing", "cancelled", *CAUSES.values()}
        strange = sum(count for cause, count in causes.items() if cause not in known)
        verdict.check(strange <= all_failed, f"records say {causes}")
        verdict.figures.update({
            "minutes": options.minutes, "rate": options.rate, "seconds": round(took), "calls": good + failed,
            "failed": all_failed, "lost_datagrams": lost, "records": total, "causes": causes,
            "cpu_us_a_call": round((after["cpu_seconds"] - before["cpu_seconds"]) / max(1, good + failed) * 1e6),
            "store_mb": round(sum(path.stat().st_size for path in (folder / "office").glob("demarc.db*")) / 1e6),
            "before": before, "after": after,
            "rss_peak_mb": max(one["rss_mb"] for one in during), "rss_settled_mb": settled,
            "rss_growth_mb": growth, "rss_allowed_growth_mb": round(allowed, 1)})
        check_speech(loads, demarc, verdict, speech)
        print()
        print(table(rows, ("", "before", "worst", "after")))
        print(f"\n{good} calls in {took:.0f} s, {all_failed} failed, {lost} datagrams lost by SIPp's sockets; "
              f"{total} records, {doubled} doubled; {verdict.figures['cpu_us_a_call']} us of CPU a call, "
              f"store {verdict.figures['store_mb']} MB; memory {growth:+} MB since the first third of the run")
        if options.media:
            print(main.speech)
    finally:
        for one in loads:
            one.stop()
        here.close()


def main():
    parser = arguments("soak", __doc__)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--rate", type=int, default=200, help="calls a second")
    parser.add_argument("--hold-ms", type=int, default=1000, help="how long a call is answered")
    parser.add_argument("--media", type=int, default=0, help="calls with speech at a time, beside those")
    options = parser.parse_args()
    samples = []
    return carry_out("soak", lambda *given: soak(*given, samples), options, samples=samples)


if __name__ == "__main__":
    sys.exit(main())
