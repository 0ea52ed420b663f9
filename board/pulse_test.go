package board_test

import (
	"testing"
	"time"

	"actuatord/board"
	"actuatord/board/sim"
)

func TestPulse(t *testing.T) {
	for _, c := range []struct {
		name string
		p    board.Profile
		walk []string
	}{
		{"safe off", pump(), []string{"pump off safe", "pump on m-pulse", "pump off m-pulse"}},
		{"safe on", pump(safeOn), []string{"pump on safe", "pump off m-pulse", "pump on m-pulse"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, c.p, nil, func(r *rig) {
				done := r.begin(pulse("pump", 200*time.Millisecond))
				r.sleep(200*time.Millisecond - 1)
				if len(done) != 0 {
					t.Fatal("answered before it was back")
				}
				r.sleep(1)
				safe := c.p.Outputs[0].Safe()
				if res := <-done; !res.OK() || !res.Attempted || !res.Changed || res.Level != safe || !res.Until.IsZero() {
					t.Errorf("%+v; want it done and back at %v", res, safe)
				}
				if got := r.walk(); len(got) != 3 || got[1] != c.walk[1] || got[2] != c.walk[2] {
					t.Errorf("trace %q; want %q", got, c.walk)
				}
				if ch := r.change(); ch.Target != "" {
					t.Errorf("change %+v; a pulse's end was asked for", ch)
				}
			})
		})
	}
}

func TestPulseStartsAtTheSafeLevel(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		r.must(on("pump", time.Minute))
		wantRefused(t, r.do(pulse("pump", time.Second)), board.AlreadyAway)
		r.sleep(30 * time.Second)
		r.level("pump", "GPIO17", board.On) // and took nothing from the lease
		r.must(off("pump"))
		first := r.begin(pulse("pump", time.Second))
		wantRefused(t, r.do(pulse("pump", time.Second)), board.AlreadyAway)
		r.sleep(time.Second)
		if res := <-first; !res.OK() {
			t.Errorf("first pulse: %+v", res)
		}
	})
}

// TestPulseCutShort: whatever takes the output over answers the pulse, and says
// that it was cut and by what.
func TestPulseCutShort(t *testing.T) {
	for _, c := range []struct {
		name  string
		by    func(*rig)
		cut   string
		level board.Level
	}{
		{"off", func(r *rig) { r.must(off("pump")) }, "m-off", board.Off},
		{"safe of all", func(r *rig) { r.must(board.Op{Kind: board.Safe, Cause: "m9"}) }, "m9", board.Off},
		{"safe without a cause", func(r *rig) { r.must(board.Op{Kind: board.Safe}) }, "safe", board.Off},
		{"on", func(r *rig) { r.must(on("pump", time.Minute)) }, "m-on", board.On},
		{"Safe", func(r *rig) { r.b.Safe("stop") }, "stop", board.Off},
		{"Close", func(r *rig) { r.b.Close() }, "stop", board.Off},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump(), nil, func(r *rig) {
				done := r.begin(pulse("pump", 5*time.Second))
				r.sleep(time.Second)
				c.by(r)
				if res := <-done; res.OK() || res.Cut != c.cut || res.Level != c.level || !res.Attempted || !res.Changed {
					t.Errorf("the pulse: %+v; want it cut by %q at %v", res, c.cut, c.level)
				}
				r.sleep(10 * time.Second)
				if len(done) != 0 {
					t.Errorf("a second answer: %+v", <-done)
				}
				r.level("pump", "GPIO17", c.level) // the pulse's end is forgotten
			})
		})
	}
}

// TestPulseThatCannotComeBack is answered at its end, unknown, and the board
// goes on trying.
func TestPulseThatCannotComeBack(t *testing.T) {
	bubble(t, pump(), nil, func(r *rig) {
		done := r.begin(pulse("pump", time.Second))
		r.d.FailOuts("GPIO17", 1, errIO, false)
		r.d.FailRequests("GPIO17", 2, errIO)
		r.sleep(time.Second)
		res := <-done
		wantErr(t, res, errIO)
		if res.Level != board.Unknown || !res.Attempted || !res.Transient || res.OK() {
			t.Errorf("%+v; want it attempted, unknown, transient", res)
		}
		r.sleep(2 * time.Second)
		r.level("pump", "GPIO17", board.Off)
		if c := r.change(); c.Cause != board.CauseSafe || c.Level != board.Off {
			t.Errorf("change %+v; want the news that it is safe", c)
		}
	})
}

func TestPulseThatCannotStart(t *testing.T) {
	bubble(t, pump(), func(d *sim.Driver) { d.FailRequests("GPIO17", 1, errIO) }, func(r *rig) {
		res := r.do(pulse("pump", time.Second))
		if res.Refused != board.LevelUnknown || !res.Transient || res.Attempted {
			t.Errorf("on an unknown output: %+v", res)
		}
		r.sleep(time.Second)
		r.d.FailOuts("GPIO17", 1, errIO, true)
		res = r.do(pulse("pump", time.Second))
		if wantErr(t, res, errIO); !res.Attempted || res.Level != board.Off {
			t.Errorf("first edge failed: %+v; want it attempted and the output safe again", res)
		}
		r.level("pump", "GPIO17", board.Off)
	})
}
