package board_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"actuatord/board"
	"actuatord/board/sim"
)

func fan(more ...func(*board.PWM)) board.Profile {
	w := board.PWM{Name: "fan", Line: "pwmchip0:1", Frequency: 1000}
	for _, f := range more {
		f(&w)
	}
	return board.Profile{Levels: []board.PWM{w}}
}

func safeAt(p board.Percent) func(*board.PWM) { return func(w *board.PWM) { w.Safe = p } }

func set(p board.Percent, length time.Duration) board.Op {
	return board.Op{Kind: board.Set, Target: "fan", Percent: p, For: length, Cause: "m-set"}
}

// at asserts where the board and the wire have the fan.
func (r *rig) at(want board.Percent) {
	r.t.Helper()
	r.sleep(0)
	got, known := r.b.Percents()["fan"]
	if on := r.b.Levels()["fan"]; !known || got != want || r.d.Percent("pwmchip0:1") != want || (on == board.On) != (want > 0) {
		r.t.Errorf("at %v: the board says %v %% (%v, known=%v), the wire %v %%; want %v", time.Since(r.start), got, on, known, r.d.Percent("pwmchip0:1"), want)
	}
}

// TestLevel: safe at the start, set, set again, back; each a line of the trace.
func TestLevel(t *testing.T) {
	bubble(t, fan(safeAt(2000)), nil, func(r *rig) {
		r.at(2000)
		if !r.b.AtSafe("fan") {
			t.Error("not at its safe level")
		}
		for _, p := range []board.Percent{5000, 7550, 0, board.Full} {
			if res := r.must(set(p, 0)); !res.Changed || !res.Attempted || !res.Until.IsZero() {
				t.Errorf("%v: %+v", p, res)
			}
			r.at(p)
			if r.b.AtSafe("fan") {
				t.Errorf("%v %% counts as safe", p)
			}
		}
		if res := r.must(set(board.Full, 0)); res.Changed {
			t.Errorf("the same again: %+v; want nothing moved", res)
		}
		r.must(set(2000, time.Second)) // towards safe: the time has no meaning
		r.sleep(time.Hour)
		r.at(2000)
		var walk string
		for _, e := range r.events() {
			walk += e.Level + " " + board.Percent(*e.Of).String() + " " + e.Cause + "; "
		}
		if want := "on 20 safe; on 50 m-set; on 75.5 m-set; off 0 m-set; on 100 m-set; on 20 m-set; "; walk != want {
			t.Errorf("trace %s\nwant  %s", walk, want)
		}
	})
}

// TestLevelLimits: a lease and max_on bound the time away from the safe level, in
// whatever steps it goes.
func TestLevelLimits(t *testing.T) {
	p := fan(safeAt(2000), func(w *board.PWM) { w.MaxOn = time.Minute })
	bubble(t, p, nil, func(r *rig) {
		wantRefused(t, r.do(set(5000, 2*time.Minute)), board.OverMaxOn)
		wantRefused(t, r.do(set(board.Full+1, 0)), board.OutOfRange)
		wantRefused(t, r.do(board.Op{Kind: board.Pulse, Target: "fan", For: time.Second}), board.UnknownAction)
		wantRefused(t, r.do(write("fan", 1, 2)), board.UnknownAction)
		r.must(set(5000, 10*time.Second))
		r.sleep(10*time.Second - 1)
		r.at(5000)
		r.sleep(1)
		r.at(2000)
		if c := r.change(); c.Cause != board.CauseLease || c.By != "m-set" || !c.Safe || c.Level != board.On || *c.Percent != 2000 {
			t.Errorf("change %+v; want the lease's end", c)
		}
		start := time.Now()
		for range 6 { // a step each ten seconds renews nothing
			r.must(set(board.Percent(3000+time.Since(start)/time.Second), 0))
			r.sleep(10 * time.Second)
		}
		r.at(2000)
	})
}

// TestLevelThatFails is unknown, and then at its safe level.
func TestLevelThatFails(t *testing.T) {
	bubble(t, fan(), func(d *sim.Driver) { d.FailRequests("pwmchip0:1", 1, errIO) }, func(r *rig) {
		if _, known := r.b.Percents()["fan"]; known || r.b.AtSafe("fan") || r.b.Levels()["fan"] != board.Unknown {
			t.Error("what was never driven is known")
		}
		if res := r.do(set(5000, 0)); res.Refused != board.LevelUnknown {
			t.Errorf("%+v", res)
		}
		r.sleep(time.Second)
		r.at(0)
		r.must(set(5000, 0))
		r.d.FailOuts("pwmchip0:1", 1, errIO, true)
		if res := r.do(set(8000, 0)); res.OK() || res.Level != board.Off || !res.Attempted {
			t.Errorf("%+v; want it failed, and the fan safe", res)
		}
		r.at(0)
		r.must(board.Op{Kind: board.Safe, Target: board.All})
		r.must(set(5000, 0))
		r.b.Close()
		if got := r.d.Percent("pwmchip0:1"); got != 0 {
			t.Errorf("at %v %% behind Close", got)
		}
	})
}

// TestNoDimmer: a driver without lines for levels has none of them.
func TestNoDimmer(t *testing.T) {
	b := board.Open(fan(), &fakeDriver{}, nil)
	defer b.Close()
	if f := b.Faults(); len(f) != 1 || f[0].Target != "fan" {
		t.Errorf("faults %v", f)
	}
}

func TestPercent(t *testing.T) {
	for p, want := range map[board.Percent]string{0: "0", 1: "0.01", 50: "0.5", 100: "1", 1250: "12.5", 3000: "30", 9999: "99.99", board.Full: "100"} {
		if p.String() != want || board.PercentOf(p.Duty()) != p {
			t.Errorf("%d is written %s and comes back as %d", p, p, board.PercentOf(p.Duty()))
		}
	}
}

func TestParsePercent(t *testing.T) {
	for s, want := range map[string]board.Percent{"0": 0, "0.0": 0, "0.05": 5, "0.5": 50, "30": 3000, "30.00": 3000, "12.5": 1250, "100": board.Full, "100.00": board.Full} {
		if got, err := board.ParsePercent(s); got != want || err != nil {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", ".", "5.", ".5", "0.001", "1e2", "+5", "-0", "-", "1_0", "0x1", "nan", "inf", " 5", "5 ", "5%", "1.2.3", "-.5"} {
		if got, err := board.ParsePercent(s); !errors.Is(err, board.ErrPercent) {
			t.Errorf("%q: %v, %v; want it to be no number", s, got, err)
		}
	}
	for _, s := range []string{"100.01", "101", "-1", "-0.01", "99999999999999999999", "1844674407370955162"} {
		if got, err := board.ParsePercent(s); !errors.Is(err, board.ErrPercentRange) {
			t.Errorf("%q: %v, %v; want it out of range", s, got, err)
		}
	}
}

// TestCheckLevels: each line breaks one rule of a profile that is otherwise right.
func TestCheckLevels(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*board.Profile)
		want  []string
	}{
		{"nothing wrong", func(*board.Profile) {}, nil},
		{"a name that is taken", func(p *board.Profile) { p.Levels[0].Name = "pump" }, []string{"level 0: name"}},
		{"reserved name", func(p *board.Profile) { p.Levels[0].Name = "all" }, []string{"level 0: name"}},
		{"no line", func(p *board.Profile) { p.Levels[0].Line = "" }, []string{"level 0: line"}},
		{"a line of the board's own", func(p *board.Profile) { p.Levels[0].Line = "GPIO18" }, []string{"level 0: line"}},
		{"a line of a relay board", func(p *board.Profile) { p.Levels[0].Line = "relays:0" }, []string{"level 0: line"}},
		{"a line beyond the chip", func(p *board.Profile) { p.Levels[0].Line = "dimmers:16" }, []string{"level 0: line"}},
		{"a line written another way", func(p *board.Profile) { p.Levels[1].Line = "pwmchip00:1" }, []string{"level 1: line"}},
		{"a line that is taken", func(p *board.Profile) { p.Levels[1].Line, p.Levels[1].Frequency = "dimmers:5", 200 }, []string{"level 1: line"}},
		{"an output on a PCA9685", func(p *board.Profile) { p.Outputs[0].Line = "dimmers:0" }, []string{"output 0: line"}},
		{"no frequency", func(p *board.Profile) { p.Levels[0].Frequency = 0 }, []string{"level 0: frequency"}},
		{"too slow for the chip", func(p *board.Profile) { p.Levels[0].Frequency = 23 }, []string{"level 0: frequency"}},
		{"too fast for the chip", func(p *board.Profile) { p.Levels[0].Frequency = 1527 }, []string{"level 0: frequency"}},
		{"too fast for the kernel", func(p *board.Profile) { p.Levels[1].Frequency = 1000001 }, []string{"level 1: frequency"}},
		{"two frequencies on a chip", func(p *board.Profile) { p.Levels[2].Line = "dimmers:6" }, []string{"level 2: frequency"}},
		{"more than all", func(p *board.Profile) { p.Levels[0].Safe = board.Full + 1 }, []string{"level 0: safe"}},
		{"negative max_on", func(p *board.Profile) { p.Levels[0].MaxOn = -1 }, []string{"level 0: max_on"}},
		{"max_on with a safe level", func(p *board.Profile) { p.Levels[0].MaxOn, p.Levels[0].Safe = 1, 5000 }, nil},
		{"negative max_age", func(p *board.Profile) { p.Levels[0].MaxAge = -1 }, []string{"level 0: max_age"}},
		{"the all call address", func(p *board.Profile) { p.Expanders[2].Address = 0x70 }, []string{"expander 2: address"}},
		{"a reserved address", func(p *board.Profile) { p.Expanders[2].Address = 0x78 }, []string{"expander 2: address"}},
		{"an expander named as the kernel's", func(p *board.Profile) { p.Expanders[2].Name = "pwmchip3" }, []string{"level 0: line", "expander 2: name"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := relays()
			p.Expanders = append(p.Expanders, board.Expander{Name: "dimmers", Bus: "1", Address: 0x40, Chip: board.PCA9685, Verify: true})
			p.Levels = []board.PWM{
				{Name: "dim", Line: "dimmers:5", Frequency: 200}, {Name: "fan2", Line: "pwmchip0:1", Frequency: 25000}, {Name: "fan3", Line: "pwmchip0:0", Frequency: 500},
			}
			c.spoil(&p)
			faults := p.Check()
			if len(faults) != len(c.want) {
				t.Fatalf("faults %v; want %v", faults, c.want)
			}
			for i, f := range faults {
				if !strings.HasPrefix(f.String(), c.want[i]+" = ") || f.Rule == "" {
					t.Errorf("fault %v; want %s", f, c.want[i])
				}
			}
		})
	}
}

// TestLevelPermit: every step away from the safe level asks, and losing it ends them.
func TestLevelPermit(t *testing.T) {
	p := fan(safeAt(2000), func(w *board.PWM) { w.Permit = []string{"e-stop"} })
	p.Inputs = []board.Input{{Name: "e-stop", Line: "GPIO6"}}
	bubble(t, p, nil, func(r *rig) {
		wantRefused(t, r.do(set(5000, 0)), board.NotPermitted)
		wantRefused(t, r.do(set(0, 0)), board.NotPermitted)
		r.must(set(2000, 0))
		r.d.Drive("GPIO6", true)
		r.must(set(5000, 0))
		r.d.Deafen("GPIO6", true)
		r.d.Drive("GPIO6", false)
		wantRefused(t, r.do(set(9000, 0)), board.NotPermitted)
		r.at(2000)
		if c := r.change(); c.Target != "fan" || c.Cause != board.CausePermit || !c.Safe || c.Percent == nil || *c.Percent != 2000 {
			t.Errorf("change %+v", c)
		}
		r.d.Drive("GPIO6", true)
		r.sleep(time.Hour)
		r.at(2000)
	})
}

// TestLevelDisabled: it goes to its safe level, which may be neither end, and no step
// leads away from there.
func TestLevelDisabled(t *testing.T) {
	bubble(t, fan(safeAt(2000)), nil, func(r *rig) {
		r.must(set(5000, 0))
		r.disable("fan")
		r.at(2000)
		if c := r.change(); c.Target != "fan" || c.Cause != board.CauseDisabled || !c.Safe {
			t.Errorf("change %+v", c)
		}
		for _, p := range []board.Percent{0, 1999, 5000, board.Full} {
			wantRefused(t, r.do(set(p, 0)), board.Disabled)
		}
		r.must(set(2000, 0))
		r.disable()
		r.must(set(5000, 0))
	})
}
