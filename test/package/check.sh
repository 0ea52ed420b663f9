#!/usr/bin/env bash
# check.sh [DIST]: packs what cross-build.sh left in DIST and looks at what came of it:
# the right program for each processor, the files of `make install` and no others, the
# same bytes a second time, and nothing that lintian calls an error or a warning.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
dist=${1:-dist}
packages=$dist/packages
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0 missing=""
fault() {
	echo "$*"
	bad=1
}

[[ -f $dist/VERSION ]] || { echo "nothing in $dist: run ./cross-build.sh"; exit 1; }
command -v dpkg-deb >/dev/null || { echo "no dpkg here"; exit 77; }
test/gate/tools.sh nfpm || exit
package/build.sh "$dist" | tee "${GATE_WORK:-$tmp}/packages.log.show" || exit

[[ $(find "$packages" -name '*.deb' | wc -l) -eq 6 ]] || fault "not six packages: $(ls "$packages")"
# One board's again: packing is most of this stage's time.
mkdir "$tmp/one" && cp "$dist"/VERSION "$dist"/*-linux-amd64 "$tmp/one/"
package/build.sh "$tmp/one" "$tmp/again" >/dev/null || fault "a second build: exit $?"
[[ $(find "$tmp/again" -name '*_amd64.deb' | wc -l) -eq 2 ]] || fault "not two packages: $(ls "$tmp/again")"
(cd "$tmp/again" && sha256sum ./*.deb) | (cd "$packages" && sha256sum --check --quiet) || fault "another time, other bytes"

# What `make install` puts there, the manual packed, and what Debian wants.
DESTDIR=$tmp/install PREFIX=/usr BINARY=$dist/actuatord-linux-amd64 systemd/install.sh install >/dev/null || fault "install.sh: exit $?"
want=$({ (cd "$tmp/install" && find . -type f -printf '%M %P\n' | sed -e 's,\(/man/.*\),\1.gz,' -e 's,etc/actuatord/\(.*\)\.example,usr/share/doc/actuatord/examples/\1,') &&
	printf -- '-rw-r--r-- usr/share/%s\n' doc/actuatord/copyright doc/actuatord/changelog.gz lintian/overrides/actuatord; } | sort -k 2)
for deb in "$packages"/actuatord_*.deb; do
	diff <(echo "$want") <(dpkg-deb -c "$deb" | awk '$1 !~ /^d/ {print $1, substr($6, 3)}' | sort -k 2) || fault "${deb##*/}: wrong files (< wanted, > there)"
	[[ $(dpkg-deb -c "$deb" | awk '{print $2}' | sort -u) == root/root ]] || fault "${deb##*/}: not all is root's"
	[[ -z $(dpkg-deb -I "$deb" conffiles 2>/dev/null) ]] || fault "${deb##*/}: a conffile, about which an unattended upgrade would ask"
done

for pair in armhf:armv6 arm64:arm64 amd64:amd64; do
	for program in actuatord:actuatord actuatord-c2d:c2d; do
		name=${program#*:}
		deb=$(echo "$packages/${program%:*}"_*_"${pair%:*}.deb")
		mkdir -p "$tmp/$pair"
		dpkg-deb -x "$deb" "$tmp/$pair" || fault "$deb cannot be unpacked"
		cmp "$tmp/$pair/usr/bin/$name" "$dist/$name-linux-${pair#*:}" || fault "$deb has another program"
	done
done
# A Pi Zero runs what is in the armhf package: its CPU knows no ARMv7.
if qemu=$(test/gate/tools.sh path qemu-arm); then
	for program in actuatord c2d; do
		"$qemu" -cpu arm1176 "$tmp/armhf:armv6/usr/bin/$program" version | grep -qF "$(<"$dist/VERSION")" || fault "armhf's $program does not run on an arm1176"
	done
else
	missing+=" qemu-arm"
fi
# dpkg itself says whether each is older than the next.
last=""
for described in 1a4c10f v0.1-rc1 v0.1-rc1-3-gabc v0.1 v0.1-5-gabc v0.1-12-gabc v0.1.1; do
	version=$(package/build.sh --version "$described")
	[[ -z $last ]] || dpkg --compare-versions "$last" lt "$version" || fault "$described is $version, and not newer than $last"
	[[ $version != *-* ]] || fault "$described is $version, which has a Debian revision"
	last=$version
done

if test/gate/tools.sh lintian; then
	lintian --allow-root --fail-on error,warning "$packages"/*.deb || fault "lintian: exit $?"
else
	missing+=" lintian"
fi
if [[ $bad -eq 0 && -n $missing ]]; then
	echo "not all of it was looked at: there is no$missing"
	bad=77
fi
exit "$bad"
