package persist

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	berrors "go.etcd.io/bbolt/errors"

	"actuatord/agent/command"
)

var errPowerLost = errors.New("power lost")

// picture is everything a journal tells, for comparison as a whole.
func picture(t testing.TB, j *Journal) string {
	t.Helper()
	records, err1 := j.Recent(1 << 20)
	unfinished, err2 := j.Unfinished()
	leases, err3 := j.Leases()
	newestPump, err4 := j.Newest("pump")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	c := j.counters
	c.boot, c.clean, c.sum, c.entry = 0, false, 0, 0
	text := fmt.Sprintf("%+v\n%+v\n%+v\n%+v\n%+v\n%+v\n%+v\n%+v", records, unfinished, leases, newestPump, outbox(t, j), j.link, j.history, c)
	return strings.ReplaceAll(text, j.id.tag+"-", "tag-")
}

// steps is a short life: each batch is one durable edge of it.
func steps() []func(b *Batch) {
	return []func(b *Batch){
		func(b *Batch) { b.Link(LinkFacts{Connect: ConnectIntended}) },
		func(b *Batch) {
			b.Link(LinkFacts{Connect: ConnectAnswered, LastSuback: start})
			b.History(History{State: HistoryClear, Since: start})
		},
		func(b *Batch) { b.Start(record(1, command.Started)) },
		func(b *Batch) {
			b.Conclude(record(1, command.Done), report(command.Done, "1"))
			b.Acted("pump", command.Newest{Key: "m:1", Arrival: 1, Sent: start})
			b.OpenLease(command.Lease{Output: "pump", Key: "m:1", Since: start})
		},
		func(b *Batch) {
			b.Conclude(record(2, command.Refused), report(command.Refused, "2"))
			b.Conclude(record(3, command.Done), report(command.Done, "3"))
			b.CloseLease("pump")
		},
		func(b *Batch) { b.Confirm(1); b.Seen("m:1", start.AddDate(0, 0, 1)) },
		func(b *Batch) { b.Clean() },
	}
}

// TestPowerLostAtEveryEdge cuts the power before and after the first commit, then
// the second, and so on, and asks of what the next start finds: it is what was
// there before that commit or what is there after it, and no call was answered in
// between.
func TestPowerLostAtEveryEdge(t *testing.T) {
	pictures := []string{}
	plain, _ := newJournal(t)
	pictures = append(pictures, picture(t, plain))
	for _, fill := range steps() {
		commit(t, plain, fill)
		pictures = append(pictures, picture(t, plain))
	}

	for cut := 0; ; cut++ {
		path := filepath.Join(t.TempDir(), "journal.db")
		j, _ := openAt(t, path, Options{})
		passed := []string{}
		j.edge = func(at string) error {
			if passed = append(passed, at); len(passed)-1 == cut {
				return errPowerLost
			}
			return nil
		}
		committed, err := live(j)
		if err == nil {
			if cut != 2*len(steps()) {
				t.Fatalf("%d edges for %d commits", cut, len(steps()))
			}
			return
		}
		at := passed[cut]
		if !errors.Is(err, errPowerLost) {
			t.Fatal(err)
		}
		if _, _, again := j.Lookup("m:1"); !errors.Is(again, errPowerLost) {
			t.Errorf("cut %d: a journal whose commit failed answers: %v", cut, again)
		}
		if j.counters.seq != uint64(reportsIn(committed)) {
			t.Errorf("cut %d: seq in memory is %d after %d answered commits", cut, j.counters.seq, committed)
		}
		j = reopen(t, j)
		want := pictures[committed]
		if at == "after commit" {
			want = pictures[committed+1]
		}
		if got := picture(t, j); got != want {
			t.Errorf("cut %d, %s:\n got %s\nwant %s", cut, at, got, want)
		}
	}
}

// live commits steps until one fails, and says how many did not.
func live(j *Journal) (committed int, err error) {
	for _, fill := range steps() {
		var b Batch
		fill(&b)
		if err := j.Commit(&b); err != nil {
			return committed, err
		}
		committed++
	}
	return committed, nil
}

// reportsIn is how many reports the first n of steps write.
func reportsIn(n int) int { return []int{0, 0, 0, 0, 1, 3, 3, 3}[n] }

// TestFullJournal fills the file to its limit: the commit that no longer fits
// leaves nothing behind, ends the journal, and the next start works with what
// there is and can make room.
func TestFullJournal(t *testing.T) {
	t.Run("all of it bbolt's", func(t *testing.T) { fullJournal(t, 3<<20, 500) })
	t.Run("the log first", func(t *testing.T) { fullJournal(t, foldRoom+2<<20, 20) })
}

// fullJournal fills a journal of so many bytes, so many commands at a time.
func fullJournal(t *testing.T, size, each int) {
	path := filepath.Join(t.TempDir(), "journal.db")
	o := Options{maxSize: size, outboxLimit: 1 << 20}
	j, _ := openAt(t, path, o)
	fitted, n := 0, 0
	var err error
	for err == nil {
		fitted = n
		n += each
		var b Batch
		for i := range each {
			r := record(n+i, command.Done)
			b.Conclude(r, report(command.Done, r.MessageID))
		}
		err = j.Commit(&b)
	}
	var storage *StorageError
	if !errors.Is(err, berrors.ErrMaxSizeReached) || !errors.As(err, &storage) {
		t.Fatalf("full: %v", err)
	}
	if _, _, err := j.Lookup(record(each, command.Done).Key); !errors.Is(err, berrors.ErrMaxSizeReached) {
		t.Errorf("after a failed commit: %v", err)
	}
	j.Close()
	if info, err := os.Stat(path); err != nil || info.Size() > int64(size) {
		t.Errorf("size %v, %v", info.Size(), err)
	}

	j, found := openAt(t, path, o)
	if found.Fresh {
		t.Fatal("a full journal was replaced")
	}
	if c := j.counters; c.commands != uint64(fitted) || c.outbox != uint64(fitted) || len(outbox(t, j)) != fitted {
		t.Errorf("a part of the commit that did not fit is there: %+v of %d", c, fitted)
	}
	commit(t, j, func(b *Batch) {
		for _, rep := range outbox(t, j) {
			b.Confirm(rep.Seq)
		}
	})
	later := record(1, command.Done).FirstSeen.AddDate(1, 0, 0)
	if forgotten, err := j.Prune(later, 200); err != nil || forgotten == 0 {
		t.Fatalf("prune: %d, %v", forgotten, err)
	}
	commit(t, j, func(b *Batch) { b.Conclude(record(1, command.Done), report(command.Done, "1")) })
}

func TestWrongBatches(t *testing.T) {
	long := string(make([]byte, maxText+1))
	for name, fill := range map[string]func(b *Batch){
		"start of an outcome":     func(b *Batch) { b.Start(record(1, command.Done)) },
		"conclusion of a start":   func(b *Batch) { b.Conclude(record(1, command.Started), report(command.Done, "1")) },
		"state out of range":      func(b *Batch) { b.Conclude(record(1, 9), report(command.Done, "1")) },
		"no key":                  func(b *Batch) { r := record(1, command.Done); r.Key = ""; b.Conclude(r, report(command.Done, "1")) },
		"no target":               func(b *Batch) { b.Acted("", command.Newest{}) },
		"a target of 301 bytes":   func(b *Batch) { b.Acted(long, command.Newest{}) },
		"no output":               func(b *Batch) { b.OpenLease(command.Lease{}) },
		"history of an odd state": func(b *Batch) { b.History(History{}) },
	} {
		t.Run(name, func(t *testing.T) {
			j, _ := newJournal(t)
			before := picture(t, j)
			var b Batch
			b.Report(report(command.Done, "first"))
			fill(&b)
			b.Report(report(command.Done, "last"))
			if err := j.Commit(&b); !errors.Is(err, ErrBatch) {
				t.Fatalf("commit: %v", err)
			}
			same(t, "journal after it", picture(t, j), before)
			commit(t, j, func(b *Batch) { b.Report(report(command.Done, "next")) })
		})
	}
}
