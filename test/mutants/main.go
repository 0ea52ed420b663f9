// Command mutants breaks the product on purpose, one promise at a time, and fails
// unless the sweeps notice: a sweep that no fault makes fail proves nothing. Nothing
// in the tree is touched; the compiler is given the broken files in place of the
// real ones (go's -overlay). A mutant whose place in the code is gone fails too: it
// has to be moved with the code.
//
//	go run ./test/mutants [NAME]
//	go run ./test/mutants overlay DIR NAME...    # the table for -overlay, with these faults, in DIR; prints its name
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	only := ""
	if len(os.Args) > 3 && os.Args[1] == "overlay" {
		table, err := joined(os.Args[2], os.Args[3:])
		if err != nil {
			fmt.Fprintln(os.Stderr, "mutants:", err)
			os.Exit(1)
		}
		fmt.Println(table)
		return
	}
	if len(os.Args) > 1 {
		only = os.Args[1]
	}
	failed, n := false, 0
	for _, m := range slices.Concat(durability(), order(), hands(), chips()) {
		if only != "" && m.name != only {
			continue
		}
		n++
		began := time.Now()
		by, err := m.caught()
		if err != nil {
			failed = true
			fmt.Printf("SURVIVED  %s: %v\n", m.name, err)
			continue
		}
		fmt.Printf("caught    %-62s by %s, %.0f s\n", m.name, by, time.Since(began).Seconds())
	}
	if failed || n == 0 {
		fmt.Fprintln(os.Stderr, "not every mutant was caught: the sweeps do not prove what they say")
		os.Exit(1)
	}
}

// mutant is one fault.
type mutant struct {
	name  string
	edits []edit
	tests []test // any of which must fail
}

// joined writes the overlay of all faults of these names in one, for a rig elsewhere.
func joined(dir string, names []string) (table string, err error) {
	var all mutant
	for _, name := range names {
		of := append(durability(), order()...)
		i := slices.IndexFunc(of, func(m mutant) bool { return m.name == name })
		if i < 0 {
			return "", fmt.Errorf("there is no mutant %q", name)
		}
		all.edits = append(all.edits, of[i].edits...)
	}
	return all.overlay(dir)
}

// edit replaces the one place where a file says old.
type edit struct{ file, old, now string }

// test is a package and the name of a test in it.
type test string

// caught answers the test that noticed.
func (m mutant) caught() (by string, err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(dir)
	if err != nil {
		return "", err
	}
	for _, t := range m.tests {
		pkg, name, _ := strings.Cut(string(t), " ")
		cmd := exec.Command("go", "test", "-short", "-count=1", "-timeout=5m", "-overlay", overlay, "-run", "^"+name+"$", pkg)
		said, err := cmd.CombinedOutput()
		switch {
		case err == nil:
		case bytes.Contains(said, []byte("[build failed]")), !bytes.Contains(said, []byte("--- FAIL")):
			return "", fmt.Errorf("it does not build, or the test did not run:\n%s", said)
		default:
			return name, nil
		}
	}
	return "", fmt.Errorf("no test failed: %v", m.tests)
}

// overlay writes the broken files, and the table that puts them in place.
func (m mutant) overlay(dir string) (string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, done := changed[e.file]
		if !done {
			b, err := os.ReadFile(e.file)
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%s says %d times, not once: %q", e.file, n, e.old)
		}
		changed[e.file] = strings.Replace(text, e.old, e.now, 1)
	}
	table := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range changed {
		broken := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
			return "", err
		}
		real, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		table.Replace[real] = broken
	}
	b, err := json.Marshal(table)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}
