package agent

import (
	"time"

	"actuatord/agent/command"
	"actuatord/hub/link"
	"actuatord/persist"
)

// hubsLongestTTL is how long a message can wait at the hub (hub document, C2D
// settings: 2 days). After it, nothing from before a loss can still arrive.
const hubsLongestTTL = 48 * time.Hour

// recover resolves what an earlier run left behind, in one commit, before any
// message is looked at: commands that were started, leases that its end cut,
// and whether this run has to be careful.
func (a *Agent) recover() error {
	a.facts = a.journal.LinkFacts()
	if !a.clock.Trusted() {
		a.clock, _ = a.clock.Raise(time.Now(), a.facts.LastTrusted)
	}
	now := a.now()
	a.locksLeft = a.leftLocks(now)
	a.upkeep = time.Now().Add(time.Minute) // soon: a board that never stays up for an hour has to forget too
	a.careful = a.opened.Unclean
	a.line.arrival = a.journal.Arrival()
	if a.opened.SetAside != "" {
		a.log.Error("the journal was set aside and a new one begun", "why", a.opened.SetAsideWhy, "found", a.opened.SetAsideErr, "kept", a.opened.SetAside)
	}
	left, err := a.journal.Unfinished()
	if err != nil {
		return unknown(err)
	}
	for _, r := range left {
		if err := a.resolve(r); err != nil {
			return err
		}
	}
	leases, err := a.journal.Leases()
	if err != nil {
		return unknown(err)
	}
	for _, l := range leases {
		a.pending.batch.CloseLease(l.Output) // nothing is away now: the board drove everything safe
		rep := command.Report{
			Kind: command.KindChange, MessageID: l.MessageID, Target: l.Output, Reason: command.LeaseCut, Cause: "safe",
			Detail: "a restart drove the output to its safe level before its time was over",
		}
		rep.Level, rep.Percent = a.level(l.Output)
		a.pending.batch.Report(a.stamped(rep))
	}
	cause := "clean stop"
	switch {
	case a.opened.Fresh:
		cause = "new journal"
	case a.opened.Unclean:
		cause = "unclean stop"
	}
	a.pending.batch.Report(a.stamped(command.Report{
		Kind: command.KindStart, Levels: named(a.o.Board.Levels()), Percents: percents(a.o.Board.Percents()),
		Inputs: named(a.o.Board.Inputs()), Disabled: phrases(a.disabled), Version: a.o.Version, Cause: cause,
	}))
	if h, changed := a.aged(now); changed {
		a.pending.batch.History(h)
	}
	a.note(func(f *persist.LinkFacts) { f.Starts = uint8(min(int(f.Starts)+1, 255)) })
	a.pending.urge(time.Now())
	a.log.Info("start", "version", a.o.Version, "after", cause, "started", len(left), "leases", len(leases), "history", a.journal.History().State.String())
	return a.commit()
}

// leftLocks reports whether the last run may have left a message locked at the hub
// when it ended: it was cut short, or had a drain open.
func (a *Agent) leftLocks(now time.Time) bool {
	f := a.facts
	lately := func(at time.Time, trusted bool) bool {
		known := trusted && a.clock.Trusted() && !at.After(now)
		return !at.IsZero() && (!known || now.Sub(at) < link.LongestDrain+link.LockHorizon)
	}
	return a.opened.Unclean || f.FirstDrains > 0 || lately(f.LastPoll, f.PollTrusted) || lately(f.LastVisit, f.VisitTrusted)
}

// resolve settles one command that was left started. It may have acted, so what
// was sent before it does not act any more.
func (a *Agent) resolve(r command.Record) error {
	after, outcome := command.Recover(r)
	if err := a.supersede(after, false); err != nil {
		return err
	}
	if !outcome {
		return nil // the hub will deliver it again
	}
	rep := a.stamped(command.Report{
		Kind: command.KindOutcome, MessageID: after.MessageID, Target: after.Target, Action: after.Action,
		Outcome: after.State.String(), Reason: after.Reason, Detail: after.Detail,
	})
	rep.Level, rep.Percent = a.level(after.Target)
	a.pending.batch.Conclude(after, rep)
	a.log.Warn("command", "outcome", after.State.String(), "target", after.Target, "action", after.Action,
		"key", string(after.Key), "reason", string(after.Reason), "detail", after.Detail)
	return nil
}

// level is an output's level for a report, and of a level target how much; "" for
// what is neither.
func (a *Agent) level(target string) (level string, of *command.Percent) {
	l, known := a.o.Board.Levels()[target]
	if !known {
		return "", nil
	}
	if p, isLevel := a.o.Board.Percents()[target]; isLevel {
		of = new(command.Percent)
		*of = command.Percent(p)
	}
	return l.String(), of
}

// aged is the history as it is to be taken at now, and whether that is news.
// Doubts about the past are dated at the first trusted time, and are over when
// nothing from before them can still be on the hub.
func (a *Agent) aged(now time.Time) (persist.History, bool) {
	h := a.journal.History()
	trusted := a.clock.Trusted()
	switch {
	case h.State == persist.HistoryClear || !trusted:
		return h, false
	case !h.Dated:
		h.Since, h.Dated = now, true
		return h, true
	case now.Sub(h.Since) >= hubsLongestTTL:
		return persist.History{State: persist.HistoryClear, Since: now, Dated: true}, true
	}
	return h, false
}
