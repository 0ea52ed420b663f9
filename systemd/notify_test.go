package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// env is an environment as FromEnv sees it.
func env(m map[string]string) func(string) string {
	return func(k string) string { return m[k] }
}

// listen is systemd's end: a real datagram socket, by path or abstract name. A
// path is kept out of t.TempDir, whose length exceeds the 108 bytes of sun_path
// for tests with long names.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatalf("listen on %q: %v", name, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func pathSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "n")
}

func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	k, err := c.Read(b)
	if err != nil {
		t.Fatalf("no datagram came: %v", err)
	}
	return string(b[:k])
}

func TestMessages(t *testing.T) {
	sockets := map[string]string{
		"path":     pathSocket(t),
		"abstract": fmt.Sprintf("@actuatord-test-%d-%d", os.Getpid(), time.Now().UnixNano()),
	}
	messages := map[string]struct {
		send func(*Notifier) error
		want string
	}{
		"ready":     {(*Notifier).Ready, "READY=1"},
		"alive":     {(*Notifier).Alive, "WATCHDOG=1"},
		"stopping":  {(*Notifier).Stopping, "STOPPING=1"},
		"reloading": {func(n *Notifier) error { return n.Reloading(3 * time.Hour) }, "RELOADING=1\nMONOTONIC_USEC=10800000000"},
		"status":    {func(n *Notifier) error { return n.Status("8883 up, 3 waiting – fine") }, "STATUS=8883 up, 3 waiting – fine"},
		"injection": {func(n *Notifier) error { return n.Status("a\nREADY=1\r\x00b\x7f") }, "STATUS=a READY=1  b "},
		"bad utf-8": {func(n *Notifier) error { return n.Status("a\xffb") }, "STATUS=a\uFFFDb"},
		"empty":     {func(n *Notifier) error { return n.Status("") }, "STATUS="},
	}
	for kind, socket := range sockets {
		c := listen(t, socket)
		n := FromEnv(env(map[string]string{"NOTIFY_SOCKET": socket}))
		for name, m := range messages {
			t.Run(kind+"/"+name, func(t *testing.T) {
				if err := m.send(n); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, c); got != m.want {
					t.Errorf("systemd got %q, want %q", got, m.want)
				}
			})
		}
	}
}

// A long status is cut between characters: half of one would make systemd drop
// the whole line.
func TestStatusIsCut(t *testing.T) {
	socket := pathSocket(t)
	c := listen(t, socket)
	n := FromEnv(env(map[string]string{"NOTIFY_SOCKET": socket}))
	for pad := range 4 {
		if err := n.Status(strings.Repeat("a", pad) + strings.Repeat("€", 4000)); err != nil {
			t.Fatal(err)
		}
		got := strings.TrimPrefix(receive(t, c), "STATUS=")
		if len(got) > statusLimit || len(got) < statusLimit-4 || !utf8.ValidString(got) || !strings.HasSuffix(got, "€...") {
			t.Errorf("pad %d: status has %d bytes and ends in %q", pad, len(got), got[len(got)-8:])
		}
	}
}

func TestWithoutSystemd(t *testing.T) {
	// WATCHDOG_USEC alone asks for messages that nobody could receive.
	n := FromEnv(env(map[string]string{"WATCHDOG_USEC": "30000000"}))
	if n != nil {
		t.Fatalf("a notifier without NOTIFY_SOCKET: %+v", n)
	}
	err := errors.Join(n.Ready(), n.Alive(), n.Stopping(), n.Status("x"), n.Reloading(1))
	if err != nil || n.Watchdog() != 0 {
		t.Errorf("nil notifier: %v, watchdog %v", err, n.Watchdog())
	}
}

func TestWatchdog(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		name, usec, pid string
		want            time.Duration
		fault           bool
	}{
		{name: "none"},
		{name: "ours", usec: "30000000", pid: self, want: 30 * time.Second},
		{name: "no pid given", usec: "30000000", want: 30 * time.Second},
		{name: "our parent's", usec: "30000000", pid: strconv.Itoa(os.Getppid())},
		{name: "more than 31 bits", usec: "7200000000", want: 2 * time.Hour},
		{name: "the longest a Duration holds", usec: "9223372036854775", want: 9223372036854775 * time.Microsecond},
		{name: "one more", usec: "9223372036854776", fault: true},
		{name: "infinity", usec: "18446744073709551615", fault: true},
		{name: "zero", usec: "0", fault: true},
		{name: "negative", usec: "-1", fault: true},
		{name: "words", usec: "30s", fault: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			socket := pathSocket(t)
			listen(t, socket)
			n := FromEnv(env(map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}))
			if got := n.Watchdog(); got != c.want {
				t.Errorf("watchdog %v, want %v", got, c.want)
			}
			err := n.Ready()
			if (err != nil) != c.fault {
				t.Errorf("Ready says %v", err)
			}
			if c.fault && !strings.Contains(err.Error(), strconv.Quote(c.usec)) {
				t.Errorf("Ready does not quote the value: %v", err)
			}
		})
	}
}

// A socket that cannot be used is an error of each message and never of the start.
func TestBadSocket(t *testing.T) {
	for _, socket := range []string{"vsock:2:1234", "relative/path", "@", "/", "/nonexistent/notify", "/" + strings.Repeat("x", 200)} {
		n := FromEnv(env(map[string]string{"NOTIFY_SOCKET": socket}))
		if n == nil {
			t.Fatalf("%q: no notifier", socket)
		}
		if err := n.Ready(); err == nil || !strings.Contains(err.Error(), "READY") {
			t.Errorf("%q: Ready says %v", socket, err)
		}
		if err := n.Alive(); err == nil || !strings.Contains(err.Error(), "WATCHDOG") {
			t.Errorf("%q: Alive says %v", socket, err)
		}
	}
}

// A manager that does not read fills its queue (net.unix.max_dgram_qlen); the
// caller must come back with an error instead of standing still.
func TestManagerDoesNotRead(t *testing.T) {
	socket := pathSocket(t)
	listen(t, socket)
	n := FromEnv(env(map[string]string{"NOTIFY_SOCKET": socket}))
	n.patience = 20 * time.Millisecond
	for range 100_000 {
		if err := n.Alive(); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a full queue gives %v", err)
			}
			return
		}
	}
	t.Fatal("the queue took 100000 messages")
}
