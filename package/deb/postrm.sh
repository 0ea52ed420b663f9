#!/bin/sh
# remove keeps what is the owner's: /etc/actuatord, the journal, and whether the service
# is enabled, so that a package that comes back goes on where it was, and does nothing
# twice. purge takes all of it, the device's key too. The user stays: a number that is
# given again would own what somebody forgot somewhere.
set -e

if [ "$1" = purge ] && [ -e /usr/local/lib/systemd/system/actuatord.service ]; then
	echo "actuatord: /etc/actuatord and /var/lib/actuatord stay: a 'make install' uses them" >&2
elif [ "$1" = purge ]; then
	rm -f /etc/systemd/system/multi-user.target.wants/actuatord.service
	# One that is a file system of its own stays, empty: it cannot go while it is mounted.
	for dir in /etc/actuatord /var/lib/actuatord; do
		rm -rf "$dir" || [ -z "$(ls -A "$dir")" ]
	done
fi
case $1 in
remove | purge)
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload || true # a systemd that does not answer keeps no package half-way
		systemctl reset-failed actuatord.service 2>/dev/null || true # not known: not failed
		[ ! -e /run/udev/control ] || udevadm control --reload || true
	fi
	;;
esac
