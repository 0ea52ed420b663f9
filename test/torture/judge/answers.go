package judge

import "slices"

// answers: every message has an end, and the device's are what came of it.
func answers(d *device) (faults []Fault) {
	for _, t := range d.tales {
		if t.sent == 0 {
			continue
		}
		done, not := 0, 0
		for _, c := range t.commands {
			switch o := c.outcome(); {
			case o == "done":
				done += c.sent[t]
			case o != "":
				not += c.sent[t]
			}
			if c.unsure {
				not += c.sent[t]
			}
		}
		c := t.commands[0]
		switch {
		case t.ended() < t.sent:
			faults = append(faults, d.fault(Lost, c, "%d of its %d messages have an end on the hub", t.ended(), t.sent))
		case t.ended() > t.sent:
			faults = append(faults, d.fault(Duplicated, c, "%d messages have %d ends", t.sent, t.ended()))
		case len(t.completed) > done && not > 0:
			faults = append(faults, d.fault(FalseAnswer, c, "completed although %q", c.outcome()))
		case t.rejected > not && done > 0:
			faults = append(faults, d.fault(FalseAnswer, c, "rejected although done"))
		}
	}
	return append(faults, unreported(d)...)
}

// unreported: what a device answered, it has reported. Without id or number it
// cannot be found, so there only the sum is known.
func unreported(d *device) (faults []Fault) {
	owed := 0
	for _, c := range d.commands {
		if len(c.outcomes) > 0 || !c.answered() {
			continue
		}
		if c.named || c.n != 0 {
			faults = append(faults, d.fault(Lost, c, "answered, but no outcome was reported"))
			continue
		}
		owed++
	}
	if owed > d.nameless {
		faults = append(faults, d.fault(Lost, nil, "%d messages without any name were answered, %d outcomes without one were reported", owed, d.nameless))
	}
	return faults
}

// answered tells whether a device has completed or rejected a message of c, as
// far as can be told: a name may belong to two commands.
func (c *command) answered() bool {
	for t, n := range c.sent {
		others := t.sent - n
		if len(t.completed)+t.rejected > others {
			return true
		}
	}
	return false
}

// outcome is what c came to; "": nobody has said.
func (c *command) outcome() string {
	if len(c.outcomes) == 0 {
		return ""
	}
	return c.outcomes[len(c.outcomes)-1].Outcome
}

// outcomes: one outcome a command, and one that it can have.
func outcomes(d *device) (faults []Fault) {
	for _, c := range d.commands {
		finals := slices.DeleteFunc(slices.Clone(c.outcomes), func(r report) bool { return r.Outcome == "failed" })
		if len(finals) > 1 {
			faults = append(faults, d.fault(Duplicated, c, "%d outcomes were reported", len(finals)))
		}
		why := d.board.impossible(c.intent, c.named)
		for _, r := range c.outcomes {
			starved := d.slack > 0 && c.action == "write" && r.Reason == "timeout"
			switch {
			case r.Outcome == "done" && why != "":
				faults = append(faults, d.fault(FalseAnswer, c, "done, although %s", why))
			case r.Outcome == "refused" && why == "" && !d.board.explains(r.Reason, c.intent, c.deadline, c.imposter):
				faults = append(faults, d.fault(FalseAnswer, c, "refused for %q, which nothing explains", r.Reason))
			case r.Outcome == "interrupted" && !starved && !d.died(c):
				faults = append(faults, d.fault(FalseAnswer, c, "interrupted, although no process ended and nothing cut it"))
			case r.Outcome == "failed" && !starved:
				faults = append(faults, d.fault(FalseAnswer, c, "failed (%s) on a board without faults", r.Reason))
			}
		}
	}
	return faults
}

// died tells whether a process ended after c was first sent, or another command
// cut c short.
func (d *device) died(c *command) bool {
	if c.action == "pulse" {
		return true // an "all safe" cuts it too
	}
	return slices.ContainsFunc(d.lives, func(l Life) bool { return l.End.After(c.first) })
}

// numbers: no report is missing, and none has two contents.
func numbers(d *device) (faults []Fault) {
	seen, last := map[uint64]string{}, uint64(0)
	for _, r := range d.reports {
		if r.contradicts {
			faults = append(faults, d.fault(Duplicated, nil, "report %s came with two contents", r.ReportID))
		}
		if other, taken := seen[r.Seq]; taken {
			faults = append(faults, d.fault(Duplicated, nil, "seq %d is that of %s and of %s", r.Seq, other, r.ReportID))
		}
		seen[r.Seq], last = r.ReportID, max(last, r.Seq)
	}
	for n := uint64(1); n <= last; n++ {
		if _, came := seen[n]; !came {
			faults = append(faults, d.fault(Lost, nil, "report %d never came; the last is %d", n, last))
		}
	}
	return faults
}
