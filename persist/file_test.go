package persist

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"actuatord/agent/command"
)

// TestClassify: which errors of the kernel are for a person and which may pass.
func TestClassify(t *testing.T) {
	for _, c := range []struct {
		errno unix.Errno
		want  any
	}{
		{unix.EACCES, new(*AccessError)}, {unix.EPERM, new(*AccessError)}, {unix.ENOENT, new(*AccessError)},
		{unix.ENOTDIR, new(*AccessError)}, {unix.ELOOP, new(*AccessError)},
		{unix.EIO, new(*StorageError)}, {unix.ENOSPC, new(*StorageError)}, {unix.EROFS, new(*StorageError)},
		{unix.ENOMEM, new(*StorageError)}, {unix.EMFILE, new(*StorageError)},
	} {
		err := classify("open", "/journal.db", fmt.Errorf("wrapped: %w", c.errno))
		if !errors.As(err, c.want) || !errors.Is(err, c.errno) {
			t.Errorf("%v: %T %v", c.errno, err, err)
		}
	}
	if err := classify("open", "/journal.db", nil); err != nil {
		t.Errorf("no error: %v", err)
	}
}

func TestVolatile(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		t.Skipf("no tmpfs at hand: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "journal.db")
	refused[*VolatileError](t, path, Options{}, "tmpfs, which forgets at power loss")
	if names := files(t, path); len(names) != 0 {
		t.Errorf("made on tmpfs: %v", names)
	}
	j, _ := openAt(t, path, Options{})
	commit(t, j, func(b *Batch) { b.Start(record(1, command.Started)) })
}

// TestReserved: on a disk the file takes its space when it is made, with no more
// pages in use than otherwise.
func TestReserved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j, _, err := Open(t.Context(), path, pump, start, Options{})
	var volatile *VolatileError
	if errors.As(err, &volatile) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Blocks*512 < reserved {
		t.Logf("the file system reserved %d bytes of %d", st.Blocks*512, reserved)
	}
	if s := j.Stats(); s.Size > 64*pageSize || s.Limit != maxSize {
		t.Errorf("%+v", s)
	}
	reopen(t, j)
}

// TestOtherPageSize: a file made under a 16 KiB kernel, or by a later choice, goes
// on with its own page size.
func TestOtherPageSize(t *testing.T) {
	for _, size := range []int{1024, 16384, 65536} {
		path := filepath.Join(t.TempDir(), "journal.db")
		j, _ := openAt(t, path, Options{})
		commit(t, j, func(b *Batch) { b.Conclude(record(1, command.Done), report(command.Done, "1")) })
		want := picture(t, j)
		j.Close()
		recast(t, path, size)
		j, found := openAt(t, path, Options{})
		if found.Fresh || picture(t, j) != want {
			t.Errorf("page size %d: %+v", size, found)
		}
		commit(t, j, func(b *Batch) { b.Start(record(2, command.Started)) })
		reopen(t, j)
	}
}

// recast copies the database at path into pages of size.
func recast(t *testing.T, path string, size int) {
	t.Helper()
	from, err := bbolt.Open(path, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	to, err := bbolt.Open(path+".recast", 0o600, &bbolt.Options{PageSize: size})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(bbolt.Compact(to, from, 0), from.Close(), to.Close(), os.Rename(path+".recast", path)); err != nil {
		t.Fatal(err)
	}
}

// TestNeverMakesAFile: bbolt asks for O_CREATE whenever it opens for writing.
func TestNeverMakesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	if f, err := openExisting(path, os.O_RDWR|os.O_CREATE, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v", f, err)
	}
}
