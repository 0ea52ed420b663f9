package agent

import (
	"slices"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/link"
)

// held is a delivery that must be rejected, which MQTT cannot do.
type held struct {
	it    *item
	since time.Time // on the monotonic clock: when it was first received, as far as is known
}

// settle answers the hub, or the person at the board. It is called behind the
// commit that the answer rests on.
func (a *Agent) settle(it *item, verb command.Duty) {
	if it.reply != nil {
		it.reply <- Answer{Outcome: a.told(it)}
		return
	}
	if it.delivery.Via == hub.HTTPS {
		a.settleDrained(it, verb)
		return
	}
	s := a.uplink.session
	if s == nil || s.Generation() != it.delivery.Session {
		return // its session is gone: the hub delivers again, and the journal knows the answer
	}
	if verb == command.Complete {
		s.Complete(it.delivery.Seq)
		return
	}
	// MQTT can only complete, and a completion would tell the sender Success. The
	// delivery stays unacknowledged until a settle visit rejects it over HTTPS.
	u := &a.uplink
	u.held = slices.DeleteFunc(u.held, func(h held) bool { return !s.Holds(h.it.delivery.Seq) }) // it was delivered again on this very session
	u.held = append(u.held, held{it, a.owedSince(it)})
	a.log.Info("held: it is owed a reject, which MQTT cannot give", "key", string(it.life.Record.Key), "held", len(u.held))
}

// owedMost bounds how many refused messages are remembered over sessions: more
// than a hub keeps for a device, however often it changes.
const owedMost = 4 * queueBound

// owedSince is when the message was first received, by what the journal knows if
// its dates can be read, and otherwise by what this run has seen.
func (a *Agent) owedSince(it *item) time.Time {
	u, same, now := &a.uplink, it.same(), time.Now()
	since, known := u.owed[same]
	if !known {
		since = it.received
		u.owe(same, since)
	}
	if first := it.life.Record.FirstSeen; !first.IsZero() && a.clock.Trusted() {
		if at := now.Add(-max(0, a.now().Sub(first))); at.Before(since) {
			since = at
		}
	}
	return since
}

// owe remembers since when a message waits for its reject.
func (u *uplink) owe(m sameAs, since time.Time) {
	if u.owed == nil {
		u.owed = map[sameAs]time.Time{}
	}
	if len(u.owed) >= owedMost {
		oldest := m
		for k, at := range u.owed {
			if at.Before(since) {
				oldest, since = k, at
			}
		}
		delete(u.owed, oldest)
		if oldest == m {
			return
		}
	}
	u.owed[m] = since
}

// lockSure is how long after a delivery its lock certainly stands: it lasts 60 s
// (hub document §3). A PUBACK for one that has lapsed may end the session, and
// completes nothing.
const lockSure = 45 * time.Second

// releaseAt is when the first held delivery may be completed although it was
// refused; zero: never, or a settle visit is due and comes first. While the session
// is being left there is nothing to wake up for either.
func (a *Agent) releaseAt(now time.Time) time.Time {
	u, policy := &a.uplink, a.o.Config.Hub.OnUnrejectable
	if len(u.held) == 0 || u.session == nil || u.leaving {
		return time.Time{}
	}
	at := a.expiredAt(now)
	if policy.Hold || !u.deaf || u.machine.VisitDue(now) {
		return at
	}
	if after := u.held[0].since.Add(policy.After); at.IsZero() || after.Before(at) {
		return after
	}
	return at
}

// expiredAt is when the first held delivery, or a later one, will have expired at
// the hub: a new session is spared it, and what it blocks can be completed. Zero:
// none does, or the clock cannot say.
func (a *Agent) expiredAt(now time.Time) (at time.Time) {
	u := &a.uplink
	if !a.clock.Trusted() {
		return at
	}
	for _, h := range u.held {
		e := h.it.delivery.Message.Expiry
		if e.IsZero() {
			continue
		}
		when := now.Add(e.Sub(a.now()) + hubsClock)
		came := when.After(h.it.received.Add(hubsClock)) // before it expired; else a new session would not spare us it
		if stable := u.since.Add(letStand); when.Before(stable) {
			when = stable
		}
		if came && (at.IsZero() || when.Before(at)) {
			at = when
		}
	}
	return at
}

// letStand is how long a session stands before it is left for an expired message: long
// enough to count as stable, or messages that expire each minute would make the link
// look bad; and, as lockSure, beyond the 30 s in which the machine puts a renewal off,
// or the loop would be woken for it without a pause.
const letStand = 150 * time.Second

// hubsClock is how far behind ours the hub's clock may be before an expired message
// is delivered once more, which costs a session: a few seconds, by its Date.
const hubsClock = 5 * time.Second

// release completes what was refused, where the configuration says so, HTTPS was
// of no use at the last visit, and the time to hold is over. The sender is told
// Success; the report says that it was not.
func (a *Agent) release(now time.Time) error {
	u := &a.uplink
	for at := a.releaseAt(now); !at.IsZero() && !now.Before(at); at = a.releaseAt(now) {
		it := u.held[0].it
		if expired := a.expiredAt(now); !expired.IsZero() && !now.Before(expired) {
			return a.perform(u.machine.Step(link.Renew{Why: "a message that was to be rejected has expired at the hub: what is behind it can be completed"}, now))
		}
		if now.Sub(it.received) > lockSure {
			return a.perform(u.machine.Step(link.Renew{Why: "a message that is to be completed must be delivered afresh"}, now))
		}
		u.held = u.held[1:]
		delete(u.owed, it.same())
		r := it.life.Record
		a.pending.batch.Report(a.stamped(command.Report{
			Kind: command.KindAlarm, Alarm: command.AlarmUnrejectable, State: command.StateCompleted, MessageID: r.MessageID, ID: it.life.Command.ID,
			Target: r.Target, Action: r.Action, Outcome: r.State.String(), Reason: r.Reason,
			Detail: "it was not carried out, HTTPS could not be used to reject it, and on_unrejectable has it completed: its feedback says Success",
		}))
		a.pending.urge(now)
		s, seq := u.session, it.delivery.Seq
		a.pending.settle(func() { s.Complete(seq) })
		a.log.Warn("completed although it was refused", "key", string(r.Key), "reason", string(r.Reason))
	}
	return nil
}

// visited takes what came of a settle visit: err is why it ended before the queue
// was empty, stuck that one settlement after the other failed. A hub that is busy
// will have time; one that says no for good, or no answer at all, means that MQTT is
// all there is.
func (a *Agent) visited(answered, stuck bool, err error) {
	u := &a.uplink
	_, refused := said(err)
	u.deaf = err != nil && (refused && hub.ClassOf(err) != hub.RetrySoon || !refused && (!answered || stuck))
	switch {
	case err == nil:
		a.clear(command.AlarmUnrejectable)
	case u.deaf:
		u.deafAt = time.Now()
		detail := "messages that must be rejected block the queue until they expire: HTTPS cannot be used"
		if !a.o.Config.Hub.OnUnrejectable.Hold {
			detail = "HTTPS cannot be used to reject messages: they are completed as on_unrejectable says"
		}
		a.raise(command.AlarmUnrejectable, detail+": "+err.Error())
	}
}

// unrejectableFor is how long nothing must have been held behind the last visit
// that was of no use, before the alarm of it is cleared: with a message a minute
// each report of an alarm would be followed by one of its end.
const unrejectableFor = time.Hour

// visits spreads an hour's settle visits evenly, and allows a quarter more of urgent
// ones.
func visits(hourly int) (every time.Duration, rush int) {
	hourly = max(hourly, 1)
	return time.Hour / time.Duration(hourly), hourly / 4
}
