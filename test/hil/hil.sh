#!/usr/bin/env bash
# hil.sh [GO-TEST-FLAG…]: the tests that need a kernel with pins and buses.
#
# fetch.sh brings what they need beyond Go, once; exit 77 if that cannot be had.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
ACTUATORD_HIL=$(test/hil/fetch.sh tools arm64 armhf simulators)
export ACTUATORD_HIL
# The whole takes 2 minutes on two idle processors.
go test -count=1 -timeout 20m "$@" ./test/hil/...
