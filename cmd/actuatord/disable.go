package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"actuatord/agent"
	"actuatord/agent/config"
	"actuatord/agent/control"
	"actuatord/board"
	"actuatord/persist"
)

// disablePatience covers what the daemon does in its loop meanwhile: a board that
// hangs takes 3 s to be given up, a slow card some more to write.
const disablePatience = 20 * time.Second

func runDisable(args []string, e env) error {
	f := newFlags("disable")
	why := f.String("why", "", "what people are to know, in a few words")
	target, err := f.target(args)
	if err != nil {
		return err
	}
	r := agent.Request{Verb: agent.AskDisable, Target: target, Why: *why}
	a, c, err := ask(f.config, r, disablePatience)
	if absent(err) {
		return writeDisabled(c, e, func(list []persist.Disabled) ([]persist.Disabled, error) {
			now, trusted := clock()
			if now = now.UTC().Truncate(time.Second); !trusted {
				now = time.Time{}
			}
			return agent.Disabling(list, persist.Disabled{Target: target, Since: now, Who: control.Person(os.Getuid()), Why: *why}, c.Profile)
		}, target+" is disabled; no daemon runs, and what its line does until one starts is the wiring's affair: 'actuatord safe' drives it safe now")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(plain{e.out}, "%s is disabled: nobody takes it from its safe level before 'actuatord enable %s'\n", target, target)
	bad := false
	for _, name := range sorted(a.Faults) {
		if name == target || target == board.All || name == "board" {
			bad = true
			fmt.Fprintf(plain{e.err}, "actuatord: %s is not at its safe level: %s\n", name, a.Faults[name])
		}
	}
	if bad {
		return &exitError{exitFailed}
	}
	return nil
}

func runEnable(args []string, e env) error {
	f := newFlags("enable")
	target, err := f.target(args)
	if err != nil {
		return err
	}
	a, c, err := ask(f.config, agent.Request{Verb: agent.AskEnable, Target: target}, disablePatience)
	said := target + " is enabled; it stays where it is until the next command"
	if absent(err) {
		err = writeDisabled(c, e, func(list []persist.Disabled) ([]persist.Disabled, error) {
			return agent.Enabling(list, target, c.Profile)
		}, said)
		if errors.Is(err, agent.ErrEnabled) {
			a.Was, err = agent.ErrEnabled.Error(), nil
		} else {
			return err
		}
	}
	if err != nil {
		return err
	}
	if a.Was != "" {
		said = target + ": " + a.Was
	}
	fmt.Fprintln(plain{e.out}, said)
	return nil
}

// target parses the one word that disable and enable take.
func (f *flags) target(args []string) (string, error) {
	words, err := f.parse(args)
	if err == nil && len(words) != 1 {
		err = &usageError{fmt.Errorf("%s needs one output, level or register, or all", f.Name())}
	}
	if err != nil {
		return "", err
	}
	return words[0], nil
}

// absent reports whether err says that no daemon runs.
func absent(err error) bool {
	var none *control.NoDaemonError
	return errors.As(err, &none)
}

// writeDisabled changes the file where no daemon runs, and keeps one from starting
// meanwhile.
func writeDisabled(c config.Config, e env, change func([]persist.Disabled) ([]persist.Disabled, error), said string) error {
	unlock, err := lock(c.Journal.Path)
	if err != nil {
		return err
	}
	defer unlock()
	if c.Board.Driver != config.DriverSim {
		if err := persist.CheckPlace(c.Journal.Path); err != nil {
			return err
		}
	}
	path := persist.DisabledPath(c.Journal.Path)
	list, err := persist.ReadDisabled(path)
	if err != nil {
		fmt.Fprintf(plain{e.err}, "actuatord: %v\n", err)
		list = agent.EverythingDisabled(time.Time{})
	}
	if list, err = change(list); err != nil {
		return err
	}
	if err := persist.WriteDisabled(path, list); err != nil {
		return fmt.Errorf("%w; what was disabled before may be so still, or not: try again", err)
	}
	fmt.Fprintln(plain{e.out}, said)
	return nil
}
