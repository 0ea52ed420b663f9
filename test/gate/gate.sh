#!/usr/bin/env bash
# gate.sh [quick]: everything that must hold before a change goes in.
#
# Stages print one line with their time when they end, and their whole output when
# they fail; all of them run, so that one pass shows every fault. A stage that
# cannot run here (exit 77) is skipped, and that is repeated at the end: skipped is
# not passed. Two lanes keep two cores busy; both share Go's build cache.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
gate=$PWD/test/gate
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export GATE_WORK=$work
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
began=$EPOCHREALTIME

seconds() { # seconds SINCE: tenths, without bc
	local us=$(((${EPOCHREALTIME//[.,]/} - ${1//[.,]/}) / 100000))
	printf '%d.%d' $((us / 10)) $((us % 10))
}

# stage NAME COMMAND…: runs it, keeps its output, prints its line.
stage() {
	local name=$1 start=$EPOCHREALTIME log code
	shift
	log=$work/${name//[^a-zA-Z0-9]/-}.log
	"$@" >"$log" 2>&1 </dev/null
	code=$?
	case $code in
	0)
		printf 'ok    %6s s  %s\n' "$(seconds "$start")" "$name"
		[[ ! -s $log.show ]] || sed 's/^/                /' "$log.show"
		;;
	77)
		printf 'SKIP  %6s s  %s\n' "$(seconds "$start")" "$name"
		printf '%s: %s\n' "$name" "$(tail -n 1 "$log")" >>"$work/skipped"
		;;
	*)
		{
			printf 'FAIL  %6s s  %s (exit %d)\n' "$(seconds "$start")" "$name" "$code"
			sed 's/^/    | /' "$log"
		} >"$log.fail"
		cat "$log.fail" # at once, so that the lanes' lines do not mix
		echo "$name" >>"$work/failed"
		;;
	esac
	echo "$name" >>"$work/ran"
}

# show: what a stage says even when it passes (sizes, scores). Reads stdin.
show() { tee "$work/${1//[^a-zA-Z0-9]/-}.log.show"; }

gofmt_clean() {
	local bad
	bad=$(find . \( -name .git -o -name dist -o -name bin -o -name testdata \) -prune -o -name '*.go' -print0 | xargs -0 gofmt -l) || return 1
	[[ -z $bad ]] || { printf 'gofmt would change:\n%s\n' "$bad"; return 1; }
}

shell_scripts() {
	"$gate/tools.sh" shellcheck || return
	find . \( -name .git -o -name dist -o -name bin \) -prune -o -type f \( -name '*.sh' -o -path './.ci/*' \) -print0 | xargs -0 shellcheck
}

vet_native() { go vet ./... && go -C tools vet ./...; }
vet_boards() { # the same flags as the cross build, for one cache
	GOFLAGS="$GOFLAGS -trimpath" CGO_ENABLED=0 GOARCH=arm go vet ./... &&
		CGO_ENABLED=0 GOARCH=386 go vet ./...
}

staticcheck() {
	local tool
	tool=$(go -C tools tool -n staticcheck) && "$tool" ./... && (cd tools && "$tool" ./...)
}

# Everything, with every round of every sweep.
tests() { go test -count=1 -timeout 9m ./... && go -C tools test -count=1 ./...; }

# -short, here and on other processors: the same paths, fewer rounds of the sweeps.
race() {
	"$gate/tools.sh" cc || return
	CGO_ENABLED=1 go test -short -race -count=1 -timeout 9m ./...
}

# 32 bits on the machine at hand: int, alignment of atomics, time and file sizes.
tests_386() {
	[[ $(uname -m) == x86_64 ]] || { echo "386 binaries run on x86_64 only"; return 77; }
	CGO_ENABLED=0 GOARCH=386 go test -short -count=1 -timeout 9m ./...
}

cross() { ./cross-build.sh dist | show cross-build && "$gate/binaries.sh" dist; }

# What the sweeps are worth: each of these faults must make one fail.
mutants() {
	[[ $(id -u) == 0 && -e /dev/fuse ]] || { echo "a disk that loses power needs root and /dev/fuse"; return 77; }
	go run ./test/mutants
}

# Another seed each time: it is printed, and a run is repeated with FLAGS="-seed N".
torture() {
	if ! timeout 240 go run ./test/torture >"$work/torture.txt" 2>&1; then
		cat "$work/torture.txt"
		return 1
	fi
	sed -n '/of which/,$p' "$work/torture.txt" | show torture
}

# Emulated boards with real kernels, pins and buses.
hil() {
	ACTUATORD_HIL_TABLE=$work/hil.md test/hil/hil.sh || return
	tail -n 1 "$work/hil.md" | show hil
}

# Another seed each time, as above.
powercut() {
	timeout 900 test/powercut/powercut.sh gate >"$work/powercut.txt" 2>&1
	local code=$?
	if [[ $code != 0 ]]; then
		cat "$work/powercut.txt"
		return $code
	fi
	sed -n '/^seed .*, card/,/no cut explains/p; /to the next start/p; /mutant was/p' "$work/powercut.txt" | show powercut
}

demo() {
	compgen -G "test/demo/*.go" >/dev/null || { echo "there is no test/demo yet"; return 77; }
	timeout 120 go run ./test/demo
}

finish() {
	local total stages
	total=$(seconds "$began")
	stages=$(wc -l <"$work/ran")
	if [[ -s $work/skipped ]]; then
		printf '\n*** SKIPPED: not proven on this machine ***\n'
		sed 's/^/***   /' "$work/skipped"
		echo
	fi
	if [[ -s $work/failed ]]; then
		echo "gate FAILED in ${total} s: $(paste -sd, "$work/failed" | sed 's/,/, /g')"
		exit 1
	fi
	if [[ -s $work/skipped ]]; then
		echo "gate passed in ${total} s: $stages stages, $(wc -l <"$work/skipped") of them SKIPPED"
	else
		echo "gate passed in ${total} s: $stages stages, none skipped"
	fi
}

command -v go >/dev/null || { echo "the gate needs Go (see go.mod for the version)" >&2; exit 1; }

stage gofmt gofmt_clean
if [[ ${1:-} == quick ]]; then
	stage vet vet_native
	stage tests go test ./...
	finish
	exit
fi

stage tools "$gate/tools.sh" fetch
stage shellcheck shell_scripts
stage vet vet_native

# About even; the cross build's cache serves the ARM tests after it.
(
	stage tests tests
	stage "race tests" race
	stage mutants mutants
	stage fuzz "$gate/fuzz.sh" 3s
) &
test_lane=$!
(
	stage "vet arm and 386" vet_boards
	stage staticcheck staticcheck
	stage "cross-build" cross
	stage "systemd unit" "$gate/units.sh"
	stage install "$gate/install.sh"
	stage packages test/package/check.sh dist
	stage "package under systemd 252" test/package/nspawn.sh bookworm
	stage "package under systemd 257" test/package/nspawn.sh trixie
	stage "386 tests" tests_386
	stage "ARMv6 tests" test/arm/arm.sh armv6 packages
	stage "arm64 tests" test/arm/arm.sh arm64 packages
) &
board_lane=$!
wait "$test_lane" "$board_lane"

# These drive real processes against real sockets: alone on the machine.
stage "ARMv6 scenario" test/arm/arm.sh armv6 scenario
stage "arm64 scenario" test/arm/arm.sh arm64 scenario
stage hil hil
stage torture torture
stage powercut powercut
stage demo demo
finish
