package persist

import (
	"errors"
	"path/filepath"
	"testing"

	"actuatord/agent/command"
)

// TestCostOfACommand counts transactions and bytes: a once-only command takes two
// commits, a repeatable one one, each a page of the log. Without a log it is bbolt's
// pages, and no more of them in an old journal than the height of its trees.
func TestCostOfACommand(t *testing.T) {
	for name, c := range map[string]struct{ log, least, most uint64 }{
		"log": {0, 2, 2},
		// Leaf and branch of commands, order and outbox, the root, the freelist, the
		// meta page, for each commit; 24 leaves room for a split.
		"no log": {1, 8, 24},
	} {
		t.Run(name, func(t *testing.T) {
			j := crowd(t, 3000, Options{LogPages: -int(c.log)}, nil)
			commit(t, j, func(b *Batch) {
				for n := range 500 {
					b.Report(report(command.Refused, record(n, command.Refused).MessageID))
				}
			})
			if err := j.fold("begin the log", func(*writer) error { return nil }); err != nil {
				t.Fatal(err)
			}
			before := j.Stats()
			r := record(10_000, command.Started)
			commit(t, j, func(b *Batch) { b.Start(r) })
			r.State = command.Done
			commit(t, j, func(b *Batch) {
				b.Conclude(r, report(command.Done, "1"))
				b.Acted("pump", command.Newest{Key: r.Key, Arrival: r.Arrival})
				b.OpenLease(command.Lease{Output: "pump", Key: r.Key, Since: start})
			})
			s := j.Stats()
			same(t, "commits of a once-only command", s.Commits-before.Commits, 2)
			if pages := (s.Written - before.Written) / pageSize; pages < c.least || pages > c.most {
				t.Errorf("a once-only command writes %d pages", pages)
			}
			commit(t, j, func(b *Batch) {})
			same(t, "commits after an empty batch", j.Stats().Commits, s.Commits)
			if err := j.Probe(start); err != nil {
				t.Fatal(err)
			}
			same(t, "commits after a probe", j.Stats().Commits, s.Commits+2)
		})
	}
}

// TestProbeCutOff: a power cut at any edge of a probe leaves a journal that is
// sound, and that takes the next probe.
func TestProbeCutOff(t *testing.T) {
	for cut := 0; ; cut++ {
		j, _ := newJournal(t)
		passed := 0
		j.edge = func(string) error {
			if passed++; passed-1 == cut {
				return errors.New("power lost")
			}
			return nil
		}
		err := j.Probe(start)
		j = reopen(t, j)
		if err := errors.Join(j.Probe(start), j.Close(), CheckFile(j.path)); err != nil {
			t.Errorf("cut %d: %v", cut, err)
		}
		if err == nil {
			same(t, "edges of a probe", passed, 4)
			return
		}
	}
}

// BenchmarkCommit is one outcome with its report, in a journal of some age.
// B/commit is what is handed to the disk.
func BenchmarkCommit(b *testing.B) {
	j, _ := openAt(b, filepath.Join(b.TempDir(), "journal.db"), Options{})
	var crowd Batch
	for n := range 2000 {
		crowd.Conclude(record(n+1, command.Done), report(command.Done, "x"))
		crowd.Confirm(uint64(n))
	}
	if err := j.Commit(&crowd); err != nil {
		b.Fatal(err)
	}
	before := j.Stats().Written
	n := 2000
	for b.Loop() {
		n++
		var batch Batch
		batch.Conclude(record(n, command.Done), report(command.Done, "x"))
		batch.Confirm(uint64(n - 1))
		if err := j.Commit(&batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(j.Stats().Written-before)/float64(b.N), "B/commit")
}

// BenchmarkCheckFile is the price of a start, without the child: 5 000 commands.
func BenchmarkCheckFile(b *testing.B) {
	j, path := newJournal(b)
	var crowd Batch
	for n := range 5000 {
		crowd.Conclude(record(n+1, command.Done), report(command.Done, "x"))
	}
	if err := j.Commit(&crowd); err != nil {
		b.Fatal(err)
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := CheckFile(path); err != nil {
			b.Fatal(err)
		}
	}
}
