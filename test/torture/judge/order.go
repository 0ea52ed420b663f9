package judge

import (
	"slices"
	"time"
)

// acted is a command's first movement of one target, and when it was delivered
// for it.
type acted struct {
	c           *command
	place       int       // in the trace
	first, last time.Time // deliveries; last is that before the movement
}

// order: what came first moved first; the package's doc has the rule.
func order(d *device) (faults []Fault) {
	targets := map[string][]acted{}
	for _, c := range d.commands {
		seen := map[string]bool{}
		for i, m := range c.moves {
			if a, ok := d.delivery(c, m.At); ok && !seen[m.Target] {
				a.place = c.at[i]
				targets[m.Target] = append(targets[m.Target], a)
			}
			seen[m.Target] = true
		}
	}
	for target, all := range targets {
		slices.SortFunc(all, func(a, b acted) int { return a.place - b.place })
		// The latest first delivery of all that moved so far: whoever moves after it,
		// but was delivered for good before it, was overtaken.
		var latest acted
		for _, a := range all {
			if latest.c != nil && a.last.Before(latest.first) {
				f := d.fault(OutOfOrder, a.c, "%s of %s overtook it at %s", latest.c.action, latest.c.key, target)
				f.Story = append(append(f.Story, "overtaken by:"), d.story(latest.c)...)
				faults = append(faults, f)
			}
			if latest.c == nil || a.first.After(latest.first) {
				latest = a
			}
		}
	}
	return faults
}

// delivery tells when c was first delivered, and last before at. A name that
// belongs to two commands does not tell.
func (d *device) delivery(c *command, at time.Time) (a acted, ok bool) {
	a.c = c
	for t := range c.sent {
		if len(t.commands) > 1 {
			return a, false
		}
		for _, each := range t.deliveries {
			a.first = earliest(a.first, each)
			if !each.After(at) && each.After(a.last) {
				a.last = each
			}
		}
	}
	return a, !a.last.IsZero()
}
