package command

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A world is what outlives a crash of the agent: the hub's queue, the disk, and
// what the outputs have been through. It drives Step as package agent does and
// checks the promises at every duty.
type world struct {
	t       *rapid.T
	now     time.Time
	queue   []*message     // not settled yet, oldest first
	disk    map[Key]Record // what is durable
	newest  map[string]Newest
	arrival uint64
	told    map[Key]State // the last outcome reported
	edges   map[Key]int   // how often an edge was attempted
	crashed bool          // in this run
	unset   bool          // the clock, in this run
}

type message struct {
	id       string
	cmd      Command
	expiry   time.Time
	unsure   bool // an attempt was made whose outcome did not become durable
	complete bool
	rejected bool
}

func (m *message) String() string {
	return fmt.Sprintf("%s %s on %s", m.id, m.cmd.Action, m.cmd.Target)
}

// TestPromises drives random messages, board answers, crashes and redeliveries.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: noon, disk: map[Key]Record{}, newest: map[string]Newest{}, told: map[Key]State{}, edges: map[Key]int{}}
		for i := range rapid.IntRange(1, 5).Draw(t, "messages") {
			m := &message{id: fmt.Sprint("m", i), cmd: rapid.SampledFrom([]Command{on(), off(), pulse()}).Draw(t, "command")}
			if rapid.Bool().Draw(t, "same id as the first") {
				m.id = "m0"
			}
			if rapid.IntRange(0, 3).Draw(t, "expires") == 0 {
				m.expiry = noon.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "after")) * time.Second)
			}
			w.queue = append(w.queue, m)
		}
		all := w.queue
		for range rapid.IntRange(0, 6).Draw(t, "runs that may crash") {
			w.run(true)
		}
		w.run(false) // and one that does not
		for _, m := range all {
			if !m.complete && !m.rejected {
				t.Fatalf("%v was never settled: neither done nor refused", m)
			}
		}
	})
}

// run is one boot: recovery, then every unsettled message in the hub's order.
func (w *world) run(mayCrash bool) {
	w.crashed = false
	for k, r := range w.disk {
		if r.State != Started {
			continue
		}
		if after, outcome := Recover(r); outcome {
			w.put(k, after, true)
		}
	}
	careful := rapid.Bool().Draw(w.t, "careful")
	w.unset = rapid.IntRange(0, 3).Draw(w.t, "clock unset") == 0
	waiting := w.queue
	w.queue = nil
	for _, m := range waiting {
		if !w.crashed {
			w.handle(m, careful, mayCrash)
		}
		if !m.complete && !m.rejected {
			w.queue = append(w.queue, m)
		}
	}
}

func (w *world) handle(m *message, careful, mayCrash bool) {
	w.arrival++
	src := OverMQTT // has no abandon, so that the last run settles everything
	if mayCrash && rapid.Bool().Draw(w.t, "in a drain") {
		src = OverHTTPS
	}
	l := New(src, Message{ID: m.id, Expiry: m.expiry}, m.cmd, nil, w.arrival, w.now)
	in := Input{Kind: Begin}
	for {
		next, duties, err := Step(l, in, w.now)
		if err != nil {
			w.t.Fatalf("%v: %v", m, err)
		}
		l = next
		for _, d := range duties {
			if mayCrash && rapid.IntRange(0, 9).Draw(w.t, "crash") == 0 {
				w.crashed = true
				return
			}
			in = w.perform(m, l, d, careful, mayCrash)
			if w.crashed {
				return
			}
		}
		if l.Phase == Concluded {
			return
		}
	}
}

// perform does one duty, as package agent would, and answers what came of it.
func (w *world) perform(m *message, l Life, d Duty, careful, mayCrash bool) Input {
	rec, known := w.disk[l.Record.Key]
	switch d {
	case Look:
		in := Input{Kind: Found, Last: true}
		if known {
			in.Seen = &rec
		}
		return in
	case MakePlan:
		p := planOf(l.Command)
		return Input{Kind: Planned, Plan: p, Facts: Facts{Careful: careful, Untrusted: w.unset, Newest: []Newest{w.newest["pump"]}}}
	case WriteStart:
		w.put(l.Record.Key, l.Record, false)
		return Input{Kind: Durable}
	case Act:
		return w.act(m, l, mayCrash)
	case Wait:
		w.now = w.now.Add(l.Pause)
		return Input{Kind: RetryDue}
	case WriteOutcome:
		w.put(l.Record.Key, l.Record, true)
		if l.Acted {
			w.newest["pump"] = Newest{Key: l.Record.Key, Arrival: l.Record.Arrival}
		}
		m.unsure = false
	case Complete:
		if rec.State != Done {
			w.t.Fatalf("%v completed although the disk says %v", m, rec.State)
		}
		m.complete = true
	case Reject:
		if rec.State == Done || !rec.State.Final() {
			w.t.Fatalf("%v rejected although the disk says %v", m, rec.State)
		}
		m.rejected = true
	}
	return Input{}
}

func (w *world) act(m *message, l Life, mayCrash bool) Input {
	if !m.expiry.IsZero() && !w.now.Before(m.expiry) {
		w.t.Fatalf("%v acts %v after its expiry", m, w.now.Sub(m.expiry))
	}
	if w.unset && (!m.expiry.IsZero() || l.Plan.OnceOnly) {
		w.t.Fatalf("%v acts under a clock that is not set", m)
	}
	if rec := w.disk[l.Record.Key]; l.Plan.OnceOnly && rec.State != Started {
		w.t.Fatalf("%v acts although the disk says %v; want started", m, rec.State)
	}
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(w.t, "takes ms")) * time.Millisecond)
	answer := rapid.IntRange(0, 4).Draw(w.t, "answer")
	if answer == 0 {
		return Input{Kind: Acted, Refusal: Refuse(Interlocked, "x")}
	}
	if answer == 1 {
		return Input{Kind: Acted, Fault: IOError, Detail: "x", Transient: true}
	}
	switch {
	case l.Plan.OnceOnly && w.edges[l.Record.Key] > 0:
		w.t.Fatalf("%v: a second edge of a once-only action", m)
	case w.edges[l.Record.Key] > 0 && !m.unsure && l.Attempt == 1 && w.disk[l.Record.Key].State == Done:
		w.t.Fatalf("%v: carried out again after it was done", m)
	}
	w.edges[l.Record.Key]++
	m.unsure = true
	if mayCrash && rapid.IntRange(0, 4).Draw(w.t, "crash behind the edge") == 0 {
		w.crashed = true
		return Input{}
	}
	switch answer {
	case 2:
		return Input{Kind: Acted, Fault: NACK, Detail: "x", Attempted: true, Transient: true}
	case 3:
		return Input{Kind: Acted, Fault: IOError, Detail: "x", Attempted: true}
	}
	return Input{Kind: Acted, Attempted: true}
}

// put makes a record durable, and holds it against what the disk said before.
func (w *world) put(k Key, r Record, outcome bool) {
	old, known := w.disk[k]
	if known && old.State.Final() && old.State != Failed && old.State != r.State {
		w.t.Fatalf("%s was %v and is now %v", k, old.State, r.State)
	}
	if known && old.Fingerprint != r.Fingerprint {
		w.t.Fatalf("%s: another command took over the record", k)
	}
	if outcome {
		if before, ever := w.told[k]; ever && before != Failed {
			w.t.Fatalf("%s: reported %v, and now %v", k, before, r.State)
		}
		w.told[k] = r.State
	}
	w.disk[k] = r
}
