package persist

import (
	"encoding/binary"
	"fmt"

	"actuatord/agent/command"
)

// outboxLimit is how many reports wait for a link (design §6). A report is some
// 400 bytes, 2.5 KiB at most: 4 MiB, 25 at worst, of the file's 64.
const outboxLimit = 10_000

// putReport gives rep its seq and makes room for it if it must.
func (w *writer) putReport(rep command.Report) error {
	for w.counters.outbox >= w.outboxLimit {
		if err := w.evict(); err != nil {
			return err
		}
	}
	w.counters.seq++
	w.counters.outbox++
	rep.Seq = w.counters.seq
	rep.ReportID = fmt.Sprintf("%s-%d", w.id.tag, rep.Seq)
	payload, err := encodeReport(rep)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	return w.put(tableOutbox, sequence(rep.Seq), payload)
}

// evict throws out the oldest report of a done command, or the oldest of all if
// there is none: what was done can be asked again, what went wrong cannot.
func (w *writer) evict() error {
	key, err := w.oldestDone()
	if err != nil {
		return err
	}
	if key == nil {
		b, err := bucket(w.tx, tableOutbox)
		if err != nil {
			return err
		}
		if key, _ = b.Cursor().First(); key == nil {
			return badContent("outbox counts %d reports and has none", w.counters.outbox)
		}
	}
	if len(key) != 8 {
		return badContent("report under %x", key)
	}
	_, err = w.takeOut(binary.BigEndian.Uint64(key))
	w.counters.lost++
	return err
}

// takeOut removes a report, and says whether there was one.
func (w *writer) takeOut(seq uint64) (found bool, err error) {
	if found, err = w.delete(tableOutbox, sequence(seq)); found {
		w.counters.outbox--
	}
	return found, err
}

// oldestDone goes on where the last search ended, so that an outbox full of
// refusals is walked once and not at every report.
func (w *writer) oldestDone() ([]byte, error) {
	b, err := bucket(w.tx, tableOutbox)
	if err != nil {
		return nil, err
	}
	c := b.Cursor()
	for k, v := c.Seek(sequence(w.doneFrom)); k != nil; k, v = c.Next() {
		payload, err := unseal(tableOutbox, k, v)
		if err != nil {
			return nil, err
		}
		if len(payload) < 2 || len(k) != 8 {
			return nil, badContent("report %x is %d bytes", k, len(payload))
		}
		w.doneFrom = binary.BigEndian.Uint64(k)
		if payload[1] != 0 {
			return k, nil
		}
	}
	w.doneFrom = w.counters.seq + 1
	return nil, nil
}
