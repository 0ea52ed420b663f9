package board

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"periph.io/x/conn/v3/i2c"
)

// busTimeout is how long a register write may take, its read-back included. A
// write of 33 bytes at 100 kHz takes 3 ms, a clock-stretching device some tens;
// adapters give up by themselves after 0.1 to 1 s. Half of it would cut slow
// devices off, double would leave too little of the 5 s that stopping has.
const busTimeout = time.Second

// register is one register target. Only the board's goroutine touches it.
type register struct {
	spec  Register
	bus   *bus
	err   error     // why what it holds is unknown; nil otherwise
	retry time.Time // the next try at its safe bytes; zero: none is owed

	disabled string // why it is out of use; empty: it is not
}

// bus is a bus's place in the board's goroutine; work is its own goroutine.
type bus struct {
	name     string
	jobs     chan transfer // room for one: handed over only when nothing runs
	running  *job
	deadline time.Time // of running; zero once it is stuck
	stuck    bool      // running was answered as timed out and has not come back
	waiting  []*job
}

// job is one register write and who wants to know.
type job struct {
	reg  *register
	w    transfer
	op   request // of a Write
	safe *gather // of a safe write that somebody waits for
	last bool    // a safe write: owed until it succeeds
}

// transfer is all that a bus's goroutine gets to know.
type transfer struct {
	target, cause string
	address       uint16
	write         []byte // the register, then the bytes
	verify        bool
}

type returned struct {
	bus string
	err error
}

func (k *keeper) bus(name string) *bus {
	for _, u := range k.buses {
		if u.name == name {
			return u
		}
	}
	u := &bus{name: name, jobs: make(chan transfer, 1)}
	k.buses = append(k.buses, u)
	return u
}

func (k *keeper) handleRegister(x *register, r request) {
	spec := x.spec
	switch {
	case r.op.Kind == Safe && spec.Safe != nil:
		k.writeSafe(x, r.op.Cause, &gather{pending: 0, then: func(res Result) { k.b.answer(r, res) }})
	case r.op.Kind != Write:
		k.b.answer(r, refuse(UnknownAction, "%s is a register: it can be written", spec.Name))
	case len(r.op.Bytes) == 0 || len(r.op.Bytes) > MaxWrite:
		k.b.answer(r, refuse(OutOfRange, "%d bytes for %s; a write has 1 to %d", len(r.op.Bytes), spec.Name, MaxWrite))
	case spec.Registers != nil && !slices.Contains(spec.Registers, r.op.Register):
		k.b.answer(r, refuse(NotAllowed, "register %#02x of %s is not on its list", r.op.Register, spec.Name))
	case x.disabled != "" && !x.isSafe(r.op):
		k.b.answer(r, x.outOfUse())
	default:
		k.enqueue(&job{reg: x, op: r, w: x.transfer(r.op.Register, r.op.Bytes, r.op.Cause)})
	}
}

func (x *register) transfer(reg byte, b []byte, cause string) transfer {
	return transfer{
		target:  x.spec.Name,
		cause:   cause,
		address: x.spec.Address,
		write:   append([]byte{reg}, b...),
		verify:  x.spec.Verify,
	}
}

// retrySafe is one more attempt at safe bytes that are owed. It never queues: a
// command that has the bus now may settle the debt, and must not be undone by it.
func (k *keeper) retrySafe(x *register, now time.Time) {
	if x.bus.running != nil {
		x.retry = now.Add(retryEvery)
		return
	}
	k.writeSafe(x, CauseSafe, nil)
}

// writeSafe has the safe bytes written, now and until it succeeds.
func (k *keeper) writeSafe(x *register, cause string, g *gather) {
	if g != nil {
		g.pending++
	}
	x.retry = time.Time{}
	k.enqueue(&job{reg: x, safe: g, last: true, w: x.transfer(x.spec.Safe.Register, x.spec.Safe.Bytes, cause)})
}

func (k *keeper) enqueue(j *job) {
	u := j.reg.bus
	if u.stuck {
		j.finish(k, Result{Err: &BusError{Bus: u.name, Address: j.w.address, Fault: BusStuck}})
		return
	}
	u.waiting = append(u.waiting, j)
	k.next(u)
}

// next hands a bus its next transfer, if it is free.
func (k *keeper) next(u *bus) {
	for u.running == nil && len(u.waiting) > 0 {
		j := u.waiting[0]
		u.waiting = u.waiting[1:]
		now := time.Now()
		if passed(j.op.op.Deadline, now) {
			j.finish(k, refuse(Expired, "its time had passed when bus %s was free for %s", u.name, j.w.target))
			continue
		}
		u.running, u.deadline = j, now.Add(busTimeout)
		u.jobs <- j.w // there is room: nothing runs
	}
}

func (k *keeper) busReturned(r returned) {
	u := k.bus(r.bus)
	j := u.running
	u.running, u.deadline = nil, time.Time{}
	if u.stuck {
		u.stuck = false
		k.b.log.Warn("a bus transaction came back after it was given up", "bus", u.name, "target", j.w.target, "err", r.err)
	} else {
		j.finish(k, Result{Attempted: true, Changed: r.err == nil, Err: r.err})
	}
	k.next(u)
}

// busTimedOut gives the running transaction up. It cannot be called back: until
// it returns by itself the bus is closed to everybody.
func (k *keeper) busTimedOut(u *bus) {
	u.stuck, u.deadline = true, time.Time{}
	u.running.finish(k, Result{Attempted: true, Err: &BusError{Bus: u.name, Address: u.running.w.address, Fault: BusTimeout}})
	k.failWaiting(u, nil)
}

// failWaiting answers everything that waits for a bus. A nil err stands for the
// bus being stuck.
func (k *keeper) failWaiting(u *bus, err error) {
	waiting := u.waiting
	u.waiting = nil
	for _, j := range waiting {
		why := err
		if why == nil {
			why = &BusError{Bus: u.name, Address: j.w.address, Fault: BusStuck}
		}
		j.finish(k, Result{Err: why})
	}
}

// finish answers a job. What the register holds is unknown after an attempt
// that failed; safe bytes that were not written are owed until they are, or
// until a later command wrote something else.
func (j *job) finish(k *keeper, res Result) {
	x := j.reg
	res.Transient = Transient(res.Err)
	switch {
	case res.Refused != "":
	case res.Err == nil:
		x.err, x.retry = nil, time.Time{}
	case res.Attempted || j.last:
		x.err = res.Err
	}
	if j.last && res.Err != nil {
		x.retry = time.Now().Add(retryEvery)
	}
	k.showFault(x.spec.Name, false, x.err)
	if !j.last {
		k.b.answer(j.op, res)
	} else if j.safe != nil {
		j.safe.note(res.Changed, res.Err)
		j.safe.less()
	}
}

// work is the goroutine of one bus: the only one that may hang. It ends when in
// is closed.
func work(d Driver, name string, in <-chan transfer, out chan<- returned, ended chan<- struct{}) {
	var open i2c.BusCloser
	shut := func() {
		if open != nil {
			_ = open.Close() // nothing hangs on it: the next transfer opens the bus anew
			open = nil
		}
	}
	for t := range in {
		var err error
		if open == nil {
			open, err = d.Bus(name)
		}
		if err != nil {
			open = nil
		} else {
			err = t.on(open, name)
		}
		if f := BusFaultOf(err); err != nil && f != NACK && f != Mismatch {
			shut() // its adapter may have gone and come back
		}
		out <- returned{bus: name, err: err}
	}
	shut()
	ended <- struct{}{}
}

// on carries a transfer out.
func (t transfer) on(b i2c.Bus, name string) error {
	because := func() {
		if c, ok := b.(Caused); ok {
			c.Because(t.target, t.cause)
		}
	}
	because()
	if err := b.Tx(t.address, t.write, nil); err != nil || !t.verify {
		return err
	}
	got := make([]byte, len(t.write)-1)
	because()
	if err := b.Tx(t.address, t.write[:1], got); err != nil {
		return err
	}
	if !bytes.Equal(got, t.write[1:]) {
		return &BusError{Bus: name, Address: t.address, Fault: Mismatch, Err: fmt.Errorf("wrote %x, read %x", t.write[1:], got)}
	}
	return nil
}
