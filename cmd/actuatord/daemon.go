package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"actuatord/agent"
	"actuatord/agent/config"
	"actuatord/agent/control"
	"actuatord/board"
	"actuatord/board/expander"
	"actuatord/board/linux"
	"actuatord/board/sim"
	"actuatord/hub"
	"actuatord/persist"
	"actuatord/systemd"
)

// runDaemon is the service. The order is promise 5: the lock, so that no second
// daemon disturbs the first; two outputs that are one line, which is a fault of the
// configuration that only the board shows; then every output safe; and only then what
// can fail: the credential, the journal, the hub.
func runDaemon(args []string, e env) error {
	f := newFlags("run")
	if err := f.noWords(args); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	hup := make(chan os.Signal, 1) // room for one: a second that comes meanwhile wants the same
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	c, err := config.Load(f.config)
	if err != nil {
		return err
	}
	log := newLog(e.err, e.getenv)
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	unlock, err := lock(c.Journal.Path)
	if err != nil {
		return err
	}
	defer unlock()
	if err := refuseTwins(c, e); err != nil {
		return err
	}
	b, err := openBoard(c.Board, c.Profile, log)
	if err != nil {
		return err
	}
	o, err := wire(c, b, log, e)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	requests, reloads := make(chan agent.Request), make(chan agent.Reload)
	o.Control, o.Reload = requests, reloads
	go reloader{c, e, o.Notify, log, reloads}.follow(ctx, hup, o.Identity)
	go serveControl(ctx, control.Path(c.Journal.Path), requests, log)
	err = agent.New(o).Run(ctx)
	if !errors.Is(err, board.ErrStuck) { // nothing more can be had of a board that hangs, and a stop has 5 s
		err = errors.Join(err, b.Close())
	}
	if err == nil {
		log.Info("stopped: outputs are safe")
	}
	return err
}

// serveControl makes the control socket and serves it. Where it cannot be made (a
// disk that is full or read-only) it is tried again: the board's work does not
// hang on somebody being able to ask about it, but somebody will want to.
func serveControl(ctx context.Context, path string, requests chan<- agent.Request, log *slog.Logger) {
	for said := ""; ; {
		l, err := control.Listen(path)
		if err == nil {
			control.Serve(ctx, l, requests)
			return
		}
		if said != err.Error() { // once
			said = err.Error()
			log.Error("no control socket: status, do and safe cannot reach this daemon", "error", err, "again", controlRetry)
		}
		select {
		case <-time.After(controlRetry):
		case <-ctx.Done():
			return
		}
	}
}

// controlRetry is the journal's: the two share a directory, and its troubles.
const controlRetry = 30 * time.Second

// wire makes the agent's options from the configuration.
func wire(c config.Config, b *board.Board, log *slog.Logger, e env) (agent.Options, error) {
	if err := config.ForgetRenewal(e.getenv("RUNTIME_DIRECTORY")); err != nil {
		log.Warn("a reload may find an old connection string", "error", err)
	}
	id, err := config.ConnectionString(c, e.getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return agent.Options{}, &usageError{err}
	}
	r, err := newRoads(c.Hub, log)
	if err != nil {
		return agent.Options{}, &usageError{err}
	}
	return agent.Options{
		Config: c, Identity: id, Board: b, Version: ourVersion(), Built: builtAt(), Log: log,
		Open:    opener(c, id),
		Connect: r.connect, Probe: r.probe, REST: r.client, Time: r.time, CheckKey: r.checkKey,
		Kernel: clock,
		Notify: systemd.FromEnv(e.getenv),
		Edge:   e.edge,
	}, nil
}

func opener(c config.Config, id hub.ConnectionString) func(context.Context, time.Time) (*persist.Journal, persist.Opened, error) {
	o := persist.Options{
		Keep:     c.Journal.Keep,
		Volatile: c.Board.Driver == "sim", // nothing real depends on it then
		Check:    checkInChild,
	}
	return func(ctx context.Context, now time.Time) (*persist.Journal, persist.Opened, error) {
		return persist.Open(ctx, c.Journal.Path, persist.Identity{Hub: id.HostName, Device: id.DeviceID}, now, o)
	}
}

// checkInChild has a child of this program prove the journal: bad content can
// kill or hang whoever reads it. The name we were started by is preferred to the
// kernel's link to our file, which after an upgrade names one that is gone.
func checkInChild(ctx context.Context, path string) error {
	exe := os.Args[0]
	if !filepath.IsAbs(exe) {
		var err error
		if exe, err = os.Executable(); err != nil {
			return fmt.Errorf("find this program, to check the journal in a child of it: %w", err)
		}
	}
	return persist.CheckInChild(ctx, exe, []string{"journal", "check", "--child"}, path)
}

// clock answers the time, and whether the kernel counts it as synchronised
// (adjtimex(2): STA_UNSYNC clear).
func clock() (time.Time, bool) {
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	return time.Now(), err == nil && t.Status&unix.STA_UNSYNC == 0
}

// openBoard drives every output safe and answers a board that keeps trying
// where that failed. The simulated board has every line there is, those of expanders
// too: its trace shows what outputs do, where simulated chips would show registers.
func openBoard(c config.Board, p board.Profile, log *slog.Logger) (*board.Board, error) {
	var d board.Driver
	switch c.Driver {
	case "sim":
		s, err := sim.New(c.Trace)
		if err != nil {
			return nil, &usageError{err}
		}
		d = s
	default:
		d = expander.New(linux.New(), p)
	}
	return board.Open(p, d, log), nil
}

// BusyError reports that another daemon has the outputs.
type busyError struct{ path string }

func (e *busyError) Error() string {
	return fmt.Sprintf("another actuatord runs with the journal %s; no output was touched", e.path)
}

const lockPatience = time.Second

// lock makes sure that this is the only daemon on the journal. It locks the
// directory rather than a file in it: that works on a disk that is full or
// read-only, where outputs must go safe all the same.
func lock(journal string) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(journal))
	if err != nil {
		return nil, fmt.Errorf("lock the journal's directory: %w; make it, owned by the user that runs actuatord", err)
	}
	// A daemon that was just killed may hold it for a moment more, in a child that
	// is about to become another program.
	for until := time.Now().Add(lockPatience); ; {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(until) {
			break
		}
		<-time.After(lockPatience / 20)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = &busyError{journal}
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return func() { dir.Close() }, nil
}

// newLog writes one line an event. Under journald, which adds the time itself, the
// level is the <N> in front (sd-daemon(3)); elsewhere the line has both in words.
func newLog(w io.Writer, getenv func(string) string) *slog.Logger {
	if getenv("JOURNAL_STREAM") == "" {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(levelled{w}, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}
