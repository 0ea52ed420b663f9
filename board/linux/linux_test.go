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
	return m, &Driver{k: m.kernel()}
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
			Bus:    "1", NoBus: "9", Address: 0x60, Absent: 0x10,
		}
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

// TestTxFromAnyDepth: the buffers and the messages stay where the kernel was told
// they are, though the stack under the caller moves meanwhile.
func TestTxFromAnyDepth(t *testing.T) {
	_, d := pi()
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var at func(depth int) error
	at = func(depth int) error {
		if depth > 0 {
			return at(depth - 1)
		}
		var w, r [4]byte
		copy(w[:], []byte{0x40, 1, 2, 3})
		if err := b.Tx(0x60, w[:], nil); err != nil {
			return err
		}
		if err := b.Tx(0x60, w[:1], r[:3]); err != nil || !bytes.Equal(r[:3], w[1:]) {
			return fmt.Errorf("read %x, %w; want %x", r[:3], err, w[1:])
		}
		return nil
	}
	for depth := range 40 {
		done := make(chan error)
		go func() { done <- at(depth * 8) }() // a fresh goroutine starts with a small stack
		if err := <-done; err != nil {
			t.Fatalf("at depth %d: %v", depth*8, err)
		}
	}
}

func TestBusSettings(t *testing.T) {
	m, d := pi()
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	if a := m.adapters["/dev/i2c-1"]; a.timeout != 20 || a.retries != 1 {
		t.Errorf("timeout %d, retries %d; want 20 × 10 ms and 1", a.timeout, a.retries)
	}
	if b.String() != "i2c-1" || b.SetSpeed(1) == nil {
		t.Errorf("%v sets its speed", b)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := b.Tx(0x60, []byte{1, 2}, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("tx on a closed bus: %v", err)
	}
}

func TestBusErrors(t *testing.T) {
	for _, c := range []struct {
		name, bus string
		arrange   func(*adapter)
		fault     board.BusFault
		errno     error
		says      string
	}{
		{"no such bus", "7", nil, board.NoSuchBus, unix.ENOENT, "no such bus"},
		{"not a number", "i2c-1", nil, board.NoSuchBus, errBusNumber, "/dev/i2c-1"},
		{"a path", "1/../0", nil, board.NoSuchBus, errBusNumber, ""},
		{"leading zero", "01", nil, board.NoSuchBus, errBusNumber, ""},
		{"adapter gone", "1", func(a *adapter) { a.refuse = unix.ENXIO }, board.NoSuchBus, unix.ENXIO, ""},
		{"no permission", "1", func(a *adapter) { a.refuse = unix.EACCES }, board.BusPermission, unix.EACCES, "group i2c"},
		{"SMBus only", "1", func(a *adapter) { a.funcs = 0x0eff0000 }, board.NotSupported, unix.EOPNOTSUPP, "plain I2C"},
		{"no answer", "1", func(a *adapter) { a.broken = unix.EIO }, board.BusIO, unix.EIO, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, d := pi()
			if c.arrange != nil {
				c.arrange(m.adapters["/dev/i2c-1"])
			}
			_, err := d.Bus(c.bus)
			var e *board.BusError
			if !errors.As(err, &e) || e.Fault != c.fault || !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want fault %d, %v, and %q", err, c.fault, c.errno, c.says)
			}
			if len(m.open) != 0 {
				t.Errorf("%d descriptors are open", len(m.open))
			}
		})
	}
}

func TestTxErrors(t *testing.T) {
	m, d := pi()
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	for errno, fault := range map[unix.Errno]board.BusFault{
		unix.ENXIO: board.NACK, unix.EREMOTEIO: board.NACK, unix.ETIMEDOUT: board.BusTimeout,
		unix.EIO: board.BusIO, unix.EAGAIN: board.BusIO, unix.EOPNOTSUPP: board.NotSupported,
	} {
		m.adapters["/dev/i2c-1"].fail = errno
		err := b.Tx(0x60, []byte{1, 2}, nil)
		var e *board.BusError
		if !errors.As(err, &e) || e.Fault != fault || !errors.Is(err, errno) || e.Address != 0x60 {
			t.Errorf("%v: %v; want fault %d", errno, err, fault)
		}
	}
	m.calls = nil
	for _, c := range []struct {
		address uint16
		w       []byte
	}{{0x80, []byte{1}}, {0x60, make([]byte, maxTransfer+1)}} {
		if err := b.Tx(c.address, c.w, nil); !errors.Is(err, unix.EINVAL) {
			t.Errorf("tx to %#x of %d bytes: %v; want it refused", c.address, len(c.w), err)
		}
	}
	if err := b.Tx(0x60, nil, nil); err != nil {
		t.Errorf("tx of nothing: %v", err)
	}
	if len(m.calls) != 0 {
		t.Errorf("calls %#x; want none", m.calls)
	}
}
