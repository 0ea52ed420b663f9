package persist

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"

	"go.etcd.io/bbolt"
)

// create makes the journal under a name of its own and gives it the real one
// when it is whole and on the disk: bbolt cannot open what a power cut left of a
// file that it was making. The log has its name before.
func (s *opening) create(state HistoryState) (*Journal, error) {
	s.found.Fresh = true
	id, err := newLogID()
	if err != nil {
		return nil, err
	}
	temporary := s.path + suffixNew
	steps := []struct {
		edge string
		do   func() error
	}{
		{"create", func() error { return s.write(temporary, id, state) }},
		{"reserve", func() error { return s.reserve(temporary) }},
		{"make log", func() error { return s.makeLog(id) }},
		{"rename", func() error { return os.Rename(temporary, s.path) }},
		{"sync directory", func() error { return syncDir(s.path) }},
	}
	for _, step := range steps {
		if err := s.at("before " + step.edge); err != nil {
			return nil, err
		}
		if err := step.do(); err != nil {
			return nil, classify(step.edge, s.path, err)
		}
	}
	if err := s.at("created"); err != nil {
		return nil, err
	}
	return s.load()
}

// write makes a whole, empty journal at path.
func (s *opening) write(path string, log [logIDSize]byte, state HistoryState) error {
	db, err := s.bolt(path, os.OpenFile)
	if err != nil {
		return err
	}
	var tag [3]byte
	if _, err := rand.Read(tag[:]); err != nil {
		return errors.Join(err, db.Close())
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, t := range tables() {
			if _, err := tx.CreateBucket([]byte(t)); err != nil {
				return err
			}
		}
		w := &writer{tx: tx}
		w.counters.clean = true
		w.history = History{State: state, Since: s.now}
		if err := w.putSchema(log); err != nil {
			return err
		}
		id := identity{s.id, hex.EncodeToString(tag[:])}
		if err := w.put(tableJournal, []byte(keyIdentity), encodeIdentity(id)); err != nil {
			return err
		}
		return w.finish()
	})
	return errors.Join(err, db.Close())
}

func newLogID() (id [logIDSize]byte, err error) {
	_, err = rand.Read(id[:])
	return id, err
}

// putSchema makes the journal one of this schema, with that log.
func (w *writer) putSchema(log [logIDSize]byte) error {
	w.schema, w.logID = schema, log
	if err := w.put(tableJournal, []byte(keySchema), binary.AppendUvarint(nil, schema)); err != nil {
		return err
	}
	return w.put(tableJournal, []byte(keyLog), w.logID[:])
}

func (s *opening) makeLog(id [logIDSize]byte) error {
	pages := s.o.LogPages
	if pages == 0 {
		pages = logPages
	}
	return makeLog(s.path, id, max(pages, 0))
}

func (s *opening) reserve(path string) error {
	size := int64(reserved)
	if s.o.Volatile {
		size = 0
	}
	return reserveAndSync(path, size)
}
