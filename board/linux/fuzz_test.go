package linux

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"golang.org/x/sys/unix"

	"actuatord/board"
)

// FuzzLocate: whatever the kernel calls its chips, lines and their holders, a line is
// found where its name or place is and nowhere else, or not found with an error that
// is one line; nothing is taken, driven or left open.
func FuzzLocate(f *testing.F) {
	f.Add("gpiochip0", "pinctrl-rp1", "GPIO17", "spi0 CS0", "gpiochip1", "usb", "GPIO17", "GPIO17")
	f.Fuzz(func(t *testing.T, name1, label1, line, holder, name2, label2, line2, asked string) {
		if asked == "" {
			return // package board takes no such line
		}
		for _, s := range []*string{&name1, &label1, &line, &holder, &name2, &label2, &line2} {
			*s = (*s)[:min(len(*s), 32)] // what the kernel has room for
		}
		m := newMachine()
		first, second := m.addChip("/dev/gpiochip0", name1, label1, "", line), m.addChip("/dev/gpiochip1", name2, label2, line2)
		first.lines[1].consumer = holder
		at, err := newDriver(m.kernel()).locate(asked)
		for _, w := range append(first.lines, second.lines...) {
			if w.edges != nil {
				t.Errorf("a line was driven: %v", w.edges)
			}
		}
		if len(m.open) > 0 || len(m.requests) > 0 {
			t.Errorf("%d descriptors are open, %d lines were taken", len(m.open), len(m.requests))
		}
		kernel := func(s string) string { return unix.ByteSliceToString(append([]byte(s), 0)) }
		places := map[string][]string{kernel(label1) + ":0": {""}, kernel(label1) + ":1": {kernel(line)}} // and what is there
		places[kernel(label2)+":0"] = append(places[kernel(label2)+":0"], kernel(line2))
		if err == nil {
			if named, known := places[at]; !known || asked != at && !slices.Contains(named, asked) {
				t.Errorf("%q is found at %q, where %q is", asked, at, named)
			}
			return
		}
		var e *board.LineError
		if !errors.As(err, &e) || at != "" || strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Fatalf("%q beside the error %q", at, err)
		}
		if e.Fault == board.LineBusy && (holder == "" || e.Holder != kernel(holder)) {
			t.Errorf("held by %q; it is by %q", e.Holder, holder)
		}
		if e.Fault == board.AmbiguousLine && len(e.Places) < 2 {
			t.Errorf("ambiguous: %v", e.Places)
		}
	})
}

// FuzzLook: whatever chips, lines, adapters and PWM chips are called, a look at them
// takes and moves nothing, leaves nothing open, and what it tells is JSON and words of
// one line.
func FuzzLook(f *testing.F) {
	f.Add("Raspberry Pi 4 Model B", "pinctrl-bcm2711", "GPIO17", "spi0 CS0", uint64(0xffff), "i2c-1", "bcm2835 (i2c@7e804000)\n", "pwmchip0", "2\n", "GPIO17")
	f.Fuzz(func(t *testing.T, model, label, line, holder string, flags uint64, entry, adapterName, pwm, channels, asked string) {
		m := newMachine()
		m.model = model
		c := m.addChip("/dev/gpiochip0", "gpiochip0", label[:min(len(label), 32)], make([]string, 54)...)
		c.lines[17] = &wire{name: line[:min(len(line), 32)], consumer: holder[:min(len(holder), 32)], flags: flags}
		m.adapters["/dev/i2c-1"] = &adapter{funcs: uintptr(flags)}
		m.sys = fstest.MapFS{"bus/i2c/devices/i2c-1/name": file(adapterName), "class/pwm/pwmchip1/npwm": file(channels)}
		for path, text := range map[string]string{"bus/i2c/devices/" + entry + "/name": adapterName, "class/pwm/" + pwm + "/npwm": channels} {
			if fs.ValidPath(path) {
				m.sys[path] = file(text)
			}
		}
		s := newDriver(m.kernel()).look(lines("pump", asked))
		if len(m.open) > 0 || len(m.requests) > 0 || c.lines[17].edges != nil {
			t.Errorf("%d descriptors are open, %d lines were taken", len(m.open), len(m.requests))
		}
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
		if len(s.Chips) != 1 || len(s.Chips[0].Lines) != 54 || len(s.Header)%2 != 0 || len(s.Buses) == 0 || len(s.PWM) == 0 {
			t.Errorf("%+v", s)
		}
		for _, b := range s.Buses {
			if len(b.Adapter) > maxWord || strings.ContainsFunc(b.Adapter, unicode.IsControl) || b.Plain != (flags&1 == 1) && b.Number == 1 {
				t.Errorf("%+v", b)
			}
		}
	})
}
