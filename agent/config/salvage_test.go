package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"actuatord/board"
)

// brief writes a profile as "name line polarity safe", which is what counts
// when a broken file is all there is.
func brief(p board.Profile) string {
	var all []string
	for _, o := range p.Outputs {
		s := o.Name + " " + o.Line
		if o.ActiveLow {
			s += " low"
		}
		all = append(all, s+" "+o.Safe().String())
	}
	for _, r := range p.Registers {
		s := fmt.Sprintf("%s %s %#x", r.Name, r.Bus, r.Address)
		if r.Safe != nil {
			s += fmt.Sprintf(" %x:%x", r.Safe.Register, r.Safe.Bytes)
		}
		all = append(all, s)
	}
	for _, w := range p.Levels {
		all = append(all, fmt.Sprintf("%s %s %dHz %v", w.Name, w.Line, w.Frequency, w.Safe))
	}
	for _, e := range p.Expanders {
		all = append(all, fmt.Sprintf("%s %s %#x %s %v", e.Name, e.Bus, e.Address, e.Chip, e.Verify))
	}
	return strings.Join(all, ", ")
}

// TestOutputs: every output whose safe level is beyond doubt is found, and no
// other, whatever else is wrong with the file.
func TestOutputs(t *testing.T) {
	const lamp = "[[output]]\nname = 'lamp'\nline = 'GPIO5'\nactive = 'low'\nsafe = 'on'\n"
	const relay = "[[output]]\nname = 'relay'\nline = 'x:3'\n"
	const dim = "[[level]]\nname = 'dim'\nline = 'pwmchip0:0'\nfrequency = '1kHz'\nsafe = 12.5\n"
	const pca = "[[expander]]\nname = 'y'\nbus = '1'\nchip = 'pca9685'\naddress = 0x41\n"
	const aChip = "[[expander]]\nname = 'x'\nbus = '1'\nchip = 'pcf8574'\naddress = 0x20\n"
	const lampBrief = "lamp GPIO5 low on"
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"valid", anOutput + lamp + aRegister + "safe = {register = 0x40, bytes = '00ff'}", "pump GPIO17 off, " + lampBrief + ", dac 1 0x60 40:00ff"},

		// TOML, but with faults.
		{"faults elsewhere", "[hub]\nmqtt_port = 0\nx = 1\n[nonsense]\n" + anOutput + lamp, "pump GPIO17 off, " + lampBrief},
		{"permit", anOutput + "permit = ['nobody']\n[[input]]\nname = 'x'\nline = 'GPIO17'\n" + lamp, "pump GPIO17 off, " + lampBrief},
		{"faulty permit", anOutput + "permit = 'x'\n" + lamp, "pump GPIO17 off, " + lampBrief},
		{"faulty limit", anOutput + "max_on = 10\nmin_off = 'x'\ninterlock = 1\nmax_age = ''\n" + lamp, "pump GPIO17 off, " + lampBrief},
		{"limit with safe on", lamp + "max_on = '1s'", lampBrief},
		{"unknown key", anOutput + "colour = 'red'", "pump GPIO17 off"},
		{"misspelt safe", anOutput + "saef = 'on'\n" + lamp, lampBrief},
		{"capital Active", anOutput + "Active = 'low'\n" + lamp, lampBrief},
		{"faulty safe", anOutput + "safe = 'high'\n" + lamp, lampBrief},
		{"faulty active", anOutput + "active = 0\n" + lamp, lampBrief},
		{"faulty drive", anOutput + "drive = 'open'\n" + lamp, lampBrief},
		{"no line", "[[output]]\nname = 'pump'\n" + lamp, lampBrief},
		{"faulty line", "[[output]]\nname = 'pump'\nline = '17'\n" + lamp, lampBrief},
		{"no name", "[[output]]\nline = 'GPIO1'", "GPIO1 GPIO1 off"},
		{"reserved name", "[[output]]\nname = 'all'\nline = 'GPIO1'", "GPIO1 GPIO1 off"},
		{"name taken", anOutput + "[[output]]\nname = 'pump'\nline = 'GPIO1'", "pump GPIO17 off, GPIO1 GPIO1 off"},
		{"line taken", anOutput + "[[output]]\nname = 'b'\nline = 'GPIO17'\nsafe = 'on'", "pump GPIO17 off"},
		{"faulty register", aRegister + "registers = 7\nverify = 1\n" + lamp, lampBrief + ", dac 1 0x60"},
		{"faulty safe bytes", aRegister + "safe = {register = 1, bytes = 'x'}\n" + lamp, lampBrief},
		{"no address", "[[register]]\nname = 'dac'\nbus = '1'\n" + lamp, lampBrief},
		{"no bus", "[[register]]\nname = 'dac'\naddress = 1\n" + lamp, lampBrief},

		{"level", dim, "dim pwmchip0:0 1000Hz 12.5"},
		{"level with a faulty limit", dim + "max_on = 3", "dim pwmchip0:0 1000Hz 12.5"},
		{"level with a faulty frequency", strings.Replace(dim, "1kHz", "1k", 1) + lamp, lampBrief},
		{"level without a frequency that can be had", strings.Replace(dim, "1kHz", "9000kHz", 1) + lamp, lampBrief},
		{"level with a faulty safe", strings.Replace(dim, "12.5", "'12.5'", 1) + lamp, lampBrief},
		{"level without a line", strings.Replace(dim, "line", "lin", 1) + lamp, lampBrief},
		{"levels of two frequencies on a chip", pca + strings.NewReplacer("pwmchip0:0", "y:0", "1kHz", "200Hz").Replace(dim) + strings.NewReplacer("pwmchip0:0", "y:1", "'dim'", "'dom'").Replace(dim),
			"dim y:0 200Hz 12.5, y 1 0x41 pca9685 true"},
		{"level in a broken file", "x\n" + dim + "max_on = 3m", "dim pwmchip0:0 1000Hz 12.5"},
		{"expander", relay + aChip, "relay x:3 off, x 1 0x20 pcf8574 true"},
		{"expander with a faulty verify", relay + aChip + "verify = 'no'", "relay x:3 off, x 1 0x20 pcf8574 false"},
		{"expander with an unknown key", relay + aChip + "colour = 'red'", "relay x:3 off, x 1 0x20 pcf8574 true"},
		{"expander without an address", relay + strings.Replace(aChip, "address", "adress", 1), "relay x:3 off"},
		{"expander at an address it cannot have", relay + strings.Replace(aChip, "0x20", "0x30", 1), "relay x:3 off"},
		{"expander of no known chip", relay + strings.Replace(aChip, "8574", "8575", 1), "relay x:3 off"},
		{"expanders of one name", relay + aChip + strings.Replace(aChip, "0x20", "0x21", 1), "relay x:3 off"},
		{"expanders at one place", relay + aChip + strings.Replace(aChip, "'x'", "'y'", 1), "relay x:3 off"},
		{"expander and a register at one place", relay + aChip + "[[register]]\nname = 'dac'\nbus = '1'\naddress = 0x20\nsafe = {register = 0, bytes = '00'}", "relay x:3 off, x 1 0x20 pcf8574 true"},

		// No TOML.
		{"expander in a broken file", "x\n" + relay + aChip + "verify = yes", "relay x:3 off, x 1 0x20 pcf8574 false"},
		{"expander of an unquoted chip", "x\n" + relay + strings.Replace(aChip, "'pcf8574'", "pcf8574", 1), "relay x:3 off"},
		{"broken head", "[hub\nx = 1\n" + anOutput + lamp, "pump GPIO17 off, " + lampBrief},
		{"text before", "what is this\n" + anOutput, "pump GPIO17 off"},
		{"text between", anOutput + "what is this\n" + lamp, "pump GPIO17 off, " + lampBrief},
		{"text at the end", anOutput + lamp + "\x00\xff", "pump GPIO17 off, " + lampBrief},
		{"unquoted limit", anOutput + "max_on = 10m\n" + lamp, "pump GPIO17 off, " + lampBrief},
		{"open list", aRegister + "registers = [0x40,\n" + lamp, lampBrief + ", dac 1 0x60"},
		{"unquoted safe", anOutput + "safe = on\n" + lamp, lampBrief},
		{"open safe", anOutput + "safe = 'on\n" + lamp, lampBrief},
		{"open line", "[[output]]\nname = 'pump'\nline = 'GPIO17\n" + lamp, lampBrief},
		{"safe twice", anOutput + "safe = 'off'\nsafe = 'on'\n" + lamp, lampBrief},
		{"limit twice", anOutput + "max_on = '1s'\nmax_on = '2s'\n" + lamp, "pump GPIO17 off, " + lampBrief},
		{"misspelt and unquoted", anOutput + "actve = low\n" + lamp, lampBrief},
		{"lost bracket", "[output]]\nname = 'pump'\n" + lamp, lampBrief},
		{"one bracket", "[output]\nname = 'pump'\n" + lamp, lampBrief},
		{"list over lines", "x\n" + aRegister + "registers = [\n  0x40,\n  0x41,\n]\n" + lamp, lampBrief + ", dac 1 0x60"},
		{"Windows line ends", strings.ReplaceAll("x\n"+anOutput+"max_on = 10m\n"+lamp, "\n", "\r\n"), "pump GPIO17 off, " + lampBrief},
		{"comments", "x\n# [[output]]\n" + anOutput + "# safe = 'on\n" + lamp, "pump GPIO17 off, " + lampBrief},
		{"very long table", "x\n" + anOutput + strings.Repeat("what\n", maxSalvage) + lamp, lampBrief},
		{"too long", lamp + strings.Repeat("#\n", MaxFile/2), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := brief(Outputs([]byte(tt.text))); got != tt.want {
				t.Errorf("%s\ngot  %q\nwant %q", tt.text, got, tt.want)
			}
		})
	}
}

// TestOutputsSafeOn: no limit may drive an output away from its safe level.
func TestOutputsSafeOn(t *testing.T) {
	p := Outputs([]byte(anOutput + "safe = 'on'\nmax_on = '1s'"))
	if len(p.Outputs) != 1 || p.Outputs[0].MaxOn != 0 {
		t.Errorf("got %+v; want no max_on", p.Outputs)
	}
}

// TestOutputsEveryCut cuts the reference file off after each of its bytes, as a
// full disk would: an output that is found is one that was written, with its
// safe level, or one whose rest was cut away.
func TestOutputsEveryCut(t *testing.T) {
	text := []byte(anOutput + "safe = 'off'\n[[output]]\nname = 'fan'\nline = 'GPIO18'\nsafe = 'on'\n")
	first := len(anOutput + "safe = 'off'")
	for n := range text {
		p := Outputs(text[:n])
		if n >= first && (len(p.Outputs) == 0 || p.Outputs[0].Line != "GPIO17" || p.Outputs[0].SafeOn) {
			t.Errorf("cut after %d: %s", n, brief(p))
		}
		for _, o := range p.Outputs {
			if o.Line != "GPIO17" && o.Line != "GPIO18" {
				t.Errorf("cut after %d: made up a line: %s", n, brief(p))
			}
		}
	}
}

// TestOutputsLineByLine spoils one line of the reference file at a time.
func TestOutputsLineByLine(t *testing.T) {
	text, err := os.ReadFile("actuatord.toml")
	if err != nil {
		t.Fatal(err)
	}
	whole := Outputs(text)
	lines := strings.Split(string(text), "\n")
	table := ""
	for i, line := range lines {
		key, _ := keyOf([]byte(line))
		spoilt := strings.Join(lines[:i], "\n") + "\n" + strings.TrimSuffix(line, `"`) + " %\n" + strings.Join(lines[i+1:], "\n")
		p := Outputs([]byte(spoilt))
		head := strings.HasPrefix(line, "[[")
		if head {
			table = line
		}
		critical := head || key == "line" || key == "active" || key == "drive" || key == "safe" || key == "bus" || key == "address" || key == "chip" || key == "frequency" || key == "name" && table == "[[expander]]"
		if n := len(p.Outputs) + len(p.Levels) + len(p.Registers) + len(p.Expanders); !critical && n != 4 || n < 3 {
			t.Errorf("line %d spoilt (%s): %s", i+1, line, brief(p))
		}
		if key == "" && !head && !reflect.DeepEqual(p, whole) {
			t.Errorf("line %d spoilt (%s): %+v", i+1, line, p)
		}
	}
}

// TestWiringBoard: the driver is the real one unless the file says otherwise.
func TestWiringBoard(t *testing.T) {
	linux := Board{Driver: DriverLinux}
	for text, want := range map[string]Board{
		"":                                 linux,
		"[board]\ndriver = 'sim'":          {Driver: DriverSim},
		"[board]\ndriver = 'simulated'":    linux,
		"[board]\ndriver = sim":            linux,
		"x\n[board]\ndriver = 'sim'\nz =":  {Driver: DriverSim},
		"x\n[board\ndriver = 'sim'":        linux,
		"[board]\ntrace = '/t'\n[hub":      {Driver: DriverLinux, Trace: "/t"},
		"[board]\ntrace = 't'\ndriver=7":   linux,
		"[[board]]\ndriver = 'sim'":        linux,
		anOutput + "[board]\ndriver='sim'": {Driver: DriverSim},
	} {
		if got := wiring([]byte(text)).Board; got != want {
			t.Errorf("%q: got %+v; want %+v", text, got, want)
		}
	}
}

func TestLoadOutputs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.toml")
	if _, err := LoadOutputs(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for text, journal := range map[string]string{
		"x\n" + anOutput + "[journal]\npath = '/j'":         "/j",
		"x\n" + anOutput + "[journal]\npath = 'j'":          "/var/lib/actuatord/journal.db",
		anOutput + "[journal]\npath = '/j'\nkeep = 'brief'": "/j",
	} {
		w, err := LoadOutputs(write(t, path, text, 0o600))
		if err != nil || w.JournalPath != journal || brief(w.Profile) != "pump GPIO17 off" || w.Board.Driver != DriverLinux {
			t.Errorf("%q: got %+v, %v", text, w, err)
		}
	}
}

// FuzzParse: whatever the bytes are, Parse and Outputs answer; the faults have
// lines and rules, and show no key; a valid file means the same to both. Its corpus is
// in testdata/fuzz.
func FuzzParse(f *testing.F) {
	reference, err := os.ReadFile("actuatord.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	const pasted = "hunter2hunter2hunter2hunter2hunter2hunter2h" // of a key: what is before its padding
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems := parse(text)
		p := Outputs(text)
		if w := wiring(text); w.JournalPath == "" || w.Board.Driver == "" || !reflect.DeepEqual(w.Profile, p) {
			t.Errorf("poor wiring: %+v", w)
		}
		lines := strings.Count(string(text), "\n") + 1
		for i, problem := range problems {
			if problem.Line < 1 || problem.Line > lines || problem.Rule == "" || i > 0 && problem.Line < problems[i-1].Line {
				t.Errorf("a poor fault: %v", problem)
			}
			if s := problem.String(); strings.ContainsAny(s, "\x00\x1b\n\r\u202e") {
				t.Errorf("unprintable: %q", s)
			} else if strings.Contains(s, pasted) && bytes.Count(text, []byte(pasted)) == bytes.Count(text, []byte(pasted+"=")) {
				t.Errorf("shows a key: %s", s)
			}
		}
		if len(problems) > 0 {
			return
		}
		if faults := c.Profile.Check(); len(faults) > 0 {
			t.Errorf("a valid file with a faulty profile: %v", faults)
		}
		c.Profile.Inputs = nil
		for i := range c.Profile.Outputs {
			c.Profile.Outputs[i].Permit = nil
		}
		for i := range c.Profile.Levels {
			c.Profile.Levels[i].Permit = nil
		}
		if !reflect.DeepEqual(p, c.Profile) {
			t.Errorf("Outputs gives\n%+v\nParse gives\n%+v", p, c.Profile)
		}
		if c.Hub.PollEvery < pollFloor || c.Journal.Keep < longestTTL || c.Hub.KeepAlive > longestKeepAlive || c.Hub.MQTTPort < 1 || c.Hub.MQTTPort > 65535 {
			t.Errorf("out of range: %+v", c)
		}
	})
}
