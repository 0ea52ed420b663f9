package expander

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
	"actuatord/board/sim"
)

// bench is hardware: the simulated board's lines, and one bus, "1", with chips on
// it that behave as their datasheets say. Faults strike by the number of the
// transfer, from 0.
type bench struct {
	*sim.Driver
	mu     sync.Mutex
	chips  map[uint16]part
	n      int           // transfers so far
	opened int           // times the bus was opened
	at     int           // the transfer that a fault strikes; -1: none
	many   int           // and so many after it
	kind   fault         // how
	gate   chan struct{} // what a hanging transfer waits for
	log    []string      // every transfer that reached a chip
	broken []string      // what no sequence may ever do
}

type fault int

const (
	nack   fault = iota // nobody answers
	lost                // EIO, and nothing has arrived
	after               // EIO, and everything has arrived
	hang                // it comes back when the gate is opened, and has arrived
	sleepy              // EIO after 200 ms, as an adapter gives a dead bus up
)

// part is a chip on the bench.
type part interface {
	transfer(out, in []byte) error
	reset()
	// wire answers a line: driven, and high. A line that is not driven floats.
	wire(n uint) (driven, high bool)
}

func newBench(t *testing.T) *bench {
	d, err := sim.New("")
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Driver: d, chips: map[uint16]part{}, at: -1, gate: make(chan struct{})}
}

func (b *bench) Bus(name string) (i2c.BusCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name != "1" {
		return nil, &board.BusError{Bus: name, Fault: board.NoSuchBus, Err: syscall.ENOENT}
	}
	b.opened++
	return &wires{b}, nil
}

// strike makes transfer at, and many more after it, fail.
func (b *bench) strike(at, many int, kind fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at, b.many, b.kind = at, many, kind
}

func (b *bench) transfers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

// high is the level on a chip's wire; false where it floats.
func (b *bench) high(address uint16, n uint) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	driven, high := b.chips[address].wire(n)
	return driven && high
}

func (b *bench) driven(address uint16, n uint) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	driven, _ := b.chips[address].wire(n)
	return driven
}

func (b *bench) reset(address uint16) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.chips[address].reset()
}

// take answers the log since the last take.
func (b *bench) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.log
	b.log = nil
	return l
}

// wires is the bus, opened.
type wires struct{ b *bench }

func (w *wires) Tx(address uint16, out, in []byte) error {
	b := w.b
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.n
	b.n++
	var err error
	if b.at >= 0 && n >= b.at && n <= b.at+b.many {
		switch b.kind {
		case nack:
			err = syscall.ENXIO
		case lost:
			err = syscall.EIO
		case after:
			err = syscall.EIO
			_ = b.arrive(address, out, in)
		case hang:
			b.mu.Unlock()
			<-b.gate
			b.mu.Lock()
			err = b.arrive(address, out, in)
		case sleepy:
			b.mu.Unlock()
			wait200()
			b.mu.Lock()
			err = syscall.EIO
		}
	} else {
		err = b.arrive(address, out, in)
	}
	if err != nil {
		return &board.BusError{Bus: "1", Address: address, Fault: board.BusFaultOf(err), Err: err}
	}
	return nil
}

func (b *bench) arrive(address uint16, out, in []byte) error {
	c := b.chips[address]
	if c == nil {
		return syscall.ENXIO
	}
	err := c.transfer(out, in)
	if len(in) > 0 {
		b.log = append(b.log, fmt.Sprintf("%02x: %x>%x", address, out, in))
	} else {
		b.log = append(b.log, fmt.Sprintf("%02x: %x", address, out))
	}
	return err
}

func (w *wires) SetSpeed(physic.Frequency) error { return nil }
func (w *wires) String() string                  { return "bench" }
func (w *wires) Close() error                    { return nil }

// mcp is an MCP23017, or an MCP23008 (DS20001952C, DS21919E): registers in pairs,
// of which IOCON.BANK says where they are, and a pointer that goes on by itself.
type mcp struct {
	b       *bench
	ports   uint
	regs    [2][11]byte // IODIR IPOL GPINTEN DEFVAL INTCON IOCON GPPU INTF INTCAP GPIO OLAT
	safe    uint16      // levels that the lines in ours must have when they become outputs
	ours    uint16
	trouble bool // writes do not stick
}

const (
	rIODIR, rGPINTEN, rIOCON, rOLAT = 0, 2, 5, 10
)

func newMCP(b *bench, ports uint) *mcp {
	m := &mcp{b: b, ports: ports}
	m.reset()
	return m
}

func (m *mcp) reset() {
	m.regs = [2][11]byte{}
	m.regs[0][rIODIR], m.regs[1][rIODIR] = 0xff, 0xff
}

// at answers the cell of an address; nil: there is none.
func (m *mcp) at(a byte) *byte {
	switch {
	case m.ports == 1 && a <= 0x0a:
		return &m.regs[0][a]
	case m.ports == 1:
		return nil
	case m.regs[0][rIOCON]&0x80 == 0 && a <= 0x15:
		return &m.regs[a&1][a/2]
	case m.regs[0][rIOCON]&0x80 != 0 && a&0x0f <= 0x0a && a <= 0x1a:
		return &m.regs[a>>4][a&0x0f]
	}
	return nil
}

func (m *mcp) transfer(out, in []byte) error {
	if len(out) == 0 {
		return nil // it would read on from its pointer; nothing here does
	}
	a := out[0]
	for _, v := range out[1:] {
		if cell := m.at(a); cell != nil && !m.trouble {
			was := *cell
			*cell = v
			m.written(cell, was)
		}
		a++
	}
	for i := range in {
		in[i] = 0
		if cell := m.at(a); cell != nil {
			in[i] = *cell
		}
		a++
	}
	return nil
}

// written keeps what is one register for both ports one, and holds a direction
// against its latch.
func (m *mcp) written(cell *byte, was byte) {
	for port := range m.regs {
		if cell == &m.regs[port][rIOCON] {
			m.regs[0][rIOCON], m.regs[1][rIOCON] = *cell, *cell
		}
		if cell == &m.regs[port][rIODIR] {
			became := was &^ *cell & byte(m.ours>>(8*port))
			if (m.regs[port][rOLAT]^byte(m.safe>>(8*port)))&became != 0 {
				m.b.broken = append(m.b.broken, fmt.Sprintf("lines %02x of port %d became outputs with latch %02x", became, port, m.regs[port][rOLAT]))
			}
		}
	}
}

func (m *mcp) wire(n uint) (driven, high bool) {
	p := &m.regs[n/8]
	bit := byte(1) << (n % 8)
	return p[rIODIR]&bit == 0, p[rOLAT]&bit != 0
}

// pcf is a PCF8574 (NXP, Rev. 5): a latch and pins, which may be pulled low.
type pcf struct{ latch, pulled byte }

func (p *pcf) reset() { p.latch = 0xff }

func (p *pcf) transfer(out, in []byte) error {
	for _, v := range out {
		p.latch = v
	}
	for i := range in {
		in[i] = p.latch &^ p.pulled
	}
	return nil
}

func (p *pcf) wire(n uint) (driven, high bool) { return true, (p.latch&^p.pulled)>>n&1 == 1 }

// profile makes a profile of outputs "o<line>" on one expander, "x", and as many on
// the board's own lines as are named.
func profile(chip board.Chip, address uint16, outputs ...board.Output) board.Profile {
	p := board.Profile{Expanders: []board.Expander{{Name: "x", Bus: "1", Address: address, Chip: chip, Verify: true}}}
	p.Outputs = outputs
	return p
}

func out(line string, more ...func(*board.Output)) board.Output {
	o := board.Output{Name: "o" + line, Line: line}
	if line[0] >= '0' && line[0] <= '9' {
		o.Line = "x:" + line
	}
	for _, f := range more {
		f(&o)
	}
	return o
}

func safeOn(o *board.Output)    { o.SafeOn = true }
func activeLow(o *board.Output) { o.ActiveLow = true }

// put places the profile's chips on the bench, as they come out of a reset.
func (b *bench) put(p board.Profile) {
	for _, e := range p.Expanders {
		switch e.Chip {
		case board.PCF8574:
			b.chips[e.Address] = &pcf{latch: 0xff}
		case board.PCA9685:
			c := &pca{b: b, safe: map[uint]board.Percent{}}
			c.reset()
			for _, w := range p.Levels {
				if on, n, ok := p.OnExpander(w.Line); ok && on.Name == e.Name {
					c.safe[uint(n)] = w.Safe
				}
			}
			b.chips[e.Address] = c
		default:
			m := newMCP(b, uint(e.Chip.Lines()/8))
			for _, o := range p.Outputs {
				if on, n, ok := p.OnExpander(o.Line); ok && on.Name == e.Name {
					m.ours |= 1 << n
					if o.SafeOn != o.ActiveLow {
						m.safe |= 1 << n
					}
				}
			}
			b.chips[e.Address] = m
		}
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("transfers %q\nwant      %q", got, want)
	}
}
