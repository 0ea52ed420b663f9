package link

import (
	"strings"
	"testing"
	"time"
)

// A modelScenario is a world to begin with, and what may happen to it.
type modelScenario struct {
	name      string
	past      Past
	shut      bool          // neither rung is open
	rush      int           // urgent visits
	horizon   time.Duration // how far is looked; 0: past three polls
	only      []string      // of the accidents; none: all
	accidents int
}

func (sc modelScenario) explore(m *model) *exploration {
	m.draws, m.only, m.policy = &extremes{}, sc.only, policy
	m.policy.Rush = sc.rush
	if m.horizon = sc.horizon; m.horizon == 0 {
		m.horizon = modelHorizon
	}
	return explore(m, m.world(sc.past, !sc.shut, sc.accidents))
}

func modelScenarios() []modelScenario {
	known := Past{LastSuback: noon.Add(-time.Hour)}
	road := []string{"closed", "opened", "HTTPS is silent", "HTTPS answers", "lost", "the drain"}
	people := []string{"the hub", "the CONNACK", "lost", "a message", "new", "a renewal"}
	power := []string{"power", "the clock", "lost", "HTTPS throttles"}
	return []modelScenario{
		{name: "first start, anything", accidents: 2},
		{name: "anything", past: known, accidents: 2},
		{name: "road", past: known, only: road, accidents: 3},
		{name: "hub and people", past: known, only: people, accidents: 3},
		{name: "first start, hub and people", only: people, accidents: 3},
		{name: "power and clock", past: known, only: power, accidents: 3},
		{name: "urgent visits", past: known, rush: 2, only: []string{"messages come", "power cut"}, accidents: 4, horizon: 6 * time.Minute},
		{name: "HTTPS only, anything", past: known, shut: true, accidents: 1, horizon: 34 * time.Minute},
		{name: "first start, HTTPS only", shut: true, only: []string{"power", "opened", "new"}, accidents: 1, horizon: 34 * time.Minute},
	}
}

// TestModel explores what a small network and a small hub can do to the machine
// within 80 minutes (or what the scenario says), with a few accidents at any moment,
// and every wait at its shortest or longest. At every state: at most one connection or drain at a
// time; polls and visits as far apart as promised, over restarts and whatever the
// clock says; no SUBSCRIBE that has the hub reject what nobody looked at; always a
// next tick, and never one without end. And from every state, with all open again,
// a session stands and nothing is owed within the hour.
func TestModel(t *testing.T) {
	for _, sc := range modelScenarios() {
		if testing.Short() {
			sc.accidents = 1
			if sc.shut { // long enough for a poll, and one too early behind it
				sc.horizon = 12 * time.Minute
			}
		}
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			x := sc.explore(&model{})
			t.Logf("%d states, %d steps; with all open, all is well within %v", len(x.parent), x.steps, x.longest.Round(time.Second))
			if x.fault != "" {
				t.Errorf("%s\n  %s", x.fault, x.transcript())
			}
		})
	}
}

// TestModelFindsFaults: a caller that performs wrongly, or a machine that asks for
// the wrong thing, is found guilty in the same worlds.
func TestModelFindsFaults(t *testing.T) {
	before := func(tamper func(m *Machine)) conduct {
		return conduct{before: func(w *modelWorld) { tamper(&w.m) }}
	}
	for name, tt := range map[string]struct {
		do   conduct
		in   string // the scenario
		want string
	}{
		"when a poll began is not written":  {conduct{pollUnkept: true}, "HTTPS only", "a poll only"},
		"when a visit began is not written": {conduct{visitUnkept: true}, "anything", "a settle visit only"},
		"a wrong clock is believed":         {conduct{trustsClock: true}, "HTTPS only", "a poll only"},
		"polls have no floor":               {before(func(m *Machine) { m.pollFloor = time.Time{} }), "HTTPS only", "a poll only"},
		"visits have no floor":              {before(func(m *Machine) { m.visitFloor = time.Time{} }), "anything", "a settle visit only"},
		"no drain before a first SUBSCRIBE": {before(func(m *Machine) { m.drainedFor = true }), "first start, anything", "SUBSCRIBE although"},
		"a drain that broke off will do": {conduct{after: func(_ *modelWorld, do []Action) []Action {
			for i, a := range do {
				if c, is := a.(Connect); is {
					c.Blind = false
					do[i] = c
				}
			}
			return do
		}}, "first start, anything", "SUBSCRIBE although"},
		"the hub's memory is trusted":               {before(func(m *Machine) { m.subacked = m.subacked || m.forgotten }), "anything", "SUBSCRIBE although"},
		"that the hub has forgotten is not written": {conduct{subackKept: true, firstsUnkept: true}, "anything", "SUBSCRIBE although"},
		"the next session before the last is gone": {conduct{after: func(w *modelWorld, do []Action) []Action {
			if w.m.phase == leaving && w.m.then == thenConnect && len(do) > 0 {
				return append(do, w.m.left(w.now)...)
			}
			return do
		}}, "anything", "two at a time"},
		"a visit before the session is gone": {conduct{after: func(w *modelWorld, do []Action) []Action {
			if w.m.phase == leaving && w.m.then == thenVisit && len(do) > 0 {
				return append(do, w.m.left(w.now)...)
			}
			return do
		}}, "anything", "two at a time"},
		"a poll is not performed": {conduct{after: func(w *modelWorld, do []Action) []Action {
			if len(do) == 1 {
				if d, is := do[0].(OpenDrain); is && d.Kind == Poll {
					return nil
				}
			}
			return do
		}}, "HTTPS only", "wedged"},
		"a tick that does nothing": {conduct{after: func(w *modelWorld, do []Action) []Action {
			if w.m.phase == waiting {
				w.m.due = w.now
			}
			return do
		}}, "anything", "due again"},
		"waits that are too long": {conduct{after: func(w *modelWorld, do []Action) []Action {
			if w.m.phase == waiting {
				w.m.due, w.m.pollFloor = w.m.due.Add(2*time.Hour), w.now.Add(3*time.Hour)
			}
			return do
		}}, "road", "until all is well"},
		"visits that wait for ever": {before(func(m *Machine) { m.visitFloor = noon.Add(1000 * time.Hour) }), "hub", "what is owed stays so"},
		"SUBSCRIBE is never sent": {conduct{after: func(_ *modelWorld, do []Action) []Action {
			if len(do) > 0 {
				if _, is := do[0].(Subscribe); is {
					return do[1:]
				}
			}
			return do
		}}, "anything", "no session comes about"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sc := range modelScenarios() {
				if !strings.HasPrefix(sc.name, tt.in) {
					continue
				}
				x := sc.explore(&model{do: tt.do})
				if !strings.Contains(x.fault, tt.want) {
					t.Fatalf("%d states, and %q; want it found guilty: %s\n  %s", len(x.parent), x.fault, tt.want, x.transcript())
				}
				t.Logf("guilty after %d states: %s\n  %s", len(x.parent), x.fault, x.transcript())
				return
			}
			t.Fatalf("no scenario %s", tt.in)
		})
	}
}
