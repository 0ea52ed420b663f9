package hub

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Names of system properties in a property bag, decoded. Seen in captures of
// real hubs and in the device SDKs; iothub-ack is an AMQP application property
// and so has no "$." before it.
const (
	propMessageID       = "$.mid"
	propCorrelationID   = "$.cid"
	propUserID          = "$.uid"
	propTo              = "$.to"
	propExpiry          = "$.exp"
	propContentType     = "$.ct"
	propContentEncoding = "$.ce"
	propAck             = "iothub-ack"
	systemPrefix        = "$."
)

// expiryFormat is .NET's round-trip form, as the hub writes it: always UTC,
// always seven digits of a second.
const expiryFormat = "2006-01-02T15:04:05.0000000Z"

// DeviceboundFilter is the topic filter for a device's cloud-to-device
// messages. The '#' matches the property bag; nothing finer can be asked for.
func DeviceboundFilter(deviceID string) string {
	return deviceTopic(deviceID, "devicebound") + "#"
}

func deviceTopic(deviceID, kind string) string {
	return "devices/" + deviceID + "/messages/" + kind + "/"
}

// bagStart finds where the bag starts in a topic of the given kind. A topic
// without its last slash is the same topic with an empty bag: '#' matches the
// parent level as well.
func bagStart(deviceID, kind, topic string) (int, *PropertyError) {
	prefix := deviceTopic(deviceID, kind)
	switch {
	case strings.HasPrefix(topic, prefix):
		return len(prefix), nil
	case topic == prefix[:len(prefix)-1]:
		return len(topic), nil
	}
	return 0, &PropertyError{Reason: "not a " + kind + " topic of this device"}
}

// ParseDevicebound reads the topic of a cloud-to-device message: every field of
// the Message but Body and Enqueued. An error is always a [*PropertyError]; the
// Message beside it is empty. System properties it does not know are dropped,
// so that a newer hub can add some. A property that comes twice is a fault: a
// map has one value for a name, and neither may be guessed.
func ParseDevicebound(deviceID, topic string) (Message, error) {
	from, fault := bagStart(deviceID, "devicebound", topic)
	if fault != nil {
		return Message{}, fault
	}
	var m Message
	seen := map[string]bool{}
	fault = eachPair(topic, from, func(pos int, key, value string) *PropertyError {
		if seen[key] {
			return &PropertyError{Pos: pos, Reason: "second property " + quoteShort(key)}
		}
		seen[key] = true
		return m.set(pos, key, value)
	})
	if fault != nil {
		return Message{}, fault
	}
	return m, nil
}

func (m *Message) set(pos int, key, value string) *PropertyError {
	switch key {
	case propMessageID:
		if len(value) > MaxMessageID {
			return &PropertyError{Pos: pos, Reason: "oversize message id"}
		}
		m.ID = value
	case propCorrelationID:
		m.CorrelationID = value
	case propUserID:
		m.UserID = value
	case propTo:
		m.To = value
	case propContentType:
		m.ContentType = value
	case propContentEncoding:
		m.ContentEncoding = value
	case propAck:
		m.Ack = value
	case propExpiry:
		at, err := parseExpiry(value)
		if err != nil {
			return &PropertyError{Pos: pos, Reason: "expiry " + quoteShort(value) + " is not an RFC 3339 time"}
		}
		m.Expiry = at
	default:
		m.Properties = addProperty(m.Properties, key, value)
	}
	return nil
}

// addProperty keeps an application property and drops a system one.
func addProperty(p map[string]string, key, value string) map[string]string {
	if strings.HasPrefix(key, systemPrefix) {
		return p
	}
	if p == nil {
		p = map[string]string{}
	}
	p[key] = value
	return p
}

// parseExpiry reads the hub's form and any other RFC 3339. It is cut to the
// hub's own 100 ns. An empty value is the null of older hubs.
func parseExpiry(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, err
	}
	at = at.UTC().Truncate(100 * time.Nanosecond)
	if y := at.Year(); y < 1 || y > 9999 { // an offset can carry a written year over the edge
		return time.Time{}, &time.ParseError{Value: s, Message: ": year out of range"}
	}
	return at, nil
}

// FormatDevicebound writes the topic of m as real hubs were seen to: system
// properties in their usual order, iothub-ack, then application properties.
// The hub promises no order; these are sorted so that tests can compare. m must
// not hold application properties that start with "$." or have an empty name.
func FormatDevicebound(deviceID string, m Message) string {
	var w bagWriter
	if !m.Expiry.IsZero() {
		w.set(propExpiry, m.Expiry.UTC().Format(expiryFormat))
	}
	w.set(propCorrelationID, m.CorrelationID)
	w.set(propMessageID, m.ID)
	w.set(propTo, m.To)
	w.set(propUserID, m.UserID)
	w.set(propContentType, m.ContentType)
	w.set(propContentEncoding, m.ContentEncoding)
	w.set(propAck, m.Ack)
	writeProperties(&w, m.Properties)
	return deviceTopic(deviceID, "devicebound") + w.String()
}

func writeProperties(w *bagWriter, p map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(p)) {
		w.pair(key, p[key])
	}
}

// FormatEvents writes the topic that t is published to. The hub closes the
// connection on a bag with an unescaped character, so everything but letters,
// digits and -._~ is escaped.
func FormatEvents(deviceID string, t Telemetry) string {
	var w bagWriter
	w.set(propMessageID, t.MessageID)
	w.set(propCorrelationID, t.CorrelationID)
	w.set(propContentType, t.ContentType)
	w.set(propContentEncoding, t.ContentEncoding)
	writeProperties(&w, t.Properties)
	return deviceTopic(deviceID, "events") + w.String()
}

// ParseEvents is the hub's side of [FormatEvents]; Body is not filled. An error
// is a [*PropertyError].
func ParseEvents(deviceID, topic string) (Telemetry, error) {
	from, fault := bagStart(deviceID, "events", topic)
	if fault != nil {
		return Telemetry{}, fault
	}
	var t Telemetry
	seen := map[string]bool{}
	fault = eachPair(topic, from, func(pos int, key, value string) *PropertyError {
		if seen[key] {
			return &PropertyError{Pos: pos, Reason: "second property " + quoteShort(key)}
		}
		seen[key] = true
		switch key {
		case propMessageID:
			t.MessageID = value
		case propCorrelationID:
			t.CorrelationID = value
		case propContentType:
			t.ContentType = value
		case propContentEncoding:
			t.ContentEncoding = value
		default:
			t.Properties = addProperty(t.Properties, key, value)
		}
		return nil
	})
	if fault != nil {
		return Telemetry{}, fault
	}
	return t, nil
}
