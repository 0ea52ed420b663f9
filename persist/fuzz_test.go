package persist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"actuatord/agent/command"
)

// written makes a bbolt file and gives its bytes, cut to what is in use.
func written(f *testing.F, pageSize int, fill func(tx *bbolt.Tx) error) []byte {
	path := filepath.Join(f.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize, InitialMmapSize: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	err = db.Update(fill)
	size := int64(0)
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	}
	if err := errors.Join(err, db.Close()); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return file[:size]
}

// FuzzPages changes bytes anywhere in a file of small pages, where each matters, and
// makes the sums of the meta pages right again. The walk comes to its end, and what
// it passes bbolt can check and read without a fault: here it would end the process.
func FuzzPages(f *testing.F) {
	const size = 1024
	file := written(f, size, func(tx *bbolt.Tx) error {
		for _, name := range []string{"empty", "inline", "deep"} {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for n := range map[string]int{"inline": 2, "deep": 60}[name] {
				if err := b.Put([]byte{byte(n)}, bytes.Repeat([]byte{byte(n)}, 40)); err != nil {
					return err
				}
			}
			if name == "deep" {
				if _, err := b.CreateBucket([]byte("within")); err != nil {
					return err
				}
			}
		}
		return nil
	})
	f.Fuzz(func(t *testing.T, patch []byte) {
		spoilt := bytes.Clone(file)
		for ; len(patch) >= 3; patch = patch[3:] { // where, in 2 bytes, and what
			spoilt[int(binary.BigEndian.Uint16(patch))%len(spoilt)] = patch[2]
		}
		for at := pageHeader; at < 2*size; at += size {
			sum := fnv.New64a()
			sum.Write(spoilt[at : at+56])
			binary.NativeEndian.PutUint64(spoilt[at+56:], sum.Sum64())
		}
		path := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := checkPages(file); err != nil {
			wantDocumented(t, err)
			return
		}
		if err := readAll(path); err != nil {
			t.Errorf("the walk passed what bbolt cannot read: %v", err)
		}
	})
}

// readAll has bbolt check the file and read every value. A fault of bbolt's ends the
// process where bbolt looks on its own, and is an error elsewhere.
func readAll(path string) error {
	var db *bbolt.DB
	err := guarded("open", func() (err error) {
		db, err = bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true})
		return err
	})
	if err != nil {
		return err
	}
	err = guarded("read", func() error {
		return db.View(func(tx *bbolt.Tx) error {
			sound := true
			for range tx.Check() { // what it says of order is for CheckFile to judge
				sound = false
			}
			if !sound {
				return nil
			}
			var each func(b *bbolt.Bucket) error
			each = func(b *bbolt.Bucket) error {
				return b.ForEach(func(k, v []byte) error {
					if within := b.Bucket(k); within != nil {
						return each(within)
					}
					_ = bytes.Clone(v)
					return nil
				})
			}
			return each(tx.Cursor().Bucket())
		})
	})
	return errors.Join(err, db.Close())
}

// FuzzValue puts a value, whatever it says, under a key of a table, sealed and summed
// up as it should be. The check answers; and a journal that it passes can be read
// throughout, goes on, and is sound afterwards.
func FuzzValue(f *testing.F) {
	path := filepath.Join(f.TempDir(), "journal.db")
	j, _ := openAt(f, path, Options{})
	commit(f, j, func(b *Batch) {
		b.Start(record(1, command.Started))
		b.Conclude(record(2, command.Done), report(command.Done, "2"))
		b.Acted("pump", command.Newest{Key: "m:2", Arrival: 2, Sent: start})
		b.OpenLease(command.Lease{Output: "pump", Key: "m:2", Since: start})
	})
	size := j.Stats().Size
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	for i, t := range tables() {
		f.Add(byte(i), []byte(t), []byte{1})
	}
	f.Add(byte(0), []byte(keyHistory), encodeHistory(History{State: HistoryLost, Since: start}))
	f.Add(byte(0), []byte(keyLink), []byte(linkV2))
	f.Add(byte(1), index("m:2"), encodeRecord(record(2, command.Failed)))
	f.Add(byte(4), []byte("lamp"), encodeNewest(command.Newest{Key: "m:9", Arrival: 9}))
	f.Add(byte(5), []byte("lamp"), encodeLease(command.Lease{Output: "lamp", Since: start}))
	f.Fuzz(func(t *testing.T, which byte, key, payload []byte) {
		path := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(path, file[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if place(path, tables()[int(which)%len(tables())], key, payload) != nil {
			return // no key of bbolt's
		}
		if err := CheckFile(path); err != nil {
			wantDocumented(t, err)
			return
		}
		wantUsable(t, path)
	})
}

// place stores a value without looking at what it says.
func place(path string, to table, key, payload []byte) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		f, err := readFacts(tx)
		if err != nil {
			return err
		}
		w := writer{tx: tx, facts: f}
		if err := w.put(to, key, payload); err != nil || to == tableJournal && string(key) == keyCounters {
			return err
		}
		b, err := bucket(tx, tableJournal)
		if err != nil {
			return err
		}
		return b.Put([]byte(keyCounters), seal(tableJournal, []byte(keyCounters), encodeCounters(w.counters)))
	})
	return errors.Join(err, db.Close())
}

func wantUsable(t *testing.T, path string) {
	t.Helper()
	j, found := openAt(t, path, Options{})
	if found.SetAsideWhy == WhyIdentity {
		return
	}
	if found.Fresh || found.SetAside != "" {
		t.Fatalf("passed by the check and set aside: %+v", found)
	}
	picture(t, j)
	records, err := j.Recent(10)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		same(t, "looked up", lookUp(t, j, r.Key), r)
	}
	commit(t, j, func(b *Batch) {
		b.Conclude(record(1, command.Done), report(command.Done, "1"))
		b.Acted("lamp", command.Newest{Key: "m:1", Arrival: 1})
		b.OpenLease(command.Lease{Output: "lamp", Key: "m:1"})
		b.CloseLease("pump")
		b.Confirm(1)
		b.Seen("m:2", start.Add(time.Hour))
	})
	if _, err := j.Prune(start.AddDate(1, 0, 0), 10); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := CheckFile(path); err != nil {
		t.Errorf("sound before it went on: %v", err)
	}
}
