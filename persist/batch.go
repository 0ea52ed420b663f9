package persist

import (
	"fmt"
	"slices"
	"time"

	"actuatord/agent/command"
)

// A Batch gathers changes that become durable together, or not at all. The zero
// Batch is empty and ready. Its methods copy what they are given.
type Batch struct {
	ops   []func(*writer) error
	clean bool
	err   error // the first change that no agent should make
}

func (b *Batch) add(op func(*writer) error) { b.ops = append(b.ops, op) }

func (b *Batch) refuse(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: %s", ErrBatch, fmt.Sprintf(format, args...))
	}
}

// Empty reports whether a Commit of b would write nothing.
func (b *Batch) Empty() bool { return b.Len() == 0 && b.err == nil }

// Len is the number of changes in b.
func (b *Batch) Len() int {
	if b.clean {
		return len(b.ops) + 1
	}
	return len(b.ops)
}

// Start writes r in state Started: before the first edge of a once-only command,
// and with one more interruption at a start that found it Started.
func (b *Batch) Start(r command.Record) {
	if r.State != command.Started {
		b.refuse("start %s in state %v", r.Key, r.State)
	}
	b.record(r)
}

// Conclude writes a command's outcome, and the report of it, which gets its Seq
// and ReportID at the commit. They cannot be written apart.
func (b *Batch) Conclude(r command.Record, rep command.Report) {
	if !r.State.Final() {
		b.refuse("conclude %s in state %v", r.Key, r.State)
	}
	b.record(r)
	b.Report(rep)
}

func (b *Batch) record(r command.Record) {
	if r.Key == "" {
		b.refuse("a command without a key")
	}
	key := index(r.Key)
	r.Touches = slices.Clone(r.Touches)
	b.add(func(w *writer) error { return w.putRecord(key, r) })
}

// Seen notes that k was delivered again: its record is kept from then on. A zero
// at says that the clock was not trusted: the next Prune dates it. A record that
// is gone stays gone.
func (b *Batch) Seen(k command.Key, at time.Time) {
	key := index(k)
	b.add(func(w *writer) error {
		r, found, err := lookup(w.tx, key)
		if err != nil || !found {
			return err
		}
		if at.IsZero() || at.After(r.LastSeen) {
			r.LastSeen = at
		}
		return w.putRecord(key, r)
	})
}

// Acted notes that the command n acted on target: it is the last that did. Of the
// arrivals and of the sender's times the later is kept.
func (b *Batch) Acted(target string, n command.Newest) {
	if target == "" || len(target) > maxText {
		b.refuse("acted on target %q", clip(target))
	}
	b.add(func(w *writer) error {
		old, err := newest(w.tx, target)
		if err != nil {
			return err
		}
		n.Arrival = max(n.Arrival, old.Arrival)
		// Numbers given out go on from here after a restart, so that nothing new
		// is older than what has acted.
		w.counters.arrival = max(w.counters.arrival, n.Arrival)
		if old.Sent.After(n.Sent) {
			n.Sent = old.Sent
		}
		return w.put(tableNewest, []byte(target), encodeNewest(n))
	})
}

// OpenLease notes that a done command left l.Output away from its safe level. It
// replaces the output's earlier lease.
func (b *Batch) OpenLease(l command.Lease) {
	if l.Output == "" || len(l.Output) > maxText {
		b.refuse("lease of output %q", clip(l.Output))
	}
	b.add(func(w *writer) error { return w.put(tableLeases, []byte(l.Output), encodeLease(l)) })
}

// CloseLease notes that output is at its safe level again. None open: nothing.
func (b *Batch) CloseLease(output string) {
	b.add(func(w *writer) error {
		_, err := w.delete(tableLeases, []byte(output))
		return err
	})
}

// Report puts rep into the outbox under the next seq. If the outbox is full, an
// older report is lost for it: see outboxLimit.
func (b *Batch) Report(rep command.Report) {
	rep = bounded(rep)
	b.add(func(w *writer) error { return w.putReport(rep) })
}

// Confirm removes the report seq: the hub has it. One that is gone: nothing.
func (b *Batch) Confirm(seq uint64) {
	b.add(func(w *writer) error {
		_, err := w.takeOut(seq)
		return err
	})
}

// Lose removes the report seq, which no hub would take, and counts it as lost:
// its reader sees the gap. One that is gone: nothing.
func (b *Batch) Lose(seq uint64) {
	b.add(func(w *writer) error {
		found, err := w.takeOut(seq)
		if found {
			w.counters.lost++
		}
		return err
	})
}

// Link replaces the link facts.
func (b *Batch) Link(f LinkFacts) {
	b.add(func(w *writer) error { w.link = f; return nil })
}

// History replaces the history.
func (b *Batch) History(h History) {
	if h.State < HistoryClear || h.State > HistoryLost {
		b.refuse("history in state %d", h.State)
	}
	b.add(func(w *writer) error { w.history = h; return nil })
}

// Clean marks a clean stop. It belongs in the last commit of a run: any later one
// takes the mark away again.
func (b *Batch) Clean() { b.clean = true }

// Commit makes b durable: one transaction, all of it or nothing. It empties b. An
// empty b costs nothing. After any error it is unknown what the disk holds, and
// the journal answers every later call with that error. A clean stop leaves the log
// empty.
func (j *Journal) Commit(b *Batch) error {
	if b.Empty() {
		return j.dead
	}
	if b.err != nil {
		return b.err
	}
	err := j.commitTo("commit", func(w *writer) error {
		for _, op := range b.ops {
			if err := op(w); err != nil {
				return err
			}
		}
		w.counters.clean = b.clean
		return nil
	}, b.clean)
	if err == nil {
		*b = Batch{}
	}
	return err
}

// putRecord keeps the three tables of commands in step.
func (w *writer) putRecord(key []byte, r command.Record) error {
	old, found, err := lookup(w.tx, key)
	if err != nil {
		return err
	}
	if found && old.Arrival != r.Arrival {
		if _, err := w.delete(tableOrder, orderKey(old.Arrival, key)); err != nil {
			return err
		}
	}
	if !found {
		w.counters.commands++
	}
	w.counters.arrival = max(w.counters.arrival, r.Arrival)
	if err := w.put(tableOrder, orderKey(r.Arrival, key), nil); err != nil {
		return err
	}
	if r.State == command.Started {
		err = w.put(tableStarted, key, nil)
	} else {
		_, err = w.delete(tableStarted, key)
	}
	if err != nil {
		return err
	}
	return w.put(tableCommands, key, encodeRecord(r))
}

func indexOf(orderKey []byte) []byte { return orderKey[min(8, len(orderKey)):] }

// byArrival orders records. sort.Sort is in the program anyway; slices.SortFunc would
// be compiled once more for this type alone, which is 19 KB as large as it is.
type byArrival []command.Record

func (r byArrival) Len() int           { return len(r) }
func (r byArrival) Less(i, j int) bool { return r[i].Arrival < r[j].Arrival }
func (r byArrival) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
