package main

import (
	"fmt"
	"sync"
	"time"

	"actuatord/hub/localhub"
)

// sign is what the hub will see: of a device, and of a message or (id empty) at all.
type sign struct {
	kind   localhub.Kind
	device string
	id     string
}

// watch hands the time of an event to who expects it. It runs in the hub's own
// goroutines, between two packets: an event that nobody expects costs one look
// into a map.
type watch struct {
	mu       sync.Mutex
	expected map[sign]chan time.Time
}

func newWatch() *watch { return &watch{expected: map[sign]chan time.Time{}} }

// expect is asked before what causes the event.
func (w *watch) expect(s sign) <-chan time.Time {
	ch := make(chan time.Time, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected[s] = ch
	return ch
}

func (w *watch) observe(e localhub.Event) {
	s := sign{e.Kind, e.Device, e.ID}
	switch e.Kind {
	case localhub.KindTelemetry:
		if e.Telemetry.Properties["kind"] != "outcome" {
			return
		}
		s.id = e.Telemetry.CorrelationID
	case localhub.KindSubscribed, localhub.KindDelivered, localhub.KindCompleted:
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch, ok := w.expected[s]; ok {
		delete(w.expected, s)
		ch <- e.At
	}
}

func (s sign) String() string { return fmt.Sprintf("%s %s of %s", s.kind, s.id, s.device) }
