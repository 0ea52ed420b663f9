package agent

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/https"
	"actuatord/hub/localhub"
)

// TestHubVariants: what is not known of the real hub's HTTPS makes no difference.
func TestHubVariants(t *testing.T) {
	for name, o := range map[string]localhub.Options{
		"ISO dates":           {HTTPTime: time.RFC3339},
		"HTTP dates":          {HTTPTime: time.RFC1123},
		"no empty headers":    {OmitEmptyHeaders: true},
		"nested errors":       {NestedErrors: true},
		"a wrong Date":        {Date: func(now time.Time) time.Time { return now.Add(-3 * time.Hour) }},
		"one receive in 20 s": {ReceivesPerMinute: 3, RetryAfter: 20 * time.Second},
		"three, unsaid":       {ReceivesPerMinute: 3},
		"window 1":            {Window: 1},
		"lasting locks":       {LocksOutliveConnection: true},
		"acks in any order":   {IgnoreAckOrder: true, IgnoreLateAck: true, RedeliverOnExpiry: true},
	} {
		for _, poll := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", poll ", poll), func(t *testing.T) {
				bubble(t, o, func(t *testing.T, r *rig) {
					r.known(t)
					r.noMQTT.Store(poll)
					p := r.start()
					settle(time.Minute)
					now := time.Now()
					r.mixed()
					r.send("fresh", `{"target":"valve-1","action":"on"}`, sent(now.Add(7*time.Minute)))
					settle(25 * time.Minute)
					r.expect(t, "fresh", "done", "valve-1 on")
					r.fed(t, "fresh", localhub.Success)
					r.mixedEnded(t)
					p.stop()
				})
			})
		}
	}
}

// TestAgeOverHTTPS: where the sender does not say when it sent, HTTPS tells when the
// hub took it, and MQTT nothing.
func TestAgeOverHTTPS(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noMQTT.Store(true)
		p := r.start()
		settle(time.Minute)
		r.send("old", `{"target":"valve-1","action":"on"}`)
		settle(3*time.Minute + 30*time.Second)
		r.send("new", `{"target":"valve-1","action":"on"}`)
		settle(time.Minute)
		r.expect(t, "old", "refused too-old")
		r.fed(t, "old", localhub.Rejected)
		r.expect(t, "new", "done", "valve-1 on")
		r.noMQTT.Store(false)
		settle(6 * time.Minute)
		r.send("unknown", `{"target":"valve-1","action":"on"}`)
		settle(10 * time.Minute)
		r.expect(t, "unknown", "refused age-unknown")
		r.fed(t, "unknown", localhub.Rejected)
		p.stop()
	})
}

// TestClockBootstrap: a board without a clock battery and without NTP learns the
// time from the hub, then signs, connects, and does what hangs on time.
func TestClockBootstrap(t *testing.T) {
	for _, wrong := range []time.Duration{-30 * 365 * 24 * time.Hour, 20 * 365 * 24 * time.Hour} {
		bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
			r.known(t)
			r.mangle = func(o *Options) {
				o.Config.Clock.Wait = 2 * time.Minute
				o.Kernel = func() (time.Time, bool) { return time.Now().Add(wrong), false }
				o.Time = func(ctx context.Context, _ hub.ConnectionString, at func() time.Time, lax bool) (date, arrived time.Time, err error) {
					return https.Time(ctx, r.rest(at), lax)
				}
			}
			began := time.Now()
			p := r.start()
			settle(time.Minute)
			r.send("toggle", `{"target":"lamp","action":"toggle"}`, func(m *hub.Message) { m.Expiry = time.Now().Add(time.Minute) })
			settle(time.Second)
			r.expect(t, "toggle", "done", "lamp on")
			s := p.ask(Request{Verb: AskStatus}).Status
			if !s.Clock.Trusted || s.Clock.Source != "hub" || time.Until(s.Now).Abs() > 2*time.Second || len(s.Alarms) != 0 {
				t.Errorf("clock %+v at %v, alarms %+v; want the hub's time", s.Clock, s.Now, s.Alarms)
			}
			if n := r.count(localhub.KindRefused, ""); n != 0 {
				t.Errorf("%d CONNECTs were refused: a token was signed with a wrong time", n)
			}
			for _, rep := range r.reports() {
				if rep.Kind == command.KindOutcome && (rep.Clock != "trusted" || rep.At.Before(began) || rep.At.After(time.Now().Add(2*time.Second))) {
					t.Errorf("reported at %v, %s", rep.At, rep.Clock)
				}
			}
			if strings.Contains(r.dump(), "no trusted time") {
				t.Error("it waited in vain")
			}
			p.stop()
		})
	}
}

// TestClockSetLate: with 443 blocked and a wrong clock the hub refuses every token;
// when the clock is set at last, a session stands within seconds.
func TestClockSetLate(t *testing.T) {
	for _, late := range []time.Duration{20 * time.Second, 2 * time.Minute, 4 * time.Minute, 9 * time.Minute, 50 * time.Minute} {
		bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
			r.known(t)
			settle(3 * time.Hour)
			r.noREST.Store(true)
			var right atomic.Bool
			stuck, boot := time.Now().Add(-3*time.Hour), time.Now()
			r.mangle = func(o *Options) {
				o.Kernel = func() (time.Time, bool) {
					if right.Load() {
						return time.Now(), true
					}
					return stuck.Add(time.Since(boot)), false
				}
			}
			p := r.start()
			settle(late)
			if p.ask(Request{Verb: AskStatus}).Status.Link.Subscribed {
				t.Fatal("subscribed with a token of the past: the case is not there")
			}
			right.Store(true)
			settle(10 * time.Second)
			if late < time.Minute {
				settle(35 * time.Second) // a first-subscribe drain is under way, and gets no answer for its minute
			}
			if s := p.ask(Request{Verb: AskStatus}).Status; !s.Link.Subscribed {
				t.Errorf("set after %v: 10 s later the link is %+v", late, s.Link)
			}
			p.stop()
		})
	}
}
