package command

import (
	"fmt"
	"strings"
)

// Reason is a stable code that a back end decides by. Codes are never reused.
type Reason string

const (
	// The message itself.
	Malformed    Reason = "malformed"     // not a JSON object, or its properties cannot be read
	UnknownField Reason = "unknown-field" // a field this version does not know
	BadValue     Reason = "bad-value"     // a field of the wrong type or form
	NotSupported Reason = "not-supported" // a form left for later, such as an array
	TooLarge     Reason = "too-large"     // payload or meta above its bound

	// What it asks for.
	UnknownTarget Reason = "unknown-target"
	UnknownAction Reason = "unknown-action" // not an action of that target
	OutOfRange    Reason = "out-of-range"   // an operand outside what is allowed
	OverMaxOn     Reason = "over-max-on"
	NotAllowed    Reason = "not-allowed" // a register outside the allow-list

	// Which one it is, and when.
	IDRequired  Reason = "id-required"
	IDReused    Reason = "id-reused"
	Expired     Reason = "expired"
	TooOld      Reason = "too-old"
	AgeUnknown  Reason = "age-unknown"
	ClockUnset  Reason = "clock-unset"
	Superseded  Reason = "superseded"
	HistoryLost Reason = "history-lost"

	// The board, just before the first edge.
	OutOfUse     Reason = "disabled" // people have disabled the target
	Interlocked  Reason = "interlocked"
	MinOff       Reason = "min-off"
	LevelUnknown Reason = "level-unknown"
	NotPermitted Reason = "not-permitted" // an input of its permit is not active, or cannot be read
	AlreadyAway  Reason = "already-away"  // a pulse on an output that is not at its safe level

	// The board, after it.
	IOError  Reason = "io-error"
	NACK     Reason = "nack"
	Timeout  Reason = "timeout"
	Mismatch Reason = "mismatch" // read-back differs from what was written

	// The agent.
	CutOff    Reason = "cut-off"    // the agent stopped or lost power in the middle
	CrashLoop Reason = "crash-loop" // the agent went down three times over it
	LeaseCut  Reason = "lease-cut"  // a restart ended a lease early
)

// Refusal says why a command will not be carried out, for the program (Reason)
// and for the developer of the back end (Detail: one sentence, what was wrong
// and what would be right).
type Refusal struct {
	Reason Reason
	Detail string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Reason, r.Detail) }

// Refuse makes a Refusal; its detail is cut to 300 bytes, since it may quote
// what a hostile sender wrote.
func Refuse(reason Reason, format string, args ...any) *Refusal {
	d := fmt.Sprintf(format, args...)
	if len(d) > 300 {
		d = strings.ToValidUTF8(d[:297], "") + "..."
	}
	return &Refusal{Reason: reason, Detail: d}
}
