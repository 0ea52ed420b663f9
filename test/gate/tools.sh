#!/usr/bin/env bash
# tools.sh fetch: installs what the gate lacks, where it may (root, apt-get).
# tools.sh get NAME: installs that one.
# tools.sh NAME: exit 0 if tool NAME is here; else says why not, and exits 77.
#
# A bare Debian with Go is enough to begin with. apt-get update runs at most once,
# and only if the lists at hand do not know a package.
set -uo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/actuatord
# The packages' tool, from the Go proxy, not among this module's tools: it would bring a
# hundred modules into their list. 2.46 wants one that the proxy does not give.
nfpm=2.45.2

# here NAME: is the tool there? Debian 12 calls qemu's static builds …-static,
# later ones may not.
here() {
	case $1 in
	nfpm) [[ -x $cache/nfpm-$nfpm/nfpm ]] && echo "$cache/nfpm-$nfpm/nfpm" ;;
	shellcheck | lintian | mandoc | mmdebstrap | systemd-nspawn) command -v "$1" ;;
	systemd-analyze) command -v systemd-analyze ;;
	systemd-sysusers) command -v systemd-sysusers ;;
	cc) command -v cc || command -v gcc ;;
	qemu-io) command -v qemu-io ;; # speaks NBD: it tries test/powercut/card
	qemu-arm | qemu-aarch64) command -v "$1-static" || command -v "$1" ;;
	*)
		echo "tools.sh: no tool $1" >&2
		exit 2
		;;
	esac
}

package() {
	case $1 in
	shellcheck | lintian | mandoc | mmdebstrap) echo "$1" ;;
	systemd-nspawn) echo systemd-container ;;
	systemd-analyze | systemd-sysusers) echo systemd ;;
	cc) echo gcc libc6-dev ;; # the race detector is linked by it
	qemu-io) echo qemu-utils ;;
	qemu-*) echo qemu-user-static ;;
	esac
}

all=(shellcheck systemd-analyze systemd-sysusers cc qemu-arm qemu-aarch64 qemu-io lintian mandoc mmdebstrap systemd-nspawn)

get_nfpm() {
	here nfpm >/dev/null || CGO_ENABLED=0 GOFLAGS='' GOBIN=$cache/nfpm-$nfpm go install "github.com/goreleaser/nfpm/v2/cmd/nfpm@v$nfpm" ||
		{ echo "nfpm cannot be had from the Go proxy"; return 77; }
}

get() { DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }

fetch() {
	local tool missing=() packages=()
	for tool in "${all[@]}"; do
		here "$tool" >/dev/null || missing+=("$tool")
	done
	[[ ${#missing[@]} -gt 0 ]] || { echo "all here: ${all[*]}"; return 0; }
	echo "missing: ${missing[*]}"
	if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
		echo "cannot install ${missing[*]} (not root, or no apt-get): their stages are skipped"
		return 77
	fi
	mapfile -t packages < <(for tool in "${missing[@]}"; do package "$tool" | tr ' ' '\n'; done | sort -u)
	if ! get "${packages[@]}"; then
		apt-get update -q || echo "apt-get update did not work"
		# One by one: a package that cannot be had must not cost the others.
		for tool in "${packages[@]}"; do get "$tool" || echo "cannot be had: $tool"; done
	fi
	missing=()
	for tool in "${all[@]}"; do
		here "$tool" >/dev/null || missing+=("$tool")
	done
	[[ ${#missing[@]} -eq 0 ]] || { echo "apt-get could not bring ${missing[*]}: their stages are skipped"; return 77; }
}

case ${1:-} in
fetch)
	fetch
	code=$?
	get_nfpm && exit "$code"
	;;
get) if [[ $2 == nfpm ]]; then get_nfpm; else mapfile -t wanted < <(package "$2" | tr ' ' '\n') && get "${wanted[@]}"; fi ;;
path) here "$2" ;;
"")
	echo "usage: $0 fetch | get NAME | path NAME | NAME" >&2
	exit 2
	;;
*) here "$1" >/dev/null || { echo "no $1 here, and it could not be installed"; exit 77; } ;;
esac
