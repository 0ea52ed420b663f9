package agent

import (
	"fmt"
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
	h := held{it: it, since: it.received}
	if first := it.life.Record.FirstSeen; !first.IsZero() && a.clock.Trusted() {
		h.since = time.Now().Add(-max(0, a.now().Sub(first)))
	}
	a.uplink.held = append(a.uplink.held, h)
	a.log.Info("held: it is owed a reject, which MQTT cannot give", "key", string(it.life.Record.Key), "held", len(a.uplink.held))
}

// releaseAt is when the first held delivery may be completed although it was
// refused; zero: never, or a settle visit is due and comes first. While the session
// is being left for it there is nothing to wake up for either.
func (a *Agent) releaseAt(now time.Time) time.Time {
	u, policy := &a.uplink, a.o.Config.Hub.OnUnrejectable
	if policy.Hold || !u.deaf || len(u.held) == 0 || u.session == nil || u.machine.VisitDue(now) {
		return time.Time{}
	}
	return u.held[0].since.Add(policy.After)
}

// release completes what was refused, where the configuration says so, HTTPS gave
// the last visit no answer, and the time to hold is over. The sender is told
// Success; the report says that it was not.
func (a *Agent) release(now time.Time) {
	u := &a.uplink
	for at := a.releaseAt(now); !at.IsZero() && !now.Before(at); at = a.releaseAt(now) {
		it := u.held[0].it
		u.held = u.held[1:]
		r := it.life.Record
		a.pending.batch.Report(a.stamped(command.Report{
			Kind: command.KindAlarm, Alarm: command.AlarmUnrejectable, State: command.StateCompleted, MessageID: r.MessageID, ID: it.life.Command.ID,
			Target: r.Target, Action: r.Action, Outcome: r.State.String(), Reason: r.Reason,
			Detail: "it was not carried out, HTTPS could not be reached to reject it, and on_unrejectable has it completed: its feedback says Success",
		}))
		a.pending.urge(now)
		s, seq := u.session, it.delivery.Seq
		a.pending.settle(func() { s.Complete(seq) })
		a.log.Warn("completed although it was refused", "key", string(r.Key), "reason", string(r.Reason))
	}
}

// visited takes what came of a settle visit.
func (a *Agent) visited(answered bool, err error) {
	a.uplink.deaf = !answered
	if answered {
		a.clear(command.AlarmUnrejectable)
		return
	}
	detail := "messages that must be rejected block the queue until they expire: HTTPS cannot be reached"
	if !a.o.Config.Hub.OnUnrejectable.Hold {
		detail = "HTTPS cannot be reached to reject messages: they are completed as on_unrejectable says"
	}
	if err != nil {
		detail += ": " + err.Error()
	}
	a.raise(command.AlarmUnrejectable, command.Refuse("", "%s", detail).Detail)
}

// visitEvery is how far apart settle visits are at least.
func (a *Agent) visitEvery() time.Duration {
	return time.Hour / time.Duration(max(a.o.Config.Hub.SettleVisits, 1))
}

// reload takes up a changed connection string: the next session and the next
// request are signed with it. Nothing in hand is touched.
func (a *Agent) reload(r Reload) error {
	u := &a.uplink
	if r.Identity.HostName != u.identity.HostName || r.Identity.DeviceID != u.identity.DeviceID {
		r.Done <- fmt.Errorf("the connection string is for device %s at %s, and the journal is for %s at %s: restart the service to take it up",
			r.Identity.DeviceID, r.Identity.HostName, u.identity.DeviceID, u.identity.HostName)
		return nil
	}
	u.identity = r.Identity
	if u.drain != nil {
		u.drain.token = a.token()
	}
	r.Done <- nil
	a.log.Info("a new connection string is in use")
	if !u.started {
		return nil
	}
	return a.perform(u.machine.Step(link.Credentials{}, time.Now()))
}
