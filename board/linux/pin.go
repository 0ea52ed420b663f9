package linux

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

var errOutputOnly = errors.New("this line is an output and stays one")

// pin is a line that was requested as an output. It is used by one goroutine.
type pin struct {
	k      kernel
	fd     int // of the request; -1 once closed
	spec   board.LineSpec
	offset int
	gone   func() // tells the driver that the line is free
}

// Out sets the logical level; the kernel knows that the line is active-low.
func (p *pin) Out(l gpio.Level) error {
	v := unix.GPIOV2LineValues{Bits: bit(l), Mask: 1}
	return p.values(unix.GPIO_V2_LINE_SET_VALUES_IOCTL, &v)
}

// Read answers the logical level. It asks the request's own descriptor, which
// leaves direction and bias alone. gpio.PinIO gives it no room for an error:
// then it answers Low, so nothing may be decided by it.
func (p *pin) Read() gpio.Level {
	v := unix.GPIOV2LineValues{Mask: 1}
	if err := p.values(unix.GPIO_V2_LINE_GET_VALUES_IOCTL, &v); err != nil {
		return gpio.Low
	}
	return v.Bits&1 == 1
}

func (p *pin) values(request uint, v *unix.GPIOV2LineValues) error {
	err := os.ErrClosed
	if p.fd >= 0 {
		err = p.k.ioctl(p.fd, request, unsafe.Pointer(v))
	}
	if err != nil {
		return &board.LineError{Target: p.spec.Target, Line: p.spec.Line, Fault: faultOf(err), Err: err}
	}
	return nil
}

// Close lets the line go. What becomes of its level is the kernel's affair.
func (p *pin) Close() error {
	if p.fd < 0 {
		return nil
	}
	fd := p.fd
	p.fd = -1 // whatever close says, the number may be somebody else's now
	p.gone()
	return p.k.close(fd)
}

func (p *pin) String() string                        { return p.spec.Line }
func (p *pin) Name() string                          { return p.spec.Line }
func (p *pin) Number() int                           { return p.offset }
func (p *pin) Function() string                      { return "Out" } // known without asking the line
func (p *pin) Halt() error                           { return nil }   // a line has no inert state but its safe level
func (p *pin) In(gpio.Pull, gpio.Edge) error         { return errOutputOnly }
func (p *pin) WaitForEdge(time.Duration) bool        { return false }
func (p *pin) Pull() gpio.Pull                       { return gpio.PullNoChange }
func (p *pin) DefaultPull() gpio.Pull                { return gpio.PullNoChange }
func (p *pin) PWM(gpio.Duty, physic.Frequency) error { return errOutputOnly }
