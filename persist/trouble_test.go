package persist

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	berrors "go.etcd.io/bbolt/errors"

	"actuatord/agent/command"
)

// A trouble is something that can have happened to a journal between two runs.
type trouble struct {
	name string
	make func(t *testing.T, path string) error
	id   Identity // zero: the journal's own
	o    Options
	says string // the error, or what is said of the file that is set aside
	next string // the operator's next step in it
	why  string // Opened.SetAsideWhy; empty: the file is left as it is
}

func troubles() []trouble {
	answers := func(errno syscall.Errno) Options {
		return Options{Check: func(_ context.Context, path string) error { return classify("check", path, errno) }}
	}
	nothing := func(*testing.T, string) error { return nil }
	return []trouble{
		{name: "a bit flipped", why: WhyContent, says: "bad content", make: func(_ *testing.T, path string) error {
			file, err := os.ReadFile(path)
			if err == nil {
				file[len(file)/2/pageSize*pageSize+9] ^= 1
				file[pageSize+40] ^= 1 // a meta page
			}
			return errors.Join(err, os.WriteFile(path, file, 0o600))
		}},
		{name: "cut off", why: WhyContent, says: "bad content", make: func(_ *testing.T, path string) error { return os.Truncate(path, 3*pageSize) }},
		{name: "empty", why: WhyContent, says: "bad content", make: func(_ *testing.T, path string) error { return os.Truncate(path, 0) }},
		{name: "no log", why: WhyContent, says: "its log", make: func(_ *testing.T, path string) error { return os.Remove(path + suffixLog) }},
		{name: "another device's", why: WhyIdentity, says: "it is the journal of pump-1 at hub.example.test", id: Identity{pump.Hub, "pump-2"}, make: nothing},
		{name: "a newer schema", says: "schema 7 and this actuatord knows up to 2", next: "install the newer actuatord again", make: func(t *testing.T, path string) error {
			j, _ := openAt(t, path, Options{})
			makeNewer(t, j)
			return nil
		}},
		{name: "in use", says: "in use by another process", next: "systemctl stop actuatord", make: func(t *testing.T, path string) error {
			openAt(t, path, Options{})
			return nil
		}},
		{name: "not allowed", says: "permission denied", next: "chown actuatord:", make: nothing, o: answers(syscall.EACCES)},
		{name: "a directory", says: "not a regular file", next: "set [journal] path to a file", make: func(_ *testing.T, path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		}},
		{name: "no directory", says: "no such file or directory", next: "make its directory", make: func(_ *testing.T, path string) error { return os.RemoveAll(filepath.Dir(path)) }},
		{name: "disk errors", says: "input/output error", next: "see dmesg, and replace the card", make: nothing, o: answers(syscall.EIO)},
		{name: "disk full", says: "no space left", next: "make room on its disk", make: nothing, o: answers(syscall.ENOSPC)},
		{name: "disk read-only", says: "read-only", next: "remount or replace it", make: nothing, o: answers(syscall.EROFS)},
	}
}

// TestTroubles: each kind of trouble is told in one message with what is to be done;
// what cannot be used is set aside, and anything else is left as it was.
func TestTroubles(t *testing.T) {
	for _, c := range troubles() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "var", "journal.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			j, _ := openAt(t, path, Options{})
			commit(t, j, func(b *Batch) { b.Conclude(record(1, command.Done), report(command.Done, "1")); b.Clean() })
			j.Close()
			if err := c.make(t, path); err != nil {
				t.Fatal(err)
			}
			before := everything(path)
			id, o := c.id, c.o
			if id == (Identity{}) {
				id = pump
			}
			o.Volatile = true
			j, found, err := Open(t.Context(), path, id, start, o)
			text := fmt.Sprint(err)
			if c.why != "" {
				if err != nil || found.SetAsideWhy != c.why || found.SetAsideErr == nil {
					t.Fatalf("%v, %+v; want it set aside for its %s", err, found, c.why)
				}
				j.Close()
				text = found.SetAsideErr.Error()
			} else if err == nil {
				j.Close()
				t.Fatal("it was opened")
			} else if got := everything(path); got != before {
				t.Error("the files were changed")
			}
			if !strings.Contains(text, c.says) || !strings.Contains(text, c.next) || strings.Contains(text, "\n") {
				t.Errorf("it says %q; want %q and %q in a line", text, c.says, c.next)
			}
		})
	}
}

// everything is the journal's files, in a form to compare.
func everything(path string) string {
	file, err1 := os.ReadFile(path)
	log, err2 := os.ReadFile(path + suffixLog)
	return fmt.Sprint(string(file), err1, string(log), err2)
}

// TestFullByItself: a journal at its own limit says what shortens it.
func TestFullByItself(t *testing.T) {
	err := storage("/journal.db", fmt.Errorf("commit: %w", berrors.ErrMaxSizeReached))
	if !strings.Contains(err.Error(), "shorten [journal] keep") {
		t.Error(err)
	}
}
