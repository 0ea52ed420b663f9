package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
)

const (
	// publishWithin bounds one report's way to the hub. The hub answers in a
	// fraction of a second; half a minute covers a mobile link that pages.
	publishWithin = 30 * time.Second

	// shortestPause and longestPause bound what passes before a report that was
	// not confirmed is sent again. The link has its own back-off and a session
	// takes one report at a time, so there is no herd to spread.
	shortestPause, longestPause = time.Second, time.Minute

	// firstShy and longestShy bound what passes before a report is sent over a session
	// again, once one was on its way when a session ended; it doubles with each. A hub
	// whose quota for the day is used up ends every session that brings it a report
	// (hub document §1.10), and commands must not be without a session for that. The
	// first is longer than the 30 s below which a session that ends is taken for the
	// work of another device.
	firstShy, longestShy = 45 * time.Second, time.Hour

	// telemetryLimit is the hub's bound on a device-to-cloud message, properties
	// included (hub document, D2C); propertiesRoom is more than ours ever take: a
	// correlation id of 300 bytes, three times that when escaped, and some words.
	telemetryLimit, propertiesRoom = 256 << 10, 4 << 10

	// backAfter is how many sessions a report may have been on its way in when
	// they ended (design §6, reports). One is chance; so are two on a bad link.
	backAfter = 3
)

// outbox sends the journal's reports, oldest first and one at a time, over
// whatever link stands. It backs off by itself and never delays a command.
//
// A report that takes the session down with it must not keep all others from the
// hub: after backAfter such losses it waits until everything else is sent, and is
// tried again then, for as long as the journal holds it. That is kept in memory
// only: on disk it would cost a write for each loss of a session, and what a
// restart forgets is learnt again in as many sessions.
type outbox struct {
	more    bool      // there may be something to send
	flying  bool      // one is on its way
	sent    uint64    // up to this one all are confirmed, lost, or in back
	head    suspect   // of those behind sent, the one that was blamed last
	back    []suspect // those that wait for all others, in the order of their next try
	last    attempt   // what was sent last; zero: it was confirmed, or blamed
	link    uint64    // the generation that carries reports; 0: none does
	retryAt time.Time
	pause   time.Duration
	shy     time.Duration // 0: no report is to blame
	spare   time.Time     // no report over a session before
	backAt  time.Time     // when the first at the back is tried again; zero: it is not waited for
}

// A suspect is a report that was on its way when a session ended.
type suspect struct {
	seq    uint64
	losses int
	pause  time.Duration // at the back: doubles with each loss …
	next   time.Time     // … and it is not tried again before
}

type attempt struct {
	seq, generation uint64
	session         bool // and not a drain
	survived        bool // its time ran out, and the session still stood
}

// send puts the next report on its way, if there is one and a link to carry it.
// A report is only ever sent from disk, so that what the hub knows survives.
func (a *Agent) send() error {
	o := &a.outbox
	by := a.uplink.carrier()
	if blamed := o.onto(by, time.Now()); blamed != 0 {
		a.log.Warn("a report was on its way when one session after the other ended: everything else is sent before it", "seq", blamed)
	}
	if o.flying || by.publish == nil || !o.retryAt.IsZero() || a.stopping {
		return nil
	}
	for o.more {
		rep, err := a.nextReport(by)
		if err != nil || rep == nil {
			return err
		}
		t, err := telemetry(*rep)
		if err != nil {
			a.loseReport(rep.Seq, err)
			continue
		}
		a.fly(by.publish, t, attempt{seq: rep.Seq, generation: by.generation, session: by.session})
		return nil
	}
	return nil
}

// onto takes note of what carries reports now, and answers the report that goes to
// the back because of it; 0: none. What was sent over the link that is gone and was
// not confirmed by it, be it because its time ran out, is blamed for the loss. Where
// the loss has another cause, three in a row that hit the same report are rare, and
// cost it nothing but its place.
func (o *outbox) onto(by carrier, now time.Time) (blamed uint64) {
	if o.flying {
		return 0 // its answer is on the way here
	}
	if l := o.last; l.seq != 0 && l.generation != by.generation {
		o.last = attempt{}
		switch {
		case !l.session || l.survived:
		case len(o.back) > 0 && o.back[0].seq == l.seq: // it alone has to wait: others pass it
			b := &o.back[0]
			b.pause = min(max(2*b.pause, firstShy), longestShy)
			b.next = now.Add(b.pause)
		default:
			o.shy = min(max(2*o.shy, firstShy), longestShy)
			o.spare = now.Add(o.shy)
		}
		blamed = o.blame(l.seq)
	}
	if by.generation != o.link {
		o.link, o.pause, o.retryAt = by.generation, 0, time.Time{}
		if by.session && now.Before(o.spare) {
			o.retryAt = o.spare
		}
	}
	return blamed
}

// blame counts a loss, and answers seq if that takes it to the back.
func (o *outbox) blame(seq uint64) uint64 {
	if len(o.back) > 0 && o.back[0].seq == seq {
		if o.back[0].losses++; o.back[0].losses < backAfter {
			return 0
		}
		o.back = append(o.back[1:], suspect{seq: seq, pause: o.back[0].pause, next: o.back[0].next})
		return seq
	}
	if o.head.seq != seq {
		o.head = suspect{seq: seq}
	}
	if o.head.losses++; o.head.losses < backAfter {
		return 0
	}
	o.sent, o.back = seq, append(o.back, suspect{seq: seq, pause: o.shy, next: o.spare})
	o.shy, o.spare = 0, time.Time{} // the others are not to blame
	return seq
}

// settled takes seq out: it needs no sending any more.
func (o *outbox) settled(seq uint64) {
	if len(o.back) > 0 && o.back[0].seq == seq {
		o.back = o.back[1:]
		return
	}
	o.sent = seq
}

// nextReport is the report to send now: the oldest, or if there is no other the
// first of those at the back. nil: none.
func (a *Agent) nextReport(over carrier) (*command.Report, error) {
	o := &a.outbox
	next, err := a.journal.Outbox(o.sent, 1)
	if err != nil {
		return nil, unknown(err)
	}
	if len(next) > 0 {
		return &next[0], nil
	}
	o.backAt = time.Time{}
	for len(o.back) > 0 {
		if next := o.back[0].next; over.session && time.Now().Before(next) {
			o.backAt = next
			break
		}
		seq := o.back[0].seq
		if next, err = a.journal.Outbox(seq-1, 1); err != nil {
			return nil, unknown(err)
		}
		if len(next) > 0 && next[0].Seq == seq {
			return &next[0], nil
		}
		o.back = o.back[1:] // a full outbox has thrown it out
	}
	o.more = false
	return nil, nil
}

// fly sends t outside the loop.
func (a *Agent) fly(publish func(context.Context, hub.Telemetry) error, t hub.Telemetry, at attempt) {
	a.outbox.flying, a.outbox.last = true, at
	go func() {
		ctx, cancel := context.WithTimeout(a.uplink.ctx, publishWithin)
		defer cancel()
		err := publish(ctx, t)
		a.post(a.uplink.ctx, func() error { a.published(at.seq, err); return nil })
	}()
}

// published takes the hub's word, or the lack of it. Only a confirmed report is
// taken out of the journal, with whatever commit comes next.
func (a *Agent) published(seq uint64, err error) {
	o := &a.outbox
	o.flying = false
	if err != nil {
		o.last.survived = errors.Is(err, context.DeadlineExceeded)
		o.pause = min(max(2*o.pause, shortestPause), longestPause)
		o.retryAt = time.Now().Add(o.pause)
		if hub.CauseOf(err) != hub.CauseClosed { // we left the session, and said why
			a.log.Warn("report not confirmed", "seq", seq, "error", err, "again", o.pause)
		}
		return
	}
	o.last, o.pause, o.shy, o.spare = attempt{}, 0, 0, time.Time{}
	o.settled(seq)
	a.pending.batch.Confirm(seq)
	a.pending.told++
	a.pending.lazily(time.Now())
}

// loseReport gives up a report that can never be sent. Its number is missing at
// the hub, which is how its reader learns of it.
func (a *Agent) loseReport(seq uint64, why error) {
	a.log.Error("a report cannot be sent and is lost", "seq", seq, "error", why)
	a.outbox.settled(seq)
	a.pending.batch.Lose(seq)
	a.pending.told++
	a.pending.lazily(time.Now())
}

// telemetry is how a report travels. Without both content type and encoding a
// hub route cannot look into the body (hub document, message routing).
func telemetry(r command.Report) (hub.Telemetry, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return hub.Telemetry{}, fmt.Errorf("encode report: %w", err)
	}
	if len(body) > telemetryLimit-propertiesRoom {
		return hub.Telemetry{}, fmt.Errorf("encode report: %d bytes are more than the hub takes", len(body))
	}
	t := hub.Telemetry{
		CorrelationID: r.MessageID, ContentType: "application/json", ContentEncoding: "utf-8",
		Properties: map[string]string{"kind": r.Kind}, Body: body,
	}
	if r.Outcome != "" {
		t.Properties["outcome"] = r.Outcome
	}
	return t, nil
}
