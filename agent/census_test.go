package agent

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A census is how much there is of each thing, day by day.
type census struct {
	days   int
	counts map[string][]int
}

func newCensus(days int) *census { return &census{days: days, counts: map[string][]int{}} }

// note adds n to what the present day has of a thing. Rows have their room from the
// start, so that counting does not show in the heap.
func (c *census) note(day int, thing string, n int) {
	row, known := c.counts[thing]
	if !known {
		row = make([]int, c.days)
		c.counts[thing] = row
	}
	row[day] += n
}

// slack is by how much a thing may differ between two days without a reason that
// lies in the days. What is not here may not.
func slack(thing string) int {
	switch thing {
	case "journal: commands":
		return pruneStep // of a round that was just due
	case "log: lines of the day":
		return 50 // of some 2000: waits are drawn
	case "heap: objects":
		return 150 // of 15 000; a day has 300 commands
	case "heap: bytes":
		return 24 << 10 // of 4 MiB
	}
	return 0
}

// grown names what there was more of on each of the later days than on any of the
// earlier ones. The first days, which settle, are left out.
func (c *census) grown(settle int) (faults []string) {
	for thing, row := range c.counts {
		row := row[settle:]
		early, late := row[:len(row)/2], row[len(row)/2:]
		if slices.Min(late) > slices.Max(early)+slack(thing) {
			faults = append(faults, fmt.Sprintf("%s: it grows with the days: %v", thing, c.counts[thing]))
		}
	}
	slices.Sort(faults)
	return faults
}

// count takes the census of a day that has ended.
func (s *soak) count(c *census) {
	s.p.inLoop(func(a *Agent) {
		c.walk(s.day, "agent", reflect.ValueOf(a))
		c.note(s.day, "journal: commands", int(a.journal.Stats().Commands))
		c.note(s.day, "journal: reports", int(a.journal.Stats().Outbox))
	})
	s.logMu.Lock()
	c.note(s.day, "log: lines of the day", strings.Count(s.logs.String(), "\n"))
	s.logs.Reset()
	s.logMu.Unlock()
	c.note(s.day, "connections", int(s.open.Load()))
	c.note(s.day, "goroutines", runtime.NumGoroutine())
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		c.note(s.day, "files", len(files))
	}
	runtime.GC()
	runtime.GC() // what a sync.Pool had is gone after two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.note(s.day, "heap: objects", int(m.HeapObjects))
	c.note(s.day, "heap: bytes", int(m.HeapAlloc))
}

// walk counts the elements of each map, slice and channel that the loop owns, under
// the names of the fields that lead there. What other goroutines share (sessions, the
// board) is not entered: it shows in the heap.
func (c *census) walk(day int, name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			c.walk(day, name, v.Elem())
		}
	case reflect.Struct:
		if !slices.Contains([]string{"actuatord/agent", "actuatord/agent/command", "actuatord/hub/link", "actuatord/persist"}, v.Type().PkgPath()) {
			return
		}
		for i := range v.NumField() {
			c.walk(day, name+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Map:
		c.note(day, name, v.Len())
		for it := v.MapRange(); it.Next(); {
			c.walk(day, name+"[]", it.Value())
		}
	case reflect.Slice:
		c.note(day, name, v.Len())
		for i := range v.Len() {
			c.walk(day, name+"[]", v.Index(i))
		}
	case reflect.Chan:
		c.note(day, name, v.Len())
	}
}

// TestCensus: what grows is found, wherever it is, and what comes and goes is not.
func TestCensus(t *testing.T) {
	a := New(Options{})
	c := newCensus(8)
	for day := range 8 {
		a.uplink.owe(sameAs{key: "m:other"}, a.boot)
		for range 3 {
			a.pending.settled = append(a.pending.settled, nil)
		}
		a.uplink.held = append(a.uplink.held, held{it: &item{}})
		if day%2 == 1 {
			a.uplink.held = nil
		}
		c.walk(day, "agent", reflect.ValueOf(a))
		c.note(day, "heap: bytes", 1<<20+day*1000)
		c.note(day, "goroutines", 20+day/5)
		c.note(day, "early", 10*min(day, 2))
	}
	want := []string{
		"agent.pending.settled: it grows with the days: [3 6 9 12 15 18 21 24]",
		"goroutines: it grows with the days: [20 20 20 20 20 21 21 21]",
	}
	if got := c.grown(2); !slices.Equal(got, want) {
		t.Errorf("found %q; want %q", got, want)
	}
}
