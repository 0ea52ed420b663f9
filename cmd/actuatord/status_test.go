package main

import (
	"strings"
	"testing"
	"time"

	"actuatord/agent"
	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/link"
	"actuatord/persist"
)

// TestStatusForPeople: what needs a person comes first, and times are told by the
// daemon's clock as how long ago or how soon.
func TestStatusForPeople(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tt := range []struct {
		name string
		s    agent.Status
		want string
	}{{
		"all is well",
		agent.Status{
			Version: "1.0", Now: now, Since: ago(50 * time.Hour), History: "clear",
			Clock:   agent.ClockStatus{Trusted: true, Source: "kernel", Since: ago(50 * time.Hour), Why: "the kernel says so"},
			Link:    link.Status{Rung: link.RungMQTT, Phase: "up", Since: ago(90 * time.Minute), Connected: true, Stable: true},
			Journal: persist.Stats{Commits: 30, Written: 600 << 10, Commands: 40}, Concluded: 20, PerCmd: 30 << 10,
			Outputs: []agent.Output{{Name: "pump", Level: "on", Cause: "m:a", Until: now.Add(61 * time.Second)}, {Name: "lamp", Level: "off"}},
			Last:    []command.Record{{Key: "m:a", Target: "pump", Action: "on", State: command.Done}},
		}, `
actuatord  1.0, up for 2 d 2 h
clock      trusted for 2 d 2 h: the kernel says so
link       up over mqtt for 1 h 30 min
commands   0 waiting, 0 deliveries unsettled
reports    0 to send, 0 lost since the journal was made
journal    40 commands; history clear
flash      600 KiB in 30 commits since the start, 30 KiB for each of 20 commands
output     pump on, by m:a, safe again in 1 min 1 s
output     lamp off
last       clock was not set    done         pump on  m:a
`,
	}, {
		"the link is down",
		agent.Status{
			Version: "1.0", Now: now, Since: ago(time.Hour), History: "lost", LastPoll: ago(5 * time.Minute),
			Clock: agent.ClockStatus{Source: "none", Since: ago(time.Hour), Why: "nobody said"},
			Link: link.Status{
				Rung: link.RungMQTT, Phase: "waiting", Since: ago(30 * time.Second), Attempts: 7, NextAttempt: now.Add(100 * time.Second), NextPoll: now.Add(20 * time.Minute),
				Cause: hub.CauseNetwork, Class: hub.RetrySoon, Detail: "no route",
			},
			Unsettled: 3, Held: 2, Journal: persist.Stats{Outbox: 5, LostReports: 1},
			Alarms: []agent.Alarm{{Name: "clock", Detail: "no trusted time", Since: ago(2 * time.Minute)}},
		}, `
ALARM      clock, for 2 min: no trusted time
actuatord  1.0, up for 1 h
clock      not trusted for 1 h: nobody said
link       waiting over mqtt for 30 s
           next attempt in 1 min 40 s, 7 failed so far; next poll in 20 min; last poll 5 min ago
           last trouble: network (retry soon): no route
commands   0 waiting, 3 deliveries unsettled, 2 of them to be rejected over HTTPS
reports    5 to send, 1 lost since the journal was made
journal    0 commands; history lost
flash      0 KiB in 0 commits since the start
`,
	}, {
		"no journal",
		agent.Status{
			Version: "1.0", Now: now, Since: now, Storage: "read-only", Clock: agent.ClockStatus{Trusted: true, Since: now, Why: "ok"},
			Outputs: []agent.Output{{Name: "pump", Level: "unknown", Fault: "input/output error"}},
			Alarms:  []agent.Alarm{{Name: "storage", Detail: "read-only", Since: ago(time.Second)}},
		}, `
ALARM      storage, for 1 s: read-only
journal    not open: read-only
actuatord  1.0, up for 0 s
clock      trusted for 0 s: ok
output     pump unknown: input/output error
`,
	}} {
		t.Run(tt.name, func(t *testing.T) {
			var got strings.Builder
			if err := printStatus(&got, tt.s); err != nil {
				t.Fatal(err)
			}
			if want := strings.TrimPrefix(tt.want, "\n"); got.String() != want {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
			}
		})
	}
}
