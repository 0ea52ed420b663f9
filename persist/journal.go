package persist

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"actuatord/agent/command"
)

// facts is what a journal holds in memory: a copy of what was last committed.
type facts struct {
	id       identity
	counters counters
	link     LinkFacts
	history  History

	schema   uint64
	logID    [logIDSize]byte // since schema 2
	doneFrom uint64          // no report of a done command has a smaller seq
}

// Journal is the open file. Its methods belong to one goroutine.
type Journal struct {
	db   *bbolt.DB
	tx   *bbolt.Tx // open all the time: what is in the log and not yet in bbolt's file
	log  *frontLog
	ops  int      // changes in the log
	lock *os.File // nil on a journal for reading only
	path string
	file *os.File // bbolt's
	keep time.Duration
	edge func(at string) error // nil except in tests: see Options

	facts
	readOnly bool
	dead     error // why no call is answered any more
	stuck    bool  // bbolt panicked: it may hold its own locks for ever

	limit       int  // of bbolt's file, in bytes
	volatile    bool // the disk's own room is not looked at
	outboxLimit uint64
	pruneFrom   []byte // where Prune goes on in tableOrder
	commits     uint64
	written     uint64
}

// Stats is what `status` and the start report tell about the journal.
type Stats struct {
	Commits     uint64 `json:"commits"`      // transactions of this process
	Written     uint64 `json:"writtenBytes"` // bytes handed to the disk by them; the card writes more
	Commands    uint64 `json:"commands"`
	Outbox      uint64 `json:"outbox"`
	LostReports uint64 `json:"lostReports"` // since the journal was made
	Size        int64  `json:"size"`        // bytes of the file's pages ever used
	Free        int64  `json:"free"`        // of them, not in use now
	Limit       int64  `json:"limit"`       // what Size may not exceed
}

// view has fn read. A panic of bbolt's or a value that cannot
// be proven ends the journal: what else it says cannot be believed either.
func (j *Journal) view(what string, fn func(*bbolt.Tx) error) error {
	if j.dead != nil {
		return j.dead
	}
	j.stuck = true // until fn returns
	err := guarded(what, func() error {
		err := fn(j.tx)
		j.stuck = false
		return err
	})
	if err != nil {
		j.dead = fmt.Errorf("%s: %w", what, withPath(j.path, err))
	}
	return j.dead
}

func (j *Journal) at(edge string) error {
	if j.edge == nil {
		return nil
	}
	return j.edge(edge)
}

// Close gives the files up. It commits nothing: a clean stop is Batch.Clean.
func (j *Journal) Close() error {
	if errors.Is(j.dead, ErrClosed) {
		return nil
	}
	j.dead = ErrClosed
	var errs []error
	if !j.stuck && j.tx != nil {
		// It gives up what the log has; a page that has gone bad can stop it.
		j.stuck = true
		_ = guarded("close", func() error {
			err := j.tx.Rollback()
			j.stuck = false
			return err
		})
	}
	if !j.stuck {
		errs = append(errs, j.db.Close())
	} else {
		// bbolt would wait for its own locks. The mapping stays, and would keep the
		// file's, so that is given up by hand.
		errs = append(errs, unix.Flock(int(j.file.Fd()), unix.LOCK_UN), j.file.Close())
	}
	if j.log != nil {
		errs = append(errs, j.log.file.Close())
	}
	if j.lock != nil {
		errs = append(errs, j.lock.Close())
	}
	return errors.Join(errs...)
}

// Err is why the journal answers no more; nil while it does.
func (j *Journal) Err() error { return j.dead }

// probeSize is room for the commits that follow at once: what was left behind,
// a started command, its outcome, at some 33 KiB each.
const probeSize = 128 << 10

// Probe learns whether the disk takes what the agent is about to write: one
// transaction that writes so much and one that takes it away again, which leaves
// the pages free for what comes next. Both are bbolt's: the log has its pages.
func (j *Journal) Probe(now time.Time) error {
	name := []byte("probe")
	err := j.fold("probe journal", func(w *writer) error {
		b, err := w.tx.CreateBucketIfNotExists(name)
		if err != nil {
			return err
		}
		const page = 2000 // two fit one; more in one piece an old file may not have
		for n := range uint64(probeSize / page) {
			if err := b.Put(sequence(n), make([]byte, page)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return j.fold("end probe of journal", func(w *writer) error { return w.tx.DeleteBucket(name) })
}

// Lookup finds the record of k.
func (j *Journal) Lookup(k command.Key) (r command.Record, found bool, err error) {
	err = j.view("look up command", func(tx *bbolt.Tx) error {
		r, found, err = lookup(tx, index(k))
		return err
	})
	if err != nil || !found {
		return command.Record{}, false, err
	}
	r.Key = k
	return r, true, nil
}

func lookup(tx *bbolt.Tx, index []byte) (command.Record, bool, error) {
	payload, found, err := get(tx, tableCommands, index)
	if err != nil || !found {
		return command.Record{}, false, err
	}
	r, err := decodeRecord(payload)
	return r, err == nil, err
}

// Newest is the newest command that acted on target; zero when none has.
func (j *Journal) Newest(target string) (n command.Newest, err error) {
	err = j.view("read newest command", func(tx *bbolt.Tx) error {
		n, err = newest(tx, target)
		return err
	})
	return n, err
}

func newest(tx *bbolt.Tx, target string) (command.Newest, error) {
	payload, found, err := get(tx, tableNewest, []byte(target))
	if err != nil || !found {
		return command.Newest{}, err
	}
	return decodeNewest(payload)
}

// Unfinished is every command in state Started, oldest first.
func (j *Journal) Unfinished() (rs []command.Record, err error) {
	err = j.view("read unfinished commands", func(tx *bbolt.Tx) error {
		return each(tx, tableStarted, func(key, _ []byte) error {
			r, found, err := lookup(tx, key)
			if err == nil && !found {
				err = badContent("started command %x has no record", key)
			}
			rs = append(rs, r)
			return err
		})
	})
	sort.Sort(byArrival(rs))
	return rs, err
}

// Leases is every open lease, by output.
func (j *Journal) Leases() (ls []command.Lease, err error) {
	err = j.view("read leases", func(tx *bbolt.Tx) error {
		return each(tx, tableLeases, func(_, payload []byte) error {
			l, err := decodeLease(payload)
			ls = append(ls, l)
			return err
		})
	})
	return ls, err
}

// Outbox is the reports with a seq above after, oldest first, at most limit.
func (j *Journal) Outbox(after uint64, limit int) (reps []command.Report, err error) {
	err = j.view("read outbox", func(tx *bbolt.Tx) error {
		b, err := bucket(tx, tableOutbox)
		if err != nil {
			return err
		}
		c := b.Cursor()
		for k, v := c.Seek(sequence(after + 1)); k != nil && len(reps) < limit; k, v = c.Next() {
			payload, err := unseal(tableOutbox, k, v)
			if err != nil {
				return err
			}
			rep, _, err := decodeReport(payload)
			if err != nil {
				return err
			}
			reps = append(reps, rep)
		}
		return nil
	})
	return reps, err
}

// Recent is the n records that arrived last, newest first.
func (j *Journal) Recent(n int) (rs []command.Record, err error) {
	err = j.view("read history", func(tx *bbolt.Tx) error {
		b, err := bucket(tx, tableOrder)
		if err != nil {
			return err
		}
		c := b.Cursor()
		for k, _ := c.Last(); k != nil && len(rs) < n; k, _ = c.Prev() {
			r, found, err := lookup(tx, indexOf(k))
			if err == nil && !found {
				err = badContent("ordered command %x has no record", k)
			}
			if err != nil {
				return err
			}
			rs = append(rs, r)
		}
		return nil
	})
	return rs, err
}

// Arrival is the last order of receipt given out: the next record has a greater one.
func (j *Journal) Arrival() uint64 { return j.counters.arrival }

// LinkFacts is what was last committed with Batch.Link.
func (j *Journal) LinkFacts() LinkFacts { return j.link }

// History is how far the journal's memory can be relied on.
func (j *Journal) History() History { return j.history }

// Identity is whose journal it is.
func (j *Journal) Identity() Identity { return j.id.Identity }

// Stats costs nothing but a copy; after Close it is zero.
func (j *Journal) Stats() Stats {
	s := Stats{
		Commits: j.commits, Written: j.written,
		Commands: j.counters.commands, Outbox: j.counters.outbox, LostReports: j.counters.lost,
	}
	if j.dead == nil {
		s.Size, s.Free, s.Limit = j.room()
	}
	return s
}
