// Command powercut cuts the power under the real daemon: actuatord in an emulated
// arm64 machine with Debian's stock kernel, its journal in ext4 on a card that loses,
// tears and reorders what was not flushed (package card), against a local hub on this
// machine. The power goes in the middle of a write; then the card is looked at by
// e2fsck, and the machine boots again from what was left on it, unrepaired. At the end
// a judge that reads only the hub's record and the board's trace (test/torture/judge)
// says whether every promise was kept. What package persist's sweeps try with a file
// system that loses power, this tries with a kernel, its page cache, ext4's journal
// and a disk.
//
//	go run ./test/powercut -cache DIR                    # as the gate does
//	go run ./test/powercut -cache DIR -cuts 300 -seed 7  # by hand, before a release
//	go run ./test/powercut -cache DIR -mutant "an entry of the log is not flushed"
//	go run ./test/powercut -cache DIR -card liar -cuts 40
//	go run ./test/powercut -cache DIR -watchdog
//
// DIR is what test/hil/fetch.sh prints; `make powercut` asks it.
//
// # What moved
//
// The simulated board's trace is a file of this machine, which the guest has mounted
// (9p, uncached): a line is here when the write that made it returns, whatever becomes
// of the guest's disk and clock a moment later. This program reads it every
// millisecond and whenever the hub has something to tell, and takes as a line's time
// the last moment at which it was not there yet.
//
// # Series
//
// A series is a device with a new card, so many lives and cuts, and a last life in
// which every message must come to its end. One life in five is cut while it boots and
// recovers, the others while it works. One in four starts with a clock that stands in the
// past, as that of a board without a battery does.
//
// # Cards that lie
//
// With -card liar the card carries out one flush in four and says so of all. No
// journal can keep promises on such a card; what is asked is that nobody goes on as if
// nothing were. So each cut is a series of its own, and its end is one of three:
// nothing was broken; something was broken and somebody could see it (the device said
// so, the file system's check did, or the reports' numbers tell the back end);
// something was broken and nobody said a word. The last are told at length, and end
// the run with 1.
//
// # Mutants
//
// With -mutant the daemon is built with a fault of test/mutants, or several, one
// behind the other with a + between. Then the run passes if the judge convicts.
//
// # The watchdog
//
// With -watchdog the machine has a hardware watchdog (i6300esb, 5 s), which the first
// process feeds as systemd does on a Raspberry Pi. Once the kernel crashes and once
// only the first process hangs, each with an output on under a lease and a pulse in
// hand; the watchdog resets the machine, and the next start must make the outputs safe
// and report what was cut.
//
// # The seed
//
// All draws come from it. What the guest makes of it is its own, so that no run is
// repeated exactly; but a seed that found something finds it again more often.
//
// The exit code is 0 if all was as it must be, 1 if not or if the run could not be
// made, 2 for wrong flags. What it makes is in a temporary directory, which stays if
// something was found. Every process it starts, it ends. Power loss of this machine
// leaves that directory and nothing else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"actuatord/test/hil/machine"
	"actuatord/test/powercut/card"
)

// flags are how a run is asked for.
type flags struct {
	cache, card, mutant string
	dir                 string
	cuts, each, lanes   int
	atom                int
	seed                uint64
	watchdog            bool
}

func main() {
	var f flags
	flag.StringVar(&f.cache, "cache", os.Getenv("ACTUATORD_HIL"), "the `directory` that test/hil/fetch.sh filled with tools and arm64")
	flag.IntVar(&f.cuts, "cuts", 20, "how often the power goes")
	flag.IntVar(&f.each, "each", 0, "cuts of a series (default: the run in as many series as lanes, of 25 at most)")
	flag.IntVar(&f.lanes, "lanes", 4, "series at a time, 0.5 GB each; a device waits for its visits half of the time, so that two a core do not slow each other")
	flag.Uint64Var(&f.seed, "seed", uint64(time.Now().UnixNano()), "what all draws come from")
	flag.StringVar(&f.card, "card", "honest", "honest, liar (one flush in four is done) or never (none is)")
	flag.IntVar(&f.atom, "atom", 4096, "`bytes` that the card writes whole or not at all: 512 or more; below ext4's 4096 its own journal is not safe")
	flag.StringVar(&f.mutant, "mutant", "", "build actuatord with this `fault` of test/mutants, and want it caught; a + joins two")
	flag.StringVar(&f.dir, "dir", "", "an empty `directory` for everything, which stays (default: a temporary one)")
	flag.BoolVar(&f.watchdog, "watchdog", false, "reset the machine by its watchdog instead of cutting the power")
	flag.Parse()
	if _, _, known := kind(f.card); !known || f.atom < card.Sector || f.atom%card.Sector != 0 || flag.NArg() > 0 || f.cuts < 1 || f.lanes < 1 || f.each < 0 {
		flag.Usage()
		os.Exit(2)
	}
	if f.each == 0 {
		f.each = min((f.cuts+f.lanes-1)/f.lanes, 25)
	}
	if f.card != "honest" {
		f.each = 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	guilty, err := powercut(ctx, f)
	if err != nil {
		fmt.Fprintln(os.Stderr, "powercut:", err)
	}
	if guilty || err != nil {
		os.Exit(1)
	}
}

// powercut makes one run. guilty: it was not as it must be.
func powercut(ctx context.Context, f flags) (guilty bool, err error) {
	kit, err := machine.Open(f.cache)
	if err != nil {
		return false, err
	}
	// Not below a longer path: a socket's must stay below 108 bytes.
	dir, keep := f.dir, f.dir != ""
	if !keep {
		if dir, err = os.MkdirTemp("", "powercut"); err != nil {
			return false, err
		}
	}
	defer func() {
		if guilty || keep || err != nil {
			fmt.Printf("everything is in %s\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	program, err := build(ctx, dir, f.mutant)
	if err != nil {
		return false, err
	}
	r, err := newRun(f, kit, dir, program)
	if err != nil {
		return false, err
	}
	if f.watchdog {
		guilty, err = r.resets(ctx)
		guilty = guilty != (f.mutant != "")
	} else {
		guilty, err = r.whole(ctx)
	}
	return guilty, errors.Join(err, r.close())
}
