// Command c2d is the desk tool beside actuatord. Today it is a local IoT Hub,
// c2d hub; sending commands to a hub and following their feedback comes later.
//
// # Promises
//
// The lines on standard output are for programs as much as for people: each is
// one event, its first word says which, and words are not changed once they are
// there. Exit codes: 0 done, 1 failed, 2 usage.
//
// # Cost and power loss
//
// A local hub keeps its CA, certificates and device keys in a directory, written
// as whole files, keys readable by their owner only. Its queues are in memory
// and gone when it ends.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker (-X main.version=…) and read once.
var version = "devel"

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// subcommand is one thing c2d can do.
type subcommand struct {
	name    string
	summary string
	run     func(ctx context.Context, args []string, s streams) int
}

func subcommands() []subcommand {
	return []subcommand{
		{"hub", "run a local IoT Hub that real device clients connect to", runHub},
		{"version", "print the version", runVersion},
	}
}

func runVersion(_ context.Context, args []string, s streams) int {
	if len(args) > 0 {
		fmt.Fprintln(s.err, "c2d version: it takes no arguments")
		return exitUsage
	}
	fmt.Fprintln(s.out, "c2d", version)
	return exitDone
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, s streams) int {
	if len(args) == 0 {
		usage(s.err)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(s.out)
		return exitDone
	}
	for _, c := range subcommands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], s)
		}
	}
	fmt.Fprintf(s.err, "c2d: there is no command %q\n\n", args[0])
	usage(s.err)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "c2d is the desk tool for cloud-to-device messages of Azure IoT Hub.\n\nusage: c2d COMMAND [FLAGS]\n\n")
	for _, c := range subcommands() {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\n\"c2d COMMAND -help\" tells more about a command.\n")
}
