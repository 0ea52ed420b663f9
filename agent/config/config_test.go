package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"actuatord/board"
)

// defaults is what an empty file means.
func defaults() Config {
	return Config{
		Hub: Hub{
			ConnectionStringFile: "/etc/actuatord/connection-string",
			MQTTPort:             8883, WebSocketPort: 443, HTTPSPort: 443,
			KeepAlive: time.Minute, FallbackAfter: 5 * time.Minute, PollEvery: 25 * time.Minute,
			SettleVisits: 12, OnUnrejectable: Unrejectable{Hold: true},
		},
		Clock:   Clock{Wait: 2 * time.Minute},
		Journal: Journal{Path: "/var/lib/actuatord/journal.db", Keep: 168 * time.Hour},
		Board:   Board{Driver: DriverLinux},
	}
}

// TestReference: the file that is installed parses, means what its comments
// say, shows the defaults, and has every key.
func TestReference(t *testing.T) {
	got, err := Load("actuatord.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Profile = board.Profile{
		Outputs: []board.Output{{Name: "pump", Line: "GPIO17", MaxOn: 10 * time.Minute, Permit: []string{"float-ok"}}},
		Inputs:  []board.Input{{Name: "float-ok", Line: "GPIO22", Bias: board.PullDown, Debounce: 10 * time.Millisecond}},
		Registers: []board.Register{{Name: "dac", Bus: "1", Address: 0x60, Registers: []byte{0x40}, Verify: true, Repeatable: true,
			Safe: &board.SafeWrite{Register: 0x40, Bytes: []byte{0, 0}}}},
		Levels:    []board.PWM{{Name: "fan", Line: "pwmchip0:1", Frequency: 25000, MaxOn: 10 * time.Minute, Permit: []string{"float-ok"}}},
		Expanders: []board.Expander{{Name: "relays", Bus: "1", Address: 0x20, Chip: board.MCP23017, Verify: true}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestReferenceIsComplete puts an unknown key into each table of the reference
// file: the faults list the keys that are known there, and all must be in it.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile("actuatord.toml")
	if err != nil {
		t.Fatal(err)
	}
	root, problem := parseTree(text)
	if problem != nil {
		t.Fatal(problem)
	}
	tables := map[string]*node{}
	for name, n := range root.fields {
		if n.kind == isArray {
			n = n.items[0]
		}
		n.fields["zzz"] = &node{line: n.line}
		tables[name] = n
	}
	r := &reader{root: root}
	r.hub()
	r.clock()
	r.journal()
	r.board()
	r.fallback()
	r.profile()
	if len(r.problems) != 10 || len(r.tables) != 10 {
		t.Fatalf("%d tables, faults: %v", len(r.tables), r.problems)
	}
	for _, p := range r.problems {
		table, _, _ := strings.Cut(p.Key, ".")
		_, keys, _ := strings.Cut(p.Rule, "the keys here are ")
		for key := range strings.SplitSeq(keys, ", ") {
			if tables[table].fields[key] == nil {
				t.Errorf("the reference file lacks %s in [%s]", key, table)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	got, err := Parse("empty", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Warnings = []string{"line 1: there is no [[output]], no [[level]] and no [[register]]: every command will be refused"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestValues: every key is read, in every form it has.
func TestValues(t *testing.T) {
	const out = "[[output]]\nname = \"a\"\nline = \"GPIO1\"\nmax_on = \"1s\"\n"
	const reg = "[[register]]\nname = \"r\"\nbus = \"1\"\naddress = 0x60\nregisters = [1]\n"
	const lev = "[[level]]\nname = \"f\"\nline = \"pwmchip0:0\"\nfrequency = \"1kHz\"\nmax_on = \"1s\"\n"
	const expander = "[[expander]]\nname = \"x\"\nbus = \"1\"\nchip = \"pcf8574\"\naddress = 0x27\n"
	const in = "[[input]]\nname = \"i\"\nline = \"GPIO9\"\n"
	output := func(c Config) board.Output { return c.Profile.Outputs[0] }
	register := func(c Config) board.Register { return c.Profile.Registers[0] }
	for _, tt := range []struct {
		text string
		got  func(Config) any
		want any
	}{
		{"hub.connection_string_file = '/run/c'", func(c Config) any { return c.Hub.ConnectionStringFile }, "/run/c"},
		{"[hub]\nca_file = '/run/ca.pem'", func(c Config) any { return c.Hub.CAFile }, "/run/ca.pem"},
		{"[hub]\nproxy = 'none'", func(c Config) any { return c.Hub.Proxy }, "none"},
		{"[hub]\nproxy = 'http://proxy.example:3128'", func(c Config) any { return c.Hub.Proxy }, "http://proxy.example:3128"},
		{"[hub]\nproxy = 'http://[fd00::1]:3128'", func(c Config) any { return c.Hub.Proxy }, "http://[fd00::1]:3128"},
		{"[hub]\nmqtt_port = 1_8883", func(c Config) any { return c.Hub.MQTTPort }, 18883},
		{"[hub]\nwebsocket_port = 0x1BB", func(c Config) any { return c.Hub.WebSocketPort }, 443},
		{"hub = {https_port = 65535}", func(c Config) any { return c.Hub.HTTPSPort }, 65535},
		{"[hub]\nkeep_alive = '1177s'", func(c Config) any { return c.Hub.KeepAlive }, 1177 * time.Second},
		{"[hub]\nfallback_after = '1h30m'", func(c Config) any { return c.Hub.FallbackAfter }, 90 * time.Minute},
		{"[hub]\npoll_every = '48h'", func(c Config) any { return c.Hub.PollEvery }, 48 * time.Hour},
		{"[hub]\nsettle_visits = 60", func(c Config) any { return c.Hub.SettleVisits }, 60},
		{"[hub]\non_unrejectable = 'hold'", func(c Config) any { return c.Hub.OnUnrejectable }, Unrejectable{Hold: true}},
		{"[hub]\non_unrejectable = 'complete'", func(c Config) any { return c.Hub.OnUnrejectable }, Unrejectable{}},
		{"[hub]\non_unrejectable = '90m'", func(c Config) any { return c.Hub.OnUnrejectable }, Unrejectable{After: 90 * time.Minute}},
		{"[clock]\nwait = '0s'", func(c Config) any { return c.Clock.Wait }, time.Duration(0)},
		{"[journal]\npath = '/j'", func(c Config) any { return c.Journal.Path }, "/j"},
		{"[journal]\nkeep = '48h'", func(c Config) any { return c.Journal.Keep }, 48 * time.Hour},
		{"[board]\ndriver = 'sim'\ntrace = '/t'", func(c Config) any { return c.Board }, Board{"sim", "/t"}},
		{"[default]\nhandler = 'log'", func(c Config) any { return c.Default.Log }, true},
		{out + "active = 'low'", func(c Config) any { return output(c).ActiveLow }, true},
		{out + "drive = 'open-drain'", func(c Config) any { return output(c).OpenDrain }, true},
		{out + "drive = 'push-pull'", func(c Config) any { return output(c).OpenDrain }, false},
		{out + "min_off = '3s'", func(c Config) any { return output(c).MinOff }, 3 * time.Second},
		{out + "max_age = '1h'", func(c Config) any { return output(c).MaxAge }, time.Hour},
		{"[[output]]\nname='a'\nline='chip:4'\nsafe='on'", func(c Config) any { return output(c) }, board.Output{Name: "a", Line: "chip:4", SafeOn: true}},
		{"[[output]]\nname='a'\nline='l'\nmax_on='none'", func(c Config) any { return output(c) }, board.Output{Name: "a", Line: "l"}},
		{out + "interlock = 'g'\n" + strings.ReplaceAll(out, "1\"", "2\"") + "interlock = 'g'\n", nil, nil},
		{strings.ReplaceAll(out, "\"a\"", "\"b\"") + "interlock = 'g'\n" + strings.ReplaceAll(out, "GPIO1", "GPIO2") + "interlock = 'g'\n",
			func(c Config) any { return c.Profile.Outputs[1].Interlock }, "g"},
		{out + "permit = ['i']\n" + in, func(c Config) any { return output(c).Permit }, []string{"i"}},
		{in, func(c Config) any { return c.Profile.Inputs[0] }, board.Input{Name: "i", Line: "GPIO9", Debounce: 10 * time.Millisecond}},
		{in + "active = 'low'\nbias = 'none'\ndebounce = '0s'", func(c Config) any { return c.Profile.Inputs[0] }, board.Input{Name: "i", Line: "GPIO9", ActiveLow: true, Bias: board.BiasNone}},
		{in + "bias = 'pull-up'\ndebounce = '5s'", func(c Config) any { return c.Profile.Inputs[0] }, board.Input{Name: "i", Line: "GPIO9", Bias: board.PullUp, Debounce: 5 * time.Second}},
		{in + "bias = 'as-is'", func(c Config) any { return c.Profile.Inputs[0].Bias }, board.BiasAsIs},
		{reg + "verify = false", func(c Config) any { return register(c).Verify }, false},
		{reg + "repeatable = false", func(c Config) any { return register(c).Repeatable }, false},
		{reg + "max_age = '5m'", func(c Config) any { return register(c).MaxAge }, 5 * time.Minute},
		{reg + "[register.safe]\nregister = 255\nbytes = 'AB'", func(c Config) any { return *register(c).Safe }, board.SafeWrite{Register: 255, Bytes: []byte{0xab}}},
		{strings.NewReplacer("'r'", "'q'", `"r"`, `"q"`).Replace(reg) + reg + "[register.safe]\nregister = 1\nbytes = '00'", func(c Config) any { return c.Profile.Registers[0].Safe == nil && c.Profile.Registers[1].Safe != nil }, true},
		{lev, func(c Config) any { return c.Profile.Levels[0] }, board.PWM{Name: "f", Line: "pwmchip0:0", Frequency: 1000, MaxOn: time.Second}},
		{lev + "safe = 12.5\nmax_age = '1h'", func(c Config) any { return c.Profile.Levels[0].Safe }, board.Percent(1250)},
		{lev + "safe = 100", func(c Config) any { return c.Profile.Levels[0].Safe }, board.Full},
		{strings.Replace(lev, "1kHz", "50Hz", 1), func(c Config) any { return c.Profile.Levels[0].Frequency }, 50},
		{strings.NewReplacer("pwmchip0:0", "x:15", "1kHz", "200Hz").Replace(lev) + strings.NewReplacer("pcf8574", "pca9685", "0x27", "0x41").Replace(expander),
			func(c Config) any { return c.Profile.Levels[0].Line }, "x:15"},
		{expander, func(c Config) any { return c.Profile.Expanders[0] }, board.Expander{Name: "x", Bus: "1", Address: 0x27, Chip: board.PCF8574, Verify: true}},
		{expander + "verify = false", func(c Config) any { return c.Profile.Expanders[0].Verify }, false},
		{"[[output]]\nname='a'\nline='x:7'\n" + expander, func(c Config) any { return c.Profile.Outputs[0].Line }, "x:7"},
		{"output = [{name = 'a', line = 'l'}, {name = 'b', line = 'm'}]", func(c Config) any { return len(c.Profile.Outputs) }, 2},
	} {
		c, err := Parse("test", []byte(tt.text))
		if tt.got == nil {
			if err == nil {
				t.Errorf("%s\naccepted", tt.text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s\nrefused: %v", tt.text, err)
		} else if got := tt.got(c); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s\ngot %v; want %v", tt.text, got, tt.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	c, err := Parse("test", []byte(`[[output]]
name = "a"
line = "GPIO1"

[[register]]
name = "r"
bus = "1"
address = 0x60

[[output]]
name = "b"
line = "GPIO2"
max_on = "none"

[[level]]
name = "d"
line = "pwmchip0:0"
frequency = "1kHz"

[[output]]
name = "c"
line = "GPIO3"
safe = "on"

[board]
trace = "/tmp/trace"

[[input]]
name = "idle"
line = "GPIO4"

[[input]]
name = "cut"
line = "GPIO5"
bias = "pull-up"

[[output]]
name = "e"
line = "GPIO6"
max_on = "1s"
permit = ["cut", "low"]

[[input]]
name = "low"
line = "GPIO7"
active = "low"
bias = "pull-down"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`line 1: output "a" has no max_on, so it may stay on for ever; set one, or max_on = "none" if that is meant`,
		`line 5: register "r" has no list of registers, so commands may write any of them`,
		`line 15: level "d" has no max_on, so it may stay away from its safe level for ever; set one, or max_on = "none" if that is meant`,
		`line 26: board.trace is only written with driver = "sim"`,
		`line 28: no output or level has input "idle" in its permit, so it is only reported`,
		`line 32: input "cut" is pulled to its active level, so a cut wire permits; pull it the other way, and wire the contact so that it closes to permit`,
		`line 43: input "low" is pulled to its active level, so a cut wire permits; pull it the other way, and wire the contact so that it closes to permit`,
	}
	if !slices.Equal(c.Warnings, want) {
		t.Errorf("got  %q\nwant %q", c.Warnings, want)
	}
	if r := c.Profile.Registers[0]; r.Registers != nil || c.Profile.Outputs[0].MaxOn != 0 || c.Profile.Outputs[1].MaxOn != 0 {
		t.Errorf("%+v, %+v: want any register, and no limit", r, c.Profile.Outputs)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.toml")); err == nil || AsProblems(err) != nil || !strings.HasPrefix(err.Error(), "read configuration: open ") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(dir); err == nil || AsProblems(err) != nil {
		t.Errorf("directory: %v", err)
	}
	path := filepath.Join(dir, "a.toml")
	if err := os.WriteFile(path, []byte(strings.Repeat("# long\n", MaxFile/7+1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || err.Error() != path+": 1 fault\nline 1: the file is longer than 65536 bytes" {
		t.Errorf("long file: %v", err)
	}
	if err := os.WriteFile(path, []byte("[hub]\nmqtt_port = 0\nhttps_port = 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	want := path + ": 2 faults\n" +
		"line 2: hub.mqtt_port = 0: must be a whole number from 1 to 65535, without quotes\n" +
		"line 3: hub.https_port = 0: must be a whole number from 1 to 65535, without quotes"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
