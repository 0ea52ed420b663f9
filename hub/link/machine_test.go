package link

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
)

// TestFirstConnect: a queue is drained before a first SUBSCRIBE, and only then.
func TestFirstConnect(t *testing.T) {
	b := newBench(t, 1)
	b.stored = false
	b.step(Start{Past{Wall: noon, Trusted: true}})
	b.same("probe mqtt", "first-subscribe drain", "connect mqtt", "subscribe")

	b = newBench(t, 1)
	b.rest = false
	b.step(Start{Past{Wall: noon, Trusted: true}})
	b.same("probe mqtt", "first-subscribe drain", "connect mqtt blind", "subscribe")

	b = newBench(t, 1)
	b.broken = io.EOF // behind the first message
	b.step(Start{Past{Wall: noon, Trusted: true}})
	b.same("probe mqtt", "first-subscribe drain", "connect mqtt blind", "subscribe")

	b = newBench(t, 1)
	b.step(Start{recent})
	b.same("connect mqtt", "subscribe")

	for name, past := range map[string]Past{
		"a day old":      {Wall: noon, Trusted: true, LastSuback: noon.Add(-24 * time.Hour)},
		"in the future":  {Wall: noon, Trusted: true, LastSuback: noon.Add(time.Hour)},
		"untrusted time": {Wall: noon, LastSuback: noon.Add(-time.Hour)},
	} {
		b = newBench(t, 1)
		b.step(Start{past})
		if b.firsts != 1 {
			t.Errorf("a SUBACK %s: %d first-subscribe drains; want one", name, b.firsts)
		}
	}
}

// TestForgottenSubscription: the hub has no session of ours although we hold a
// SUBACK: no SUBSCRIBE before the queue was drained.
func TestForgottenSubscription(t *testing.T) {
	b := newBench(t, 1)
	b.stored = false
	b.step(Start{recent})
	b.same("connect mqtt", "leave: the hub has forgotten our subscription: the queue is drained before a new one",
		"first-subscribe drain", "connect mqtt", "subscribe")

	// A restart between the two finds a session at the hub, which that CONNECT made.
	b = newBench(t, 1)
	past := recent
	past.FirstDrains = 1
	b.step(Start{past})
	b.same("probe mqtt", "first-subscribe drain", "connect mqtt", "subscribe")

	// It counts: a hub that always forgets is asked again at the next poll.
	b = newBench(t, 1)
	b.stored = false
	b.step(Start{recent})
	b.m.firsts = firstLimit
	b.m.subacked, b.m.drainedFor = true, false
	b.step(Lost{b.m.generation, io.EOF})
	b.session, b.lines = false, nil
	b.run(3 * time.Second)
	b.same("connect mqtt", "leave: the hub has forgotten our subscription: the queue is drained before a new one")
	b.run(7 * time.Minute)
	b.same("connect mqtt", "leave: the hub has forgotten our subscription: the queue is drained before a new one", "poll", "connect mqtt", "subscribe")
	if !b.session {
		t.Errorf("no session\n%s", b.transcript())
	}

	// Behind a visit that emptied the queue there is nothing to drain for.
	b = newBench(t, 1)
	b.step(Start{recent})
	b.run(time.Minute)
	b.stored, b.lines = false, nil
	b.step(Unsettled{N: 1, Owed: 1})
	b.same("leave: settle visit: deliveries are owed a reject, which MQTT cannot give", "settle visit", "connect mqtt", "subscribe")
	b = newBench(t, 1)
	b.step(Start{recent})
	b.run(time.Minute)
	b.stored, b.broken, b.lines = false, io.EOF, nil
	b.step(Unsettled{N: 1, Owed: 1})
	b.same("leave: settle visit: deliveries are owed a reject, which MQTT cannot give", "settle visit", "connect mqtt",
		"leave: the hub has forgotten our subscription: the queue is drained before a new one", "first-subscribe drain", "connect mqtt blind", "subscribe")
}

// TestFirstDrainsAreBounded: a hub that refuses us has no more first-subscribe
// drains than polls, also over restarts.
func TestFirstDrainsAreBounded(t *testing.T) {
	b := newBench(t, 1)
	b.connack = refused5
	b.step(Start{Past{Wall: noon, Trusted: true}})
	b.run(24 * time.Hour)
	if b.firsts != 1 || len(b.polls) < 50 || b.connects > len(b.polls)+1 {
		t.Errorf("%d first drains, %d polls, %d CONNECTs in a day; want one, then a CONNECT behind each poll\n%s", b.firsts, len(b.polls), b.connects, b.transcript())
	}
	// A CONNACK never comes: three drains, and the rest at polls.
	b = newBench(t, 1)
	b.connack = io.EOF
	b.step(Start{Past{Wall: noon, Trusted: true}})
	b.run(24 * time.Hour)
	if b.firsts != firstLimit {
		t.Errorf("%d first-subscribe drains without a SUBACK in a day; want %d\n%s", b.firsts, firstLimit, b.transcript())
	}
	b = newBench(t, 1)
	b.connack = io.EOF
	b.step(Start{Past{Wall: noon, Trusted: true, FirstDrains: firstLimit}})
	if b.firsts != 0 {
		t.Errorf("%d first-subscribe drains after a restart; want the count remembered", b.firsts)
	}
	b.connack = nil
	b.step(Credentials{})
	b.run(time.Minute)
	if b.firsts != 1 || !b.session {
		t.Errorf("after new credentials: %d drains, session %v; want a new start\n%s", b.firsts, b.session, b.transcript())
	}
}

// TestLadder: 8883, then 443, and back to 8883 only at a natural reconnect.
func TestLadder(t *testing.T) {
	b := newBench(t, 1)
	b.open[RungMQTT] = false
	b.life = 4 * time.Hour
	b.step(Start{recent})
	b.run(time.Minute)
	b.same("connect mqtt", "connect websocket", "subscribe")
	b.run(20 * time.Hour)
	if s := b.m.Status(); s.Rung != RungWebSocket || !s.Connected {
		t.Errorf("status %+v; want a session over WebSocket", s)
	}
	looks := 0
	for _, l := range b.lines[1:] {
		if strings.HasSuffix(l, " connect mqtt") {
			looks++
		}
	}
	if looks < 2 || looks > 3 {
		t.Errorf("8883 was looked at %d times in 20 h; want two or three\n%s", looks, b.transcript())
	}
	b.open[RungMQTT] = true
	b.run(13 * time.Hour)
	if s := b.m.Status(); s.Rung != RungMQTT || !s.Connected {
		t.Errorf("status %+v; want 8883 found again\n%s", s, b.transcript())
	}
	// What worked is where the next run begins.
	b = newBench(t, 1)
	past := recent
	past.Rung = RungWebSocket
	b.step(Start{past})
	b.same("connect websocket", "subscribe")
}

// waits fails n rounds in a row with err and gives the waits between them.
func waits(seed uint64, n int, err error) []time.Duration {
	m, now := New(seed, Policy{FallbackAfter: 1 << 60, PollEvery: 1 << 60, VisitEvery: time.Minute}), noon
	var w []time.Duration
	m.Step(Start{recent}, now)
	for len(w) < n {
		rounds := m.failures
		m.Step(Refused{m.generation, err}, now)
		if m.failures > rounds {
			w = append(w, m.Next().Sub(now))
		}
		now = m.Next()
		m.Step(Tick{}, now)
		m.subackAt = now
	}
	return w
}

// TestWaits: over many seeds every wait stays in its range, and the range is
// used: full jitter, not a fixed pace with some noise.
func TestWaits(t *testing.T) {
	tests := []struct {
		name           string
		err            error
		n              int // the wait after n rounds
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
				w := waits(seed, test.n, test.err)[test.n-1]
				low, high = min(low, w), max(high, w)
			}
			span := test.ceiling - test.floor
			if low < test.floor || high >= test.ceiling || low > test.floor+span/10 || high < test.ceiling-span/10 {
				t.Errorf("waits are %v … %v; want all of %v … %v", low, high, test.floor, test.ceiling)
			}
		})
	}
}

// TestStableSession: a session of 2 minutes clears the back-off; a shorter one does
// not; three that end within 30 s are another device with our id.
func TestStableSession(t *testing.T) {
	b := newBench(t, 7)
	b.life = stableAfter - 1
	b.step(Start{recent})
	b.run(time.Hour)
	if b.m.failures < 5 {
		t.Errorf("%d failures after an hour of sessions that were not stable; want them counted", b.m.failures)
	}
	b.life = 0
	b.run(time.Hour)
	if s := b.m.Status(); s.Attempts != 0 || s.Cause != "" || !s.Stable {
		t.Errorf("status %+v; want a stable session and no failure", s)
	}
	b = newBench(t, 7)
	b.life = earlyClose - 1
	b.step(Start{recent})
	b.run(10 * time.Minute)
	if s := b.m.Status(); s.Cause != hub.CauseClosedEarly || s.Class != hub.RetrySlowly {
		t.Errorf("status %+v; want the sessions seen to be closed early\n%s", s, b.transcript())
	}
}

// TestStale: a late word from a dead connection or drain changes nothing, and a
// session that nobody waits for any more is closed.
func TestStale(t *testing.T) {
	m := New(1, policy)
	m.Step(Start{recent}, noon)
	before := m.Status()
	for _, in := range []Input{Lost{9, io.EOF}, Refused{9, io.EOF}, Drained{Generation: 9}, Reached{9}, Subscribed{9}, Drained{Generation: 1}, Reached{1}} {
		if do := m.Step(in, noon); do != nil || m.Status() != before {
			t.Errorf("%#v: %v, %+v; want nothing", in, do, m.Status())
		}
	}
	if do := m.Step(Connected{Generation: 9}, noon); len(do) != 1 || do[0] != (Disconnect{9, "connected too late"}) {
		t.Errorf("a session that nobody asked for: %v; want it closed", do)
	}
	if do := m.Step(Tick{}, m.Next()); len(do) != 1 { // no answer at all
		t.Errorf("no answer for %v: %v; want the attempt given up", connectLimit, do)
	}
	if do := m.Step(Connected{Generation: 1}, m.Next()); len(do) != 1 || do[0] != (Disconnect{1, "connected too late"}) {
		t.Errorf("a session after it was given up: %v; want it closed", do)
	}
}

// TestNeverGivesUp: whatever the hub says, for a month, there is a next attempt.
func TestNeverGivesUp(t *testing.T) {
	for _, err := range []error{io.EOF, refused5, wrong, hub.ConnackError(3), errors.New("x")} {
		b := newBench(t, 5)
		b.connack = err
		b.step(Start{recent})
		b.run(30 * 24 * time.Hour)
		if b.m.Next().IsZero() || b.connects < 1000 || len(b.polls) < 1650 {
			t.Errorf("%v: %d attempts and %d polls in a month, next %v", err, b.connects, len(b.polls), b.m.Next())
		}
	}
}

// TestBackOffOutlastsVisits: ten failed rounds are not forgotten over a session of
// no age that is left for a visit or a renewal.
func TestBackOffOutlastsVisits(t *testing.T) {
	b := newBench(t, 1)
	b.open = map[Rung]bool{}
	b.step(Start{recent})
	b.run(20 * time.Minute)
	failures := b.m.failures
	b.open[RungMQTT], b.life = true, time.Second
	for !b.session {
		b.run(time.Second / 10)
	}
	b.step(Unsettled{N: 1, Owed: 1})
	if len(b.visits) != 1 || b.m.failures < failures {
		t.Errorf("%d visits, %d failures; want the %d remembered", len(b.visits), b.m.failures, failures)
	}
	b.step(Renew{"x"})
	if b.m.failures < failures {
		t.Errorf("%d failures behind a renewal; want the %d remembered", b.m.failures, failures)
	}
}

// TestEarlyEnds: only sessions that somebody else ended soon, three in a row, are
// another device with our id.
func TestEarlyEnds(t *testing.T) {
	early := func(causes ...error) string {
		m, now := New(1, policy), noon
		m.Step(Start{recent}, now)
		for _, err := range causes {
			for m.phase != connecting {
				now = m.Next()
				for _, a := range m.Step(Tick{}, now) {
					if o, ok := a.(OpenDrain); ok {
						m.Step(Drained{Generation: o.Generation, Answered: true}, now)
					}
				}
			}
			m.Step(Connected{Generation: m.generation, Stored: true}, now)
			if err == nil {
				now = now.Add(earlyClose)
			}
			m.Step(Lost{m.generation, err}, now)
		}
		return m.cause
	}
	overflow := &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseOverflow, Err: io.EOF}
	refusedSub := &hub.Error{Class: hub.RetrySlowly, Cause: hub.CauseSubscription, Err: io.EOF}
	for _, tt := range []struct {
		causes []error
		want   string
	}{
		{[]error{io.EOF, io.EOF}, hub.CauseNetwork},
		{[]error{io.EOF, io.EOF, io.EOF}, hub.CauseClosedEarly},
		{[]error{io.EOF, io.EOF, nil, io.EOF}, hub.CauseNetwork},
		{[]error{refusedSub, refusedSub, refusedSub, refusedSub}, hub.CauseSubscription},
		{[]error{overflow, overflow, overflow, overflow}, hub.CauseOverflow},
	} {
		if got := early(tt.causes...); got != tt.want {
			t.Errorf("%v: %s; want %s", tt.causes, got, tt.want)
		}
	}
}

// TestStableNeedsASubscription: a session that never got its SUBACK is not stable.
func TestStableNeedsASubscription(t *testing.T) {
	m := New(1, policy)
	m.Step(Start{recent}, noon)
	m.Step(Connected{Generation: 1, Stored: true}, noon)
	m.Step(Tick{}, noon.Add(time.Hour))
	if m.Status().Stable {
		t.Error("stable without a SUBACK")
	}
	m.Step(Subscribed{1}, noon.Add(time.Hour))
	m.Step(Tick{}, noon.Add(time.Hour))
	if !m.Status().Stable {
		t.Error("not stable with one")
	}
}

// TestBriefLook: while 443 is known to work, 8883 is not waited for.
func TestBriefLook(t *testing.T) {
	for rung, want := range map[Rung]time.Duration{RungMQTT: fullTry, RungWebSocket: briefTry} {
		m := New(1, policy)
		past := recent
		past.Rung = rung
		m.Step(Start{past}, noon)
		m.rung, m.other = RungMQTT, false
		if got := m.connect(false, noon)[0].(Connect).Within; got != want {
			t.Errorf("8883 while %v is good: %v; want %v", rung, got, want)
		}
	}
}
