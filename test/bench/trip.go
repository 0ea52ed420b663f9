package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"actuatord/board/sim"
	"actuatord/hub"
	"actuatord/hub/localhub"
)

// trip is one message's way: written to the device's socket, and its PUBACK back.
type trip struct {
	id                 string
	delivered, settled time.Time
}

// asked is a message that was sent, and what is awaited of it.
type asked struct {
	id                           string
	delivered, settled, reported <-chan time.Time
}

// send puts one command into the queue of p's device.
func (p *process) send(body string) (asked, error) {
	r := p.rig
	r.sent++
	a := asked{id: fmt.Sprintf("c-%08d", r.sent)}
	a.delivered = r.watch.expect(sign{localhub.KindDelivered, p.device.ID, a.id})
	a.settled = r.watch.expect(sign{localhub.KindCompleted, p.device.ID, a.id})
	if p.ours { // the peer makes no report
		a.reported = r.watch.expect(sign{localhub.KindTelemetry, p.device.ID, a.id})
	}
	_, err := r.hub.Send(p.device.ID, hub.Message{ID: a.id, Body: []byte(body)})
	return a, err
}

// settle waits for the PUBACK of a message.
func (p *process) settle(ctx context.Context, a asked) (trip, error) {
	at, err := p.await(ctx, a.settled, sign{localhub.KindCompleted, p.device.ID, a.id})
	if err != nil {
		return trip{}, err
	}
	return trip{a.id, <-a.delivered, at}, nil
}

// rest waits for the reports of messages, so that nothing of them is left to do
// when the next measure begins.
func (p *process) rest(ctx context.Context, all []asked) error {
	for _, a := range all {
		if a.reported == nil {
			continue
		}
		if _, err := p.await(ctx, a.reported, sign{localhub.KindTelemetry, p.device.ID, a.id}); err != nil {
			return err
		}
	}
	return nil
}

// onOff is the repeatable command of all measures: it moves the output each time.
func onOff(n int) string {
	if n%2 == 0 {
		return `{"target":"lamp","action":"on"}`
	}
	return `{"target":"lamp","action":"off"}`
}

// toggle is the once-only one.
func toggle(int) string { return `{"target":"lamp","action":"toggle"}` }

// singly sends n commands, each when the one before is settled; calm: and its report
// has been made, so that each finds the device at rest.
func (p *process) singly(ctx context.Context, n int, body func(int) string, calm bool) ([]trip, error) {
	var trips []trip
	var all []asked
	for i := range n {
		a, err := p.send(body(i))
		if err != nil {
			return nil, err
		}
		t, err := p.settle(ctx, a)
		if err != nil {
			return nil, err
		}
		trips, all = append(trips, t), append(all, a)
		if calm {
			if err := p.rest(ctx, all[i:]); err != nil {
				return nil, err
			}
		}
	}
	if calm {
		return trips, nil
	}
	return trips, p.rest(ctx, all)
}

// settled is the time from delivery to PUBACK of each, in milliseconds.
func settled(trips []trip) []float64 {
	var all []float64
	for _, t := range trips {
		all = append(all, ms(t.settled.Sub(t.delivered)))
	}
	return all
}

// moved is the time from delivery to the level change, by the trace. Both times
// are the kernel's wall clock, in two processes of one machine; the trace's is read
// before its line is made and written, so the level is there some microseconds later.
func (p *process) moved(trips []trip) ([]float64, error) {
	at := map[string]time.Time{}
	events, err := readTrace(p.trace)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		at[e.Cause] = e.At
	}
	var all []float64
	for _, t := range trips {
		if at[t.id].IsZero() {
			return nil, fmt.Errorf("%s moved nothing", t.id)
		}
		all = append(all, ms(at[t.id].Sub(t.delivered.Round(0)))) // Round: without the monotonic clock, which the trace cannot have
	}
	return all, nil
}

func readTrace(path string) (events []sim.Event, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	for line := range bytes.Lines(text) {
		var e sim.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read trace line %q: %w", line, err)
		}
		events = append(events, e)
	}
	return events, nil
}
