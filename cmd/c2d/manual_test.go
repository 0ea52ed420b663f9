package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// hubFlags are the flags that c2d hub has, by its own help.
func hubFlags(t *testing.T) []string {
	t.Helper()
	var help bytes.Buffer
	if _, err := parseHubFlags([]string{"-help"}, &help); err == nil {
		t.Fatal("-help is no longer help")
	}
	var flags []string
	for _, m := range regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(help.String(), -1) {
		flags = append(flags, m[1])
	}
	if len(flags) < 10 {
		t.Fatalf("the help was not understood: %q", flags)
	}
	slices.Sort(flags)
	return flags
}

func commands() []string {
	names := []string{"help"}
	for _, c := range subcommands() {
		names = append(names, c.name)
	}
	slices.Sort(names)
	return names
}

// TestManual: c2d(1) tells of each command, each flag and each exit code, and of no
// others.
func TestManual(t *testing.T) {
	page, err := os.ReadFile("../../package/man/c2d.1")
	if err != nil {
		t.Fatal(err)
	}
	items := func(pattern string) []string {
		var got []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(page), -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		return got
	}
	for what, c := range map[string]struct{ got, want []string }{
		"commands":   {items(`(?m)^\.It Ic ([a-z]+)`), commands()},
		"flags":      {items(`(?m)^\.It Fl -([a-z-]+)`), hubFlags(t)},
		"exit codes": {items(`(?m)^\.It ([0-9]+)$`), []string{"0", "1", "2"}}, // exitDone, exitFailed, exitUsage
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: the manual has %q, the program %q", what, c.got, c.want)
		}
	}
	if codes := []int{exitDone, exitFailed, exitUsage}; !slices.Equal(codes, []int{0, 1, 2}) {
		t.Errorf("exit codes are %d, and the manual tells of 0, 1, 2", codes)
	}
}

// TestCompletion asks bash itself.
func TestCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	// Read here, and not by bash: so go test knows that a cached result is of this text.
	completion, err := os.ReadFile("../../package/completions/c2d.bash")
	if err != nil {
		t.Fatal(err)
	}
	flags := hubFlags(t)
	for i := range flags {
		flags[i] = "--" + flags[i]
	}
	for _, c := range []struct{ words, want []string }{
		{[]string{"c2d", ""}, commands()},
		{[]string{"c2d", "hub", ""}, flags},
		{[]string{"c2d", "hub", "--dir", "testdata/"}, []string{"testdata/fuzz"}},
		{[]string{"c2d", "hub", "--device", ""}, nil},
		{[]string{"c2d", "hub", "--device", "pump-1", "--mq"}, []string{"--mqtt-port"}},
		{[]string{"c2d", "version", ""}, nil},
	} {
		const script = `eval "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _c2d; [[ ${#COMPREPLY[@]} == 0 ]] || printf '%s\n' "${COMPREPLY[@]}"`
		out, err := exec.Command(bash, append([]string{"-uc", script, "bash", string(completion)}, c.words...)...).Output()
		if err != nil {
			t.Fatalf("bash: %v", err)
		}
		got := strings.Fields(string(out))
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.words, got, c.want)
		}
	}
}
