package persist

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"actuatord/agent/command"
)

// crowd is a journal with n done commands, a second apart from start on, and n
// times nothing in the outbox. change may alter each before it is written.
func crowd(t *testing.T, n int, o Options, change func(r *command.Record)) *Journal {
	t.Helper()
	j, _ := openAt(t, filepath.Join(t.TempDir(), "journal.db"), o)
	commit(t, j, func(b *Batch) {
		for i := range n {
			r := record(i+1, command.Done)
			r.LastSeen = r.FirstSeen
			if change != nil {
				change(&r)
			}
			b.record(r)
		}
	})
	return j
}

// pruneAll calls Prune until a whole round forgets nothing, in steps of limit.
func pruneAll(t *testing.T, j *Journal, now time.Time, limit int) (total int) {
	t.Helper()
	for idle := 0; idle < 200/limit+2; {
		n, err := j.Prune(now, limit)
		if err != nil {
			t.Fatal(err)
		}
		if n > limit {
			t.Fatalf("a step of %d forgot %d", limit, n)
		}
		if total += n; n == 0 {
			idle++
		}
	}
	return total
}

func TestRetention(t *testing.T) {
	const n = 1150 // 1 000 stay, whatever happens (design §5)
	for _, c := range []struct {
		name      string
		keep, age time.Duration // age: of the oldest, at the time of pruning
		forgotten int
	}{
		{"young", 0, DefaultKeep - time.Second, 0},
		{"the oldest 100 are old", 0, DefaultKeep + 100*time.Second, 100},
		{"all are old, and 1 000 stay", 0, 10 * DefaultKeep, 150},
		{"a leap of fifty years", 0, 50 * 365 * 24 * time.Hour, 150},
		{"kept shorter", 50 * time.Hour, 50*time.Hour + 7*time.Second, 7},
		{"never below two days", time.Hour, MinKeep - time.Second, 0},
		{"two days", time.Hour, MinKeep + 5*time.Second, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := crowd(t, n, Options{Keep: c.keep}, nil)
			first := record(1, command.Done).FirstSeen
			if got := pruneAll(t, j, first.Add(c.age), 50); got != c.forgotten {
				t.Errorf("forgot %d, want %d", got, c.forgotten)
			}
			j = reopen(t, j)
			same(t, "commands", j.Stats().Commands, uint64(n-c.forgotten))
			for i, want := range map[int]bool{1: c.forgotten == 0, c.forgotten: c.forgotten == 0, c.forgotten + 1: true, n: true} {
				if i == 0 {
					continue
				}
				if _, found, err := j.Lookup(record(i, command.Done).Key); found != want || err != nil {
					t.Errorf("command %d: found %v, %v", i, found, err)
				}
			}
		})
	}
}

func TestRetentionCountsFromLastSight(t *testing.T) {
	now := start.Add(DefaultKeep + time.Hour)
	special := map[uint64]func(r *command.Record){
		3:  func(r *command.Record) { r.LastSeen = now.Add(-time.Minute) }, // seen again
		5:  func(r *command.Record) { r.State = command.Started },          // not at its end
		7:  func(r *command.Record) { r.LastSeen = time.Time{} },           // seen by a clock that was not trusted
		9:  func(r *command.Record) { r.LastSeen = now.AddDate(9, 0, 0) },  // and by one that was ahead
		11: func(r *command.Record) { r.FirstSeen = now.AddDate(9, 0, 0) }, // only at first
	}
	j := crowd(t, keepNewest+20, Options{}, func(r *command.Record) {
		if change := special[r.Arrival]; change != nil {
			change(r)
		}
	})
	if got := pruneAll(t, j, now, 3); got != 16 {
		t.Errorf("forgot %d, want the 20 old ones but 4", got)
	}
	j = reopen(t, j)
	for arrival, lastSeen := range map[int]time.Time{3: now.Add(-time.Minute), 7: now, 9: now} {
		same(t, "last seen", lookUp(t, j, record(arrival, 0).Key).LastSeen, lastSeen)
	}
	unfinished, _ := j.Unfinished()
	same(t, "unfinished", len(unfinished), 1)
	// With time they go, too; the one that is started does not.
	if got := pruneAll(t, j, now.Add(DefaultKeep+time.Hour), 3); got != 3 {
		t.Errorf("a week later: forgot %d, want 3", got)
	}
	lookUp(t, j, "m:5")
}

// TestPruneWritesOnlyWork: a step that finds nothing costs no transaction.
func TestPruneWritesOnlyWork(t *testing.T) {
	j := crowd(t, keepNewest+10, Options{}, nil)
	before := j.Stats().Commits
	pruneAll(t, j, start.Add(time.Hour), 50)
	same(t, "commits", j.Stats().Commits, before)
}

// TestKeepUnderPressure: three quarters full, a record is kept two days.
func TestKeepUnderPressure(t *testing.T) {
	j := crowd(t, 1000, Options{Keep: 90 * time.Hour}, nil)
	s := j.Stats()
	for full, want := range map[float64]time.Duration{0.1: 90 * time.Hour, 0.74: 90 * time.Hour, 0.76: MinKeep, 1: MinKeep} {
		j.limit = int(float64(s.Size-s.Free) / full)
		same(t, "keep", j.keepNow(), want)
	}
}

// TestPruneCutOff: a cut forgets all of a step or none of it.
func TestPruneCutOff(t *testing.T) {
	for at, want := range map[string]uint64{"before commit": keepNewest + 20, "after commit": keepNewest + 10} {
		j := crowd(t, keepNewest+20, Options{}, nil)
		j.edge = func(edge string) error {
			if edge == at {
				return errPowerLost
			}
			return nil
		}
		if n, err := j.Prune(start.Add(2*DefaultKeep), 10); n != 0 || !errors.Is(err, errPowerLost) {
			t.Errorf("%s: %d, %v", at, n, err)
		}
		j = reopen(t, j)
		same(t, at, j.Stats().Commands, want)
	}
}

// TestPruneHidesNothing: what is left can be listed at once.
func TestPruneHidesNothing(t *testing.T) {
	j := crowd(t, keepNewest+600, Options{}, nil)
	commit(t, j, func(b *Batch) {
		for n := range 5 {
			b.Seen(record(n+1, command.Done).Key, start.Add(2*DefaultKeep))
		}
	})
	forgotten := pruneAll(t, j, start.Add(2*DefaultKeep), 305)
	left, err := j.Recent(10_000)
	if err != nil || len(left) != keepNewest+600-forgotten {
		t.Errorf("%d of %d are listed, %v", len(left), keepNewest+600-forgotten, err)
	}
}
