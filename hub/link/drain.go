package link

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// DrainKind says what a drain is for. The numbers never leave the process.
type DrainKind uint8

// The kinds of drains.
const (
	Poll  DrainKind = 1 // no session for a while: the queue is looked at every 25 minutes
	Visit DrainKind = 2 // a session was left to reject what MQTT cannot
	First DrainKind = 3 // before a first SUBSCRIBE, which has the hub reject what is queued
)

// String gives the word shown by status.
func (k DrainKind) String() string {
	switch k {
	case Poll:
		return "poll"
	case Visit:
		return "settle visit"
	case First:
		return "first-subscribe drain"
	}
	return "no drain"
}

// patience is how long a drain goes on without any 200 or 204. A poll has
// nothing better to do (design: 2 min); before a first SUBSCRIBE a minute was
// granted; a visit has left a session that worked, on which an "off" may come
// any moment, so it gives up after half of one.
func (k DrainKind) patience() time.Duration {
	switch k {
	case Visit:
		return 30 * time.Second
	case First:
		return time.Minute
	}
	return 2 * time.Minute
}

const (
	// LockHorizon is how long after a delivery of a dead session, or after a GET
	// without an answer, its message may still be locked: the hub's 60 s (hub
	// document §3) and something for the ways there and back.
	LockHorizon = 65 * time.Second

	// looksEvery is the pause between GETs while locks may still lapse. Design:
	// 2 to 5 s.
	looksEvery = 3 * time.Second

	// LongestDrain ends a drain whose queue never gets empty: a session serves a
	// steady stream better.
	LongestDrain = 10 * time.Minute

	// Between tries that failed the pause is drawn between the first and a ceiling
	// that doubles to the longest, on top of what Retry-After asks for.
	firstDrainPause, longestDrainPause = time.Second, 15 * time.Second

	// settleTries is how many settlements in a row may fail before the drain gives
	// up: whoever lets GETs through and nothing else will not do so soon.
	settleTries = 5
)

// DrainInput is something that happened in a drain: [Took], [Settled], [Empty],
// [NoLuck] or [Tick].
type DrainInput interface{ drainInput() }

// Took says that a GET brought a message.
type Took struct{}

// Settled says that the message is settled, or kept for an abandon at the end.
type Settled struct {
	Err  error         // the settlement got no good answer: the message may come again
	Wait time.Duration // Retry-After; 0: none
}

// Empty says that a GET was answered by 204.
type Empty struct{ AllSeen bool } // and everything that dead sessions delivered has been seen and settled

// NoLuck says that a GET failed.
type NoLuck struct {
	Err      error
	Answered bool          // the hub answered, with a status that is no message
	NotSent  bool          // it certainly never reached the hub
	Final    bool          // trying again makes no sense, such as after a 401
	Wait     time.Duration // Retry-After; 0: none
}

func (Took) drainInput()    {}
func (Settled) drainInput() {}
func (Empty) drainInput()   {}
func (NoLuck) drainInput()  {}
func (Tick) drainInput()    {}

// DrainDo is what a drain wants next.
type DrainDo uint8

// The wants.
const (
	Nothing DrainDo = 0 // wait for an input, or for Next
	Get     DrainDo = 1 // receive one message; answer Took, Empty or NoLuck
	End     DrainDo = 2 // abandon what failed, close the connection, tell the machine
)

// Drain is one visit to the queue over HTTPS, as a pure machine: GET until it is
// empty, and again every few seconds while a lock of a dead session may still
// hide something. It belongs to one goroutine; [NewDrain].
type Drain struct {
	kind     DrainKind
	jitter   *rand.Rand
	opened   time.Time
	heard    time.Time     // the last 200 or 204, or the opening
	horizon  time.Time     // until when locks may hide messages
	due      time.Time     // the next GET; zero: one is out, or a message is in hand
	ceiling  time.Duration // of the pause after a failure; 0: there was none of late
	failed   int           // settlements in a row
	wait     time.Duration // the last Retry-After, and …
	asked    time.Time     // … when it came
	answered bool
	ended    bool
	err      error
}

// NewDrain opens a drain at now. horizon is until when messages may be locked by
// deliveries of a dead session; it may have passed. seed decides its pauses.
func NewDrain(seed uint64, kind DrainKind, horizon, now time.Time) *Drain {
	const stream = 0x647261696e // "drain"; any constant will do
	return &Drain{kind: kind, jitter: rand.New(rand.NewPCG(seed, stream)), opened: now, heard: now, horizon: horizon}
}

// Step tells the drain what happened at now. The first Tick asks for the first GET.
func (d *Drain) Step(in DrainInput, now time.Time) DrainDo {
	if d.ended {
		return Nothing
	}
	switch in := in.(type) {
	case Took:
		d.heard, d.answered = now, true
		return Nothing
	case Settled:
		return d.settled(in, now)
	case Empty:
		d.heard, d.answered, d.ceiling, d.err = now, true, 0, nil
		if in.AllSeen || !now.Before(d.horizon) {
			return d.end(nil)
		}
		return d.again(now.Add(looksEvery), now)
	case NoLuck:
		d.err = in.Err
		if !in.Answered && !in.NotSent {
			d.hide(now) // it may have locked a message whose answer was lost
		}
		next := d.pause(in.Wait, now)
		if in.Final || next.Sub(d.heard) > d.kind.patience() {
			return d.end(in.Err)
		}
		return d.again(next, now)
	case Tick:
		if d.due.IsZero() && now.Equal(d.opened) || !d.due.IsZero() && !now.Before(d.due) {
			d.due = time.Time{}
			return Get
		}
	}
	return Nothing
}

func (d *Drain) settled(in Settled, now time.Time) DrainDo {
	if d.err = in.Err; in.Err == nil {
		d.ceiling, d.failed = 0, 0
		return d.again(now, now)
	}
	d.hide(now)
	if d.failed++; d.failed >= settleTries {
		d.pause(in.Wait, now)
		return d.end(in.Err)
	}
	return d.again(d.pause(in.Wait, now), now)
}

// again has the next GET made at next, if that is not too late.
func (d *Drain) again(next, now time.Time) DrainDo {
	if next.Sub(d.opened) >= LongestDrain {
		if d.err == nil {
			d.err = fmt.Errorf("the queue was not empty after %v", LongestDrain)
		}
		return d.end(d.err)
	}
	if !next.After(now) {
		return Get
	}
	d.due = next
	return Nothing
}

// pause is when the next try is due after one that failed, and the hub asked for
// wait.
func (d *Drain) pause(wait time.Duration, now time.Time) time.Time {
	d.ceiling = min(max(2*d.ceiling, 2*firstDrainPause), longestDrainPause)
	d.wait, d.asked = wait, now
	return now.Add(wait + firstDrainPause + time.Duration(d.jitter.Int64N(int64(d.ceiling-firstDrainPause))))
}

// hide notes that a message may be locked out of sight from now on.
func (d *Drain) hide(now time.Time) { d.horizon = later(d.horizon, now.Add(LockHorizon)) }

func (d *Drain) end(err error) DrainDo {
	d.ended, d.err, d.due = true, err, time.Time{}
	return End
}

// Next is when a [Tick] is due; zero: an answer is awaited, or it is over.
func (d *Drain) Next() time.Time { return d.due }

// Result is what the machine is told at now, when the drain has ended.
func (d *Drain) Result(now time.Time) (answered bool, wait time.Duration, err error) {
	if !d.asked.IsZero() {
		wait = max(0, d.asked.Add(d.wait).Sub(now))
	}
	return d.answered, wait, d.err
}

// Stuck reports whether it ended because one settlement after the other failed.
func (d *Drain) Stuck() bool { return d.failed >= settleTries }

// Kind is what the drain is for.
func (d *Drain) Kind() DrainKind { return d.kind }
