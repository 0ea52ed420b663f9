package boardtest

import (
	"errors"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

// dimmed takes the rig's line for levels.
func dimmed(t *testing.T, r Rig, at board.Percent) (gpio.PinIO, error) {
	t.Helper()
	d, ok := r.Driver.(board.Dimmer)
	if !ok {
		t.Fatal("a driver with a line for levels has no PWM")
	}
	return d.PWM(board.PWMSpec{Target: "fan", Line: r.PWM, Consumer: board.Consumer, Frequency: 100 * physic.Hertz}, at.Duty())
}

// level is PWM: the share of time that is asked for is on the wire, and what
// cannot be done is refused and moves nothing.
func level(t *testing.T, r Rig) {
	if r.PWM == "" {
		t.Skip("no line for levels")
	}
	for _, first := range []board.Percent{0, 2500, board.Full} {
		p, err := dimmed(t, r, first)
		if err != nil {
			t.Fatal(err)
		}
		share := func(want board.Percent) {
			t.Helper()
			if got := r.Share(r.PWM); got+r.Step < want || got > want+r.Step {
				t.Errorf("%v %% on the wire; want %v", got, want)
			}
		}
		share(first)
		for _, next := range []board.Percent{3000, 5000, 0, board.Full, 1, 9999, 1250} {
			if c, ok := p.(board.Caused); ok {
				c.Because("fan", "m1")
			}
			if err := p.PWM(next.Duty(), 100*physic.Hertz); err != nil {
				t.Fatalf("%v %%: %v", next, err)
			}
			share(next)
			asLeft(t, p)
		}
		if p.Out(gpio.High) == nil || p.In(gpio.PullUp, gpio.NoEdge) == nil || p.Halt() != nil {
			t.Error("it let itself be used as an output or an input, or halts badly")
		}
		share(1250)
		release(t, p)
		var line *board.LineError
		if err := p.PWM(0, 100*physic.Hertz); !errors.As(err, &line) {
			t.Errorf("a closed pin: %v; want a *LineError", err)
		}
		share(1250)
	}
}

// levelLife is a board's life with a level: safe, set, set again, lease, stop.
func levelLife(t *testing.T, r Rig) {
	if r.PWM == "" {
		t.Skip("no line for levels")
	}
	b := board.Open(board.Profile{Levels: []board.PWM{{Name: "fan", Line: r.PWM, Frequency: 100, Safe: 2000}}}, r.Driver, nil)
	if f := b.Faults(); f != nil {
		t.Fatalf("faults %v", f)
	}
	at := func(want board.Percent) {
		t.Helper()
		if got := b.Percents()["fan"]; got != want || r.Share(r.PWM)+r.Step < want || r.Share(r.PWM) > want+r.Step {
			t.Errorf("the board says %v %%, the wire %v %%; want %v", got, r.Share(r.PWM), want)
		}
	}
	set := func(p board.Percent, length time.Duration) {
		t.Helper()
		done := make(chan board.Result, 1)
		b.Do(board.Op{Kind: board.Set, Target: "fan", Percent: p, For: length}, done)
		if res := <-done; !res.OK() {
			t.Fatalf("%v %%: %+v", p, res)
		}
	}
	at(2000)
	set(0, 0)
	at(0)
	set(board.Full, 0)
	at(board.Full)
	set(7000, 20*time.Millisecond)
	if c := <-b.Changes(); c.Cause != board.CauseLease || c.Level != board.On || !c.Safe || c.Percent == nil || *c.Percent != 2000 {
		t.Errorf("change %+v; want the lease to end at 20 %%", c)
	}
	at(2000)
	set(1, 0)
	if err := b.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if got := r.Share(r.PWM); got+r.Step < 2000 || got > 2000+r.Step {
		t.Errorf("%v %% on the wire behind Close", got)
	}
}
