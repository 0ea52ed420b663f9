package sim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
	"actuatord/board/boardtest"
	"actuatord/board/sim"
)

func open(t *testing.T, trace string) *sim.Driver {
	t.Helper()
	d, err := sim.New(trace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestConformance(t *testing.T) {
	boardtest.Suite(t, func(t *testing.T) boardtest.Rig {
		trace := filepath.Join(t.TempDir(), "trace")
		process := func() boardtest.Rig {
			d := open(t, trace)
			d.Remove("1", 0x10)
			d.RemoveBus("9")
			return boardtest.Rig{Driver: d, High: d.High, Drive: d.Drive, Break: func(line string) { d.FailReads(line, 100, syscall.EIO) }, PWM: "pwm:0", Share: d.Percent, Lines: []string{"GPIO17", "chip:4"}, Bus: "1", NoBus: "9", Address: 0x60, Register: 0x40, Absent: 0x10}
		}
		r := process()
		r.Again = process
		return r
	})
}

func pump(line string) board.LineSpec {
	return board.LineSpec{Target: "pump", Line: line, Consumer: board.Consumer}
}

func lines(t *testing.T, trace string) []string {
	t.Helper()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// TestTraceForm is the form that scripts read: it stays as it is.
func TestTraceForm(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	d := open(t, trace)
	p, err := d.Output(pump("GPIO17"), gpio.Low)
	if err != nil {
		t.Fatal(err)
	}
	p.(board.Caused).Because("pump", "m1")
	for _, l := range []gpio.Level{gpio.High, gpio.High} { // the second is no change
		if err := p.Out(l); err != nil {
			t.Fatal(err)
		}
	}
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	b.(board.Caused).Because("dac", "m2")
	if err := b.Tx(0x60, []byte{0x40, 0x0f, 0xff}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Tx(0x60, []byte{0x40}, make([]byte, 2)); err != nil { // a read is no change
		t.Fatal(err)
	}
	want := []string{
		`"target":"pump","level":"off","cause":"safe"}`,
		`"target":"pump","level":"on","cause":"m1"}`,
		`"target":"dac","write":"40:0fff","cause":"m2"}`,
	}
	got := lines(t, trace)
	if len(got) != len(want) {
		t.Fatalf("trace %q; want %d lines", got, len(want))
	}
	for i, line := range got {
		var e sim.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || time.Since(e.At) > time.Minute || time.Since(e.At) < 0 {
			t.Errorf("line %q: %v, at %v", line, err, e.At)
		}
		if !strings.HasPrefix(line, `{"at":"`) || !strings.HasSuffix(line, `Z",`+want[i]) {
			t.Errorf("line %q; want %s", line, want[i])
		}
	}
}

// TestWithoutATraceNothingMoves: the line in the file is the movement.
func TestWithoutATraceNothingMoves(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full to write to")
	}
	d := open(t, "/dev/full")
	_, err := d.Output(pump("GPIO17"), gpio.High)
	if on, driven := d.Level("GPIO17"); !errors.Is(err, syscall.ENOSPC) || on || driven {
		t.Errorf("request: %v, on=%v; want no space, and nothing moved", err, on)
	}
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Tx(0x60, []byte{1, 2}, nil); !errors.Is(err, syscall.ENOSPC) || d.Memory("1", 0x60, 1) != nil {
		t.Errorf("write: %v, holds %x; want no space, and nothing written", err, d.Memory("1", 0x60, 1))
	}
}

func TestNoTrace(t *testing.T) {
	p, err := open(t, "").Output(pump("GPIO17"), gpio.Low)
	if err == nil {
		err = p.Out(gpio.High)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestTraceThatCannotBeOpened(t *testing.T) {
	if _, err := sim.New(t.TempDir()); err == nil {
		t.Error("a directory was taken for a trace")
	}
}

// TestTornLineIsEnded: what a power cut left spoils one line, not two.
func TestTornLineIsEnded(t *testing.T) {
	for torn, want := range map[string]int{"": 1, "{\"at\":\n": 2, "{\"at\":\"20": 2} {
		trace := filepath.Join(t.TempDir(), "trace")
		if err := os.WriteFile(trace, []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, trace).Output(pump("GPIO17"), gpio.Low); err != nil {
			t.Fatal(err)
		}
		got := lines(t, trace)
		if last := got[len(got)-1]; len(got) != want || !json.Valid([]byte(last)) {
			t.Errorf("after %q: %q; want %d lines, the last one whole", torn, got, want)
		}
	}
}

// TestDeathReleasesNothing kills a process that has switched an output on. Its
// movement is in the trace, its end is not, and the next process that takes the
// line writes its safe level first.
func TestDeathReleasesNothing(t *testing.T) {
	const env = "SIM_TEST_TRACE"
	if trace := os.Getenv(env); trace != "" {
		dieOn(t, trace)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe, "-test.run=^TestDeathReleasesNothing$")
	child.Env = append(os.Environ(), env+"="+trace)
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("SKIPPED LOUDLY: under emulation this binary cannot start itself; the native run has killed the process")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("child: %v, %s; want it killed", err, out)
	}
	if got := lines(t, trace); len(got) != 2 || !strings.Contains(got[1], `"on"`) {
		t.Fatalf("trace %q; want it to end with the output on", got)
	}
	if _, err := open(t, trace).Output(pump("GPIO17"), gpio.Low); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, trace); len(got) != 3 || !strings.HasSuffix(got[2], `"level":"off","cause":"safe"}`) {
		t.Errorf("trace %q; want the safe level", got)
	}
}

// dieOn switches an output on and kills its own process the moment that is said
// to be done.
func dieOn(t *testing.T, trace string) {
	p, err := open(t, trace).Output(pump("GPIO17"), gpio.Low)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Out(gpio.High); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {}
}

func TestFaultSwitches(t *testing.T) {
	d := open(t, "")
	boom := syscall.EIO
	d.FailRequests("L", 1, boom)
	if _, err := d.Output(pump("L"), gpio.Low); !errors.Is(err, boom) {
		t.Errorf("request: %v", err)
	}
	p, err := d.Output(pump("L"), gpio.Low)
	if err != nil {
		t.Fatal(err)
	}
	for _, moving := range []bool{false, true} {
		d.FailOuts("L", 1, boom, moving)
		err := p.Out(gpio.High)
		if on, _ := d.Level("L"); !errors.Is(err, boom) || on != moving {
			t.Errorf("out, moving=%v: %v, on=%v", moving, err, on)
		}
	}
	if d.Touched("L") != 4 {
		t.Errorf("touched %d times; want 4", d.Touched("L"))
	}
	d.Hold("M", "spi")
	var line *board.LineError
	if _, err := d.Output(pump("M"), gpio.Low); !errors.As(err, &line) || line.Holder != "spi" {
		t.Errorf("held: %v", err)
	}
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	d.FlipReads("1", 1)
	got := make([]byte, 1)
	for _, want := range []byte{1, 0} {
		if err := b.Tx(0x60, []byte{7}, got); err != nil || !bytes.Equal(got, []byte{want}) {
			t.Errorf("read %x, %v; want %x", got, err, want)
		}
	}
	if err := b.Tx(0x60, nil, got); err == nil {
		t.Error("a transfer without a register")
	}
}

// TestCloseEndsWhatHangs, and what comes after it fails.
func TestCloseEndsWhatHangs(t *testing.T) {
	d := open(t, "")
	p, err := d.Output(pump("L"), gpio.Low)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	d.Hang("1")
	d.Slow("1", time.Hour)
	ended := make(chan error)
	go func() { ended <- b.Tx(0x60, []byte{1, 2}, nil) }()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("a transfer on a closed board succeeded")
	}
	if err := p.Out(gpio.High); err == nil {
		t.Error("an out on a closed board succeeded")
	}
	if _, err := d.Output(pump("M"), gpio.Low); err == nil {
		t.Error("a request on a closed board succeeded")
	}
	if err := d.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}
