#!/usr/bin/env bash
# arm.sh armv6|arm64 packages|scenario: the boards' code, on their instruction set.
#
# packages: the tests of the packages that meet the kernel and the word size:
# bbolt's mmap and locks, MQTT over sockets, the loop. scenario: the very binary of
# cross-build.sh, started by test/scenario through ACTUATORD_BIN.
# qemu-user gives the CPU of a Pi Zero (arm1176) or a 64-bit one; the kernel is the
# host's, so this says nothing about GPIO and I2C.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

case ${1:-} in
armv6)
	tool=qemu-arm arch=arm cpu="-cpu arm1176"
	export GOARM=6
	;;
arm64) tool=qemu-aarch64 arch=arm64 cpu="" ;;
*)
	echo "usage: $0 armv6|arm64 packages|scenario" >&2
	exit 2
	;;
esac
test/gate/tools.sh "$tool" || exit
QEMU="$(test/gate/tools.sh path "$tool") $cpu" || exit
export QEMU
name=$1

packages() {
	# -short: the same paths, fewer rounds; every instruction costs ten here. Left to
	# the native run: the two that start hundreds of children and bound their memory,
	# where the emulator's own would be what is measured; the models, which are
	# arithmetic; and the sweeps whose many rounds differ in what the network or the
	# disk does and not in what the CPU does.
	GOFLAGS="${GOFLAGS:-} -trimpath" CGO_ENABLED=0 GOARCH=$arch \
		go test -short -vet=off -count=1 -timeout 20m -exec "$PWD/test/arm/exec.sh" \
		-skip '^(TestDamage|TestCheckInChild|TestModel.*|TestPowerLoss.*|TestFailingDisk|TestHTTPSFaults|TestHubFaults|TestGarbageForHours|TestPollsOverRestarts|TestOffDuringAVisit|TestHeldFor|TestBlackHole|TestSoak)$' \
		./agent/... ./persist/... ./hub ./hub/link ./hub/mqtt ./systemd
}

scenario() {
	local program=$PWD/dist/actuatord-linux-$name
	compgen -G "test/scenario/*.go" >/dev/null || { echo "there is no test/scenario yet"; exit 77; }
	[[ -f $program ]] || { echo "no $program: run ./cross-build.sh"; exit 1; }
	# A copy, so that what exec.sh leaves beside it goes away with it. exec all the
	# way: the process that the scenario kills is the daemon itself.
	cp "$program" "$tmp/board"
	printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$PWD/test/arm/exec.sh" "$tmp/board" >"$tmp/actuatord"
	chmod 755 "$tmp/actuatord"
	ACTUATORD_BIN=$tmp/actuatord go test -count=1 -timeout 8m ./test/scenario/...
}

case ${2:-} in
packages) packages ;;
scenario) scenario ;;
*)
	echo "usage: $0 armv6|arm64 packages|scenario" >&2
	exit 2
	;;
esac
