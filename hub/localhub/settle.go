package localhub

import (
	"slices"
	"time"
)

// What follows from a change: the record, feedback, deliveries, the timer. All
// of it runs under the Hub's mutex.

// add puts an event into the record.
func (h *Hub) add(e Event) {
	e.At = time.Now()
	h.record.add(e)
}

// follow brings everything about a device up to date: what the queue reports
// is recorded, and what can be delivered now is.
func (h *Hub) follow(d *device, now time.Time) {
	d.queue.advance(now)
	h.report(d, now)
	if d.conn != nil {
		d.conn.deliver(now)
		h.report(d, now) // delivering may reject or complete
	}
}

// report records what happened in a device's queue and collects feedback.
func (h *Hub) report(d *device, now time.Time) {
	for _, c := range d.queue.changes() {
		e := Event{Device: d.ID, ID: nameOf(c.entry)}
		switch c.to {
		case Enqueued:
			e.Kind, e.Text = KindReleased, c.why
		case Completed:
			e.Kind = KindCompleted
		case DeadLettered:
			e.Kind, e.Status = KindDeadLettered, c.status
		}
		h.add(e)
		if c.to != Enqueued && wantsFeedback(c.entry.message.Ack, c.status) {
			h.collect(feedback{d.ID, c.entry.message.ID, c.status, now})
		}
	}
}

func (h *Hub) collect(f feedback) {
	if len(h.feedback) == 0 {
		h.batchDue = f.at.Add(feedbackDelay)
	}
	h.feedback = append(h.feedback, f)
	if !h.options.FeedbackBatch || len(h.feedback) >= feedbackBatch {
		h.sendFeedback()
	}
}

func (h *Hub) sendFeedback() {
	for _, f := range h.feedback {
		h.add(Event{Kind: KindFeedback, Device: f.device, ID: f.messageID, Status: f.status})
	}
	h.feedback, h.batchDue = nil, time.Time{}
}

// tick does what the passing of time made due.
func (h *Hub) tick() {
	h.mu.Lock()
	defer h.unlock()
	if h.closed {
		return
	}
	h.running.Add(1)
	defer h.running.Done()
	now := time.Now()
	if !h.batchDue.IsZero() && !now.Before(h.batchDue) {
		h.sendFeedback()
	}
	for _, c := range slices.Clone(h.conns) {
		switch {
		case !c.tokenEnd.IsZero() && !now.Before(c.tokenEnd):
			h.end(c, "token expired while connected (401003)")
		case !c.cutAt.IsZero() && !now.Before(c.cutAt):
			h.end(c, "fault: "+string(c.mode)+" is over")
		}
	}
	for _, d := range h.devices {
		h.follow(d, now)
	}
}

// unlock sets the timer, gives the mutex back and tells the observer what is
// new. Only one goroutine at a time tells, so that the order holds; the others
// leave their events to it.
func (h *Hub) unlock() {
	h.arm()
	r := &h.record
	if r.telling {
		h.mu.Unlock()
		return
	}
	r.telling = true
	for len(r.waiting) > 0 {
		e := r.waiting[0]
		r.waiting = r.waiting[1:]
		h.mu.Unlock()
		r.observe(e)
		h.mu.Lock()
	}
	r.telling = false
	h.mu.Unlock()
}

// arm sets the one timer to the earliest deadline.
func (h *Hub) arm() {
	if h.timer != nil {
		h.timer.Stop()
	}
	if h.closed {
		return
	}
	due := h.batchDue
	for _, c := range h.conns {
		due = earlier(due, earlier(c.tokenEnd, c.cutAt))
	}
	for _, d := range h.devices {
		due = earlier(due, d.queue.next())
	}
	if due.IsZero() {
		return
	}
	wait := max(0, time.Until(due))
	if h.timer == nil {
		h.timer = time.AfterFunc(wait, h.tick)
		return
	}
	h.timer.Reset(wait)
}
