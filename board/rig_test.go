package board_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/board"
	"actuatord/board/sim"
)

// rig is a board on simulated hardware, in a bubble of virtual time.
type rig struct {
	t     *testing.T
	d     *sim.Driver
	b     *board.Board
	trace string
	log   *logBuffer
	start time.Time
}

// logBuffer takes the log from any goroutine.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// bubble runs f on a board with profile p. What prepare does to the hardware
// comes before Open.
func bubble(t *testing.T, p board.Profile, prepare func(*sim.Driver), f func(*rig)) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	synctest.Test(t, func(t *testing.T) {
		d, err := sim.New(trace)
		if err != nil {
			t.Fatal(err)
		}
		if prepare != nil {
			prepare(d)
		}
		r := &rig{t: t, d: d, trace: trace, log: &logBuffer{}, start: time.Now()}
		r.b = board.Open(p, d, slog.New(slog.NewTextHandler(r.log, nil)))
		f(r)
		r.b.Close()
	})
}

func (r *rig) begin(op board.Op) <-chan board.Result {
	done := make(chan board.Result, 2) // room for a second one, which would be a fault
	r.b.Do(op, done)
	synctest.Wait()
	return done
}

func (r *rig) do(op board.Op) board.Result { return <-r.begin(op) }

// must is do for what has to succeed.
func (r *rig) must(op board.Op) board.Result {
	r.t.Helper()
	res := r.do(op)
	if !res.OK() {
		r.t.Fatalf("%+v: %+v; want it done", op, res)
	}
	return res
}

// level asserts the board's and the hardware's opinion at once.
func (r *rig) level(target, line string, want board.Level) {
	r.t.Helper()
	synctest.Wait()
	if got := r.b.Levels()[target]; got != want {
		r.t.Errorf("at %v: board says %s is %v; want %v", time.Since(r.start), target, got, want)
	}
	if on, _ := r.d.Level(line); want != board.Unknown && on != (want == board.On) {
		r.t.Errorf("at %v: line %s is on=%v; want %v", time.Since(r.start), line, on, want)
	}
}

func (r *rig) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// change answers the next change, or an empty one.
func (r *rig) change() board.Change {
	synctest.Wait()
	select {
	case c := <-r.b.Changes():
		return c
	default:
		return board.Change{}
	}
}

// events reads the whole trace.
func (r *rig) events() []sim.Event {
	r.t.Helper()
	return readTrace(r.t, r.trace)
}

func readTrace(t *testing.T, path string) []sim.Event {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []sim.Event
	for s := bufio.NewScanner(f); s.Scan(); {
		var e sim.Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("trace line %q: %v", s.Text(), err)
		}
		all = append(all, e)
	}
	return all
}

// walk is the trace as words: "target level cause" or "target write cause".
func (r *rig) walk() []string {
	r.t.Helper()
	var all []string
	for _, e := range r.events() {
		all = append(all, e.Target+" "+e.Level+e.Write+" "+e.Cause)
	}
	return all
}

func on(target string, length time.Duration) board.Op {
	return board.Op{Kind: board.Set, Target: target, On: true, For: length, Cause: "m-on"}
}

func off(target string) board.Op {
	return board.Op{Kind: board.Set, Target: target, Cause: "m-off"}
}

func pulse(target string, length time.Duration) board.Op {
	return board.Op{Kind: board.Pulse, Target: target, For: length, Cause: "m-pulse"}
}

func write(target string, register byte, b ...byte) board.Op {
	return board.Op{Kind: board.Write, Target: target, Register: register, Bytes: b, Cause: "m-write"}
}

var errIO = error(syscall.EIO)

// pump is the plainest profile.
func pump(more ...func(*board.Output)) board.Profile {
	o := board.Output{Name: "pump", Line: "GPIO17"}
	for _, f := range more {
		f(&o)
	}
	return board.Profile{Outputs: []board.Output{o}}
}

func maxOn(d time.Duration) func(*board.Output)  { return func(o *board.Output) { o.MaxOn = d } }
func minOff(d time.Duration) func(*board.Output) { return func(o *board.Output) { o.MinOff = d } }
func safeOn(o *board.Output)                     { o.SafeOn = true }

func wantRefused(t *testing.T, res board.Result, want board.Reason) {
	t.Helper()
	if res.Refused != want || res.Detail == "" || res.Attempted || res.Changed || res.Err != nil {
		t.Errorf("%v %s: %+v; want it refused %s, with a detail, before any edge", res.Op.Kind, res.Op.Target, res, want)
	}
}

func wantErr(t *testing.T, res board.Result, target error) {
	t.Helper()
	if !errors.Is(res.Err, target) {
		t.Errorf("%s: err %v; want %v", res.Op.Target, res.Err, target)
	}
}
