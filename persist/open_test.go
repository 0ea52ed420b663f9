package persist

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"actuatord/agent/command"
)

// files is what stands in path's directory, without the lock.
func files(t *testing.T, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path)+suffixLock {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestInterruptedCreation stops at each step of making a journal, the directory as
// a power cut would leave it, and starts again.
func TestInterruptedCreation(t *testing.T) {
	for cut := 0; ; cut++ {
		path := filepath.Join(t.TempDir(), "journal.db")
		n := -1
		o := Options{Volatile: true, edge: func(string) error {
			if n++; n == cut {
				return errPowerLost
			}
			return nil
		}}
		j, _, err := Open(t.Context(), path, pump, start, o)
		if err == nil {
			j.Close()
			if cut < 6 {
				t.Fatalf("only %d edges", cut)
			}
			return
		}
		if !errors.Is(err, errPowerLost) {
			t.Fatal(err)
		}
		j, found := openAt(t, path, Options{})
		if found.SetAside != "" || j.History().State != HistoryInDoubt {
			t.Errorf("cut %d: %+v, history %v", cut, found, j.History().State)
		}
		commit(t, j, func(b *Batch) { b.Start(record(1, command.Started)) })
		same(t, "files", files(t, path), []string{"journal.db", "journal.db.log"})
		j.Close()
		if err := CheckFile(path); err != nil {
			t.Errorf("cut %d: %v", cut, err)
		}
	}
}

// TestHalfMadeJournal: what a power cut leaves of the file under its temporary
// name is never opened, whatever it holds.
func TestHalfMadeJournal(t *testing.T) {
	for _, left := range []string{"", "x", strings.Repeat("\x00", 4*pageSize)} {
		path := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(path+suffixNew, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		_, found := openAt(t, path, Options{})
		same(t, "opened", found, Opened{Fresh: true, Boot: 1})
		same(t, "files", files(t, path), []string{"journal.db", "journal.db.log"})
	}
}

func TestContentSetAside(t *testing.T) {
	for name, content := range map[string]string{
		"empty":          "",
		"text":           "this is no journal",
		"zeros":          strings.Repeat("\x00", 1<<20),
		"foreign tables": foreign(t),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			for round := range 2 { // the second time the copy is replaced: one is kept
				text := content
				if round == 1 {
					text = "another one"
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				j, found := openAt(t, path, Options{})
				if !found.Fresh || found.SetAside != path+".bad" || found.SetAsideWhy != WhyContent || found.SetAsideErr == nil || found.Unclean {
					t.Errorf("opened: %+v", found)
				}
				same(t, "history", j.History(), History{State: HistoryLost, Since: start})
				want := []string{"journal.db", "journal.db.bad", "journal.db.log"}
				if round == 1 {
					want = slices.Insert(want, 2, "journal.db.bad.log")
				}
				same(t, "files", files(t, path), want)
				if kept, _ := os.ReadFile(path + ".bad"); string(kept) != text {
					t.Error("the copy is not the file")
				}
				commit(t, j, func(b *Batch) { b.Start(record(1, command.Started)) })
				j = reopen(t, j)
				same(t, "history at the next start", j.History().State, HistoryLost)
				j.Close()
			}
		})
	}
}

// foreign is a sound bbolt file that is no journal.
func foreign(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "foreign.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	content, _ := os.ReadFile(path)
	return string(content)
}

// TestInterruptedReplacement: the loss of history outlives a power cut at any step
// of putting a new journal in the place of a bad one.
func TestInterruptedReplacement(t *testing.T) {
	for cut := 0; ; cut++ {
		path := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(path, []byte("bad"), 0o600); err != nil {
			t.Fatal(err)
		}
		n := -1
		o := Options{Volatile: true, edge: func(string) error {
			if n++; n == cut {
				return errPowerLost
			}
			return nil
		}}
		j, _, err := Open(t.Context(), path, pump, start, o)
		if err == nil {
			j.Close()
			return
		}
		j, _ = openAt(t, path, Options{})
		if h := j.History(); h.State != HistoryLost {
			t.Errorf("cut %d: history %v", cut, h.State)
		}
		if kept, _ := os.ReadFile(path + ".bad"); string(kept) != "bad" {
			t.Errorf("cut %d: the copy is %q", cut, kept)
		}
		j.Close()
	}
}

func TestIdentitySetAside(t *testing.T) {
	for _, other := range []Identity{{"hub.example.test", "pump-2"}, {"other.example.test", "pump-1"}} {
		j, path := newJournal(t)
		commit(t, j, func(b *Batch) {
			b.Conclude(record(1, command.Done), report(command.Done, "1"))
			b.History(History{State: HistoryClear, Since: start})
		})
		j.Close()
		before := readPicture(t, path)
		later := start.Add(time.Hour)
		j2, found, err := Open(t.Context(), path, other, later, Options{Volatile: true})
		if err != nil {
			t.Fatal(err)
		}
		if !found.Fresh || found.SetAside != path+".other" || found.SetAsideWhy != WhyIdentity || found.Boot != 1 || found.Unclean {
			t.Errorf("opened: %+v", found)
		}
		same(t, "history", j2.History(), History{State: HistoryInDoubt, Since: later})
		if _, known, _ := j2.Lookup("m:1"); known || j2.Identity() != other {
			t.Error("the new journal is the old one")
		}
		if rep := j.id.tag; rep == j2.id.tag {
			t.Errorf("both journals have the tag %s", rep)
		}
		j2.Close()
		if kept := readPicture(t, path+".other"); kept != before {
			t.Errorf("the copy tells %s; want %s", kept, before)
		}
	}
}

// readPicture is what the journal at path tells.
func readPicture(t *testing.T, path string) string {
	t.Helper()
	j, err := ReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	return picture(t, j)
}

// makeNewer gives j's file a schema of the future, and closes it.
func makeNewer(t *testing.T, j *Journal) {
	t.Helper()
	err := j.update("age", func(w *writer) error {
		return w.put(tableJournal, []byte(keySchema), binary.AppendUvarint(nil, 7))
	})
	if err := errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
}

// refused opens path, wants an error of type E, and the file as it was.
func refused[E error](t *testing.T, path string, o Options, words string) {
	t.Helper()
	before, errBefore := os.ReadFile(path)
	j, _, err := Open(t.Context(), path, pump, start, o)
	var want E
	if !errors.As(err, &want) || !strings.Contains(err.Error(), words) {
		t.Errorf("open: %T %v; want %T with %q", err, err, want, words)
	}
	if j != nil {
		t.Error("a journal beside an error")
		j.Close()
	}
	after, errAfter := os.ReadFile(path)
	if string(before) != string(after) || (errBefore == nil) != (errAfter == nil) {
		t.Error("the file was changed")
	}
	if slices.ContainsFunc(files(t, path), func(n string) bool { return n != filepath.Base(path) && n != filepath.Base(path)+suffixLog }) {
		t.Errorf("left behind: %v", files(t, path))
	}
}

func TestUntouched(t *testing.T) {
	vol := Options{Volatile: true}
	t.Run("newer schema", func(t *testing.T) {
		j, path := newJournal(t)
		makeNewer(t, j)
		refused[*SchemaError](t, path, vol, "schema 7 and this actuatord knows up to 2")
	})
	t.Run("newer record", func(t *testing.T) {
		j, path := newJournal(t)
		err := j.update("age", func(w *writer) error {
			return w.put(tableLeases, []byte("pump"), append([]byte{9}, encodeLease(command.Lease{})[1:]...))
		})
		if err := errors.Join(err, j.Close()); err != nil {
			t.Fatal(err)
		}
		refused[*SchemaError](t, path, vol, "schema 9")
	})
	t.Run("locked", func(t *testing.T) {
		t.Parallel()
		_, path := newJournal(t)
		ctx, cancel := context.WithTimeout(t.Context(), lockTimeout/20)
		defer cancel()
		var locked *LockedError
		if _, _, err := Open(ctx, path, pump, start, vol); !errors.As(err, &locked) || locked.Path != path {
			t.Errorf("open twice: %v", err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "none", "journal.db")
		var access *AccessError
		for _, o := range []Options{{}, vol} {
			if _, _, err := Open(t.Context(), path, pump, start, o); !errors.As(err, &access) {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("a directory", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "journal.db")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		refused[*AccessError](t, path, vol, "not a regular file")
	})
	t.Run("a symbolic link", func(t *testing.T) {
		j, real := newJournal(t)
		j.Close()
		path := filepath.Join(t.TempDir(), "journal.db")
		if err := os.Symlink(real, path); err != nil {
			t.Fatal(err)
		}
		refused[*AccessError](t, path, vol, "not a regular file")
	})
	t.Run("not ours", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("nothing is forbidden to root")
		}
		j, path := newJournal(t)
		j.Close()
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		refused[*AccessError](t, path, vol, "chown")
	})
	for _, fault := range []error{unix.EIO, unix.ENOMEM, context.Canceled} {
		t.Run("check cannot say: "+fault.Error(), func(t *testing.T) {
			j, path := newJournal(t)
			j.Close()
			o := Options{Volatile: true, Check: func(context.Context, string) error {
				return &StorageError{Op: "check", Path: path, Err: fault}
			}}
			refused[*StorageError](t, path, o, fault.Error())
		})
	}
}
