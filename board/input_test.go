package board_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/board"
	"actuatord/board/sim"
)

// permitted is a pump that two inputs permit, a fan that one of them does, a brake
// that is safe on, and a lamp that asks nobody.
func permitted() board.Profile {
	return board.Profile{
		Outputs: []board.Output{
			{Name: "pump", Line: "GPIO17", Permit: []string{"float-ok", "e-stop"}},
			{Name: "fan", Line: "GPIO18", Permit: []string{"e-stop"}},
			{Name: "brake", Line: "GPIO19", SafeOn: true, Permit: []string{"e-stop"}},
			{Name: "lamp", Line: "GPIO20"},
		},
		Inputs: []board.Input{
			{Name: "float-ok", Line: "GPIO5"},
			{Name: "e-stop", Line: "GPIO6", ActiveLow: true, Bias: board.PullUp},
		},
	}
}

// granted is the wiring of permitted with both inputs active.
func granted(d *sim.Driver) {
	d.Drive("GPIO5", true)
	d.Drive("GPIO6", false)
}

func (r *rig) input(name string, want board.InputState) {
	r.t.Helper()
	synctest.Wait()
	if got := r.b.Inputs()[name]; got != want {
		r.t.Errorf("at %v: %s is %v; want %v", time.Since(r.start), name, got, want)
	}
}

// withdrawn asserts the next change: target is safe since the permit has gone.
func (r *rig) withdrawn(target string, level board.Level, why string) {
	r.t.Helper()
	c := r.change()
	if c.Target != target || c.Level != level || c.Cause != board.CausePermit || !strings.HasPrefix(c.Why, why) || c.By == "" || c.Err != nil {
		r.t.Errorf("at %v: change %+v; want %s %v, since %q", time.Since(r.start), c, target, level, why)
	}
}

// TestNothingWiredPermitsNothing: a simulated line without a level is where its bias
// pulls it.
func TestNothingWiredPermitsNothing(t *testing.T) {
	bubble(t, permitted(), nil, func(r *rig) {
		r.input("float-ok", board.Inactive)
		r.input("e-stop", board.Inactive)
		res := r.do(on("pump", 0))
		wantRefused(t, res, board.NotPermitted)
		if res.Detail != "float-ok is not active" {
			t.Errorf("detail %q", res.Detail)
		}
		wantRefused(t, r.do(pulse("fan", time.Second)), board.NotPermitted)
		wantRefused(t, r.do(off("brake")), board.NotPermitted) // away from its safe level
		for _, op := range []board.Op{off("pump"), on("brake", 0), {Kind: board.Safe}, on("lamp", 0)} {
			r.must(op)
		}
		r.level("pump", "GPIO17", board.Off)
		r.level("brake", "GPIO19", board.On)
	})
}

// TestPermitLost: whatever an input permitted ends with it, at that moment, and does
// not come back with it.
func TestPermitLost(t *testing.T) {
	bubble(t, permitted(), granted, func(r *rig) {
		r.must(on("pump", time.Hour))
		r.must(on("fan", 0))
		r.must(off("brake"))
		r.must(on("lamp", 0))
		r.sleep(300 * time.Millisecond) // between two samples
		r.d.Drive("GPIO6", true)
		r.level("pump", "GPIO17", board.Off)
		r.level("fan", "GPIO18", board.Off)
		r.level("brake", "GPIO19", board.On)
		r.level("lamp", "GPIO20", board.On)
		r.withdrawn("pump", board.Off, "e-stop is not active")
		r.withdrawn("fan", board.Off, "e-stop is not active")
		r.withdrawn("brake", board.On, "e-stop is not active")
		for _, e := range r.events() {
			if e.Cause == board.CausePermit && e.At.Sub(r.start) != 300*time.Millisecond {
				t.Errorf("%s %s at %v", e.Target, e.Level, e.At.Sub(r.start))
			}
		}
		r.d.Drive("GPIO6", false)
		r.sleep(2 * time.Hour)
		r.level("pump", "GPIO17", board.Off)
		r.level("brake", "GPIO19", board.On)
		if c := r.change(); c.Target != "" {
			t.Errorf("change %+v; want none: nothing comes back by itself", c)
		}
		r.must(on("pump", 0))
	})
}

// TestPermitDips: an input that was inactive for a moment has withdrawn its permit,
// though the board never saw it so.
func TestPermitDips(t *testing.T) {
	bubble(t, permitted(), granted, func(r *rig) {
		r.must(on("pump", 0))
		r.d.Drive("GPIO5", false)
		r.d.Drive("GPIO5", true)
		r.level("pump", "GPIO17", board.Off)
		r.withdrawn("pump", board.Off, "float-ok is not active")
		r.input("float-ok", board.Active)
		r.must(on("pump", 0))
	})
}

// TestPermitCutsAPulse: its sender hears why.
func TestPermitCutsAPulse(t *testing.T) {
	bubble(t, permitted(), granted, func(r *rig) {
		done := r.begin(pulse("pump", 5*time.Second))
		r.sleep(time.Second)
		r.d.Drive("GPIO5", false)
		synctest.Wait()
		res := <-done
		if res.Cut != board.CausePermit || res.Detail != "float-ok is not active" || res.Level != board.Off || res.OK() || !res.Attempted {
			t.Errorf("the pulse: %+v; want it cut by the permit", res)
		}
		r.withdrawn("pump", board.Off, "float-ok")
		r.sleep(10 * time.Second)
		if len(done) != 0 {
			t.Error("a second answer")
		}
	})
}

// TestLostEdge: the last look does not believe what it was told, and what is away is
// safe within a sample's time.
func TestLostEdge(t *testing.T) {
	bubble(t, permitted(), granted, func(r *rig) {
		r.d.Deafen("GPIO5", true)
		r.d.Drive("GPIO5", false)
		wantRefused(t, r.do(on("pump", 0)), board.NotPermitted)
		r.input("float-ok", board.Inactive)
		r.d.Drive("GPIO5", true)
		r.must(on("pump", 0)) // and it finds what has come back, too
		r.d.Drive("GPIO5", false)
		r.level("pump", "GPIO17", board.On) // nobody knows yet
		r.sleep(time.Second)
		r.level("pump", "GPIO17", board.Off)
		r.withdrawn("pump", board.Off, "float-ok is not active")
	})
}

// TestLastLookDropsWhatIsAway: a second "on" that finds the permit gone is refused,
// and ends the first.
func TestLastLookDropsWhatIsAway(t *testing.T) {
	bubble(t, permitted(), granted, func(r *rig) {
		r.must(on("pump", 0))
		r.d.Deafen("GPIO5", true)
		r.d.Drive("GPIO5", false)
		wantRefused(t, r.do(on("pump", time.Minute)), board.NotPermitted)
		r.level("pump", "GPIO17", board.Off)
		r.withdrawn("pump", board.Off, "float-ok is not active")
	})
}

// TestUnreadableInput: an input that cannot be read, or listened to, is not active,
// is a fault, and is tried again each second.
func TestUnreadableInput(t *testing.T) {
	for name, spoil := range map[string]func(*rig){
		"listener ends": func(r *rig) { r.d.EndEdges("GPIO5", syscall.ENODEV) },
		"read fails":    func(r *rig) { r.d.FailReads("GPIO5", 1, syscall.ENODEV); r.sleep(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, permitted(), granted, func(r *rig) {
				r.must(on("pump", 0))
				r.must(on("fan", 0))
				r.d.FailRequests("GPIO5", 2, syscall.ENODEV)
				spoil(r)
				r.level("pump", "GPIO17", board.Off)
				r.level("fan", "GPIO18", board.On)
				r.withdrawn("pump", board.Off, "float-ok cannot be read, which counts as not active")
				r.input("float-ok", board.InputUnknown)
				f := r.b.Faults()
				if len(f) != 1 || f[0].Target != "float-ok" || !f[0].Input || !strings.Contains(f[0].Err.Error(), `input "float-ok", line "GPIO5"`) {
					t.Errorf("faults %v; want the input's", f)
				}
				wantRefused(t, r.do(on("pump", 0)), board.NotPermitted) // the last look tried once more
				r.sleep(time.Second)
				r.input("float-ok", board.InputUnknown)
				r.sleep(time.Second)
				r.input("float-ok", board.Active)
				r.level("pump", "GPIO17", board.Off)
				if f := r.b.Faults(); f != nil {
					t.Errorf("faults %v; want none", f)
				}
				r.must(on("pump", 0))
			})
		})
	}
}

// TestEveryReadFails makes read 0, 1, 2 … of an input fail: the pump is at its safe
// level at once, what was asked at that moment is refused, and a later command has it
// on again.
func TestEveryReadFails(t *testing.T) {
	const life = 5 * time.Second
	for n, whole := 0, false; !whole; n++ {
		bubble(t, permitted(), granted, func(r *rig) {
			reads := r.d.Reads("GPIO5")
			r.d.FailReadAt("GPIO5", reads+n, syscall.EIO)
			struck := func() bool { return r.d.Reads("GPIO5") > reads+n }
			for range int(life / (250 * time.Millisecond)) {
				for _, step := range []func() bool{
					func() bool { return r.do(on("pump", 0)).Refused == board.NotPermitted },
					func() bool { r.sleep(250 * time.Millisecond); return r.b.Levels()["pump"] == board.Off },
				} {
					before := struck()
					if step() != (struck() && !before) {
						t.Errorf("read %d fails, at %v: it is not that read, and nothing else, that ended it", n, time.Since(r.start))
					} else if struck() && !before {
						r.level("pump", "GPIO17", board.Off)
						if c := r.change(); c.Target != "" && c.Cause != board.CausePermit {
							t.Errorf("change %+v", c)
						}
						r.must(on("pump", 0))
					}
				}
			}
			if whole = !struck(); !whole {
				r.must(on("pump", 0))
			}
			r.level("pump", "GPIO17", board.On)
		})
		if n > 200 {
			t.Fatal("the sweep does not end")
		}
	}
}

// TestInputAtStart: a line that cannot be had is no reason not to start, and outputs
// are safe before anything is asked of it.
func TestInputAtStart(t *testing.T) {
	held := func(d *sim.Driver) {
		granted(d)
		d.Hold("GPIO5", "w1")
	}
	bubble(t, permitted(), held, func(r *rig) {
		r.input("float-ok", board.InputUnknown)
		res := r.do(on("pump", 0))
		wantRefused(t, res, board.NotPermitted)
		if !strings.Contains(res.Detail, `in use by "w1"`) {
			t.Errorf("detail %q", res.Detail)
		}
		r.d.Hold("GPIO5", "")
		r.sleep(time.Second)
		r.must(on("pump", 0))
	})
}

// TestPermitOfNobody: a profile that nobody checked permits nothing.
func TestPermitOfNobody(t *testing.T) {
	p := pump(func(o *board.Output) { o.Permit = []string{"nobody"} })
	bubble(t, p, nil, func(r *rig) { wantRefused(t, r.do(on("pump", 0)), board.NotPermitted) })
}

// TestPermitAndAnUnknownLevel: losing a permit leaves alone what is being driven safe
// already.
func TestPermitAndAnUnknownLevel(t *testing.T) {
	bubble(t, permitted(), granted, func(r *rig) {
		r.must(on("pump", 0))
		r.d.FailOuts("GPIO17", 3, errIO, false)
		r.d.FailRequests("GPIO17", 3, errIO)
		r.d.Drive("GPIO5", false)
		r.level("pump", "GPIO17", board.Unknown)
		if c := r.change(); c.Cause != board.CauseTrip || c.Err == nil || c.Why == "" {
			t.Errorf("change %+v; want a trip that says why it was driven", c)
		}
		r.sleep(10 * time.Second)
		r.level("pump", "GPIO17", board.Off)
	})
}

// TestControlFile: what a person writes into the file beside the trace is what the
// inputs are.
func TestControlFile(t *testing.T) {
	bubble(t, permitted(), nil, func(r *rig) {
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(sim.ControlFile(r.trace), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r.sleep(100 * time.Millisecond)
		}
		for _, c := range []struct {
			text         string
			float, eStop board.InputState
		}{
			{"GPIO5 high\nGPIO6 low\n", board.Active, board.Active},
			{"# nothing\n", board.Inactive, board.Inactive},
			{"GPIO5 low\nGPIO5 high", board.Active, board.Inactive},
			{"GPIO6 low\nGPIO55 high\nGPIO5", board.Inactive, board.Active},
		} {
			write(c.text)
			if c.text == "GPIO5 high\nGPIO6 low\n" {
				r.sleep(time.Second) // the first: it was not there before
			}
			r.input("float-ok", c.float)
			r.input("e-stop", c.eStop)
		}
		write("GPIO5 high\nGPIO6 low\n")
		r.must(on("pump", 0))
		write("GPIO5 broken\nGPIO6 low\n")
		r.level("pump", "GPIO17", board.Off)
		r.withdrawn("pump", board.Off, fmt.Sprintf("float-ok cannot be read, which counts as not active: input %q", "float-ok"))
		if err := os.Remove(sim.ControlFile(r.trace)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(sim.ControlFile(r.trace), 0o700); err != nil {
			t.Fatal(err)
		}
		r.sleep(time.Second)
		r.input("float-ok", board.InputUnknown)
		r.input("e-stop", board.InputUnknown)
	})
}
