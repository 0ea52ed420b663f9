package hub

import (
	"errors"
	"fmt"
)

// Class says how soon it makes sense to try the hub again. No class means
// never: an unattended device keeps trying, since what is wrong is usually put
// right at the other end.
type Class uint8

// The classes. The numbers never leave the process.
const (
	RetrySoon     Class = 1 // the network or the hub: ordinary back-off
	RetrySlowly   Class = 2 // the hub said no to us: credential, disabled, somebody else with our id
	Misconfigured Class = 3 // cannot work until somebody changes something here: wrong trust roots, wrong host
)

// String gives the words shown by status: "retry soon" and so on.
func (c Class) String() string {
	switch c {
	case RetrySoon:
		return "retry soon"
	case RetrySlowly:
		return "retry slowly"
	case Misconfigured:
		return "misconfigured"
	}
	return "unclassified"
}

// MarshalText writes the words, for status.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText wrote; other words are no class.
func (c *Class) UnmarshalText(words []byte) error {
	*c = 0
	for _, known := range []Class{RetrySoon, RetrySlowly, Misconfigured} {
		if known.String() == string(words) {
			*c = known
		}
	}
	return nil
}

// Causes of an [Error]. They are shown to people and sent in reports, so they
// are stable.
const (
	CauseNetwork           = "network"            // no route, name, answer, or the connection broke
	CauseProxy             = "proxy"              // an HTTP proxy on the way said no, or its settings cannot be used
	CauseTLS               = "tls"                // the peer could not prove to be the hub, or speaks no TLS we accept
	CauseCredential        = "credential"         // CONNACK 4 or 5, HTTP 401, 403 or 404: key, token, clock, unknown device
	CauseServerUnavailable = "server-unavailable" // CONNACK 3: the hub is busy, or the device is disabled; HTTP 408 or 5xx
	CauseThrottled         = "throttled"          // HTTP 429: too many requests to this hub
	CauseQuota             = "quota"              // HTTP 403: the hub's messages of the day are used up
	CauseLockLost          = "lock-lost"          // HTTP 412: the lock on a message has lapsed; it comes again
	CauseIdentity          = "identity"           // CONNACK 2: the hub does not like our device id
	CauseProtocol          = "protocol"           // the peer broke MQTT or HTTP, or does not take ours
	CauseSubscription      = "subscription"       // the hub refused our SUBSCRIBE
	CauseClosedEarly       = "closed-early"       // sessions end soon after they start, again and again
	CauseOverflow          = "overflow"           // more deliveries came than are kept in memory; they stay on the hub
	CauseClosed            = "closed"             // we ended the session ourselves
)

// Error is what the link machine decides by: a class, a cause for people and
// reports, and the error underneath. It never holds a secret.
type Error struct {
	Class Class
	Cause string // one of the Cause constants
	Err   error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Cause
	}
	return e.Cause + ": " + e.Err.Error()
}

// Unwrap gives the error underneath.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf finds the class of err: RetrySoon when nothing says otherwise, as
// most of what goes wrong is the network.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) && e.Class != 0 {
		return e.Class
	}
	return RetrySoon
}

// CauseOf finds the cause of err, or CauseNetwork when nothing says otherwise.
// It is "" for nil.
func CauseOf(err error) string {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e) && e.Cause != "":
		return e.Cause
	}
	return CauseNetwork
}

// ConnackError gives what a CONNACK return code means; nil for 0. The hub
// answers nearly every refusal with 5, a disabled device and its own trouble
// both with 3 (SDK sources and field reports), so 5 is about us and 3 may be
// either: 3 is retried at the ordinary pace, whose back-off soon is slow too.
func ConnackError(code byte) error {
	refused := func(c Class, cause, text string) error {
		return &Error{Class: c, Cause: cause, Err: fmt.Errorf("hub refused CONNECT with code %d (%s)", code, text)}
	}
	switch code {
	case 0:
		return nil
	case 1:
		return refused(Misconfigured, CauseProtocol, "protocol version not supported: is this an IoT Hub?")
	case 2:
		return refused(Misconfigured, CauseIdentity, "client id rejected: check DeviceId in the connection string")
	case 3:
		return refused(RetrySoon, CauseServerUnavailable, "server unavailable: the hub is busy, or the device is disabled")
	case 4:
		return refused(RetrySlowly, CauseCredential, "bad user name or password: check the connection string")
	case 5:
		return refused(RetrySlowly, CauseCredential, "not authorized: unknown device, wrong key, or this clock is off by more than 5 minutes")
	}
	return refused(RetrySlowly, CauseProtocol, "a code MQTT 3.1.1 does not have")
}
