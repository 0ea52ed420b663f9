package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"actuatord/hub/localhub"
	"actuatord/test/site"
)

// The test binary is also the program under test: with asMain set it runs main's
// run, and with killAt it sends itself SIGKILL at that edge, counted from 0.
const asMain, killAt = "ACTUATORD_TEST_MAIN", "ACTUATORD_TEST_KILL_AT"

// newSite is a site whose actuatord is this very binary.
func newSite(t *testing.T, o localhub.Options) *site.Site {
	return site.New(t, o, []string{os.Args[0]}, asMain+"=1")
}

func TestMain(m *testing.M) {
	// The journal's checking child gets no environment from us.
	isChild := slices.Contains(os.Args, "--child")
	if os.Getenv(asMain) == "" && !isChild {
		os.Exit(m.Run())
	}
	e := env{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}
	if n, err := strconv.Atoi(os.Getenv(killAt)); err == nil {
		var passed atomic.Int64
		e.edge = func(string) {
			if passed.Add(1)-1 == int64(n) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // the signal is on its way; not one more step
			}
		}
	}
	os.Exit(run(os.Args[1:], e))
}

// TestSIGKILLBetweenAnyTwoSteps is the sweep of package agent on the real
// program: real processes, real TCP and TLS, a real SIGKILL.
func TestSIGKILLBetweenAnyTwoSteps(t *testing.T) {
	messages := []struct {
		id, body string
		once     bool
	}{
		{"on", `{"target":"pump","action":"on"}`, false},
		{"toggle", `{"target":"lamp","action":"toggle"}`, true},
		{"off", `{"target":"pump","action":"off"}`, false},
		{"pulse", `{"target":"pump","action":"pulse","for":"20ms"}`, true},
	}
	last := messages[len(messages)-1].id
	for cut, whole := 0, false; !whole; cut += stride {
		s := newSite(t, localhub.Options{})
		d := s.Start()
		// Until it has noted the SUBACK: the next run would drain the queue first, and
		// what a drain that is killed has locked stays so for a minute.
		s.Eventually("subscribed", d, func() bool {
			out, _ := s.Call("status", "--json")
			return strings.Contains(out, `"subscribed": true`)
		})
		d.Stop()
		for _, m := range messages {
			s.Send(m.id, m.body)
		}
		first := s.Start(killAt + "=" + strconv.Itoa(cut))
		select {
		case <-first.Ended:
		case <-waitFor(func() bool { return len(s.Outcomes(last)) > 0 }):
		}
		_ = first.Cmd.Process.Signal(syscall.SIGTERM) // it may be dead already; the last edges are in its stop
		<-first.Ended
		whole = first.Err == nil
		connects := s.Count(localhub.KindConnected, "")
		second := s.Start()
		s.Eventually("connected again", second, func() bool { return s.Count(localhub.KindConnected, "") > connects })
		s.Eventually(fmt.Sprintf("cut %d: every outcome told", cut), second, func() bool {
			for _, m := range messages {
				if len(s.Outcomes(m.id)) == 0 {
					return false
				}
			}
			return true
		})
		second.Stop()
		for _, m := range messages {
			outcomes, moves := s.Outcomes(m.id), s.Moves(m.id)
			if len(outcomes) != 1 {
				t.Errorf("cut %d: %s was reported %q; want one outcome", cut, m.id, outcomes)
			}
			ons := 0
			for _, move := range moves {
				if strings.HasSuffix(move, " on") {
					ons++
				}
			}
			if m.once && ons > 1 || ons > 2 {
				t.Errorf("cut %d: %s moved %q", cut, m.id, moves)
			}
			if s.Count(localhub.KindCompleted, m.id) > 0 && outcomes[0] != "done" {
				t.Errorf("cut %d: %s was completed and is %s", cut, m.id, outcomes[0])
			}
		}
		if t.Failed() {
			t.Fatalf("%s\n%s", first.Log.String(), second.Log.String())
		}
		if whole {
			t.Logf("%d edges, each cut once", cut)
		}
	}
}

// waitFor closes its channel when ok is true, or after 30 s.
func waitFor(ok func() bool) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		for deadline := time.Now().Add(30 * time.Second); !ok() && time.Now().Before(deadline); {
			<-time.After(5 * time.Millisecond)
		}
	}()
	return c
}

func TestStop(t *testing.T) {
	s := newSite(t, localhub.Options{})
	d := s.Start()
	s.Eventually("subscribed", d, func() bool { return s.Count(localhub.KindSubscribed, "") > 0 })
	s.Send("on", `{"target":"pump","action":"on"}`)
	s.Eventually("completed", d, func() bool { return s.Count(localhub.KindCompleted, "on") == 1 })
	d.Stop()
	if got := s.Moves("safe"); !slices.Equal(got[len(got)-1:], []string{"pump off"}) {
		t.Errorf("on the way out %q; want the pump off last", got)
	}
}

// TestSecondRun: a second daemon on the same journal goes away without touching
// an output, and the first does not notice.
func TestSecondRun(t *testing.T) {
	s := newSite(t, localhub.Options{})
	d := s.Start()
	s.Eventually("subscribed", d, func() bool { return s.Count(localhub.KindSubscribed, "") > 0 })
	before := s.Moves("safe")
	out, code := s.Call("run")
	if code != exitFailed || !strings.Contains(out, "another actuatord runs") {
		t.Errorf("exit %d, %q; want it refused", code, out)
	}
	if after := s.Moves("safe"); !slices.Equal(after, before) {
		t.Errorf("the second run moved outputs: %q, then %q", before, after)
	}
	d.Stop()
}

func TestClient(t *testing.T) {
	s := newSite(t, localhub.Options{})
	if out, code := s.Call("status"); code != exitFailed || !strings.Contains(out, "no actuatord runs") {
		t.Errorf("status without a daemon: exit %d, %q", code, out)
	}
	d := s.Start()
	s.Eventually("subscribed", d, func() bool { return s.Count(localhub.KindSubscribed, "") > 0 })
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"do", "pump", "on", "--for", "5m"}, 0, "done: pump on, now on"},
		{[]string{"do", "--for", "2h", "pump", "on"}, exitNot, "over-max-on"},
		{[]string{"do", "pump"}, exitUsage, "needs a target and an action"},
		{[]string{"do", "all", "read"}, 0, "lamp off"},
		{[]string{"status"}, 0, "pump on, by l:"},
		{[]string{"status"}, 0, "up over mqtt for"},
		{[]string{"status"}, 0, "trusted for"},
		{[]string{"status"}, 0, "KiB for each of"},
		{[]string{"status", "--json"}, 0, `"unsettled": 0`},
		{[]string{"status", "now"}, exitUsage, "takes no"},
		{[]string{"history"}, 0, "pump on"},
		{[]string{"check"}, 0, "in use by the running daemon"},
		{[]string{"safe"}, 0, "the daemon drove every output safe"},
		{[]string{"journal", "reset"}, 0, "history was clear"},
		{[]string{"journal", "burn"}, exitUsage, "check, reset"},
	} {
		if out, code := s.Call(tt.args...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q: exit %d, %q; want exit %d and %q", tt.args, code, out, tt.code, tt.want)
		}
	}
	d.Stop()
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"history", "-n", "1"}, 0, "all read"},
		{[]string{"journal", "check"}, 0, "every record proven"},
		{[]string{"journal", "reset"}, 0, "is clear now"},
		{[]string{"safe"}, 0, "2 outputs"},
		{[]string{"version"}, 0, "actuatord"},
		{[]string{"help"}, 0, "usage:"},
		{[]string{"dance"}, exitUsage, "unknown command"},
		{[]string{"run", "--fast"}, exitUsage, "fast"},
	} {
		if out, code := s.Call(tt.args...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("stopped, %q: exit %d, %q; want exit %d and %q", tt.args, code, out, tt.code, tt.want)
		}
	}
}

func TestCheckCommand(t *testing.T) {
	s := newSite(t, localhub.Options{})
	for _, tt := range []struct {
		payload string
		code    int
		want    string
	}{
		{`{"target":"pump","action":"on","for":"5m"}`, 0, "would drive pump on, and back to its safe level after 5m0s"},
		{`{"target":"lamp","action":"toggle"}`, 0, "once only"},
		{`{"target":"pump","action":"on","for":"5h"}`, exitNot, "would be refused: over-max-on"},
		{`garbage`, exitNot, "would be refused: malformed"},
	} {
		cmd := s.Command("check", "--command", "-")
		cmd.Stdin = strings.NewReader(tt.payload)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: exit %d, %q; want exit %d and %q", tt.payload, code, out, tt.code, tt.want)
		}
	}
	if got := s.Moves("safe"); got != nil {
		t.Errorf("check moved %q", got)
	}
}

// TestCommitTime: the linker's word comes first, then git's by way of the compiler;
// what is no time is no time, and a test has none.
func TestCommitTime(t *testing.T) {
	plain := []debug.BuildSetting{{Key: "vcs.revision", Value: "2001-01-01T00:00:00Z"}, {Key: "vcs.time", Value: "2026-11-23T21:23:15Z"}}
	for _, tt := range []struct {
		linked   string
		settings []debug.BuildSetting
		want     string
	}{
		{"1795400000", plain, "2026-11-23T02:13:20Z"},
		{"", plain, "2026-11-23T21:23:15Z"},
		{"yesterday", plain, "2026-11-23T21:23:15Z"},
		{"-1", nil, "0001-01-01T00:00:00Z"},
		{"", []debug.BuildSetting{{Key: "vcs.time", Value: "soon"}}, "0001-01-01T00:00:00Z"},
	} {
		if got := commitTime(tt.linked, tt.settings).Format(time.RFC3339); got != tt.want {
			t.Errorf("%q, %v: %s, want %s", tt.linked, tt.settings, got, tt.want)
		}
	}
	if at := builtAt(); !at.IsZero() {
		t.Errorf("this test was built at %v: what it shows would depend on that", at)
	}
}

// TestBadConfiguration: every fault of a file in one message, and `safe` makes
// the best of what is left.
func TestBadConfiguration(t *testing.T) {
	s := newSite(t, localhub.Options{})
	good, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	s.Write("a.toml", string(good)+"\n[[output]]\nname = \"all\"\nline = \"GPIO5\"\ncolour = \"red\"\n[clock]\nwait = \"2\"\n", 0o644)
	for _, cmd := range []string{"run", "check"} {
		out, code := s.Call(cmd)
		for _, want := range []string{"colour", "reserved", "clock.wait", "line "} {
			if code != exitUsage || !strings.Contains(out, want) {
				t.Errorf("%s: exit %d, %q; want exit 2 and all faults, %q among them", cmd, code, out, want)
			}
		}
	}
	if got := s.Moves("safe"); got != nil {
		t.Errorf("a daemon with a faulty configuration moved %q", got)
	}
	if out, code := s.Call("safe"); code != exitUsage || len(s.Moves("safe")) != 3 || !strings.Contains(out, "colour") {
		t.Errorf("safe: exit %d, %q, moved %q; want the three outputs whose safe level is beyond doubt, and the faults", code, out, s.Moves("safe"))
	}
}

func TestSecretFile(t *testing.T) {
	s := newSite(t, localhub.Options{})
	s.Write("connection-string", s.Device.ConnectionString("localhost"), 0o644)
	for _, cmd := range []string{"run", "check"} {
		out, code := s.Call(cmd)
		if code == 0 || !strings.Contains(out, "chmod 600") {
			t.Errorf("%s with a world-readable connection string: exit %d, %q; want it refused with what to do", cmd, code, out)
		}
		if strings.Contains(out, s.Device.ConnectionString("localhost")[60:]) {
			t.Errorf("%s printed the key", cmd)
		}
	}
}
