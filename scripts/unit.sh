#!/usr/bin/env bash
# Runs the unit tests that are built. Those that compute run together; those that work by the wall clock (threads,
# sockets, whole servers) run after them and a few at a time, since beside the swarm they would measure the scheduler.
#
# A test that fails has one second try by itself, where no more than SECOND_TRIES failed: two failures are a failure, and
# what held only the second time is named. STRICT=1: no second try.
set -euo pipefail
cd "$(dirname "$0")/.."

clocked='^(EdgeTests|MediaEngineTests|OperationsTests)\.'
second_tries=3
log=$(mktemp)
trap 'rm -f "$log"' EXIT

tests() { swift test -c release --skip-build "$@" 2>&1 | tee -a "$log"; }

status=0
tests --skip "$clocked" || status=$?
SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=3 tests --filter "$clocked" || status=$?
((status == 0)) && exit 0

# A run that did not come to its end (a trap, a hang) is no matter of time.
(($(grep -cE '^[^ ]+ Test run with' "$log") == 2)) || exit "$status"
# `✘ Test name(label:) failed after …`, and with how many cases where it has arguments.
mapfile -t failed < <(sed -nE 's/^✘ Test ([A-Za-z0-9_]+)\(.*\) .*failed after.*/\1/p' "$log" | sort -u)
# One that is called by a text has no name to find it by again.
if [[ -n ${STRICT:-} ]] || ((${#failed[@]} == 0 || ${#failed[@]} > second_tries)) || grep -q '^✘ Test "' "$log"; then
  exit "$status"
fi

printf 'unit: tried once more by itself: %s\n' "${failed[*]}"
for name in "${failed[@]}"; do
  : >"$log"
  SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=1 tests --filter "[./]$name\(" || exit "$status"
  grep -q '^✔ Test '"$name"'(' "$log" || exit "$status"
done
printf 'unit: held at a second try only: %s\n' "${failed[*]}"
