# What the unit's sandbox lets through, seen from inside: run by a service that is the
# unit with another ExecStart (inside.sh). Prints a line for each thing that is not as it
# should be, and "done". x86-64's numbers of system calls.
use strict;
use Socket qw(:DEFAULT inet_pton);
use Errno;

my ($ADJTIMEX, $SETTIMEOFDAY, $SETPRIORITY, $PRLIMIT64, $UNSHARE) = (159, 164, 141, 302, 272);

sub fails {
	my ($what, $errno, $result) = @_;
	if ($result) { print "$what works, and should not\n" }
	elsif (!$!{$errno}) { print "$what fails with \"$!\", and should with $errno\n" }
}
sub works { my ($what, $result) = @_; print "$what fails: $!\n" unless $result }
sub call { my $r = syscall(shift, @_); return $r >= 0 }
sub opens { open(my $f, $_[0], $_[1]) }

# The clock can be asked, and not set.
works("adjtimex", call($ADJTIMEX, my $timex = "\0" x 208));
fails("settimeofday", "EPERM", call($SETTIMEOFDAY, pack("qq", 1, 0), 0));
# The journal's checker bounds its memory, and nobody changes priorities.
works("prlimit64", call($PRLIMIT64, 0, 7, pack("QQ", 64, 64), 0));
fails("setpriority", "EPERM", call($SETPRIORITY, 0, 0, 5));
fails("unshare", "EPERM", call($UNSHARE, 0x10000000));

# Devices by their group, also behind the user namespace; other nodes not at all.
works("opening what belongs to group gpio", opens("+<", "/dev/probe-gpio"));
works("opening what belongs to group i2c", opens("+<", "/dev/probe-i2c"));
fails("opening what is root's", "EACCES", opens("<", "/dev/probe-root"));
fails("opening another device", "EPERM", opens("<", "/dev/probe-kmsg"));

# Its own files, and no others.
works("writing state", opens(">", "/var/lib/actuatord/probe"));
works("reading the credential", opens("<", "$ENV{CREDENTIALS_DIRECTORY}/connection-string"));
fails("reading the key", "EACCES", opens("<", "/etc/actuatord/connection-string"));
fails("writing /etc", "EROFS", opens(">", "/etc/probe"));
works("reading its own memory's size", opens("<", "/proc/self/statm"));
fails("seeing others", "ENOENT", opens("<", "/proc/1/status"));
fails("seeing the board in /proc", "ENOENT", opens("<", "/proc/cpuinfo"));

# Any one machine, and not many at once; no other families.
socket(my $s, PF_INET, SOCK_DGRAM, 0) or print "socket: $!\n";
for my $to ("127.0.0.1", "127.0.0.53") { works("sending to $to", send($s, "x", 0, sockaddr_in(9, inet_aton($to)))) }
setsockopt($s, 0, 32, inet_aton("127.0.0.1")) or print "IP_MULTICAST_IF: $!\n"; # by loopback: there is nothing else
fails("sending to many", "EPERM", send($s, "x", 0, sockaddr_in(5353, inet_aton("224.0.0.251"))));
if (socket(my $s6, PF_INET6, SOCK_DGRAM, 0)) {
	works("sending to ::1", send($s6, "x", 0, sockaddr_in6(9, inet_pton(AF_INET6, "::1"))));
}
fails("a netlink socket", "EAFNOSUPPORT", socket(my $n, 16, SOCK_RAW, 0));
print "done\n";
