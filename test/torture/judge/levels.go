package judge

import "time"

const (
	// timerSlack is how late a timer may be on a machine that others use too.
	timerSlack = time.Second

	// safeWithin is what a start, a stop and a crash have (design §2, promise 5).
	safeWithin = 5 * time.Second
)

// levels: no output is away from its safe level longer than it may. It answers
// for how long outputs were.
func levels(d *device) (unsafe time.Duration, faults []Fault) {
	for i := range d.board.Outputs {
		o := &d.board.Outputs[i]
		var began *Move
		history := d.history[o.Name]
		for j := range history {
			m := &history[j]
			if m.Level == o.safe() && began != nil {
				unsafe, faults = d.interval(o, *began, m.At, unsafe, faults)
				began = nil
			} else if m.Level == o.away() && began == nil {
				began = m
			}
		}
		if began != nil {
			unsafe, faults = d.interval(o, *began, d.end, unsafe, faults)
		}
	}
	return unsafe, faults
}

// interval judges one time that o was away, from the move that began it.
func (d *device) interval(o *Output, began Move, to time.Time, sum time.Duration, faults []Fault) (time.Duration, []Fault) {
	by := d.lease(o, began, to)
	var bad time.Duration
	for _, l := range d.lives {
		end := l.End
		if end.IsZero() {
			end = d.end
		}
		switch {
		case l.Start.After(began.At): // found at a start
			bad += l.running(l.Start.Add(safeWithin+d.slack), end, began.At, to)
		case !by.IsZero() && !end.Before(began.At):
			bad += l.running(by.Add(timerSlack+d.slack), end, began.At, to)
		}
		if !l.Killed && end.After(began.At) && !l.End.IsZero() && !l.Start.After(began.At) {
			bad += overlap(end.Add(safeWithin+d.slack), d.end, began.At, to) // it was left so by one that stopped
		}
	}
	if bad <= 0 {
		return sum, faults
	}
	c := meant(d.causes[began.Cause], o.Name, func(*command) bool { return true })
	return sum + bad, append(faults, d.fault(Unsafe, c, "%s was %s from %s to %s, %v longer than it may", o.Name, began.Level,
		began.At.Format("15:04:05.000"), to.Format("15:04:05.000"), bad.Round(time.Millisecond)))
}

// running is how long of from..to (within the interval) a process could act: not
// while it was frozen, nor just after.
func (l Life) running(from, end, began, to time.Time) time.Duration {
	bad := overlap(from, end, began, to)
	for _, f := range l.Frozen {
		thawed := f.To.Add(timerSlack)
		bad -= overlap(later(from, f.From), earliest(end, thawed), began, to)
	}
	return bad
}

// overlap is how much of from..until lies in began..to.
func overlap(from, until, began, to time.Time) time.Duration {
	return max(0, earliest(until, to).Sub(later(from, began)))
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// lease is by when an output that went away at began must be safe again; zero:
// never. The command that moved it says, and every later one that was done on it
// while it was away: nobody sees a lease replaced, so the latest end counts.
func (d *device) lease(o *Output, began Move, to time.Time) time.Time {
	var most time.Time // max_on
	if o.MaxOn > 0 {
		most = began.At.Add(o.MaxOn)
	}
	by := began.At // a movement that no command asked for has no right to it
	for _, c := range d.commands {
		if c.target != o.Name || c.action == o.safe() || c.outcome() == "refused" && c.cause != began.Cause {
			continue
		}
		at := began.At
		if c.cause != began.Cause {
			done := c.outcomes
			if len(done) == 0 || c.delivered().After(to) || done[len(done)-1].At.Add(tolerance).Before(began.At) {
				continue
			}
			at = earliest(to, done[len(done)-1].At.Add(tolerance))
		}
		if c.lease == 0 {
			return most
		}
		by = later(by, at.Add(c.lease))
	}
	return earliest(most, by)
}
