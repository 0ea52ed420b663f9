package command

import (
	"fmt"
	"time"
)

// State is a command's durable state. The numbers are in journals in the field:
// never renumber, only add.
type State uint8

const (
	Started     State = 1 // the first edge may have been attempted; nothing else is known
	Done        State = 2 // it acted and succeeded: the message is completed
	Refused     State = 3 // it was never attempted and never will be under this key
	Failed      State = 4 // repeatable, and its retries ran out
	Interrupted State = 5 // its effect is unknown; never tried again
)

func (s State) String() string {
	switch s {
	case Started:
		return "started"
	case Done:
		return "done"
	case Refused:
		return "refused"
	case Failed:
		return "failed"
	case Interrupted:
		return "interrupted"
	}
	return "invalid"
}

// MarshalText writes s as its word, for people and their programs; the journal
// keeps the number.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *State) UnmarshalText(word []byte) error {
	for known := Started; known <= Interrupted; known++ {
		if known.String() == string(word) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("no state is called %q", word)
}

// Final reports whether s is an outcome.
func (s State) Final() bool { return s >= Done && s <= Interrupted }

// Debt is the settlement that a failed command still owes the hub. Written out.
type Debt uint8

const (
	OwesNothing Debt = 0 // it is settled, or was never owed
	OwesReject  Debt = 1 // it came over MQTT, which has no abandon
	OwesAbandon Debt = 2 // it came in a drain: the hub will hand it out again
)

// MarshalText writes d as a word, for people and their programs.
func (d Debt) MarshalText() ([]byte, error) {
	switch d {
	case OwesReject:
		return []byte("reject"), nil
	case OwesAbandon:
		return []byte("abandon"), nil
	}
	return []byte("nothing"), nil
}

// UnmarshalText reads what MarshalText wrote.
func (d *Debt) UnmarshalText(word []byte) error {
	switch string(word) {
	case "nothing":
		*d = OwesNothing
	case "reject":
		*d = OwesReject
	case "abandon":
		*d = OwesAbandon
	default:
		return fmt.Errorf("no debt is called %q", word)
	}
	return nil
}

// Key names a command in the journal: a key space, a colon, the id. The spaces
// are kept apart so that no sender can reach another's records.
//
//	m:ID           the message id
//	b:ID           the body field "id", used only where there is no message id
//	h:HEX          neither: the SHA-256 of the payload, good for 48 h
//	l:ID           a local command (actuatord do)
//	x:HEX:KEY      a different command under a KEY that is taken: refused id-reused
type Key string

// Record is what the journal keeps of one command.
type Record struct {
	Key           Key         `json:"key"`
	State         State       `json:"outcome"`
	Reason        Reason      `json:"reason,omitempty"` // why it is not done; empty when done
	Detail        string      `json:"detail,omitempty"` // one sentence for a person; at most 300 bytes
	Fingerprint   Fingerprint `json:"fingerprint"`
	MessageID     string      `json:"messageId,omitempty"` // as the sender wrote it; may be empty
	Target        string      `json:"target"`
	Action        string      `json:"action"`
	OnceOnly      bool        `json:"onceOnly"`
	Away          bool        `json:"away"`
	Touches       []string    `json:"touches,omitempty"`
	Arrival       uint64      `json:"arrival"`       // order of first receipt on this journal; later is greater
	Sent          time.Time   `json:"sent,omitzero"` // zero: unknown
	FirstSeen     time.Time   `json:"firstSeen,omitzero"`
	LastSeen      time.Time   `json:"lastSeen,omitzero"` // retention counts from here
	Interruptions uint8       `json:"interruptions"`     // how often it was taken up again after a stop in the middle
	Owes          Debt        `json:"owes"`
}

// Newest is what has acted on one target; it outlives records.
type Newest struct {
	Key     Key       // of the last that acted
	Arrival uint64    // the greatest of any that acted
	Sent    time.Time // the latest "sent" of any that acted; zero: none carried one
}

// Lease is an output that a done command left away from its safe level.
type Lease struct {
	Output    string
	Key       Key
	MessageID string
	Since     time.Time
	Until     time.Time // zero: no bound (max_on = "none")
}
