#!/bin/sh
# Before the files go: the service ends, and its outputs are safe. For an upgrade it goes
# on until the new files are there (postinst), so that it is away for a moment only.
set -e

case $1 in
remove | deconfigure)
	# One that "make install" has put in force is not this package's to stop.
	if [ -d /run/systemd/system ] && [ ! -e /usr/local/lib/systemd/system/actuatord.service ]; then
		systemctl stop actuatord.service
	fi
	;;
esac
