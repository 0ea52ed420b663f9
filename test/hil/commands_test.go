package hil_test

import (
	"fmt"
	"testing"

	"actuatord/hub/localhub"
)

// bench is a place where the daemon runs, with what is seen from outside of it.
type bench struct {
	*station
	name string

	on     func(t *testing.T, output string) bool       // by the voltage on the wire
	holds  func(t *testing.T, address, reg byte) string // what the device has, two hex digits
	number func(t *testing.T, output string) int        // the kernel's, of its line

	calls int // messages sent so far
}

// id names the next message.
func (b *bench) id() string {
	b.calls++
	return fmt.Sprintf("m%d", b.calls)
}

// command sends a body and wants its outcome.
func (b *bench) command(t *testing.T, body, want string) report {
	t.Helper()
	return b.do(t, b.id(), body, want)
}

// wires wants the outputs that are named to be on, and the others off.
func (b *bench) wires(t *testing.T, on ...string) {
	t.Helper()
	want := map[string]bool{}
	for _, name := range on {
		want[name] = true
	}
	for _, output := range []string{"pump", "valve", "beacon"} {
		if got := b.on(t, output); got != want[output] {
			t.Errorf("%s is on=%v on the wire; want %v", output, got, want[output])
		}
	}
}

// device wants a register to hold two hex digits.
func (b *bench) device(t *testing.T, address, reg byte, want string) {
	t.Helper()
	if got := b.holds(t, address, reg); got != want {
		t.Errorf("register %#02x of device %#02x holds %s; want %s", reg, address, got, want)
	}
}

const (
	lamps, horn = 0x60, 0x61 // the devices' addresses
	lights      = 0x06       // the first four of the lamps
)

// everyday is what is tried on each machine: a daemon has just started.
func (b *bench) everyday(t *testing.T) {
	check(t, b.name, "at the start outputs and registers are safe", func(t *testing.T) {
		b.wires(t)
		b.device(t, lamps, lights, "55")
	})
	check(t, b.name, "on, off and toggle move the wire", func(t *testing.T) {
		b.command(t, `{"target":"pump","action":"on"}`, "done")
		b.wires(t, "pump")
		b.command(t, `{"target":"beacon","action":"toggle"}`, "done")
		b.wires(t, "pump", "beacon")
		b.command(t, `{"target":"pump","action":"off"}`, "done")
		b.wires(t, "beacon")
	})
	check(t, b.name, "a pulse comes back before it is done", func(t *testing.T) {
		b.command(t, `{"target":"valve","action":"pulse","for":"300ms"}`, "done")
		b.wires(t, "beacon")
	})
	check(t, b.name, "a lease ends by itself", func(t *testing.T) {
		leases := b.moves("valve", "lease")
		b.command(t, `{"target":"valve","action":"on","for":"1s"}`, "done")
		b.changed(t, "valve", "lease", "off", leases+1)
		b.wires(t, "beacon")
	})
	check(t, b.name, "a register is written, and reads back", func(t *testing.T) {
		b.command(t, `{"target":"lamps","action":"write","register":6,"bytes":"54"}`, "done")
		b.device(t, lamps, lights, "54")
	})
	check(t, b.name, "a refusal moves nothing, and its sender is told", func(t *testing.T) {
		id := b.id()
		b.do(t, id, `{"target":"pump","action":"on","for":"11m"}`, "refused over-max-on")
		b.wires(t, "beacon")
		eventually(t, "the rejection of "+id, func() bool { return b.verdict(id) == "Rejected" }, b.tail)
		eventually(t, "the session after it", func() bool {
			_, subscribed := b.hub.Status(b.station.device.ID)
			return subscribed
		}, b.tail)
	})
	check(t, b.name, "all safe, and all read tells the levels", func(t *testing.T) {
		b.command(t, `{"target":"all","action":"safe"}`, "done")
		b.wires(t)
		b.device(t, lamps, lights, "55")
		if r := b.command(t, `{"target":"all","action":"read"}`, "done"); len(r.Levels) != 3 || r.Levels["beacon"] != "off" {
			t.Errorf("levels %v; want three outputs, off", r.Levels)
		}
		if n := b.count(localhub.KindCompleted, fmt.Sprintf("m%d", b.calls)); n != 1 {
			t.Errorf("completed %d times; want once", n)
		}
	})
}

// moves is how often an output has been told to have moved by itself.
func (b *bench) moves(output, cause string) int {
	return len(b.reports(func(r report) bool { return r.Kind == "change" && r.Target == output && r.Cause == cause }))
}

// changed waits for the nth such report, and wants the level in it.
func (b *bench) changed(t *testing.T, output, cause, level string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s moves by %s, time %d", output, cause, n), func() bool { return b.moves(output, cause) >= n }, b.tail)
	all := b.reports(func(r report) bool { return r.Kind == "change" && r.Target == output && r.Cause == cause })
	if got := all[n-1].Level; got != level {
		t.Errorf("%s moved to %s by %s; want %s", output, got, cause, level)
	}
}
