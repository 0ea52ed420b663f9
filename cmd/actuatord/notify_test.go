package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/hub/localhub"
)

// TestServiceManager: READY once outputs are safe and the journal is there, though
// no hub can be reached; then the watchdog's food, for as long as loop and board
// answer; and STOPPING on the way out.
func TestServiceManager(t *testing.T) {
	s := newSite(t, localhub.Options{})
	if err := s.Hub.Inject(localhub.Fault{Packet: localhub.PacketConnect, Effect: localhub.Stall, Times: -1}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	d := s.Start("NOTIFY_SOCKET="+path, "WATCHDOG_USEC=600000")
	hear := func(want string) {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		for {
			n, err := manager.Read(b)
			if err != nil {
				t.Fatalf("waiting for %s: %v\n%s", want, err, d.Log.String())
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
		}
	}
	hear("READY=1")
	if _, err := os.Stat(filepath.Join(s.Dir, "journal.db")); err != nil || len(s.Moves("safe")) < 2 {
		t.Errorf("READY before outputs were safe (%q) and the journal was there (%v)", s.Moves("safe"), err)
	}
	for range 4 {
		hear("WATCHDOG=1")
	}
	if err := d.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
	if <-d.Ended; d.Err != nil {
		t.Errorf("ended with %v", d.Err)
	}
}
