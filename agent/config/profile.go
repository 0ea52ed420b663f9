package config

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"actuatord/board"
)

const (
	wantLine = `must be a kernel line name such as "GPIO17", chip-label:offset, or expander:number; sysfs numbers are not taken`
	wantBus  = `must be the bus's number in quotes, such as "1", or its adapter's name`
	wantSafe = `must be a register and its bytes, such as { register = 0x40, bytes = "0000" }`
)

// noLimit is how the file says that there is no limit on purpose.
const noLimit = "none"

// profile reads the outputs, levels, inputs, expanders and registers, and then asks
// package board what is wrong with them together.
func (r *reader) profile() board.Profile {
	var p board.Profile
	tables := map[string][]*section{
		"output": r.several("output"), "level": r.several("level"), "input": r.several("input"), "expander": r.several("expander"), "register": r.several("register"),
	}
	for _, s := range tables["output"] {
		p.Outputs = append(p.Outputs, s.output())
		s.done()
	}
	for _, s := range tables["level"] {
		p.Levels = append(p.Levels, s.level())
		s.done()
	}
	for _, s := range tables["expander"] {
		p.Expanders = append(p.Expanders, s.expander())
		s.done()
	}
	for _, s := range tables["input"] {
		p.Inputs = append(p.Inputs, s.input())
		s.done()
	}
	for _, s := range tables["register"] {
		p.Registers = append(p.Registers, s.register())
		s.done()
	}
	misread := map[string]bool{} // an interlock that could not be read makes its group look smaller, a name its input missing
	for _, s := range tables["output"] {
		misread["interlock"] = misread["interlock"] || s.bad["interlock"]
	}
	for _, s := range tables["input"] {
		misread["permit"] = misread["permit"] || s.bad["name"]
	}
	for _, f := range p.Check() {
		s := tables[f.Table][f.Index]
		if s.bad[f.Key] || misread[f.Key] {
			continue // it was not read, so the board has judged a default
		}
		s.fault(f.Key, f.Rule)
	}
	r.inputWarnings(p, tables["input"])
	return p
}

// inputWarnings names inputs that protect nothing, or do not when their wire is cut.
func (r *reader) inputWarnings(p board.Profile, tables []*section) {
	for i, in := range p.Inputs {
		s := tables[i]
		used := slices.ContainsFunc(p.Outputs, func(o board.Output) bool { return slices.Contains(o.Permit, in.Name) }) ||
			slices.ContainsFunc(p.Levels, func(w board.PWM) bool { return slices.Contains(w.Permit, in.Name) })
		if !used && len(s.bad) == 0 {
			r.warn(s.table.line, "no output or level has input %s in its permit, so it is only reported", quote(in.Name))
		}
		if in.Bias == board.PullUp && !in.ActiveLow || in.Bias == board.PullDown && in.ActiveLow {
			r.warn(s.table.line, "input %s is pulled to its active level, so a cut wire permits; pull it the other way, and wire the contact so that it closes to permit", quote(in.Name))
		}
	}
}

func (s *section) output() board.Output {
	o := board.Output{
		Name:      s.name(),
		Line:      s.text("line", "", wantLine, validLine),
		ActiveLow: s.choice("active", "high", "low") == "low",
		OpenDrain: s.choice("drive", "push-pull", "open-drain") == "open-drain",
		SafeOn:    s.choice("safe", "off", "on") == "on",
		MaxOn:     s.maxOn(),
		MinOff:    s.duration("min_off", 0, span{0, forever, ""}),
		Interlock: s.text("interlock", "", `must be the name of a group, or "" for none`, printable),
		Permit:    s.permit(),
		MaxAge:    s.maxAge(),
	}
	if !s.has("max_on") && !o.SafeOn {
		s.r.warn(s.table.line, `output %s has no max_on, so it may stay on for ever; set one, or max_on = "none" if that is meant`, quote(o.Name))
	}
	return o
}

// name only wants a string that can be shown; what a name may be is the board's
// rule.
func (s *section) name() string {
	return s.text("name", "", "must be a name in quotes", func(string) bool { return true })
}

func (s *section) input() board.Input {
	return board.Input{
		Name:      s.name(),
		Line:      s.text("line", "", wantLine, validLine),
		ActiveLow: s.choice("active", "high", "low") == "low",
		Bias:      s.bias(),
		Debounce:  s.duration("debounce", defaultDebounce, span{0, forever, "0s means none"}),
	}
}

// defaultDebounce is what the contacts of a relay or a float take to come to rest
// (most within 5 ms). Half of it lets a worn one trip its output, double is noticed
// that much later.
const defaultDebounce = 10 * time.Millisecond

func (s *section) bias() board.Bias {
	all := []board.Bias{board.BiasAsIs, board.BiasNone, board.PullUp, board.PullDown}
	word := s.text("bias", board.BiasAsIs.String(), `must be "as-is", "none", "pull-up" or "pull-down"`, func(v string) bool {
		return slices.ContainsFunc(all, func(b board.Bias) bool { return b.String() == v })
	})
	return all[slices.IndexFunc(all, func(b board.Bias) bool { return b.String() == word })]
}

// permit reads a list of inputs' names; nil asks nobody, an empty one is left to the
// board to refuse.
func (s *section) permit() []string {
	const key, want = "permit", `must list inputs by name, such as ["float-ok"]`
	n := s.get(key, isArray, want)
	if n == nil {
		return nil
	}
	list := []string{}
	for _, item := range n.items {
		if item.kind != isString || !printable(item.text) {
			s.fault(key, want)
			return nil
		}
		list = append(list, item.text)
	}
	return list
}

// maxOn reads max_on. No limit is 0, written "none", or left out with a warning.
func (s *section) maxOn() time.Duration {
	v := span{time.Millisecond, forever, `or "none"`}
	n := s.get("max_on", isString, v.want())
	if n == nil || n.text == noLimit {
		return 0
	}
	d, ok := v.parse(n.text)
	if !ok {
		s.fault("max_on", v.want())
		return 0
	}
	return d
}

func (s *section) maxAge() time.Duration {
	return s.duration("max_age", 0, span{0, forever, "0s means no limit"})
}

// validLine keeps out the sysfs number, which differs between kernels. Whether
// the line exists is only known on the board.
func validLine(v string) bool {
	return printable(v) && strings.Trim(v, "0123456789") != ""
}

// printable accepts what fits in a line of text; 64 bytes is twice what the
// kernel allows a line's or an adapter's name.
func printable(v string) bool {
	return len(v) <= 64 && strings.TrimSpace(v) == v && !strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) })
}

// expander only wants what can be read: chips, addresses and names are the board's
// rules.
func (s *section) expander() board.Expander {
	return board.Expander{
		Name:    s.name(),
		Bus:     s.text("bus", "", wantBus, printable),
		Address: s.address(),
		Chip:    board.Chip(s.text("chip", "", "must be a chip in quotes, such as \"mcp23017\"", func(string) bool { return true })),
		Verify:  s.flag("verify", true),
	}
}

func (s *section) register() board.Register {
	r := board.Register{
		Name:       s.name(),
		Bus:        s.text("bus", "", wantBus, printable),
		Address:    s.address(),
		Registers:  s.numbers(),
		Verify:     s.flag("verify", true),
		Repeatable: s.flag("repeatable", true),
		Safe:       s.safeWrite(),
		MaxAge:     s.maxAge(),
	}
	if !s.has("registers") {
		s.r.warn(s.table.line, "register %s has no list of registers, so commands may write any of them", quote(r.Name))
	}
	return r
}

// address reads a number; which ones a device may have is the board's rule.
func (s *section) address() uint16 {
	const key, want = "address", "must be the device's address on the bus, such as 0x60, without quotes"
	n := s.get(key, isInteger, want)
	if n == nil {
		return 0
	}
	if n.number < 0 || n.number > 0xffff {
		s.fault(key, want)
		return 0
	}
	return uint16(n.number)
}

// numbers reads the allow-list; nil allows any register, an empty list is left
// to the board to refuse.
func (s *section) numbers() []byte {
	const key, want = "registers", "must list registers from 0 to 255, each once, such as [0x40, 0x41]"
	n := s.get(key, isArray, want)
	if n == nil {
		return nil
	}
	list := []byte{}
	seen := map[int64]bool{}
	for _, item := range n.items {
		if item.kind != isInteger || item.number < 0 || item.number > 0xff || seen[item.number] {
			s.fault(key, fmt.Sprintf("%s; %s is wrong", want, show(item)))
			return nil
		}
		seen[item.number] = true
		list = append(list, byte(item.number))
	}
	return list
}

// safeWrite reads safe = { register = 0x40, bytes = "0000" }.
func (s *section) safeWrite() *board.SafeWrite {
	n := s.get("safe", isTable, wantSafe)
	if n == nil {
		return nil
	}
	in := s.r.section(s.path+".safe", n)
	w := &board.SafeWrite{Register: byte(in.number("register", 0, 0, 0xff))}
	in.text("bytes", "", `must be hex digits in quotes, two for each of 1 to 32 bytes, such as "0fff"`, func(v string) bool {
		b, err := hex.DecodeString(v)
		w.Bytes = b
		return err == nil && len(b) >= 1 && len(b) <= board.MaxWrite
	})
	in.done()
	for _, key := range []string{"register", "bytes"} {
		if !in.has(key) {
			in.fault(key, "is missing: "+wantSafe)
		}
	}
	if len(in.bad) > 0 {
		s.bad["safe"] = true
		return nil
	}
	return w
}
