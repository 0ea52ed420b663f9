package agent

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/localhub"
)

// TestRetryInPlace: a device that does not answer for a while is tried again;
// one that never does fails the command within half a lock.
func TestRetryInPlace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fails   int
		outcome string
		moves   []string
	}{
		{"recovers", 4, "done", []string{"dac 40:0fff"}},
		{"never", 1000, "failed nack", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
				p := r.start()
				settle(time.Second)
				p.sim.FailTransfers("1", tt.fails, syscall.ENXIO)
				r.send("w", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
				r.send("behind", `{"target":"lamp","action":"on"}`)
				settle(40 * time.Second)
				r.expect(t, "w", tt.outcome, tt.moves...)
				r.expect(t, "behind", "done", "lamp on")
				p.sim.FailTransfers("1", 0, nil)
				p.stop()
			})
		})
	}
}

// TestOnceOnlyFault: an error behind the first edge is not tried again.
func TestOnceOnlyFault(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.sim.FailOuts("GPIO27", 1, syscall.EIO, true)
		r.send("toggle", `{"target":"lamp","action":"toggle"}`)
		settle(time.Minute)
		if got := r.outcomes("toggle"); !slices.Equal(got, []string{"interrupted io-error"}) {
			t.Errorf("reported %q; want it interrupted", got)
		}
		if got := r.moves("toggle"); len(got) != 1 {
			t.Errorf("moved %q; want one attempt", got)
		}
		p.stop()
	})
}

// TestBoardRefuses: limits are the board's, and are asked just before the edge.
func TestBoardRefuses(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("one", `{"target":"valve-2","action":"on"}`)
		r.send("two", `{"target":"valve-1","action":"on"}`, sent(time.Now()))
		settle(time.Second)
		r.expect(t, "one", "done", "valve-2 on")
		r.expect(t, "two", "refused interlocked")
		p.stop()
	})
}

// TestStopInAPulse: the pulse is cut, told as interrupted, and the whole stop
// stays within what promise 5 allows.
func TestStopInAPulse(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("long", `{"target":"pump","action":"on"}`)
		r.send("pulse", `{"target":"lamp","action":"pulse","for":"5s"}`)
		settle(2 * time.Second)
		began := time.Now()
		p.stop()
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("the stop took %v; want at most 5 s", d)
		}
		if n := r.count(localhub.KindCompleted, "long"); n != 1 {
			t.Errorf("what was done before was completed %d times", n)
		}
		p = r.start()
		settle(time.Minute)
		r.expect(t, "pulse", "interrupted cut-off", "lamp on")
		for _, rep := range r.reports() {
			if rep.MessageID == "pulse" && !strings.Contains(rep.Detail, "cut short by safe") {
				t.Errorf("the pulse's report says %q; want the board's own answer, not what the next start makes of it", rep.Detail)
			}
		}
		var cut []string
		for _, rep := range r.reports() {
			if rep.Kind == command.KindChange {
				cut = append(cut, rep.Target+" "+rep.Level+" "+rep.Cause)
			}
		}
		if !slices.Contains(cut, "pump off safe") {
			t.Errorf("changes reported: %q; want the pump's", cut)
		}
		p.stop()
	})
}

// TestLeaseCut: a process that dies leaves a lease open; the next one says so.
func TestLeaseCut(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("on", `{"target":"pump","action":"on","for":"5m"}`)
		settle(time.Second)
		r.cutAt = "delivered"
		r.send("next", `{"target":"lamp","action":"on"}`)
		<-p.ended
		p.bury()
		r.cutAt = ""
		p = r.start()
		settle(time.Minute)
		var found bool
		for _, rep := range r.reports() {
			found = found || rep.Reason == command.LeaseCut && rep.Target == "pump" && rep.MessageID == "on"
		}
		if !found {
			t.Error("no report says that the restart cut the pump's lease")
		}
		r.expect(t, "on", "done", "pump on")
		p.stop()
	})
}

// TestBacklogSharesCommits: what waits together is committed together. A pulse in
// front makes it wait together: without one, how many deliveries are there when
// the loop looks is the scheduler's choice.
func TestBacklogSharesCommits(t *testing.T) {
	bubble(t, localhub.Options{Window: 50}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.stop()
		r.send("pulse", `{"target":"pump","action":"pulse","for":"1s"}`)
		for i := range 49 {
			r.send(fmt.Sprint("m", i), `{"target":"lamp","action":"on"}`)
		}
		p = r.start()
		settle(time.Minute)
		a := p.ask(Request{Verb: AskStatus})
		if n := a.Status.Journal.Commits; n > 8 {
			t.Errorf("49 commands that waited together took %d commits; want them to share one, beside those of the start, the probe, the pulse and the reports", n)
		}
		for i := range 49 {
			r.expect(t, fmt.Sprint("m", i), "done", map[bool][]string{true: {"lamp on"}}[i == 0]...)
		}
		p.stop()
	})
}

// TestReportsWaitForTheLink: outcomes that nobody could be told are told later,
// in order and without a gap.
func TestReportsWaitForTheLink(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		if err := r.hub.Inject(localhub.Fault{Packet: localhub.PacketTelemetry, Effect: localhub.DropBefore, Times: 2}); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			r.send(fmt.Sprint("m", i), `{"target":"lamp","action":"toggle"}`)
			settle(20 * time.Second)
		}
		settle(10 * time.Minute)
		var seqs []uint64
		for _, rep := range r.reports() {
			if len(seqs) == 0 || rep.Seq != seqs[len(seqs)-1] {
				seqs = append(seqs, rep.Seq)
			}
		}
		for i := range seqs {
			if seqs[i] != seqs[0]+uint64(i) {
				t.Fatalf("reports arrived as %v; want them in order, without a gap", seqs)
			}
		}
		if len(seqs) != 6 {
			t.Errorf("%d reports; want the start and five outcomes", len(seqs))
		}
		p.stop()
	})
}

// TestTokenRenewal: over a day the session is renewed before its token ends, and
// nothing is lost or done twice meanwhile.
func TestTokenRenewal(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		for i := range 24 {
			r.send(fmt.Sprint("m", i), `{"target":"lamp","action":"toggle"}`)
			settle(time.Hour)
		}
		connects := 0
		for _, e := range r.hub.Events() {
			if e.Kind == localhub.KindConnected {
				connects++
			}
			if e.Kind == localhub.KindRefused || e.Kind == localhub.KindClosed && strings.Contains(e.Text, "token") {
				t.Errorf("the hub had to act: %v", e)
			}
		}
		if connects < 24 || connects > 32 {
			t.Errorf("%d sessions in a day; want one every 48 min", connects)
		}
		for i := range 24 {
			r.expect(t, fmt.Sprint("m", i), "done", map[bool]string{true: "lamp on", false: "lamp off"}[i%2 == 0])
		}
		p.stop()
	})
}

// TestFullWindow: as many refused messages as the hub's window holds keep
// everything else away, an off included, while HTTPS is blocked; but only until they
// have expired at the hub and the time of a visit has come.
func TestFullWindow(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noREST.Store(true)
		p := r.start()
		settle(time.Second)
		for i := range 10 {
			r.send(fmt.Sprint("bad", i), `{"target":"pump","action":"on","for":"2h"}`, func(m *hub.Message) { m.Expiry = time.Now().Add(3 * time.Minute) })
		}
		settle(time.Second)
		r.send("off", `{"target":"pump","action":"off"}`)
		settle(2 * time.Minute)
		if s := p.ask(Request{Verb: AskStatus}).Status; s.Held != 10 {
			t.Errorf("status says %d held; want 10", s.Held)
		}
		settle(10 * time.Minute)
		if n := r.count(localhub.KindCompleted, "off"); n != 1 {
			t.Errorf("off was completed %d times within 12 min", n)
		}
		p.stop()
	})
}
