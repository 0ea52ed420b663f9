package expander

import (
	"errors"
	"slices"
	"syscall"

	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
)

// Driver is a board with expanders. Its methods are called as board.Driver says.
type Driver struct {
	board.Driver
	profile board.Profile
	links   []*link
	chips   []*chip
	held    map[string]string // line → its consumer
}

// New wraps d, and serves the lines of p's expanders. It touches nothing yet, and
// starts nothing.
func New(d board.Driver, p board.Profile) *Driver {
	x := &Driver{Driver: d, profile: p, held: map[string]string{}}
	for _, e := range p.Expanders {
		x.chips = append(x.chips, newChip(e, x.link(e.Bus)))
	}
	for _, o := range p.Outputs {
		if c, n, err := x.find(o.Line); c != nil && err == nil {
			c.configure(n, o.SafeOn != o.ActiveLow)
		}
	}
	return x
}

func (d *Driver) link(bus string) *link {
	for _, l := range d.links {
		if l.name == bus {
			return l
		}
	}
	l := &link{name: bus, driver: d.Driver}
	d.links = append(d.links, l)
	return l
}

// find answers a line's chip; nil: it is the wrapped driver's.
func (d *Driver) find(line string) (*chip, uint, error) {
	e, n, ok := d.profile.OnExpander(line)
	if !ok {
		return nil, 0, nil
	}
	i := slices.IndexFunc(d.chips, func(c *chip) bool { return c.spec.Name == e.Name })
	if n < 0 || n >= e.Chip.Lines() {
		return d.chips[i], 0, errLine
	}
	return d.chips[i], uint(n), nil
}

var errLine = errors.New("the expander has no such line, or no output was configured on it")

// Output takes a line of an expander at a level, setting the chip up if need be, or
// one of the wrapped driver.
func (d *Driver) Output(spec board.LineSpec, level gpio.Level) (gpio.PinIO, error) {
	c, n, err := d.find(spec.Line)
	if c == nil {
		return d.Driver.Output(spec, level)
	}
	fail := func(kind board.LineFault, err error) (gpio.PinIO, error) {
		return nil, &board.LineError{Target: spec.Target, Line: spec.Line, Fault: kind, Holder: d.held[spec.Line], Err: err}
	}
	switch {
	case err != nil:
		return fail(board.NoSuchLine, err)
	case c.ours&(1<<n) == 0:
		return fail(board.NoSuchLine, errLine)
	case d.held[spec.Line] != "":
		return fail(board.LineBusy, syscall.EBUSY)
	}
	p := &pin{d: d, c: c, n: n, spec: spec, target: spec.Target, cause: board.CauseSafe}
	if err := p.Out(level); err != nil {
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
