// Package hil_test runs the real actuatord on emulated boards, under Debian's stock
// kernels, and looks from the other side of the pin and the bus at what it did.
//
// # Promises
//
// What is asserted is the line's voltage as gpio-sim or the emulator has it, the
// bytes in the device, the kernel's own trace of each edge, and what the sender and
// the back end were told at the hub. The configuration is docs/examples/relay.toml
// everywhere, with a table in front that says where the hub's certificate is.
//
// # Cost
//
// Two minutes on two processors; 0.95 GB once for emulators and kernels (fetch.sh).
// Without ACTUATORD_HIL, which hil.sh sets, only what needs no emulator runs.
//
// # Power loss
//
// Nothing is kept but the table of results, where ACTUATORD_HIL_TABLE says.
package hil_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Where the checks are made: the columns of the table.
const (
	onSim  = "sim"
	onVirt = "arm64, gpio-sim"
	onAST  = "armhf, AST2600"
)

// results are those of a run: check × machine.
type results struct {
	mu     sync.Mutex
	checks []string // in the order in which they were first made
	of     map[string]map[string]string
	notes  []string
}

var made = results{of: map[string]map[string]string{}}

// check runs one check on a machine, and remembers how it went.
func check(t *testing.T, machine, name string, f func(*testing.T)) {
	t.Helper()
	result := "FAILED"
	if t.Run(name, f) {
		result = "ok"
	}
	made.mu.Lock()
	defer made.mu.Unlock()
	if made.of[name] == nil {
		made.of[name] = map[string]string{}
		made.checks = append(made.checks, name)
	}
	made.of[name][machine] = result
}

// note adds a line below the table.
func note(format string, args ...any) {
	made.mu.Lock()
	defer made.mu.Unlock()
	made.notes = append(made.notes, fmt.Sprintf(format, args...))
}

// write gives the table, in Markdown.
func (r *results) write(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	machines := []string{onSim, onVirt, onAST}
	row := func(cells ...string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	row(append([]string{"check"}, machines...)...)
	fmt.Fprintln(w, "|---|"+strings.Repeat("---|", len(machines)))
	for _, name := range r.checks {
		cells := []string{name}
		for _, m := range machines {
			result := r.of[name][m]
			if result == "" {
				result = "–"
			}
			cells = append(cells, result)
		}
		row(cells...)
	}
	for _, n := range r.notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
}

// TestMain prints the table when everything has been tried, and writes it where
// ACTUATORD_HIL_TABLE says.
func TestMain(m *testing.M) {
	began := time.Now()
	code := m.Run()
	if len(made.checks) > 0 {
		note("%d checks in %d s.", len(made.checks), int(time.Since(began).Seconds()))
		var text strings.Builder
		made.write(&text)
		fmt.Print("\n", text.String(), "\n")
		if path := os.Getenv("ACTUATORD_HIL_TABLE"); path != "" {
			if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = max(code, 1)
			}
		}
	}
	os.Exit(code)
}
