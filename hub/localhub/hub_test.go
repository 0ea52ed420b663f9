package localhub

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

func newTestHub(t *testing.T, o Options) *Hub {
	t.Helper()
	o.Host = "test.hub"
	h := New(o)
	t.Cleanup(h.Close)
	if _, err := h.AddDevice("pump-1"); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSendRefuses(t *testing.T) {
	big := strings.Repeat("x", maxMessage)
	cases := map[string]struct {
		device  string
		message hub.Message
		want    error
	}{
		"unknown device":            {"pump-2", hub.Message{}, ErrUnknownDevice},
		"ack without id":            {"pump-1", hub.Message{Ack: "full"}, ErrInvalid},
		"unknown ack":               {"pump-1", hub.Message{ID: "a", Ack: "Full"}, ErrInvalid},
		"long id":                   {"pump-1", hub.Message{ID: big[:129]}, ErrInvalid},
		"blank in id":               {"pump-1", hub.Message{ID: "a b"}, ErrInvalid},
		"umlaut in id":              {"pump-1", hub.Message{ID: "ä"}, ErrInvalid},
		"body too large":            {"pump-1", hub.Message{Body: []byte(big + "x")}, ErrTooLarge},
		"property too large":        {"pump-1", hub.Message{Body: []byte(big[:maxMessage-100]), Properties: map[string]string{"k": big[:100]}}, ErrTooLarge},
		"topic too long":            {"pump-1", hub.Message{Properties: map[string]string{"k": strings.Repeat("%", 30000)}}, ErrTooLarge},
		"property without name":     {"pump-1", hub.Message{Properties: map[string]string{"": "v"}}, ErrInvalid},
		"property of the system":    {"pump-1", hub.Message{Properties: map[string]string{"$.mid": "v"}}, ErrInvalid},
		"ack smuggled as property":  {"pump-1", hub.Message{Properties: map[string]string{"iothub-ack": "full"}}, ErrInvalid},
		"expiry too far":            {"pump-1", hub.Message{Expiry: time.Now().Add(longestTTL + time.Hour)}, ErrInvalid},
		"just right":                {"pump-1", hub.Message{Body: []byte(big[:maxMessage-100])}, nil},
		"every character of an id":  {"pump-1", hub.Message{ID: "azAZ09-:.+%_#*?!(),=@;$'", Ack: "none"}, nil},
		"longest id":                {"pump-1", hub.Message{ID: big[:128], Ack: "full"}, nil},
		"expiry as far as possible": {"pump-1", hub.Message{Expiry: time.Now().Add(longestTTL)}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newTestHub(t, Options{})
			if _, err := h.Send(c.device, c.message); !errors.Is(err, c.want) {
				t.Errorf("Send gave %v; want %v", err, c.want)
			}
		})
	}
}

func TestSendKeepsItsOwnCopy(t *testing.T) {
	h := newTestHub(t, Options{})
	m := hub.Message{ID: "a", Body: []byte("on"), Properties: map[string]string{"k": "v"}}
	if _, err := h.Send("pump-1", m); err != nil {
		t.Fatal(err)
	}
	m.Body[0], m.Properties["k"] = 'X', "X"
	r, ok, err := h.Receive("pump-1", time.Minute)
	if err != nil || !ok || string(r.Message.Body) != "on" || r.Message.Properties["k"] != "v" {
		t.Fatalf("received %+v, %v, %v; want what was sent", r.Message, ok, err)
	}
	r.Message.Body[0] = 'X'
	if got := h.Queue("pump-1")[0]; string(got.Body) != "on" || got.State != Locked || got.LockedUntil.IsZero() {
		t.Errorf("the queue holds %+v; a receiver changed it", got)
	}
	if r.Message.To != "/devices/pump-1/messages/devicebound" || r.Message.Enqueued.IsZero() || r.Sequence != 1 {
		t.Errorf("received %+v without address, time or sequence number", r)
	}
}

func TestDeviceLifecycle(t *testing.T) {
	h := newTestHub(t, Options{})
	first, err := h.AddDevice("pump-1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.AddDevice("pump-1")
	if err != nil || again.ConnectionString("h") != first.ConnectionString("h") {
		t.Errorf("adding a device again gave %v and another identity", err)
	}
	other, err := NewDevice("pump-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.PutDevice(other); err != nil {
		t.Fatal(err)
	}
	if again, _ = h.AddDevice("pump-1"); again.ConnectionString("h") != other.ConnectionString("h") {
		t.Error("PutDevice did not replace the keys")
	}
	if c, err := hub.ParseConnectionString(first.ConnectionString("test.hub")); err != nil || c.HostName != "test.hub" || c.DeviceID != "pump-1" || len(c.Key.Reveal()) != keySize {
		t.Errorf("connection string reads as %+v, %v", c, err)
	}
	if _, err := h.AddDevice("pump/1"); err == nil {
		t.Error("a device id with a slash was taken")
	}
	if err := h.PutDevice(Device{ID: "pump-2"}); err == nil {
		t.Error("a device without keys was taken")
	}
	if err := h.PutDevice(Device{ID: "a b", Primary: other.Primary, Secondary: other.Secondary}); err == nil {
		t.Error("a device id with a blank was taken")
	}
}

func TestClosedHub(t *testing.T) {
	h := newTestHub(t, Options{})
	if _, err := h.Send("pump-1", hub.Message{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	h.Close()
	h.Close()
	if _, err := h.Send("pump-1", hub.Message{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send gave %v; want ErrClosed", err)
	}
	if _, err := h.AddDevice("pump-2"); !errors.Is(err, ErrClosed) {
		t.Errorf("AddDevice gave %v; want ErrClosed", err)
	}
	if len(h.Queue("pump-1")) != 1 || len(h.Events()) != 1 {
		t.Error("queue and record cannot be looked at after Close")
	}
	if h.Queue("pump-9") != nil {
		t.Error("an unknown device has a queue")
	}
}

// TestObserverMayCallTheHub: every event is observed once, in order, also when
// the observer itself makes more and several goroutines are at it.
func TestObserverMayCallTheHub(t *testing.T) {
	var h *Hub
	var mu sync.Mutex
	var seen []string
	h = New(Options{Host: "test.hub", Observe: func(e Event) {
		mu.Lock()
		seen = append(seen, e.String())
		mu.Unlock()
		if e.Kind == KindEnqueued {
			r, ok, err := h.Receive(e.Device, time.Minute)
			if err != nil || !ok {
				t.Errorf("Receive in the observer gave %v, %v", ok, err)
			}
			if err := h.Complete(e.Device, r.Token); err != nil {
				t.Errorf("Complete in the observer: %v", err)
			}
		}
	}})
	if _, err := h.AddDevice("pump-1"); err != nil {
		t.Fatal(err)
	}
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for range 5 {
				if _, err := h.Send("pump-1", hub.Message{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	h.Close()
	mu.Lock()
	defer mu.Unlock()
	events := h.Events()
	if len(events) != 80 || len(seen) != len(events) {
		t.Fatalf("%d events, %d observed; want 80", len(events), len(seen))
	}
	for i, e := range events {
		if e.String() != seen[i] {
			t.Fatalf("event %d is %q and was observed as %q", i, e, seen[i])
		}
	}
}

func TestRecordIsBounded(t *testing.T) {
	var r record
	for i := range 3 * recordLimit {
		r.add(Event{Packet: uint16(i & 0xffff)})
		if len(r.events) > recordLimit {
			t.Fatal("the record has no bound")
		}
	}
	if last := r.events[len(r.events)-1]; len(r.events) < recordLimit/2 || last.Packet != uint16((3*recordLimit-1)&0xffff) {
		t.Errorf("%d events are left, the last is %d", len(r.events), last.Packet)
	}
}

func TestFeedbackBatchIsSentWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{FeedbackBatch: true})
		defer h.Close()
		if _, err := h.AddDevice("pump-1"); err != nil {
			t.Fatal(err)
		}
		feedback := func() (n int) {
			for _, e := range h.Events() {
				if e.Kind == KindFeedback {
					n++
				}
			}
			return n
		}
		for i := range feedbackBatch {
			if n := feedback(); n != 0 {
				t.Fatalf("%d records were sent after %d", n, i)
			}
			if _, err := h.Send("pump-1", hub.Message{ID: "a", Ack: "full"}); err != nil {
				t.Fatal(err)
			}
			r, _, err := h.Receive("pump-1", 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Complete("pump-1", r.Token); err != nil {
				t.Fatal(err)
			}
		}
		if n := feedback(); n != feedbackBatch {
			t.Errorf("%d records were sent; want %d at once", n, feedbackBatch)
		}
	})
}

func TestWantsFeedback(t *testing.T) {
	want := map[string][2]bool{"": {}, "none": {}, "positive": {true, false}, "negative": {false, true}, "full": {true, true}}
	for ack, w := range want {
		if got := wantsFeedback(ack, Success); got != w[0] {
			t.Errorf("ack %q, Success: %v", ack, got)
		}
		for _, s := range []Status{Expired, DeliveryCountExceeded, Rejected, Purged} {
			if got := wantsFeedback(ack, s); got != w[1] {
				t.Errorf("ack %q, %s: %v", ack, s, got)
			}
		}
	}
}

// TestEventStringIsOneLine: whatever a stranger sends, it is one printable line.
func TestEventStringIsOneLine(t *testing.T) {
	cases := map[string]Event{
		`telemetry pump-1 {"v":1}`:                     {Kind: KindTelemetry, Device: "pump-1", Telemetry: hub.Telemetry{Body: []byte(`{"v":1}`)}},
		`telemetry pump-1 "a\nb"`:                      {Kind: KindTelemetry, Device: "pump-1", Telemetry: hub.Telemetry{Body: []byte("a\nb")}},
		`telemetry pump-1 ""`:                          {Kind: KindTelemetry, Device: "pump-1"},
		`telemetry pump-1 "\ufffd\u001b"`:              {Kind: KindTelemetry, Device: "pump-1", Telemetry: hub.Telemetry{Body: []byte("\xff\x1b")}},
		`refused "\x1b[2J\n" code=5 no`:                {Kind: KindRefused, Device: "\x1b[2J\n", Code: 5, Text: "no"},
		`closed - EOF`:                                 {Kind: KindClosed, Text: "EOF"},
		`closed pump-1 "a\nb"`:                         {Kind: KindClosed, Device: "pump-1", Text: "a\nb"},
		`dead-lettered #1 Expired device=pump-1`:       {Kind: KindDeadLettered, Device: "pump-1", ID: "#1", Status: Expired},
		`delivered m1 packet=3 dup=true device=pump-1`: {Kind: KindDelivered, Device: "pump-1", ID: "m1", Packet: 3, Dup: true},
		`delivered m1 via=https device=pump-1`:         {Kind: KindDelivered, Device: "pump-1", ID: "m1", Via: hub.HTTPS},
		`connected pump-1 session=new`:                 {Kind: KindConnected, Device: "pump-1", Text: "session=new"},
		`connected pump-1 session=new via=websocket`:   {Kind: KindConnected, Device: "pump-1", Text: "session=new", WebSocket: true},
		`request GET receive 204 device=pump-1`:        {Kind: KindRequest, Device: "pump-1", Method: "GET", Request: PacketHTTPReceive, HTTP: 204},
		`request POST other - device="\n" "a\nb"`:      {Kind: KindRequest, Device: "\n", Method: "POST", Request: packetHTTPOther, Text: "a\nb"},
	}
	for want, e := range cases {
		if got := e.String(); got != want {
			t.Errorf("event reads %q; want %q", got, want)
		}
	}
}

func TestStateNames(t *testing.T) {
	want := map[State]string{Enqueued: "enqueued", Locked: "locked", Completed: "completed", DeadLettered: "dead-lettered", 0: "unknown state"}
	for s, name := range want {
		if s.String() != name {
			t.Errorf("state %d is called %q; want %q", s, s, name)
		}
	}
}

// TestSenderThatNeverReads: what waits to be written is bounded.
func TestSenderThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		d, err := h.AddDevice("pump-1")
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		defer near.Close()
		go h.ServeConn(far)
		if err := write(near, connectAs(d, "test.hub")); err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; write(near, packets.NewControlPacket(packets.Pingreq)) == nil; n++ {
			if n > 2*backlog {
				t.Fatal("the hub keeps any number of answers")
			}
		}
		synctest.Wait()
		events := h.Events()
		if last := events[len(events)-1]; n < backlog || last.Text != "does not read what it is sent" {
			t.Errorf("after %d packets: %v", n, last)
		}
	})
}

// TestQuote: a JSON string on one line that says the same and moves no cursor.
func TestQuote(t *testing.T) {
	for _, s := range []string{"", "two words", "a\"\\\n\x00\x1b", "\x7f\u0085\u009b2J", "\u202e\u2028\ufeff", "ü€😀\U000e0001"} {
		var back string
		quoted := Quote(s)
		if err := json.Unmarshal([]byte(quoted), &back); err != nil || back != s || strings.ContainsFunc(quoted, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is quoted as %q, which reads %q, %v", s, quoted, back, err)
		}
	}
}
