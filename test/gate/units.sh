#!/usr/bin/env bash
# units.sh: systemd itself reads what we ship. systemd-analyze verify exits 0 even
# for keys it does not know, so any output of it is a fault.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
test/gate/tools.sh systemd-analyze || exit
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0
# Above this exposure, in tenths, the sandbox has lost something. It is 1.6 on systemd
# 252 and on 257, and what is left is what this daemon is for: the network (0.8),
# devices (0.3), its groups, sockets and root directory (0.2), and adjtimex(2), by which
# it asks whether the clock is right (ProtectClock=, @clock, @privileged: 0.5), though
# it has no capability to set it.
threshold=16

# verify wants the program to be there; it is not installed on this machine.
mkdir "$tmp/bin" && printf '#!/bin/sh\n' >"$tmp/bin/actuatord" && chmod 755 "$tmp/bin/actuatord"
unit=$tmp/actuatord.service
sed "s,=/usr/bin/,=$tmp/bin/," systemd/actuatord.service >"$unit"

silent() { # silent WHAT COMMAND…
	local what=$1 said
	shift
	said=$("$@" 2>&1) || { echo "$what: exit $?"; bad=1; }
	[[ -z $said ]] || { printf '%s says:\n%s\n' "$what" "$said"; bad=1; }
}

silent "systemd-analyze verify" systemd-analyze verify --man=no "$unit"

version=$(systemd-analyze --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
if [[ $version -ge 254 ]]; then
	for dropin in systemd/*-254.conf; do install -D -m 0644 "$dropin" "$unit.d/10-${dropin##*/}"; done
	silent "systemd-analyze verify with the drop-ins" systemd-analyze verify --man=no "$unit"
else
	echo "the drop-ins were not verified by systemd $version, which is too old for them"
fi

exposure=$(systemd-analyze security --offline=true --threshold="$threshold" "$unit") ||
	{ echo "exposure is above $threshold tenths:"; grep -v '✓' <<<"$exposure"; bad=1; }
tail -n 1 <<<"$exposure" | sed "s/^[^A-Za-z]*//; s/ [^ ]*\$//; s/\$/ on systemd $version/" | tee "${GATE_WORK:-$tmp}/systemd-unit.log.show"

if test/gate/tools.sh systemd-sysusers; then
	mkdir -p "$tmp/root/etc"
	systemd-sysusers --root="$tmp/root" "$PWD/systemd/actuatord.sysusers" 2>"$tmp/said" || { cat "$tmp/said"; bad=1; }
	grep -q '^actuatord:[^:]*:[0-9]*:[0-9]*:actuatord daemon:/var/lib/actuatord:/usr/sbin/nologin$' "$tmp/root/etc/passwd" ||
		{ echo "systemd-sysusers made no user actuatord"; bad=1; }
	for group in gpio i2c actuatord; do
		grep -q "^$group:" "$tmp/root/etc/group" || { echo "systemd-sysusers made no group $group"; bad=1; }
	done
fi

# udevadm verify came with systemd 254; before, TestGroupsAgree reads the rules.
if command -v udevadm >/dev/null && [[ $version -ge 254 ]]; then
	udevadm verify systemd/60-actuatord.rules || bad=1
fi
exit "$bad"
