package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A step is one message, and what must come of it.
type step struct {
	title string
	id    string
	body  string
	moves []string // with this message as their cause
	later []string // "lease off" and the like: moves with another cause that follow by themselves
	seen  bool     // this id was done before: nothing is reported a second time
	no    string   // it is refused, for this reason, and rejected over HTTPS: MQTT has no reject
}

// steps is the story, in its order.
func steps() []step {
	return []step{
		{title: "switch the pump on", id: "on-1", body: `{"target":"pump","action":"on"}`, moves: []string{"pump on"}},
		{title: "and off again", id: "off-1", body: `{"target":"pump","action":"off"}`, moves: []string{"pump off"}},
		{title: "toggle the lamp: once only, so \"started\" is on disk before it moves", id: "toggle-1",
			body: `{"target":"lamp","action":"toggle"}`, moves: []string{"lamp on"}},
		{title: "the very same message again, as a hub may deliver it: completed, not carried out", id: "toggle-1",
			body: `{"target":"lamp","action":"toggle"}`, seen: true},
		{title: "a pulse of the valve: complete when it is closed again", id: "pulse-1",
			body: `{"target":"valve","action":"pulse","for":"300ms"}`, moves: []string{"valve on", "valve off"}},
		{title: "the pump on for a second: complete when it is on; its lease ends by itself", id: "onfor-1",
			body: `{"target":"pump","action":"on","for":"1s"}`, moves: []string{"pump on"}, later: []string{"pump off (lease)"}},
		{title: "write a register, and read it back", id: "write-1",
			body: `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`, moves: []string{"dac 40:0fff"}},
		{title: "a command that is refused: MQTT cannot reject, so the device leaves its session and does it over HTTPS", id: "wrong-1",
			body: `{"target":"pump","action":"on","for":"2h"}`, no: "over-max-on"},
	}
}

// show sends the message, waits for what must come of it, and prints it.
func (s step) show(ctx context.Context, n int, h *hub, d *daemon) error {
	fmt.Printf("\n%d  %s\n", n, s.title)
	h.mark()
	before := len(d.moves(s.id))
	laterBefore := d.all()
	line := fmt.Sprintf("send %s %s id=%s ack=full", device, s.body, s.id)
	if err := h.say(line); err != nil {
		return err
	}
	fmt.Printf("   sent   %s %s\n", s.id, s.body)
	told := "Success"
	if s.no != "" {
		told = "Rejected"
	}
	if err := h.await(ctx, "feedback "+s.id+" "+told); err != nil {
		return err
	}
	if !s.seen {
		if err := h.awaitReport(ctx, s.id); err != nil {
			return err
		}
	}
	moved := d.moves(s.id)[before:]
	if !slices.Equal(moved, s.moves) {
		return fmt.Errorf("%s moved %q; it should have moved %q", s.id, moved, s.moves)
	}
	fmt.Printf("   moved  %s\n", orNothing(moved))
	for _, l := range s.later {
		if err := d.awaitMove(ctx, l, laterBefore); err != nil {
			return err
		}
		fmt.Printf("   later  %s\n", l)
	}
	return s.verdict(h)
}

// verdict prints what the hub has on record for the message, and holds it
// against what should be there.
func (s step) verdict(h *hub) error {
	done := h.since("completed "+s.id+" ") > 0
	outcome, reason := h.outcome(s.id)
	switch {
	case s.no != "" && (done || outcome != "refused" || reason != s.no):
		return fmt.Errorf("%s: completed %v, %s %s; it should have been refused %s and rejected", s.id, done, outcome, reason, s.no)
	case s.no != "":
		fmt.Printf("   hub    rejected, feedback Rejected; the device reports: refused, %s\n", reason)
	case s.seen:
		fmt.Println("   hub    completed, feedback Success; no second report")
	case !done || outcome != "done":
		return fmt.Errorf("%s: completed %v, reported %s %s; it should be done", s.id, done, outcome, reason)
	default:
		fmt.Printf("   hub    completed, feedback Success; the device reports: %s\n", outcome)
	}
	return nil
}

func orNothing(moves []string) string {
	if len(moves) == 0 {
		return "nothing"
	}
	return strings.Join(moves, ", ")
}
