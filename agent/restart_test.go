package agent

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"actuatord/board"
	"actuatord/hub"
	"actuatord/hub/link"
	"actuatord/hub/localhub"
	"actuatord/hub/mqtt"
	"actuatord/persist"
)

// unclean leaves a journal whose next run is careful.
func (r *rig) unclean(t *testing.T) {
	t.Helper()
	p := r.start()
	settle(time.Second)
	p.stop()
	r.send("x", `{"target":"valve-2","action":"on"}`)
	r.dieAt(t, "before GPIO23 goes High")
	p = r.start()
	settle(5 * time.Minute)
	p.stop2(t)
}

// stop2 kills the process where it stands.
func (p *process) stop2(t *testing.T) {
	t.Helper()
	p.r.cutAt = "delivered"
	p.r.send("", `{"target":"all","action":"read"}`)
	<-p.ended
	p.bury()
	p.r.cutAt, p.r.cut = "", -1
}

// TestSupersededAcrossRestarts: what was received first stays first, however
// often a start finds it.
func TestSupersededAcrossRestarts(t *testing.T) {
	bubble(t, localhub.Options{LocksOutliveConnection: true, Window: 50}, func(t *testing.T, r *rig) {
		r.unclean(t)
		p := r.start()
		settle(5 * time.Minute)
		r.cutAt = "before GPIO17 goes High"
		r.send("A", `{"target":"pump","action":"on"}`)
		<-p.ended
		p.bury()
		r.cutAt, r.cut = "", -1
		p = r.start() // the hub still has A locked
		settle(time.Second)
		r.send("B", `{"target":"pump","action":"off"}`)
		settle(5 * time.Second)
		r.expect(t, "B", "done")
		p.stop()
		p = r.start()
		settle(5 * time.Minute)
		r.expect(t, "A", "refused superseded")
		p.stop()
	})
}

// TestInterruptedHasActed: what was sent before a pulse that a kill interrupted
// does not act any more.
func TestInterruptedHasActed(t *testing.T) {
	bubble(t, localhub.Options{Window: 50}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Minute)
		p.stop()
		at := time.Now()
		r.send("pulse", `{"target":"lamp","action":"pulse","for":"1s"}`, sent(at))
		r.dieAt(t, "after GPIO27 went High")
		p = r.start()
		settle(time.Second)
		r.send("older", `{"target":"lamp","action":"on"}`, sent(at.Add(-time.Second)))
		settle(time.Second)
		r.expect(t, "older", "refused superseded")
		r.send("newer", `{"target":"lamp","action":"on"}`) // and arrivals go on where they were
		settle(time.Second)
		r.expect(t, "newer", "done", "lamp on")
		p.stop()
	})
}

// TestCrashLoopCountsTriesOnly: starts that never had a command in hand are not
// held against it.
func TestCrashLoopCountsTriesOnly(t *testing.T) {
	bubble(t, localhub.Options{Window: 50}, func(t *testing.T, r *rig) {
		r.unclean(t)
		r.send("A", `{"target":"pump","action":"on"}`)
		r.dieAt(t, "before GPIO17 goes High")
		r.noLink.Store(true)
		for range 4 {
			p := r.start()
			settle(time.Minute)
			p.stop()
			r.noLink.Store(true)
		}
		r.noLink.Store(false)
		p := r.start()
		settle(5 * time.Minute)
		r.expect(t, "A", "done", "pump on")
		p.stop()
	})
}

// TestHashAcrossAClockStep: a payload stands in for an id, and a clock that is set
// does not make the same message look like another.
func TestHashAcrossAClockStep(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		var synced atomic.Bool
		r.noREST.Store(true) // its Date would tell the time
		r.mangle = func(o *Options) {
			o.Kernel = func() (time.Time, bool) {
				if synced.Load() {
					return time.Now(), true
				}
				return time.Now().Add(-72 * time.Hour), false
			}
			connect := o.Connect
			o.Connect = func(ctx context.Context, rung link.Rung, g uint64, id hub.ConnectionString, _ func() time.Time, _ string) (*mqtt.Session, error) {
				return connect(ctx, rung, g, id, time.Now, hub.SignSAS("localhost/devices/"+r.device.ID, r.device.Primary, "", time.Now().Add(time.Hour)))
			}
		}
		p = r.start()
		settle(2 * time.Minute)
		if err := r.hub.Inject(localhub.Fault{Packet: localhub.PacketPuback, Effect: localhub.DropBefore}); err != nil {
			t.Fatal(err)
		}
		r.noLink.Store(true)
		r.send("", `{"target":"lamp","action":"on"}`)
		settle(500 * time.Millisecond)
		synced.Store(true)
		p.ask(Request{Verb: AskDo, Payload: []byte(`{"target":"lamp","action":"off"}`)})
		r.noLink.Store(false)
		settle(10 * time.Minute)
		if p.board.Levels()["lamp"] != board.Off {
			t.Error("a message that was done before has switched the lamp on again")
		}
		p.stop()
	})
}

// TestLossIsDatedAtOnce: at the first trusted time, not at the next hourly round.
func TestLossIsDatedAtOnce(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		r.dir = memoryDir(t)
		var synced atomic.Bool
		r.mangle = func(o *Options) { o.Kernel = func() (time.Time, bool) { return time.Now(), synced.Load() } }
		p = r.start()
		settle(time.Minute)
		synced.Store(true)
		r.send("dating", `{"target":"lamp","action":"on"}`)
		settle(10 * time.Minute)
		r.send("pulse", `{"target":"pump","action":"pulse","for":"1s"}`, sent(time.Now()))
		settle(time.Minute)
		r.expect(t, "pulse", "done", "pump on", "pump off")
		p.stop()
	})
}

// TestCarefulEnds after an hour: one commit for a repeatable command, no longer two.
func TestCarefulEnds(t *testing.T) {
	bubble(t, localhub.Options{Window: 50}, func(t *testing.T, r *rig) {
		r.unclean(t)
		p := r.start()
		cost := func(id string) uint64 {
			settle(time.Minute) // what can wait is written by then
			before := p.ask(Request{Verb: AskStatus}).Status.Journal.Commits
			r.send(id, `{"target":"lamp","action":"on"}`)
			settle(time.Second)
			return p.ask(Request{Verb: AskStatus}).Status.Journal.Commits - before
		}
		if n := cost("early"); n != 2 {
			t.Errorf("behind an unclean stop a repeatable command took %d commits; want started and done", n)
		}
		settle(time.Hour)
		if n := cost("late"); n != 1 {
			t.Errorf("an hour later it took %d commits; want one", n)
		}
		p.stop()
	})
}

// TestHousekeeping: what was seen again is remembered, confirmed reports leave the
// outbox, a refused SUBSCRIBE is tried again, and the first CONNECT is intended
// before it is sent.
func TestHousekeeping(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		var p *process
		started := make(chan struct{})
		r.mangle = func(o *Options) {
			connect := o.Connect
			o.Connect = func(ctx context.Context, rung link.Rung, g uint64, id hub.ConnectionString, at func() time.Time, token string) (*mqtt.Session, error) {
				<-started
				if f := p.agent.journal.LinkFacts(); g == 1 && f.Connect != persist.ConnectIntended {
					t.Errorf("CONNECT is sent with the fact %d in the journal", f.Connect)
				}
				return connect(ctx, rung, g, id, at, token)
			}
		}
		if err := r.hub.Inject(localhub.Fault{Packet: localhub.PacketSubscribe, Effect: localhub.Refuse}); err != nil {
			t.Fatal(err)
		}
		p = r.start()
		close(started)
		settle(15 * time.Minute)
		r.send("on", `{"target":"lamp","action":"on"}`)
		settle(time.Minute)
		r.send("on", `{"target":"lamp","action":"on"}`)
		settle(time.Minute)
		s := p.ask(Request{Verb: AskStatus}).Status
		if len(s.Last) != 1 || !s.Last[0].LastSeen.After(s.Last[0].FirstSeen) {
			t.Errorf("last commands %+v; want one, seen again later", s.Last)
		}
		if s.Journal.Outbox != 0 {
			t.Errorf("%d reports left in the outbox; want those that the hub confirmed gone", s.Journal.Outbox)
		}
		if !slices.Equal(r.outcomes("on"), []string{"done"}) {
			t.Errorf("reported %q", r.outcomes("on"))
		}
		p.stop()
	})
}

// TestSafeThenRestart: numbers given out to `safe` count after a restart too, or
// what is new would look older than it.
func TestSafeThenRestart(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		for range 3 {
			p.ask(Request{Verb: AskSafe})
		}
		p.stop()
		p = r.start()
		settle(time.Second)
		r.send("new", `{"target":"lamp","action":"on"}`)
		settle(time.Second)
		r.expect(t, "new", "done", "lamp on")
		p.stop()
	})
}

// TestSafeOnAHungBoard does not say that all is well.
func TestSafeOnAHungBoard(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		release := make(chan struct{})
		p.wires.at = func(where string) {
			if where == "before GPIO27 goes High" {
				<-release
			}
		}
		r.send("on", `{"target":"lamp","action":"on"}`)
		settle(time.Second)
		if a := p.ask(Request{Verb: AskSafe}); len(a.Faults) == 0 {
			t.Errorf("safe answered %+v while the board hangs", a)
		}
		close(release)
		settle(5 * time.Second)
		p.stop()
	})
}

// TestRedeliveredOff: a redelivery without an id does not undo what came later.
func TestRedeliveredOff(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.visits = 12
		p := r.start()
		settle(time.Second)
		r.send("bad", `{"target":"nothing","action":"on"}`) // held: all behind it is delivered again
		r.send("", `{"target":"lamp","action":"off"}`)
		r.send("on", `{"target":"lamp","action":"on"}`)
		settle(12 * time.Minute)
		if l := p.board.Levels()["lamp"]; l != board.On {
			t.Errorf("the lamp is %v: an off from before the on was carried out a second time", l)
		}
		p.stop()
	})
}

// TestPruneOnShortRuns: a board that never stays up for an hour forgets old
// commands too, or its journal would fill up.
func TestPruneOnShortRuns(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		r.fill(t, 1200)
		for range 3 {
			p = r.start()
			settle(20 * time.Minute)
			p.stop()
		}
		p = r.start()
		settle(time.Second)
		if left := p.ask(Request{Verb: AskStatus}).Status.Journal.Commands; left > 1000 {
			t.Errorf("%d commands left of 1200 that are a month old; want those beyond the newest 1000 forgotten", left)
		}
		p.stop()
	})
}
