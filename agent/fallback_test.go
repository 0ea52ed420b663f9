package agent

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
)

// mixed is a queue with something of each kind: done, once only, and refused.
func (r *rig) mixed() {
	r.send("on", `{"target":"pump","action":"on"}`)
	r.send("bad", `{"target":"nuke","action":"on"}`)
	r.send("toggle", `{"target":"lamp","action":"toggle"}`)
	r.send("garbage", "\xff{")
	r.send("pulse", `{"target":"valve-2","action":"pulse","for":"100ms"}`)
}

// mixedEnded holds the end of mixed against promises 1 to 4.
func (r *rig) mixedEnded(t *testing.T) {
	t.Helper()
	for id, moves := range map[string][]string{"on": {"pump on"}, "toggle": {"lamp on"}, "pulse": {"valve-2 on", "valve-2 off"}} {
		r.expect(t, id, "done", moves...)
		r.fed(t, id, localhub.Success)
	}
	for id, why := range map[string]string{"bad": "refused unknown-target", "garbage": "refused malformed"} {
		r.expect(t, id, why)
		r.fed(t, id, localhub.Rejected)
	}
	if q := r.hub.Queue(r.device.ID); len(q) != 0 {
		t.Errorf("%d messages left at the hub", len(q))
	}
}

// TestHTTPSFaults strikes each kind of request, the first, the second, and so on
// until a run has none left, with each fault; in polls, and in settle visits.
// Whatever is lost on the way, all ends once and as it should.
func TestHTTPSFaults(t *testing.T) {
	faults := []localhub.Fault{
		{Effect: localhub.DropBefore}, {Effect: localhub.DropAfter}, {Effect: localhub.Swallow},
		{Effect: localhub.BlackHole}, {Effect: localhub.Stall, For: 2 * time.Minute}, {Effect: localhub.Delay, For: 40 * time.Second},
		{Effect: localhub.Refuse, Code: 401}, {Effect: localhub.Refuse, Code: 403}, {Effect: localhub.Refuse, Code: 404}, {Effect: localhub.Refuse, Code: 412},
		{Effect: localhub.Refuse, Code: 413}, {Effect: localhub.Refuse, Code: 429, Retry: 10 * time.Second}, {Effect: localhub.Refuse, Code: 429, Retry: time.Hour},
		{Effect: localhub.Refuse, Code: 500}, {Effect: localhub.Refuse, Code: 503, Times: 5}, {Effect: localhub.LockLost},
	}
	if testing.Short() {
		faults = faults[:3]
	}
	packets := []localhub.Packet{localhub.PacketHTTPReceive, localhub.PacketHTTPComplete, localhub.PacketHTTPReject, localhub.PacketHTTPTelemetry, localhub.PacketHTTPS}
	for _, poll := range []bool{true, false} {
		for _, packet := range packets {
			for _, f := range faults {
				f.Packet = packet
				if f.Effect == localhub.LockLost && packet != localhub.PacketHTTPComplete && packet != localhub.PacketHTTPReject {
					continue
				}
				if packet == localhub.PacketHTTPS && f.Effect == localhub.Refuse {
					continue // below HTTP there are no statuses
				}
				if !poll && packet == localhub.PacketHTTPTelemetry {
					continue // reports go over the session
				}
				t.Run(fmt.Sprintf("poll %v, %s %s %d %v", poll, f.Effect, packet, f.Code, f.Retry), func(t *testing.T) {
					runs := 0
					for struck := true; struck; f.Skip++ {
						bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour, LocksOutliveConnection: f.Skip%2 == 0}, func(t *testing.T, r *rig) {
							r.known(t)
							r.noMQTT.Store(poll)
							r.mixed()
							if err := r.hub.Inject(f); err != nil {
								t.Fatal(err)
							}
							p := r.start()
							settle(100 * time.Minute)
							struck = slices.ContainsFunc(r.hub.Events(), func(e localhub.Event) bool { return e.Kind == localhub.KindFault })
							r.mixedEnded(t)
							p.stop()
						})
						if runs++; t.Failed() || runs > 40 {
							t.Fatalf("at number %d", f.Skip)
						}
						if testing.Short() && f.Skip > 0 {
							break
						}
					}
					if runs == 1 {
						t.Error("the fault never struck")
					}
				})
			}
		}
	}
}

// TestBlackHole: a network that takes MQTT's packets and never answers, or takes
// the connection and never goes on, holds no poll up.
func TestBlackHole(t *testing.T) {
	for name, mute := range map[string]func(context.Context) (net.Conn, error){
		"SYNs vanish": func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"bytes vanish": func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go io.Copy(io.Discard, theirs) //nolint:errcheck // it ends with the connection
			return ours, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
				r.known(t)
				r.mute = mute
				p := r.start()
				r.mixed()
				settle(8 * time.Minute)
				r.mixedEnded(t)
				settle(2 * 24 * time.Hour)
				r.spaced(t, 25*time.Minute, 28*time.Minute)
				p.stop()
			})
		})
	}
}

// polls are the times at which a queue was looked at: the first GET of each drain.
func (r *rig) polls() (all []time.Time) {
	var last time.Time
	for _, e := range r.hub.Events() {
		if e.Kind == localhub.KindRequest && e.Request == localhub.PacketHTTPReceive {
			if e.At.Sub(last) > 5*time.Minute {
				all = append(all, e.At)
			}
			last = e.At
		}
	}
	return all
}

// spaced holds all polls but the very first drain to be so far apart.
func (r *rig) spaced(t *testing.T, least, most time.Duration) {
	t.Helper()
	all := r.polls()[1:]
	if len(all) < 3 {
		t.Errorf("%d polls", len(all))
	}
	for i := 1; i < len(all); i++ {
		if d := all[i].Sub(all[i-1]); d < least || d > most {
			t.Errorf("poll %d came %v after the one before; want %v to %v", i, d, least, most)
		}
	}
}

// TestPollsOverRestarts: 100 starts, the clock jumping from 1970, back and forward,
// trusted or not: no two polls within 25 minutes, and none that a wrong clock stops.
func TestPollsOverRestarts(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noMQTT.Store(true)
		dice := rand.New(rand.NewPCG(1, 2))
		for n := range 100 {
			wrong := []time.Duration{0, 0, -30 * 365 * 24 * time.Hour, 400 * 24 * time.Hour, -2 * time.Hour, 3 * time.Hour}[dice.IntN(6)]
			trusted := wrong == 0 && dice.IntN(2) == 0
			later := dice.IntN(2) == 0 // the kernel's clock is set while it runs
			began := time.Now()
			r.mangle = func(o *Options) {
				o.Kernel = func() (time.Time, bool) {
					if later && time.Since(began) > 10*time.Minute {
						return time.Now(), true
					}
					return time.Now().Add(wrong), trusted
				}
			}
			p := r.start()
			id := fmt.Sprint("on-", n)
			r.send(id, `{"target":"pump","action":"on"}`)
			settle(time.Duration(1+dice.IntN(70)) * time.Minute)
			if time.Since(began) > 32*time.Minute {
				if got := r.outcomes(id); !slices.Equal(got, []string{"done"}) {
					t.Errorf("start %d (clock %v wrong, trusted %v, set later %v): %s %q %v after it; want a poll to have brought it", n, wrong, trusted, later, id, got, time.Since(began))
				}
			}
			p.stop()
		}
		all := r.polls()[1:]
		for i := 1; i < len(all); i++ {
			if d := all[i].Sub(all[i-1]); d < 25*time.Minute {
				t.Errorf("poll %d came %v after the one before", i, d)
			}
		}
		t.Logf("%d polls in %v", len(all), all[len(all)-1].Sub(all[0]))
	})
}

// TestPollOfARestlessBoard: MQTT's packets vanish, and no run is long enough to fall
// back: the queue is looked at all the same, 25 minutes apart.
func TestPollOfARestlessBoard(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.mute = func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		r.send("on", story[0].body)
		began := time.Now()
		for time.Since(began) < 3*time.Hour {
			p := r.start()
			settle(50 * time.Second)
			p.stop()
		}
		r.expect(t, "on", "done", "pump on")
		r.spaced(t, 25*time.Minute, 28*time.Minute)
	})
}

// TestVisitsOverRestarts: garbage all the time, and a process that restarts every
// few minutes: no more settle visits an hour than configured.
func TestVisitsOverRestarts(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		var last []time.Time
		for n := range 60 {
			p := r.start()
			r.send(fmt.Sprint("bad-", n), "garbage")
			settle(time.Duration(1+n%7) * time.Minute)
			p.stop()
		}
		for _, e := range r.hub.Events() {
			if e.Kind == localhub.KindDelivered && e.Via == hub.HTTPS {
				if len(last) > 0 && e.At.Sub(last[len(last)-1]) < time.Minute {
					continue // of the same visit
				}
				last = append(last, e.At)
			}
		}
		for i := range last {
			if i >= 12 && last[i].Sub(last[i-12]) < time.Hour-time.Minute {
				t.Errorf("13 visits in %v", last[i].Sub(last[i-12]))
			}
		}
		if len(last) < 12 {
			t.Errorf("%d visits; the limit was never met", len(last))
		}
	})
}

// TestRegisterOverMQTT: one that does not answer for 40 s, and one that never does,
// are failed after the retries in place, and rejected: MQTT cannot abandon.
func TestRegisterOverMQTT(t *testing.T) {
	for _, never := range []bool{false, true} {
		bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
			r.known(t)
			p := r.start()
			settle(time.Minute)
			p.sim.FailTransfers("1", 1_000_000, syscall.ENXIO)
			r.send("write", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
			r.send("behind", `{"target":"lamp","action":"toggle"}`)
			settle(40 * time.Second)
			if !never {
				p.sim.FailTransfers("1", 0, nil)
			}
			settle(10 * time.Minute)
			r.expect(t, "write", "failed nack")
			r.fed(t, "write", localhub.Rejected)
			r.expect(t, "behind", "done", "lamp on")
			r.fed(t, "behind", localhub.Success)
			r.send("again", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
			settle(10 * time.Minute)
			if want := map[bool]string{false: "done", true: "failed nack"}[never]; !slices.Equal(r.outcomes("again"), []string{want}) {
				t.Errorf("sent again: %q; want %q", r.outcomes("again"), want)
			}
			p.sim.FailTransfers("1", 0, nil)
			p.stop()
		})
	}
}

// TestOffDuringAVisit: an off that is sent at any moment of a settle visit acts
// within seconds of it.
func TestOffDuringAVisit(t *testing.T) {
	for at := time.Duration(0); at < 3*time.Second; at += 100 * time.Millisecond {
		for _, lasting := range []bool{false, true} {
			bubble(t, localhub.Options{LocksOutliveConnection: lasting}, func(t *testing.T, r *rig) {
				r.known(t)
				p := r.start()
				r.send("on", `{"target":"pump","action":"on"}`)
				settle(time.Second)
				r.send("bad", "garbage")
				settle(at)
				r.send("off", `{"target":"pump","action":"off"}`)
				began := time.Now()
				for len(r.moves("off")) == 0 && time.Since(began) < time.Hour {
					settle(100 * time.Millisecond)
				}
				if d := time.Since(began); d > 6*time.Second {
					t.Errorf("an off %v into the visit, lasting locks %v: %v until it acted", at, lasting, d)
				}
				settle(10 * time.Minute)
				r.fed(t, "bad", localhub.Rejected)
				r.fed(t, "off", localhub.Success)
				p.stop()
			})
		}
	}
}

// TestPulledAtEveryEdge: the same messages over MQTT and then HTTPS, with the link
// gone at the first edge of the loop, the second, and so on; and with the link
// coming back at every edge of the poll that follows.
func TestPulledAtEveryEdge(t *testing.T) {
	for _, lasting := range []bool{false, true} {
		stride := int64(1)
		if testing.Short() {
			stride = 7
		}
		for cut, whole := int64(0), false; !whole; cut += stride {
			bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour, LocksOutliveConnection: lasting}, func(t *testing.T, r *rig) {
				r.known(t)
				r.mixed()
				var passed atomic.Int64
				back := int64(-1) // the loop's own
				r.mangle = func(o *Options) {
					edge := o.Edge
					o.Edge = func(where string) {
						edge(where)
						switch n := passed.Add(1) - 1; n {
						case cut:
							r.noMQTT.Store(true)
							r.pull()
							back = n + 3 + cut%11 // somewhere in the poll
						case back:
							r.noMQTT.Store(false)
						}
					}
				}
				p := r.start()
				settle(8 * time.Minute)
				whole = passed.Load() <= cut
				r.noMQTT.Store(false)
				settle(30 * time.Minute)
				r.mixedEnded(t)
				p.stop()
			})
			if t.Failed() {
				t.Fatalf("cut %d, lasting locks %v", cut, lasting)
			}
			if whole {
				t.Logf("%d edges", cut)
			}
		}
	}
}

// TestWebSocketRung: where only 443 is open a session stands on it, its token is
// renewed like any, and 8883 is looked at again, and kept, once it has opened.
func TestWebSocketRung(t *testing.T) {
	bubble(t, localhub.Options{DefaultTTL: 48 * time.Hour}, func(t *testing.T, r *rig) {
		r.known(t)
		r.no8883.Store(true)
		p := r.start()
		settle(time.Minute)
		for n := range 20 {
			id := fmt.Sprint("toggle-", n)
			r.send(id, `{"target":"lamp","action":"toggle"}`)
			settle(time.Minute)
			r.expect(t, id, "done", "lamp "+[]string{"on", "off"}[n%2])
			settle(29 * time.Minute)
		}
		s := p.ask(Request{Verb: AskStatus}).Status.Link
		if s.Rung.String() != "websocket" || !s.Connected || s.Generation < 10 {
			t.Errorf("link %+v; want a renewed session on 443", s)
		}
		if n := len(r.polls()); n > 1 {
			t.Errorf("%d drains while a session stood", n-1)
		}
		r.no8883.Store(false)
		settle(7 * time.Hour)
		if s = p.ask(Request{Verb: AskStatus}).Status.Link; s.Rung.String() != "mqtt" || !s.Connected {
			t.Errorf("link %+v; want it back on 8883", s)
		}
		p.stop()
	})
}
