"""Plants known bugs in a copy of the sources, one at a time, and asks the nets whether they notice.

    python3 scripts/planted.py [fuzz|simulator] [--only NAME] [--seconds 180] [--seeds 40]

Each bug is a patch of Tests/PlantedBugs that begins with what a user would see of it. A bug of `simulator` is found when
one of the swarms ends otherwise than clean; one of `fuzz` when its target, from the inputs that are committed, ends
with a finding. The copy is a clone of the last commit in run/planted, so what is not committed does not count.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUGS = ROOT / "Tests/PlantedBugs"
COPY = ROOT / "run/planted"
# What a swarm does besides calls takes turns, so that each bug meets all of it.
MODES = [["120", "0"], ["120", "20", "tcp"], ["120", "10", "lamps", "adorned"], ["120", "0", "crossing"]]


def run(command, **options):
    return subprocess.run(command, cwd=COPY, text=True, **options)


def fresh_copy():
    if not (COPY / ".git").exists():
        shutil.rmtree(COPY, ignore_errors=True)
        COPY.parent.mkdir(exist_ok=True)
        subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(COPY)], check=True)
    run(["git", "fetch", "--quiet", "origin", "HEAD"], check=True)
    run(["git", "reset", "--quiet", "--hard", "FETCH_HEAD"], check=True)


def build_simulator():
    environment = {**os.environ, "DEMARC_CORE": "1"}
    # In debug: a bug is built in seconds, and a swarm still runs in a few.
    built = run(["swift", "build", "--product", "demarc-sim"], env=environment, capture_output=True)
    if built.returncode:
        raise SystemExit(f"planted: the simulator does not build:\n{built.stdout[-2000:]}{built.stderr[-2000:]}")


def simulate(seed):
    """What the swarm of a seed found wrong, or None. A trap or a hang is wrong too."""
    command = [".build/debug/demarc-sim", str(seed), *MODES[seed % len(MODES)]]
    try:
        ended = run(command, capture_output=True, timeout=300)
    except subprocess.TimeoutExpired:
        return "it does not end"
    if ended.returncode == 0:
        return None
    lines = ended.stdout.splitlines()
    wrong = next((line for line in lines[1:] if line.strip()), f"exit code {ended.returncode}")
    return wrong.strip()[:90]


def try_simulator(seeds):
    build_simulator()
    for seed in range(1, seeds + 1):
        wrong = simulate(seed)
        if wrong:
            return f"seed {seed}", wrong
    return None


def fuzz(target, seconds):
    """Whether the target ends with a finding, and after how long."""
    shutil.rmtree(COPY / "Fuzz/crashes" / target, ignore_errors=True)
    shutil.rmtree(COPY / ".build-fuzz/corpus" / target, ignore_errors=True)
    built = run(["Fuzz/run.sh", target, "1"], capture_output=True)
    began = time.monotonic()
    ended = built if finding(built) else run(["Fuzz/run.sh", target, str(seconds)], capture_output=True)
    if ended.returncode and not finding(ended):
        raise SystemExit(f"planted: the target {target} does not run:\n{ended.stdout[-1000:]}{ended.stderr[-2000:]}")
    return (f"{time.monotonic() - began:.0f} s", finding(ended)) if finding(ended) else None


def finding(ended):
    marks = ("Fatal error", "ERROR: libFuzzer", "ERROR: AddressSanitizer")
    lines = [line for line in ended.stderr.splitlines() if any(mark in line for mark in marks)]
    return lines[0].split("Fatal error: ")[-1][:90] if lines else None


def target_of(patch):
    lines = patch.read_text().splitlines()
    return next(line.removeprefix("Target: ") for line in lines if line.startswith("Target: "))


def attempt(patch, options):
    run(["git", "apply", "--whitespace=nowarn", str(patch)], check=True)
    try:
        if patch.parent.name == "simulator":
            return try_simulator(options.seeds)
        return fuzz(target_of(patch), options.seconds)
    finally:
        run(["git", "checkout", "--quiet", "--", "Sources"], check=True)


def clean_first(nets, patches):
    """Nobody has found anything where a net fails without a bug."""
    if "simulator" in nets:
        print("planted: no bug, the first nine seeds", flush=True)
        if found := try_simulator(9):
            raise SystemExit(f"planted: without a bug: {found}")
    targets = {target_of(patch) for patch in patches if patch.parent.name == "fuzz"}
    for target in sorted(targets):
        print(f"planted: no bug, {target} for ten seconds", flush=True)
        if found := fuzz(target, 10):
            raise SystemExit(f"planted: {target} without a bug: {found}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", nargs="?", choices=["fuzz", "simulator"])
    parser.add_argument("--only", default="", help="bugs whose names contain this")
    parser.add_argument("--seconds", type=int, default=180, help="for each target (180)")
    parser.add_argument("--seeds", type=int, default=40, help="for each bug of the simulator (40)")
    options = parser.parse_args()
    nets = [options.net] if options.net else ["fuzz", "simulator"]
    patches = [patch for net in nets for patch in sorted((BUGS / net).glob("*.patch")) if options.only in patch.stem]
    fresh_copy()
    clean_first(nets, patches)
    missed = []
    for patch in patches:
        found = attempt(patch, options)
        name = f"{patch.parent.name}/{patch.stem}"
        print(f"{name:48} " + (f"found, {found[0]}: {found[1]}" if found else "MISSED"), flush=True)
        if not found:
            missed.append(patch)
    for net in nets:
        total = [patch for patch in patches if patch.parent.name == net]
        lost = [patch for patch in missed if patch.parent.name == net]
        print(f"planted: {net} noticed {len(total) - len(lost)} of {len(total)}")
    # Nine of ten and eighteen of twenty are what the nets are held to.
    return 1 if len(missed) * 10 > len(patches) else 0


if __name__ == "__main__":
    sys.exit(main())
