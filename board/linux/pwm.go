package linux

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

// pwmClass is where the kernel shows its PWM chips (Documentation/ABI/testing/
// sysfs-class-pwm): export makes pwmN appear, in which period and duty_cycle are
// nanoseconds, polarity "normal" or "inversed", enable 0 or 1.
const pwmClass = "/sys/class/pwm/"

var errLevelOnly = errors.New("this line is for levels")

// FindPWM says where a level's line is, without taking it. One that cannot be had is
// a [*board.LineError].
func FindPWM(line string) (string, error) {
	dir, channel, err := pwmPlace(system(), line)
	if err != nil {
		return "", &board.LineError{Line: line, Fault: pwmFault(err), Err: err}
	}
	return fmt.Sprintf("%s, channel %d", dir, channel), nil
}

// pwmPlace answers the directory of a line's chip, which has such a channel.
func pwmPlace(k kernel, line string) (dir string, channel int, err error) {
	chip, channel, ok := board.KernelPWM(line)
	if !ok {
		return "", 0, errors.New("is no pwmchipN:channel")
	}
	dir = fmt.Sprintf("%spwmchip%d", pwmClass, chip)
	text, err := k.readFile(dir + "/npwm")
	if err != nil {
		return "", 0, err
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || channel >= n {
		return "", 0, fmt.Errorf("the chip has %s channels: %w", strings.TrimSpace(string(text)), unix.ENODEV)
	}
	return dir, channel, nil
}

func pwmFault(err error) board.LineFault {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return board.NoSuchChip
	case errors.Is(err, unix.ENODEV):
		return board.NoSuchLine
	case errors.Is(err, unix.EROFS):
		return board.LinePermission
	}
	return faultOf(err)
}

// PWM takes a channel of one of the kernel's PWM chips and has it on for duty of each
// period. A channel that a kernel driver has is busy; what other programs do in sysfs
// nobody can lock out, so the pin can be asked whether it is as it was left.
func (d *Driver) PWM(spec board.PWMSpec, duty gpio.Duty) (gpio.PinIO, error) {
	p := &pwm{d: d, k: d.k, spec: spec}
	if d.taken[spec.Line] {
		return nil, p.fault(unix.EBUSY)
	}
	if err := p.take(duty); err != nil {
		return nil, p.fault(err)
	}
	if d.taken == nil {
		d.taken = map[string]bool{}
	}
	d.taken[spec.Line] = true
	return p, nil
}

// pwm is a channel that was taken. It is used by one goroutine.
type pwm struct {
	d       *Driver
	k       kernel
	spec    board.PWMSpec
	dir     string // of the channel
	channel int
	period  int64
	duty    int64 // as it was set last
	closed  bool
}

func (p *pwm) fault(err error) error {
	e := &board.LineError{Target: p.spec.Target, Line: p.spec.Line, Fault: pwmFault(err), Err: err}
	if e.Fault == board.LineBusy && p.d.taken[p.spec.Line] {
		e.Holder = p.spec.Consumer
	}
	return e
}

func (p *pwm) read(name string) (int64, error) {
	text, err := p.k.readFile(p.dir + "/" + name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

func (p *pwm) write(name string, value int64) error {
	return p.k.writeFile(p.dir+"/"+name, strconv.FormatInt(value, 10))
}

// take exports the channel and brings it to duty without ever being on for more than
// it was or is to be.
func (p *pwm) take(duty gpio.Duty) error {
	chip, channel, err := pwmPlace(p.k, p.spec.Line)
	if err != nil {
		return err
	}
	p.channel, p.dir = channel, fmt.Sprintf("%s/pwm%d", chip, channel)
	if _, err := p.k.readFile(p.dir + "/enable"); errors.Is(err, os.ErrNotExist) {
		if err := p.k.writeFile(chip+"/export", strconv.Itoa(channel)); err != nil {
			return err
		}
	}
	if err := p.upright(); err != nil {
		return err
	}
	if p.spec.Frequency < physic.Hertz || p.spec.Frequency > physic.GigaHertz {
		return fmt.Errorf("no frequency for it: %v: %w", p.spec.Frequency, unix.EINVAL)
	}
	p.period = int64(physic.GigaHertz / p.spec.Frequency)
	if err := p.retune(nanoseconds(p.period, duty)); err != nil {
		return err
	}
	// Also for nothing: what a disabled channel's pin does is the driver's choice.
	return p.write("enable", 1)
}

// upright makes the polarity normal. Not while it is enabled: most drivers refuse
// that, and it would turn little into much. Nor with a period of 0, with which older
// kernels take nothing else.
func (p *pwm) upright() error {
	text, err := p.k.readFile(p.dir + "/polarity")
	if err != nil || strings.TrimSpace(string(text)) != "inversed" {
		return err
	}
	enabled, err := p.read("enable")
	if err == nil && enabled != 0 {
		err = p.write("enable", 0)
	}
	if err != nil {
		return err
	}
	period, err := p.read("period")
	if err == nil && period == 0 {
		err = p.write("period", int64(time.Millisecond))
	}
	if err == nil {
		err = p.write("duty_cycle", 0)
	}
	if err != nil {
		return err
	}
	return p.k.writeFile(p.dir+"/polarity", "normal")
}

// retune sets period and duty. Between the two writes the new one of one goes with
// the old one of the other: a longer period is written first, a shorter one last, so
// that this is a lesser share than before and after. It also keeps the duty below the
// period, which the kernel insists on.
func (p *pwm) retune(duty int64) error {
	old, err := p.read("period")
	if err != nil {
		return err
	}
	p.duty = duty
	first, last := "period", "duty_cycle"
	values := map[string]int64{"period": p.period, "duty_cycle": duty}
	if old > p.period {
		first, last = last, first
	}
	if err := p.write(first, values[first]); err != nil {
		return err
	}
	return p.write(last, values[last])
}

func nanoseconds(period int64, d gpio.Duty) int64 {
	return (period*int64(d) + int64(gpio.DutyMax)/2) / int64(gpio.DutyMax)
}

// PWM changes the share; the frequency stays what it was taken with.
func (p *pwm) PWM(d gpio.Duty, f physic.Frequency) error {
	switch {
	case p.closed:
		return p.fault(os.ErrClosed)
	case f != p.spec.Frequency:
		return p.fault(fmt.Errorf("it was taken with %v: %w", p.spec.Frequency, unix.EINVAL))
	}
	duty := nanoseconds(p.period, d)
	if err := p.write("duty_cycle", duty); err != nil {
		return p.fault(err)
	}
	p.duty = duty
	return nil
}

// Check asks whether the channel is as it was left.
func (p *pwm) Check() error {
	if p.closed {
		return p.fault(os.ErrClosed)
	}
	for name, want := range map[string]int64{"period": p.period, "duty_cycle": p.duty, "enable": 1} {
		got, err := p.read(name)
		if err == nil && got != want {
			err = fmt.Errorf("its %s is %d and was set to %d: somebody else writes to it: %w", name, got, want, unix.EIO)
		}
		if err != nil {
			return p.fault(err)
		}
	}
	return nil
}

// Close lets the channel go. It stays exported and at its share: a channel that is
// taken back from sysfs is stopped by some drivers and not by others.
func (p *pwm) Close() error {
	if !p.closed {
		p.closed = true
		delete(p.d.taken, p.spec.Line)
	}
	return nil
}

func (p *pwm) Read() gpio.Level               { return p.duty > 0 }
func (p *pwm) Out(gpio.Level) error           { return errLevelOnly }
func (p *pwm) String() string                 { return p.spec.Line }
func (p *pwm) Name() string                   { return p.spec.Line }
func (p *pwm) Number() int                    { return p.channel }
func (p *pwm) Function() string               { return "PWM" }
func (p *pwm) Halt() error                    { return nil } // a line has no inert state but its safe level
func (p *pwm) In(gpio.Pull, gpio.Edge) error  { return errLevelOnly }
func (p *pwm) WaitForEdge(time.Duration) bool { return false }
func (p *pwm) Pull() gpio.Pull                { return gpio.PullNoChange }
func (p *pwm) DefaultPull() gpio.Pull         { return gpio.PullNoChange }
