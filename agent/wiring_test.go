package agent

import (
	"fmt"
	"io"
	"sync/atomic"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
	"actuatord/board/sim"
)

// mortal is a board's wiring that the process can lose: dead, it moves nothing.
type mortal struct {
	*sim.Driver
	dead, armed atomic.Bool
	dark        func() bool // the power has gone
	at          func(string)
}

func (m *mortal) isDead() bool { return m.dead.Load() || m.dark() }

func (m *mortal) Output(spec board.LineSpec, level gpio.Level) (gpio.PinIO, error) {
	p, err := m.Driver.Output(spec, level)
	if err != nil {
		return nil, err
	}
	return &mortalPin{PinIO: p, m: m}, nil
}

func (m *mortal) PWM(spec board.PWMSpec, d gpio.Duty) (gpio.PinIO, error) {
	p, err := m.Driver.PWM(spec, d)
	if err != nil {
		return nil, err
	}
	return &mortalPin{PinIO: p, m: m}, nil
}

func (m *mortal) Bus(name string) (i2c.BusCloser, error) {
	b, err := m.Driver.Bus(name)
	if err != nil {
		return nil, err
	}
	return &mortalBus{BusCloser: b, m: m}, nil
}

type mortalPin struct {
	gpio.PinIO
	m *mortal
}

func (p *mortalPin) Because(target, cause string) { p.PinIO.(board.Caused).Because(target, cause) }

func (p *mortalPin) Close() error { return p.PinIO.(io.Closer).Close() }

func (p *mortalPin) Out(l gpio.Level) error {
	return p.drive(l, func() error { return p.PinIO.Out(l) })
}

func (p *mortalPin) PWM(d gpio.Duty, f physic.Frequency) error {
	return p.drive(d, func() error { return p.PinIO.PWM(d, f) })
}

func (p *mortalPin) drive(l any, do func() error) error {
	if p.m.armed.Load() && !p.m.isDead() {
		p.m.at(fmt.Sprintf("before %s goes %v", p.Name(), l))
	}
	if p.m.isDead() {
		return nil
	}
	err := do()
	if p.m.armed.Load() {
		p.m.at(fmt.Sprintf("after %s went %v", p.Name(), l))
	}
	return err
}

type mortalBus struct {
	i2c.BusCloser
	m *mortal
}

func (b *mortalBus) Because(target, cause string) { b.BusCloser.(board.Caused).Because(target, cause) }

func (b *mortalBus) Tx(addr uint16, w, r []byte) error {
	if b.m.isDead() {
		return nil
	}
	return b.BusCloser.Tx(addr, w, r)
}
