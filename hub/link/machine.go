package link

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"actuatord/hub"
)

// phase is where the machine is; see the drawing in the package's doc.
type phase uint8

const (
	idle       phase = 0
	waiting    phase = 1
	probing    phase = 2
	connecting phase = 3
	up         phase = 4
	leaving    phase = 5
	draining   phase = 6
)

// String gives the word shown by status.
func (p phase) String() string {
	return [...]string{"idle", "waiting", "probing", "connecting", "up", "leaving", "draining"}[p]
}

// then is what follows after leaving.
type then uint8

const (
	thenWait    then = 1
	thenConnect then = 2
	thenVisit   then = 3
	thenFirst   then = 4
)

// Policy is the part of the configuration that the machine goes by.
type Policy struct {
	FallbackAfter time.Duration // without a stable session for so long, polls begin
	PollEvery     time.Duration // and are so far apart
	VisitEvery    time.Duration // settle visits are at least so far apart, but for
	Rush          int           // so many urgent ones: see visiting
}

// Machine is the state of the link. It belongs to one goroutine. The zero value
// is not usable: [New].
type Machine struct {
	policy Policy
	jitter *rand.Rand

	phase      phase
	since      time.Time // of phase
	generation uint64    // of the last action that has one
	asked      time.Time // when the last Connect was asked for
	due        time.Time // waiting: the next attempt; else: when to give up

	rung  Rung      // of the present or next attempt
	good  Rung      // that carried the last stable session
	other bool      // this round's second rung is due or under way
	look  time.Time // when 8883 was last tried

	then       then // leaving
	drain      DrainKind
	unsettled  int // up
	owed       int // up
	subscribed bool
	renew80    time.Time
	renew95    time.Time
	because    string // why at renew95, where it is not the token's age

	failures int // since the last stable session
	early    int // sessions in a row that ended early
	err      error
	class    hub.Class
	cause    string

	schedule
}

// New makes a machine that waits for [Start]. seed decides all of its random
// waits: give each device and each run another one.
func New(seed uint64, p Policy) *Machine {
	const stream = 0x6c696e6b // "link"; any constant will do
	m := &Machine{policy: p, jitter: rand.New(rand.NewPCG(seed, stream)), rung: RungMQTT, good: RungMQTT}
	m.spread = m.draw(pollSpread)
	return m
}

// Step tells the machine that in happened at now and answers what to do, in
// order. now must not run backwards; a time from time.Now does not, since its
// monotonic part is compared. An input that means nothing in the present state
// changes nothing.
func (m *Machine) Step(in Input, now time.Time) []Action {
	m.settle(now)
	switch in := in.(type) {
	case Start:
		if m.phase == idle {
			m.remember(in.Past, now)
			if m.restless && m.held(now) && !now.Before(m.pollFloor) { // else a drain comes first anyway
				return m.open(Poll, now)
			}
			return m.attempt(now)
		}
	case ClockSet:
		m.remind(in.Wall, now)
	case Credentials:
		return m.credentials(now)
	case Reached:
		return m.reached(in, now)
	case Connected:
		return m.connected(in, now)
	case Subscribed:
		m.suback(in, now)
	case Refused:
		return m.ended(in.Generation, in.Err, now)
	case Lost:
		return m.ended(in.Generation, in.Err, now)
	case Drained:
		return m.drained(in, now)
	case Unsettled:
		m.unsettled, m.owed = in.N, in.Owed
		return m.depart(now)
	case Renew:
		return m.renew(in.Why, now)
	case Resign:
		return m.resign(now)
	case Tick:
		return m.tick(now)
	}
	return nil
}

// settle takes note that the present session is stable.
func (m *Machine) settle(now time.Time) {
	if m.phase == up && m.subscribed && now.Sub(m.since) >= stableAfter {
		m.forgive()
		m.good, m.unstable = m.rung, time.Time{}
	}
}

// forgive forgets past failures: the session stood until we left it, or is stable.
func (m *Machine) forgive() {
	m.failures, m.early = 0, 0
	m.err, m.class, m.cause = nil, 0, ""
}

func (m *Machine) enter(p phase, now time.Time) {
	m.phase, m.since, m.due, m.blocked = p, now, time.Time{}, false
}

// attempt makes the next attempt at a session, or what must come before it.
func (m *Machine) attempt(now time.Time) []Action {
	switch {
	case m.held(now):
		return m.connect(false, now)
	case m.firstBlocked():
		// The next first-subscribe drain is the next poll.
		if m.err == nil {
			m.note(&hub.Error{Class: hub.RetrySlowly, Cause: hub.CauseSubscription, Err: fmt.Errorf("the queue was drained %d times for a first SUBSCRIBE that did not come about: the next time is the next poll", m.firsts)})
		}
		m.enter(waiting, now)
		m.blocked, m.blockedAt = true, now
		m.due = m.pollDue()
		return nil
	}
	m.enter(probing, now)
	m.generation++
	m.due = now.Add(connectLimit)
	return []Action{Probe{Generation: m.generation, Rung: m.rung}}
}

func (m *Machine) connect(blind bool, now time.Time) []Action {
	m.enter(connecting, now)
	m.generation++
	m.asked = now
	m.due = now.Add(connectLimit)
	within := fullTry
	if m.rung == RungMQTT {
		m.look = now
		if m.good == RungWebSocket && !m.other {
			within = briefTry
		}
	}
	return []Action{Connect{Generation: m.generation, Rung: m.rung, Within: within, Blind: blind}}
}

func (m *Machine) reached(in Reached, now time.Time) []Action {
	if in.Generation != m.generation || m.phase != probing {
		return nil
	}
	m.firsts++
	return m.open(First, now)
}

func (m *Machine) connected(in Connected, now time.Time) []Action {
	switch {
	case in.Generation == m.generation && m.phase == connecting:
		m.enter(up, now)
		m.renew80, m.renew95, m.because, m.unsettled, m.owed, m.subscribed = in.Renew80, in.Renew95, "", 0, 0, false
		var do []Action
		if !in.Stored && (m.subacked || !m.forgotten && !m.past.LastSuback.IsZero()) {
			// The hub has forgotten our subscription, and will reject what is queued
			// once there is a new one. From this CONNECT on it has a session without.
			do = []Action{Forget{}}
			known := m.subacked
			if m.subacked, m.forgotten = false, true; known && !m.drainedFor {
				then := thenFirst
				if m.firstBlocked() {
					then = thenConnect // by way of the next poll
				} else {
					m.firsts++
				}
				return append(do, m.leave("the hub has forgotten our subscription: the queue is drained before a new one", then, now)...)
			}
		}
		return append(append(do, Subscribe{Generation: m.generation}), m.depart(now)...)
	case in.Generation == m.generation && m.phase == up:
		return nil
	}
	// It came after we had given it up. Nobody may keep a session that the
	// machine does not know of.
	return []Action{Disconnect{Generation: in.Generation, Why: "connected too late"}}
}

func (m *Machine) suback(in Subscribed, now time.Time) {
	if in.Generation == m.generation && m.phase == up {
		m.subscribed, m.subacked, m.subackAt, m.forgotten = true, true, now, false
		m.firsts, m.refused, m.drainedFor, m.restless = 0, false, false, false
	}
}

// ended handles the end of the present connection, or of the attempt at it.
func (m *Machine) ended(generation uint64, err error, now time.Time) []Action {
	if generation != m.generation {
		return nil
	}
	switch m.phase {
	case probing:
		m.note(err)
		m.retry(now)
	case connecting:
		m.note(err)
		m.refused = m.refused || saidNo(m.cause)
		m.drainedFor = false
		m.retry(now)
	case up:
		m.note(err)
		m.lived(now)
		m.away(now)
		m.wait(now)
	case leaving:
		return m.left(now)
	}
	return nil
}

// away notes that there is no session any more.
func (m *Machine) away(now time.Time) {
	m.subscribed, m.drainedFor = false, false
	m.unsteady(now)
	// A natural reconnect is the moment to look whether 8883 has opened.
	if m.rung = m.good; m.rung == RungWebSocket && now.Sub(m.look) >= lookAgain {
		m.rung = RungMQTT
	}
	m.other = false
}

// depart leaves a session whose token is old, or for a settle visit.
func (m *Machine) depart(now time.Time) []Action {
	passed := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if m.phase != up {
		return nil
	}
	if m.owed > 0 && !now.Before(m.nextVisit()) {
		return m.leave("settle visit: deliveries are owed a reject, which MQTT cannot give", thenVisit, now)
	}
	if !passed(m.renew95) && (!passed(m.renew80) || m.unsettled > 0) {
		return nil
	}
	then := thenConnect
	if now.Sub(m.since) < earlyClose {
		// A token that is old as soon as it is made (a clock that jumped, a life
		// of seconds) must not become a loop without a wait.
		then = thenWait
		m.note(&hub.Error{Class: hub.RetrySoon, Cause: hub.CauseCredential, Err: errors.New("the token was old when the session was young: did the clock jump?")})
	} else {
		m.early = 0
	}
	return m.leave(cmp.Or(m.because, "renew token"), then, now)
}

func (m *Machine) leave(why string, next then, now time.Time) []Action {
	m.enter(leaving, now)
	m.then, m.due = next, now.Add(leaveLimit)
	return []Action{Disconnect{Generation: m.generation, Why: why}}
}

// left goes on after a connection that we ended is gone.
func (m *Machine) left(now time.Time) []Action {
	switch m.then {
	case thenVisit:
		m.subscribed = false
		m.unsteady(now)
		return m.open(Visit, now)
	case thenFirst:
		return m.open(First, now)
	case thenConnect:
		m.away(now)
		return m.attempt(now)
	}
	m.away(now)
	m.wait(now)
	return nil
}

func (m *Machine) tick(now time.Time) []Action {
	if m.phase == up {
		return m.depart(now)
	}
	if m.phase == waiting && !now.Before(m.pollDue()) {
		return m.open(Poll, now)
	}
	if m.due.IsZero() || now.Before(m.due) {
		return nil
	}
	switch m.phase {
	case waiting:
		return m.attempt(now)
	case probing, connecting:
		m.note(&hub.Error{Class: hub.RetrySoon, Cause: hub.CauseNetwork, Err: fmt.Errorf("no answer within %v", connectLimit)})
		return m.leave("no answer", thenWait, now)
	case leaving:
		return m.left(now)
	}
	return nil
}

// Next gives the time at which a [Tick] is due; zero: none is, until another
// input comes.
func (m *Machine) Next() time.Time {
	switch m.phase {
	case waiting:
		return earlier(m.due, m.pollDue())
	case up:
	default:
		return m.due
	}
	next := m.renew95
	if m.unsettled == 0 {
		next = earlier(next, m.renew80)
	}
	if m.owed > 0 {
		next = earlier(next, m.nextVisit())
	}
	// Until the session is stable a tick is due then, to say so.
	if m.subscribed && (m.failures > 0 || !m.unstable.IsZero()) {
		next = earlier(next, m.since.Add(stableAfter))
	}
	return next
}
