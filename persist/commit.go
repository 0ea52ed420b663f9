package persist

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// update makes durable what fn writes, and takes over the facts it leaves. Any
// error ends the journal, because no one can know what the disk holds: bbolt shows a
// value whose fdatasync failed, and commits it next time.
func (j *Journal) update(what string, fn func(*writer) error) error {
	return j.commitTo(what, fn, false)
}

// fold is update into bbolt's file, with all that only the log has so far.
func (j *Journal) fold(what string, fn func(*writer) error) error {
	return j.commitTo(what, fn, true)
}

func (j *Journal) commitTo(what string, fn func(*writer) error, fold bool) error {
	if j.dead != nil {
		return j.dead
	}
	if j.readOnly {
		return ErrReadOnly
	}
	err := j.inPlace()
	var after facts
	var written uint64
	if err == nil {
		after, written, err = j.transact(fn, fold)
	}
	if err == nil {
		err = j.at("after commit")
	}
	if err != nil {
		j.dead = fmt.Errorf("%s: %w", what, storage(j.path, err))
		return j.dead
	}
	j.facts = after
	j.commits++
	j.written += written
	return nil
}

// inPlace finds a file that was removed or replaced under us: what is written to
// it from then on nobody will ever read.
func (j *Journal) inPlace() error {
	return errors.Join(inPlace(j.file, j.path), inPlace(j.log.file, j.path+suffixLog))
}

func inPlace(file *os.File, path string) error {
	ours, err := file.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, ours) {
		return fmt.Errorf("somebody has removed or replaced %s while it was in use: stop actuatord before you touch it", path)
	}
	return err
}

// storage names an error of a transaction. A ContentError keeps its kind.
func storage(path string, err error) error {
	var content *ContentError
	if errors.As(err, &content) {
		return withPath(path, err)
	}
	return &StorageError{Op: "commit to", Path: path, Err: err}
}

// transact is one transaction: an entry of the log, or, where fold says so or the
// log is full, a commit of bbolt's, behind which the log begins anew. After a panic
// bbolt may hold its locks for ever, and the journal is stuck.
func (j *Journal) transact(fn func(*writer) error, fold bool) (after facts, written uint64, err error) {
	j.stuck = true
	err = guarded("commit", func() error {
		w := &writer{tx: j.tx, facts: j.facts, outboxLimit: j.outboxLimit, entry: encoder{entryVersion}}
		w.counters.clean = false
		w.counters.entry++
		err := fn(w)
		if err == nil {
			err = w.finish()
		}
		if err == nil {
			err = j.at("before commit")
		}
		switch {
		case err != nil:
		case fold || !j.log.fits(len(w.entry)) || j.ops+w.ops > foldOps || j.tight():
			written, err = j.commit(fold)
		default:
			var n int
			n, err = j.log.append(w.counters.entry, w.entry)
			written, j.ops = uint64(n), j.ops+w.ops
		}
		after, j.stuck = w.facts, false
		return err
	})
	return after, written, err
}

// commit has bbolt commit what is in the open transaction, and opens the next.
// spare lets it go beyond the journal's limit: a start, a probe and a forgetting make
// room for others.
func (j *Journal) commit(spare bool) (written uint64, err error) {
	j.db.MaxSize = j.limit
	if spare {
		j.db.MaxSize += foldRoom
	}
	tx := j.tx
	if err := tx.Commit(); err != nil { // it has rolled back
		j.tx = nil
		return 0, err
	}
	// The meta page is not among the pages that a transaction allocates.
	stats := tx.Stats()
	written = uint64(stats.GetPageAlloc()) + uint64(j.db.Info().PageSize)
	j.log.next, j.ops = logBegin, 0
	j.tx, err = j.db.Begin(true)
	return written, err
}

// tight reports whether bbolt's file, as it was at its last commit, may have too
// little room for what the log can hold. Only pages that were never used count: of
// those that are free again bbolt may not find enough side by side, for its freelist.
func (j *Journal) tight() bool {
	size, _, limit := j.room()
	if limit-allocSize-size < foldRoom { // bbolt adds allocSize to what it needs
		return true
	}
	return !j.volatile && !reservedFor(j.file, size+foldRoom)
}
