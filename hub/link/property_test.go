package link

import (
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"actuatord/hub"
)

// world performs a machine's actions and notes what it must never do.
type world struct {
	m, twin *Machine // same seed, same inputs
	now     time.Time

	kind    string // what is outstanding: "", "probe", "connect", "session", "drain"
	leaving bool
	gen     uint64
	asked   time.Time // of the last CONNECT
	poll    time.Time
	visit   time.Time
	drained time.Time
	born    time.Time
	started bool
}

func (w *world) step(t *rapid.T, in Input) {
	do := w.m.Step(in, w.now)
	if again := w.twin.Step(in, w.now); !reflect.DeepEqual(do, again) || !w.m.Next().Equal(w.twin.Next()) {
		t.Fatalf("same seed and inputs, other answers: %v and %v", do, again)
	}
	for _, a := range do {
		w.perform(t, a)
	}
	if w.started && w.m.Next().IsZero() && w.kind == "" {
		t.Fatalf("nothing is outstanding and no tick is due: %+v", w.m.Status())
	}
}

// begin takes a new thing that is outstanding. A second one is allowed only when
// the first was left and never answered.
func (w *world) begin(t *rapid.T, kind string, gen uint64) {
	if w.kind != "" && (!w.leaving || w.now.Sub(w.born) < leaveLimit) {
		t.Fatalf("%s %d while %s %d is outstanding", kind, gen, w.kind, w.gen)
	}
	if gen <= w.gen {
		t.Fatalf("%s of generation %d after %d", kind, gen, w.gen)
	}
	w.kind, w.gen, w.leaving = kind, gen, false
}

func (w *world) perform(t *rapid.T, a Action) {
	switch a := a.(type) {
	case Probe:
		w.begin(t, "probe", a.Generation)
	case Connect:
		w.begin(t, "connect", a.Generation)
		// A drain may answer in no time here; it has a bound of its own.
		if !w.asked.IsZero() && w.now.Sub(w.asked) < floorSoon && w.drained != w.now {
			t.Fatalf("CONNECT only %v after the last", w.now.Sub(w.asked))
		}
		w.asked = w.now
	case Disconnect:
		if a.Generation == w.gen && !w.leaving {
			w.leaving, w.born = true, w.now
		}
	case OpenDrain:
		w.begin(t, "drain", a.Generation)
		w.drained = w.now
		switch a.Kind {
		case Poll:
			if !w.poll.IsZero() && w.now.Sub(w.poll) < policy.PollEvery {
				t.Fatalf("a poll only %v after the last", w.now.Sub(w.poll))
			}
			w.poll = w.now
		case Visit:
			if !w.visit.IsZero() && w.now.Sub(w.visit) < policy.VisitEvery {
				t.Fatalf("a visit only %v after the last", w.now.Sub(w.visit))
			}
			w.visit = w.now
		}
	}
}

// TestProperties drives the machine with any inputs in any order, also senseless
// ones, and any times that do not run backwards.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		ago := noon.Add(-time.Duration(rapid.IntRange(0, 40).Draw(t, "ago")) * time.Minute)
		told := recent
		told.LastPoll, told.PollTrusted, told.LastVisit, told.VisitTrusted = ago, true, ago, true
		untold := told
		untold.Trusted, untold.Wall = false, time.Unix(0, 0)
		pasts := []Past{recent, {}, {Wall: noon, Trusted: true}, told, untold}
		w := &world{m: New(seed, policy), twin: New(seed, policy), now: noon}
		failure := rapid.SampledFrom([]error{nil, io.EOF, refused5, wrong, hub.ConnackError(3), errors.New("x")})
		is := func(t *rapid.T, kinds ...string) {
			for _, k := range kinds {
				if w.kind == k {
					return
				}
			}
			t.Skip("nothing to answer")
		}
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) {
				past := rapid.SampledFrom(pasts).Draw(t, "past")
				if !w.started && !past.LastPoll.IsZero() {
					w.poll, w.visit = ago, ago // so it was, whatever the clock says
				}
				w.started = true
				w.step(t, Start{past})
			},
			"pass": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.Int64Range(0, int64(40*time.Minute)).Draw(t, "d")))
				w.step(t, Tick{})
			},
			"next": func(t *rapid.T) {
				if next := w.m.Next(); next.After(w.now) {
					w.now = next
				}
				w.step(t, Tick{})
			},
			"reached": func(t *rapid.T) {
				if is(t, "probe"); !w.leaving {
					w.kind = ""
				}
				w.step(t, Reached{w.gen})
			},
			"connected": func(t *rapid.T) {
				is(t, "connect")
				w.kind = "session"
				life := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "life"))
				w.step(t, Connected{w.gen, rapid.Bool().Draw(t, "stored"), w.now.Add(life * 8 / 10), w.now.Add(life * 95 / 100)})
			},
			"subscribed": func(t *rapid.T) { is(t, "session"); w.step(t, Subscribed{w.gen}) },
			"end": func(t *rapid.T) {
				is(t, "probe", "connect", "session")
				lost := w.kind == "session"
				if w.kind = ""; lost {
					w.step(t, Lost{w.gen, failure.Draw(t, "err")})
					return
				}
				w.step(t, Refused{w.gen, failure.Draw(t, "err")})
			},
			"drained": func(t *rapid.T) {
				is(t, "drain")
				w.kind, w.drained = "", w.now
				err := failure.Draw(t, "err")
				w.step(t, Drained{w.gen, rapid.Bool().Draw(t, "answered"), err, time.Duration(rapid.IntRange(0, 60).Draw(t, "wait")) * time.Minute})
			},
			"stale": func(t *rapid.T) {
				if g := rapid.Uint64Range(0, 4).Draw(t, "g"); g != w.gen {
					w.step(t, Lost{g, io.EOF})
					w.step(t, Drained{Generation: g})
				}
			},
			"unsettled": func(t *rapid.T) {
				w.step(t, Unsettled{rapid.IntRange(0, 3).Draw(t, "n"), rapid.IntRange(0, 1).Draw(t, "owed")})
			},
			"credentials": func(t *rapid.T) {
				w.now = w.now.Add(floorSoon) // a person
				w.step(t, Credentials{})
			},
			"clock":  func(t *rapid.T) { w.step(t, ClockSet{w.now}) },
			"renew":  func(t *rapid.T) { w.step(t, Renew{"x"}) },
			"resign": func(t *rapid.T) { w.now = w.now.Add(floorSoon); w.step(t, Resign{}) },
		})
	})
}

// TestRestlessBoard: a board that never runs for long enough to fall back looks at the
// queue all the same, and no more often than others.
func TestRestlessBoard(t *testing.T) {
	for name, run := range map[string]time.Duration{"falls at once": time.Second, "after a minute": time.Minute, "before it would fall back": 4 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			var polls []time.Time
			past, now := Past{Wall: noon, Trusted: true, LastSuback: noon, PollTrusted: true}, noon
			for now.Sub(noon) < 10*time.Hour {
				b := newBench(t, uint64(now.Unix()))
				b.now, b.open = now, map[Rung]bool{}
				past.Wall = now
				past.Starts++
				b.step(Start{past})
				b.run(run)
				if len(b.polls) > 0 {
					polls = append(polls, b.polls...)
					past.LastPoll, past.Starts = b.polls[len(b.polls)-1], 0
				}
				now = now.Add(run + 5*time.Second)
			}
			for i := range polls[min(1, len(polls)):] {
				if d := polls[i+1].Sub(polls[i]); d < 25*time.Minute {
					t.Errorf("two polls %v apart", d)
				}
			}
			if len(polls) < 20 {
				t.Errorf("%d polls in ten hours; want one in half an hour or less", len(polls))
			}
		})
	}
}
