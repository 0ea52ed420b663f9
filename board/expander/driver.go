package expander

import (
	"errors"
	"syscall"

	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
)

// Driver is a board with expanders. Its methods are called as board.Driver says.
type Driver struct {
	board.Driver
	profile board.Profile
	links   []*link
	chips   map[string]*chip    // by name
	dimmers map[string]*pca9685 // likewise
	held    map[string]string   // line → its consumer
}

// New wraps d, and serves the lines of p's expanders. It touches nothing yet, and
// starts nothing.
func New(d board.Driver, p board.Profile) *Driver {
	x := &Driver{Driver: d, profile: p, chips: map[string]*chip{}, dimmers: map[string]*pca9685{}, held: map[string]string{}}
	for _, e := range p.Expanders {
		if e.Chip == board.PCA9685 {
			x.dimmers[e.Name] = &pca9685{spec: e, link: x.link(e.Bus)}
		} else {
			x.chips[e.Name] = newChip(e, x.link(e.Bus))
		}
	}
	for _, o := range p.Outputs {
		if e, n, ok := p.OnExpander(o.Line); ok && within(e, n) && x.chips[e.Name] != nil {
			x.chips[e.Name].configure(uint(n), o.SafeOn != o.ActiveLow)
		}
	}
	for _, w := range p.Levels {
		if e, n, ok := p.OnExpander(w.Line); ok && within(e, n) && x.dimmers[e.Name] != nil {
			x.dimmers[e.Name].configure(uint(n), w)
		}
	}
	return x
}

func within(e board.Expander, n int) bool { return n >= 0 && n < e.Chip.Lines() }

func (d *Driver) link(bus string) *link {
	for _, l := range d.links {
		if l.name == bus {
			return l
		}
	}
	l := &link{name: bus, driver: d.Driver, wait: wait}
	d.links = append(d.links, l)
	return l
}

var errLine = errors.New("the expander has no such line, or none of this kind was configured on it")

// free refuses a line that was not configured, or that somebody has.
func (d *Driver) free(spec board.LineSpec, ours uint16, n int) error {
	e := &board.LineError{Target: spec.Target, Line: spec.Line, Fault: board.NoSuchLine, Err: errLine}
	switch holder := d.held[spec.Line]; {
	case n < 0 || n > 15 || ours&(1<<n) == 0:
		return e
	case holder != "":
		e.Fault, e.Holder, e.Err = board.LineBusy, holder, syscall.EBUSY
		return e
	}
	return nil
}

func (d *Driver) taken(spec board.LineSpec, n int) taken {
	return taken{d: d, n: uint(n), spec: spec, target: spec.Target, cause: board.CauseSafe}
}

var errInput = errors.New("an expander's lines are outputs only")

// Input takes a line of the wrapped driver.
func (d *Driver) Input(spec board.InputSpec, tell func(board.Edge)) (board.InputPin, error) {
	if _, _, ok := d.profile.OnExpander(spec.Line); ok {
		return nil, &board.LineError{Target: spec.Target, Line: spec.Line, Input: true, Fault: board.NoSuchLine, Err: errInput}
	}
	return d.Driver.Input(spec, tell)
}

// Output takes a line of an expander at a level, setting the chip up if need be, or
// one of the wrapped driver.
func (d *Driver) Output(spec board.LineSpec, level gpio.Level) (gpio.PinIO, error) {
	e, n, ok := d.profile.OnExpander(spec.Line)
	if !ok {
		return d.Driver.Output(spec, level)
	}
	c := d.chips[e.Name]
	if c == nil {
		return nil, d.free(spec, 0, n)
	}
	if err := d.free(spec, c.ours, n); err != nil {
		return nil, err
	}
	p := &pin{taken: d.taken(spec, n), c: c}
	if err := p.Out(level); err != nil {
		return nil, err
	}
	d.held[spec.Line] = spec.Consumer
	return p, nil
}

// PWM does the same for levels.
func (d *Driver) PWM(spec board.PWMSpec, duty gpio.Duty) (gpio.PinIO, error) {
	line := board.LineSpec{Target: spec.Target, Line: spec.Line, Consumer: spec.Consumer}
	e, n, ok := d.profile.OnExpander(spec.Line)
	if !ok {
		if inner, can := d.Driver.(board.Dimmer); can {
			return inner.PWM(spec, duty)
		}
		return nil, &board.LineError{Target: spec.Target, Line: spec.Line, Fault: board.NoSuchLine, Err: errors.ErrUnsupported}
	}
	c := d.dimmers[e.Name]
	if c == nil {
		return nil, d.free(line, 0, n)
	}
	if err := d.free(line, c.ours, n); err != nil {
		return nil, err
	}
	p := &channel{taken: d.taken(line, n), c: c}
	if err := p.PWM(duty, spec.Frequency); err != nil {
		return nil, err
	}
	d.held[spec.Line] = spec.Consumer
	return p, nil
}

// Close ends the goroutines of the buses, but for those that sit in a transfer,
// and closes the wrapped driver. Levels stay as they are.
func (d *Driver) Close() error {
	for _, l := range d.links {
		l.close()
	}
	return d.Driver.Close()
}
