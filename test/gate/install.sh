#!/usr/bin/env bash
# install.sh: make install and make uninstall into an empty directory, for the
# usual prefixes, compared with the list of what they should leave.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0
fault() {
	echo "$*"
	bad=1
}
listing() { (cd "$1" && find . -type f -printf '%m %P\n' | sort -k 2); }

# The program of the cross build if there is one; else one for here.
binary=dist/actuatord-linux-amd64
[[ -f $binary ]] || binary=bin/actuatord

check() { # check PREFIX SYSTEMD_VERSION
	local prefix=$1 version=$2 root=$tmp/root want dropins="" again
	rm -rf "$root"
	make -s install DESTDIR="$root" PREFIX="$prefix" BINARY="$binary" SYSTEMD_VERSION="$version" || fault "make install: exit $?"
	[[ $version -lt 254 ]] || dropins=$(printf "644 ${prefix#/}/lib/systemd/system/actuatord.service.d/10-%s.conf\n" reload-254 restart-254)
	want=$(sed '/^$/d' <<-END | sort -k 2
		755 ${prefix#/}/bin/actuatord
		644 ${prefix#/}/lib/systemd/system/actuatord.service
		$dropins
		644 ${prefix#/}/lib/sysusers.d/actuatord.conf
		644 ${prefix#/}/lib/udev/rules.d/60-actuatord.rules
		644 etc/actuatord/actuatord.toml.example
	END
	)
	diff <(echo "$want") <(listing "$root") || fault "$prefix, systemd $version: wrong files (< wanted, > there)"
	grep -q "^ExecStart=$prefix/bin/actuatord run " "$root$prefix/lib/systemd/system/actuatord.service" ||
		fault "$prefix: the unit starts another program"
	[[ -z $(find "$root" -name '*.wants') ]] || fault "$prefix: the service was enabled"

	# What the owner wrote stays, and only that.
	echo "mine" >"$root/etc/actuatord/actuatord.toml"
	make -s uninstall DESTDIR="$root" PREFIX="$prefix" || fault "make uninstall: exit $?"
	diff <(echo "644 etc/actuatord/actuatord.toml") <(listing "$root") || fault "$prefix: uninstall left or took too much"

	# Installing twice, then uninstalling without configuration, leaves no file.
	rm "$root/etc/actuatord/actuatord.toml"
	for again in "$version" 252; do
		make -s install DESTDIR="$root" PREFIX="$prefix" BINARY="$binary" SYSTEMD_VERSION="$again" || fault "install again: exit $?"
	done
	[[ -z $(find "$root" -name '10-*-254.conf') ]] || fault "$prefix: an older systemd keeps the newer drop-in"
	make -s uninstall DESTDIR="$root" PREFIX="$prefix" || fault "second uninstall: exit $?"
	[[ -z $(listing "$root") && ! -e $root/etc/actuatord ]] || fault "$prefix: left after uninstall: $(listing "$root")"
}

umask 022
check /usr/local 252
check /usr/local 257
check /usr 257

# A board needs no repository: the program, this folder and the reference file do.
rm -rf "$tmp/root" && mkdir "$tmp/board" && cp -r systemd agent/config/actuatord.toml Makefile "$binary" "$tmp/board/"
make -s -C "$tmp/board" install DESTDIR="$tmp/root" BINARY="${binary##*/}" || fault "make install without the repository: exit $?"
cmp agent/config/actuatord.toml "$tmp/root/etc/actuatord/actuatord.toml.example" || fault "without the repository: no example"

# Without a program it says what to do, and installs nothing.
rm -rf "$tmp/root"
if said=$(DESTDIR=$tmp/root BINARY=$tmp/none systemd/install.sh install 2>&1); then fault "installed without a program"; fi
[[ $said == *"make build"* && ! -e $tmp/root ]] || fault "without a program: $said"
exit "$bad"
