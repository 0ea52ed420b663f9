package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"actuatord/agent/config"
	"actuatord/board"
)

// answers is what was said, and becomes the configuration.
type answers struct {
	secretFile string
	driver     string
	outputs    []answer
}

type answer struct {
	name, line, maxOn string
	low               bool
}

func (a answers) wired() []board.LineSpec {
	var all []board.LineSpec
	for _, o := range a.outputs {
		all = append(all, board.LineSpec{Target: o.name, Line: o.line})
	}
	return all
}

// fault is what the configuration's own rules say about a key; nil if nothing. Values
// are left out: one may be a secret that was pasted too early.
func (a answers) fault(key string) error {
	_, err := config.Parse("", []byte(a.toml()))
	for _, p := range config.AsProblems(err) {
		if p.Key == key {
			return errors.New(p.Rule)
		}
	}
	return nil
}

// toml is the configuration, with comments to go on from.
func (a answers) toml() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# actuatord's configuration, as `+"`actuatord init`"+` wrote it. What is not here has its
# default: `+"`man actuatord.toml`"+` has every key there is and what it means.
# `+"`actuatord check`"+` names every fault; a change counts from the next start.

[hub]
# The device's connection string: one line, in a file that only its owner can read.
connection_string_file = %s

[board]
# "linux" drives real lines and buses; "sim" is a simulated board.
driver = %s
`, quoted(a.secretFile), quoted(a.driver))
	for i, o := range a.outputs {
		if i == 0 {
			b.WriteString(outputHelp)
		}
		active := map[bool]string{true: "low", false: "high"}[o.low]
		fmt.Fprintf(&b, "\n[[output]]\nname = %s\nline = %s\nactive = %q\nsafe = \"off\"\nmax_on = %s\n", quoted(o.name), quoted(o.line), active, quoted(o.maxOn))
	}
	b.WriteString(`
# An I2C device whose registers commands may write; ` + "`actuatord board --scan --bus 1`" + `
# shows which answer.
# [[register]]
# name = "dac"
# bus = "1"
# address = 0x60
# registers = [0x40]
`)
	return b.String()
}

const outputHelp = `
# Outputs. "active" is the voltage that is on. "safe" is the level at start, at stop and
# when a command's time ends; the wiring must pull the output there too. "max_on" is the
# longest it may be on, whatever commands say, "none" if for ever. Each may also have
# min_off = "5s" (rest before the next on), interlock = "doors" (at most one of a group
# is on) and max_age = "1m" (older commands are refused).
`

// quoted is TOML's basic string of what can be shown.
func quoted(s string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
}

// write puts the files in place: the secret first, since the service starts once both
// are there.
func (s *setup) write() error {
	if there(s.config) && !s.force {
		return fmt.Errorf("%s was made by somebody else meanwhile; nothing was written", s.config)
	}
	if err := os.MkdirAll(filepath.Dir(s.config), 0o755); err != nil {
		return err
	}
	if s.connection != "" {
		if err := replaceFile(s.secretFile, s.connection+"\n", 0o600); err != nil {
			return err
		}
	}
	return replaceFile(s.config, s.answers.toml(), 0o644)
}

// replaceFile makes path hold text, or leaves it as it was: also if power goes.
func replaceFile(path, text string, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".actuatord-init-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // once it is renamed there is none
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
