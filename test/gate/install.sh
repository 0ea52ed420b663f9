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

check() { # check PREFIX
	local prefix=$1 root=$tmp/root want old
	rm -rf "$root"
	# What earlier versions left for newer systemds.
	for old in reload restart; do
		install -D -m 0644 /dev/null "$root$prefix/lib/systemd/system/actuatord.service.d/10-$old-254.conf"
	done
	make -s install DESTDIR="$root" PREFIX="$prefix" BINARY="$binary" || fault "make install: exit $?"
	want=$(sort -k 2 <<-END
		755 ${prefix#/}/bin/actuatord
		644 ${prefix#/}/lib/systemd/system/actuatord.service
		755 ${prefix#/}/lib/systemd/system-generators/actuatord
		644 ${prefix#/}/lib/actuatord/pwm.conf
		644 ${prefix#/}/lib/actuatord/reload-254.conf
		644 ${prefix#/}/lib/actuatord/restart-254.conf
		644 ${prefix#/}/lib/sysusers.d/actuatord.conf
		644 ${prefix#/}/lib/udev/rules.d/60-actuatord.rules
		644 ${prefix#/}/share/man/man8/actuatord.8
		644 ${prefix#/}/share/man/man5/actuatord.toml.5
		644 ${prefix#/}/share/bash-completion/completions/actuatord
		644 etc/actuatord/actuatord.toml.example
	END
	)
	diff <(echo "$want") <(listing "$root") || fault "$prefix: wrong files (< wanted, > there)"
	grep -q "^ExecStart=$prefix/bin/actuatord run " "$root$prefix/lib/systemd/system/actuatord.service" ||
		fault "$prefix: the unit starts another program"
	[[ -z $(find "$root" -name '*.wants') ]] || fault "$prefix: the service was enabled"

	# What the owner wrote stays, and only that.
	echo "mine" >"$root/etc/actuatord/actuatord.toml"
	make -s uninstall DESTDIR="$root" PREFIX="$prefix" || fault "make uninstall: exit $?"
	diff <(echo "644 etc/actuatord/actuatord.toml") <(listing "$root") || fault "$prefix: uninstall left or took too much"

	# Installing twice, then uninstalling without configuration, leaves no file.
	rm "$root/etc/actuatord/actuatord.toml"
	for _ in 1 2; do
		make -s install DESTDIR="$root" PREFIX="$prefix" BINARY="$binary" || fault "install again: exit $?"
	done
	generator "$root$prefix/lib" 252 "" && generator "$root$prefix/lib" 254 "10-reload-254.conf 10-restart-254.conf"
	make -s uninstall DESTDIR="$root" PREFIX="$prefix" || fault "second uninstall: exit $?"
	[[ -z $(listing "$root") && ! -e $root/etc/actuatord ]] || fault "$prefix: left after uninstall: $(listing "$root")"
}

# generator LIBDIR VERSION FILES: what systemd VERSION is given beside the unit.
generator() {
	local said
	rm -rf "$tmp/generated" && mkdir -p "$tmp/generated" "$tmp/fake"
	printf '#!/bin/sh\necho "systemd %s (%s-1)"\n' "$2" "$2" >"$tmp/fake/systemctl" && chmod 755 "$tmp/fake/systemctl"
	PATH=$tmp/fake:$PATH "$1/systemd/system-generators/actuatord" "$tmp/generated" || fault "the generator: exit $?"
	said=$(find "$tmp/generated" -type f -printf '%P\n' | sort | sed 's,^actuatord.service.d/,,' | paste -sd ' ')
	[[ $said == "$3" ]] || fault "systemd $2 is given '$said', not '$3'"
	[[ -z $3 ]] || cmp systemd/restart-254.conf "$tmp/generated/actuatord.service.d/10-restart-254.conf" || fault "not what is in the repository"
}

umask 022
check /usr/local
check /usr

# A board needs no repository: the program, this folder and the reference file do.
rm -rf "$tmp/root" && mkdir "$tmp/board" && cp -r systemd package agent/config/actuatord.toml Makefile "$binary" "$tmp/board/"
make -s -C "$tmp/board" install DESTDIR="$tmp/root" BINARY="${binary##*/}" || fault "make install without the repository: exit $?"
cmp agent/config/actuatord.toml "$tmp/root/etc/actuatord/actuatord.toml.example" || fault "without the repository: no example"

# Without a program it says what to do, and installs nothing.
rm -rf "$tmp/root"
if said=$(DESTDIR=$tmp/root BINARY=$tmp/none systemd/install.sh install 2>&1); then fault "installed without a program"; fi
[[ $said == *"make build"* && ! -e $tmp/root ]] || fault "without a program: $said"
exit "$bad"
