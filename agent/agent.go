package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"actuatord/agent/clock"
	"actuatord/agent/config"
	"actuatord/board"
	"actuatord/handlers"
	"actuatord/hub"
	"actuatord/hub/https"
	"actuatord/hub/link"
	"actuatord/hub/mqtt"
	"actuatord/persist"
	"actuatord/systemd"
)

const (
	// queueBound is how many commands wait in memory: the hub's own 50 for a
	// device, and as many local ones and leftovers of a dead session as will
	// ever be. Behind it nothing is taken from the session, whose own queue is
	// bounded too; what does not fit stays on the hub.
	queueBound = 64

	// tokenLife is how long a SAS token is good for. An hour is what every
	// Microsoft SDK uses: short enough for a stolen one, long enough that
	// renewal, which costs a new connection, is rare.
	tokenLife = time.Hour

	// carefulFor is the uptime after which an earlier unclean stop is no longer
	// held against the commands of this run (design §5, crash loops).
	carefulFor = time.Hour
)

// Options is what an agent is made of. All fields but Notify, Edge and Control
// are needed.
type Options struct {
	Config   config.Config
	Identity hub.ConnectionString
	Board    *board.Board // its outputs are at their safe levels already
	Version  string
	Log      *slog.Logger

	// Open opens the journal. A [*persist.StorageError] may pass and is tried
	// again; any other error needs a person, and ends the agent.
	Open func(ctx context.Context, now time.Time) (*persist.Journal, persist.Opened, error)

	// What reaches the hub. All run outside the loop and may take as long as ctx
	// lets them; at is the agent's time, which judges certificates.
	Connect func(ctx context.Context, r link.Rung, generation uint64, id hub.ConnectionString, at func() time.Time, password string) (*mqtt.Session, error)
	Probe   func(ctx context.Context, r link.Rung, id hub.ConnectionString, at func() time.Time) error
	REST    func(id hub.ConnectionString, at func() time.Time) *https.Client

	// Time asks the hub for the time (https.Time); nil: it is not asked.
	Time func(ctx context.Context, id hub.ConnectionString, at func() time.Time, lax bool) (date, arrived time.Time, err error)

	// CheckKey asks the hub whether it takes a token (https.CheckKey); nil: it is not
	// asked before a new connection string is taken up.
	CheckKey func(ctx context.Context, id hub.ConnectionString, at func() time.Time, token string) error

	// Kernel answers the kernel's time, and whether it counts it as synchronised.
	Kernel func() (wall time.Time, synchronised bool)
	Built  time.Time // when the program was built: no earlier time is believed

	Reload <-chan Reload // new credentials; nil: never

	Control <-chan Request    // what people ask at the socket; nil: nobody does
	Notify  *systemd.Notifier // nil: not run by systemd

	// Edge, where a test sets it, is called at every point that a crash may
	// separate from the next, with the point's name.
	Edge func(string)
}

// Reload is a connection string to be taken up while running.
type Reload struct {
	Identity hub.ConnectionString
	Done     chan<- error // has room for one; gets exactly one
}

// unknown wraps what the journal answered to a read or a write: nobody can say
// now what is on disk, so the loop ends, the outputs go safe, and only a new
// process, reading what is really there, may go on.
func unknown(err error) error {
	return fmt.Errorf("the journal's state on disk is unknown; outputs are safe, start again: %w", err)
}

// Agent is the loop and everything it owns. Nothing in it is shared: other
// goroutines send it events and hold nothing of its.
type Agent struct {
	o       Options
	log     *slog.Logger
	table   *handlers.Table
	journal *persist.Journal
	boot    time.Time
	opened  persist.Opened
	careful bool // write Started for every plan

	locksLeft bool // by the last run, at the hub
	events    chan func() error
	acted     chan board.Result
	stopping  bool
	away      map[string]departure // outputs that a command left away from their safe level
	disabled  []persist.Disabled   // as on disk, or as it is to be taken

	concluded uint64 // commands that came to an outcome …
	before    uint64 // … and what was written before the first

	line    line    // commands, in order
	pending pending // what waits for the next commit
	uplink  uplink
	outbox  outbox
	alarms  alarms
	pulse   heartbeat

	clock       clock.Clock
	timekeeping timekeeping
	facts       persist.LinkFacts // as they will be with the next commit
	upkeep      time.Time         // the next round of pruning and ageing
}

// New makes an agent that has not started.
func New(o Options) *Agent {
	a := &Agent{
		o: o, log: o.Log, table: handlers.New(o.Config.Profile, o.Config.Default.Log),
		events: make(chan func() error), acted: make(chan board.Result, 4), away: map[string]departure{},
	}
	if a.o.Edge == nil {
		a.o.Edge = func(string) {}
	}
	return a
}

// Run is the agent's life: it opens the journal, resolves what an earlier run
// left behind, and carries out commands until ctx ends. The outputs are at
// their safe levels when it returns; they stay the caller's to close. It
// returns nil after a clean stop; after an error the process must end.
func (a *Agent) Run(ctx context.Context) error {
	a.boot = time.Now()
	wall, synchronised := a.o.Kernel()
	a.clock, _ = clock.New(a.boot, wall, a.o.Built).Kernel(a.boot, wall, synchronised)
	a.uplink.identity = a.o.Identity
	a.uplink.ctx, a.uplink.cancel = context.WithCancel(context.Background())
	defer a.uplink.cancel()
	a.startHeartbeat(a.boot)
	a.readDisabled()
	err := a.openJournal(ctx)
	if err == nil && a.journal != nil {
		err = a.live(ctx)
	}
	if !a.stopping {
		err = errors.Join(err, a.safe("safe"))
	}
	if a.journal != nil {
		err = errors.Join(err, a.journal.Close())
	}
	return err
}

func (a *Agent) live(ctx context.Context) error {
	defer a.uplink.close()
	h := a.o.Config.Hub
	every, rush := visits(h.SettleVisits)
	a.uplink.machine = link.New(uint64(a.boot.UnixNano()), link.Policy{FallbackAfter: h.FallbackAfter, PollEvery: h.PollEvery, VisitEvery: every, Rush: rush})
	for {
		now := time.Now()
		for _, part := range []func() error{
			func() error { return a.release(now) }, func() error { return a.keepTime(now) }, func() error { return a.begin(now) },
			a.advance, a.send, a.tellUnsettled, a.work,
		} {
			if err := part(); err != nil {
				return err
			}
		}
		if done, err := a.wait(ctx); done || err != nil {
			return err
		}
	}
}

// wait takes the next event and lets the part of the loop it belongs to have
// it. A case that must not happen now has a nil channel.
func (a *Agent) wait(ctx context.Context) (stopped bool, err error) {
	timer := time.NewTimer(time.Until(a.due()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true, a.stop()
	case d := <-a.deliveries():
		a.receive(d)
		return false, nil
	case r := <-a.acted:
		return false, a.boardAnswered(r)
	case c := <-a.o.Board.Changes():
		return false, a.moved(c)
	case fn := <-a.events:
		return false, fn()
	case <-a.uplink.lost():
		return false, a.sessionEnded()
	case <-a.uplink.settled():
		return false, nil // the next turn tells the link machine
	case r := <-a.o.Control:
		return false, a.answer(r)
	case r := <-a.o.Reload:
		return false, a.reload(r)
	case now := <-timer.C:
		return false, a.tick(now)
	}
}

// due is the earliest time at which something has to happen by itself.
func (a *Agent) due() time.Time {
	at, now := a.upkeep, time.Now()
	for _, t := range []time.Time{a.line.retryAt, a.pending.due(), a.uplink.machine.Next(), a.drainDue(now), a.timekeeping.sync, a.releaseAt(now), a.outbox.retryAt, a.outbox.backAt, a.alarms.look, a.pulse.at} {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	return at
}

func (a *Agent) tick(now time.Time) error {
	if t := a.line.retryAt; !t.IsZero() && !now.Before(t) {
		a.line.retryAt = time.Time{}
		if err := a.tryAgain(); err != nil {
			return err
		}
	}
	if t := a.pending.due(); !t.IsZero() && !now.Before(t) {
		if err := a.commit(); err != nil {
			return err
		}
	}
	if t := a.uplink.machine.Next(); !t.IsZero() && !now.Before(t) {
		if err := a.perform(a.uplink.machine.Step(link.Tick{}, now)); err != nil {
			return err
		}
	}
	if t := a.drainDue(now); !t.IsZero() && !now.Before(t) && !a.uplink.drain.ended {
		a.drainStep(link.Tick{}, now)
	}
	if t := a.outbox.retryAt; !t.IsZero() && !now.Before(t) {
		a.outbox.retryAt = time.Time{}
	}
	if t := a.outbox.backAt; !t.IsZero() && !now.Before(t) {
		a.outbox.backAt, a.outbox.more = time.Time{}, true
	}
	a.watchFaults(now)
	a.beat(now)
	if !now.Before(a.upkeep) {
		return a.keepUp(now)
	}
	return nil
}

// keepUp is the round that comes soon after a start and then hourly: the careful
// time ends, doubts about history age, and a bounded step of pruning is done.
func (a *Agent) keepUp(now time.Time) error {
	a.upkeep = now.Add(time.Hour)
	if a.careful && now.Sub(a.boot) >= carefulFor {
		a.careful = false
	}
	wall, trusted := a.now(), a.clock.Trusted()
	if !trusted {
		return nil
	}
	if h, changed := a.aged(wall); changed {
		a.pending.batch.History(h)
		a.pending.urge(now)
	}
	forgotten, err := a.journal.Prune(wall, pruneStep)
	if err != nil {
		return unknown(err)
	}
	if forgotten == pruneStep {
		a.upkeep = now.Add(time.Minute) // there may be more
	}
	return nil
}

// pruneStep bounds one round of pruning. Each record may lie on a page of its
// own, so a step writes up to 128 KiB: some 30 ms on a card that manages 5 MB/s,
// which no actuation behind it notices. Once a minute it keeps up with a command
// every two seconds.
const pruneStep = 32

// post has the loop run fn in its own goroutine, and reports whether it took
// it. The caller may outlive the loop, so it gives up when ctx ends.
func (a *Agent) post(ctx context.Context, fn func() error) bool {
	select {
	case a.events <- fn:
		return true
	case <-ctx.Done():
		return false
	}
}

// stop ends a run in order: the command in hand finishes or is cut, the outputs
// go safe, what that means is written, and what is done is completed. It takes at
// most stopWithin, and leaveWithin for the hub. A stop is clean only if every
// output has reached its safe level.
func (a *Agent) stop() error {
	a.stopping = true
	a.notify(a.o.Notify.Stopping())
	by := time.Now().Add(stopWithin)
	unsafe := a.safe("safe") // cuts a pulse; the board then answers for it
	if a.line.awaited() && !errors.Is(unsafe, board.ErrStuck) {
		select {
		case r := <-a.acted:
			if err := a.boardAnswered(r); err != nil {
				return errors.Join(err, unsafe)
			}
		case <-time.After(time.Until(by)):
			a.log.Error("the board did not answer in time; the command in hand is left as started")
		}
	}
	for drained := false; !drained; {
		select {
		case c := <-a.o.Board.Changes():
			if err := a.moved(c); err != nil {
				return errors.Join(err, unsafe)
			}
		default:
			drained = true
		}
	}
	if unsafe == nil {
		a.pending.batch.Clean()
	}
	a.pending.urge(time.Now())
	if err := a.commit(); err != nil {
		return errors.Join(err, unsafe)
	}
	a.uplink.leave()
	return unsafe
}

// stopWithin and leaveWithin stay together below the 5 s that promise 5 gives a
// stop. The board bounds its own part to 3 s.
const stopWithin = 3500 * time.Millisecond

// safe drives every output safe; its error says that not every one is there.
func (a *Agent) safe(cause string) error {
	if r := a.o.Board.Safe(cause); !r.OK() {
		return fmt.Errorf("not every output is at its safe level: %w", errors.Join(r.Err, refused(r)))
	}
	return nil
}

func refused(r board.Result) error {
	if r.Refused == "" {
		return nil
	}
	return fmt.Errorf("%s: %s", r.Refused, r.Detail)
}

// notify notes that the service manager could not be told. The work goes on: it
// will judge by the watchdog.
func (a *Agent) notify(err error) {
	if err != nil {
		a.log.Warn("the service manager was not told", "error", err)
	}
}
