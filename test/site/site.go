// Package site is a place to run real actuatord processes at: a directory with a
// configuration, a simulated board and its trace, and a local hub on loopback. It
// is for tests; what it makes is removed, and what it starts is ended, when the
// test is over.
package site

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/board/sim"
	"actuatord/hub"
	"actuatord/hub/localhub"
)

// Site is a directory with a configuration, and a local hub on loopback.
type Site struct {
	Dir    string
	Config string // the configuration file
	Hub    *localhub.Hub
	Device localhub.Device
	Web    string // where the hub serves HTTPS: host:port

	t       *testing.T
	program []string // actuatord, and what goes before its arguments
	env     []string
}

// New makes a site for program, whose processes get env beside the test's own
// environment.
func New(t *testing.T, o localhub.Options, program []string, env ...string) *Site {
	t.Helper()
	// Not t.TempDir: a socket's path must stay below 108 bytes.
	dir, err := os.MkdirTemp("", "actd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Site{t: t, program: program, env: env, Dir: dir, Config: filepath.Join(dir, "a.toml"), Hub: localhub.New(o)}
	if s.Device, err = s.Hub.AddDevice("dev-1"); err != nil {
		t.Fatal(err)
	}
	server, ca, err := localhub.TLSConfig(dir, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	mqtt := s.serve(server, s.Hub.Serve)
	web := s.serve(server, s.Hub.ServeWeb)
	s.Web = web.String()
	s.Write("connection-string", s.Device.ConnectionString("localhost"), 0o600)
	s.Write("a.toml", fmt.Sprintf(`
[hub]
connection_string_file = %q
ca_file = %q
mqtt_port = %d
websocket_port = %[4]d
https_port = %[4]d
[journal]
path = %q
[board]
driver = "sim"
trace = %q
[[output]]
name = "pump"
line = "GPIO17"
max_on = "10m"
[[output]]
name = "lamp"
line = "GPIO27"
max_on = "none"
`, filepath.Join(dir, "connection-string"), ca, mqtt.Port, web.Port, filepath.Join(dir, "journal.db"), filepath.Join(dir, "trace.jsonl")), 0o644)
	return s
}

// serve has the hub serve a loopback port until the test is over.
func (s *Site) serve(config *tls.Config, serve func(context.Context, net.Listener) error) *net.TCPAddr {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, tls.NewListener(ln, config)) }()
	s.t.Cleanup(func() {
		cancel()
		s.Hub.Close()
		<-served
	})
	return ln.Addr().(*net.TCPAddr)
}

// Write makes or replaces a file of the site.
func (s *Site) Write(name, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(s.Dir, name), mode); err != nil {
		s.t.Fatal(err)
	}
}

// Command is actuatord with args and this site's configuration.
func (s *Site) Command(args ...string) *exec.Cmd {
	args = append(append(s.program[1:len(s.program):len(s.program)], args...), "--config", s.Config)
	cmd := exec.Command(s.program[0], args...)
	cmd.Env = append(os.Environ(), s.env...)
	return cmd
}

// Call runs actuatord to its end.
func (s *Site) Call(args ...string) (out string, code int) {
	s.t.Helper()
	b, err := s.Command(args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return string(b), code
}

// A Daemon is a running `actuatord run`.
type Daemon struct {
	Cmd   *exec.Cmd
	Log   bytes.Buffer  // standard error; whole once Ended is closed
	Ended chan struct{} // closed when the process is gone
	Err   error         // how it went, once Ended is closed

	s *Site
}

// Start starts `actuatord run`.
func (s *Site) Start(env ...string) *Daemon {
	s.t.Helper()
	d := &Daemon{s: s, Cmd: s.Command("run"), Ended: make(chan struct{})}
	d.Cmd.Env = append(d.Cmd.Env, env...)
	d.Cmd.Stderr = &d.Log
	if err := d.Cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		d.Err = d.Cmd.Wait()
		close(d.Ended)
	}()
	s.t.Cleanup(func() {
		_ = d.Cmd.Process.Kill()
		<-d.Ended
	})
	return d
}

// Stop ends the daemon as systemd does, and wants exit 0.
func (d *Daemon) Stop() {
	d.s.t.Helper()
	if err := d.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.s.t.Fatal(err)
	}
	<-d.Ended
	if d.Err != nil {
		d.s.t.Fatalf("SIGTERM: %v\n%s", d.Err, d.Log.String())
	}
}

// Eventually waits for what another process is about to do.
func (s *Site) Eventually(what string, d *Daemon, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		select {
		case <-d.Ended:
			if ok() {
				return
			}
			s.t.Fatalf("actuatord ended with %v before: %s\n%s", d.Err, what, d.Log.String())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("did not happen in 30 s: %s\n%s", what, d.Log.String())
		}
	}
}

// Count is how often an event happened, to a message or (id empty) at all.
func (s *Site) Count(k localhub.Kind, id string) int {
	n := 0
	for _, e := range s.Hub.Events() {
		if e.Kind == k && (id == "" || e.ID == id) {
			n++
		}
	}
	return n
}

// Send puts a message into the hub's queue, asking for full feedback.
func (s *Site) Send(id, body string) {
	s.t.Helper()
	if _, err := s.Hub.Send("dev-1", hub.Message{ID: id, Body: []byte(body), Ack: "full"}); err != nil {
		s.t.Fatal(err)
	}
}

// Moves are the trace's lines for a cause, as "target level".
func (s *Site) Moves(cause string) []string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "trace.jsonl"))
	if err != nil {
		return nil
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // a killed process was writing it; the next one ends it
		}
		var e sim.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("trace line %q: %v", line, err)
		}
		if e.Cause == cause {
			all = append(all, e.Target+" "+e.Level)
		}
	}
	return all
}

// Outcomes are the distinct reports of a message's outcome.
func (s *Site) Outcomes(id string) []string {
	var all []string
	seen := map[string]bool{}
	for _, e := range s.Hub.Events() {
		var r struct{ Kind, ReportID, MessageID, Outcome string }
		if e.Kind != localhub.KindTelemetry || json.Unmarshal(e.Telemetry.Body, &r) != nil {
			continue
		}
		if r.Kind == "outcome" && r.MessageID == id && !seen[r.ReportID] {
			seen[r.ReportID] = true
			all = append(all, r.Outcome)
		}
	}
	return all
}
