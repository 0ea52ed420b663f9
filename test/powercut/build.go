package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// build makes actuatord for the guest, with the faults of mutant.
func build(ctx context.Context, dir, mutant string) (program string, err error) {
	table := overlay{map[string]string{}}
	if mutant != "" {
		args := append([]string{"run", "./test/mutants", "overlay", dir}, strings.Split(mutant, "+")...)
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Stderr = os.Stderr
		said, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("make mutant %q: %w", mutant, err)
		}
		if table, err = readOverlay(string(bytes.TrimSpace(said))); err != nil {
			return "", err
		}
	}
	if err := table.realJournal(dir); err != nil {
		return "", err
	}
	text, err := json.Marshal(table)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "build-overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "actuatord")
	// The daemon believes no clock that shows less than the time of its build.
	built := fmt.Sprintf("-X main.built=%d", time.Now().Add(-100*time.Hour).Unix())
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", file, "-ldflags", built, "-o", program, "./cmd/actuatord")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build actuatord: %w\n%s", err, said)
	}
	return program, nil
}

// overlay is a table of files that the compiler is given in place of others.
type overlay struct{ Replace map[string]string }

func readOverlay(file string) (o overlay, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal(text, &o)
}

// realJournal has a daemon with a simulated board keep its journal as one with real
// outputs does: with room reserved on the disk, which makes other writes, and refused
// where it would be forgotten. It is all that differs from the program that ships.
func (o overlay) realJournal(dir string) error {
	const file = "cmd/actuatord/daemon.go"
	const old, now = `c.Board.Driver == "sim", //`, `false, //`
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	whole, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), old); n != 1 || o.Replace[whole] != "" {
		return fmt.Errorf("have a simulated board keep a real journal: %s says %d times, not once: %s", file, n, old)
	}
	o.Replace[whole] = filepath.Join(dir, "daemon.go")
	return os.WriteFile(o.Replace[whole], []byte(strings.Replace(string(text), old, now, 1)), 0o600)
}
