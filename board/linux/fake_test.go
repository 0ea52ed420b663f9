package linux

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing/fstest"
	"unsafe"

	"golang.org/x/sys/unix"
)

// machine is a kernel that has what its test gives it, and follows the uAPI as
// linux/gpio.h and linux/i2c-dev.h describe it. It reads requests as bytes, at
// the offsets those headers fix, so that a struct of ours that were laid out
// wrongly on some target would be caught there.
type machine struct {
	mu       sync.Mutex
	model    string
	sys      fstest.MapFS
	paths    []string // what a look for chips finds, in this order
	chips    map[string]*chip
	adapters map[string]*adapter
	open     map[int]any // *chip, *request, *adapter
	next     int

	pwm      *sysfs   // nil: there is no PWM chip
	requests [][]byte // every GET_LINE request, as it was sent
	calls    []uint   // every ioctl's number
}

type chip struct {
	name, label string
	lines       []*wire
	refuse      error // of open
	broken      error // of every ioctl
}

// wire is one line. An output that is taken without a value would be driven
// low first; edges records what was driven.
type wire struct {
	name     string
	consumer string
	flags    uint64 // as it was requested, or as the kernel has it otherwise
	high     bool
	edges    []bool
	fail     error // of SET_VALUES and GET_VALUES
	noEdges  error // of a request with edges: the line has no interrupt

	listener *request // the input request that gets its edges
}

type request struct {
	w         *wire
	activeLow bool
	seqno     uint32
	events    chan []byte // of an input
	ended     chan error
}

type adapter struct {
	funcs   uintptr
	refuse  error // of open
	broken  error // of I2C_FUNCS
	fail    error // of transfers
	drivers []int // the addresses that drivers of the kernel have
	asked   []int // the addresses of transfers
	devices map[uint16]map[byte][]byte
	timeout int
	retries int
}

func newMachine() *machine {
	return &machine{chips: map[string]*chip{}, adapters: map[string]*adapter{}, open: map[int]any{}, next: 10}
}

func (m *machine) addChip(path, name, label string, lines ...string) *chip {
	c := &chip{name: name, label: label}
	for _, l := range lines {
		c.lines = append(c.lines, &wire{name: l})
	}
	m.paths = append(m.paths, path)
	m.chips[path] = c
	return c
}

func (m *machine) kernel() kernel {
	return kernel{
		chips:    func() ([]string, error) { return m.paths, nil },
		model:    func() string { return m.model },
		sys:      m.sys,
		open:     m.openPath,
		close:    m.close,
		ioctl:    m.ioctl,
		ioctlInt: m.ioctlInt,

		readFile:  func(path string) ([]byte, error) { return m.pwm.read(path) },
		writeFile: func(path, text string) error { return m.pwm.write(path, text) },
		stream:    m.stream,
	}
}

// stream gives the events of a request, as its descriptor would.
func (m *machine) stream(fd int) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.open[fd].(*request)
	if !ok {
		return nil, unix.EBADF
	}
	return &eventStream{m, fd, r, make(chan struct{})}, nil
}

type eventStream struct {
	m      *machine
	fd     int
	r      *request
	closed chan struct{}
}

func (s *eventStream) Read(b []byte) (int, error) {
	select {
	case e := <-s.r.events:
		return copy(b, e), nil
	case err := <-s.r.ended:
		return 0, err
	case <-s.closed:
		return 0, os.ErrClosed
	}
}

func (s *eventStream) Close() error {
	close(s.closed)
	return s.m.close(s.fd)
}

// drive puts a level on a line from outside; whoever asked for its edges is told.
func (m *machine) drive(w *wire, high bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.high == high {
		return
	}
	w.high = high
	if w.listener != nil {
		w.listener.event(high != w.listener.activeLow)
	}
}

// event is struct gpio_v2_line_event: timestamp, id at 8 (1 rising, 2 falling, of the
// logical level), offset, seqno, line_seqno at 20, padding; 48 bytes.
func (r *request) event(active bool) {
	b := make([]byte, 48)
	r.seqno++
	le.PutUint32(b[8:], 2)
	if active {
		le.PutUint32(b[8:], 1)
	}
	le.PutUint32(b[16:], r.seqno)
	le.PutUint32(b[20:], r.seqno)
	r.events <- b
}

func (m *machine) openPath(path string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var what any
	if c := m.chips[path]; c != nil {
		if c.refuse != nil {
			return -1, c.refuse
		}
		what = c
	} else if a := m.adapters[path]; a != nil {
		if a.refuse != nil {
			return -1, a.refuse
		}
		what = a
	} else {
		return -1, unix.ENOENT
	}
	m.next++
	m.open[m.next] = what
	return m.next, nil
}

func (m *machine) close(fd int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	what, ok := m.open[fd]
	if !ok {
		return unix.EBADF
	}
	if r, ok := what.(*request); ok {
		r.w.consumer, r.w.listener = "", nil
	}
	delete(m.open, fd)
	return nil
}

// sizeOf is the size of a request's struct: it is part of the number.
func sizeOf(number uint) int { return int(number >> 16 & 0x3fff) }

func (m *machine) ioctl(fd int, number uint, arg unsafe.Pointer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, number)
	b := unsafe.Slice((*byte)(arg), sizeOf(number))
	switch x := m.open[fd].(type) {
	case *chip:
		return m.onChip(x, number, b)
	case *request:
		return x.values(number, b)
	case *adapter:
		return x.ioctl(number, arg)
	}
	return unix.EBADF
}

var le = binary.LittleEndian // of every machine this runs on

func (m *machine) onChip(c *chip, number uint, b []byte) error {
	if c.broken != nil {
		return c.broken
	}
	switch number {
	case unix.GPIO_GET_CHIPINFO_IOCTL: // name[32], label[32], lines
		copy(b, c.name)
		copy(b[32:], c.label)
		le.PutUint32(b[64:], uint32(len(c.lines)))
		return nil
	case unix.GPIO_V2_GET_LINEINFO_IOCTL: // name[32], consumer[32], offset, attributes, flags at 72
		w, err := c.line(le.Uint32(b[64:]))
		if err != nil {
			return err
		}
		copy(b, w.name)
		copy(b[32:], w.consumer)
		flags := w.flags
		if w.consumer != "" {
			flags |= 1 // used
		}
		le.PutUint64(b[72:], flags)
		return nil
	case unix.GPIO_V2_GET_LINE_IOCTL:
		return m.getLine(c, b)
	}
	return unix.EINVAL
}

func (c *chip) line(offset uint32) (*wire, error) {
	if int(offset) >= len(c.lines) {
		return nil, unix.EINVAL
	}
	return c.lines[offset], nil
}

// getLine: offsets[64] at 0, consumer[32] at 256, config at 288 (flags, num_attrs
// at 296, attrs at 320 of {id, pad, value, mask}), num_lines at 560, fd at 588.
func (m *machine) getLine(c *chip, b []byte) error {
	m.requests = append(m.requests, slices.Clone(b))
	w, err := c.line(le.Uint32(b))
	if err != nil || le.Uint32(b[560:]) != 1 {
		return unix.EINVAL
	}
	if w.consumer != "" {
		return unix.EBUSY
	}
	flags := le.Uint64(b[288:])
	r := &request{w: w, activeLow: flags&2 != 0, events: make(chan []byte, 64), ended: make(chan error, 1)}
	const input, edges = 4, 16 | 32
	switch {
	case flags&(input|8) == 0, flags&(input|8) == input|8, flags&edges != 0 && flags&input == 0:
		return unix.EINVAL
	case w.noEdges != nil && flags&edges != 0:
		return w.noEdges
	case flags&edges == edges:
		w.listener = r
	}
	if flags&8 != 0 { // an output
		on := le.Uint32(b[296:]) == 1 && le.Uint32(b[320:]) == 2 && le.Uint64(b[328:])&le.Uint64(b[336:])&1 == 1
		r.drive(on)
	}
	w.consumer, w.flags = unix.ByteSliceToString(b[256:288]), flags
	m.next++
	m.open[m.next] = r
	le.PutUint32(b[588:], uint32(m.next))
	return nil
}

func (r *request) drive(on bool) {
	r.w.high = on != r.activeLow
	r.w.edges = append(r.w.edges, r.w.high)
}

func (r *request) values(number uint, b []byte) error { // bits, mask
	if r.w.fail != nil {
		return r.w.fail
	}
	if le.Uint64(b[8:]) != 1 {
		return unix.EINVAL
	}
	switch number {
	case unix.GPIO_V2_LINE_SET_VALUES_IOCTL:
		if r.w.listener != nil {
			return unix.EPERM // as the kernel says of an input
		}
		r.drive(le.Uint64(b) == 1)
		return nil
	case unix.GPIO_V2_LINE_GET_VALUES_IOCTL:
		var v uint64
		if r.w.high != r.activeLow {
			v = 1
		}
		le.PutUint64(b, v)
		return nil
	}
	return fmt.Errorf("a line was asked %#x: %w", number, unix.EINVAL)
}

func (m *machine) ioctlInt(fd int, number uint, arg int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.open[fd].(*adapter)
	switch {
	case !ok:
		return unix.ENOTTY
	case number == 0x0702:
		a.timeout = arg
	case number == 0x0703:
		if slices.Contains(a.drivers, arg) {
			return unix.EBUSY
		}
	case number == 0x0701:
		a.retries = arg
	default:
		return unix.EINVAL
	}
	return nil
}

func (a *adapter) ioctl(number uint, arg unsafe.Pointer) error {
	switch number {
	case 0x0705:
		*(*uintptr)(arg) = a.funcs
		return a.broken
	case 0x0707:
		return a.transfer(arg)
	}
	return unix.EINVAL
}

// transfer reads the messages as C would: their address is the first word, each
// is 8 bytes and a pointer.
func (a *adapter) transfer(arg unsafe.Pointer) error {
	const word = unsafe.Sizeof(uintptr(0))
	count := *(*uint32)(unsafe.Add(arg, word))
	messages := *(*unsafe.Pointer)(arg)
	deepen(200) // the kernel's time: whatever moves in Go's memory moves now
	var register byte
	for i := range uintptr(count) {
		msg := unsafe.Add(messages, i*(8+word))
		address := *(*uint16)(msg)
		a.asked = append(a.asked, int(address))
		device, ok := a.devices[address]
		flags, length := *(*uint16)(unsafe.Add(msg, 2)), *(*uint16)(unsafe.Add(msg, 4))
		buffer := unsafe.Slice(*(**byte)(unsafe.Add(msg, 8)), length)
		switch {
		case a.fail != nil:
			return a.fail
		case !ok:
			return unix.ENXIO
		case flags&1 == 1:
			copy(buffer, device[register])
		default:
			register = buffer[0]
			if len(buffer) > 1 {
				device[register] = slices.Clone(buffer[1:])
			}
		}
	}
	return nil
}

// deepen grows the stack, which moves it, and has the garbage collected.
func deepen(n int) byte {
	var big [512]byte
	big[n%512] = byte(n)
	if n == 0 {
		runtime.GC()
		return big[0]
	}
	return deepen(n-1) + big[1]
}

func pointer(b *[64]byte) unsafe.Pointer { return unsafe.Pointer(b) }
