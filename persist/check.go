package persist

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"actuatord/agent/command"
)

// CheckFile reads the whole journal at path and proves it: bbolt's pages, every
// value's checksum and form, the tables against each other, and the sum over all
// of them. It answers nil, a *ContentError, or that it could not judge
// (*LockedError, *SchemaError, *AccessError, *StorageError). It writes nothing.
//
// The pages are proven before bbolt sees them (see pages.go). What remains,
// such as a fault of bbolt's or too little memory, can still end the process: on
// a device it runs in a child (CheckInChild).
func CheckFile(path string) error {
	j, err := ReadOnly(path)
	if err != nil {
		return err
	}
	return j.Close()
}

// ReadOnly checks the journal at path and opens it for `history` and `status` while
// no daemon runs: what reads works, what commits answers ErrReadOnly. It changes
// nothing. A running daemon is a *LockedError; other readers are waited for.
func ReadOnly(path string) (*Journal, error) {
	if err := checkPagesOf(path); err != nil {
		return nil, withPath(path, classifyBolt("check", path, err))
	}
	j, err := openReading(path)
	if err != nil {
		return nil, err
	}
	if err := guarded("check", func() error { return checkTx(j.tx) }); err != nil {
		return nil, errors.Join(withPath(path, err), j.Close())
	}
	return j, nil
}

// checkPagesOf is checkPages of the file at path, while nobody writes it: a page that
// a running agent is just writing would look like a torn one.
func checkPagesOf(path string) error {
	f, err := openExisting(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(context.Background(), f, unix.LOCK_SH, path); err != nil {
		return err
	}
	return checkPages(f)
}

// openReading opens the journal's files for reading. bbolt is told that it may write,
// or it would not begin the transaction in which the log is read in; nobody commits it.
func openReading(path string) (*Journal, error) {
	j := &Journal{path: path, keep: DefaultKeep, readOnly: true}
	err := guarded("open", func() (err error) {
		j.db, err = bbolt.Open(path, 0, &bbolt.Options{
			FreelistType: bbolt.FreelistMapType,
			Timeout:      lockTimeout,
			OpenFile: func(path string, _ int, mode os.FileMode) (_ *os.File, err error) {
				j.file, err = openExisting(path, os.O_RDONLY, mode)
				return j.file, err
			},
		})
		return err
	})
	if err != nil {
		return nil, errors.Join(withPath(path, classifyBolt("open", path, err)), j.abandon())
	}
	// Others may read too. bbolt took the lock for itself alone.
	if err := unix.Flock(int(j.file.Fd()), unix.LOCK_SH); err != nil {
		return nil, errors.Join(classify("lock", path, err), j.Close())
	}
	if err := guarded("check", func() error { return j.db.View(checkBase) }); err != nil {
		return nil, errors.Join(withPath(path, err), j.Close())
	}
	if err := j.catchUp(os.O_RDONLY, nil); err != nil {
		return nil, errors.Join(withPath(path, err), j.Close())
	}
	return j, nil
}

// checkPages proves without bbolt what bbolt would trust: the meta pages, the
// file's length, and that the pages form a tree. It reads with read(2), where a
// dead sector is an error and not a signal.
func checkPages(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	first, err := readMeta(f, 0)
	if err != nil {
		return err
	}
	second, err := readMeta(f, int64(first.pageSize))
	if err != nil {
		return err
	}
	// Each commit writes the older of the two, so they are always one apart. If
	// they are not, or if one cannot be read, a commit that was answered may be
	// gone: bbolt would go on from the other one and not say so.
	newer := first
	switch {
	case first.txid+1 == second.txid:
		newer = second
	case second.txid+1 != first.txid:
		return badContent("the meta pages are of transactions %d and %d", first.txid, second.txid)
	}
	if newer.pages > uint64(info.Size())/uint64(newer.pageSize) || newer.pageSize != first.pageSize {
		return badContent("%d pages of %d bytes in use and a length of %d bytes", newer.pages, newer.pageSize, info.Size())
	}
	return walkPages(f, newer)
}

// checkBase proves bbolt's pages, without what only the log has.
func checkBase(tx *bbolt.Tx) error {
	var first error
	for err := range tx.Check() { // to the end: a goroutine sends them
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return badContent("%v", first)
	}
	return checkTx(tx)
}

// checkTx proves what a transaction sees.
func checkTx(tx *bbolt.Tx) error {
	f, err := readFacts(tx)
	if err != nil {
		return err
	}
	p := proof{tx: tx}
	for _, t := range tables() {
		if err := p.table(t); err != nil {
			return fmt.Errorf("table %s: %w", t, err)
		}
	}
	c := f.counters
	switch {
	case p.sum != c.sum:
		return badContent("the sum over all values is wrong")
	case p.commands != c.commands || p.ordered != c.commands:
		return badContent("%d commands, %d in order, %d counted", p.commands, p.ordered, c.commands)
	case p.started != p.markedStarted:
		return badContent("%d commands started, %d marked so", p.started, p.markedStarted)
	case p.outbox != c.outbox || p.seq > c.seq:
		return badContent("%d reports up to %d, %d counted up to %d", p.outbox, p.seq, c.outbox, c.seq)
	case p.arrival > c.arrival:
		return badContent("arrival %d after the last, %d", p.arrival, c.arrival)
	}
	return nil
}

// proof adds up what the tables hold.
type proof struct {
	tx                     *bbolt.Tx
	sum                    uint64
	commands, ordered      uint64
	started, markedStarted uint64
	outbox, seq, arrival   uint64
}

func (p *proof) table(t table) error {
	return each(p.tx, t, func(key, payload []byte) error {
		if t != tableJournal || string(key) != keyCounters {
			p.sum += uint64(checksum(t, key, payload))
		}
		switch t {
		case tableCommands:
			return p.command(key, payload)
		case tableOrder:
			p.ordered++
		case tableStarted:
			p.markedStarted++
		case tableNewest:
			_, err := decodeNewest(payload)
			return err
		case tableLeases:
			_, err := decodeLease(payload)
			return err
		case tableOutbox:
			return p.report(key, payload)
		}
		return nil
	})
}

func (p *proof) command(key, payload []byte) error {
	r, err := decodeRecord(payload)
	if err != nil {
		return err
	}
	p.commands++
	p.arrival = max(p.arrival, r.Arrival)
	if string(index(r.Key)) != string(key) {
		return badContent("%s is filed under another key", r.Key)
	}
	if _, found, err := get(p.tx, tableOrder, orderKey(r.Arrival, key)); err != nil || !found {
		return errors.Join(err, badContent("%s is not in order", r.Key))
	}
	if r.State != command.Started {
		return nil
	}
	p.started++
	if _, found, err := get(p.tx, tableStarted, key); err != nil || !found {
		return errors.Join(err, badContent("%s is started and not marked so", r.Key))
	}
	return nil
}

func (p *proof) report(key, payload []byte) error {
	rep, _, err := decodeReport(payload)
	if err != nil {
		return err
	}
	if string(sequence(rep.Seq)) != string(key) {
		return badContent("report %d is filed under %x", rep.Seq, key)
	}
	p.outbox++
	p.seq = max(p.seq, rep.Seq)
	return nil
}
