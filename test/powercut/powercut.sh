#!/usr/bin/env bash
# powercut.sh [FLAG…]: go run ./test/powercut with these flags, behind what it needs
# beyond Go (test/hil/fetch.sh; exit 77 if that cannot be had).
# powercut.sh gate: what the gate runs: 20 cuts, a fault that must be found by 4, and
# the watchdog; 4 minutes on two idle processors.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
ACTUATORD_HIL=$(test/hil/fetch.sh tools arm64)
export ACTUATORD_HIL
if [[ ${1:-} != gate ]]; then
	exec go run ./test/powercut "$@"
fi
go run ./test/powercut
fault="an entry of the log is not flushed+bbolt's commit is not flushed"
said=$(go run ./test/powercut -cuts 4 -mutant "$fault") || {
	echo "$said"
	exit 1
}
tail -n 1 <<<"$said"
go run ./test/powercut -watchdog
