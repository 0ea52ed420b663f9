package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"actuatord/board"
)

// followEvery is how often the control file is looked at: soon enough for a person
// who has just written it, and twenty small reads a second for each input. One that is
// not there is looked for every absentEvery: most simulated boards never have one.
const followEvery, absentEvery = 50 * time.Millisecond, time.Second

// ControlFile is where a board with this trace file looks for the levels of its
// inputs.
func ControlFile(traceFile string) string { return traceFile + ".inputs" }

// inputPin is a line that is held as an input.
type inputPin struct {
	d      *Driver
	l      *line
	spec   board.InputSpec
	tell   func(board.Edge) // called with d.mu held
	last   bool             // what was told, or read first
	ended  bool             // an error was told: nothing follows it
	closed chan struct{}
}

// Input takes a line as an input. Debouncing is not simulated: each level counts at
// once.
func (d *Driver) Input(spec board.InputSpec, tell func(board.Edge)) (board.InputPin, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.line(spec.Line)
	l.touched++
	p := &inputPin{d: d, l: l, spec: spec, tell: tell, closed: make(chan struct{})}
	switch err := l.opens.take(); {
	case d.stopped:
		return nil, p.fault(os.ErrClosed)
	case err != nil:
		return nil, p.fault(err)
	case l.held != "":
		return nil, p.fault(syscall.EBUSY)
	}
	var err error
	if p.last, err = p.level(); err != nil {
		return nil, p.fault(err)
	}
	l.held, l.inverts, l.input = spec.Consumer, spec.ActiveLow, p
	if d.control != "" {
		go p.follow()
	}
	return p, nil
}

func (p *inputPin) fault(err error) error {
	e := &board.LineError{Target: p.spec.Target, Line: p.spec.Line, Input: true, Err: err}
	if errors.Is(err, syscall.EBUSY) {
		e.Fault, e.Holder = board.LineBusy, p.l.held
	}
	return e
}

// level is what is on the line now: what the control file says, or what a test has
// put there, or what the bias pulls to. A line that nothing drives and nothing
// pulls is low.
func (p *inputPin) level() (active bool, err error) {
	word, err := p.d.controlled(p.spec.Line)
	high := p.spec.Bias == board.PullUp
	switch {
	case err != nil:
		return false, err
	case word == "high", word == "low":
		high = word == "high"
	case word != "":
		return false, syscall.EIO
	case p.l.outside != nil:
		high = *p.l.outside
	}
	return high != p.spec.ActiveLow, nil
}

func (p *inputPin) Read() (active bool, err error) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	if p.d.stopped || p.isClosed() {
		return false, p.fault(os.ErrClosed)
	}
	if p.l.read++; p.l.read == p.l.failAt {
		return false, p.fault(p.l.failWith)
	}
	if err := p.l.reads.take(); err != nil {
		return false, p.fault(err)
	}
	if active, err = p.level(); err != nil {
		return false, p.fault(err)
	}
	return active, nil
}

func (p *inputPin) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// Close lets the line go.
func (p *inputPin) Close() error {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	if !p.isClosed() {
		close(p.closed)
		p.l.held, p.l.input = "", nil
	}
	return nil
}

// follow tells what the control file makes of the line, until the pin is closed.
func (p *inputPin) follow() {
	tick := time.NewTimer(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.closed:
			return
		case <-p.d.closed:
			return
		case <-tick.C:
			p.d.mu.Lock()
			p.notice()
			p.d.mu.Unlock()
			next := followEvery
			if _, err := os.Lstat(p.d.control); errors.Is(err, fs.ErrNotExist) {
				next = absentEvery
			}
			tick.Reset(next)
		}
	}
}

// notice tells of an edge, if there was one; d.mu is held.
func (p *inputPin) notice() {
	if p.ended || p.l.deaf || p.isClosed() {
		return
	}
	active, err := p.level()
	if err == nil && active == p.last {
		return
	}
	p.last, p.ended = active, err != nil
	if err != nil {
		err = p.fault(err)
	}
	p.tell(board.Edge{Active: active, Err: err})
}

// controlled is the control file's word for a line; "" if it has none, or there is
// no such file.
func (d *Driver) controlled(name string) (word string, err error) {
	if d.control == "" {
		return "", nil
	}
	text, err := os.ReadFile(d.control)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read control file: %w", err)
	}
	for s := range strings.Lines(string(text)) {
		s = strings.TrimSpace(s)
		if at := strings.LastIndexByte(s, ' '); at > 0 && strings.TrimSpace(s[:at]) == name {
			word = s[at+1:]
		}
	}
	return word, nil
}

// Drive puts a level on an input's line from outside, as a switch would.
func (d *Driver) Drive(line string, high bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.line(line)
	l.outside = &high
	if l.input != nil {
		l.input.notice()
	}
}

// Deafen makes a line tell of no edge, as when the kernel loses them.
func (d *Driver) Deafen(line string, deaf bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line(line).deaf = deaf
}

// FailReads makes the next n reads of an input's line fail with err.
func (d *Driver) FailReads(line string, n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line(line).reads = fault{n, err}
}

// Reads counts the reads of an input's line, the failing ones too.
func (d *Driver) Reads(line string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.line(line).read
}

// FailReadAt makes read n of an input's line fail with err, counted from 0, and no
// other.
func (d *Driver) FailReadAt(line string, n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.line(line)
	l.failAt, l.failWith = n+1, err
}

// EndEdges makes whoever listens to an input's line stop with err, as when its chip
// was unplugged.
func (d *Driver) EndEdges(line string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.line(line).input; p != nil && !p.ended {
		p.ended = true
		p.tell(board.Edge{Err: p.fault(err)})
	}
}
