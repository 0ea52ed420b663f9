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

	live      map[uint64]bool      // connections asked for and not yet answered as ended
	leaving   map[uint64]time.Time // when they were asked to end
	born      map[uint64]time.Time // when they were connected
	lastAsked time.Time
	last      uint64
	running   bool
}

func newWorld(seed uint64) *world {
	return &world{m: New(seed), twin: New(seed), now: noon, live: map[uint64]bool{}, leaving: map[uint64]time.Time{}, born: map[uint64]time.Time{}}
}

func (w *world) step(t *rapid.T, in Input) {
	do := w.m.Step(in, w.now)
	if again := w.twin.Step(in, w.now); !reflect.DeepEqual(do, again) || !w.m.Next().Equal(w.twin.Next()) {
		t.Fatalf("same seed and inputs, other answers: %v and %v", do, again)
	}
	for _, a := range do {
		switch a := a.(type) {
		case Connect:
			w.connect(t, a)
		case Disconnect:
			if !w.live[a.Generation] {
				t.Fatalf("%v: no such connection", a)
			}
			if _, again := w.leaving[a.Generation]; !again {
				w.leaving[a.Generation] = w.now
			}
		}
	}
	if w.running && !w.m.Status().Connected && w.m.Next().IsZero() {
		t.Fatalf("started and not connected, but there is no next tick: %+v", w.m.Status())
	}
	if !w.running && w.m.Status().Connected {
		t.Fatalf("connected although it was stopped: %+v", w.m.Status())
	}
}

func (w *world) connect(t *rapid.T, a Connect) {
	if !w.running {
		t.Fatalf("%v although it was stopped", a)
	}
	for g := range w.live {
		since, left := w.leaving[g]
		if !left || w.now.Sub(since) < leaveLimit {
			t.Fatalf("%v while %d is outstanding", a, g)
		}
	}
	if a.Generation != w.last+1 {
		t.Fatalf("%v after generation %d", a, w.last)
	}
	// The one way to reconnect without the floor is to renew a session that has
	// lived, and then that life lies between.
	if w.last > 0 && w.now.Sub(w.lastAsked) < floorSoon {
		t.Fatalf("%v only %v after the last one", a, w.now.Sub(w.lastAsked))
	}
	w.last, w.lastAsked = a.Generation, w.now
	w.live[a.Generation] = true
}

func (w *world) end(t *rapid.T, g uint64, lost bool, err error) {
	delete(w.live, g)
	delete(w.leaving, g)
	if lost {
		w.step(t, Lost{g, err})
	} else {
		w.step(t, Refused{g, err})
	}
}

// TestProperties drives the machine with any inputs in any order, also senseless
// ones, and any times that do not run backwards.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64().Draw(t, "seed"))
		failure := rapid.SampledFrom([]error{nil, io.EOF, refused5, wrong, hub.ConnackError(3), errors.New("x")})
		anyGeneration := rapid.Uint64Range(0, 4)
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) { w.running = true; w.step(t, Start{}) },
			"stop":  func(t *rapid.T) { w.running = false; w.step(t, Stop{}) },
			"pass": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "d")))
				w.step(t, Tick{})
			},
			"next": func(t *rapid.T) {
				if next := w.m.Next(); next.After(w.now) {
					w.now = next
				}
				w.step(t, Tick{})
			},
			"connected": func(t *rapid.T) {
				if !w.live[w.last] || !w.born[w.last].IsZero() {
					t.Skip("nothing to answer")
				}
				w.born[w.last] = w.now
				life := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "life"))
				w.step(t, Connected{w.last, w.now.Add(life * 8 / 10), w.now.Add(life * 95 / 100)})
			},
			"end": func(t *rapid.T) {
				if !w.live[w.last] {
					t.Skip("nothing to end")
				}
				w.end(t, w.last, rapid.Bool().Draw(t, "lost"), failure.Draw(t, "err"))
			},
			"stale": func(t *rapid.T) {
				if g := anyGeneration.Draw(t, "g"); g != w.last {
					w.step(t, Lost{g, failure.Draw(t, "err")})
				}
			},
			"unsettled": func(t *rapid.T) { w.step(t, Unsettled{rapid.IntRange(0, 3).Draw(t, "n")}) },
		})
	})
}

// TestNeverGivesUp: whatever the hub says, for a month, there is a next attempt,
// and a month of refusals costs no more attempts than its class allows.
func TestNeverGivesUp(t *testing.T) {
	const month = 30 * 24 * time.Hour
	tests := []struct {
		name        string
		err         error
		most, least int // attempts in a month
	}{
		{"network", io.EOF, 20_000, 15_000}, // a mean of 2.5 min
		{"credential", refused5, 9_000, 7_000},
		{"misconfigured", wrong, 2_400, 2_000},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, now, n := New(5), noon, 0
			m.Step(Start{}, now)
			for end := now.Add(month); now.Before(end); n++ {
				m.Step(Refused{m.generation, test.err}, now)
				now = m.Next()
				if do := m.Step(Tick{}, now); len(do) != 1 {
					t.Fatalf("attempt %d: tick at Next gives %v; want one Connect", n, do)
				}
			}
			if n > test.most || n < test.least {
				t.Errorf("%d attempts in a month; want %d to %d", n, test.least, test.most)
			}
		})
	}
}
