#!/usr/bin/env bash
# binaries.sh DIR: what cross-build.sh left in DIR is what it says: the right
# machine, static, stripped, with its version, without paths of where it was made.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
dir=${1:-dist}
bad=0
fault() {
	echo "$*"
	bad=1
}

(cd "$dir" && sha256sum --check --quiet --strict SHA256SUMS) || fault "checksums differ"
[[ $(wc -l <"$dir/SHA256SUMS") -eq 8 ]] || fault "not 8 programs: $(ls "$dir")"

for program in "$dir"/*-linux-*; do
	case $program in
	*-armv6) want=(GOARCH=arm GOARM=6) ;;
	*-armv7) want=(GOARCH=arm GOARM=7) ;;
	*-arm64) want=(GOARCH=arm64) ;;
	*-amd64) want=(GOARCH=amd64) ;;
	*) fault "$program: not a target" ;;
	esac
	made=$(go version -m "$program") || fault "$program: no Go program"
	for setting in "${want[@]}" GOOS=linux CGO_ENABLED=0 -trimpath=true; do
		grep -qw -- "$setting" <<<"$made" || fault "$program was not built with $setting"
	done
	# PT_INTERP names a dynamic linker; a static program has none. .debug_info and
	# .symtab would be left by a build without -s -w.
	if grep -qaE '/lib(64)?/ld-[a-z0-9-]+\.so' "$program"; then fault "$program wants a dynamic linker"; fi
	if grep -qaE '\.symtab|\.z?debug_info' "$program"; then fault "$program is not stripped"; fi
	if grep -qaF "$PWD/" "$program"; then fault "$program knows $PWD"; fi
done

version=$(<"$dir/VERSION")
if [[ $(uname -m) == x86_64 ]]; then
	said=$("$dir/actuatord-linux-amd64" version) || fault "actuatord version: exit $?"
	[[ $said == *"$version"* ]] || fault "actuatord says '$said', not '$version'"
	if at=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null)} && [[ -n $at ]]; then
		at=$(date -u -d "@$at" +%Y-%m-%dT%H:%M:%SZ)
		[[ $said == *"source of $at"* ]] || fault "actuatord says '$said', not 'source of $at'"
	fi
fi
exit "$bad"
