package config

import (
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// kind is what a TOML value is, as far as this file format cares.
type kind uint8

const (
	isOther kind = iota // a float or a date: no key takes one
	isString
	isInteger
	isBool
	isTable
	isArray
)

// A node is one value of the file and the line of its key. Decoding into Go
// structs would lose the lines, and stop at the first value of a wrong type.
type node struct {
	line   int
	kind   kind
	text   string // isString: the value; isInteger, isBool and isOther: as written
	number int64  // isInteger
	fields map[string]*node
	items  []*node // isArray
}

func newTable(line int) *node { return &node{line: line, kind: isTable, fields: map[string]*node{}} }

// parseTree reads text into a tree, or gives the one fault that stops it.
func parseTree(text []byte) (*node, *Problem) {
	// The decoder knows every rule of TOML (keys set twice, tables that
	// contradict each other) and says where; the tree below then need not.
	var all map[string]any
	if err := toml.Unmarshal(text, &all); err != nil {
		return nil, syntaxProblem(err)
	}
	b := builder{root: newTable(1), lines: lineStarts(text)}
	b.current = b.root
	b.parser.Reset(text)
	for b.parser.NextExpression() {
		b.expression(b.parser.Expression())
	}
	if err := b.parser.Error(); err != nil { // the same parser said yes a moment ago
		return nil, &Problem{Line: 1, Rule: "not TOML: " + named(err.Error())}
	}
	return b.root, nil
}

// syntaxProblem keeps the message and the position, and leaves the decoder's
// excerpt of the file out: it may show a secret.
func syntaxProblem(err error) *Problem {
	p := &Problem{Line: 1, Rule: "not TOML: " + named(strings.TrimPrefix(err.Error(), "toml: "))}
	var d *toml.DecodeError
	if errors.As(err, &d) {
		p.Line, _ = d.Position()
	}
	return p
}

type builder struct {
	parser  unstable.Parser
	lines   []int // the offset at which each line starts
	root    *node
	current *node // the table that the last [head] opened
}

func lineStarts(text []byte) []int {
	starts := []int{0}
	for i, c := range text {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

func (b *builder) line(n *unstable.Node) int {
	return sort.SearchInts(b.lines, int(n.Raw.Offset)+1)
}

func (b *builder) expression(e *unstable.Node) {
	switch e.Kind {
	case unstable.KeyValue:
		b.keyValue(b.current, e)
	case unstable.Table:
		parent, key, line := b.descend(b.root, e.Key())
		b.current = child(parent, key, line)
		if len(b.current.fields) == 0 {
			b.current.line = line
		}
	case unstable.ArrayTable:
		parent, key, line := b.descend(b.root, e.Key())
		list := parent.fields[key]
		if list == nil {
			list = &node{line: line, kind: isArray}
			parent.fields[key] = list
		}
		b.current = newTable(line)
		list.items = append(list.items, b.current)
	}
}

// descend walks a dotted key to the table that holds its last part.
func (b *builder) descend(from *node, keys unstable.Iterator) (parent *node, key string, line int) {
	for keys.Next() {
		if parent != nil {
			from = child(from, key, line)
		}
		parent, key, line = from, string(keys.Node().Data), b.line(keys.Node())
	}
	return parent, key, line
}

// child is the table under key, of an array the last one; it is made if there
// is none.
func child(parent *node, key string, line int) *node {
	c := parent.fields[key]
	if c != nil && c.kind == isArray && len(c.items) > 0 {
		c = c.items[len(c.items)-1]
	}
	if c == nil || c.kind != isTable {
		c = newTable(line)
		parent.fields[key] = c
	}
	return c
}

func (b *builder) keyValue(table *node, e *unstable.Node) {
	parent, key, line := b.descend(table, e.Key())
	parent.fields[key] = b.value(e.Value(), line)
}

func (b *builder) value(v *unstable.Node, line int) *node {
	n := &node{line: line, text: string(v.Data)}
	switch v.Kind {
	case unstable.String:
		n.kind = isString
	case unstable.Bool:
		n.kind = isBool
	case unstable.Integer:
		if i, err := strconv.ParseInt(n.text, 0, 64); err == nil { // base 0 reads 0x, 0o, 0b and _ as TOML does
			n.kind, n.number = isInteger, i
		}
	case unstable.InlineTable:
		n = newTable(line)
		for it := v.Children(); it.Next(); {
			b.keyValue(n, it.Node())
		}
	case unstable.Array:
		n.kind, n.text = isArray, ""
		for it := v.Children(); it.Next(); {
			n.items = append(n.items, b.value(it.Node(), line))
		}
	}
	return n
}
