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
	type step struct {
		after time.Duration
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
		"all seen":       {Visit, LockHorizon, []step{{0, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{}, Get}, {0, Empty{AllSeen: true}, End}}},
		"a lost answer":  {Poll, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: io.EOF}, Nothing}, {time.Second, Tick{}, Get}, {0, Empty{}, Nothing}, {LockHorizon, Tick{}, Get}, {0, Empty{}, End}}},
		"unsure":         {Poll, 0, []step{{0, Tick{}, Get}, {0, Took{}, Nothing}, {0, Settled{Unsure: true}, Get}, {0, Empty{}, Nothing}, {LockHorizon, Tick{}, Get}, {0, Empty{}, End}}},
		"not sent":       {Poll, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: io.EOF, NotSent: true}, Nothing}, {time.Second, Tick{}, Get}, {0, Empty{}, End}}},
		"401":            {First, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: io.EOF, Answered: true, Final: true}, End}}},
		"throttled":      {Poll, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: errBusy, Answered: true, Wait: 40 * time.Second}, Nothing}, {39 * time.Second, Tick{}, Nothing}, {time.Second, Tick{}, Get}, {0, Empty{}, End}}},
		"throttled long": {Poll, 0, []step{{0, Tick{}, Get}, {0, NoLuck{Err: errBusy, Answered: true, Wait: time.Hour}, End}}},
		"never empty":    {Poll, 0, []step{{0, Tick{}, Get}, {0, Took{}, Nothing}, {longestDrain, Settled{}, End}}},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon
			d := NewDrain(test.kind, noon.Add(test.horizon), noon)
			for i, s := range test.steps {
				now = now.Add(s.after)
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
		d, now := NewDrain(kind, noon, noon), noon
		d.Step(Tick{}, now)
		for d.Step(NoLuck{Err: io.EOF}, now) != End {
			if now = d.Next(); now.Sub(noon) > most {
				t.Fatalf("%v: still trying after %v", kind, now.Sub(noon))
			}
			if d.Step(Tick{}, now) != Get {
				t.Fatalf("%v: a tick at Next is no GET", kind)
			}
		}
		if answered, err := d.Result(); answered || err == nil || now.Sub(noon) < most/2 {
			t.Errorf("%v: ended after %v with %v, %v", kind, now.Sub(noon), answered, err)
		}
	}
}

// TestDrainProperties: whatever happens, it asks for one GET at a time, and ends.
func TestDrainProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon
		d := NewDrain(DrainKind(rapid.IntRange(1, 3).Draw(t, "kind")), noon.Add(LockHorizon), noon)
		out, hand := false, false
		for range 10_000 {
			var in DrainInput = Tick{}
			switch {
			case hand:
				now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ms")) * time.Millisecond)
				in, hand = Settled{Unsure: rapid.Bool().Draw(t, "unsure")}, false
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
