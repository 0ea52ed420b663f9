package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// complete answers what bash proposes for the last of words.
func complete(t *testing.T, words ...string) []string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	// Read here, and not by bash: so go test knows that a cached result is of this text.
	completion, err := os.ReadFile("../../package/completions/actuatord.bash")
	if err != nil {
		t.Fatal(err)
	}
	const script = `eval "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _actuatord; [[ ${#COMPREPLY[@]} == 0 ]] || printf '%s\n' "${COMPREPLY[@]}"`
	out, err := exec.Command(bash, append([]string{"-uc", script, "bash", string(completion)}, words...)...).Output()
	if err != nil {
		t.Fatalf("bash: %v", err)
	}
	got := strings.Fields(string(out))
	slices.Sort(got)
	return got
}

// TestCompletion: every command, and behind it every flag; the targets are those of
// the configuration.
func TestCompletion(t *testing.T) {
	want, _ := program(t)
	names := slices.Sorted(maps.Keys(want))[1:] // not ""
	if got := complete(t, "actuatord", ""); !slices.Equal(got, names) {
		t.Errorf("commands: %q, want %q", got, names)
	}
	for _, name := range names {
		flags := append([]string{}, want[name]...)
		flags = append(flags, want[""]...)
		for i, f := range flags {
			flags[i] = strings.Repeat("-", min(len(f), 2)) + f
		}
		if slices.Sort(flags); name == "help" {
			continue
		}
		if got := complete(t, "actuatord", name, "-"); !slices.Equal(got, flags) {
			t.Errorf("%s: flags %q, want %q", name, got, flags)
		}
	}
	reference, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, m := range regexp.MustCompile(`"action":"([a-z]+)"`).FindAllStringSubmatch(string(reference), -1) {
		actions = append(actions, m[1])
	}
	slices.Sort(actions)
	if got := complete(t, "actuatord", "do", "x", ""); !slices.Equal(got, slices.Compact(actions)) {
		t.Errorf("actions: %q, want those of docs/commands.md: %q", got, slices.Compact(actions))
	}
	const file = "../../agent/config/actuatord.toml"
	for _, c := range []struct{ words, want []string }{
		{[]string{"actuatord", "jou"}, []string{"journal"}},
		{[]string{"actuatord", "journal", ""}, []string{"check", "reset"}},
		{[]string{"actuatord", "do", "--config", file, ""}, []string{"all", "dac", "fan", "pump"}},
		{[]string{"actuatord", "--config", file, "do", "--for", "2s", "p"}, []string{"pump"}},
		{[]string{"actuatord", "do", "pump", "o"}, []string{"off", "on"}},
		{[]string{"actuatord", "do", "pump", "on", "--for", ""}, nil},
		{[]string{"actuatord", "do", "pump", "on", ""}, nil},
		{[]string{"actuatord", "check", "--config", "../../agent/config/a"}, []string{"../../agent/config/actuatord.toml", "../../agent/config/agent.go"}},
	} {
		if got := complete(t, c.words...); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.words, got, c.want)
		}
	}
}

// TestCompletionCarriesNothingOut: a configuration may be anybody's, and what it calls an
// output is proposed only if it can be one.
func TestCompletionCarriesNothingOut(t *testing.T) {
	dir := t.TempDir()
	file, trap := filepath.Join(dir, "act.toml"), filepath.Join(dir, "trap")
	text := "[[output]]\nname = \"$(touch${IFS}" + trap + ")\"\n[[output]]\nname = \"`touch " + trap + "`\"\n[[output]]\nname = \"pump\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := complete(t, "actuatord", "--config", file, "do", ""); !slices.Equal(got, []string{"all", "pump"}) {
		t.Errorf("targets: %q", got)
	}
	if _, err := os.Stat(trap); err == nil {
		t.Error("a name was carried out")
	}
}
