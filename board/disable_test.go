package board_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/board"
)

// works is a pump, a brake that is safe on, a register with safe bytes and one without.
func works() board.Profile {
	return board.Profile{
		Outputs: []board.Output{{Name: "pump", Line: "GPIO17"}, {Name: "brake", Line: "GPIO19", SafeOn: true}, {Name: "lamp", Line: "GPIO20"}},
		Registers: []board.Register{
			{Name: "dac", Bus: "1", Address: 0x60, Safe: &board.SafeWrite{Register: 0x40, Bytes: []byte{0, 0}}},
			{Name: "led", Bus: "1", Address: 0x61},
		},
	}
}

// disable sets what is out of use, and wants it done.
func (r *rig) disable(targets ...string) {
	r.t.Helper()
	set := map[string]string{}
	for _, name := range targets {
		set[name] = "by kim: blades off"
	}
	if res := r.b.Disable(set); !res.OK() {
		r.t.Fatalf("disable %q: %+v", targets, res)
	}
}

// TestDisable: an output is at its safe level when Disable answers, and nobody takes
// it from there until it is enabled. Then it takes a new command.
func TestDisable(t *testing.T) {
	bubble(t, works(), nil, func(r *rig) {
		r.must(on("pump", time.Hour))
		r.must(on("lamp", 0))
		r.disable("pump", "brake")
		r.level("pump", "GPIO17", board.Off)
		r.level("lamp", "GPIO20", board.On)
		c := r.change()
		if c.Target != "pump" || c.Level != board.Off || c.Cause != board.CauseDisabled || c.By != "m-on" || c.Why != "by kim: blades off" {
			t.Errorf("change %+v; want the pump's", c)
		}
		if c := r.change(); c.Target != "" {
			t.Errorf("change %+v of what did not move", c)
		}
		res := r.do(on("pump", 0))
		wantRefused(t, res, board.Disabled)
		if res.Detail != "pump is disabled by kim: blades off" {
			t.Errorf("detail %q", res.Detail)
		}
		wantRefused(t, r.do(pulse("pump", time.Second)), board.Disabled)
		wantRefused(t, r.do(off("brake")), board.Disabled)
		for _, op := range []board.Op{off("pump"), on("brake", 0), {Kind: board.Safe, Target: "pump"}, {Kind: board.Safe}} {
			r.must(op)
		}
		r.disable("brake")
		r.sleep(time.Hour)
		r.level("pump", "GPIO17", board.Off)
		r.must(on("pump", 0))
		r.disable()
		r.must(off("brake"))
	})
}

// TestDisableAll is of everything, and an entry of one's own says why.
func TestDisableAll(t *testing.T) {
	bubble(t, works(), nil, func(r *rig) {
		r.must(on("pump", 0))
		r.must(write("dac", 0x40, 9, 9))
		if res := r.b.Disable(map[string]string{board.All: "by kim", "pump": "by lee", "led": ""}); !res.OK() || !res.Changed {
			t.Fatalf("%+v", res)
		}
		r.level("pump", "GPIO17", board.Off)
		if got := r.d.Memory("1", 0x60, 0x40); !slices.Equal(got, []byte{0, 0}) {
			t.Errorf("the dac holds %x; want its safe bytes", got)
		}
		for target, want := range map[string]string{"pump": "by lee", "lamp": "by kim", "dac": "by kim", "led": "and nobody says why"} {
			op := on(target, 0)
			if target == "dac" || target == "led" {
				op = write(target, 0x40, 1, 1)
			}
			res := r.do(op)
			wantRefused(t, res, board.Disabled)
			if want = target + " is disabled " + want; res.Detail != want {
				t.Errorf("detail %q; want %q", res.Detail, want)
			}
		}
		r.must(write("dac", 0x40, 0, 0)) // the way to safety
		wantRefused(t, r.do(write("dac", 0x41, 0, 0)), board.Disabled)
	})
}

// TestDisableCutsAPulse: its sender hears by whom.
func TestDisableCutsAPulse(t *testing.T) {
	bubble(t, works(), nil, func(r *rig) {
		done := r.begin(pulse("pump", 5*time.Second))
		r.sleep(time.Second)
		r.disable("pump")
		if res := <-done; res.Cut != board.CauseDisabled || res.Detail != "by kim: blades off" || res.Level != board.Off {
			t.Errorf("the pulse: %+v", res)
		}
		r.level("pump", "GPIO17", board.Off)
	})
}

// TestDisableCatchesWhatWaits: a write that waits for its bus does not slip through,
// and one that is under way is followed by the safe bytes.
func TestDisableCatchesWhatWaits(t *testing.T) {
	bubble(t, works(), nil, func(r *rig) {
		r.d.Slow("1", 300*time.Millisecond)
		running := r.begin(write("dac", 0x40, 1, 1))
		waiting := r.begin(write("dac", 0x40, 2, 2))
		safe := r.begin(write("dac", 0x40, 0, 0))
		other := r.begin(write("led", 1, 3))
		r.disable("dac")
		if res := <-running; !res.OK() {
			t.Errorf("what was under way: %+v", res)
		}
		wantRefused(t, <-waiting, board.Disabled)
		for _, done := range []<-chan board.Result{safe, other} {
			if res := <-done; !res.OK() {
				t.Errorf("%+v", res)
			}
		}
		if got := r.d.Memory("1", 0x60, 0x40); !slices.Equal(got, []byte{0, 0}) {
			t.Errorf("the dac holds %x; want its safe bytes", got)
		}
	})
}

// TestDisableThatCannotDrive: it is out of use all the same, the error says what is
// not safe, and it is driven safe when it can be.
func TestDisableThatCannotDrive(t *testing.T) {
	bubble(t, works(), nil, func(r *rig) {
		r.must(on("pump", 0))
		r.d.FailOuts("GPIO17", 2, errIO, false)
		r.d.FailRequests("GPIO17", 1, errIO)
		res := r.b.Disable(map[string]string{"pump": "by kim"})
		wantErr(t, res, errIO)
		if c := r.change(); c.Cause != board.CauseTrip || c.Why != "by kim" {
			t.Errorf("change %+v", c)
		}
		res = r.b.Disable(map[string]string{"pump": "by kim"}) // asked again it tries again
		if !res.OK() {
			t.Errorf("the second time: %+v", res)
		}
		r.level("pump", "GPIO17", board.Off)
		wantRefused(t, r.do(on("pump", 0)), board.Disabled)
	})
}

// TestDisableOfABoardThatHangs answers in time, and holds once the board is back.
func TestDisableOfABoardThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{gate: make(chan struct{})}
		b := board.Open(pump(), d, nil)
		d.hang = true
		b.Do(on("pump", 0), make(chan board.Result, 1))
		synctest.Wait()
		if res := b.Disable(map[string]string{board.All: "by kim"}); res.Err != board.ErrStuck {
			t.Errorf("%+v; want the board stuck", res)
		}
		d.hang = false
		close(d.gate)
		synctest.Wait()
		done := make(chan board.Result, 1)
		b.Do(on("pump", 0), done)
		wantRefused(t, <-done, board.Disabled)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if res := b.Disable(nil); res.Err != board.ErrClosed {
			t.Errorf("after Close: %+v", res)
		}
	})
}
