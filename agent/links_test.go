package agent

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/board"
	"actuatord/hub"
	"actuatord/hub/localhub"
)

// fed holds what a message's sender was told against want.
func (r *rig) fed(t *testing.T, id string, want ...localhub.Status) {
	t.Helper()
	var got []localhub.Status
	for _, e := range r.hub.Events() {
		if e.Kind == localhub.KindFeedback && e.ID == id {
			got = append(got, e.Status)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the sender of %s was told %v; want %v", id, got, want)
	}
}

// known makes a journal that holds a SUBACK, as any but the very first start has.
func (r *rig) known(t *testing.T) {
	t.Helper()
	p := r.start()
	settle(3 * time.Minute)
	p.stop()
}

// TestPollCarriesOut: MQTT is blocked from the start, so a poll carries the command
// out and completes it; the next looks no sooner than 25 minutes later.
func TestPollCarriesOut(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.noMQTT.Store(true)
		p := r.start()
		r.send("on-1", `{"target":"pump","action":"on"}`)
		settle(5*time.Minute - time.Second)
		if n := r.count(localhub.KindDelivered, "on-1"); n != 0 {
			t.Errorf("delivered %d times within 5 minutes; want the poll after them", n)
		}
		settle(time.Minute + time.Second)
		r.expect(t, "on-1", "done", "pump on")
		r.fed(t, "on-1", localhub.Success)
		r.send("on-2", `{"target":"lamp","action":"on"}`)
		settle(24 * time.Minute)
		r.expect(t, "on-1", "done", "pump on")
		if len(r.moves("on-2")) != 0 {
			t.Error("a second poll came within 25 minutes")
		}
		settle(2 * time.Minute)
		r.expect(t, "on-2", "done", "lamp on")
		r.fed(t, "on-2", localhub.Success)
		p.stop()
	})
}

// TestThreeDaysWithoutMQTT: what is sent meanwhile is done once if it is fresh,
// refused as late if not, and all of it is reported.
func TestThreeDaysWithoutMQTT(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noMQTT.Store(true)
		p := r.start()
		n := 0
		for range 3 * 24 / 6 {
			settle(6 * time.Hour)
			n++
			r.send(fmt.Sprint("toggle-", n), `{"target":"lamp","action":"toggle"}`, sent(time.Now()))
			r.send(fmt.Sprint("old-", n), `{"target":"valve-1","action":"on"}`, sent(time.Now().Add(-2*time.Minute)))
		}
		r.noMQTT.Store(false)
		settle(time.Hour)
		for i := 1; i <= n; i++ {
			id := fmt.Sprint("toggle-", i)
			if got := r.outcomes(id); !slices.Equal(got, []string{"done"}) || len(r.moves(id)) != 1 {
				t.Errorf("%s: %q, moved %q; want done, once", id, got, r.moves(id))
			}
			r.expect(t, fmt.Sprint("old-", i), "refused too-old")
			r.fed(t, fmt.Sprint("old-", i), localhub.Rejected)
		}
		if s := p.ask(Request{Verb: AskStatus}).Status; !s.Link.Connected || s.Journal.Outbox != 0 {
			t.Errorf("status %+v, %d reports left; want a session and all reported", s.Link, s.Journal.Outbox)
		}
		p.stop()
	})
}

// TestRejectedOverMQTT: what MQTT cannot reject ends as Rejected all the same, and
// the commands around it are done once and completed: for every window, and for
// locks that end with the session or last their minute.
func TestRejectedOverMQTT(t *testing.T) {
	for _, window := range []int{1, 10, 50} {
		for _, lasting := range []bool{false, true} {
			t.Run(fmt.Sprint("window ", window, " lasting locks ", lasting), func(t *testing.T) {
				bubble(t, localhub.Options{Window: window, LocksOutliveConnection: lasting}, func(t *testing.T, r *rig) {
					r.known(t)
					p := r.start()
					settle(time.Second)
					now := time.Now()
					r.send("before", `{"target":"lamp","action":"toggle"}`)
					r.send("unknown", `{"target":"nuke","action":"on"}`)
					r.send("between", `{"target":"lamp","action":"toggle"}`)
					r.send("garbage", "\xff\x00{")
					r.send("late", `{"target":"valve-1","action":"on"}`, sent(now.Add(-time.Hour)))
					r.send("after", `{"target":"valve-2","action":"pulse","for":"100ms"}`)
					settle(10 * time.Second)
					r.send("off", `{"target":"pump","action":"off"}`)
					settle(5 * time.Second)
					if got := r.outcomes("off"); window > 1 && !slices.Equal(got, []string{"done"}) {
						t.Errorf("an off sent during the visit: %q; want it done within seconds", got)
					}
					settle(10 * time.Minute)
					for id, moves := range map[string][]string{"before": {"lamp on"}, "between": {"lamp off"}, "after": {"valve-2 on", "valve-2 off"}, "off": nil} {
						r.expect(t, id, "done", moves...)
						r.fed(t, id, localhub.Success)
					}
					for id, why := range map[string]string{"unknown": "refused unknown-target", "garbage": "refused malformed", "late": "refused too-old"} {
						r.expect(t, id, why)
						r.fed(t, id, localhub.Rejected)
					}
					if q := r.hub.Queue(r.device.ID); len(q) != 0 {
						t.Errorf("%d messages left at the hub", len(q))
					}
					p.stop()
				})
			})
		}
	}
}

// TestFirstConnect loses nothing to the hub's rejecting what was queued before the
// first subscription: repeatable commands are done, a once-only one that was sent
// before the journal existed is not; with 443 blocked it connects all the same.
func TestFirstConnect(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.send("on", `{"target":"pump","action":"on"}`)
		r.send("toggle", `{"target":"lamp","action":"toggle"}`)
		p := r.start()
		settle(time.Minute)
		r.expect(t, "on", "done", "pump on")
		r.fed(t, "on", localhub.Success)
		r.expect(t, "toggle", "refused history-lost")
		r.fed(t, "toggle", localhub.Rejected)
		r.send("later", `{"target":"lamp","action":"toggle"}`)
		settle(time.Second)
		r.expect(t, "later", "done", "lamp on")
		p.stop()
	})
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.noREST.Store(true)
		p := r.start()
		settle(3 * time.Minute)
		r.send("on", `{"target":"pump","action":"on"}`)
		settle(time.Second)
		r.expect(t, "on", "done", "pump on")
		if got := r.alarms(); !slices.Contains(got, "first-subscribe raised") {
			t.Errorf("alarms %q; want it said that the queue was not looked at", got)
		}
		p.stop()
	})
}

// TestRegisterThatFails in a poll: abandoned, and tried again at the next one, until
// it works or the sender's delivery count is used up; newer commands supersede it.
func TestRegisterThatFails(t *testing.T) {
	const write = `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour, MaxDeliveries: 3}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noMQTT.Store(true)
		p := r.start()
		settle(time.Minute)
		p.sim.FailTransfers("1", 1_000_000, syscall.ENXIO)
		r.send("write", write)
		settle(10 * time.Minute)
		if got := r.outcomes("write"); !slices.Equal(got, []string{"failed nack"}) {
			t.Errorf("outcome %q; want it failed", got)
		}
		r.fed(t, "write")
		p.sim.FailTransfers("1", 0, nil)
		settle(25 * time.Minute)
		if got := r.outcomes("write"); !slices.Equal(got, []string{"failed nack", "done"}) {
			t.Errorf("outcomes %q; want it done at the next poll", got)
		}
		r.fed(t, "write", localhub.Success)
		p.sim.FailTransfers("1", 1_000_000, syscall.ENXIO)
		r.send("never", write)
		settle(3 * time.Hour)
		r.fed(t, "never", localhub.DeliveryCountExceeded)
		p.sim.FailTransfers("1", 0, nil)
		p.stop()
	})
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noMQTT.Store(true)
		p := r.start()
		settle(time.Minute)
		p.sim.FailOuts("GPIO27", 1_000_000, syscall.EIO, false)
		r.send("on", `{"target":"lamp","action":"on"}`)
		settle(10 * time.Minute)
		p.sim.FailOuts("GPIO27", 0, nil, false)
		if p.ask(Request{Verb: AskDo, Payload: []byte(`{"target":"lamp","action":"off"}`)}).Outcome.Outcome != "done" {
			t.Fatal("off was not done")
		}
		settle(30 * time.Minute)
		got := r.outcomes("on")
		if len(got) == 0 || got[len(got)-1] != "refused superseded" || p.board.Levels()["lamp"] != board.Off {
			t.Errorf("the earlier on: %q, lamp %v; want it superseded", got, p.board.Levels()["lamp"])
		}
		r.fed(t, "on", localhub.Rejected)
		p.stop()
	})
}

// TestTwiceFailedInAPoll: two messages of the same words that fail in the same poll are
// both let go at its end.
func TestTwiceFailedInAPoll(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noMQTT.Store(true)
		p := r.start()
		settle(time.Minute)
		p.sim.FailTransfers("1", 1_000_000, syscall.ENXIO)
		for range 2 {
			r.send("write", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
		}
		settle(10 * time.Minute)
		n := 0
		for _, e := range r.hub.Events() {
			if e.Kind == localhub.KindReleased && e.Text == "abandoned" {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d of the two were let go", n)
		}
		p.sim.FailTransfers("1", 0, nil)
		settle(27 * time.Minute)
		r.fed(t, "write", localhub.Success, localhub.Success)
		p.stop()
	})
}

// TestBothWays: the same message over MQTT and HTTPS, with the link pulled at any
// moment, acts once.
func TestBothWays(t *testing.T) {
	for ms := 0; ms <= 400; ms += 20 {
		bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
			r.known(t)
			p := r.start()
			settle(time.Second)
			r.send("pulse", `{"target":"valve-2","action":"pulse","for":"200ms"}`)
			r.send("toggle", `{"target":"lamp","action":"toggle"}`)
			settle(time.Duration(ms) * time.Millisecond)
			r.noMQTT.Store(true)
			r.pull()
			settle(7 * time.Minute)
			r.noMQTT.Store(false)
			settle(10 * time.Minute)
			r.expect(t, "pulse", "done", "valve-2 on", "valve-2 off")
			r.expect(t, "toggle", "done", "lamp on")
			if q := r.hub.Queue(r.device.ID); len(q) != 0 {
				t.Errorf("cut after %d ms: %d messages left", ms, len(q))
			}
			p.stop()
		})
	}
}

// TestGarbageForHours: a garbage message a minute blocks nobody for long.
func TestGarbageForHours(t *testing.T) {
	for _, window := range []int{1, 10} {
		bubble(t, localhub.Options{Window: window, DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
			r.known(t)
			p := r.start()
			settle(time.Minute)
			var worst time.Duration
			for n := range 4 * 60 {
				r.send(fmt.Sprint("bad-", n), "garbage")
				if n%7 == 3 {
					id, began := fmt.Sprint("good-", n), time.Now()
					r.send(id, `{"target":"lamp","action":"toggle"}`)
					for len(r.moves(id)) == 0 && time.Since(began) < time.Hour {
						settle(time.Second)
					}
					worst = max(worst, time.Since(began))
				}
				settle(time.Minute)
			}
			t.Logf("window %d: a good command waited %v at most", window, worst.Round(time.Second))
			if worst > 6*time.Minute {
				t.Errorf("window %d: a good command waited %v", window, worst)
			}
			p.stop()
		})
	}
}

// TestClockUnset: without a trusted time nothing that hangs on time is done.
func TestClockUnset(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.trusted = false
		r.noREST.Store(true) // or its Date would tell the time
		began := time.Now()
		p := r.start()
		settle(3 * time.Minute)
		p.inLoop(func(a *Agent) {
			// A wrong clock's date could make the hub's memory look fresh when it is not.
			if f := a.facts; f.FirstDrains != 0 || !f.LastSuback.Before(began) {
				t.Errorf("a SUBACK is remembered as of %v with %d drains; want no date of an untrusted clock", f.LastSuback, f.FirstDrains)
			}
		})
		r.send("on", `{"target":"pump","action":"on"}`)
		r.send("expires", `{"target":"lamp","action":"on"}`, func(m *hub.Message) { m.Expiry = time.Now().Add(time.Hour) })
		r.send("toggle", `{"target":"lamp","action":"toggle"}`)
		settle(2 * time.Minute)
		r.expect(t, "on", "done", "pump on")
		r.expect(t, "expires", "refused clock-unset")
		r.expect(t, "toggle", "refused clock-unset")
		if got := r.alarms(); !slices.Contains(got, "clock raised") {
			t.Errorf("alarms %q; want the clock's", got)
		}
		p.stop()
	})
}

// TestReload: a new key is taken up without losing a command; another device's is
// not.
func TestReload(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		reload := make(chan Reload)
		r.mangle = func(o *Options) { o.Reload = reload }
		p := r.start()
		settle(time.Minute)
		id := hub.ConnectionString{HostName: "localhost", DeviceID: r.device.ID, Key: r.device.Secondary}
		done := make(chan error, 1)
		r.send("pulse", `{"target":"valve-2","action":"pulse","for":"2s"}`)
		settle(time.Second)
		reload <- Reload{id, done}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.send("after", `{"target":"lamp","action":"on"}`)
		settle(5 * time.Minute)
		r.expect(t, "pulse", "done", "valve-2 on", "valve-2 off")
		r.expect(t, "after", "done", "lamp on")
		if got := p.ask(Request{Verb: AskStatus}).Status.Link; got.Generation < 2 || !got.Connected {
			t.Errorf("link %+v; want a new session", got)
		}
		// A key that the hub does not take is not taken up.
		generation := p.ask(Request{Verb: AskStatus}).Status.Link.Generation
		reload <- Reload{hub.ConnectionString{HostName: "localhost", DeviceID: r.device.ID, Key: hub.NewSecret([]byte("no such key"))}, done}
		if err := <-done; err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("a wrong key: %v; want the hub's refusal", err)
		}
		settle(time.Minute)
		if got := p.ask(Request{Verb: AskStatus}).Status.Link; got.Generation != generation || !got.Connected {
			t.Errorf("link %+v; want the session as it was", got)
		}
		id.DeviceID = "other"
		reload <- Reload{id, done}
		if err := <-done; err == nil || !strings.Contains(err.Error(), "restart") {
			t.Errorf("another device: %v; want it refused", err)
		}
		p.stop()
	})
}
