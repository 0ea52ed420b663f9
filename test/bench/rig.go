package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"actuatord/hub/localhub"
)

// rig is where it all happens: a directory on the disk to be measured, the
// released binaries in it, and a hub in this process.
type rig struct {
	dir     string
	dist    string // the binaries, as cross-build.sh makes them
	node    *peerKit
	noNode  error // why there is no peer
	hub     *localhub.Hub
	watch   *watch
	mqtt    int // ports of the hub
	web     int
	ca      string
	notify  string // the service manager's socket
	sent    int    // messages so far: their ids are never used twice
	cancel  context.CancelFunc
	running sync.WaitGroup
	closing []func() error
}

func newRig(ctx context.Context, parent string) (_ *rig, err error) {
	dir, err := os.MkdirTemp(parent, "actbench") // short: a socket's path must stay below 108 bytes
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, dist: filepath.Join(dir, "dist"), watch: newWatch()}
	ctx, r.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if err := realDisk(dir); err != nil {
		return nil, err
	}
	r.note("building the released binaries")
	build := exec.CommandContext(ctx, "./cross-build.sh", r.dist)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build by ./cross-build.sh (run this at the root of the module): %w", err)
	}
	if r.node, r.noNode = newPeerKit(ctx); r.noNode != nil {
		r.note("no Node peer: %v", r.noNode)
	}
	// 50 unacknowledged deliveries: the whole queue of a device, so that a backlog
	// is bounded by the device and not by the hub.
	r.hub = localhub.New(localhub.Options{Window: 50, Observe: r.watch.observe})
	server, ca, err := localhub.TLSConfig(dir, "localhost")
	if err != nil {
		return nil, err
	}
	r.ca = ca
	if r.mqtt, err = r.serve(ctx, server, r.hub.Serve); err != nil {
		return nil, err
	}
	if r.web, err = r.serve(ctx, server, r.hub.ServeWeb); err != nil {
		return nil, err
	}
	return r, r.listenNotify(ctx)
}

// realDisk refuses a directory in memory: an fdatasync there costs nothing.
func realDisk(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if t := uint32(st.Type); t == unix.TMPFS_MAGIC || t == unix.RAMFS_MAGIC {
		return fmt.Errorf("%s lies in memory: give a directory on a disk with -dir", dir)
	}
	return nil
}

func (r *rig) serve(ctx context.Context, config *tls.Config, serve func(context.Context, net.Listener) error) (port int, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	r.running.Go(func() {
		if err := serve(ctx, tls.NewListener(ln, config)); err != nil {
			r.note("the hub has ended: %v", err) // what is measured will say the rest
		}
	})
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// listenNotify is the service manager's side of sd_notify: the daemon runs as it
// does under systemd, watchdog and all, which is part of what it costs when idle.
func (r *rig) listenNotify(ctx context.Context) error {
	r.notify = filepath.Join(r.dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.notify, Net: "unixgram"})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	r.running.Go(func() {
		defer stop()
		for b := make([]byte, 1024); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	})
	return nil
}

// close ends everything and removes the directory.
func (r *rig) close() error {
	var errs []error
	for _, f := range r.closing {
		errs = append(errs, f())
	}
	r.cancel()
	if r.hub != nil {
		r.hub.Close()
	}
	r.running.Wait()
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}
