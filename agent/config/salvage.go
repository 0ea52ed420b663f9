package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"actuatord/board"
)

// Outputs gives every output, level and register of a file whose safe level is beyond
// doubt, even if the rest of the file is faulty or no TOML at all. Of a valid
// file it gives the profile that [Parse] gives, but for inputs and permits: the way
// to safety asks nobody, and must not wait for a line that it does not need.
//
// An output needs a line, and no fault in line, active, drive or safe, nor an
// unknown key that is one of them misspelt: a wrong guess there would drive it the
// wrong way. A fault anywhere else costs only that key, a name that is missing
// or taken is replaced by the line. Of two outputs on one line the first counts.
//
// A level needs a line, a frequency and no fault in either nor in safe.
//
// An expander needs all but verify, which is false where it cannot be read: safe
// levels are then written and believed. Of two under one name or at one place
// neither is given. The outputs on one that is not given still are, and fail as
// lines that nobody has: what cannot be made safe is said.
func Outputs(text []byte) board.Profile {
	return outputs(&reader{root: salvage(text)})
}

func outputs(r *reader) board.Profile {
	var p board.Profile
	names, places := map[string]bool{board.All: true}, map[string]bool{}
	// admit tells whether to keep the target at place, and under which name.
	admit := func(name, place string) (string, bool) {
		if places[place] {
			return "", false
		}
		places[place] = true
		if name == "" || names[name] {
			name = place
		}
		names[name] = true
		return name, true
	}
	for _, s := range r.several("output") {
		o := s.output()
		o.Permit = nil
		s.done()
		if o.Line == "" || s.bad["line"] || s.bad["active"] || s.bad["drive"] || s.bad["safe"] {
			continue
		}
		if o.SafeOn {
			o.MaxOn = 0 // a fault; on is where it belongs
		}
		if name, ok := admit(o.Name, o.Line); ok {
			o.Name = name
			p.Outputs = append(p.Outputs, o)
		}
	}
	for _, s := range r.several("level") {
		w := s.level()
		w.Permit = nil
		s.done()
		if w.Line == "" || s.bad["line"] || s.bad["frequency"] || s.bad["safe"] {
			continue
		}
		if name, ok := admit(w.Name, w.Line); ok {
			w.Name = name
			p.Levels = append(p.Levels, w)
		}
	}
	p.Expanders = expanders(r.several("expander"))
	p.Levels = tunable(p)
	for _, g := range registers(r.several("register"), p.Expanders) {
		// Two registers may share a device: the name tells them apart.
		if name, ok := admit(g.Name, fmt.Sprintf("register %s:%#x:%s", g.Bus, g.Address, g.Name)); ok {
			g.Name = name
			p.Registers = append(p.Registers, g)
		}
	}
	return p
}

// registers gives those that have a place of their own.
func registers(all []*section, expanders []board.Expander) []board.Register {
	var found []board.Register
	for _, s := range all {
		g := s.register()
		s.done()
		if g.Bus == "" || !s.has("address") || s.bad["bus"] || s.bad["address"] || s.bad["safe"] {
			continue
		}
		if slices.ContainsFunc(expanders, func(e board.Expander) bool { return e.Bus == g.Bus && e.Address == g.Address }) {
			continue // its bytes would go into the expander's latch
		}
		found = append(found, g)
	}
	return found
}

// tunable gives the levels whose frequency can be had, and of those on one chip those
// that have the first one's: another would be wrong for one of the two.
func tunable(p board.Profile) []board.PWM {
	var found []board.PWM
	firsts := map[string]board.PWM{} // by expander
	for _, w := range p.Levels {
		try := board.Profile{Levels: []board.PWM{w}}
		e, _, onChip := p.OnExpander(w.Line)
		first, has := firsts[e.Name]
		if onChip {
			try.Expanders = []board.Expander{e}
		}
		if onChip && has {
			try.Levels = []board.PWM{first, w}
		}
		wrong := func(f board.ProfileFault) bool { return f.Table == "level" && f.Key == "frequency" }
		if slices.ContainsFunc(try.Check(), wrong) {
			continue
		}
		if found = append(found, w); onChip && !has {
			firsts[e.Name] = w
		}
	}
	return found
}

// expanders gives those that are beyond doubt.
func expanders(all []*section) []board.Expander {
	var found []board.Expander
	names, places := map[string]int{}, map[string]int{}
	place := func(e board.Expander) string { return fmt.Sprintf("%s:%#x", e.Bus, e.Address) }
	for _, s := range all {
		e := s.expander()
		s.done()
		names[e.Name]++
		places[place(e)]++
		if s.bad["name"] || s.bad["bus"] || s.bad["address"] || s.bad["chip"] {
			continue
		}
		if s.bad["verify"] {
			e.Verify = e.Chip != board.PCF8574
		}
		found = append(found, e)
	}
	return slices.DeleteFunc(found, func(e board.Expander) bool {
		alone := board.Profile{Expanders: []board.Expander{e}}
		return names[e.Name] > 1 || places[place(e)] > 1 || len(alone.Check()) > 0
	})
}

// Wiring is what `actuatord safe` needs of a file: which outputs there are, what
// drives them, and where the journal lies whose lock tells whether a daemon
// runs.
type Wiring struct {
	Board       Board
	Profile     board.Profile
	JournalPath string
}

// LoadOutputs reads the file at path like [Outputs]. What cannot be read of the
// rest has its default; so a driver that cannot be read is the real one. Its
// only error is a file that cannot be read at all.
func LoadOutputs(path string) (Wiring, error) {
	text, err := readFile(path)
	if err != nil {
		return Wiring{}, err
	}
	return wiring(text), nil
}

func wiring(text []byte) Wiring {
	r := &reader{root: salvage(text)}
	return Wiring{Board: r.board(), Profile: outputs(r), JournalPath: r.journal().Path}
}

// maxSalvage bounds the lines, without comments, of one table that is read line
// by line: the work grows with their square, and `actuatord safe` has 5 seconds.
// The longest table has ten keys.
const maxSalvage = 50

// salvage reads as much of text as can be read. If it is no TOML, each table is
// read by itself, and a table that is none, line by line.
func salvage(text []byte) *node {
	if len(text) > MaxFile {
		return newTable(1) // no daemon ran with it
	}
	if root, problem := parseTree(text); problem == nil {
		return root
	}
	all := newTable(1)
	for _, chunk := range chunks(text) {
		root, problem := parseTree(chunk)
		if problem != nil {
			root = lineByLine(chunk)
		}
		for key, n := range root.fields {
			merge(all, key, n)
		}
	}
	return all
}

// merge adds what another chunk holds under key: of arrays all items, even
// where somebody lost a bracket of the first; of anything else the first.
func merge(all *node, key string, n *node) {
	switch have := all.fields[key]; {
	case have == nil || have.kind != isArray && n.kind == isArray:
		all.fields[key] = n
	case have.kind == isArray && n.kind == isArray:
		have.items = append(have.items, n.items...)
	}
}

// chunks cuts text before every line that looks like the head of a table.
func chunks(text []byte) [][]byte {
	var all [][]byte
	start, at := 0, 0
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("[")) && at > start {
			all = append(all, text[start:at])
			start = at
		}
		at += len(line)
	}
	return append(all, text[start:])
}

// lineByLine keeps the lines of a chunk that make TOML together. A key whose
// line does not is kept with a value that no rule takes, so that it counts as
// faulty and not as absent.
func lineByLine(chunk []byte) *node {
	root := newTable(1)
	var good []byte
	i := -1
	for line := range bytes.Lines(chunk) {
		if bare := bytes.TrimSpace(line); len(bare) == 0 || bare[0] == '#' {
			continue
		}
		if i++; i == maxSalvage {
			return newTable(1)
		}
		if i == 0 && !bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("[")) {
			return root // before the first head there is no key that we know
		}
		next := append(bytes.Clone(good), line...)
		if r, problem := parseTree(next); problem == nil {
			root, good = r, next
			continue
		}
		if i == 0 {
			return root // of a head that cannot be read nothing is known
		}
		if key, ok := keyOf(line); ok {
			// Of two lines with one key neither is believed.
			next = without(good, key)
			next = append(next, key+" = 0.0\n"...)
			if r, problem := parseTree(next); problem == nil {
				root, good = r, next
			}
		}
	}
	return root
}

// without drops the lines that set key.
func without(text []byte, key string) []byte {
	var kept []byte
	for line := range bytes.Lines(text) {
		if k, ok := keyOf(line); !ok || k != key {
			kept = append(kept, line...)
		}
	}
	return kept
}

// keyOf gives the bare key that a line seems to set.
func keyOf(line []byte) (string, bool) {
	before, _, ok := strings.Cut(string(line), "=")
	key := strings.Trim(before, " \t\"'")
	return key, ok && key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}
