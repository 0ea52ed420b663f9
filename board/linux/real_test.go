package linux

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"actuatord/board/boardtest"
)

// TestConformanceOnThisMachine runs the suite on the real kernel. Of itself it
// touches only chips that gpio-sim made: nothing is wired to those.
// ACTUATORD_TEST_LINES=line,line (such as GPIO23,GPIO24) names others that are free
// to be driven, and ACTUATORD_TEST_REGISTERS=bus:address:register:absent (such as
// 1:0x60:0x40:0x10) the first of three registers to be written, and an address
// where nobody answers. test/hil does both. ACTUATORD_TEST_UNPLUG=1 has gpio-sim's
// chip taken from under an input too: whoever goes on behind that has to look for its
// files anew.
func TestConformanceOnThisMachine(t *testing.T) {
	base, label := boardtest.Rig{NoLine: "no such line"}, ""
	if s := os.Getenv("ACTUATORD_TEST_LINES"); s != "" {
		base.Lines = strings.Split(s, ",")
	} else {
		label = simulatedChip(t)
		base.Lines, base.High, base.Drive = []string{label + ":0", label + ":1"}, simulatedWire(label), simulatedPull(t, label)
	}
	if s := os.Getenv("ACTUATORD_TEST_REGISTERS"); s != "" {
		f := strings.Split(s, ":")
		if len(f) != 4 {
			t.Fatalf("ACTUATORD_TEST_REGISTERS=%q; want bus:address:register:absent", s)
		}
		base.Bus, base.NoBus = f[0], "99"
		if _, err := fmt.Sscanf(strings.Join(f[1:], " "), "%v %v %v", &base.Address, &base.Register, &base.Absent); err != nil {
			t.Fatal(err)
		}
	}
	rig := func() boardtest.Rig {
		r := base
		r.Driver = New()
		return r
	}
	boardtest.Suite(t, func(t *testing.T) boardtest.Rig {
		r := rig()
		r.Again = rig
		if label != "" && os.Getenv("ACTUATORD_TEST_UNPLUG") != "" {
			r.Break = simulatedUnplug(t, label)
		}
		return r
	})
}

// simulatedChip answers the label of a chip of gpio-sim with two free lines, or
// skips the test.
func simulatedChip(t *testing.T) string {
	paths, err := filepath.Glob("/dev/gpiochip*")
	if err != nil || len(paths) == 0 {
		t.Skip("SKIPPED LOUDLY: this kernel has no GPIO chip; the real requests were not tried")
	}
	for _, path := range paths {
		chip, err := New().readChip(path)
		if err != nil {
			t.Logf("%s: %v", path, err)
			continue
		}
		if strings.HasPrefix(chip.label, "gpio-sim") && len(chip.lines) >= 2 {
			return chip.label
		}
	}
	t.Skip("SKIPPED LOUDLY: this machine has GPIO chips, but none of gpio-sim; real ones are not touched")
	return ""
}

// simulatedWire reads what gpio-sim's line is at, in sysfs; nil where it shows
// nothing.
func simulatedWire(label string) func(string) bool {
	found, err := filepath.Glob("/sys/devices/platform/gpio-sim.*/gpiochip*/sim_gpio0/value")
	if err != nil || len(found) != 1 || !strings.HasPrefix(label, "gpio-sim.0") {
		return nil
	}
	dir := filepath.Dir(filepath.Dir(found[0]))
	return func(line string) bool {
		offset := line[strings.LastIndexByte(line, ':')+1:]
		b, err := os.ReadFile(filepath.Join(dir, "sim_gpio"+offset, "value"))
		return err == nil && strings.TrimSpace(string(b)) == "1"
	}
}

// simulatedPull drives a line of gpio-sim from outside, by the pull that it shows in
// sysfs; nil where it shows none.
func simulatedPull(t *testing.T, label string) func(string, bool) {
	found, err := filepath.Glob("/sys/devices/platform/gpio-sim.*/gpiochip*/sim_gpio0/pull")
	if err != nil || len(found) != 1 || !strings.HasPrefix(label, "gpio-sim.0") {
		return nil
	}
	dir := filepath.Dir(filepath.Dir(found[0]))
	return func(line string, high bool) {
		offset, word := line[strings.LastIndexByte(line, ':')+1:], map[bool]string{true: "pull-up", false: "pull-down"}[high]
		if err := os.WriteFile(filepath.Join(dir, "sim_gpio"+offset, "pull"), []byte(word), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// simulatedUnplug takes a chip of gpio-sim away from its driver, with its lines held,
// until the test is over; nil where that cannot be done.
func simulatedUnplug(t *testing.T, label string) func(string) {
	const driver = "/sys/bus/platform/drivers/gpio-sim"
	device, _, _ := strings.Cut(label, "-node")
	if _, err := os.Stat(filepath.Join(driver, device)); err != nil {
		return nil
	}
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(driver, name), []byte(device), 0o200); err != nil {
			t.Error(err)
		}
	}
	return func(string) {
		write("unbind")
		t.Cleanup(func() { write("bind") })
	}
}

// TestSystem: the real seam reaches the kernel, errno and all.
func TestSystem(t *testing.T) {
	k := system()
	if _, err := k.open(filepath.Join(t.TempDir(), "gpiochip0")); err != unix.ENOENT {
		t.Errorf("open: %v; want ENOENT", err)
	}
	fd, err := k.open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	var v [64]byte
	if err := k.ioctl(fd, unix.GPIO_V2_LINE_GET_VALUES_IOCTL, pointer(&v)); !refusedByKernel(err) {
		t.Errorf("ioctl of no line: %v; want ENOTTY", err)
	}
	if err := k.ioctlInt(fd, i2cTimeout, 1); !refusedByKernel(err) {
		t.Errorf("ioctl of no bus: %v; want ENOTTY", err)
	}
	if err := k.close(fd); err != nil {
		t.Error(err)
	}
	d := New()
	if paths, err := k.chips(); err != nil || len(paths) == 0 {
		if _, err := d.Output(spec("GPIO17"), false); err == nil {
			t.Error("a line was found on a machine without chips")
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if m := Model(); strings.Contains(m, "unknown") {
		t.Errorf("model %q; want it empty where there is none", m)
	}
}

// refusedByKernel: ENOTTY is what Linux says to an ioctl that a file does not
// know; an emulated system call layer that does not know it says ENOSYS.
func refusedByKernel(err error) bool { return err == unix.ENOTTY || err == unix.ENOSYS }
