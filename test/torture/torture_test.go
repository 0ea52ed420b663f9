package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/agent/config"
	"actuatord/hub/localhub"
	"actuatord/test/torture/judge"
)

// TestBoardIsTheConfiguration: the judge knows the board that the daemons drive.
func TestBoardIsTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "actuatord.toml")
	text := fmt.Sprintf(configuration, filepath.Join(dir, "secret"), "", 1, 2, filepath.Join(dir, "journal.db"), filepath.Join(dir, "trace"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var got judge.Board
	for _, o := range c.Profile.Outputs {
		got.Outputs = append(got.Outputs, judge.Output{Name: o.Name, SafeOn: o.SafeOn, MaxOn: o.MaxOn, MaxAge: o.MaxAge})
	}
	for _, r := range c.Profile.Registers {
		j := judge.Register{Name: r.Name, Repeatable: r.Repeatable}
		for _, a := range r.Registers {
			j.Allowed = append(j.Allowed, int(a))
		}
		if r.Safe != nil {
			j.Safe = fmt.Sprintf("%02x:%x", r.Safe.Register, r.Safe.Bytes)
		}
		got.Registers = append(got.Registers, j)
	}
	if !reflect.DeepEqual(got, board()) {
		t.Errorf("the daemons drive %+v, the judge knows %+v", got, board())
	}
}

// TestDisk: each of a disk's troubles is what it is called, and goes away.
func TestDisk(t *testing.T) {
	d, err := newDisk(t.TempDir())
	if err != nil {
		t.Skipf("SKIPPED LOUDLY: no disk can be made here: %v", err)
	}
	defer func() {
		if err := d.remove(); err != nil {
			t.Error(err)
		}
	}()
	write := func() error {
		f, err := os.CreateTemp(d.dir, "") // a new one: what is there already has its room
		if err != nil {
			return err
		}
		_, err = f.Write(make([]byte, 64<<10))
		return errors.Join(err, f.Sync(), f.Close())
	}
	for _, c := range []struct {
		name       string
		spoil, fix func() error
		want       error
	}{
		{"full", d.full, d.free, syscall.ENOSPC},
		{"failing", d.fail, func() error { return d.heal(t.Context()) }, syscall.EIO},
		{"read-only", func() error { return d.readOnly(true) }, func() error { return d.readOnly(false) }, syscall.EROFS},
	} {
		if err := write(); err != nil {
			t.Fatalf("before it was %s: %v", c.name, err)
		}
		if err := c.spoil(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := write(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.name, err, c.want)
		}
		if err := c.fix(); err != nil {
			t.Fatalf("%s, no more: %v", c.name, err)
		}
	}
	if err := write(); err != nil {
		t.Errorf("after all: %v", err)
	}
}

// TestFaults: every packet that a daemon sends or is sent has faults, and a short
// run has none that costs minutes.
func TestFaults(t *testing.T) {
	of := func(long bool) map[localhub.Packet]int {
		n := map[localhub.Packet]int{}
		for sort, faults := range linkFaults("d", long) {
			for _, f := range faults {
				n[f.Packet]++
				if sortOf(f.Packet) != sort || !long && (f.Effect == localhub.Refuse || f.Effect == localhub.Forget) {
					t.Errorf("%v is among those of sort %d, long %t", f, sort, long)
				}
			}
		}
		return n
	}
	short, long := of(false), of(true)
	for _, p := range localhub.Packets() {
		if (sortOf(p) < sorts) != (short[p] > 0) || long[p] < short[p] {
			t.Errorf("%s has %d faults in a short run and %d in a long one", p, short[p], long[p])
		}
	}
}

// TestWaiters: an event wakes who waits for it and its like, once.
func TestWaiters(t *testing.T) {
	r := newRecord()
	woken := make(chan bool)
	r.mu.Lock()
	w := r.wait("d", localhub.KindCompleted, 1)
	r.mu.Unlock()
	go func() { woken <- r.came(t.Context(), w, time.Minute) }()
	for _, e := range []localhub.Event{{Device: "d", Kind: localhub.KindDelivered}, {Device: "e", Kind: localhub.KindCompleted}, {Device: "d", Kind: localhub.KindCompleted}} {
		r.observe(e)
	}
	select {
	case <-woken:
		t.Error("woken by another's event, or by the one to be skipped")
	default:
	}
	r.observe(localhub.Event{Device: "d", Kind: localhub.KindCompleted})
	if !<-woken {
		t.Error("not woken")
	}
	if r.next(t.Context(), "d", localhub.KindFault, 0, time.Millisecond) || len(r.waiters) != 0 {
		t.Errorf("woken by nothing, or still waiting: %d", len(r.waiters))
	}
	if !r.once(t.Context(), "d", localhub.KindDelivered, time.Minute) {
		t.Error("what has happened is waited for")
	}
}

// TestReusedIDs: a movement of the door under an id that was used twice is that of the
// command for the door: no other with that id can move it.
func TestReusedIDs(t *testing.T) {
	s := newSender(&run{flags: flags{time: time.Hour, seed: 1}}, &station{id: "d"}, 0)
	s.began = time.Now()
	bodies, reused := map[string]string{}, 0
	for range 20_000 {
		m := s.message()
		old, known := bodies[m.ID]
		if m.ID == "" || !known || old == string(m.Body) {
			bodies[m.ID] = string(m.Body)
			continue
		}
		if reused++; strings.Contains(old, `"safe"`) || strings.Contains(old, `"door"`) {
			t.Fatalf("the id of %s is used again for %s", old, m.Body)
		}
	}
	if reused == 0 {
		t.Error("no id was used twice")
	}
}
