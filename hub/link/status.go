package link

import (
	"time"

	"actuatord/hub"
)

// Status is a picture of the machine for people and reports.
type Status struct {
	Rung       Rung
	Phase      string    // "idle", "waiting", "connecting", "up", "leaving" or "stopped"
	Since      time.Time // of Phase
	Connected  bool
	Generation uint64 // of the last Connect; 0: none yet

	NextAttempt time.Time // zero unless waiting
	Attempts    int       // that failed, or sessions lost, since the last stable session

	// The last failure, until a session has been stable: a cause of package hub
	// ("" if there is none), its class, and its text.
	Cause  string
	Class  hub.Class
	Detail string
}

// Status tells how things stand.
func (m *Machine) Status() Status {
	s := Status{
		Rung: RungMQTT, Phase: m.phase.String(), Since: m.since, Connected: m.phase == up, Generation: m.generation,
		Attempts: m.failures, Cause: m.cause, Class: m.class,
	}
	if m.phase == waiting {
		s.NextAttempt = m.due
	}
	if m.err != nil {
		s.Detail = m.err.Error()
	}
	return s
}
