// Package boardtest is the conformance suite of board.Driver, and of a board on
// top of one. The simulated and the real board pass it, so neither can drift
// from what package board relies on.
//
// It drives lines and writes registers: a rig must offer only such as nothing
// is wired to. It takes some tens of milliseconds of real time, for leases. It
// keeps nothing, so power loss concerns it only as the driver's own would.
package boardtest

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
)

// Rig is one set of hardware, fresh for each test.
type Rig struct {
	Driver board.Driver
	Again  func() Rig // the same hardware as another process sees it

	Lines       []string                     // at least two that nobody holds
	High        func(line string) bool       // the level on the wire, seen from outside; nil: cannot be seen
	Drive       func(line string, high bool) // puts a level on a line that is no output, from outside; nil: cannot be done
	OutputsOnly bool                         // no line can be an input
	Break       func(line string)            // makes a line one that cannot be read; nil: cannot be done
	NoLine      string                       // a line that does not exist; empty: all do

	PWM   string                          // a line for levels that nobody holds; empty: there is none
	Share func(line string) board.Percent // of the time that it is on, seen from outside
	Step  board.Percent                   // what the hardware rounds to, at most

	Bus      string // empty: there is none
	NoBus    string // a bus that does not exist; empty: all do
	Address  uint16 // a device of byte registers that keep what is written
	Register byte   // the first of three such
	Absent   uint16 // an address where nobody answers
}

// Suite runs the conformance tests, each on a rig of its own.
func Suite(t *testing.T, fresh func(t *testing.T) Rig) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Rig)
	}{
		{"first level", firstLevel},
		{"out", out},
		{"read", read},
		{"held line", heldLine},
		{"let go", letGo},
		{"no such line", noSuchLine},
		{"level", level},
		{"registers", registers},
		{"bus faults", busFaults},
		{"board", onBoard},
		{"board with a level", levelLife},
		{"inputs", inputs},
		{"closed input", closedInput},
		{"held input", heldInput},
		{"broken input", brokenInput},
		{"permits", permits},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

func spec(line string, activeLow bool) board.LineSpec {
	return board.LineSpec{Target: "pump", Line: line, ActiveLow: activeLow, Consumer: board.Consumer}
}

func take(t *testing.T, r Rig, s board.LineSpec, l gpio.Level) gpio.PinIO {
	t.Helper()
	p, err := r.Driver.Output(s, l)
	if err != nil {
		t.Fatalf("take %q: %v", s.Line, err)
	}
	t.Cleanup(func() { release(t, p) })
	return p
}

func release(t *testing.T, p gpio.PinIO) {
	t.Helper()
	if c, ok := p.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.Errorf("close %s: %v", p.Name(), err)
		}
	}
}

// wire asserts a logical level, on the pin and, where it can be seen, outside.
func wire(t *testing.T, r Rig, p gpio.PinIO, s board.LineSpec, want gpio.Level) {
	t.Helper()
	if got := p.Read(); got != want {
		t.Errorf("%q reads %v; want %v", s.Line, got, want)
	}
	if r.High == nil {
		return
	}
	if high := bool(want) != s.ActiveLow; r.High(s.Line) != high {
		t.Errorf("%q is high=%v on the wire; want %v", s.Line, !high, high)
	}
}

func firstLevel(t *testing.T, r Rig) {
	for _, activeLow := range []bool{false, true} {
		for _, l := range []gpio.Level{gpio.Low, gpio.High} {
			s := spec(r.Lines[0], activeLow)
			p, err := r.Driver.Output(s, l)
			if err != nil {
				t.Fatal(err)
			}
			wire(t, r, p, s, l)
			release(t, p)
		}
	}
}

func out(t *testing.T, r Rig) {
	for i, activeLow := range []bool{false, true} {
		s := spec(r.Lines[i], activeLow)
		p := take(t, r, s, gpio.Low)
		for _, l := range []gpio.Level{gpio.High, gpio.High, gpio.Low, gpio.High} {
			if c, ok := p.(board.Caused); ok {
				c.Because("pump", "m1")
			}
			if err := p.Out(l); err != nil {
				t.Fatalf("out %v: %v", l, err)
			}
			wire(t, r, p, s, l)
			asLeft(t, p)
		}
	}
}

// asLeft: a pin that can be asked whether it is as it was left says yes.
func asLeft(t *testing.T, p gpio.PinIO) {
	t.Helper()
	if c, ok := p.(board.Checked); ok {
		if err := c.Check(); err != nil {
			t.Errorf("%s, asked whether it is as it was left: %v", p.Name(), err)
		}
	}
}

// read: asking an output for its level, or what it is, leaves it what it is.
func read(t *testing.T, r Rig) {
	s := spec(r.Lines[0], false)
	p := take(t, r, s, gpio.High)
	for range 3 {
		p.Read()
		//lint:ignore SA1019 the old way of asking is among those that must do no harm
		p.Function()
		wire(t, r, p, s, gpio.High)
	}
	if err := p.In(gpio.PullUp, gpio.NoEdge); err == nil {
		t.Error("an output let itself be made an input")
	}
	if err := p.Halt(); err != nil {
		t.Errorf("halt: %v", err)
	}
	wire(t, r, p, s, gpio.High)
	if err := p.Out(gpio.Low); err != nil {
		t.Fatal(err)
	}
	wire(t, r, p, s, gpio.Low)
}

func heldLine(t *testing.T, r Rig) {
	s := spec(r.Lines[0], false)
	p := take(t, r, s, gpio.High)
	for range 2 { // the first failure must not leave anything behind
		_, err := r.Driver.Output(s, gpio.Low)
		var line *board.LineError
		if !errors.As(err, &line) || line.Fault != board.LineBusy || line.Holder != board.Consumer || line.Target != "pump" {
			t.Errorf("a line that is held: %v; want it busy by %s", err, board.Consumer)
		}
		if !board.Transient(err) {
			t.Errorf("%v is not transient; its holder may let go", err)
		}
	}
	wire(t, r, p, s, gpio.High) // and the asking moved nothing
}

func letGo(t *testing.T, r Rig) {
	s := spec(r.Lines[0], false)
	p := take(t, r, s, gpio.High)
	if _, ok := p.(io.Closer); !ok {
		t.Fatal("a pin that cannot be closed keeps its line for ever")
	}
	release(t, p)
	var line *board.LineError
	if err := p.Out(gpio.High); !errors.As(err, &line) {
		t.Errorf("out on a closed pin: %v; want a *LineError", err)
	}
	release(t, take(t, r, s, gpio.Low))
}

func noSuchLine(t *testing.T, r Rig) {
	if r.NoLine == "" {
		t.Skip("this driver has every line")
	}
	_, err := r.Driver.Output(spec(r.NoLine, false), gpio.Low)
	var line *board.LineError
	if !errors.As(err, &line) || line.Fault != board.NoSuchLine || board.Transient(err) {
		t.Errorf("%v; want no such line, for good", err)
	}
}

func registers(t *testing.T, r Rig) {
	if r.Bus == "" {
		t.Skip("no bus")
	}
	b, err := r.Driver.Bus(r.Bus)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range byte(8) {
		sent := []byte{i, 0x0f ^ i, 0xff}
		if err := b.Tx(r.Address, append([]byte{r.Register}, sent...), nil); err != nil {
			t.Fatalf("write: %v", err)
		}
		got := make([]byte, len(sent))
		if err := b.Tx(r.Address, []byte{r.Register}, got); err != nil {
			t.Fatalf("read: %v", err)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("read %x; want %x", got, sent)
		}
	}
}

func busFaults(t *testing.T, r Rig) {
	if r.Bus == "" {
		t.Skip("no bus")
	}
	b, err := r.Driver.Bus(r.Bus)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var bus *board.BusError
	err = b.Tx(r.Absent, []byte{r.Register, 1}, nil)
	if !errors.As(err, &bus) || bus.Fault != board.NACK || bus.Address != r.Absent || !board.Transient(err) {
		t.Errorf("no device: %v; want a NACK, transient", err)
	}
	if err := b.Tx(r.Address, []byte{r.Register, 1}, nil); err != nil {
		t.Errorf("the next transfer: %v", err)
	}
	if r.NoBus == "" {
		return
	}
	if _, err := r.Driver.Bus(r.NoBus); !errors.As(err, &bus) || bus.Fault != board.NoSuchBus || board.Transient(err) {
		t.Errorf("no bus: %v; want no such bus, for good", err)
	}
}

// onBoard is a board's whole life on the driver, and once more by another
// process.
func onBoard(t *testing.T, r Rig) {
	life(t, r)
	life(t, r.Again())
}

// life is safe, on, lease, pulse, register, stop.
func life(t *testing.T, r Rig) {
	p := board.Profile{Outputs: []board.Output{
		{Name: "pump", Line: r.Lines[0]},
		{Name: "brake", Line: r.Lines[1], ActiveLow: true, SafeOn: true},
	}}
	if r.Bus != "" {
		p.Registers = []board.Register{{Name: "dac", Bus: r.Bus, Address: r.Address, Verify: true, Safe: &board.SafeWrite{Register: r.Register, Bytes: []byte{0, 0}}}}
	}
	b := board.Open(p, r.Driver, nil)
	if f := b.Faults(); f != nil {
		t.Fatalf("faults %v", f)
	}
	levels := func(pump, brake board.Level) {
		t.Helper()
		l := b.Levels()
		if l["pump"] != pump || l["brake"] != brake {
			t.Errorf("levels %v; want pump %v, brake %v", l, pump, brake)
		}
		if r.High != nil && (r.High(r.Lines[0]) != (pump == board.On) || r.High(r.Lines[1]) != (brake == board.Off)) {
			t.Errorf("the wires are not at pump %v, brake %v", pump, brake)
		}
	}
	do := func(op board.Op) {
		t.Helper()
		done := make(chan board.Result, 1)
		b.Do(op, done)
		if res := <-done; !res.OK() {
			t.Fatalf("%+v: %+v", op, res)
		}
	}
	levels(board.Off, board.On)
	do(board.Op{Kind: board.Set, Target: "pump", On: true, For: 20 * time.Millisecond})
	if c := <-b.Changes(); c.Cause != board.CauseLease || c.Target != "pump" || c.Level != board.Off {
		t.Errorf("change %+v; want the pump's lease to end", c)
	}
	do(board.Op{Kind: board.Pulse, Target: "brake", For: time.Millisecond})
	levels(board.Off, board.On)
	if r.Bus != "" {
		do(board.Op{Kind: board.Write, Target: "dac", Register: r.Register, Bytes: []byte{0x0f, 0xff}})
	}
	do(board.Op{Kind: board.Set, Target: "pump", On: true})
	levels(board.On, board.On)
	do(board.Op{Kind: board.Safe, Target: board.All})
	levels(board.Off, board.On)
	if err := b.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}
