package boardtest

import (
	"errors"
	"testing"
	"time"

	"actuatord/board"
)

// patience is how long an edge may take to be told of: by polling some tens of
// milliseconds, and on a busy machine some more.
const patience = 10 * time.Second

func inputSpec(line string, activeLow bool) board.InputSpec {
	s := spec(line, activeLow)
	s.Target = "float-ok"
	return board.InputSpec{LineSpec: s, Debounce: time.Millisecond}
}

// listener is an input and what it has told.
type listener struct {
	board.InputPin
	told chan board.Edge
}

func listen(t *testing.T, r Rig, s board.InputSpec) listener {
	t.Helper()
	told := make(chan board.Edge, 64)
	p, err := r.Driver.Input(s, func(e board.Edge) {
		select {
		case told <- e:
		default: // a test that does not listen
		}
	})
	if err != nil {
		t.Fatalf("take %q as an input: %v", s.Line, err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close %s: %v", s.Line, err)
		}
	})
	return listener{p, told}
}

func (l listener) reads(t *testing.T, want bool) {
	t.Helper()
	for by := time.Now().Add(patience); ; { // a level counts when it has stood for the debounce time
		active, err := l.Read()
		if err != nil {
			t.Fatal(err)
		}
		if active == want {
			return
		}
		if time.Now().After(by) {
			t.Fatalf("reads active=%v; want %v", active, want)
		}
		<-time.After(time.Millisecond)
	}
}

func (l listener) tells(t *testing.T, want bool) {
	t.Helper()
	select {
	case e := <-l.told:
		if e.Err != nil || e.Active != want {
			t.Errorf("told %+v; want active=%v", e, want)
		}
	case <-time.After(patience):
		t.Errorf("no edge was told; want active=%v", want)
	}
}

// inputs: both polarities are read and told, in order, and reading moves nothing.
func inputs(t *testing.T, r Rig) {
	if r.Drive == nil {
		t.Skip("nothing drives this rig's lines")
	}
	for i, activeLow := range []bool{false, true} {
		line := r.Lines[i]
		r.Drive(line, activeLow) // inactive
		l := listen(t, r, inputSpec(line, activeLow))
		l.reads(t, false)
		for _, active := range []bool{true, false, true} {
			r.Drive(line, active != activeLow)
			l.tells(t, active)
			l.reads(t, active)
		}
	}
}

// closedInput: a line that was let go tells nothing, cannot be read, and can be had
// again.
func closedInput(t *testing.T, r Rig) {
	if r.Drive == nil {
		t.Skip("nothing drives this rig's lines")
	}
	line := r.Lines[0]
	r.Drive(line, false)
	l := listen(t, r, inputSpec(line, false))
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r.Drive(line, true)
	var e *board.LineError
	if _, err := l.Read(); !errors.As(err, &e) || !e.Input || e.Target != "float-ok" {
		t.Errorf("read of a closed input: %v; want a *LineError of the input", err)
	}
	next := listen(t, r, inputSpec(line, false))
	next.reads(t, true)
	if len(l.told) > 0 {
		t.Errorf("%+v was told behind Close", <-l.told)
	}
}

// heldInput: an input's line is nobody else's, and an output's line is no input.
func heldInput(t *testing.T, r Rig) {
	if r.OutputsOnly {
		var e *board.LineError
		if _, err := r.Driver.Input(inputSpec(r.Lines[0], false), func(board.Edge) {}); !errors.As(err, &e) || !e.Input || board.Transient(err) {
			t.Errorf("%q as an input: %v; want a refusal for good", r.Lines[0], err)
		}
		return
	}
	out := take(t, r, spec(r.Lines[0], false), true)
	listen(t, r, inputSpec(r.Lines[1], false))
	for _, line := range r.Lines[:2] {
		_, err := r.Driver.Input(inputSpec(line, false), func(board.Edge) {})
		var e *board.LineError
		if !errors.As(err, &e) || e.Fault != board.LineBusy || e.Holder != board.Consumer || !e.Input || !board.Transient(err) {
			t.Errorf("%q as an input: %v; want it busy by %s", line, err, board.Consumer)
		}
	}
	wire(t, r, out, spec(r.Lines[0], false), true)
	if _, err := r.Driver.Output(spec(r.Lines[1], false), false); err == nil {
		t.Error("an input's line was taken as an output")
	}
	if r.NoLine == "" {
		return
	}
	var e *board.LineError
	if _, err := r.Driver.Input(inputSpec(r.NoLine, false), func(board.Edge) {}); !errors.As(err, &e) || e.Fault != board.NoSuchLine || !e.Input {
		t.Errorf("%v; want no such line, of an input", err)
	}
}

// brokenInput: a line that cannot be read is an error, never a level.
func brokenInput(t *testing.T, r Rig) {
	if r.Drive == nil || r.Break == nil {
		t.Skip("this rig's lines cannot be broken")
	}
	r.Drive(r.Lines[0], true)
	l := listen(t, r, inputSpec(r.Lines[0], false))
	l.reads(t, true)
	r.Break(r.Lines[0])
	var e *board.LineError
	if active, err := l.Read(); active || !errors.As(err, &e) || !e.Input || e.Err == nil {
		t.Errorf("a line that cannot be read: active=%v, %v; want a *LineError with its cause", active, err)
	}
}

// permits is a board's life with an input: what it permits runs while it is active,
// ends with it, and does not come back.
func permits(t *testing.T, r Rig) {
	if r.Drive == nil {
		t.Skip("nothing drives this rig's lines")
	}
	r.Drive(r.Lines[1], true)
	b := board.Open(board.Profile{
		Outputs: []board.Output{{Name: "pump", Line: r.Lines[0], Permit: []string{"float-ok"}}},
		Inputs:  []board.Input{{Name: "float-ok", Line: r.Lines[1], Debounce: time.Millisecond}},
	}, r.Driver, nil)
	done := make(chan board.Result, 1)
	on := board.Op{Kind: board.Set, Target: "pump", On: true, Cause: "m1"}
	if b.Do(on, done); !(<-done).OK() {
		t.Fatal("the pump does not go on")
	}
	r.Drive(r.Lines[1], false)
	select {
	case c := <-b.Changes():
		if c.Target != "pump" || c.Cause != board.CausePermit || c.Level != board.Off || c.By != "m1" || c.Why == "" {
			t.Errorf("change %+v; want the pump's permit gone", c)
		}
	case <-time.After(patience):
		t.Fatal("the pump stays on without its permit")
	}
	if b.Do(on, done); (<-done).Refused != board.NotPermitted {
		t.Error("the pump goes on without its permit")
	}
	r.Drive(r.Lines[1], true)
	for by := time.Now().Add(patience); b.Inputs()["float-ok"] != board.Active; {
		if time.Now().After(by) {
			t.Fatal("the input is active and not seen to be")
		}
		<-time.After(time.Millisecond)
	}
	if l := b.Levels()["pump"]; l != board.Off {
		t.Errorf("the pump came back by itself: %v", l)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
