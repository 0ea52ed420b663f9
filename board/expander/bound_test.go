package expander

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

// TestAHangIsBounded: the call that meets it comes back after 250 ms, later ones
// at once, until the transfer does; what was given up takes no line away from its
// safe level any more.
func TestAHangIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := profile(board.MCP23008, 0x20, out("0"), out("1"))
		b := newBench(t)
		b.put(p)
		d := New(b, p)
		x, y := take(t, d, "x:0", false, gpio.Low), take(t, d, "x:1", false, gpio.Low)
		b.strike(b.transfers(), 0, hang)
		start := time.Now()
		if err := x.Out(gpio.High); board.BusFaultOf(err) != board.BusTimeout || time.Since(start) != wait {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		for _, err := range []error{x.Out(gpio.Low), y.Check(), y.Out(gpio.High)} {
			if board.BusFaultOf(err) != board.BusStuck || time.Since(start) != wait {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		}
		close(b.gate)
		synctest.Wait()
		if b.high(0x20, 0) {
			t.Error("it went on when nobody waited any more")
		}
		time.Sleep(period)
		if err := errors.Join(x.Out(gpio.Low), y.Out(gpio.High)); err != nil || !b.high(0x20, 1) {
			t.Errorf("once it was back: %v", err)
		}
		d.Close()
		if err := y.Out(gpio.Low); err == nil {
			t.Error("it drives behind Close")
		}
	})
}

// TestCloseLeavesAHangingBus: the end does not wait for it.
func TestCloseLeavesAHangingBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := profile(board.PCF8574, 0x20, out("0"))
		b := newBench(t)
		b.put(p)
		d := New(b, p)
		x := take(t, d, "x:0", false, gpio.Low)
		b.strike(b.transfers(), 0, hang)
		_ = x.Out(gpio.High)
		start := time.Now()
		if err := d.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("close after %v: %v", time.Since(start), err)
		}
		close(b.gate) // or the bubble would not end: the goroutine ends when the transfer does
	})
}

// TestADyingBusCostsOthersLittle: sixteen outputs on it fail and are tried again
// each second; the lease of an output of the board's own ends in time all the same,
// whenever it falls due.
func TestADyingBusCostsOthersLittle(t *testing.T) {
	for phase := range 10 {
		synctest.Test(t, func(t *testing.T) {
			outputs := []board.Output{{Name: "pump", Line: "GPIO17"}}
			for n := range 16 {
				outputs = append(outputs, out(fmt.Sprint(n)))
			}
			p := profile(board.MCP23017, 0x20, outputs...)
			p.Expanders = append(p.Expanders, board.Expander{Name: "y", Bus: "1", Address: 0x21, Chip: board.PCF8574, Verify: true})
			p.Outputs = append(p.Outputs, board.Output{Name: "other", Line: "y:0"})
			b := newBench(t)
			b.put(p)
			k := board.Open(p, New(b, p), nil)
			b.strike(b.transfers(), 1<<20, sleepy)
			k.Safe("m1") // now the board knows
			time.Sleep(time.Duration(phase) * 100 * time.Millisecond)
			before := b.transfers()
			done := make(chan board.Result, 1)
			start := time.Now()
			k.Do(board.Op{Kind: board.Set, Target: "pump", On: true, For: 5 * time.Second}, done)
			<-done
			due := time.Now()
			for c := range k.Changes() {
				if c.Target == "pump" && c.Cause == board.CauseLease {
					break
				}
			}
			if late := time.Since(start) - 5*time.Second; late > wait+allowance || due.Sub(start) > wait+allowance {
				t.Errorf("phase %d: it went on after %v, and its lease ended %v late", phase, due.Sub(start), late)
			}
			if n := b.transfers() - before; n < 4 || n > 12 {
				t.Errorf("phase %d: %d transfers in 5 s; want one or two tries a second", phase, n)
			}
			b.strike(-1, 0, nack)
			time.Sleep(3 * time.Second)
			if f := k.Faults(); f != nil {
				t.Errorf("phase %d: faults when the bus is well: %v", phase, f)
			}
			k.Close()
		})
	}
}

// TestACheckIsTriedTwice: one passing fault trips nothing, two do; of an Out the
// board is told at once, since it knows what to do.
func TestACheckIsTriedTwice(t *testing.T) {
	for _, kind := range []fault{nack, lost} {
		synctest.Test(t, func(t *testing.T) {
			p := profile(board.MCP23008, 0x20, out("0"))
			p.Expanders = append(p.Expanders, dimmers().Expanders[0])
			p.Expanders[1].Name, p.Levels = "y", []board.PWM{{Name: "fan", Line: "y:0", Frequency: 100}}
			b := newBench(t)
			b.put(p)
			d := New(b, p)
			x := take(t, d, "x:0", false, gpio.Low)
			y, err := d.PWM(board.PWMSpec{Line: "y:0", Frequency: 100 * physic.Hertz}, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []board.Checked{x, y.(board.Checked)} {
				for many := range 3 {
					time.Sleep(fresh)
					b.strike(b.transfers(), many, kind)
					if err := c.Check(); (err != nil) != (many > 0) {
						t.Errorf("%T, kind %d, %d transfers fail: %v", c, kind, many+1, err)
					}
				}
			}
			b.strike(b.transfers(), 0, kind)
			if err := x.Out(gpio.High); err == nil {
				t.Error("an Out is tried twice")
			}
			d.Close()
		})
	}
}

// TestADoubtedLine: one whose way to safety failed, and had arrived, is not taken
// away again by a neighbour's write of the same port.
func TestADoubtedLine(t *testing.T) {
	for _, chip := range []board.Chip{board.PCF8574, board.MCP23008} {
		synctest.Test(t, func(t *testing.T) {
			p := profile(chip, 0x20, out("0"), out("1"))
			b := newBench(t)
			b.put(p)
			d := New(b, p)
			x, y := take(t, d, "x:0", false, gpio.Low), take(t, d, "x:1", false, gpio.Low)
			if err := x.Out(gpio.High); err != nil {
				t.Fatal(err)
			}
			reads := 2 // of an MCP23008, before the latch is written
			if chip == board.PCF8574 {
				reads = 1
			}
			b.strike(b.transfers()+reads, 0, after)
			if err := x.Out(gpio.Low); err == nil || b.high(0x20, 0) {
				t.Fatalf("%s: %v; want it to fail and to have arrived", chip, err)
			}
			if err := y.Out(gpio.High); err != nil || b.high(0x20, 0) || !b.high(0x20, 1) {
				t.Errorf("%s: the neighbour: %v; line 0 is high=%v", chip, err, b.high(0x20, 0))
			}
			d.Close()
		})
	}
}

// TestAPassingFaultCostsNothing: what failed at once is tried at once, and the
// neighbours do not answer for it.
func TestAPassingFaultCostsNothing(t *testing.T) {
	for _, kind := range []fault{nack, lost, after} {
		synctest.Test(t, func(t *testing.T) {
			p := profile(board.MCP23008, 0x20, out("0"), out("1"))
			b := newBench(t)
			b.put(p)
			d := New(b, p)
			x, y := take(t, d, "x:0", false, gpio.Low), take(t, d, "x:1", false, gpio.Low)
			b.strike(b.transfers(), 0, kind)
			if err := x.Out(gpio.High); err == nil || !board.Transient(err) {
				t.Errorf("kind %d: %v", kind, err)
			}
			if err := errors.Join(y.Out(gpio.High), x.Out(gpio.High)); err != nil {
				t.Errorf("kind %d, the next: %v", kind, err)
			}
			if opened := b.opened; (opened == 1) != (kind == nack) {
				t.Errorf("kind %d: the bus was opened %d times", kind, opened)
			}
			d.Close()
		})
	}
}
