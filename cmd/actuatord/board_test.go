package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"actuatord/agent/config"
	"actuatord/board"
	"actuatord/board/linux"
	"actuatord/hub/localhub"
)

var update = flag.Bool("update", false, "write testdata/board anew")

// looked is what package linux's tests saw of a machine.
func looked(t *testing.T, machine string) linux.Survey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../board/linux/testdata/board", machine+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var s linux.Survey
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// boardOf runs `board` on a machine that was looked at, without a configuration.
func boardOf(t *testing.T, machine, columns string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	fake := &hardware{
		look: func([]board.LineSpec) linux.Survey { return looked(t, machine) },
		scan: func(bus int, found func(linux.Answer)) error {
			found(linux.Answer{Address: "0x20", State: "answers"})
			found(linux.Answer{Address: "0x60", State: "answers"})
			found(linux.Answer{Address: "0x68", State: "driver", Driver: "rtc-ds1307"})
			if bus != 1 {
				return errors.New("something holds the bus")
			}
			return nil
		},
	}
	getenv := func(key string) string {
		if key == "COLUMNS" {
			return columns
		}
		return ""
	}
	code = run(append([]string{"board"}, args...), env{out: &o, err: &e, getenv: getenv, fake: fake})
	return code, o.String(), e.String()
}

// TestBoard holds what a person sees against files: each machine that package linux
// looks at, in a terminal of 80 columns, and some in a narrow one.
func TestBoard(t *testing.T) {
	for _, c := range []struct {
		machine, columns string
		code             int
	}{
		{"pi3", "80", 0}, {"pi4-busy", "80", 0}, {"pi4-busy", "40", 0}, {"pi5", "80", 0}, {"pi5", "200", 0}, {"pi5-before-6.6.45", "80", 0},
		{"pi5-broken", "80", exitFailed}, {"pi4-mainline", "80", 0}, {"pi1", "80", 0}, {"cm4", "80", 0}, {"no-pi", "80", 0}, {"no-chips", "80", 0}, {"forbidden", "80", exitFailed},
	} {
		t.Run(c.machine+"-"+c.columns, func(t *testing.T) {
			code, out, errs := boardOf(t, c.machine, c.columns)
			if code != c.code || errs != "" {
				t.Errorf("exit %d, %q; want %d", code, errs, c.code)
			}
			golden(t, filepath.Join("testdata", "board", c.machine+"-"+c.columns+".txt"), out)
			for _, line := range strings.Split(out, "\n") {
				table := strings.HasPrefix(line, " ") || strings.Contains(line, " | ") // sentences may be longer
				if n := utf8.RuneCountInString(line); table && c.columns == "40" && n > 40 {
					t.Errorf("%d columns: %q", n, line)
				}
			}
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; -update writes it anew. Now it is:\n%s", path, got)
	}
}

// TestBoardScan: nothing is scanned that nobody named, the warning comes first, and
// what failed half way shows what was found until then.
func TestBoardScan(t *testing.T) {
	code, out, errs := boardOf(t, "pi4-busy", "80", "--scan", "--bus", "1")
	if code != 0 || !strings.HasPrefix(errs, "actuatord: bus 1: one byte is read at every address from 0x08 to 0x77") {
		t.Errorf("exit %d, %q", code, errs)
	}
	golden(t, "testdata/board/scan.txt", out)
	for _, c := range []struct {
		machine string
		args    []string
		code    int
		says    string
		scanned bool
	}{
		{"pi4-busy", []string{"--scan"}, exitUsage, "--scan needs --bus N; there are 1 (bcm2835 (i2c@7e804000)) 7 (SMBus adapter) 20 (fef04500.i2c)", false},
		{"pi4-busy", []string{"--bus", "3"}, exitUsage, "--bus 3: there is no such bus; there are 1", false},
		{"pi4-busy", []string{"--bus", "x"}, exitUsage, "invalid value", false},
		{"no-chips", []string{"--scan"}, exitUsage, "dtparam=i2c_arm=on", false},
		{"pi4-busy", []string{"--scan", "--bus", "7"}, exitFailed, "something holds the bus", true},
		{"pi4-busy", []string{"1"}, exitUsage, "takes no", false},
	} {
		code, out, errs := boardOf(t, c.machine, "80", c.args...)
		if code != c.code || !strings.Contains(errs, c.says) || strings.Contains(out, "0x20  answers") != c.scanned {
			t.Errorf("%q: exit %d, %q, %q; want exit %d and %q", c.args, code, out, errs, c.code, c.says)
		}
	}
}

// TestBoardScanHangs: an adapter that does not come back holds up a person for so long.
func TestBoardScanHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs bytes.Buffer
		hung := make(chan struct{})
		began := time.Now()
		e := env{err: &errs, fake: &hardware{scan: func(int, func(linux.Answer)) error {
			<-hung
			return nil
		}}}
		err := scanBus([]linux.Bus{{Number: 1}}, config.Wiring{}, e)
		if err == nil || !strings.Contains(err.Error(), "its adapter hangs") || time.Since(began) != scanPatience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(hung)
	})
}

// TestBoardJSON: what a program reads is what was looked at, and the scan.
func TestBoardJSON(t *testing.T) {
	code, out, _ := boardOf(t, "pi4-busy", "80", "--json", "--scan", "--bus=1")
	var s linux.Survey
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		t.Fatalf("exit %d, %v", code, err)
	}
	if len(s.Chips) != 2 || s.Chips[0].Lines[17].Target != "pump" || len(s.Buses) != 1 || !s.Buses[0].Scanned || len(s.Buses[0].Addresses) != 3 {
		t.Errorf("%+v", s.Buses)
	}
	for _, name := range []string{`"model"`, `"chips"`, `"label"`, `"offset"`, `"holder"`, `"direction"`, `"activeLow"`, `"header"`, `"pin"`, `"place"`, `"buses"`, `"adapter"`, `"plain"`, `"addresses"`, `"address"`, `"pwm"`, `"channels"`} {
		if !strings.Contains(out, name+":") {
			t.Errorf("no field %s", name)
		}
	}
}

// TestBoardUses: what the configuration names is asked for, broken or not, and a
// simulated board's is not.
func TestBoardUses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.toml")
	for _, c := range []struct {
		text string
		want int
		dac  bool
	}{
		{"[board]\ndriver = \"linux\"\n[[output]]\nname = \"pump\"\nline = \"GPIO17\"\n[[register]]\nname = \"dac\"\nbus = \"1\"\naddress = 0x60\n", 1, true},
		{"[hub\n[[output]]\nname = \"pump\"\nline = \"GPIO17\"\n", 1, false},
		{"[board]\ndriver = \"sim\"\n[[output]]\nname = \"pump\"\nline = \"GPIO17\"\n[[register]]\nname = \"dac\"\nbus = \"1\"\naddress = 0x60\n", 0, false},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		e := env{out: &out, err: &errs, getenv: func(string) string { return "" }, fake: &hardware{
			look: func(lines []board.LineSpec) linux.Survey {
				if len(lines) != c.want || c.want > 0 && lines[0].Target != "pump" {
					t.Errorf("%q: asked for %+v", c.text, lines)
				}
				return looked(t, "pi4-busy")
			},
			scan: func(_ int, found func(linux.Answer)) error {
				found(linux.Answer{Address: "0x60", State: "answers"})
				return nil
			},
		}}
		if code := run([]string{"board", "--scan", "--bus", "1", "--config", path}, e); code != 0 || strings.Contains(out.String(), "0x60  [dac] answers") != c.dac {
			t.Errorf("%q: exit %d, %s %s", c.text, code, out.String(), errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"board", "--config", path + ".none"}, env{out: &out, err: &errs, getenv: os.Getenv}); code != exitUsage || !strings.Contains(errs.String(), "no such file") {
		t.Errorf("a configuration that is not there: exit %d, %q", code, errs.String())
	}
}

// TestBoardOfThisMachine: the real program on the real kernel, whatever that has.
func TestBoardOfThisMachine(t *testing.T) {
	s := newSite(t, localhub.Options{})
	for _, args := range [][]string{{"board"}, {"board", "--json"}} {
		if out, code := s.Call(args...); code != 0 && code != exitFailed || !strings.Contains(strings.ToLower(out), "pwm") && !strings.Contains(out, "Nothing was moved") {
			t.Errorf("%q: exit %d, %q", args, code, out)
		}
	}
	if got := s.Moves("safe"); got != nil {
		t.Errorf("it moved %q", got)
	}
}

// TestDrawingIsPlain: a name that somebody else chose moves no cursor and makes no
// line of its own.
func TestDrawingIsPlain(t *testing.T) {
	s := looked(t, "pi4-busy")
	s.Chips[0].Lines[5].Name, s.Chips[0].Label, s.Buses[0].Adapter = "a\nb\x1b[2J", "\u202elabel", "x\ny"
	var out bytes.Buffer
	if err := (drawing{w: plain{&out}, width: 80}).board(s, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a?b?[2J", "?label", "x?y"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}
