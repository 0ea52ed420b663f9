package agent

import (
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/board"
	"actuatord/hub/localhub"
	"actuatord/persist/persisttest"
)

// TestPowerLoss lets the power go at every operation that a run makes on its disk:
// no wire moves any more, no packet leaves, and of what was not flushed the disk
// keeps nothing, all, or some, torn and out of order. It comes back, the hub
// delivers again, and the promises are held against what hub and wiring have seen:
// over a session, in polls, and around a settle visit.
func TestPowerLoss(t *testing.T) {
	disk := persisttest.Start(t)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			stride := 1
			if testing.Short() {
				stride = 13
			}
			runs := 0
			for cut, whole := 0, false; !whole; cut += stride {
				for _, keep := range persisttest.Keeps(cut, 2) {
					synctest.Test(t, func(t *testing.T) {
						whole = powerLoss(t, disk.Volume(t), way, cut, keep)
					})
					if runs++; t.Failed() {
						return
					}
				}
				if whole {
					t.Logf("%d operations, each cut; %d runs", cut, runs)
				}
			}
		})
	}
}

// powerLoss is one run; whole reports that it had no operation to cut.
func powerLoss(t *testing.T, v *persisttest.Volume, way way, cut int, keep persisttest.Keep) (whole bool) {
	r := newRig(t, localhub.Options{DefaultTTL: 48 * time.Hour, LocksOutliveConnection: cut%2 == 1})
	r.disk = v
	r.known(t)
	way.prepare(r)
	v.CutAt(v.Ops() + cut)
	p := r.start()
	settle(way.until)
	p.cancel()
	<-p.ended
	r.pull()
	p.bury()
	whole = !v.Gone()
	dir := t.TempDir()
	v.Image(t, dir, keep)
	r.image = dir
	again := r.start()
	settle(way.recovery)
	again.stop()
	r.check(t, fmt.Sprintf("cut %d, %v", cut, keep), whole)
	way.ended(t, r)
	if t.Failed() {
		t.Log(r.dump())
	}
	return whole
}

// TestFailingDisk fails each operation of a run, and nothing else, with EIO and then
// ENOSPC. Of a commit that failed nobody knows whether it is there, so the process
// ends with its outputs safe; the next one reads what is, and the promises hold.
func TestFailingDisk(t *testing.T) {
	disk := persisttest.Start(t)
	stride := 1
	if testing.Short() {
		stride = 5
	}
	ended := 0
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for at, whole := 0, false; !whole; at += stride {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, localhub.Options{DefaultTTL: 48 * time.Hour})
				r.disk = disk.Volume(t)
				r.known(t)
				ways[0].prepare(r)
				n := r.disk.Ops() + at
				r.disk.FailAt(n, errno)
				p := r.start()
				settle(ways[0].until)
				whole = r.disk.Ops() <= n
				p.cancel()
				if <-p.ended != nil {
					ended++
				}
				for target, level := range p.board.Levels() {
					if level != board.Off {
						t.Errorf("operation %d, %v: %s is %v behind the end", at, errno, target, level)
					}
				}
				p.bury()
				again := r.start()
				settle(ways[0].recovery)
				again.stop()
				r.check(t, fmt.Sprintf("operation %d, %v", at, errno), whole)
				if t.Failed() {
					t.Log(r.dump())
				}
			})
			if t.Failed() {
				return
			}
		}
	}
	if ended == 0 {
		t.Error("no process ended for a commit that failed")
	}
}
