package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"actuatord/agent"
	"actuatord/agent/command"
	"actuatord/agent/config"
	"actuatord/agent/control"
	"actuatord/persist"
)

// doPatience covers a command's turn, and behind it 30 s of retries of its own.
const doPatience = agent.DoPatience + 45*time.Second

// ask puts one request to the daemon of the configuration.
func ask(configFile string, r agent.Request, patience time.Duration) (agent.Answer, config.Config, error) {
	c, err := config.Load(configFile)
	if err != nil {
		return agent.Answer{}, c, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := control.Ask(ctx, control.Path(c.Journal.Path), r)
	return a, c, whyDeaf(err, c.Journal.Path)
}

// whyDeaf tells a daemon that runs without its socket from none at all.
func whyDeaf(err error, journal string) error {
	var none *control.NoDaemonError
	if !errors.As(err, &none) {
		return err
	}
	unlock, locked := lock(journal)
	if locked == nil {
		unlock()
	}
	var busy *busyError
	if !errors.As(locked, &busy) {
		return err
	}
	return fmt.Errorf("a daemon runs with this configuration and cannot be asked, since it has no socket (%s): is the journal's disk full or read-only? Its log says why", none.Path)
}

// runDo carries out one command from the spot: `do pump on --for 2s`.
func runDo(args []string, e env) error {
	f := newFlags("do")
	length := f.String("for", "", "how long")
	percent := f.String("percent", "", "how much of the time")
	register := f.String("register", "", "the register's address")
	bytes := f.String("bytes", "", "the bytes, in hex")
	words, err := f.parse(args)
	if err != nil {
		return err
	}
	if len(words) != 2 {
		return &usageError{errors.New("do needs a target and an action: actuatord do pump on --for 2s")}
	}
	body := map[string]any{"target": words[0], "action": words[1]}
	if *length != "" {
		body["for"] = *length
	}
	if *percent != "" {
		body["percent"] = json.Number(*percent)
		if !json.Valid([]byte(*percent)) {
			return &usageError{fmt.Errorf("--percent %q: want a number from 0 to 100, such as 12.5", *percent)}
		}
	}
	if *bytes != "" {
		body["bytes"] = *bytes
	}
	if *register != "" {
		n, err := strconv.ParseUint(*register, 0, 8)
		if err != nil {
			return &usageError{fmt.Errorf("--register %q: want a number from 0 to 255, such as 0x40", *register)}
		}
		body["register"] = n
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return err
	}
	a, _, err := ask(f.config, agent.Request{Verb: agent.AskDo, Payload: payload}, doPatience)
	if err != nil {
		return err
	}
	if a.Outcome == nil {
		return errStrange
	}
	return told(plain{e.out}, *a.Outcome)
}

// errStrange is an answer without what was asked for.
var errStrange = errors.New("the daemon's answer cannot be used: is it of another version? Restart it")

// told prints an outcome and makes the error that fits it.
func told(w io.Writer, r command.Report) error {
	if r.Outcome != command.Done.String() {
		return &notDoneError{fmt.Sprintf("%s: %s: %s", r.Outcome, r.Reason, r.Detail)}
	}
	fmt.Fprintf(w, "done: %s %s", r.Target, r.Action)
	if r.Level != "" {
		fmt.Fprintf(w, ", now %s", r.Level)
	}
	if r.Percent != nil {
		fmt.Fprintf(w, " at %v %%", *r.Percent)
	}
	fmt.Fprintf(w, " (%d ms)\n", r.DurationMs)
	printLevels(w, r.Levels)
	printLevels(w, r.Inputs)
	return nil
}

// printLevels writes a line for each name and its level, or its state.
func printLevels(w io.Writer, levels map[string]string) {
	for _, name := range sorted(levels) {
		fmt.Fprintf(w, "  %s %s\n", name, levels[name])
	}
}

// runSafe drives everything safe: by the daemon if one runs, and by itself if
// not. It works with a configuration that is faulty elsewhere, since it is what
// the service manager calls when the daemon has failed.
func runSafe(args []string, e env) (result error) {
	f := newFlags("safe")
	if err := f.noWords(args); err != nil {
		return err
	}
	wiring, err := config.LoadOutputs(f.config)
	if err != nil {
		return err
	}
	by := time.Now().Add(safeWithin)
	if _, err := config.Load(f.config); err != nil {
		fmt.Fprintf(e.err, "actuatord: %v\nactuatord: what could be read of it is driven safe\n", err)
		defer func() {
			if result == nil {
				result = &exitError{exitUsage}
			}
		}()
	}
	unlock, err := lock(wiring.JournalPath)
	var busy *busyError
	if !errors.As(err, &busy) {
		if err == nil {
			defer unlock()
		} // without a directory there is no daemon either
		return driveSafe(wiring, by, e)
	}
	ctx, cancel := context.WithDeadline(context.Background(), by)
	defer cancel()
	a, err := control.Ask(ctx, control.Path(wiring.JournalPath), agent.Request{Verb: agent.AskSafe})
	var none *control.NoDaemonError
	switch {
	case errors.As(err, &none):
		// Nobody answers. If somebody holds the lines all the same they are busy,
		// which is said; a register can be written safe twice.
		fmt.Fprintln(e.err, "actuatord:", whyDeaf(err, wiring.JournalPath))
		return driveSafe(wiring, by, e)
	case err != nil:
		return fmt.Errorf("a daemon holds the outputs and does not answer: %w", err)
	}
	printLevels(plain{e.out}, a.Levels)
	for _, target := range sorted(a.Faults) {
		fmt.Fprintf(plain{e.err}, "actuatord: %s is not at its safe level: %s\n", target, a.Faults[target])
	}
	if len(a.Faults) > 0 {
		return &exitError{exitFailed}
	}
	fmt.Fprintln(e.out, "the daemon drove every output safe")
	return nil
}

// driveSafe takes every output itself and drives it safe, outputs before
// registers. A board that hangs is left hanging: this process ends in time, and
// its lines are the kernel's again.
func driveSafe(what config.Wiring, by time.Time, e env) error {
	done := make(chan error, 1)
	go func() {
		b, err := openBoard(what.Board, what.Profile, newLog(e.err, e.getenv))
		if err != nil {
			done <- err
			return
		}
		faults := b.Faults()
		for _, fault := range faults {
			fmt.Fprintf(e.err, "actuatord: %s is not at its safe level: %v\n", fault.Target, fault.Err)
		}
		if len(faults) > 0 {
			done <- &exitError{exitFailed}
			return
		}
		fmt.Fprintf(e.out, "%d outputs and levels, and %d registers, are at their safe levels\n", len(what.Profile.Outputs)+len(what.Profile.Levels), len(what.Profile.Registers))
		done <- b.Close()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Until(by)):
		return fmt.Errorf("not every output and register was driven safe within %v: a line or a bus hangs", safeWithin)
	}
}

// safeWithin is below the 5 s that a stop may take (design §2, promise 5).
const safeWithin = 4 * time.Second

// line is one record for a person.
func line(r command.Record) string {
	at := "clock was not set  "
	if !r.FirstSeen.IsZero() {
		at = r.FirstSeen.UTC().Format(time.DateTime)
	}
	what := strings.TrimSpace(r.Target + " " + r.Action)
	if what == "" {
		what = "(unreadable)"
	}
	s := fmt.Sprintf("%s  %-11s  %s  %s", at, r.State, what, r.Key)
	if r.Reason != "" {
		s += fmt.Sprintf("  %s: %s", r.Reason, r.Detail)
	}
	return s
}

func runHistory(args []string, e env) error {
	f := newFlags("history")
	n := f.Int("n", 20, "how many")
	asJSON := f.Bool("json", false, "as JSON")
	if err := f.noWords(args); err != nil {
		return err
	}
	if *n < 1 || *n > 1000 {
		return &usageError{fmt.Errorf("-n %d: want 1 to 1000", *n)}
	}
	a, c, err := ask(f.config, agent.Request{Verb: agent.AskHistory, Count: *n}, 10*time.Second)
	records := a.History
	var none *control.NoDaemonError
	if errors.As(err, &none) {
		records, err = readHistory(c.Journal.Path, *n)
	}
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(e.out, records)
	}
	for _, r := range records {
		fmt.Fprintln(plain{e.out}, line(r))
	}
	return nil
}

func readHistory(path string, n int) ([]command.Record, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no journal at %s yet; the first run makes it", path)
	}
	j, err := persist.ReadOnly(path)
	if err != nil {
		return nil, err
	}
	records, err := j.Recent(n)
	return records, errors.Join(err, j.Close())
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
