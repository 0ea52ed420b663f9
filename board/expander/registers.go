package expander

// registers is how a chip's latch and directions are read and written. Without
// any it is a PCF8574, which has none: a byte written is its latch, a byte read is
// the levels of its pins.
//
// PCF8574 (NXP, PCF8574_PCF8574A Rev. 5, 2013): no direction register, and high
// with a weak pull-up at power-on (§8.1, page 6); the byte is on the pins with the
// acknowledge, a low stays strongly driven, a high only by 100 µA (§8.2, page 8);
// reading gives the actual state of each pin (§8.3, page 9).
//
// MCP23008 (Microchip, DS21919E) and MCP23017 (DS20001952C): IODIR, a 1 is an
// input, all ones at power-on (page 10; page 18, register 3-1); OLAT, the latch,
// zero at power-on, which a read gives and not the pins (page 24, §3.5.11).
type registers struct {
	latches, inputs []byte // OLAT and IODIR, by port
	banked          bool   // IOCON.BANK moves them
	pins            bool   // PCF8574: a pin that is driven high must read high
}

// mcp23008: IODIR is register 00, OLAT 0A (DS21919E, registers 1-1 and 1-11).
func mcp23008() registers {
	return registers{latches: []byte{0x0a}, inputs: []byte{0x00}}
}

// mcp23017: with IOCON.BANK = 0, IODIRA and B are 00 and 01, OLATA and B 14 and 15
// (DS20001952C, page 18, table 3-5).
func mcp23017() registers {
	return registers{latches: []byte{0x14, 0x15}, inputs: []byte{0x00, 0x01}, banked: true}
}

const (
	// iocon1 is where IOCON is with BANK = 1. With BANK = 0 that is GPINTENB, the
	// lines of port B whose changes interrupt (DS20001952C, tables 3-1 and 3-5).
	iocon1 = 0x05
	bank   = 0x80 // IOCON.BANK
)

// begin gives the registers the addresses above. If bit 7 is clear at 05 then BANK
// is 0, for with 1 it would be BANK that is read there. If it is set then either
// BANK is 1, or line 15 interrupts, which nothing here asks it to: writing it as 0
// is right for both.
func (r registers) begin(w wire) error {
	if !r.banked {
		return nil
	}
	b, err := w.read(iocon1)
	if err != nil || b&bank == 0 {
		return err
	}
	return w.write(iocon1, b&^bank)
}

// read answers what the chip holds, of the ports that the lines in which are on.
func (r registers) read(w wire, which uint16) (found state, err error) {
	if r.latches == nil {
		var in [1]byte
		err = w.tx(nil, in[:])
		return state{latch: uint16(in[0])}, err
	}
	for port := range r.latches {
		shift := 8 * port
		if byte(which>>shift) == 0 {
			continue
		}
		latch, err := w.read(r.latches[port])
		if err != nil {
			return found, err
		}
		inputs, err := w.read(r.inputs[port])
		if err != nil {
			return found, err
		}
		found.latch |= uint16(latch) << shift
		found.inputs |= uint16(inputs) << shift
	}
	return found, nil
}

// latch writes a port's latch. A single byte in each transfer works whatever
// IOCON.SEQOP says.
func (r registers) latch(w wire, port uint, b byte) error {
	if r.latches == nil {
		return w.tx([]byte{b}, nil)
	}
	return w.write(r.latches[port], b)
}

// direct writes which lines of a port are inputs.
func (r registers) direct(w wire, port uint, inputs byte) error {
	return w.write(r.inputs[port], inputs)
}

// gone reports whether found is not what held is of the lines in mask. A PCF8574's
// pin that is driven low can only read high if its latch is not what it was; one
// that is driven high may be pulled low from outside, which says nothing of the
// other lines.
func (r registers) gone(held, found state, mask uint16) bool {
	if r.latches == nil {
		return found.latch&^held.latch&mask != 0
	}
	return ((found.latch^held.latch)|(found.inputs^held.inputs))&mask != 0
}

// differs is gone for a single line: there a pin that is pulled low counts, unless
// the configuration says that its load does that.
func (r registers) differs(want, found state, bit uint16) bool {
	if r.pins {
		return (want.latch^found.latch)&bit != 0
	}
	return r.gone(want, found, bit)
}

// kept are the latch bits to write for lines that are not ours: as found, and 1
// for a PCF8574, which is how a line of it is left alone (§8.2: a port that is
// used as an input is written 1).
func (r registers) kept(found state) uint16 {
	if r.latches == nil {
		return 0xffff
	}
	return found.latch
}
