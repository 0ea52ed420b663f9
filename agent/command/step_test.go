package command

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	phases = []Phase{Arrived, Looking, Planning, Starting, Acting, Waiting, Concluded}
	kinds  = []InputKind{Begin, Found, Planned, Durable, Acted, RetryDue, Overtaken}
)

// on is a repeatable command, pulse a once-only one, off the way to safety.
func on() Command { return decoded(Command{Target: "pump", Action: "on", Address: -1}) }
func pulse() Command {
	return decoded(Command{Target: "pump", Action: "pulse", For: time.Second, Address: -1})
}
func off() Command { return decoded(Command{Target: "pump", Action: "off", Address: -1}) }

func allSafe() Command { return decoded(Command{Target: "all", Action: "safe", Address: -1}) }

func decoded(c Command) Command { c.Fingerprint = FingerprintOf(c); return c }

func planOf(c Command) Plan {
	p := Plan{Op: Op{Kind: OpSet, Target: c.Target, On: c.Action == "on", For: c.For}, Away: c.Action != "off", Touches: []string{c.Target}}
	if c.Action == "pulse" {
		p.Op.Kind, p.OnceOnly = OpPulse, true
	}
	return p
}

func life(c Command) Life { return New(OverMQTT, Message{ID: "m1"}, c, nil, 7, noon) }

// at is a life of c brought to phase p by the shortest legal way.
func at(t *testing.T, c Command, p Phase) Life {
	t.Helper()
	l := life(c)
	for _, in := range []Input{
		{Kind: Begin}, {Kind: Found}, {Kind: Planned, Plan: planOf(c), Facts: Facts{Careful: true}},
		{Kind: Durable}, {Kind: Acted, Fault: NACK, Transient: true},
	} {
		if l.Phase == p {
			return l
		}
		var err error
		if l, _, err = Step(l, in, noon); err != nil {
			t.Fatal(err)
		}
	}
	if p == Concluded {
		l.Phase = Concluded
	}
	return l
}

// TestEveryPair: a pair that is not listed must be refused and change nothing,
// so that a new phase or input fails here until someone decides.
func TestEveryPair(t *testing.T) {
	legal := map[Phase][]InputKind{
		Arrived: {Begin}, Looking: {Found}, Planning: {Planned}, Starting: {Durable},
		Acting: {Acted}, Waiting: {RetryDue, Overtaken}, Concluded: nil,
	}
	for _, p := range phases {
		for _, k := range kinds {
			l := at(t, on(), p)
			got, duties, err := Step(l, Input{Kind: k, Plan: planOf(on())}, noon)
			if slices.Contains(legal[p], k) {
				if err != nil || len(duties) == 0 {
					t.Errorf("%v/%v: duties %v, error %v; want it taken", p, k, duties, err)
				}
				continue
			}
			var illegal *IllegalInputError
			if !errors.As(err, &illegal) || duties != nil || got.Phase != p {
				t.Errorf("%v/%v = %v, %v, %v; want it refused and nothing changed", p, k, got.Phase, duties, err)
			}
		}
	}
}

// TestTransitions has a row for every arrow of the design's drawing.
func TestTransitions(t *testing.T) {
	rec := func(c Command, s State, edit ...func(*Record)) *Record {
		r := life(c).Record
		r.State, r.Arrival, r.FirstSeen = s, 3, noon.Add(-time.Hour)
		for _, e := range edit {
			e(&r)
		}
		return &r
	}
	moved := func(r *Record) { r.Away, r.Touches = true, []string{"pump"} }
	newer := []Newest{{Key: "m:other", Arrival: 9}}
	sentAt := func(c Command, sent time.Time) Life {
		return New(OverMQTT, Message{ID: "m1", Sent: sent}, c, nil, 7, noon)
	}
	noID := func(c Command) Life { return New(OverMQTT, Message{Body: []byte("x")}, c, nil, 7, noon) }
	planning := func(l Life) Life { l.Phase = Planning; return l }
	looking := func(l Life) Life { l.Phase = Looking; return l }
	acting := func(l Life, p Plan, tries int) Life {
		l.Phase, l.Plan, l.Attempt, l.Began = Acting, p, tries, noon
		return l
	}
	https := func(l Life) Life { l.Source = OverHTTPS; return l }
	local := func(l Life) Life { l.Source = Local; return l }
	expiring := func(c Command) Life {
		return New(OverMQTT, Message{ID: "m1", Expiry: noon.Add(time.Minute)}, c, nil, 7, noon)
	}
	aged := planOf(on())
	aged.MaxAge = time.Minute
	read := Plan{Op: Op{Kind: OpRead}}

	for _, tt := range []struct {
		name   string
		life   Life
		in     Input
		now    time.Time
		phase  Phase
		duties []Duty
		state  State
		reason Reason
	}{
		{"new", looking(life(on())), Input{Kind: Found}, noon, Planning, []Duty{MakePlan}, 0, ""},
		{"seen done", looking(life(on())), Input{Kind: Found, Seen: rec(on(), Done)}, noon, Concluded, []Duty{Touch, Complete}, Done, ""},
		{"seen refused", looking(life(on())), Input{Kind: Found, Seen: rec(on(), Refused)}, noon, Concluded, []Duty{Touch, Reject}, Refused, ""},
		{"seen interrupted", looking(life(pulse())), Input{Kind: Found, Seen: rec(pulse(), Interrupted)}, noon, Concluded, []Duty{Touch, Reject}, Interrupted, ""},
		{"seen failed, owes a reject", looking(life(on())), Input{Kind: Found, Seen: rec(on(), Failed, func(r *Record) { r.Owes = OwesReject })}, noon, Concluded, []Duty{Touch, Reject}, Failed, ""},
		{"seen failed, owes an abandon", looking(life(on())), Input{Kind: Found, Seen: rec(on(), Failed, func(r *Record) { r.Owes = OwesAbandon })}, noon, Planning, []Duty{MakePlan}, Failed, ""},
		{"seen started, repeatable", looking(life(on())), Input{Kind: Found, Seen: rec(on(), Started)}, noon, Planning, []Duty{MakePlan}, Started, ""},
		{"same id, other command", looking(life(off())), Input{Kind: Found, Seen: rec(on(), Done)}, noon, Looking, []Duty{Look}, 0, ""},
		{"no id, seen, still the last", looking(noID(on())), Input{Kind: Found, Seen: rec(on(), Done, moved), Last: true}, noon, Concluded, []Duty{Touch, Complete}, Done, ""},
		{"no id, seen, not the last", looking(noID(on())), Input{Kind: Found, Seen: rec(on(), Done, moved)}, noon, Looking, []Duty{Look}, 0, ""},
		{"no id, all safe, not the last", looking(noID(allSafe())), Input{Kind: Found, Seen: rec(allSafe(), Done)}, noon, Planning, []Duty{MakePlan}, Done, ""},
		{"no id, off, not the last", looking(noID(off())), Input{Kind: Found, Seen: rec(off(), Done)}, noon, Looking, []Duty{Look}, 0, ""},
		{"no id, seen before the clock was set, dated two days ago", looking(noID(on())), Input{Kind: Found, Last: true, Seen: rec(on(), Done, func(r *Record) { r.FirstSeen, r.LastSeen = time.Time{}, noon.Add(-48*time.Hour) })}, noon, Planning, []Duty{MakePlan}, 0, ""},
		{"no id, seen before the clock was set, not dated", looking(noID(on())), Input{Kind: Found, Last: true, Seen: rec(on(), Done, func(r *Record) { r.FirstSeen, r.LastSeen = time.Time{}, time.Time{} })}, noon, Concluded, []Duty{Touch, Complete}, Done, ""},
		{"no id, seen two days ago", looking(noID(on())), Input{Kind: Found, Seen: rec(on(), Done)}, noon.Add(48 * time.Hour), Planning, []Duty{MakePlan}, 0, ""},
		{"with an id, seen long ago", looking(life(on())), Input{Kind: Found, Seen: rec(on(), Done)}, noon.Add(90 * time.Hour), Concluded, []Duty{Touch, Complete}, Done, ""},

		{"no plan", planning(life(on())), Input{Kind: Planned, Refusal: Refuse(UnknownTarget, "x")}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, UnknownTarget},
		{"repeatable", planning(life(on())), Input{Kind: Planned, Plan: planOf(on())}, noon, Acting, []Duty{Act}, 0, ""},
		{"repeatable after an unclean stop", planning(life(on())), Input{Kind: Planned, Plan: planOf(on()), Facts: Facts{Careful: true}}, noon, Starting, []Duty{WriteStart}, Started, ""},
		{"read after an unclean stop", planning(life(on())), Input{Kind: Planned, Plan: read, Facts: Facts{Careful: true}}, noon, Acting, []Duty{Act}, 0, ""},
		{"once-only", planning(life(pulse())), Input{Kind: Planned, Plan: planOf(pulse())}, noon, Starting, []Duty{WriteStart}, Started, ""},
		{"once-only without an id", planning(noID(pulse())), Input{Kind: Planned, Plan: planOf(pulse())}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, IDRequired},
		{"on-for without an id", planning(noID(on())), Input{Kind: Planned, Plan: Plan{Op: Op{Kind: OpSet, For: time.Second}}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, IDRequired},
		{"repeatable without an id", planning(noID(on())), Input{Kind: Planned, Plan: planOf(on())}, noon, Acting, []Duty{Act}, 0, ""},
		{"once-only, history doubted", planning(life(pulse())), Input{Kind: Planned, Plan: planOf(pulse()), Facts: Facts{Doubted: true, Since: noon}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, HistoryLost},
		{"once-only, sent after the loss", planning(sentAt(pulse(), noon.Add(time.Second))), Input{Kind: Planned, Plan: planOf(pulse()), Facts: Facts{Doubted: true, Since: noon}}, noon, Starting, []Duty{WriteStart}, Started, ""},
		{"once-only, loss not dated", planning(sentAt(pulse(), noon)), Input{Kind: Planned, Plan: planOf(pulse()), Facts: Facts{Doubted: true}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, HistoryLost},
		{"repeatable, history doubted", planning(life(on())), Input{Kind: Planned, Plan: planOf(on()), Facts: Facts{Doubted: true}}, noon, Acting, []Duty{Act}, 0, ""},
		{"superseded by arrival", planning(life(on())), Input{Kind: Planned, Plan: planOf(on()), Facts: Facts{Newest: newer}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, Superseded},
		{"superseded by sent", planning(sentAt(on(), noon.Add(-time.Minute))), Input{Kind: Planned, Plan: planOf(on()), Facts: Facts{Newest: []Newest{{Key: "m:other", Arrival: 2, Sent: noon}}}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, Superseded},
		{"towards safe never superseded", planning(life(off())), Input{Kind: Planned, Plan: planOf(off()), Facts: Facts{Newest: newer}}, noon, Acting, []Duty{Act}, 0, ""},
		{"not superseded by itself", planning(life(on())), Input{Kind: Planned, Plan: planOf(on()), Facts: Facts{Newest: []Newest{{Key: "m:m1", Arrival: 7}}}}, noon, Acting, []Duty{Act}, 0, ""},
		{"too old", planning(sentAt(on(), noon.Add(-2*time.Minute))), Input{Kind: Planned, Plan: aged}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, TooOld},
		{"age unknown", planning(life(on())), Input{Kind: Planned, Plan: aged}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, AgeUnknown},
		{"young enough", planning(sentAt(on(), noon.Add(-time.Minute))), Input{Kind: Planned, Plan: aged}, noon, Acting, []Duty{Act}, 0, ""},
		{"expiry, clock unset", planning(expiring(on())), Input{Kind: Planned, Plan: planOf(on()), Facts: Facts{Untrusted: true}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, ClockUnset},
		{"expiry past, clock unset", planning(expiring(on())), Input{Kind: Planned, Plan: planOf(on()), Facts: Facts{Untrusted: true}}, noon.Add(time.Hour), Concluded, []Duty{WriteOutcome, Reject}, Refused, ClockUnset},
		{"towards safe with an expiry, clock unset", planning(expiring(off())), Input{Kind: Planned, Plan: planOf(off()), Facts: Facts{Untrusted: true}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, ClockUnset},
		{"age limit, clock unset", planning(sentAt(on(), noon)), Input{Kind: Planned, Plan: aged, Facts: Facts{Untrusted: true}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, ClockUnset},
		{"age unknown, clock unset", planning(life(on())), Input{Kind: Planned, Plan: aged, Facts: Facts{Untrusted: true}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, ClockUnset},
		{"once-only, clock unset", planning(life(pulse())), Input{Kind: Planned, Plan: planOf(pulse()), Facts: Facts{Untrusted: true}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, ClockUnset},
		{"once-only over HTTPS, clock unset", planning(https(life(pulse()))), Input{Kind: Planned, Plan: planOf(pulse()), Facts: Facts{Untrusted: true}}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, ClockUnset},
		{"no limit at all, clock unset", planning(life(on())), Input{Kind: Planned, Plan: planOf(on()), Facts: Facts{Untrusted: true}}, noon, Acting, []Duty{Act}, 0, ""},
		{"once-only at the board, clock unset", planning(local(expiring(pulse()))), Input{Kind: Planned, Plan: planOf(pulse()), Facts: Facts{Untrusted: true}}, noon, Starting, []Duty{WriteStart}, Started, ""},

		{"done", acting(life(on()), planOf(on()), 1), Input{Kind: Acted, Attempted: true}, noon, Concluded, []Duty{WriteOutcome, Complete}, Done, ""},
		{"the board refuses", acting(life(on()), planOf(on()), 1), Input{Kind: Acted, Refusal: Refuse(Interlocked, "x")}, noon, Concluded, []Duty{WriteOutcome, Reject}, Refused, Interlocked},
		{"the board refuses for the moment", acting(life(pulse()), planOf(pulse()), 1), Input{Kind: Acted, Refusal: Refuse(LevelUnknown, "x"), Transient: true}, noon, Waiting, []Duty{Wait}, 0, ""},
		{"the board refuses to the end", acting(life(on()), planOf(on()), 9), Input{Kind: Acted, Refusal: Refuse(LevelUnknown, "x"), Transient: true}, noon.Add(26 * time.Second), Concluded, []Duty{WriteOutcome, Reject}, Refused, LevelUnknown},
		{"once-only, error after the first edge", acting(life(pulse()), planOf(pulse()), 1), Input{Kind: Acted, Fault: IOError, Attempted: true, Transient: true}, noon, Concluded, []Duty{WriteOutcome, Reject}, Interrupted, IOError},
		{"once-only, transient error before it", acting(life(pulse()), planOf(pulse()), 1), Input{Kind: Acted, Fault: IOError, Transient: true}, noon, Waiting, []Duty{Wait}, 0, ""},
		{"once-only, lasting error before it", acting(life(pulse()), planOf(pulse()), 1), Input{Kind: Acted, Fault: IOError}, noon, Concluded, []Duty{WriteOutcome, Reject}, Failed, IOError},
		{"repeatable, transient", acting(life(on()), planOf(on()), 1), Input{Kind: Acted, Fault: NACK, Attempted: true, Transient: true}, noon, Waiting, []Duty{Wait}, 0, ""},
		{"repeatable, retries ran out", acting(life(on()), planOf(on()), 9), Input{Kind: Acted, Fault: NACK, Attempted: true, Transient: true}, noon.Add(26 * time.Second), Concluded, []Duty{WriteOutcome, Reject}, Failed, NACK},
		{"repeatable, not transient", acting(life(on()), planOf(on()), 1), Input{Kind: Acted, Fault: IOError, Attempted: true}, noon, Concluded, []Duty{WriteOutcome, Reject}, Failed, IOError},
		{"failed in a drain", https(acting(life(on()), planOf(on()), 1)), Input{Kind: Acted, Fault: IOError}, noon, Concluded, []Duty{WriteOutcome, Abandon}, Failed, IOError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, duties, err := Step(tt.life, tt.in, tt.now)
			if err != nil || got.Phase != tt.phase || !slices.Equal(duties, tt.duties) {
				t.Fatalf("Step = %v, %v, %v; want %v, %v", got.Phase, duties, err, tt.phase, tt.duties)
			}
			if got.Record.State != tt.state || got.Record.Reason != tt.reason {
				t.Errorf("record is %v for %q; want %v for %q", got.Record.State, got.Record.Reason, tt.state, tt.reason)
			}
			if tt.state > Done && got.Phase == Concluded && tt.in.Fault == "" && tt.in.Kind != Found && got.Record.Detail == "" {
				t.Error("an outcome that is not done needs a sentence")
			}
		})
	}
}

// TestExpiryIsJudgedAtEveryTry: before the plan, before the first edge, and
// before each retry; what was attempted before is not called refused.
func TestExpiryIsJudgedAtEveryTry(t *testing.T) {
	l := New(OverMQTT, Message{ID: "m1", Expiry: noon.Add(time.Second)}, on(), nil, 7, noon)
	l.Phase, l.Plan = Planning, planOf(on())
	for _, tt := range []struct {
		name  string
		phase Phase
		in    Input
		acted bool
		want  State
	}{
		{"before the plan", Planning, Input{Kind: Planned, Plan: planOf(on())}, false, Refused},
		{"before the first edge", Starting, Input{Kind: Durable}, false, Refused},
		{"before a retry", Waiting, Input{Kind: RetryDue}, true, Failed},
	} {
		l := l
		l.Phase, l.Acted = tt.phase, tt.acted
		if got, duties, _ := Step(l, tt.in, noon.Add(time.Second-1)); got.Phase != Acting && !slices.Contains(duties, WriteStart) {
			t.Errorf("%s: not carried out a nanosecond before its expiry: %v", tt.name, got.Record.Detail)
		}
		got, _, err := Step(l, tt.in, noon.Add(time.Second))
		if err != nil || got.Record.State != tt.want || got.Record.Reason != Expired {
			t.Errorf("%s: %v for %q, %v; want %v for expired", tt.name, got.Record.State, got.Record.Reason, err, tt.want)
		}
	}
}

// TestTakenUpAgain: a repeatable command that a stop interrupted keeps its first
// arrival, and the interruption counts.
func TestTakenUpAgain(t *testing.T) {
	l := life(on())
	l.Phase = Looking
	old := l.Record
	old.State, old.Arrival, old.Interruptions = Started, 3, 1
	got, _, err := Step(l, Input{Kind: Found, Seen: &old}, noon)
	if err != nil || got.Record.Arrival != 3 || got.Record.Interruptions != 2 {
		t.Errorf("arrival %d, %d interruptions, %v; want the first arrival, and one interruption more", got.Record.Arrival, got.Record.Interruptions, err)
	}
}

func TestDeadline(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		expires, sent, enqueued time.Time
		age                     time.Duration
		want                    time.Time
	}{
		{"none", time.Time{}, noon, noon, 0, time.Time{}},
		{"expiry", noon, time.Time{}, time.Time{}, 0, noon},
		{"age", time.Time{}, noon, noon.Add(time.Hour), time.Minute, noon.Add(time.Minute)},
		{"age from the hub", time.Time{}, time.Time{}, noon, time.Minute, noon.Add(time.Minute)},
		{"the earlier", noon.Add(time.Second), noon, time.Time{}, time.Minute, noon.Add(time.Second)},
	} {
		l := Life{Expires: tt.expires, Enqueued: tt.enqueued, Record: Record{Sent: tt.sent}, Plan: Plan{MaxAge: tt.age}}
		if got := l.Deadline(); !got.Equal(tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
}

func TestImposter(t *testing.T) {
	l := life(off())
	l.Phase = Looking
	first := life(on()).Record
	first.State = Done
	l, _, err := Step(l, Input{Kind: Found, Seen: &first}, noon)
	if err != nil || !strings.HasPrefix(string(l.Record.Key), "x:") {
		t.Fatalf("key %q, %v; want one apart from the first record's", l.Record.Key, err)
	}
	fresh, duties, _ := Step(l, Input{Kind: Found}, noon)
	if !slices.Equal(duties, []Duty{WriteOutcome, Reject}) || fresh.Record.Reason != IDReused {
		t.Errorf("first time: %v for %q; want it refused id-reused", duties, fresh.Record.Reason)
	}
	if _, duties, _ = Step(l, Input{Kind: Found, Seen: &fresh.Record}, noon); !slices.Equal(duties, []Duty{Touch, Reject}) {
		t.Errorf("second time: %v; want the same answer without a second report", duties)
	}
}

func TestRetriesStayWithinHalfALock(t *testing.T) {
	l := life(on())
	l.Phase, l.Plan, l.Attempt, l.Began = Acting, planOf(on()), 1, noon
	now, tries := noon, 1
	for l.Phase == Acting {
		var err error
		if l, _, err = Step(l, Input{Kind: Acted, Fault: NACK, Attempted: true, Transient: true}, now); err != nil {
			t.Fatal(err)
		}
		if l.Phase == Waiting {
			now = now.Add(l.Pause)
			l, _, _ = Step(l, Input{Kind: RetryDue}, now)
			tries++
		}
	}
	if d := now.Sub(noon); d > retryFor || d < retryFor/2 || tries < 5 {
		t.Errorf("%d tries over %v; want several, over most of %v", tries, d, retryFor)
	}
}

func TestOvertaken(t *testing.T) {
	l := at(t, on(), Waiting)
	got, duties, err := Step(l, Input{Kind: Overtaken}, noon)
	if err != nil || got.Record.Reason != Superseded || duties[0] != WriteOutcome {
		t.Errorf("away: %v, %v, %v; want it given up as superseded", got.Record.Reason, duties, err)
	}
	if got, _, err = Step(l, Input{Kind: Overtaken, Refusal: Refuse(OutOfUse, "pump is disabled")}, noon); err != nil || got.Record.Reason != OutOfUse {
		t.Errorf("away, with a reason: %v, %v; want that one", got.Record.Reason, err)
	}
	l.Plan.Away = false
	if got, duties, err = Step(l, Input{Kind: Overtaken}, noon); err != nil || got.Phase != Waiting || duties != nil {
		t.Errorf("towards safe: %v, %v, %v; want it to go on", got.Phase, duties, err)
	}
}

func TestRecover(t *testing.T) {
	for _, tt := range []struct {
		once    bool
		before  uint8
		want    State
		reason  Reason
		outcome bool
	}{
		{true, 0, Interrupted, CutOff, true},
		{false, 0, Started, "", false},
		{false, 1, Started, "", false},
		{false, 2, Interrupted, CrashLoop, true},
	} {
		r, outcome := Recover(Record{State: Started, OnceOnly: tt.once, Interruptions: tt.before})
		if r.State != tt.want || r.Reason != tt.reason || outcome != tt.outcome || outcome != (r.Interruptions == tt.before+1) {
			t.Errorf("Recover(once-only %v, %d before) = %+v, %v", tt.once, tt.before, r, outcome)
		}
	}
}

func TestKeys(t *testing.T) {
	c := on()
	c.ID = "body"
	fault := Refuse(Malformed, "x")
	for _, tt := range []struct {
		name string
		l    Life
		want string
	}{
		{"message id wins", New(OverMQTT, Message{ID: "mid"}, c, nil, 1, noon), "m:mid"},
		{"body id", New(OverMQTT, Message{}, c, nil, 1, noon), "b:body"},
		{"payload", New(OverMQTT, Message{Body: []byte("{}")}, on(), nil, 1, noon), "h:44136fa355b3678a"},
		{"payload under bad properties", New(OverMQTT, Message{Fault: fault, Body: []byte("{}")}, on(), nil, 1, noon), "h:"},
		{"local", New(Local, Message{ID: "1"}, c, nil, 1, noon), "l:1"},
	} {
		if !strings.HasPrefix(string(tt.l.Record.Key), tt.want) {
			t.Errorf("%s: key %q; want %q…", tt.name, tt.l.Record.Key, tt.want)
		}
	}
	good, bad := New(OverMQTT, Message{Body: []byte("{}")}, on(), nil, 1, noon), New(OverMQTT, Message{Fault: fault, Body: []byte("{}")}, on(), nil, 1, noon)
	if good.Record.Key == bad.Record.Key {
		t.Error("a payload under unreadable properties shares the key of the readable one, and could complete it")
	}
}

func TestFingerprint(t *testing.T) {
	c := on()
	same := c
	same.ID, same.Sent, same.Expires, same.Meta = "x", noon, noon, []byte("{}")
	if FingerprintOf(same) != c.Fingerprint {
		t.Error("id, sent, expires or meta changed the fingerprint")
	}
	for name, edit := range map[string]func(*Command){
		"target": func(c *Command) { c.Target = "pumq" }, "action": func(c *Command) { c.Action = "off" },
		"for": func(c *Command) { c.For = 1 }, "register": func(c *Command) { c.Address = 0 },
		"bytes": func(c *Command) { c.Bytes = []byte{0} }, "text": func(c *Command) { c.Text = "x" },
		"percent": func(c *Command) { c.Percent = new(Percent) },
		"border":  func(c *Command) { c.Target, c.Action = "pumpo", "n" },
	} {
		d := c
		edit(&d)
		if FingerprintOf(d) == c.Fingerprint {
			t.Errorf("%s does not change the fingerprint", name)
		}
	}
	// Journals in the field have this of a command without operands: it stays.
	if old := FingerprintOf(Command{Target: "pump", Action: "on", Address: -1}).String(); old != "d0969d98eb64c189c35f2f4ba7dcc455" {
		t.Errorf("an old command's fingerprint became %s", old)
	}
	if FingerprintOfPayload(nil) == FingerprintOfPayload([]byte{0}) {
		t.Error("payload fingerprints collide")
	}
}

func TestReportAndRefusalBounds(t *testing.T) {
	r := Refuse(Malformed, "%s", strings.Repeat("é", 400))
	if len(r.Detail) > 300 || !strings.HasSuffix(r.Detail, "...") || strings.ContainsRune(r.Detail, '\uFFFD') {
		t.Errorf("detail of %d bytes: %q", len(r.Detail), r.Detail)
	}
	l := life(on())
	l.Began, l.Record.State, l.Attempt = noon, Done, 2
	if rep := l.Report(noon.Add(3 * time.Millisecond)); rep.DurationMs != 3 || rep.Outcome != "done" || rep.MessageID != "m1" || rep.Attempt != 2 || rep.V != 1 {
		t.Errorf("report %+v", rep)
	}
}
