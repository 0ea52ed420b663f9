package persist

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"actuatord/agent/command"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// TestTornCommit cuts the power inside a commit. bbolt writes the data pages,
// flushes, writes one meta page, flushes; so on a disk that flushes when it says
// so, a cut leaves any of the data sectors and the old meta page, or all of the
// data and one meta page or the other. Each such file must pass the check and
// tell what was before the commit or what is after it.
//
// A disk that lies may leave the new meta page and any of the data. Each such
// file must tell what is after the commit, or be found bad.
func TestTornCommit(t *testing.T) {
	j, path := unlogged(t)
	for n := range 30 {
		commit(t, j, func(b *Batch) {
			r := record(n+1, command.Done)
			b.Conclude(r, report(command.Done, r.MessageID))
			b.Confirm(uint64(n / 2))
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	found := 0
	for round := range 4 {
		before := snapWhole(t, j)
		commit(t, j, func(b *Batch) {
			for i := range 3 {
				r := record(100+10*round+i, command.Done)
				b.Conclude(r, report(command.Done, r.MessageID))
			}
			b.Start(record(200, command.Started))
		})
		after := snapWhole(t, j)
		for n := range 12 {
			honest := torn(random, before.file, after.file, n%3, true)
			if got := pictureOf(t, filepath.Join(dir, "honest"), honest, j.logID); got != before.picture && got != after.picture {
				t.Errorf("round %d, honest disk: neither before nor after: %.200s", round, got)
			}
			lying := torn(random, before.file, after.file, n%3, false)
			switch got := pictureOf(t, filepath.Join(dir, "lying"), lying, j.logID); got {
			case after.picture:
			case "":
				found++
			default:
				t.Errorf("round %d, lying disk: believed, and not what was committed: %.200s", round, got)
			}
		}
	}
	if found == 0 {
		t.Error("no lying disk was found out: the sweep shows nothing")
	}
	if err := CheckFile(path); err == nil {
		t.Error("the journal is not locked while it is open")
	}
}

// snapWhole is snap with the file's full length.
func snapWhole(t *testing.T, j *Journal) snapshot {
	t.Helper()
	file, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot{file, picture(t, j), j.logID}
}

// torn is what a cut leaves on the way from before to after. share 0 leaves few of
// the data sectors, 1 half, 2 most.
func torn(random *rand.Rand, before, after []byte, share int, honest bool) []byte {
	file := bytes.Clone(before)
	if len(file) < len(after) {
		file = append(file, make([]byte, len(after)-len(file))...)
	}
	for at := 2 * pageSize; at < len(after); at += sector {
		if random.IntN(20) < []int{3, 10, 18}[share] {
			copy(file[at:at+sector], after[at:])
		}
	}
	if honest {
		return file
	}
	copy(file[:2*pageSize], after)
	return file
}

// pictureOf is what the file tells; "" when it is found bad.
func pictureOf(t *testing.T, path string, file []byte, log [logIDSize]byte) string {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, file, 0o600), makeLog(path, log, 0)); err != nil {
		t.Fatal(err)
	}
	j, err := ReadOnly(path)
	if err != nil {
		return ""
	}
	defer j.Close()
	return picture(t, j)
}

// TestRuntimeDamage: a page that goes bad under an open journal is an error of
// the call that meets it, and of every later one; it neither ends the process nor
// is it believed.
func TestRuntimeDamage(t *testing.T) {
	for name, spoil := range map[string]func(f *os.File, size int64) error{
		"bits": func(f *os.File, size int64) error {
			junk := bytes.Repeat([]byte{0x55}, int(size)-2*pageSize)
			_, err := f.WriteAt(junk, 2*pageSize)
			return err
		},
		"values": func(f *os.File, size int64) error {
			all := make([]byte, size)
			if _, err := f.ReadAt(all, 0); err != nil {
				return err
			}
			_, err := f.WriteAt(bytes.ReplaceAll(all, []byte("pump"), []byte("dump")), 0)
			return err
		},
		"cut off": func(f *os.File, _ int64) error { return f.Truncate(2 * pageSize) },
		"emptied": func(f *os.File, _ int64) error { return f.Truncate(0) },
	} {
		t.Run(name, func(t *testing.T) {
			j, path := unlogged(t)
			commit(t, j, func(b *Batch) {
				for n := range 50 {
					b.Conclude(record(n+1, command.Done), report(command.Done, fmt.Sprint(n)))
				}
			})
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := spoil(f, j.Stats().Size); err != nil {
				t.Fatal(err)
			}
			if _, err := j.Recent(50); err == nil {
				t.Fatal("damage is believed")
			}
			if err := j.Probe(start); err == nil {
				t.Error("a journal that cannot be read takes a commit")
			}
			if err := j.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			j2, found := openAt(t, path, Options{})
			if found.SetAsideWhy != WhyContent || j2.History().State != HistoryLost {
				t.Errorf("next start: %+v", found)
			}
		})
	}
}

// TestFileTakenAway: a journal that is removed or replaced under the daemon, or its
// log, takes no further commit, and the next start does not know what was in it.
func TestFileTakenAway(t *testing.T) {
	for name, take := range map[string]func(path string) error{
		"removed":     os.Remove,
		"log removed": func(path string) error { return os.Remove(path + suffixLog) },
		"log replaced": func(path string) error {
			return makeLog(path, [logIDSize]byte{}, logPages)
		},
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			j, path := newJournal(t)
			commit(t, j, func(b *Batch) { b.Conclude(record(1, command.Done), report(command.Done, "1")) })
			if err := take(path); err != nil {
				t.Fatal(err)
			}
			var b Batch
			b.Conclude(record(2, command.Done), report(command.Done, "2"))
			var storage *StorageError
			if err := j.Commit(&b); !errors.As(err, &storage) {
				t.Errorf("a commit to a file that is gone: %v", err)
			}
		})
	}
}
