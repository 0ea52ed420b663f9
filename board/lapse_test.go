package board_test

import (
	"syscall"
	"testing"
	"time"

	"actuatord/board"
)

// since is op as somebody asks for it who was told to at that time.
func since(op board.Op, at time.Time) board.Op {
	op.Asked = at
	return op
}

// TestAPermitThatLapsed: what was asked for before the loss of a permit is not done
// behind it, though the output was at its safe level then; that takes a new command.
func TestAPermitThatLapsed(t *testing.T) {
	bubble(t, permitted(), granted, func(r *rig) {
		r.sleep(time.Minute)
		before := time.Now()
		r.sleep(time.Millisecond)
		r.d.Drive("GPIO5", false)
		r.d.Drive("GPIO5", true)
		r.sleep(time.Millisecond)
		res := r.do(since(on("pump", 0), before))
		wantRefused(t, res, board.NotPermitted)
		if res.Detail != "float-ok was not active, or could not be read, since this was asked for; it takes a new command" {
			t.Errorf("detail %q", res.Detail)
		}
		r.must(since(on("fan", 0), before)) // which asks another input
		r.must(since(off("pump"), before))
		r.must(since(on("pump", 0), time.Now()))
	})
}

// TestAPermitThatCouldNotBeRead has lapsed too.
func TestAPermitThatCouldNotBeRead(t *testing.T) {
	bubble(t, permitted(), granted, func(r *rig) {
		before := time.Now()
		r.sleep(100 * time.Millisecond)
		r.d.EndEdges("GPIO6", syscall.EIO)
		r.sleep(3 * time.Second)
		r.input("e-stop", board.Active)
		for _, op := range []board.Op{on("pump", 0), pulse("fan", time.Second), off("brake")} {
			wantRefused(t, r.do(since(op, before)), board.NotPermitted)
		}
		r.must(since(pulse("fan", time.Second), time.Now()))
	})
}
