package sim

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"

	"actuatord/board"
)

// Driver is a simulated board. Every line name and every bus name exists, and
// on each bus there is a device at every address, until a fault switch says
// otherwise. Its methods may be called from any goroutine.
type Driver struct {
	mu      sync.Mutex
	trace   *os.File // nil: none was asked for
	control string   // the file that says what the inputs are; empty: none is looked for
	lines   map[string]*line
	buses   map[string]*wires
	closed  chan struct{} // closed by Close: ends what hangs
	stopped bool
}

// line is one wire; it lives on when the pin that held it is closed.
type line struct {
	held    string // the consumer that has it; empty: nobody
	level   gpio.Level
	percent board.Percent // of a line for levels
	driven  bool          // it was an output at least once
	inverts bool          // its last holder was active-low
	outs    fault
	opens   fault
	moving  bool // an Out that fails moves the line nonetheless
	touched int  // Outs and requests so far, the failing ones too

	// As an input:
	input   *inputPin // who holds it
	outside *bool     // the level that is put on it, if it is high; nil: nothing drives it
	reads   fault
	deaf    bool
	read    int // reads so far

	failAt   int // the read that fails, counted from 1; 0: none
	failWith error
}

// fault makes the next n calls fail with err.
type fault struct {
	n   int
	err error
}

func (f *fault) take() error {
	if f.n == 0 {
		return nil
	}
	f.n--
	return f.err
}

// New is a simulated board that appends to traceFile, which it makes if it must
// (mode 0644: a trace is there to be watched). An empty name keeps no trace.
func New(traceFile string) (*Driver, error) {
	d := &Driver{lines: map[string]*line{}, buses: map[string]*wires{}, closed: make(chan struct{})}
	if traceFile == "" {
		return d, nil
	}
	f, err := os.OpenFile(traceFile, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	if err := endLine(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("open trace %s: %w", traceFile, err)
	}
	d.trace, d.control = f, ControlFile(traceFile)
	return d, nil
}

// endLine ends a line that a power cut left torn, so that it spoils no other. A
// trace that is no regular file (a pipe) has no end to look at.
func endLine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	_, err = f.Write([]byte{'\n'})
	return err
}

// Event is one line of the trace.
type Event struct {
	At     time.Time `json:"at"`
	Target string    `json:"target"`
	Level  string    `json:"level,omitempty"`   // "on" or "off"
	Of     *Percent  `json:"percent,omitempty"` // of a level target: how much
	Write  string    `json:"write,omitempty"`   // register:bytes in hex, such as "40:0fff"
	Cause  string    `json:"cause"`             // a message id, or a word such as "safe", "lease", "local"
}

// Percent is a board.Percent, which in JSON is a number such as 12.5.
type Percent board.Percent

// MarshalJSON writes p.
func (p Percent) MarshalJSON() ([]byte, error) { return []byte(board.Percent(p).String()), nil }

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Percent) UnmarshalJSON(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	*p = Percent(math.Round(f * 100))
	return err
}

// write appends e in one write(2), so that two processes' lines never mix.
func (d *Driver) write(e Event) error {
	if d.trace == nil {
		return nil
	}
	e.At = time.Now().UTC()
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = d.trace.Write(append(b, '\n'))
	return err
}

func (d *Driver) line(name string) *line {
	if d.lines[name] == nil {
		d.lines[name] = &line{}
	}
	return d.lines[name]
}

// Output takes a line and writes its first level, with cause "safe": a line is
// only ever taken at its safe level.
func (d *Driver) Output(spec board.LineSpec, level gpio.Level) (gpio.PinIO, error) {
	return d.take(&pin{spec: spec}, level, board.Percent(0))
}

// PWM takes a line for levels likewise. Every line can do it.
func (d *Driver) PWM(spec board.PWMSpec, duty gpio.Duty) (gpio.PinIO, error) {
	p := &pin{spec: board.LineSpec{Target: spec.Target, Line: spec.Line, Consumer: spec.Consumer}, pwm: true}
	return d.take(p, gpio.Level(duty > 0), board.PercentOf(duty))
}

func (d *Driver) take(p *pin, level gpio.Level, percent board.Percent) (gpio.PinIO, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	spec := p.spec
	l := d.line(spec.Line)
	l.touched++
	fail := func(kind board.LineFault, err error) (gpio.PinIO, error) {
		return nil, &board.LineError{Target: spec.Target, Line: spec.Line, Fault: kind, Holder: l.held, Err: err}
	}
	if d.stopped {
		return fail(board.LineIO, os.ErrClosed)
	}
	if err := l.opens.take(); err != nil {
		return fail(board.LineIO, err)
	}
	if l.held != "" {
		return fail(board.LineBusy, syscall.EBUSY)
	}
	p.cause = board.CauseSafe
	if err := d.write(p.event(level, percent)); err != nil {
		return fail(board.LineIO, err)
	}
	l.held, l.level, l.percent, l.driven, l.inverts = spec.Consumer, level, percent, true, spec.ActiveLow
	p.d, p.l = d, l
	return p, nil
}

func word(l gpio.Level) string {
	if l == gpio.High {
		return "on"
	}
	return "off"
}

// Bus opens a bus; it may be open more than once.
func (d *Driver) Bus(name string) (i2c.BusCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.wires(name)
	if w.missing {
		return nil, &board.BusError{Bus: name, Fault: board.NoSuchBus, Err: syscall.ENOENT}
	}
	return &bus{d: d, w: w, name: name}, nil
}

// Close ends what hangs and closes the trace. Levels stay as they are.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return nil
	}
	d.stopped = true
	close(d.closed)
	if d.trace == nil {
		return nil
	}
	return d.trace.Close()
}

// out is a pin's Out, or its PWM.
func (d *Driver) out(p *pin, level gpio.Level, percent board.Percent) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := p.l
	l.touched++
	fail := func(err error) error {
		return &board.LineError{Target: p.spec.Target, Line: p.spec.Line, Err: err}
	}
	if p.closed || d.stopped {
		return fail(os.ErrClosed)
	}
	err := l.outs.take()
	if (l.level != level || l.percent != percent) && (err == nil || l.moving) {
		// The line in the file is the movement: without it nothing has moved.
		if werr := d.write(p.event(level, percent)); werr != nil {
			return fail(werr)
		}
		l.level, l.percent = level, percent
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

func hexWrite(w []byte) string {
	return hex.EncodeToString(w[:1]) + ":" + hex.EncodeToString(w[1:])
}
