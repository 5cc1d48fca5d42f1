#!/usr/bin/env bash
# The measurements: those that need no socket, then those with SIPp at both ends.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bench/results
.build/release/demarc-bench
