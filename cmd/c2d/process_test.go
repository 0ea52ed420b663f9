package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/hub"
	"actuatord/hub/dial"
	"actuatord/hub/mqtt"
)

// TestMain builds c2d once; the tests below run it as a user does.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" { // each of its workers would build for itself
		os.Exit(m.Run())
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "c2d-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "c2d"), ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build c2d: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("C2D_TEST_BINARY", filepath.Join(dir, "c2d")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// process is a running c2d hub.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	err bytes.Buffer

	ready []string // the lines up to "listening on"
	addr  string
}

// start runs c2d hub on a free port and waits until it listens.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // a hang is a failure, not a wait for ever
	t.Cleanup(cancel)
	p := &process{t: t, cmd: exec.CommandContext(ctx, os.Getenv("C2D_TEST_BINARY"), append([]string{"hub", "--mqtt-port", "0"}, args...)...)}
	p.cmd.Stderr = &p.err
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		line := p.line()
		p.ready = append(p.ready, line)
		if addr, ok := strings.CutPrefix(line, "listening on "); ok {
			p.addr = addr
			return p
		}
	}
}

func (p *process) line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("c2d hub ended: %v, %s", p.out.Err(), p.err.String())
	}
	return p.out.Text()
}

func (p *process) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads on until a line starts with want, and gives the line.
func (p *process) expect(want string) string {
	p.t.Helper()
	var seen []string
	for p.out.Scan() {
		if strings.HasPrefix(p.out.Text(), want) {
			return p.out.Text()
		}
		seen = append(seen, p.out.Text())
	}
	p.t.Fatalf("no line starts with %q; there were\n%s\n%s", want, strings.Join(seen, "\n"), p.err.String())
	return ""
}

// end reads the rest and waits for the exit code.
func (p *process) end(want int) {
	p.t.Helper()
	for p.out.Scan() {
		continue
	}
	_ = p.cmd.Wait() // the exit code tells
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Errorf("exit code %d; want %d; %s", got, want, p.err.String())
	}
}

// session connects a device through the link that actuatord uses.
func (p *process) session(dir, id string, generation uint64) *mqtt.Session {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, id+".connection-string"))
	if err != nil {
		p.t.Fatal(err)
	}
	c, token, road := p.device(string(text), dir)
	s, err := mqtt.Connect(p.t.Context(), mqtt.Config{Host: c.HostName, Port: port(p.t, p.addr), DeviceID: c.DeviceID, Road: road}, generation, token)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(s.Close)
	return s
}

// device is what a connection string makes of a device: who it is, a token, and
// the roots it trusts.
func (p *process) device(text, dir string) (hub.ConnectionString, string, dial.Config) {
	p.t.Helper()
	c, err := hub.ParseConnectionString(text)
	if err != nil {
		p.t.Fatal(err)
	}
	roots, err := dial.Roots(filepath.Join(dir, "ca.pem"))
	if err != nil {
		p.t.Fatal(err)
	}
	return c, hub.SignSAS(hub.Resource(c.HostName, c.DeviceID), c.Key, "", time.Now().Add(time.Hour)), dial.Config{Roots: roots}
}

func port(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestHubProcess is the whole way of a message through a real process: ready
// lines, a device over TLS, deliveries, a fault, telemetry, feedback, quit.
func TestHubProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "hub")
	p := start(t, "--dir", dir, "--device", "pump-1", "--device", "pump-2")
	wantReady := []string{"ca-file " + dir + "/ca.pem",
		"connection-string-file pump-1 " + dir + "/pump-1.connection-string", "connection-string pump-1 HostName=localhost;DeviceId=pump-1;SharedAccessKey=",
		"connection-string-file pump-2 " + dir + "/pump-2.connection-string", "connection-string pump-2 HostName=localhost;DeviceId=pump-2;SharedAccessKey=",
		"listening on 127.0.0.1:"}
	if len(p.ready) != len(wantReady) {
		t.Fatalf("ready lines are\n%s", strings.Join(p.ready, "\n"))
	}
	for i, want := range wantReady {
		if !strings.HasPrefix(p.ready[i], want) {
			t.Errorf("ready line %d is %q; want %q", i+1, p.ready[i], want)
		}
	}

	s := p.session(dir, "pump-1", 1)
	p.expect("connected pump-1 session=new")
	if err := s.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.expect("subscribed pump-1 devices/pump-1/messages/devicebound/#")
	p.say(`send pump-1 {"target":"pump", "action":"on"} id=m1 ack=full expires=10m note="a&b=c"`)
	p.expect("enqueued m1 device=pump-1")
	p.expect("delivered m1 packet=2 dup=false device=pump-1")
	d := receive(t, s)
	if string(d.Message.Body) != `{"target":"pump", "action":"on"}` || d.Message.ID != "m1" || d.Message.Properties["note"] != "a&b=c" || d.Message.Expiry.IsZero() {
		t.Errorf("received %+v", d.Message)
	}
	if err := s.Publish(t.Context(), hub.Telemetry{CorrelationID: "m1", ContentType: "application/json", Properties: map[string]string{"outcome": "done"}, Body: []byte(`{"outcome":"done"}`)}); err != nil {
		t.Fatal(err)
	}
	p.expect(`telemetry pump-1 {"outcome":"done"}`)
	p.expect("properties pump-1 $.cid=m1 $.ct=application/json outcome=done")
	s.Complete(d.Seq)
	p.expect("completed m1 device=pump-1")
	p.expect("feedback m1 Success device=pump-1")

	p.say("fault pump-1 drop-after delivery")
	p.expect("ok fault")
	p.say("send pump-1 off id=m2")
	p.expect("delivered m2 packet=3")
	p.expect("closed pump-1 fault: drop-after delivery")
	p.expect("released m2 device=pump-1 its connection ended")
	<-s.Done()
	s = p.session(dir, "pump-1", 2)
	if !s.SessionPresent() {
		t.Error("the stored session is gone")
	}
	p.expect("connected pump-1 session=present")
	p.expect("delivered m2 packet=3")
	s.Complete(receive(t, s).Seq)
	p.expect("completed m2")
	p.say("quit")
	p.expect("ok quit")
	p.end(0)
}

func receive(t *testing.T, s *mqtt.Session) hub.Delivery {
	t.Helper()
	select {
	case d := <-s.Deliveries():
		return d
	case <-s.Done():
		t.Fatalf("the session ended: %v", s.Err())
	}
	return hub.Delivery{}
}

// TestHubRestart: a second run has the same CA and keys, without naming the
// devices again, and they are for their owner only.
func TestHubRestart(t *testing.T) {
	dir := t.TempDir()
	first := start(t, "--dir", dir, "--device", "pump-1")
	first.say("quit")
	first.end(0)
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	second := start(t, "--dir", dir)
	for i := range len(first.ready) - 1 { // the port may differ
		if first.ready[i] != second.ready[i] {
			t.Errorf("after a restart %q is %q", first.ready[i], second.ready[i])
		}
	}
	if again, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err != nil || !bytes.Equal(ca, again) {
		t.Errorf("the CA changed: %v", err)
	}
	for _, name := range []string{"ca-key.pem", "server-key.pem", "devices.json", "pump-1.connection-string"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
		}
	}
	second.session(dir, "pump-1", 1)
	second.expect("connected pump-1 session=new")
	second.say("nonsense")
	second.expect(`error there is no command "nonsense"; "help" lists them`)
	if err := second.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	second.end(0)
}

// TestHubOutlivesItsInput: without --dir the hub leaves nothing behind, and the
// end of standard input does not end it.
func TestHubOutlivesItsInput(t *testing.T) {
	p := start(t)
	dir := filepath.Dir(strings.TrimPrefix(p.ready[0], "ca-file "))
	if !strings.HasPrefix(p.ready[1], "connection-string-file device-1 ") {
		t.Errorf("there is no device-1: %q", p.ready[1])
	}
	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	p.session(dir, "device-1", 1)
	p.expect("connected device-1")
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.end(0)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s was left behind: %v", dir, err)
	}
}

func TestExitCodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	_, port, err := net.SplitHostPort(busy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "usage: c2d COMMAND"},
		{[]string{"dance"}, 2, `there is no command "dance"`},
		{[]string{"help"}, 0, "run a local IoT Hub"},
		{[]string{"--help"}, 0, "run a local IoT Hub"},
		{[]string{"version"}, 0, "c2d " + version + "\n"},
		{[]string{"version", "x"}, 2, "it takes no arguments"},
		{[]string{"hub", "-help"}, 0, "usage: c2d hub [FLAGS]"},
		{[]string{"hub", "--dance"}, 2, "flag provided but not defined"},
		{[]string{"hub", "extra"}, 2, `unexpected argument "extra"`},
		{[]string{"hub", "--device", "a/b"}, 2, "is not supported"},
		{[]string{"hub", "--mqtt-port", "65536"}, 2, "0 to 65535"},
		{[]string{"hub", "--https-port", "-1"}, 2, "0 to 65535"},
		{[]string{"hub", "--date-offset", "1"}, 2, "invalid value"},
		{[]string{"hub", "--window", "51"}, 2, "1 to 50"},
		{[]string{"hub", "--ttl", "1s"}, 2, "1m to 48h"},
		{[]string{"hub", "--max-delivery-count", "0"}, 2, "1 to 100"},
		{[]string{"hub", "--host", ""}, 2, "--host is empty"},
		{[]string{"hub", "--dir", file}, 1, "not a directory"},
		{[]string{"hub", "--mqtt-port", port}, 1, "address already in use"},
		{[]string{"hub", "--mqtt-port", "0", "--https-port", port}, 1, "--https-port: listen tcp 127.0.0.1:" + port + ": bind: address already in use"},
	}
	for _, c := range cases {
		var out bytes.Buffer
		code := run(t.Context(), c.args, streams{strings.NewReader(""), &out, &out})
		if code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("c2d %s: exit code %d, %q; want %d and %q", strings.Join(c.args, " "), code, out.String(), c.code, c.says)
		}
	}
}
