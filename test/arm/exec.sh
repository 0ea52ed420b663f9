#!/bin/sh
# exec.sh PROGRAM ARGUMENT…: runs a board's program here, for `go test -exec` and
# the scenario. QEMU names the emulator and its options.
#
# A program that starts itself again (the journal's checker is a child) does so by
# its argv[0]. The kernel here cannot execute a board's file, so argv[0] names a
# script beside it that comes back through the emulator.
set -eu
program=$1
shift
again=$program.qemu
if [ ! -x "$again" ]; then
	# Made aside and renamed: two tests may start the same program at once.
	printf '#!/bin/sh\nexec %s -0 "%s" "%s" "$@"\n' "$QEMU" "$again" "$program" >"$again.$$"
	chmod 755 "$again.$$"
	mv "$again.$$" "$again"
fi
exec "$again" "$@"
