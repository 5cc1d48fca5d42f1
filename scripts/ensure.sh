#!/usr/bin/env bash
# Makes a machine ready for one purpose: `scripts/ensure.sh lint|build|test|demo|limits|bench|quality|deb|fuzz`.
#
# Where nothing is missing it only looks, and works offline. Otherwise it installs the missing Debian
# packages by name, as root or with sudo. Swift cannot be had that way: where it is missing this says how.
set -euo pipefail

purpose=${1:-build}
swift_major=6
swift_minor=3

say() { printf 'ensure: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

# --- what each purpose needs -------------------------------------------------------------------------
# What the Swift toolchain itself links with and calls, and then what Demarc does.
swift=(binutils ca-certificates git libc6-dev libcurl4 libncurses6 libsqlite3-0 libstdc++-12-dev libxml2)
lint=("${swift[@]}" python3)
build=("${swift[@]}" libopus-dev libspandsp-dev libssl-dev libsqlite3-dev pkg-config)
demo=("${build[@]}" baresip-core espeak-ng python3 python3-numpy sip-tester)
limits=("${build[@]}" gcc valgrind)
bench=("${build[@]}" gcc iproute2 python3 python3-numpy rtpengine-daemon sip-tester valgrind)
# The programs that the target `differential` is compared with.
fuzz=("${build[@]}" gcc libosip2-dev libre-dev libsofia-sip-ua-dev)
deb=("${build[@]}" dpkg-dev patchelf python3 xz-utils)
# What builds PESQ from PyPI, and G.729 beside the codecs that are always there.
quality=("${build[@]}" gcc libbcg729-0 python3-dev python3-numpy python3-pip)
# gcc, spandsp and libtiff make the fax terminal.
test=("${demo[@]}" conntrack dnsmasq-base ethtool gcc iproute2 kamailio kamailio-tls-modules libspandsp-dev libbcg729-0 libsrtp2-1 libtiff-dev linphone-cli
  multimon-ng nftables openssl opus-tools python3-cryptography sipsak sipvicious)
case $purpose in
  lint) packages=("${lint[@]}") ;;
  build) packages=("${build[@]}") ;;
  fuzz) packages=("${fuzz[@]}") ;;
  demo) packages=("${demo[@]}") ;;
  limits) packages=("${limits[@]}") ;;
  bench) packages=("${bench[@]}") ;;
  quality) packages=("${quality[@]}") ;;
  deb) packages=("${deb[@]}") ;;
  test) packages=("${test[@]}") ;;
  *) fail "unknown purpose '$purpose': lint, build, test, demo, limits, bench, quality, deb or fuzz" ;;
esac

# --- Swift -------------------------------------------------------------------------------------------
how_to_get_swift() {
  cat >&2 <<HELP
ensure: Demarc needs Swift $swift_major.$swift_minor or newer, and $1.

  Get it from https://www.swift.org/install/linux/ ; on Debian 12 the shortest way is swiftly:

    apt-get install -y curl ca-certificates gnupg
    curl -O https://download.swift.org/swiftly/linux/swiftly-\$(uname -m).tar.gz
    tar zxf swiftly-\$(uname -m).tar.gz
    ./swiftly init
    . "\${SWIFTLY_HOME_DIR:-\$HOME/.local/share/swiftly}/env.sh"
    swiftly install $swift_major.$swift_minor

  Then open a new shell, check \`swift --version\`, and give the same command again.
HELP
  exit 1
}

find_swift() {
  command -v swift >/dev/null || how_to_get_swift "there is no 'swift' on the PATH"
}

check_swift_version() {
  local version
  version=$(swift --version 2>&1) || how_to_get_swift "'swift --version' fails: ${version%%$'\n'*}"
  [[ $version =~ Swift\ version\ ([0-9]+)\.([0-9]+) ]] ||
    how_to_get_swift "'swift --version' says something else: ${version%%$'\n'*}"
  local major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
  ((major > swift_major || (major == swift_major && minor >= swift_minor))) ||
    how_to_get_swift "this one is $major.$minor"
}

# --- packages ----------------------------------------------------------------------------------------
installed() {
  dpkg-query --show --showformat='${db:Status-Status}\n' "$1" 2>/dev/null | grep --quiet '^installed$'
}

missing_packages() {
  local name
  for name in "${packages[@]}"; do
    # A newer C++ library than the one named serves as well, and so does a library whose name Debian 13
    # gave a t64 at its end.
    if [[ $name == libstdc++-*-dev ]] && compgen -G '/usr/include/c++/*/vector' >/dev/null; then
      continue
    fi
    installed "$name" || installed "${name}t64" || printf '%s\n' "$name"
  done
}

# While packages are installed no daemon may start by itself: this file is the Debian way to say so.
policy=/usr/sbin/policy-rc.d
policy_is_ours=
restore_policy() {
  if [[ -n $policy_is_ours ]]; then "${as_root[@]}" rm -f "$policy"; fi
}
forbid_daemons() {
  if [[ -e $policy ]]; then return; fi
  policy_is_ours=yes
  trap restore_policy EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
}

as_root=()
become_root() {
  if [[ $(id -u) == 0 ]]; then return; fi
  command -v sudo >/dev/null ||
    fail "packages are missing and this is neither root nor is there sudo. As root: apt-get install $*"
  as_root=(sudo)
}

install_packages() {
  command -v apt-get >/dev/null ||
    fail "this is not Debian (no apt-get). Install what provides, by Debian's names: $*"
  become_root "$@"
  say "installing: $*"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  forbid_daemons
  "${apt[@]}" update || fail "apt-get update failed: is the network there, and /etc/apt/sources.list right?"
  "${apt[@]}" install --yes --no-install-recommends "$@" >/dev/null ||
    fail "apt-get install failed (its message is above). By hand: apt-get install $*"
}

find_swift
if command -v dpkg-query >/dev/null; then
  mapfile -t missing < <(missing_packages)
else
  missing=()
  say "this is not Debian: trusting that these are there, by Debian's names: ${packages[*]}"
fi
if ((${#missing[@]})); then install_packages "${missing[@]}"; fi
check_swift_version
