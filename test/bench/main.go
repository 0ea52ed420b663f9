// Command bench measures the real actuatord binary, built as it is released, and
// prints what docs/performance.md says: one table of measures, one of targets,
// and how and where they were made.
//
// # What is measured
//
// The hub is in this process (package localhub) and is spoken to over TCP and TLS.
// It dates each delivery just before it is written to the socket and each PUBACK
// when it is taken, so both programs are timed by the same clock and the same code.
// What is compared runs in turns within one run, on one machine, with its files
// in one directory of one disk: actuatord, the program that a user would write
// instead with Microsoft's Node SDK (peer/peer.js), one bare 4 KiB write with
// fdatasync, and an empty commit of bbolt. A figure is the median over the rounds,
// with the smallest and the largest; a ratio is taken within each round first.
//
// # What it costs, and what it leaves
//
// Some minutes (-quick: about one), two cores for the quietest of them, and some
// hundred MiB below -dir, which it removes; the SDK that npm fetched stays in the
// user's cache. The rows that name a target are no gate: a benchmark ends with 0
// whatever they say, and with 1 only when it could not measure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// extent is how much is measured.
type extent struct {
	rounds   int // of competitors taking turns
	commands int // of each competitor in a round
	starts   int // rounds of starts: they are slow
	many     int // ids remembered at the restart after a kill

	warmUp, window, every time.Duration // of the idle measure
}

func main() {
	var (
		quick  = flag.Bool("quick", false, "few rounds and a short idle `window`: to see that it runs, not for figures")
		only   = flag.String("only", "", "one part `name`: "+strings.Join(names(), ", "))
		dir    = flag.String("dir", "/var/tmp", "a `directory` on the disk to be measured")
		warmUp = flag.Duration("warmup", time.Minute, "idle: how long to wait first")
		window = flag.Duration("window", 3*time.Minute, "idle: how long to sample, every 10 s")
		disk   = flag.String("disk", "", "for this program itself: measure the disk of a `directory` alone")
		n      = flag.Int("n", 0, "and how often")
	)
	flag.Parse()
	if *disk != "" {
		exit(printDisk(*disk, *n))
	}
	e := extent{rounds: 9, commands: 200, starts: 7, many: 100_000, warmUp: *warmUp, window: *window, every: 10 * time.Second}
	if *quick {
		e = extent{rounds: 3, commands: 40, starts: 2, many: 100_000, warmUp: 3 * time.Second, window: 6 * time.Second, every: time.Second}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := measure(ctx, e, *only, *dir)
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A part measures one thing and writes its rows.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

func parts() []part {
	return []part{
		{"latency", (*bench).latency},
		{"card", (*bench).card},
		{"backlog", (*bench).backlog},
		{"cost", (*bench).cost},
		{"start", (*bench).start},
		{"idle", (*bench).idle},
		{"size", (*bench).size},
	}
}

func names() []string {
	var all []string
	for _, p := range parts() {
		all = append(all, p.name)
	}
	return all
}

// bench is one run.
type bench struct {
	extent
	*rig
	report report
}

func measure(ctx context.Context, e extent, only, dir string) (err error) {
	if only != "" && !slices.Contains(names(), only) {
		return fmt.Errorf("there is no part %q; there are %s", only, strings.Join(names(), ", "))
	}
	r, err := newRig(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	b := &bench{extent: e, rig: r}
	for _, p := range parts() {
		if only != "" && p.name != only {
			continue
		}
		began := time.Now()
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		b.note("%s: %.0f s", p.name, time.Since(began).Seconds())
	}
	b.report.print(os.Stdout, b)
	return nil
}

// note tells a person who waits.
func (r *rig) note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
