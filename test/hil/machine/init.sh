#!/bin/busybox sh
# shellcheck shell=dash
# The first process of a guest: file systems, modules, network, then commands from
# the console, one a line: a number, a space, what a shell would be told. The answer
# stands between lines "<<number" and ">>number exit-code".
/bin/busybox mkdir -p /bin /proc /sys /dev /tmp /run /var/lib /root
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null # it may be there already
mount -t tmpfs tmp /tmp
stty -F /dev/console -echo -onlcr

word() { sed -n "s/.*\bhil\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

date -s "@$(word now)" >/dev/null # not every board has a clock
while read -r module params; do
	# shellcheck disable=SC2086 # several words
	insmod "/lib/modules/$module" $params || echo "HIL-FAULT insmod $module"
done </lib/modules/list

# device ADDRESS: the name of the network device that has it.
device() { for d in /sys/class/net/*; do [ "$(cat "$d/address")" != "$1" ] || basename "$d"; done; }

ip link set lo up
address=$(word net)
if [ -n "$address" ]; then
	tries=0 # the board's own may need a moment to appear
	until name=$(device "$address") && [ -n "$name" ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || break
		sleep 0.1
	done
	{ ip link set "$name" up && ip addr add 10.0.2.15/24 dev "$name"; } || echo "HIL-FAULT no network device $address"
fi
mount -t configfs config /sys/kernel/config 2>/dev/null
mount -t tracefs trace /sys/kernel/tracing 2>/dev/null
# shellcheck disable=SC1091
[ ! -f /start.sh ] || . /start.sh

echo # a PC's firmware leaves the console in the middle of a line
echo "HIL-READY $(uname -rm)"
while read -r number line; do
	echo "<<$number"
	(eval "$line") </dev/null 2>&1
	code=$?
	echo
	echo ">>$number $code"
done
