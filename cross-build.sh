#!/usr/bin/env bash
# cross-build.sh [OUTDIR]: actuatord and c2d for every board, static, into dist/.
#
# Writes NAME-linux-ARCH, SHA256SUMS and VERSION, and prints a table of sizes. The
# same commit and Go give the same bytes: no paths, no build id, and no time but the
# commit's, below which the daemon believes no clock. VERSION=… and
# SOURCE_DATE_EPOCH=… override what git says.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
out=${1:-dist}
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo unknown)}
built=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || true)}

# name GOARCH GOARM. armv6: Pi 1, Zero, Zero W (and works on all 32-bit systems);
# armv7: Pi 2 and later with a 32-bit system; arm64: Pi 3 and later; amd64: a desk.
targets=(
	"armv6 arm 6"
	"armv7 arm 7"
	"arm64 arm64 -"
	"amd64 amd64 -"
)
programs=(actuatord c2d)

# Small functions are called, not copied to where they are called from: 260 KB less.
# Behind all come the packages for which that is not so, because they run for each byte
# or each record: the runtime, ciphers and curves, the journal and what those build on.
lean=(-gcflags=all=-l)
for hot in runtime runtime/... internal/runtime/... sync/... crypto/internal/... vendor/golang.org/x/crypto/... \
	go.etcd.io/... actuatord/persist bytes strings hash/... math/... unicode/...; do
	lean+=("-gcflags=$hot=")
done

mkdir -p "$out"
rm -f "$out"/actuatord-linux-* "$out"/c2d-linux-* "$out"/SHA256SUMS "$out"/VERSION
export CGO_ENABLED=0 GOOS=linux GOFLAGS=

for target in "${targets[@]}"; do
	read -r name arch arm <<<"$target"
	export GOARCH=$arch
	if [[ $arm == - ]]; then unset GOARM; else export GOARM=$arm; fi
	for program in "${programs[@]}"; do
		go build -trimpath -buildvcs=false "${lean[@]}" -ldflags "-s -w -buildid= -X main.version=$version -X main.built=$built" \
			-o "$out/$program-linux-$name" "./cmd/$program"
	done
done

echo "$version" >"$out/VERSION"
(cd "$out" && sha256sum actuatord-linux-* c2d-linux-* >SHA256SUMS)

printf '%-10s' "$version"
for program in "${programs[@]}"; do printf '%14s' "$program"; done
printf '   bytes\n'
for target in "${targets[@]}"; do
	name=${target%% *}
	printf '%-10s' "$name"
	for program in "${programs[@]}"; do printf '%14d' "$(stat -c %s "$out/$program-linux-$name")"; done
	printf '\n'
done
