// Command torture runs real actuatord processes against a local hub and makes
// everything go wrong that can: processes killed at any moment and at chosen ones,
// connections and answers lost, ports closed, the hub away or with a wrong date,
// disks full, failing and read-only. Afterwards a judge that reads only the hub's
// record and the boards' traces (package judge) says whether every promise was
// kept. It is how one finds what no test thought of.
//
//	go run ./test/torture                              # a minute, as the gate does
//	go run ./test/torture -for 40m -devices 4          # by hand, before a release
//	go run ./test/torture -for 40m -seed 17            # the same plan again
//	go run ./test/torture -for 30m -soak               # does a daemon that lives grow?
//
// # What happens
//
// The hub runs in this process (hub/localhub, over TLS on loopback), in one of its
// variants; each device is one `actuatord run` on a simulated board with its
// journal on a small disk of its own, if this is root and the kernel has loop
// devices. One goroutine a device sends commands of every kind, in bursts and
// alone; one a device makes trouble for it, one for all of them. After the time
// is over every trouble is taken back, and the devices have until -settle to bring
// every message to its end and every report home. A link that has failed often may wait
// for minutes: a daemon without a session is started anew, in a short run after some
// seconds, in a long one after half of that time.
//
// # A soak
//
// With -soak no daemon is killed, stopped or robbed of its disk: its link alone is in
// trouble, up to a minute at a time, and it must live to the end. Every 5 s the
// kernel is asked for its memory, files and threads. Each 5 minutes are one row of a
// table; a peak that is higher in the second half of the time than in the first is
// growth, and ends the run with 1. The proportional set size is told and not judged:
// the journal's file grows with its commands, and is mapped.
//
// # The seed
//
// All draws come from it: commands, their spacing, troubles and theirs. What the
// processes make of it is theirs, so that a run cannot be repeated exactly, but a
// seed that found something finds it again more often than another.
//
// # What it cannot do
//
// The clock of the machine is not touched; the hub's Date is set forward instead,
// which a daemon believes where the kernel's clock does not count as synchronised.
// Power is not cut, only processes are: what the kernel has not written yet
// survives. (Package persist/persisttest does that part.) A disk fails as a whole,
// by a loop device that shrinks under its file system, not in single blocks.
//
// The exit code is 0 if all promises were kept, 1 if not or if the run could not be
// made, 2 for wrong flags. What it makes is in a temporary directory, which stays if
// something was found (or with -dir), and it ends every process it started. After
// power loss there may be a mount and a loop device left; a reboot takes both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// flags are how a run is asked for.
type flags struct {
	time, settle time.Duration
	seed         uint64
	devices      int
	dir, program string
	troubles     bool
	soak         bool
}

func main() {
	var f flags
	flag.DurationVar(&f.time, "for", 25*time.Second, "how long commands are sent and troubles made")
	flag.DurationVar(&f.settle, "settle", 0, "how long the devices have afterwards (0: 2m, and 40m if -for is 5m or more)")
	flag.Uint64Var(&f.seed, "seed", uint64(time.Now().UnixNano()), "what all draws come from")
	flag.IntVar(&f.devices, "devices", 3, "how many, 1 to 16; 2 a core are plenty")
	flag.StringVar(&f.dir, "dir", "", "an empty `directory` for everything, which stays (default: a temporary one)")
	flag.StringVar(&f.program, "actuatord", "", "this `program` instead of one built now")
	flag.BoolVar(&f.troubles, "troubles", true, "make trouble; false shows that the judge finds nothing in a quiet run")
	flag.BoolVar(&f.soak, "soak", false, "let every daemon live: only the link is in trouble, for longer, and nothing that the kernel counts of them may grow (needs -for 20m or more)")
	flag.Parse()
	if flag.NArg() > 0 || f.devices < 1 || f.devices > 16 || f.time <= 0 || f.settle < 0 || f.soak && f.time < shortestSoak {
		flag.Usage()
		os.Exit(2)
	}
	if f.settle == 0 {
		f.settle = 2 * time.Minute
		if f.long() {
			f.settle = 40 * time.Minute // a poll comes after 25 at the latest
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	guilty, err := torture(ctx, f)
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
	}
	if guilty || err != nil {
		os.Exit(1)
	}
}

// long tells a run by hand from the gate's.
func (f flags) long() bool { return f.time >= 5*time.Minute }

// torture makes one run. guilty: a promise was not kept.
func torture(ctx context.Context, f flags) (guilty bool, err error) {
	began := time.Now()
	keep := f.dir != ""
	if f.dir == "" {
		// Not below a longer path: a socket's must stay below 108 bytes.
		if f.dir, err = os.MkdirTemp("", "torture"); err != nil {
			return false, err
		}
	}
	if f.dir, err = filepath.Abs(f.dir); err != nil {
		return false, err
	}
	defer func() {
		if keep || guilty || err != nil {
			fmt.Printf("everything is in %s\n", f.dir)
			return
		}
		err = os.RemoveAll(f.dir)
	}()
	if f.program == "" {
		f.program = filepath.Join(f.dir, "actuatord")
		build := exec.CommandContext(ctx, "go", "build", "-o", f.program, "actuatord/cmd/actuatord")
		if out, err := build.CombinedOutput(); err != nil {
			return false, fmt.Errorf("build actuatord: %w\n%s", err, out)
		}
	}
	r, err := newRun(f)
	if err != nil {
		return false, err
	}
	verdict, runErr := r.whole(ctx)
	if err := errors.Join(runErr, r.close()); err != nil {
		return false, err
	}
	return r.print(verdict, time.Since(began)), nil
}
