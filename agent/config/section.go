package config

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// A reader takes the tree apart by the rules and gathers every fault.
type reader struct {
	root     *node
	tables   []string // the top-level names that were asked for
	problems Problems
	warnings []warning
}

type warning struct {
	line int
	text string
}

// warningsByLine and, for faults, byPlace order with package sort: it is in the program
// anyway, and slices' way would be compiled anew for each type, 4 KB and more a time.
type warningsByLine []warning

func (w warningsByLine) Len() int           { return len(w) }
func (w warningsByLine) Less(i, j int) bool { return w[i].line < w[j].line }
func (w warningsByLine) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }

func (r *reader) warn(line int, format string, args ...any) {
	r.warnings = append(r.warnings, warning{line, fmt.Sprintf("line %d: ", line) + fmt.Sprintf(format, args...)})
}

func (r *reader) sortedWarnings() []string {
	sort.Stable(warningsByLine(r.warnings))
	var all []string
	for _, w := range r.warnings {
		all = append(all, w.text)
	}
	return all
}

// A section is one table of the file, and remembers which keys were asked for:
// the rest is unknown.
type section struct {
	r     *reader
	path  string // "hub", "output"
	table *node
	keys  []string        // that a rule asked for
	bad   map[string]bool // the keys that have a fault, and those that an unknown key may have been meant for
}

func (r *reader) section(path string, table *node) *section {
	return &section{r: r, path: path, table: table, bad: map[string]bool{}}
}

// single is the table [name]; an empty one if the file has none, so that all
// its keys have their defaults.
func (r *reader) single(name string) *section {
	r.tables = append(r.tables, name)
	switch n := r.root.fields[name]; {
	case n == nil:
	case n.kind != isTable:
		r.problems = append(r.problems, Problem{Line: n.line, Key: name, Rule: fmt.Sprintf("must be a table: there is one, and its head is [%s]", name)})
	default:
		return r.section(name, n)
	}
	return r.section(name, newTable(1))
}

// several are the tables [[name]].
func (r *reader) several(name string) []*section {
	r.tables = append(r.tables, name)
	n := r.root.fields[name]
	if n == nil {
		return nil
	}
	wrong := n.kind != isArray
	var all []*section
	for _, item := range n.items {
		if wrong = wrong || item.kind != isTable; !wrong {
			all = append(all, r.section(name, item))
		}
	}
	if wrong {
		r.problems = append(r.problems, Problem{Line: n.line, Key: name, Rule: fmt.Sprintf("must be an array of tables: there may be several, and the head of each is [[%s]]", name)})
	}
	return all
}

// unknownTables refuses every top-level name that no rule asked for.
func (r *reader) unknownTables() {
	top := r.section("", r.root)
	top.keys = r.tables
	top.unknown("the tables are [hub], [clock], [journal], [board], [[output]], [[level]], [[input]], [[register]], [[expander]] and [default]")
}

// unknown refuses every key of the table that no rule asked for. The value is
// not shown: nobody knows what it is.
func (s *section) unknown(known string) {
	for key, n := range s.table.fields {
		if slices.Contains(s.keys, key) {
			continue
		}
		rule := "is not known; "
		if near := nearest(key, s.keys); near != "" {
			s.bad[near] = true
			rule += fmt.Sprintf("did you mean %s? ", near)
		}
		s.r.problems = append(s.r.problems, Problem{Line: n.line, Key: strings.TrimPrefix(s.path+".", ".") + named(key), Rule: rule + known})
	}
}

// done ends the reading of a section.
func (s *section) done() {
	s.unknown("the keys here are " + strings.Join(s.keys, ", "))
}

// get gives the value of key if it is there and of kind k; want says what would
// be right.
func (s *section) get(key string, k kind, want string) *node {
	s.keys = append(s.keys, key)
	n := s.table.fields[key]
	if n != nil && n.kind != k {
		s.fault(key, want)
		return nil
	}
	return n
}

func (s *section) fault(key, rule string) {
	p := Problem{Line: s.line(key), Key: s.path + "." + key, Rule: rule}
	if n := s.table.fields[key]; n != nil {
		p.Value = show(n)
	}
	s.bad[key] = true
	s.r.problems = append(s.r.problems, p)
}

// line is where key stands, or where its table begins.
func (s *section) line(key string) int {
	if n := s.table.fields[key]; n != nil {
		return n.line
	}
	return s.table.line
}

func (s *section) has(key string) bool { return s.table.fields[key] != nil }

// text reads a string that ok accepts.
func (s *section) text(key, without, want string, ok func(string) bool) string {
	n := s.get(key, isString, want)
	if n == nil {
		return without
	}
	if !ok(n.text) {
		s.fault(key, want)
		return without
	}
	return n.text
}

// choice reads one of a few words, of which the first is the default.
func (s *section) choice(key string, words ...string) string {
	want := fmt.Sprintf("must be %q or %q", words[0], words[1])
	return s.text(key, words[0], want, func(v string) bool { return slices.Contains(words, v) })
}

// file reads an absolute path: a daemon's working directory is nobody's choice.
func (s *section) file(key, without string, mayBeEmpty bool) string {
	want := "must be an absolute path"
	if mayBeEmpty {
		want += `, or "" for none`
	}
	return s.text(key, without, want, func(v string) bool {
		return v == "" && mayBeEmpty || filepath.IsAbs(v) && !strings.Contains(v, "\x00")
	})
}

func (s *section) flag(key string, without bool) bool {
	n := s.get(key, isBool, "must be true or false, without quotes")
	if n == nil {
		return without
	}
	return n.text == "true"
}

func (s *section) number(key string, without, least, most int) int {
	want := fmt.Sprintf("must be a whole number from %d to %d, without quotes", least, most)
	n := s.get(key, isInteger, want)
	if n == nil {
		return without
	}
	if n.number < int64(least) || n.number > int64(most) {
		s.fault(key, want)
		return without
	}
	return int(n.number)
}

// A span is the range of a duration and why it is that.
type span struct {
	least, most time.Duration
	why         string
}

// forever stands for "no upper bound"; it is what a time.Duration can hold.
const forever = time.Duration(math.MaxInt64)

func (v span) want() string {
	s := `must be a duration with its unit in quotes, such as "90s" or "1h30m", `
	switch {
	case v.most != forever:
		s += fmt.Sprintf("from %s to %s", short(v.least), short(v.most))
	default:
		s += "at least " + short(v.least)
	}
	if v.why != "" {
		s += ": " + v.why
	}
	return s
}

func (v span) parse(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	// ParseDuration takes "0" and "+1s", which are no durations with a unit.
	return d, err == nil && s != "0" && s[0] != '+' && s[0] != '-' && d >= v.least && d <= v.most
}

func (s *section) duration(key string, without time.Duration, v span) time.Duration {
	n := s.get(key, isString, v.want())
	if n == nil {
		return without
	}
	d, ok := v.parse(n.text)
	if !ok {
		s.fault(key, v.want())
		return without
	}
	return d
}
