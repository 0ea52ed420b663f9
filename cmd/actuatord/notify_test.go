package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

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
	m, environ := newManager(t, s)
	d := s.Start(environ, "WATCHDOG_USEC=600000")
	m.d = d
	hear := func(want string) {
		t.Helper()
		m.hear(want, "")
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
