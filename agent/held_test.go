package agent

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/agent/config"
	"actuatord/hub"
	"actuatord/hub/localhub"
)

// TestCompleteWithExpiry: on_unrejectable is obeyed also for a message that would
// expire much later.
func TestCompleteWithExpiry(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 40 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noREST.Store(true)
		r.policy = config.Unrejectable{}
		p := r.start()
		settle(time.Minute)
		r.send("bad", `{"target":"nuke","action":"on"}`, func(m *hub.Message) { m.Expiry = time.Now().Add(20 * time.Hour) })
		r.send("good", `{"target":"lamp","action":"toggle"}`)
		settle(2 * time.Hour)
		r.fed(t, "bad", localhub.Success)
		r.fed(t, "good", localhub.Success)
		p.stop()
	})
}

// TestNoBusyLoop: with a message held that has expired, on a session that is too young
// to be left, the loop has nothing to be woken for.
func TestNoBusyLoop(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 40 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		p := r.start()
		settle(time.Minute)
		r.noREST.Store(true)
		r.send("bad", `{"target":"nuke","action":"on"}`)
		settle(40 * time.Second) // a visit that fails: the next is minutes away, and the session young
		r.send("brief", `{"target":"nuke","action":"on"}`, func(m *hub.Message) { m.Expiry = time.Now().Add(3 * time.Second) })
		for range 25 {
			settle(time.Second)
			p.inLoop(func(a *Agent) {
				if at, now := a.due(), time.Now(); at.Before(now) {
					t.Errorf("woken for something of %v ago", now.Sub(at))
				}
			})
		}
		p.stop()
	})
}

// TestNotTakenForARedelivery: a message without an id that was delivered once, and has
// expired since, is not what a later one of the same words is: that is refused, and
// not completed as if it had been done.
func TestNotTakenForARedelivery(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		p := r.start()
		settle(3 * time.Minute)
		r.send("pulse", `{"target":"valve-2","action":"pulse","for":"4s"}`)
		settle(time.Second)
		r.send("", `{"target":"lamp","action":"on"}`, func(m *hub.Message) { m.Expiry = time.Now().Add(time.Minute) })
		settle(time.Second)
		r.noLink.Store(true)
		r.pull()
		settle(5 * time.Second)
		if r.board(p, "lamp") != "on" {
			t.Fatal("the case is not there")
		}
		settle(2 * time.Minute)
		r.noLink.Store(false)
		settle(20 * time.Minute)
		r.send("off", `{"target":"lamp","action":"off"}`)
		settle(5 * time.Hour)
		r.send("", `{"target":"lamp","action":"on"}`)
		settle(10 * time.Minute)
		if !slices.ContainsFunc(r.reports(), func(rep command.Report) bool { return rep.Action == "on" && rep.Reason == command.IDRequired }) {
			t.Error("the second on was neither done nor refused")
		}
		p.stop()
	})
}

// TestOwedNoMore: a refused message that expired at the hub before it could be rejected
// is owed nothing once a visit has found the queue empty.
func TestOwedNoMore(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noREST.Store(true)
		p := r.start()
		settle(time.Minute)
		r.send("expires", `{"target":"nuke","action":"on"}`, func(m *hub.Message) { m.Expiry = time.Now().Add(10 * time.Minute) })
		settle(30 * time.Minute)
		r.noREST.Store(false)
		r.send("rejected", `{"target":"nuke","action":"on"}`)
		settle(30 * time.Minute)
		r.fed(t, "expires", localhub.Expired)
		r.fed(t, "rejected", localhub.Rejected)
		p.inLoop(func(a *Agent) {
			if n := len(a.uplink.owed); n != 0 {
				t.Errorf("%d messages are owed a reject; want none", n)
			}
		})
		p.stop()
	})
}

// TestRejectsGetNoAnswer: something on the way lets GETs through and no DELETE. The
// configuration's word counts then, and an alarm says so.
func TestRejectsGetNoAnswer(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 40 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.policy = config.Unrejectable{}
		p := r.start()
		settle(time.Minute)
		r.inject(t, localhub.Fault{Packet: localhub.PacketHTTPReject, Effect: localhub.DropBefore, Times: -1})
		r.send("bad", `{"target":"nuke","action":"on"}`)
		r.send("good", `{"target":"lamp","action":"toggle"}`)
		settle(4 * time.Hour)
		r.fed(t, "bad", localhub.Success)
		if got := r.alarms(); !slices.Contains(got, "unrejectable raised") {
			t.Errorf("alarms %q", got)
		}
		p.stop()
	})
}

// TestExpiringMinuteByMinute: refused messages that expire each minute, with 443
// blocked, do not make a link that stands look bad.
func TestExpiringMinuteByMinute(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 40 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		p := r.start()
		settle(10 * time.Minute)
		r.noREST.Store(true)
		for i := range 120 {
			r.send(fmt.Sprint("bad-", i), `{"target":"nuke","action":"on"}`, func(m *hub.Message) { m.Expiry = time.Now().Add(45 * time.Second) })
			settle(time.Minute)
		}
		if got := p.raised(); slices.Contains(got, command.AlarmNoSession) {
			t.Errorf("raised %q", got)
		}
		p.stop()
	})
}

// TestForgottenAndBlind: the hub has forgotten us, 443 is closed, and the SUBSCRIBE that
// follows has it reject what was queued: an alarm says so.
func TestForgottenAndBlind(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.inject(t, localhub.Fault{Packet: localhub.PacketConnect, Effect: localhub.Forget})
		r.noREST.Store(true)
		r.send("on", `{"target":"pump","action":"on"}`)
		p := r.start()
		settle(10 * time.Minute)
		if got := r.alarms(); !slices.Contains(got, "first-subscribe raised") {
			t.Errorf("alarms %q; want it said that the queue was not emptied", got)
		}
		p.stop()
	})
}
