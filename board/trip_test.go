package board_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"actuatord/board"
	"actuatord/board/sim"
)

func TestSafeLevelsBeforeOpenReturns(t *testing.T) {
	p := valves()
	p.Registers = []board.Register{{Name: "dac", Bus: "1", Address: 0x60, Safe: &board.SafeWrite{Register: 0x40, Bytes: []byte{0, 0}}}}
	bubble(t, p, nil, func(r *rig) {
		want := []string{"valve-1 off safe", "valve-2 off safe", "motor off safe", "brake on safe", "dac 40:0000 safe"}
		if got := r.walk(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("trace %q; want %q: outputs first", got, want)
		}
		if f := r.b.Faults(); f != nil {
			t.Errorf("faults %v", f)
		}
	})
}

// TestLineThatCannotBeHad is unknown, listed, and asked for again each second.
func TestLineThatCannotBeHad(t *testing.T) {
	held := func(d *sim.Driver) { d.Hold("GPIO17", "spi0 CS1") }
	bubble(t, pump(), held, func(r *rig) {
		r.level("pump", "GPIO17", board.Unknown)
		f := r.b.Faults()
		var line *board.LineError
		if len(f) != 1 || f[0].Target != "pump" || !errors.As(f[0].Err, &line) || line.Fault != board.LineBusy || line.Holder != "spi0 CS1" {
			t.Fatalf("faults %+v; want the pump's line busy by spi0 CS1", f)
		}
		if res := r.do(on("pump", 0)); res.Refused != board.LevelUnknown {
			t.Errorf("on: %+v; want level-unknown", res)
		}
		if res := r.do(off("pump")); res.OK() || !res.Attempted || res.Level != board.Unknown {
			t.Errorf("off: %+v; want it attempted and failed", res)
		}
		before := r.d.Touched("GPIO17")
		r.sleep(100 * time.Second)
		if got := r.d.Touched("GPIO17") - before; got != 100 {
			t.Errorf("%d requests in 100 s; want one each second", got)
		}
		if since := r.b.Faults()[0].Since; !since.Equal(r.start) {
			t.Errorf("fault since %v; want the start", since)
		}
		r.d.Hold("GPIO17", "")
		r.sleep(time.Second)
		r.level("pump", "GPIO17", board.Off)
		if c := r.change(); c.Cause != board.CauseSafe || c.Level != board.Off {
			t.Errorf("change %+v", c)
		}
		if f := r.b.Faults(); f != nil {
			t.Errorf("faults %v; want none", f)
		}
		r.must(on("pump", 0))
	})
}

// TestErrorMakesAnOutputUnknown, and a safe drive makes it known again: at once
// if the line can be had, each second for ever if not.
func TestErrorMakesAnOutputUnknown(t *testing.T) {
	for _, moving := range []bool{false, true} {
		t.Run(fmt.Sprintf("moving=%v", moving), func(t *testing.T) {
			bubble(t, pump(), nil, func(r *rig) {
				r.d.FailOuts("GPIO17", 2, errIO, moving)
				r.d.FailRequests("GPIO17", 3, errIO)
				res := r.do(on("pump", time.Minute))
				if wantErr(t, res, errIO); !res.Attempted || !res.Transient || res.Level != board.Unknown {
					t.Errorf("%+v", res)
				}
				r.level("pump", "GPIO17", board.Unknown)
				r.sleep(3*time.Second - 1)
				r.level("pump", "GPIO17", board.Unknown)
				r.sleep(1)
				r.level("pump", "GPIO17", board.Off)
				r.sleep(time.Hour)
				r.level("pump", "GPIO17", board.Off) // what failed is not taken up again
				r.must(on("pump", 0))
			})
		})
	}
}

// TestLeaseThatCannotEnd: the deadline is never given up.
func TestLeaseThatCannotEnd(t *testing.T) {
	bubble(t, pump(maxOn(time.Minute)), nil, func(r *rig) {
		r.must(on("pump", 0))
		r.d.FailOuts("GPIO17", 1, errIO, false)
		r.d.FailRequests("GPIO17", 1000, syscall.ENODEV)
		r.sleep(time.Minute)
		c := r.change()
		if c.Cause != board.CauseTrip || c.Level != board.Unknown || c.By != "m-on" || !errors.Is(c.Err, syscall.ENODEV) {
			t.Errorf("change %+v; want a trip", c)
		}
		r.sleep(999 * time.Second)
		r.level("pump", "GPIO17", board.Unknown)
		r.sleep(time.Second)
		r.level("pump", "GPIO17", board.Off)
		if c := r.change(); c.Cause != board.CauseSafe || c.Level != board.Off || c.Lost != 0 {
			t.Errorf("change %+v; want one, that it is safe", c)
		}
	})
}

// TestCloseTriesAgain: a line that fails when the daemon stops gets what time
// there is, and is named if that did not do.
func TestCloseTriesAgain(t *testing.T) {
	for _, c := range []struct {
		fails int
		took  time.Duration
		ok    bool
	}{{0, 0, true}, {2, 2 * time.Second, true}, {1000, 3 * time.Second, false}} {
		t.Run(fmt.Sprint(c.fails), func(t *testing.T) {
			bubble(t, pump(), nil, func(r *rig) {
				r.must(on("pump", 0))
				r.d.FailOuts("GPIO17", min(1, c.fails), errIO, false)
				r.d.FailRequests("GPIO17", c.fails, errIO)
				err := r.b.Close()
				if took := time.Since(r.start); took != c.took {
					t.Errorf("took %v; want %v", took, c.took)
				}
				if c.ok && err != nil || !c.ok && !errors.Is(err, errIO) {
					t.Errorf("close: %v", err)
				}
				if on, _ := r.d.Level("GPIO17"); on == c.ok {
					t.Errorf("line on=%v", on)
				}
				if again := r.b.Close(); fmt.Sprint(again) != fmt.Sprint(err) {
					t.Errorf("second close: %v; want %v", again, err)
				}
				if res := r.do(on("pump", 0)); res.Err != board.ErrClosed || res.Attempted || res.Transient {
					t.Errorf("on after close: %+v", res)
				}
				if res := r.b.Safe("x"); res.Err != board.ErrClosed {
					t.Errorf("safe after close: %+v", res)
				}
			})
		})
	}
}

// TestCloseLetsGo: the next process can have the lines.
func TestCloseLetsGo(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		r.must(on("pump", 0))
		if err := r.b.Close(); err != nil {
			t.Fatal(err)
		}
		d, err := sim.New(r.trace)
		if err != nil {
			t.Fatal(err)
		}
		b := board.Open(pump(), d, nil)
		defer b.Close()
		if f := b.Faults(); f != nil {
			t.Errorf("faults %v", f)
		}
		if got := r.walk(); fmt.Sprint(got) != "[pump off safe pump on m-on pump off stop pump off safe]" {
			t.Errorf("trace %q", got)
		}
	})
}

func TestSafeTellsWhatMoved(t *testing.T) {
	bubble(t, valves(), nil, func(r *rig) {
		r.must(on("valve-1", 0))
		if res := r.b.Safe("local"); !res.OK() || !res.Changed || !res.Attempted {
			t.Errorf("safe: %+v", res)
		}
		if c := r.change(); c.Target != "valve-1" || c.Cause != "local" || c.By != "m-on" || c.Level != board.Off {
			t.Errorf("change %+v", c)
		}
		if c := r.change(); c.Target != "" {
			t.Errorf("a change of what did not move: %+v", c)
		}
		if res := r.must(board.Op{Kind: board.Safe, Cause: "m7"}); res.Changed {
			t.Errorf("a second safe: %+v; want nothing moved", res)
		}
	})
}

// TestSafeReportsEveryFailure, and does the rest.
func TestSafeReportsEveryFailure(t *testing.T) {
	bubble(t, valves(), nil, func(r *rig) {
		for _, v := range []string{"valve-1", "motor"} {
			if v == "motor" {
				r.must(board.Op{Kind: board.Set, Target: "brake"})
			}
			r.must(on(v, 0))
		}
		r.d.FailOuts("L1", 1, errIO, false)
		r.d.FailRequests("L1", 1, errIO)
		res := r.do(board.Op{Kind: board.Safe})
		if wantErr(t, res, errIO); !res.Transient || !res.Changed {
			t.Errorf("%+v", res)
		}
		r.level("valve-1", "L1", board.Unknown)
		r.level("motor", "L3", board.Off)
		r.level("brake", "L0", board.On)
	})
}

// TestChangesAreBoundedAndLossesCounted: nobody reads for a while.
func TestChangesAreBoundedAndLossesCounted(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		room := cap(r.b.Changes())
		for range room + 5 {
			r.must(on("pump", time.Second))
			r.sleep(time.Second)
		}
		for range room {
			if c := r.change(); c.Lost != 0 {
				t.Fatalf("lost %d among those that had room", c.Lost)
			}
		}
		for _, lost := range []int{5, 0} {
			r.must(on("pump", time.Second))
			r.sleep(time.Second)
			if c := r.change(); c.Lost != lost || c.Target != "pump" {
				t.Errorf("%+v; want it to say that %d are lost", c, lost)
			}
		}
	})
}

func TestResultWithoutRoomIsLogged(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		r.b.Do(on("pump", 0), nil) // nobody wants it: that is no fault
		r.sleep(1)
		if got := r.log.String(); got != "" {
			t.Errorf("log %q", got)
		}
		r.b.Do(off("pump"), make(chan board.Result))
		r.sleep(1)
		if got := r.log.String(); got == "" {
			t.Error("a result was dropped in silence")
		}
	})
}

// TestWiringIsPassedOn: what a profile says of a line's wiring is in the request.
func TestWiringIsPassedOn(t *testing.T) {
	d := &fakeDriver{}
	b := board.Open(board.Profile{Outputs: []board.Output{{Name: "pump", Line: "GPIO17", ActiveLow: true, OpenDrain: true}}}, d, nil)
	defer b.Close()
	want := board.LineSpec{Target: "pump", Line: "GPIO17", ActiveLow: true, OpenDrain: true, Consumer: board.Consumer}
	if len(d.specs) != 1 || d.specs[0] != want {
		t.Errorf("requested %+v; want %+v", d.specs, want)
	}
}
