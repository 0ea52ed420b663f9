package link

import (
	"io"
	"testing"
	"time"

	"actuatord/hub"
)

// TestPolls: MQTT blocked from the start: the first poll after 5 minutes, then one
// in 25 to 26; none once a session is stable.
func TestPolls(t *testing.T) {
	b := newBench(t, 1)
	b.open = map[Rung]bool{}
	b.step(Start{recent})
	b.run(3 * 24 * time.Hour)
	if got := b.polls[0].Sub(noon); got < 5*time.Minute || got >= 5*time.Minute+pollSpread {
		t.Errorf("the first poll came after %v; want 5m to 6m", got)
	}
	for i := range b.polls[1:] {
		if gap := b.polls[i+1].Sub(b.polls[i]); gap < 25*time.Minute || gap >= 25*time.Minute+pollSpread {
			t.Fatalf("poll %d came %v after the last; want 25m to 26m", i+1, gap)
		}
	}
	if n := len(b.polls); n < 166 || n > 173 {
		t.Errorf("%d polls in three days; want 166 to 173", n)
	}
	b.open[RungMQTT] = true
	b.run(10 * time.Minute)
	n := len(b.polls)
	b.run(24 * time.Hour)
	if !b.session || len(b.polls) != n {
		t.Errorf("%d polls in a day of session; want none\n%s", len(b.polls)-n, b.transcript())
	}
	// Sessions that never become stable do not stop the polls.
	b = newBench(t, 1)
	b.life = time.Minute
	b.step(Start{recent})
	b.run(10 * time.Hour)
	if len(b.polls) < 22 {
		t.Errorf("%d polls in ten hours of sessions of a minute; want one in 25 minutes\n%s", len(b.polls), b.transcript())
	}
}

// TestPollFloorOverRestarts: whatever restarts and clocks do, two polls are never
// less than 25 minutes apart; and no clock puts one off by more than that.
func TestPollFloorOverRestarts(t *testing.T) {
	clocks := map[string]func(real time.Time, n int) (time.Time, bool){
		"right":     func(real time.Time, _ int) (time.Time, bool) { return real, true },
		"untrusted": func(real time.Time, _ int) (time.Time, bool) { return real, false },
		"1970": func(real time.Time, _ int) (time.Time, bool) {
			return time.Unix(int64(real.Sub(noon)/time.Second), 0), false
		},
		"back and forth": func(real time.Time, n int) (time.Time, bool) {
			return real.Add(time.Duration(n%5-2) * 24 * time.Hour), false
		},
		"years ahead": func(real time.Time, _ int) (time.Time, bool) { return real.AddDate(40, 0, 0), false },
		"by turns":    func(real time.Time, n int) (time.Time, bool) { return real, n%2 == 0 },
	}
	for name, clock := range clocks {
		t.Run(name, func(t *testing.T) {
			var last, durable time.Time
			var trusted bool
			now, polls := noon, 0
			for n := range 100 {
				b := newBench(t, uint64(n))
				b.now, b.open = now, map[Rung]bool{}
				wall, ok := clock(now, n)
				b.step(Start{Past{Wall: wall, Trusted: ok, LastSuback: noon, LastPoll: durable, PollTrusted: trusted}})
				began := now
				b.run(time.Duration(1+n%31) * time.Minute)
				for _, p := range b.polls {
					if !last.IsZero() && p.Sub(last) < 25*time.Minute {
						t.Fatalf("run %d: a poll %v after the last", n, p.Sub(last))
					}
					last = p
					polls++
					at, ok := clock(p, n)
					durable, trusted = at, ok
				}
				if len(b.polls) == 0 && b.now.Sub(began) > 25*time.Minute+pollSpread {
					t.Fatalf("run %d: no poll in %v", n, b.now.Sub(began))
				}
				now = b.now.Add(5 * time.Second)
			}
			if polls == 0 {
				t.Error("no poll at all")
			}
		})
	}
}

// TestClockSet: a clock that becomes trusted has the stored time looked at again.
func TestClockSet(t *testing.T) {
	b := newBench(t, 1)
	b.open = map[Rung]bool{}
	b.step(Start{Past{Wall: time.Unix(0, 0), LastPoll: noon.Add(-20 * time.Minute), PollTrusted: true}})
	b.run(time.Minute)
	b.step(ClockSet{Wall: b.now})
	b.run(6 * time.Minute)
	if len(b.polls) != 1 || b.polls[0].Sub(noon.Add(5*time.Minute)).Abs() >= pollSpread {
		t.Errorf("polls at %v; want one after 5 minutes, 25 after the last\n%s", b.polls, b.transcript())
	}
	b = newBench(t, 1)
	b.open = map[Rung]bool{}
	b.step(Start{Past{Wall: time.Unix(0, 0), LastPoll: noon.Add(-20 * time.Minute)}}) // written untrusted: counts as this start
	b.run(time.Minute)
	b.step(ClockSet{Wall: b.now})
	b.run(30 * time.Minute)
	if len(b.polls) != 1 || b.polls[0].Before(noon.Add(25*time.Minute)) {
		t.Errorf("polls at %v; want one 25 minutes after the start\n%s", b.polls, b.transcript())
	}
}

// TestVisits: the first at once, later ones 1 h / settle_visits apart, also over
// restarts; unreachable HTTPS stretches them, four times at most.
func TestVisits(t *testing.T) {
	b := newBench(t, 1)
	b.step(Start{recent})
	b.run(10 * time.Minute)
	b.step(Unsettled{N: 1, Owed: 1})
	if len(b.visits) != 1 || !b.session {
		t.Fatalf("visits %v, session %v; want one at once, and the session back\n%s", b.visits, b.session, b.transcript())
	}
	for range 12 * 60 {
		b.step(Unsettled{N: 1, Owed: 1})
		b.run(time.Minute)
	}
	for i := range b.visits[1:] {
		if gap := b.visits[i+1].Sub(b.visits[i]); gap != 5*time.Minute {
			t.Fatalf("visit %d came after %v; want 5m\n%s", i+1, gap, b.transcript())
		}
	}
	b.rest = false
	n := len(b.visits)
	for range 6 * 60 {
		b.step(Unsettled{N: 1, Owed: 1})
		b.run(time.Minute)
	}
	last := b.visits[len(b.visits)-1].Sub(b.visits[len(b.visits)-2])
	if got := len(b.visits) - n; got > 24 || got < 15 || last != 20*time.Minute {
		t.Errorf("%d visits in 6 h without HTTPS, the last after %v; want them 20 minutes apart\n%s", got, last, b.transcript())
	}
	b = newBench(t, 1)
	past := recent
	past.LastVisit, past.VisitTrusted = noon.Add(-time.Minute), true
	b.step(Start{past})
	b.step(Unsettled{N: 1, Owed: 1})
	b.run(4*time.Minute - 1)
	if len(b.visits) != 0 {
		t.Errorf("a visit %v after the start; want the last run's remembered", b.visits[0].Sub(noon))
	}
	b.run(1)
	if len(b.visits) != 1 {
		t.Errorf("%d visits 5 minutes after the last run's; want one", len(b.visits))
	}
}

// TestClockSetRecalls: with the right time the stored SUBACK counts, and what was
// refused for the wrong one is tried again at once, before or after the first poll.
func TestClockSetRecalls(t *testing.T) {
	for _, wait := range []time.Duration{2 * time.Second, time.Minute, 7 * time.Minute} {
		b := newBench(t, 1)
		b.rest, b.connack = false, refused5
		b.step(Start{Past{Wall: time.Unix(0, 0), LastSuback: noon.Add(-time.Hour), LastPoll: noon.Add(-time.Minute), PollTrusted: true}})
		b.run(wait)
		b.connack = nil
		set := b.now
		b.step(ClockSet{Wall: set})
		b.step(Resign{})
		b.run(3 * time.Second)
		if !b.session {
			t.Errorf("%v after the clock was set: no session\n%s", b.now.Sub(set), b.transcript())
		}
	}
	// What the hub has forgotten in this run is not remembered from an earlier one.
	b := newBench(t, 1)
	b.step(Start{Past{Wall: time.Unix(0, 0), LastSuback: noon.Add(-time.Hour)}})
	b.run(time.Minute)
	b.stored, b.session = false, false
	b.step(Lost{b.m.generation, io.EOF})
	b.rest = false
	b.run(2 * time.Second) // forgotten, drained in vain, and so on
	b.m.subacked = false
	if b.m.forgotten = true; b.m.phase == up {
		b.step(Lost{b.m.generation, io.EOF})
		b.session = false
	}
	if b.step(ClockSet{Wall: b.now}); b.m.subacked {
		t.Error("a forgotten subscription is remembered over a clock that was set")
	}
	// A closed road is closed at any time.
	b = newBench(t, 1)
	b.open = map[Rung]bool{}
	b.step(Start{recent})
	b.run(time.Minute)
	due := b.m.Next()
	b.step(Resign{})
	if !b.m.Next().Equal(due) {
		t.Errorf("a clock that was set brought the next attempt from %v to %v", due, b.m.Next())
	}
}

// TestStoredTimeAhead: a stored time that lies in the future of a trusted clock says
// nothing: the wait is 25 minutes, no more and no less.
func TestStoredTimeAhead(t *testing.T) {
	past := recent
	past.LastPoll, past.PollTrusted, past.LastVisit, past.VisitTrusted = noon.AddDate(1, 0, 0), true, noon.AddDate(1, 0, 0), true
	b := newBench(t, 1)
	b.open = map[Rung]bool{}
	b.step(Start{past})
	b.run(time.Hour)
	if got := b.polls[0].Sub(noon); got < 25*time.Minute || got >= 25*time.Minute+pollSpread {
		t.Errorf("the first poll came after %v; want 25m", got)
	}
	if b.m.visitFloor.Sub(noon) != policy.VisitEvery {
		t.Errorf("no visit for %v; want %v", b.m.visitFloor.Sub(noon), policy.VisitEvery)
	}
}

// TestClockSetAfterAPoll: a poll of this run is not forgotten over a stored one.
func TestClockSetAfterAPoll(t *testing.T) {
	b := newBench(t, 1)
	b.open = map[Rung]bool{}
	b.step(Start{Past{Wall: time.Unix(0, 0), LastPoll: noon.Add(-24 * time.Hour), PollTrusted: true}})
	b.run(27 * time.Minute)
	b.step(ClockSet{Wall: b.now})
	b.run(24 * time.Minute)
	if len(b.polls) != 1 {
		t.Errorf("%d polls in 51 minutes: %v\n%s", len(b.polls), b.polls, b.transcript())
	}
	b = newBench(t, 1)
	b.step(Start{Past{Wall: time.Unix(0, 0), LastVisit: noon.Add(-24 * time.Hour), VisitTrusted: true}})
	b.run(6 * time.Minute)
	b.step(Unsettled{N: 1, Owed: 1})
	b.step(ClockSet{Wall: b.now})
	b.step(Unsettled{N: 1, Owed: 1})
	b.run(time.Minute)
	if len(b.visits) != 1 {
		t.Errorf("%d visits within 5 minutes\n%s", len(b.visits), b.transcript())
	}
}

// TestPollsAreSpread: devices that lost their hub together do not poll together.
func TestPollsAreSpread(t *testing.T) {
	seconds := map[int64]int{}
	for seed := range uint64(1000) {
		m := New(seed, policy)
		m.Step(Start{recent}, noon)
		m.Step(Connected{Generation: 1, Stored: true}, noon)
		m.Step(Subscribed{1}, noon)
		lost := noon.Add(time.Hour)
		m.Step(Lost{1, io.EOF}, lost)
		seconds[int64(m.pollDue().Sub(lost)/time.Second)]++
	}
	if len(seconds) < 55 {
		t.Errorf("1000 devices poll in %d different seconds; want them spread over a minute", len(seconds))
	}
}

// TestPollKeepsTheWait: a poll brings no attempt forward that has to wait for longer.
func TestPollKeepsTheWait(t *testing.T) {
	for seed := range uint64(50) {
		m := New(seed, policy)
		m.Step(Start{recent}, noon)
		m.Step(Refused{m.generation, wrong}, noon)
		due, now := m.due, m.pollDue()
		o := m.Step(Tick{}, now)[0].(OpenDrain)
		m.Step(Drained{Generation: o.Generation, Answered: true}, now)
		if m.due.Before(due) {
			t.Fatalf("seed %d: the attempt due at %v is now due at %v", seed, due.Sub(noon), m.due.Sub(noon))
		}
	}
}

// TestRetryAfterOutlivesTheDrain: neither poll nor visit comes before the hub wants it.
func TestRetryAfterOutlivesTheDrain(t *testing.T) {
	m := New(1, policy)
	m.Step(Start{recent}, noon)
	m.Step(Refused{m.generation, io.EOF}, noon)
	now := m.pollDue()
	o := m.Step(Tick{}, now)[0].(OpenDrain)
	m.Step(Drained{Generation: o.Generation, Err: errBusy, Wait: time.Hour}, now)
	if m.pollDue().Before(now.Add(time.Hour)) {
		t.Errorf("the next poll is due in %v; want an hour", m.pollDue().Sub(now))
	}
	m = New(1, policy)
	m.Step(Start{recent}, noon)
	m.Step(Connected{Generation: 1, Stored: true}, noon)
	m.Step(Subscribed{1}, noon)
	m.Step(Unsettled{1, 1}, noon)
	o = m.Step(Lost{Generation: 1}, noon)[0].(OpenDrain)
	m.Step(Drained{Generation: o.Generation, Err: errBusy, Wait: time.Hour}, noon)
	if m.visitFloor.Before(noon.Add(time.Hour)) {
		t.Errorf("the next visit is due in %v; want an hour", m.visitFloor.Sub(noon))
	}
}

// TestUrgentVisits: when so much is unsettled that the hub may deliver no more, a
// visit does not wait for its turn; Rush of them are to be had, and come back at the
// pace of the others.
func TestUrgentVisits(t *testing.T) {
	rushed := policy
	rushed.Rush = 3
	b := newBench(t, 1)
	b.m = New(1, rushed)
	b.step(Start{recent})
	b.run(time.Minute)
	for range 60 {
		b.step(Unsettled{N: pressing, Owed: 1})
		b.run(10 * time.Second)
	}
	if n := len(b.visits); n != 1+3+2 { // the one that is free, the store, and what came to it in ten minutes
		t.Errorf("%d visits in ten minutes: %v", n, b.visits)
	}
	for i := range b.visits[1:] {
		if gap := b.visits[i+1].Sub(b.visits[i]); gap < rushGap {
			t.Errorf("visit %d came after %v; want %v", i+1, gap, rushGap)
		}
	}
	b.run(time.Hour)
	n := len(b.visits)
	for range 6 * 60 {
		b.step(Unsettled{N: pressing, Owed: 1})
		b.run(10 * time.Second)
	}
	if n = len(b.visits) - n; n > 12+3+1 {
		t.Errorf("%d visits in an hour; want 12 and 3 urgent ones", n)
	}
	// What is not urgent keeps its distance, also behind urgent ones.
	b = newBench(t, 1)
	b.m = New(1, rushed)
	b.step(Start{recent})
	b.run(time.Minute)
	b.step(Unsettled{N: 1, Owed: 1})
	b.run(30 * time.Second)
	b.step(Unsettled{N: pressing, Owed: 1})
	last := b.now
	for len(b.visits) < 3 && b.now.Before(last.Add(time.Hour)) {
		b.step(Unsettled{N: 1, Owed: 1})
		b.run(time.Second)
	}
	if gap := b.visits[2].Sub(b.visits[1]); gap != policy.VisitEvery {
		t.Errorf("an ordinary visit came %v after an urgent one; want %v", gap, policy.VisitEvery)
	}
	// While HTTPS cannot be reached there is nothing to hurry for.
	b = newBench(t, 1)
	b.m, b.rest = New(1, rushed), false
	b.step(Start{recent})
	b.run(time.Minute)
	for range 60 {
		b.step(Unsettled{N: pressing, Owed: 1})
		b.run(10 * time.Second)
	}
	if n := len(b.visits); n > 2 {
		t.Errorf("%d visits in ten minutes without HTTPS: %v", n, b.visits)
	}
}

// TestBlockedByDrains: after three first-subscribe drains without a SUBACK the next
// waits for the next poll, says so, and restarts do not put that off.
func TestBlockedByDrains(t *testing.T) {
	past := Past{Wall: noon, Trusted: true, FirstDrains: firstLimit}
	b := newBench(t, 1)
	b.step(Start{past})
	if s := b.m.Status(); s.Detail == "" || s.Class != hub.RetrySlowly {
		t.Errorf("status %+v; want it said what it waits for", s)
	}
	b.run(pollSpread)
	b.same("poll", "connect mqtt", "subscribe")
	past.LastPoll, past.PollTrusted = noon.Add(-20*time.Minute), true
	for n := range 4 { // starts, five minutes apart, that end before they are through
		b = newBench(t, uint64(n))
		b.now = noon.Add(time.Duration(n) * 90 * time.Second)
		past.Wall = b.now
		b.step(Start{past})
		b.run(time.Minute)
	}
	b.run(2 * time.Minute)
	if !b.session {
		t.Errorf("no session 27 minutes after the last poll\n%s", b.transcript())
	}
}
