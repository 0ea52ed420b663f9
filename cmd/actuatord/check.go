package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"actuatord/agent"
	"actuatord/agent/command"
	"actuatord/agent/config"
	"actuatord/agent/control"
	"actuatord/board/linux"
	"actuatord/handlers"
	"actuatord/persist"
)

// runCheck says whether `run` can work here, line by line, and touches no
// output. Each line that is not ok says what to do.
func runCheck(args []string, e env) error {
	f := newFlags("check")
	payload := f.String("command", "", "say what this payload would do")
	deep := f.Bool("online", false, "can the hub be reached from here, and is the board fit for years alone")
	if err := f.noWords(args); err != nil {
		return err
	}
	c, err := config.Load(f.config)
	if err != nil {
		return err
	}
	if f.given("command") {
		return checkCommand(*payload, c, e)
	}
	k := checker{out: plain{e.out}}
	k.line("configuration", nil, fmt.Sprintf("%d outputs, %d levels, %d registers, %d inputs",
		len(c.Profile.Outputs), len(c.Profile.Levels), len(c.Profile.Registers), len(c.Profile.Inputs)))
	for _, w := range c.Warnings {
		k.warn("configuration", w)
	}
	id, idErr := config.ConnectionString(c, e.getenv("CREDENTIALS_DIRECTORY"))
	k.line("connection string", idErr, fmt.Sprintf("device %s at %s", id.DeviceID, id.HostName))
	r, rootsErr := newRoads(c.Hub, slog.New(slog.DiscardHandler))
	k.line("trust roots", rootsErr, "Azure's, and "+orNone(c.Hub.CAFile))
	k.board(c, e)
	k.journal(c)
	k.disabled(c)
	kernel := clock
	if e.kernel != nil {
		kernel = e.kernel
	}
	if now, trusted := kernel(); trusted {
		k.line("clock", nil, "the kernel counts it as synchronised")
	} else {
		k.warn("clock", fmt.Sprintf("%s, and the kernel does not count it as synchronised: until it does, or the hub has told the time, what hangs on time is refused; enable systemd-timesyncd or chrony", now.UTC().Format(time.RFC3339)))
	}
	if *deep {
		k.place(c.Journal.Path)
		k.watchdog("/sys/class/watchdog")
		if idErr == nil && rootsErr == nil {
			runOnline(&k, r, id, kernel)
		}
	}
	if k.failed {
		return &exitError{exitFailed}
	}
	return nil
}

type checker struct {
	out    io.Writer
	failed bool
}

func (k *checker) line(what string, err error, ok string) {
	if err != nil {
		k.failed = true
		fmt.Fprintf(k.out, "FAIL  %s: %v\n", what, err)
		return
	}
	fmt.Fprintf(k.out, "ok    %s: %s\n", what, ok)
}

// bad is a line that says what to do about it.
func (k *checker) bad(what string, err error, remedy string) {
	k.line(what, fmt.Errorf("%w; %s", err, remedy), "")
}

func (k *checker) warn(what, text string) { fmt.Fprintf(k.out, "warn  %s: %s\n", what, text) }

func orNone(file string) string {
	if file == "" {
		return "no other (ca_file is empty)"
	}
	return file
}

// board looks for every line and bus without taking one. A line that is there may
// still be another output's.
func (k *checker) board(c config.Config, e env) {
	if c.Board.Driver == "sim" {
		k.line("board", nil, "simulated; nothing real will move")
		return
	}
	buses, twins := map[string]bool{}, e.twinsOf(c)
	look := func(what, name, line string, find func(string) (string, error)) {
		if x, n, ok := c.Profile.OnExpander(line); ok {
			k.line(what+" "+name, nil, fmt.Sprintf("line %d of the %s at %#02x on bus %s", n, x.Chip, x.Address, x.Bus))
			buses[x.Bus] = true
			return
		}
		where, err := find(line)
		if twin := twins[name]; twin != nil {
			err = twin
		}
		k.line(what+" "+name, err, where)
	}
	for _, o := range c.Profile.Outputs {
		look("output", o.Name, o.Line, e.hardware().find)
	}
	for _, w := range c.Profile.Levels {
		look("level", w.Name, w.Line, linux.FindPWM)
	}
	for _, in := range c.Profile.Inputs {
		look("input", in.Name, in.Line, e.hardware().find)
	}
	for _, r := range c.Profile.Registers {
		buses[r.Bus] = true
	}
	for _, bus := range sorted(buses) {
		k.line("bus "+bus, linux.FindBus(bus), "there")
	}
	k.warn("after the process", linux.AfterExit())
	if len(c.Profile.Expanders) > 0 {
		k.warn("after the process", "an expander keeps the last levels of its lines until actuatord safe has run, which the service calls; its wiring must pull to safe for the time when it has no power")
	}
}

// journal asks the daemon if there is one, and the file if not.
func (k *checker) journal(c config.Config) {
	unlock, err := lock(c.Journal.Path)
	var busy *busyError
	if errors.As(err, &busy) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		a, err := control.Ask(ctx, control.Path(c.Journal.Path), agent.Request{Verb: agent.AskStatus})
		if err == nil && a.Status.Storage != "" {
			err = errors.New(a.Status.Storage)
		}
		k.line("journal", err, "in use by the running daemon, which finds it in order")
		return
	}
	if errors.Is(err, os.ErrNotExist) {
		k.line("journal", nil, "none yet; its directory is made by the service's first start, or by you")
		return
	}
	if err != nil {
		k.line("journal", err, "")
		return
	}
	unlock() // a look at the journal must not keep a daemon from starting
	if c.Board.Driver != config.DriverSim {
		if err := persist.CheckPlace(c.Journal.Path); err != nil {
			k.line("journal", err, "")
			return
		}
	}
	switch err := proveJournal(c.Journal.Path); {
	case errors.Is(err, os.ErrNotExist):
		k.line("journal", nil, "none yet; the first run makes it")
	default:
		k.line("journal", err, "every record proven")
	}
}

// disabled tells what people have taken out of use.
func (k *checker) disabled(c config.Config) {
	list, err := persist.ReadDisabled(persist.DisabledPath(c.Journal.Path))
	switch {
	case errors.Is(err, os.ErrPermission):
		k.warn("disabled", err.Error()+"; or only you may not read it: check as root, or as the user that runs actuatord")
	case err != nil:
		k.line("disabled", err, "")
	}
	for _, d := range list {
		k.warn("disabled", agent.Sentence(d)+"; 'actuatord enable "+d.Target+"' puts it back into use")
	}
}

func proveJournal(path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	return checkInChild(context.Background(), path)
}

// checkCommand says what a payload would do on outputs that are all safe.
func checkCommand(file string, c config.Config, e env) error {
	var payload []byte
	var err error
	if file == "-" {
		payload, err = io.ReadAll(io.LimitReader(e.in, 1<<20))
	} else {
		payload, err = os.ReadFile(file)
	}
	if err != nil {
		return &usageError{err}
	}
	table := handlers.New(c.Profile, c.Default.Log)
	cmd, refusal := table.Decode(payload)
	var plan command.Plan
	if refusal == nil {
		plan, refusal = table.Plan(cmd, func(output string) (on, known bool) {
			for _, o := range c.Profile.Outputs {
				if o.Name == output {
					return o.SafeOn, true
				}
			}
			return false, false
		})
	}
	if refusal != nil {
		return &notDoneError{"it would be refused: " + refusal.Error()}
	}
	if now, _ := clock(); !cmd.Expires.IsZero() && !now.Before(cmd.Expires) {
		return &notDoneError{"it would be refused: expired at " + cmd.Expires.UTC().Format(time.RFC3339)}
	}
	fmt.Fprintln(plain{e.out}, explain(cmd, plan))
	return nil
}

func explain(c command.Command, p command.Plan) string {
	var b strings.Builder
	level := map[bool]string{true: "on", false: "off"}[p.Op.On]
	switch p.Op.Kind {
	case command.OpSet:
		fmt.Fprintf(&b, "it would drive %s %s", p.Op.Target, level)
		if p.Op.For > 0 {
			fmt.Fprintf(&b, ", and back to its safe level after %v", p.Op.For)
		}
	case command.OpLevel:
		fmt.Fprintf(&b, "it would set %s to %v %%", p.Op.Target, p.Op.Percent)
		if p.Op.For > 0 {
			fmt.Fprintf(&b, ", and back to its safe level after %v", p.Op.For)
		}
	case command.OpPulse:
		fmt.Fprintf(&b, "it would drive %s away from its safe level for %v", p.Op.Target, p.Op.For)
	case command.OpWrite:
		fmt.Fprintf(&b, "it would write %x to register 0x%02x of %s", p.Op.Bytes, p.Op.Register, p.Op.Target)
	case command.OpSafe:
		b.WriteString("it would drive every output, level and register to its safe level")
	case command.OpRead:
		b.WriteString("it would report the level of every output and level")
	case command.OpLog:
		b.WriteString("it would be written to the log")
	}
	if p.OnceOnly {
		b.WriteString("; once only: after an interruption it is not tried again")
	}
	if c.ID == "" && (p.OnceOnly || p.Op.For > 0) {
		b.WriteString("; it needs a message id, or an \"id\" in the body")
	}
	if p.MaxAge > 0 {
		fmt.Fprintf(&b, "; at most %v after it was sent", p.MaxAge)
	}
	if !c.Expires.IsZero() {
		fmt.Fprintf(&b, "; not after %s", c.Expires.UTC().Format(time.RFC3339))
	}
	return b.String()
}

// runJournal proves the journal, or settles a doubt about what came before it.
func runJournal(args []string, e env) error {
	f := newFlags("journal")
	child := f.String("child", "", "internal: check this file in a process of its own")
	words, err := f.parse(args)
	if err != nil {
		return err
	}
	switch {
	case len(words) == 1 && words[0] == "check" && *child != "":
		if code := persist.CheckMain(*child, e.out); code != 0 {
			return &exitError{code}
		}
		return nil
	case len(words) == 1 && words[0] == "check":
		c, err := config.Load(f.config)
		if err != nil {
			return err
		}
		k := checker{out: plain{e.out}}
		if k.journal(c); k.failed {
			return &exitError{exitFailed}
		}
		return nil
	case len(words) == 1 && words[0] == "reset":
		return resetJournal(f.config, e)
	}
	return &usageError{errors.New("journal needs one of: check, reset")}
}

// resetJournal clears the doubt about history, by the daemon if one runs.
func resetJournal(configFile string, e env) error {
	a, c, err := ask(configFile, agent.Request{Verb: agent.AskReset}, 10*time.Second)
	var none *control.NoDaemonError
	switch {
	case errors.As(err, &none):
		err = resetFile(c, e)
	case err == nil:
		fmt.Fprintf(plain{e.out}, "history was %s and is clear now: once-only commands run again\n", a.Was)
	}
	return err
}

// resetFile does it where no daemon runs. The file is opened as the daemon
// would; an unclean stop before it stays one.
func resetFile(c config.Config, e env) error {
	id, err := config.ConnectionString(c, e.getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return &usageError{err}
	}
	now, trusted := clock()
	j, opened, err := opener(c, id)(context.Background(), now)
	if err != nil {
		return err
	}
	was := j.History().State
	var b persist.Batch
	b.History(persist.History{State: persist.HistoryClear, Since: now, Dated: trusted})
	if !opened.Unclean {
		b.Clean()
	}
	if err := errors.Join(j.Commit(&b), j.Close()); err != nil {
		return err
	}
	fmt.Fprintf(plain{e.out}, "history was %s and is clear now: once-only commands run again\n", was)
	return nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
