package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"actuatord/hub/localhub"
)

// site is the hub and the two ports at which it is served.
type site struct {
	hub       *localhub.Hub
	variant   string
	ca        string
	mqtt, web *port
	ahead     atomic.Int64 // how far the hub's Date is wrong, a Duration
}

func newSite(f flags, r *record) (*site, error) {
	s := &site{}
	o := variant(f)
	s.variant = fmt.Sprintf("window %d, ignore-ack-order %t, ignore-late-ack %t, redeliver-on-expiry %t, locks-outlive-connection %t, feedback-batch %t, omit-empty-headers %t, nested-errors %t",
		o.Window, o.IgnoreAckOrder, o.IgnoreLateAck, o.RedeliverOnExpiry, o.LocksOutliveConnection, o.FeedbackBatch, o.OmitEmptyHeaders, o.NestedErrors)
	o.Observe = r.observe
	o.Date = func(now time.Time) time.Time { return now.Add(time.Duration(s.ahead.Load())) }
	s.hub = localhub.New(o)
	dir := filepath.Join(f.dir, "hub")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config, ca, err := localhub.TLSConfig(dir, "localhost")
	if err != nil {
		return nil, err
	}
	s.ca = ca
	if s.mqtt, err = newPort(config, s.hub.Serve); err == nil {
		s.web, err = newPort(config, s.hub.ServeWeb)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// variant is how the hub behaves where nobody outside Microsoft knows. Locks that
// outlive their connection make each settling a minute longer, and a narrow window
// lets a refused message hold up all others until the next visit: not for the gate.
func variant(f flags) localhub.Options {
	draw := rand.New(rand.NewPCG(f.seed, 'h'))
	coin := func() bool { return draw.IntN(2) == 0 }
	windows := []int{10, 50}
	if f.long() {
		windows = []int{10, 50, 1, 4}
	}
	return localhub.Options{
		Window:         windows[draw.IntN(len(windows))],
		IgnoreAckOrder: coin(), IgnoreLateAck: coin(), RedeliverOnExpiry: coin(),
		OmitEmptyHeaders: coin(), NestedErrors: coin(),
		LocksOutliveConnection: coin() && f.long(), FeedbackBatch: coin() && f.long(),
	}
}

func (s *site) close() error {
	err := errors.Join(s.mqtt.shut(), s.web.shut())
	s.hub.Close()
	return err
}

// port is one port of the hub, which can be shut and opened again.
type port struct {
	config *tls.Config
	serve  func(context.Context, net.Listener) error
	number int

	mu     sync.Mutex
	end    context.CancelFunc // nil: it is shut
	served chan error
}

func newPort(config *tls.Config, serve func(context.Context, net.Listener) error) (*port, error) {
	p := &port{config: config, serve: serve}
	return p, p.open()
}

// open listens, at the same number as before.
func (p *port) open() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		return nil
	}
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p.number))
	if err != nil {
		return fmt.Errorf("open port: %w", err)
	}
	p.number = ln.Addr().(*net.TCPAddr).Port
	ctx, end := context.WithCancel(context.Background())
	p.end, p.served = end, make(chan error, 1)
	go func() { p.served <- p.serve(ctx, tls.NewListener(ln, p.config)) }()
	return nil
}

// shut closes the port and every connection that came by it.
func (p *port) shut() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end == nil {
		return nil
	}
	p.end()
	p.end = nil
	return <-p.served
}
