package localhub

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"actuatord/hub"
)

// Kind says what an [Event] tells. Kinds are the first word of its line and
// stable.
type Kind string

// The kinds. "The message" is named by Event.ID.
const (
	// A message's way through the queue.
	KindEnqueued     Kind = "enqueued"      // the hub took the message
	KindDelivered    Kind = "delivered"     // it is being written to the device, as Packet or Via HTTPS
	KindReleased     Kind = "released"      // it went back to the queue; Text says why
	KindCompleted    Kind = "completed"     // it was completed
	KindDeadLettered Kind = "dead-lettered" // it ended without being completed, with Status
	KindFeedback     Kind = "feedback"      // the sender is told Status
	KindAckIgnored   Kind = "ack-ignored"   // a PUBACK (Packet) completed nothing; Text says why

	// A device's connection.
	KindConnected    Kind = "connected"    // CONNACK 0; Text is "session=present" or "session=new"
	KindRefused      Kind = "refused"      // CONNACK Code; Text says why
	KindSubscribed   Kind = "subscribed"   // Text is the topic filter
	KindUnsubscribed Kind = "unsubscribed" // Text is the topic filter
	KindClosed       Kind = "closed"       // the connection ended; Text says why
	KindTelemetry    Kind = "telemetry"    // the device sent Telemetry
	KindFault        Kind = "fault"        // a scripted fault struck; Text says which
	KindRequest      Kind = "request"      // an HTTPS request was answered with HTTP, or is never to be (0); it follows what it did
)

// Event is one thing that happened at the hub. Fields that a kind does not use
// are zero.
type Event struct {
	Kind      Kind
	At        time.Time
	Device    string // "" if a connection ended before it said which device it is
	ID        string // the message id; "#N" for a message without one: the Nth of its device's queue
	Packet    uint16 // MQTT packet id
	Dup       bool   // the DUP bit of a delivery
	Code      byte   // CONNACK return code
	Status    Status
	Telemetry hub.Telemetry
	Text      string

	Via       hub.Transport // of a delivery
	WebSocket bool          // the device connected over one
	Method    string        // of an HTTPS request
	Request   Packet        // what that asked for; "http-other": nothing that there is
	HTTP      int           // the status it was answered with; 0: it was not
}

// String gives the event as one line, as c2d hub prints it: its kind, what it
// is about, then key=value pairs. The body of telemetry is the rest of its
// line: as it came if it is printable, otherwise as a JSON string.
func (e Event) String() string {
	switch e.Kind {
	case KindEnqueued, KindCompleted:
		return fmt.Sprintf("%s %s device=%s", e.Kind, e.ID, e.Device)
	case KindDelivered:
		if e.Via == hub.HTTPS {
			return fmt.Sprintf("%s %s via=https device=%s", e.Kind, e.ID, e.Device)
		}
		return fmt.Sprintf("%s %s packet=%d dup=%t device=%s", e.Kind, e.ID, e.Packet, e.Dup, e.Device)
	case KindDeadLettered, KindFeedback:
		return fmt.Sprintf("%s %s %s device=%s", e.Kind, e.ID, e.Status, e.Device)
	case KindReleased:
		return fmt.Sprintf("%s %s device=%s %s", e.Kind, e.ID, e.Device, e.Text)
	case KindAckIgnored:
		return fmt.Sprintf("%s packet=%d device=%s %s", e.Kind, e.Packet, e.Device, e.Text)
	case KindRefused:
		return fmt.Sprintf("%s %s code=%d %s", e.Kind, e.deviceWord(), e.Code, oneLine([]byte(e.Text)))
	case KindRequest:
		return e.requestLine()
	case KindConnected:
		if e.WebSocket {
			return fmt.Sprintf("%s %s %s via=websocket", e.Kind, e.Device, e.Text)
		}
	case KindTelemetry:
		return fmt.Sprintf("%s %s %s", e.Kind, e.Device, oneLine(e.Telemetry.Body))
	}
	return fmt.Sprintf("%s %s %s", e.Kind, e.deviceWord(), oneLine([]byte(e.Text)))
}

// requestLine says what was asked for with which method and what the answer was:
// "request GET receive 204 device=pump-1", with a reason behind it if the answer
// was no. "-" stands for no answer.
func (e Event) requestLine() string {
	status := "-"
	if e.HTTP != 0 {
		status = strconv.Itoa(e.HTTP)
	}
	line := fmt.Sprintf("%s %s %s %s device=%s", e.Kind, e.Method, strings.TrimPrefix(string(e.Request), "http-"), status, e.deviceWord())
	if e.Text != "" {
		line += " " + oneLine([]byte(e.Text))
	}
	return line
}

// deviceWord gives the device as one word: a stranger may have sent anything.
func (e Event) deviceWord() string {
	switch {
	case e.Device == "":
		return "-"
	case hub.CheckDeviceID(e.Device) != nil:
		return fmt.Sprintf("%q", e.Device)
	}
	return e.Device
}

// oneLine gives b as it is if that is one printable line, otherwise quoted.
func oneLine(b []byte) string {
	s := string(b)
	if s != "" && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return Quote(s)
}

// Quote gives s as a JSON string on one line, in which what is not printable is
// escaped: encoding/json leaves DEL and all above it as it is, and what a device sent
// must not move the cursor of whoever reads the record.
func Quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil { // a string always has a JSON form; this keeps the line whole if that ever changes
		return fmt.Sprintf("%q", s)
	}
	var b strings.Builder
	for _, r := range string(text) {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// feedback is what a sender is told about the end of a message for which it
// asked.
type feedback struct {
	device    string
	messageID string
	status    Status
	at        time.Time // of the outcome: enqueuedTimeUtc in the hub's JSON
}

// Feedback is sent in batches: a documented fact of the service.
const (
	feedbackBatch = 64
	feedbackDelay = 15 * time.Second
)

// wantsFeedback knows the meaning of iothub-ack. That "negative" includes
// rejection and purge is inferred; the documentation names expiry and delivery
// count only.
func wantsFeedback(ack string, s Status) bool {
	switch ack {
	case "full":
		return true
	case "positive":
		return s == Success
	case "negative":
		return s != Success
	}
	return false
}

// recordLimit is how many events Events keeps: several times what the longest
// test makes, and a few megabytes when each is telemetry.
const recordLimit = 10_000

// record is everything that happened, in order, and who is told. It is guarded
// by the Hub's mutex.
type record struct {
	events  []Event
	observe func(Event)
	waiting []Event // not yet observed
	telling bool    // somebody is calling observe
}

func (r *record) add(e Event) {
	if len(r.events) >= recordLimit {
		r.events = append(r.events[:0], r.events[recordLimit/2:]...) // halved, so that this is rare
	}
	r.events = append(r.events, e)
	if r.observe != nil {
		r.waiting = append(r.waiting, e)
	}
}
