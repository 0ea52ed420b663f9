package board_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"actuatord/board"
	"actuatord/board/sim"
)

// step is one thing that happens to a board. It is drawn before the bubble
// starts, because rapid's failures must not unwind a bubble.
type step struct {
	Op      board.Op
	Fault   string // "", "go", "no go", "reads", "deaf", "disable", "enable", "outs", "moving", "requests", "hang", "release", "transfers"
	N       int    // how many times the fault strikes
	Line    int    // which output it strikes
	Advance time.Duration
}

// plant is the profile of the property test: two interlocked outputs with every
// limit, a safe-on output interlocked with another, one that an input permits, and two
// registers on one bus.
func plant() board.Profile {
	return board.Profile{
		Outputs: []board.Output{
			{Name: "a", Line: "A", MaxOn: 10 * time.Second, MinOff: 3 * time.Second, Interlock: "x"},
			{Name: "b", Line: "B", MaxOn: 20 * time.Second, Interlock: "x"},
			{Name: "free", Line: "F", MinOff: time.Second, Permit: []string{"go"}},
			{Name: "brake", Line: "K", SafeOn: true, Interlock: "y"},
			{Name: "motor", Line: "M", MaxOn: 5 * time.Second, Interlock: "y"},
		},
		Inputs: []board.Input{{Name: "go", Line: "I"}},
		Registers: []board.Register{
			{Name: "dac", Bus: "1", Address: 0x60, Verify: true, Safe: &board.SafeWrite{Register: 1, Bytes: []byte{0}}},
			{Name: "led", Bus: "1", Address: 0x61},
		},
	}
}

// frail is how many of plant's outputs faults may strike. The group with a
// safe-on member is left out: where a sibling cannot be driven, safety comes
// before the interlock, and "never two on" is not promised.
const frail = 3

func drawSteps(t *rapid.T) []step {
	seconds := rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 9 * time.Second, 15 * time.Second, 25 * time.Second})
	one := rapid.Custom(func(t *rapid.T) step {
		s := step{Advance: seconds.Draw(t, "advance")}
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 0:
			s.Fault = rapid.SampledFrom([]string{"outs", "moving", "requests", "transfers", "hang", "release", "go", "go", "no go", "reads", "deaf", "disable", "enable"}).Draw(t, "fault")
			s.N, s.Line = rapid.IntRange(1, 4).Draw(t, "n"), rapid.IntRange(0, frail-1).Draw(t, "line")
		case 1:
			s.Op = board.Op{Kind: board.Write, Target: rapid.SampledFrom([]string{"dac", "led"}).Draw(t, "register"), Bytes: []byte{9}}
		case 2:
			s.Op = board.Op{Kind: board.Safe, Target: rapid.SampledFrom([]string{"", "all", "a", "brake", "dac"}).Draw(t, "safe")}
		default:
			s.Op = board.Op{
				Kind:   rapid.SampledFrom([]board.OpKind{board.Set, board.Set, board.Set, board.Pulse}).Draw(t, "kind"),
				Target: rapid.SampledFrom([]string{"a", "b", "free", "brake", "motor", "nobody"}).Draw(t, "target"),
				On:     rapid.Bool().Draw(t, "on"),
				For:    seconds.Draw(t, "for"),
			}
		}
		return s
	})
	return rapid.SliceOfN(one, 1, 60).Draw(t, "steps")
}

// TestPromises drives random operations, faults and time, and holds what the
// hardware saw against what the package promises.
func TestPromises(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		steps := drawSteps(rt)
		n++
		w := &witness{path: fmt.Sprint(trace, n), due: map[string]time.Time{}}
		synctest.Test(t, func(t *testing.T) { w.run(t, steps) })
		w.checkTrace(readTrace(t, w.path))
		if len(w.broken) > 0 {
			rt.Fatalf("%q", w.broken)
		}
	})
}

// witness watches one run and keeps what it found broken.
type witness struct {
	path   string
	d      *sim.Driver
	b      *board.Board
	broken []string
	due    map[string]time.Time // when an output that was taken away must be back; absent: no bound known
	out    bool                 // free is disabled
	struck int                  // seconds by which faults may hold up a safe drive
}

func (w *witness) expect(ok bool, format string, args ...any) {
	if !ok {
		w.broken = append(w.broken, fmt.Sprintf(format, args...))
	}
}

type asked struct {
	step step
	at   time.Time
	done chan board.Result
	seen bool
}

func (w *witness) run(t *testing.T, steps []step) {
	d, err := sim.New(w.path)
	if err != nil {
		t.Fatal(err)
	}
	w.d, w.b = d, board.Open(plant(), d, nil)
	var all []*asked
	release := func() {}
	for _, s := range steps {
		switch {
		case s.Fault == "hang":
			release()
			release = d.Hang("1")
		case s.Fault == "release":
			release()
			release = func() {}
		case s.Fault != "":
			w.strike(s)
		default:
			a := &asked{step: s, at: time.Now(), done: make(chan board.Result, 4)}
			all = append(all, a)
			w.b.Do(s.Op, a.done)
		}
		synctest.Wait()
		w.hear(all)
		time.Sleep(s.Advance)
		synctest.Wait()
		w.hear(all)
		w.look(time.Now())
	}
	release()
	w.heal()
	w.b.Close()
	synctest.Wait()
	for _, a := range all {
		n := len(a.done)
		if a.seen {
			n++
		}
		w.expect(n == 1, "%+v was answered %d times", a.step.Op, n)
	}
	for _, o := range plant().Outputs {
		on, _ := d.Level(o.Line)
		w.expect(on == o.SafeOn, "%s is on=%v after Close", o.Name, on)
	}
}

func (w *witness) strike(s step) {
	line := plant().Outputs[s.Line].Line
	switch s.Fault {
	case "outs", "moving":
		w.d.FailOuts(line, s.N, syscall.EIO, s.Fault == "moving")
	case "requests":
		w.d.FailRequests(line, s.N, syscall.EBUSY)
	case "go", "no go":
		w.d.Deafen("I", false)
		w.d.Drive("I", s.Fault == "go")
		return
	case "disable", "enable":
		set := map[string]string{}
		if w.out = s.Fault == "disable"; w.out {
			set["free"] = "by kim"
		}
		w.b.Disable(set)
		return
	case "reads":
		w.d.FailReads("I", s.N, syscall.EIO)
		return
	case "deaf": // the board has a second to find out, so only what it knows is held against it
		w.d.Deafen("I", true)
		w.d.Drive("I", false)
		return
	case "transfers":
		w.d.FailTransfers("1", s.N, syscall.ENXIO)
	}
	w.struck += s.N
}

// hear takes the answers that have come and notes what they promise.
func (w *witness) hear(all []*asked) {
	for _, a := range all {
		if a.seen || len(a.done) == 0 {
			continue
		}
		a.seen = true
		res, op := <-a.done, a.step.Op
		w.expect(op.Target == "nobody" || res.Refused == "" || !towardSafe(op), "%+v was refused: %s", op, res.Detail)
		if res.OK() && op.Kind == board.Set && !towardSafe(op) && op.For > 0 {
			w.due[op.Target] = a.at.Add(op.For)
		} else if res.OK() && op.Kind == board.Safe && (op.Target == "" || op.Target == board.All) {
			clear(w.due) // every lease has ended with it
		} else if res.OK() && op.Kind != board.Write {
			delete(w.due, op.Target) // max_on, if there is one, is judged from the trace
		}
	}
}

func towardSafe(op board.Op) bool {
	return op.Kind == board.Safe || op.Kind == board.Set && op.On == (op.Target == "brake")
}

// look compares what the board believes with the wires.
func (w *witness) look(now time.Time) {
	levels := w.b.Levels()
	w.expect(levels["free"] != board.On || w.b.Inputs()["go"] == board.Active, "free is on and go is %v", w.b.Inputs()["go"])
	w.expect(levels["free"] != board.On || !w.out, "free is on and disabled")
	for _, o := range plant().Outputs {
		on, _ := w.d.Level(o.Line)
		l := levels[o.Name]
		w.expect(l == board.Unknown || on == (l == board.On), "%s is on=%v and believed %v", o.Name, on, l)
		due, leased := w.due[o.Name]
		if leased && !now.Before(due) {
			w.expect(l == board.Unknown || l == o.Safe(), "%s is %v past its lease", o.Name, l)
			delete(w.due, o.Name)
		}
	}
}

// heal takes every fault away: then nothing may stay unknown.
func (w *witness) heal() {
	for _, o := range plant().Outputs {
		w.d.FailOuts(o.Line, 0, nil, false)
		w.d.FailRequests(o.Line, 0, nil)
	}
	w.d.FailTransfers("1", 0, nil)
	time.Sleep(2 * time.Second)
	synctest.Wait()
	for name, l := range w.b.Levels() {
		w.expect(l != board.Unknown, "%s is unknown 2 s after its last fault", name)
	}
}

// checkTrace holds the wires' own history against the limits.
func (w *witness) checkTrace(events []sim.Event) {
	profile := map[string]board.Output{}
	for _, o := range plant().Outputs {
		profile[o.Name] = o
	}
	since := map[string]time.Time{} // of the present level
	level := map[string]string{}
	for _, e := range events {
		o, isOutput := profile[e.Target]
		if !isOutput || e.Level == level[e.Target] {
			continue
		}
		if e.Level == "on" && !o.SafeOn {
			w.expect(e.At.Sub(since[e.Target]) >= o.MinOff, "%s was off for %v only", e.Target, e.At.Sub(since[e.Target]))
		}
		if e.Level == "on" {
			for other, p := range profile {
				w.expect(other == e.Target || p.Interlock == "" || p.Interlock != o.Interlock || level[other] != "on",
					"%s went on while %s was on", e.Target, other)
			}
		}
		if e.Level == "off" && level[e.Target] == "on" && o.MaxOn > 0 {
			length, allowed := e.At.Sub(since[e.Target]), o.MaxOn+time.Duration(w.struck)*time.Second
			w.expect(length <= allowed, "%s was on for %v", e.Target, length)
		}
		level[e.Target], since[e.Target] = e.Level, e.At
	}
}
