package agent

import (
	"slices"
	"time"

	"actuatord/agent/clock"
	"actuatord/agent/command"
	"actuatord/hub/link"
	"actuatord/persist"
)

// Status is the state of everything a person may wonder about. All its times are
// by the agent's clock, which need not be the kernel's; Now is that clock's.
type Status struct {
	Version   string             `json:"version"`
	Now       time.Time          `json:"now"`
	Since     time.Time          `json:"since"` // the start
	Clock     ClockStatus        `json:"clock"`
	Storage   string             `json:"storage,omitempty"` // why there is no journal; then what comes from it is not set
	Link      link.Status        `json:"link"`
	LastPoll  time.Time          `json:"lastPoll,omitzero"`      // of this run or an earlier one, as the clock said then
	Unsettled int                `json:"unsettled"`              // delivered, and neither completed, rejected nor abandoned at the hub
	Held      int                `json:"held"`                   // of them, owed a reject, which MQTT cannot give
	Waiting   int                `json:"waiting"`                // commands in line
	Concluded uint64             `json:"concluded"`              // commands that came to an outcome in this run
	PerCmd    uint64             `json:"writtenBytesPerCommand"` // by all that was written since the first; 0: there was none
	History   string             `json:"history"`
	Outputs   []Output           `json:"outputs"`
	Inputs    []Input            `json:"inputs"`
	Disabled  []persist.Disabled `json:"disabled"` // by people, and what each of them said
	Journal   persist.Stats      `json:"journal"`
	Last      []command.Record   `json:"last"`
	Alarms    []Alarm            `json:"alarms"` // by name
}

// ClockStatus is whether the time is trusted, on whose word, and why not.
type ClockStatus struct {
	Trusted bool      `json:"trusted"`
	Source  string    `json:"source"` // "kernel", "hub" or "none"
	Since   time.Time `json:"since"`  // of Source
	Why     string    `json:"why"`
}

// Output is how one output or level stands.
type Output struct {
	Name    string           `json:"name"`
	Level   string           `json:"level"`
	Percent *command.Percent `json:"percent,omitempty"` // of a level that is known
	Cause   string           `json:"cause,omitempty"`   // the command that left it away from its safe level
	Until   time.Time        `json:"until,omitzero"`    // when its lease ends
	Fault   string           `json:"fault,omitempty"`   // why it cannot be driven
}

// Input is how one input stands.
type Input struct {
	Name  string `json:"name"`
	State string `json:"state"`           // "active", "inactive" or "unknown"
	Fault string `json:"fault,omitempty"` // why it cannot be read
}

// status is the whole of it.
func (a *Agent) status(now time.Time) Status {
	s := a.bareStatus(now)
	s.Waiting, s.History, s.Journal = len(a.line.waiting), a.journal.History().State.String(), a.journal.Stats()
	if s.Concluded = a.concluded; a.facts.PollTrusted { // a date of a wrong clock says nothing
		s.LastPoll = a.facts.LastPoll
	}
	if s.Concluded > 0 {
		s.PerCmd = (s.Journal.Written - a.before) / s.Concluded
	}
	s.Journal.Outbox -= min(s.Journal.Outbox, a.pending.told) // the hub has them; the next commit takes them out
	s.Link = a.uplink.machine.Status()
	for _, t := range []*time.Time{&s.Link.Since, &s.Link.Unstable, &s.Link.NextAttempt, &s.Link.NextPoll, &s.Link.NextVisit} {
		if !t.IsZero() {
			*t = a.clock.Now(*t)
		}
	}
	if a.uplink.session != nil {
		s.Unsettled, s.Held = a.uplink.session.Unsettled(), len(a.uplink.held)
	}
	if d := a.uplink.drain; d != nil {
		s.Unsettled = len(d.locks) + len(d.failed)
	}
	return s
}

// bareStatus is what can be told without a journal.
func (a *Agent) bareStatus(now time.Time) Status {
	return Status{
		Version: a.o.Version, Now: a.clock.Now(now), Since: a.clock.Now(a.boot),
		Clock: ClockStatus{
			Trusted: a.clock.Trusted(), Source: a.clock.Source().String(), Since: a.clock.Since(), Why: a.whyTrusted(),
		},
		Outputs: a.outputs(), Inputs: a.inputs(), Disabled: slices.Concat([]persist.Disabled{}, a.disabled), Alarms: a.alarms.list(a.clock),
	}
}

func (a *Agent) whyTrusted() string {
	switch a.clock.Source() {
	case clock.Kernel:
		return "the kernel counts its clock as synchronised, or did last"
	case clock.Hub:
		return "the hub's Date, over a connection that was fully verified; the kernel's clock is not synchronised"
	}
	why := "the kernel's clock is not synchronised, and the hub has not told the time"
	if err := a.timekeeping.err; err != nil {
		why += ": " + err.Error()
	}
	return why
}

// outputs answers every output and level, in the configuration's order.
func (a *Agent) outputs() []Output {
	faults := a.faults()
	var all []Output
	for _, name := range a.driven() {
		left := a.away[name]
		out := Output{Name: name, Cause: string(left.Key)}
		out.Level, out.Percent = a.level(name)
		if !left.until.IsZero() {
			out.Until = a.clock.Now(left.until)
		}
		out.Fault = faults[name]
		all = append(all, out)
	}
	return all
}

// inputs answers every input, in the configuration's order.
func (a *Agent) inputs() []Input {
	states, faults := a.o.Board.Inputs(), a.faults()
	all := []Input{}
	for _, in := range a.o.Config.Profile.Inputs {
		all = append(all, Input{Name: in.Name, State: states[in.Name].String(), Fault: faults[in.Name]})
	}
	return all
}

// faults answers what is out of use, and why.
func (a *Agent) faults() map[string]string {
	all := map[string]string{}
	for _, f := range a.o.Board.Faults() {
		all[f.Target] = f.Err.Error()
	}
	return all
}
