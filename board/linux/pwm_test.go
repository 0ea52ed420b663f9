package linux

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

// sysfs is /sys/class/pwm with one chip, pwmchip0, that goes by the kernel's rules
// (drivers/pwm/core.c, 6.1): with a period of 0, or a duty above it, every store is
// refused; polarity does not change while it is enabled.
type sysfs struct {
	channels []*pwmChannel
	log      []string
	fail     map[string]error // of writes, by the file's last name
	most     board.Percent    // that was on the wire of any channel since it was set to 0
}

type pwmChannel struct {
	exported, held, enabled, inversed bool
	period, duty                      int64
}

func (c *pwmChannel) share() board.Percent {
	if !c.enabled || c.period == 0 {
		return 0
	}
	p := board.Percent((c.duty*10000 + c.period/2) / c.period)
	if c.inversed {
		return board.Full - p
	}
	return p
}

func (s *sysfs) find(path string) (*pwmChannel, string, error) {
	rest, ok := strings.CutPrefix(path, "/sys/class/pwm/pwmchip0/")
	if s == nil || !ok {
		return nil, "", &os.PathError{Op: "open", Path: path, Err: unix.ENOENT}
	}
	dir, name, deeper := strings.Cut(rest, "/")
	if !deeper {
		return nil, rest, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(dir, "pwm"))
	if err != nil || n >= len(s.channels) || !s.channels[n].exported {
		return nil, "", &os.PathError{Op: "open", Path: path, Err: unix.ENOENT}
	}
	return s.channels[n], name, nil
}

func (s *sysfs) read(path string) ([]byte, error) {
	c, name, err := s.find(path)
	switch {
	case err != nil:
		return nil, err
	case name == "npwm":
		return fmt.Appendln(nil, len(s.channels)), nil
	case name == "period":
		return fmt.Appendln(nil, c.period), nil
	case name == "duty_cycle":
		return fmt.Appendln(nil, c.duty), nil
	case name == "enable" && c.enabled:
		return []byte("1\n"), nil
	case name == "enable":
		return []byte("0\n"), nil
	case name == "polarity" && c.inversed:
		return []byte("inversed\n"), nil
	case name == "polarity":
		return []byte("normal\n"), nil
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: unix.ENOENT}
}

func (s *sysfs) write(path, text string) error {
	c, name, err := s.find(path)
	if err == nil {
		err = s.fail[name]
	}
	if err != nil {
		return err
	}
	s.log = append(s.log, name+"="+text)
	if err := s.store(c, name, text); err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	for _, c := range s.channels {
		s.most = max(s.most, c.share())
	}
	return nil
}

func (s *sysfs) store(c *pwmChannel, name, text string) error {
	if name == "export" {
		n, err := strconv.Atoi(text)
		if err != nil || n >= len(s.channels) {
			return unix.ENODEV
		}
		if s.channels[n].held || s.channels[n].exported {
			return unix.EBUSY
		}
		s.channels[n].exported = true
		return nil
	}
	next := *c
	n, _ := strconv.ParseInt(text, 10, 64)
	switch name {
	case "period":
		next.period = n
	case "duty_cycle":
		next.duty = n
	case "enable":
		next.enabled = n == 1
	case "polarity":
		if c.enabled {
			return unix.EBUSY
		}
		next.inversed = text == "inversed"
	}
	if next.period == 0 || next.duty > next.period {
		return unix.EINVAL
	}
	*c = next
	return nil
}

func fan(hertz int) board.PWMSpec {
	return board.PWMSpec{Target: "fan", Line: "pwmchip0:1", Consumer: board.Consumer, Frequency: physic.Frequency(hertz) * physic.Hertz}
}

func cooled(found pwmChannel) (*sysfs, *Driver) {
	m, d := pi()
	m.pwm = &sysfs{channels: []*pwmChannel{{}, &found}, fail: map[string]error{}}
	return m.pwm, d
}

// TestPWMSequence: what is written, and in which order, from whatever was found. On
// the way it is never on for more than it was, or is to be.
func TestPWMSequence(t *testing.T) {
	for _, c := range []struct {
		name  string
		found pwmChannel
		to    board.Percent
		want  []string
	}{
		{"fresh", pwmChannel{}, 2500, []string{"export=1", "period=1000000", "duty_cycle=250000", "enable=1"}},
		{"fresh, nothing", pwmChannel{}, 0, []string{"export=1", "period=1000000", "duty_cycle=0", "enable=1"}},
		{"left on by a last life", pwmChannel{exported: true, enabled: true, period: 1000000, duty: 900000}, 0, []string{"period=1000000", "duty_cycle=0", "enable=1"}},
		{"slower before", pwmChannel{exported: true, enabled: true, period: 20000000, duty: 1500000}, 5000, []string{"duty_cycle=500000", "period=1000000", "enable=1"}},
		{"slower before, and fuller", pwmChannel{exported: true, enabled: true, period: 2000000, duty: 2000000}, 1000, []string{"duty_cycle=100000", "period=1000000", "enable=1"}},
		{"faster before", pwmChannel{exported: true, enabled: true, period: 40000, duty: 40000}, 1000, []string{"period=1000000", "duty_cycle=100000", "enable=1"}},
		{"disabled", pwmChannel{exported: true, period: 40000, duty: 40000}, board.Full, []string{"period=1000000", "duty_cycle=1000000", "enable=1"}},
		{"inversed", pwmChannel{exported: true, enabled: true, inversed: true, period: 1000000, duty: 900000}, 0,
			[]string{"enable=0", "duty_cycle=0", "polarity=normal", "period=1000000", "duty_cycle=0", "enable=1"}},
		{"inversed, never used", pwmChannel{exported: true, inversed: true}, 500,
			[]string{"period=1000000", "duty_cycle=0", "polarity=normal", "period=1000000", "duty_cycle=50000", "enable=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, d := cooled(c.found)
			before := c.found.share()
			p, err := d.PWM(fan(1000), c.to.Duty())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.log, c.want) {
				t.Errorf("wrote %q\nwant  %q", s.log, c.want)
			}
			if got := s.channels[1].share(); got != c.to || s.most > max(before, c.to) {
				t.Errorf("at %v, on the way at most %v; want %v", got, s.most, c.to)
			}
			if err := p.(board.Checked).Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPWMErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		line    string
		arrange func(*sysfs)
		fault   board.LineFault
		errno   error
	}{
		{"no such chip", "pwmchip1:0", nil, board.NoSuchChip, unix.ENOENT},
		{"no such channel", "pwmchip0:2", nil, board.NoSuchLine, unix.ENODEV},
		{"no line of this kind", "GPIO17", nil, board.LineIO, nil},
		{"a kernel driver has it", "pwmchip0:1", func(s *sysfs) { s.channels[1].held = true }, board.LineBusy, unix.EBUSY},
		{"no permission", "pwmchip0:1", func(s *sysfs) { s.fail["export"] = unix.EACCES }, board.LinePermission, unix.EACCES},
		{"read-only, as under ProtectKernelTunables", "pwmchip0:1", func(s *sysfs) { s.fail["export"] = unix.EROFS }, board.LinePermission, unix.EROFS},
		{"a period it cannot do", "pwmchip0:1", func(s *sysfs) { s.fail["period"] = unix.EINVAL }, board.LineIO, unix.EINVAL},
		{"a duty it cannot do", "pwmchip0:1", func(s *sysfs) { s.fail["duty_cycle"] = unix.EINVAL }, board.LineIO, unix.EINVAL},
		{"it cannot be enabled", "pwmchip0:1", func(s *sysfs) { s.fail["enable"] = unix.EIO }, board.LineIO, unix.EIO},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, d := cooled(pwmChannel{})
			if c.arrange != nil {
				c.arrange(s)
			}
			spec := fan(1000)
			spec.Line = c.line
			_, err := d.PWM(spec, 0)
			var e *board.LineError
			if !errors.As(err, &e) || e.Fault != c.fault || e.Target != "fan" || e.Line != c.line || c.errno != nil && !errors.Is(err, c.errno) {
				t.Errorf("%v; want fault %d, %v", err, c.fault, c.errno)
			}
			s.fail, s.channels[1].held = nil, false
			if _, err := d.PWM(fan(1000), 0); err != nil {
				t.Errorf("once that is over: %v", err)
			}
		})
	}
}

// TestPWMCheck: what another program writes is found.
func TestPWMCheck(t *testing.T) {
	s, d := cooled(pwmChannel{})
	p, err := d.PWM(fan(1000), 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*pwmChannel){
		"duty_cycle": func(c *pwmChannel) { c.duty = 1 }, "period": func(c *pwmChannel) { c.period = 5 },
		"enable": func(c *pwmChannel) { c.enabled = false }, "no such": func(c *pwmChannel) { c.exported = false },
	} {
		was := *s.channels[1]
		spoil(s.channels[1])
		if err := p.(board.Checked).Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		*s.channels[1] = was
	}
	if err := p.PWM(board.Full.Duty(), 999*physic.Hertz); err == nil || s.channels[1].duty != 0 {
		t.Errorf("another frequency: %v", err)
	}
}
