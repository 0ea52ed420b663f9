package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub/localhub"
	"actuatord/persist"
)

// story is one run with every kind of plan: the messages in their order, and
// what each may move. A once-only one must never move twice; a repeatable one
// may, if a kill came in between.
var story = []struct {
	id, body string
	once     bool
	want     []string
}{
	{"on", `{"target":"pump","action":"on"}`, false, []string{"pump on"}},
	{"toggle", `{"target":"lamp","action":"toggle"}`, true, []string{"lamp on"}},
	{"pulse", `{"target":"valve-2","action":"pulse","for":"200ms"}`, true, []string{"valve-2 on", "valve-2 off"}},
	{"write", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`, false, []string{"dac 40:0fff"}},
	{"fifo", `{"target":"fifo","action":"write","register":1,"bytes":"ab"}`, true, []string{"fifo 01:ab"}},
	{"on-for", `{"target":"pump","action":"on","for":"5s"}`, false, nil}, // it is on already, or goes on after a kill
	{"off", `{"target":"lamp","action":"off"}`, false, []string{"lamp off"}},
}

// A way is how messages reach the agent in a sweep.
type way struct {
	name            string
	noMQTT, visit   bool
	until, recovery time.Duration // until all is done, and again after a restart
}

var ways = []way{
	{"session", false, false, 20 * time.Second, 2 * time.Minute},
	{"poll", true, false, 7 * time.Minute, 2 * time.Hour},
	{"visit", false, true, 2 * time.Minute, 12 * time.Minute},
}

// prepare sends the story; the write a second time right behind itself, and the
// toggle at the end.
func (w way) prepare(r *rig) {
	r.noMQTT.Store(w.noMQTT)
	for i, m := range story {
		if r.send(m.id, m.body); w.visit && i == 2 {
			r.send("bad", `{"target":"nuke","action":"on"}`)
		}
		if m.id == "write" {
			r.send(m.id, m.body)
		}
	}
	r.send("toggle", story[1].body)
}

func (w way) ended(t *testing.T, r *rig) {
	t.Helper()
	if w.visit {
		r.expect(t, "bad", "refused unknown-target")
		r.fed(t, "bad", localhub.Rejected)
	}
}

// TestKillAtEveryEdge kills the process at the first edge of its loop or its
// board, then the second, and so on until a run meets no kill. After each kill
// it starts again against the same hub, disk and wiring, and holds what came of
// it against the promises: over a session, in polls, and over a session that is
// left for a settle visit.
func TestKillAtEveryEdge(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			stride := 1
			if testing.Short() {
				stride = 7
			}
			for cut, whole := 0, false; !whole; cut += stride {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, localhub.Options{DefaultTTL: 48 * time.Hour})
					r.known(t) // so that nothing is lost to the very first connect
					way.prepare(r)
					r.cut = cut
					p := r.start()
					settle(way.until)
					p.cancel()
					err := <-p.ended
					if whole = err == nil; !whole && !errors.Is(err, errCut) {
						t.Fatalf("cut %d: ended with %v", cut, err)
					}
					where := "nowhere"
					if !whole {
						where = r.edges[cut]
					}
					p.bury()
					r.cut = -1
					again := r.start()
					settle(way.recovery)
					again.stop()
					r.check(t, fmt.Sprintf("cut %d (%s)", cut, where), whole)
					way.ended(t, r)
					if t.Failed() {
						t.Log(r.dump())
					}
				})
				if t.Failed() {
					return
				}
				if whole {
					t.Logf("%d edges, each cut once", cut)
				}
			}
		})
	}
}

// check holds the world after two runs against promises 1 to 3 and 5.
func (r *rig) check(t *testing.T, at string, whole bool) {
	t.Helper()
	for _, m := range story {
		moves, outcomes := r.moves(m.id), r.outcomes(m.id)
		switch {
		case len(outcomes) != 1:
			t.Errorf("%s: %s was reported %q; want exactly one outcome", at, m.id, outcomes)
			continue
		case outcomes[0] == "done" && m.once && !slices.Equal(moves, m.want):
			t.Errorf("%s: %s is done and moved %q; want %q", at, m.id, moves, m.want)
		case outcomes[0] == "interrupted cut-off" && m.once && !whole:
			if len(moves) > len(m.want) {
				t.Errorf("%s: %s was interrupted and moved %q", at, m.id, moves)
			}
		case outcomes[0] != "done":
			t.Errorf("%s: %s ended as %q", at, m.id, outcomes[0])
		case whole && !slices.Equal(moves, m.want):
			t.Errorf("%s: %s moved %q; want %q", at, m.id, moves, m.want)
		case !m.once && len(moves) > 2*max(len(m.want), 1):
			t.Errorf("%s: %s moved %q; a repeatable command runs once more after a kill, not more often", at, m.id, moves)
		}
		truth := localhub.Success
		if outcomes[0] != "done" {
			truth = localhub.Rejected
		}
		for _, e := range r.hub.Events() {
			if e.Kind == localhub.KindFeedback && e.ID == m.id && e.Status != truth {
				t.Errorf("%s: %s is %s, and its sender was told %s", at, m.id, outcomes[0], e.Status)
			}
		}
		if done := r.count(localhub.KindCompleted, m.id); done > 0 && outcomes[0] != "done" {
			t.Errorf("%s: %s was completed although it is %s", at, m.id, outcomes[0])
		}
	}
	// Nothing lost, and the truth told: all are settled, and what was rejected is
	// what was interrupted.
	if left := r.hub.Queue(r.device.ID); len(left) > 0 {
		t.Errorf("%s: %d messages left at the hub", at, len(left))
	}
	for _, e := range r.hub.Events() {
		if e.Kind == localhub.KindDeadLettered && e.ID != "bad" && (e.Status != localhub.Rejected || !slices.Equal(r.outcomes(e.ID), []string{"interrupted cut-off"})) {
			t.Errorf("%s: the hub gave up on a message: %v", at, e)
		}
	}
	// Safe: the last thing every output did was to go to its safe level.
	last := map[string]string{}
	for _, line := range r.moved() {
		last[line.Target] = line.Level + line.Write
	}
	for target, level := range last {
		if level == "on" {
			t.Errorf("%s: %s was left on", at, target)
		}
	}
}

// TestHubFaults: whatever happens between the delivery and the PUBACK, the
// message is completed in the end, without a second actuation.
func TestHubFaults(t *testing.T) {
	for _, f := range []localhub.Fault{
		{Packet: localhub.PacketPuback, Effect: localhub.Swallow},
		{Packet: localhub.PacketPuback, Effect: localhub.DropBefore},
		{Packet: localhub.PacketPuback, Effect: localhub.DropAfter},
		{Packet: localhub.PacketDelivery, Effect: localhub.DropBefore},
		{Packet: localhub.PacketDelivery, Effect: localhub.DropAfter},
		{Packet: localhub.PacketDelivery, Effect: localhub.DropAfter, Skip: 2},
		{Packet: localhub.PacketDelivery, Effect: localhub.Swallow},
		{Packet: localhub.PacketSuback, Effect: localhub.Swallow},
		{Packet: localhub.PacketConnack, Effect: localhub.DropBefore},
		{Packet: localhub.PacketConnect, Effect: localhub.Refuse, Code: 5},
		{Packet: localhub.PacketConnect, Effect: localhub.Refuse, Code: 3, Times: 4},
		{Packet: localhub.PacketSubscribe, Effect: localhub.Refuse},
		{Packet: localhub.PacketTelemetry, Effect: localhub.BlackHole},
		{Packet: localhub.PacketTelemetryAck, Effect: localhub.DropBefore, Times: 3},
		{Packet: localhub.PacketPuback, Effect: localhub.Stall},
		{Packet: localhub.PacketPuback, Effect: localhub.Delay, For: 90 * time.Second},
	} {
		for _, o := range []localhub.Options{{}, {Window: 1}, {Window: 50, LocksOutliveConnection: true}, {IgnoreAckOrder: true, IgnoreLateAck: true, RedeliverOnExpiry: true}} {
			t.Run(fmt.Sprintf("%s %s skip %d, %+v", f.Effect, f.Packet, f.Skip, o.Window), func(t *testing.T) {
				bubble(t, o, func(t *testing.T, r *rig) {
					p := r.start()
					settle(time.Second)
					p.stop()
					for _, m := range story {
						r.send(m.id, m.body)
					}
					if err := r.hub.Inject(f); err != nil {
						t.Fatal(err)
					}
					p = r.start()
					// A hub that lost the PUBACK of a full window says nothing any
					// more; the renewal of the token, after 48 min, ends that.
					settle(55 * time.Minute)
					r.check(t, "after "+string(f.Effect), false) // a lost delivery changes the order, and with it who moves first
					for _, m := range story {
						if n := r.count(localhub.KindCompleted, m.id); n != 1 {
							t.Errorf("%s was completed %d times", m.id, n)
						}
					}
					p.stop()
				})
			})
		}
	}
}

// TestHubRestart: all connections break, the queue is kept.
func TestHubRestart(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("before", story[1].body)
		r.hub.Restart(10 * time.Second)
		r.send("during", story[0].body)
		settle(5 * time.Minute)
		for _, id := range []string{"before", "during"} {
			if n := r.count(localhub.KindCompleted, id); n != 1 || len(r.moves(id)) != 1 {
				t.Errorf("%s: completed %d times, moved %q", id, n, r.moves(id))
			}
		}
		p.stop()
	})
}

// TestJournalThatCannotBeWritten: a commit of unknown result ends the run, with
// outputs safe, nothing completed, and an error.
func TestJournalThatCannotBeWritten(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.agent.journal.Close() // every later call fails
		r.send("on", story[0].body)
		err := <-p.ended
		if err == nil || !strings.Contains(err.Error(), "unknown") {
			t.Errorf("run ended with %v; want it to say that the state on disk is unknown", err)
		}
		synctest.Wait()
		if n := r.count(localhub.KindCompleted, "on"); n != 0 {
			t.Error("the message was completed although nothing is on disk")
		}
		for target, level := range p.board.Levels() {
			if level.String() != "off" {
				t.Errorf("%s is %v", target, level)
			}
		}
		p.cancel()
		p.board.Close()
	})
}

// TestStorageThatComesBack: a disk that cannot be used leaves a process
// that keeps its outputs safe, says READY, and comes to life when the disk does.
func TestStorageThatComesBack(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		tries := 0
		r.mangle = func(o *Options) {
			open := o.Open
			o.Open = func(ctx context.Context, now time.Time) (*persist.Journal, persist.Opened, error) {
				if tries++; tries <= 3 {
					return nil, persist.Opened{}, &persist.StorageError{Op: "open", Path: "x", Err: syscall.ENOSPC}
				}
				return open(ctx, now)
			}
		}
		r.send("on", story[0].body)
		p = r.start()
		settle(storageRetry + time.Second)
		if tries != 2 || r.count(localhub.KindDelivered, "on") != 0 {
			t.Errorf("%d tries, delivered %d times; want two tries and no session", tries, r.count(localhub.KindDelivered, "on"))
		}
		if got := r.alarms(); !slices.Equal(got, []string{"storage raised"}) {
			t.Errorf("the hub was told %q; want the storage alarm, once", got)
		}
		reply := make(chan Answer, 1)
		p.control <- Request{Verb: AskStatus, Reply: reply}
		if s := (<-reply).Status; s == nil || !strings.Contains(s.Storage, "no space left") {
			t.Errorf("status %+v; want it to say what is wrong with the storage", s)
		}
		settle(10 * time.Minute)
		if n := r.count(localhub.KindCompleted, "on"); n != 1 {
			t.Errorf("completed %d times after the disk came back; want once", n)
		}
		p.stop()
	})
}

// TestStorageAlarmByMQTT: where 443 is blocked the storage alarm goes over a session
// of its own, which leaves the queue as it is; and it is tried again until it is told.
func TestStorageAlarmByMQTT(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		var mended atomic.Bool
		r.mangle = func(o *Options) {
			open := o.Open
			o.Open = func(ctx context.Context, now time.Time) (*persist.Journal, persist.Opened, error) {
				if !mended.Load() {
					return nil, persist.Opened{}, &persist.StorageError{Op: "open", Path: "x", Err: syscall.EROFS}
				}
				return open(ctx, now)
			}
		}
		r.noREST.Store(true)
		r.noMQTT.Store(true)
		r.send("on", story[0].body)
		p := r.start()
		settle(5 * time.Minute)
		told := len(r.alarms())
		r.noMQTT.Store(false)
		settle(6 * time.Minute)
		if got := r.alarms()[told:]; !slices.Equal(got, []string{"storage raised"}) {
			t.Errorf("the hub was told %q; want the storage alarm, once", got)
		}
		if n := r.count(localhub.KindDelivered, "on"); n > 1 || r.count(localhub.KindCompleted, "on") != 0 || len(r.moves("on")) != 0 {
			t.Errorf("delivered %d times, completed %d, moved %q; want it left on the hub", n, r.count(localhub.KindCompleted, "on"), r.moves("on"))
		}
		settle(time.Hour)
		if got := r.alarms()[told:]; len(got) != 1 {
			t.Errorf("the hub was told %q in another hour; want nothing more", got)
		}
		mended.Store(true)
		settle(10 * time.Minute)
		r.expect(t, "on", "done", "pump on")
		if got := r.alarms(); got[len(got)-1] != "storage cleared" {
			t.Errorf("alarms %q; want it cleared", got)
		}
		p.stop()
	})
}
