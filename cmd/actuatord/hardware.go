package main

import (
	"actuatord/board"
	"actuatord/board/linux"
)

// hardware is what commands ask about lines and buses without driving any. Tests put
// a board of their own in its place.
type hardware struct {
	twins func([]board.LineSpec) map[string]error
	look  func([]board.LineSpec) linux.Survey
	scan  func(bus int, found func(linux.Answer)) error
	find  func(line string) (string, error)
}

func (e env) hardware() hardware {
	if e.fake != nil {
		return *e.fake
	}
	return hardware{linux.Twins, linux.Look, linux.Scan, linux.Find}
}

// wired is every line of the board that a profile names. An expander's lines are none
// of its own.
func wired(p board.Profile) []board.LineSpec {
	var all []board.LineSpec
	for _, o := range p.Outputs {
		if _, _, ok := p.OnExpander(o.Line); ok {
			continue
		}
		all = append(all, board.LineSpec{Target: o.Name, Line: o.Line})
	}
	for _, in := range p.Inputs {
		all = append(all, board.LineSpec{Target: in.Name, Line: in.Line, Input: true})
	}
	return all
}
