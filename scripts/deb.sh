#!/usr/bin/env bash
# A Debian package of the release build, with the Swift runtime that it needs: `scripts/deb.sh [FOLDER]`.
# Its dependencies are the packages that own the libraries which the program is linked with here.
set -euo pipefail
cd "$(dirname "$0")/.."

program=.build/release/demarc
folder=${1:-run}
version=$("$program" --version | grep -oE '[0-9]+(\.[0-9]+)+' | head -1)
architecture=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

install -Dm755 "$program" "$root/usr/bin/demarc"
strip --strip-debug "$root/usr/bin/demarc"

# --- libraries: Swift's own come along, the system's are depended upon ------------------------------------
swift_libraries=$(dirname "$(ldd "$program" | awk '/libswiftCore/ {print $3}')")
declare -A packages
while read -r library; do
  case $library in
    "$swift_libraries"/*)
      install -Dm644 "$library" "$root/usr/lib/demarc/$(basename "$library")"
      patchelf --set-rpath '$ORIGIN' "$root/usr/lib/demarc/$(basename "$library")"
      ;;
    *)
      owner=$(dpkg --search "$(readlink -f "$library")" 2>/dev/null | head -1) ||
        owner=$(dpkg --search "*/$(basename "$library")" | head -1)
      packages[${owner%%:*}]=1
      ;;
  esac
done < <(ldd "$program" | awk '$3 ~ /^\// {print $3}')
patchelf --set-rpath '$ORIGIN/../lib/demarc' "$root/usr/bin/demarc"
depends=$(printf '%s\n' "${!packages[@]}" | sort | paste --serial --delimiters=, | sed 's/,/, /g')

# --- what belongs to a service ------------------------------------------------------------------------------
install -Dm644 packaging/demarc.service "$root/lib/systemd/system/demarc.service"
install -Dm640 packaging/demarc.yaml "$root/etc/demarc/demarc.yaml"
documents=$root/usr/share/doc/demarc
install -d "$documents/examples" "$documents/docs"
install -m644 README.md SECURITY.md "$documents/"
install -m644 docs/*.md "$documents/docs/"
install -m644 examples/*.yaml "$documents/examples/"
install -m644 LICENSE "$documents/copyright"
gzip --no-name --best --stdout CHANGELOG.md >"$documents/changelog.gz"
/usr/bin/python3 scripts/sbom.py --program "$program" >"$documents/sbom.cdx.json"

# --- the package itself ---------------------------------------------------------------------------------------
install -d "$root/DEBIAN"
for script in postinst prerm postrm; do install -m755 "packaging/$script" "$root/DEBIAN/$script"; done
echo /etc/demarc/demarc.yaml >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<CONTROL
Package: demarc
Version: $version
Architecture: $architecture
Maintainer: Demarc <demarc@localhost>
Installed-Size: $(du --summarize --block-size=1024 "$root/usr" | cut -f1)
Depends: adduser, $depends
Suggests: libbcg729-0
Section: comm
Priority: optional
Description: SIP trunk in one program
 Phones, PBXs and carriers on one side each, ended and joined: registrar, session border controller, media relay in
 the kernel where it may be, call records, recordings and ladders of every call.
CONTROL
mkdir -p "$folder"
package=$folder/demarc_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
echo "$package"
dpkg-deb --info "$package" | sed -n 's/^ \(Version\|Installed-Size\|Depends\)/\1/p'
