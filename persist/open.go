package persist

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// Options of Open. The zero value is right for a device, but for Check: package
// main passes one that calls CheckInChild.
type Options struct {
	// Keep is how long Prune keeps a record; 0 is DefaultKeep, less than
	// MinKeep is MinKeep.
	Keep time.Duration
	// Volatile allows tmpfs and overlay and reserves no space: for the simulated
	// board and for tests.
	Volatile bool
	// LogPages is how long a log is made, in pages of 4 KiB; 0 is half a megabyte,
	// less than 0 is none: then every commit is bbolt's.
	LogPages int
	// Check judges the file at path before it is opened: nil, a *ContentError,
	// or that it could not be judged. nil is CheckFile in this process, where a
	// file that is bad enough ends the process.
	Check func(ctx context.Context, path string) error

	// Tests stop the agent here, as a power cut would: see Journal.at.
	edge func(at string) error
	// Tests reach the limits sooner; 0 is the real one.
	maxSize     int
	outboxLimit uint64
}

// Opened is what Open found.
type Opened struct {
	Fresh       bool   // the journal was made now
	SetAside    string // where the earlier one was put; empty: there was none
	SetAsideWhy string // WhyContent or WhyIdentity
	SetAsideErr error  // what exactly was wrong; for the log
	Unclean     bool   // the last run did not commit Batch.Clean
	Boot        uint64 // starts of the agent on this journal, this one included
}

// Values of Opened.SetAsideWhy.
const (
	WhyContent  = "content"  // it could not be believed: a loss
	WhyIdentity = "identity" // it is another hub's or device's: as new
)

// What Open puts beside the journal.
const (
	suffixLog   = ".log"   // what bbolt's file does not have yet: see frontLog
	suffixLock  = ".lock"  // empty; held while a journal is open, so that setting aside cannot let a second writer in
	suffixNew   = ".new"   // a journal being made
	suffixBad   = ".bad"   // set aside for its content
	suffixOther = ".other" // set aside for its identity; the log goes with it
)

const (
	// pageSize is not the kernel's, which is 16 KiB on a Raspberry Pi 5: a commit
	// writes whole pages, and four times the wear buys nothing. A file made with
	// another size is used with that size.
	pageSize = 4096
	// maxSize bounds the file; at 400 bytes a command it holds a week of one
	// command each 6 s. It is far below what 32-bit address space can map.
	maxSize = 64 << 20
	// reserved is what the file takes from the disk when it is made. A quarter of
	// maxSize: a year's journal of a usual device stays within it.
	reserved = 16 << 20
	// allocSize is the step in which the file grows; bbolt's own, 16 MiB, would
	// also stop a 64 MiB file at 48.
	allocSize = 1 << 20
	// lockTimeout outlasts a predecessor that is just ending, not one that hangs.
	lockTimeout = 2 * time.Second
)

// Open opens the journal of id at path, makes it if there is none, and sets
// aside one that cannot be used; it counts the start and takes the clean mark
// away, in one commit. now dates the history of a journal that is made.
//
// After an error the file is untouched: *LockedError, *SchemaError,
// *AccessError, *VolatileError need a person; a *StorageError may pass.
func Open(ctx context.Context, path string, id Identity, now time.Time, o Options) (*Journal, Opened, error) {
	if o.Check == nil {
		o.Check = func(_ context.Context, path string) error { return CheckFile(path) }
	}
	if !o.Volatile {
		if err := refuseVolatile(path); err != nil {
			return nil, Opened{}, err
		}
	}
	lock, err := lockBeside(ctx, path)
	if err != nil {
		return nil, Opened{}, err
	}
	s := opening{ctx: ctx, path: path, id: id, now: now, o: o}
	j, err := s.open()
	if err != nil {
		return nil, Opened{}, errors.Join(err, lock.Close())
	}
	j.lock = lock
	if err := s.boot(j); err != nil {
		return nil, Opened{}, errors.Join(err, j.Close())
	}
	return j, s.found, nil
}

// opening is one call of Open, under the lock.
type opening struct {
	ctx   context.Context
	path  string
	id    Identity
	now   time.Time
	o     Options
	found Opened
}

func (s *opening) open() (*Journal, error) {
	for _, left := range []string{s.path + suffixNew, s.path + suffixLog + suffixNew} {
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, classify("open", s.path, err)
		}
	}
	info, err := os.Lstat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.first()
	case err != nil:
		return nil, classify("open", s.path, err)
	case !info.Mode().IsRegular():
		return nil, &AccessError{Path: s.path, Err: errors.New("not a regular file"), Hint: "set [journal] path to a file"}
	}
	j, err := s.existing()
	var content *ContentError
	if errors.As(err, &content) {
		return s.replace(suffixBad, WhyContent, err, HistoryLost)
	}
	if err != nil {
		return nil, err
	}
	if j.id.Identity != s.id {
		other := fmt.Errorf("it is the journal of %s at %s", j.id.Device, j.id.Hub)
		if j.ops > 0 { // a cut between the two renames must not cost it what only its log has
			if err := j.fold("close", func(*writer) error { return nil }); err != nil {
				return nil, errors.Join(err, j.Close())
			}
		}
		if err := j.Close(); err != nil {
			return nil, classify("close", s.path, err)
		}
		return s.replace(suffixOther, WhyIdentity, other, HistoryInDoubt)
	}
	return j, nil
}

// first makes the journal where there is none. One set aside beside it says that
// a replacement was cut off by a power loss, or that somebody removed it: either
// way what it held is not known any more.
func (s *opening) first() (*Journal, error) {
	state := HistoryInDoubt
	switch _, err := os.Lstat(s.path + suffixBad); {
	case err == nil:
		state = HistoryLost
		s.found.SetAside, s.found.SetAsideWhy = s.path+suffixBad, WhyContent
		s.found.SetAsideErr = errors.New("the journal that replaces it is missing")
	case !errors.Is(err, fs.ErrNotExist):
		return nil, classify("open", s.path, err)
	}
	return s.create(state)
}

// existing checks the file and reads its facts.
func (s *opening) existing() (*Journal, error) {
	if err := access(s.path); err != nil {
		return nil, classify("open", s.path, err)
	}
	if err := access(s.path + suffixLog); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, classify("open log of", s.path, err)
	}
	if err := s.o.Check(s.ctx, s.path); err != nil {
		return nil, withPath(s.path, err)
	}
	return s.load()
}

// replace keeps the file under another name, in place of an earlier one there,
// and makes a new journal.
func (s *opening) replace(suffix, why string, cause error, state HistoryState) (*Journal, error) {
	s.found.SetAside, s.found.SetAsideWhy, s.found.SetAsideErr = s.path+suffix, why, cause
	if err := os.Rename(s.path, s.path+suffix); err != nil {
		return nil, classify("set aside", s.path, err)
	}
	// A cut in between leaves a log that is no journal's, and goes when one is made.
	if err := os.Rename(s.path+suffixLog, s.path+suffix+suffixLog); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, classify("set aside", s.path, err)
	}
	if err := syncDir(s.path); err != nil {
		return nil, err
	}
	if err := s.at("set aside"); err != nil {
		return nil, err
	}
	return s.create(state)
}

func (s *opening) at(edge string) error {
	if s.o.edge == nil {
		return nil
	}
	return s.o.edge(edge)
}

// limit is what bbolt's file may grow to, in bytes.
func (o Options) limit() int {
	if o.maxSize != 0 {
		return o.maxSize
	}
	return maxSize
}

// bolt opens path with what this package relies on (see the constants).
// Statistics stay on: the pages in use and the bytes written come from there.
func (s *opening) bolt(path string, openFile func(string, int, os.FileMode) (*os.File, error)) (db *bbolt.DB, err error) {
	err = guarded("open", func() error {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			PageSize:     pageSize,
			FreelistType: bbolt.FreelistMapType,
			Timeout:      lockTimeout,
			MaxSize:      s.o.limit() + foldRoom, // commit lowers it
			OpenFile:     openFile,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = allocSize
	return db, nil
}

// load opens the journal's files and reads its facts.
func (s *opening) load() (*Journal, error) {
	j := &Journal{path: s.path, keep: s.o.Keep, limit: s.o.limit(), volatile: s.o.Volatile, edge: s.o.edge, outboxLimit: s.o.outboxLimit}
	if j.keep == 0 {
		j.keep = DefaultKeep
	}
	j.keep = max(j.keep, MinKeep)
	if j.outboxLimit == 0 {
		j.outboxLimit = outboxLimit
	}
	var err error
	j.db, err = s.bolt(s.path, func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
		j.file, err = openExisting(path, flag, mode)
		return j.file, err
	})
	if err != nil {
		return nil, errors.Join(withPath(s.path, classifyBolt("open", s.path, err)), j.abandon())
	}
	if err := j.catchUp(os.O_RDWR, s.makeLog); err != nil {
		return nil, errors.Join(withPath(s.path, err), j.Close())
	}
	return j, nil
}

// catchUp reads the facts and does again what only the log has. make makes the log
// of a journal of a schema without one; nil: it is done without.
func (j *Journal) catchUp(flag int, make func(id [logIDSize]byte) error) error {
	j.stuck = true
	return guarded("read facts", func() (err error) {
		if j.tx, err = j.db.Begin(true); err != nil {
			return classify("open", j.path, err)
		}
		j.stuck = false
		if j.facts, err = readFacts(j.tx); err != nil {
			return err
		}
		id := j.logID
		if j.schema == 1 {
			if make == nil {
				return nil
			}
			if id, err = newLogID(); err == nil {
				err = make(id)
			}
			if err != nil {
				return classify("make log of", j.path, err)
			}
		}
		if j.log, err = openLog(j.path, flag, id); err != nil {
			return err
		}
		w := &writer{tx: j.tx, facts: j.facts}
		err = j.log.replayAll(w)
		j.facts, j.ops = w.facts, w.ops
		return err
	})
}

// abandon closes what a panic of bbolt's left open while it was opening; otherwise
// bbolt has closed it.
func (j *Journal) abandon() error {
	if j.file == nil {
		return nil
	}
	if err := j.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// readFacts begins with the schema: of a newer one nothing else may be read.
func readFacts(tx *bbolt.Tx) (f facts, err error) {
	payload, err := must(tx, tableJournal, keySchema)
	if err != nil {
		return f, err
	}
	version, n := binary.Uvarint(payload)
	if n != len(payload) || version == 0 {
		return f, badContent("schema is %x", payload)
	}
	if version > schema {
		return f, &SchemaError{Found: int(min(version, 1<<30)), Known: schema}
	}
	f.schema = version
	if version > 1 {
		id, err := must(tx, tableJournal, keyLog)
		if err == nil && len(id) != logIDSize {
			err = badContent("its log's id is %x", id)
		}
		if err != nil {
			return f, err
		}
		copy(f.logID[:], id)
	}
	for _, part := range []struct {
		key  string
		read func(payload []byte) error
	}{
		{keyIdentity, func(p []byte) error { f.id, err = decodeIdentity(p); return err }},
		{keyCounters, func(p []byte) error { f.counters, err = decodeCounters(p); return err }},
		{keyLink, func(p []byte) error { f.link, err = decodeLink(p); return err }},
		{keyHistory, func(p []byte) error { f.history, err = decodeHistory(p); return err }},
	} {
		payload, err := must(tx, tableJournal, part.key)
		if err != nil {
			return f, err
		}
		if err := part.read(payload); err != nil {
			return f, err
		}
	}
	return f, nil
}

// boot counts the start. Its commit is the first proof that the disk takes one, and
// leaves the log empty.
func (s *opening) boot(j *Journal) error {
	s.found.Unclean = !j.counters.clean
	s.found.Boot = j.counters.boot + 1
	return j.fold("count start", func(w *writer) error {
		w.counters.boot++
		if w.schema == 1 {
			return w.putSchema(j.log.id)
		}
		return nil
	})
}
