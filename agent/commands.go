package agent

import (
	"fmt"
	"time"

	"actuatord/agent/command"
	"actuatord/board"
	"actuatord/handlers"
	"actuatord/hub"
	"actuatord/persist"
)

// line is the commands in the order of their arrival: those that wait, and the
// one in hand.
type line struct {
	waiting []*item
	hand    *item
	busy    bool      // the board has the hand's operation
	token   uint64    // of that operation, so that a late answer is not taken for another's
	retryAt time.Time // when the hand's pause is over; zero: no pause
	arrival uint64    // the last number given out
}

// An item is a command on its way through.
type item struct {
	life     command.Life
	delivery hub.Delivery
	received time.Time
	key      command.Key // before another command was found under it
	result   board.Result
	again    bool          // a dead session of this run has delivered it, it was done then, and not settled
	reply    chan<- Answer // of a local command
}

func (l *line) awaited() bool { return l.hand != nil && l.busy }

// deliveries is where the next message comes from; nil while the line is full.
func (a *Agent) deliveries() <-chan hub.Delivery {
	if a.uplink.session == nil || len(a.line.waiting) >= queueBound || a.stopping {
		return nil
	}
	return a.uplink.session.Deliveries()
}

// same is what tells this delivery's message from others.
func (it *item) same() sameAs { return sameAs{it.key, it.life.Record.Fingerprint} }

// receive puts a session's delivery at the end of the line.
func (a *Agent) receive(d hub.Delivery) {
	it := a.arrived(d)
	a.uplink.inSession = append(a.uplink.inSession, a.unsettledUntil(it))
	a.uplink.delivered = it.received
	a.uplink.seen(it.key) // what a dead session had of it is no longer locked
	a.join(it)
}

// arrived makes an item of a delivery.
func (a *Agent) arrived(d hub.Delivery) *item {
	a.o.Edge("delivered")
	c, undecoded := a.table.Decode(d.Message.Body)
	m := command.Message{ID: d.Message.ID, Expiry: d.Message.Expiry, Enqueued: d.Message.Enqueued, Body: d.Message.Body}
	if d.Fault != nil {
		m.Fault = command.Refuse(command.Malformed, "the message's properties cannot be read: %v", d.Fault)
	} else if s, given := d.Message.Properties["sent"]; given {
		t, err := handlers.ReadDate(s)
		if err != nil {
			m.Fault = command.Refuse(command.BadValue, "the property \"sent\" is %.40q: %v; want one such as 2026-11-23T12:00:00Z", s, err)
		}
		m.Sent = t
	}
	source := command.OverMQTT
	if d.Via == hub.HTTPS {
		source = command.OverHTTPS
	}
	l := a.newLife(source, m, c, undecoded)
	return &item{life: l, delivery: d, received: time.Now(), key: l.Record.Key, again: a.uplink.done(l.Record.Key)}
}

func (a *Agent) newLife(s command.Source, m command.Message, c command.Command, undecoded *command.Refusal) command.Life {
	a.line.arrival++
	now, trusted := a.now(), a.clock.Trusted()
	l := command.New(s, m, c, undecoded, a.line.arrival, now)
	if !trusted {
		// A date from a wrong clock would make the record look too old, or too
		// young, when the clock is set. The journal dates it later.
		l.Record.FirstSeen, l.Record.LastSeen = time.Time{}, time.Time{}
	}
	return l
}

func (a *Agent) join(it *item) { a.line.waiting = append(a.line.waiting, it) }

// advance carries out what is in line until something has to be waited for.
// Deliveries that are already there share the commit at the end.
func (a *Agent) advance() error {
	for a.line.hand == nil {
		if len(a.line.waiting) == 0 {
			select {
			case d := <-a.deliveries():
				a.receive(d)
			default:
				return a.commitIfUrgent()
			}
		}
		a.line.hand, a.line.waiting = a.line.waiting[0], a.line.waiting[1:]
		if err := a.step(command.Input{Kind: command.Begin}); err != nil {
			return err
		}
	}
	return nil
}

// step feeds what happened to the command in hand, and goes on until a duty's
// answer has to be waited for.
func (a *Agent) step(in command.Input) error {
	it := a.line.hand
	for next := &in; next != nil; {
		life, duties, err := command.Step(it.life, *next, a.now())
		if err != nil {
			return fmt.Errorf("command %s: %w", it.life.Record.Key, err)
		}
		it.life, next = life, nil
		for _, d := range duties {
			a.o.Edge("before " + d.String())
			if next, err = a.duty(it, d); err != nil {
				return err
			}
		}
	}
	if it.life.Phase == command.Concluded {
		a.line.hand = nil
	}
	return nil
}

// duty performs one duty of the command in hand. It answers with the input
// that follows at once, or nil.
func (a *Agent) duty(it *item, d command.Duty) (*command.Input, error) {
	switch d {
	case command.Look:
		return a.look(it)
	case command.MakePlan:
		return a.plan(it)
	case command.WriteStart:
		return a.writeStart(it)
	case command.Act:
		return a.act(it), nil
	case command.Wait:
		a.line.retryAt = time.Now().Add(it.life.Pause)
	case command.WriteOutcome:
		return nil, a.writeOutcome(it)
	case command.Touch:
		a.log.Info("seen before: the same answer, and no second actuation", "key", string(it.life.Record.Key), "outcome", it.life.Record.State.String())
		a.pending.batch.Seen(it.life.Record.Key, it.life.Record.LastSeen)
		a.pending.lazily(time.Now())
	case command.Complete, command.Reject, command.Abandon:
		a.pending.settle(func() { a.settle(it, d) })
	}
	return nil, nil
}

// look asks what is known of the command's key: what waits for a commit first,
// then what is on disk.
func (a *Agent) look(it *item) (*command.Input, error) {
	in := &command.Input{Kind: command.Found, Last: true}
	key := it.life.Record.Key
	rec, known := a.pending.records[key]
	if !known {
		var err error
		if rec, known, err = a.journal.Lookup(key); err != nil {
			return nil, unknown(err)
		}
	}
	if !known {
		return in, nil
	}
	in.Seen = &rec
	for _, target := range rec.Touches {
		n, err := a.newest(target)
		if err != nil {
			return nil, err
		}
		in.Last = in.Last && (n.Key == key || it.again && rec.Action != "safe") // no second sending, whatever has acted since; "all safe" is right at any time
	}
	return in, nil
}

func (a *Agent) newest(target string) (command.Newest, error) {
	if n, known := a.pending.newest[target]; known {
		return n, nil
	}
	n, err := a.journal.Newest(target)
	if err != nil {
		return n, unknown(err)
	}
	return n, nil
}

func (a *Agent) plan(it *item) (*command.Input, error) {
	levels := a.o.Board.Levels()
	p, refusal := a.table.Plan(it.life.Command, func(output string) (on, known bool) {
		return levels[output] == board.On, levels[output] != board.Unknown
	})
	if refusal == nil {
		refusal = a.outOfUse(p) // once more at the board; but like this nothing is written as started
	}
	in := &command.Input{Kind: command.Planned, Plan: p, Refusal: refusal}
	h, changed := a.aged(a.now())
	if changed { // once in a journal's life or twice: it need not wait for company
		a.pending.batch.History(h)
		if err := a.commit(); err != nil {
			return nil, err
		}
	}
	in.Facts = command.Facts{Doubted: h.State != persist.HistoryClear, Careful: a.careful, Untrusted: !a.clock.Trusted()}
	if h.Dated {
		in.Facts.Since = h.Since
	}
	for _, target := range p.Touches {
		n, err := a.newest(target)
		if err != nil {
			return nil, err
		}
		in.Facts.Newest = append(in.Facts.Newest, n)
	}
	return in, nil
}

// writeStart makes the record durable before anything moves, together with all
// that waited: at most one command is ever started.
func (a *Agent) writeStart(it *item) (*command.Input, error) {
	a.pending.batch.Start(it.life.Record)
	if err := a.commit(); err != nil {
		return nil, err
	}
	return &command.Input{Kind: command.Durable}, nil
}

// supersede notes that r has acted on what it touches: last, or, found at a start,
// at some time before whatever acted last. A "sent" that lies ahead of our own
// clock counts as now: one sender's wrong clock must not put every other sender's
// commands behind it for years.
func (a *Agent) supersede(r command.Record, last bool) error {
	sent := r.Sent
	if now := a.now(); sent.After(now) {
		sent = now
	}
	for _, target := range r.Touches {
		n := command.Newest{Key: r.Key, Arrival: r.Arrival, Sent: sent}
		old, err := a.newest(target)
		if err != nil {
			return err
		}
		if !last && old.Arrival > n.Arrival {
			n.Key = old.Key
		}
		n.Arrival = max(n.Arrival, old.Arrival)
		if old.Sent.After(n.Sent) {
			n.Sent = old.Sent
		}
		a.pending.acted(target, n)
	}
	return nil
}

// act hands the operation to the board, whose answer is an event; what needs no
// board is done here.
func (a *Agent) act(it *item) *command.Input {
	op := it.life.Plan.Op
	kind, moves := boardOp(op.Kind)
	if !moves {
		if op.Kind == command.OpLog {
			a.log.Info("message", "id", it.life.Record.MessageID, "text", op.Text)
		}
		return &command.Input{Kind: command.Acted}
	}
	cause := it.life.Record.MessageID
	if it.life.Source == command.Local {
		cause = "local"
	}
	if cause == "" {
		cause = string(it.life.Record.Key)
	}
	a.line.token++
	a.line.busy = true
	do := board.Op{
		Kind: kind, Target: op.Target, On: op.On, Percent: board.Percent(op.Percent), For: op.For, Register: op.Register, Bytes: op.Bytes,
		Cause: cause, Asked: it.received, Token: a.line.token,
	}
	if d := it.life.Deadline(); !d.IsZero() {
		do.Deadline = time.Now().Add(d.Sub(a.now())) // the same moment, on the monotonic clock
	}
	a.o.Board.Do(do, a.acted)
	return nil
}

// boardOp answers the board's operation for k; false: it needs no board.
func boardOp(k command.OpKind) (board.OpKind, bool) {
	switch k {
	case command.OpSet, command.OpLevel:
		return board.Set, true
	case command.OpPulse:
		return board.Pulse, true
	case command.OpWrite:
		return board.Write, true
	case command.OpSafe:
		return board.Safe, true
	}
	return 0, false
}

// tryAgain has the command in hand tried once more, unless it was overtaken since it
// was planned: the board may have had it when a person said "safe" or "disable", and
// have answered behind that.
func (a *Agent) tryAgain() error {
	it := a.line.hand
	in := command.Input{Kind: command.RetryDue}
	if why := a.outOfUse(it.life.Plan); why != nil {
		in = command.Input{Kind: command.Overtaken, Refusal: why}
	}
	for _, target := range it.life.Plan.Touches {
		n, err := a.newest(target)
		if err != nil {
			return err
		}
		if it.life.Plan.Away && in.Kind == command.RetryDue && n.Arrival > it.life.Record.Arrival {
			in = command.Input{Kind: command.Overtaken, Refusal: command.Refuse(command.Superseded, "%s was made safe, or put out of use and back, by a person while this was being tried", target)}
		}
	}
	return a.step(in)
}

// boardAnswered takes the board's result for the command in hand.
func (a *Agent) boardAnswered(r board.Result) error {
	if !a.line.awaited() || r.Op.Token != a.line.token {
		return nil // of an operation that was given up
	}
	a.o.Edge("acted")
	a.line.busy = false
	a.line.hand.result = r
	in := command.Input{Kind: command.Acted, Attempted: r.Attempted, Transient: r.Transient}
	switch {
	case r.Refused != "":
		in.Refusal = command.Refuse(command.Reason(r.Refused), "%s", r.Detail)
	case r.Err != nil:
		in.Fault, in.Detail = command.Reason(board.ReasonOf(r.Err)), r.Err.Error()
	case r.Cut != "":
		in.Fault, in.Detail = command.CutOff, "it was cut short by "+r.Cut
		if r.Detail != "" {
			in.Detail += ": " + r.Detail
		}
	}
	return a.step(in)
}
