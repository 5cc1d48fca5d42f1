"""Real peers against a real Demarc, over real sockets.

    python3 Tests/Interop/run.py [--demarc PATH] [--only NAME]... [--list] [--keep]

One line a test, then `N passed, N failed`; the exit code is 0 only where none failed. A few that failed are tried once
more by themselves at the end, and those that hold only then are named (--strict: no second try). A test whose needs
are not to be had on this machine is `skip`ped with its reason, and counted apart. What a failed test leaves (logs,
scenarios, recordings) is kept, and its folder printed.
"""

import argparse
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness.case import Bench, all_cases  # noqa: E402
from harness.process import Failure, Skipped  # noqa: E402
import suites  # noqa: E402,F401  (importing registers the tests)


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demarc", default=str(root / ".build/release/demarc"), help="the program to test")
    parser.add_argument("--only", action="append", metavar="NAME", help="tests whose name contains NAME")
    parser.add_argument("--list", action="store_true", help="print the names and do nothing")
    parser.add_argument("--keep", action="store_true", help="keep the folders of passed tests too")
    parser.add_argument("--strict", action="store_true", help="no second try for what failed")
    options = parser.parse_args()

    cases = [case for case in all_cases()
             if not options.only or any(name in case.name for name in options.only)]
    if options.list:
        for case in cases:
            print(f"{case.name:32} {case.summary}")
        return 0
    if not cases:
        print(f"no test is called like {' or '.join(options.only)}; --list names them", file=sys.stderr)
        return 2
    if not pathlib.Path(options.demarc).exists():
        print(f"{options.demarc} is not built: make build", file=sys.stderr)
        return 2

    # Asked to end, it ends what it started and removes what it made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="demarc-interop-"))
    bench = Bench(folder, options.demarc)
    failed, unsteady, skipped = [], [], []
    began = time.monotonic()
    try:
        for case in cases:
            try:
                if not run_one(case, bench):
                    failed.append(case)
            except Skipped:
                skipped.append(case.name)
        if not options.strict:
            failed, unsteady = try_again(failed, bench)
    finally:
        bench.close()
    if failed or unsteady or options.keep:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    for outcome, some in [("held at a second try only", unsteady), ("failed", failed)]:
        if some:
            print(f"{outcome}: " + ", ".join(case.name for case in some))
    print(f"{time.monotonic() - began:.0f} s")
    passed = len(cases) - len(failed) - len(skipped)
    print(f"{passed} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failed else 0


# How many tests may have a second try in one run: where more fail, it is no accident of the machine.
SECOND_TRIES = 4


def try_again(failed, bench):
    """What failed once more, on a Demarc of its own and with nothing beside it: real programs by the wall clock may
    miss their moment on a busy machine. Two failures are a failure, and so is the death of a Demarc at any time.
    Returns what failed, and what held only now."""
    if not failed or len(failed) > SECOND_TRIES:
        return failed, []
    print("what failed is tried once more by itself:", flush=True)
    still, unsteady = [], []
    for case in failed:
        bench.close()
        held = case.name not in deaths and run_one(case, bench, "-again")
        (unsteady if held else still).append(case)
    return still, unsteady


# The tests in which a Demarc has died.
deaths = set()


def run_one(case, bench, suffix=""):
    began = time.monotonic()
    context = bench.begin(case, suffix)
    problem = None
    try:
        case.run(context)
    except Skipped as reason:
        context.finish(None)
        print(f"skip  {case.name:32} {reason}", flush=True)
        raise
    except Failure as failure:
        problem = str(failure)
    except Exception:  # a test that breaks has failed, and the others go on
        problem = traceback.format_exc()
    problem = context.finish(problem) or ""
    if "Demarc died" in problem:
        deaths.add(case.name)
    seconds = time.monotonic() - began
    note = f"  {context.remark}" if context.remark and not problem else ""
    print(f"{'FAIL' if problem else 'ok  '}  {case.name:32} {seconds:5.1f} s{note}", flush=True)
    if problem:
        print("      " + problem.strip().replace("\n", "\n      "))
        print(f"      logs: {context.folder}", flush=True)
    return not problem


if __name__ == "__main__":
    sys.exit(main())
