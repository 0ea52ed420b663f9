package expander

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/board"
)

// play is one run of a board with an expander: three outputs, on, off, a lease, a
// pulse, and the end. In between it holds what the board believes against the
// wires.
type play struct {
	t    *testing.T
	b    *bench
	p    board.Profile
	k    *board.Board
	name string
	lost time.Time // when the chip lost its power; zero: it did not
}

func (y *play) do(op board.Op) {
	done := make(chan board.Result, 1)
	y.k.Do(op, done)
	<-done
	y.look()
}

// look: an output that the board believes safe is never driven away from it, and
// one that it believes away is never quietly at its safe level for longer than it
// takes to ask.
func (y *play) look() {
	y.t.Helper()
	if err := y.k.Ping(y.t.Context()); err != nil { // it is in no call
		y.t.Fatal(err)
	}
	for _, o := range y.p.Outputs {
		_, n, _ := y.p.OnExpander(o.Line)
		level := y.k.Levels()[o.Name]
		on := y.b.high(0x20, uint(n)) != o.ActiveLow
		driven := y.b.driven(0x20, uint(n))
		if level == o.Safe() && driven && on != o.SafeOn && !y.justLost() {
			y.t.Errorf("%s: %s is on=%v and believed %v", y.name, o.Name, on, level)
		}
		if level != board.Unknown && !y.justLost() && (!driven || on != (level == board.On)) {
			y.t.Errorf("%s: %s is on=%v, driven=%v, and believed %v", y.name, o.Name, on, driven, level)
		}
	}
}

// justLost: a chip that is without its power is found at the next check.
func (y *play) justLost() bool { return !y.lost.IsZero() && time.Since(y.lost) <= 6*time.Second }

func (y *play) run(resetAt int) {
	step := 0
	pass := func(d time.Duration) {
		if step == resetAt {
			y.b.reset(0x20)
			y.lost = time.Now()
		}
		step++
		time.Sleep(d)
		y.look()
	}
	y.k = board.Open(y.p, New(y.b, y.p), nil)
	y.look()
	pass(time.Second)
	y.do(board.Op{Kind: board.Set, Target: "o0", On: true})
	pass(7 * time.Second)
	y.do(board.Op{Kind: board.Set, Target: "o1", On: false, For: 10 * time.Second})
	pass(0)
	y.do(board.Op{Kind: board.Pulse, Target: "o2", For: time.Second})
	pass(time.Second)
	y.do(board.Op{Kind: board.Set, Target: "o0"})
	pass(8 * time.Second)
	y.do(board.Op{Kind: board.Safe, Target: board.All})
	pass(12 * time.Second)
	y.b.strike(-1, 0, nack)
	pass(6 * time.Second)
	if f := y.k.Faults(); f != nil {
		y.t.Errorf("%s: 6 s behind the last fault: %v", y.name, f)
	}
	y.k.Close()
	for _, o := range y.p.Outputs {
		_, n, _ := y.p.OnExpander(o.Line)
		if on := y.b.high(0x20, uint(n)) != o.ActiveLow; on != o.SafeOn || !y.b.driven(0x20, uint(n)) {
			y.t.Errorf("%s: %s is on=%v after Close", y.name, o.Name, on)
		}
	}
	for _, s := range y.b.broken {
		y.t.Errorf("%s: %s", y.name, s)
	}
}

// plant: safe off, safe on and active-low, on a chip that a last life left with
// everything on.
func plant(chip board.Chip) board.Profile {
	return profile(chip, 0x20, out("0"), out("1", safeOn), out("2", activeLow))
}

func stage(t *testing.T, chip board.Chip) *play {
	y := &play{t: t, p: plant(chip), b: newBench(t)}
	y.b.put(y.p)
	switch c := y.b.chips[0x20].(type) {
	case *mcp:
		c.regs[0][rOLAT], c.regs[0][rIODIR] = 0x01, 0xf8
	case *pcf:
		c.latch = 0xf9
	}
	return y
}

// TestFaultsAtEveryTransfer makes transfer 0, 1, 2 … fail, in each way and for a
// while, until a run has none: an output that the board believes safe is never away,
// no line becomes an output before its latch is safe, and in the end all is well.
func TestFaultsAtEveryTransfer(t *testing.T) {
	for _, chip := range []board.Chip{board.PCF8574, board.MCP23008, board.MCP23017} {
		runs := 0
		for _, kind := range []fault{nack, lost, after, hang, sleepy} {
			for _, many := range rounds(0, 1, 5) {
				for at := 0; ; at++ {
					reached := false
					synctest.Test(t, func(t *testing.T) {
						y := stage(t, chip)
						y.name = fmt.Sprintf("%s, fault %d at transfer %d and %d more", chip, kind, at, many)
						y.b.strike(at, many, kind)
						if kind == hang {
							go func() { // it hangs for three seconds, now and again
								for range 100 {
									time.Sleep(3 * time.Second)
									select {
									case y.b.gate <- struct{}{}:
									default:
									}
								}
							}()
						}
						y.run(-1)
						reached = y.b.n > at
						time.Sleep(300 * time.Second) // the gate's keeper ends
					})
					if runs++; !reached || t.Failed() {
						break
					}
				}
			}
		}
		t.Logf("%s: %d runs", chip, runs)
	}
}

// rounds are all, or the first where there is no time for more.
func rounds(all ...int) []int {
	if testing.Short() {
		return all[:1]
	}
	return all
}

// TestResetAtEveryStep takes the chip's power away and gives it back between any
// two steps: it is found, told of, and nothing goes back to where it was by itself.
func TestResetAtEveryStep(t *testing.T) {
	for _, chip := range []board.Chip{board.PCF8574, board.MCP23008, board.MCP23017} {
		for at := range 7 {
			synctest.Test(t, func(t *testing.T) {
				y := stage(t, chip)
				y.name = fmt.Sprintf("%s, reset at step %d", chip, at)
				y.run(at)
			})
		}
	}
}
