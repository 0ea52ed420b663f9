#!/bin/sh
# What a newer systemd can do for actuatord.service, told to the one that runs.
#
# systemd calls this at boot and at each daemon-reload, before it reads units
# (systemd.generator(7)), with a directory in /run whose drop-ins count. So one set of
# files is right under any version, and stays right when the system is upgraded under
# it. Older versions do not know the keys: 252 warns of RestartSteps= at each start, and
# takes Type=notify-reload for no type at all.
set -eu

from=$(dirname "$0")/../../actuatord
version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
[ "${version:-0}" -ge 254 ] || exit 0
mkdir -p "$1/actuatord.service.d"
for dropin in reload-254 restart-254; do
	cp "$from/$dropin.conf" "$1/actuatord.service.d/10-$dropin.conf"
done
