package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"actuatord/agent/command"
	"actuatord/board"
	"actuatord/persist"
)

const (
	// batchFor bounds how long an outcome waits for company. The hub's lock on
	// a delivery lasts 60 s; what is behind a retry (30 s) must still be
	// completed within it.
	batchFor = 5 * time.Second

	// lazyFor bounds how long something waits that loses nothing when it is
	// lost: a confirmed report is sent again under the same reportId.
	lazyFor = 30 * time.Second

	// lazyMost is how many such things make a commit worth while by themselves.
	lazyMost = 64
)

// pending is what the next commit will make durable, and what waits for it.
type pending struct {
	batch   persist.Batch
	records map[command.Key]command.Record // of the batch; a look-up must see them
	newest  map[string]command.Newest      // of the batch
	settled []func()                       // leave behind the commit, in order
	told    uint64                         // reports that leave the outbox with it
	urgent  time.Time                      // when the first outcome joined; zero: none
	lazy    time.Time                      // when the first thing joined that can wait
}

func (p *pending) urge(now time.Time) {
	if p.urgent.IsZero() {
		p.urgent = now
	}
}

func (p *pending) lazily(now time.Time) {
	if p.lazy.IsZero() {
		p.lazy = now
	}
}

// due is when the batch must be committed at the latest; zero: it is empty.
func (p *pending) due() time.Time {
	switch {
	case !p.urgent.IsZero():
		return p.urgent.Add(batchFor)
	case !p.lazy.IsZero():
		return p.lazy.Add(lazyFor)
	}
	return time.Time{}
}

// settle has fn called behind the commit of what was decided before it, which
// is at once if that is durable already.
func (p *pending) settle(fn func()) {
	if p.urgent.IsZero() {
		fn()
		return
	}
	p.settled = append(p.settled, fn)
}

func (p *pending) acted(target string, n command.Newest) {
	if p.newest == nil {
		p.newest = map[string]command.Newest{}
	}
	p.newest[target] = n
	p.batch.Acted(target, n)
}

func (p *pending) conclude(r command.Record, rep command.Report) {
	if p.records == nil {
		p.records = map[command.Key]command.Record{}
	}
	p.records[r.Key] = r
	p.batch.Conclude(r, rep)
}

func (a *Agent) commitIfUrgent() error {
	if a.pending.urgent.IsZero() && a.pending.batch.Len() < lazyMost {
		return nil
	}
	return a.commit()
}

// commit makes the batch durable and lets the settlements behind it leave.
// After an error nothing may be assumed of the disk, so nothing is settled.
func (a *Agent) commit() error {
	p := a.pending
	a.pending = pending{}
	a.alarms.join(&p.batch)
	if !p.batch.Empty() {
		a.o.Edge("before commit")
		if err := a.journal.Commit(&p.batch); err != nil {
			return unknown(err)
		}
		a.o.Edge("after commit")
		a.outbox.more = true
		a.alarms.untold = nil
		a.historyAlarm()
	}
	for _, leave := range p.settled {
		leave()
		a.o.Edge("after settling")
	}
	if len(p.settled) > 0 {
		// The PUBACK before the outbox's work. Otherwise another core has to be woken for
		// it: 60 of 440 µs from delivery to PUBACK, where it was measured.
		runtime.Gosched()
	}
	return nil
}

// writeOutcome puts the outcome and its report into the batch.
func (a *Agent) writeOutcome(it *item) error {
	l := it.life
	if l.Acted && l.Record.State != command.Refused {
		if err := a.supersede(l.Record, true); err != nil {
			return err
		}
		a.lease(it)
	}
	rep := a.stamped(l.Report(a.now()))
	rep.Level, rep.Percent = a.level(l.Record.Target)
	if k := l.Plan.Op.Kind; l.Record.State == command.Done && (k == command.OpRead || k == command.OpSafe) {
		rep.Levels, rep.Percents = named(a.o.Board.Levels()), percents(a.o.Board.Percents())
		rep.Inputs, rep.Disabled = named(a.o.Board.Inputs()), phrases(a.disabled)
	}
	a.pending.urge(it.received)
	a.pending.conclude(l.Record, rep)
	if a.concluded++; a.concluded == 1 {
		a.before = a.journal.Stats().Written
	}
	a.logOutcome(it, rep)
	return nil
}

// named is what levels or states say in words; nil if there are none.
func named[S fmt.Stringer](states map[string]S) map[string]string {
	m := make(map[string]string, len(states))
	for name, s := range states {
		m[name] = s.String()
	}
	return m
}

func percents(of map[string]board.Percent) map[string]command.Percent {
	m := make(map[string]command.Percent, len(of))
	for name, p := range of {
		m[name] = command.Percent(p)
	}
	return m
}

// driven are the targets that have levels and leases, in the configuration's order.
func (a *Agent) driven() []string {
	var all []string
	for _, o := range a.o.Config.Profile.Outputs {
		all = append(all, o.Name)
	}
	for _, w := range a.o.Config.Profile.Levels {
		all = append(all, w.Name)
	}
	return all
}

func (a *Agent) stamped(r command.Report) command.Report {
	r.V, r.At, r.Clock = 1, a.now().UTC(), a.trust()
	return r
}

// A departure is a lease, with its end on the monotonic clock.
type departure struct {
	command.Lease
	until time.Time // zero: it has none
}

// lease keeps, for as long as an output is away from its safe level, who left
// it there: a restart drives it safe, and must be able to say whose work it cut.
// Behind anything but success the board has driven the output safe itself, and
// what a short lease has ended meanwhile is over.
func (a *Agent) lease(it *item) {
	op := it.life.Plan.Op
	for _, name := range a.driven() {
		if op.Kind != command.OpSafe && name != op.Target {
			continue
		}
		if op.Kind != command.OpSet && op.Kind != command.OpLevel || it.life.Record.State != command.Done || a.o.Board.AtSafe(name) {
			a.closeLease(name)
			continue
		}
		l := command.Lease{Output: name, Key: it.life.Record.Key, MessageID: it.life.Record.MessageID, Since: a.now()}
		if u := it.result.Until; !u.IsZero() {
			l.Until = l.Since.Add(time.Until(u))
		}
		a.pending.batch.OpenLease(l)
		a.away[name] = departure{l, it.result.Until}
	}
}

func (a *Agent) closeLease(output string) {
	if _, open := a.away[output]; open {
		a.pending.batch.CloseLease(output)
		delete(a.away, output)
	}
}

// moved takes a move that no command asked for: it is reported, and an output
// that is safe again owes nobody anything.
func (a *Agent) moved(c board.Change) error {
	select {
	case r := <-a.acted: // of the operation that was before the move
		if err := a.boardAnswered(r); err != nil {
			return err
		}
	default:
	}
	rep := command.Report{Kind: command.KindChange, Target: c.Target, Level: c.Level.String(), Cause: c.Cause, MessageID: a.away[c.Target].MessageID}
	attrs := []any{"target", c.Target, "level", rep.Level, "cause", c.Cause}
	if c.Percent != nil {
		of := command.Percent(*c.Percent)
		rep.Percent, attrs = &of, append(attrs, "percent", of.String())
	}
	if c.Why != "" {
		rep.Detail = command.Refuse("", "%s", c.Why).Detail
		attrs = append(attrs, "why", c.Why)
	}
	if c.Err != nil {
		rep.Detail = command.Refuse("", "%v", c.Err).Detail
		attrs = append(attrs, "error", c.Err)
	}
	if c.Lost > 0 {
		attrs = append(attrs, "changes lost before it", c.Lost)
	}
	a.pending.batch.Report(a.stamped(rep))
	if c.Safe && a.o.Board.AtSafe(c.Target) { // and no command has moved it since
		a.closeLease(c.Target)
	}
	a.pending.urge(time.Now())
	a.log.Info("output moved", attrs...)
	return nil
}

// logOutcome writes the one line that a command gets.
func (a *Agent) logOutcome(it *item, rep command.Report) {
	r, level := it.life.Record, slog.LevelInfo
	if r.State != command.Done {
		level = slog.LevelWarn
	}
	attrs := []any{"outcome", r.State.String(), "target", r.Target, "action", r.Action, "key", string(r.Key)}
	if r.Reason != "" {
		attrs = append(attrs, "reason", string(r.Reason), "detail", r.Detail)
	}
	if rep.Level != "" {
		attrs = append(attrs, "level", rep.Level)
	}
	if rep.Percent != nil {
		attrs = append(attrs, "percent", rep.Percent.String())
	}
	if it.life.Attempt > 1 {
		attrs = append(attrs, "attempts", it.life.Attempt)
	}
	a.log.Log(context.Background(), level, "command", attrs...)
}
