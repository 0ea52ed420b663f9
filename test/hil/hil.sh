#!/usr/bin/env bash
# hil.sh [GO-TEST-FLAG…]: the tests that need a kernel with pins and buses.
#
# fetch.sh brings what they need beyond Go, once; exit 77 if that cannot be had.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
ACTUATORD_HIL=$(test/hil/fetch.sh tools arm64 armhf simulators)
export ACTUATORD_HIL
# One package after the other: each keeps two processors busy. 80 s on two that are
# idle; the bound is for those that are not.
go test -count=1 -p 1 -timeout 25m "$@" ./test/hil/...
