package board

import (
	"errors"
	"io"
	"slices"
	"time"
)

// retryEvery is how long a target that could not be made safe is left alone
// (design §7). At half of it a dead expander costs twice the bus time, at
// double it stays unsafe longer than a person needs to pull a plug.
const retryEvery = time.Second

// idle is how long the board's goroutine sleeps when nothing is due. Nothing
// depends on it.
const idle = time.Hour

func percentOf(on bool) Percent {
	if on {
		return Full
	}
	return 0
}

// keeper is the board's goroutine and all that only it may touch.
type keeper struct {
	b         *Board
	d         Driver
	outputs   []*output // the board's own lines first; of them and of the others those safe off first: an interlock is broken before it is made
	registers []*register
	inputs    []*input
	buses     []*bus
	returned  chan returned // one place for each bus: a worker never waits here
	ended     chan struct{} // likewise
	pings     []chan<- struct{}
	lost      int // changes that found no room since the last that did

	// Once Close has asked:
	stopping bool
	stopBy   time.Time
	settled  bool // every safe drive of the stop was attempted and has come back
}

func newKeeper(b *Board, p Profile, d Driver) *keeper {
	k := &keeper{b: b, d: d}
	for _, o := range p.Outputs {
		k.outputs = append(k.outputs, &output{spec: o, safe: percentOf(o.SafeOn)})
	}
	for _, w := range p.Levels {
		k.outputs = append(k.outputs, w.output())
	}
	for _, o := range k.outputs {
		b.levels[o.spec.Name] = Unknown
	}
	slices.SortStableFunc(k.outputs, func(x, y *output) int { return rank(p, x.spec) - rank(p, y.spec) })
	for _, r := range p.Registers {
		r.Registers = slices.Clone(r.Registers)
		k.registers = append(k.registers, &register{spec: r, bus: k.bus(r.Bus)})
	}
	for _, i := range p.Inputs {
		k.inputs = append(k.inputs, &input{spec: i})
		b.inputs[i.Name] = InputUnknown
	}
	k.returned = make(chan returned, len(k.buses))
	k.ended = make(chan struct{}, len(k.buses))
	return k
}

// rank is the order of safe drives. What is behind a bus that hangs comes last, or
// it would hold up the lines that can be had.
func rank(p Profile, o Output) int {
	r := 0
	if o.SafeOn {
		r++
	}
	if _, _, behind := p.OnExpander(o.Line); behind {
		r += 2
	}
	return r
}

// run is the board's goroutine. Everything that is due is done before anything
// that is asked for, so no stream of operations can hold up a lease.
func (k *keeper) run() {
	for _, u := range k.buses {
		go work(k.d, u.name, u.jobs, k.returned, k.ended)
	}
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for !k.finished(time.Now()) {
		timer.Reset(k.wait(time.Now()))
		select {
		case <-k.b.wake:
			for r, ok := k.b.take(); ok; r, ok = k.b.take() {
				k.due(time.Now())
				k.handle(r)
			}
		case r := <-k.returned:
			k.busReturned(r)
		case <-timer.C:
			k.due(time.Now())
			k.pong()
		}
		k.due(time.Now())
	}
	k.letGo()
	close(k.b.gone)
}

// due does what time asks for, and what the inputs have told.
func (k *keeper) due(now time.Time) {
	for _, in := range k.inputs {
		k.hear(in)
		if passed(in.look, now) {
			k.look(in)
		}
	}
	for _, o := range k.outputs {
		if passed(o.until, now) {
			k.expire(o)
		}
		if passed(o.retry, now) {
			k.retry(o)
		}
		if passed(o.check, now) {
			k.ask(o, now)
		}
	}
	for _, u := range k.buses {
		if u.running != nil && passed(u.deadline, now) {
			k.busTimedOut(u)
		}
	}
	for _, r := range k.registers {
		if passed(r.retry, now) {
			k.retrySafe(r, now)
		}
	}
}

// passed reports whether t is set and not after now.
func passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// wait is how long the board may sleep.
func (k *keeper) wait(now time.Time) time.Duration {
	next := now.Add(idle)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	for _, o := range k.outputs {
		sooner(o.until)
		sooner(o.retry)
		sooner(o.check)
	}
	for _, u := range k.buses {
		sooner(u.deadline)
	}
	for _, r := range k.registers {
		sooner(r.retry)
	}
	for _, in := range k.inputs {
		sooner(in.look)
	}
	sooner(k.stopBy)
	if len(k.pings) > 0 {
		next = now // by way of the timer: a pong says that the timer works
	}
	return max(0, next.Sub(now))
}

func (k *keeper) pong() {
	for _, p := range k.pings {
		p <- struct{}{}
	}
	k.pings = nil
}

func (k *keeper) handle(r request) {
	switch {
	case r.ping != nil:
		k.pings = append(k.pings, r.ping)
	case r.stop:
		k.stop(r)
	case r.disable != nil:
		k.disable(r)
	case r.look:
		for _, in := range k.inputs {
			k.look(in)
		}
		k.b.answer(r, Result{})
	case r.op.Kind == Safe && (r.op.Target == "" || r.op.Target == All):
		k.safeAll(r)
	default:
		k.handleTarget(r)
	}
}

func (k *keeper) handleTarget(r request) {
	if o := k.output(r.op.Target); o != nil {
		k.handleOutput(o, r)
		return
	}
	i := slices.IndexFunc(k.registers, func(x *register) bool { return x.spec.Name == r.op.Target })
	if i < 0 {
		k.b.answer(r, refuse(UnknownTarget, "no output, level or register is named %q", r.op.Target))
		return
	}
	k.handleRegister(k.registers[i], r)
}

func (k *keeper) output(name string) *output {
	for _, o := range k.outputs {
		if o.spec.Name == name {
			return o
		}
	}
	return nil
}

// safeAll takes everything to its safe level and answers r when the last
// register's bus has answered.
func (k *keeper) safeAll(r request) {
	g := &gather{pending: 1, then: func(res Result) { k.b.answer(r, res) }}
	if r.stop {
		g.then = func(Result) { k.settled = true }
	}
	for _, o := range k.outputs {
		by := o.by
		changed, err := k.toSafe(o, r.op.Cause)
		g.note(changed, err)
		if r.tell && (changed || err != nil) {
			k.tell(o, Change{Cause: r.op.Cause, By: by, Err: err})
		}
	}
	for _, x := range k.registers {
		if x.spec.Safe != nil {
			k.writeSafe(x, r.op.Cause, g)
		}
	}
	g.less()
}

// stop begins the end: whatever waits for a bus makes room for the safe writes.
func (k *keeper) stop(r request) {
	k.stopping, k.stopBy = true, time.Now().Add(safeBound)
	for _, u := range k.buses {
		k.failWaiting(u, ErrClosed)
	}
	k.safeAll(r)
}

// finished reports whether the board may be let go: all is safe, or time is up.
func (k *keeper) finished(now time.Time) bool {
	if !k.stopping {
		return false
	}
	safe := k.settled
	for _, o := range k.outputs {
		safe = safe && o.isSafe()
	}
	return safe || passed(k.stopBy, now)
}

// letGo gives everything back. A worker that sits in a transaction is left to
// end by itself when the kernel lets it.
func (k *keeper) letGo() {
	var left []error
	for _, o := range k.outputs {
		if !o.isSafe() {
			left = append(left, o.err)
		}
		closePin(o)
	}
	for _, in := range k.inputs {
		in.letGo()
	}
	free := 0
	for _, u := range k.buses {
		k.failWaiting(u, ErrClosed)
		if u.running == nil {
			free++
		} else if !u.stuck {
			u.running.finish(k, Result{Err: ErrClosed, Attempted: true})
		}
		close(u.jobs)
	}
	for range free {
		<-k.ended
	}
	for _, x := range k.registers {
		if x.spec.Safe != nil && x.err != nil {
			left = append(left, x.err)
		}
	}
	left = append(left, k.d.Close())
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	k.b.left = errors.Join(left...)
}

func closePin(o *output) {
	if c, ok := o.pin.(io.Closer); ok {
		// Nothing can be done about an error here: the line is at its level, and
		// a later request of it will say what is wrong.
		_ = c.Close()
	}
	o.pin = nil
}

// tell sends a Change of an output, or counts it as lost. Of c, cause and what
// belongs to it are filled in.
func (k *keeper) tell(o *output, c Change) {
	c.Target, c.Level, c.Safe, c.At, c.Lost = o.spec.Name, o.level, o.isSafe(), time.Now(), k.lost
	if o.pwm != nil && o.level != Unknown {
		now := o.now
		c.Percent = &now
	}
	if c.Err != nil {
		c.Cause = CauseTrip
	}
	select {
	case k.b.changes <- c:
		k.lost = 0
	default:
		k.lost++
	}
}

// show makes an output's level and fault visible, before anybody is told of it.
func (k *keeper) show(o *output) {
	k.b.mu.Lock()
	k.b.levels[o.spec.Name] = o.level
	k.b.safe[o.spec.Name] = o.isSafe()
	if delete(k.b.percents, o.spec.Name); o.pwm != nil && o.level != Unknown {
		k.b.percents[o.spec.Name] = o.now
	}
	k.b.mu.Unlock()
	k.showFault(o.spec.Name, false, o.err)
}

func (k *keeper) showFault(target string, input bool, err error) {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if err == nil {
		delete(k.b.faults, target)
		return
	}
	f, had := k.b.faults[target]
	if !had {
		f = Fault{Target: target, Input: input, Since: time.Now()}
	}
	f.Err = err
	k.b.faults[target] = f
}

// gather collects the outcomes of a safe that concerns many targets.
type gather struct {
	pending int // registers not yet answered, and one for the caller
	res     Result
	errs    []error
	then    func(Result)
}

func (g *gather) note(changed bool, err error) {
	g.res.Attempted = true
	g.res.Changed = g.res.Changed || changed
	if err != nil {
		g.errs = append(g.errs, err)
	}
}

func (g *gather) less() {
	if g.pending--; g.pending > 0 {
		return
	}
	g.res.Err = errors.Join(g.errs...)
	g.res.Transient = Transient(g.res.Err)
	g.then(g.res)
}
