package board

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ProfileFault is one thing that is wrong with a profile. Package config adds
// the line.
type ProfileFault struct {
	Table string // "output", "level", "input", "register" or "expander", as in the configuration file
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

// longestDebounce bounds what an input may take to be believed: its loss is noticed
// that much later. A float in a swell takes seconds to make up its mind.
const longestDebounce = 5 * time.Second

// Check answers everything that is wrong with p: outputs first, in order, then
// inputs, levels, expanders and registers. It looks at the profile alone: whether a line
// exists is only known to Open.
func (p Profile) Check() []ProfileFault {
	c := checker{p: p, names: map[string]string{}, lines: map[string]string{}, expanders: map[string]int{}, places: map[string]string{}, frequencies: map[string]int{}}
	for i, o := range p.Outputs {
		c.output(i, o)
	}
	for i, in := range p.Inputs {
		c.input(i, in)
	}
	for i, o := range p.Outputs {
		c.permits("output", i, o.Name, o.Permit)
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
	names     map[string]string // every name → which table has it
	lines     map[string]string // every line → what has it
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
		c.fault(table, i, "name", name, "already the name of %s; outputs, levels, inputs and registers share their names", other)
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
	c.line("output", i, o.Line, o.Name)
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

func (c *checker) line(table string, i int, line, name string) {
	switch other, taken := c.lines[line]; {
	case line == "":
		c.fault(table, i, "line", line, "is required: a kernel line name such as \"GPIO17\", chip-label:offset, or for an output expander:number")
	case taken:
		c.fault(table, i, "line", line, "already the line of %s", other)
	default:
		c.lines[line] = fmt.Sprintf("%s %q", table, name)
		c.onExpander(table, i, line)
	}
}

func (c *checker) input(i int, in Input) {
	c.name("input", i, in.Name)
	c.line("input", i, in.Line, in.Name)
	if in.Debounce < 0 || in.Debounce > longestDebounce {
		c.fault("input", i, "debounce", in.Debounce.String(), "is from 0s to %v: the loss of what it permits is noticed that much later", longestDebounce)
	}
}

func (c *checker) permits(table string, i int, target string, permit []string) {
	if permit != nil && len(permit) == 0 {
		c.fault(table, i, "permit", "[]", "lists no input, so it withholds nothing; leave it out")
	}
	seen := map[string]bool{}
	for _, name := range permit {
		switch {
		case !slices.ContainsFunc(c.p.Inputs, func(in Input) bool { return in.Name == name }):
			c.fault(table, i, "permit", name, "no [[input]] is named %q, so %s could never leave its safe level", name, target)
		case seen[name]:
			c.fault(table, i, "permit", name, "lists %q twice", name)
		}
		seen[name] = true
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
