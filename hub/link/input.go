package link

import "time"

// Rung is a way to reach the hub. The numbers never leave the process.
type Rung uint8

// RungMQTT is MQTT over TLS on its own port (8883).
const RungMQTT Rung = 1

// String gives the name shown by status: "mqtt".
func (r Rung) String() string {
	if r == RungMQTT {
		return "mqtt"
	}
	return "none"
}

// MarshalText writes the rung's name, for status.
func (r Rung) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Rung) UnmarshalText(name []byte) error {
	*r = 0
	if string(name) == RungMQTT.String() {
		*r = RungMQTT
	}
	return nil
}

// Input is something that happened: [Start], [Connected], [Refused], [Lost],
// [Unsettled], [Renew], [Tick] or [Stop]. Inputs about a connection carry the generation
// of the [Connect] they answer; those about another than the present one are
// ignored, so that a late word from a dead session changes nothing.
type Input interface{ input() }

// Start asks for the link to be up from now on.
type Start struct{}

// Connected says that the hub accepted the connection.
type Connected struct {
	Generation uint64

	// When the session's token has lived 80 % and 95 % of its life. From the
	// first on the session is renewed as soon as nothing is unsettled, from the
	// second on regardless. Zero: never.
	Renew80, Renew95 time.Time
}

// Refused says that a connection did not come about, for any reason from a
// missing route to a CONNACK that says no. The error's class (hub.ClassOf)
// decides how long the wait is.
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
// acknowledged.
type Unsettled struct{ N int }

// Renew asks for a new session in place of the present one, such as to have the
// hub look again at deliveries that cannot be settled. A session that is younger
// than 30 s stays.
type Renew struct{ Why string }

// Tick says that the time given by [Machine.Next] has come. One that comes
// early does nothing.
type Tick struct{}

// Stop asks for the link to be down until the next Start.
type Stop struct{}

func (Start) input()     {}
func (Connected) input() {}
func (Refused) input()   {}
func (Lost) input()      {}
func (Unsettled) input() {}
func (Renew) input()     {}
func (Tick) input()      {}
func (Stop) input()      {}

// Action is something that must now be done: [Connect] or [Disconnect].
type Action interface{ action() }

// Connect asks for one attempt. It must be answered by Connected or Refused of
// this generation.
type Connect struct {
	Generation uint64
	Rung       Rung
}

// Disconnect asks that the connection of this generation be ended: the attempt
// given up if it is still under way, the session closed if it stands. It must
// be answered by Refused or Lost of this generation.
type Disconnect struct {
	Generation uint64
	Why        string // for the log, such as "renew token"
}

func (Connect) action()    {}
func (Disconnect) action() {}
