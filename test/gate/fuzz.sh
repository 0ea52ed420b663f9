#!/usr/bin/env bash
# fuzz.sh TIME: every Fuzz target of the module for TIME each, found by name, so
# that none is forgotten. Seeds are committed in testdata/fuzz; what is found is
# written there by go test, and belongs into the commit that repairs it.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
time=${1:-2s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
count=0 failed=0

fuzz() { # fuzz PACKAGE TARGET
	go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 1s "$1" >"$log" 2>&1
}

while IFS=: read -r file target; do
	package=./$(dirname "$file")
	count=$((count + 1))
	# A worker that is still busy when the time is up can make go test say "context
	# deadline exceeded" although no input failed (Go issue 75804 and older). Only
	# that, with no failing input named, is tried once more.
	if ! fuzz "$package" "$target" &&
		{ grep -q 'Failing input written' "$log" || ! grep -q 'context deadline exceeded' "$log" || ! fuzz "$package" "$target"; }; then
		echo "$package $target:"
		cat "$log"
		failed=$((failed + 1))
	fi
	echo "$package $target: $(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
done < <(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's,^\./,,; s,:func ,:,')

[[ $count -gt 0 ]] || { echo "no fuzz target found: the search is broken"; exit 1; }
echo "$count targets, $failed failed"
[[ $failed -eq 0 ]]
