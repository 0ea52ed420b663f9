package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"actuatord/agent"
)

// runStatus shows how the daemon stands. While something needs a person it exits
// with 1, so that a cron job or a probe needs no more than that.
func runStatus(args []string, e env) error {
	f := newFlags("status")
	asJSON := f.Bool("json", false, "as JSON")
	if err := f.noWords(args); err != nil {
		return err
	}
	a, _, err := ask(f.config, agent.Request{Verb: agent.AskStatus}, 10*time.Second)
	if err != nil {
		return err
	}
	if a.Status == nil {
		return errStrange
	}
	if *asJSON {
		err = printJSON(e.out, a.Status)
	} else {
		err = printStatus(plain{e.out}, *a.Status)
	}
	if err == nil && len(a.Status.Alarms) > 0 {
		err = &exitError{exitFailed}
	}
	return err
}

// printStatus writes for people: what needs one first, and times as they are felt.
func printStatus(out io.Writer, s agent.Status) error {
	now := s.Now // and not our own: the daemon may know better than the kernel
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, a := range s.Alarms {
		fmt.Fprintf(w, "ALARM\t%s, for %s: %s\n", a.Name, span(now.Sub(a.Since)), a.Detail)
	}
	for _, d := range s.Disabled {
		since := ""
		if !d.Since.IsZero() {
			since = ", for " + span(now.Sub(d.Since))
		}
		why := ""
		if d.Why != "" {
			why = ": " + d.Why
		}
		fmt.Fprintf(w, "DISABLED\t%s%s, by %s%s\n", d.Target, since, d.Who, why)
	}
	if s.Storage != "" {
		fmt.Fprintf(w, "journal\tnot open: %s\n", s.Storage)
	}
	fmt.Fprintf(w, "actuatord\t%s, up for %s\n", s.Version, span(now.Sub(s.Since)))
	printClock(w, s.Clock, now)
	if s.Storage != "" {
		printOutputs(w, s, now)
		return w.Flush()
	}
	printLink(w, s, now)
	fmt.Fprintf(w, "commands\t%d waiting, %d deliveries unsettled%s\n", s.Waiting, s.Unsettled, owed(s, now))
	fmt.Fprintf(w, "reports\t%d to send, %d lost since the journal was made\n", s.Journal.Outbox, s.Journal.LostReports)
	fmt.Fprintf(w, "journal\t%d commands; history %s\n", s.Journal.Commands, s.History)
	fmt.Fprintf(w, "flash\t%d KiB in %d commits since the start", s.Journal.Written>>10, s.Journal.Commits)
	if s.Concluded > 0 {
		fmt.Fprintf(w, ", %d KiB for each of %d commands", s.PerCmd>>10, s.Concluded)
	}
	fmt.Fprintln(w)
	printOutputs(w, s, now)
	for _, r := range s.Last {
		fmt.Fprintf(w, "last\t%s\n", line(r))
	}
	return w.Flush()
}

// printClock tells whether the time is trusted, on whose word, and why not.
func printClock(w io.Writer, c agent.ClockStatus, now time.Time) {
	text := "not trusted"
	if c.Trusted {
		text = "trusted"
	}
	fmt.Fprintf(w, "clock\t%s for %s: %s\n", text, span(now.Sub(c.Since)), c.Why)
}

func printOutputs(w io.Writer, s agent.Status, now time.Time) {
	for _, o := range s.Outputs {
		if o.Percent != nil {
			fmt.Fprintf(w, "level\t%s %v %%%s\n", o.Name, *o.Percent, standing(o, now))
			continue
		}
		fmt.Fprintf(w, "output\t%s %s%s\n", o.Name, o.Level, standing(o, now))
	}
	for _, in := range s.Inputs {
		fault := ""
		if in.Fault != "" {
			fault = ": " + in.Fault
		}
		fmt.Fprintf(w, "input\t%s %s%s\n", in.Name, in.State, fault)
	}
}

// printLink tells how the hub is reached, what comes next, and why it is not better.
func printLink(w io.Writer, s agent.Status, now time.Time) {
	l := s.Link
	switch {
	case l.Phase == "" || l.Phase == "idle":
		fmt.Fprint(w, "link\tnot begun: it waits for a time to be trusted, for [clock] wait at most\n")
	case l.Drain != "":
		fmt.Fprintf(w, "link\t%s over %s for %s (%s)\n", l.Phase, l.Rung, span(now.Sub(l.Since)), l.Drain)
	default:
		fmt.Fprintf(w, "link\t%s over %s for %s\n", l.Phase, l.Rung, span(now.Sub(l.Since)))
	}
	var next []string
	if !l.NextAttempt.IsZero() {
		next = append(next, fmt.Sprintf("next attempt in %s, %d failed so far", span(l.NextAttempt.Sub(now)), l.Attempts))
	}
	if !l.NextPoll.IsZero() && !l.Connected { // a session makes it needless, or a later loss puts it off
		next = append(next, "next poll in "+span(l.NextPoll.Sub(now)))
	}
	if !s.LastPoll.IsZero() {
		next = append(next, "last poll "+span(now.Sub(s.LastPoll))+" ago")
	}
	if len(next) > 0 {
		fmt.Fprintf(w, "\t%s\n", strings.Join(next, "; "))
	}
	if l.Cause != "" {
		fmt.Fprintf(w, "\tlast trouble: %s (%s): %s\n", l.Cause, l.Class, l.Detail)
	}
}

// owed tells of deliveries that MQTT cannot settle, and when they will be.
func owed(s agent.Status, now time.Time) string {
	switch {
	case s.Held == 0:
		return ""
	case s.Link.NextVisit.IsZero():
		return fmt.Sprintf(", %d of them to be rejected over HTTPS", s.Held)
	}
	return fmt.Sprintf(", %d of them to be rejected over HTTPS in %s", s.Held, span(s.Link.NextVisit.Sub(now)))
}

func standing(o agent.Output, now time.Time) string {
	var b strings.Builder
	if o.Cause != "" {
		fmt.Fprintf(&b, ", by %s", o.Cause)
	}
	if !o.Until.IsZero() {
		fmt.Fprintf(&b, ", safe again in %s", span(o.Until.Sub(now)))
	}
	if o.Fault != "" {
		fmt.Fprintf(&b, ": %s", o.Fault)
	}
	return b.String()
}

// span is a length of time in at most two units. What a clock that was set has made
// negative is no time at all.
func span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.size, u.name)
		if i+1 < len(units) && d%u.size >= units[i+1].size {
			text += fmt.Sprintf(" %d %s", d%u.size/units[i+1].size, units[i+1].name)
		}
		return text
	}
	return "0 s"
}
