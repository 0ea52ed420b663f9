package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/link"
	"actuatord/persist"
)

const (
	// storageRetry is how often a journal that cannot be opened is tried again
	// (design §5, storage).
	storageRetry = 30 * time.Second

	// The storage alarm is told once. Until it is, the pause doubles between these,
	// of which each is drawn anew: a power cut can break many cards at once.
	firstTell, longestTell = 2 * time.Second, 5 * time.Minute
)

// openJournal opens the journal, or keeps the outputs safe and tries again for
// as long as the storage is what is wrong. The opening runs outside: proving a
// large journal takes longer than the watchdog waits.
func (a *Agent) openJournal(ctx context.Context) error {
	var out outage
	defer func() { out.end() }()
	why := errors.New("it is being opened")
	for {
		err := a.tryJournal(ctx, &out, why)
		if err == nil && a.journal != nil {
			err = a.recover() // nothing has moved yet, so a full disk is no worse here than before
		}
		if err != nil && a.journal != nil {
			err = errors.Join(err, a.journal.Close())
			a.journal, a.pending = nil, pending{}
		}
		if err == nil || ctx.Err() != nil {
			if a.journal != nil {
				a.clear(command.AlarmStorage)
				a.notify(a.o.Notify.Ready())
			}
			if said := out.end(); said != nil { // two connections of ours would throw each other out
				a.idle(ctx, &out, said, why)
			}
			return nil
		}
		var storage *persist.StorageError
		if !errors.As(err, &storage) {
			return err // a person has to do something first
		}
		if !out.known || why.Error() != err.Error() { // once: the log may be on the same card
			a.log.Error("the journal cannot be used: outputs stay safe, nothing is carried out, messages stay on the hub", "error", err, "again", storageRetry)
		}
		why, out.known = err, true
		a.raise(command.AlarmStorage, err.Error())
		a.notify(a.o.Notify.Ready()) // a full disk must not become a restart loop
		a.notify(a.o.Notify.Status(fmt.Sprintf("storage: %v", err)))
		again := make(chan struct{})
		timer := time.AfterFunc(storageRetry, func() { close(again) })
		a.idle(ctx, &out, again, err)
		timer.Stop()
	}
}

// tryJournal makes one attempt. The journal that it may bring even though ctx
// has ended is kept, to be closed.
func (a *Agent) tryJournal(ctx context.Context, out *outage, why error) (err error) {
	opened := make(chan struct{})
	now := a.now()
	var journal *persist.Journal
	var facts persist.Opened
	go func() {
		defer close(opened)
		journal, facts, err = a.o.Open(ctx, now)
		if err != nil {
			journal = nil
			return
		}
		if err = journal.Probe(now); err != nil {
			err = errors.Join(err, journal.Close())
			journal = nil
		}
	}()
	a.idle(ctx, out, opened, why)
	<-opened // it ends soon after ctx does
	a.journal, a.opened = journal, facts
	return err
}

// idle waits until wake is closed or ctx ends, with the watchdog fed, people
// answered, the clock and the board looked at, and the hub told of an outage.
func (a *Agent) idle(ctx context.Context, out *outage, wake <-chan struct{}, why error) {
	for {
		now := time.Now()
		if err := a.lookAtClock(now); err != nil {
			a.log.Error("while the journal is not there", "error", err)
		}
		a.watchFaults(now)
		a.beat(now)
		a.tellOutage(out, now)
		next := a.timekeeping.sync
		for _, t := range []time.Time{a.pulse.at, a.alarms.look, out.at} {
			if now.Before(t) && t.Before(next) {
				next = t
			}
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-wake:
			timer.Stop()
			return
		case fn := <-a.events:
			if err := fn(); err != nil {
				a.log.Error("while the journal is not there", "error", err)
			}
		case r := <-a.o.Control:
			a.answerWithoutJournal(r, why)
		case r := <-a.o.Reload:
			if err := a.reload(r); err != nil {
				a.log.Error("while the journal is not there", "error", err)
			}
		case <-timer.C:
		}
		timer.Stop()
	}
}

// outage is a journal that cannot be used, and how far the hub knows of it. The
// outbox is in that journal, so the alarm goes to the hub from memory, once: it
// has no reportId and no seq. When the journal is back, its report follows like
// any other.
type outage struct {
	known  bool      // there is one
	at     time.Time // not told before
	told   bool
	pause  time.Duration
	cancel context.CancelFunc // of the attempt under way; nil: none is
	ended  chan struct{}      // closed behind it
}

// end gives up the attempt under way and answers what is closed behind it; nil:
// none is.
func (o *outage) end() <-chan struct{} {
	o.told = true
	if o.cancel == nil {
		return nil
	}
	o.cancel()
	return o.ended
}

// tellOutage puts the storage alarm on its way to the hub, once the time is known
// well enough to sign for it.
func (a *Agent) tellOutage(o *outage, now time.Time) {
	if !o.known || o.told || o.cancel != nil || now.Before(o.at) {
		return
	}
	if ready := a.boot.Add(a.o.Config.Clock.Wait); !a.clock.Trusted() && now.Before(ready) {
		return // the clock is looked at every second, and this with it
	}
	t, err := telemetry(a.stamped(command.Report{
		Kind: command.KindAlarm, Alarm: command.AlarmStorage, State: command.StateRaised,
		Detail: a.alarms.raised[command.AlarmStorage].detail, Version: a.o.Version,
	}))
	if err != nil {
		a.log.Error("the storage alarm cannot be told", "error", err)
		o.told = true
		return
	}
	o.pause = min(max(2*o.pause, firstTell), longestTell)
	within, cancel := context.WithTimeout(a.uplink.ctx, 2*connectWithin)
	o.cancel, o.ended, o.at = cancel, make(chan struct{}), time.Time{}
	ended, tell := o.ended, a.teller(t)
	go func() {
		defer close(ended)
		defer cancel()
		strayed, err := tell(within)
		a.post(a.uplink.ctx, func() error {
			o.cancel = nil
			a.uplink.strayed = a.uplink.strayed || strayed
			if err == nil {
				o.told = true
				a.log.Info("the hub was told of the storage alarm")
			}
			if o.told { // or there is nothing to tell any more
				return nil
			}
			pause := rand.N(o.pause) + firstTell
			o.at = time.Now().Add(pause)
			a.log.Warn("the hub was not told of the storage alarm", "error", err, "again", pause)
			return nil
		})
	}()
}

// teller answers what takes t to the hub outside the loop. HTTPS first: it leaves
// no trace on the queue. A session, which is the way where 443 is blocked, may have
// the hub deliver what is queued; nothing is subscribed or acknowledged, so it
// stays there, locked for a minute at most. strayed: a CONNECT was tried, and the hub
// may have a session of ours from it.
func (a *Agent) teller(t hub.Telemetry) func(context.Context) (strayed bool, err error) {
	id, at, token := a.uplink.identity, a.at(), a.token()
	return func(ctx context.Context) (strayed bool, err error) {
		within, cancel := context.WithTimeout(ctx, requestWithin)
		defer cancel()
		c := a.o.REST(id, at)
		err = c.Send(within, token, t)
		c.Close()
		if err == nil {
			return false, nil
		}
		s, connectErr := a.o.Connect(ctx, link.RungMQTT, 0, id, at, token)
		if connectErr != nil {
			return true, errors.Join(err, connectErr)
		}
		defer s.Close()
		return true, s.Publish(ctx, t)
	}
}
