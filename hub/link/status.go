package link

import (
	"time"

	"actuatord/hub"
)

// Status is a picture of the machine for people and reports.
type Status struct {
	Rung       Rung      `json:"rung"`
	Phase      string    `json:"phase"` // "idle", "waiting", "probing", "connecting", "up", "leaving" or "draining"
	Since      time.Time `json:"since"` // of Phase
	Connected  bool      `json:"connected"`
	Subscribed bool      `json:"subscribed"`
	Generation uint64    `json:"generation"` // of the last Connect; 0: none yet

	Drain       string    `json:"drain,omitempty"`      // while draining: what for
	NextAttempt time.Time `json:"nextAttempt,omitzero"` // zero unless waiting
	NextPoll    time.Time `json:"nextPoll,omitzero"`    // zero while a session is stable
	NextVisit   time.Time `json:"nextVisit,omitzero"`   // zero unless deliveries are owed a reject
	Stable      bool      `json:"stable"`
	Unstable    time.Time `json:"unstable,omitzero"` // since when there is no stable session; zero: there is one
	Attempts    int       `json:"attempts"`          // that failed, or sessions lost, since the last stable session

	// The last failure, until a session has been stable: a cause of package hub
	// ("" if there is none), its class, and its text.
	Cause  string    `json:"cause,omitempty"`
	Class  hub.Class `json:"class,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

// Status tells how things stand.
func (m *Machine) Status() Status {
	s := Status{
		Rung: m.rung, Phase: m.phase.String(), Since: m.since, Connected: m.phase == up, Subscribed: m.phase == up && m.subscribed, Generation: m.generation,
		Attempts: m.failures, Cause: m.cause, Class: m.class,
	}
	if m.phase == waiting {
		s.NextAttempt = m.due
	}
	if m.phase == draining {
		s.Rung, s.Drain = RungHTTPS, m.drain.String()
	}
	if s.Unstable = m.unstable; m.unstable.IsZero() {
		s.Stable = m.phase == up
	} else if m.phase != idle {
		s.NextPoll = m.pollDue()
	}
	if m.phase == up && m.owed > 0 {
		s.NextVisit = m.nextVisit()
	}
	if m.err != nil {
		s.Detail = m.err.Error()
	}
	return s
}

// Good is the rung that carried the last stable session, to be remembered.
func (m *Machine) Good() Rung { return m.good }

// VisitDue tells whether a settle visit may begin at now.
func (m *Machine) VisitDue(now time.Time) bool { return !now.Before(m.nextVisit()) }
