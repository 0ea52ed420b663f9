package expander

import (
	"errors"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
	"actuatord/board/boardtest"
)

func wait200() { <-time.After(200 * time.Millisecond) }

func TestConformance(t *testing.T) {
	for _, chip := range []struct {
		chip    board.Chip
		address uint16
	}{{board.PCF8574, 0x38}, {board.MCP23008, 0x20}, {board.MCP23017, 0x27}} {
		t.Run(string(chip.chip), func(t *testing.T) {
			boardtest.Suite(t, func(t *testing.T) boardtest.Rig {
				last := "7"
				if chip.chip == board.MCP23017 {
					last = "15"
				}
				p := profile(chip.chip, chip.address, out("0"), out(last, activeLow, safeOn))
				b := newBench(t)
				b.put(p)
				b.chips[0x60] = &memory{}
				rig := func() boardtest.Rig {
					return boardtest.Rig{
						OutputsOnly: true,
						Driver:      patient(New(b, p)),
						Lines:       []string{"x:0", "x:" + last},
						High: func(line string) bool {
							_, n, _ := p.OnExpander(line)
							return b.high(chip.address, uint(n))
						},
						NoLine: "x:3",
						Bus:    "1", NoBus: "9", Address: 0x60, Register: 0x40, Absent: 0x10,
					}
				}
				r := rig()
				r.Again = rig
				t.Cleanup(func() { r.Driver.Close() })
				return r
			})
		})
	}
}

// patient waits for as long as it takes: the suite runs in real time.
func patient(d *Driver) *Driver {
	for _, l := range d.links {
		l.wait = time.Minute
	}
	return d
}

// memory is a device of byte registers that keep what is written.
type memory struct {
	part
	cells [256][]byte
}

func (m *memory) transfer(out, in []byte) error {
	if len(out) > 1 {
		m.cells[out[0]] = append([]byte{}, out[1:]...)
	}
	copy(in, m.cells[out[0]])
	return nil
}

func take(t *testing.T, d *Driver, line string, low bool, l gpio.Level) *pin {
	t.Helper()
	p, err := d.Output(board.LineSpec{Target: line, Line: line, ActiveLow: low, Consumer: board.Consumer}, l)
	if err != nil {
		t.Fatalf("take %s: %v", line, err)
	}
	return p.(*pin)
}

// TestSequenceOfAnMCP23017: what goes over the bus, byte by byte. Port A has line
// 1, safe low; port B line 8, safe high, and line 9. The lines of nobody keep
// their latches and directions.
func TestSequenceOfAnMCP23017(t *testing.T) {
	p := profile(board.MCP23017, 0x20, out("1"), out("8", safeOn), out("9"))
	b := newBench(t)
	b.put(p)
	m := b.chips[0x20].(*mcp)
	m.regs[0][rOLAT], m.regs[0][rIODIR] = 0xf0, 0xcf // somebody drives lines 4 and 5 of port A
	m.regs[1][rOLAT], m.regs[1][rIODIR] = 0x02, 0x7d // a last life left line 9 on
	d := patient(New(b, p))
	defer d.Close()
	x := take(t, d, "x:1", false, gpio.Low)
	want(t, b.take(),
		"20: 05>00",                                        // BANK is 0
		"20: 14>f0", "20: 00>cf", "20: 15>02", "20: 01>7d", // as found
		"20: 14f0", "20: 1501", // every latch
		"20: 14>f0", "20: 00>cf", "20: 15>01", "20: 01>7d", // read back
		"20: 00cd", "20: 017c", // then the directions of our lines
		"20: 14>f0", "20: 00>cd", "20: 15>01", "20: 01>7c", // read back
	)
	if err := x.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	want(t, b.take(), "20: 14>f0", "20: 00>cd", "20: 15>01", "20: 01>7c", "20: 14f2", "20: 14>f2", "20: 00>cd")
	y := take(t, d, "x:9", false, gpio.Low) // it is there already: looked at, not written
	want(t, b.take(), "20: 14>f2", "20: 00>cd", "20: 15>01", "20: 01>7c")
	if err := errors.Join(x.Check(), y.Check()); err != nil {
		t.Error(err)
	}
	if l := b.take(); len(l) > 4 {
		t.Errorf("two checks: %q; want one look", l)
	}
}

// TestBank: a chip that a last program left with IOCON.BANK = 1 gets its other
// addresses back; one whose line 15 interrupts does not lose a direction by it.
func TestBank(t *testing.T) {
	for _, banked := range []bool{true, false} {
		p := profile(board.MCP23017, 0x20, out("15"))
		b := newBench(t)
		b.put(p)
		m := b.chips[0x20].(*mcp)
		m.regs[1][rGPINTEN] = 0x80
		if banked {
			m.regs[0][rIOCON], m.regs[1][rIOCON] = 0xa0, 0xa0
		}
		d := patient(New(b, p))
		x := take(t, d, "x:15", false, gpio.Low)
		if err := x.Out(gpio.High); err != nil {
			t.Fatal(err)
		}
		if !b.high(0x20, 15) || m.regs[0][rIOCON]&0x80 != 0 || banked && m.regs[0][rIOCON] != 0x20 {
			t.Errorf("banked=%v: IOCON %02x, line 15 high=%v", banked, m.regs[0][rIOCON], b.high(0x20, 15))
		}
		d.Close()
	}
}

func TestSequenceOfAnMCP23008(t *testing.T) {
	p := profile(board.MCP23008, 0x21, out("3", activeLow))
	b := newBench(t)
	b.put(p)
	d := patient(New(b, p))
	defer d.Close()
	x := take(t, d, "x:3", true, gpio.Low)
	want(t, b.take(), "21: 0a>00", "21: 00>ff", "21: 0a08", "21: 0a>08", "21: 00>ff", "21: 00f7", "21: 0a>08", "21: 00>f7")
	if err := x.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	want(t, b.take(), "21: 0a>08", "21: 00>f7", "21: 0a00", "21: 0a>00", "21: 00>f7")
}

// TestSequenceOfAPCF8574: one byte, in which the lines of nobody are 1.
func TestSequenceOfAPCF8574(t *testing.T) {
	p := profile(board.PCF8574, 0x20, out("0"), out("7", activeLow))
	b := newBench(t)
	b.put(p)
	d := patient(New(b, p))
	defer d.Close()
	x := take(t, d, "x:0", false, gpio.Low)
	want(t, b.take(), "20: >ff", "20: fe", "20: >fe", "20: >fe")
	y := take(t, d, "x:7", true, gpio.Low)
	want(t, b.take(), "20: >fe")
	if err := y.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	want(t, b.take(), "20: >fe", "20: 7e", "20: >7e")
	if err := x.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	want(t, b.take(), "20: >7e", "20: 7f", "20: >7f")
}

// TestPulledPin: a pin that its load pulls low fails alone, and does not with
// verify = false; the other lines of the chip go on.
func TestPulledPin(t *testing.T) {
	for _, verify := range []bool{true, false} {
		p := profile(board.PCF8574, 0x20, out("0"), out("1"))
		p.Expanders[0].Verify = verify
		b := newBench(t)
		b.put(p)
		b.chips[0x20].(*pcf).pulled = 1
		d := patient(New(b, p))
		x, y := take(t, d, "x:0", false, gpio.Low), take(t, d, "x:1", false, gpio.Low)
		if err := x.Out(gpio.High); (board.BusFaultOf(err) == board.Mismatch) != verify || (err == nil) == verify {
			t.Errorf("verify=%v: out of the pulled pin: %v", verify, err)
		}
		if err := x.Out(gpio.Low); err != nil {
			t.Errorf("verify=%v: back: %v", verify, err)
		}
		if err := y.Out(gpio.High); err != nil || !b.high(0x20, 1) {
			t.Errorf("verify=%v: its neighbour: %v", verify, err)
		}
		d.Close()
	}
}

// TestWritesThatDoNotStick: a latch that does not read back is never given a
// direction.
func TestWritesThatDoNotStick(t *testing.T) {
	p := profile(board.MCP23008, 0x20, out("0", safeOn))
	b := newBench(t)
	b.put(p)
	b.chips[0x20].(*mcp).trouble = true
	d := patient(New(b, p))
	defer d.Close()
	_, err := d.Output(board.LineSpec{Target: "o", Line: "x:0", Consumer: board.Consumer}, gpio.High)
	if board.BusFaultOf(err) != board.Mismatch || !board.Transient(err) || board.ReasonOf(err) != "mismatch" {
		t.Errorf("%v; want a mismatch", err)
	}
	want(t, b.take(), "20: 0a>00", "20: 00>ff", "20: 0a01", "20: 0a>00", "20: 00>ff")
}

// TestReset: a chip that lost its power is found by whatever comes next, and set
// up with all lines safe; none goes back to where it was.
func TestReset(t *testing.T) {
	for _, chip := range []board.Chip{board.PCF8574, board.MCP23008, board.MCP23017} {
		for _, c := range []struct {
			name string
			next func(x, y *pin) error
			errs bool
			owed bool // and its own next check says it, too
		}{
			{"a check of its own", func(x, y *pin) error { return x.Check() }, true, true},
			{"a check of another line", func(x, y *pin) error { return y.Check() }, true, true},
			{"another line's way out", func(x, y *pin) error { return y.Out(gpio.High) }, true, true},
			{"another line's way to safety", func(x, y *pin) error { return y.Out(gpio.Low) }, false, true},
			{"its own way out", func(x, y *pin) error { return x.Out(gpio.High) }, true, true},
			{"its own way to safety", func(x, y *pin) error { return x.Out(gpio.Low) }, false, false},
		} {
			p := profile(chip, 0x20, out("0", activeLow), out("1", activeLow))
			b := newBench(t)
			b.put(p)
			d := patient(New(b, p))
			x, y := take(t, d, "x:0", true, gpio.Low), take(t, d, "x:1", true, gpio.Low)
			if err := x.Out(gpio.High); err != nil {
				t.Fatal(err)
			}
			b.reset(0x20)
			x.c.looked = time.Time{} // a later moment
			if err := c.next(x, y); (board.BusFaultOf(err) == board.Mismatch) != c.errs || (err != nil) != c.errs {
				t.Errorf("%s, %s: %v", chip, c.name, err)
			}
			for n := range uint(2) {
				if !b.driven(0x20, n) || !b.high(0x20, n) {
					t.Errorf("%s, %s: line %d is not safe", chip, c.name, n)
				}
			}
			if err := x.Check(); (err != nil) != c.owed {
				t.Errorf("%s, %s: its own next check: %v", chip, c.name, err)
			}
			if err := errors.Join(x.Out(gpio.Low), x.Out(gpio.High), x.Check()); err != nil {
				t.Errorf("%s, %s: and then: %v", chip, c.name, err)
			}
			d.Close()
		}
	}
}
