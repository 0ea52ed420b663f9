package agent

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/agent/command"
	"actuatord/board"
	"actuatord/hub"
	"actuatord/hub/link"
	"actuatord/hub/localhub"
	"actuatord/hub/mqtt"
)

// Each test here is a defect that a reviewer proved, or a change of the code that
// no other test noticed.

func (r *rig) leaseCuts() (n int) {
	for _, rep := range r.reports() {
		if rep.Reason == command.LeaseCut {
			n++
		}
	}
	return n
}

// TestNoFalseLease: an output that is at its safe level owes nobody anything,
// whether its command failed or its lease ended by itself.
func TestNoFalseLease(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.sim.FailOuts("GPIO27", 1, syscall.EIO, true)
		r.send("toggle", `{"target":"lamp","action":"toggle"}`)
		r.send("short", `{"target":"pump","action":"on","for":"1s"}`)
		settle(time.Minute)
		for _, o := range p.ask(Request{Verb: AskStatus}).Status.Outputs {
			if o.Cause != "" {
				t.Errorf("%s is %s, and status says that %s left it away from safe", o.Name, o.Level, o.Cause)
			}
		}
		p.stop()
		p = r.start()
		settle(time.Minute)
		if n := r.leaseCuts(); n != 0 {
			t.Errorf("%d false reports of a cut lease", n)
		}
		p.stop()
	})
}

// TestLeaseEndsBeforeTheLoopHears: the board's answer and the end of the lease
// are both there when the loop comes round.
func TestLeaseEndsBeforeTheLoopHears(t *testing.T) {
	for range 12 { // which of two ready events is taken is chance
		bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
			p := r.start()
			settle(time.Second)
			p.agent.events <- func() error {
				c, undecoded := p.agent.table.Decode([]byte(`{"target":"pump","action":"on","for":"10ms"}`))
				p.agent.join(&item{life: p.agent.newLife(command.Local, command.Message{ID: "x"}, c, undecoded), received: time.Now(), reply: make(chan Answer, 1)})
				err := p.agent.advance()
				time.Sleep(50 * time.Millisecond) // a commit on a slow card
				return err
			}
			settle(time.Second)
			if o := p.ask(Request{Verb: AskStatus}).Status.Outputs[0]; o.Cause != "" {
				t.Errorf("the pump is %s, and status says that %s left it away from safe", o.Level, o.Cause)
			}
			p.stop()
		})
	}
}

// TestSafeIsNewerThanWhatWaits: a command received before `safe` does not undo it.
func TestSafeIsNewerThanWhatWaits(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("pulse", `{"target":"pump","action":"pulse","for":"5s"}`)
		r.send("on", `{"target":"lamp","action":"on"}`)
		settle(time.Second)
		p.ask(Request{Verb: AskSafe})
		settle(time.Second)
		r.expect(t, "on", "refused superseded")
		r.send("later", `{"target":"lamp","action":"on"}`)
		settle(time.Second)
		r.expect(t, "later", "done", "lamp on")
		p.stop()
	})
}

// TestRetryWhileUnknown: a disturbance that the board is still putting right is no
// reason to give a command up.
func TestRetryWhileUnknown(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.sim.FailOuts("GPIO27", 2, syscall.EIO, false)
		p.sim.FailRequests("GPIO27", 1, syscall.EIO)
		r.send("on", `{"target":"lamp","action":"on"}`)
		settle(40 * time.Second)
		r.expect(t, "on", "done", "lamp on")
		p.stop()
	})
}

// TestDeadSessionsDeliveries: what a session handed over before it died is carried
// out, in its order, before anything newer.
func TestDeadSessionsDeliveries(t *testing.T) {
	for range 8 { // which of two ready events is taken is chance
		bubble(t, localhub.Options{Window: 50, LocksOutliveConnection: true}, func(t *testing.T, r *rig) {
			p := r.start()
			settle(time.Second)
			var once atomic.Bool
			p.agent.o.Edge = func(where string) {
				if where == "before commit" && once.CompareAndSwap(false, true) {
					time.Sleep(2 * time.Second) // a slow card
				}
			}
			r.send("first", `{"target":"valve-2","action":"toggle"}`)
			settle(time.Millisecond)
			r.send("A", `{"target":"pump","action":"on"}`)
			for i := range 8 {
				r.send(fmt.Sprint("m", i), `{"target":"lamp","action":"toggle"}`)
			}
			settle(time.Second)
			r.pull()
			settle(10 * time.Second)
			r.send("B", `{"target":"pump","action":"off"}`)
			if h := p.ask(Request{Verb: AskHistory, Count: 20}).History; len(h) < 10 {
				t.Errorf("%d of 10 deliveries carried out; want those that the dead session handed over among them", len(h))
			}
			settle(5 * time.Minute)
			if p.board.Levels()["pump"] != board.Off {
				t.Error("the pump is on: the newer off was carried out before the older on")
			}
			p.stop()
		})
	}
}

// TestStaleSettlement: a completion that a dead session was owed says nothing to
// its successor, whose places in the order of receipt are others.
func TestStaleSettlement(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.sim.FailTransfers("1", 6, syscall.ENXIO)
		r.send("gone", `{"target":"nuke","action":"on"}`, func(m *hub.Message) { m.Expiry = time.Now().Add(2 * time.Second) })
		r.send("A", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
		settle(time.Second)
		r.pull()
		settle(2 * time.Second)
		r.send("C", `{"target":"nuke","action":"on"}`)
		settle(time.Minute)
		r.expect(t, "A", "done", "dac 40:0fff")
		if n := r.count(localhub.KindCompleted, "C"); n != 0 {
			t.Error("a refused message was completed by its predecessor's completion")
		}
		p.stop()
	})
}

// TestBatchDoesNotWait: an outcome is completed within seconds although a command
// behind it is being retried.
func TestBatchDoesNotWait(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		r.send("pulse", `{"target":"pump","action":"pulse","for":"200ms"}`) // so that what is behind it waits together
		r.send("on", `{"target":"lamp","action":"on"}`)
		r.send("w", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
		p = r.start()
		p.sim.FailTransfers("1", 7, syscall.ENXIO)
		settle(7 * time.Second)
		if n := r.count(localhub.KindCompleted, "on"); n != 1 || len(r.outcomes("w")) > 0 {
			t.Errorf("after 7 s completed %d times, and what is behind it has come to %q; want it completed while that is tried", n, r.outcomes("w"))
		}
		settle(time.Minute)
		p.stop()
	})
}

// TestPruneKeepsUp with a command every ten seconds, without long pauses.
func TestPruneKeepsUp(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		const many = 12_000
		r.fill(t, many)
		p = r.start()
		settle(24 * time.Hour)
		if left := p.ask(Request{Verb: AskStatus}).Status.Journal.Commands; left > many-24*360 {
			t.Errorf("%d of %d old commands left after a day; a command every ten seconds brings %d", left, many, 24*360)
		}
		p.stop()
	})
}

// TestUnsafeStop: a stop that leaves an output away from its safe level does not
// say otherwise, and the next start knows.
func TestUnsafeStop(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("on", `{"target":"lamp","action":"on"}`)
		settle(time.Second)
		p.sim.FailOuts("GPIO27", 100_000, syscall.EIO, false)
		p.sim.FailRequests("GPIO27", 100_000, syscall.EIO)
		p.cancel()
		if err := <-p.ended; err == nil || !strings.Contains(err.Error(), "safe level") {
			t.Errorf("run ended with %v; want it to say that an output is not safe", err)
		}
		if p.board.Close() == nil {
			t.Error("the board closed as if all were well")
		}
		p = r.start()
		settle(time.Minute)
		if !p.agent.opened.Unclean {
			t.Error("the next start takes it for a clean stop")
		}
		p.stop()
	})
}

// TestStopWithAStuckLine: a driver that does not come back cannot hold the stop
// beyond its 5 s.
func TestStopWithAStuckLine(t *testing.T) {
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
		began := time.Now()
		p.cancel()
		if err := <-p.ended; err == nil {
			t.Error("run ended without an error")
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("the stop took %v; want at most 5 s", d)
		}
		close(release)
		settle(5 * time.Second)
		p.board.Close()
	})
}

// TestMaxAgeOnABusyBus: the age is judged when the transfer begins, not when the
// board was asked.
func TestMaxAgeOnABusyBus(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.profile.Registers[1].MaxAge = 10 * time.Second
		p := r.start()
		settle(time.Minute)
		p.sim.Slow("1", 400*time.Millisecond)
		p.board.Do(board.Op{Kind: board.Write, Target: "dac", Register: 0x40, Bytes: []byte{1, 1}, Cause: "other"}, make(chan board.Result, 1))
		r.send("w", `{"target":"fifo","action":"write","register":1,"bytes":"ab"}`, sent(time.Now().Add(-9900*time.Millisecond)))
		settle(5 * time.Second)
		if got := r.moves("w"); len(got) > 0 {
			t.Errorf("moved %q more than 10 s after it was sent", got)
		}
		p.sim.Slow("1", 0)
		p.stop()
	})
}

// TestOneConnectionAtATime: the next CONNECT waits until the hub has seen the last
// of the one before.
func TestOneConnectionAtATime(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.mangle = func(o *Options) {
			connect := o.Connect
			o.Connect = func(ctx context.Context, rung link.Rung, g uint64, id hub.ConnectionString, at func() time.Time, token string) (*mqtt.Session, error) {
				if connected, _ := r.hub.Status(r.device.ID); connected {
					t.Errorf("generation %d: CONNECT while the hub has our last connection", g)
				}
				return connect(ctx, rung, g, id, at, token)
			}
		}
		p := r.start()
		settle(6 * time.Hour)
		p.stop()
	})
}

// TestDoGivenUp: a local command whose turn did not come while somebody waited for
// it is not done behind his back.
func TestDoGivenUp(t *testing.T) {
	bubble(t, localhub.Options{Window: 50}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		for i := range 30 {
			r.send(fmt.Sprint("m", i), `{"target":"valve-2","action":"pulse","for":"5s"}`)
		}
		settle(time.Second)
		reply := make(chan Answer, 1)
		p.control <- Request{Verb: AskDo, Payload: []byte(`{"target":"lamp","action":"on"}`), Reply: reply}
		settle(3 * time.Minute)
		if a := <-reply; a.Outcome == nil || a.Outcome.Reason != command.Expired || p.board.Levels()["lamp"] != board.Off {
			t.Errorf("answered %+v, and the lamp is %v", a.Outcome, p.board.Levels()["lamp"])
		}
		p.stop()
	})
}

// TestDeadJournal: a read that fails ends the run like a write that does.
func TestDeadJournal(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Minute)
		p.agent.events <- func() error {
			p.agent.outbox.more = true
			return p.agent.journal.Close()
		}
		synctest.Wait()
		select {
		case err := <-p.ended:
			if err == nil {
				t.Error("run ended without an error")
			}
		default:
			t.Error("the loop goes on with a dead journal")
			p.cancel()
			<-p.ended
		}
		p.board.Close()
	})
}
