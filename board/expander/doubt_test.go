package expander

import (
	"errors"
	"testing"

	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
)

// TestResetInDoubt: a chip loses its power in the middle of a write, after which
// nobody knows whether that arrived. Of every line, also of the only one, it is found
// that the chip was reset: it is an output at its safe level again.
func TestResetInDoubt(t *testing.T) {
	for _, chip := range []board.Chip{board.PCF8574, board.MCP23008, board.MCP23017} {
		p := profile(chip, 0x20, out("0", safeOn))
		b := newBench(t)
		b.put(p)
		d := patient(New(b, p))
		x := take(t, d, "x:0", false, gpio.High)
		looks := map[board.Chip]int{board.PCF8574: 1, board.MCP23008: 2, board.MCP23017: 2}[chip]
		b.strike(b.transfers()+looks, 3, nack)
		if err := x.Out(gpio.Low); board.BusFaultOf(err) != board.NACK {
			t.Errorf("%s: the write that nobody took: %v", chip, err)
		}
		b.strike(-1, 0, nack)
		b.reset(0x20)
		if err := x.Out(gpio.High); err != nil || !b.driven(0x20, 0) || !b.high(0x20, 0) {
			t.Errorf("%s: the way to safety: %v, driven=%v, high=%v", chip, err, b.driven(0x20, 0), b.high(0x20, 0))
		}
		if err := errors.Join(x.Out(gpio.Low), x.Check()); err != nil {
			t.Errorf("%s: and then: %v", chip, err)
		}
		for _, s := range b.broken {
			t.Errorf("%s: %s", chip, s)
		}
		d.Close()
	}
}
