package board

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// Percent is a share of the time, in hundredths of a percent: 0 to Full. Two
// decimals tell each of a PCA9685's 4096 steps from the next (0.024 %); with one,
// some could not be named.
type Percent uint16

// Full is all of the time.
const Full Percent = 10000

// String writes p as commands and reports do: 30, 12.5, 0.05.
func (p Percent) String() string {
	s := fmt.Sprintf("%d.%02d", p/100, p%100)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// What ParsePercent answers to what is none.
var (
	ErrPercent      = errors.New("no number with at most two decimals")
	ErrPercentRange = errors.New("not from 0 to 100")
)

// ParsePercent reads a number as people write it: digits, and perhaps a point and one
// or two more. What could be written shorter is the same: 30, 30.0 and 30.00.
func ParsePercent(s string) (Percent, error) {
	digits, below := strings.CutPrefix(s, "-")
	whole, rest, point := strings.Cut(digits, ".")
	if whole == "" || point && (rest == "" || len(rest) > 2) || strings.Trim(whole+rest, "0123456789") != "" {
		return 0, ErrPercent
	}
	n, err := strconv.ParseUint(whole+(rest + "00")[:2], 10, 64)
	if err != nil || n > uint64(Full) || below && n > 0 {
		return 0, ErrPercentRange
	}
	if below {
		return 0, ErrPercent // -0 is nothing that anybody means
	}
	return Percent(n), nil
}

// Duty is p as periph has it. PercentOf is its inverse.
func (p Percent) Duty() gpio.Duty { return gpio.Duty(int64(p) * int64(gpio.DutyMax) / int64(Full)) }

// PercentOf is the percent nearest to d.
func PercentOf(d gpio.Duty) Percent {
	return Percent((int64(d)*int64(Full) + int64(gpio.DutyMax)/2) / int64(gpio.DutyMax))
}

// PWM is one line that is on for a share of the time, which commands set: a
// [[level]] of the configuration. Its level is On where that is more than nothing.
type PWM struct {
	Name      string
	Line      string        // expander:channel of a PCA9685, or pwmchipN:channel of the kernel's
	Frequency int           // in Hz
	Safe      Percent       // where it is at start and stop, and when a lease ends
	MaxOn     time.Duration // longest time away from Safe; 0: none
	MaxAge    time.Duration // as for an output
	Permit    []string      // as for an output
}

// output is the line as the board's goroutine keeps it: like any output, but that
// there is more than one place away from its safe level.
func (w PWM) output() *output {
	return &output{
		spec: Output{Name: w.Name, Line: w.Line, SafeOn: w.Safe > 0, MaxOn: w.MaxOn, MaxAge: w.MaxAge, Permit: w.Permit},
		pwm:  &w,
		safe: w.Safe,
	}
}

// Dimmer is what a driver may also be: one that has lines for levels.
type Dimmer interface {
	// PWM takes a line and has it on for d of each period. It never passes
	// through more than it was found at or is asked for. What it is asked for later
	// comes by the pin's own PWM, with the same frequency. Otherwise it is as
	// Driver's Output.
	PWM(spec PWMSpec, d gpio.Duty) (gpio.PinIO, error)
}

// PWMSpec says which line, and how fast.
type PWMSpec struct {
	Target    string
	Line      string
	Consumer  string
	Frequency physic.Frequency
}

// KernelPWM reads pwmchipN:channel, the line of a PWM chip that the kernel drives.
func KernelPWM(line string) (chip, channel int, ok bool) {
	name, number, ok := strings.Cut(line, ":")
	digits, isChip := strings.CutPrefix(name, "pwmchip")
	if !ok || !isChip {
		return 0, 0, false
	}
	chip, ok = plainNumber(digits)
	if !ok {
		return 0, 0, false
	}
	channel, ok = plainNumber(number)
	return chip, channel, ok
}

// plainNumber reads a number that can be written in one way only.
func plainNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && strconv.FormatUint(n, 10) == s
}

// The frequencies that can be had. A PCA9685's prescaler goes from 3 to 255 (NXP
// PCA9685 Rev. 4, §7.3.5). The kernel takes any; below 1 Hz it is a schedule, and
// above 1 MHz a period has too few nanoseconds for two decimals.
const (
	slowestPCA9685, fastestPCA9685 = 24, 1526
	slowestKernel, fastestKernel   = 1, 1000000
)

// level checks one level; frequencies are those of the expanders so far.
func (c *checker) level(i int, w PWM) {
	c.name("level", i, w.Name)
	c.permits("level", i, w.Name, w.Permit)
	slowest, fastest := slowestKernel, fastestKernel
	e, n, onChip := c.p.OnExpander(w.Line)
	_, _, inKernel := KernelPWM(w.Line)
	switch other, taken := c.lines[w.Line]; {
	case taken:
		c.fault("level", i, "line", w.Line, "already the line of %s", other)
	case !onChip && !inKernel, onChip && e.Chip.Lines() > 0 && e.Chip != PCA9685:
		c.fault("level", i, "line", w.Line, "must be a line of an expander with chip = %q, such as \"dimmers:0\", or of a PWM chip of the kernel, such as \"pwmchip0:1\"", PCA9685)
	case onChip && e.Chip == PCA9685 && (n < 0 || n >= PCA9685.Lines()):
		c.fault("level", i, "line", w.Line, "the lines of expander %q are %q to %q", e.Name, e.Name+":0", fmt.Sprintf("%s:%d", e.Name, PCA9685.Lines()-1))
	default:
		c.lines[w.Line] = fmt.Sprintf("level %q", w.Name)
	}
	if onChip {
		slowest, fastest = slowestPCA9685, fastestPCA9685
	}
	hertz := fmt.Sprintf("%dHz", w.Frequency)
	switch before, agreed := c.frequencies[e.Name]; {
	case w.Frequency == 0:
		c.fault("level", i, "frequency", "", "is required: how often a second it goes on, such as \"200Hz\"; the wrong one can harm what is connected")
	case w.Frequency < slowest || w.Frequency > fastest:
		c.fault("level", i, "frequency", hertz, "must be from %dHz to %dHz here", slowest, fastest)
	case onChip && agreed && before != w.Frequency:
		c.fault("level", i, "frequency", hertz, "another level of expander %q has %dHz, and the chip has one frequency for all", e.Name, before)
	case onChip:
		c.frequencies[e.Name] = w.Frequency
	}
	if w.Safe > Full {
		c.fault("level", i, "safe", w.Safe.String(), "must be from 0 to 100")
	}
	c.span("level", i, "max_on", w.MaxOn)
	c.span("level", i, "max_age", w.MaxAge)
}
