#!/usr/bin/env bash
# Allocations and instructions of what is called most, held against bench/limits: a few seconds, and the same
# figures on a busy machine as on an idle one. Instructions only where valgrind is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

bench=.build/release/demarc-bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A line for each figure: its name and its value.
count_allocations() {
  gcc -O2 -shared -fPIC -o "$work/malloc_count.so" bench/malloc_count.c
  for part in parse engine; do
    LD_PRELOAD=$work/malloc_count.so "$bench" only "$part"
  done | awk '$3 == "mallocs" || $3 == "bytes" {print $1, $2}'
}

# Instructions of one repetition of a workload, counted inside the functions that a pattern names.
count_instructions() {
  local workload=$1 repetitions=$2 inside=$3 total
  total=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="$inside" \
    "$work/demarc-bench" repeat "$workload" "$repetitions" 2>&1 | awk '/Collected :/ {print $NF}')
  [[ -n $total && $total != 0 ]] || { echo "callgrind counted nothing for $workload" >&2; return 1; }
  echo "${workload}_instructions $((total / repetitions))"
}

measure() {
  count_allocations
  if ! command -v valgrind >/dev/null; then
    echo "limits: no valgrind, so instructions are not counted" >&2
    return
  fi
  # Valgrind cannot read the debug sections that Swift writes.
  strip --strip-debug -o "$work/demarc-bench" "$bench"
  count_instructions parse_invite 1000 '*parseInvite*'
  count_instructions engine_call 100 '*EngineRecordingV6replay*'
}

measure >"$work/measured"
awk '
  FNR == NR { if ($1 !~ /^#/ && NF == 2) limit[$1] = $2; next }
  $1 in limit {
    seen[$1] = 1
    above = $2 + 0 > limit[$1] + 0
    printf "%-28s %12s of %s%s\n", $1, $2, limit[$1], above ? "  ABOVE THE LIMIT" : ""
    if (above) failed = 1
  }
  END {
    for (name in limit) if (!(name in seen) && name !~ /_instructions$/) {
      printf "%s was not measured\n", name
      failed = 1
    }
    exit failed
  }' bench/limits "$work/measured"
