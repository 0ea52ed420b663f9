package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"actuatord/board"
)

// TestTwinsAreRefused: two outputs that are one line stop a start before any line is
// taken, and check says so; the simulated board does not know.
func TestTwinsAreRefused(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "a.toml")
	write := func(driver string) {
		text := "[hub]\nconnection_string_file = \"" + filepath.Join(dir, "none") + "\"\n[journal]\npath = \"" + filepath.Join(dir, "journal.db") + "\"\n" +
			"[board]\ndriver = \"" + driver + "\"\n[[output]]\nname = \"pump\"\nline = \"GPIO17\"\nmax_on = \"1m\"\n" +
			"[[output]]\nname = \"fan\"\nline = \"pinctrl-bcm2711:17\"\nmax_on = \"1m\"\n"
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	asked := 0
	e := env{out: &out, err: &errs, getenv: func(string) string { return "" }, fake: &hardware{twins: func(lines []board.LineSpec) map[string]error {
		asked++
		if len(lines) != 2 || lines[0].Target != "pump" || lines[1] != (board.LineSpec{Target: "fan", Line: "pinctrl-bcm2711:17"}) {
			t.Errorf("asked about %+v", lines)
		}
		return map[string]error{"fan": errors.New("fan is pump's twin")}
	}, find: func(line string) (string, error) { return line, nil }}}
	write("linux")
	if code := run([]string{"run", "--config", config}, e); code != exitUsage || errs.String() != "actuatord: fan is pump's twin\n" {
		t.Errorf("run: exit %d, %q; want it refused and nothing tried", code, errs.String())
	}
	if code := run([]string{"check", "--config", config}, e); code != exitFailed || !strings.Contains(out.String(), "FAIL  output fan: fan is pump's twin\n") {
		t.Errorf("check: exit %d, %q", code, out.String())
	}
	if asked != 2 {
		t.Errorf("the board was asked %d times; want twice", asked)
	}
	write("sim")
	if code := run([]string{"run", "--config", config}, e); code != exitUsage || asked != 2 || !strings.Contains(errs.String(), "connection string") {
		t.Errorf("simulated: exit %d, %q, %d times asked; want the next thing that is missing", code, errs.String(), asked)
	}
}

// TestAnInputsTwin: what is said of an input calls it one.
func TestAnInputsTwin(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "a.toml")
	text := "[hub]\nconnection_string_file = \"" + filepath.Join(dir, "none") + "\"\n[journal]\npath = \"" + filepath.Join(dir, "journal.db") + "\"\n" +
		"[[output]]\nname = \"pump\"\nline = \"GPIO17\"\nmax_on = \"1m\"\npermit = [\"e-stop\"]\n[[input]]\nname = \"e-stop\"\nline = \"pinctrl-bcm2711:17\"\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	e := env{out: &out, err: &errs, getenv: func(string) string { return "" }, fake: &hardware{twins: func(lines []board.LineSpec) map[string]error {
		return map[string]error{lines[1].Target: &board.LineError{Target: lines[1].Target, Line: lines[1].Line, Fault: board.LineBusy, Twin: lines[0]}}
	}}}
	if code := run([]string{"run", "--config", config}, e); code != exitUsage || !strings.HasPrefix(errs.String(), `actuatord: input "e-stop", line "pinctrl-bcm2711:17": in use by "pump"`) {
		t.Errorf("exit %d, %q", code, errs.String())
	}
}
