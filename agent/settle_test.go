package agent

import (
	"slices"
	"testing"
	"time"

	"actuatord/agent/config"
	"actuatord/hub/localhub"
)

// TestUnrejectable: what becomes of a refused message while 443 is blocked.
func TestUnrejectable(t *testing.T) {
	for name, tt := range map[string]struct {
		policy config.Unrejectable
		after  time.Duration
		want   []localhub.Status
	}{
		"hold":     {config.Unrejectable{Hold: true}, 50 * time.Minute, nil},
		"complete": {config.Unrejectable{}, 5 * time.Minute, []localhub.Status{localhub.Success}},
		"20m":      {config.Unrejectable{After: 20 * time.Minute}, 45 * time.Minute, []localhub.Status{localhub.Success}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, localhub.Options{DefaultTTL: 2 * time.Hour}, func(t *testing.T, r *rig) {
				r.known(t)
				r.noREST.Store(true)
				r.policy = tt.policy
				p := r.start()
				settle(time.Minute)
				r.send("bad", `{"target":"nuke","action":"on"}`)
				r.send("good", `{"target":"lamp","action":"toggle"}`)
				if tt.policy.After > 0 {
					settle(tt.policy.After - time.Minute)
					r.fed(t, "bad")
				}
				settle(tt.after)
				r.fed(t, "bad", tt.want...)
				r.expect(t, "good", "done", "lamp on")
				if got := r.alarms(); !slices.Contains(got, "unrejectable raised") {
					t.Errorf("alarms %q; want one that says so", got)
				}
				if tt.want != nil {
					r.fed(t, "good", localhub.Success)
					if got := r.alarms(); !slices.Contains(got, "unrejectable completed") {
						t.Errorf("alarms %q; want the completion told", got)
					}
					p.stop()
					return
				}
				r.noREST.Store(false)
				settle(30 * time.Minute)
				r.fed(t, "bad", localhub.Rejected)
				if got := r.alarms(); got[len(got)-1] != "unrejectable cleared" {
					t.Errorf("alarms %q; want it cleared", got)
				}
				p.stop()
			})
		})
	}
}

// TestNothingToReleaseBeforeAVisit: while a session is being left for a visit the
// loop is not woken for what the visit may settle; it would turn without a pause.
func TestNothingToReleaseBeforeAVisit(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.policy = config.Unrejectable{}
		p := r.start()
		settle(time.Minute)
		p.inLoop(func(a *Agent) {
			now := time.Now()
			a.uplink.deaf, a.uplink.held = true, []held{{it: &item{}, since: now.Add(-time.Hour)}}
			if !a.uplink.machine.VisitDue(now) {
				t.Error("no visit is due: the case is not there")
			}
			if at := a.releaseAt(now); !at.IsZero() {
				t.Errorf("woken at %v although a visit is due", at)
			}
			a.uplink.held = nil
		})
		p.stop()
	})
}
