package agent

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/board"
	"actuatord/hub/localhub"
	"actuatord/persist"
)

const onPump = `{"target":"pump","action":"on"}`

// changes are what the hub was told of changes, as "target level cause".
func (r *rig) changes() (all []string) {
	for _, rep := range r.reports() {
		if rep.Kind == command.KindChange {
			all = append(all, strings.Join([]string{rep.Target, rep.Level, rep.Cause}, " "))
		}
	}
	return all
}

// TestDisable: it acts at once, is told once, refuses the hub and the person at the
// board alike, is there after every kind of end, and ends by a person's word alone.
func TestDisable(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("on", onPump)
		settle(time.Second)
		a := p.ask(Request{Verb: AskDisable, Target: "pump", Who: "kim (uid 1000)", Why: "blades\noff"})
		if a.Error != "" || a.Levels["pump"] != "off" || len(a.Faults) != 0 {
			t.Fatalf("disable: %+v", a)
		}
		if got := r.moves("disabled"); !slices.Equal(got, []string{"pump off"}) {
			t.Errorf("moved %q before the answer", got)
		}
		r.send("again", onPump)
		r.send("toggle", `{"target":"pump","action":"toggle"}`)
		r.send("off", `{"target":"pump","action":"off"}`)
		r.send("lamp", `{"target":"lamp","action":"on"}`)
		settle(time.Minute)
		r.expect(t, "again", "refused disabled")
		r.expect(t, "toggle", "refused disabled")
		r.expect(t, "off", "done")
		r.expect(t, "lamp", "done", "lamp on")
		if c, d := r.count(localhub.KindCompleted, "again"), r.count(localhub.KindDeadLettered, "again"); c != 0 || d != 1 {
			t.Errorf("completed %d times, rejected %d; want it rejected", c, d)
		}
		if o := p.ask(Request{Verb: AskDo, Payload: []byte(onPump)}).Outcome; o == nil || o.Reason != command.OutOfUse || !strings.Contains(o.Detail, "pump is disabled by kim (uid 1000) since ") {
			t.Errorf("do: %+v", o)
		}
		if got := r.changes(); !slices.Equal(got, []string{"pump off disabled"}) {
			t.Errorf("told %q; want the pump's, once", got)
		}
		if c := r.last(command.KindChange); c.MessageID != "on" || !strings.HasSuffix(c.Detail, ": blades?off") {
			t.Errorf("told %+v", c)
		}
		p.stop()
		p = r.start()
		settle(time.Minute)
		if d := r.last(command.KindStart).Disabled; len(d) != 1 || !strings.Contains(d["pump"], "blades?off") {
			t.Errorf("the start report lists %v", d)
		}
		s := p.ask(Request{Verb: AskStatus}).Status
		if len(s.Disabled) != 1 || s.Disabled[0].Target != "pump" || s.Disabled[0].Since.IsZero() || s.Disabled[0].Who != "kim (uid 1000)" {
			t.Errorf("status shows %+v", s.Disabled)
		}
		r.send("third", onPump)
		settle(time.Minute)
		r.expect(t, "third", "refused disabled")
		if a := p.ask(Request{Verb: AskEnable, Target: "pump", Who: "lee"}); a.Error != "" || a.Was != "" {
			t.Errorf("enable: %+v", a)
		}
		settle(time.Hour)
		if got := r.changes(); !slices.Equal(got, []string{"pump off disabled", "lamp off safe", "pump off enabled"}) {
			t.Errorf("told %q", got)
		}
		r.expect(t, "again", "refused disabled") // final
		r.send("fourth", onPump)
		settle(time.Second)
		r.expect(t, "fourth", "done", "pump on")
		p.stop()
	})
}

// TestDisableOutlivesTheJournal: one that is set aside, and one that is another
// device's, leave what is disabled as it is.
func TestDisableOutlivesTheJournal(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.ask(Request{Verb: AskDisable, Target: "all", Who: "kim"})
		p.stop()
		if err := os.WriteFile(r.journal(), []byte(strings.Repeat("junk", 4096)), 0o600); err != nil {
			t.Fatal(err)
		}
		p = r.start()
		settle(time.Minute)
		if c := r.last(command.KindStart).Cause; c != "new journal" {
			t.Fatalf("the start was after %q; want the journal set aside", c)
		}
		r.send("on", onPump)
		r.send("write", `{"target":"fifo","action":"write","register":1,"bytes":"01"}`)
		settle(time.Minute)
		r.expect(t, "on", "refused disabled")
		r.expect(t, "write", "refused disabled")
		p.stop()
	})
}

// TestDisabledUnknown: what cannot be read is everything, with an alarm, until a
// person says "enable all".
func TestDisabledUnknown(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		path := persist.DisabledPath(r.journal())
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := r.start()
		settle(time.Minute)
		r.send("on", onPump)
		settle(time.Minute)
		r.expect(t, "on", "refused disabled")
		if got := r.alarms(); !slices.Equal(got, []string{"disabled-unknown raised"}) {
			t.Errorf("reported %q", got)
		}
		if a := p.ask(Request{Verb: AskStatus}).Status.Alarms; len(a) != 1 || !strings.Contains(a[0].Detail, "actuatord enable all") {
			t.Errorf("alarms %+v", a)
		}
		if a := p.ask(Request{Verb: AskEnable, Target: "pump", Who: "kim"}); !strings.Contains(a.Error, "enable all") {
			t.Errorf("enable of one: %+v; want it told that all is to be enabled first", a)
		}
		p.ask(Request{Verb: AskEnable, Target: "all", Who: "kim"})
		settle(time.Minute)
		if got := r.alarms(); !slices.Equal(got, []string{"disabled-unknown raised", "disabled-unknown cleared"}) {
			t.Errorf("reported %q", got)
		}
		r.send("now", onPump)
		settle(time.Second)
		r.expect(t, "now", "done", "pump on")
		p.stop()
		if list, err := persist.ReadDisabled(path); err != nil || len(list) != 0 {
			t.Errorf("on disk: %v, %v", list, err)
		}
	})
}

// TestDisableCatchesWhatWaits: what is in line, and what waits for another try, does
// not act, not even when it is enabled before its turn.
func TestDisableCatchesWhatWaits(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.sim.FailTransfers("1", 1000, syscall.ENXIO)
		r.send("write", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
		r.send("behind", onPump)
		settle(2 * time.Second)
		if got := r.outcomes("write"); got != nil {
			t.Fatalf("the write came to %q; want it to be tried again", got)
		}
		for _, verb := range []Verb{AskDisable, AskEnable} {
			if a := p.ask(Request{Verb: verb, Target: "all", Who: "kim"}); a.Error != "" {
				t.Fatal(a.Error)
			}
		}
		p.sim.FailTransfers("1", 0, nil)
		settle(time.Minute)
		r.expect(t, "write", "failed disabled")
		r.expect(t, "behind", "refused disabled") // its turn came in between
		r.send("pulse", `{"target":"lamp","action":"pulse","for":"5s"}`)
		r.send("waits", onPump)
		settle(time.Second)
		for _, verb := range []Verb{AskDisable, AskEnable} {
			p.ask(Request{Verb: verb, Target: "pump", Who: "kim"})
		}
		settle(time.Minute)
		r.expect(t, "pulse", "done", "lamp on", "lamp off")
		r.expect(t, "waits", "refused superseded")
		if got := p.sim.Memory("1", 0x60, 0x40); !slices.Equal(got, []byte{0, 0}) {
			t.Errorf("the dac holds %x; want its safe bytes", got)
		}
		p.stop()
	})
}

// TestDisableLeavesOthersAlone: who waits for another target goes on waiting.
func TestDisableLeavesOthersAlone(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.sim.FailTransfers("1", 3, syscall.ENXIO)
		r.send("write", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
		r.send("behind", onPump)
		settle(100 * time.Millisecond)
		p.ask(Request{Verb: AskDisable, Target: "pump", Who: "kim"})
		settle(time.Minute)
		r.expect(t, "write", "done", "dac 40:0fff")
		r.expect(t, "behind", "refused disabled")
		p.stop()
	})
}

// TestDisableCutsAPulse: it is interrupted, and its report says by whom.
func TestDisableCutsAPulse(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("pulse", `{"target":"lamp","action":"pulse","for":"5s"}`)
		settle(time.Second)
		p.ask(Request{Verb: AskDisable, Target: "lamp", Who: "kim"})
		settle(time.Minute)
		r.expect(t, "pulse", "interrupted cut-off", "lamp on")
		if d := r.last(command.KindOutcome).Detail; !strings.Contains(d, "cut short by disabled: by kim") {
			t.Errorf("its report says %q", d)
		}
		p.stop()
	})
}

// TestDisableThatCannotBeWritten holds while the daemon runs, and says that it may not
// afterwards. An enable that cannot be written changes nothing.
func TestDisableThatCannotBeWritten(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("on", onPump)
		settle(time.Second)
		blocked := persist.DisabledPath(r.journal()) + ".new"
		if err := os.Mkdir(blocked, 0o700); err != nil {
			t.Fatal(err)
		}
		if a := p.ask(Request{Verb: AskDisable, Target: "pump", Who: "kim"}); !strings.Contains(a.Error, "until this daemon ends") {
			t.Errorf("disable: %+v", a)
		}
		if got := r.moves("disabled"); !slices.Equal(got, []string{"pump off"}) {
			t.Errorf("moved %q", got)
		}
		if a := p.ask(Request{Verb: AskEnable, Target: "pump", Who: "kim"}); !strings.Contains(a.Error, "stays disabled") {
			t.Errorf("enable: %+v", a)
		}
		r.send("again", onPump)
		settle(time.Minute)
		r.expect(t, "again", "refused disabled")
		if err := os.Remove(blocked); err != nil {
			t.Fatal(err)
		}
		if a := p.ask(Request{Verb: AskDisable, Target: "pump", Who: "kim"}); a.Error != "" {
			t.Errorf("once there is room: %+v", a)
		}
		p.stop()
		if list, err := persist.ReadDisabled(persist.DisabledPath(r.journal())); err != nil || len(list) != 1 {
			t.Errorf("on disk: %v, %v", list, err)
		}
	})
}

// TestDisableWithoutAJournal: the one does not hang on the other.
func TestDisableWithoutAJournal(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.mangle = func(o *Options) {
			o.Open = func(context.Context, time.Time) (*persist.Journal, persist.Opened, error) {
				return nil, persist.Opened{}, &persist.StorageError{Op: "open", Path: r.journal(), Err: syscall.EIO}
			}
		}
		p := r.start()
		settle(time.Second)
		if a := p.ask(Request{Verb: AskDisable, Target: "pump", Who: "kim"}); a.Error != "" || a.Levels["pump"] != "off" {
			t.Errorf("disable: %+v", a)
		}
		if s := p.ask(Request{Verb: AskStatus}).Status; len(s.Disabled) != 1 || s.Storage == "" {
			t.Errorf("status shows %+v", s)
		}
		p.stop()
		r.mangle = nil
		p = r.start()
		settle(time.Minute)
		if d := r.last(command.KindStart).Disabled; len(d) != 1 {
			t.Errorf("the start report lists %v", d)
		}
		if a := p.ask(Request{Verb: AskEnable, Target: "pump", Who: "kim"}); a.Error != "" {
			t.Errorf("enable: %+v", a)
		}
		if a := p.ask(Request{Verb: AskEnable, Target: "pump", Who: "kim"}); a.Error != "" || a.Was == "" {
			t.Errorf("enable again: %+v", a)
		}
		p.stop()
	})
}

// TestDisabling: what may be named, and what becomes of the words.
func TestDisabling(t *testing.T) {
	at := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	p := profile()
	p.Inputs = []board.Input{{Name: "float-ok"}}
	long := persist.Disabled{Target: "pump", Since: at, Who: strings.Repeat("k", 999), Why: strings.Repeat("ü\x1b", 999)}
	list, err := Disabling(nil, long, p)
	if err != nil || len(list[0].Who) > longestWho || len(list[0].Why) > longestWhy || strings.ContainsRune(list[0].Why, '\x1b') {
		t.Errorf("%+v, %v; want it bounded and printable", list, err)
	}
	again, err := Disabling(list, persist.Disabled{Target: "pump", Since: at.Add(time.Hour), Who: "lee"}, p)
	if err != nil || len(again) != 1 || again[0].Since != at || again[0].Who != "lee" || list[0].Who == "lee" {
		t.Errorf("again: %+v, %v; want the new words, the old date, and the old list left alone", again, err)
	}
	for _, name := range []string{"", "pumps", "float-ok", "GPIO17"} {
		if _, err := Disabling(nil, persist.Disabled{Target: name}, p); err == nil {
			t.Errorf("%q was taken for a target", name)
		}
		if _, err := Enabling(nil, name, p); err == nil {
			t.Errorf("%q was taken for a target to enable", name)
		}
	}
	gone := []persist.Disabled{{Target: "old-pump", Who: "kim"}, {Target: "all", Who: "kim"}}
	if _, err := Enabling(gone, "old-pump", p); err == nil {
		t.Error("one was enabled while all are disabled")
	}
	if left, err := Enabling(gone, "all", p); err != nil || left == nil || len(left) != 0 {
		t.Errorf("enable all: %v, %v", left, err)
	}
	if left, err := Enabling(gone[:1], "old-pump", p); err != nil || len(left) != 0 { // the configuration knows it no more
		t.Errorf("enable what is gone: %v, %v", left, err)
	}
}
