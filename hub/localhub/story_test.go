package localhub

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub"
)

// TestStories plays the transcripts in testdata/stories: what devices, the
// service and time do to a hub, and under each line, indented, what came of it:
// "!" events, "NAME<" what the connection of that name received, "=" answers.
// LOCALHUB_UPDATE=1 writes them anew, to be reviewed as a diff.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, string(text)) })
			if os.Getenv("LOCALHUB_UPDATE") != "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("the story went differently:\n%s", firstDifference(got, string(text)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			from := max(0, i-5)
			return fmt.Sprintf("line %d\ngot:\n%s\nwant:\n%s", i+1,
				strings.Join(g[min(from, len(g)):min(i+4, len(g))], "\n"), strings.Join(w[min(from, len(w)):min(i+4, len(w))], "\n"))
		}
	}
	return ""
}

// stage is a hub and the devices of a story.
type stage struct {
	t       *testing.T
	hub     *Hub
	clients map[string]*client
	web     *webClient
	tokens  []Token // of "hub receive", in order

	mu     sync.Mutex
	events []string
}

// play performs a story and gives it back as it went.
func play(t *testing.T, text string) string {
	s := &stage{t: t, clients: map[string]*client{}}
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		args := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "  "):
			continue // written anew
		case line == "" || line[0] == '#':
			fmt.Fprintln(&out, line)
			continue
		}
		fmt.Fprintln(&out, line)
		if s.hub == nil {
			s.open(args)
			continue
		}
		for _, l := range s.do(args) {
			fmt.Fprintln(&out, "  "+l)
		}
	}
	for _, c := range s.clients {
		_ = c.nc.Close()
	}
	s.web.hangUp()
	s.hub.Close()
	return out.String()
}

// open makes the hub of the story's first line: "options …".
func (s *stage) open(args []string) {
	o := Options{Host: "test.hub", Observe: func(e Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, "! "+e.String())
	}}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "window":
			o.Window = n
		case "max-deliveries":
			o.MaxDeliveries = n
		case "ignore-ack-order":
			o.IgnoreAckOrder = true
		case "ignore-late-ack":
			o.IgnoreLateAck = true
		case "redeliver-on-expiry":
			o.RedeliverOnExpiry = true
		case "locks-outlive-connection":
			o.LocksOutliveConnection = true
		case "feedback-batch":
			o.FeedbackBatch = true
		case "omit-empty-headers":
			o.OmitEmptyHeaders = true
		case "nested-errors":
			o.NestedErrors = true
		case "unknown-device":
			o.UnknownDevice = n
		case "disabled-device":
			o.DisabledDevice = n
		case "receives-per-minute":
			o.ReceivesPerMinute = n
		case "retry-after":
			o.RetryAfter = duration(s.t, value)
		case "http-time":
			o.HTTPTime = value
		default:
			s.t.Fatalf("unknown option %q", arg)
		}
	}
	s.hub = New(o)
	s.web = &webClient{dial: func() net.Conn { return dialWeb(s.hub) }}
	for _, id := range []string{"pump-1", "pump-2"} {
		if _, err := s.hub.AddDevice(id); err != nil {
			s.t.Fatal(err)
		}
	}
}

// do performs one line and gives what came of it once everything is quiet.
func (s *stage) do(args []string) []string {
	var answer string
	switch args[0] {
	case "wait":
		time.Sleep(duration(s.t, args[1]))
	case "hub":
		answer = s.service(args[1], args[2:])
	case "web":
		answer = s.web.do(s.t, s.hub, args[1], args[2:])
	default:
		answer = s.device(args)
	}
	synctest.Wait()
	s.mu.Lock()
	lines := s.events
	s.events = nil
	s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.clients)) {
		for _, l := range s.clients[name].received() {
			lines = append(lines, name+"< "+l)
		}
	}
	if answer != "" {
		lines = append(lines, "= "+answer)
	}
	return lines
}

// device performs a line of a device's connection. "websocket" makes a new one
// over that and sends CONNECT.
func (s *stage) device(args []string) (answer string) {
	c, verb := s.clients[args[0]], args[1]
	switch {
	case verb == "websocket":
		ws, why := dialWebSocket(dialWeb(s.hub), 0)
		if why != "" {
			return why
		}
		c, verb = newClient(ws), "connect"
	case c == nil || verb == "connect" || verb == "dial":
		c = dial(s.hub)
	}
	s.clients[args[0]] = c
	if verb == "dial" {
		return ""
	}
	return c.do(s.t, s.hub, verb, args[2:])
}

// service performs a line that starts with "hub", for pump-1 unless device= is
// given.
func (s *stage) service(verb string, args []string) string {
	o := parseOptions(args)
	id := o.get("device", "pump-1")
	h := s.hub
	var err error
	switch verb {
	case "send":
		m := hub.Message{ID: o.plain(0), Ack: o["ack"], Body: []byte(o.get("body", "hello"))}
		if o["ttl"] != "" {
			m.Expiry = time.Now().Add(duration(s.t, o["ttl"]))
		}
		if o["note"] != "" {
			m.Properties = map[string]string{"note": o["note"]}
		}
		if o["full"] != "" {
			m.CorrelationID, m.UserID, m.ContentType, m.ContentEncoding, m.To = "c1", "u1", "application/json", "utf-8", "/devices/pump-1/messages/deviceBound"
			m.Properties = map[string]string{"CamelCase": "two words", "sent": "2026-11-23T12:00:00Z"}
		}
		_, err = h.Send(id, m)
	case "receive":
		r, ok, e := h.Receive(id, 0)
		if err = e; ok {
			s.tokens = append(s.tokens, r.Token)
			return fmt.Sprintf("lock %d: %s, delivery count %d", len(s.tokens), r.Message.ID, r.Deliveries)
		}
		if err == nil {
			return "nothing"
		}
	case "complete", "reject", "abandon":
		n, _ := strconv.Atoi(o.plain(0))
		err = map[string]func(string, Token) error{"complete": h.Complete, "reject": h.Reject, "abandon": h.Abandon}[verb](id, s.tokens[n-1])
	case "purge":
		var n int
		n, err = h.Purge(id)
		return fmt.Sprintf("%d, error %v", n, err)
	case "queue":
		var l []string
		for _, m := range h.Queue(id) {
			l = append(l, fmt.Sprintf("%s %v count=%d", m.Name, m.State, m.Deliveries))
		}
		connected, subscribed := h.Status(id)
		return fmt.Sprintf("[%s] connected=%t subscribed=%t", strings.Join(l, ", "), connected, subscribed)
	case "drop":
		err = h.Drop(id)
	case "forget":
		err = h.ForgetSession(id)
	case "restart":
		h.Restart(duration(s.t, args[0]))
	case "disable", "enable":
		err = h.SetEnabled(id, verb == "enable")
	case "fault":
		var f Fault
		if f, err = ParseFault(args); err == nil {
			err = h.Inject(f)
		}
	case "clear":
		h.ClearFaults("")
	default:
		s.t.Fatalf("unknown verb hub %s", verb)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// options are the words of a line: key=value, or plain ones by position.
type options map[string]string

func parseOptions(args []string) options {
	o, n := options{}, 0
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			o[strconv.Itoa(n)], n = arg, n+1
			value = "yes"
		}
		o[key] = value
	}
	return o
}

func (o options) plain(i int) string { return o[strconv.Itoa(i)] }

func (o options) get(key, otherwise string) string {
	if v, ok := o[key]; ok {
		return v
	}
	return otherwise
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
