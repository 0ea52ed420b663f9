package persist

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"actuatord/agent/command"
)

// TestProof: files that bbolt finds sound, each value with the right checksum, and
// yet not what any commit left. Each is what a lost write could make of a journal.
func TestProof(t *testing.T) {
	remove := func(t table, key []byte) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(t)).Delete(key) }
	}
	put := func(t table, key, payload []byte) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(t)).Put(key, seal(t, key, payload)) }
	}
	done, started := record(1, command.Done), record(2, command.Started)
	older := done
	older.State = command.Failed
	for name, c := range map[string]struct {
		edit func(*bbolt.Tx) error
		want string
	}{
		"nothing":                  {func(*bbolt.Tx) error { return nil }, ""},
		"a lease is gone":          {remove(tableLeases, []byte("pump")), "the sum"},
		"a lease is back":          {put(tableLeases, []byte("dac"), encodeLease(command.Lease{Output: "dac"})), "the sum"},
		"a record as it was":       {put(tableCommands, index(done.Key), encodeRecord(older)), "the sum"},
		"history as it was":        {put(tableJournal, []byte(keyHistory), encodeHistory(History{State: HistoryClear})), "the sum"},
		"an order is gone":         {remove(tableOrder, orderKey(1, index(done.Key))), "not in order"},
		"a start is not marked":    {remove(tableStarted, index(started.Key)), "not marked"},
		"a record elsewhere":       {put(tableCommands, index("m:9"), encodeRecord(done)), "another key"},
		"a report elsewhere":       {put(tableOutbox, sequence(9), []byte("\x01\x00{}")), "filed under"},
		"no counters":              {remove(tableJournal, []byte(keyCounters)), "no counters"},
		"no schema":                {remove(tableJournal, []byte(keySchema)), "no schema"},
		"a table is gone":          {func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(tableNewest)) }, "no table"},
		"a value without checksum": {func(tx *bbolt.Tx) error { return tx.Bucket([]byte(tableNewest)).Put([]byte("pump"), []byte("x")) }, "1 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			j, path := unlogged(t)
			commit(t, j, func(b *Batch) {
				b.Conclude(done, report(command.Done, "1"))
				b.Start(started)
				b.OpenLease(command.Lease{Output: "pump", Key: done.Key, Since: start})
			})
			j.Close()
			db, err := bbolt.Open(path, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(c.edit), db.Close()); err != nil {
				t.Fatal(err)
			}
			err = CheckFile(path)
			var bad *ContentError
			if errors.As(err, &bad) != (c.want != "") || err != nil && (bad == nil || !strings.Contains(bad.Why, c.want) || bad.Path != path) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

// TestLostMetaPage: the older meta page is not the one of the commit before, so
// the disk lost a write. The newer one alone would be believed.
func TestLostMetaPage(t *testing.T) {
	j, _ := unlogged(t)
	files := [][]byte{}
	for n := range 3 {
		commit(t, j, func(b *Batch) { b.Start(record(n+1, command.Started)) })
		files = append(files, snap(t, j).file)
	}
	now := files[2]
	path := filepath.Join(t.TempDir(), "journal.db")
	lost := 0
	for page := range 2 {
		spoilt := bytes.Clone(now)
		copy(spoilt[page*pageSize:(page+1)*pageSize], files[0][page*pageSize:])
		if err := errors.Join(os.WriteFile(path, spoilt, 0o600), makeLog(path, j.logID, 0)); err != nil {
			t.Fatal(err)
		}
		if err := CheckFile(path); err != nil && strings.Contains(err.Error(), "the meta pages are of transactions") {
			lost++
		}
	}
	if lost != 1 {
		t.Errorf("%d of the two were found; the other is the commit before, whole", lost)
	}
}

// TestReaders: two may read at once, and a daemon's start waits for them.
func TestReaders(t *testing.T) {
	j, path := newJournal(t)
	commit(t, j, func(b *Batch) { b.Conclude(record(1, command.Done), report(command.Done, "1")) })
	j.Close()
	first, err := ReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	time.AfterFunc(lockTimeout/10, func() { closed <- first.Close() })
	if err := CheckFile(path); err != nil {
		t.Errorf("a check while somebody reads: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	openAt(t, path, Options{})
}
