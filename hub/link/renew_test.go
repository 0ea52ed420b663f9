package link

import (
	"testing"
	"time"
)

// TestRenewOnRequest: a session that stands is left and followed by the next at
// once; a young one stays, and in every other phase there is nothing to renew.
func TestRenewOnRequest(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m := New(1)
	if got := m.Step(Renew{Why: "x"}, now); got != nil {
		t.Errorf("idle: %v; want nothing", got)
	}
	m.Step(Start{}, now)
	if got := m.Step(Renew{Why: "x"}, now); got != nil {
		t.Errorf("connecting: %v; want nothing", got)
	}
	m.Step(Connected{Generation: 1}, now)
	if got := m.Step(Renew{Why: "x"}, now.Add(earlyClose-1)); got != nil {
		t.Errorf("young: %v; want it to stay", got)
	}
	got := m.Step(Renew{Why: "x"}, now.Add(earlyClose))
	if len(got) != 1 || got[0] != (Disconnect{Generation: 1, Why: "x"}) {
		t.Fatalf("up: %v; want it left", got)
	}
	if got := m.Step(Renew{Why: "x"}, now.Add(earlyClose)); got != nil {
		t.Errorf("leaving: %v; want nothing", got)
	}
	got = m.Step(Lost{Generation: 1}, now.Add(earlyClose))
	if len(got) != 1 || got[0] != (Connect{Generation: 2, Rung: RungMQTT}) {
		t.Errorf("left: %v; want the next at once", got)
	}
}

// TestRenewEndsTheBackOff: sessions that stand until they are left are no failures,
// however often they are left.
func TestRenewEndsTheBackOff(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m := New(1)
	m.Step(Start{}, now)
	m.Step(Refused{Generation: 1}, now)
	now = m.Next()
	m.Step(Tick{}, now)
	for g := uint64(2); g < 6; g++ {
		m.Step(Connected{Generation: g}, now)
		now = now.Add(time.Minute)
		m.Step(Renew{Why: "x"}, now)
		m.Step(Lost{Generation: g}, now)
	}
	if s := m.Status(); s.Attempts != 0 || s.Cause != "" {
		t.Errorf("status %+v; want the failure forgotten", s)
	}
}
