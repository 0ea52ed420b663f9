package main

import (
	"fmt"
	"io"
	"strings"
)

// none stands in a cell that has no figure.
const none = "–"

// report gathers the rows of the two tables and the sentences below them.
type report struct {
	rows    [][4]string // measure, actuatord, peer, disk
	targets [][4]string // target, bound, measured, verdict
	remarks []string
}

func (r *report) row(measure, ours, peer, disk string) {
	r.rows = append(r.rows, [4]string{measure, ours, peer, disk})
}

// atMost judges a figure that is good when small. Where it is missed the row says
// by how much.
func (r *report) atMost(what string, value, bound float64, unit string) {
	verdict := "holds"
	if value > bound {
		verdict = fmt.Sprintf("missed: %s× the bound", figure(value/bound))
	}
	r.targets = append(r.targets, [4]string{what, "≤ " + number(bound) + unit, figure(value) + unit, verdict})
}

// atLeast judges a figure that is good when large.
func (r *report) atLeast(what string, value, bound float64, unit string) {
	verdict := "holds"
	if value < bound {
		verdict = fmt.Sprintf("missed: %s of the bound", figure(value/bound))
	}
	r.targets = append(r.targets, [4]string{what, "≥ " + number(bound) + unit, figure(value) + unit, verdict})
}

// number writes a bound as a person set it.
func number(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
}

func (r *report) remark(format string, args ...any) {
	r.remarks = append(r.remarks, fmt.Sprintf(format, args...))
}

func (r *report) print(out io.Writer, b *bench) {
	table(out, [4]string{"measure", "actuatord", "Node SDK peer", "the disk alone"}, r.rows)
	if len(r.targets) > 0 {
		table(out, [4]string{"target", "bound", "measured", ""}, r.targets)
	}
	for _, s := range append(r.remarks, b.conditions()...) {
		fmt.Fprintf(out, "- %s\n", s)
	}
}

func table(out io.Writer, head [4]string, rows [][4]string) {
	line := func(cells [4]string) { fmt.Fprintf(out, "| %s |\n", strings.Join(cells[:], " | ")) }
	line(head)
	line([4]string{"---", "---", "---", "---"})
	for _, r := range rows {
		for n := range r {
			if r[n] == "" {
				r[n] = none
			}
		}
		line(r)
	}
	fmt.Fprintln(out)
}
