package hil_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// trace begins the kernel's trace of lines anew.
func (g *guest) trace(t *testing.T) {
	t.Helper()
	g.must(t, "echo >/sys/kernel/tracing/trace")
}

// traced is what it has seen since, or since the kernel's start.
func (g *guest) traced(t *testing.T) []event {
	t.Helper()
	return events(t, g.must(t, "cat /sys/kernel/tracing/trace"))
}

// base is the kernel's number of a chip's first line; the chip is the one whose label
// begins so.
func (g *guest) base(t *testing.T, label string) int {
	t.Helper()
	return g.number(t, "cd /sys/class/gpio; for c in gpiochip*; do case $(cat $c/label) in %s*) cat $c/base;; esac; done", label)
}

// checks: the program's own look at the machine, before anybody has the lines.
func (g *guest) checks(t *testing.T) {
	t.Helper()
	before := len(g.traced(t))
	out, code, err := g.Run("actuatord check")
	if err != nil || code != 0 {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
	for _, line := range []string{"ok    output pump: ", "ok    output valve: ", "ok    output beacon: ", "ok    bus 1: there"} {
		if !strings.Contains(out, line) {
			t.Errorf("no line %q in\n%s", line, out)
		}
	}
	if trace := g.traced(t); len(trace) > before {
		t.Errorf("the kernel saw %+v", trace[before:])
	}
}

// catches: the check for glitches can fail. periph's own driver is told to drive a
// line high that is high, and to read it.
func (g *guest) catches(t *testing.T, b *bench, line string, number int) {
	check(t, b.name, "the check for glitches finds those of periph's own driver", func(t *testing.T) {
		before := len(g.traced(t))
		g.must(t, "guest periph %s", line)
		trace := g.traced(t)[before:]
		if err := glitches(trace, number, "1", 1); err == nil {
			t.Errorf("it finds nothing in %+v", trace)
		}
		if !slices.Contains(trace, event{gpio: number, drive: "0"}) || !slices.Contains(trace, event{gpio: number, turn: "in"}) {
			t.Errorf("no low and no turn to an input in %+v", trace)
		}
	})
}

// beats are the times at which the service manager was told that the daemon lives,
// in milliseconds.
func (g *guest) beats(t *testing.T) []int {
	t.Helper()
	var all []int
	for line := range strings.Lines(g.must(t, "cat /tmp/notify")) {
		if ms, what, _ := strings.Cut(strings.TrimSpace(line), " "); what == "WATCHDOG=1" {
			at, err := strconv.Atoi(ms)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, at)
		}
	}
	if len(all) == 0 {
		t.Fatal("no beat was heard")
	}
	return all
}

// fromBoot: the daemon is the first to take the lines since the kernel began, and
// takes them where they are while nobody does.
func (g *guest) fromBoot(t *testing.T, b *bench) {
	check(t, b.name, "from the kernel's start to the first session: no edge at all", func(t *testing.T) {
		trace := g.traced(t)
		for output, idle := range map[string]string{"beacon": "0", "pump": "1", "valve": "1"} {
			if err := glitches(trace, b.number(t, output), idle, 1); err != nil {
				t.Errorf("%s: %v", output, err)
			}
		}
	})
}

// noGlitch: from before a start over every transition, a stop, a start and a kill,
// the kernel has seen of an active-low output and of the other kind what was asked
// for, and nothing between.
func (g *guest) noGlitch(t *testing.T, b *bench) {
	command := func(t *testing.T, format string, args ...any) { b.command(t, fmt.Sprintf(format, args...), "done") }
	check(t, b.name, "a start, a stop, a kill and every command: no edge that nobody asked for", func(t *testing.T) {
		g.end(t, "TERM")
		g.trace(t)
		g.start(t) // taken once, off
		for _, output := range []string{"pump", "beacon"} {
			command(t, `{"target":%q,"action":"on"}`, output)
			command(t, `{"target":%q,"action":"on"}`, output) // no edge
			command(t, `{"target":%q,"action":"off"}`, output)
			command(t, `{"target":%q,"action":"pulse","for":"100ms"}`, output)
			leases := b.moves(output, "lease")
			command(t, `{"target":%q,"action":"on","for":"500ms"}`, output)
			b.changed(t, output, "lease", "off", leases+1)
			command(t, `{"target":%q,"action":"toggle"}`, output)
		}
		g.end(t, "TERM") // off
		g.start(t)       // taken again
		for _, output := range []string{"pump", "beacon"} {
			command(t, `{"target":%q,"action":"on"}`, output)
		}
		g.end(t, "KILL") // the kernel's affair
		g.must(t, "actuatord safe")
		g.start(t)
		// on off, pulse, lease, toggle stop; on, and what the next who took it did
		const active = "1010101010"
		idle, trace := "0", g.traced(t)
		for output, want := range map[string]string{"beacon": idle + active, "pump": invert(idle + active), "valve": "1"} {
			if err := glitches(trace, b.number(t, output), want, 4); err != nil {
				t.Errorf("%s: %v", output, err)
			}
		}
	})
	check(t, b.name, "asking for a level moves and turns nothing", func(t *testing.T) {
		command(t, `{"target":"pump","action":"on"}`)
		g.trace(t)
		command(t, `{"target":"all","action":"read"}`)
		g.status(t)
		g.must(t, "actuatord check")
		if trace := g.traced(t); len(trace) > 0 {
			t.Errorf("the kernel saw %+v", trace)
		}
		b.wires(t, "pump")
		command(t, `{"target":"pump","action":"off"}`)
	})
}

// invert is a line's voltages as an active-low one has them.
func invert(levels string) string { return strings.NewReplacer("0", "1", "1", "0").Replace(levels) }
