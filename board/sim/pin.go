package sim

import (
	"errors"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

var (
	errOutputOnly = errors.New("a simulated line is an output and nothing else")
	errLevelOnly  = errors.New("this line was taken for levels")
)

// pin is a held line. It is used by one goroutine at a time, as board.Driver
// says.
type pin struct {
	d      *Driver
	l      *line
	spec   board.LineSpec
	pwm    bool // it is for levels
	cause  string
	closed bool
}

func (p *pin) event(level gpio.Level, percent board.Percent) Event {
	e := Event{Target: p.spec.Target, Level: word(level), Cause: p.cause}
	if p.pwm {
		of := Percent(percent)
		e.Of = &of
	}
	return e
}

func (p *pin) Because(_, cause string) { p.cause = cause }

func (p *pin) Out(l gpio.Level) error {
	if p.pwm {
		return errLevelOnly
	}
	return p.d.out(p, l, 0)
}

func (p *pin) PWM(d gpio.Duty, _ physic.Frequency) error {
	if !p.pwm {
		return errOutputOnly
	}
	return p.d.out(p, gpio.Level(d > 0), board.PercentOf(d))
}

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

func (p *pin) String() string                 { return p.spec.Line }
func (p *pin) Name() string                   { return p.spec.Line }
func (p *pin) Number() int                    { return -1 }
func (p *pin) Function() string               { return "Out" }
func (p *pin) Halt() error                    { return nil }
func (p *pin) In(gpio.Pull, gpio.Edge) error  { return errOutputOnly }
func (p *pin) WaitForEdge(time.Duration) bool { return false }
func (p *pin) Pull() gpio.Pull                { return gpio.PullNoChange }
func (p *pin) DefaultPull() gpio.Pull         { return gpio.PullNoChange }
