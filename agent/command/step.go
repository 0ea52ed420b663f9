package command

import (
	"fmt"
	"time"
)

const (
	// retryFor bounds the retries of one command in place. A delivery's lock
	// lasts 60 s (hub document, C2D life cycle); half of it leaves the other
	// half for what waits behind it and for the settlement.
	retryFor = 30 * time.Second

	// A register that NACKs while its chip writes its EEPROM is back in
	// milliseconds, a chip that browned out in seconds: from a quarter of a
	// second, doubling, to at most five.
	firstPause, longestPause = 250 * time.Millisecond, 5 * time.Second

	// hashGood is how long a payload's hash stands in for an id: the longest
	// time the hub keeps a message (hub document, C2D settings: 2 days).
	hashGood = 48 * time.Hour
)

// InputKind says what happened.
type InputKind uint8

const (
	Begin     InputKind = iota // the command is the next in order
	Found                      // the journal was asked
	Planned                    // handlers answered
	Durable                    // Started is on disk
	Acted                      // the board answered
	RetryDue                   // the pause is over
	Overtaken                  // somebody drove the outputs safe meanwhile
)

func (k InputKind) String() string {
	return [...]string{"begin", "found", "planned", "durable", "acted", "retry-due", "overtaken"}[k]
}

// Input is what happened to a command in hand.
type Input struct {
	Kind InputKind

	Seen *Record // Found: the record under Record.Key, the running command and the uncommitted batch included; nil: none
	Last bool    // Found: Seen is still the newest on every target it touched

	Plan    Plan     // Planned
	Refusal *Refusal // Planned: it has no plan. Acted: the board refused before any edge. Overtaken: by what, if not by "all safe"
	Facts   Facts    // Planned

	Fault     Reason // Acted: what went wrong; empty: nothing
	Detail    string // Acted: the same for a person
	Attempted bool   // Acted: the first edge was attempted
	Transient bool   // Acted: it may be otherwise in a moment
}

// Facts is what must be known of the past before anything moves.
type Facts struct {
	Doubted bool      // ids from before Since may have been forgotten
	Since   time.Time // zero: not dated yet
	Careful bool      // write Started for every plan: the last stop was unclean
	Newest  []Newest  // of every target the plan touches

	Untrusted bool // the clock may be wrong: no age and no expiry can be judged
}

// IllegalInputError reports an input that means nothing in the present phase.
// The life is unchanged.
type IllegalInputError struct {
	Phase Phase
	Input InputKind
}

func (e *IllegalInputError) Error() string {
	return fmt.Sprintf("command that is %v cannot take %v", e.Phase, e.Input)
}

// Step answers what l becomes when in happens at now, and the duties that
// follow, in their order. An input that makes no sense changes nothing.
func Step(l Life, in Input, now time.Time) (Life, []Duty, error) {
	switch {
	case l.Phase == Arrived && in.Kind == Begin:
		l.Phase = Looking
		return l, []Duty{Look}, nil
	case l.Phase == Looking && in.Kind == Found:
		return found(l, in, now)
	case l.Phase == Planning && in.Kind == Planned:
		return planned(l, in, now)
	case l.Phase == Starting && in.Kind == Durable:
		return attempt(l, now)
	case l.Phase == Acting && in.Kind == Acted:
		return acted(l, in, now)
	case l.Phase == Waiting && in.Kind == RetryDue:
		return attempt(l, now)
	case l.Phase == Waiting && in.Kind == Overtaken && l.Plan.Away && in.Refusal != nil:
		return giveUp(l, in.Refusal)
	case l.Phase == Waiting && in.Kind == Overtaken && l.Plan.Away:
		return giveUp(l, Refuse(Superseded, "the outputs were driven to their safe levels while this was being tried"))
	case l.Phase == Waiting && in.Kind == Overtaken:
		return l, nil, nil // it goes the same way
	}
	return l, nil, &IllegalInputError{l.Phase, in.Kind}
}

// found decides what an earlier record of the key means for this delivery.
func found(l Life, in Input, now time.Time) (Life, []Duty, error) {
	s := in.Seen
	if s != nil && !l.HasID() && outdated(*s, now) {
		s = nil // too old to be the same message, whatever it was
	}
	if s == nil {
		return fresh(l)
	}
	if s.Fingerprint != l.Record.Fingerprint {
		return lookApart(l)
	}
	switch s.State {
	case Done:
		if l.HasID() || in.Last {
			return settle(l, *s, Complete)
		}
		if s.Target != "all" || s.Action != "safe" {
			return lookApart(l)
		}
		// Somebody's second "all safe" must not be taken for an echo of the first:
		// it is carried out once more, towards safety.
	case Refused, Interrupted:
		return settle(l, *s, Reject)
	case Failed:
		if s.Owes != OwesAbandon {
			return settle(l, *s, Reject)
		}
	}
	// It may run again, under its first arrival, so that what came later still
	// supersedes it.
	l.Record = renewed(*s, l.Record)
	if s.State == Started {
		l.Record.Interruptions++
	}
	return fresh(l)
}

// lookApart asks again under a key made of the taken one and the fingerprint:
// the first record is never touched, and the same imposter gets the same answer
// every time.
func lookApart(l Life) (Life, []Duty, error) {
	l.Record.Key = Key("x:" + l.Record.Fingerprint.String() + ":" + string(l.Record.Key))
	return l, []Duty{Look}, nil
}

// outdated reports whether a record that a payload's hash names is from before
// anything the hub can still hold. One made while the clock was not trusted has
// the date that it got later, or none yet.
func outdated(s Record, now time.Time) bool {
	at := s.FirstSeen
	if at.IsZero() {
		at = s.LastSeen
	}
	return !at.IsZero() && now.Sub(at) >= hashGood
}

// renewed is the record old taken up again by a new delivery.
func renewed(old, arrived Record) Record {
	old.LastSeen, old.Sent = arrived.LastSeen, arrived.Sent
	old.Reason, old.Detail, old.Owes = "", "", OwesNothing
	return old
}

func fresh(l Life) (Life, []Duty, error) {
	switch {
	case l.Record.Key[0] == 'x' && (l.Record.MessageID == "" && l.Command.ID == ""):
		return conclude(l, Refused, IDRequired,
			"this payload was carried out before and another command has acted since, so a repeat cannot be told from a redelivery; give the message an id")
	case l.Record.Key[0] == 'x':
		return conclude(l, Refused, IDReused,
			"this id belongs to an earlier command with another target, action or operand; send it again with a new id")
	case l.Undecode != nil:
		return conclude(l, Refused, l.Undecode.Reason, l.Undecode.Detail)
	}
	l.Phase = Planning
	return l, []Duty{MakePlan}, nil
}

// settle answers a delivery whose outcome is known. It takes the old record, so
// that what is touched is what was found.
func settle(l Life, s Record, how Duty) (Life, []Duty, error) {
	s.LastSeen = l.Record.LastSeen
	l.Record, l.Phase = s, Concluded
	return l, []Duty{Touch, how}, nil
}

// planned holds the plan against what is known of the past.
func planned(l Life, in Input, now time.Time) (Life, []Duty, error) {
	if r := in.Refusal; r != nil {
		return conclude(l, Refused, r.Reason, r.Detail)
	}
	l.Plan = in.Plan
	l.Record.OnceOnly, l.Record.Away, l.Record.Touches = in.Plan.OnceOnly, in.Plan.Away, in.Plan.Touches
	if r := forbidden(l, in.Facts); r != nil {
		return conclude(l, Refused, r.Reason, r.Detail)
	}
	if r := undatable(l, in.Facts); r != nil {
		return conclude(l, Refused, r.Reason, r.Detail)
	}
	if r := late(l, now); r != nil {
		return conclude(l, Refused, r.Reason, r.Detail)
	}
	if l.Plan.OnceOnly || in.Facts.Careful && l.Plan.moves() {
		l.Phase, l.Record.State = Starting, Started
		return l, []Duty{WriteStart}, nil
	}
	return attempt(l, now)
}

// moves tells plans that a crash can be the fault of from a look or a log line.
func (p Plan) moves() bool { return p.Op.Kind != OpRead && p.Op.Kind != OpLog }

// forbidden is why the past does not let the plan run, or nil.
func forbidden(l Life, f Facts) *Refusal {
	if !l.HasID() && (l.Plan.OnceOnly || l.Plan.Op.For > 0) {
		return Refuse(IDRequired, "%s needs a message id, or an \"id\" in the body: without one a redelivery would look like a second command", describe(l))
	}
	if l.Plan.OnceOnly && f.Doubted && l.Source != Local && (f.Since.IsZero() || !l.Record.Sent.After(f.Since)) {
		return Refuse(HistoryLost, "the device's record of past commands began or was lost on the way, and %s might have been done before; send it with a \"sent\" date, or reset the journal", describe(l))
	}
	if !l.Plan.Away {
		return nil // the way to safety is always open
	}
	for _, n := range f.Newest {
		if n.Arrival > l.Record.Arrival || !l.Record.Sent.IsZero() && n.Sent.After(l.Record.Sent) {
			return Refuse(Superseded, "a newer command has acted on %s since this one was sent", l.Record.Target)
		}
	}
	return nil
}

// undatable is why the plan must not run under a clock that may be wrong, or nil.
// What was asked for at the board is there now, whatever the clock says. A
// once-only command is refused even without an age limit: it may have waited for
// days, and what it does cannot be put right by sending it again.
func undatable(l Life, f Facts) *Refusal {
	if !f.Untrusted || l.Source == Local {
		return nil
	}
	var has string
	switch {
	case !l.Expires.IsZero():
		has = "it has an expiry"
	case l.Plan.MaxAge > 0:
		has = fmt.Sprintf("%s has an age limit", l.Record.Target)
	case l.Plan.OnceOnly:
		has = fmt.Sprintf("%s is done once only", describe(l))
	default:
		return nil
	}
	return Refuse(ClockUnset, "the device's clock is not set and %s, so nobody can say whether it is too late; send it again under a new id once reports say \"trusted\", or without what hangs on the time", has)
}

// late is why it is too late to move anything, or nil.
func late(l Life, now time.Time) *Refusal {
	if !l.Expires.IsZero() && !now.Before(l.Expires) {
		return Refuse(Expired, "it expired at %s and it is %s", stamp(l.Expires), stamp(now))
	}
	if l.Plan.MaxAge == 0 {
		return nil
	}
	sent := l.sent()
	if sent.IsZero() && l.Source == Local {
		return nil // it was sent when it was received, and its expiry bounds the wait
	}
	if sent.IsZero() {
		return Refuse(AgeUnknown, "%s takes commands of at most %v, and this one does not say when it was sent; add a \"sent\" date", l.Record.Target, l.Plan.MaxAge)
	}
	if age := now.Sub(sent); age > l.Plan.MaxAge {
		return Refuse(TooOld, "it was sent at %s, %v ago, and %s takes commands of at most %v", stamp(sent), age.Round(time.Second), l.Record.Target, l.Plan.MaxAge)
	}
	return nil
}

// attempt takes the last look and has the board act.
func attempt(l Life, now time.Time) (Life, []Duty, error) {
	if r := late(l, now); r != nil {
		return giveUp(l, r)
	}
	if l.Attempt == 0 {
		l.Began = now
	}
	l.Attempt++
	l.Phase = Acting
	return l, []Duty{Act}, nil
}

// acted turns the board's answer into an outcome, or into one more try.
func acted(l Life, in Input, now time.Time) (Life, []Duty, error) {
	l.Acted = l.Acted || in.Attempted
	switch {
	case in.Refusal != nil && !in.Transient:
		return giveUp(l, in.Refusal)
	case in.Refusal == nil && in.Fault == "":
		return conclude(l, Done, "", "")
	case l.Plan.OnceOnly && in.Attempted:
		return conclude(l, Interrupted, in.Fault, in.Detail+"; its effect is unknown and it will not be tried again")
	}
	if in.Transient {
		l.Pause = min(firstPause<<min(l.Attempt-1, 8), longestPause)
		if now.Add(l.Pause).Sub(l.Began) <= retryFor {
			l.Phase = Waiting
			return l, []Duty{Wait}, nil
		}
	}
	if in.Refusal != nil {
		return giveUp(l, in.Refusal)
	}
	return conclude(l, Failed, in.Fault, in.Detail)
}

// giveUp ends l for a reason that forbids (another) try. Refused says that
// nothing was ever attempted, so it is only said where that is so.
func giveUp(l Life, r *Refusal) (Life, []Duty, error) {
	if l.Acted {
		return conclude(l, Failed, r.Reason, r.Detail+"; earlier tries may have had an effect")
	}
	return conclude(l, Refused, r.Reason, r.Detail)
}

// conclude gives l its outcome, and the settlement that goes with it. A failed
// command that came in a drain is handed back to the hub, whose delivery count
// bounds how often; MQTT knows no such thing, so there it is over.
func conclude(l Life, s State, why Reason, detail string) (Life, []Duty, error) {
	l.Phase = Concluded
	l.Record.State, l.Record.Reason, l.Record.Detail = s, why, Refuse(why, "%s", detail).Detail
	switch {
	case s == Done:
		return l, []Duty{WriteOutcome, Complete}, nil
	case s == Failed && l.Source == OverHTTPS:
		l.Record.Owes = OwesAbandon
		return l, []Duty{WriteOutcome, Abandon}, nil
	case s == Failed:
		l.Record.Owes = OwesReject
	}
	return l, []Duty{WriteOutcome, Reject}, nil
}

func describe(l Life) string { return fmt.Sprintf("%q on %q", l.Record.Action, l.Record.Target) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
