package hil_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"actuatord/hub/localhub"
	"actuatord/test/hil/machine"
)

// kit is the cache that `make hil` names.
func kit(t *testing.T) machine.Kit {
	t.Helper()
	dir := os.Getenv("ACTUATORD_HIL")
	if dir == "" {
		t.Skip("needs emulators and kernels: make hil")
	}
	k, err := machine.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// target is an architecture to build for.
type target struct{ arch, arm string }

// build compiles a program as cross-build.sh does, and shares its cache; or, with
// test, the test binary of a package.
func (g target) build(t *testing.T, name, pkg string, test bool) machine.File {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	args := []string{"build"}
	if test {
		args = []string{"test", "-c"}
	}
	cmd := exec.Command("go", append(args, "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GOARCH="+g.arch)
	if g.arm != "" {
		cmd.Env = append(cmd.Env, "GOARM="+g.arm)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
	return machine.File{Path: "/bin/" + name, From: out, Mode: 0o755}
}

// guest is a booted board with the product on it.
type guest struct {
	*machine.Machine
	*station
	booted time.Duration // from qemu's start to the first command
	starts int           // sessions that were seen to subscribe
}

// watchdogMicroseconds is what the guest's service manager asks for: short enough
// that a stuck bus lasts several times longer, and long enough that an emulated
// processor on a busy desk meets a third of it.
const watchdogMicroseconds = 9_000_000

// disk is a file with an empty ext4 of 64 MB: the journal is on it, as on a card.
func disk(t *testing.T, k machine.Kit) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if text, err := exec.Command(k.Tool("mke2fs"), "-q", "-F", "-t", "ext4", path, "64M").CombinedOutput(); err != nil {
		t.Fatalf("make a file system: %v\n%s", err, text)
	}
	return path
}

// boot starts a board with the product, and ends it with the test.
func boot(t *testing.T, g target, o machine.Options) *guest {
	t.Helper()
	s := newStation(t, "hub.test")
	o.Forwards = []machine.Forward{{Guest: 8883, Host: s.port}, {Guest: 443, Host: s.port}}
	o.Append = append(o.Append, "trace_event=gpio:gpio_value,gpio:gpio_direction") // from the kernel's first moment
	text := func(path, data string, mode os.FileMode) machine.File {
		return machine.File{Path: path, Data: []byte(data), Mode: mode}
	}
	o.Initramfs.Files = append(o.Initramfs.Files,
		g.build(t, "actuatord", "actuatord/cmd/actuatord", false),
		g.build(t, "guest", "actuatord/test/hil/guest", false),
		g.build(t, "conformance", "actuatord/board/linux", true),
		text("/etc/hosts", "127.0.0.1 localhost\n"+machine.Peer+" "+s.host+"\n", 0o644),
		text("/etc/actuatord/hub-ca.pem", string(s.ca), 0o644),
		text("/etc/actuatord/connection-string", s.device.ConnectionString(s.host), 0o600),
		text("/etc/actuatord/actuatord.toml", string(relay(t, "[hub]\nca_file = \"/etc/actuatord/hub-ca.pem\"\n")), 0o644),
	)
	began := time.Now()
	m, err := machine.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := m.Ready(); err != nil {
		t.Fatal(err)
	}
	return &guest{Machine: m, station: s, booted: time.Since(began)}
}

// must has the guest carry out a line that has to succeed.
func (g *guest) must(t *testing.T, format string, args ...any) string {
	t.Helper()
	out, err := g.Must(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// number is must for a line that answers one.
func (g *guest) number(t *testing.T, format string, args ...any) int {
	t.Helper()
	n, err := strconv.Atoi(g.must(t, format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// listen starts the service manager's ear.
func (g *guest) listen(t *testing.T) {
	t.Helper()
	g.must(t, "guest notify /run/notify >/tmp/notify 2>&1 & until [ -S /run/notify ]; do usleep 10000; done")
}

// start starts the daemon, and waits until it takes commands.
func (g *guest) start(t *testing.T) {
	t.Helper()
	g.must(t, "rm -f /run/exit /run/pid; ( NOTIFY_SOCKET=/run/notify WATCHDOG_USEC=%d actuatord run 2>>/tmp/log & echo $! >/run/pid; wait $!; echo $? >/run/exit ) >/dev/null & "+
		"until [ -s /run/pid ]; do usleep 10000; done", watchdogMicroseconds)
	g.starts++
	eventually(t, "a session of "+g.Board.Name, func() bool { return g.count(localhub.KindSubscribed, "") >= g.starts }, g.tail, g.log)
}

// end sends the daemon a signal, and answers its exit code.
func (g *guest) end(t *testing.T, signal string) int {
	t.Helper()
	g.must(t, "kill -%s $(cat /run/pid)", signal)
	eventually(t, "the daemon's end after "+signal, func() bool {
		_, code, err := g.Run("[ -s /run/exit ]")
		if err != nil {
			t.Fatal(err)
		}
		return code == 0
	}, g.log)
	g.starts = g.count(localhub.KindSubscribed, "") // settle visits subscribe anew, too
	return g.number(t, "cat /run/exit")
}

// log is the end of what the daemon wrote.
func (g *guest) log() string {
	out, _, err := g.Run("tail -n 40 /tmp/log; dmesg | tail -n 10")
	if err != nil {
		return err.Error()
	}
	return out
}

// status is the daemon's own word.
func (g *guest) status(t *testing.T) string {
	t.Helper()
	out, _, err := g.Run("actuatord status")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// conformance runs board/linux's tests in the guest: the suite for boards, on lines
// and registers that are named to it, and the rest of them on this instruction set.
func (g *guest) conformance(t *testing.T, env string, more ...string) {
	t.Helper()
	// What reads files of the source tree has them on the host only.
	out, code, err := g.Run(env + " conformance -test.v -test.short -test.skip TestLookAtBoards 2>&1")
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	for _, test := range append([]string{"first_level", "out", "read", "held_line", "let_go", "no_such_line", "registers", "bus_faults", "board"}, more...) {
		if !strings.Contains(out, "--- PASS: TestConformanceOnThisMachine/"+test+" ") {
			t.Errorf("%s did not run\n%s", test, out)
		}
	}
}
