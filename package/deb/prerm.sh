#!/bin/sh
# Before the files go: the service ends, and its outputs are safe. For an upgrade it goes
# on until the new files are there (postinst), so that it is away for a moment only.
set -e

case $1 in
remove | deconfigure)
	[ ! -d /run/systemd/system ] || systemctl stop actuatord.service
	;;
esac
