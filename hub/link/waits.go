package link

import (
	"errors"
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

// The two rungs of a session.
const (
	// fullTry bounds an attempt, as the C SDK's 30 s for CONNACK and as much
	// again for the way there. briefTry bounds a look at 8883 while 443 is known
	// to work: a port that drops packets must not cost a minute of silence.
	fullTry, briefTry = time.Minute, 15 * time.Second

	// lookAgain is how rarely 8883 is tried while 443 works. A firewall is opened
	// once, and every look costs up to briefTry of silence.
	lookAgain = 6 * time.Hour
)

// note keeps err as the last failure.
func (m *Machine) note(err error) {
	if err == nil {
		err = errors.New("ended without an error")
	}
	m.err, m.class, m.cause = err, hub.ClassOf(err), hub.CauseOf(err)
}

// saidNo tells a hub that answered and refused from a road that is closed.
func saidNo(cause string) bool {
	switch cause {
	case hub.CauseCredential, hub.CauseServerUnavailable, hub.CauseIdentity:
		return true
	}
	return false
}

// lived judges how long the session that ends now has lived.
func (m *Machine) lived(now time.Time) {
	if now.Sub(m.since) >= earlyClose {
		m.early = 0
		return
	}
	if m.cause == hub.CauseSubscription || m.cause == hub.CauseOverflow {
		return // we ended it ourselves, and say why
	}
	if m.early++; m.early >= earlyLimit && m.class != hub.Misconfigured {
		m.class, m.cause = hub.RetrySlowly, hub.CauseClosedEarly
	}
}

// retry follows a failed attempt: where the road was closed, the other rung is
// tried before the round counts as failed.
func (m *Machine) retry(now time.Time) {
	switch {
	case saidNo(m.cause):
		m.other = false // this rung works; it is the hub that does not want us
	case !m.other:
		m.other, m.rung = true, m.rung.other()
		m.enter(waiting, now)
		m.due = now.Add(floorSoon + m.draw(firstSoon-floorSoon))
		return
	default:
		m.other, m.rung = false, m.good
	}
	m.wait(now)
}

func (m *Machine) draw(span time.Duration) time.Duration {
	return time.Duration(m.jitter.Int64N(int64(span)))
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
	m.due = now.Add(floor + m.draw(ceiling-floor))
}

// earlier gives the earlier of two times, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
