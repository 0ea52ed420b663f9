package board_test

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"actuatord/board"
	"actuatord/board/sim"
)

// dac is a verified register with safe bytes, and a plain one on the same bus.
func dac() board.Profile {
	return board.Profile{Registers: []board.Register{
		{Name: "dac", Bus: "1", Address: 0x60, Registers: []byte{0x40}, Verify: true, Safe: &board.SafeWrite{Register: 0x40, Bytes: []byte{0, 0}}},
		{Name: "led", Bus: "1", Address: 0x61},
		{Name: "far", Bus: "2", Address: 0x62},
	}}
}

func TestWrite(t *testing.T) {
	bubble(t, dac(), nil, func(r *rig) {
		b := []byte{0x0f, 0xff}
		op := write("dac", 0x40, b...)
		op.Token = 7
		done := make(chan board.Result, 1)
		r.b.Do(op, done)
		b[0] = 0xee // the board keeps no reference to it
		res := <-done
		if !res.OK() || !res.Attempted || !res.Changed || res.Level != board.Unknown || res.Op.Token != 7 {
			t.Errorf("%+v", res)
		}
		if got := r.d.Memory("1", 0x60, 0x40); !bytes.Equal(got, []byte{0x0f, 0xff}) {
			t.Errorf("the device holds %x", got)
		}
		if got := r.walk(); fmt.Sprint(got) != "[dac 40:0000 safe dac 40:0fff m-write]" {
			t.Errorf("trace %q", got)
		}
		if err := r.b.Close(); err != nil {
			t.Fatal(err)
		}
		if got := r.walk(); got[len(got)-1] != "dac 40:0000 stop" {
			t.Errorf("trace ends %q; want the safe bytes", got[len(got)-1])
		}
	})
}

// TestWriteFaults: each of them is an error with its reason code, after an
// attempt, and is worth another try or not.
func TestWriteFaults(t *testing.T) {
	for _, c := range []struct {
		name      string
		arrange   func(*sim.Driver)
		reason    string
		transient bool
	}{
		{"nack", func(d *sim.Driver) { d.FailTransfers("1", 1, syscall.ENXIO) }, "nack", true},
		{"nack, the other spelling", func(d *sim.Driver) { d.FailTransfers("1", 1, syscall.EREMOTEIO) }, "nack", true},
		{"adapter's timeout", func(d *sim.Driver) { d.FailTransfers("1", 1, syscall.ETIMEDOUT) }, "timeout", true},
		{"transfer failed", func(d *sim.Driver) { d.FailTransfers("1", 1, syscall.EIO) }, "io-error", true},
		{"no plain transfers", func(d *sim.Driver) { d.FailTransfers("1", 1, syscall.EOPNOTSUPP) }, "io-error", false},
		{"mismatch", func(d *sim.Driver) { d.FlipReads("1", 1) }, "mismatch", true},
		{"hangs", func(d *sim.Driver) { d.Hang("1") }, "timeout", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, dac(), nil, func(r *rig) {
				c.arrange(r.d)
				res := r.do(write("dac", 0x40, 1, 2))
				var bus *board.BusError
				if !errors.As(res.Err, &bus) || bus.Bus != "1" || bus.Address != 0x60 {
					t.Fatalf("%+v; want a *BusError of device 0x60", res)
				}
				if got := board.ReasonOf(res.Err); got != c.reason || res.Transient != c.transient || !res.Attempted || res.OK() {
					t.Errorf("reason %s, %+v; want %s, transient=%v", got, res, c.reason, c.transient)
				}
				if f := r.b.Faults(); len(f) != 1 || f[0].Target != "dac" {
					t.Errorf("faults %v; want the dac", f)
				}
			})
		})
	}
}

func TestFaultEndsWithTheNextWrite(t *testing.T) {
	bubble(t, dac(), nil, func(r *rig) {
		r.d.FailTransfers("1", 1, syscall.EIO)
		wantErr(t, r.do(write("led", 1, 1)), errIO)
		r.must(write("led", 1, 1))
		if f := r.b.Faults(); f != nil {
			t.Errorf("faults %v; want none", f)
		}
	})
}

// TestBusThatHangs: its writes are given up, others are refused until it comes
// back, and no other bus is concerned.
func TestBusThatHangs(t *testing.T) {
	bubble(t, dac(), nil, func(r *rig) {
		release := r.d.Hang("1")
		first, second := r.begin(write("led", 1, 1)), r.begin(write("led", 1, 2))
		r.must(write("far", 1, 1))
		r.sleep(time.Second - 1)
		if len(first)+len(second) != 0 {
			t.Fatal("answered too early")
		}
		r.sleep(1)
		if res := <-first; !res.Attempted || board.ReasonOf(res.Err) != "timeout" {
			t.Errorf("the one that hangs: %+v", res)
		}
		var bus *board.BusError
		if res := <-second; res.Attempted || !errors.As(res.Err, &bus) || bus.Fault != board.BusStuck || !res.Transient {
			t.Errorf("the one behind it: %+v; want it not attempted", res)
		}
		if res := r.do(write("led", 1, 3)); res.Attempted || res.Err == nil {
			t.Errorf("while it hangs: %+v; want it not attempted", res)
		}
		if res := r.b.Safe("local"); res.Err == nil || !res.Transient {
			t.Errorf("safe while it hangs: %+v; want the dac named", res)
		}
		release()
		r.sleep(time.Second) // and the safe bytes, owed by now, are written
		if got := r.walk(); got[len(got)-1] != "dac 40:0000 safe" {
			t.Errorf("trace ends %q", got[len(got)-1])
		}
		r.must(write("led", 1, 4))
		if r.log.String() == "" {
			t.Error("the late return went unlogged")
		}
	})
}

func TestSlowBusIsServedInOrder(t *testing.T) {
	bubble(t, dac(), nil, func(r *rig) {
		r.d.Slow("1", 600*time.Millisecond) // three take longer than one may
		late := write("led", 1, 9)
		late.Deadline = time.Now().Add(time.Second)
		var all []<-chan board.Result
		for i := range byte(3) {
			all = append(all, r.begin(write("led", 1, i)))
		}
		all = append(all, r.begin(late))
		for i, done := range all[:3] {
			if res := <-done; !res.OK() {
				t.Errorf("write %d: %+v", i, res)
			}
		}
		wantRefused(t, <-all[3], board.Expired) // judged when the bus was free
		walk := r.walk()
		if n := len(walk); fmt.Sprint(walk[n-3:]) != "[led 01:00 m-write led 01:01 m-write led 01:02 m-write]" {
			t.Errorf("trace %q", walk)
		}
	})
}

// TestSafeBytesAreOwed until they are written, or a command wrote others.
func TestSafeBytesAreOwed(t *testing.T) {
	absent := func(d *sim.Driver) { d.FailTransfers("1", 3, syscall.ENXIO) }
	bubble(t, dac(), absent, func(r *rig) {
		if f := r.b.Faults(); len(f) != 1 || board.ReasonOf(f[0].Err) != "nack" {
			t.Fatalf("faults %v; want the dac's nack", f)
		}
		r.sleep(3 * time.Second)
		if got := r.walk(); fmt.Sprint(got) != "[dac 40:0000 safe]" {
			t.Errorf("trace %q; want the safe bytes at the fourth try", got)
		}
		if f := r.b.Faults(); f != nil {
			t.Errorf("faults %v", f)
		}
		r.sleep(time.Hour)
		if got := r.d.Writes("1"); got != 1 {
			t.Errorf("%d writes; want them written once", got)
		}
	})
	bubble(t, dac(), absent, func(r *rig) {
		r.d.FailTransfers("1", 0, nil)
		r.must(write("dac", 0x40, 1, 2))
		r.sleep(time.Hour)
		if got := r.walk(); fmt.Sprint(got) != "[dac 40:0102 m-write]" {
			t.Errorf("trace %q; want what the command wrote to stand", got)
		}
	})
}

// TestOwedSafeBytesDoNotUndoACommand that has the bus when they are due.
func TestOwedSafeBytesDoNotUndoACommand(t *testing.T) {
	bubble(t, dac(), func(d *sim.Driver) { d.FailTransfers("1", 1, syscall.ENXIO) }, func(r *rig) {
		r.d.Slow("1", 300*time.Millisecond)
		r.sleep(900 * time.Millisecond)
		r.must(write("dac", 0x40, 1, 2)) // running when the debt is due
		r.sleep(time.Hour)
		if got := r.d.Memory("1", 0x60, 0x40); !bytes.Equal(got, []byte{1, 2}) {
			t.Errorf("the device holds %x; want what the command wrote", got)
		}
	})
}

func TestSafeOfOneRegister(t *testing.T) {
	bubble(t, dac(), nil, func(r *rig) {
		r.must(write("dac", 0x40, 1, 2))
		if res := r.must(board.Op{Kind: board.Safe, Target: "dac", Cause: "m2"}); !res.Changed || !res.Attempted {
			t.Errorf("%+v", res)
		}
		if got := r.d.Memory("1", 0x60, 0x40); !bytes.Equal(got, []byte{0, 0}) {
			t.Errorf("the device holds %x", got)
		}
	})
}

// TestCloseWithABusThatHangs keeps its bound, answers everything once, and
// leaves the outputs safe.
func TestCloseWithABusThatHangs(t *testing.T) {
	p := dac()
	p.Outputs = pump().Outputs
	bubble(t, p, nil, func(r *rig) {
		r.must(on("pump", 0))
		r.d.Hang("1")
		running, waiting := r.begin(write("led", 1, 1)), r.begin(write("led", 1, 2))
		err := r.b.Close()
		if took := time.Since(r.start); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
		var bus *board.BusError
		if !errors.As(err, &bus) {
			t.Errorf("close: %v; want the dac named", err)
		}
		if res := <-running; !res.Attempted || res.Err == nil {
			t.Errorf("running: %+v", res)
		}
		if res := <-waiting; res.Attempted || res.Err != board.ErrClosed {
			t.Errorf("waiting: %+v", res)
		}
		if on, _ := r.d.Level("GPIO17"); on {
			t.Error("the pump is on")
		}
	})
}

// TestOpenWithABusThatHangs is not held up by it for long, and outputs not at
// all.
func TestOpenWithABusThatHangs(t *testing.T) {
	p := dac()
	p.Outputs = pump().Outputs
	var began time.Time
	bubble(t, p, func(d *sim.Driver) { began = time.Now(); d.Hang("1") }, func(r *rig) {
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
		if e := r.events(); len(e) != 1 || !e[0].At.Equal(began) {
			t.Errorf("trace %v; want the pump made safe at once", e)
		}
	})
}

func TestBusThatIsNotThere(t *testing.T) {
	bubble(t, dac(), func(d *sim.Driver) { d.RemoveBus("2") }, func(r *rig) {
		res := r.do(write("far", 1, 1))
		var bus *board.BusError
		if !errors.As(res.Err, &bus) || bus.Fault != board.NoSuchBus || res.Transient {
			t.Errorf("%+v; want no such bus, for good", res)
		}
	})
}

// TestBusIsOpenedAnew after an error that its adapter's going away would give.
func TestBusIsOpenedAnew(t *testing.T) {
	bubble(t, dac(), nil, func(r *rig) {
		r.must(write("far", 1, 1))
		r.d.FailTransfers("2", 1, syscall.ENXIO)
		wantErr(t, r.do(write("far", 1, 1)), error(syscall.ENXIO)) // a device's, not the bus's
		r.d.FailTransfers("2", 1, syscall.ENODEV)
		wantErr(t, r.do(write("far", 1, 1)), error(syscall.ENODEV))
		r.d.RemoveBus("2") // an open bus would not notice
		wantErr(t, r.do(write("far", 1, 1)), error(syscall.ENOENT))
	})
}
