# Read by the guest's first process: the card, the trace's share, and the daemon, kept
# running as its unit does. Lines that begin with RIG are for the host.
# shellcheck shell=sh
mkdir -p /data /trace /run/actuatord
mount -t 9p -o trans=virtio,version=9p2000.L,cache=none trace /trace || echo "RIG no trace"
tries=0
until [ -b /dev/vda ] || [ $tries -gt 50 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
mounted=yes
mount -t ext4 -o noatime /dev/vda /data || mounted=
clock=$(word clock)
[ -z "$clock" ] || date -s "@$clock" >/dev/null

keep() {
	while [ ! -f /run/stop ]; do
		echo "RIG start"
		actuatord run --config /etc/actuatord/actuatord.toml 2>&1 &
		echo $! >/run/pid
		wait $!
		echo "RIG end $?"
		[ ! -f /run/stop ] || break
		actuatord safe --config /etc/actuatord/actuatord.toml 2>&1
		sleep 5
	done
	umount /data
	echo "RIG stopped"
}
# shellcheck source=/dev/null
[ ! -f /feed.sh ] || . /feed.sh
if [ -n "$mounted" ]; then keep & else echo "RIG no card"; fi
