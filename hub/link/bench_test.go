package link

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
)

var (
	noon     = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	refused5 = hub.ConnackError(5)
	wrong    = &hub.Error{Class: hub.Misconfigured, Cause: hub.CauseIdentity, Err: io.EOF}
	policy   = Policy{FallbackAfter: 5 * time.Minute, PollEvery: 25 * time.Minute, VisitEvery: 5 * time.Minute}
	recent   = Past{Wall: noon, Trusted: true, LastSuback: noon.Add(-time.Hour)}
)

// A bench performs a machine's actions against a network and a hub that it is
// told to be, and keeps a transcript.
type bench struct {
	t   *testing.T
	m   *Machine
	now time.Time

	open    map[Rung]bool // rungs that can be reached
	connack error         // what CONNECT is refused with
	stored  bool          // the hub keeps our session
	rest    bool          // HTTPS answers
	broken  error         // a drain ends with it behind the first message
	life    time.Duration // how long a session lives; 0: until it is left
	ends    time.Time     // of the present session

	lines    []string
	polls    []time.Time
	visits   []time.Time
	firsts   int
	connects int
	session  bool
	draining bool
}

func newBench(t *testing.T, seed uint64) *bench {
	return &bench{t: t, m: New(seed, policy), now: noon, open: map[Rung]bool{RungMQTT: true, RungWebSocket: true}, rest: true, stored: true}
}

func (b *bench) note(format string, args ...any) {
	b.lines = append(b.lines, fmt.Sprintf("%v ", b.now.Sub(noon).Round(time.Second))+fmt.Sprintf(format, args...))
}

// step tells the machine and performs what it asks for, at once.
func (b *bench) step(in Input) {
	b.t.Helper()
	for _, a := range b.m.Step(in, b.now) {
		switch a := a.(type) {
		case Probe:
			b.note("probe %v", a.Rung)
			if b.open[a.Rung] {
				b.step(Reached{a.Generation})
			} else {
				b.step(Refused{a.Generation, io.EOF})
			}
		case Connect:
			b.connect(a)
		case Subscribe:
			b.note("subscribe")
			b.step(Subscribed(a))
		case Disconnect:
			b.note("leave: %s", a.Why)
			b.session = false
			b.step(Lost{a.Generation, nil})
		case OpenDrain:
			b.drain(a)
		}
	}
}

func (b *bench) connect(a Connect) {
	if b.session || b.draining {
		b.t.Fatalf("CONNECT while a session stands or a drain is open\n%s", b.transcript())
	}
	b.connects++
	blind := ""
	if a.Blind {
		blind = " blind"
	}
	b.note("connect %v%s", a.Rung, blind)
	switch {
	case !b.open[a.Rung]:
		b.step(Refused{a.Generation, io.EOF})
	case b.connack != nil:
		b.step(Refused{a.Generation, b.connack})
	default:
		b.session = true
		b.ends = time.Time{}
		if b.life > 0 {
			b.ends = b.now.Add(b.life)
		}
		b.step(Connected{Generation: a.Generation, Stored: b.stored})
	}
}

func (b *bench) drain(a OpenDrain) {
	if b.session || b.draining {
		b.t.Fatalf("drain while a session stands or another is open\n%s", b.transcript())
	}
	b.note("%v", a.Kind)
	switch a.Kind {
	case Poll:
		b.polls = append(b.polls, b.now)
	case Visit:
		b.visits = append(b.visits, b.now)
	case First:
		b.firsts++
	}
	b.draining = true
	d := Drained{Generation: a.Generation, Answered: b.rest, Err: b.broken}
	if !b.rest {
		d.Err = io.EOF
	}
	b.draining = false
	b.step(d)
}

// run lets time pass.
func (b *bench) run(d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); ; {
		next := b.m.Next()
		if !b.ends.IsZero() && b.session {
			next = earlier(next, b.ends)
		}
		if next.IsZero() || next.After(end) {
			b.now = end
			return
		}
		if next.After(b.now) {
			b.now = next
		}
		if b.session && !b.ends.IsZero() && !b.now.Before(b.ends) {
			b.session = false
			b.note("lost")
			b.step(Lost{b.m.generation, io.EOF})
			continue
		}
		before := len(b.lines)
		b.step(Tick{})
		if len(b.lines) == before && !b.m.Next().IsZero() && !b.m.Next().After(b.now) {
			b.t.Fatalf("a tick at Next changed nothing, and Next has passed: %+v\n%s", b.m.Status(), b.transcript())
		}
	}
}

func (b *bench) transcript() string {
	return strings.Join(b.lines[max(0, len(b.lines)-60):], "\n")
}

// same compares the transcript, without its times, with want.
func (b *bench) same(want ...string) {
	b.t.Helper()
	var got []string
	for _, l := range b.lines {
		_, what, _ := strings.Cut(l, " ")
		got = append(got, what)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		b.t.Errorf("what happened:\n%s\n\nwant:\n%s", g, w)
	}
}
