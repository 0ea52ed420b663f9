package board_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/board"
)

func TestLeaseEndsAtItsTime(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		res := r.must(on("pump", 5*time.Second))
		if want := r.start.Add(5 * time.Second); !res.Until.Equal(want) || !res.Changed || !res.Attempted || res.Level != board.On {
			t.Errorf("on for=5s: %+v; want it on until %v", res, want)
		}
		r.sleep(5*time.Second - 1)
		r.level("pump", "GPIO17", board.On)
		r.sleep(1)
		r.level("pump", "GPIO17", board.Off)
		c := r.change()
		if c.Target != "pump" || c.Level != board.Off || c.Cause != board.CauseLease || c.By != "m-on" || c.Err != nil {
			t.Errorf("change = %+v; want pump off by lease, after m-on", c)
		}
		if got := r.walk(); len(got) != 3 || got[1] != "pump on m-on" || got[2] != "pump off lease" {
			t.Errorf("trace %q", got)
		}
	})
}

func TestWithoutALeaseAnOutputStays(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		if res := r.must(on("pump", 0)); !res.Until.IsZero() {
			t.Errorf("until %v; want no bound", res.Until)
		}
		r.sleep(1000 * time.Hour)
		r.level("pump", "GPIO17", board.On)
	})
}

func TestSafeOnOutputIsLeasedOff(t *testing.T) {
	bubble(t, pump(safeOn), nil, func(r *rig) {
		r.level("pump", "GPIO17", board.On)
		r.must(board.Op{Kind: board.Set, Target: "pump", On: false, For: time.Second, Cause: "m1"})
		r.level("pump", "GPIO17", board.Off)
		r.sleep(time.Second)
		r.level("pump", "GPIO17", board.On)
		res := r.must(on("pump", time.Second)) // towards safe: the time has no meaning
		r.sleep(time.Hour)
		if r.level("pump", "GPIO17", board.On); !res.Until.IsZero() {
			t.Errorf("until %v at the safe level", res.Until)
		}
	})
}

// TestMaxOn: it counts from the off→on edge, and no on renews it.
func TestMaxOn(t *testing.T) {
	for _, c := range []struct {
		name string
		at   time.Duration // when the second command comes
		op   board.Op
		end  time.Duration // when the output must be off
	}{
		{"alone", 0, on("pump", 0), time.Minute},
		{"on does not renew it", 50 * time.Second, on("pump", 0), time.Minute},
		{"on for does not extend it", 50 * time.Second, on("pump", 30*time.Second), time.Minute},
		{"on for of all of it does not renew it", 59 * time.Second, on("pump", time.Minute), time.Minute},
		{"on for shortens it", 10 * time.Second, on("pump", 5*time.Second), 15 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump(maxOn(time.Minute)), nil, func(r *rig) {
				r.must(on("pump", 0))
				r.sleep(c.at)
				if res := r.must(c.op); res.Changed || !res.Attempted || !res.Until.Equal(r.start.Add(c.end)) {
					t.Errorf("second on: %+v; want nothing moved, until +%v", res, c.end)
				}
				r.sleep(c.end - c.at - 1)
				r.level("pump", "GPIO17", board.On)
				r.sleep(1)
				r.level("pump", "GPIO17", board.Off)
			})
		})
	}
}

// TestLaterCommandReplacesLease: each accepted on brings its own time, or none.
func TestLaterCommandReplacesLease(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  time.Duration
		second time.Duration
		end    time.Duration // counted from the second command at 2 s; 0: stays on
	}{
		{"longer", 5 * time.Second, 20 * time.Second, 20 * time.Second},
		{"shorter", 20 * time.Second, time.Second, time.Second},
		{"none", 5 * time.Second, 0, 0},
		{"where there was none", 0, 5 * time.Second, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump(), nil, func(r *rig) {
				r.must(on("pump", c.first))
				r.sleep(2 * time.Second)
				r.must(on("pump", c.second))
				if c.end == 0 {
					r.sleep(time.Hour)
					r.level("pump", "GPIO17", board.On)
					return
				}
				r.sleep(c.end - 1)
				r.level("pump", "GPIO17", board.On)
				r.sleep(1)
				r.level("pump", "GPIO17", board.Off)
			})
		})
	}
}

func TestOffEndsTheLease(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		r.must(on("pump", 5*time.Second))
		r.must(off("pump"))
		r.must(on("pump", 0))
		r.sleep(time.Hour) // the first command's lease must not end the second one's
		r.level("pump", "GPIO17", board.On)
	})
}

// TestRefusedCommandKeepsLease: only an accepted command replaces a lease.
func TestRefusedCommandKeepsLease(t *testing.T) {
	bubble(t, pump(maxOn(time.Minute)), nil, func(r *rig) {
		r.must(on("pump", 5*time.Second))
		wantRefused(t, r.do(on("pump", 2*time.Minute)), board.OverMaxOn)
		r.sleep(5 * time.Second)
		r.level("pump", "GPIO17", board.Off)
	})
}

// TestLeaseEndsThoughNobodyListens: the agent's loop hangs, so nobody reads
// results or changes and nothing more is asked.
func TestLeaseEndsThoughNobodyListens(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		full := make(chan board.Result) // no room: the board must not wait
		for range 200 {
			r.b.Do(on("pump", time.Second), full)
			r.sleep(time.Second)
			r.level("pump", "GPIO17", board.Off)
		}
	})
}

func TestLeaseEndsThoughABusHangs(t *testing.T) {
	p := pump()
	p.Registers = []board.Register{{Name: "dac", Bus: "1", Address: 0x60}}
	bubble(t, p, nil, func(r *rig) {
		release := r.d.Hang("1")
		defer release()
		r.must(on("pump", 500*time.Millisecond))
		r.begin(write("dac", 1, 2))
		r.sleep(500 * time.Millisecond)
		r.level("pump", "GPIO17", board.Off)
	})
}

// TestLeaseEndsUnderAFloodOfOperations: what is due comes before what is asked,
// however much of it waits and however slow the line is.
func TestLeaseEndsUnderAFloodOfOperations(t *testing.T) {
	p := pump()
	p.Outputs = append(p.Outputs, board.Output{Name: "lamp", Line: "GPIO4"})
	synctest.Test(t, func(t *testing.T) {
		const slow = 10 * time.Millisecond
		d := &fakeDriver{slow: slow}
		b := board.Open(p, d, nil)
		start := time.Now()
		done := make(chan board.Result, 1001)
		b.Do(on("pump", time.Second), done)
		for range 500 { // 10 s of driving
			b.Do(on("lamp", 0), done)
			b.Do(off("lamp"), done)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(done) != 1001 {
			t.Errorf("%d results", len(done))
		}
		outs := d.outs["GPIO17"]
		if last := outs[len(outs)-1]; len(outs) != 2 || last.Sub(start) > time.Second+2*slow {
			t.Errorf("pump driven at %v; want it off again after a second", outs)
		}
		b.Close()
	})
}

func TestPing(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		if err := r.b.Ping(r.t.Context()); err != nil {
			t.Errorf("ping: %v", err)
		}
		if took := time.Since(r.start); took != 0 {
			t.Errorf("took %v; want it answered without waiting for another timer", took)
		}
		r.b.Close()
		if err := r.b.Ping(r.t.Context()); err != board.ErrClosed {
			t.Errorf("ping of a closed board: %v", err)
		}
	})
}

// TestPingOfAStuckBoard: a driver that hangs in Out must starve the watchdog,
// and neither Ping, Levels, Safe nor Close may hang with it.
func TestPingOfAStuckBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{gate: make(chan struct{})}
		b := board.Open(pump(), d, nil)
		d.hang = true
		done := make(chan board.Result, 1)
		b.Do(on("pump", 0), done)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Ping(ctx); err != context.DeadlineExceeded {
			t.Errorf("ping: %v; want the deadline", err)
		}
		if got := b.Levels()["pump"]; got != board.Off {
			t.Errorf("level %v; want the last known one", got)
		}
		if res := b.Safe("stop"); res.Err != board.ErrStuck {
			t.Errorf("safe: %+v; want ErrStuck", res)
		}
		if err := b.Close(); err != board.ErrStuck {
			t.Errorf("close: %v; want ErrStuck", err)
		}
		close(d.gate)
		if res := <-done; !res.OK() {
			t.Errorf("the operation that hung: %+v", res)
		}
		if err := b.Close(); err != nil {
			t.Errorf("close, once the driver let go: %v", err)
		}
	})
}
