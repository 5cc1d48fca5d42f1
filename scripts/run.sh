#!/usr/bin/env bash
# Demarc with the example's trunk and users on this machine: `scripts/run.sh PROGRAM`. Ctrl-C drains: running
# calls go on to their end, a second Ctrl-C does not wait for them.
set -euo pipefail
cd "$(dirname "$0")/.."

program=${1:-.build/release/demarc}
socket=run/demarc.sock
umask 077
mkdir -p run

server=
# What Ctrl-C reaches: the server gets it from the terminal too, so this only waits for it.
trap : INT
trap '[[ -z $server ]] || kill -TERM "$server" 2>/dev/null || true' TERM

"$program" run --config examples/demarc.yaml --resources examples/loopback.yaml &
server=$!

for _ in $(seq 100); do
  if "$program" status --socket "$socket" >/dev/null 2>&1; then break; fi
  if ! kill -0 "$server" 2>/dev/null; then
    wait "$server" && code=1 || code=$?
    echo "Demarc did not start; what stands in the way is said above." >&2
    exit "$code"
  fi
  sleep 0.1
done

cat <<TEXT

Demarc runs on udp 127.0.0.1:5060 with examples/loopback.yaml.

  Register a phone as alice or bob (passwords alice-secret, bob-secret). With baresip, one line in its
  accounts file, and 127.0.0.1 as its net_interface:

    <sip:alice@demarc.test>;auth_pass=alice-secret;outbound="sip:127.0.0.1:5060";regint=60

  Numbers    1001  alice            9001  echo: hear yourself
             1002  bob              9002  milliwatt: 1004 Hz at 0 dBm0
             +44…  the carrier      9004  quality test: listens, then speaks its result
  Carrier    127.0.0.1:5070, for example: sipp -sn uas -i 127.0.0.1 -p 5070
             its calls to +441632960101 ring alice, then bob

  Look       $program calls | cdrs | registrations | trunks | call ladder CALL
  Change     examples/loopback.yaml, then: $program apply -f examples/loopback.yaml
  Things     run/demarc.db (records, registrations), run/demarc.sock (the command's socket),
             http://127.0.0.1:9090/metrics

  Ctrl-C drains: new calls are refused, running ones go on to their end. Twice: ends now.

TEXT

# A signal ends `wait` before the server does.
while kill -0 "$server" 2>/dev/null; do wait "$server" && code=0 || code=$?; done
exit "${code:-0}"
