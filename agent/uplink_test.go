package agent

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"actuatord/agent/config"
	"actuatord/hub/localhub"
	"actuatord/persist"
)

func (r *rig) inject(t *testing.T, f localhub.Fault) {
	t.Helper()
	if err := r.hub.Inject(f); err != nil {
		t.Fatal(err)
	}
}

// TestStopInAFirstDrain: a clean stop leaves the same lock behind as a crash, and a
// first SUBSCRIBE before it has lapsed would lose the message.
func TestStopInAFirstDrain(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.inject(t, localhub.Fault{Packet: localhub.PacketHTTPReceive, Effect: localhub.Swallow})
		r.send("on", `{"target":"pump","action":"on"}`)
		p := r.start()
		settle(2 * time.Second)
		p.stop()
		p = r.start()
		settle(5 * time.Minute)
		r.fed(t, "on", localhub.Success)
		r.expect(t, "on", "done", "pump on")
		p.stop()
	})
}

// TestForgottenOverARestart: the CONNECT that was told that the hub has forgotten us
// has made a session there; a restart must not take it for a subscription.
func TestForgottenOverARestart(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.inject(t, localhub.Fault{Packet: localhub.PacketConnect, Effect: localhub.Forget})
		r.noREST.Store(true)
		p := r.start()
		settle(2 * time.Second)
		p.stop()
		r.noREST.Store(false)
		r.send("on", `{"target":"pump","action":"on"}`)
		p = r.start()
		settle(5 * time.Minute)
		r.fed(t, "on", localhub.Success)
		r.expect(t, "on", "done", "pump on")
		p.stop()
	})
}

// TestFirstDrainBreaksOff: what was behind the break is the hub's to reject, and an
// alarm says so.
func TestFirstDrainBreaksOff(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.send("a", `{"target":"pump","action":"on"}`)
		r.send("b", `{"target":"lamp","action":"on"}`)
		r.inject(t, localhub.Fault{Packet: localhub.PacketHTTPReceive, Effect: localhub.Refuse, Code: 503, Times: -1, Skip: 1})
		p := r.start()
		settle(10 * time.Minute)
		r.expect(t, "a", "done", "pump on")
		if got := r.alarms(); !slices.Contains(got, "first-subscribe raised") {
			t.Errorf("alarms %q; want it said that the queue was not emptied", got)
		}
		p.stop()
	})
}

// TestBusyIsNotUnreachable: a hub that answers a visit with 429 will have time later;
// no sender is told Success for that. A hub that refuses the rejects themselves for
// good is another matter, and must not keep the agent from its session.
func TestBusyIsNotUnreachable(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.policy = config.Unrejectable{}
		p := r.start()
		settle(time.Minute)
		r.inject(t, localhub.Fault{Packet: localhub.PacketHTTPReceive, Effect: localhub.Refuse, Code: 429, Retry: time.Minute})
		r.send("bad", `{"target":"nuke","action":"on"}`)
		settle(30 * time.Minute)
		r.fed(t, "bad", localhub.Rejected)
		if got := r.alarms(); len(got) != 0 {
			t.Errorf("alarms %q; want none", got)
		}
		p.stop()
	})
	bubble(t, localhub.Options{DefaultTTL: 40 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.policy = config.Unrejectable{}
		p := r.start()
		settle(time.Minute)
		r.inject(t, localhub.Fault{Packet: localhub.PacketHTTPReject, Effect: localhub.Refuse, Code: 403, Times: -1})
		r.send("bad", `{"target":"nuke","action":"on"}`)
		up := 0
		for range 4 * 60 {
			settle(time.Minute)
			if p.ask(Request{Verb: AskStatus}).Status.Link.Subscribed {
				up++
			}
		}
		r.fed(t, "bad", localhub.Success) // as the configuration says
		if got := r.alarms(); !slices.Contains(got, "unrejectable raised") || up < 200 {
			t.Errorf("alarms %q, a session in %d of 240 minutes; want the alarm and the session", got, up)
		}
		p.stop()
	})
}

// TestSettlementsBackOff: completions that are answered 429 are not followed by GETs
// as fast as the line allows.
func TestSettlementsBackOff(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 40 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noMQTT.Store(true)
		p := r.start()
		settle(time.Minute)
		r.inject(t, localhub.Fault{Packet: localhub.PacketHTTPComplete, Effect: localhub.Refuse, Code: 429, Retry: time.Minute, Times: -1})
		for n := range 30 {
			r.send(fmt.Sprint("off-", n), `{"target":"lamp","action":"off"}`)
		}
		settle(20 * time.Minute)
		n := 0
		for _, e := range r.hub.Events() {
			if e.Kind == localhub.KindDelivered {
				n++
			}
		}
		if n < 2 || n > 10 {
			t.Errorf("%d deliveries in a poll of 10 minutes at most; want about one a minute", n)
		}
		r.hub.ClearFaults("")
		settle(time.Hour)
		for n := range 30 {
			r.fed(t, fmt.Sprint("off-", n), localhub.Success)
		}
		p.stop()
	})
}

// TestReportsSpareTheLink: a report that no session survives, or a hub whose quota
// is used up, does not keep commands from having one.
func TestReportsSpareTheLink(t *testing.T) {
	up := func(p *process, minutes int) (n int) {
		for range minutes {
			settle(time.Minute)
			if p.ask(Request{Verb: AskStatus}).Status.Link.Subscribed {
				n++
			}
		}
		return n
	}
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		s := r.spiteful(`"messageId":"poison"`)
		s.on.Store(true)
		p := r.start()
		settle(5 * time.Minute)
		r.send("poison", `{"target":"lamp","action":"on"}`)
		settle(2 * time.Hour)
		before := s.strikes.Load()
		if n := up(p, 24*60); n < 1400 {
			t.Errorf("a poison report: a session in %d of 1440 minutes", n)
		}
		if n := s.strikes.Load() - before; n < 12 || n > 30 {
			t.Errorf("%d tries in a day; want about one an hour", n)
		}
		if got := p.raised(); len(got) != 0 {
			t.Errorf("raised %q; want nothing: no other device has our id", got)
		}
		// Other reports flow past it, and their success does not bring it forward.
		before = s.strikes.Load()
		for n := range 6 * 60 {
			r.send(fmt.Sprint("m", n), `{"target":"lamp","action":"toggle"}`)
			settle(time.Minute)
		}
		if n := s.strikes.Load() - before; n > 8 || len(outboxOf(p)) > 2 {
			t.Errorf("%d tries in six hours with a command a minute, %d reports waiting; want about one an hour, and the one", n, len(outboxOf(p)))
		}
		if got := p.raised(); len(got) != 0 {
			t.Errorf("raised %q with traffic", got)
		}
		s.on.Store(false)
		settle(3 * time.Hour)
		if got := r.outcomes("poison"); len(got) != 1 {
			t.Errorf("%q reported in the end; want it once", got)
		}
		p.stop()
	})
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		p := r.start()
		settle(5 * time.Minute)
		r.inject(t, localhub.Fault{Packet: localhub.PacketTelemetry, Effect: localhub.DropBefore, Times: -1})
		r.send("on", `{"target":"lamp","action":"on"}`)
		if n := up(p, 8*60); n < 460 {
			t.Errorf("a used-up quota: a session in %d of 480 minutes", n)
		}
		if got := p.raised(); len(got) != 0 {
			t.Errorf("raised %q", got)
		}
		for n := range 10 {
			id, began := fmt.Sprint("pulse-", n), time.Now()
			r.send(id, `{"target":"valve-2","action":"pulse","for":"1s"}`)
			for len(r.moves(id)) == 0 && time.Since(began) < time.Hour {
				settle(time.Second)
			}
			if d := time.Since(began); d > time.Minute {
				t.Errorf("a command waited %v", d)
			}
			settle(10 * time.Minute)
		}
		r.hub.ClearFaults("")
		settle(2 * time.Hour)
		if left := outboxOf(p); len(left) != 0 {
			t.Errorf("%d reports are still waiting", len(left))
		}
		p.stop()
	})
}

// TestHeldFor: on_unrejectable = "1h" counts the hour over sessions, whoever keeps
// the time; the sender is told once, and so is the back end; and a hub that delivers
// again on the same session makes one held message of it.
func TestHeldFor(t *testing.T) {
	for _, o := range []localhub.Options{{}, {RedeliverOnExpiry: true, IgnoreLateAck: true}, {LocksOutliveConnection: true}} {
		for _, trusted := range []bool{true, false} {
			if testing.Short() && trusted == o.RedeliverOnExpiry {
				continue
			}
			o.DefaultTTL = 40 * time.Hour
			bubble(t, o, func(t *testing.T, r *rig) {
				r.known(t)
				r.trusted = trusted
				r.noREST.Store(true)
				r.policy = config.Unrejectable{After: time.Hour}
				p := r.start()
				settle(5 * time.Minute)
				r.send("bad", `{"target":"nuke","action":"on"}`)
				settle(59 * time.Minute)
				r.fed(t, "bad")
				if s := p.ask(Request{Verb: AskStatus}).Status; s.Held > 1 {
					t.Errorf("%d held; want one", s.Held)
				}
				settle(40 * time.Minute)
				r.fed(t, "bad", localhub.Success)
				settle(24 * time.Hour)
				n := 0
				for _, a := range r.alarms() {
					if a == "unrejectable completed" {
						n++
					}
				}
				if n != 1 || len(p.agent.uplink.owed) != 0 {
					t.Errorf("%+v, trusted %v: told completed %d times, %d owed; want once and none", o, trusted, n, len(p.agent.uplink.owed))
				}
				p.stop()
			})
		}
	}
}

// TestNothingOutstandingForEver: what dead sessions had delivered is forgotten when
// it comes again, so that visits stay short.
func TestNothingOutstandingForEver(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		p := r.start()
		settle(time.Minute)
		for i := range 10 {
			r.send(fmt.Sprint("pulse-", i), `{"target":"valve-2","action":"pulse","for":"2s"}`)
			settle(time.Second)
			r.pull()
			settle(10 * time.Minute)
		}
		p.inLoop(func(a *Agent) {
			if n := len(a.uplink.outstanding); n != 0 {
				t.Errorf("%d outstanding; want none", n)
			}
		})
		p.stop()
	})
}

// TestOutageIsNoLoss: the session that the storage alarm has made at the hub is not
// taken for one of a journal that is lost.
func TestOutageIsNoLoss(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		r.noREST.Store(true)
		r.mangle = func(o *Options) {
			open := o.Open
			o.Open = func(ctx context.Context, now time.Time) (*persist.Journal, persist.Opened, error) {
				if broken.Load() {
					return nil, persist.Opened{}, &persist.StorageError{Op: "open", Err: syscall.ENOSPC}
				}
				return open(ctx, now)
			}
		}
		p := r.start()
		settle(10 * time.Minute)
		if r.count(localhub.KindConnected, "") == 0 {
			t.Fatal("the alarm was not told over a session: the case is not there")
		}
		broken.Store(false)
		settle(10 * time.Minute)
		if got := p.ask(Request{Verb: AskStatus}).Status.History; got == "lost" {
			t.Errorf("history %s", got)
		}
		p.stop()
	})
}
