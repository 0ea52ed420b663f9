package localhub

import (
	"cmp"
	"net/http"
	"time"
)

// Options are a hub's settings. The zero value behaves as the real hub does, or
// most likely does. Where nobody outside Microsoft knows, the field says what
// the other choice is for.
type Options struct {
	// Host is the hub's name: what devices must name in user name and token.
	// "": localhost.
	Host string

	// Window is how many deliveries may be unacknowledged on a connection; 0:
	// 10, which is how the open-source gateway is shipped. The real one is not
	// known, so test with 1 and 50 too.
	Window int

	// DefaultTTL (0: 1 h) and MaxDeliveries (0: 10) are settings of a hub.
	DefaultTTL    time.Duration
	MaxDeliveries int

	// IgnoreAckOrder: a PUBACK out of order is dropped for good instead of
	// closing the connection. The gateway has both modes.
	IgnoreAckOrder bool

	// IgnoreLateAck: a PUBACK for a message whose lock has lapsed completes
	// nothing but does not close the connection.
	IgnoreLateAck bool

	// RedeliverOnExpiry: a message whose lock has lapsed is delivered again on
	// the live connection, with the same packet id, instead of on the next.
	RedeliverOnExpiry bool

	// LocksOutliveConnection: a message that was not acknowledged when its
	// connection ended stays locked for the rest of its minute, instead of
	// being free at once.
	LocksOutliveConnection bool

	// FeedbackBatch: feedback comes as the real hub sends it, 64 records or
	// 15 s at a time, instead of at once.
	FeedbackBatch bool

	// TokenGrace is how long a connection outlives its token; 0: 10 min, which
	// is the documented upper bound.
	TokenGrace time.Duration

	// The rest is about HTTPS.

	// Date says what the Date header tells when it is now; nil: the truth. It
	// is asked by several goroutines.
	Date func(now time.Time) time.Time

	// HTTPTime is the layout of iothub-enqueuedtime and iothub-expiry, in UTC.
	// "": as Microsoft's command line expects it, 12/9/2019 12:00:00 PM. The
	// real one is not known.
	HTTPTime string

	// OmitEmptyHeaders: a message's properties that the sender did not set make
	// no header, instead of an empty one.
	OmitEmptyHeaders bool

	// UnknownDevice and DisabledDevice are the statuses for a device that is not
	// registered (0: 404; the AMQP side was seen to give both 404001 and
	// 401002) and for one that is disabled (0: 401).
	UnknownDevice, DisabledDevice int

	// NestedErrors: the body of an error is JSON in JSON, as newer captures show
	// it, instead of "ErrorCode:Name;text".
	NestedErrors bool

	// ReceivesPerMinute is how many GETs all devices together may make in a
	// minute before they are answered 429; 0: any number. A real hub allows
	// 1000 for each unit of the S1 tier. RetryAfter is what such an answer asks
	// for; 0: it has no Retry-After.
	ReceivesPerMinute int
	RetryAfter        time.Duration

	// Observe, if set, is called with every event, in order, one at a time, by
	// whichever goroutine is at hand, and without any lock held: it may call
	// the hub, except Close. While it runs, later events wait.
	Observe func(Event)
}

func (o Options) filled() Options {
	if o.Host == "" {
		o.Host = "localhost"
	}
	if o.Window <= 0 {
		o.Window = 10
	}
	if o.DefaultTTL <= 0 {
		o.DefaultTTL = defaultTTL
	}
	if o.MaxDeliveries <= 0 {
		o.MaxDeliveries = defaultDeliveries
	}
	if o.TokenGrace <= 0 {
		o.TokenGrace = 10 * time.Minute
	}
	if o.Date == nil {
		o.Date = func(now time.Time) time.Time { return now }
	}
	o.HTTPTime = cmp.Or(o.HTTPTime, "1/2/2006 3:04:05 PM")
	o.UnknownDevice = cmp.Or(o.UnknownDevice, http.StatusNotFound)
	o.DisabledDevice = cmp.Or(o.DisabledDevice, http.StatusUnauthorized)
	return o
}
