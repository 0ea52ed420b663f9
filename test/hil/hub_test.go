package hil_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
)

// station is a local hub with one device, served on one loopback port.
type station struct {
	host   string // its name, in the certificate and the connection string
	hub    *localhub.Hub
	device localhub.Device
	ca     []byte
	caFile string
	port   int
}

func newStation(t *testing.T, host string) *station {
	t.Helper()
	dir := t.TempDir()
	// Refused and failed messages wait for a settle visit, of which there are twelve
	// an hour (docs/decisions/005), and hold up what may be delivered behind them: a
	// wide window keeps the rest of the checks from waiting for the next one.
	s := &station{host: host, hub: localhub.New(localhub.Options{Host: host, Window: 50})}
	var err error
	if s.device, err = s.hub.AddDevice("relay-1"); err != nil {
		t.Fatal(err)
	}
	config, ca, err := localhub.TLSConfig(dir, host)
	if err != nil {
		t.Fatal(err)
	}
	s.caFile = ca
	if s.ca, err = os.ReadFile(ca); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = ln.Addr().(*net.TCPAddr).Port
	t.Cleanup(func() {
		_ = ln.Close()
		s.hub.Close()
	})
	go s.accept(ln, config)
	return s
}

func (s *station) accept(ln net.Listener, config *tls.Config) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go s.serve(tls.Server(c, config))
	}
}

// serve tells MQTT from HTTP by the first byte, so that one port is enough for all
// that a hub offers: CONNECT begins with 0x10, a method with a letter.
func (s *station) serve(c net.Conn) {
	const hello = 10 * time.Second
	_ = c.SetDeadline(time.Now().Add(hello))
	r := bufio.NewReader(c)
	first, err := r.Peek(1)
	if err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	if first[0] == 0x10 {
		s.hub.ServeConn(peeked{c, r})
		return
	}
	s.hub.ServeWebConn(peeked{c, r})
}

type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// send puts a command into the queue, and answers its id.
func (s *station) send(t *testing.T, id, body string) {
	t.Helper()
	if _, err := s.hub.Send(s.device.ID, hub.Message{ID: id, Body: []byte(body), Ack: "full"}); err != nil {
		t.Fatal(err)
	}
}

// report is what a device told, as far as it is looked at here.
type report struct {
	Kind, ReportID, MessageID, Target, Outcome, Reason, Detail, Level, Cause string
	Levels                                                                   map[string]string
}

// reports are those that match, each once.
func (s *station) reports(match func(report) bool) []report {
	var all []report
	seen := map[string]bool{}
	for _, e := range s.hub.Events() {
		var r report
		if e.Kind != localhub.KindTelemetry || json.Unmarshal(e.Telemetry.Body, &r) != nil || seen[r.ReportID] || !match(r) {
			continue
		}
		seen[r.ReportID] = true
		all = append(all, r)
	}
	return all
}

// count is how often an event happened, to a message or (id empty) at all.
func (s *station) count(k localhub.Kind, id string) int {
	n := 0
	for _, e := range s.hub.Events() {
		if e.Kind == k && (id == "" || e.ID == id) {
			n++
		}
	}
	return n
}

// verdict is what the sender of a message was told: "Success", "Rejected", …; empty
// before.
func (s *station) verdict(id string) string {
	for _, e := range s.hub.Events() {
		if e.Kind == localhub.KindFeedback && e.ID == id {
			return string(e.Status)
		}
	}
	return ""
}

// outcome waits for the report of a command.
func (s *station) outcome(t *testing.T, id string) report {
	t.Helper()
	var r []report
	eventually(t, "the outcome of "+id, func() bool {
		r = s.reports(func(r report) bool { return r.Kind == "outcome" && r.MessageID == id })
		return len(r) > 0
	}, s.tail)
	return r[0]
}

// do sends a command and wants its outcome: "done", or an outcome and its reason.
func (s *station) do(t *testing.T, id, body, want string) report {
	t.Helper()
	s.send(t, id, body)
	r := s.outcome(t, id)
	if got := strings.TrimSpace(r.Outcome + " " + r.Reason); got != want {
		t.Errorf("%s %s: %s (%s); want %s", id, body, got, r.Detail, want)
	}
	return r
}

// tail is the end of what happened at the hub.
func (s *station) tail() string {
	events := s.hub.Events()
	var lines []string
	for _, e := range events[max(0, len(events)-15):] {
		lines = append(lines, e.String())
	}
	return strings.Join(lines, "\n")
}

// eventually waits for what another machine is about to do. Its bound is that of a
// desk with much else to do: a command is tried for 30 s before it has failed, and
// everything else that is waited for here takes a few on an idle one.
func eventually(t *testing.T, what string, ok func() bool, tell ...func() string) {
	t.Helper()
	const bound, pause = 3 * time.Minute, 20 * time.Millisecond
	for deadline := time.Now().Add(bound); !ok(); {
		if time.Now().After(deadline) {
			var said []string
			for _, f := range tell {
				said = append(said, f())
			}
			t.Fatalf("did not happen in %v: %s\n%s", bound, what, strings.Join(said, "\n"))
		}
		<-time.After(pause)
	}
}

// relay is the configuration that is tried everywhere, with lines of this place in
// front. They are tables that the file leaves at their defaults.
func relay(t *testing.T, front string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "examples", "relay.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]byte(front), text)
}
