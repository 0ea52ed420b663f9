package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is the sort of a fault.
type Kind string

// The kinds of faults; the package's doc says what each is.
const (
	Lost        Kind = "lost"
	Duplicated  Kind = "duplicated"
	OutOfOrder  Kind = "out of order"
	Early       Kind = "early"
	FalseAnswer Kind = "false answer"
	Late        Kind = "late"
	Unsafe      Kind = "unsafe"
)

// Fault is one promise that was not kept.
type Fault struct {
	Kind   Kind
	Device string
	Says   string
	Story  []string // all that is known of the message, in the order of time
}

// Verdict is what became of a run.
type Verdict struct {
	Commands    int // messages that the hub took
	Completed   int
	Rejected    int
	HubRejected int // by the hub itself, for want of a subscription
	Expired     int // or ended another way that is no answer of a device
	Reports     int
	Moves       int
	Unsafe      time.Duration
	Faults      []Fault
}

// Count is how many faults there are of a kind.
func (v Verdict) Count(k Kind) (n int) {
	for _, f := range v.Faults {
		if f.Kind == k {
			n++
		}
	}
	return n
}

// Judge holds a whole run against the promises.
func Judge(r Record) Verdict {
	v := Verdict{Commands: len(r.Sent)}
	for _, d := range cases(r) {
		v.Reports += len(d.reports)
		v.Moves += len(d.trace)
		for _, t := range d.tales {
			v.Completed += len(t.completed)
			v.Rejected += t.rejected
			v.HubRejected += t.own
			v.Expired += t.others
		}
		for _, rule := range []func(*device) []Fault{answers, outcomes, numbers, movements, lateness, order} {
			v.Faults = append(v.Faults, rule(d)...)
		}
		unsafe, faults := levels(d)
		v.Unsafe += unsafe
		v.Faults = append(v.Faults, faults...)
	}
	return v
}

// Pending is what a run still waits for before it can be judged: ends, feedback
// and reports. nil: nothing.
func Pending(r Record) (waits []string) {
	for _, d := range cases(r) {
		for _, t := range d.tales {
			switch {
			case t.ended() < t.sent:
				waits = append(waits, fmt.Sprintf("%s: %d of %d of %s have ended", d.id, t.ended(), t.sent, t.name))
			case t.ack && t.told < t.sent:
				waits = append(waits, fmt.Sprintf("%s: feedback of %s", d.id, t.name))
			}
		}
		for _, f := range slices.Concat(unreported(d), numbers(d)) {
			waits = append(waits, d.id+": "+f.Says)
		}
	}
	slices.Sort(waits)
	return waits
}

func (d *device) fault(k Kind, c *command, format string, args ...any) Fault {
	f := Fault{Kind: k, Device: d.id, Says: fmt.Sprintf(format, args...)}
	if c != nil {
		f.Says = fmt.Sprintf("%s %s: %s", c.key, c.text, f.Says)
		f.Story = d.story(c)
	}
	return f
}

// story is all that is known of a command, in the order of time.
func (d *device) story(c *command) []string {
	type line struct {
		at   time.Time
		text string
	}
	lines := []line{{c.first, "sent " + c.text}}
	for t := range c.sent {
		for _, e := range t.events {
			lines = append(lines, line{e.At, "hub   " + e.String()})
		}
	}
	for i, m := range c.moves {
		lines = append(lines, line{m.At, fmt.Sprintf("trace %d: %s %s%s", c.at[i], m.Target, m.Level, m.Write)})
	}
	for _, r := range c.outcomes {
		lines = append(lines, line{r.received, "report " + r.raw})
	}
	if len(lines) > 0 {
		for _, l := range d.lives {
			lines = append(lines, line{l.Start, "process began: " + l.Why})
			if !l.End.IsZero() {
				lines = append(lines, line{l.End, fmt.Sprintf("process ended: %s, killed=%t", l.Why, l.Killed)})
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var text []string
	for _, l := range lines {
		text = append(text, l.at.UTC().Format("15:04:05.000000 ")+strings.TrimSpace(l.text))
	}
	return text
}
