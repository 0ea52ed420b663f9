package main

import (
	"encoding/json"
	"slices"
	"sync"

	"actuatord/hub/localhub"
	"actuatord/test/torture/judge"
)

// record is what one device was sent and what the hub told of it.
type record struct {
	mu      sync.Mutex
	sent    []judge.Sent
	events  []localhub.Event
	changed chan struct{} // closed and made anew at every event
}

func newRecord() *record { return &record{changed: make(chan struct{})} }

func (r *record) observe(e localhub.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	close(r.changed)
	r.changed = make(chan struct{})
}

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

// count is how often something of a kind happened, and what is closed at the next event.
func (r *record) count(k localhub.Kind) (n int, next <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == k {
			n++
		}
	}
	return n, r.changed
}

// told is what a device said of itself, each report once.
type told struct {
	starts map[string]int // by what went before
	alarms map[string]int // raised
	causes map[string]int // reasons of outcomes and changes
}

func (r *record) told() told {
	t := told{map[string]int{}, map[string]int{}, map[string]int{}}
	_, events := r.all()
	seen := map[string]bool{}
	for _, e := range events {
		var rep struct{ Kind, ReportID, Cause, Reason, Alarm, State string }
		if e.Kind != localhub.KindTelemetry || json.Unmarshal(e.Telemetry.Body, &rep) != nil || seen[rep.ReportID] {
			continue
		}
		seen[rep.ReportID] = rep.ReportID != "" // a storage alarm has none
		switch {
		case rep.Kind == "start":
			t.starts[rep.Cause]++
		case rep.Kind == "alarm" && rep.State == "raised":
			t.alarms[rep.Alarm]++
		case rep.Reason != "":
			t.causes[rep.Reason]++
		}
	}
	return t
}

// words are the ways in which a device said that its memory is not what it was.
func (t told) words() (said []string) {
	if t.starts["new journal"] > 1 {
		said = append(said, "a new journal")
	}
	for _, name := range []string{"history-lost", "storage"} {
		if t.alarms[name] > 0 {
			said = append(said, "alarm "+name)
		}
	}
	return said
}
