package board

import (
	"fmt"
	"strings"
	"time"
)

// ProfileFault is one thing that is wrong with a profile. Package config adds
// the line.
type ProfileFault struct {
	Table string // "output", "level", "register" or "expander", as in the configuration file
	Index int    // which of them, from 0
	Key   string // the key that is wrong, such as "max_on"
	Value string // what it says
	Rule  string // one sentence: what would be right, and why where that helps
}

func (f ProfileFault) String() string {
	return fmt.Sprintf("%s %d: %s = %q: %s", f.Table, f.Index, f.Key, f.Value, f.Rule)
}

// The addresses that a device may have: the I2C specification (UM10204, table
// 3) keeps eight at either end for itself.
const (
	firstAddress = 0x08
	lastAddress  = 0x77
)

// nameLimit keeps names fit for a report and a log line.
const nameLimit = 64

// Check answers everything that is wrong with p: outputs first, in order, then
// levels, expanders and registers. It looks at the profile alone: whether a line exists
// is only known to Open.
func (p Profile) Check() []ProfileFault {
	c := checker{p: p, names: map[string]string{}, lines: map[string]string{}, expanders: map[string]int{}, places: map[string]string{}, frequencies: map[string]int{}}
	for i, o := range p.Outputs {
		c.output(i, o)
	}
	c.interlocks(p.Outputs)
	for i, w := range p.Levels {
		c.level(i, w)
	}
	for i, e := range p.Expanders {
		c.expander(i, e)
	}
	for i, r := range p.Registers {
		c.register(i, r)
	}
	return c.faults
}

type checker struct {
	p         Profile
	names     map[string]string // every target's name → which one has it
	lines     map[string]string // every line → the output or level that has it
	expanders map[string]int    // every expander's name → which one has it
	places    map[string]string // every expander's bus and address → its name
	faults    []ProfileFault

	frequencies map[string]int // of the expanders with levels, by name
}

func (c *checker) fault(table string, i int, key, value, rule string, args ...any) {
	c.faults = append(c.faults, ProfileFault{Table: table, Index: i, Key: key, Value: value, Rule: fmt.Sprintf(rule, args...)})
}

func (c *checker) name(table string, i int, name string) {
	switch other, taken := c.names[name]; {
	case name == All:
		c.fault(table, i, "name", name, "%q is reserved: it means every output, level and register", All)
	case !validName(name):
		c.fault(table, i, "name", name, "a name is 1 to %d letters, digits, '-', '_' or '.'", nameLimit)
	case taken:
		c.fault(table, i, "name", name, "already the name of %s; outputs, levels and registers share their names", other)
	default:
		c.names[name] = fmt.Sprintf("%s %d", table, i)
	}
}

func validName(s string) bool {
	if s == "" || len(s) > nameLimit {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r) {
			return false
		}
	}
	return true
}

func (c *checker) output(i int, o Output) {
	c.name("output", i, o.Name)
	switch other, taken := c.lines[o.Line]; {
	case o.Line == "":
		c.fault("output", i, "line", o.Line, "is required: a kernel line name such as \"GPIO17\", chip-label:offset, or expander:number")
	case taken:
		c.fault("output", i, "line", o.Line, "already the line of %s", other)
	default:
		c.lines[o.Line] = fmt.Sprintf("output %q", o.Name)
		c.onExpander(i, o.Line)
	}
	c.openDrain(i, o)
	c.span("output", i, "max_on", o.MaxOn)
	c.span("output", i, "min_off", o.MinOff)
	c.span("output", i, "max_age", o.MaxAge)
	if o.SafeOn && o.MaxOn > 0 {
		c.fault("output", i, "max_on", o.MaxOn.String(), "cannot go with safe = \"on\": when it ends the output would have to leave its safe level")
	}
	if o.SafeOn && o.MinOff > 0 {
		c.fault("output", i, "min_off", o.MinOff.String(), "cannot go with safe = \"on\": the way to the safe level is never held up")
	}
}

func (c *checker) span(table string, i int, key string, d time.Duration) {
	if d < 0 {
		c.fault(table, i, key, d.String(), "cannot be negative")
	}
}

func (c *checker) interlocks(outputs []Output) {
	members := map[string]int{}
	for _, o := range outputs {
		members[o.Interlock]++
	}
	safeOn := map[string]string{}
	for i, o := range outputs {
		if o.Interlock == "" {
			continue
		}
		if members[o.Interlock] == 1 {
			c.fault("output", i, "interlock", o.Interlock, "no other output is in this group, so it protects nothing")
		}
		if !o.SafeOn {
			continue
		}
		if first, taken := safeOn[o.Interlock]; taken {
			c.fault("output", i, "interlock", o.Interlock, "output %q of this group is safe on too: both would be on at once", first)
			continue
		}
		safeOn[o.Interlock] = o.Name
	}
}

func (c *checker) register(i int, r Register) {
	c.name("register", i, r.Name)
	if r.Bus == "" {
		c.fault("register", i, "bus", r.Bus, "is required: the bus's number, such as \"1\"")
	}
	if r.Address < firstAddress || r.Address > lastAddress {
		c.fault("register", i, "address", fmt.Sprintf("%#02x", r.Address), "a device's address is %#02x to %#02x (7 bits; the rest is reserved)", firstAddress, lastAddress)
	}
	if e, taken := c.places[placeOf(r.Bus, r.Address)]; taken {
		c.fault("register", i, "address", fmt.Sprintf("%#02x", r.Address), "expander %q is there: a write could take its lines away from their safe levels, past every limit", e)
	}
	if r.Registers != nil && len(r.Registers) == 0 {
		c.fault("register", i, "registers", "[]", "lists no register, so nothing could be written; leave it out to allow any")
	}
	c.span("register", i, "max_age", r.MaxAge)
	if r.Safe != nil && (len(r.Safe.Bytes) == 0 || len(r.Safe.Bytes) > MaxWrite) {
		c.fault("register", i, "safe", fmt.Sprintf("%x", r.Safe.Bytes), "bytes are 1 to %d", MaxWrite)
	}
}
