package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/https"
	"actuatord/hub/link"
	"actuatord/hub/localhub"
	"actuatord/hub/mqtt"
)

// spite ends every connection on which the device says text.
type spite struct {
	text    []byte
	on      atomic.Bool
	strikes atomic.Int32
}

type spited struct {
	net.Conn // what the hub reads, under TLS
	s        *spite
	tail     []byte
}

func (c *spited) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	said := append(c.tail, p[:n]...)
	if c.s.on.Load() && bytes.Contains(said, c.s.text) {
		c.s.strikes.Add(1)
		c.Conn.Close()
		return 0, errors.New("cut off in mid-sentence")
	}
	c.tail = slices.Clone(said[max(0, len(said)-len(c.s.text)):])
	return n, err
}

// spiteful puts a spite into every road to the hub, over MQTT and HTTPS, from the
// next start on.
func (r *rig) spiteful(text string) *spite {
	s := &spite{text: []byte(text)}
	dial := func(_ context.Context, _, addr string) (net.Conn, error) {
		serve := r.hub.ServeConn
		if strings.HasSuffix(addr, ":443") {
			serve = r.hub.ServeWebConn
		}
		device, server := net.Pipe()
		go serve(&spited{Conn: tls.Server(server, r.server), s: s})
		return device, nil
	}
	r.mangle = func(o *Options) {
		o.Connect = func(ctx context.Context, rung link.Rung, generation uint64, _ hub.ConnectionString, at func() time.Time, password string) (*mqtt.Session, error) {
			cfg := r.session(rung, at, slog.New(slog.DiscardHandler))
			cfg.Road.TCP = dial
			return mqtt.Connect(ctx, cfg, generation, password)
		}
		o.REST = func(_ hub.ConnectionString, at func() time.Time) *https.Client {
			cfg := r.rest(at)
			cfg.Road.TCP = dial
			return https.New(cfg)
		}
	}
	return s
}

// local has the device carry out n commands by itself, and answers the numbers of
// their reports.
func (p *process) local(t *testing.T, n int) (seqs []uint64) {
	t.Helper()
	for range n {
		if a := p.ask(Request{Verb: AskDo, Payload: []byte(`{"target":"lamp","action":"toggle"}`)}); a.Outcome == nil {
			t.Fatalf("not done: %s", a.Error)
		}
	}
	settle(10 * time.Second)
	reps := outboxOf(p)
	for _, rep := range reps {
		if rep.Kind == command.KindOutcome {
			seqs = append(seqs, rep.Seq)
		}
	}
	if len(seqs) != n {
		t.Fatalf("%d reports wait; want %d", len(seqs), n)
	}
	return seqs
}

// inLoop runs fn in the loop of p.
func (p *process) inLoop(fn func(a *Agent)) {
	done := make(chan struct{})
	p.agent.events <- func() error { fn(p.agent); close(done); return nil }
	<-done
}

func outboxOf(p *process) (reps []command.Report) {
	p.inLoop(func(a *Agent) { reps, _ = a.journal.Outbox(0, 1000) })
	return reps
}

// arrived are the numbers of the outcomes that the hub has, in order of arrival.
func (r *rig) arrived() (seqs []uint64) {
	for _, rep := range r.reports() {
		if rep.Kind == command.KindOutcome {
			seqs = append(seqs, rep.Seq)
		}
	}
	return seqs
}

// TestLossesSendToTheBack: four reports wait, and so many sessions end while the
// first in line is on its way. Each third takes it to the back, and nothing else
// ever changes the order.
func TestLossesSendToTheBack(t *testing.T) {
	for losses := range 16 {
		t.Run(fmt.Sprint(losses), func(t *testing.T) {
			bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
				r.mangle = func(o *Options) { o.Config.Hub.FallbackAfter = 1000 * time.Hour } // a poll would take the reports along
				p := r.start()
				settle(time.Minute)
				r.noLink.Store(true)
				r.pull()
				settle(time.Second)
				seqs := p.local(t, 4)
				if losses > 0 {
					if err := r.hub.Inject(localhub.Fault{Packet: localhub.PacketTelemetry, Effect: localhub.Swallow, Times: -1}); err != nil {
						t.Fatal(err)
					}
				}
				r.noLink.Store(false)
				for n := range losses {
					settle(10*time.Minute + 100*time.Millisecond) // long enough for the link to call it a session
					if n == losses-1 {
						r.hub.ClearFaults("")
					}
					r.pull()
				}
				settle(10 * time.Minute)
				want := slices.Concat(seqs[losses/3%4:], seqs[:losses/3%4])
				if got := r.arrived(); !slices.Equal(got, want) {
					t.Errorf("after %d losses reports arrived as %v; want %v", losses, got, want)
				}
				if left := outboxOf(p); len(left) > 0 {
					t.Errorf("%d reports are still waiting", len(left))
				}
				p.stop()
			})
		})
	}
}

// TestOrderOfReports holds what is sent next against a model, over confirmations,
// time-outs, losses, new reports, and reports that a full outbox throws out.
func TestOrderOfReports(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o outbox
		front, back, losses, last, generation := []uint64{}, []uint64{}, map[uint64]int{}, uint64(0), uint64(1)
		gone := func(seq uint64) {
			is := func(s uint64) bool { return s == seq }
			front, back = slices.DeleteFunc(front, is), slices.DeleteFunc(back, is)
			delete(losses, seq)
		}
		for range 60 {
			o.onto(carrier{generation: generation, session: true}, time.Now())
			switch op := rapid.IntRange(0, 9).Draw(t, "step"); {
			case op < 2:
				last++
				front = append(front, last)
			case op == 2 && len(front)+len(back) > 0:
				gone(rapid.SampledFrom(slices.Concat(front, back)).Draw(t, "thrown out"))
			case op > 2 && len(front)+len(back) > 0:
				want := slices.Concat(front, back)[0]
				seq := o.nextOf(slices.Sorted(slices.Values(slices.Concat(front, back))))
				if seq != want {
					t.Fatalf("%d is sent; want %d of %v, then %v: %+v", seq, want, front, back, o)
				}
				o.last = attempt{seq: seq, generation: generation}
				switch {
				case op < 6:
					o.last = attempt{}
					o.settled(seq)
					gone(seq)
				case op == 6: // its time runs out; the session stands
				default:
					generation++
					if losses[seq]++; losses[seq] == backAfter {
						gone(seq)
						back = append(back, seq)
					}
				}
			}
		}
	})
}

// nextOf is nextReport for a journal that holds seqs.
func (o *outbox) nextOf(seqs []uint64) uint64 {
	for _, seq := range seqs {
		if seq > o.sent {
			return seq
		}
	}
	for !slices.Contains(seqs, o.back[0].seq) {
		o.back = o.back[1:]
	}
	return o.back[0].seq
}

// TestTimeoutIsNoLoss: a report that the hub swallows is sent again on the same
// session, ever later, and keeps its place; the next session does not wait for it.
func TestTimeoutIsNoLoss(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Minute)
		if err := r.hub.Inject(localhub.Fault{Packet: localhub.PacketTelemetry, Effect: localhub.Swallow, Times: -1}); err != nil {
			t.Fatal(err)
		}
		seqs := p.local(t, 3)
		settle(40 * time.Minute)
		if n := len(r.arrived()); n != 0 {
			t.Fatalf("%d reports arrived", n)
		}
		p.inLoop(func(a *Agent) {
			if o := &a.outbox; o.pause != longestPause || len(o.back) > 0 || o.head.losses > 0 {
				t.Errorf("on the same session: %+v; want the longest pause and nothing blamed", o)
			}
		})
		if n := r.count(localhub.KindConnected, ""); n != 1 {
			t.Errorf("%d sessions; want the first still", n)
		}
		// In the pause, which lasts a minute: then a new session must not wait for its end.
		for paused := false; !paused; settle(time.Second) {
			p.inLoop(func(a *Agent) { paused = !a.outbox.flying })
		}
		r.hub.ClearFaults("")
		r.pull()
		settle(10 * time.Second)
		if got := r.arrived(); !slices.Equal(got, seqs) {
			t.Errorf("reports arrived as %v within 10 s of the new session; want %v", got, seqs)
		}
		p.stop()
	})
}

// TestPoisonReport: one that no session survives is tried for ever, behind all
// others, and is the same report when it arrives at last.
func TestPoisonReport(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		s := r.spiteful(`"messageId":"poison"`)
		p := r.start()
		settle(time.Minute)
		s.on.Store(true)
		r.send("poison", `{"target":"lamp","action":"on"}`)
		settle(time.Second)
		for i := range 5 {
			r.send(fmt.Sprint("m", i), `{"target":"lamp","action":"toggle"}`)
		}
		settle(3 * time.Hour)
		for i := range 5 {
			if got := r.outcomes(fmt.Sprint("m", i)); !slices.Equal(got, []string{"done"}) {
				t.Errorf("m%d was reported %q; want done", i, got)
			}
		}
		if n := s.strikes.Load(); n <= backAfter || len(r.outcomes("poison")) != 0 {
			t.Errorf("%d tries, reported %q; want more than %d tries and no success", n, r.outcomes("poison"), backAfter)
		}
		left := outboxOf(p)
		if len(left) != 1 || left[0].MessageID != "poison" {
			t.Fatalf("waiting: %+v; want the poison report alone", left)
		}
		s.on.Store(false)
		r.send("late", `{"target":"lamp","action":"toggle"}`)
		settle(2 * time.Hour)
		reps := r.reports()
		var got []command.Report
		for _, rep := range reps {
			if rep.MessageID == "poison" {
				got = append(got, rep)
			}
		}
		if len(got) != 1 || got[0].Seq != left[0].Seq || got[0].ReportID != left[0].ReportID {
			t.Errorf("the poison report arrived as %+v; want it once, as it was: %d, %s", got, left[0].Seq, left[0].ReportID)
		}
		var seqs []uint64
		for _, rep := range reps {
			seqs = append(seqs, rep.Seq)
		}
		slices.Sort(seqs)
		for i, seq := range slices.Compact(seqs) {
			if seq != uint64(i+1) {
				t.Fatalf("numbers %v have a gap", seqs)
			}
		}
		p.stop()
	})
}

// TestPoisonReportThrownOut: one that waits at the back and leaves the journal is
// looked for no more.
func TestPoisonReportThrownOut(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		s := r.spiteful(`"messageId":"poison"`)
		p := r.start()
		settle(time.Minute)
		s.on.Store(true)
		r.send("poison", `{"target":"lamp","action":"on"}`)
		for at := 0; at < 1000; at++ {
			settle(time.Minute)
			p.inLoop(func(a *Agent) {
				if len(a.outbox.back) > 0 {
					at = 1000
				}
			})
		}
		p.inLoop(func(a *Agent) {
			if len(a.outbox.back) != 1 {
				t.Errorf("at the back: %v; want the poison report", a.outbox.back)
				return
			}
			a.pending.batch.Lose(a.outbox.back[0].seq) // as a full outbox would
			a.pending.urge(time.Now())
		})
		settle(3 * time.Hour)
		before := s.strikes.Load()
		r.send("m", `{"target":"lamp","action":"toggle"}`)
		settle(3 * time.Hour)
		if r.expect(t, "m", "done", "lamp off"); s.strikes.Load() != before {
			t.Error("a report that is gone is still being sent")
		}
		p.inLoop(func(a *Agent) {
			if o := &a.outbox; len(o.back) > 0 || o.more || o.flying {
				t.Errorf("outbox at rest: %+v", o)
			}
		})
		p.stop()
	})
}
