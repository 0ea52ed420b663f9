#!/usr/bin/env bash
# fetch.sh PART…: everything that `make hil` wants beyond Go, into a cache; prints its directory.
#
#   tools            qemu for ARM and PC, dtc, make, a cross compiler for arm64, kbuild
#   arm64 armhf amd64   Debian's stock kernel with its modules, and a static busybox
#   simulators       gpio-sim and i2c-regsim, built for the arm64 kernel (kmod/)
#
# Nothing is installed: packages are fetched by apt with lists and a status of its
# own and unpacked beside each other, so it needs no root, adds no architecture to
# dpkg, and works whatever the machine has. All of it is of one Debian release, so
# every machine boots the same kernels. A part that is there is left alone: a warm
# cache needs no network. A part is renamed into place when it is whole.
#
# HIL_CACHE: where (default ${XDG_CACHE_HOME:-~/.cache}/actuatord-hil, about 0.95 GB).
# HIL_MIRROR: a mirror (default: the one this machine has for Debian, or Debian's).
# Exit 77: it cannot be had here, with the reason as the last line.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/actuatord-hil}
suite=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "fetch.sh: $*" >&2; }
cannot() {
	say "$*"
	exit 77
}

# prepare: apt's private state, once a run and only if something is missing.
prepared=
prepare() {
	[[ -z $prepared ]] || return 0
	[[ $(uname -m) == x86_64 ]] || cannot "the emulators are fetched for x86_64 machines only; this is $(uname -m)"
	[[ -x /usr/bin/apt-get && -x /usr/bin/dpkg-deb ]] || cannot "no apt-get here: qemu and the kernels come from Debian's packages"
	[[ -f $keyring ]] || cannot "no $keyring: Debian's packages could not be trusted"
	local mirror=${HIL_MIRROR:-}
	# shellcheck disable=SC2016 # apt fills it in
	[[ -n $mirror ]] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | head -n 1) || true
	mkdir -p "$work"/{lists/partial,archives/partial}
	: >"$work/status" # as if nothing were installed: the answer is the same everywhere
	echo "deb [signed-by=$keyring] ${mirror:-http://deb.debian.org/debian} $suite main" >"$work/sources.list"
	apt=(-q -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status"
		-o Dir::State::extended_states="$work/extended" -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives"
		-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o APT::Architectures::=armhf
		-o APT::Install-Recommends=false -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=2)
	apt-get "${apt[@]}" update >&2 || cannot "apt-get update of $suite did not work"
	prepared=yes
}

# unpack DIRECTORY: every package of the archives into it. libc6 stays out: the
# machine's own is at least as new, and two cannot be mixed.
unpack() {
	local deb
	for deb in "$work"/archives/*.deb; do
		case ${deb##*/} in libc6_*) ;; *) dpkg-deb -x "$deb" "$1" ;; esac
		rm "$deb"
	done
}

# download PACKAGE…: these alone, without what they depend on.
download() { (cd "$work/archives" && apt-get "${apt[@]}" download "$@" >&2) || cannot "cannot be had: $*"; }

# newest META: the kernel package that a metapackage stands for; its name changes
# with each ABI.
newest() {
	local name
	name=$(apt-cache "${apt[@]}" depends "$1" | sed -n 's/^ *Depends: \(linux-[^:]*\).*/\1/p' | head -n 1)
	[[ -n $name ]] || cannot "no $1 in $suite"
	echo "$name"
}

tools() {
	apt-get "${apt[@]}" install --download-only -y qemu-system-arm qemu-system-x86 device-tree-compiler \
		make gcc-12-aarch64-linux-gnu linux-kbuild-6.1 e2fsprogs busybox-static >&2 || cannot "apt-get could not bring qemu"
	unpack "$1"
	# A tool is started by a script of its name in bin/: it needs the libraries
	# that were unpacked beside it, and nothing else may see those.
	local tool libraries="\$root/usr/lib/x86_64-linux-gnu:\$root/lib/x86_64-linux-gnu"
	mkdir -p "$1/tool"
	for tool in "$1"/usr/bin/{qemu-system-aarch64,qemu-system-arm,qemu-system-x86_64,dtc,fdtput,fdtget,make,aarch64-linux-gnu-*} "$1"/sbin/{mke2fs,e2fsck,debugfs} "$1"/bin/busybox; do
		[[ -e $tool ]] || continue
		cat >"$1/tool/${tool##*/}" <<-SCRIPT
			#!/bin/sh
			root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
			export LD_LIBRARY_PATH="$libraries" QEMU_MODULE_DIR="\$root/usr/lib/x86_64-linux-gnu/qemu"
			exec "\$root${tool#"$1"}" "\$@"
		SCRIPT
		chmod 755 "$1/tool/${tool##*/}"
	done
}

kernel() { # kernel DIRECTORY ARCHITECTURE FLAVOUR
	local image
	image=$(newest "linux-image-$3:$2") || exit
	download "$image:$2" "busybox-static:$2"
	unpack "$1"
	echo "${image#linux-image-}" >"$1/version"
}

# simulators: the kernel's own gpio-sim, which Debian does not build, out of its
# source, and our register simulator.
simulators() {
	local version source=linux-source-6.1
	version=$(<"$cache/arm64/version")
	download "linux-headers-$version:arm64" "linux-headers-${version%-arm64}-common" "$source"
	mkdir "$work/build"
	unpack "$work/build"
	mkdir "$work/source"
	tar -C "$work/source" --strip-components=1 --occurrence=1 -I 'xz -T0' -xf "$work/build/usr/src/$source.tar.xz" \
		$source/drivers/gpio/{gpio-sim.c,gpiolib.h} $source/kernel/irq/irq_sim.c
	"$here/kmod/build.sh" "$work/build" "$work/source" "$version" "$cache/tools" "$1" >&2
}

# part NAME COMMAND…: makes what is not there, aside, and renames it.
part() {
	local name=$1 began=$SECONDS
	shift
	[[ ! -d $cache/$name ]] || return 0
	prepare
	say "$name is not in $cache yet"
	rm -rf "$work/new"
	mkdir "$work/new"
	"$1" "$work/new" "${@:2}"
	mv "$work/new" "$cache/$name"
	say "$name: $((SECONDS - began)) s"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two at once would fetch twice
work=$cache/work
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
for name in "$@"; do
	case $name in
	tools) part tools tools ;;
	arm64 | amd64) part "$name" kernel "$name" "$name" ;;
	armhf) part armhf kernel armhf armmp ;;
	simulators)
		part tools tools
		part arm64 kernel arm64 arm64
		# Anew when our source changes: the name has its hash.
		sum=$(cat "$here"/kmod/* "$cache/arm64/version" | sha256sum)
		part "simulators-${sum:0:12}" simulators
		ln -sfn "simulators-${sum:0:12}" "$cache/simulators"
		;;
	*)
		echo "usage: $0 tools|arm64|armhf|amd64|simulators…" >&2
		exit 2
		;;
	esac
done
echo "$cache"
