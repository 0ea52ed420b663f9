package board

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// ErrClosed answers every operation that reaches a board after Close.
var ErrClosed = errors.New("the board is closed")

// ErrStuck says that the board's own goroutine did not answer: it sits in a
// driver's call. Only the watchdog can help then.
var ErrStuck = errors.New("the board does not answer")

// LineFault says what is wrong with a line.
type LineFault uint8

// The faults of lines. The numbers do not leave the process.
const (
	LineIO         LineFault = iota // the kernel refused or failed to drive it
	NoSuchChip                      // chip-label:offset, and no chip has that label
	NoSuchLine                      // no line has that name, or the chip is too small
	AmbiguousLine                   // the name is on two lines; Places has both
	LineBusy                        // another process or driver holds it; Holder says who
	LinePermission                  // this process may not open the chip
)

// LineError says that a line cannot be had, driven or read. An output is unknown
// from then on until it was driven safe, an input until it was read.
type LineError struct {
	Target string // the output, level or input; "" where a line alone was asked about
	Line   string // as the profile has it
	Input  bool   // it is an input's
	Fault  LineFault
	Holder string   // LineBusy: the consumer label the kernel lists; may be empty
	Places []string // AmbiguousLine: chip-label:offset of each
	Twin   LineSpec // LineBusy: the output or input of ours that holds it, however that one writes the line
	Err    error    // what the kernel said, with its errno; nil where it was not asked
}

func (e *LineError) Error() string {
	kind, verb := "output", "driven"
	_, _, isPWM := KernelPWM(e.Line)
	switch {
	case e.Input:
		kind, verb = "input", "read"
	case isPWM:
		kind = "level"
	}
	s := fmt.Sprintf("line %q: ", e.Line)
	if e.Target != "" {
		s = fmt.Sprintf("%s %q, ", kind, e.Target) + s
	}
	if isPWM && e.Fault != LineIO {
		s += e.ofPWM()
		if e.Err != nil {
			s += ": " + e.Err.Error()
		}
		return s
	}
	switch e.Fault {
	case NoSuchChip:
		s += "no GPIO chip has that label"
	case NoSuchLine:
		s += "no GPIO chip has that line"
	case AmbiguousLine:
		places := make([]string, len(e.Places))
		for i, p := range e.Places {
			places[i] = strconv.Quote(p)
		}
		s += "that name is on several lines (" + strings.Join(places, ", ") + "); name one of these instead"
	case LineBusy:
		s += "in use"
		if e.Twin.Target != "" {
			s += fmt.Sprintf(" by %q, whose line %q is the same one; each needs a line of its own", e.Twin.Target, e.Twin.Line)
		} else if e.Holder != "" {
			s += fmt.Sprintf(" by %q", e.Holder)
		}
	case LinePermission:
		s += "no permission: the user must be in group gpio"
	default:
		s += "cannot be " + verb
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// ofPWM says what is wrong with a line of the kernel's PWM.
func (e *LineError) ofPWM() string {
	switch e.Fault {
	case NoSuchChip:
		return "there is no such PWM chip in /sys/class/pwm"
	case NoSuchLine:
		return "the PWM chip has no such channel"
	case LineBusy:
		return "in use, by a kernel driver or by this process"
	}
	return "no permission: /sys/class/pwm must be writable for the service, see its pwm.conf"
}

// Unwrap gives the kernel's errno, or nil.
func (e *LineError) Unwrap() error { return e.Err }

// Reason is the reason code a report carries: "timeout" or "io-error".
func (e *LineError) Reason() string {
	if errors.Is(e.Err, syscall.ETIMEDOUT) {
		return "timeout"
	}
	return "io-error"
}

// BusFault says what is wrong with a bus or a device on it.
type BusFault uint8

// The faults of buses. The numbers do not leave the process.
const (
	BusIO         BusFault = iota // the adapter failed the transaction
	NoSuchBus                     // no adapter has that number or name
	BusPermission                 // this process may not open it
	NACK                          // no device answered at that address, or it refused a byte
	BusTimeout                    // the transaction did not come back in time
	BusStuck                      // not tried: an earlier transaction has not come back yet
	Mismatch                      // read-back differs from what was written
	NotSupported                  // the adapter cannot do plain I2C transfers (SMBus only)
)

// BusError says that a register could not be written or read. What the device
// holds is unknown from then on, until the next write succeeded.
type BusError struct {
	Bus     string
	Address uint16
	Fault   BusFault
	Err     error // what the kernel said, with its errno; nil where it was not asked
}

func (e *BusError) Error() string {
	s := fmt.Sprintf("bus %q, device %#02x: ", e.Bus, e.Address)
	switch e.Fault {
	case NoSuchBus:
		s = fmt.Sprintf("bus %q: no such bus", e.Bus)
	case BusPermission:
		s = fmt.Sprintf("bus %q: no permission: the user must be in group i2c", e.Bus)
	case NACK:
		s += "no acknowledge: absent, unpowered, or refusing"
	case BusTimeout:
		s += "no answer in time"
	case BusStuck:
		s += "an earlier transaction has not come back"
	case Mismatch:
		s += "read-back differs from what was written"
	case NotSupported:
		s += "the adapter cannot do plain I2C transfers"
	default:
		s += "transfer failed"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the kernel's errno, or nil.
func (e *BusError) Unwrap() error { return e.Err }

// Reason is the reason code a report carries: "nack", "timeout", "mismatch" or
// "io-error".
func (e *BusError) Reason() string {
	switch e.Fault {
	case NACK:
		return "nack"
	case BusTimeout, BusStuck:
		return "timeout"
	case Mismatch:
		return "mismatch"
	}
	return "io-error"
}

// BusFaultOf sorts what a transfer said into a BusFault; a *BusError keeps its
// own. ENXIO and EREMOTEIO are
// the two spellings of "not acknowledged" that Linux's adapters use
// (Documentation/i2c/fault-codes).
func BusFaultOf(err error) BusFault {
	var bus *BusError
	switch {
	case errors.As(err, &bus):
		return bus.Fault
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.EREMOTEIO):
		return NACK
	case errors.Is(err, syscall.ETIMEDOUT):
		return BusTimeout
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return BusPermission
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENODEV):
		return NoSuchBus
	case errors.Is(err, syscall.EOPNOTSUPP):
		return NotSupported
	}
	return BusIO
}

// Transient reports whether trying again within seconds may well help: a
// disturbed or busy bus or line, yes; a device that is not there, a right that
// is missing, a board that is closed, no. An error it cannot read is not
// transient. Joined errors are transient if all of them are.
func Transient(err error) bool {
	if err == nil {
		return false
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if !Transient(e) {
				return false
			}
		}
		return len(many.Unwrap()) > 0
	}
	var bus *BusError
	if errors.As(err, &bus) && (bus.Fault == BusTimeout || bus.Fault == BusStuck || bus.Fault == Mismatch) {
		return true
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.EAGAIN, syscall.EINTR, syscall.EIO, syscall.ETIMEDOUT, syscall.EBUSY, syscall.ENXIO, syscall.EREMOTEIO:
		return true
	}
	return false
}

// ReasonOf is the reason code for err, whatever it is.
func ReasonOf(err error) string {
	var r interface{ Reason() string }
	if errors.As(err, &r) {
		return r.Reason()
	}
	return "io-error"
}
