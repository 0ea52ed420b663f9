package command

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// modelEvent names a step of the model; who is the message it is about, or -1.
type modelEvent struct {
	what string
	who  int8
}

func (e modelEvent) String() string {
	if e.who < 0 {
		return e.what
	}
	return fmt.Sprintf("%s m%d", e.what, e.who)
}

// An exploration is the graph of every state that a model can reach, breadth
// first, so that the trace to a fault is a shortest one. A state is known by 128
// bits of hash: that two of some millions share one is less likely than a fault of
// the memory.
type exploration struct {
	seeds  [2]maphash.Seed
	ids    map[[2]uint64]int32
	ahead  []modelState // found and not yet visited
	parent []int32
	by     []uint16 // the event that led to it, an index of events
	ended  []bool
	steps  int

	good    []int32 // where a state's good steps begin in to and via
	to      []int32
	via     []uint16
	events  []modelEvent
	numbers map[modelEvent]uint16

	fault string // the first promise that was broken; empty: none
	trace []string
}

// explore visits every state that m can reach from its start, until a promise is
// broken or nothing is left, and then looks for states that good steps alone do
// not bring to the end.
func explore(m *model) *exploration {
	x := &exploration{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		ids:   map[[2]uint64]int32{}, numbers: map[modelEvent]uint16{},
	}
	x.add(m.start(), -1, modelEvent{})
	for id := int32(0); len(x.ahead) > 0; id++ {
		s := x.ahead[0]
		x.ahead = x.ahead[1:]
		if x.fault = m.check(&s); x.fault != "" {
			x.trace = x.path(id)
			return x
		}
		x.ended = append(x.ended, m.ended(&s))
		x.good = append(x.good, int32(len(x.to)))
		m.successors(s, func(by modelEvent, next modelState, good bool) {
			x.steps++
			if m.fault != "" && x.fault == "" {
				x.fault, x.trace = m.fault, append(x.path(id), by.String())
			}
			to := x.add(next, id, by)
			if good {
				x.to, x.via = append(x.to, to), append(x.via, x.number(by))
			}
		})
		if x.fault != "" {
			return x
		}
	}
	x.good = append(x.good, int32(len(x.to)))
	x.converges()
	return x
}

func (x *exploration) states() int { return len(x.parent) }

func (x *exploration) number(e modelEvent) uint16 {
	n, known := x.numbers[e]
	if !known {
		n = uint16(len(x.events))
		x.events = append(x.events, e)
		x.numbers[e] = n
	}
	return n
}

func (x *exploration) add(s modelState, from int32, by modelEvent) int32 {
	hash := [2]uint64{maphash.Comparable(x.seeds[0], s), maphash.Comparable(x.seeds[1], s)}
	if id, known := x.ids[hash]; known {
		return id
	}
	id := int32(len(x.parent))
	x.ids[hash] = id
	x.ahead, x.parent, x.by = append(x.ahead, s), append(x.parent, from), append(x.by, x.number(by))
	return id
}

// path is the shortest way to a state.
func (x *exploration) path(id int32) []string {
	var back []string
	for ; x.parent[id] >= 0; id = x.parent[id] {
		back = append(back, x.events[x.by[id]].String())
	}
	slices.Reverse(back)
	return back
}

// converges looks for what must not be in the graph of good steps: an end at
// which something is left to do (nothing gets it done any more), and a circle
// (it can go on for ever without an end). Without both, every order of good steps
// from every state ends, and ends well.
func (x *exploration) converges() {
	const unseen, open, closed = 0, 1, 2
	color := make([]uint8, x.states())
	type frame struct{ id, next int32 }
	for root := range color {
		if color[root] != unseen {
			continue
		}
		color[root] = open
		for stack := []frame{{int32(root), x.good[root]}}; len(stack) > 0; {
			top := &stack[len(stack)-1]
			if top.next == x.good[top.id+1] {
				if x.good[top.id] == top.next && !x.ended[top.id] {
					x.fault, x.trace = "stuck: something is left to do, and no good step leads on", x.path(top.id)
					return
				}
				color[top.id] = closed
				stack = stack[:len(stack)-1]
				continue
			}
			to := x.to[top.next]
			top.next++
			switch color[to] {
			case unseen:
				color[to] = open
				stack = append(stack, frame{to, x.good[to]})
			case open:
				x.fault, x.trace = "livelock: good steps lead round in a circle", append(x.path(to), "and from here in a circle:")
				from := slices.IndexFunc(stack, func(f frame) bool { return f.id == to })
				for _, f := range stack[from:] {
					x.trace = append(x.trace, x.events[x.via[f.next-1]].String())
				}
				return
			}
		}
	}
}

func (x *exploration) transcript() string { return strings.Join(x.trace, "\n  ") }
