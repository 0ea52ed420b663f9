#!/bin/bash
# inside.sh: what nspawn.sh runs as a service in the container. The hub is `c2d hub` on
# loopback, the board is simulated, and its trace is what really happened. Nothing waits
# for a time: it waits for what it is about, 30 s at most.
set -u
began=${EPOCHREALTIME//[.,]/}
export HOME=/root LC_ALL=C
cd /result || exit
mkfifo /run/hub.in && exec 7<>/run/hub.in || exit # both ends: the hub opens it without waiting
trace=/var/lib/actuatord/trace.jsonl
etc=/etc/actuatord

step() { printf '%5d ms  %s\n' $(((${EPOCHREALTIME//[.,]/} - began) / 1000)) "$*"; }
die() {
	echo "FAULT: $*"
	systemctl status --no-pager -l actuatord hub
	journalctl --no-pager -o cat -b -u actuatord -u probe -n 60
	echo "--- hub"; tail -n 40 /run/hub.log
	echo "--- trace"; tail -n 20 "$trace"
	echo failed >verdict
	exit 1
}
holds() { "$@" || die "not so: $*"; }
await() { # await COMMAND…: until it is true
	local i
	for ((i = 0; i < 300; i++)); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	die "waited for: $*"
}
is() { [[ $1 == "$2" ]] || die "it is '$1', and should be '$2' ($3)"; }
hub_said() { grep -qE -- "$1" /run/hub.log; }
count() { grep -cE -- "$1" "$2"; }
more() { [[ $(count "$1" "$2") -gt $3 ]]; } # more PATTERN FILE THAN
say() { echo "$*" >&7; }
send() { say "send dev-1 {\"target\":\"pump\",$2} id=$1 ack=full"; }
show() { systemctl show -P "$1" actuatord; }
active() { [[ $(show ActiveState) == active ]]; }
waiting() { [[ $(show SubState) == auto-restart ]]; }
level() { grep '"target":"pump"' "$trace" | tail -n 1 | sed 's/.*"level":"\([a-z]*\)".*/\1/'; }
at() { [[ $(level) == "$1" ]]; }
version() { actuatord status | sed -n 's/^actuatord *\([^,]*\),.*/\1/p'; }
everything() { # every path that a package could leave
	find / -xdev \( -path /result -o -path /run -o -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /root -o \
		-path /var/log -o -path /var/tmp -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/systemd \) -prune -o -print | sort
}
accounts() { cut -d : -f 1 /etc/passwd /etc/group | sort; }
dpkg_i() { dpkg -i "$@" >dpkg.log 2>&1 || { cat dpkg.log; die "dpkg -i $*"; }; }

# test_unit NAME SETTING…: a drop-in of the test's own. The unit's numbers are
# unit_test.go's business.
test_unit() {
	mkdir -p /etc/systemd/system/actuatord.service.d
	{ echo '[Service]' && printf '%s\n' "${@:2}"; } >"/etc/systemd/system/actuatord.service.d/$1.conf"
	systemctl daemon-reload
}
no_test_unit() {
	rm "/etc/systemd/system/actuatord.service.d/$1.conf"
	systemctl daemon-reload
}

# The example as it is, but for the hub and the board. The input that permits the pump is
# pulled to where it is active, since nothing is wired to it.
configure() {
	cat >/run/systemd/system/hub.service <<-'END'
		[Service]
		ExecStart=/usr/bin/c2d hub --dir /run/hub --device dev-1
		StandardInput=file:/run/hub.in
		StandardOutput=append:/run/hub.log
	END
	touch /run/hub.log
	systemctl daemon-reload
	systemctl start hub || die "the hub does not start"
	await hub_said '^listening on https'
	sed -e 's/^driver = .*/driver = "sim"/' -e "s,^trace = .*,trace = \"$trace\"," -e "s,^ca_file = .*,ca_file = \"$etc/ca.pem\"," \
		-e 's/^\(websocket\|https\)_port = .*/\1_port = 8443/' -e 's/^bias = .*/bias = "pull-up"/' /usr/share/doc/actuatord/examples/actuatord.toml >$etc/actuatord.toml
	install -m 0644 /run/hub/ca.pem $etc/ca.pem
	install -m 0600 /run/hub/dev-1.connection-string $etc/connection-string
}

fresh_install() {
	step "install: nothing is started, nothing is enabled"
	dpkg_i old/actuatord_*.deb actuatord-c2d_*.deb
	is "$(show ActiveState)" inactive "after the installation"
	is "$(systemctl is-enabled actuatord)" disabled "after the installation"
	holds grep -q 'installed, not started' dpkg.log
	is "$(getent passwd actuatord | cut -d : -f 6,7)" /var/lib/actuatord:/usr/sbin/nologin "the user"
	holds getent group gpio i2c >/dev/null
	systemctl start actuatord || die "a start without configuration is not quiet"
	is "$(show ActiveState)$(show ConditionResult)" inactiveno "without configuration"
	[[ ! -e /var/lib/actuatord ]] || die "a journal without configuration"
	# What the shell of a stranger finds.
	bash -c '. /usr/share/bash-completion/bash_completion
		{ _comp_load actuatord || __load_completion actuatord; } && complete -p actuatord' 2>&1 | grep -q ' _actuatord actuatord$' || die "bash finds no completion"
	is "$(zcat /usr/share/man/man8/actuatord.8.gz | sed -n 's/^\.Nm //p' | head -n 1)" actuatord "the manual page"
}

first_start() {
	step "configured: check, enable, READY, and a command"
	configure
	actuatord check >check.log || { cat check.log; die "check"; }
	test_unit zz-test 'RestartSec=1' # as on systemd 252; and no pause that grows
	[[ $systemd -lt 254 ]] || test_unit zz-steps 'RestartSteps=0'
	systemctl enable --now actuatord 2>/dev/null || die "enable --now"
	holds active # Type=notify: it has said READY
	is "$(level)" off "at READY"
	await hub_said '^subscribed dev-1' # by the credential: the key itself is root's
	send m1 '"action":"on"'
	await hub_said '^feedback m1 Success'
	holds at on
	is "$(count '"cause":"m1"' $trace)" 1 "moves of m1"
	is "$(version)" 0.0.1 "of the daemon"
	if [[ $systemd -ge 254 ]]; then
		is "$(show Type) $(show RestartMaxDelayUSec)" "notify-reload 5min" "by the generator"
	else
		is "$(show Type)" notify "on an older systemd"
	fi
}

sandbox() {
	step "the sandbox: of the daemon, and from inside"
	local pid status
	pid=$(show MainPID)
	status=$(</proc/"$pid"/status)
	is "$(awk '/^(Uid|CapBnd|NoNewPrivs|Seccomp):/ {print $2}' <<<"$status" | paste -sd ' ')" "$(id -u actuatord) 0000000000000000 1 2" "user, capabilities, privileges, filter"
	is "$(awk '{print $1 ":" $3}' "/proc/$pid/uid_map" | paste -sd ' ')" "0:1 $(id -u actuatord):1" "user namespace"
	local gpio i2c
	gpio=$(getent group gpio | cut -d : -f 3) i2c=$(getent group i2c | cut -d : -f 3)
	holds grep -qE "^Groups:.*\b$gpio\b.*\b$i2c\b|^Groups:.*\b$i2c\b.*\b$gpio\b" <<<"$status"
	install -m 0660 -g gpio /dev/null /dev/probe-gpio && install -m 0660 -g i2c /dev/null /dev/probe-i2c
	install -m 0600 /dev/null /dev/probe-root && mknod -m 0666 /dev/probe-kmsg c 1 11
	sed -e '/^\(Type\|NotifyAccess\|Watchdog.*\|ExecReload\|ExecStopPost\|Restart.*\|RuntimeDirectory.*\|Condition.*\)=/d' \
		-e 's,^ExecStart=.*,ExecStart=/usr/bin/perl /result/probe.pl,' -e 's,^\[Service\],&\nType=oneshot\nStandardOutput=file:/result/probe.log,' \
		/usr/lib/systemd/system/actuatord.service >/run/systemd/system/probe.service
	systemctl daemon-reload
	systemctl start probe || die "the probe does not run: $(cat probe.log)"
	is "$(cat probe.log)" "done" "what the probe says"
	rm -f /run/systemd/system/probe.service /dev/probe-* /var/lib/actuatord/probe
	# Nothing that systemd itself had to say about the unit.
	if journalctl --no-pager -b -o cat _PID=1 | grep -iE 'actuatord\.service(:[0-9]+:|\.d).*(unknown|ignor|fail)|firewall'; then die "systemd complains"; fi
}

watchdog() {
	step "a hang: seen, killed, outputs safe, started again"
	local restarts offs sessions
	test_unit zz-watchdog WatchdogSec=3 TimeoutAbortSec=3 # a tenth of the unit's
	sessions=$(count '^subscribed dev-1' /run/hub.log)
	systemctl restart actuatord || die "restart"
	await more '^subscribed dev-1' /run/hub.log "$sessions"
	send w1 '"action":"on"'
	await hub_said '^feedback w1 Success'
	restarts=$(show NRestarts) offs=$(count '"off","cause":"safe"' $trace) sessions=$(count '^subscribed dev-1' /run/hub.log)
	holds at on
	kill -STOP "$(show MainPID)"
	await more '"off","cause":"safe"' $trace "$((offs + 1))" # once by ExecStopPost=, once by the next start
	await active
	is "$(show NRestarts)" "$((restarts + 1))" "restarts"
	holds grep -q 'Watchdog timeout' <(journalctl --no-pager -b -o cat _PID=1 -u actuatord)
	await more '^subscribed dev-1' /run/hub.log "$sessions"
	no_test_unit zz-watchdog
}

crash() {
	step "SIGKILL: ExecStopPost leaves outputs safe before anything starts again"
	local offs sessions
	send k1 '"action":"on"'
	await hub_said '^feedback k1 Success'
	holds at on
	offs=$(count '"off","cause":"safe"' $trace) sessions=$(count '^subscribed dev-1' /run/hub.log)
	test_unit zz-wait RestartSec=1h
	kill -KILL "$(show MainPID)"
	await waiting
	await at off
	is "$(count '"off","cause":"safe"' $trace)" "$((offs + 1))" "safe drives by ExecStopPost alone"
	no_test_unit zz-wait
	systemctl restart actuatord || die "restart"
	await more '^subscribed dev-1' /run/hub.log "$sessions"
	# The checker was executed under the filter: a journal that cannot be proven is not opened.
	holds grep -q '^journal  *[1-9][0-9]* commands' <(actuatord status)
}

reload() {
	step "reload: another key, without a restart"
	local pid sessions old
	pid=$(show MainPID) sessions=$(count '^subscribed dev-1' /run/hub.log) old=$(<$etc/connection-string)
	local second
	second=$(sed -n 's/.*"secondaryKey": "\(.*\)".*/\1/p' /run/hub/devices.json)
	sed -i "s|SharedAccessKey=.*|SharedAccessKey=$second|" $etc/connection-string
	[[ $(<$etc/connection-string) != "$old" && -n $second ]] || die "no other key"
	systemctl reload actuatord || die "reload"
	await more '^subscribed dev-1' /run/hub.log "$sessions"
	is "$(show MainPID) $(show ActiveState)" "$pid active" "after the reload"
	is "$(stat -c '%a %U' /run/actuatord/connection-string)" "600 actuatord" "the copy"
}

upgrade() {
	step "upgrade in the middle of \"on for 60 s\": safe, reported, and nothing twice"
	local sessions moves
	send u1 '"action":"on","for":"60s"'
	await hub_said '^feedback u1 Success'
	holds at on
	sessions=$(count '^subscribed dev-1' /run/hub.log)
	dpkg_i actuatord_*.deb
	holds active
	is "$(level)" off "after the upgrade"
	[[ $(version) != 0.0.1 ]] || die "the old program still runs"
	await more '^subscribed dev-1' /run/hub.log "$sessions"
	await hub_said '^telemetry dev-1 .*"kind":"change".*"messageId":"u1".*"level":"off","cause":"safe"'
	await hub_said '^telemetry dev-1 .*"kind":"start".*"cause":"clean stop".*'
	for id in m1 u1; do # what was done before, sent again
		moves=$(count "\"cause\":\"$id\"" $trace)
		if [[ $id == u1 ]]; then send u1 '"action":"on","for":"60s"'; else send m1 '"action":"on"'; fi
		await more "^completed $id " /run/hub.log 1
		is "$(count "\"cause\":\"$id\"" $trace)" "$moves" "moves of $id"
	done
	is "$(level)" off "after what was done before came again"
}

downgrade() {
	step "back to the older one in the middle of a pulse: safe, interrupted, rejected"
	# A pulse lasts 5 s at most, and unpacking may take that long: so the files first, and
	# the pulse before they are configured, which restarts. On a machine that is slower
	# than that, again.
	local id outcome='"outcome":"(done|interrupted)"'
	for id in p1 p2 p3 p4 p5; do
		dpkg --unpack old/actuatord_*.deb >dpkg.log 2>&1 || die "unpack: $(cat dpkg.log)"
		send $id '"action":"pulse","for":"5s"'
		await grep -q "\"level\":\"on\",\"cause\":\"$id\"" $trace
		dpkg --configure actuatord >dpkg.log 2>&1 || die "configure: $(cat dpkg.log)"
		holds active
		await hub_said "^telemetry dev-1 .*\"messageId\":\"$id\".*$outcome"
		is "$(level)" off "after the downgrade"
		is "$(count "\"level\":\"on\",\"cause\":\"$id\"" $trace)" 1 "edges of the pulse"
		if ! hub_said "\"messageId\":\"$id\".*\"outcome\":\"done\""; then break; fi
		is "$(count "\"level\":\"off\",\"cause\":\"$id\"" $trace)" 1 "ends of a pulse that is called done"
	done
	await hub_said "^telemetry dev-1 .*\"messageId\":\"$id\".*\"outcome\":\"interrupted\""
	await hub_said "^feedback $id Rejected"
	is "$(version)" 0.0.1 "after the downgrade"
	systemctl stop actuatord
	dpkg_i actuatord_*.deb
	is "$(show ActiveState)" inactive "an upgrade of what was stopped"
	systemctl start actuatord || die "start"
}

remove() {
	step "remove: outputs safe, configuration and journal stay"
	local moves
	send r1 '"action":"on"'
	await hub_said '^feedback r1 Success'
	dpkg -r actuatord >dpkg.log 2>&1 || die "dpkg -r: $(cat dpkg.log)"
	is "$(level) $(systemctl is-active actuatord)" "off inactive" "after the removal"
	is "$(systemctl --failed --no-legend)" "" "after the removal"
	[[ -e $etc/actuatord.toml && -e $etc/connection-string && -e /var/lib/actuatord/journal.db ]] || die "the owner's files went"
	[[ ! -e /usr/bin/actuatord && ! -e /usr/lib/systemd/system/actuatord.service ]] || die "files stay"
	step "and comes back, and knows what it did"
	dpkg_i actuatord_*.deb
	is "$(systemctl is-enabled actuatord) $(show ActiveState)" "enabled inactive" "after coming back"
	systemctl start actuatord || die "start"
	moves=$(count '"cause":"r1"' $trace)
	send r1 '"action":"on"'
	await more '^completed r1 ' /run/hub.log 1
	is "$(count '"cause":"r1"' $trace)" "$moves" "moves of r1"
}

purge_beside_another() {
	step "purge beside a make install: what that uses stays, and goes on"
	local other=/usr/local/lib/systemd/system
	mkdir -p $other && cp /usr/lib/systemd/system/actuatord.service $other/
	dpkg -P actuatord >dpkg.log 2>&1 || die "dpkg -P: $(cat dpkg.log)"
	[[ -e $etc/connection-string && -e /var/lib/actuatord/journal.db ]] || die "the other's files went"
	is "$(systemctl is-active actuatord) $(systemctl is-enabled actuatord)" "active enabled" "beside the purge"
	dpkg_i actuatord_*.deb
	holds grep -q "an earlier 'make install' is in force" dpkg.log
	rm $other/actuatord.service && rmdir $other ${other%/*}
	systemctl daemon-reload
}

purge() {
	step "purge: nothing is left but the accounts, and where a file system is mounted"
	cp $trace trace.jsonl && trace=/result/trace.jsonl
	mount --bind /var/lib/actuatord /var/lib/actuatord
	rm -r /etc/systemd/system/actuatord.service.d # the test's own
	dpkg -P actuatord actuatord-c2d >dpkg.log 2>&1 || die "dpkg -P: $(cat dpkg.log)"
	is "$(ls -A /var/lib/actuatord)" "" "in the mounted directory"
	holds umount /var/lib/actuatord
	holds rmdir /var/lib/actuatord
	systemctl stop hub
	everything >after
	diff before after >left || die "left behind (>) or taken (<): $(cat left)"
	is "$(diff <(echo "$names") <(accounts) | sed -n 's/^[<>]/&/p' | tr -d ' ' | sort -u | paste -sd ' ')" ">actuatord >gpio >i2c" "accounts"
	is "$(dpkg-query -W -f '${Package} ' 'actuatord*' 2>/dev/null)" "" "of dpkg"
	is "$(systemctl --failed --no-legend)" "" "failed units"
}

systemd=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
step "systemd $systemd is $(systemctl is-system-running)"
everything >before
names=$(accounts)
fresh_install
first_start
sandbox
watchdog
crash
reload
upgrade
downgrade
remove
purge_beside_another
purge
step "all of it"
echo passed >verdict
