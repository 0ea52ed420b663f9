package link

import (
	"errors"
	"io"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errBusy = errors.New("busy")

// TestDrain walks a visit: until the queue is empty, and on while locks of a dead
// session may hide something, unless all that it delivered has been seen.
func TestDrain(t *testing.T) {
	const due = time.Duration(-1)
	type step struct {
		after time.Duration // or due: when the drain wants to be ticked
		in    DrainInput
		want  DrainDo
	}
	for name, test := range map[string]struct {
		kind    DrainKind
		horizon time.Duration
		steps   []step
	}{
		"empty": {Poll, 0, []step{{0, Tick{}, Get}, {0, Empty{}, End}}},
		"two messages": {Poll, 0, []step{{0, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{}, Get}, {0, Took{}, Nothing},
			{20 * time.Second, Settled{}, Get}, {0, Empty{}, End}}},
		"locks that last": {Visit, LockHorizon, []step{{0, Tick{}, Get}, {0, Empty{}, Nothing}, {looksEvery - 1, Tick{}, Nothing}, {1, Tick{}, Get},
			{0, Took{}, Nothing}, {0, Settled{}, Get}, {0, Empty{}, Nothing}, {LockHorizon, Tick{}, Get}, {0, Empty{}, End}}},
		"all seen":      {Visit, LockHorizon, []step{{0, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{}, Get}, {0, Empty{AllSeen: true}, End}}},
		"a lost answer": {Poll, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: io.EOF}, Nothing}, {due, Tick{}, Get}, {0, Empty{}, Nothing}, {LockHorizon, Tick{}, Get}, {0, Empty{}, End}}},
		"unsure":        {Poll, 0, []step{{0, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{Err: io.EOF}, Nothing}, {time.Second - 1, Tick{}, Nothing}, {due, Tick{}, Get}, {0, Empty{}, Nothing}, {LockHorizon, Tick{}, Get}, {0, Empty{}, End}}},
		"throttled twice": {Poll, 0, []step{{0, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{Err: errBusy, Wait: 40 * time.Second}, Nothing}, {41*time.Second - 1, Tick{}, Nothing}, {due, Tick{}, Get},
			{0, Took{}, Nothing}, {0, Settled{}, Get}, {0, Empty{}, Nothing}}},
		"settles nothing": {Visit, 0, []step{{0, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{Err: io.EOF}, Nothing}, {due, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{Err: io.EOF}, Nothing}, {due, Tick{}, Get},
			{0, Took{}, Nothing}, {0, Settled{}, Get}, {0, Took{}, Nothing}, {0, Settled{Err: io.EOF}, Nothing}, {due, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{Err: io.EOF}, Nothing}, {due, Tick{}, Get},
			{0, Took{}, Nothing}, {0, Settled{Err: io.EOF}, Nothing}, {due, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{Err: io.EOF}, Nothing}, {due, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{Err: io.EOF}, End}}},
		"not sent":       {Poll, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: io.EOF, NotSent: true}, Nothing}, {due, Tick{}, Get}, {0, Empty{}, End}}},
		"401":            {First, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: io.EOF, Answered: true, Final: true}, End}}},
		"throttled":      {Poll, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: errBusy, Answered: true, Wait: 40 * time.Second}, Nothing}, {41*time.Second - 1, Tick{}, Nothing}, {due, Tick{}, Get}, {0, Empty{}, End}}},
		"throttled long": {Poll, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: errBusy, Answered: true, Wait: time.Hour}, End}}},
		"never empty":    {Poll, 0, []step{{0, Tick{}, Get}, {0, Took{}, Nothing}, {LongestDrain, Settled{}, End}}},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon
			d := NewDrain(1, test.kind, noon.Add(test.horizon), noon)
			for i, s := range test.steps {
				if s.after == due {
					now = d.Next()
				} else {
					now = now.Add(s.after)
				}
				if got := d.Step(s.in, now); got != s.want {
					t.Fatalf("step %d, %#v: %d; want %d", i, s.in, got, s.want)
				}
			}
		})
	}
}

// TestDrainPatience: without any answer a visit ends soon, a poll late, and both do.
func TestDrainPatience(t *testing.T) {
	for kind, most := range map[DrainKind]time.Duration{Visit: 30 * time.Second, First: time.Minute, Poll: 2 * time.Minute} {
		d, now := NewDrain(1, kind, noon, noon), noon
		d.Step(Tick{}, now)
		for d.Step(NoLuck{Err: io.EOF}, now) != End {
			if now = d.Next(); now.Sub(noon) > most {
				t.Fatalf("%v: still trying after %v", kind, now.Sub(noon))
			}
			if d.Step(Tick{}, now) != Get {
				t.Fatalf("%v: a tick at Next is no GET", kind)
			}
		}
		if answered, _, err := d.Result(now); answered || err == nil || now.Sub(noon) < most/2 {
			t.Errorf("%v: ended after %v with %v, %v", kind, now.Sub(noon), answered, err)
		}
	}
}

// TestDrainProperties: whatever happens, it asks for one GET at a time, and ends.
func TestDrainProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon
		d := NewDrain(rapid.Uint64().Draw(t, "seed"), DrainKind(rapid.IntRange(1, 3).Draw(t, "kind")), noon.Add(LockHorizon), noon)
		out, hand := false, false
		for range 10_000 {
			var in DrainInput = Tick{}
			switch {
			case hand:
				now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ms")) * time.Millisecond)
				in, hand = Settled{Err: rapid.SampledFrom([]error{nil, io.EOF}).Draw(t, "settled")}, false
			case out:
				out = false
				in = rapid.SampledFrom([]DrainInput{Took{}, Empty{}, NoLuck{Err: io.EOF}, NoLuck{Err: errBusy, Answered: true}}).Draw(t, "answer")
				_, hand = in.(Took)
			default:
				if next := d.Next(); next.After(now) {
					now = next
				}
			}
			switch d.Step(in, now) {
			case Get:
				if out || hand {
					t.Fatal("a GET while another is out or a message is in hand")
				}
				out = true
			case End:
				return
			default:
				if !out && !hand && d.Next().IsZero() {
					t.Fatalf("after %#v nothing is awaited and nothing is due", in)
				}
			}
		}
		t.Fatalf("it goes on after %v", now.Sub(noon))
	})
}

// TestDrainEnds: a message that can never be read, a link that loses every other
// answer, a queue that is filled as fast as it is emptied: none keeps a drain open,
// and with it the session away, for longer than LongestDrain.
func TestDrainEnds(t *testing.T) {
	for _, kind := range []DrainKind{Poll, Visit, First} {
		d, now, locked := NewDrain(1, kind, noon, noon), noon, noon
		for do := d.Step(Tick{}, now); do != End; {
			if now.Sub(noon) > LongestDrain {
				t.Fatalf("%v: open after %v", kind, now.Sub(noon))
			}
			switch {
			case do == Nothing:
				now = d.Next()
				do = d.Step(Tick{}, now)
			case now.Before(locked):
				do = d.Step(Empty{}, now)
			default: // it locks the message and fails
				locked = now.Add(time.Minute)
				do = d.Step(NoLuck{Err: io.EOF}, now)
			}
		}
		if answered, _, err := d.Result(now); !answered || err == nil {
			t.Errorf("%v: ended with %v, %v; want it known that the queue is not empty", kind, answered, err)
		}
	}
}

// TestDrainBacksOff: pauses after failures double, are drawn, and come on top of
// Retry-After, whose rest outlives the drain.
func TestDrainBacksOff(t *testing.T) {
	pauses := map[time.Duration]bool{}
	for seed := range uint64(200) {
		d, now := NewDrain(seed, Poll, noon, noon), noon
		d.Step(Tick{}, now)
		for i, ceiling := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second} {
			d.Step(NoLuck{Err: io.EOF}, now)
			if p := d.Next().Sub(now); p < firstDrainPause || p >= ceiling {
				t.Fatalf("pause %d is %v; want 1 s to %v", i, p, ceiling)
			} else if i == 3 {
				pauses[p.Round(time.Second)] = true
			}
			now = d.Next()
			d.Step(Tick{}, now)
		}
	}
	// What works clears it.
	d, now := NewDrain(3, Poll, noon, noon), noon
	d.Step(Tick{}, now)
	for range 6 {
		d.Step(NoLuck{Err: io.EOF}, now)
		now = d.Next()
		d.Step(Tick{}, now)
		d.Step(Took{}, now)
		d.Step(Settled{}, now)
	}
	if d.Step(NoLuck{Err: io.EOF}, now); d.ceiling != 2*firstDrainPause {
		t.Errorf("a pause of up to %v behind a message that was settled", d.ceiling)
	}
	if len(pauses) < 13 {
		t.Errorf("the fourth pauses of 200 devices are of %d different seconds; want 1 to 15", len(pauses))
	}
	d = NewDrain(1, Visit, noon, noon)
	d.Step(Tick{}, noon)
	if got := d.Step(NoLuck{Err: errBusy, Answered: true, Wait: time.Hour}, noon); got != End {
		t.Errorf("an hour asked for: %v; want the end", got)
	}
	if _, wait, _ := d.Result(noon.Add(time.Minute)); wait != 59*time.Minute {
		t.Errorf("%v left to wait; want 59m", wait)
	}
}
