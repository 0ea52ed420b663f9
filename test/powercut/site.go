package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"actuatord/hub/localhub"
)

// window is how many deliveries may be unacknowledged. A refused message, such as a
// command that a cut interrupted, holds up all behind it until the next visit, a
// minute later at most: with the hub's ten a device would wait for that most of the time.
const window = 50

// site is the hub, and the two loopback ports at which it is served.
type site struct {
	hub       *localhub.Hub
	ca        string
	mqtt, web int

	end    context.CancelFunc
	served chan error

	mu       sync.Mutex
	watchers map[string]func(localhub.Event) // by device
}

func newSite(dir string) (*site, error) {
	s := &site{served: make(chan error, 2), watchers: map[string]func(localhub.Event){}}
	s.hub = localhub.New(localhub.Options{Host: host, Window: window, Observe: s.observe})
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config, ca, err := localhub.TLSConfig(dir, host)
	if err != nil {
		return nil, err
	}
	s.ca = ca
	var listeners []net.Listener
	for range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("serve hub: %w", err)
		}
		listeners = append(listeners, ln)
	}
	s.mqtt, s.web = listeners[0].Addr().(*net.TCPAddr).Port, listeners[1].Addr().(*net.TCPAddr).Port
	var ctx context.Context
	ctx, s.end = context.WithCancel(context.Background())
	go func() { s.served <- s.hub.Serve(ctx, tls.NewListener(listeners[0], config)) }()
	go func() { s.served <- s.hub.ServeWeb(ctx, tls.NewListener(listeners[1], config)) }()
	return s, nil
}

func (s *site) observe(e localhub.Event) {
	s.mu.Lock()
	watcher := s.watchers[e.Device]
	s.mu.Unlock()
	if watcher != nil {
		watcher(e)
	}
}

// watch has a device's events go to fn.
func (s *site) watch(device string, fn func(localhub.Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[device] = fn
}

// device adds one, and answers its connection string.
func (s *site) device(id string) (connection string, err error) {
	d, err := s.hub.AddDevice(id)
	if err != nil {
		return "", err
	}
	return d.ConnectionString(host), nil
}

func (s *site) close() error {
	s.end()
	err := errors.Join(<-s.served, <-s.served)
	s.hub.Close()
	return err
}
