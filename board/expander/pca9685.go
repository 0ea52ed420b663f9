package expander

import (
	"errors"
	"time"

	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
)

// The PCA9685 (NXP, product data sheet Rev. 4, 16 April 2015). The registers are in
// table 4, pages 10 to 13; MODE1 and MODE2 in §7.3.1 and §7.3.2; the channels in
// §7.3.3, table 7; PRE_SCALE in §7.3.5.
const (
	mode1    = 0x00
	mode2    = 0x01
	channels = 0x06 // LED0_ON_L; a channel has four registers
	prescale = 0xfe

	// MODE1, 0x11 at power-on: asleep, and answering to LED All Call.
	restart   = 0x80 // reads 1 when channels were running as it fell asleep; writing 1 starts them again
	extclk    = 0x40 // an external clock; only a power cycle takes it back
	increment = 0x20 // several registers in one transfer
	asleep    = 0x10 // the oscillator is off; only then can PRE_SCALE be written

	// MODE2, 0x04 at power-on: outputs not inverted (INVRT), changing with the STOP
	// of a transfer (OCH), driving both levels (OUTDRV), and low while pin OE is
	// high (OUTNE).
	plain = 0x04

	// Bit 4 of a channel's ON_H is full on, of its OFF_H full off, which wins (page
	// 24). All channels are full off at power-on (table 7).
	full = 0x10

	steps     = 4096       // of one period
	clock     = 25_000_000 // of the internal oscillator, in Hz
	firstStep = 3          // the least that PRE_SCALE takes
)

// waking is twice what the oscillator needs to be up at most (500 µs, §7.3.1.1).
const waking = time.Millisecond

// pca9685 is a chip of sixteen channels. configure and ours belong to New; the rest
// to the goroutine of its bus.
type pca9685 struct {
	spec  board.Expander
	link  *link
	ours  uint16 // the channels with a level
	safe  [16][4]byte
	scale byte // what PRE_SCALE must be

	known  bool
	held   [16][4]byte // as the channels were left
	doubt  uint16      // channels of which the last write may not have arrived; held has them safe
	lost   uint16      // channels that were set up anew and whose pins do not know it yet
	looked time.Time   // when it was last as it was left, with
	found  [16][4]byte
}

func (c *pca9685) configure(channel uint, level board.PWM) {
	c.ours |= 1 << channel
	c.safe[channel] = counts(level.Safe.Duty())
	c.scale = scaleOf(level.Frequency)
}

// scaleOf is round(clock / (steps × frequency)) - 1 (§7.3.5).
func scaleOf(hertz int) byte {
	hertz = min(max(hertz, 1), clock/steps) // what cannot be had is the nearest that can
	n := (clock+steps*hertz/2)/(steps*hertz) - 1
	return byte(min(max(n, firstStep), 0xff))
}

// counts are a channel's four registers for a share of the time: on at the
// period's begin, off after so many steps. All and nothing are the full bits, so
// that there is no pulse of one step.
func counts(d gpio.Duty) [4]byte {
	n := (int64(d)*steps + int64(gpio.DutyMax)/2) / int64(gpio.DutyMax)
	switch {
	case n <= 0:
		return [4]byte{0, 0, 0, full}
	case n >= steps:
		return [4]byte{0, full, 0, 0}
	}
	return [4]byte{0, 0, byte(n), byte(n >> 8)}
}

var (
	errClock = errors.New("it runs on an external clock, by which no frequency can be kept; only a power cycle changes that")
	errShare = errors.New("the channel is not at the share of time it was given")
)

// carryOut does one job.
func (c *pca9685) carryOut(w wire, j *job) error {
	bit, want := uint16(1)<<j.line, counts(j.duty)
	if j.check && c.known && c.lost&bit == 0 && c.doubt == 0 && time.Since(c.looked) < fresh {
		return c.compare(w, j.line, want)
	}
	if err := j.twice(func() error { return c.settle(w) }); err != nil {
		return err
	}
	away := want != c.safe[j.line]
	switch {
	case c.lost&bit != 0 && (j.check || away):
		c.lost &^= bit
		return w.fault(board.Mismatch, errReset)
	case j.check:
		return c.compare(w, j.line, want)
	}
	c.lost &^= bit
	if want == c.held[j.line] && c.doubt&bit == 0 {
		return c.compare(w, j.line, want)
	}
	if away && j.givenUp.Load() {
		return w.fault(board.BusTimeout, errGivenUp)
	}
	c.doubt, c.held[j.line] = c.doubt|bit, c.safe[j.line]
	if err := c.set(w, j.line, want); err != nil {
		return err
	}
	c.held[j.line], c.doubt = want, c.doubt&^bit
	return nil
}

func (c *pca9685) compare(w wire, channel uint, want [4]byte) error {
	if c.found[channel] != want {
		return w.fault(board.Mismatch, errShare)
	}
	return nil
}

// set writes a channel in one transfer, at whose end it changes, and reads it back.
func (c *pca9685) set(w wire, channel uint, want [4]byte) error {
	register := byte(channels + 4*channel)
	if err := w.tx(append([]byte{register}, want[:]...), nil); err != nil {
		return err
	}
	if err := w.tx([]byte{register}, c.found[channel][:]); err != nil {
		return err
	}
	return c.compare(w, channel, want)
}

// settle makes sure that the chip is as it was left, and sets it up where not.
func (c *pca9685) settle(w wire) error {
	if !c.known {
		return c.setUp(w)
	}
	is, err := c.asLeft(w)
	if err != nil || is {
		return err
	}
	c.known, c.lost = false, c.ours
	return c.setUp(w)
}

func (c *pca9685) asLeft(w wire) (bool, error) {
	var modes [2]byte
	if err := w.tx([]byte{mode1}, modes[:]); err != nil {
		return false, err
	}
	if modes[0]&^restart != increment || modes[1] != plain {
		return false, nil
	}
	scale, err := w.read(prescale)
	if err != nil || scale != c.scale {
		return false, err
	}
	var all [64]byte
	if err := w.tx([]byte{channels}, all[:]); err != nil {
		return false, err
	}
	for n := range c.held {
		copy(c.found[n][:], all[4*n:])
		if c.ours&^c.doubt&(1<<n) != 0 && c.found[n] != c.held[n] {
			return false, nil
		}
	}
	c.looked = time.Now()
	return true, nil
}

// setUp has every channel of ours at its safe level before the oscillator runs, and
// again when it does. Channels of nobody go on as they were.
func (c *pca9685) setUp(w wire) error {
	found, err := w.read(mode1)
	if err != nil {
		return err
	}
	if found&extclk != 0 {
		return w.fault(board.Mismatch, errClock)
	}
	// As awake or asleep as it is; no more answering to All Call.
	if err := c.put(w, mode1, found&asleep|increment); err != nil {
		return err
	}
	// Inverted, what follows would be the wrong way round.
	if err := c.put(w, mode2, plain); err != nil {
		return err
	}
	if err := c.makeSafe(w); err != nil {
		return err
	}
	if err := c.tune(w, found); err != nil {
		return err
	}
	c.known, c.held, c.doubt, c.looked = true, c.safe, 0, time.Now()
	return nil
}

// put writes a register unless it is right already, and reads it back.
func (c *pca9685) put(w wire, register, value byte) error {
	const volatile = restart // of MODE1: not ours to compare; no other register written here has it
	now, err := w.read(register)
	if err != nil || now&^volatile == value&^volatile {
		return err
	}
	if err := w.write(register, value); err != nil {
		return err
	}
	if now, err = w.read(register); err == nil && now&^volatile != value&^volatile {
		err = w.fault(board.Mismatch, errSetUp)
	}
	return err
}

func (c *pca9685) makeSafe(w wire) error {
	for n := range uint(16) {
		if c.ours&(1<<n) == 0 {
			continue
		}
		if err := c.set(w, n, c.safe[n]); err != nil {
			return err
		}
	}
	return nil
}

// tune sets the frequency, for which the chip must sleep, and wakes it.
func (c *pca9685) tune(w wire, found byte) error {
	scale, err := w.read(prescale)
	if err != nil {
		return err
	}
	if scale == c.scale && found&asleep == 0 {
		return nil // it runs as it should: a restart of the daemon holds up no channel of others
	}
	if err := c.put(w, mode1, increment|asleep); err != nil {
		return err
	}
	if scale != c.scale {
		if err := w.write(prescale, c.scale); err != nil {
			return err
		}
		if scale, err = w.read(prescale); err != nil {
			return err
		} else if scale != c.scale {
			return w.fault(board.Mismatch, errSetUp)
		}
	}
	if err := c.put(w, mode1, increment); err != nil {
		return err
	}
	<-time.After(waking)
	// §7.3.1.1: what was running when it fell asleep runs on when told to. Ours are
	// safe in there.
	now, err := w.read(mode1)
	if err == nil && now&restart != 0 {
		err = w.write(mode1, increment|restart)
	}
	if err != nil {
		return err
	}
	return c.makeSafe(w)
}
