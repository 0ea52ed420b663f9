package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"actuatord/agent/clock"
	"actuatord/agent/command"
	"actuatord/board"
	"actuatord/persist"
)

const (
	// faultLasts is how long a target must have been unusable before that needs a
	// person, and how often the board is asked. The board tries again each second
	// and a command for 30 s; twice that is past every disturbance that ends by
	// itself, and a person is not at the board sooner anyway.
	faultLasts = time.Minute

	// calmFor is how many looks without any fault clear the alarm. A contact that
	// comes and goes would otherwise write two reports every other minute, and each
	// is a commit on the card; like this it is a dozen an hour at most.
	calmFor = 10
)

// Alarm is one thing that needs a person, for as long as it does.
type Alarm struct {
	Name   string    `json:"name"`   // an Alarm constant of package command
	Detail string    `json:"detail"` // what it is about now; at most 300 bytes
	Since  time.Time `json:"since"`
}

// A standing alarm, with its date on the monotonic clock: it may be raised before
// anybody knows what time it is.
type standing struct {
	detail string
	since  time.Time
}

// alarms is what is raised now. A restart forgets it: what still holds is raised
// again, and a start report tells the back end to forget likewise.
type alarms struct {
	raised map[string]standing
	untold []command.Report // not on disk yet, in order; commit takes them along
	look   time.Time        // when the board is asked for faults next
	calm   int              // looks in a row that found none
}

// raise says that name needs a person, once until it is cleared: a log line, a
// report with the next commit, and an entry in status. Raised again it changes
// only what status says. It needs no journal: the report waits for one.
func (a *Agent) raise(name, detail string) {
	w := &a.alarms
	detail = command.Refuse("", "%s", detail).Detail // its bound
	if old, known := w.raised[name]; known {
		old.detail = detail
		w.raised[name] = old
		return
	}
	if w.raised == nil {
		w.raised = map[string]standing{}
	}
	w.forget(name)
	now := time.Now()
	w.raised[name] = standing{detail, now}
	w.untold = append(w.untold, a.stamped(command.Report{Kind: command.KindAlarm, Alarm: name, State: command.StateRaised, Detail: detail}))
	a.pending.urge(now)
	a.log.Warn("alarm raised", "alarm", name, "detail", detail)
}

// clear says that name needs nobody any more. One that is not raised: nothing.
func (a *Agent) clear(name string) {
	w := &a.alarms
	old, known := w.raised[name]
	if !known {
		return
	}
	delete(w.raised, name)
	rep := a.stamped(command.Report{Kind: command.KindAlarm, Alarm: name, State: command.StateCleared, Detail: old.detail})
	w.untold = append(w.untold, rep)
	a.pending.urge(time.Now())
	a.log.Info("alarm cleared", "alarm", name, "detail", old.detail)
}

// forget takes out what came and went before anybody could be told: while there is
// no journal it would pile up.
func (w *alarms) forget(name string) {
	var own []int
	for i, rep := range w.untold {
		if rep.Alarm == name {
			own = append(own, i)
		}
	}
	if n := len(own); n >= 2 { // the last is its clearing, and the one before its raising
		w.untold = slices.Delete(w.untold, own[n-1], own[n-1]+1)
		w.untold = slices.Delete(w.untold, own[n-2], own[n-2]+1)
	}
}

// join puts what is untold into a batch. After the commit the caller empties it.
func (w *alarms) join(b *persist.Batch) {
	for _, rep := range w.untold {
		b.Report(rep)
	}
}

// list is what status shows: sorted by name, never nil.
func (w *alarms) list(c clock.Clock) []Alarm {
	all := make([]Alarm, 0, len(w.raised))
	for _, name := range slices.Sorted(maps.Keys(w.raised)) {
		r := w.raised[name]
		all = append(all, Alarm{Name: name, Detail: r.detail, Since: c.Now(r.since)})
	}
	return all
}

// historyAlarm follows what the journal says of its own memory; it is called
// behind every commit, which is the only thing that can change it.
func (a *Agent) historyAlarm() {
	if a.journal.History().State != persist.HistoryLost {
		a.clear(command.AlarmHistory)
		return
	}
	a.raise(command.AlarmHistory, "the record of past commands was lost: once-only commands are refused history-lost, unless sent later than that, for 48 h or until 'actuatord journal reset'")
}

// watchFaults looks whether something at the board has been out of use for so long
// that it needs a person.
func (a *Agent) watchFaults(now time.Time) {
	w := &a.alarms
	if now.Before(w.look) {
		return
	}
	w.look = now.Add(faultLasts)
	faults := a.o.Board.Faults()
	if w.calm++; len(faults) > 0 {
		w.calm = 0
	}
	lasting := slices.DeleteFunc(faults, func(f board.Fault) bool { return now.Sub(f.Since) < faultLasts })
	switch _, raised := w.raised[command.AlarmBus]; {
	case len(lasting) > 0:
		a.raise(command.AlarmBus, describeFaults(lasting))
	case raised && w.calm >= calmFor:
		a.clear(command.AlarmBus)
	}
}

// describeFaults names what is out of use, and says of the first why.
func describeFaults(faults []board.Fault) string {
	names := make([]string, 0, len(faults))
	for _, f := range faults {
		names = append(names, f.Target)
	}
	if len(names) == 1 {
		return fmt.Sprintf("%s cannot be used: %v", names[0], faults[0].Err)
	}
	return fmt.Sprintf("%s cannot be used; the first: %v", strings.Join(names, ", "), faults[0].Err)
}
