package agent

import (
	"context"
	"encoding/json"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
)

// publishWithin bounds one report's way to the hub. The hub answers in a
// fraction of a second; half a minute covers a mobile link that pages.
const publishWithin = 30 * time.Second

// outbox sends the journal's reports, oldest first and one at a time, whenever
// a session stands. It backs off by itself and never delays a command.
type outbox struct {
	more    bool   // the journal may hold reports behind sent
	flying  bool   // one is on its way
	sent    uint64 // the last that the hub has confirmed
	retryAt time.Time
	pause   time.Duration
}

// send puts the next report on its way, if there is one and a session to carry
// it. A report is only ever sent from disk, so that what the hub knows survives.
func (a *Agent) send() error {
	o := &a.outbox
	if o.flying || !o.more || !o.retryAt.IsZero() || !a.uplink.subscribed || a.stopping {
		return nil
	}
	next, err := a.journal.Outbox(o.sent, 1)
	if err != nil {
		return unknown(err)
	}
	if o.more = len(next) > 0; !o.more {
		return nil
	}
	t, err := telemetry(next[0])
	if err != nil {
		a.log.Error("a report cannot be encoded and is passed over", "seq", next[0].Seq, "error", err)
		o.sent = next[0].Seq
		return nil
	}
	o.flying = true
	s, seq := a.uplink.session, next[0].Seq
	go func() {
		ctx, cancel := context.WithTimeout(a.uplink.ctx, publishWithin)
		defer cancel()
		err := s.Publish(ctx, t)
		a.post(a.uplink.ctx, func() error { a.published(seq, err); return nil })
	}()
	return nil
}

// telemetry is how a report travels. Without both content type and encoding a
// hub route cannot look into the body (hub document, message routing).
func telemetry(r command.Report) (hub.Telemetry, error) {
	body, err := json.Marshal(r)
	t := hub.Telemetry{
		CorrelationID: r.MessageID, ContentType: "application/json", ContentEncoding: "utf-8",
		Properties: map[string]string{"kind": r.Kind}, Body: body,
	}
	if r.Outcome != "" {
		t.Properties["outcome"] = r.Outcome
	}
	return t, err
}

// published takes the hub's word, or the lack of it. Only a confirmed report is
// taken out of the journal, with whatever commit comes next.
func (a *Agent) published(seq uint64, err error) {
	o := &a.outbox
	o.flying = false
	if err != nil {
		o.pause = min(max(2*o.pause, time.Second), time.Minute)
		o.retryAt = time.Now().Add(o.pause)
		a.log.Warn("report not confirmed", "seq", seq, "error", err, "again", o.pause)
		return
	}
	o.sent, o.pause = seq, 0
	a.pending.batch.Confirm(seq)
	a.pending.told++
	a.pending.lazily(time.Now())
}
