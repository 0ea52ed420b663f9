#!/usr/bin/env bash
# fuzz.sh TIME: every Fuzz target of the module for TIME each, found by name, so
# that none is forgotten. Seeds are committed in testdata/fuzz; what is found is
# written there, and belongs into the commit that repairs it.
#
# A package is linked once for all of its targets, and two of them run at a time with
# a worker each: together with the other lane that is what two cores can do. They
# begin from the committed seeds alone: where somebody has fuzzed for long, going
# through all that was found would take up the time, as would a second of minimizing
# each new input of a target that does a hundred in that.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
time=${1:-3s}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

fuzz() { # fuzz PACKAGE TARGET: as go test -fuzz would
	cd "$1" && "$work/$1/test" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$time" -test.fuzzminimizetime 20x \
		-test.parallel 1 -test.fuzzcachedir "$work/cache/$1" >"$work/$1/$2" 2>&1
}

target() { # target PACKAGE TARGET
	local log=$work/$1/$2
	# A worker that is still busy when the time is up can make it say "context
	# deadline exceeded" although no input failed (Go issue 75804 and older). Only
	# that, with no failing input named, is tried once more.
	if ! (fuzz "$1" "$2") &&
		{ grep -q 'Failing input written' "$log" || ! grep -q 'context deadline exceeded' "$log" || ! (fuzz "$1" "$2"); }; then
		printf '%s\n' "./$1 $2:" "$(cat "$log")"
		touch "$log.failed"
	fi
	echo "./$1 $2: $(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
}

count=0 unbuilt=0
while IFS=: read -r file name; do
	package=$(dirname "$file")
	if [[ ! -d $work/$package ]]; then
		mkdir -p "$work/$package"
		go test -c -fuzz=. -o "$work/$package/test" "./$package" || unbuilt=$((unbuilt + 1))
	fi
	while [[ $(jobs -pr | wc -l) -ge 2 ]]; do wait -n; done
	target "$package" "$name" &
	count=$((count + 1))
done < <(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's,^\./,,; s,:func ,:,' | sort)
wait

failed=$(find "$work" -name '*.failed' | wc -l)
[[ $count -gt 0 ]] || { echo "no fuzz target found: the search is broken"; exit 1; }
echo "$count targets, $failed failed, $unbuilt packages not built"
[[ $failed -eq 0 && $unbuilt -eq 0 ]]
