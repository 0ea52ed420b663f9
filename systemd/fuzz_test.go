package systemd

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzNotifier: whatever the environment says, there is a watchdog only for a number
// of microseconds that is meant for us; whatever a status quotes, the manager gets one
// assignment on one line, in UTF-8 and in bounds.
func FuzzNotifier(f *testing.F) {
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "n")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { manager.Close() })
	datagram := make([]byte, 4096)
	f.Add(socket, "30000000", "", "connected")
	f.Fuzz(func(t *testing.T, name, usec, owner, text string) {
		owner = strings.ReplaceAll(owner, "SELF", strconv.Itoa(os.Getpid()))
		from := func(name string) *Notifier {
			return FromEnv(env(map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": usec, "WATCHDOG_PID": owner}))
		}
		n := from(name)
		if (n == nil) != (name == "") || !n.Started() != (name != "") {
			t.Fatalf("NOTIFY_SOCKET %q gives %+v", name, n)
		}
		digits := strings.TrimLeft(strings.TrimPrefix(usec, "+"), "0")
		ours := owner == "" || owner == strconv.Itoa(os.Getpid())
		switch w := n.Watchdog(); {
		case w < 0 || w > 0 && (name == "" || !ours || strconv.FormatInt(w.Microseconds(), 10) != digits):
			t.Errorf("WATCHDOG_USEC %q for %q gives %v", usec, owner, w)
		case w == 0 && name != "" && usec != "" && ours && n.fault == nil:
			t.Errorf("WATCHDOG_USEC %q is neither read nor a fault", usec)
		}
		if err := from(socket).Status(text); err != nil {
			t.Fatal(err)
		}
		if err := manager.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		k, err := manager.Read(datagram)
		if err != nil {
			t.Fatal(err)
		}
		said, ok := strings.CutPrefix(string(datagram[:k]), "STATUS=")
		if !ok || len(said) > statusLimit || !utf8.ValidString(said) || strings.ContainsFunc(said, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q is told as %q", text, datagram[:k])
		}
		if clean := strings.ToValidUTF8(text, "\ufffd"); len(text) < 100 && clean == text && utf8.RuneCountInString(said) != utf8.RuneCountInString(text) {
			t.Errorf("%q is told as %q", text, said)
		}
	})
}
