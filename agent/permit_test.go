package agent

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/board"
	"actuatord/hub/localhub"
)

// permitting is a rig whose pump a float permits.
func permitting(t *testing.T, fn func(t *testing.T, r *rig)) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.profile.Inputs = []board.Input{{Name: "float-ok", Line: "GPIO5"}}
		r.profile.Outputs[0].Permit = []string{"float-ok"}
		fn(t, r)
	})
}

// last is the newest report of a kind.
func (r *rig) last(kind string) (last command.Report) {
	for _, rep := range r.reports() {
		if rep.Kind == kind {
			last = rep
		}
	}
	return last
}

// TestPermit: what nobody permits is refused for good; what lost its permit is
// reported, with the message that had it on; and reports say what inputs are.
func TestPermit(t *testing.T) {
	permitting(t, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		if got := r.last(command.KindStart).Inputs["float-ok"]; got != "inactive" {
			t.Errorf("the start report says %q of the input", got)
		}
		r.send("early", `{"target":"pump","action":"on"}`)
		settle(time.Minute)
		r.expect(t, "early", "refused not-permitted")
		p.sim.Drive("GPIO5", true)
		settle(10 * time.Minute)
		r.expect(t, "early", "refused not-permitted") // and it stays so
		r.send("on", `{"target":"pump","action":"on"}`)
		settle(time.Second)
		r.expect(t, "on", "done", "pump on")
		p.sim.Drive("GPIO5", false)
		settle(time.Second)
		if got := r.moves("permit"); !slices.Equal(got, []string{"pump off"}) {
			t.Errorf("moved %q; want the pump off", got)
		}
		c := r.last(command.KindChange)
		if c.Target != "pump" || c.Level != "off" || c.Cause != "permit" || c.MessageID != "on" || c.Detail != "float-ok is not active" {
			t.Errorf("told %+v", c)
		}
		s := p.ask(Request{Verb: AskStatus}).Status
		if len(s.Inputs) != 1 || s.Inputs[0] != (Input{Name: "float-ok", State: "inactive"}) || s.Outputs[0].Cause != "" {
			t.Errorf("status shows %+v, %+v", s.Inputs, s.Outputs[0])
		}
		r.send("read", `{"target":"all","action":"read"}`)
		settle(time.Second)
		if got := r.last(command.KindOutcome).Inputs["float-ok"]; got != "inactive" {
			t.Errorf("read tells %q of the input", got)
		}
		p.stop()
	})
}

// TestPermitCutsAPulse: it is interrupted, and its report says by what.
func TestPermitCutsAPulse(t *testing.T) {
	permitting(t, func(t *testing.T, r *rig) {
		p := r.start()
		p.sim.Drive("GPIO5", true)
		settle(time.Second)
		r.send("pulse", `{"target":"pump","action":"pulse","for":"5s"}`)
		settle(2 * time.Second)
		p.sim.Drive("GPIO5", false)
		settle(10 * time.Minute)
		r.expect(t, "pulse", "interrupted cut-off", "pump on")
		if d := r.last(command.KindOutcome).Detail; !strings.Contains(d, "cut short by permit: float-ok is not active") {
			t.Errorf("its report says %q", d)
		}
		p.stop()
	})
}

// TestUnreadableInputIsAnAlarm, and no output that is not at its safe level.
func TestUnreadableInputIsAnAlarm(t *testing.T) {
	permitting(t, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.sim.FailReads("GPIO5", 1<<30, syscall.EIO)
		settle(5 * time.Minute)
		if got := r.alarms(); !slices.Equal(got, []string{"bus raised"}) {
			t.Errorf("reported %q", got)
		}
		if s := p.ask(Request{Verb: AskStatus}).Status; s.Inputs[0].State != "unknown" || !strings.Contains(s.Inputs[0].Fault, `input "float-ok"`) {
			t.Errorf("status shows %+v", s.Inputs)
		}
		if a := p.ask(Request{Verb: AskSafe}); len(a.Faults) != 0 {
			t.Errorf("safe says that %v is not at its safe level", a.Faults)
		}
		p.stop()
	})
}
