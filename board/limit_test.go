package board_test

import (
	"strings"
	"testing"
	"time"

	"actuatord/board"
	"actuatord/board/sim"
)

// valves is an interlock group of two, and one that is safe on beside another.
func valves() board.Profile {
	return board.Profile{Outputs: []board.Output{
		{Name: "brake", Line: "L0", SafeOn: true, Interlock: "drive"},
		{Name: "valve-1", Line: "L1", Interlock: "water"},
		{Name: "valve-2", Line: "L2", Interlock: "water"},
		{Name: "motor", Line: "L3", Interlock: "drive"},
	}}
}

func TestInterlockAllowsOneOn(t *testing.T) {
	bubble(t, valves(), nil, func(r *rig) {
		r.must(on("valve-1", 0))
		res := r.do(on("valve-2", 0))
		wantRefused(t, res, board.Interlocked)
		if res.Detail != "valve-1 is on" {
			t.Errorf("detail %q", res.Detail)
		}
		wantRefused(t, r.do(pulse("valve-2", time.Second)), board.Interlocked)
		r.level("valve-1", "L1", board.On) // never swapped
		r.level("valve-2", "L2", board.Off)
		r.must(off("valve-1"))
		r.must(on("valve-2", 0))
	})
}

func TestInterlockCountsUnknownAsOn(t *testing.T) {
	broken := func(d *sim.Driver) { d.FailRequests("L1", 3, errIO) }
	bubble(t, valves(), broken, func(r *rig) {
		r.level("valve-1", "L1", board.Unknown)
		res := r.do(on("valve-2", 0))
		wantRefused(t, res, board.Interlocked)
		if !strings.Contains(res.Detail, "unknown") || !strings.Contains(res.Detail, "valve-1") {
			t.Errorf("detail %q", res.Detail)
		}
		r.sleep(3 * time.Second)
		r.must(on("valve-2", 0))
	})
}

// TestInterlockMakesWayForASafeOnOutput: the way to the safe level is never
// refused, so where that level is on the others give way, before it moves.
func TestInterlockMakesWayForASafeOnOutput(t *testing.T) {
	loosen := board.Op{Kind: board.Set, Target: "brake", For: time.Second, Cause: "m-loose"}
	bubble(t, valves(), nil, func(r *rig) {
		wantRefused(t, r.do(on("motor", 0)), board.Interlocked)
		r.must(loosen)
		r.must(on("motor", 0))
		r.sleep(time.Second)
		r.level("brake", "L0", board.On)
		r.level("motor", "L3", board.Off)
		walk := r.walk()
		if n := len(walk); walk[n-2] != "motor off interlock" || walk[n-1] != "brake on lease" {
			t.Errorf("trace ends %q; want the motor off before the brake is on", walk[n-2:])
		}
		if c := r.change(); c.Target != "motor" || c.Cause != board.CauseInterlock || c.By != "m-on" {
			t.Errorf("first change %+v", c)
		}
		if c := r.change(); c.Target != "brake" || c.Cause != board.CauseLease {
			t.Errorf("second change %+v", c)
		}
		r.must(loosen)
		done := r.begin(pulse("motor", 500*time.Millisecond))
		r.must(on("brake", 0))
		if res := <-done; res.Cut != board.CauseInterlock || res.Level != board.Off {
			t.Errorf("the pulse that gave way: %+v", res)
		}
	})
}

// TestInterlockAtStart: of a group with one member safe on, that one is driven
// last, whatever the order in the profile.
func TestInterlockAtStart(t *testing.T) {
	bubble(t, valves(), nil, func(r *rig) {
		walk := r.walk()
		if len(walk) != 4 || walk[3] != "brake on safe" {
			t.Errorf("trace %q; want the brake last", walk)
		}
	})
}

func TestMinOff(t *testing.T) {
	bubble(t, pump(minOff(30*time.Second)), nil, func(r *rig) {
		wantRefused(t, r.do(on("pump", 0)), board.MinOff) // it runs from start
		r.sleep(30*time.Second - 1)
		wantRefused(t, r.do(pulse("pump", time.Second)), board.MinOff)
		r.sleep(1)
		r.must(on("pump", 0))
		r.must(on("pump", 0)) // it is no edge
		r.must(off("pump"))   // nor is it in the way of off
		r.sleep(20 * time.Second)
		r.must(off("pump")) // and an off while it is off starts nothing anew
		wantRefused(t, r.do(on("pump", 0)), board.MinOff)
		r.sleep(10 * time.Second)
		r.must(on("pump", 0))
	})
}

// TestMinOffAfterATrip: a line that may have moved has to rest.
func TestMinOffAfterATrip(t *testing.T) {
	bubble(t, pump(minOff(30*time.Second)), nil, func(r *rig) {
		r.sleep(time.Minute)
		r.d.FailOuts("GPIO17", 1, errIO, false)
		wantErr(t, r.do(on("pump", 0)), errIO)
		wantRefused(t, r.do(on("pump", 0)), board.MinOff)
		r.sleep(30 * time.Second)
		r.must(on("pump", 0))
	})
}

// TestSafeIsNeverRefused: by no limit, interlock, unknown level or deadline.
func TestSafeIsNeverRefused(t *testing.T) {
	p := valves()
	for i := range p.Outputs {
		p.Outputs[i].MinOff = time.Hour
		p.Outputs[i].MaxOn = time.Second
	}
	broken := func(d *sim.Driver) { d.FailRequests("L1", 1, errIO) }
	bubble(t, p, broken, func(r *rig) {
		for _, op := range []board.Op{
			{Kind: board.Set, Target: "valve-1"},
			{Kind: board.Set, Target: "brake", On: true, For: time.Hour, Deadline: r.start},
			{Kind: board.Set, Target: "motor", Deadline: r.start},
			{Kind: board.Safe, Target: "valve-2"},
			{Kind: board.Safe},
			{Kind: board.Safe, Target: board.All, Deadline: r.start},
		} {
			if res := r.do(op); !res.OK() || !res.Attempted {
				t.Errorf("%+v: %+v; want it done", op, res)
			}
		}
		r.level("valve-1", "L1", board.Off)
	})
}

// TestRefusals: what is asked wrongly is refused with its reason and moves
// nothing.
func TestRefusals(t *testing.T) {
	p := pump(maxOn(time.Minute))
	p.Registers = []board.Register{{Name: "dac", Bus: "1", Address: 0x60, Registers: []byte{0x40}}}
	late := on("pump", 0)
	late.Deadline = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // a bubble's first instant
	lateWrite := write("dac", 0x40, 1)
	lateWrite.Deadline = late.Deadline
	for _, c := range []struct {
		name string
		op   board.Op
		want board.Reason
	}{
		{"unknown target", on("pumps", 0), board.UnknownTarget},
		{"safe of an unknown target", board.Op{Kind: board.Safe, Target: "pumps"}, board.UnknownTarget},
		{"set of all", on(board.All, 0), board.UnknownTarget},
		{"write to an output", write("pump", 0x40, 1), board.UnknownAction},
		{"set of a register", on("dac", 0), board.UnknownAction},
		{"safe of a register without safe bytes", board.Op{Kind: board.Safe, Target: "dac"}, board.UnknownAction},
		{"no kind", board.Op{Target: "pump"}, board.UnknownAction},
		{"a kind that is none", board.Op{Kind: 99, Target: "pump"}, board.UnknownAction},
		{"on beyond max_on", on("pump", time.Minute+1), board.OverMaxOn},
		{"pulse beyond max_on", pulse("pump", time.Minute+1), board.OverMaxOn},
		{"pulse of no length", pulse("pump", 0), board.OutOfRange},
		{"negative time", on("pump", -1), board.OutOfRange},
		{"late", late, board.Expired},
		{"late write", lateWrite, board.Expired},
		{"register off the list", write("dac", 0x41, 1), board.NotAllowed},
		{"no bytes", write("dac", 0x40), board.OutOfRange},
		{"too many bytes", write("dac", 0x40, make([]byte, board.MaxWrite+1)...), board.OutOfRange},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, p, nil, func(r *rig) {
				wantRefused(t, r.do(c.op), c.want)
				if got := r.walk(); len(got) != 1 {
					t.Errorf("trace %q; want the safe level of the start alone", got)
				}
			})
		})
	}
}
