#!/usr/bin/env bash
# Real peers against a Demarc under ThreadSanitizer: no report may come (RELIABILITY's data races).
#
# It is some ten times slower then, so a test that misses its moment is no finding here and is only shown; what counts are
# the reports. `tsan.sh NAME...` takes the tests whose names contain one of these.
set -euo pipefail
cd "$(dirname "$0")/.."

names=("$@")
((${#names[@]})) || names=(command. sip.busy sip.cancel sip.digest streams. recovery. moves. kernel. codecs. fax. phones.each)
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT

DEMARC_TSAN=1 swift build --sanitize=thread --scratch-path .build-tsan --product demarc
only=()
for name in "${names[@]}"; do only+=(--only "$name"); done
TSAN_OPTIONS="log_path=$reports/report exitcode=0" "${PYTHON:-/usr/bin/python3}" Tests/Interop/run.py --strict \
  --demarc .build-tsan/debug/demarc "${only[@]}" | tee "$reports/tests" || true
# Who has not run has no races.
grep -q '^ok ' "$reports/tests" || { echo 'tsan: no test passed, so nothing was looked at'; exit 1; }

found=$(cat "$reports"/report* 2>/dev/null | grep -c '^SUMMARY:' || true)
printf 'tsan: %s reports\n' "$found"
((found == 0)) || { cat "$reports"/report*; exit 1; }
