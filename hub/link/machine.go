package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"actuatord/hub"
)

// The waits. All are drawn evenly between a floor and a ceiling.
const (
	// Ordinary back-off: the ceiling doubles from 2 s to 5 min. SDKs cap
	// between 10 s and 100 s; they serve people who watch. A fleet of 10 000
	// behind a hub that accepts 100 connections a second needs minutes.
	floorSoon, firstSoon, ceilingSoon = time.Second, 2 * time.Second, 5 * time.Minute
	// The hub said no. Trying every few seconds would only count as an attack,
	// but a device that was enabled again or got its clock should be back
	// within minutes, not hours.
	floorSlow, ceilingSlow = time.Minute, 10 * time.Minute
	// Only a person can put it right. Still tried: the person may have done so
	// at the other end.
	floorWrong, ceilingWrong = 10 * time.Minute, 30 * time.Minute
)

// Times that tell a good session from a bad one; each is a judgement, not a
// measured value.
const (
	// stableAfter: a session this old clears the back-off. Shorter, and a hub
	// that accepts and drops each minute is hammered; longer, and an ordinary
	// drop after a bad hour is paid for with minutes of silence.
	stableAfter = 2 * time.Minute
	// A hub that takes a second connection with our id drops the first within
	// seconds; three sessions in a row that did not live for 30 s are the sign.
	earlyClose, earlyLimit = 30 * time.Second, 3
	// connectLimit is a second net under the transport's own time limit (a
	// minute); leaveLimit the same for closing (some seconds). After them the
	// connection is counted as gone.
	connectLimit = 2 * time.Minute
	leaveLimit   = 30 * time.Second
)

// phase is where the machine is; see the drawing in the package's doc.
type phase uint8

const (
	idle       phase = 0
	waiting    phase = 1
	connecting phase = 2
	up         phase = 3
	leaving    phase = 4
	stopped    phase = 5
)

// String gives the word shown by status.
func (p phase) String() string {
	return [...]string{"idle", "waiting", "connecting", "up", "leaving", "stopped"}[p]
}

// then is what follows after leaving.
type then uint8

const (
	thenWait    then = 1
	thenConnect then = 2
	thenStop    then = 3
)

// Machine is the state of the link. It belongs to one goroutine. The zero value
// is not usable: [New].
type Machine struct {
	jitter *rand.Rand

	phase      phase
	since      time.Time // of phase
	generation uint64    // of the last Connect
	asked      time.Time // when it was asked for
	due        time.Time // waiting: the next attempt; connecting, leaving: when to give up

	then      then // leaving
	unsettled int  // up
	renew80   time.Time
	renew95   time.Time

	failures int // since the last stable session
	early    int // sessions in a row that ended early
	err      error
	class    hub.Class
	cause    string
}

// New makes a machine that waits for [Start]. seed decides all of its random
// waits: give each device and each run another one.
func New(seed uint64) *Machine {
	const stream = 0x6c696e6b // "link"; any constant will do
	return &Machine{jitter: rand.New(rand.NewPCG(seed, stream))}
}

// Step tells the machine that in happened at now and answers what to do, in
// order. now must not run backwards; a time from time.Now does not, since its
// monotonic part is compared. An input that means nothing in the present state
// changes nothing.
func (m *Machine) Step(in Input, now time.Time) []Action {
	m.settle(now)
	switch in := in.(type) {
	case Start:
		return m.start(now)
	case Connected:
		return m.connected(in, now)
	case Refused:
		return m.ended(in.Generation, in.Err, now)
	case Lost:
		return m.ended(in.Generation, in.Err, now)
	case Unsettled:
		m.unsettled = in.N
		return m.renew(now)
	case Renew:
		if m.phase == up && now.Sub(m.since) >= earlyClose {
			// It stood until we left it, so what was wrong before is over, although
			// it may be too young to be called stable.
			m.failures, m.early = 0, 0
			m.err, m.class, m.cause = nil, 0, ""
			return m.leave(in.Why, thenConnect, now)
		}
	case Tick:
		return m.tick(now)
	case Stop:
		return m.stop(now)
	}
	return nil
}

// settle forgets past failures once the present session is stable.
func (m *Machine) settle(now time.Time) {
	if m.phase == up && now.Sub(m.since) >= stableAfter {
		m.failures, m.early = 0, 0
		m.err, m.class, m.cause = nil, 0, ""
	}
}

func (m *Machine) enter(p phase, now time.Time) {
	m.phase, m.since, m.due = p, now, time.Time{}
}

func (m *Machine) start(now time.Time) []Action {
	switch m.phase {
	case idle, stopped:
		// An operator's Stop and Start drops the wait, but not the floor.
		if earliest := m.asked.Add(floorSoon); m.generation > 0 && now.Before(earliest) {
			m.enter(waiting, now)
			m.due = earliest
			return nil
		}
		return m.connect(now)
	case leaving:
		if m.then == thenStop {
			m.then = thenWait
		}
	}
	return nil
}

func (m *Machine) connect(now time.Time) []Action {
	m.enter(connecting, now)
	m.generation++
	m.asked = now
	m.due = now.Add(connectLimit)
	return []Action{Connect{Generation: m.generation, Rung: RungMQTT}}
}

func (m *Machine) connected(in Connected, now time.Time) []Action {
	switch {
	case in.Generation == m.generation && m.phase == connecting:
		m.enter(up, now)
		m.renew80, m.renew95, m.unsettled = in.Renew80, in.Renew95, 0
		return m.renew(now)
	case in.Generation == m.generation && m.phase == up:
		return nil
	}
	// It came after we had given it up. Nobody may keep a session that the
	// machine does not know of.
	return []Action{Disconnect{Generation: in.Generation, Why: "connected too late"}}
}

// ended handles the end of the present connection, or of the attempt at it.
func (m *Machine) ended(generation uint64, err error, now time.Time) []Action {
	if generation != m.generation {
		return nil
	}
	switch m.phase {
	case connecting:
		m.note(err)
		m.wait(now)
	case up:
		m.note(err)
		m.lived(now)
		m.wait(now)
	case leaving:
		return m.left(now)
	}
	return nil
}

// note keeps err as the last failure.
func (m *Machine) note(err error) {
	if err == nil {
		err = errors.New("ended without an error")
	}
	m.err, m.class, m.cause = err, hub.ClassOf(err), hub.CauseOf(err)
}

// lived judges how long the session that ends now has lived.
func (m *Machine) lived(now time.Time) {
	if now.Sub(m.since) >= earlyClose {
		m.early = 0
		return
	}
	if m.early++; m.early >= earlyLimit && m.class != hub.Misconfigured {
		m.class, m.cause = hub.RetrySlowly, hub.CauseClosedEarly
	}
}

// wait draws the time of the next attempt.
func (m *Machine) wait(now time.Time) {
	floor, ceiling := floorSoon, ceilingSoon
	switch {
	case m.class == hub.RetrySlowly:
		floor, ceiling = floorSlow, ceilingSlow
	case m.class == hub.Misconfigured:
		floor, ceiling = floorWrong, ceilingWrong
	case m.failures < 16: // 2 s << 16 is beyond the ceiling, and far from overflow
		ceiling = min(ceilingSoon, firstSoon<<m.failures)
	}
	m.failures++
	m.enter(waiting, now)
	m.due = now.Add(floor + time.Duration(m.jitter.Int64N(int64(ceiling-floor))))
}

// renew leaves a session whose token is old.
func (m *Machine) renew(now time.Time) []Action {
	passed := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if m.phase != up || !passed(m.renew95) && (!passed(m.renew80) || m.unsettled > 0) {
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
	return m.leave("renew token", then, now)
}

func (m *Machine) leave(why string, next then, now time.Time) []Action {
	m.enter(leaving, now)
	m.then, m.due = next, now.Add(leaveLimit)
	return []Action{Disconnect{Generation: m.generation, Why: why}}
}

// left goes on after a connection that we ended is gone.
func (m *Machine) left(now time.Time) []Action {
	switch m.then {
	case thenConnect:
		return m.connect(now)
	case thenStop:
		m.enter(stopped, now)
	default:
		m.wait(now)
	}
	return nil
}

func (m *Machine) tick(now time.Time) []Action {
	if m.phase == up {
		return m.renew(now)
	}
	if m.due.IsZero() || now.Before(m.due) {
		return nil
	}
	switch m.phase {
	case waiting:
		return m.connect(now)
	case connecting:
		m.note(&hub.Error{Class: hub.RetrySoon, Cause: hub.CauseNetwork, Err: fmt.Errorf("no answer within %v", connectLimit)})
		return m.leave("no answer", thenWait, now)
	case leaving:
		return m.left(now)
	}
	return nil
}

func (m *Machine) stop(now time.Time) []Action {
	switch m.phase {
	case idle, waiting:
		m.enter(stopped, now)
	case connecting, up:
		return m.leave("stop", thenStop, now)
	case leaving:
		m.then = thenStop
	}
	return nil
}

// Next gives the time at which a [Tick] is due; zero: none is, until another
// input comes.
func (m *Machine) Next() time.Time {
	if m.phase != up {
		return m.due
	}
	next := m.renew95
	if !m.renew80.IsZero() && m.unsettled == 0 && (next.IsZero() || m.renew80.Before(next)) {
		next = m.renew80
	}
	// Until the session is stable a tick is due then, to clear the back-off.
	if stable := m.since.Add(stableAfter); m.failures > 0 && (next.IsZero() || stable.Before(next)) {
		next = stable
	}
	return next
}
