package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"actuatord/board/sim"
	"actuatord/hub/localhub"
	"actuatord/test/site"
)

// says runs actuatord and wants its exit code, and part of what it says.
func says(t *testing.T, s *site.Site, code int, want string, args ...string) {
	t.Helper()
	if out, got := s.Call(args...); got != code || !strings.Contains(out, want) {
		t.Errorf("%q: exit %d, %q; want exit %d and %q", args, got, out, code, want)
	}
}

// subscribed starts a daemon and waits until it is online.
func subscribed(s *site.Site, env ...string) *site.Daemon {
	before := s.Count(localhub.KindConnected, "")
	d := s.Start(env...)
	s.Eventually("connected", d, func() bool { return s.Count(localhub.KindConnected, "") > before })
	return d
}

// TestDisableOverAKill: what the answer has said stays true when the daemon is killed
// right behind it, and when its journal is spoilt, until a person enables it.
func TestDisableOverAKill(t *testing.T) {
	s := newSite(t, localhub.Options{})
	d := subscribed(s)
	says(t, s, exitDone, "now on", "do", "pump", "on", "--for", "5m")
	says(t, s, exitDone, "pump is disabled: nobody", "disable", "pump", "--why", "blades \x1b[2Joff")
	if got := s.Moves("disabled"); !slices.Equal(got, []string{"pump off"}) {
		t.Errorf("moved %q", got)
	}
	if err := d.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.Ended
	s.Write("journal.db", strings.Repeat("junk", 4096), 0o600)
	d = subscribed(s)
	says(t, s, exitNot, "refused: disabled: pump is disabled by ", "do", "pump", "on")
	says(t, s, exitDone, "done: pump off", "do", "pump", "off")
	says(t, s, exitDone, "now on", "do", "lamp", "on")
	says(t, s, exitFailed, "DISABLED", "status")
	says(t, s, exitFailed, `blades ?[2Joff`, "status")
	says(t, s, exitDone, "warn  disabled: pump is disabled by", "check")
	s.Send("on", `{"target":"pump","action":"on"}`)
	s.Eventually("refused", d, func() bool { return slices.Equal(s.Outcomes("on"), []string{"refused"}) })
	says(t, s, exitFailed, "no output, level or register", "disable", "pumps")
	says(t, s, exitUsage, "needs one", "disable")
	says(t, s, exitUsage, "needs one", "enable", "pump", "lamp")
	says(t, s, exitDone, "pump is enabled; it stays where it is", "enable", "pump")
	says(t, s, exitDone, "pump: it was not disabled", "enable", "pump")
	says(t, s, exitDone, "now on", "do", "pump", "on")
	d.Stop()
}

// TestDisableWithoutADaemon writes the file itself, which the next daemon obeys.
func TestDisableWithoutADaemon(t *testing.T) {
	s := newSite(t, localhub.Options{})
	says(t, s, exitDone, "no daemon runs", "disable", "pump")
	says(t, s, exitDone, "all is disabled; no daemon runs", "disable", "all", "--why", "holidays")
	says(t, s, exitFailed, "actuatord enable all", "enable", "pump")
	d := subscribed(s)
	says(t, s, exitNot, "lamp is disabled by", "do", "lamp", "on")
	says(t, s, exitNot, "pump is disabled by", "do", "pump", "on")
	d.Stop()
	says(t, s, exitDone, "all is enabled", "enable", "all")
	says(t, s, exitDone, "it was not disabled", "enable", "pump")
	d = subscribed(s)
	says(t, s, exitDone, "now on", "do", "pump", "on")
	d.Stop()
}

// TestDisabledFileDamaged: everything is out of use, people are told what to do, and it
// works, with a daemon and without.
func TestDisabledFileDamaged(t *testing.T) {
	for _, running := range []bool{false, true} {
		s := newSite(t, localhub.Options{})
		says(t, s, exitDone, "disabled", "disable", "pump")
		file := filepath.Join(s.Dir, "disabled.json")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s.Write("disabled.json", string(text[:len(text)/2]), 0o600)
		says(t, s, exitFailed, "everything counts as disabled", "check")
		if !running {
			says(t, s, exitFailed, "actuatord enable all", "enable", "pump")
			says(t, s, exitDone, "all is enabled", "enable", "all")
		}
		d := subscribed(s)
		if running {
			says(t, s, exitFailed, "ALARM", "status")
			says(t, s, exitNot, "'actuatord enable all' begins anew", "do", "lamp", "on")
			says(t, s, exitDone, "all is enabled", "enable", "all")
		}
		if out, code := s.Call("status"); code != exitDone || strings.Contains(out, "DISABLED") {
			t.Errorf("status: exit %d, %q; want nothing disabled", code, out)
		}
		says(t, s, exitDone, "now on", "do", "lamp", "on")
		d.Stop()
	}
}

// TestPermitFile: a real process with an input that a file moves.
func TestPermitFile(t *testing.T) {
	s := newSite(t, localhub.Options{})
	text, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	s.Write("a.toml", strings.Replace(string(text), `line = "GPIO17"`, "line = \"GPIO17\"\npermit = [\"float-ok\"]", 1)+
		"[[input]]\nname = \"float-ok\"\nline = \"GPIO5\"\nbias = \"pull-down\"\n", 0o644)
	says(t, s, exitDone, "2 outputs, 0 levels, 0 registers, 1 inputs", "check")
	d := subscribed(s)
	says(t, s, exitNot, "not-permitted: float-ok is not active", "do", "pump", "on")
	wires := filepath.Base(sim.ControlFile(filepath.Join(s.Dir, "trace.jsonl")))
	s.Write(wires, "GPIO5 high\n", 0o644)
	says(t, s, exitDone, "now on", "do", "pump", "on")
	s.Write(wires, "GPIO5 low\n", 0o644)
	s.Eventually("the pump lost its permit", d, func() bool { return slices.Equal(s.Moves("permit"), []string{"pump off"}) })
	says(t, s, exitDone, "float-ok inactive", "do", "all", "read")
	says(t, s, exitDone, "float-ok inactive", "status")
	says(t, s, exitDone, "every output safe", "safe")
	d.Stop()
	says(t, s, exitDone, "2 outputs", "safe") // it asks no input
}
