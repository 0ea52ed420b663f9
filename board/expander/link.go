package expander

import (
	"sync/atomic"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"

	"actuatord/board"
)

const (
	// wait is how long one call may hold its caller, which keeps the leases of
	// all outputs. The longest sequence, the set-up of an MCP23017, is 17
	// transfers, 6.5 ms at 100 kHz and some 60 on a bus that others fill; an adapter
	// gives a dead bus up after 200 ms (board/linux), and that answer is worth
	// having. Half of it would time out where there is an answer, double would
	// make every lease that much later.
	wait = 250 * time.Millisecond

	// allowance is what a bus's failed calls may cost their caller in a period;
	// one that began within it may take its whole wait. A device that stretches
	// its clock fails after some 30 ms: three such tries. Half would stop trying
	// after two, double would make leases later for nothing.
	allowance = 100 * time.Millisecond

	// period is a little less than the second after which the board tries a line
	// again: each try finds a new allowance.
	period = 900 * time.Millisecond
)

// device is a chip as its bus's goroutine sees it.
type device interface{ carryOut(w wire, j *job) error }

// job is one thing to be done with one line. What the goroutine of its bus may
// read of it does not change, but for givenUp.
type job struct {
	device        device
	address       uint16
	line          uint
	high          bool      // the level on the wire
	duty          gpio.Duty // of a PCA9685's channel
	check         bool      // look only
	target, cause string
	givenUp       atomic.Bool // nobody waits any more: no line may leave its safe level by it
	done          chan error  // room for one
}

// twice tries a check once more if the bus failed it, and anything else once: a look
// harms nothing, and the answer to a failed one is that a machine is stopped.
func (j *job) twice(try func() error) error {
	err := try()
	if err == nil || !j.check || board.BusFaultOf(err) == board.Mismatch || j.givenUp.Load() {
		return err
	}
	return try()
}

// link is one bus. All but its goroutine, work, belongs to the caller of do.
type link struct {
	name    string
	driver  board.Driver
	wait    time.Duration // how long a call waits; a test in real time, on a machine that may stall, has more
	jobs    chan *job     // nil: the goroutine was not started yet; room for one
	ended   chan struct{} // closed when it has ended
	running *job          // was given up and has not come back
	closed  bool

	since time.Time // when the period began, of which
	spent time.Duration
	err   error // the last fault in it
}

func (l *link) fault(j *job, kind board.BusFault) error {
	return &board.BusError{Bus: l.name, Address: j.address, Fault: kind}
}

// do has j done, or answers why not, in a bounded time.
func (l *link) do(j *job) error {
	begin := time.Now()
	if l.closed {
		return board.ErrClosed
	}
	if l.running != nil {
		select {
		case <-l.running.done:
			l.running = nil
		default:
			return l.fault(j, board.BusStuck)
		}
	}
	if begin.Sub(l.since) >= period {
		l.since, l.spent = begin, 0
	}
	if l.spent >= allowance {
		return l.err
	}
	err := l.handOver(j)
	if err == nil {
		return nil
	}
	l.spent, l.err = l.spent+time.Since(begin), err
	return err
}

func (l *link) handOver(j *job) error {
	if l.jobs == nil {
		l.jobs, l.ended = make(chan *job, 1), make(chan struct{})
		go work(l.driver, l.name, l.jobs, l.ended)
	}
	j.done = make(chan error, 1)
	l.jobs <- j // there is room: nothing runs
	late := time.NewTimer(l.wait)
	defer late.Stop()
	select {
	case err := <-j.done:
		return err
	case <-late.C:
		j.givenUp.Store(true)
		l.running = j
		return l.fault(j, board.BusTimeout)
	}
}

// close ends the goroutine; one that sits in a transfer ends when that does.
func (l *link) close() {
	if l.closed || l.jobs == nil {
		l.closed = true
		return
	}
	l.closed = true
	close(l.jobs)
	if l.running == nil {
		<-l.ended
	}
}

// work is the goroutine of one bus. It ends when jobs is closed.
func work(d board.Driver, name string, jobs <-chan *job, ended chan<- struct{}) {
	var open i2c.BusCloser
	shut := func() {
		if open != nil {
			_ = open.Close() // nothing hangs on it: the next job opens the bus anew
			open = nil
		}
	}
	for j := range jobs {
		var err error
		if open == nil {
			open, err = d.Bus(name)
		}
		if err != nil {
			open = nil
		} else {
			err = j.device.carryOut(wire{bus: open, name: name, job: j}, j)
		}
		if f := board.BusFaultOf(err); err != nil && f != board.NACK && f != board.Mismatch {
			shut() // its adapter may have gone and come back
		}
		j.done <- err
	}
	shut()
	close(ended)
}

// wire is a bus as one job sees it.
type wire struct {
	bus  i2c.Bus
	name string
	job  *job
}

func (w wire) tx(out, in []byte) error {
	if c, ok := w.bus.(board.Caused); ok {
		c.Because(w.job.target, w.job.cause)
	}
	return w.bus.Tx(w.job.address, out, in)
}

func (w wire) fault(kind board.BusFault, err error) error {
	return &board.BusError{Bus: w.name, Address: w.job.address, Fault: kind, Err: err}
}

func (w wire) read(register byte) (byte, error) {
	var in [1]byte
	err := w.tx([]byte{register}, in[:])
	return in[0], err
}

func (w wire) write(register, value byte) error { return w.tx([]byte{register, value}, nil) }
