#!/usr/bin/env bash
# nspawn.sh SUITE [DIST]: the life of the packages under a real systemd: installed,
# configured, upgraded in the middle of a command, removed, purged (inside.sh).
#
# SUITE is a Debian: bookworm has systemd 252, trixie 257. Its root is made once by
# mmdebstrap and kept; each run unpacks it anew. The container has its own network with
# nothing in it but loopback, and its own cgroup v2 hierarchy with leave to load BPF
# programs, by which systemd confines devices and addresses.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
suite=${1:?usage: $0 SUITE [DIST]}
dist=${2:-dist}
[[ $(id -u) == 0 && $(uname -m) == x86_64 ]] || { echo "a container needs root, and the packages for amd64 an amd64"; exit 77; }
for tool in mmdebstrap systemd-nspawn; do test/gate/tools.sh "$tool" || exit; done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/actuatord
# Where the daemon is to live, and what the packages do not ask for but boards have.
include=systemd-sysv,procps,udev,kmod,bash-completion
root=$cache/root-$suite-${include//,/-}.tar
tmp=$(mktemp -d /var/tmp/actuatord-nspawn.XXXXXX)
new=
trap 'rm -rf --one-file-system "$tmp" ${new:+"$new"}' EXIT
trap 'exit 130' INT TERM

if [[ ! -f $root ]]; then
	mkdir -p "$cache"
	# Under a name of its own: another gate may be making the same.
	new=${root%.tar}.$$.tar
	if ! mmdebstrap --variant=minbase --include="$include" "$suite" "$new"; then
		echo "no root for $suite: mmdebstrap could not make one"
		exit 77
	fi
	mv "$new" "$root"
fi

mkdir "$tmp/root" "$tmp/result" && tar -C "$tmp/root" -xf "$root" --numeric-owner --exclude='./dev/*' || exit
nspawn=(systemd-nspawn -q -D "$tmp/root" --private-network --register=no --keep-unit --machine="actuatord-$suite-$$" --resolv-conf=off
	--capability=CAP_BPF --system-call-filter="bpf adjtimex")
if ! "${nspawn[@]}" true </dev/null >"$tmp/said" 2>&1; then
	echo "systemd-nspawn cannot run a container here: $(tail -n 1 "$tmp/said")"
	exit 77
fi

# The packages as they are, and the same program again as an older release.
[[ -n ${SOURCE_DATE_EPOCH:-} ]] || SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
cp "$dist"/packages/*_amd64.deb "$tmp/result/" || exit
mkdir "$tmp/old" && echo 0.0.1 >"$tmp/old/VERSION"
CGO_ENABLED=0 GOFLAGS='' go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=0.0.1 -X main.built=$SOURCE_DATE_EPOCH" \
	-o "$tmp/old/actuatord-linux-amd64" ./cmd/actuatord && cp "$dist/c2d-linux-amd64" "$tmp/old/" || exit
package/build.sh "$tmp/old" "$tmp/result/old" >/dev/null || exit
cp test/package/inside.sh test/package/probe.pl "$tmp/result/"

cat >"$tmp/root/etc/systemd/system/inside.service" <<-'END'
	[Unit]
	After=multi-user.target
	[Service]
	Type=exec
	ExecStart=/bin/bash /result/inside.sh
	StandardOutput=append:/result/log
	StandardError=append:/result/log
	ExecStopPost=/bin/systemctl poweroff --force
	[Install]
	WantedBy=default.target
END
mkdir -p "$tmp/root/etc/systemd/system/default.target.wants"
ln -s ../inside.service "$tmp/root/etc/systemd/system/default.target.wants/"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$tmp/root/etc/hosts"
rm -f "$tmp/root"/etc/systemd/system/timers.target.wants/* # nothing of its own accord

# 11 s where nobody else works, a minute on a machine with thirty at it.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout -k 10 300 "${nspawn[@]}" --bind="$tmp/result:/result" --boot --console=pipe \
	</dev/null >"$tmp/console" 2>&1
cat "$tmp/result/log" 2>/dev/null
if [[ $(tail -n 1 "$tmp/result/verdict" 2>/dev/null) != passed ]]; then
	echo "no verdict, or a bad one; the console:"
	tail -n 30 "$tmp/console"
	exit 1
fi
