package expander

import (
	"errors"
	"os"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

var (
	errOutputOnly = errors.New("this line is an output and stays one")
	errLevelOnly  = errors.New("this line is for levels")
	errFrequency  = errors.New("all channels of the chip have the frequency that was configured")
)

// taken is what every line has that was taken. It is used by one goroutine.
type taken struct {
	d             *Driver
	n             uint
	spec          board.LineSpec
	closed        bool
	target, cause string
}

func (p *taken) Because(target, cause string) { p.target, p.cause = target, cause }

// gone is the answer of a line that was let go; nil while it is ours.
func (p *taken) gone() error {
	if p.closed {
		return &board.LineError{Target: p.spec.Target, Line: p.spec.Line, Err: os.ErrClosed}
	}
	return nil
}

// Close lets the line go; it keeps its level.
func (p *taken) Close() error {
	if !p.closed {
		p.closed = true
		delete(p.d.held, p.spec.Line)
	}
	return nil
}

func (p *taken) String() string                { return p.spec.Line }
func (p *taken) Name() string                  { return p.spec.Line }
func (p *taken) Number() int                   { return int(p.n) }
func (p *taken) Function() string              { return "Out" }
func (p *taken) Halt() error                   { return nil } // a line has no inert state but its safe level
func (p *taken) In(gpio.Pull, gpio.Edge) error { return errOutputOnly }
func (p *taken) WaitForEdge(time.Duration) bool {
	return false
}
func (p *taken) Pull() gpio.Pull        { return gpio.PullNoChange }
func (p *taken) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// pin is an output's line.
type pin struct {
	taken
	c     *chip
	level gpio.Level // that the last Out gave
}

func (p *pin) job(l gpio.Level) *job {
	return &job{device: p.c, address: p.c.spec.Address, line: p.n, high: bool(l) != p.spec.ActiveLow, target: p.target, cause: p.cause}
}

// Out drives the line, or answers what stood in the way, in a bounded time.
func (p *pin) Out(l gpio.Level) error {
	if err := p.gone(); err != nil {
		return err
	}
	err := p.c.link.do(p.job(l))
	if err == nil {
		p.level = l
	}
	return err
}

// Check asks the chip whether the line is as the last Out left it, in the same
// bounds.
func (p *pin) Check() error {
	if err := p.gone(); err != nil {
		return err
	}
	j := p.job(p.level)
	j.check = true
	return p.c.link.do(j)
}

// Read answers the level that the last Out gave; it does not ask the chip.
func (p *pin) Read() gpio.Level { return p.level }

func (p *pin) PWM(gpio.Duty, physic.Frequency) error { return errOutputOnly }

// channel is a level's line.
type channel struct {
	taken
	c    *pca9685
	duty gpio.Duty // that the last PWM gave
}

func (p *channel) job(d gpio.Duty) *job {
	return &job{device: p.c, address: p.c.spec.Address, line: p.n, duty: d, target: p.target, cause: p.cause}
}

// PWM has the line on for d of each period, or answers what stood in the way, in a
// bounded time.
func (p *channel) PWM(d gpio.Duty, f physic.Frequency) error {
	if err := p.gone(); err != nil {
		return err
	}
	if scaleOf(int(f/physic.Hertz)) != p.c.scale {
		return &board.LineError{Target: p.spec.Target, Line: p.spec.Line, Err: errFrequency}
	}
	err := p.c.link.do(p.job(d))
	if err == nil {
		p.duty = d
	}
	return err
}

// Check asks the chip whether the line is as the last PWM left it.
func (p *channel) Check() error {
	if err := p.gone(); err != nil {
		return err
	}
	j := p.job(p.duty)
	j.check = true
	return p.c.link.do(j)
}

// Read answers whether the last PWM had it on at all.
func (p *channel) Read() gpio.Level { return p.duty > 0 }

func (p *channel) Out(gpio.Level) error { return errLevelOnly }
