package link

import (
	"io"
	"testing"
	"time"

	"actuatord/hub"
)

// TestCredentials: new ones are tried at once, whatever the old were answered, also
// when they come in the middle of an attempt or a poll.
func TestCredentials(t *testing.T) {
	for seed := range uint64(20) {
		m := New(seed, policy)
		m.Step(Start{recent}, noon)
		m.Step(Refused{m.generation, refused5}, noon)
		now := m.due
		if m.Step(Tick{}, now); m.phase == draining {
			m.Step(Drained{Generation: m.generation, Answered: true}, now)
			now = m.Next()
			m.Step(Tick{}, now)
		}
		m.Step(Credentials{}, now) // in the middle of the second attempt
		m.Step(Refused{m.generation, io.EOF}, now)
		if w := m.due.Sub(now); w > 2*time.Second {
			t.Fatalf("seed %d: in an attempt: the next is in %v", seed, w)
		}
		m = New(seed, policy)
		m.Step(Start{recent}, noon)
		m.Step(Refused{m.generation, wrong}, noon)
		now = m.pollDue()
		o := m.Step(Tick{}, now)[0].(OpenDrain)
		m.Step(Credentials{}, now)
		m.Step(Drained{Generation: o.Generation, Answered: true}, now)
		if w := m.due.Sub(now); w > 2*time.Second {
			t.Fatalf("seed %d: in a poll: the next attempt is in %v", seed, w)
		}
	}
}

// TestSteppedClock: a session that was signed by a clock that has since been set is
// renewed, at once or as soon as it is old enough; so is an attempt under way.
func TestSteppedClock(t *testing.T) {
	b := newBench(t, 1)
	b.step(Start{recent})
	b.run(10 * time.Second)
	b.lines = nil
	b.step(Resign{})
	b.run(earlyClose)
	b.same("leave: the clock was set", "connect mqtt", "subscribe")
	b.run(time.Hour)
	b.lines = nil
	b.step(Resign{})
	b.same("leave: the clock was set", "connect mqtt", "subscribe")

	// A certificate that is refused for its dates was judged by the wrong ones.
	m := New(1, policy)
	m.Step(Start{recent}, noon)
	for range 12 {
		m.Step(Refused{m.generation, &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseTLS, Err: io.EOF}}, m.Next())
		m.Step(Tick{}, m.Next())
		if m.phase == draining {
			m.Step(Drained{Generation: m.generation, Answered: true}, m.since)
			m.Step(Tick{}, m.Next())
		}
	}
	now := m.since
	m.Step(Refused{m.generation, &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseTLS, Err: io.EOF}}, now)
	if m.Step(Resign{}, now); m.phase == waiting && m.due.Sub(now) > floorSoon {
		t.Errorf("the next attempt is due in %v; want it at once", m.due.Sub(now))
	}

	m = New(1, policy)
	m.Step(Start{recent}, noon)
	if do := m.Step(Resign{}, noon); len(do) != 1 || do[0] != (Disconnect{1, "the clock was set"}) {
		t.Errorf("while connecting: %v; want the attempt given up", do)
	}
}

// TestRenewal: at 80 % when nothing is unsettled, at 95 % regardless, and never in
// a loop without a wait.
func TestRenewal(t *testing.T) {
	at80, at95 := noon.Add(48*time.Minute), noon.Add(57*time.Minute)
	up := func() *Machine {
		m := New(1, policy)
		m.Step(Start{recent}, noon)
		m.Step(Connected{Generation: 1, Stored: true, Renew80: at80, Renew95: at95}, noon)
		m.Step(Subscribed{1}, noon)
		m.Step(Tick{}, noon.Add(stableAfter))
		return m
	}
	m := up()
	if !m.Next().Equal(at80) || m.Step(Tick{}, at80.Add(-1)) != nil || len(m.Step(Tick{}, at80)) != 1 {
		t.Error("a session with nothing unsettled is not left at 80 %, exactly")
	}
	m = up()
	m.Step(Unsettled{N: 2}, noon.Add(time.Hour/2))
	if !m.Next().Equal(at95) || m.Step(Tick{}, at80) != nil {
		t.Error("a session with deliveries unsettled is left at 80 %")
	}
	if len(m.Step(Unsettled{N: 0}, at80.Add(time.Second))) != 1 {
		t.Error("the last delivery settled after 80 % does not renew")
	}
	m = New(1, policy)
	m.Step(Start{recent}, noon)
	m.Step(Connected{Generation: 1, Stored: true, Renew80: noon}, noon)
	if do := m.Step(Lost{1, nil}, noon); do != nil || m.Status().Phase != "waiting" {
		t.Errorf("a token old at once: %v, %+v; want a wait", do, m.Status())
	}
}

// TestRefusalIsForgotten: a CONNACK that said no has the next first-subscribe drain
// wait for a poll, until new credentials or a SUBACK say that the hub wants us.
func TestRefusalIsForgotten(t *testing.T) {
	fresh := Past{Wall: noon, Trusted: true}
	b := newBench(t, 1)
	b.connack = refused5
	b.step(Start{fresh})
	b.run(time.Minute)
	b.connack, b.lines = nil, nil
	b.step(Credentials{})
	b.same("probe mqtt", "first-subscribe drain", "connect mqtt", "subscribe")

	b = newBench(t, 1)
	b.connack = refused5
	b.step(Start{fresh})
	b.run(time.Minute)
	b.connack = nil
	b.run(10 * time.Minute) // by way of a poll
	if b.firsts = 0; !b.session {
		t.Fatalf("no session\n%s", b.transcript())
	}
	b.stored, b.session, b.lines = false, false, nil
	b.step(Lost{b.m.generation, io.EOF})
	b.run(3 * time.Second)
	if b.firsts != 1 {
		t.Errorf("%d first-subscribe drains behind a SUBACK; want one, at once\n%s", b.firsts, b.transcript())
	}

	// A poll that stands in for the drain and breaks off is as blind as one.
	b = newBench(t, 1)
	b.connack = refused5
	b.step(Start{fresh})
	b.run(time.Minute)
	b.connack, b.broken, b.lines = nil, io.EOF, nil
	b.run(7 * time.Minute)
	b.same("poll", "connect mqtt blind", "subscribe")
}
