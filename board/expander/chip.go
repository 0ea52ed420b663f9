package expander

import (
	"errors"
	"time"

	"actuatord/board"
)

// fresh is how long a look at a chip answers the checks of its other lines. The
// board asks for all of them at about the same moment, every few seconds.
const fresh = time.Second

// state is what a chip holds, a bit for each line.
type state struct {
	latch  uint16 // the levels it drives; of a PCF8574 the levels of its pins
	inputs uint16 // the lines that are not driven
}

// chip is one expander. configure and ours belong to New; the rest to the
// goroutine of its bus.
type chip struct {
	spec board.Expander
	link *link
	regs registers
	ours uint16 // the lines with an output
	safe uint16 // their levels on the wire at which they are safe

	known  bool      // it was set up, and was as it was left whenever it was looked at
	held   state     // as it was left
	doubt  uint16    // lines of which the last write may not have arrived; held has them safe
	lost   uint16    // lines that were set up anew and whose pins do not know it yet
	looked time.Time // when it was last as it was left
	found  state     // then
}

func newChip(e board.Expander, l *link) *chip {
	c := &chip{spec: e, link: l}
	switch e.Chip {
	case board.PCF8574:
		c.regs = registers{pins: e.Verify}
	case board.MCP23008:
		c.regs = mcp23008()
	default:
		c.regs = mcp23017()
	}
	return c
}

func (c *chip) configure(line uint, safe bool) {
	c.ours |= 1 << line
	if safe {
		c.safe |= 1 << line
	}
}

// ports are those on which there are lines of ours.
func (c *chip) ports() []uint {
	var all []uint
	for port := range uint(2) {
		if byte(c.ours>>(8*port)) != 0 {
			all = append(all, port)
		}
	}
	return all
}

var (
	errReset   = errors.New("it is not as it was left: it lost its power, was reset, or somebody else writes to it; all its lines were made safe")
	errLevel   = errors.New("the line is not at the level it was given")
	errSetUp   = errors.New("what was written does not read back")
	errGivenUp = errors.New("it was given up before the line was touched")
)

// carryOut does one job.
func (c *chip) carryOut(w wire, j *job) error {
	bit := uint16(1) << j.line
	if j.check && c.known && c.lost&bit == 0 && c.doubt == 0 && time.Since(c.looked) < fresh {
		return c.compare(w, j, c.found)
	}
	if err := j.twice(func() error { return c.settle(w) }); err != nil {
		return err
	}
	away := j.high != (c.safe&bit != 0)
	switch {
	case c.lost&bit != 0 && (j.check || away):
		c.lost &^= bit
		return w.fault(board.Mismatch, errReset)
	case j.check:
		return c.compare(w, j, c.found)
	}
	c.lost &^= bit
	return c.drive(w, j, bit, away)
}

// settle makes sure that the chip is as it was left, and sets it up where not.
func (c *chip) settle(w wire) error {
	if !c.known {
		return c.setUp(w)
	}
	found, err := c.regs.read(w, c.ours)
	if err != nil {
		return err
	}
	// Which lines are outputs is never in doubt: only setUp writes it.
	if c.regs.gone(c.held, found, c.ours&^c.doubt) || (c.held.inputs^found.inputs)&c.ours != 0 {
		c.known, c.lost = false, c.ours
		return c.setUp(w)
	}
	c.looked, c.found = time.Now(), found
	return nil
}

// setUp makes every line of ours an output at its safe level: first all latches,
// read back, then all directions.
func (c *chip) setUp(w wire) error {
	if err := c.regs.begin(w); err != nil {
		return err
	}
	found, err := c.regs.read(w, c.ours)
	if err != nil {
		return err
	}
	want := state{latch: c.regs.kept(found)&^c.ours | c.safe, inputs: found.inputs}
	for _, port := range c.ports() {
		if err := c.regs.latch(w, port, byte(want.latch>>(8*port))); err != nil {
			return err
		}
	}
	if err := c.prove(w, want); err != nil {
		return err
	}
	want.inputs &^= c.ours
	for _, port := range c.ports() {
		if now := byte(want.inputs >> (8 * port)); now != byte(found.inputs>>(8*port)) {
			if err := c.regs.direct(w, port, now); err != nil {
				return err
			}
		}
	}
	if err := c.prove(w, want); err != nil {
		return err
	}
	c.known, c.held, c.doubt = true, want, 0
	return nil
}

// prove reads back what was written.
func (c *chip) prove(w wire, want state) error {
	found, err := c.regs.read(w, c.ours)
	if err != nil {
		return err
	}
	if c.regs.gone(want, found, c.ours) {
		return w.fault(board.Mismatch, errSetUp)
	}
	c.looked, c.found = time.Now(), found
	return nil
}

// drive writes the latch of one line's port and reads it back.
func (c *chip) drive(w wire, j *job, bit uint16, away bool) error {
	want := c.held.latch &^ bit
	if j.high {
		want |= bit
	}
	if want == c.held.latch && c.doubt&bit == 0 {
		return c.compare(w, j, c.found)
	}
	if away && j.givenUp.Load() {
		return w.fault(board.BusTimeout, errGivenUp)
	}
	port := j.line / 8
	// Until it has read back, whoever else writes this port writes it safe.
	c.doubt, c.held.latch = c.doubt|bit, c.held.latch&^bit|c.safe&bit
	all := c.regs.kept(c.found)&^c.ours | want&c.ours
	if err := c.regs.latch(w, port, byte(all>>(8*port))); err != nil {
		return err
	}
	found, err := c.regs.read(w, bit)
	if err != nil {
		return err
	}
	if err := c.compare(w, j, found); err != nil {
		return err
	}
	c.held.latch, c.doubt = want, c.doubt&^bit
	c.found.latch = c.found.latch&^bit | want&bit
	return nil
}

// compare holds one line of what was found against the level it was given.
func (c *chip) compare(w wire, j *job, found state) error {
	bit := uint16(1) << j.line
	want := state{inputs: c.held.inputs}
	if j.high {
		want.latch = bit
	}
	if c.regs.differs(want, found, bit) {
		return w.fault(board.Mismatch, errLevel)
	}
	return nil
}
