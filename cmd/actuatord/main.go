// Command actuatord carries out cloud-to-device messages from Azure IoT Hub on
// the GPIO lines and I2C registers of the board it runs on, each once, and tells
// the hub the truth about it. See README.md for what it promises.
//
// This package is flags and wiring. `run` is the daemon; `safe` works without
// one, since the service manager calls it when the daemon has failed, and so do
// `disable` and `enable`; `do`, `status` and `history` ask the daemon at its socket;
// `board` and `init` need neither daemon nor configuration. Power loss at any moment
// is package agent's and persist's business: nothing is kept here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"actuatord/agent/config"
)

// version and built are set by the linker in release builds. built is the time of
// the commit, in seconds since 1970.
var version, built = "", ""

// Exit codes (design §8): a program that calls us may rely on them.
const (
	exitDone   = 0
	exitFailed = 1 // it was tried and did not work
	exitUsage  = 2 // wrong words, or a wrong configuration
	exitNot    = 3 // the command was not done
	exitLate   = 4 // no answer in time: it may have been done
)

const usage = `actuatord moves real things from the cloud, safely.

usage: actuatord COMMAND [flags] [--config FILE]

  init [--force]          ask a few questions and write the first configuration
  run                     the daemon: outputs safe, journal checked, hub connected;
                          SIGHUP has it read the connection string again
  check                   is this configuration right, and can it work here
        --online          and can the hub be reached (at most a minute; no MQTT session)
        --command FILE|-  what would this payload do (nothing moves)
  board [--json]          chips, lines and who has them, header, I2C buses, PWM
        --scan [--bus N]  and what answers on that bus (reads one byte everywhere)
  safe                    every output to its safe level, now
  disable NAME|all        takes a target out of use, whoever commands it:
        --why TEXT        to its safe level now, and it stays there over restarts
  enable NAME|all         puts it back into use; it moves by a new command only
  do TARGET ACTION        carry out a command from here: do pump on --for 2s
        --for D  --percent P  --register N  --bytes HEX
  status [--json]         alarms (then it exits with 1), link, clock, outputs, last commands
  history [-n 20] [--json]  what was carried out and refused, newest first
  journal check           prove every record of the journal
  journal reset           declare that no message from before the journal can still come
  version

The configuration is /etc/actuatord/actuatord.toml unless --config names another.
`

const defaultConfig = "/etc/actuatord/actuatord.toml"

// env is what a command touches of the world outside its arguments.
type env struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	edge     func(string)             // tests only: see agent.Options.Edge
	kernel   func() (time.Time, bool) // tests only: the kernel's clock, for check
	fake     *hardware                // tests only: instead of this machine's
}

func main() {
	os.Exit(run(os.Args[1:], env{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}))
}

func run(args []string, e env) int {
	commands := map[string]func([]string, env) error{
		"run": runDaemon, "check": runCheck, "safe": runSafe, "do": runDo,
		"board": runBoard, "init": runInit, "disable": runDisable, "enable": runEnable,
		"status": runStatus, "history": runHistory, "journal": runJournal, "version": runVersion,
	}
	if len(args) == 0 {
		fmt.Fprint(e.err, usage)
		return exitUsage
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(e.out, usage)
		return exitDone
	}
	if args[0] == "--version" {
		args[0] = "version"
	}
	cmd, known := commands[args[0]]
	if !known {
		fmt.Fprintf(e.err, "actuatord: unknown command %q\n\n%s", args[0], usage)
		return exitUsage
	}
	return report(cmd(args[1:], e), e)
}

// report turns a command's error into its words and its exit code.
func report(err error, e env) int {
	var usageErr *usageError
	var problems config.Problems
	var not *notDoneError
	var quiet *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(e.out, usage)
		return exitDone
	case errors.As(err, &quiet):
		return quiet.code
	case errors.As(err, &usageErr), errors.As(err, &problems), errors.Is(err, config.ErrUnreadable):
		fmt.Fprintf(plain{e.err}, "actuatord: %v\n", err)
		return exitUsage
	case errors.As(err, &not):
		fmt.Fprintf(plain{e.err}, "actuatord: %v\n", err)
		return exitNot
	}
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintf(plain{e.err}, "actuatord: %v\n", err)
		return exitLate
	}
	fmt.Fprintf(plain{e.err}, "actuatord: %v\n", err)
	return exitFailed
}

// usageError is a mistake in the words or in the configuration.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// notDoneError is a command that was understood and not carried out.
type notDoneError struct{ why string }

func (e *notDoneError) Error() string { return e.why }

// exitError ends with a code and no more words: they have been said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// flags are those that a command shares with the others.
type flags struct {
	*flag.FlagSet
	config string
}

func newFlags(name string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet("actuatord "+name, flag.ContinueOnError)}
	f.SetOutput(io.Discard)
	f.StringVar(&f.config, "config", defaultConfig, "the configuration file")
	return f
}

// parse takes flags before, between and behind the words, and answers the words.
func (f *flags) parse(args []string) ([]string, error) {
	var words []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, &usageError{fmt.Errorf("%s: %w", f.Name(), err)}
		}
		if f.NArg() == 0 {
			return words, nil
		}
		words, args = append(words, f.Arg(0)), f.Args()[1:]
	}
}

// given tells whether somebody wrote a flag, if only to say its default.
func (f *flags) given(name string) bool {
	found := false
	f.Visit(func(g *flag.Flag) { found = found || g.Name == name })
	return found
}

// noWords is parse for a command that takes only flags.
func (f *flags) noWords(args []string) error {
	words, err := f.parse(args)
	if err == nil && len(words) > 0 {
		err = &usageError{fmt.Errorf("%s takes no %q", f.Name(), strings.Join(words, " "))}
	}
	return err
}

func runVersion(args []string, e env) error {
	if err := newFlags("version").noWords(args); err != nil {
		return err
	}
	fmt.Fprint(e.out, "actuatord ", ourVersion())
	if at := builtAt(); !at.IsZero() {
		fmt.Fprint(e.out, ", source of ", at.Format(time.RFC3339))
	}
	fmt.Fprintln(e.out)
	return nil
}

// ourVersion is the release's, or the revision that a plain build remembers.
func ourVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "dev-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "dev"
}

// builtAt is when this program's source was committed: a clock that shows less is
// wrong. Zero if nobody said.
func builtAt() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return commitTime(built, info.Settings)
}

// commitTime takes what the linker was given, or what a plain build remembers.
func commitTime(linked string, settings []debug.BuildSetting) time.Time {
	if seconds, err := strconv.ParseInt(linked, 10, 64); err == nil && seconds > 0 {
		return time.Unix(seconds, 0).UTC()
	}
	for _, s := range settings {
		if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
			return at
		}
	}
	return time.Time{}
}
