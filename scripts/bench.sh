#!/usr/bin/env bash
# The measurements, into bench/results/latest.json and a table: time and allocations of what needs no socket,
# instructions by callgrind, then banned datagrams with and without the kernel's table, and calls over real sockets with
# SIPp at both ends.
set -euo pipefail
cd "$(dirname "$0")/.."

bench=.build/release/demarc-bench
results=bench/results/latest.json
counter=.build/malloc_count.so
mkdir -p bench/results
rm -f "$results"

gcc -O2 -shared -fPIC -o "$counter" bench/malloc_count.c
LD_PRELOAD=$PWD/$counter "$bench"

# Valgrind cannot read the debug sections that Swift writes.
stripped=.build/demarc-bench.stripped
strip --strip-debug -o "$stripped" "$bench"
# Instructions of one repetition: the difference of two runs, so that the start does not count.
instructions() {
  local total
  total=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$stripped" repeat "$1" "$2" 2>&1 |
    awk '/Collected :/ {print $NF}')
  [[ -n $total ]] || { echo "callgrind counted nothing for $1" >&2; return 1; }
  echo "$total"
}
count_instructions() {
  local few many
  few=$(instructions "$1" "$2")
  many=$(instructions "$1" "$3")
  "$bench" record "$1_instructions" $(((many - few) / ($3 - $2))) instructions
}
count_instructions parse_invite 1000 3000
count_instructions engine_call 1000 3000

uptime
/usr/bin/python3 scripts/bench_bans.py --demarc .build/release/demarc --bench "$bench"
/usr/bin/python3 scripts/bench_socket.py --demarc .build/release/demarc
