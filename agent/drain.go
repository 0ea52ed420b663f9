package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/https"
	"actuatord/hub/link"
	"actuatord/persist"
)

const (
	// requestWithin bounds one request of a drain; the client has its own 30 s.
	requestWithin = 35 * time.Second

	// flushFor bounds how long a poll stays for the outbox after the queue is
	// empty: some hundred reports on a slow link, and the rest at the next one.
	flushFor = time.Minute
)

// drain is one HTTPS visit to the queue: what package link's Drain wants done.
// Its requests leave one at a time, in order, in a goroutine outside the loop.
type drain struct {
	generation uint64
	machine    *link.Drain
	client     *https.Client
	token      string
	resigned   bool                                                   // the clock was set: what an old token was answered says nothing
	ops        []func(ctx context.Context, token string) func() error // the answer is run in the loop
	busy       bool
	unsure     bool                // a request got no answer, so a message may be locked unseen
	seq        uint64              // of the last delivery
	locks      map[uint64]string   // of deliveries not yet settled, by seq
	failed     map[sameAs][]string // the locks of what is to be abandoned at the end
	ended      bool
	flushBy    time.Time
	enqueue    func(ctx context.Context, op func(context.Context, string) func() error) bool // from any goroutine; false: the drain is over
}

// send carries one report, in its turn among the drain's requests. It is called
// outside the loop.
func (d *drain) send(ctx context.Context, t hub.Telemetry) error {
	result := make(chan error, 1)
	taken := d.enqueue(ctx, func(ctx context.Context, token string) func() error {
		result <- d.client.Send(ctx, token, t)
		return func() error { return nil }
	})
	if !taken {
		return errDrainOver
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errDrainOver = errors.New("the drain is over")

// heard reports whether the hub has let the queue be looked at. Before that a report
// would only take its turn in waiting for a road that may be closed.
func (d *drain) heard() bool {
	answered, _, _ := d.machine.Result(time.Now())
	return answered
}

// sameAs is what makes two deliveries the same message.
type sameAs struct {
	key command.Key
	f   command.Fingerprint
}

// openDrain begins a drain; that it did is durable before its first GET.
func (a *Agent) openDrain(do link.OpenDrain) error {
	wall, trusted := a.now(), a.clock.Trusted()
	a.note(func(f *persist.LinkFacts) {
		switch do.Kind {
		case link.Poll:
			f.LastPoll, f.PollTrusted, f.Starts = wall, trusted, 0
		case link.Visit:
			f.LastVisit, f.VisitTrusted = wall, trusted
		}
		f.FirstDrains = uint8(min(do.FirstDrains, 255))
	})
	a.pending.urge(time.Now())
	if err := a.commit(); err != nil {
		return err
	}
	u, now := &a.uplink, time.Now()
	horizon := now
	if len(u.outstanding) > 0 {
		horizon = u.delivered.Add(link.LockHorizon)
	}
	// What the last run had locked when it ended, a first SUBSCRIBE would have the
	// hub reject once the lock lapses.
	ended := a.boot.Add(link.LockHorizon)
	unsure := do.Kind == link.First && a.locksLeft && ended.After(horizon)
	if unsure {
		horizon = ended
	}
	u.drain = &drain{
		unsure:     unsure,
		generation: do.Generation, machine: link.NewDrain(uint64(now.UnixNano()), do.Kind, horizon, now),
		client: a.o.REST(u.identity, a.at()), token: a.token(),
		locks: map[uint64]string{}, failed: map[sameAs][]string{},
	}
	d := u.drain
	d.enqueue = func(ctx context.Context, op func(context.Context, string) func() error) bool {
		open := make(chan bool, 1)
		return a.post(ctx, func() error {
			open <- a.uplink.drain == d
			if a.uplink.drain == d {
				d.ops = append(d.ops, op)
			}
			return nil
		}) && <-open
	}
	a.log.Info("drain", "why", do.Kind.String(), "generation", do.Generation)
	a.drainStep(link.Tick{}, now)
	return nil
}

// drainStep tells the drain what happened and does what it wants.
func (a *Agent) drainStep(in link.DrainInput, now time.Time) {
	d := a.uplink.drain
	switch d.machine.Step(in, now) {
	case link.Get:
		d.ops = append(d.ops, func(ctx context.Context, token string) func() error {
			r, ok, err := d.client.Receive(ctx, token)
			return func() error { return a.got(d, r, ok, err) }
		})
	case link.End:
		d.ended = true
		if d.machine.Kind() == link.Poll {
			d.flushBy = now.Add(flushFor)
			a.outbox.more = true
		}
		for _, lock := range slices.Concat(slices.Collect(maps.Values(d.failed))...) {
			d.ops = append(d.ops, func(ctx context.Context, token string) func() error {
				err := d.client.Abandon(ctx, token, lock)
				return func() error {
					if err != nil {
						a.log.Warn("not abandoned: its lock will lapse", "error", err)
					}
					return nil
				}
			})
		}
	}
}

// got takes the answer to a GET.
func (a *Agent) got(d *drain, r https.Received, ok bool, err error) error {
	if a.uplink.drain != d {
		return nil
	}
	now := time.Now()
	switch {
	case err != nil:
		a.drainStep(a.noLuck(d, err), now)
		return nil
	case !ok:
		a.drainStep(link.Empty{AllSeen: len(a.uplink.outstanding) == 0 && !d.unsure}, now)
		return nil
	}
	a.drainStep(link.Took{}, now)
	d.seq++
	d.locks[d.seq] = r.Lock
	it := a.arrived(hub.Delivery{Message: r.Message, Fault: r.Fault, Via: hub.HTTPS, Session: d.generation, Seq: d.seq})
	if same := it.same(); d.failed[same] != nil {
		// It was tried in this drain. Its earlier lock has lapsed, or was another
		// message's of the same words: each is let go.
		d.failed[same] = append(d.failed[same], r.Lock)
		a.drainStep(link.Settled{}, now)
		return nil
	}
	a.join(it)
	return nil
}

// said answers the hub's refusal in err, if there is one.
func said(err error) (status https.StatusError, ok bool) {
	var e *https.StatusError
	if ok = errors.As(err, &e); ok {
		status = *e
	}
	return status, ok
}

// noLuck is what a failed GET means for the drain.
func (a *Agent) noLuck(d *drain, err error) link.NoLuck {
	a.log.Warn("drain: no answer to GET", "cause", hub.CauseOf(err), "error", err)
	in := link.NoLuck{Err: err, NotSent: errors.Is(err, https.ErrNotSent)}
	if status, answered := said(err); answered {
		in.Answered, in.Wait = true, status.RetryAfter
		in.Final = hub.ClassOf(err) != hub.RetrySoon && !d.resigned
		d.resigned = false
	}
	d.unsure = d.unsure || !in.Answered && !in.NotSent
	return in
}

// settleDrained settles what came in a drain. Once the drain is over it is too
// late: the lock lapses, the message comes again, and the journal answers it.
func (a *Agent) settleDrained(it *item, verb command.Duty) {
	d := a.uplink.drain
	if d == nil || d.generation != it.delivery.Session || d.ended {
		return
	}
	lock := d.locks[it.delivery.Seq]
	delete(d.locks, it.delivery.Seq)
	if verb == command.Abandon {
		d.failed[it.same()] = append(d.failed[it.same()], lock)
		a.uplink.seen(it.key)
		a.drainStep(link.Settled{}, time.Now())
		return
	}
	do := d.client.Complete
	if verb == command.Reject {
		do = d.client.Reject
	}
	d.ops = append(d.ops, func(ctx context.Context, token string) func() error {
		err := do(ctx, token, lock)
		return func() error { a.settledOver(d, it, verb, err); return nil }
	})
}

func (a *Agent) settledOver(d *drain, it *item, verb command.Duty, err error) {
	if a.uplink.drain != d {
		return
	}
	in := link.Settled{Err: err}
	if err == nil {
		a.uplink.seen(it.key)
		delete(a.uplink.owed, it.same())
	} else {
		// Whatever became of it, it comes again if the hub still has it.
		d.unsure = true
		if status, answered := said(err); answered {
			in.Wait = status.RetryAfter
		}
		a.log.Warn("not settled", "verb", verb.String(), "key", string(it.key), "error", err)
	}
	a.drainStep(in, time.Now())
}

// work puts the drain's next request on its way, or closes the drain.
func (a *Agent) work() error {
	d := a.uplink.drain
	if d == nil || d.busy {
		return nil
	}
	if len(d.ops) > 0 {
		op, token := d.ops[0], d.token
		d.ops, d.busy = d.ops[1:], true
		ctx, cancel := context.WithTimeout(a.uplink.ctx, requestWithin)
		go func() {
			defer cancel()
			after := op(ctx, token)
			date, at := d.client.Date()
			taken := a.post(a.uplink.ctx, func() error {
				d.busy = false
				return errors.Join(a.dated(date, at), after())
			})
			if !taken { // the loop has ended
				d.client.Close()
			}
		}()
		return nil
	}
	if !d.ended || a.flushing(d) {
		return nil
	}
	now := time.Now()
	answered, wait, err := d.machine.Result(now)
	a.uplink.drain = nil
	go d.client.Close()
	a.log.Info("drain is over", "why", d.machine.Kind().String(), "messages", d.seq, "error", err)
	switch {
	case answered:
		a.clear(command.AlarmUnreachable)
		if err == nil { // the queue is empty: all that was owed a reject has got it, or has expired
			clear(a.uplink.outstanding)
			clear(a.uplink.owed)
			a.uplink.deaf = false
			a.clear(command.AlarmUnrejectable)
		}
	case d.machine.Kind() == link.Poll:
		a.raise(command.AlarmUnreachable, fmt.Sprintf("a poll could not look at the queue: %v", err))
	}
	if d.machine.Kind() == link.Visit {
		a.visited(answered, d.machine.Stuck(), err)
	}
	return a.perform(a.uplink.machine.Step(link.Drained{Generation: d.generation, Answered: answered, Err: err, Wait: wait}, now))
}

// flushing reports whether the drain stays for the outbox.
func (a *Agent) flushing(d *drain) bool {
	now := time.Now()
	answered, _, _ := d.machine.Result(now)
	return answered && now.Before(d.flushBy) && (a.outbox.flying || a.outbox.more && a.outbox.retryAt.Before(d.flushBy) || !a.pending.urgent.IsZero())
}

// drainDue is when the drain has to be looked at; zero: its answer is awaited.
func (a *Agent) drainDue(now time.Time) time.Time {
	d := a.uplink.drain
	switch {
	case d == nil, d.ended && !now.Before(d.flushBy):
		return time.Time{}
	case d.ended:
		return d.flushBy
	}
	return d.machine.Next()
}
