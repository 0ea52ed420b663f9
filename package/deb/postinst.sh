#!/bin/sh
# After the files are there: the user, the devices' groups, the unit. Nothing is enabled
# and nothing is started for the first time: whoever wired the outputs does that, once
# it is configured.
set -e

running() { [ -d /run/systemd/system ]; }

case $1 in
configure | abort-upgrade | abort-remove | abort-deconfigure)
	systemd-sysusers actuatord.conf
	if running; then
		if [ -e /run/udev/control ]; then # a container has no udev
			udevadm control --reload || true
			udevadm trigger --subsystem-match=gpio --subsystem-match=i2c-dev || true
		fi
		# A systemd that does not answer keeps no package half-way.
		systemctl daemon-reload || true
		if [ -e /usr/local/lib/systemd/system/actuatord.service ]; then
			echo "actuatord: an earlier 'make install' is in force, not this package; run 'make uninstall' where it came from, and 'systemctl enable --now actuatord'" >&2
		fi
		# What ran goes on, with the new program: outputs are safe in between. What was
		# stopped stays so. A daemon that cannot start is tried again by systemd, and is
		# no reason to leave the package half-way.
		systemctl try-restart actuatord.service ||
			echo "actuatord: the service did not start again; journalctl -u actuatord says why" >&2
	fi
	if [ ! -e /etc/actuatord/actuatord.toml ]; then
		cat <<-END
			actuatord: installed, not started. Next, as root:
			  actuatord board    shows lines and buses
			  actuatord init     asks for the connection string and the outputs
			  actuatord check --online && systemctl enable --now actuatord
		END
	fi
	;;
esac
