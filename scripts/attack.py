"""Every published class of attack that there is a replay of, against the program that ships, as a table of outcomes.

    python3 scripts/attack.py [--demarc PATH] [--results FILE] [--markdown] [--keep]

Each row is one class, the outcome that it must have, and the tests with real sockets that replay it; the tests are those
of `make interop`, each with a Demarc that carries calls meanwhile and has to carry them afterwards.
"""

import contextlib
import io
import json
import pathlib
import shutil
import sys
import tempfile
import time

from campaign import arguments
from harness.case import Bench, all_cases  # noqa: E402
from harness.process import Skipped  # noqa: E402
from run import run_one  # noqa: E402
import suites  # noqa: E402,F401  (importing registers the tests)

# class → the outcome, and the tests that replay it: names, or beginnings of names that end in a dot.
CLASSES = {
    "scanners: svmap, svwar, svcrack": ("banned within ten requests, no name told", ["admission."]),
    "floods from 10 000 addresses": ("calls of a known PBX go on, memory bounded", ["attack.flood"]),
    "requests of strangers, every method": ("refused, and nobody hears of them", ["attack.methods", "hostile.unknown"]),
    "RTP bleed and injection": ("no packet out, none in", ["attack.rtp-bleed"]),
    "SRTP without a key, under a wrong one, replayed": ("dropped in both directions", ["secure.packets"]),
    "DTLS: a stranger's ClientHello first": ("the far end's handshake is through in a second", ["dtls.strangers"]),
    "DTLS: another certificate than SDP's": ("no speech, and the call says why", ["dtls.wrong-certificate"]),
    "digest leak": ("no credentials to who challenges us", ["attack.digest-leak"]),
    "replayed digest": ("401, and nothing comes of it", ["attack.replay", "sip.nonce-replay"]),
    "fragmented and oversize UDP": ("calls go through, fragments cost nothing", ["fragments.", "hostile.oversize"]),
    "TCP and TLS: half-open, slow, silent, garbage": ("closed in time, nobody else notices", ["streams.hostile"]),
    "malformed messages: RFC 4475 and RFC 5118 whole": ("the next request is answered in half a second",
                                                        ["attack.torture", "hostile.unparsable"]),
    "wrong, negative and absurd lengths": ("400", ["hostile.content-length"]),
    "loops": ("482 or 483", ["attack.loop"]),
    "reflection and amplification": ("the source alone, at most 1.5 bytes for one", ["attack.reflection"]),
    "BYE, CANCEL, re-INVITE, NOTIFY of a third party": ("481 or 403, the call lives", ["attack.spoofed"]),
    "header smuggling and doubled headers": ("nothing crosses", ["attack.smuggling"]),
    "line breaks in numbers, names and resources": ("never the beginning of a line", ["attack.injection"]),
    "SDP with a thousand of everything": ("an answer within a second", ["attack.thousand-streams",
                                                                       "hostile.malformed-sdp"]),
    "topology: canaries in every header and attribute": ("none on the other side", ["hiding.", "unseen."]),
    "toll fraud with a stolen password": ("no call beyond what is allowed", ["toll."]),
    "signed calls: tampered, stale, replayed, another number": ("the answer of RFC 8224 for each",
                                                                ["stir.verify", "stir.report", "stir.revoked"]),
    "URLs of certificates: slow, endless, elsewhere, inside": ("2 s, 64 kB, no redirection, nothing private asked",
                                                               ["stir.fetch", "stir.inside"]),
    "connections of who has no certificate, or another": ("refused", ["streams.tls-versions",
                                                                     "streams.wrong-certificate"]),
    "no descriptor left": ("connections refused without a spin, calls go on", ["limits.descriptors"]),
    "clocks that jump": ("no timer early or late", ["clocks."]),
    "forged answers to our questions of DNS": ("not believed", ["location.lies"]),
}


def wanted(names):
    """The tests that these names mean, in their order."""
    return [case for case in all_cases() if any(
        case.name == name or name.endswith(".") and case.name.startswith(name) for name in names)]


def replay(program, folder):
    """One row after another: (class, outcome, tests, remarks, problem or nothing)."""
    bench = Bench(folder, program)
    rows = []
    try:
        for name, (outcome, names) in CLASSES.items():
            cases, problems, remarks, skipped = wanted(names), [], [], 0
            for case in cases:
                told = io.StringIO()
                try:
                    with contextlib.redirect_stdout(told):
                        held = run_one(case, bench)
                except Skipped as reason:
                    skipped += 1
                    remarks.append(f"{case.name} skipped: {reason}")
                    continue
                line = told.getvalue().splitlines()[0]
                if not held:
                    problems.append(told.getvalue().strip())
                elif " s  " in line:
                    remarks.append(line.partition(" s  ")[2])
            if not cases or skipped == len(cases):
                problems.append("nothing replays it on this machine")
            rows.append({"class": name, "outcome": outcome, "tests": [case.name for case in cases],
                         "remarks": remarks, "held": not problems, "problems": problems})
            print(f"{'held' if not problems else 'FAIL'}  {name}: {outcome}  ({len(cases)} tests)", flush=True)
            for problem in problems:
                print("      " + problem.replace("\n", "\n      "))
    finally:
        bench.close()
    return rows


def markdown(rows):
    lines = ["| attack | outcome | held | replayed by |", "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row['class']} | {row['outcome']} | {'yes' if row['held'] else '**no**'} | "
                     + ", ".join(f"`{name}`" for name in row["tests"][:4])
                     + (f" and {len(row['tests']) - 4} more" if len(row["tests"]) > 4 else "") + " |")
    return "\n".join(lines)


def main():
    parser = arguments("attack", __doc__)
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/attacks.md")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="demarc-attack-"))
    rows = replay(options.demarc, folder)
    failed = [row["class"] for row in rows if not row["held"]]
    path = pathlib.Path(options.results)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "rows": rows}, indent=1))
    if options.markdown:
        print(markdown(rows))
    if failed or options.keep:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"results: {path}")
    print(f"attack: {len(rows) - len(failed)} classes held" + (f", {len(failed)} did not" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
