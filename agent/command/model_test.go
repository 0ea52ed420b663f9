package command

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// modelScenarios are few messages each and much that goes wrong, in any order.
func modelScenarios() []modelScenario {
	var (
		once  = modelMessage{id: "a", cmd: pulse()}
		late  = modelMessage{id: "a", cmd: pulse(), expires: true}
		level = modelMessage{id: "b", cmd: on()}
		back  = modelMessage{id: "c", cmd: off()}
		other = modelMessage{id: "b", cmd: off()} // under level's id
		bad   = modelMessage{id: "d", cmd: on(), refused: true}
		noID  = modelMessage{cmd: on()}
	)
	of := func(m ...modelMessage) []modelMessage { return m }
	return []modelScenario{
		{name: "a pulse sent twice under one id", messages: of(once, once), crashes: 2, links: 2, faults: 2, careful: true},
		{name: "a level sent twice under one id", messages: of(level, level), crashes: 2, links: 2, faults: 2},
		{name: "a pulse that expires and a level", messages: of(late, level), crashes: 1, links: 1, faults: 1, ticks: 1},
		{name: "two commands under one id", messages: of(level, other), crashes: 2, links: 1, faults: 1},
		{name: "a refusal and a pulse", messages: of(bad, once), crashes: 2, links: 2, faults: 1},
		{name: "a refusal and a level, given up by the hub", messages: of(bad, level), crashes: 2, links: 2, faults: 1, cap: 2},
		{name: "on, off and a pulse", messages: of(level, back, once), links: 1, faults: 1},
		{name: "on, off and a pulse, two crashes", messages: of(level, back, once), crashes: 2, links: 1},
		{name: "on, off and the same on, without ids", messages: of(noID, back, noID), crashes: 1, links: 1},
		{name: "on and a pulse, and somebody drives all safe", messages: of(level, once), crashes: 1, links: 1, faults: 1, safes: 1},
		{name: "a level that resets the board", messages: of(level), crashes: 5, links: 1, faults: 1, careful: true},
	}
}

// TestModel explores every order of deliveries, edges, commits, settlements, lapsing
// locks, lost links, faults and crashes, within the bounds of each scenario, and
// holds each state against the promises. From every state the steps that need no
// fault lead to an end at which no message is left, whatever their order.
func TestModel(t *testing.T) {
	for _, sc := range modelScenarios() {
		for _, lasting := range []bool{false, true} {
			sc := sc // each its own: they run side by side
			sc.lasting = lasting
			if testing.Short() {
				sc.crashes, sc.links, sc.faults = min(sc.crashes, 1), min(sc.links, 1), min(sc.faults, 1)
			}
			t.Run(fmt.Sprintf("%s, lasting locks %v", sc.name, sc.lasting), func(t *testing.T) {
				t.Parallel()
				x := explore(newModel(sc, rightConduct()))
				t.Logf("%d states, %d steps", x.states(), x.steps)
				if x.fault != "" {
					t.Errorf("%s\n  %s", x.fault, x.transcript())
				}
			})
		}
	}
}

// TestModelFindsFaults: an agent that performs its duties wrongly, or a machine
// that asks for the wrong ones, is found guilty in the same worlds.
func TestModelFindsFaults(t *testing.T) {
	performs := func(edit func(*conduct)) conduct {
		c := rightConduct()
		edit(&c)
		return c
	}
	hears := func(edit func(l Life, in *Input)) conduct {
		c := rightConduct()
		c.step = func(l Life, in Input, now time.Time) (Life, []Duty, error) {
			edit(l, &in)
			return Step(l, in, now)
		}
		return c
	}
	recovers := func(to func(Record) (Record, bool)) conduct { return conduct{step: Step, recover: to} }
	forgets := func(s State) conduct {
		return hears(func(_ Life, in *Input) {
			if in.Seen != nil && in.Seen.State == s {
				in.Seen = nil
			}
		})
	}
	const (
		twice, two, expires = "a pulse sent twice", "two commands under one id", "a pulse that expires"
		refusal, resets     = "a refusal and a pulse", "a level that resets"
		levels              = "on, off and the same on" // nothing goes wrong at the board
	)
	for name, tt := range map[string]struct {
		do   conduct
		in   string // the scenario
		want string
	}{
		"PUBACK before the commit":                {performs(func(c *conduct) { c.ackBeforeCommit = true }), levels, "promise 1: m0 is completed"},
		"started is not written":                  {performs(func(c *conduct) { c.startUnwritten = true }), twice, "promise 2"},
		"a failed commit is taken for done":       {performs(func(c *conduct) { c.errorIsSuccess = true }), levels, "promise 1: m0 is completed"},
		"a failed commit is taken for not done":   {performs(func(c *conduct) { c.errorIsNothing = true }), twice, "promise 2"},
		"a look-up forgets the uncommitted batch": {performs(func(c *conduct) { c.batchForgotten = true }), twice, "promise 2"},
		"who acted is not noted":                  {performs(func(c *conduct) { c.newestForgotten = true }), expires, "order"},
		"the board knows no deadline":             {performs(func(c *conduct) { c.deadlineForgotten = true }), expires, "promise 6"},
		"a refusal is completed":                  {performs(func(c *conduct) { c.heldIsAcked = true }), refusal, "promise 1: m0 is completed"},
		"a refusal is abandoned":                  {performs(func(c *conduct) { c.rejectIsAbandon = true }), refusal, "livelock"},
		"a drain waits for no lock":               {performs(func(c *conduct) { c.drainHurries = true }), refusal, "livelock"},
		"a redelivery is known by its body":       {performs(func(c *conduct) { c.againIsLast = true }), levels, "promise 4: m2 is completed, and was refused"},
		"no visit":                                {performs(func(c *conduct) { c.visitForgotten = true }), refusal, "stuck"},

		"what was started is left so":        {recovers(func(r Record) (Record, bool) { return r, false }), twice, "promise 2"},
		"what was started is taken for done": {recovers(func(r Record) (Record, bool) { r.State = Done; return r, true }), twice, "promise 1"},
		"what is done is new":                {forgets(Done), twice, "promise 2"},
		"what was interrupted is new":        {forgets(Interrupted), twice, "was interrupted and is now started"},
		"what was refused is new":            {forgets(Refused), twice, "was refused and is now started"},
		"an edge that failed was none": {hears(func(_ Life, in *Input) {
			in.Attempted = in.Attempted && in.Fault == ""
		}), twice, "its first edge was attempted"},
		"an id stands for any command": {hears(func(l Life, in *Input) {
			if in.Seen != nil {
				in.Seen.Fingerprint = l.Record.Fingerprint
			}
		}), two, "m1 is rejected, and the disk does not say why"},
		"interruptions are not counted": {hears(func(_ Life, in *Input) {
			if in.Seen != nil {
				in.Seen.Interruptions = 0
			}
		}), resets, "tried again although"},
		"nobody asks who acted last": {hears(func(_ Life, in *Input) { in.Facts.Newest = nil }), expires, "order"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sc := range modelScenarios() {
				if !strings.HasPrefix(sc.name, tt.in) {
					continue
				}
				for _, sc.lasting = range []bool{false, true} {
					x := explore(newModel(sc, tt.do))
					if x.fault == "" {
						continue
					}
					t.Logf("guilty after %d states: %s\n  %s", x.states(), x.fault, x.transcript())
					if !strings.Contains(x.fault, tt.want) {
						t.Errorf("%s; want %s", x.fault, tt.want)
					}
					return
				}
			}
			t.Error("not found guilty")
		})
	}
}
