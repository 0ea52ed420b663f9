package link

import (
	"time"

	"actuatord/hub"
)

// Status is a picture of the machine for people and reports.
type Status struct {
	Rung       Rung      `json:"rung"`
	Phase      string    `json:"phase"` // "idle", "waiting", "connecting", "up", "leaving" or "stopped"
	Since      time.Time `json:"since"` // of Phase
	Connected  bool      `json:"connected"`
	Generation uint64    `json:"generation"` // of the last Connect; 0: none yet

	NextAttempt time.Time `json:"nextAttempt,omitzero"` // zero unless waiting
	Attempts    int       `json:"attempts"`             // that failed, or sessions lost, since the last stable session

	// The last failure, until a session has been stable: a cause of package hub
	// ("" if there is none), its class, and its text.
	Cause  string    `json:"cause,omitempty"`
	Class  hub.Class `json:"class,omitempty"`
	Detail string    `json:"detail,omitempty"`
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
