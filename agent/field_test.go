package agent

import (
	"context"
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/localhub"
	"actuatord/persist"
)

// TestConvoy: a refused message, nine good ones behind it, and an off that the hub
// does not deliver any more, minutes before the next visit is due: it is urgent. So
// are ten refused ones.
func TestConvoy(t *testing.T) {
	for _, bad := range []int{1, 10} {
		bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
			r.known(t)
			p := r.start()
			settle(time.Minute)
			r.send("first", "garbage") // and with it the visit that is free
			settle(5 * time.Second)
			for n := range bad {
				r.send(fmt.Sprint("bad-", n), `{"target":"pmup","action":"on"}`)
			}
			for n := range 10 - bad {
				r.send(fmt.Sprint("on-", n), `{"target":"pump","action":"on"}`)
			}
			r.send("on", `{"target":"pump","action":"on"}`)
			r.send("off", `{"target":"pump","action":"off"}`)
			settle(40 * time.Second)
			if got := r.outcomes("off"); !slices.Equal(got, []string{"done"}) {
				t.Errorf("%d bad ones: off is %q after 40 s; want it done", bad, got)
			}
			settle(20 * time.Minute)
			for n := range bad {
				r.fed(t, fmt.Sprint("bad-", n), localhub.Rejected)
			}
			r.fed(t, "off", localhub.Success)
			p.stop()
		})
	}
}

// TestShortRuns: three starts, each cut short in its first-subscribe drain, must not
// keep a device away from a hub that can be reached.
func TestShortRuns(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.noREST.Store(true)
		for range 4 {
			p := r.start()
			settle(8 * time.Second)
			p.stop()
		}
		r.noREST.Store(false)
		p := r.start()
		settle(time.Second)
		if s := p.ask(Request{Verb: AskStatus}).Status.Link; !s.Connected && s.Detail == "" {
			t.Errorf("link %+v; want it said what it waits for", s)
		}
		settle(3 * time.Minute)
		if s := p.ask(Request{Verb: AskStatus}).Status.Link; !s.Subscribed {
			t.Errorf("link %+v three minutes after the start; want a session", s)
		}
		p.stop()
	})
}

// TestHeldExpires: what waits behind a refused message that expires at the hub is
// completed then, and not at the next visit.
func TestHeldExpires(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		p := r.start()
		settle(time.Minute)
		r.noREST.Store(true)
		expires := time.Now().Add(90 * time.Second)
		r.send("bad", `{"target":"nuke","action":"on"}`, func(m *hub.Message) { m.Expiry = expires })
		r.send("good", `{"target":"lamp","action":"toggle"}`)
		settle(85 * time.Second)
		r.fed(t, "good")
		settle(110 * time.Second) // it expires, and the session stands long enough to be left for it
		r.expect(t, "good", "done", "lamp on")
		r.fed(t, "good", localhub.Success)
		p.stop()
	})
}

// TestNoIDBehindARefusal: a message without an id that is delivered again, because
// the device has left its session, is not taken for a second sending.
func TestNoIDBehindARefusal(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		p := r.start()
		settle(time.Minute)
		r.send("first", "garbage")
		settle(time.Second)
		r.send("bad", "garbage, too")
		r.send("", `{"target":"lamp","action":"on"}`)
		settle(10 * time.Second)
		r.send("off", `{"target":"lamp","action":"off"}`)
		settle(10 * time.Minute)
		var got []string
		for _, rep := range r.reports() {
			if rep.Kind == command.KindOutcome && rep.Action == "on" {
				got = append(got, rep.Outcome)
			}
		}
		if q := r.hub.Queue(r.device.ID); !slices.Equal(got, []string{"done"}) || len(q) != 0 {
			t.Errorf("reported %q, %d left at the hub; want it done, once", got, len(q))
		}
		for _, e := range r.hub.Events() {
			if e.Kind == localhub.KindDeadLettered && e.ID != "first" && e.ID != "bad" {
				t.Errorf("%v: want it completed", e)
			}
		}
		if r.board(p, "lamp") != "off" {
			t.Error("a redelivery has undone what came behind it")
		}
		p.stop()
	})
}

// board is the level of an output.
func (r *rig) board(p *process, output string) string { return p.board.Levels()[output].String() }

// TestLocalHasNoAge: what is asked for at the board was sent now, also where commands
// have an age limit.
func TestLocalHasNoAge(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		if a := p.ask(Request{Verb: AskDo, Payload: []byte(`{"target":"valve-1","action":"on"}`)}); a.Outcome.Outcome != "done" {
			t.Errorf("do answered %+v; want it done", a.Outcome)
		}
		// One that waited for a loop that was stopped is as old as its question.
		if a := p.ask(Request{Verb: AskDo, Payload: []byte(`{"target":"valve-1","action":"on"}`), Asked: time.Now().Add(-DoPatience)}); a.Outcome.Reason != command.Expired {
			t.Errorf("do of long ago answered %+v; want it expired", a.Outcome)
		}
		p.stop()
	})
}

// TestNoSessionAlarm: a device that lives on polls for an hour says so, and one that
// was never connected does not speak of lost messages.
func TestNoSessionAlarm(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.noMQTT.Store(true)
		p := r.start()
		settle(50 * time.Minute)
		if got := p.raised(); len(got) != 0 {
			t.Errorf("raised %q after 50 minutes", got)
		}
		settle(30 * time.Minute)
		if got := p.raised(); !slices.Equal(got, []string{command.AlarmNoSession}) {
			t.Errorf("raised %q after 80 minutes of polls", got)
		}
		r.noMQTT.Store(false)
		settle(40 * time.Minute)
		if got := p.raised(); len(got) != 0 {
			t.Errorf("raised %q with a session", got)
		}
		p.stop()
	})
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.noLink.Store(true)
		p := r.start()
		settle(30 * time.Minute)
		if got := p.raised(); slices.Contains(got, command.AlarmFirstSubscribe) {
			t.Errorf("raised %q, and nothing was ever subscribed", got)
		}
		p.stop()
	})
}

// TestBlackHoledREST: a first-subscribe drain that gets no answer ends after its
// minute, whatever reports would like to travel with it.
func TestBlackHoledREST(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.muteREST = func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		p := r.start()
		settle(75 * time.Second)
		if s := p.ask(Request{Verb: AskStatus}).Status.Link; !s.Subscribed {
			t.Errorf("link %+v after 75 s; want a session", s)
		}
		p.stop()
	})
}

// TestOutageIsToldAtOnce: the storage alarm waits for a time to be trusted, and no
// longer than that.
func TestOutageIsToldAtOnce(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		began := time.Now()
		r.mangle = func(o *Options) {
			o.Config.Clock.Wait = time.Hour
			o.Kernel = func() (time.Time, bool) { return time.Now(), time.Since(began) > 20*time.Second }
			o.Open = func(context.Context, time.Time) (*persist.Journal, persist.Opened, error) {
				return nil, persist.Opened{}, &persist.StorageError{Op: "open", Err: syscall.EROFS}
			}
		}
		p := r.start()
		settle(15 * time.Second)
		if got := r.alarms(); len(got) != 0 {
			t.Errorf("told %q with a time that nobody trusts", got)
		}
		settle(10 * time.Second)
		if got := r.alarms(); !slices.Equal(got, []string{"storage raised"}) {
			t.Errorf("told %q five seconds after the clock was right; want the alarm", got)
		}
		p.stop()
	})
}
