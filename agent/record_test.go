package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing/synctest"
	"time"

	"actuatord/agent/command"
	"actuatord/board/sim"
	"actuatord/hub/localhub"
)

// moved is the trace.
func (r *rig) moved() []sim.Event {
	r.t.Helper()
	text, err := os.ReadFile(r.trace())
	if err != nil {
		r.t.Fatal(err)
	}
	var all []sim.Event
	for line := range strings.Lines(string(text)) {
		var e sim.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			r.t.Fatalf("trace line %q: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

// moves are the trace's lines for a cause, as "target level".
func (r *rig) moves(cause string) []string {
	r.t.Helper()
	var moves []string
	for _, e := range r.moved() {
		if e.Cause == cause {
			moves = append(moves, e.Target+" "+e.Level+e.Write)
		}
	}
	return moves
}

// reports are what the hub has received, in order.
func (r *rig) reports() []command.Report {
	r.t.Helper()
	var all []command.Report
	for _, e := range r.hub.Events() {
		if e.Kind != localhub.KindTelemetry {
			continue
		}
		var rep command.Report
		if err := json.Unmarshal(e.Telemetry.Body, &rep); err != nil {
			r.t.Fatalf("telemetry %q: %v", e.Telemetry.Body, err)
		}
		all = append(all, rep)
	}
	return all
}

// outcomes are the distinct outcome reports of a message.
func (r *rig) outcomes(id string) []string {
	var all []string
	seen := map[string]bool{}
	for _, rep := range r.reports() {
		if rep.Kind != command.KindOutcome || rep.MessageID != id || seen[rep.ReportID] {
			continue
		}
		seen[rep.ReportID] = true
		all = append(all, strings.TrimSpace(rep.Outcome+" "+string(rep.Reason)))
	}
	return all
}

// count is how often an event of a kind happened to a message.
func (r *rig) count(k localhub.Kind, id string) int {
	n := 0
	for _, e := range r.hub.Events() {
		if e.Kind == k && e.ID == id {
			n++
		}
	}
	return n
}

// settle lets d of virtual time pass and everything come to rest.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// dump is for a failure: what the hub saw and the agent said.
func (r *rig) dump() string {
	var b strings.Builder
	for _, e := range r.hub.Events() {
		fmt.Fprintln(&b, e.At.Format("15:04:05.000"), e)
	}
	trace, _ := os.ReadFile(r.trace())
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return b.String() + string(trace) + r.logs.String()
}
