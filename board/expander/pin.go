package expander

import (
	"errors"
	"os"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

var errOutputOnly = errors.New("this line is an output and stays one")

// pin is a line that was taken. It is used by one goroutine.
type pin struct {
	d             *Driver
	c             *chip
	n             uint
	spec          board.LineSpec
	level         gpio.Level
	closed        bool
	target, cause string
}

func (p *pin) Because(target, cause string) { p.target, p.cause = target, cause }

// Out drives the line, or answers what stood in the way, within 250 ms.
func (p *pin) Out(l gpio.Level) error {
	if p.closed {
		return &board.LineError{Target: p.spec.Target, Line: p.spec.Line, Err: os.ErrClosed}
	}
	err := p.c.link.do(&job{chip: p.c, line: p.n, high: bool(l) != p.spec.ActiveLow, target: p.target, cause: p.cause})
	if err == nil {
		p.level = l
	}
	return err
}

// Check asks the chip whether the line is as the last Out left it, in the same
// bounds.
func (p *pin) Check() error {
	if p.closed {
		return &board.LineError{Target: p.spec.Target, Line: p.spec.Line, Err: os.ErrClosed}
	}
	return p.c.link.do(&job{chip: p.c, line: p.n, high: bool(p.level) != p.spec.ActiveLow, check: true, target: p.target, cause: board.CauseSafe})
}

// Read answers the level that the last Out gave; it does not ask the chip.
func (p *pin) Read() gpio.Level { return p.level }

// Close lets the line go; it keeps its level.
func (p *pin) Close() error {
	if !p.closed {
		p.closed = true
		delete(p.d.held, p.spec.Line)
	}
	return nil
}

func (p *pin) String() string                        { return p.spec.Line }
func (p *pin) Name() string                          { return p.spec.Line }
func (p *pin) Number() int                           { return int(p.n) }
func (p *pin) Function() string                      { return "Out" }
func (p *pin) Halt() error                           { return nil } // a line has no inert state but its safe level
func (p *pin) In(gpio.Pull, gpio.Edge) error         { return errOutputOnly }
func (p *pin) WaitForEdge(time.Duration) bool        { return false }
func (p *pin) Pull() gpio.Pull                       { return gpio.PullNoChange }
func (p *pin) DefaultPull() gpio.Pull                { return gpio.PullNoChange }
func (p *pin) PWM(gpio.Duty, physic.Frequency) error { return errOutputOnly }
