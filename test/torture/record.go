package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"actuatord/hub/localhub"
	"actuatord/test/torture/judge"
)

// record is everything that was sent and that the hub has told, and who waits for
// what. The hub's own keeps only its last events.
type record struct {
	mu      sync.Mutex
	sent    []judge.Sent
	events  []localhub.Event
	waiters []*waiter
	struck  int // faults
}

// waiter waits for an event of a kind; skip of them pass first.
type waiter struct {
	device string
	kind   localhub.Kind
	skip   int
	came   chan struct{}
}

func newRecord() *record { return &record{} }

// observe takes the hub's events.
func (r *record) observe(e localhub.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	if e.Kind == localhub.KindFault {
		r.struck++
	}
	r.waiters = slices.DeleteFunc(r.waiters, func(w *waiter) bool {
		if w.device != e.Device || w.kind != e.Kind {
			return false
		}
		if w.skip > 0 {
			w.skip--
			return false
		}
		close(w.came)
		return true
	})
}

// took notes a message that the hub has taken.
func (r *record) took(s judge.Sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, s)
}

// all is what there is so far; neither list ever changes in place.
func (r *record) all() ([]judge.Sent, []localhub.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.sent), slices.Clip(r.events)
}

// once waits until an event of a kind has happened to a device at all.
func (r *record) once(ctx context.Context, device string, kind localhub.Kind, within time.Duration) bool {
	r.mu.Lock()
	happened := slices.ContainsFunc(r.events, func(e localhub.Event) bool { return e.Device == device && e.Kind == kind })
	w := r.wait(device, kind, 0)
	r.mu.Unlock()
	return happened || r.came(ctx, w, within)
}

// next waits for an event that is still to come; skip of them pass first. false: it
// did not come within the time.
func (r *record) next(ctx context.Context, device string, kind localhub.Kind, skip int, within time.Duration) bool {
	r.mu.Lock()
	w := r.wait(device, kind, skip)
	r.mu.Unlock()
	return r.came(ctx, w, within)
}

func (r *record) wait(device string, kind localhub.Kind, skip int) *waiter {
	w := &waiter{device: device, kind: kind, skip: skip, came: make(chan struct{})}
	r.waiters = append(r.waiters, w)
	return w
}

func (r *record) came(ctx context.Context, w *waiter, within time.Duration) bool {
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-w.came:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiters = slices.DeleteFunc(r.waiters, func(other *waiter) bool { return other == w })
	return false
}
