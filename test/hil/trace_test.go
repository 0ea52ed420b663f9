package hil_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// event is what the kernel traced of a line (events/gpio in tracefs): it was driven,
// or its direction was set.
type event struct {
	gpio  int    // the kernel's number
	drive string // "0" or "1", the voltage; empty: none
	turn  string // "in" or "out"; empty: it was not turned
}

var traced = regexp.MustCompile(`gpio_(value|direction): +(\d+) +(\S+) +(\S+)`)

// events reads the text of tracefs' file "trace". Reads of a value are left out:
// they change nothing.
func events(t *testing.T, trace string) []event {
	t.Helper()
	var all []event
	for _, m := range traced.FindAllStringSubmatch(trace, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case m[1] == "direction": // "17 out (0)"
			all = append(all, event{gpio: n, turn: m[3]})
		case m[3] == "set": // "17 set 1"
			all = append(all, event{gpio: n, drive: m[4]})
		}
	}
	return all
}

// glitches says where a line's trace is not the one that was asked for. want are the
// voltages it has to be driven to, each another than the one before, beginning with
// what it was at. takes is how often somebody took the line: once each, and never
// otherwise, it may be made an output; and never an input.
func glitches(trace []event, gpio int, want string, takes int) error {
	got, outs := want[:1], 0
	for _, e := range trace {
		switch {
		case e.gpio != gpio:
		case e.turn == "in":
			return fmt.Errorf("line %d was made an input after %s", gpio, got)
		case e.turn == "out":
			outs++
		case !strings.HasSuffix(got, e.drive):
			got += e.drive
		}
	}
	if got != want || outs != takes {
		return fmt.Errorf("line %d went %s and was made an output %d times; want %s, %d times", gpio, got, outs, want, takes)
	}
	return nil
}

// TestGlitches: the check itself, on traces that real kernels gave.
func TestGlitches(t *testing.T) {
	// board/linux takes an active-low line that is off, and pulses it.
	ours := `
       actuatord-105     [000] .....     7.1: gpio_value: 529 set 1
       actuatord-105     [000] .....     7.1: gpio_direction: 529 out (0)
       actuatord-105     [000] .....     7.2: gpio_value: 529 get 1
       actuatord-105     [000] .....     7.3: gpio_value: 529 set 0
       actuatord-105     [000] .....     7.3: gpio_value: 530 set 0
       actuatord-105     [000] .....     7.4: gpio_value: 529 set 1
       actuatord-105     [000] .....     7.5: gpio_value: 529 set 1
`
	// periph takes a line that is high, to drive it high, and reads it.
	theirs := `
           guest-99      [000] .....     5.1: gpio_value: 529 set 0
           guest-99      [000] .....     5.1: gpio_direction: 529 out (0)
           guest-99      [000] .....     5.2: gpio_value: 529 set 1
           guest-99      [000] .....     5.3: gpio_direction: 529  in (0)
`
	for _, c := range []struct {
		name, trace, want string
		takes             int
		says              string // empty: no fault
	}{
		{"as asked", ours, "101", 1, ""},
		{"one pulse too many", ours, "1", 1, "went 101"},
		{"one pulse missing", ours, "10101", 1, "want 10101"},
		{"taken twice", ours, "101", 2, "1 times"},
		{"periph drives low first", strings.SplitAfterN(theirs, "set 1\n", 2)[0], "1", 1, "went 101"},
		{"periph reads", theirs, "101", 1, "input"},
		{"nothing happened", "", "101", 1, "went 1 "},
	} {
		err := glitches(events(t, c.trace), 529, c.want, c.takes)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %q", c.name, err, c.says)
		}
	}
	if e := events(t, ours); len(e) != 6 || !slices.Contains(e, event{gpio: 530, drive: "0"}) {
		t.Errorf("read %+v", e)
	}
}
