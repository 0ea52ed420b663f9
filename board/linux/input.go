package linux

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"actuatord/board"
)

// Flags of an input, as above, and of its events.
const (
	lineInput    = 1 << 2
	lineRising   = 1 << 4
	lineFalling  = 1 << 5
	linePullUp   = 1 << 8
	linePullDown = 1 << 9
	lineNoBias   = 1 << 10
)

// lookEvery is the pace at which a line is looked at that cannot tell of its edges
// (an expander whose interrupt is not wired). Half of it doubles what that costs on
// its bus, double is what a person begins to notice.
const lookEvery = 20 * time.Millisecond

// errNotSupp is ENOTSUPP, which is the kernel's own and has no name outside it.
const errNotSupp = unix.Errno(524)

// eventSize is that of struct gpio_v2_line_event; the kernel gives whole ones, and
// keeps 16 for each line.
const (
	eventSize = int(unsafe.Sizeof(unix.GPIOV2LineEvent{}))
	eventRoom = 16
)

// inputPin is a line that was requested as an input. Its own goroutine listens for
// edges, or looks.
type inputPin struct {
	k      kernel
	fd     int
	spec   board.InputSpec
	tell   func(board.Edge)
	events io.ReadCloser // nil: the line cannot tell of its edges
	stop   chan struct{} // closed by Close
	gone   func()        // the line is not ours any more

	mu     sync.Mutex // held across tell, so that none comes behind Close
	closed bool

	// Of the goroutine, and with mu of Read where it looks:
	active bool      // what was told, or read at first
	seqno  uint32    // of the last event
	since  time.Time // looking: since when the line is at the other level; zero: it is not
}

// Input finds a line and takes it as an input, in one request with its bias, its
// debouncing and both edges.
func (d *Driver) Input(spec board.InputSpec, tell func(board.Edge)) (board.InputPin, error) {
	at, err := d.lookUp(spec.LineSpec)
	if err != nil {
		return nil, ofInput(err)
	}
	chip, err := d.k.open(at.path)
	if err != nil {
		return nil, inputError(spec, err)
	}
	defer d.k.close(chip)
	fd, edges, err := d.requestInput(chip, at.offset, spec)
	if err != nil {
		e := inputError(spec, err)
		if e.Fault == board.LineBusy {
			e.Holder, e.Twin = d.holder(chip, at.offset), d.held[at.spot]
		}
		return nil, e
	}
	p := &inputPin{k: d.k, fd: fd, spec: spec, tell: tell, stop: make(chan struct{})}
	d.held[at.spot] = spec.LineSpec
	p.gone = func() { delete(d.held, at.spot) }
	if edges {
		if p.events, err = d.k.stream(fd); err != nil {
			return nil, errors.Join(inputError(spec, err), p.Close())
		}
	}
	if p.active, err = p.value(); err != nil {
		return nil, errors.Join(inputError(spec, err), p.Close())
	}
	if edges {
		go p.listen()
	} else {
		go p.watch()
	}
	return p, nil
}

// requestInput asks for edges, and for a line without if it has none: then the
// kernel cannot debounce either, since it does that by the same interrupt.
func (d *Driver) requestInput(chip int, offset uint32, spec board.InputSpec) (fd int, edges bool, err error) {
	r := unix.GPIOV2LineRequest{Num_lines: 1}
	r.Offsets[0] = offset
	copy(r.Consumer[:len(r.Consumer)-1], spec.Consumer)
	r.Config.Flags = lineInput | biasFlags(spec.Bias)
	if spec.ActiveLow {
		r.Config.Flags |= lineActiveLow
	}
	plain := r
	r.Config.Flags |= lineRising | lineFalling
	if spec.Debounce > 0 {
		r.Config.Num_attrs = 1
		r.Config.Attrs[0].Mask = 1
		r.Config.Attrs[0].Attr.Id = unix.GPIO_V2_LINE_ATTR_ID_DEBOUNCE
		// The union holds a period of 32 bits here, in microseconds. Each of our
		// targets is little-endian, so it is the low half of the values' 64.
		r.Config.Attrs[0].Attr.Flags = uint64(uint32(spec.Debounce / time.Microsecond))
	}
	err = d.k.ioctl(chip, unix.GPIO_V2_GET_LINE_IOCTL, unsafe.Pointer(&r))
	if err == nil {
		return int(r.Fd), true, nil
	}
	if !slices.ContainsFunc([]error{unix.ENXIO, unix.ENODEV, unix.EINVAL, unix.EOPNOTSUPP, errNotSupp}, func(e error) bool { return errors.Is(err, e) }) {
		return -1, false, err
	}
	if err := d.k.ioctl(chip, unix.GPIO_V2_GET_LINE_IOCTL, unsafe.Pointer(&plain)); err != nil {
		return -1, false, err
	}
	return int(plain.Fd), false, nil
}

func biasFlags(b board.Bias) uint64 {
	switch b {
	case board.BiasNone:
		return lineNoBias
	case board.PullUp:
		return linePullUp
	case board.PullDown:
		return linePullDown
	}
	return 0
}

// Read asks the request's own descriptor. Where the kernel debounces it answers the
// debounced level; where we do, a line must be active both ways to count as active.
func (p *inputPin) Read() (active bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, inputError(p.spec, os.ErrClosed)
	}
	if active, err = p.value(); err != nil {
		return false, inputError(p.spec, err)
	}
	return active && (p.events != nil || p.active), nil
}

func (p *inputPin) value() (bool, error) {
	v := unix.GPIOV2LineValues{Mask: 1}
	err := p.k.ioctl(p.fd, unix.GPIO_V2_LINE_GET_VALUES_IOCTL, unsafe.Pointer(&v))
	return v.Bits&1 == 1, err
}

// listen tells of edges until it cannot, or is told to end.
func (p *inputPin) listen() {
	b := make([]byte, eventRoom*eventSize)
	for {
		n, err := p.events.Read(b)
		if err == nil && (n == 0 || n%eventSize != 0) {
			err = fmt.Errorf("%d bytes are no events", n)
		}
		if !p.heard(b[:n], err) {
			return
		}
	}
}

// heard reports whether to go on. An event that says what the line was already, or
// whose number does not follow, is behind one that was lost: the line may have been
// inactive in between, so that is told first.
func (p *inputPin) heard(b []byte, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	if err != nil {
		p.tell(board.Edge{Err: inputError(p.spec, err)})
		return false
	}
	for ; len(b) > 0; b = b[eventSize:] {
		e := (*unix.GPIOV2LineEvent)(unsafe.Pointer(&b[0]))
		active := e.Id == unix.GPIO_V2_LINE_EVENT_RISING_EDGE // of the logical level
		if active && (p.active || e.Line_seqno != p.seqno+1) {
			p.tell(board.Edge{})
		}
		p.active, p.seqno = active, e.Line_seqno
		p.tell(board.Edge{Active: active})
	}
	return true
}

// watch looks at a line that cannot tell of its edges.
func (p *inputPin) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			if !p.looked(time.Now()) {
				return
			}
		}
	}
}

// looked reports whether to go on. A level counts when it has stood for the
// debounce time.
func (p *inputPin) looked(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	active, err := p.value()
	switch {
	case err != nil:
		p.tell(board.Edge{Err: inputError(p.spec, err)})
		return false
	case active == p.active:
		p.since = time.Time{}
		return true
	case p.since.IsZero():
		p.since = now
	}
	if now.Sub(p.since) >= p.spec.Debounce {
		p.active, p.since = active, time.Time{}
		p.tell(board.Edge{Active: active})
	}
	return true
}

// Close lets the line go, and ends whoever listens to it.
func (p *inputPin) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	close(p.stop)
	p.gone()
	if p.events != nil {
		return p.events.Close() // the descriptor is its own
	}
	return p.k.close(p.fd)
}

func inputError(spec board.InputSpec, err error) *board.LineError {
	return &board.LineError{Target: spec.Target, Line: spec.Line, Input: true, Fault: faultOf(err), Err: err}
}

// ofInput says of an error that it is an input's.
func ofInput(err error) error {
	var e *board.LineError
	if errors.As(err, &e) {
		e.Input = true
	}
	return err
}
