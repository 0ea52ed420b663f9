package linux

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"actuatord/board"
)

var update = flag.Bool("update", false, "write testdata/board anew")

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func link(to string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
}

// busy is a Pi 4 with two buses of three, a clock chip that a driver has, a PWM chip,
// and users on some lines.
func busy() *machine {
	m := newPi4()
	m.sys = fstest.MapFS{
		"bus/i2c/devices/i2c-1/name":         file("bcm2835 (i2c@7e804000)\n"),
		"bus/i2c/devices/i2c-20/name":        file("fef04500.i2c\n"),
		"bus/i2c/devices/i2c-7/name":         file("SMBus adapter\n"),
		"bus/i2c/devices/1-0068/driver":      link("../../../../bus/i2c/drivers/rtc-ds1307"),
		"bus/i2c/devices/1-0068/name":        file("ds3231\n"),
		"class/pwm/pwmchip0/npwm":            file("2\n"),
		"class/pwm/pwmchip0/device":          link("../../../fe20c000.pwm"),
		"class/pwm/pwmchip0/power/something": file(""),
	}
	m.adapters["/dev/i2c-1"] = &adapter{funcs: 0x0eff0001, drivers: []int{0x68}, devices: map[uint16]map[byte][]byte{0x20: {}, 0x60: {}}}
	m.adapters["/dev/i2c-7"] = &adapter{funcs: 0x0eff0000}
	l := m.chips["/dev/gpiochip0"].lines
	l[2].consumer, l[3].consumer = "i2c1", "i2c1"
	l[17].consumer, l[17].flags = board.Consumer, lineOutput|lineActiveLow
	l[22].consumer, l[22].flags = "float-switch", lineBiasPullUp
	l[23].consumer, l[23].flags = board.Consumer, lineOutput|lineOpenDrain
	l[24].flags = lineUsed | lineOutput | lineOpenSource | lineBiasPullDown // and nobody said who
	l[25].flags = lineBiasDisabled
	return m
}

// machines are what the golden files show. Package main renders the same files, so
// that what a person sees comes from what a kernel said.
func machines() map[string]*machine {
	broken := newPi5(false)
	broken.chips["/dev/gpiochip11"].broken = unix.EIO
	first := newPiUnnamed("Raspberry Pi Model B Rev 1", "pinctrl-bcm2835", 54)
	return map[string]*machine{
		"pi3": newPi3(), "pi4-busy": busy(), "pi5": newPi5(false), "pi5-before-6.6.45": newPi5(true), "pi5-broken": broken,
		"pi4-mainline": newPiMainline(), "pi1": first, "cm4": newPiUnnamed("Raspberry Pi Compute Module 4 Rev 1.0", "pinctrl-bcm2711", 58),
		"no-pi": newOther(), "no-chips": newMachine(), "forbidden": newForbidden(),
	}
}

// TestLookAtBoards: what each kernel says, in the words of the JSON; and nothing but
// questions was asked.
func TestLookAtBoards(t *testing.T) {
	for name, m := range machines() {
		t.Run(name, func(t *testing.T) {
			s := newDriver(m.kernel()).look(lines("pump", "GPIO17", "lamp", "pinctrl-bcm2711:27", "none", "GPIO99"))
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			text = append(bytes.ReplaceAll(text, []byte("},{"), []byte("},\n{")), '\n')
			golden(t, filepath.Join("testdata", "board", name+".json"), text)
			for _, call := range m.calls {
				if call != unix.GPIO_GET_CHIPINFO_IOCTL && call != unix.GPIO_V2_GET_LINEINFO_IOCTL && call != i2cFuncs {
					t.Errorf("it made call %#x", call)
				}
			}
			for path, c := range m.chips {
				for i, w := range c.lines {
					if w.edges != nil {
						t.Errorf("%s %d moved: %v", path, i, w.edges)
					}
				}
			}
			for path, a := range m.adapters {
				if a.asked != nil || a.timeout != 0 || a.retries != 0 {
					t.Errorf("%s was spoken to or set: %+v", path, a)
				}
			}
			if len(m.open) != 0 {
				t.Errorf("%d descriptors are open", len(m.open))
			}
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; -update writes it anew. Now it is:\n%s", path, got)
	}
}

// TestHeader: the table is right where two sources can be held against each other:
// each line of 0 to 27 is on it once, and the supplies are where the pinout has them.
func TestHeader(t *testing.T) {
	for model, want := range map[string]struct{ pins, lines int }{
		"Raspberry Pi 5 Model B Rev 1.0": {40, 28}, "Raspberry Pi Zero 2 W Rev 1.0": {40, 28}, "Raspberry Pi 500 Rev 1.0": {40, 28},
		"Raspberry Pi Model B Plus Rev 1.2": {40, 28}, "Raspberry Pi Model B Rev 2": {26, 17}, "Raspberry Pi Model B Rev 1": {26, 17},
		"Raspberry Pi Compute Module 3 Rev 1.0": {}, "Raspberry Pixel": {}, "": {},
	} {
		pins, seen := piPins(model), map[string]bool{}
		for i, p := range pins {
			_, isLine := piNumber(p)
			if isLine && seen[p] || !isLine && p != "GND" && p != "3V3" && p != "5V" {
				t.Errorf("%s: pin %d is %s", model, i+1, p)
			}
			if isLine {
				seen[p] = true
			}
		}
		if len(pins) != want.pins || len(seen) != want.lines {
			t.Errorf("%q: %d pins with %d lines; want %+v", model, len(pins), len(seen), want)
		}
		for number, name := range map[int]string{1: "3V3", 2: "5V", 4: "5V", 6: "GND", 8: "GPIO14", 11: "GPIO17", 17: "3V3", 25: "GND", 26: "GPIO7"} {
			if len(pins) > 0 && pins[number-1] != name {
				t.Errorf("%s: pin %d is %s; want %s", model, number, pins[number-1], name)
			}
		}
		for number, name := range map[int]string{27: "GPIO0", 30: "GND", 33: "GPIO13", 34: "GND", 39: "GND", 40: "GPIO21"} {
			if len(pins) == 40 && pins[number-1] != name {
				t.Errorf("%s: pin %d is %s; want %s", model, number, pins[number-1], name)
			}
		}
	}
	if b, b2 := piPins("Raspberry Pi Model B Rev 1"), piPins("Raspberry Pi Model B Rev 2"); b[2] != "GPIO0" || b2[2] != "GPIO2" || b[12] != "GPIO21" || b2[12] != "GPIO27" {
		t.Errorf("the first model's pins: %v", b)
	}
}

// TestLookOnThisMachine: the real kernel and the real /sys, whatever they have.
func TestLookOnThisMachine(t *testing.T) {
	s := Look(lines("pump", "GPIO17"))
	if s.Chips == nil || s.Header == nil || s.Buses == nil || s.PWM == nil {
		t.Errorf("%+v; want empty lists, which JSON shows as such", s)
	}
	if err := Scan(65535, func(a Answer) { t.Errorf("%+v on a bus that is not there", a) }); err == nil {
		t.Error("a bus that is not there was scanned")
	}
}

// TestWordsAreShort: a name that a USB adapter chose is one line of text.
func TestWordsAreShort(t *testing.T) {
	m := newMachine()
	m.sys = fstest.MapFS{
		"bus/i2c/devices/i2c-1/name":      file("evil\x1b[2J\u202e name" + strings.Repeat("x", 200) + "\nmore"),
		"bus/i2c/devices/i2c-01/name":     file("not a number"),
		"bus/i2c/devices/i2c-70000/name":  file("beyond any"),
		"bus/i2c/devices/i2c-2x/name":     file(""),
		"class/pwm/pwmchip3/npwm":         file("many\n"),
		"class/pwm/pwmchip3/device/x":     file("a directory, where the kernel has a link"),
		"bus/i2c/devices/i2c-10/name":     file("\xff\xfe"),
		"bus/i2c/devices/i2c-9/some/name": file("none"),
	}
	s := newDriver(m.kernel()).look(nil)
	if len(s.Buses) != 3 || s.Buses[0].Number != 1 || s.Buses[1].Number != 9 || s.Buses[2].Number != 10 {
		t.Fatalf("%+v; want buses 1, 9 and 10", s.Buses)
	}
	if a := s.Buses[0].Adapter; !strings.HasPrefix(a, "evil[2J namexxx") || len(a) > maxWord || s.Buses[2].Adapter != "" {
		t.Errorf("%q, %q", a, s.Buses[2].Adapter)
	}
	if len(s.PWM) != 1 || s.PWM[0] != (PWM{Name: "pwmchip3"}) {
		t.Errorf("%+v", s.PWM)
	}
}

// TestChipsInOrder: whatever order they are found in, chips come by their numbers, and
// one that a link leads to under its own path.
func TestChipsInOrder(t *testing.T) {
	for _, reversed := range []bool{false, true} {
		m := newPi5(false)
		if reversed {
			slices.Reverse(m.paths)
		}
		var got []string
		for _, c := range newDriver(m.kernel()).look(nil).Chips {
			got = append(got, strings.Join(append([]string{c.Path}, c.Also...), " "))
		}
		want := []string{"/dev/gpiochip0 /dev/gpiochip4", "/dev/gpiochip10", "/dev/gpiochip11", "/dev/gpiochip12", "/dev/gpiochip13"}
		if !slices.Equal(got, want) {
			t.Errorf("reversed %v: %q; want %q", reversed, got, want)
		}
	}
}
