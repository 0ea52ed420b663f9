package https

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"actuatord/hub"
)

// Names of headers, in lower case. Those of a received message's content are
// literally so: the hub does not use the iothub- names there (captures).
const (
	headMessageID       = "iothub-messageid"
	headCorrelationID   = "iothub-correlationid"
	headUserID          = "iothub-userid"
	headTo              = "iothub-to"
	headExpiry          = "iothub-expiry"
	headEnqueued        = "iothub-enqueuedtime"
	headAck             = "iothub-ack"
	headDeliveries      = "iothub-deliverycount"
	headSequence        = "iothub-sequencenumber"
	headContentType     = "contenttype"
	headContentEncoding = "contentencoding"
	headApplication     = "iothub-app-"

	sendContentType     = "iothub-contenttype"
	sendContentEncoding = "iothub-contentencoding"
)

// maxLock bounds a lock token: a GUID has 36 characters.
const maxLock = 128

// Received is a message with the lock under which the hub has given it.
type Received struct {
	// Message is as over MQTT, but for the names of application properties: HTTP
	// does not keep the case of headers, so they are in lower case. Enqueued is
	// zero if the hub's writing of it cannot be read.
	Message hub.Message

	// Fault is set when the headers cannot be read: a [*hub.PropertyError].
	// Message then is empty but for its body, and Lock is there to reject it by.
	Fault error

	Lock       string // what Complete, Reject and Abandon take: 1 to 128 visible ASCII characters
	Deliveries int    // how often the hub had delivered it before; 0 also if it does not say
	Sequence   uint64 // the hub's number of it; 0 if it does not say
}

var errLock = errors.New("no usable lock token (ETag)")

// readHeaders reads everything but the body. The only error is the lack of a
// lock; what else is wrong is a fault of the message.
func readHeaders(h http.Header) (Received, error) {
	var r Received
	if r.Lock = readLock(h.Values("Etag")); r.Lock == "" {
		return Received{}, errLock
	}
	if n, err := strconv.ParseInt(h.Get(headDeliveries), 10, 32); err == nil {
		r.Deliveries = int(max(n, 0))
	}
	if n, err := strconv.ParseUint(h.Get(headSequence), 10, 64); err == nil {
		r.Sequence = n
	}
	m, fault := readMessage(h)
	if fault != nil {
		r.Fault = fault
		return r, nil
	}
	r.Message = m
	return r, nil
}

// readLock takes one ETag, quoted as the hub was seen to send it, or not. A
// weak one would have a slash. The token goes into a path and between quotes.
func readLock(etags []string) string {
	if len(etags) != 1 {
		return ""
	}
	lock := etags[0]
	if n := len(lock); n >= 2 && lock[0] == '"' && lock[n-1] == '"' {
		lock = lock[1 : n-1]
	}
	unusable := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '"' || r == '\\' }
	if len(lock) > maxLock || lock == "." || lock == ".." || strings.ContainsFunc(lock, unusable) {
		return ""
	}
	return lock
}

func fault(format string, args ...any) *hub.PropertyError {
	return &hub.PropertyError{Pos: -1, Reason: fmt.Sprintf(format, args...)}
}

// readMessage reads the message's properties. Headers that it does not know are
// not looked at, so that a newer hub can add some. One that comes twice is a
// fault, as over MQTT: neither may be guessed.
func readMessage(h http.Header) (hub.Message, *hub.PropertyError) {
	var m hub.Message
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(h)) {
		name := strings.ToLower(key)
		app, application := strings.CutPrefix(name, headApplication)
		if !application && !system(name) {
			continue
		}
		if len(h[key]) != 1 || seen[name] {
			return hub.Message{}, fault("second header %s", quote(name))
		}
		seen[name] = true
		value := h[key][0]
		if !utf8.ValidString(value) || !utf8.ValidString(name) {
			return hub.Message{}, fault("invalid UTF-8 in header %s", quote(name))
		}
		if application {
			if app == "" {
				return hub.Message{}, fault("empty property name")
			}
			if m.Properties == nil {
				m.Properties = map[string]string{}
			}
			m.Properties[app] = value
		} else if bad := set(&m, name, value); bad != nil {
			return hub.Message{}, bad
		}
	}
	return m, nil
}

func system(name string) bool {
	switch name {
	case headMessageID, headCorrelationID, headUserID, headTo, headExpiry, headEnqueued, headAck, headContentType, headContentEncoding:
		return true
	}
	return false
}

// set takes one system property. An empty value is the hub's way to say that
// there is none.
func set(m *hub.Message, name, value string) *hub.PropertyError {
	switch name {
	case headMessageID:
		if len(value) > hub.MaxMessageID {
			return fault("oversize message id")
		}
		m.ID = value
	case headCorrelationID:
		m.CorrelationID = value
	case headUserID:
		m.UserID = value
	case headTo:
		m.To = value
	case headAck:
		m.Ack = value
	case headContentType:
		m.ContentType = value
	case headContentEncoding:
		m.ContentEncoding = value
	case headEnqueued:
		m.Enqueued, _ = readTime(value) // it only helps to tell a message's age
	case headExpiry:
		at, ok := readTime(value)
		if !ok {
			return fault("expiry %s is no time", quote(value))
		}
		m.Expiry = at
	}
	return nil
}

// readTime reads what the hub might write. Its real form is not known: a test of
// the Azure CLI shows 12/09/2019 12:00:00 PM, the rest are the usual ones of .NET
// and HTTP. A time without a zone is UTC, as all the hub's are. Like over MQTT,
// it is cut to the hub's own 100 ns; the empty one is no time, and no fault.
func readTime(s string) (at time.Time, ok bool) {
	if s == "" {
		return time.Time{}, true
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00",
		http.TimeFormat, time.RFC1123Z,
		"1/2/2006 3:04:05 PM", "1/2/2006 3:04:05 PM -07:00", "1/2/2006 15:04:05", "1/2/2006 15:04:05 -07:00",
	} {
		at, err := time.Parse(layout, s) // every layout also takes a fraction of a second
		if err != nil {
			continue
		}
		at = at.UTC().Truncate(100 * time.Nanosecond)
		return at, at.Year() >= 1 && at.Year() <= 9999 // an offset can carry a written year over the edge
	}
	return time.Time{}, false
}

// telemetryHeader gives t's headers, and how much of the hub's bound they take.
func telemetryHeader(t hub.Telemetry) (h http.Header, size int) {
	h = http.Header{}
	add := func(name, value string) {
		// Not Set: it would give names a capital, and the hub may keep the case of
		// a property's name.
		h[name] = []string{value}
		size += len(name) + len(value)
	}
	system := func(name, value string) {
		if value != "" {
			add(name, safe(value, visible))
		}
	}
	add("Content-Type", "application/octet-stream")
	system(headMessageID, t.MessageID)
	system(headCorrelationID, t.CorrelationID)
	system(sendContentType, t.ContentType)
	system(sendContentEncoding, t.ContentEncoding)
	for name, value := range t.Properties {
		if name != "" {
			add(headApplication+safe(name, inProperty), safe(value, inProperty))
		}
	}
	return h, size
}

// safe gives s as it is if the hub takes all of it, and otherwise percent-encoded
// as over MQTT. That a reader of such a value decodes it is assumed: nothing says
// how the hub wants it, and a report with an odd value is better than none.
func safe(s string, allowed func(c byte) bool) string {
	for i := range len(s) {
		if !allowed(s[i]) {
			return hub.Escape(s)
		}
	}
	return s
}

// visible is what a header can hold of system properties without losing it.
func visible(c byte) bool { return c > ' ' && c < 0x7f }

// inProperty is what names and values of application properties may hold over
// HTTPS, by the hub's documentation ("Create and read IoT Hub messages"). It is
// also what a header's name may hold.
func inProperty(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// quote quotes what a stranger sent, cut so that an error stays one line.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}
