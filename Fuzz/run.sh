#!/usr/bin/env bash
# Runs one fuzz target: Fuzz/run.sh TARGET SECONDS, where TARGET is a file of Fuzz/targets.
#
# SwiftPM cannot link a libFuzzer executable, so this compiles the modules that the target needs by hand,
# with the package's settings and -sanitize=fuzzer,address, into .build-fuzz.
#
# Inputs come from Fuzz/seeds and Fuzz/corpus (committed); what is found goes to .build-fuzz/corpus, a
# crash to Fuzz/crashes, where the tests replay it for ever. `Fuzz/run.sh keep TARGET` takes those of the
# found inputs that reach something new into Fuzz/corpus.
set -euo pipefail
# Findings are told by libFuzzer; the runtime would take a minute for its own report.
export SWIFT_BACKTRACE=enable=no
cd "$(dirname "$0")/.."

usage() { printf 'usage: Fuzz/run.sh TARGET SECONDS | Fuzz/run.sh keep TARGET\ntargets:%s\n' \
  "$(for t in Fuzz/targets/*.swift; do printf ' %s' "$(basename "$t" .swift)"; done)" >&2; exit 2; }

keep=
if [[ ${1:-} == keep ]]; then keep=yes; shift; fi
target=${1:-}
seconds=${2:-0}
[[ -f Fuzz/targets/$target.swift && $seconds =~ ^[0-9]+$ ]] || usage

# What the target imports, in the order of the layers, and sources of the tests that it shares.
shared=()
case $target in
  shard)
    modules=(Base CryptoCore SIPWire RTPWire SIPCore MediaControl Resolution Policy CallCore Simulation)
    shared=(Tests/CallCoreTests/{ShardExercise,ScriptWriter}.swift)
    ;;
  media) modules=(Base RTPWire MediaControl) ;;
  srtp)
    modules=(Base CryptoCore RTPWire MediaControl)
    shared=(Sources/MediaEngine/SRTP/*.swift)
    ;;
  dtls)
    modules=(Base CryptoCore RTPWire MediaControl)
    shared=(Sources/MediaEngine/DTLS/{DTLSAssociation+C,DTLSHello,DTLSIdentity+C,HelloFragments,SourceRank}.swift)
    ;;
  passport) modules=(Base CryptoCore SIPWire) ;;
  sip_stream | websocket | stun) modules=(Base SIPWire) ;;
  offer_answer)
    modules=(Base CryptoCore SIPWire SIPCore)
    shared=(Tests/SIPWireTests/Exercise.swift)
    ;;
  uri | via | name_addr | auth_params | header_field)
    modules=(Base SIPWire)
    shared=(Tests/SIPWireTests/{Exercise,ValueExercise}.swift)
    ;;
  dns_reply) modules=(Base Resolution) ;;
  differential) modules=(Base SIPWire) ;;
  *)
    modules=(Base SIPWire)
    shared=(Tests/SIPWireTests/Exercise.swift)
    ;;
esac

out=.build-fuzz
mkdir -p "$out/CLinux"
flags=(-O -g -swift-version 6 -parse-as-library -package-name demarc -strict-memory-safety
  -enable-upcoming-feature ExistentialAny -enable-upcoming-feature InternalImportsByDefault
  -enable-upcoming-feature MemberImportVisibility
  -enable-upcoming-feature NonisolatedNonsendingByDefault
  -enable-experimental-feature Lifetimes
  -sanitize=fuzzer,address -I "$out" -I "$out/CLinux" -I Sources/COpenSSL
  -Xcc -D_GNU_SOURCE)

newer() { # newer OUTPUT SOURCE...: whether a source is newer than the output, or there is none
  local output=$1 source
  shift
  [[ -e $output ]] || return 0
  for source in "$@"; do if [[ $source -nt $output ]]; then return 0; fi; done
  return 1
}

objects=()
stale=
# C, then each module; once one was compiled, all that stand behind it are too.
clang=$(dirname "$(readlink -f "$(command -v swiftc)")")/clang
printf 'module CLinux { umbrella "%s" export * }\n' "$PWD/Sources/CLinux/include" >"$out/CLinux/module.modulemap.new"
if cmp -s "$out/CLinux/module.modulemap.new" "$out/CLinux/module.modulemap"; then
  rm "$out/CLinux/module.modulemap.new"
else
  mv "$out/CLinux/module.modulemap.new" "$out/CLinux/module.modulemap"
fi
for source in Sources/CLinux/*.c; do
  object=$out/CLinux/$(basename "$source" .c).o
  if newer "$object" "$source" Sources/CLinux/include/*.h; then
    "$clang" -O1 -g -fsanitize=address -D_GNU_SOURCE -I Sources/CLinux/include -c "$source" -o "$object"
    stale=yes
  fi
  objects+=("$object")
done
for module in "${modules[@]}"; do
  mapfile -t sources < <(find "Sources/$module" -name '*.swift' | sort)
  if [[ -n $stale ]] || newer "$out/$module.o" "${sources[@]}"; then
    echo "fuzz: compiling $module" >&2
    swiftc "${flags[@]}" -wmo -module-name "$module" -emit-module \
      -emit-module-path "$out/$module.swiftmodule" -c "${sources[@]}" -o "$out/$module.o"
    stale=yes
  fi
  objects+=("$out/$module.o")
done
if [[ $target == differential ]]; then
  # The programs that it asks, and its side of their pipes.
  mkdir -p "$out/judges"
  flags+=(-I Fuzz/judges)
  for judge in libre:libre osip:libosip2 sofia:sofia-sip-ua; do
    program=$out/judges/${judge%:*}
    if newer "$program" Fuzz/judges/*.[ch]; then
      mapfile -t words < <(pkg-config --cflags --libs "${judge#*:}" | xargs -n 1)
      gcc -O1 -g -D_GNU_SOURCE "Fuzz/judges/${judge%:*}.c" Fuzz/judges/answer.c "${words[@]}" -o "$program"
    fi
  done
  if newer "$out/judges/ask.o" Fuzz/judges/ask.c Fuzz/judges/judge.h; then
    "$clang" -O1 -g -fsanitize=address -D_GNU_SOURCE -c Fuzz/judges/ask.c -o "$out/judges/ask.o"
    stale=yes
  fi
  objects+=("$out/judges/ask.o")
fi
if [[ -n $stale ]] || newer "$out/$target" "Fuzz/targets/$target.swift" "${shared[@]}"; then
  swiftc "${flags[@]}" -wmo -module-name "fuzz_$target" -c "Fuzz/targets/$target.swift" \
    "${shared[@]}" -o "$out/$target.o"
  swiftc -sanitize=fuzzer,address "$out/$target.o" "${objects[@]}" -lssl -lcrypto -o "$out/$target"
fi

found=$out/corpus/$target
mkdir -p "$found" "Fuzz/corpus/$target" "Fuzz/crashes/$target"
options=(-dict=Fuzz/sip.dict -max_len=8192 -timeout=5 -rss_limit_mb=2048
  "-artifact_prefix=Fuzz/crashes/$target/")
inputs=()
folders=("Fuzz/seeds/$target" "Fuzz/corpus/$target" "Fuzz/crashes/$target")
# What is known to reach much of the reader of messages.
if [[ $target == differential ]]; then folders+=(Fuzz/seeds/sip_datagram Fuzz/corpus/sip_datagram); fi
for folder in "${folders[@]}"; do
  if [[ -d $folder ]]; then inputs+=("$folder"); fi
done
if [[ -n $keep ]]; then
  # The fewest inputs that reach every edge, found and kept ones together.
  mv "Fuzz/corpus/$target" "$out/kept"
  mkdir "Fuzz/corpus/$target"
  "$out/$target" "${options[@]}" -max_len=2048 -set_cover_merge=1 -use_counters=0 \
    "Fuzz/corpus/$target" "Fuzz/seeds/$target" "$out/kept" "$found" && rm -r "$out/kept"
  exit
fi
exec "$out/$target" "${options[@]}" "-max_total_time=$seconds" -print_final_stats=1 "$found" "${inputs[@]}"
