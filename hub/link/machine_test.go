package link

import (
	"io"
	"reflect"
	"testing"
	"time"

	"actuatord/hub"
)

var (
	noon     = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	refused5 = hub.ConnackError(5)
	wrong    = &hub.Error{Class: hub.Misconfigured, Cause: hub.CauseIdentity, Err: io.EOF}
)

// at drives a new machine into a phase; it is there since noon, with generation
// 1 (but for idle and for stopped, which never connected).
func at(t *testing.T, name string) *Machine {
	t.Helper()
	m := New(1)
	up := Connected{Generation: 1, Renew80: noon.Add(48 * time.Minute), Renew95: noon.Add(57 * time.Minute)}
	ways := map[string][]Input{
		"idle":       nil,
		"waiting":    {Start{}, Refused{1, io.EOF}},
		"connecting": {Start{}},
		"up":         {Start{}, up},
		"renewing":   {Start{}, Connected{Generation: 1, Renew80: noon}, Tick{}},
		"stopping":   {Start{}, up, Stop{}},
		"stopped":    {Stop{}},
	}
	for _, in := range ways[name] {
		if name == "renewing" {
			// A renewal needs a session that has lived for a while.
			if _, tick := in.(Tick); !tick {
				m.Step(in, noon.Add(-time.Hour))
				m.renew80 = noon
				continue
			}
		}
		m.Step(in, noon)
	}
	return m
}

// TestStep lists what every pair of phase and input does; every pair that is
// not listed must change nothing and ask for nothing. A new phase or input
// therefore fails here until somebody decides.
func TestStep(t *testing.T) {
	type pair struct{ phase, input string }
	type answer struct {
		phase string
		do    []Action
	}
	inputs := map[string]Input{
		"start":           Start{},
		"connected":       Connected{Generation: 1},
		"connected stale": Connected{Generation: 9},
		"refused":         Refused{1, io.EOF},
		"refused stale":   Refused{9, io.EOF},
		"lost":            Lost{1, io.EOF},
		"lost stale":      Lost{9, io.EOF},
		"unsettled 0":     Unsettled{0},
		"unsettled 1":     Unsettled{1},
		"early tick":      Tick{},
		"due tick":        Tick{},
		"stop":            Stop{},
	}
	first, second := []Action{Connect{1, RungMQTT}}, []Action{Connect{2, RungMQTT}}
	late := func(g uint64) []Action { return []Action{Disconnect{g, "connected too late"}} }
	stop := []Action{Disconnect{1, "stop"}}
	listed := map[pair]answer{
		{"idle", "start"}: {"connecting", first},
		{"idle", "stop"}:  {"stopped", nil},

		{"waiting", "due tick"}: {"connecting", second},
		{"waiting", "stop"}:     {"stopped", nil},

		{"connecting", "connected"}: {"up", nil},
		{"connecting", "refused"}:   {"waiting", nil},
		{"connecting", "lost"}:      {"waiting", nil},
		{"connecting", "due tick"}:  {"leaving", []Action{Disconnect{1, "no answer"}}},
		{"connecting", "stop"}:      {"leaving", stop},

		{"up", "refused"}:  {"waiting", nil}, // the transport found another word for lost
		{"up", "lost"}:     {"waiting", nil},
		{"up", "due tick"}: {"leaving", []Action{Disconnect{1, "renew token"}}},
		{"up", "stop"}:     {"leaving", stop},

		{"renewing", "refused"}:  {"connecting", second},
		{"renewing", "lost"}:     {"connecting", second},
		{"renewing", "due tick"}: {"connecting", second}, // it never answered: counted as gone
		{"stopping", "refused"}:  {"stopped", nil},
		{"stopping", "lost"}:     {"stopped", nil},
		{"stopping", "due tick"}: {"stopped", nil},

		{"stopped", "start"}: {"connecting", first},
	}
	for _, name := range []string{"idle", "waiting", "renewing", "stopping", "stopped"} {
		listed[pair{name, "connected"}] = answer{at(t, name).Status().Phase, late(1)}
	}
	for _, name := range []string{"idle", "waiting", "connecting", "up", "renewing", "stopping", "stopped"} {
		listed[pair{name, "connected stale"}] = answer{at(t, name).Status().Phase, late(9)}
	}
	for _, name := range []string{"idle", "waiting", "connecting", "up", "renewing", "stopping", "stopped"} {
		for input, in := range inputs {
			t.Run(name+"/"+input, func(t *testing.T) {
				m := at(t, name)
				now, next, before := noon, m.Next(), m.Status()
				if input == "due tick" && !next.IsZero() {
					now = next
				}
				do := m.Step(in, now)
				want, ok := listed[pair{name, input}]
				if !ok {
					if !reflect.DeepEqual(m.Status(), before) || do != nil {
						t.Fatalf("Step = %v, %+v; want nothing to change and to do", do, m.Status())
					}
					return
				}
				if m.Status().Phase != want.phase || !reflect.DeepEqual(do, want.do) {
					t.Errorf("Step = %v, %q; want %v, %q", do, m.Status().Phase, want.do, want.phase)
				}
			})
		}
	}
}

// TestWishesWhileLeaving: the last wish counts while leaving.
func TestWishesWhileLeaving(t *testing.T) {
	m := at(t, "renewing")
	m.Step(Stop{}, noon)
	if do := m.Step(Lost{1, io.EOF}, noon); do != nil || m.Status().Phase != "stopped" {
		t.Errorf("Stop during a renewal: %v, %q; want stopped", do, m.Status().Phase)
	}
	m = at(t, "stopping")
	m.Step(Start{}, noon)
	if do := m.Step(Lost{1, io.EOF}, noon); do != nil || m.Status().Phase != "waiting" || m.Next().IsZero() {
		t.Errorf("Start during a stop: %v, %q, next %v; want waiting", do, m.Status().Phase, m.Next())
	}
}

// TestStartKeepsTheFloor: Stop and Start in a loop is not faster than 1 s.
func TestStartKeepsTheFloor(t *testing.T) {
	m := at(t, "stopping")
	m.Step(Lost{1, io.EOF}, noon)
	if do := m.Step(Start{}, noon.Add(time.Second/2)); do != nil || !m.Next().Equal(noon.Add(time.Second)) {
		t.Fatalf("Start half a second after the last Connect: %v, next %v; want a wait until 1 s has passed", do, m.Next())
	}
	if do := m.Step(Tick{}, m.Next()); !reflect.DeepEqual(do, []Action{Connect{2, RungMQTT}}) {
		t.Errorf("Tick after it: %v; want Connect", do)
	}
}

// waits fails n times in a row with err and gives the waits.
func waits(m *Machine, n int, err error) []time.Duration {
	var w []time.Duration
	now := noon
	m.Step(Start{}, now)
	for range n {
		m.Step(Refused{m.generation, err}, now)
		w = append(w, m.Next().Sub(now))
		now = m.Next()
		m.Step(Tick{}, now)
	}
	return w
}

// TestWaits: over many seeds every wait stays in its range, and the range is
// used: full jitter, not a fixed pace with some noise.
func TestWaits(t *testing.T) {
	tests := []struct {
		name           string
		err            error
		n              int // the wait after n failures
		floor, ceiling time.Duration
	}{
		{"first", io.EOF, 1, time.Second, 2 * time.Second},
		{"second", io.EOF, 2, time.Second, 4 * time.Second},
		{"sixth", io.EOF, 6, time.Second, 64 * time.Second},
		{"ninth", io.EOF, 9, time.Second, 5 * time.Minute},
		{"hundredth", io.EOF, 100, time.Second, 5 * time.Minute},
		{"refused with 5", refused5, 1, time.Minute, 10 * time.Minute},
		{"refused with 5 for long", refused5, 50, time.Minute, 10 * time.Minute},
		{"misconfigured", wrong, 1, 10 * time.Minute, 30 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			low, high := time.Duration(1<<62), time.Duration(0)
			for seed := range uint64(300) {
				w := waits(New(seed), test.n, test.err)[test.n-1]
				low, high = min(low, w), max(high, w)
			}
			span := test.ceiling - test.floor
			if low < test.floor || high >= test.ceiling || low > test.floor+span/10 || high < test.ceiling-span/10 {
				t.Errorf("waits are %v … %v; want all of %v … %v", low, high, test.floor, test.ceiling)
			}
		})
	}
}

// session connects, lives for life and is lost with err; it gives the wait.
func session(m *Machine, now *time.Time, life time.Duration, err error) time.Duration {
	m.Step(Connected{Generation: m.generation}, *now)
	*now = now.Add(life)
	m.Step(Lost{m.generation, err}, *now)
	wait := m.Next().Sub(*now)
	*now = m.Next()
	m.Step(Tick{}, *now)
	return wait
}

// TestStableSessionClearsTheBackOff: 2 minutes do, one nanosecond less does not.
func TestStableSessionClearsTheBackOff(t *testing.T) {
	for _, test := range []struct {
		life     time.Duration
		failures int
	}{{stableAfter - 1, 11}, {stableAfter, 1}} {
		m := New(7)
		waits(m, 10, io.EOF)
		now := m.since
		session(m, &now, test.life, io.EOF)
		if got := m.Status().Attempts; got != test.failures {
			t.Errorf("after a session of %v the count of failures is %d; want %d", test.life, got, test.failures)
		}
	}
}

// TestStatusForgetsTheCause: a failure is shown until a session was stable, and
// the machine asks for the tick that makes it so.
func TestStatusForgetsTheCause(t *testing.T) {
	m := New(7)
	waits(m, 1, refused5)
	m.Step(Connected{Generation: 2}, m.since)
	if s := m.Status(); s.Cause != "credential" || s.Class != hub.RetrySlowly || s.Detail != refused5.Error() || !s.Connected {
		t.Errorf("status of a young session: %+v; want the last failure to be there", s)
	}
	next := m.Next()
	if !next.Equal(m.since.Add(stableAfter)) {
		t.Fatalf("next is %v; want when the session is stable", next)
	}
	m.Step(Tick{}, next)
	if s := m.Status(); s.Cause != "" || s.Class != 0 || s.Detail != "" || s.Attempts != 0 {
		t.Errorf("status of a stable session: %+v; want no failure", s)
	}
	if !m.Next().IsZero() {
		t.Errorf("next is %v; want never: no token ends and nothing is to be cleared", m.Next())
	}
}

// TestClosedEarly: the third session in a row under 30 s is taken for another
// device with our id; one that lives longer starts the count again.
func TestClosedEarly(t *testing.T) {
	short, long := earlyClose-1, earlyClose
	tests := []struct {
		name  string
		lives []time.Duration
		slow  bool
	}{
		{"two", []time.Duration{short, short}, false},
		{"three", []time.Duration{short, short, short}, true},
		{"four", []time.Duration{short, short, short, 0}, true},
		{"interrupted", []time.Duration{short, short, long, short}, false},
		{"none short", []time.Duration{long, long, long}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, now := New(3), noon
			m.Step(Start{}, now)
			var wait time.Duration
			for _, life := range test.lives {
				wait = session(m, &now, life, io.EOF)
			}
			s := m.Status()
			if slow := s.Cause == hub.CauseClosedEarly; slow != test.slow || slow != (wait >= floorSlow) || slow != (s.Class == hub.RetrySlowly) {
				t.Errorf("after sessions of %v: wait %v, %+v; want slow: %v", test.lives, wait, s, test.slow)
			}
			if s.Detail != "EOF" {
				t.Errorf("detail is %q; want what the transport said", s.Detail)
			}
		})
	}
	m, now := New(3), noon
	m.Step(Start{}, now)
	for range 4 {
		session(m, &now, 0, wrong)
	}
	if s := m.Status(); s.Class != hub.Misconfigured {
		t.Errorf("class of misconfigured sessions that end early is %v; want it kept: it waits longer", s.Class)
	}
}

// TestRenewal: at 80 % when nothing is unsettled, as soon as that is so, at
// 95 % regardless; then at once again, and the failure count is not touched.
func TestRenewal(t *testing.T) {
	at80, at95 := noon.Add(48*time.Minute), noon.Add(57*time.Minute)
	renew := []Action{Disconnect{1, "renew token"}}

	m := at(t, "up")
	if !m.Next().Equal(at80) {
		t.Errorf("next is %v; want 80 %%", m.Next())
	}
	if do := m.Step(Tick{}, at80.Add(-1)); do != nil {
		t.Errorf("before 80 %%: %v; want nothing", do)
	}
	if do := m.Step(Tick{}, at80); !reflect.DeepEqual(do, renew) {
		t.Errorf("at 80 %%: %v; want %v", do, renew)
	}
	if do := m.Step(Lost{1, nil}, at80.Add(time.Second)); !reflect.DeepEqual(do, []Action{Connect{2, RungMQTT}}) {
		t.Errorf("after the renewal's loss: %v; want Connect at once", do)
	}
	if s := m.Status(); s.Attempts != 0 || s.Cause != "" {
		t.Errorf("status after a renewal: %+v; want no failure", s)
	}

	m = at(t, "up")
	m.Step(Unsettled{2}, noon)
	if !m.Next().Equal(at95) {
		t.Errorf("next with deliveries unsettled is %v; want 95 %%", m.Next())
	}
	if do := m.Step(Tick{}, at80); do != nil {
		t.Errorf("at 80 %% with deliveries unsettled: %v; want nothing", do)
	}
	if do := m.Step(Unsettled{1}, at80.Add(time.Second)); do != nil {
		t.Errorf("one still unsettled: %v; want nothing", do)
	}
	if do := m.Step(Unsettled{0}, at80.Add(time.Second)); !reflect.DeepEqual(do, renew) {
		t.Errorf("the last one settled after 80 %%: %v; want %v", do, renew)
	}

	m = at(t, "up")
	m.Step(Unsettled{2}, noon)
	if do := m.Step(Tick{}, at95); !reflect.DeepEqual(do, renew) {
		t.Errorf("at 95 %% with deliveries unsettled: %v; want %v", do, renew)
	}
}

// TestRenewalIsNoLoop: a token that is old at once costs an ordinary wait.
func TestRenewalIsNoLoop(t *testing.T) {
	m := New(1)
	m.Step(Start{}, noon)
	do := m.Step(Connected{Generation: 1, Renew80: noon}, noon)
	if !reflect.DeepEqual(do, []Action{Disconnect{1, "renew token"}}) {
		t.Fatalf("a token old at once: %v; want it left", do)
	}
	if do := m.Step(Lost{1, nil}, noon); do != nil || m.Status().Phase != "waiting" || m.Status().Cause != "credential" {
		t.Errorf("after it: %v, %+v; want a wait with its cause", do, m.Status())
	}
}

func TestStatus(t *testing.T) {
	m := New(1)
	if s := m.Status(); s != (Status{Rung: RungMQTT, Phase: "idle"}) {
		t.Errorf("status of a new machine: %+v", s)
	}
	m = at(t, "waiting")
	want := Status{Rung: RungMQTT, Phase: "waiting", Since: noon, Generation: 1, NextAttempt: m.Next(), Attempts: 1, Cause: "network", Class: hub.RetrySoon, Detail: "EOF"}
	if s := m.Status(); s != want || s.NextAttempt.IsZero() {
		t.Errorf("status while waiting: %+v; want %+v", s, want)
	}
	m = at(t, "up")
	m.Step(Lost{1, nil}, noon)
	if s := m.Status(); s.Detail == "" {
		t.Error("a loss without an error has no detail; want a sentence")
	}
	m = at(t, "connecting")
	m.Step(Tick{}, m.Next())
	if s := m.Status(); s.Cause != "network" || s.Detail != "network: no answer within 2m0s" {
		t.Errorf("status after no answer: %+v", s)
	}
	if RungMQTT.String() != "mqtt" || Rung(0).String() != "none" {
		t.Errorf("rungs are %v and %v", RungMQTT, Rung(0))
	}
}
