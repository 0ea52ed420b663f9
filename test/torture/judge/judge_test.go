package judge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
)

// start is when every made-up run begins.
func start() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

func testBoard() Board {
	return Board{
		Outputs:   []Output{{Name: "pump", MaxOn: 10 * time.Second}, {Name: "lamp"}, {Name: "door", MaxAge: 5 * time.Second}, {Name: "fan", SafeOn: true}},
		Registers: []Register{{Name: "dac", Repeatable: true, Allowed: []int{64}, Safe: "40:0000"}, {Name: "fifo", Allowed: []int{1}}},
	}
}

// run is a made-up record: each of its methods happens at a second of it.
type run struct {
	Record
	seq int
}

func newRun() *run {
	return &run{Record: Record{Board: testBoard(), End: start().Add(100 * time.Second), Traces: map[string][]Move{},
		Lives: map[string][]Life{"d": {{Start: start(), Why: "run"}}}}}
}

func at(second float64) time.Time {
	return start().Add(time.Duration(second * float64(time.Second)))
}

func (r *run) send(s float64, id, body string) *run {
	return r.sendWith(s, Sent{Name: id, ID: id, Body: body})
}

func (r *run) sendWith(s float64, m Sent) *run {
	m.Device, m.At = "d", at(s)
	r.Sent = append(r.Sent, m)
	return r.event(s, localhub.Event{Kind: localhub.KindEnqueued, ID: m.Name})
}

func (r *run) event(s float64, e localhub.Event) *run {
	e.Device, e.At = "d", at(s)
	r.Events = append(r.Events, e)
	return r
}

func (r *run) kind(s float64, k localhub.Kind, id string) *run {
	return r.event(s, localhub.Event{Kind: k, ID: id})
}

func (r *run) deliver(s float64, id string) *run  { return r.kind(s, localhub.KindDelivered, id) }
func (r *run) complete(s float64, id string) *run { return r.kind(s, localhub.KindCompleted, id) }

func (r *run) reject(s float64, id string) *run {
	return r.event(s, localhub.Event{Kind: localhub.KindDeadLettered, ID: id, Status: localhub.Rejected})
}

func (r *run) move(s float64, target, level, cause string) *run {
	m := Move{At: at(s), Target: target, Level: level, Cause: cause}
	if strings.Contains(level, ":") {
		m.Level, m.Write = "", level
	}
	r.Traces["d"] = append(r.Traces["d"], m)
	return r
}

// report has the next seq; words are messageId target action outcome reason.
func (r *run) report(s float64, words ...string) *run {
	r.seq++
	words = append(words, "", "")
	return r.tell(s, r.seq, fmt.Sprintf(`"messageId":%q,"target":%q,"action":%q,"outcome":%q,"reason":%q`, words[0], words[1], words[2], words[3], words[4]))
}

func (r *run) tell(s float64, seq int, rest string) *run {
	body := fmt.Sprintf(`{"v":1,"kind":"outcome","reportId":"b1-%d","seq":%d,"at":%q,%s}`, seq, seq, at(s).Format(time.RFC3339Nano), rest)
	return r.event(s, localhub.Event{Kind: localhub.KindTelemetry, Telemetry: hub.Telemetry{Body: []byte(body)}})
}

// kill ends the process and starts another.
func (r *run) kill(s, again float64) *run {
	l := r.Lives["d"]
	l[len(l)-1].End, l[len(l)-1].Killed = at(s), true
	r.Lives["d"] = append(l, Life{Start: at(again), Why: "run"})
	return r
}

const (
	on     = `{"target":"pump","action":"on"}`
	off    = `{"target":"pump","action":"off"}`
	toggle = `{"target":"lamp","action":"toggle"}`
	pulse  = `{"target":"lamp","action":"pulse","for":"1s"}`
	write  = `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`
	fifo   = `{"target":"fifo","action":"write","register":1,"bytes":"07"}`
)

// good is a whole life of one message that is done.
func (r *run) good(s float64, id, body, target, action string, levels ...string) *run {
	r.send(s, id, body).deliver(s+.1, id)
	for i, l := range levels {
		r.move(s+.2+.1*float64(i), target, l, id)
	}
	return r.report(s+.5, id, target, action, "done").complete(s+.6, id)
}

func TestInnocent(t *testing.T) {
	for name, r := range map[string]*run{
		"nothing happened": newRun(),
		"each kind is done": newRun().
			good(1, "m1", on, "pump", "on", "on").good(2, "m2", off, "pump", "off", "off").good(3, "m3", toggle, "lamp", "toggle", "on").
			good(4, "m4", toggle, "lamp", "toggle", "off").good(5, "m5", pulse, "lamp", "pulse", "on", "off").good(6, "m6", write, "dac", "write", "40:0fff").
			good(7, "m7", fifo, "fifo", "write", "01:07").good(8, "m8", off, "pump", "off"),
		"refused": newRun().send(1, "m1", "garbage").deliver(1.1, "m1").report(1.2, "m1", "", "", "refused", "malformed").reject(2, "m1"),
		"a repeat of a done id": newRun().good(1, "m1", toggle, "lamp", "toggle", "on").
			send(3, "m1", toggle).deliver(3.1, "m1").complete(3.2, "m1"),
		"an id reused": newRun().good(1, "m1", toggle, "lamp", "toggle", "on").
			send(3, "m1", on).deliver(3.1, "m1").report(3.2, "m1", "pump", "on", "refused", "id-reused").reject(4, "m1"),
		"a repeatable command again after a kill": newRun().send(1, "m1", write).deliver(1.1, "m1").move(1.2, "dac", "40:0fff", "m1").kill(1.3, 3).
			kind(1.4, localhub.KindReleased, "m1").deliver(4, "m1").move(4.1, "dac", "40:0fff", "m1").report(4.2, "m1", "dac", "write", "done").complete(4.3, "m1"),
		"a once-only command that a kill cut": newRun().send(1, "m1", toggle).deliver(1.1, "m1").move(1.2, "lamp", "on", "m1").kill(1.3, 3).
			move(3.1, "lamp", "off", "safe").report(3.3, "m1", "lamp", "toggle", "interrupted", "cut-off").deliver(4, "m1").reject(5, "m1"),
		"a lease that ends": newRun().good(1, "m1", `{"target":"lamp","action":"on","for":"3s"}`, "lamp", "on", "on").move(4.2, "lamp", "off", "lease"),
		"killed while away": newRun().good(1, "m1", on, "pump", "on", "on").kill(2, 60).move(62, "pump", "off", "safe"),
		"the hub rejects":   newRun().send(1, "m1", on).reject(2, "m1"),
		"no message id, a number in meta": newRun().sendWith(1, Sent{Name: "#1", Body: `{"target":"lamp","action":"off","meta":{"n":5}}`}).deliver(1.1, "#1").
			move(1, "lamp", "off", "safe").tell(1.2, 1, `"target":"lamp","action":"off","outcome":"done","meta":{"n":5}`).complete(1.3, "#1"),
		"no id, and delivered again": newRun().sendWith(1, Sent{Name: "#1", Body: `{"target":"lamp","action":"off","meta":{"n":5}}`}).deliver(1.1, "#1").
			move(1, "lamp", "off", "safe").tell(1.2, 1, `"target":"lamp","action":"off","outcome":"done","meta":{"n":5}`).deliver(3, "#1").
			tell(3.2, 2, `"target":"lamp","action":"off","outcome":"refused","reason":"id-required","meta":{"n":5}`).reject(4, "#1"),
		"a body's id": newRun().sendWith(1, Sent{Name: "#1", Body: `{"target":"lamp","action":"toggle","id":"b1"}`}).deliver(1.1, "#1").
			move(1.2, "lamp", "on", "b:b1").tell(1.3, 1, `"id":"b1","target":"lamp","action":"toggle","outcome":"done"`).complete(1.4, "#1"),
		"order across a second delivery": newRun().send(1, "a", on).send(1, "b", off).deliver(1.1, "a").deliver(1.2, "b").move(1, "pump", "off", "safe").
			report(2, "b", "pump", "off", "done").complete(2.1, "b").deliver(3, "a").move(3.1, "pump", "on", "a").report(3.2, "a", "pump", "on", "done").complete(3.3, "a").
			move(9, "pump", "off", "lease"),
	} {
		if r.Traces["d"] == nil || r.Traces["d"][0].Cause != "safe" {
			for _, o := range []string{"pump", "lamp"} {
				r.Traces["d"] = append([]Move{{At: start(), Target: o, Level: "off", Cause: "safe"}}, r.Traces["d"]...)
			}
		}
		for _, f := range Judge(r.Record).Faults {
			t.Errorf("%s: found guilty of %s: %s\n%s", name, f.Kind, f.Says, strings.Join(f.Story, "\n"))
		}
		if waits := Pending(r.Record); waits != nil {
			t.Errorf("%s: waits for %q", name, waits)
		}
	}
}

func TestGuilty(t *testing.T) {
	off0 := func() *run { return newRun().move(0, "pump", "off", "safe").move(0, "lamp", "off", "safe") }
	for _, c := range []struct {
		name string
		kind Kind
		says string
		r    *run
	}{
		{"no end", Lost, "0 of its 1 messages", newRun().send(1, "m1", on)},
		{"no report", Lost, "no outcome was reported", newRun().send(1, "m1", `{"target":"all","action":"read"}`).deliver(1.1, "m1").complete(1.2, "m1")},
		{"a gap in seq", Lost, "report 2 never came", func() *run {
			r := off0().good(1, "m1", toggle, "lamp", "toggle", "on")
			r.seq++
			return r.good(2, "m2", toggle, "lamp", "toggle", "off")
		}()},
		{"no name and no report", Lost, "without any name", newRun().sendWith(1, Sent{Name: "#1", Body: "x"}).deliver(1.1, "#1").reject(1.2, "#1")},
		{"twice", Duplicated, "moved lamp 2 times", off0().good(1, "m1", toggle, "lamp", "toggle", "on", "off")},
		{"twice over a kill", Duplicated, "moved fifo 2 times", newRun().send(1, "m1", fifo).deliver(1.1, "m1").move(1.2, "fifo", "01:07", "m1").kill(1.3, 3).
			deliver(4, "m1").move(4.1, "fifo", "01:07", "m1").report(4.2, "m1", "fifo", "write", "done").complete(4.3, "m1")},
		{"repeated without a kill", Duplicated, "moved dac 2 times", newRun().good(1, "m1", write, "dac", "write", "40:0fff", "40:0fff")},
		{"after its completion", Duplicated, "after it was completed", newRun().good(1, "m1", write, "dac", "write", "40:0fff").kill(2, 3).move(4, "dac", "40:0fff", "m1")},
		{"two outcomes", Duplicated, "2 outcomes", off0().good(1, "m1", toggle, "lamp", "toggle", "on").report(2, "m1", "lamp", "toggle", "done")},
		{"one seq twice", Duplicated, "seq 1 is that of", newRun().tell(1, 1, `"kind":"start"`).event(2, localhub.Event{Kind: localhub.KindTelemetry,
			Telemetry: hub.Telemetry{Body: []byte(`{"kind":"start","reportId":"b2-1","seq":1}`)}})},
		{"two contents", Duplicated, "two contents", newRun().tell(1, 1, `"kind":"start"`).tell(1, 1, `"kind":"alarm"`)},
		{"completed before done", Early, "after it was completed", off0().send(1, "m1", toggle).deliver(1.1, "m1").complete(1.2, "m1").move(1.3, "lamp", "on", "m1").
			report(1.4, "m1", "lamp", "toggle", "done")},
		{"Success though refused", FalseAnswer, "completed although \"refused\"", newRun().send(1, "m1", "x").deliver(1.1, "m1").report(1.2, "m1", "", "", "refused", "malformed").complete(1.3, "m1")},
		{"Rejected though done", FalseAnswer, "rejected although done", off0().send(1, "m1", toggle).deliver(1.1, "m1").move(1.2, "lamp", "on", "m1").
			report(1.3, "m1", "lamp", "toggle", "done").reject(1.4, "m1")},
		{"done and nothing moved", FalseAnswer, "moved 0 times instead of 1", off0().good(1, "m1", toggle, "lamp", "toggle")},
		{"half a pulse is done", FalseAnswer, "moved 1 times instead of 2", off0().good(1, "m1", pulse, "lamp", "pulse", "on")},
		{"on, and it was off", FalseAnswer, "was not on", off0().good(1, "m1", on, "pump", "on")},
		{"safe, and it was on", FalseAnswer, "lamp was not off", off0().move(.5, "lamp", "on", "local").good(1, "m1", `{"target":"all","action":"safe"}`, "pump", "safe")},
		{"refused but moved", FalseAnswer, "refused, although lamp moved", off0().send(1, "m1", toggle).deliver(1.1, "m1").move(1.2, "lamp", "on", "m1").
			report(1.3, "m1", "lamp", "toggle", "refused", "superseded").reject(1.4, "m1")},
		{"refused for nothing", FalseAnswer, "which nothing explains", newRun().send(1, "m1", toggle).deliver(1.1, "m1").report(1.3, "m1", "lamp", "toggle", "refused", "history-lost").reject(1.4, "m1")},
		{"interrupted by nothing", FalseAnswer, "no process ended", newRun().send(1, "m1", toggle).deliver(1.1, "m1").report(1.3, "m1", "lamp", "toggle", "interrupted", "cut-off").reject(1.4, "m1")},
		{"an impossible one is done", FalseAnswer, "no such target", newRun().good(1, "m1", `{"target":"moon","action":"on"}`, "moon", "on")},
		{"something else moved", FalseAnswer, "which it does not ask for", off0().good(1, "m1", on, "pump", "on", "on").move(1.3, "lamp", "on", "m1")},
		{"past its expiry", Late, "after its time", off0().sendWith(1, Sent{Name: "m1", ID: "m1", Body: toggle, Expiry: at(2)}).deliver(1.1, "m1").
			move(9, "lamp", "on", "m1").report(9.1, "m1", "lamp", "toggle", "done").complete(9.2, "m1")},
		{"past max_age", Late, "after its time", newRun().sendWith(1, Sent{Name: "m1", ID: "m1", Body: `{"target":"door","action":"on"}`, Dated: at(1)}).deliver(1.1, "m1").
			move(9, "door", "on", "m1").report(9.1, "m1", "door", "on", "done").complete(9.2, "m1")},
		{"out of order", OutOfOrder, "overtook it", off0().send(1, "a", on).send(1, "b", off).deliver(1.1, "a").deliver(1.2, "b").move(1.3, "pump", "on", "x").move(1.4, "pump", "off", "b").
			move(1.5, "pump", "on", "a").report(2, "b", "pump", "off", "done").complete(2.1, "b").report(3.2, "a", "pump", "on", "done").complete(3.3, "a").move(9, "pump", "off", "lease")},
		{"on past max_on", Unsafe, "longer than it may", off0().good(1, "m1", on, "pump", "on", "on").move(20, "pump", "off", "lease")},
		{"on past its lease", Unsafe, "longer than it may", off0().good(1, "m1", `{"target":"lamp","action":"on","for":"3s"}`, "lamp", "on", "on").move(8, "lamp", "off", "lease")},
		{"on past a start", Unsafe, "longer than it may", off0().good(1, "m1", `{"target":"lamp","action":"on"}`, "lamp", "on", "on").kill(2, 3).move(20, "lamp", "off", "safe")},
		{"on past a stop", Unsafe, "longer than it may", func() *run {
			r := off0().good(1, "m1", `{"target":"lamp","action":"on"}`, "lamp", "on", "on")
			r.Lives["d"][0].End = at(3)
			return r
		}()},
		{"off past its lease", Unsafe, "fan was off", newRun().good(1, "m1", `{"target":"fan","action":"off","for":"3s"}`, "fan", "off", "off").move(8, "fan", "on", "lease")},
	} {
		v := Judge(c.r.Record)
		if v.Count(c.kind) == 0 {
			t.Errorf("%s: not found guilty of %s, but of %+v", c.name, c.kind, v.Faults)
			continue
		}
		said := false
		for _, f := range v.Faults {
			said = said || f.Kind == c.kind && strings.Contains(f.Says, c.says)
		}
		if !said {
			t.Errorf("%s: %+v; want one that says %q", c.name, v.Faults, c.says)
		}
	}
}

// TestUnsafeTime: the seconds are those that a promise covers.
func TestUnsafeTime(t *testing.T) {
	r := newRun().good(1, "m1", `{"target":"lamp","action":"on","for":"3s"}`, "lamp", "on", "on").move(12.2, "lamp", "off", "lease")
	if v := Judge(r.Record); v.Unsafe != 7*time.Second { // on at 1.2 for 3 s, a second of slack
		t.Errorf("unsafe for %v; want 7s", v.Unsafe)
	}
	r.Slack = 2 * time.Second // an emulated processor
	if v := Judge(r.Record); v.Unsafe != 5*time.Second {
		t.Errorf("unsafe for %v with 2 s more; want 5s", v.Unsafe)
	}
	r.Lives["d"][0].Frozen = []Span{{at(4), at(9)}}
	if v := Judge(r.Record); v.Unsafe != 2200*time.Millisecond { // from 9 and a second
		t.Errorf("frozen, unsafe for %v; want 2.2s", v.Unsafe)
	}
}

// TestStarved: what an emulated device that got too little of its host reports of its
// bus is believed; of a real one it is not.
func TestStarved(t *testing.T) {
	said := func(id, rest string) string {
		return fmt.Sprintf(`"messageId":%q,"target":"dac","action":"write",%s`, id, rest)
	}
	for name, test := range map[string]struct {
		run                   *run
		faults, starvedFaults int
	}{
		"a second attempt": {newRun().send(1, "m1", write).deliver(1.1, "m1").move(1.2, "dac", "40:0fff", "m1").move(2.3, "dac", "40:0fff", "m1").
			tell(3, 1, said("m1", `"outcome":"done","attempt":2`)).complete(3.1, "m1"), 1, 0},
		"a second movement in one attempt": {newRun().send(1, "m1", write).deliver(1.1, "m1").move(1.2, "dac", "40:0fff", "m1").move(2.3, "dac", "40:0fff", "m1").
			tell(3, 1, said("m1", `"outcome":"done","attempt":1`)).complete(3.1, "m1"), 1, 1},
		"a timeout": {newRun().send(1, "m1", write).deliver(1.1, "m1").
			tell(3, 1, said("m1", `"outcome":"failed","reason":"timeout"`)).reject(3.1, "m1"), 1, 0},
		"another error": {newRun().send(1, "m1", write).deliver(1.1, "m1").
			tell(3, 1, said("m1", `"outcome":"failed","reason":"nack"`)).reject(3.1, "m1"), 1, 1},
		"a once-only one": {newRun().send(1, "m1", fifo).deliver(1.1, "m1").
			tell(3, 1, `"messageId":"m1","target":"fifo","action":"write","outcome":"interrupted","reason":"timeout"`).reject(3.1, "m1"), 1, 0},
		"moved twice, once-only": {newRun().send(1, "m1", fifo).deliver(1.1, "m1").move(1.2, "fifo", "01:07", "m1").move(2.3, "fifo", "01:07", "m1").
			tell(3, 1, `"messageId":"m1","target":"fifo","action":"write","outcome":"done","attempt":2`).complete(3.1, "m1"), 1, 1},
	} {
		if v := Judge(test.run.Record); len(v.Faults) != test.faults {
			t.Errorf("%s: %d faults, not %d: %v", name, len(v.Faults), test.faults, v.Faults)
		}
		test.run.Slack = time.Second
		if v := Judge(test.run.Record); len(v.Faults) != test.starvedFaults {
			t.Errorf("%s, starved: %d faults, not %d: %v", name, len(v.Faults), test.starvedFaults, v.Faults)
		}
	}
}

func TestReadTrace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace")
	if moves, err := ReadTrace(file); err != nil || moves != nil {
		t.Errorf("no file: %v, %v", moves, err)
	}
	text := `{"at":"2026-11-25T12:00:00.5Z","target":"pump","level":"on","cause":"m1"}` + "\n{\"at\":\"20\n" + `{"at":"2026-11-25T12:00:01Z","target":"dac","write":"40:01","cause":"m2"}` + "\n{\"at\""
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	moves, err := ReadTrace(file)
	if err != nil || len(moves) != 2 || moves[0] != (Move{At: at(.5), Target: "pump", Level: "on", Cause: "m1"}) || moves[1].Write != "40:01" {
		t.Errorf("read %+v, %v", moves, err)
	}
}
