"""Many calls, a process that is killed, and how long it takes until they can be ended again.

    python3 scripts/restart.py [--calls 10000] [--rate 100] [--released] [--demarc PATH] [--results FILE] [--keep]

The calls are those of `anchored.py`. When all are up and on the disk, the process is killed by its number and started
anew on its store. From that moment on the first call's BYE is sent, as a phone would send it again; when it is answered
Demarc has read every dialog. Then all the others are ended from outside: each must be known, be told to its other side,
and have its one closed record.

`--released`: the media ports of before are outside of the range at the new start, so that no call can go on. Both sides
of each must get a BYE, all of them at once, and none may be lost.
"""

import sys
import time

from anchored import PREFIX, Crowd, affordable
from campaign import AT_REST, PORT_REST, Office, arguments, at_rest, carry_out, differences, sample
from harness.process import expect, wait_until

# Between two copies of the BYE by which the start is measured.
KNOCK = 0.02


class Survivors(Crowd):
    """The ends of calls that outlive their Demarc."""

    def __init__(self, *given):
        super().__init__(*given)
        # Call-IDs of those that were told to hang up, by side, and how many copies came of that.
        self.told, self.copies, self.unknown = [set(), set()], 0, []

    def callee(self, message, source):
        self.note_bye(1, message)
        super().callee(message, source)

    def caller(self, message):
        if message.method == "BYE":
            self.note_bye(0, message)
            self.respond(message)
            return
        if message.status is not None and message.status >= 300 and message.cseq_method == "BYE":
            self.unknown.append(message.start)
        super().caller(message)

    def note_bye(self, side, message):
        if message.method == "BYE":
            self.copies += 1
            self.told[side].add(message.get("call-id"))

    def respond(self, message):
        text = "".join(f"Via: {via}\r\n" for via in message.all("via"))
        text = (
            f"SIP/2.0 200 OK\r\n{text}From: {message.get('from')}\r\nTo: {message.get('to')}\r\n"
            f"Call-ID: {message.get('call-id')}\r\nCSeq: {message.get('cseq')}\r\nContent-Length: 0\r\n\r\n")
        self.sides[0].signalling.sendto(text.encode(), self.office.address)

    def knock(self, call, seconds):
        """One BYE, sent again and again until it is answered; when that was."""
        deadline, again = time.monotonic() + seconds, None
        while call.state != "ended":
            expect(time.monotonic() < deadline, f"waited {seconds} s for the first BYE to be answered")
            try:
                again = again or self.bye(call)
                self.sides[0].signalling.sendto(again, self.office.address)
            except ConnectionRefusedError:
                pass
            self.turn(KNOCK)
        return time.monotonic()

    def bye(self, call):
        call.state = "ending"
        return self.written(call, "BYE", 2, call.target)

    def turn(self, seconds):
        # What ICMP says of the time without a process is no news.
        try:
            super().turn(seconds)
        except ConnectionRefusedError:
            pass


def again(office, crowd, options):
    """Killed, and started anew; seconds until the first answer by SIP, and until the command is answered."""
    office.demarc.kill()
    if options.released:
        office.demarc.first_media_port += office.demarc.media_port_count
    begin = time.monotonic()
    office.demarc.launch()
    if options.released:
        crowd.until(lambda: crowd.copies > 0, 60, "the first BYE")
        answered = time.monotonic()
    else:
        answered = crowd.knock(next(iter(crowd.calls.values())), 60)
    office.demarc.wait_ready(60)
    return answered - begin, time.monotonic() - begin


def restart(options, verdict, folder):
    count = affordable(options.calls)
    office = Office(options.demarc, folder / "office", {"pbx": {}}, {"north": {}}, {PREFIX: ["north"]}, 2 * count)
    crowd = None
    try:
        office.start()
        demarc, empty = office.demarc, sample(office.demarc)
        crowd = Survivors(office, count, options.rate)
        crowd.build()
        up = crowd.state("up")
        wait_until(lambda: demarc.metrics()["demarc_facts_unconfirmed"] == 0, 60, "every call to be on the disk", 0.2)
        print(f"{up} calls up, {sample(demarc)['rss_mb']} MB")
        first, ready = again(office, crowd, options)
        outcome = {name: int(demarc.metrics().get(f'demarc_calls_recovered_total{{outcome="{name}"}}', 0))
                   for name in ("recovered", "released", "lost")}
        print(f"first answer after {first:.2f} s, the command's after {ready:.2f} s; {outcome}")
        if options.released:
            ended = all_told(crowd, up)
            causes = {"interrupted"}
        else:
            begin = time.monotonic()
            crowd.end()
            ended = time.monotonic() - begin
            causes = {"normal-clearing"}
            verdict.check(len(crowd.told[1]) == up, f"{len(crowd.told[1])} of {up} callees were told")
            verdict.check(first <= options.limit, f"the first answer took {first:.2f} s, {options.limit} are allowed")
        records = demarc.closed_records(up, 120)
        after = at_rest(demarc, empty, 60 + PORT_REST)
        verdict.check(up == count, f"{up} calls of {count} were up")
        kind = "released" if options.released else "recovered"
        verdict.check(outcome[kind] == up, f"{up} calls were up, {outcome}")
        verdict.check(not crowd.unknown, f"{len(crowd.unknown)} BYEs were refused: {crowd.unknown[:3]}")
        found = {record["cause"] for record in records}
        verdict.check(found == causes, f"records say {found}")
        left = differences(after, empty, [name for name in AT_REST if name not in ("descriptors", "ports_free")])
        verdict.check(not left, f"left behind: {[(name, after[name]) for name in left]}")
        verdict.check(after["internal_faults"] == 0, "an internal fault")
        full = demarc.metrics().get('demarc_sip_datagrams_dropped_total{reason="output-full"}', 0)
        verdict.check(full == 0, f"{full:.0f} messages did not fit into the output")
        verdict.figures.update({
            "calls": up, "first_answer_seconds": round(first, 2), "ready_seconds": round(ready, 2),
            "all_ended_seconds": round(ended, 2), "bye_copies": crowd.copies, **outcome})
        print(verdict.figures)
    finally:
        if crowd:
            crowd.close()
        office.close()


def all_told(crowd, count):
    """Both sides of every call; how long that took from the first one on."""
    begin = time.monotonic()
    crowd.until(lambda: all(len(told) == count for told in crowd.told), 60, f"both sides of {count} calls to be told")
    return time.monotonic() - begin


def main():
    parser = arguments("restart", __doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=100, help="new calls, and BYEs, a second")
    parser.add_argument("--limit", type=float, default=3, help="seconds that the first answer may take")
    parser.add_argument("--released", action="store_true", help="no call can go on: each is to be told")
    options = parser.parse_args()
    return carry_out("restart", restart, options)


if __name__ == "__main__":
    sys.exit(main())
