package agent

import (
	"context"
	"slices"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
)

// unsettled is a delivery of a session that is not settled yet.
type unsettled struct {
	it    *item
	until time.Time // when the hub has given it up at the latest, as far as is known
	open  bool      // no PUBACK of it can have left before its session ended
}

// leftFor bounds how long what a dead session had is expected to come again: the
// hub's default for a message's life. Behind it a message without an id is a new one.
const leftFor = time.Hour

func (a *Agent) unsettledUntil(it *item) unsettled {
	until := it.received.Add(leftFor)
	if e := it.delivery.Message.Expiry; !e.IsZero() && a.clock.Trusted() {
		if expired := it.received.Add(e.Sub(a.now())); expired.Before(until) {
			until = expired
		}
	}
	return unsettled{it: it, until: until}
}

// done reports whether a delivery of k that comes now is one that a dead session had,
// and that was carried out, or found to have been. The hub delivers in order, so it
// is the oldest of them.
func (u *uplink) done(k command.Key) bool {
	left := u.outstanding[k]
	if len(left) == 0 || !left[0].open || !time.Now().Before(left[0].until) {
		return false // what may be gone from the hub does not stand in for a new message of the same words
	}
	r := left[0].it.life.Record
	return r.State == command.Done && r.Key == k
}

// seen takes note that a message that a dead session delivered has been settled, or
// delivered again.
func (u *uplink) seen(k command.Key) {
	if left := u.outstanding[k]; len(left) > 1 {
		u.outstanding[k] = left[1:]
		return
	}
	delete(u.outstanding, k)
}

// bury remembers what the session leaves unsettled: its last deliveries, since
// PUBACKs leave in the order of receipt. That may be some too many, which have drains
// look for longer than they need: the session counts what the loop has not had yet,
// and a PUBACK that is on its way.
func (u *uplink) bury() {
	n := min(u.session.Unsettled(), len(u.inSession))
	for k, left := range u.outstanding {
		if left = slices.DeleteFunc(left, func(l unsettled) bool { return !time.Now().Before(l.until) }); len(left) == 0 {
			delete(u.outstanding, k)
		} else {
			u.outstanding[k] = left
		}
	}
	if u.outstanding == nil || len(u.outstanding) > owedMost { // what the hub itself has forgotten piles up
		u.outstanding = map[command.Key][]unsettled{}
	}
	for _, left := range u.inSession[len(u.inSession)-n:] {
		left.open = u.session.Holds(left.it.delivery.Seq)
		u.outstanding[left.it.key] = append(u.outstanding[left.it.key], left)
	}
	u.session, u.subscribed, u.held, u.inSession = nil, false, nil, nil
}

// carrier is how a report can travel now: over which session or drain. The zero
// value: not at all.
type carrier struct {
	publish    func(context.Context, hub.Telemetry) error
	generation uint64
	session    bool
}

func (u *uplink) carrier() carrier {
	switch {
	case u.subscribed:
		return carrier{u.session.Publish, u.session.Generation(), true}
	case u.drain != nil && u.drain.heard() && !(u.drain.ended && u.drain.flushBy.IsZero()):
		return carrier{u.drain.send, u.drain.generation, false}
	}
	return carrier{}
}
