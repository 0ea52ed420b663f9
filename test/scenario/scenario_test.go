// Package scenario_test runs the main job against the real program: built here,
// or the one that ACTUATORD_BIN names, such as a board's under an emulator. It
// crosses what a board's instruction set could get wrong: bbolt's file, TLS and
// MQTT on sockets, signals, and the child that proves the journal.
package scenario_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"actuatord/board/sim"
	"actuatord/hub/localhub"
	"actuatord/test/site"
)

// program is the actuatord to run.
func program(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("ACTUATORD_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "actuatord")
	build := exec.Command("go", "build", "-o", bin, "actuatord/cmd/actuatord")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build actuatord: %v\n%s", err, out)
	}
	return bin
}

// TestScenario: commands of every kind, a kill without warning in the middle, the
// same journal again, and a stop.
func TestScenario(t *testing.T) {
	s := site.New(t, localhub.Options{}, []string{program(t)})
	if out, code := s.Call("check"); code != 0 || !strings.Contains(out, "ok    configuration: 2 outputs") {
		t.Fatalf("check: exit %d\n%s", code, out)
	}
	d := s.Start()
	s.Eventually("subscribed", d, func() bool { return s.Count(localhub.KindSubscribed, "") == 1 })
	for _, m := range []struct {
		id, body string
		moves    []string
	}{
		{"on-1", `{"target":"pump","action":"on"}`, []string{"pump on"}},
		{"toggle-1", `{"target":"lamp","action":"toggle"}`, []string{"lamp on"}},
		{"off-1", `{"target":"pump","action":"off"}`, []string{"pump off"}},
		{"pulse-1", `{"target":"pump","action":"pulse","for":"50ms"}`, []string{"pump on", "pump off"}},
	} {
		s.Send(m.id, m.body)
		s.Eventually(m.id+" completed", d, func() bool { return s.Count(localhub.KindCompleted, m.id) == 1 })
		if got := s.Moves(m.id); !slices.Equal(got, m.moves) {
			t.Errorf("%s moved %q; want %q", m.id, got, m.moves)
		}
	}
	if out, code := s.Call("do", "pump", "on", "--for", "5m"); code != 0 || !strings.Contains(out, "now on") {
		t.Errorf("do: exit %d, %q", code, out)
	}

	// The power goes between the delivery and whatever comes of it.
	if err := s.Hub.Inject(localhub.Fault{Packet: localhub.PacketPuback, Effect: localhub.Swallow}); err != nil {
		t.Fatal(err)
	}
	s.Send("toggle-2", `{"target":"lamp","action":"toggle"}`)
	s.Eventually("toggle-2 moved", d, func() bool { return len(s.Moves("toggle-2")) == 1 })
	if err := d.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.Ended

	again := s.Start() // proves the journal in a child, and finds what was left
	s.Eventually("toggle-2 told", again, func() bool { return len(s.Outcomes("toggle-2")) == 1 })
	if got := s.Moves("toggle-2"); len(got) != 1 {
		t.Errorf("toggle-2 moved %q over a kill; want it once", got)
	}
	s.Send("on-2", `{"target":"lamp","action":"on"}`)
	s.Eventually("on-2 told", again, func() bool { return slices.Equal(s.Outcomes("on-2"), []string{"done"}) })
	again.Stop()
	if out, code := s.Call("journal", "check"); code != 0 || !strings.Contains(out, "every record proven") {
		t.Errorf("journal check: exit %d, %q", code, out)
	}
	if out, code := s.Call("history", "-n", "3"); code != 0 || !strings.Contains(out, "m:on-2") {
		t.Errorf("history: exit %d, %q", code, out)
	}
}

// TestInputAndDisable: a pump that an input permits, and one that a person takes out of
// use, over a kill.
func TestInputAndDisable(t *testing.T) {
	s := site.New(t, localhub.Options{}, []string{program(t)})
	text, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	s.Write("a.toml", strings.Replace(string(text), `line = "GPIO17"`, "line = \"GPIO17\"\npermit = [\"float-ok\"]", 1)+
		"[[input]]\nname = \"float-ok\"\nline = \"GPIO5\"\nbias = \"pull-down\"\n", 0o644)
	wires := filepath.Base(sim.ControlFile(filepath.Join(s.Dir, "trace.jsonl")))
	d := s.Start()
	outcome := func(id, body string, want string) {
		t.Helper()
		s.Send(id, body)
		s.Eventually(id+" told", d, func() bool { return len(s.Outcomes(id)) == 1 })
		if got := s.Outcomes(id); got[0] != want {
			t.Errorf("%s is %s; want %s", id, got[0], want)
		}
	}
	s.Eventually("subscribed", d, func() bool { return s.Count(localhub.KindSubscribed, "") == 1 })
	outcome("empty", `{"target":"pump","action":"on"}`, "refused")
	s.Write(wires, "GPIO5 high\n", 0o644)
	outcome("full", `{"target":"pump","action":"on"}`, "done")
	s.Write(wires, "GPIO5 low\n", 0o644)
	s.Eventually("the pump lost its permit", d, func() bool { return slices.Equal(s.Moves("permit"), []string{"pump off"}) })
	s.Write(wires, "GPIO5 high\n", 0o644)
	if out, code := s.Call("disable", "pump", "--why", "blades off"); code != 0 {
		t.Fatalf("disable: exit %d, %q", code, out)
	}
	if err := d.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.Ended
	d = s.Start()
	outcome("locked", `{"target":"pump","action":"on"}`, "refused")
	if out, code := s.Call("enable", "pump"); code != 0 {
		t.Fatalf("enable: exit %d, %q", code, out)
	}
	outcome("free", `{"target":"pump","action":"on"}`, "done")
	d.Stop()
}
