#!/usr/bin/env bash
# Every fuzz target for a time each: scripts/fuzz.sh SECONDS. Goes on after a finding and fails at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=()
for target in Fuzz/targets/*.swift; do
  name=$(basename "$target" .swift)
  echo "fuzz: $name for ${1:-60} s"
  Fuzz/run.sh "$name" "${1:-60}" 2>&1 | grep -vE '^"|Recommended dictionary|recommended dictionary|NEW|REDUCE|pulse|RELOAD'
  if ((PIPESTATUS[0])); then failed+=("$name"); fi
done
if ((${#failed[@]})); then
  echo "fuzz: findings in ${failed[*]}; the inputs are in Fuzz/crashes" >&2
  exit 1
fi
