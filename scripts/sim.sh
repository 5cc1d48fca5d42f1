#!/usr/bin/env bash
# One simulated swarm: `sim.sh SEED` replays it with the ladder of what failed first, `sim.sh` draws a seed and names it.
# CALLS changes the number of calls, TRANSFERS says how many of a hundred are handed on, STREAMS=tcp has some of the
# agents speak by connections, LAMPS=1 has phones watch one another, ADORNED=1 has everybody write more than they must,
# CROSSING=1 rings phones together and has both sides of a call offer at once: a seed means the same run only with the
# same. MESSAGES=1 shows what failed whole.
set -euo pipefail
cd "$(dirname "$0")/.."

seed="${1:-}"
if [ -z "$seed" ]; then
  seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
  echo "seed $seed"
fi
swift build -c release --product demarc-sim
exec "$(swift build -c release --show-bin-path)/demarc-sim" "$seed" "${CALLS:-260}" "${TRANSFERS:-0}" \
  ${STREAMS:+"$STREAMS"} ${LAMPS:+lamps} ${ADORNED:+adorned} ${CROSSING:+crossing} ${MESSAGES:+messages}
