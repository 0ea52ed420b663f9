package hub

import "time"

// Message is a cloud-to-device message as it reaches the device: every system
// property the hub passes on, the application properties, and the body.
type Message struct {
	ID            string // message-id, at most 128 bytes; "": the sender set none
	CorrelationID string
	UserID        string
	To            string    // AMQP "to" exactly as the sender wrote it, such as /devices/pump-1/messages/deviceBound
	Expiry        time.Time // UTC, absolute; zero: the sender set none

	ContentType     string
	ContentEncoding string

	// Ack is the feedback the sender asked for (iothub-ack): "", "none",
	// "positive", "negative" or "full". It is kept as sent: the device does
	// nothing with it, so an unknown word is no fault here.
	Ack string

	Properties map[string]string // application properties; nil when there are none
	Enqueued   time.Time         // when the hub took it; only over HTTPS, otherwise zero
	Body       []byte            // at most 64 KiB, any bytes
}

// Transport says over which transport a delivery came. The numbers never leave
// the process.
type Transport uint8

// The transports. The zero value is no transport, so that a Delivery nobody
// filled in is noticed.
const (
	MQTT  Transport = 1
	HTTPS Transport = 2
)

// String gives the name used in logs: "mqtt" or "https".
func (t Transport) String() string {
	switch t {
	case MQTT:
		return "mqtt"
	case HTTPS:
		return "https"
	}
	return "unknown transport"
}

// Delivery is one handing-over of a message. The same message may come in
// several, over either transport. It is settled with (Session, Seq) at the
// transport that made it, and with nothing else: MQTT packet ids are reused
// across messages and never leave the transport.
type Delivery struct {
	Message Message

	// Fault is set when the topic's properties cannot be read: a
	// [*PropertyError]. Message.Body is still what was sent; the other fields
	// of Message may be empty.
	Fault error

	Via     Transport
	Session uint64 // which MQTT session delivered it: 1, 2, …
	Seq     uint64 // order of receipt within the session, from 1
}

// Telemetry is a device-to-cloud message.
type Telemetry struct {
	MessageID       string // optional
	CorrelationID   string // optional
	ContentType     string // "application/json" here makes the body readable to hub routes, with
	ContentEncoding string // … "utf-8" here; without both, a route cannot query the body
	Properties      map[string]string
	Body            []byte // at most 256 KiB together with the properties (the hub's limit)
}
