package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/board"
	"actuatord/hub"
	"actuatord/hub/localhub"
)

// TestReportTooLarge: one that the hub would not take is lost, which is counted,
// logged, and shows as a gap; it holds nothing up, also over a restart.
func TestReportTooLarge(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		levels := map[string]string{}
		for i := range 3000 {
			levels[fmt.Sprintf("%0100d", i)] = board.On.String()
		}
		p.inLoop(func(a *Agent) {
			a.pending.batch.Report(a.stamped(command.Report{Kind: command.KindStart, Levels: levels}))
			a.pending.urge(time.Now())
		})
		settle(time.Minute)
		r.send("m", `{"target":"lamp","action":"on"}`)
		settle(time.Minute)
		r.expect(t, "m", "done", "lamp on")
		if j := p.ask(Request{Verb: AskStatus}).Status.Journal; j.LostReports != 1 || j.Outbox != 0 {
			t.Errorf("%d lost, %d waiting; want 1 and none", j.LostReports, j.Outbox)
		}
		p.stop()
		p = r.start()
		settle(time.Minute)
		var seqs []uint64
		for _, rep := range r.reports() {
			seqs = append(seqs, rep.Seq)
		}
		if !slices.Equal(seqs[:3], []uint64{1, 3, 4}) {
			t.Errorf("numbers %v; want a gap at 2 alone", seqs)
		}
		if !strings.Contains(r.dump(), "a report cannot be sent and is lost") {
			t.Error("the log does not say so")
		}
		p.stop()
	})
}

func TestTelemetryRefusesWhatCannotTravel(t *testing.T) {
	for name, rep := range map[string]command.Report{
		"not JSON":      {Meta: []byte("{")},
		"year 10000":    {At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"above 256 KiB": {Detail: strings.Repeat("x", telemetryLimit)},
	} {
		if _, err := telemetry(rep); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	most, err := telemetry(command.Report{Kind: command.KindOutcome, Outcome: "interrupted", MessageID: strings.Repeat("%", 300), Detail: strings.Repeat("x", telemetryLimit-propertiesRoom-500)})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(hub.FormatEvents(strings.Repeat("d", 128), most)) + len(most.Body); n > telemetryLimit {
		t.Errorf("the largest report takes %d bytes", n)
	}
}
