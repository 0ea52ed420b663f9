#!/bin/sh
# install.sh install|uninstall: what `make install` and `make uninstall` do.
#
# Installs the daemon, its unit, user, device rules, manual and completions under
# $DESTDIR, and never starts or enables it: it is not configured yet. With DESTDIR set
# (packages, tests) nothing of the running system is touched. The packages are made of
# what this installs (package/build.sh), so that there is one list of files.
#
# uninstall leaves what is the owner's: /etc/actuatord (but for the example), the
# journal in /var/lib/actuatord, and the user who owns it.
set -eu

DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
BINDIR=${BINDIR:-$PREFIX/bin}
LIBDIR=${LIBDIR:-$PREFIX/lib}
SHAREDIR=${SHAREDIR:-$PREFIX/share}
SYSCONFDIR=${SYSCONFDIR:-/etc}
EXAMPLE=${EXAMPLE:-$SYSCONFDIR/actuatord/actuatord.toml.example}
BINARY=${BINARY:-bin/actuatord}
# In the repository, or beside this folder on a board that got only what it needs.
reference=agent/config/actuatord.toml

unit=$DESTDIR$LIBDIR/systemd/system/actuatord.service
users=$DESTDIR$LIBDIR/sysusers.d/actuatord.conf
etc=$DESTDIR$SYSCONFDIR/actuatord

cd "$(dirname "$0")/.."
[ -f "$reference" ] || reference=actuatord.toml

# The list: mode, destination, source. A file that is no longer in it, and that an
# earlier version installed, goes under "gone".
files() {
	cat <<-END
		0755 $BINDIR/actuatord $BINARY
		0644 $LIBDIR/systemd/system/actuatord.service systemd/actuatord.service
		0755 $LIBDIR/systemd/system-generators/actuatord systemd/generator.sh
		0644 $LIBDIR/actuatord/restart-254.conf systemd/restart-254.conf
		0644 $LIBDIR/actuatord/reload-254.conf systemd/reload-254.conf
		0644 $LIBDIR/actuatord/pwm.conf systemd/pwm.conf
		0644 $LIBDIR/sysusers.d/actuatord.conf systemd/actuatord.sysusers
		0644 $LIBDIR/udev/rules.d/60-actuatord.rules systemd/60-actuatord.rules
		0644 $SHAREDIR/man/man8/actuatord.8 package/man/actuatord.8
		0644 $SHAREDIR/man/man5/actuatord.toml.5 package/man/actuatord.toml.5
		0644 $SHAREDIR/bash-completion/completions/actuatord package/completions/actuatord.bash
		0644 $EXAMPLE $reference
	END
}

gone() {
	echo "$LIBDIR/systemd/system/actuatord.service.d/10-restart-254.conf"
	echo "$LIBDIR/systemd/system/actuatord.service.d/10-reload-254.conf"
}

# tell SENTENCE COMMAND…: run it on the running system; what is missing is said,
# and is no reason to stop half-way (a container has no udev, a chroot no systemd).
tell() {
	sentence=$1
	shift
	if ! command -v "$1" >/dev/null; then
		echo "skipped: $sentence (no $1 here)"
	elif ! "$@"; then
		echo "not done: $sentence ($* failed; do it by hand)"
	fi
}

system() {
	[ -z "$DESTDIR" ] || return 0
	[ "$1" = remove ] || tell "make user actuatord and groups gpio, i2c" systemd-sysusers "$users"
	tell "read the udev rules" udevadm control --reload
	[ "$1" = remove ] || tell "apply them to GPIO chips" udevadm trigger --subsystem-match=gpio
	[ "$1" = remove ] || tell "apply them to I2C buses" udevadm trigger --subsystem-match=i2c-dev
	tell "read the units" systemctl daemon-reload
}

install_all() {
	if [ ! -f "$BINARY" ]; then
		echo "no $BINARY: run 'make build' first, or name one: make install BINARY=dist/actuatord-linux-arm64" >&2
		exit 1
	fi
	files | while read -r mode to from; do
		install -D -m "$mode" "$from" "$DESTDIR$to"
	done
	gone | while read -r to; do
		rm -f "$DESTDIR$to"
	done
	rmdir "$unit.d" 2>/dev/null || true # kept if something of the owner's is in it
	# The repository's unit says /usr/bin and /etc; the installed one says where they are.
	sed -i -e "s,=/usr/bin/actuatord ,=$BINDIR/actuatord ," -e "s,/etc/actuatord/,$SYSCONFDIR/actuatord/,g" "$unit"
	install -d -m 0755 "$etc"
	system add
	cat <<-END
		installed, not started. Next, as root:
		  actuatord board    shows lines and buses
		  actuatord init     asks for the connection string and the outputs
		  actuatord check --online && systemctl enable --now actuatord
		What else can be set: $EXAMPLE
		After a change of the connection string: systemctl reload actuatord
	END
}

uninstall_all() {
	if [ -z "$DESTDIR" ] && command -v systemctl >/dev/null && [ -e "$unit" ]; then
		tell "stop the service" systemctl disable --now actuatord.service
	fi
	{ files | while read -r _ to _; do echo "$to"; done && gone; } | while read -r to; do
		rm -f "$DESTDIR$to"
	done
	rmdir "$unit.d" "$DESTDIR$LIBDIR/actuatord" "$etc" 2>/dev/null || true # kept if something of the owner's is in them
	system remove
	echo "uninstalled. Kept: $SYSCONFDIR/actuatord (if yours), /var/lib/actuatord, user actuatord"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*)
	echo "usage: [DESTDIR=…] [PREFIX=…] [BINARY=…] $0 install|uninstall" >&2
	exit 2
	;;
esac
