package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"actuatord/agent"
	"actuatord/agent/config"
	"actuatord/hub"
	"actuatord/systemd"
)

// reloadWithin bounds how long the agent has to take up a connection string: it asks
// the hub about it first, for 20 s at most. systemd waits for minutes.
const reloadWithin = 30 * time.Second

// A reloader reads the connection string again at each SIGHUP, and hands the agent
// one that has changed. Whatever goes wrong, the old one stays in use.
type reloader struct {
	c      config.Config
	e      env
	notify *systemd.Notifier
	log    *slog.Logger
	to     chan<- agent.Reload
}

// follow serves signals until ctx ends. inUse is what the agent began with.
func (r reloader) follow(ctx context.Context, hup <-chan os.Signal, inUse hub.ConnectionString) {
	for {
		select {
		case <-hup:
		case <-ctx.Done():
			return
		}
		// Before the start is complete it is no reload to systemd, and a READY at its
		// end would be a lie.
		started := r.notify.Started()
		if started {
			r.told(r.notify.Reloading(monotonic()))
		}
		inUse = r.once(ctx, inUse)
		// Another signal may be that of the unit's ExecReload=, behind systemd's own
		// (reload-254.conf): what it is about is not done yet.
		if started && len(hup) == 0 {
			r.told(r.notify.Ready())
		}
	}
}

// once reads the connection string and answers the one that is in use afterwards.
func (r reloader) once(ctx context.Context, inUse hub.ConnectionString) hub.ConnectionString {
	id, err := config.Renewed(r.c, r.e.getenv("RUNTIME_DIRECTORY"), r.e.getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		r.log.Error("reload: the connection string cannot be read; the old one stays in use", "error", err)
		return inUse
	}
	if sameIdentity(id, inUse) {
		r.log.Info("reload: the connection string has not changed: it is what it was")
		return inUse
	}
	ctx, cancel := context.WithTimeout(ctx, reloadWithin)
	defer cancel()
	done := make(chan error, 1)
	select {
	case r.to <- agent.Reload{Identity: id, Done: done}:
		select {
		case err := <-done:
			if err == nil {
				return id
			}
			r.log.Error("reload: the old connection string stays in use", "error", err)
			return inUse
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	r.log.Error("reload: the agent did not take up the connection string in time; reload again", "waited", reloadWithin)
	return inUse
}

func (r reloader) told(err error) {
	if err != nil {
		r.log.Warn("the service manager was not told", "error", err)
	}
}

func sameIdentity(a, b hub.ConnectionString) bool {
	return a.HostName == b.HostName && a.DeviceID == b.DeviceID && a.GatewayHostName == b.GatewayHostName &&
		bytes.Equal(a.Key.Reveal(), b.Key.Reveal())
}

// monotonic is CLOCK_MONOTONIC, by which systemd tells this reload from an earlier
// one. It cannot fail with a clock that every kernel has.
func monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
