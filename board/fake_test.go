package board_test

import (
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"

	"actuatord/board"
)

// fakeDriver is the plainest driver there can be: its pins are no io.Closers
// and are not told causes, for both are optional. They hang in Out once hang is
// set, until gate is closed, and take their time.
type fakeDriver struct {
	hang bool
	gate chan struct{}
	slow time.Duration
	outs map[string][]time.Time // when each line's Outs began

	specs []board.LineSpec
}

type fakePin struct {
	gpio.PinIO
	d    *fakeDriver
	line string
}

func (p *fakePin) Out(gpio.Level) error {
	p.d.outs[p.line] = append(p.d.outs[p.line], time.Now())
	if p.d.hang {
		<-p.d.gate
	}
	if p.d.slow > 0 {
		<-time.After(p.d.slow)
	}
	return nil
}

func (d *fakeDriver) Output(spec board.LineSpec, _ gpio.Level) (gpio.PinIO, error) {
	d.specs = append(d.specs, spec)
	if d.outs == nil {
		d.outs = map[string][]time.Time{}
	}
	return &fakePin{PinIO: gpio.INVALID, d: d, line: spec.Line}, nil
}

func (d *fakeDriver) Bus(name string) (i2c.BusCloser, error) {
	return nil, &board.BusError{Bus: name, Fault: board.NoSuchBus}
}

func (d *fakeDriver) Close() error { return nil }

func (d *fakeDriver) Input(spec board.InputSpec, _ func(board.Edge)) (board.InputPin, error) {
	return nil, &board.LineError{Target: spec.Target, Line: spec.Line, Input: true, Fault: board.NoSuchLine}
}
