#!/usr/bin/env bash
# build.sh --version DESCRIBED: the package's version for what git describes so.
# build.sh [DIST [OUT]]: Debian packages of the programs that cross-build.sh left in DIST
# (dist), into OUT (DIST/packages).
#
#   actuatord      the daemon, for boards: what systemd/install.sh installs
#   actuatord-c2d  the desk tool. A package of its own: a board in the field has no use
#                  for a hub that anybody may run on it. Not "c2d": three letters are too
#                  few to take from everybody else.
#
# For armhf the program is the ARMv6 one: it runs on every 32-bit Raspberry Pi OS, a Pi
# Zero's too, and on Debian's armhf, which begins with ARMv7. The same DIST gives the
# same bytes. Packages for other processors are packed, never run: nothing foreign has to
# be installed for them.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -n ${SOURCE_DATE_EPOCH:-} ]] || SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# What git describes, in dpkg's order: tag v1.2-rc1 is 1.2~rc1, below 1.2; five commits
# behind v1.2 are 1.2+5.gabc, between 1.2 and 1.2.1; without a tag the commit's time
# orders, below every release. No "-" stays: it would begin a Debian revision.
deb_version() {
	local v=$1 behind=""
	[[ $v != *-dirty ]] || { v=${v%-dirty} behind=+dirty; }
	if [[ $v =~ ^(v?[0-9]+\..*)-([0-9]+)-(g[0-9a-f]+)$ ]]; then
		v=${BASH_REMATCH[1]} behind=+${BASH_REMATCH[2]}.${BASH_REMATCH[3]}$behind
	fi
	if [[ $v =~ ^v?([0-9]+\..*)$ ]]; then
		v=${BASH_REMATCH[1]/-/\~}
	else
		v="0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$v"
	fi
	echo "${v//-/.}$behind"
}

if [[ ${1:-} == --version ]]; then
	deb_version "$2"
	exit
fi

dist=$(realpath "${1:-dist}")
out=${2:-$dist/packages}
[[ -f $dist/VERSION ]] || { echo "nothing in $dist: run ./cross-build.sh" >&2; exit 1; }
nfpm=$(test/gate/tools.sh path nfpm) || { test/gate/tools.sh get nfpm >&2 && nfpm=$(test/gate/tools.sh path nfpm); }
# Who answers for a package. Whoever publishes it says so.
maintainer=${MAINTAINER:-actuatord maintainers <maintainers@example.org>}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
umask 022

# dpkg's name, and cross-build.sh's.
boards=("armhf armv6" "arm64 arm64" "amd64 amd64")

version=$(deb_version "$(<"$dist/VERSION")")

# Our licence, and those of what is linked into PROGRAM, as their authors ask.
copyright() {
	local path v dir file
	cat package/deb/copyright
	GOOS=linux GOFLAGS='' go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' "./cmd/$1" | sort -u |
		{ printf 'Go %s\n' "$(go env GOVERSION GOROOT | paste -sd ' ')" && cat; } | while read -r path v dir; do
		printf '\n%s\n%s %s\n%s\n' "$(printf '=%.0s' {1..72})" "$path" "$v" "$(printf '=%.0s' {1..72})"
		for file in "$dir"/LICENSE* "$dir"/NOTICE*; do
			if [[ ! -f $file ]]; then
				continue
			elif grep -q 'Apache License' "$file" && [[ $(wc -l <"$file") -gt 150 ]]; then
				echo "Apache License 2.0: /usr/share/common-licenses/Apache-2.0" # Debian wants no second copy
			else
				cat "$file"
			fi
		done
	done
}

# papers PACKAGE PROGRAM ROOT: what Debian wants beside the files.
papers() {
	local doc=$3/usr/share/doc/$1
	mkdir -p "$doc"
	copyright "$2" >"$doc/copyright"
	printf '%s (%s) unstable; urgency=medium\n\n  * As of the commit of this time.\n\n -- %s  %s\n' \
		"$1" "$version" "$maintainer" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" >"$doc/changelog"
	install -D -m 0644 "package/deb/$1.overrides" "$3/usr/share/lintian/overrides/$1"
	find "$doc/changelog" "$3/usr/share/man" -type f -exec gzip -9n {} +
}

# contents ROOT: nfpm's list of every file in ROOT, and of the directories that are the
# package's own.
contents() {
	(cd "$1" && find . -type f -printf '%m %P\n' | sort -k 2) | while read -r mode path; do
		printf '  - {src: "%s", dst: "/%s", file_info: {mode: 0%s, owner: root, group: root}}\n' "$1/$path" "$path" "$mode"
	done
	[[ ! -d $1/etc/actuatord ]] || echo '  - {type: dir, dst: /etc/actuatord, file_info: {mode: 0755, owner: root, group: root}}'
}

# pack PACKAGE ARCH ROOT
pack() {
	{
		sed -e "s/@ARCH@/$2/; s/@VERSION@/$version/; s/@MAINTAINER@/$(sed 's/[\/&]/\\&/g' <<<"$maintainer")/" "package/deb/$1.yaml"
		echo 'contents:'
		contents "$3"
	} >"$tmp/$1-$2.yaml"
	"$nfpm" package --packager deb --config "$tmp/$1-$2.yaml" --target "$out/$1_${version}_$2.deb" >/dev/null
}

board() { # board ARCH NAME
	local root=$tmp/$1
	DESTDIR=$root/actuatord PREFIX=/usr EXAMPLE=/usr/share/doc/actuatord/examples/actuatord.toml \
		BINARY=$dist/actuatord-linux-$2 systemd/install.sh install >/dev/null
	papers actuatord actuatord "$root/actuatord"
	pack actuatord "$1" "$root/actuatord"

	install -D -m 0755 "$dist/c2d-linux-$2" "$root/c2d/usr/bin/c2d"
	install -D -m 0644 package/man/c2d.1 "$root/c2d/usr/share/man/man1/c2d.1"
	install -D -m 0644 package/completions/c2d.bash "$root/c2d/usr/share/bash-completion/completions/c2d"
	papers actuatord-c2d c2d "$root/c2d"
	pack actuatord-c2d "$1" "$root/c2d"
}

mkdir -p "$out"
rm -f "$out"/*.deb
packing=()
for pair in "${boards[@]}"; do
	read -r arch name <<<"$pair"
	[[ -f $dist/actuatord-linux-$name ]] || continue # a DIST for one board only
	board "$arch" "$name" &
	packing+=($!)
done
[[ ${#packing[@]} -gt 0 ]] || { echo "no program in $dist" >&2; exit 1; }
for pid in "${packing[@]}"; do wait "$pid"; done
(cd "$out" && sha256sum ./*.deb >SHA256SUMS && stat -c '%9s  %n' ./*.deb)
