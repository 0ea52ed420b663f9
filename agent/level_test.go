package agent

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/board"
	"actuatord/hub/localhub"
)

// dimmed is a bubble whose board has two levels.
func dimmed(t *testing.T, fn func(t *testing.T, r *rig)) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.profile.Levels = []board.PWM{
			{Name: "fan", Line: "pwmchip0:0", Frequency: 25000, Safe: 2000, MaxOn: time.Hour},
			{Name: "dim", Line: "pwmchip0:1", Frequency: 200, MaxAge: time.Minute},
		}
		fn(t, r)
	})
}

// shares are what the reports about a target say of it, in order; of one that came
// twice, as they may, the first.
func (r *rig) shares(target string) (all []string) {
	seen := map[string]bool{}
	for _, rep := range r.reports() {
		if rep.Target == target && !seen[rep.ReportID] {
			seen[rep.ReportID] = true
			s := rep.Kind + " " + rep.Outcome + string(rep.Reason) + rep.Cause + " " + rep.Level
			if rep.Percent != nil {
				s += " " + rep.Percent.String()
			}
			all = append(all, s)
		}
	}
	return all
}

// TestLevels: a level is set, held for a time, and let go, by messages; what is
// reported of it says how much.
func TestLevels(t *testing.T) {
	dimmed(t, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("set-1", `{"target":"fan","action":"set","percent":55.5}`)
		r.send("set-2", `{"target":"fan","action":"set","percent":80,"for":"10s"}`)
		r.send("read", `{"target":"all","action":"read"}`)
		r.send("set-2", `{"target":"fan","action":"set","percent":80.00,"for":"10s"}`) // the same, written otherwise
		r.send("bad", `{"target":"fan","action":"set","percent":180}`)
		r.send("long", `{"target":"fan","action":"set","percent":50,"for":"2h"}`)
		settle(5 * time.Second)
		if s := p.agent.outputs(); len(s) != 6 || s[4].Name != "fan" || s[4].Percent == nil || *s[4].Percent != 8000 || s[4].Until.IsZero() {
			t.Errorf("status %+v", s)
		}
		settle(10 * time.Second)
		want := []string{
			"outcome done on 55.5", "outcome done on 80", "outcome refusedout-of-range on 80", "outcome refusedover-max-on on 80", "change lease on 20",
		}
		if got := r.shares("fan"); !slices.Equal(got, want) {
			t.Errorf("reported %q\nwant     %q", got, want)
		}
		for _, rep := range r.reports() {
			if rep.MessageID == "read" && (rep.Levels["fan"] != "on" || rep.Percents["fan"] != 8000 || rep.Levels["dim"] != "off") {
				t.Errorf("read %+v", rep)
			}
			if b, err := json.Marshal(rep); err != nil || rep.Target == "pump" && rep.Percent != nil {
				t.Errorf("%s, %v", b, err)
			}
		}
		p.stop()
	})
}

// TestLevelOfARestart: what a level was left at is cut by a restart, which says whose
// work that was, and an older command does not come after a newer one.
func TestLevelOfARestart(t *testing.T) {
	dimmed(t, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Minute)
		now := time.Now()
		r.send("new", `{"target":"fan","action":"set","percent":0,"for":"30m"}`, sent(now))
		settle(time.Second)
		p.stop2(t)
		p = r.start()
		settle(time.Second)
		r.send("old", `{"target":"fan","action":"set","percent":90}`, sent(now.Add(-time.Second)))
		r.send("old-safe", `{"target":"fan","action":"set","percent":20}`, sent(now.Add(-time.Second)))
		r.send("aged", `{"target":"dim","action":"set","percent":20}`, sent(now.Add(-time.Hour)))
		settle(time.Second)
		r.expect(t, "old", "refused superseded")
		r.expect(t, "old-safe", "done")
		r.expect(t, "aged", "refused too-old")
		cut := map[string]bool{}
		for _, rep := range r.reports() {
			if rep.Reason == command.LeaseCut && rep.Target == "fan" && rep.MessageID == "new" && *rep.Percent == 2000 {
				cut[rep.ReportID] = true
			}
		}
		if len(cut) != 1 {
			t.Errorf("%d reports of the lease that was cut; want one, at 20 %%", len(cut))
		}
		p.stop()
	})
}
