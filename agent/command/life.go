package command

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Phase is where a command in hand stands. It is not stored.
type Phase uint8

const (
	Arrived   Phase = iota // nothing is known but the message
	Looking                // the journal is asked whether it was seen before
	Planning               // it is new, or may run again
	Starting               // Started is being made durable
	Acting                 // the board has it
	Waiting                // for the next try
	Concluded              // nothing more happens to this delivery
)

func (p Phase) String() string {
	return [...]string{"arrived", "looking", "planning", "starting", "acting", "waiting", "concluded"}[p]
}

// Source is how a command came, which decides how it can be settled.
type Source uint8

const (
	OverMQTT  Source = iota // can only be completed; what else it is owed waits
	OverHTTPS               // complete, abandon, reject
	Local                   // actuatord do: the settlement is the answer to the person
)

// Duty is something package agent must do; duties come in an order, and each is
// done before the next. WriteOutcome must be durable before the settlement
// behind it leaves.
type Duty uint8

const (
	Look         Duty = iota // read the record under Record.Key; answer Found
	MakePlan                 // ask handlers; answer Planned
	WriteStart               // make Record durable before anything moves; answer Durable
	Act                      // have the board carry out Plan.Op; answer Acted
	Wait                     // answer RetryDue after Pause
	WriteOutcome             // make Record and its report durable in one transaction
	Touch                    // remember that Record.Key was seen again
	Complete                 // settle: it is done
	Reject                   // settle: it will never be done
	Abandon                  // settle: hand it out again
)

func (d Duty) String() string {
	return [...]string{"look", "plan", "write-start", "act", "wait", "write-outcome", "touch", "complete", "reject", "abandon"}[d]
}

// Life is one delivery's command in hand.
type Life struct {
	Phase    Phase
	Source   Source
	Command  Command
	Undecode *Refusal  // why the payload is no command; nil if it is one
	Expires  time.Time // the earliest expiry that the message or the body names; zero: none
	Enqueued time.Time // when the hub took the message, where it says so; zero: unknown
	Plan     Plan
	Record   Record
	Attempt  int           // how often Act was asked for
	Began    time.Time     // when it was first asked for
	Acted    bool          // the board attempted an edge
	Pause    time.Duration // the wait before the next try
}

// Message is what a delivery says besides its payload.
type Message struct {
	ID       string    // the message id; empty: none
	Expiry   time.Time // $.exp
	Sent     time.Time // the application property "sent"
	Enqueued time.Time
	Fault    *Refusal // the properties cannot be read
	Body     []byte
}

// New is the life of a message that has just been received, the arrival-th on
// this journal. undecoded is why c is no command, or nil.
func New(src Source, m Message, c Command, undecoded *Refusal, arrival uint64, now time.Time) Life {
	l := Life{
		Source: src, Command: c, Undecode: undecoded,
		Expires: earliest(m.Expiry, c.Expires), Enqueued: m.Enqueued,
		Record: Record{
			Fingerprint: c.Fingerprint, MessageID: m.ID, Target: c.Target, Action: c.Action,
			Arrival: arrival, Sent: earliest(m.Sent, c.Sent), FirstSeen: now, LastSeen: now,
		},
	}
	if m.Fault != nil {
		l.Undecode = m.Fault
	}
	switch {
	case src == Local:
		l.Record.Key = Key("l:" + m.ID)
	case m.ID != "":
		l.Record.Key = Key("m:" + m.ID)
	case c.ID != "":
		l.Record.Key = Key("b:" + c.ID)
	case m.Fault != nil:
		// Kept apart from the same payload under readable properties, which
		// may be a command that was done.
		l.Record.Key = hashKey("unreadable properties\x00", m.Body)
	default:
		l.Record.Key = hashKey("", m.Body)
	}
	return l
}

func hashKey(salt string, body []byte) Key {
	sum := sha256.Sum256(append([]byte(salt), body...))
	return Key("h:" + hex.EncodeToString(sum[:]))
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Deadline is when it becomes too late to move anything: at the expiry, or at
// the plan's age limit. Zero: never.
func (l Life) Deadline() time.Time {
	sent := l.sent()
	if l.Plan.MaxAge == 0 || sent.IsZero() {
		return l.Expires
	}
	return earliest(l.Expires, sent.Add(l.Plan.MaxAge))
}

// sent is the date that age counts from; zero: nobody says.
func (l Life) sent() time.Time {
	if l.Record.Sent.IsZero() {
		return l.Enqueued
	}
	return l.Record.Sent
}

// HasID reports whether the sender named the command.
func (l Life) HasID() bool { return l.Record.Key[0] != 'h' }

// Report tells the outcome that l came to. Level and Levels are the board's to
// add.
func (l Life) Report(now time.Time) Report {
	r := Report{
		V: 1, Kind: KindOutcome, MessageID: l.Record.MessageID, ID: l.Command.ID,
		Target: l.Record.Target, Action: l.Record.Action,
		Outcome: l.Record.State.String(), Reason: l.Record.Reason, Detail: l.Record.Detail,
		At: now, Attempt: l.Attempt, Meta: l.Command.Meta,
	}
	if !l.Began.IsZero() {
		r.DurationMs = now.Sub(l.Began).Milliseconds()
	}
	return r
}

// crashLimit is how often the agent may go down over the same repeatable command:
// a relay whose inrush resets the board must not do so for ever, and one power
// cut in the middle of a harmless drive is no reason to give it up.
const crashLimit = 3

// Recover resolves a record that a stop left Started: what becomes of it, and
// whether that is an outcome, which must be durable with its report before any
// message is looked at. A repeatable command stays as it is: the interruption
// counts when it is taken up again, so that starts which never had it in hand
// do not.
func Recover(r Record) (Record, bool) {
	switch {
	case r.OnceOnly:
		r.State, r.Reason = Interrupted, CutOff
		r.Detail = "the agent stopped while this was being carried out; its effect is unknown and it will not be tried again"
	case r.Interruptions+1 >= crashLimit:
		r.State, r.Reason = Interrupted, CrashLoop
		r.Detail = fmt.Sprintf("the agent went down %d times while carrying this out; it will not be tried again", crashLimit)
	default:
		return r, false
	}
	r.Interruptions++
	return r, true
}
