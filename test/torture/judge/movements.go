package judge

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// step is a line that a command may have in the trace.
func (d *device) step(c *command, m Move) bool {
	o := d.board.output(m.Target)
	switch {
	case c.target == "all" && o != nil:
		return c.action == "safe" && m.Level == o.safe()
	case c.target == "all":
		r := d.board.register(m.Target)
		return c.action == "safe" && r != nil && m.Write == r.Safe
	case m.Target != c.target:
		return false
	case c.action == "write":
		return m.Write == c.write()
	case c.action == "toggle" || c.action == "pulse":
		return m.Level != ""
	}
	return m.Level == c.action
}

func (c *command) write() string { return fmt.Sprintf("%02x:%s", c.register, c.bytes) }

// movements: what moved is what was asked for, as often as it may, and not after
// the hub was told that it was done.
func movements(d *device) (faults []Fault) {
	for _, c := range d.commands {
		faults = append(faults, d.moved(c)...)
		if c.outcome() == "done" {
			faults = append(faults, d.did(c)...)
		}
	}
	return faults
}

func (d *device) moved(c *command) (faults []Fault) {
	over := c.completed()
	for _, m := range c.moves {
		if !d.step(c, m) {
			faults = append(faults, d.fault(FalseAnswer, c, "moved %s %s%s, which it does not ask for", m.Target, m.Level, m.Write))
		}
		if !over.IsZero() && m.At.After(over) {
			kind := Duplicated
			if c.moves[0].At.After(over) {
				kind = Early
			}
			faults = append(faults, d.fault(kind, c, "moved %s after it was completed", m.Target))
		}
		if c.outcome() == "refused" && !d.cut(c, m) {
			faults = append(faults, d.fault(FalseAnswer, c, "refused, although %s moved", m.Target))
		}
	}
	most := 1
	if c.action == "pulse" {
		most = 2
	}
	for target, moves := range byTarget(c.moves) {
		if !d.board.onceOnly(c.intent) {
			most = 1 + d.deaths(moves[0].At, moves[len(moves)-1].At) + d.retries(c)
		}
		if len(moves) > most {
			faults = append(faults, d.fault(Duplicated, c, "moved %s %d times; %d can be explained", target, len(moves), most))
		}
	}
	return faults
}

// retries is how often a write of a starved device was tried again in place.
func (d *device) retries(c *command) int {
	if d.slack == 0 || c.action != "write" || len(c.outcomes) == 0 {
		return 0
	}
	return max(0, c.outcomes[len(c.outcomes)-1].Attempt-1)
}

// cut tells whether a process that moved m for c was killed before it could have
// known of that for sure: a repeatable command leaves nothing behind then, and
// may be refused when it comes again.
func (d *device) cut(c *command, m Move) bool {
	r := c.outcomes[len(c.outcomes)-1]
	return !d.board.onceOnly(c.intent) && d.deaths(m.At, r.received) > 0
}

// deaths is how many processes ended between two moments.
func (d *device) deaths(from, to time.Time) (n int) {
	for _, l := range d.lives {
		if l.End.After(from) && !l.End.After(to) {
			n++
		}
	}
	return n
}

// completed is when the hub was first told that c is done; zero: never. What
// shares its name with another command does not tell.
func (c *command) completed() (at time.Time) {
	for t := range c.sent {
		if len(t.commands) > 1 {
			return time.Time{}
		}
		for _, each := range t.completed {
			at = earliest(at, each)
		}
	}
	return at
}

// did: what was reported done is in the trace.
func (d *device) did(c *command) (faults []Fault) {
	by := cmp.Or(c.completed(), c.outcomes[len(c.outcomes)-1].received)
	exactly := 0
	switch c.action {
	case "toggle", "write":
		exactly = 1
	case "pulse":
		exactly = 2
	}
	if len(c.moves) < exactly {
		faults = append(faults, d.fault(FalseAnswer, c, "done, but moved %d times instead of %d", len(c.moves), exactly))
	}
	if exactly > 0 {
		return faults
	}
	for _, o := range d.board.Outputs {
		want := o.safe()
		switch {
		case c.target == o.Name && c.action != "read":
			want = c.action
		case c.target != "all" || c.action != "safe":
			continue
		}
		if !d.was(o, want, c.delivered(), by) {
			faults = append(faults, d.fault(FalseAnswer, c, "done, but %s was not %s between its delivery and its completion", o.Name, want))
		}
	}
	return faults
}

// delivered is when the device first had c in hand.
func (c *command) delivered() (at time.Time) {
	for t := range c.sent {
		for _, each := range t.deliveries {
			at = earliest(at, each)
		}
	}
	return cmp.Or(at, c.first)
}

// was tells whether an output was at a level at some moment of a time.
func (d *device) was(o Output, level string, from, to time.Time) bool {
	history := d.history[o.Name]
	next, _ := slices.BinarySearchFunc(history, from, func(m Move, at time.Time) int { return m.At.Compare(at) })
	if next > 0 && history[next-1].Level == level {
		return true
	}
	for ; next < len(history) && !history[next].At.After(to); next++ {
		if history[next].Level == level {
			return true
		}
	}
	return false
}

func byTarget(moves []Move) map[string][]Move {
	by := map[string][]Move{}
	for _, m := range moves {
		by[m.Target] = append(by[m.Target], m)
	}
	return by
}

// lateness: nothing moves when it is too late.
func lateness(d *device) (faults []Fault) {
	for _, c := range d.commands {
		if c.deadline.IsZero() {
			continue
		}
		moves := c.moves
		if c.action == "pulse" && len(moves) > 1 {
			moves = moves[:1] // its way back may take its time
		}
		for _, m := range moves {
			if by := m.At.Sub(c.deadline); by > tolerance {
				faults = append(faults, d.fault(Late, c, "moved %s %v after its time", m.Target, by.Round(time.Millisecond)))
			}
		}
	}
	return faults
}
