package link

import (
	"time"

	"actuatord/hub"
)

// credentials has new ones tried at once, as far as the floor allows.
func (m *Machine) credentials(now time.Time) []Action {
	m.firsts = 0
	if m.phase == up {
		m.failures, m.refused = 0, false
		return m.leave("new credentials", thenConnect, now)
	}
	return m.afresh("new credentials", now)
}

// afresh is for when what was refused before says nothing any more: it is tried
// again at once.
func (m *Machine) afresh(why string, now time.Time) []Action {
	m.forgive()
	m.refused = false
	switch m.phase {
	case probing, connecting:
		return m.leave(why, thenWait, now)
	case waiting:
		m.due = later(now, m.asked.Add(floorSoon))
		return m.tick(now)
	case draining:
		m.resume = now
	}
	return nil
}

// renew leaves the session for a new one as soon as it is old enough: a reason
// that keeps coming up must not become a loop without a wait.
func (m *Machine) renew(why string, now time.Time) []Action {
	switch {
	case m.phase != up:
		return nil
	case now.Sub(m.since) < earlyClose:
		m.renew95, m.because = earlier(m.renew95, m.since.Add(earlyClose)), why
		return nil
	}
	return m.leave(why, thenConnect, now)
}

// resign follows a clock that was set.
func (m *Machine) resign(now time.Time) []Action {
	const why = "the clock was set"
	switch m.phase {
	case up:
		return m.renew(why, now)
	case waiting, draining:
		// A road that is closed is so at any time; a token or a certificate that
		// was refused was judged by the wrong one.
		if m.cause != hub.CauseCredential && m.cause != hub.CauseTLS {
			return nil
		}
	}
	return m.afresh(why, now)
}
