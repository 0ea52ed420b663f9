package persist

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"actuatord/agent/command"
	"actuatord/persist/persisttest"
)

// script is a life of a journal: each step is a commit that must be there whole, or
// not at all.
func script() []func(b *Batch) {
	var steps []func(b *Batch)
	for n := range 6 {
		steps = append(steps,
			func(b *Batch) { b.Start(record(10*n+1, command.Started)) },
			func(b *Batch) {
				r := record(10*n+1, command.Done)
				b.Conclude(r, report(command.Done, r.MessageID))
				b.OpenLease(command.Lease{Output: "pump", Key: r.Key})
			},
			func(b *Batch) {
				for i := range 4 {
					r := record(10*n+2+i, command.Refused)
					b.Conclude(r, report(command.Refused, r.MessageID))
				}
				b.CloseLease("pump")
				b.Confirm(uint64(n))
			},
			func(b *Batch) {
				f := LinkFacts{Connect: ConnectAnswered, FirstDrains: uint8(n), LastPoll: start}
				b.Link(f)
				b.History(History{State: HistoryClear, Since: start, Dated: true})
			},
		)
	}
	return steps
}

// life runs the script on the journal in dir, with a log that is soon full, until
// something fails, and answers
// what it told after each commit that was acknowledged; the first is of the opening.
func life(t *testing.T, dir string) (told []string) {
	t.Helper()
	j, _, err := Open(t.Context(), filepath.Join(dir, "journal.db"), pump, start, Options{Volatile: true, LogPages: 5})
	if err != nil {
		return nil
	}
	defer j.Close()
	told = append(told, picture(t, j))
	for _, step := range script() {
		var b Batch
		step(&b)
		if err := j.Commit(&b); err != nil {
			return told
		}
		told = append(told, picture(t, j))
	}
	return told
}

// TestPowerLoss lets the power go at every operation of a journal's life, its making
// included, and looks at what the disk may hold then: what was acknowledged is
// there, and besides it the commit under way or nothing.
func TestPowerLoss(t *testing.T) {
	disk := persisttest.Start(t)
	whole := disk.Volume(t)
	told := life(t, whole.Dir())
	if len(told) != len(script())+1 {
		t.Fatalf("%d commits of %d on a disk without faults", len(told), len(script())+1)
	}
	stride := 1
	if testing.Short() {
		stride = 11
	}
	images := 0
	for cut := 0; cut < whole.Ops(); cut += stride {
		v := disk.Volume(t)
		v.CutAt(cut)
		acked := life(t, v.Dir())
		if !v.Gone() {
			t.Fatalf("cut %d: the power did not go", cut)
		}
		for _, keep := range persisttest.Keeps(cut, 4) {
			images++
			dir := t.TempDir()
			v.Image(t, dir, keep)
			if err := right(t, dir, told, len(acked)); err != nil {
				t.Fatalf("cut %d, %v: %v", cut, keep, err)
			}
		}
	}
	t.Logf("%d operations, each cut; %d images", whole.Ops(), images)
}

// right holds what is found in dir after a cut against what was acknowledged.
func right(t *testing.T, dir string, told []string, acked int) error {
	t.Helper()
	path := filepath.Join(dir, "journal.db")
	if _, err := os.Stat(path); err != nil && acked == 0 {
		return nil // it was being made
	}
	found := "unreadable"
	j, err := ReadOnly(path)
	if err == nil {
		found = picture(t, j)
		j.Close()
	}
	switch {
	case acked > 0 && found == told[acked-1], acked < len(told) && found == told[acked]:
		return nil
	}
	return fmt.Errorf("%d commits were acknowledged, and the disk tells neither the last nor the next (%v): %.300s", acked, err, found)
}

// TestPowerLossOnALyingDisk: the same sweep finds a disk that does not flush, or it
// would find nothing.
func TestPowerLossOnALyingDisk(t *testing.T) {
	disk := persisttest.Start(t)
	told := life(t, disk.Volume(t).Dir())
	caught := 0
	for cut := 20; cut < 200; cut += 13 {
		v := disk.Volume(t)
		v.Lie()
		v.CutAt(cut)
		acked := life(t, v.Dir())
		for _, keep := range persisttest.Keeps(cut, 2) {
			dir := t.TempDir()
			v.Image(t, dir, keep)
			if right(t, dir, told, len(acked)) != nil {
				caught++
			}
		}
	}
	if caught < 10 {
		t.Errorf("%d images of a disk that lies were found wrong", caught)
	}
}

// TestFailingOperations fails each operation of a journal's life, and nothing else,
// with each error that a disk has: the commit says so, no later one is taken, and
// what the disk tells is the last acknowledged commit or the one that failed.
func TestFailingOperations(t *testing.T) {
	disk := persisttest.Start(t)
	whole := disk.Volume(t)
	told := life(t, whole.Dir())
	stride := 1
	if testing.Short() {
		stride = 11
	}
	for at := 0; at < whole.Ops(); at += stride {
		for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
			v := disk.Volume(t)
			v.FailAt(at, errno)
			acked := life(t, v.Dir())
			if len(acked) == len(told) {
				continue // an operation that nothing hangs on, such as one of closing
			}
			dir := t.TempDir()
			v.Image(t, dir, persisttest.Keep{What: "all"})
			if err := right(t, dir, told, len(acked)); err != nil {
				t.Fatalf("operation %d failed with %v: %v", at, errno, err)
			}
		}
	}
}
