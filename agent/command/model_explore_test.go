package command

import (
	"fmt"
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
// first, so that the trace to a fault is a shortest one.
type exploration struct {
	ids    map[modelState]int32
	states []modelState
	parent []int32
	by     []modelEvent
	good   [][]goodStep // by state: the steps that need no fault and no accident
	steps  int
	fault  string // the first promise that was broken; empty: none
	trace  []string
}

type goodStep struct {
	to int32
	by modelEvent
}

// explore visits every state that m can reach from its start, until a promise is
// broken or nothing is left, and then looks for states that good steps alone do
// not bring to the end.
func explore(m *model) *exploration {
	x := &exploration{ids: map[modelState]int32{}}
	x.add(m.start(), -1, modelEvent{})
	for id := int32(0); int(id) < len(x.states); id++ {
		var good []goodStep
		m.successors(x.states[id], func(by modelEvent, s modelState, isGood bool) {
			x.steps++
			to := x.add(s, id, by)
			if isGood {
				good = append(good, goodStep{to, by})
			}
			if m.fault != "" && x.fault == "" {
				x.fault, x.trace = m.fault, append(x.path(id), by.String())
			}
		})
		x.good = append(x.good, good)
		if x.fault == "" {
			if x.fault = m.check(&x.states[id]); x.fault != "" {
				x.trace = x.path(id)
			}
		}
		if x.fault != "" {
			return x
		}
	}
	x.converges(m)
	return x
}

func (x *exploration) add(s modelState, from int32, by modelEvent) int32 {
	if id, known := x.ids[s]; known {
		return id
	}
	id := int32(len(x.states))
	x.ids[s] = id
	x.states, x.parent, x.by = append(x.states, s), append(x.parent, from), append(x.by, by)
	return id
}

// path is the shortest way to a state.
func (x *exploration) path(id int32) []string {
	var back []string
	for ; x.parent[id] >= 0; id = x.parent[id] {
		back = append(back, x.by[id].String())
	}
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	return back
}

// converges looks for what must not be in the graph of good steps: an end at
// which something is left to do (nothing gets it done any more), and a cycle
// (it can go on for ever without an end). Without both, every order of good steps
// from every state ends, and ends well.
func (x *exploration) converges(m *model) {
	const unseen, open, closed = 0, 1, 2
	color := make([]uint8, len(x.states))
	type frame struct {
		id   int32
		next int
	}
	for root := range x.states {
		if color[root] != unseen {
			continue
		}
		color[root] = open
		stack := []frame{{int32(root), 0}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(x.good[top.id]) {
				if top.next == 0 && !m.ended(&x.states[top.id]) {
					x.fault, x.trace = "stuck: something is left to do and no good step leads on", x.path(top.id)
					return
				}
				color[top.id] = closed
				stack = stack[:len(stack)-1]
				continue
			}
			step := x.good[top.id][top.next]
			top.next++
			switch color[step.to] {
			case unseen:
				color[step.to] = open
				stack = append(stack, frame{step.to, 0})
			case open:
				x.fault, x.trace = "livelock: good steps lead round in a circle", append(x.path(step.to), "and from here in a circle:")
				inCycle := false
				for _, f := range stack {
					if inCycle = inCycle || f.id == step.to; inCycle {
						x.trace = append(x.trace, x.good[f.id][f.next-1].by.String())
					}
				}
				return
			}
		}
	}
}

func (x *exploration) transcript() string { return strings.Join(x.trace, "\n  ") }
