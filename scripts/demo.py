"""Two calls through Demarc with real phones, a carrier and speech, and what came of each.

    python3 scripts/demo.py [--demarc PATH] [--keep]

alice and bob are baresip phones, the carrier is SIPp. alice calls a number that the carrier serves; then a
call comes in from the carrier to a number of ours that leads to bob. Exits with 0 only if every part held:
the registrations, both calls, the speech compared with what was said, and the records.
"""

import argparse
import pathlib
import re
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/Interop"))

from harness import audio  # noqa: E402
from harness.baresip import Phone  # noqa: E402
from harness.ports import free_port  # noqa: E402
from harness.process import Failure, expect, wait_until  # noqa: E402
from harness.rtp import Endpoint  # noqa: E402
from harness.sipp import Caller, Sipp, ready, sdp, uac, uas  # noqa: E402
from harness.world import World  # noqa: E402

ALICE_SAYS = "Hello, this is Alice. The birch canoe slid on the smooth planks."
BOB_SAYS = "Bob speaking. It is easy to tell the depth of a well."
CARRIER_SAYS = "Good morning, this is a caller from outside. Four hours of steady work faced us."
OUTSIDE_NUMBER = "+4930123456"
OUR_NUMBER = "+4940200"


class Page:
    """What is printed, in colour on a terminal, and whether everything held."""

    def __init__(self):
        self.colour = sys.stdout.isatty()
        self.failures = []

    def _paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def title(self, text):
        print("\n" + self._paint("1", text), flush=True)

    def line(self, name, text):
        print(f"  {name:<12} {text}", flush=True)

    def block(self, text):
        print("\n" + "\n".join("    " + line for line in text.rstrip().splitlines()) + "\n", flush=True)

    def check(self, held, what, found):
        """One part that must hold."""
        mark = self._paint("32", "ok  ") if held else self._paint("1;31", "FAIL")
        print(f"  {mark} {what}: {found}", flush=True)
        if not held:
            self.failures.append(what)


def spoken(text, **voice):
    words = audio.speech(text, **voice)
    return words, audio.numpy.concatenate([audio.silence(0.8), words])


class Stage(World):
    """One carrier, two users, one number of ours."""

    trunk_names = ["carrier"]

    def resources(self):
        carrier = f"127.0.0.1:{self.ports['carrier']}"
        return {
            "tenants": self.tenants(),
            "networks": self.networks()[:1],
            "trunks": [{"name": "carrier", "tenant": "test", "kind": "carrier", "network": "loopback",
                        "targets": [carrier], "sources": [carrier]}],
            "users": self.user_accounts()[:2],
            "numbers": [{"number": OUR_NUMBER, "tenant": "test", "destinations": [{"user": "bob"}]}],
            "routes": [{"name": "outside", "tenant": "test", "prefix": "+", "carriers": [{"trunk": "carrier"}]}],
        }


class Demo:
    def __init__(self, program, folder):
        self.page = Page()
        self.folder = folder
        self.world = Stage(folder, program, media_pairs=20)
        self.alice_words, alice_plays = spoken(ALICE_SAYS)
        self.bob_words, bob_plays = spoken(BOB_SAYS, voice="en-us", speed=140)
        self.carrier_words = audio.speech(CARRIER_SAYS, voice="en-gb", speed=160)
        self.alice_plays, self.bob_plays = alice_plays, bob_plays
        self.running = []

    # --- the stage ---------------------------------------------------------------------------------
    def start(self):
        page, world = self.page, self.world
        page.title("Demarc between two phones and a carrier, on this machine")
        began = time.monotonic()
        self.running.append(world.close)
        world.start()
        page.line("demarc", f"SIP on {world.sip}, ready after {(time.monotonic() - began) * 1000:.0f} ms")
        phones = {}
        for name, plays, answer in (("alice", self.alice_plays, "manual"), ("bob", self.bob_plays, "auto")):
            phone = Phone(
                self.folder, name, says=plays, user=name, password=world.users[name]["password"],
                registrar=world.sip, domain=world.domain, answer=answer)
            self.running.append(phone.stop)
            phones[name] = phone.start()
        for name, phone in phones.items():
            phone.registered()
            page.line(name, f"baresip on 127.0.0.1:{phone.port}, extension {world.extension(name)}, registered")
        page.line("carrier", f"SIPp on 127.0.0.1:{world.ports['carrier']}")
        self.alice, self.bob = phones["alice"], phones["bob"]
        names = {binding["user"] for binding in world.demarc.registrations()}
        page.check({"alice", "bob"} <= names, "both phones are in the registrar", ", ".join(sorted(names)))

    def close(self):
        for action in reversed(self.running):
            try:
                action()
            except Exception as problem:  # the next one must still end
                print(f"  while ending: {problem}", file=sys.stderr)

    def sipp(self, name, text, **options):
        sipp = Sipp(self.folder, name, text, **options)
        self.running.append(sipp.process.stop)
        return sipp

    # --- the calls ---------------------------------------------------------------------------------
    def outbound(self):
        page, world = self.page, self.world
        page.title(f"1. alice calls {OUTSIDE_NUMBER}: phone -> Demarc -> carrier")
        page.line("alice says", f'"{ALICE_SAYS}"')
        page.line("carrier", "returns what it hears (SIPp -rtp_echo), so alice must hear her own words")
        carrier = ready(self.sipp("carrier", uas(ring_ms=400), port=world.ports["carrier"], extra=["-rtp_echo"]))
        self.alice.dial(f"sip:{OUTSIDE_NUMBER}@{world.domain}")
        self.alice.established()
        answered = time.monotonic()
        call = world.live(OUTSIDE_NUMBER)
        seconds = len(self.alice_words) / audio.RATE + 1.5
        self.alice.wait_heard(seconds, seconds + 8)
        self.alice.hang_up()
        talked = time.monotonic() - answered
        carrier.wait(5)
        record = self.told(call["id"])
        likeness = audio.compare(self.alice_words, self.alice.heard())
        page.check(likeness.good(), "alice heard her words back", likeness)
        self.books(record, talked, releasedBy="caller", to="trunk:carrier", calledNumber=OUTSIDE_NUMBER)
        there, back = record["quality"]["fromCaller"], record["quality"]["fromCallee"]
        page.check(there["packets"] >= len(self.alice_words) // 160 and back["packets"] >= there["packets"] - 10,
                   "the carrier's echo was as long", f"{there['packets']} packets there, {back['packets']} back")

    def inbound(self):
        page, world = self.page, self.world
        page.title(f"2. a call from the carrier to {OUR_NUMBER}, which leads to bob: carrier -> Demarc -> phone")
        page.line("caller says", f'"{CARRIER_SAYS}"')
        page.line("bob says", f'"{BOB_SAYS}"')
        media = Endpoint(free_port(), codec="PCMA")
        self.running.append(media.close)
        port = media.socket.getsockname()[1]
        seconds = max(len(self.bob_words), len(self.carrier_words)) / audio.RATE + 2.2
        caller = Caller(domain=world.domain, user="+493055501", display="Outside")
        carrier = self.sipp(
            "carrier-calls", uac(caller=caller, hold_ms=seconds * 1000, body=sdp(port=port, formats="8 101")),
            port=world.ports["carrier"], remote=world.sip, service=OUR_NUMBER)
        self.bob.established()
        answered = time.monotonic()
        call = world.live(OUR_NUMBER)
        answer = wait_until(
            lambda: next((text for text in carrier.received() if "m=audio" in text), None), 5, "the answer's SDP")
        target = int(re.search(r"m=audio (\d+)", answer).group(1))
        media.speak(audio.numpy.concatenate([audio.silence(0.5), self.carrier_words]), ("127.0.0.1", target))
        self.bob.closed(seconds + 5)
        talked = time.monotonic() - answered
        carrier.wait(5)
        record = self.told(call["id"])
        likeness = audio.compare(self.carrier_words, self.bob.heard())
        page.check(likeness.good(), "bob heard the caller", likeness)
        likeness = audio.compare(self.bob_words, media.heard())
        page.check(likeness.good(), "the caller heard bob", likeness)
        self.books(record, talked, releasedBy="caller", to="user:bob", calledNumber=OUR_NUMBER)
        counted = record["quality"]["fromCaller"]["packets"]
        page.check(counted == media.sent, "every packet was counted", f"{media.sent} sent, {counted} in the record")

    # --- what is shown and what must hold ----------------------------------------------------------
    def told(self, call_id):
        """Prints the ladder, the quality and the record of a call, once it has ended."""
        page, demarc = self.page, self.world.demarc
        record = self.world.ended(call_id, 8)
        page.line("ladder", f"`demarc call ladder {call_id}`:")
        page.block(demarc.command("call", "ladder", call_id))
        page.line("codec", record.get("codec"))
        for name, side in (("from caller", "fromCaller"), ("from callee", "fromCallee")):
            q = record["quality"][side]
            page.line(name, f"{q['packets']} packets, {q['lost']} lost ({q['lossPercent']:.2f} %), "
                      f"jitter {q['jitterMilliseconds']:.2f} ms, MOS {q['mos']:.2f}")
        page.line("record", f"`demarc call show {call_id}`:")
        page.block(demarc.command("call", "show", call_id))
        return record

    def books(self, record, talked, **expected):
        page = self.page
        expected = {"state": "ended", "status": 200, "cause": "normal-clearing", **expected}
        wrong = {name: record.get(name) for name, value in expected.items() if record.get(name) != value}
        page.check(not wrong, "the record is exact", wrong or ", ".join(f"{k} {v}" for k, v in expected.items()))
        found = record["seconds"]
        page.check(abs(found - talked) < 0.5, "its duration is the call's", f"{found:.3f} s, {talked:.1f} s by the phone")
        stamps = [record[name] for name in ("setup", "answer", "end")]
        page.check(stamps == sorted(stamps) and len(record["attempts"]) == 1, "its stamps are in order, one attempt",
                   " < ".join(stamp[11:23] for stamp in stamps))
        lost = [record["quality"][side]["lost"] for side in ("fromCaller", "fromCallee")]
        mos = min(record["quality"][side]["mos"] for side in ("fromCaller", "fromCallee"))
        page.check(lost == [0, 0] and mos > 4, "nothing was lost on the way", f"MOS {mos:.2f} at worst")

    def rest(self):
        self.page.title("3. afterwards")
        records = self.world.demarc.records()
        self.page.check(len(records) == 2, "two calls, two records", len(records))
        # Transactions stay for 32 s after a call to answer repetitions (RFC 3261, timer J): not waited for.
        self.world.at_rest(10, ("demarc_calls_active", 'demarc_media_ports{state="leased"}'))
        self.page.check(True, "no call and no media port is left", "both counters are 0")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demarc", default=str(ROOT / ".build/release/demarc"))
    parser.add_argument("--keep", action="store_true", help="keep the recordings, logs and the store")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="demarc-demo-"))
    began = time.monotonic()
    demo = Demo(options.demarc, folder)
    try:
        demo.start()
        demo.outbound()
        demo.inbound()
        demo.rest()
    except Failure as failure:
        demo.page.check(False, "the demonstration", failure)
    except KeyboardInterrupt:
        demo.page.check(False, "the demonstration", "interrupted")
    finally:
        demo.close()
    took = time.monotonic() - began
    if demo.page.failures:
        print(f"\n{len(demo.page.failures)} parts did not hold. Logs and recordings: {folder}")
        return 1
    if options.keep:
        print(f"\nLogs and recordings: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\nEvery part held, in {took:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
