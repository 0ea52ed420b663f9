package hil_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"actuatord/board/sim"
	"actuatord/hub/localhub"
)

// TestSim: the simulated board, by the same file.
func TestSim(t *testing.T) {
	dir := t.TempDir()
	s := newStation(t, "localhost")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	trace := filepath.Join(dir, "trace")
	// On a desk nothing may be written to /etc and /var, so more has to be said here
	// than on a board.
	config := write("relay.toml", string(relay(t, fmt.Sprintf(`
[hub]
ca_file = %q
connection_string_file = %q
mqtt_port = %d
websocket_port = %[3]d
https_port = %[3]d
[journal]
path = %[4]q
[board]
driver = "sim"
trace = %[5]q
`, s.caFile, write("connection-string", s.device.ConnectionString(s.host)), s.port, filepath.Join(dir, "journal.db"), trace))))
	bin := filepath.Join(dir, "actuatord")
	if out, err := exec.Command("go", "build", "-o", bin, "actuatord/cmd/actuatord").CombinedOutput(); err != nil {
		t.Fatalf("build actuatord: %v\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	daemon := exec.Command(bin, "run", "--config", config)
	daemon.Stderr = log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	said := func() string {
		text, _ := os.ReadFile(log.Name())
		return string(text)
	}
	eventually(t, "a session", func() bool { return s.count(localhub.KindSubscribed, "") > 0 }, s.tail, said)
	b := &bench{station: s, name: onSim,
		on:    func(t *testing.T, output string) bool { return simLast(t, trace, output).Level == "on" },
		holds: func(t *testing.T, address, reg byte) string { return simRegister(t, trace, address, reg) },
	}
	b.everyday(t)
	check(t, b.name, "a stop leaves outputs and registers safe", func(t *testing.T) {
		b.command(t, `{"target":"pump","action":"on"}`, "done")
		if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := daemon.Wait(); err != nil {
			t.Errorf("%v\n%s", err, said())
		}
		b.wires(t)
	})
}

// simEvents are the lines of a trace that concern a target.
func simEvents(t *testing.T, trace, target string) []sim.Event {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var all []sim.Event
	for line := range strings.Lines(string(text)) {
		var e sim.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("trace line %q: %v", line, err)
		}
		if e.Target == target {
			all = append(all, e)
		}
	}
	return all
}

func simLast(t *testing.T, trace, target string) sim.Event {
	t.Helper()
	all := simEvents(t, trace, target)
	if len(all) == 0 {
		t.Fatalf("the trace has nothing of %s", target)
	}
	return all[len(all)-1]
}

// simRegister is what the last write to a register left there.
func simRegister(t *testing.T, trace string, address, reg byte) string {
	t.Helper()
	held := "none"
	for _, e := range simEvents(t, trace, map[byte]string{lamps: "lamps", horn: "horn"}[address]) {
		if at, bytes, ok := strings.Cut(e.Write, ":"); ok && at == hex.EncodeToString([]byte{reg}) {
			held = bytes
		}
	}
	return held
}
