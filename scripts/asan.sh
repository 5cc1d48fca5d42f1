#!/usr/bin/env bash
# The unit tests and the simulation of the core under AddressSanitizer, in debug: `asan.sh NAME` takes those whose names
# contain it. Leaks are not looked for, as what a test leaves behind at its end is none.
set -euo pipefail
cd "$(dirname "$0")/.."

export DEMARC_CORE=1 ASAN_OPTIONS="detect_leaks=0:suppressions=$PWD/scripts/asan.supp"
exec swift test --sanitize=address --scratch-path .build-asan ${1:+--filter "$1"}
