package persist

import (
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"

	"actuatord/agent/command"
)

const (
	// DefaultKeep is how long a record is kept after its id was last seen.
	DefaultKeep = 168 * time.Hour
	// MinKeep is the longest time-to-live of a C2D message (IoT Hub's limit): a
	// record that goes earlier could let its message act twice.
	MinKeep = 48 * time.Hour
	// keepNewest records are never pruned, whatever their age: a clock that leaps
	// by years must not empty the journal.
	keepNewest = 1000
)

// Prune forgets commands that were last seen longer ago than Options.Keep, oldest
// first. It examines at most limit records, goes on there at the next call, and
// says how many it forgot; it writes only if there is something to write. The
// caller calls it only while the clock is trusted, when nothing else is to do.
//
// A record without a date of last sight, or with one in the future, was dated by
// a clock that was not trusted: it is dated now. In a file that is three quarters
// full Keep falls to MinKeep.
func (j *Journal) Prune(now time.Time, limit int) (forgotten int, err error) {
	if j.readOnly {
		return 0, ErrReadOnly
	}
	var old, undated []command.Record
	from := j.pruneFrom
	err = j.view("prune journal", func(tx *bbolt.Tx) error {
		old, undated, from, err = j.aged(tx, now, limit)
		return err
	})
	if err != nil {
		return 0, err
	}
	if len(old)+len(undated) > 0 {
		// Into bbolt's file, which closes the gaps: its cursors stop at a leaf that was
		// emptied in the same transaction.
		err = j.fold("prune journal", func(w *writer) error { return w.forget(old, undated, now) })
	}
	if err != nil {
		return 0, err
	}
	j.pruneFrom = from
	return len(old), nil
}

// aged sorts the next limit records into those to forget and those to date, and
// says where to go on; nil is at the oldest.
func (j *Journal) aged(tx *bbolt.Tx, now time.Time, limit int) (old, undated []command.Record, from []byte, err error) {
	order, err := bucket(tx, tableOrder)
	if err != nil {
		return nil, nil, nil, err
	}
	floor := newestFloor(order)
	cutoff := now.Add(-j.keepNow())
	c := order.Cursor()
	k, _ := c.Seek(j.pruneFrom)
	for ; k != nil && limit > 0; k, _ = c.Next() {
		if floor == 0 || len(k) < 8 || binary.BigEndian.Uint64(k) >= floor {
			return old, undated, nil, nil
		}
		limit--
		r, found, err := lookup(tx, indexOf(k))
		if err != nil {
			return nil, nil, nil, err
		}
		switch {
		case !found:
			return nil, nil, nil, badContent("ordered command %x has no record", k)
		case r.State == command.Started:
		case r.FirstSeen.After(cutoff) && !r.FirstSeen.After(now):
			return old, undated, nil, nil // and so is all that arrived after it
		case r.LastSeen.IsZero() || r.LastSeen.After(now):
			undated = append(undated, r)
		case r.LastSeen.Before(cutoff):
			old = append(old, r)
		}
	}
	return old, undated, append([]byte(nil), k...), nil
}

// newestFloor is the arrival of the oldest record that keepNewest protects; 0
// when it protects all.
func newestFloor(order *bbolt.Bucket) uint64 {
	c := order.Cursor()
	k, _ := c.Last()
	for n := 1; n < keepNewest && k != nil; n++ {
		k, _ = c.Prev()
	}
	if len(k) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(k)
}

func (w *writer) forget(old, undated []command.Record, now time.Time) error {
	for _, r := range undated {
		r.LastSeen = now
		if err := w.putRecord(index(r.Key), r); err != nil {
			return err
		}
	}
	for _, r := range old {
		key := index(r.Key)
		if _, err := w.delete(tableOrder, orderKey(r.Arrival, key)); err != nil {
			return err
		}
		found, err := w.delete(tableCommands, key)
		if err != nil {
			return err
		}
		if found {
			w.counters.commands--
		}
	}
	return nil
}

// keepNow is Keep, or MinKeep when space runs out.
func (j *Journal) keepNow() time.Duration {
	if size, free, limit := j.room(); size-free > limit/4*3 {
		return MinKeep
	}
	return j.keep
}

// room is Stats' Size, Free and Limit, as of bbolt's last commit.
func (j *Journal) room() (size, free, limit int64) {
	s := j.db.Stats()
	return j.tx.Size(), int64(s.FreePageN+s.PendingPageN) * int64(j.db.Info().PageSize), int64(j.limit)
}
