package board

import "time"

// OpKind says what an operation does. The numbers do not leave the process.
type OpKind uint8

// The operations.
const (
	Set   OpKind = iota + 1 // drive output Target to On, or level Target to Percent; For bounds its time away from the safe level
	Pulse                   // drive output Target away from its safe level for For, then back
	Write                   // write Bytes to Register of register target Target
	Safe                    // drive Target, or everything when it is empty or All, to its safe level
)

// Op is one operation. It is a value; the board keeps no reference to Bytes.
type Op struct {
	Kind     OpKind
	Target   string
	On       bool          // Set: the logical level of an output
	Percent  Percent       // Set: of a level
	For      time.Duration // Set: 0 leaves the output's own max_on; Pulse: the length, more than 0
	Register byte          // Write
	Bytes    []byte        // Write: 1 to MaxWrite
	Cause    string        // for the trace and for Change: the message id, "local", "safe"
	Deadline time.Time     // no first edge after this; judged on the monotonic clock; zero: none
	Asked    time.Time     // when somebody asked for it: what lapsed since then permits it no more; zero: now
	Token    uint64        // comes back in Result.Op; the board does not look at it
}

// Reason says why an operation was refused, in the words of the reason codes
// that a back end decides by.
type Reason string

// The board's reasons.
const (
	Disabled      Reason = "disabled"       // people have taken it out of use
	Interlocked   Reason = "interlocked"    // another output of the group is on, or unknown
	MinOff        Reason = "min-off"        // it has not been off long enough
	LevelUnknown  Reason = "level-unknown"  // away from safe is refused until a safe drive succeeded
	NotPermitted  Reason = "not-permitted"  // an input of its permit is not active, or cannot be read
	AlreadyAway   Reason = "already-away"   // a pulse on an output that is not at its safe level
	OverMaxOn     Reason = "over-max-on"    // For is beyond max_on
	Expired       Reason = "expired"        // Deadline has passed
	UnknownTarget Reason = "unknown-target" // no such output, level or register
	UnknownAction Reason = "unknown-action" // not an operation of that target
	NotAllowed    Reason = "not-allowed"    // a register outside the allow-list
	OutOfRange    Reason = "out-of-range"   // no bytes or too many, no length or a negative one, more than all of the time
)

// Result is the one answer to one Do. It succeeded when Refused is empty, Err is
// nil and, for a pulse, Cut is empty.
type Result struct {
	Op Op // as it was given

	// Refused: a rule stood against it, before any edge. Detail is one
	// sentence that names the rule and the value, or with Cut, what was behind it.
	Refused Reason
	Detail  string

	// Err: it was accepted and the hardware (or a closed board) failed it.
	// Mostly a *LineError or *BusError.
	Err error

	// Attempted: the first edge was attempted, so something may have moved even
	// though Err is set. An On for an output that is on already counts: there
	// is nothing left to attempt.
	Attempted bool

	// Transient: the same operation may well succeed within seconds. Set with
	// Err, and with Refused only where that is LevelUnknown for such a cause.
	Transient bool

	// Cut: a pulse came to its end early, and by what: the cause of the
	// operation that took its place, "permit", "disabled", "safe", or "stop".
	Cut string

	Level   Level     // of an output, now; Unknown for registers and for All
	Changed bool      // the level of an output was moved, or a register was written
	Until   time.Time // when the lease ends; zero: at its safe level, or no bound
}

// OK reports whether the operation did what it was asked to.
func (r Result) OK() bool { return r.Refused == "" && r.Err == nil && r.Cut == "" }

// Change is a move that no Do asked for, or the news that a level is no longer
// known.
type Change struct {
	Target string
	Level  Level
	Safe   bool      // that is its safe level
	Cause  string    // a Cause constant
	By     string    // the Cause of the operation that had moved the output before; empty: none had
	Why    string    // of a permit: which input, and what of it; of what was disabled: as Disable was told
	At     time.Time // when it moved
	Err    error     // of a trip: what the hardware said
	Lost   int       // so many changes before this one found no room and are gone

	Percent *Percent // of a level that is known; nil otherwise
}

// Causes of a change, and of the trace lines that the board writes by itself.
const (
	CauseLease     = "lease"     // its lease or max_on ended
	CauseTrip      = "trip"      // an error made the level unknown
	CauseSafe      = "safe"      // driven safe: at start, or after a trip
	CauseStop      = "stop"      // driven safe because the board is being closed
	CausePermit    = "permit"    // an input of its permit is not active any more, or cannot be read
	CauseDisabled  = "disabled"  // people have taken it out of use
	CauseInterlock = "interlock" // made way for an output of its group whose safe level is on
)

// Fault is a target or an input that the board cannot use now. It is being tried
// again.
type Fault struct {
	Target string
	Input  bool // it is an input: nothing of it could be at a safe level
	Err    error
	Since  time.Time
}
