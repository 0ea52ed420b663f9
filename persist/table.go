package persist

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"go.etcd.io/bbolt"
)

// A table is a bbolt bucket. The number in a name is the version of its keys;
// the version of a value is in the value.
type table string

const (
	// tableJournal holds what there is one of. Its name has no number, because
	// it is where every version looks for the schema.
	tableJournal table = "journal"

	tableCommands table = "commands/1" // index(key) → command.Record
	tableOrder    table = "order/1"    // arrival, index(key) → nothing: the commands by age
	tableStarted  table = "started/1"  // index(key) → nothing: the commands in state Started
	tableNewest   table = "newest/1"   // target → command.Newest
	tableLeases   table = "leases/1"   // output → command.Lease
	tableOutbox   table = "outbox/1"   // seq → command.Report
)

// Keys of tableJournal.
const (
	keySchema   = "schema"
	keyIdentity = "identity"
	keyLink     = "link"
	keyHistory  = "history"
	keyCounters = "counters"
	keyLog      = "log" // the log's id, since schema 2
)

// schema rises when an older program must not touch the file any more. Its
// value's form is the one thing that never changes: an unsigned varint, sealed.
// Schema 1 had no log.
const schema = 2

// tables is every table. Their order is in the log's entries: never reorder.
func tables() []table {
	return []table{tableJournal, tableCommands, tableOrder, tableStarted, tableNewest, tableLeases, tableOutbox}
}

// number is the table's in an entry of the log, from 1.
func (t table) number() byte { return byte(slices.Index(tables(), t) + 1) }

// tableOf is the table of that number.
func tableOf(number byte) (t table, known bool) {
	all := tables()
	if number == 0 || int(number) > len(all) {
		return "", false
	}
	return all[number-1], true
}

// bucket is t in tx, or that the file has none.
func bucket(tx *bbolt.Tx, t table) (*bbolt.Bucket, error) {
	if b := tx.Bucket([]byte(t)); b != nil {
		return b, nil
	}
	return nil, badContent("no table %s", t)
}

// crcSize is the seal's length, at the end of each value.
const crcSize = 4

// checksum covers where a value stands as well as the value: a page written to
// the wrong place holds values that are right in themselves.
func checksum(t table, key, payload []byte) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	head := append([]byte(t), 0)
	head = binary.AppendUvarint(head, uint64(len(key)))
	c := crc32.Update(0, castagnoli, head)
	c = crc32.Update(c, castagnoli, key)
	return crc32.Update(c, castagnoli, payload)
}

func seal(t table, key, payload []byte) []byte {
	v := make([]byte, 0, len(payload)+crcSize)
	v = append(v, payload...)
	return binary.BigEndian.AppendUint32(v, checksum(t, key, payload))
}

// unseal is the payload of a value, proven. It is valid as long as value is.
func unseal(t table, key, value []byte) ([]byte, error) {
	n := len(value) - crcSize
	if n < 0 {
		return nil, badContent("value of %s %x is %d bytes", t, key, len(value))
	}
	if checksum(t, key, value[:n]) != binary.BigEndian.Uint32(value[n:]) {
		return nil, badContent("checksum of %s %x is wrong", t, key)
	}
	return value[:n], nil
}

// sealOf is the CRC at the end of a value, for the sum; not proven.
func sealOf(value []byte) uint64 {
	if len(value) < crcSize {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(value[len(value)-crcSize:]))
}

// get is the proven payload under key; found is false when there is none. It is
// valid until tx ends.
func get(tx *bbolt.Tx, t table, key []byte) (payload []byte, found bool, err error) {
	b, err := bucket(tx, t)
	if err != nil {
		return nil, false, err
	}
	v := b.Get(key)
	if v == nil {
		return nil, false, nil
	}
	payload, err = unseal(t, key, v)
	return payload, err == nil, err
}

// must is get for what every journal has.
func must(tx *bbolt.Tx, t table, key string) ([]byte, error) {
	payload, found, err := get(tx, t, []byte(key))
	if err == nil && !found {
		err = badContent("%s has no %s", t, key)
	}
	return payload, err
}

// each calls fn with every key and proven payload of t, in order.
func each(tx *bbolt.Tx, t table, fn func(key, payload []byte) error) error {
	b, err := bucket(tx, t)
	if err != nil {
		return err
	}
	return b.ForEach(func(k, v []byte) error {
		payload, err := unseal(t, k, v)
		if err != nil {
			return err
		}
		return fn(k, payload)
	})
}

// A writer is one write transaction: the tables, and the facts in memory as they
// will be once it is committed.
type writer struct {
	tx *bbolt.Tx
	facts
	outboxLimit uint64
	entry       encoder // what it changes, for the log, and …
	ops         int     // … how many changes those are
}

// put keeps the sum while it stores payload under key. It writes nothing if that
// is what stands there.
func (w *writer) put(t table, key, payload []byte) error {
	b, err := bucket(w.tx, t)
	if err != nil {
		return err
	}
	value := seal(t, key, payload)
	old := b.Get(key)
	if bytes.Equal(old, value) && old != nil {
		return nil
	}
	w.counters.sum += sealOf(value) - sealOf(old)
	w.noted(t, key, payload)
	return b.Put(key, value)
}

// delete reports whether there was something to delete.
func (w *writer) delete(t table, key []byte) (bool, error) {
	b, err := bucket(w.tx, t)
	if err != nil {
		return false, err
	}
	old := b.Get(key)
	if old == nil {
		return false, nil
	}
	w.counters.sum -= sealOf(old)
	w.notedGone(t, key)
	return true, b.Delete(key)
}

// finish writes the facts; it comes last in every transaction.
func (w *writer) finish() error {
	if err := w.put(tableJournal, []byte(keyLink), encodeLink(w.link)); err != nil {
		return err
	}
	if err := w.put(tableJournal, []byte(keyHistory), encodeHistory(w.history)); err != nil {
		return err
	}
	w.entry.byte(redoEnd)
	w.entry.bytes(encodeCounters(w.counters))
	return w.putCounters()
}

// putCounters stores the counters, which the sum in them cannot cover.
func (w *writer) putCounters() error {
	b, err := bucket(w.tx, tableJournal)
	if err != nil {
		return err
	}
	key := []byte(keyCounters)
	return b.Put(key, seal(tableJournal, key, encodeCounters(w.counters)))
}

func sequence(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func orderKey(arrival uint64, index []byte) []byte { return append(sequence(arrival), index...) }
