package linux

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
	"actuatord/board/boardtest"
)

// pi is a machine with the chips of a Raspberry Pi 5, where one of them has two
// paths, and one bus.
func pi() (*machine, *Driver) {
	m := newMachine()
	c := m.addChip("/dev/gpiochip0", "gpiochip0", "pinctrl-rp1", "ID_SD", "GPIO4", "GPIO17", "")
	m.addChip("/dev/gpiochip10", "gpiochip10", "gpio-brcmstb", "GPIO_A", "")
	m.paths = append(m.paths, "/dev/gpiochip4") // a link, for old programs
	m.chips["/dev/gpiochip4"] = c
	m.adapters["/dev/i2c-1"] = &adapter{funcs: 0x0eff0001, devices: map[uint16]map[byte][]byte{0x60: {}}}
	return m, newDriver(m.kernel())
}

func spec(line string) board.LineSpec {
	return board.LineSpec{Target: "pump", Line: line, Consumer: board.Consumer}
}

func TestConformance(t *testing.T) {
	boardtest.Suite(t, func(t *testing.T) boardtest.Rig {
		m, d := pi()
		c := m.chips["/dev/gpiochip0"]
		r := boardtest.Rig{
			Driver: d,
			Lines:  []string{"GPIO17", "pinctrl-rp1:3"},
			High: func(line string) bool {
				if line == "GPIO17" {
					return c.lines[2].high
				}
				return c.lines[3].high
			},
			Drive: func(line string, high bool) { m.drive(c.lines[2+strings.Count(line, ":")], high) },
			Break: func(line string) { c.lines[2+strings.Count(line, ":")].fail = unix.EIO },

			NoLine: "GPIO99",
			Bus:    "1", NoBus: "9", Address: 0x60, Register: 0x40, Absent: 0x10,
			PWM:   "pwmchip0:1",
			Share: func(string) board.Percent { return m.pwm.channels[1].share() },
		}
		m.pwm = &sysfs{channels: []*pwmChannel{{}, {}}}
		again := r
		r.Again = func() boardtest.Rig { return again }
		t.Cleanup(func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if len(m.open) != 0 {
				t.Errorf("%d descriptors are open at the end", len(m.open))
			}
		})
		return r
	})
}

// TestLayout: the structs have the sizes that the kernel's numbers carry, and
// ours the offsets of C, on every target this is built for.
func TestLayout(t *testing.T) {
	const word = unsafe.Sizeof(uintptr(0))
	for name, c := range map[string]struct{ got, want uintptr }{
		"gpio_v2_line_request":     {unsafe.Sizeof(unix.GPIOV2LineRequest{}), uintptr(sizeOf(unix.GPIO_V2_GET_LINE_IOCTL))},
		"gpio_v2_line_info":        {unsafe.Sizeof(unix.GPIOV2LineInfo{}), uintptr(sizeOf(unix.GPIO_V2_GET_LINEINFO_IOCTL))},
		"gpio_v2_line_values":      {unsafe.Sizeof(unix.GPIOV2LineValues{}), uintptr(sizeOf(unix.GPIO_V2_LINE_SET_VALUES_IOCTL))},
		"gpiochip_info":            {unsafe.Sizeof(unix.GPIOChipInfo{}), uintptr(sizeOf(unix.GPIO_GET_CHIPINFO_IOCTL))},
		"i2c_msg":                  {unsafe.Sizeof(message{}), 8 + word},
		"i2c_msg.flags":            {unsafe.Offsetof(message{}.flags), 2},
		"i2c_msg.len":              {unsafe.Offsetof(message{}.length), 4},
		"i2c_msg.buf":              {unsafe.Offsetof(message{}.buffer), 8},
		"i2c_rdwr_ioctl_data":      {unsafe.Sizeof(transfer{}), 2 * word},
		"i2c_rdwr_ioctl_data.nmsg": {unsafe.Offsetof(transfer{}.count), word},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d; want %d", name, c.got, c.want)
		}
	}
}

// TestOneRequest: direction, value, active-low and consumer go in one request,
// and the line sees the level it is to have as its first and only edge. Taken
// first and configured later it would see low before high.
func TestOneRequest(t *testing.T) {
	for _, c := range []struct {
		activeLow bool
		level     gpio.Level
		flags     uint64
		value     uint64
		high      bool
	}{
		{false, gpio.Low, 8, 0, false},
		{false, gpio.High, 8, 1, true},
		{true, gpio.Low, 8 | 2, 0, true},
		{true, gpio.High, 8 | 2, 1, false},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			m, d := pi()
			s := spec("GPIO17")
			s.ActiveLow = c.activeLow
			if _, err := d.Output(s, c.level); err != nil {
				t.Fatal(err)
			}
			want := make([]byte, 592)
			le.PutUint32(want, 2) // offsets[0]
			copy(want[256:], board.Consumer)
			le.PutUint64(want[288:], c.flags)
			le.PutUint32(want[296:], 1) // attributes
			le.PutUint32(want[320:], 2) // output values
			le.PutUint64(want[328:], c.value)
			le.PutUint64(want[336:], 1) // of line 0 of the request
			le.PutUint32(want[560:], 1) // lines
			if len(m.requests) != 1 || !bytes.Equal(m.requests[0], want) {
				t.Errorf("requests %x; want one, %x", m.requests, want)
			}
			w := m.chips["/dev/gpiochip0"].lines[2]
			if !slices.Equal(w.edges, []bool{c.high}) {
				t.Errorf("the wire saw %v; want %v alone", w.edges, c.high)
			}
			if len(m.open) != 1 {
				t.Errorf("%d descriptors are open; want the line's alone", len(m.open))
			}
		})
	}
}

// TestOpenDrain: it goes in the same request, so that no high is ever driven first.
func TestOpenDrain(t *testing.T) {
	m, d := pi()
	s := spec("GPIO17")
	s.OpenDrain = true
	if _, err := d.Output(s, gpio.High); err != nil {
		t.Fatal(err)
	}
	if len(m.requests) != 1 || le.Uint64(m.requests[0][288:]) != 8|64 {
		t.Errorf("requests %x; want one, with flags 48 (hex)", m.requests)
	}
}

// TestReadAsksForTheValueAlone: periph's own driver would make the line an input.
func TestReadAsksForTheValueAlone(t *testing.T) {
	m, d := pi()
	p, err := d.Output(spec("GPIO17"), gpio.High)
	if err != nil {
		t.Fatal(err)
	}
	m.calls = nil
	if p.Read() != gpio.High {
		t.Error("read low")
	}
	if f := fmt.Sprintln(p, p.Name(), p.Number(), p.Pull(), p.DefaultPull(), p.WaitForEdge(0)); f != "GPIO17 GPIO17 2 PullNoChange PullNoChange false\n" {
		t.Errorf("the pin says %s", f)
	}
	if err := p.PWM(gpio.DutyHalf, 1); err == nil {
		t.Error("it claims to do PWM")
	}
	if !slices.Equal(m.calls, []uint{unix.GPIO_V2_LINE_GET_VALUES_IOCTL}) {
		t.Errorf("calls %#x; want one GET_VALUES", m.calls)
	}
	m.chips["/dev/gpiochip0"].lines[2].fail = unix.EIO
	if p.Read() != gpio.Low {
		t.Error("a read that failed says high")
	}
}

// TestLineErrors: each is told apart, keeps its errno, and leaves no descriptor
// open.
func TestLineErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		line    string
		arrange func(*machine)
		fault   board.LineFault
		errno   error // nil: none
		says    string
	}{
		{"no such name", "GPIO99", nil, board.NoSuchLine, nil, "GPIO99"},
		{"no such label", "pinctrl-rp2:3", nil, board.NoSuchChip, nil, "label"},
		{"chip too small", "pinctrl-rp1:4", nil, board.NoSuchLine, nil, "pinctrl-rp1:4"},
		{"an offset that is none", "pinctrl-rp1:x", nil, board.NoSuchLine, nil, ""},
		{"no chips at all", "GPIO17", func(m *machine) { m.paths = nil }, board.NoSuchLine, nil, ""},
		{"name on two chips", "GPIO17", func(m *machine) { m.chips["/dev/gpiochip10"].lines[1].name = "GPIO17" },
			board.AmbiguousLine, nil, `"pinctrl-rp1:2", "gpio-brcmstb:1"`},
		{"name twice on a chip", "GPIO4", func(m *machine) { m.chips["/dev/gpiochip0"].lines[3].name = "GPIO4" },
			board.AmbiguousLine, nil, `"pinctrl-rp1:1", "pinctrl-rp1:3"`},
		{"label on two chips", "pinctrl-rp1:1", func(m *machine) { m.chips["/dev/gpiochip10"].label = "pinctrl-rp1" },
			board.AmbiguousLine, nil, `"pinctrl-rp1:1", "pinctrl-rp1:1"`},
		{"held", "GPIO17", func(m *machine) { m.chips["/dev/gpiochip0"].lines[2].consumer = "spi0 CS1" },
			board.LineBusy, unix.EBUSY, `"spi0 CS1"`},
		{"no permission", "GPIO17", func(m *machine) { m.chips["/dev/gpiochip0"].refuse = unix.EACCES },
			board.LinePermission, unix.EACCES, "group gpio"},
		{"chip that fails", "GPIO17", func(m *machine) { m.chips["/dev/gpiochip0"].broken = unix.ENODEV },
			board.LineIO, unix.ENODEV, "/dev/gpiochip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, d := pi()
			if c.arrange != nil {
				c.arrange(m)
			}
			_, err := d.Output(spec(c.line), gpio.Low)
			var e *board.LineError
			if !errors.As(err, &e) || e.Fault != c.fault || e.Target != "pump" || e.Line != c.line {
				t.Fatalf("%v; want fault %d", err, c.fault)
			}
			if !errors.Is(err, c.errno) && c.errno != nil || c.errno == nil && e.Err != nil {
				t.Errorf("%v; want errno %v", err, c.errno)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not say %q", err, c.says)
			}
			if len(m.open) != 0 {
				t.Errorf("%d descriptors are open", len(m.open))
			}
		})
	}
}

// TestFindsALine in spite of what does not concern it.
func TestFindsALine(t *testing.T) {
	for _, c := range []struct {
		name, line string
		arrange    func(*machine)
		offset     int
	}{
		{"by name", "GPIO17", func(*machine) {}, 2},
		{"by place", "pinctrl-rp1:3", func(*machine) {}, 3},
		{"label with colons", "1-0020:gpio:1", func(m *machine) { m.chips["/dev/gpiochip10"].label = "1-0020:gpio" }, 1},
		{"a name with a colon wins", "pinctrl-rp1:3", func(m *machine) { m.chips["/dev/gpiochip10"].lines[0].name = "pinctrl-rp1:3" }, 0},
		{"another chip may not be opened", "GPIO17", func(m *machine) { m.chips["/dev/gpiochip10"].refuse = unix.EACCES }, 2},
		{"another chip has gone", "GPIO17", func(m *machine) { delete(m.chips, "/dev/gpiochip10") }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, d := pi()
			c.arrange(m)
			p, err := d.Output(spec(c.line), gpio.Low)
			if err != nil {
				t.Fatal(err)
			}
			if p.Number() != c.offset {
				t.Errorf("took line %d; want %d", p.Number(), c.offset)
			}
		})
	}
}

func TestOutErrors(t *testing.T) {
	m, d := pi()
	p, err := d.Output(spec("GPIO17"), gpio.Low)
	if err != nil {
		t.Fatal(err)
	}
	m.chips["/dev/gpiochip0"].lines[2].fail = unix.ENODEV
	var e *board.LineError
	if err := p.Out(gpio.High); !errors.As(err, &e) || !errors.Is(err, unix.ENODEV) || board.Transient(err) {
		t.Errorf("%v; want a *LineError with its errno", err)
	}
	if err := p.(*pin).Close(); err != nil {
		t.Error(err)
	}
	if err := p.(*pin).Close(); err != nil { // it must not close somebody else's descriptor
		t.Errorf("second close: %v", err)
	}
	if err := p.Out(gpio.High); !errors.Is(err, os.ErrClosed) {
		t.Errorf("out on a closed pin: %v", err)
	}
}
