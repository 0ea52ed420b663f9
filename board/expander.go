package board

import (
	"fmt"
	"strings"
)

// Chip is a kind of expander, in the words of the configuration.
type Chip string

// The chips that package board/expander knows.
const (
	PCF8574  Chip = "pcf8574"  // 8 quasi-bidirectional lines; also the PCF8574A
	MCP23008 Chip = "mcp23008" // 8 lines
	MCP23017 Chip = "mcp23017" // 16 lines: 0 to 7 are port A, 8 to 15 port B
	PCA9685  Chip = "pca9685"  // 16 channels of PWM, for levels
)

// Lines is how many lines the chip has; 0: it is not known.
func (c Chip) Lines() int {
	switch c {
	case PCF8574, MCP23008:
		return 8
	case MCP23017, PCA9685:
		return 16
	}
	return 0
}

// Expander is a chip on a bus that gives the board more lines. An output or level on
// it has the line NAME:N.
type Expander struct {
	Name    string
	Bus     string // as a register's
	Address uint16 // 7 bits
	Chip    Chip
	Verify  bool // a PCF8574: its pins are read after each write and compared; the others' latches always are
}

// OnExpander answers the expander that a line such as "relays:3" is on, and
// which of its lines it is; -1 if what is behind the colon is no number, or one
// that could be written shorter. Without an expander of that name the line is
// the board's own.
func (p Profile) OnExpander(line string) (e Expander, offset int, ok bool) {
	i := strings.LastIndexByte(line, ':')
	if i < 0 {
		return Expander{}, 0, false
	}
	for _, e := range p.Expanders {
		if e.Name != line[:i] {
			continue
		}
		n, ok := plainNumber(line[i+1:])
		if !ok {
			n = -1
		}
		return e, n, true
	}
	return Expander{}, 0, false
}

// addresses are those that a chip can be strapped to: 0100 and three pins, and for
// the PCF8574A 0111 and three pins (NXP PCF8574_PCF8574A Rev. 5, tables 4 and 5;
// Microchip DS21919E and DS20001952C, "I2C device addressing"); for a PCA9685 1 and
// six pins, of which the last eight are reserved by the bus, and 0x70 is its LED All
// Call (NXP PCA9685 Rev. 4, §7.1).
func (c Chip) addresses() (is func(uint16) bool, words string) {
	switch c {
	case PCF8574:
		return func(a uint16) bool { return a >= 0x20 && a <= 0x27 || a >= 0x38 && a <= 0x3f }, "0x20 to 0x27, or 0x38 to 0x3f for a PCF8574A"
	case PCA9685:
		return func(a uint16) bool { return a >= 0x40 && a <= 0x77 && a != 0x70 }, "0x40 to 0x77, but 0x70, at which all of them answer at power-on"
	default:
		return func(a uint16) bool { return a >= 0x20 && a <= 0x27 }, "0x20 to 0x27"
	}
}

// expander checks one expander; places are the expanders by bus and address.
func (c *checker) expander(i int, e Expander) {
	switch other, taken := c.expanders[e.Name]; {
	case !validName(e.Name):
		c.fault("expander", i, "name", e.Name, "a name is 1 to %d letters, digits, '-', '_' or '.'", nameLimit)
	case taken:
		c.fault("expander", i, "name", e.Name, "already the name of expander %d", other)
	case strings.HasPrefix(e.Name, "pwmchip"):
		c.fault("expander", i, "name", e.Name, "names that begin with pwmchip are those of the kernel's PWM chips")
	default:
		c.expanders[e.Name] = i
	}
	if e.Bus == "" {
		c.fault("expander", i, "bus", e.Bus, "is required: the bus's number, such as \"1\"")
	}
	if e.Chip.Lines() == 0 {
		c.fault("expander", i, "chip", string(e.Chip), "the chips are %q, %q, %q and %q", PCF8574, MCP23008, MCP23017, PCA9685)
		return
	}
	if is, words := e.Chip.addresses(); !is(e.Address) {
		c.fault("expander", i, "address", fmt.Sprintf("%#02x", e.Address), "a %s has one of the addresses %s", e.Chip, words)
	}
	place := placeOf(e.Bus, e.Address)
	if other, taken := c.places[place]; taken && e.Bus != "" {
		c.fault("expander", i, "address", fmt.Sprintf("%#02x", e.Address), "expander %q is there already", other)
	} else {
		c.places[place] = e.Name
	}
	if !e.Verify && e.Chip != PCF8574 {
		c.fault("expander", i, "verify", "false", "is for a %s, whose pins are read: the registers of a %s read as they were written, whatever its pins are tied to", PCF8574, e.Chip)
	}
}

func placeOf(bus string, address uint16) string { return fmt.Sprintf("%s %#02x", bus, address) }

// onExpander checks an output's line that may be an expander's.
func (c *checker) onExpander(table string, i int, line string) {
	e, n, ok := c.p.OnExpander(line)
	if !ok || e.Chip.Lines() == 0 {
		return
	}
	switch last := e.Chip.Lines() - 1; {
	case table == "input":
		c.fault(table, i, "line", line, "expander %q has outputs only; an input needs a line of the board's own, whose edges are told", e.Name)
	case e.Chip == PCA9685:
		c.fault(table, i, "line", line, "expander %q is a %s: its lines are for [[level]]", e.Name, PCA9685)
	case n < 0 || n > last:
		c.fault(table, i, "line", line, "the lines of expander %q are %q to %q", e.Name, e.Name+":0", fmt.Sprintf("%s:%d", e.Name, last))
	}
}

// openDrain refuses what a chip cannot do. An MCP's outputs drive both levels. By
// their directions they could be made to look like open drains, but the level would
// then lie in another register than that of the lines beside them, and nothing would
// be gained: their pins stand no voltage above the chip's own.
func (c *checker) openDrain(i int, o Output) {
	e, _, ok := c.p.OnExpander(o.Line)
	if ok && o.OpenDrain && e.Chip.Lines() > 0 && e.Chip != PCF8574 {
		c.fault("output", i, "drive", "open-drain", "a %s drives both levels; a %s is made for this, and so are most of the board's own lines", e.Chip, PCF8574)
	}
}
