package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/agent/config"
	"actuatord/board"
	"actuatord/board/linux"
)

// testKey is nobody's; what must not be seen of it is any part.
func testKey() string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("pump"), 8)) }

func testString() string {
	return "HostName=hub.azure-devices.net;DeviceId=pump-1;SharedAccessKey=" + testKey()
}

// initOn runs `init` on a board that was looked at, with answers that were written in
// advance. Lines are found by their place among those that the look shows.
func initOn(t testing.TB, dir, machine, answers string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	var survey linux.Survey
	if t, ok := t.(*testing.T); ok && machine != "" {
		survey = looked(t, machine)
	}
	find := func(line string) (string, error) {
		for _, c := range survey.Chips {
			for _, l := range c.Lines {
				place := fmt.Sprintf("%s:%d", c.Label, l.Offset)
				switch {
				case l.Name != line && place != line:
				case l.Used:
					return "", &board.LineError{Line: line, Fault: board.LineBusy, Holder: l.Holder}
				default:
					return place, nil
				}
			}
		}
		return "", &board.LineError{Line: line, Fault: board.NoSuchLine}
	}
	fake := &hardware{
		look: func([]board.LineSpec) linux.Survey { return survey },
		find: find,
		twins: func(lines []board.LineSpec) map[string]error {
			seen := map[string]board.LineSpec{}
			for _, l := range lines {
				at, err := find(l.Line)
				if o, taken := seen[at]; err == nil && taken {
					return map[string]error{l.Target: &board.LineError{Target: l.Target, Line: l.Line, Fault: board.LineBusy, Twin: o}}
				}
				seen[at] = l
			}
			return nil
		},
	}
	now := func() (time.Time, bool) { return time.Unix(1800000000, 0), true }
	e2 := env{in: strings.NewReader(answers), out: &o, err: &e, getenv: func(string) string { return "" }, kernel: now, fake: fake}
	code = run(append([]string{"init", "--config", filepath.Join(dir, "etc", "actuatord.toml")}, args...), e2)
	return code, o.String(), e.String()
}

// files answers what is in the directory that init writes to, with the modes.
func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "etc"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %o", entry.Name(), info.Mode().Perm()))
	}
	return all
}

func written(t testing.TB, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "etc", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func answered(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

// TestInit: from answers to files that check finds right; every bad answer is asked
// again with its reason.
func TestInit(t *testing.T) {
	dir := t.TempDir()
	code, out, errs := initOn(t, dir, "pi4-busy", answered(
		"HostName=hub.azure-devices.net;DeviceId=pump-1", testString(),
		"windows", "",
		"all", "pu mp", "a\tb", "pump", "17", "GPIO99", "GPIO22", "GPIO5", "perhaps", "yes", "10", "0s", "",
		"pump", "fan", "GPIO5", "pinctrl-bcm2711:5", `"pinctrl-bcm2711:6"`, "", "none",
		"", "what", "y"))
	if code != 0 || errs != "" {
		t.Fatalf("exit %d, %q\n%s", code, errs, out)
	}
	for _, want := range []string{
		"SharedAccessKey is missing", "device pump-1 at hub.azure-devices.net", "linux or sim?",
		"Lines that nobody has: GPIO4 GPIO14", // the header's order; GPIO2 and 3 are the bus's
		`"all" is reserved`, "a name is 1 to 64", "cannot be shown", "sysfs numbers are not taken",
		`line "GPIO99": no GPIO chip has that line`, `in use by "float-switch"`, "that is pinctrl-bcm2711:5", "y or n?",
		`such as "90s"`, "at least 1ms", "already the name of", `already the line of output "pump"`, `in use by "pump", whose line "GPIO5" is the same one`,
		"ok    output fan: pinctrl-bcm2711:6", "ok    connection string: device pump-1", "\nNext: actuatord run --config " + filepath.Join(dir, "etc", "actuatord.toml"),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, testKey()[:10]) {
		t.Errorf("the key is shown:\n%s", out)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"actuatord.toml 644", "connection-string 600"}) {
		t.Errorf("%q", got)
	}
	if got := written(t, dir, "connection-string"); got != testString()+"\n" {
		t.Errorf("%q", got)
	}
	text := strings.ReplaceAll(written(t, dir, "actuatord.toml"), dir, "/DIR")
	golden(t, "testdata/init.toml", text)
	c, err := config.Load(filepath.Join(dir, "etc", "actuatord.toml"))
	want := []board.Output{
		{Name: "pump", Line: "GPIO5", ActiveLow: true, MaxOn: 10 * time.Minute},
		{Name: "fan", Line: "pinctrl-bcm2711:6"},
	}
	if err != nil || !reflect.DeepEqual(c.Profile.Outputs, want) || len(c.Warnings) != 0 || c.Board.Driver != config.DriverLinux {
		t.Errorf("%+v, %v; want %+v", c, err, want)
	}
}

// TestInitElsewhere: what depends on the board: none to look at, no names, a simulated
// one; and what check says afterwards is told.
func TestInitElsewhere(t *testing.T) {
	for _, c := range []struct {
		machine string
		answers []string
		code    int
		says    []string
	}{
		{"no-chips", []string{testString(), "", "pump", "GPIO17", "", "1h", "", ""}, exitFailed, []string{"this machine has no GPIO chip", "taken as it is", "FAIL  output pump", "Both files are written"}},
		{"forbidden", []string{testString(), "linux", "pump", "GPIO17", "", "1h", "", ""}, exitFailed, []string{"be in group gpio", "taken as it is"}},
		{"no-pi", []string{testString(), "", "pump", "GPIO17", "GPIO1:17", "", "1h", "", ""}, 0, []string{`chip-label:offset, such as "GPIO1:4"`, "no GPIO chip has that line", "ok    output pump: GPIO1:17"}},
		{"pi5-broken", []string{testString(), "", "pump", "GPIO17", "", "1h", "", ""}, 0, []string{"Lines that nobody has: GPIO2 GPIO3", "that is pinctrl-rp1:17"}},
		{"pi4-busy", []string{testString(), "sim", "pump", "anything at all", "", "1h", "", ""}, 0, []string{"simulated; nothing real will move"}},
		{"pi4-busy", []string{testString(), "sim", "", ""}, 0, []string{"0 outputs", "every command will be refused"}},
	} {
		t.Run(c.machine, func(t *testing.T) {
			code, out, errs := initOn(t, t.TempDir(), c.machine, answered(c.answers...))
			for _, want := range c.says {
				if code != c.code || !strings.Contains(out, want) {
					t.Errorf("exit %d, %q, %s; want exit %d and %q", code, errs, out, c.code, want)
				}
			}
		})
	}
}

// TestInitWritesNothing until the last answer, and nothing over what is there.
func TestInitWritesNothing(t *testing.T) {
	whole := []string{testString(), "sim", "pump", "GPIO17", "", "1h", "", "n"}
	for n := range whole {
		dir := t.TempDir()
		code, out, errs := initOn(t, dir, "no-chips", answered(whole[:n]...))
		if n == 0 {
			code, out, errs = initOn(t, dir, "no-chips", "")
		}
		if code != exitFailed || !strings.Contains(errs, "the answers end before") || files(t, dir) != nil {
			t.Errorf("%d answers: exit %d, %q, %q, %s", n, code, errs, files(t, dir), out)
		}
	}
	dir := t.TempDir()
	if code, _, errs := initOn(t, dir, "no-chips", answered(whole...)); code != exitNot || errs != "actuatord: nothing was written\n" || files(t, dir) != nil {
		t.Errorf("no: exit %d, %q, %q", code, errs, files(t, dir))
	}
	if code, _, errs := initOn(t, dir, "no-chips", strings.Repeat("x", maxAnswer+1)+"\n"); code != exitFailed || !strings.Contains(errs, "too long") {
		t.Errorf("a long answer: exit %d, %q", code, errs)
	}
}

func TestInitOverwrites(t *testing.T) {
	dir := t.TempDir()
	whole := answered(testString(), "sim", "", "")
	if code, out, errs := initOn(t, dir, "no-chips", whole); code != 0 {
		t.Fatalf("exit %d, %s %s", code, out, errs)
	}
	before := written(t, dir, "actuatord.toml")
	if code, out, errs := initOn(t, dir, "no-chips", whole); code != exitUsage || !strings.Contains(errs, "--force") || out != "" {
		t.Errorf("again: exit %d, %q, %q; want it refused before the first question", code, errs, out)
	}
	if code, out, _ := initOn(t, dir, "no-chips", answered("", "sim", "pump", "GPIO17", "", "", "", ""), "--force"); code != 0 || !strings.Contains(out, "Enter to keep that of device pump-1") {
		t.Errorf("with force: exit %d, %s", code, out)
	}
	if after := written(t, dir, "actuatord.toml"); after == before || written(t, dir, "connection-string") != testString()+"\n" {
		t.Errorf("with force: %s", after)
	}
	path := filepath.Join(dir, "etc", "actuatord.toml")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := initOn(t, dir, "no-chips", answered("sim", "", "")); code != 0 || !strings.Contains(out, "stays (device pump-1 at hub.azure-devices.net)") {
		t.Errorf("with a connection string there: exit %d, %s", code, out)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc", "connection-string"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := initOn(t, dir, "no-chips", whole); code != exitUsage || !strings.Contains(errs, "--force") || there(path) {
		t.Errorf("with a bad one there: exit %d, %q", code, errs)
	}
	if code, out, _ := initOn(t, dir, "no-chips", answered("", testString(), "sim", "", ""), "--force"); code != 0 || written(t, dir, "connection-string") != testString()+"\n" {
		t.Errorf("with force over a bad one: exit %d, %s", code, out)
	}
}

// TestInitFromAFile: the connection string may be where the portal's download put it.
func TestInitFromAFile(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "downloaded")
	if err := os.WriteFile(source, []byte("\n"+testString()+"\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Of every sixty-four keys that are pasted without the rest one is an absolute path.
	key := "/" + testKey()[1:]
	code, out, errs := initOn(t, dir, "no-chips", answered(key, filepath.Join(dir, "none"), dir, source, "sim", "", ""))
	if code != 0 || written(t, dir, "connection-string") != testString()+"\n" {
		t.Fatalf("exit %d, %q, %s", code, errs, out)
	}
	for _, want := range []string{"no such file", "is a directory"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q: %s", want, out)
		}
	}
	if strings.Contains(out+errs, key[1:]) {
		t.Errorf("the key is shown: %s%s", out, errs)
	}
}

// TestInitNextStep: what runs already is started anew.
func TestInitNextStep(t *testing.T) {
	for _, c := range []struct {
		path     string
		replaced bool
		want     string
	}{
		{defaultConfig, false, "sudo systemctl enable --now actuatord"},
		{defaultConfig, true, "sudo systemctl enable actuatord && sudo systemctl restart actuatord"},
		{"/tmp/a.toml", true, "actuatord run --config /tmp/a.toml"},
	} {
		if got := nextStep(c.path, c.replaced); got != c.want {
			t.Errorf("%s, replaced %v: %q, want %q", c.path, c.replaced, got, c.want)
		}
	}
}

// TestReplaceFile: what cannot be put in place leaves the old file and nothing beside.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "etc", "actuatord.toml", "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(filepath.Join(dir, "etc", "actuatord.toml"), "x", 0o644); err == nil {
		t.Error("a directory was replaced")
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
	if err := replaceFile(filepath.Join(dir, "none", "x"), "x", 0o644); !os.IsNotExist(err) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// TestInitAtATerminal: what is typed is seen, but the connection string is not, by the
// kernel's own word and on the screen.
func TestInitAtATerminal(t *testing.T) {
	dir := t.TempDir()
	c := newTerminal(t, "init", "--config", filepath.Join(dir, "etc", "actuatord.toml"))
	c.until("connection string")
	<-waitFor(func() bool { return !c.echo() })
	if c.echo() {
		t.Fatal("the echo is on while the connection string is asked for")
	}
	c.typed(testString()[:20] + "\n")
	c.until("wanted is the device's own") // asked again, as silently
	if c.echo() {
		t.Fatal("the echo is on when the connection string is asked for again")
	}
	c.typed(testString() + "\n")
	c.until("[linux]")
	if !c.echo() {
		t.Fatal("the echo is off after the connection string")
	}
	for _, step := range []struct{ keys, next string }{
		{"sim\n", "Enter: none"}, {"pumq\x7fp\n", "its line"}, {"GPIO17\n", "[y/N]"}, {"\n", "[10m]"}, {"\n", "no more"}, {"\n", "[Y/n]"}, {"\n", "Next: "},
	} {
		c.typed(step.keys)
		c.until(step.next)
	}
	if code := c.ended(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if strings.Contains(c.text(), testKey()[:10]) || !strings.Contains(c.text(), "GPIO17") {
		t.Errorf("on the screen:\n%s", c.text())
	}
	if got := files(t, dir); !slices.Equal(got, []string{"actuatord.toml 644", "connection-string 600"}) || !strings.Contains(written(t, dir, "actuatord.toml"), `"pump"`) {
		t.Errorf("%q", got)
	}
}

// TestInitIsStopped: Ctrl-C, Ctrl-\ and a signal end it at any question with the
// terminal as it was and no file, nor half of one.
func TestInitIsStopped(t *testing.T) {
	for _, stop := range []struct{ name, keys string }{{"Ctrl-C", "\x03"}, {"Ctrl-backslash", "\x1c"}, {"a hang-up", ""}} {
		for _, answers := range [][]string{{}, {testString(), "sim"}, {testString(), "sim", "pump", "GPIO17", "", "", ""}} {
			dir := t.TempDir()
			c := newTerminal(t, "init", "--config", filepath.Join(dir, "etc", "actuatord.toml"))
			c.until("connection string")
			<-waitFor(func() bool { return !c.echo() })
			for i, a := range answers {
				c.typed(a + "\n")
				c.until([]string{"[linux]", "Enter: none", "its line", "[y/N]", "[10m]", "no more", "[Y/n]"}[i])
			}
			if stop.keys == "" {
				if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
			}
			c.typed(stop.keys)
			c.until("stopped; nothing was written")
			if code := c.ended(); code != exitFailed {
				t.Errorf("%s after %d answers: exit %d\n%s", stop.name, len(answers), code, c.text())
			}
			if !c.echo() {
				t.Errorf("%s after %d answers: the echo is off", stop.name, len(answers))
			}
			if _, err := os.Stat(filepath.Join(dir, "etc")); !os.IsNotExist(err) {
				t.Errorf("%s after %d answers: something was written: %v", stop.name, len(answers), err)
			}
		}
	}
}
