#!/bin/sh
# install.sh install|uninstall: what `make install` and `make uninstall` do.
#
# Installs the daemon, its unit, user and device rules under $DESTDIR, and never
# starts or enables it: it is not configured yet. With DESTDIR set (packages,
# tests) nothing of the running system is touched.
#
# uninstall leaves what is the owner's: /etc/actuatord (but for the example), the
# journal in /var/lib/actuatord, and the user who owns it.
set -eu

DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
BINDIR=${BINDIR:-$PREFIX/bin}
LIBDIR=${LIBDIR:-$PREFIX/lib}
SYSCONFDIR=${SYSCONFDIR:-/etc}
BINARY=${BINARY:-bin/actuatord}
# In the repository, or beside this folder on a board that got only what it needs.
reference=agent/config/actuatord.toml

bin=$DESTDIR$BINDIR/actuatord
unit=$DESTDIR$LIBDIR/systemd/system/actuatord.service
dropins="restart-254 reload-254"
users=$DESTDIR$LIBDIR/sysusers.d/actuatord.conf
rules=$DESTDIR$LIBDIR/udev/rules.d/60-actuatord.rules
etc=$DESTDIR$SYSCONFDIR/actuatord
example=$etc/actuatord.toml.example

cd "$(dirname "$0")/.."
[ -f "$reference" ] || reference=actuatord.toml

# The target's systemd. SYSTEMD_VERSION names it when this machine is not the target.
systemd_version() {
	if [ -n "${SYSTEMD_VERSION:-}" ]; then
		echo "$SYSTEMD_VERSION"
	elif [ -z "$DESTDIR" ] && command -v systemctl >/dev/null; then
		systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p'
	fi
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
	install -D -m 0755 "$BINARY" "$bin"
	# The repository's unit says /usr/bin; the installed one says where it is.
	tmp=$(mktemp)
	trap 'rm -f "$tmp"' EXIT
	sed -e "s,=/usr/bin/actuatord ,=$BINDIR/actuatord ," -e "s,/etc/actuatord/,$SYSCONFDIR/actuatord/,g" systemd/actuatord.service >"$tmp"
	install -D -m 0644 "$tmp" "$unit"
	version=$(systemd_version)
	for dropin in $dropins; do
		if [ "${version:-0}" -ge 254 ]; then
			install -D -m 0644 "systemd/$dropin.conf" "$unit.d/10-$dropin.conf"
		else
			rm -f "$unit.d/10-$dropin.conf"
		fi
	done
	if [ "${version:-0}" -lt 254 ]; then
		echo "fixed restart pause, and a reload does not wait: systemd ${version:-of unknown version} (SYSTEMD_VERSION=254 or later installs what it can do)"
	fi
	install -D -m 0644 systemd/actuatord.sysusers "$users"
	install -D -m 0644 systemd/60-actuatord.rules "$rules"
	install -d -m 0755 "$etc"
	install -m 0644 "$reference" "$example"
	system add
	cat <<-END
		installed, not started. Next, as root:
		  cp $SYSCONFDIR/actuatord/actuatord.toml.example $SYSCONFDIR/actuatord/actuatord.toml    and edit it
		  install -m 0600 /dev/stdin $SYSCONFDIR/actuatord/connection-string    paste the device's, then Ctrl-D
		  actuatord check --online && systemctl enable --now actuatord
		After a change of the connection string: systemctl reload actuatord
	END
}

uninstall_all() {
	if [ -z "$DESTDIR" ] && command -v systemctl >/dev/null && [ -e "$unit" ]; then
		tell "stop the service" systemctl disable --now actuatord.service
	fi
	for dropin in $dropins; do
		rm -f "$unit.d/10-$dropin.conf"
	done
	rm -f "$bin" "$unit" "$users" "$rules" "$example"
	rmdir "$unit.d" "$etc" 2>/dev/null || true # kept if something of the owner's is in them
	system remove
	echo "uninstalled. Kept: $SYSCONFDIR/actuatord (if yours), /var/lib/actuatord, user actuatord"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*)
	echo "usage: [DESTDIR=…] [PREFIX=…] [BINARY=…] [SYSTEMD_VERSION=…] $0 install|uninstall" >&2
	exit 2
	;;
esac
