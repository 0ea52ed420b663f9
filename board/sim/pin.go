package sim

import (
	"errors"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

var errOutputOnly = errors.New("a simulated line is an output and nothing else")

// pin is a held line. It is used by one goroutine at a time, as board.Driver
// says.
type pin struct {
	d      *Driver
	l      *line
	spec   board.LineSpec
	cause  string
	closed bool
}

func (p *pin) Because(_, cause string) { p.cause = cause }

func (p *pin) Out(l gpio.Level) error { return p.d.out(p, l) }

// Read answers the logical level.
func (p *pin) Read() gpio.Level {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	return p.l.level
}

// Close lets the line go; it keeps its level.
func (p *pin) Close() error {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	if !p.closed {
		p.closed, p.l.held = true, ""
	}
	return nil
}

func (p *pin) String() string                        { return p.spec.Line }
func (p *pin) Name() string                          { return p.spec.Line }
func (p *pin) Number() int                           { return -1 }
func (p *pin) Function() string                      { return "Out" }
func (p *pin) Halt() error                           { return nil }
func (p *pin) In(gpio.Pull, gpio.Edge) error         { return errOutputOnly }
func (p *pin) WaitForEdge(time.Duration) bool        { return false }
func (p *pin) Pull() gpio.Pull                       { return gpio.PullNoChange }
func (p *pin) DefaultPull() gpio.Pull                { return gpio.PullNoChange }
func (p *pin) PWM(gpio.Duty, physic.Frequency) error { return errOutputOnly }
