package agent

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/localhub"
)

// expect holds a message's one outcome and its movements against want.
func (r *rig) expect(t *testing.T, id, outcome string, moves ...string) {
	t.Helper()
	if got := r.outcomes(id); !slices.Equal(got, []string{outcome}) {
		t.Errorf("%s was reported %q; want %q, once", id, got, outcome)
	}
	if got := r.moves(id); !slices.Equal(got, moves) {
		t.Errorf("%s moved %q; want %q", id, got, moves)
	}
}

func (p *process) ask(r Request) Answer {
	reply := make(chan Answer, 1)
	r.Reply = reply
	p.control <- r
	return <-reply
}

func sent(at time.Time) func(*hub.Message) {
	return func(m *hub.Message) { m.Properties = map[string]string{"sent": at.Format(time.RFC3339Nano)} }
}

// TestIdentity: what counts as the same command.
func TestIdentity(t *testing.T) {
	const on, off, toggle = `{"target":"pump","action":"on"}`, `{"target":"pump","action":"off"}`, `{"target":"lamp","action":"toggle"}`
	bubble(t, localhub.Options{Window: 50}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("", on)
		r.send("", on) // the last command on its target: completed unactuated
		settle(time.Second)
		if n := len(r.hub.Queue(r.device.ID)); n != 0 {
			t.Errorf("%d messages left; want the repeated payload completed", n)
		}
		r.send("taken", toggle)
		r.send("taken", toggle+" ") // other spelling, same command
		settle(time.Second)
		r.expect(t, "taken", "done", "lamp on")
		r.send("", `{"target":"lamp","action":"toggle","id":"body-1"}`)
		r.send("", `{"id":"body-1","target":"lamp","action":"toggle"}`)
		settle(time.Second)
		if n := len(r.hub.Queue(r.device.ID)); n != 0 {
			t.Errorf("%d messages left; want both with the body's id completed", n)
		}
		if got := r.moves("b:body-1"); !slices.Equal(got, []string{"lamp off"}) {
			t.Errorf("the body's id moved %q; want one movement", got)
		}
		r.send("taken", on) // another command under a taken id
		r.send("off-1", off)
		r.send("", on) // seen, and no longer the last on its target
		settle(time.Second)
		if got := r.outcomes("taken"); !slices.Equal(got, []string{"done", "refused id-reused"}) {
			t.Errorf("the taken id was reported %q", got)
		}
		r.expect(t, "off-1", "done", "pump off")
		refused := map[string]bool{} // reports come at least once
		for _, rep := range r.reports() {
			if rep.MessageID == "" && rep.Reason == command.IDRequired {
				refused[rep.ReportID] = true
			}
		}
		if len(refused) != 1 {
			t.Errorf("%d reports of id-required; want one", len(refused))
		}
		if n := r.count(localhub.KindCompleted, "#9"); n != 0 || r.count(localhub.KindDeadLettered, "#9") != 1 {
			t.Errorf("what was refused id-required was completed %d times; want it rejected", n)
		}
		p.stop()
	})
}

func TestSuperseded(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Minute)
		now := time.Now()
		r.send("newer", `{"target":"pump","action":"off"}`, sent(now))
		r.send("older", `{"target":"pump","action":"on"}`, sent(now.Add(-time.Second)))
		r.send("older-off", `{"target":"pump","action":"off"}`, sent(now.Add(-2*time.Second)))
		r.send("undated", `{"target":"pump","action":"on"}`)
		r.send("ahead", `{"target":"lamp","action":"on"}`, sent(now.Add(24*time.Hour)))
		r.send("behind-it", `{"target":"lamp","action":"on","for":"1m"}`, sent(now.Add(time.Second)))
		settle(time.Second)
		r.expect(t, "newer", "done")
		r.expect(t, "older", "refused superseded")
		r.expect(t, "older-off", "done")
		r.expect(t, "undated", "done", "pump on")
		// A sender whose clock is a day ahead does not lock the others out.
		r.expect(t, "behind-it", "done")
		p.stop()
	})
}

// TestHistoryLost: a hub that knows the device, and a journal that does not.
func TestHistoryLost(t *testing.T) {
	bubble(t, localhub.Options{Window: 50}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		r.dir = memoryDir(t) // the card is another
		p = r.start()
		settle(time.Minute)
		r.send("pulse-1", `{"target":"pump","action":"pulse","for":"1s"}`)
		r.send("on-1", `{"target":"lamp","action":"on"}`)
		r.send("pulse-2", `{"target":"valve-2","action":"pulse","for":"1s"}`, sent(time.Now()))
		settle(5 * time.Second)
		r.expect(t, "pulse-1", "refused history-lost")
		r.expect(t, "on-1", "done", "lamp on")
		r.expect(t, "pulse-2", "done", "valve-2 on", "valve-2 off")
		if a := p.ask(Request{Verb: AskReset}); a.Was != "lost" {
			t.Errorf("history was %q; want lost", a.Was)
		}
		r.send("pulse-3", `{"target":"pump","action":"pulse","for":"1s"}`)
		settle(5 * time.Second)
		r.expect(t, "pulse-3", "done", "pump on", "pump off")
		p.stop()
	})
}

// TestFirstConnectUnanswered: a session found at the second try may be our own
// from the first, so the doubt of a new journal stays what it is.
func TestFirstConnectUnanswered(t *testing.T) {
	bubble(t, localhub.Options{Window: 50}, func(t *testing.T, r *rig) {
		if err := r.hub.Inject(localhub.Fault{Packet: localhub.PacketConnack, Effect: localhub.DropBefore}); err != nil {
			t.Fatal(err)
		}
		p := r.start()
		settle(time.Minute)
		r.send("undated", `{"target":"pump","action":"toggle"}`)
		r.send("dated", `{"target":"lamp","action":"toggle"}`, sent(time.Now()))
		settle(time.Second)
		r.expect(t, "undated", "refused history-lost")
		r.expect(t, "dated", "done", "lamp on")
		if a := p.ask(Request{Verb: AskReset}); a.Was != "in doubt" {
			t.Errorf("history was %q; want it in doubt", a.Was)
		}
		p.stop()
	})
}

// TestHistoryAges: a doubt is over when nothing from before it can still come.
func TestHistoryAges(t *testing.T) {
	bubble(t, localhub.Options{Window: 50}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		r.dir = memoryDir(t)
		p = r.start()
		settle(47 * time.Hour)
		r.send("early", `{"target":"pump","action":"toggle"}`)
		settle(2 * time.Hour)
		r.send("late", `{"target":"lamp","action":"toggle"}`)
		settle(time.Minute)
		r.expect(t, "early", "refused history-lost")
		r.expect(t, "late", "done", "lamp on")
		p.stop()
	})
}

// TestCrashLoop: a command that takes the board down is given up at the third
// start, and what came behind it is not.
func TestCrashLoop(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		r.send("inrush", `{"target":"pump","action":"on"}`)
		r.send("next", `{"target":"lamp","action":"on"}`)
		for range 4 { // the first death leaves an unclean stop; from then on the journal is careful
			r.dieAt(t, "before GPIO17 goes High")
		}
		p = r.start()
		settle(5 * time.Minute)
		r.expect(t, "inrush", "interrupted crash-loop")
		r.expect(t, "next", "done", "lamp on")
		p.stop()
	})
}

// dieAt runs a process that is killed when it passes the named edge.
func (r *rig) dieAt(t *testing.T, where string) {
	t.Helper()
	r.cutAt = where
	p := r.start()
	settle(5 * time.Minute)
	p.cancel()
	<-p.ended
	p.bury()
	r.cutAt, r.cut = "", -1
}

// TestLocal: what a person does at the device.
func TestLocal(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		a := p.ask(Request{Verb: AskDo, Payload: []byte(`{"target":"pump","action":"on","for":"2s"}`)})
		if a.Outcome == nil || a.Outcome.Outcome != "done" || a.Outcome.Level != "on" {
			t.Errorf("do answered %+v", a)
		}
		if got := r.moves("local"); !slices.Equal(got, []string{"pump on"}) {
			t.Errorf("local moved %q", got)
		}
		a = p.ask(Request{Verb: AskDo, Payload: []byte(`{"target":"pump","action":"explode"}`)})
		if a.Outcome == nil || a.Outcome.Outcome != "refused" || a.Outcome.Reason != command.UnknownAction {
			t.Errorf("do answered %+v; want it refused", a)
		}
		s := p.ask(Request{Verb: AskStatus}).Status
		if len(s.Outputs) != 4 || s.Outputs[0].Level != "on" || s.Outputs[0].Until.IsZero() || !s.Link.Connected || len(s.Last) != 2 {
			b, _ := json.Marshal(s)
			t.Errorf("status %s", b)
		}
		// Safe goes ahead of a command that is being retried, and ends it.
		p.sim.FailOuts("GPIO27", 3, syscall.EIO, false)
		r.send("retried", `{"target":"lamp","action":"on"}`)
		settle(300 * time.Millisecond)
		if a = p.ask(Request{Verb: AskSafe}); a.Levels["pump"] != "off" {
			t.Errorf("safe answered %+v", a)
		}
		settle(time.Minute)
		if got := r.outcomes("retried"); len(got) != 1 || got[0] == "done" {
			t.Errorf("the retried command ended as %q; want it given up", got)
		}
		if h := p.ask(Request{Verb: AskHistory, Count: 2}).History; len(h) != 2 || h[0].Key != "m:retried" {
			t.Errorf("history %+v", h)
		}
		if a = p.ask(Request{Verb: "dance"}); a.Error == "" {
			t.Error("an unknown verb was not refused")
		}
		p.stop()
	})
}

// TestLogHandler: the portal's text goes to the log and is completed.
func TestLogHandler(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.deft.Log = true
		p := r.start()
		settle(time.Second)
		r.send("tutorial", "Cloud to device message.")
		settle(time.Second)
		r.expect(t, "tutorial", "done")
		if n := r.count(localhub.KindCompleted, "tutorial"); n != 1 || !strings.Contains(r.logs.String(), "Cloud to device message.") {
			t.Errorf("completed %d times; log %q", n, r.logs.String())
		}
		p.stop()
	})
}

// TestReadAndSafe: both answer for every output.
func TestReadAndSafe(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("on", `{"target":"pump","action":"on"}`)
		r.send("read", `{"target":"all","action":"read"}`)
		r.send("safe", `{"target":"all","action":"safe"}`)
		settle(time.Second)
		levels := map[string]string{}
		for _, rep := range r.reports() {
			levels[rep.MessageID] = rep.Levels["pump"]
		}
		if levels["read"] != "on" || levels["safe"] != "off" {
			t.Errorf("levels %v; want the pump on when read, off when safe", levels)
		}
		p.stop()
	})
}
