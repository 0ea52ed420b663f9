package link

import "time"

// Rung is a way to reach the hub. The numbers are in journals in the field
// (the last good one is remembered): never renumber.
type Rung uint8

// The rungs, from the best to the last.
const (
	RungMQTT      Rung = 1 // MQTT over TLS on its own port (8883)
	RungWebSocket Rung = 2 // MQTT over WebSocket on HTTPS's port (443)
	RungHTTPS     Rung = 3 // no session: drains only
)

// String gives the name shown by status.
func (r Rung) String() string {
	switch r {
	case RungMQTT:
		return "mqtt"
	case RungWebSocket:
		return "websocket"
	case RungHTTPS:
		return "https"
	}
	return "none"
}

// MarshalText writes the rung's name, for status.
func (r Rung) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote; another word is no rung.
func (r *Rung) UnmarshalText(name []byte) error {
	*r = 0
	for known := RungMQTT; known <= RungHTTPS; known++ {
		if known.String() == string(name) {
			*r = known
		}
	}
	return nil
}

// other is the session's other rung.
func (r Rung) other() Rung {
	if r == RungMQTT {
		return RungWebSocket
	}
	return RungMQTT
}

// Input is something that happened. Inputs about a connection or a drain carry
// the generation of the action they answer; those about another than the
// present one are ignored, so that a late word from a dead session changes
// nothing.
type Input interface{ input() }

// Start asks for the link to be up from now on. It comes once, with what is
// remembered from earlier runs.
type Start struct{ Past Past }

// Past is what a journal remembers, and the clock by which it is to be read.
type Past struct {
	Wall    time.Time // the agent's clock at this step
	Trusted bool      // that clock is right

	LastPoll     time.Time // when the last poll began; zero: there was none
	PollTrusted  bool      // and that was a trusted time
	LastVisit    time.Time // the same for settle visits
	VisitTrusted bool
	LastSuback   time.Time // of this hub and device; zero: none
	FirstDrains  int       // first-subscribe drains since that SUBACK
	Starts       int       // since the last SUBACK or poll, this one included
	Rung         Rung      // that carried the last stable session; zero: none
}

// ClockSet says that the clock, which was not trusted at Start, is now.
type ClockSet struct{ Wall time.Time }

// Reached answers [Probe]: the hub can be reached on that rung.
type Reached struct{ Generation uint64 }

// Connected says that the hub accepted the connection.
type Connected struct {
	Generation uint64
	Stored     bool // the hub kept a session of ours ("session present")

	// When the session's token has lived 80 % and 95 % of its life. From the
	// first on the session is renewed as soon as nothing is unsettled, from the
	// second on regardless. Zero: never.
	Renew80, Renew95 time.Time
}

// Subscribed answers [Subscribe] with a SUBACK.
type Subscribed struct{ Generation uint64 }

// Refused says that a connection or a probe did not come about, for any reason
// from a missing route to a CONNACK that says no. The error's class
// (hub.ClassOf) decides how long the wait is.
type Refused struct {
	Generation uint64
	Err        error
}

// Lost says that a session has ended, whoever ended it. It is due after every
// [Disconnect] too, once the connection is closed.
type Lost struct {
	Generation uint64
	Err        error
}

// Unsettled says how many deliveries of the present session are not yet
// acknowledged, and how many of them are owed a reject, which MQTT cannot give.
type Unsettled struct{ N, Owed int }

// Drained answers [OpenDrain]: that drain is over.
type Drained struct {
	Generation uint64
	Answered   bool          // the hub gave a 200 or a 204 at least once
	Err        error         // why it ended before the queue was empty; nil: it was
	Wait       time.Duration // the hub wants to be left alone for so long; 0: it did not say
}

// Renew asks for a new session in place of the present one, once that is 30 s old.
type Renew struct{ Why string }

// Resign says that the clock was set: what was signed before is worth nothing, nor
// is what the hub said of it.
type Resign struct{}

// Credentials says that new ones are in force: what was refused before says
// nothing any more.
type Credentials struct{}

// Tick says that the time given by [Machine.Next] has come. One that comes
// early does nothing.
type Tick struct{}

func (Start) input()       {}
func (ClockSet) input()    {}
func (Reached) input()     {}
func (Connected) input()   {}
func (Subscribed) input()  {}
func (Refused) input()     {}
func (Lost) input()        {}
func (Unsettled) input()   {}
func (Drained) input()     {}
func (Renew) input()       {}
func (Resign) input()      {}
func (Credentials) input() {}
func (Tick) input()        {}

// Action is something that must now be done.
type Action interface{ action() }

// Probe asks whether the hub can be reached on a rung: all of a connection but
// its CONNECT. It must be answered by Reached or Refused of this generation.
type Probe struct {
	Generation uint64
	Rung       Rung
}

// Connect asks for one attempt. It must be answered by Connected or Refused of
// this generation.
type Connect struct {
	Generation uint64
	Rung       Rung
	Within     time.Duration // how long the attempt may take
	Blind      bool          // the queue should have been drained before, and could not be: what waits in it may be rejected by the hub
}

// Forget says that the hub has no subscription of ours any more: the SUBACK that is
// remembered must not be, and that must be durable before anything else is done.
type Forget struct{}

// Subscribe asks for SUBSCRIBE on the session of this generation. It must be
// answered by Subscribed, or end the session.
type Subscribe struct{ Generation uint64 }

// Disconnect asks that the connection of this generation be ended: the attempt
// given up if it is still under way, the session closed if it stands. It must
// be answered by Refused or Lost of this generation.
type Disconnect struct {
	Generation uint64
	Why        string // for the log, such as "renew token"
}

// OpenDrain asks for a drain ([Drain]). That it began must be durable before
// its first GET: for a poll and a visit the time, for the first-subscribe drain
// FirstDrains. It must be answered by Drained of this generation.
type OpenDrain struct {
	Generation  uint64
	Kind        DrainKind
	FirstDrains int // to be remembered
}

func (Probe) action()      {}
func (Connect) action()    {}
func (Forget) action()     {}
func (Subscribe) action()  {}
func (Disconnect) action() {}
func (OpenDrain) action()  {}
