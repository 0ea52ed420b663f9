package board

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// changesRoom bounds Changes: twice the outputs of the largest board in sight
// (32), each tripping and coming back once. With less a burst loses changes
// (counted), with more only memory goes.
const changesRoom = 128

// safeBound ends Board.Safe and Board.Close. Stopping has 5 s in all
// (TimeoutAbortSec); a bus needs busTimeout to be found stuck and once more to
// be found stuck again.
const safeBound = 3 * time.Second

// Board is an open board. Its methods may be called from any goroutine.
type Board struct {
	log     *slog.Logger
	wake    chan struct{} // one token: the inbox is not empty, or an input has told something
	changes chan Change
	gone    chan struct{} // closed when the board's goroutine has ended

	mu     sync.Mutex // held to copy, never across a driver's call
	inbox  []request  // bounded by its callers: the agent has one operation out at a time
	closed bool
	levels map[string]Level
	safe   map[string]bool
	inputs map[string]InputState
	faults map[string]Fault
	left   error // what Close could not bring to safety

	percents map[string]Percent // of levels that are known
}

// request is what reaches the board's goroutine.
type request struct {
	op   Op
	done chan<- Result   // nil: nobody waits
	tell bool            // no Do asked: what moves is a Change
	ping chan<- struct{} // room for one
	stop bool
	look bool // read every input

	disable map[string]string // what is out of use from here on; nil: not what is asked
}

// Open takes every output to its safe level, writes every register's safe bytes,
// and then reads every input. When it returns each of them was attempted. It never
// fails: what cannot be had is Unknown, listed by Faults, and tried again each
// second for ever. The driver belongs to the board from here on. A nil log logs nothing.
func Open(p Profile, d Driver, log *slog.Logger) *Board {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	b := &Board{
		log:     log,
		wake:    make(chan struct{}, 1),
		changes: make(chan Change, changesRoom),
		gone:    make(chan struct{}),
		levels:  map[string]Level{},
		safe:    map[string]bool{},
		inputs:  map[string]InputState{},
		faults:  map[string]Fault{},

		percents: map[string]Percent{},
	}
	k := newKeeper(b, p, d)
	started := make(chan Result, 2)
	b.put(request{op: Op{Kind: Safe, Cause: CauseSafe}, done: started})
	b.put(request{look: true, done: started})
	go k.run()
	<-started
	<-started
	return b
}

// put reports whether the board's goroutine will see r.
func (b *Board) put(r request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.closed = r.stop
	b.inbox = append(b.inbox, r)
	b.nudge()
	return true
}

// nudge has the board's goroutine look for what there is to do.
func (b *Board) nudge() {
	select {
	case b.wake <- struct{}{}:
	default: // a token is waiting already
	}
}

func (b *Board) take() (request, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.inbox) == 0 {
		b.inbox = nil
		return request{}, false
	}
	r := b.inbox[0]
	b.inbox = b.inbox[1:]
	return r, true
}

// Do has op carried out and returns at once. Exactly one Result is sent to
// done, which must have room for it: the board does not wait for a reader.
// Operations start in the order of Do. A Set is answered when the edge was
// driven, a Pulse when the output is back, a Write when the bus answered or its
// time is over, a Safe when all of that has happened to everything.
func (b *Board) Do(op Op, done chan<- Result) {
	op.Bytes = slices.Clone(op.Bytes)
	r := request{op: op, done: done}
	if !b.put(r) {
		b.answer(r, Result{Err: ErrClosed})
	}
}

func (b *Board) answer(r request, res Result) {
	res.Op = r.op
	if r.done == nil {
		return
	}
	select {
	case r.done <- res:
	default:
		b.log.Error("an operation's result found no room", "target", r.op.Target, "cause", r.op.Cause)
	}
}

// Safe takes everything to its safe level, outputs before registers, and
// answers within 3 s: with ErrStuck if the board's goroutine did not. Outputs
// that moved are Changes with the given cause.
func (b *Board) Safe(cause string) Result {
	return b.ask(request{op: Op{Kind: Safe, Target: All, Cause: cause}, tell: true})
}

// ask waits for the answer to r, within safeBound.
func (b *Board) ask(r request) Result {
	done := make(chan Result, 1)
	r.done = done
	if !b.put(r) {
		return Result{Op: r.op, Err: ErrClosed}
	}
	late := time.NewTimer(safeBound)
	defer late.Stop()
	select {
	case res := <-done:
		return res
	case <-late.C:
		return Result{Op: r.op, Err: ErrStuck, Transient: true}
	}
}

// Levels answers the level of every output and level target, as the board knew it
// last. It never waits for the board's goroutine.
func (b *Board) Levels() map[string]Level {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.levels)
}

// Percents answers where every level target is that is known to be somewhere.
func (b *Board) Percents() map[string]Percent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.percents)
}

// AtSafe reports whether an output or level target is known to be at its safe
// level.
func (b *Board) AtSafe(target string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.safe[target]
}

// Inputs answers the state of every input, as the board knew it last. It never
// waits for the board's goroutine.
func (b *Board) Inputs() map[string]InputState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.inputs)
}

// Faults answers the targets and inputs that cannot be used now, sorted by name.
func (b *Board) Faults() []Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Fault
	for _, name := range slices.Sorted(maps.Keys(b.faults)) {
		all = append(all, b.faults[name])
	}
	return all
}

// Changes carries the moves that no Do asked for. It has room for 128; when it
// is full changes are lost and counted in the next one's Lost. It is never
// closed.
func (b *Board) Changes() <-chan Change { return b.changes }

// Ping is answered by the board's goroutine when its timer fires, after every
// lease that is due: nil means that leases are being kept. Otherwise the
// context's error, or ErrClosed.
func (b *Board) Ping(ctx context.Context) error {
	pong := make(chan struct{}, 1)
	if !b.put(request{ping: pong}) {
		return ErrClosed
	}
	select {
	case <-pong:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-b.gone:
		return ErrClosed
	}
}

// Close takes everything to its safe level, tries again what could not be taken
// there, and lets go of lines, buses and driver. It returns within 3 s, whatever
// the hardware does; its error names what was not brought to safety. Running
// pulses are cut, and operations that have no answer by then get ErrClosed. A
// second Close waits for the first and answers the same.
func (b *Board) Close() error {
	b.put(request{op: Op{Kind: Safe, Cause: CauseStop}, tell: true, stop: true})
	late := time.NewTimer(safeBound + time.Second/2) // the goroutine keeps the bound itself; this is for one that hangs
	defer late.Stop()
	select {
	case <-b.gone:
	case <-late.C:
		return ErrStuck
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left
}
