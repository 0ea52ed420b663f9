package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"actuatord/agent/control"
)

// FuzzDaemonAnswer: whatever answers at the daemon's socket, who asked is told so in
// words that leave the terminal alone, or gets JSON, and an exit code of those that
// are documented.
func FuzzDaemonAnswer(f *testing.F) {
	dir, err := os.MkdirTemp("", "actd") // a socket's path may have 108 bytes
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	file, journal := filepath.Join(dir, "toml"), filepath.Join(dir, "journal.db")
	text := fmt.Sprintf("[journal]\npath = %q\n[board]\ndriver = \"sim\"\n[[output]]\nname = \"pump\"\nline = \"GPIO17\"\nmax_on = \"10m\"\n", journal)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	l, err := control.Listen(control.Path(journal))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	answers := make(chan []byte, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096)) // the question
			_, _ = c.Write(<-answers)
			c.Close()
		}
	}()
	questions := [][]string{{"status"}, {"status", "--json"}, {"do", "pump", "on"}, {"history"}, {"history", "--json"}, {"journal", "reset"}}
	f.Add(byte(0), []byte(`{}`))
	f.Fuzz(func(t *testing.T, which byte, answer []byte) {
		args := questions[int(which)%len(questions)]
		answers <- append(bytes.Clone(answer), '\n')
		var out, errs bytes.Buffer
		code := run(append(slices.Clone(args), "--config", file), env{in: strings.NewReader(""), out: &out, err: &errs, getenv: func(string) string { return "" }})
		if !slices.Contains([]int{exitDone, exitFailed, exitNot}, code) || code == exitNot && args[0] != "do" {
			t.Errorf("%v ends with %d", args, code)
		}
		said := errs.String()
		if !slices.Contains(args, "--json") {
			said += out.String()
		} else if out.Len() > 0 && !json.Valid(out.Bytes()) {
			t.Errorf("%v gives %q", args, &out)
		}
		if at := strings.IndexFunc(said, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); at >= 0 {
			t.Errorf("%v says %q", args, said[at:])
		}
		if code != exitDone && errs.Len() == 0 && args[0] != "status" {
			t.Errorf("%v fails without a word", args)
		}
	})
}
