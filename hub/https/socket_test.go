package https

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"testing"

	"actuatord/hub"
)

// TestSockets: what a bubble shows over pipes holds over TCP, where deadlines,
// buffers and ends are the kernel's: one connection while it lives, large
// telemetry, and an end while nobody used it that is no lost answer.
func TestSockets(t *testing.T) {
	id, err := testIdentity()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	const each = 3 // requests on a connection
	ended := make(chan struct{}, 9)
	go func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{id.cert}})
			p := &peer{conn: conn, raw: raw, buf: bufio.NewReader(conn)}
			for range each {
				p.request()
				p.say("%s", whole)
			}
			_ = raw.Close()
			ended <- struct{}{}
		}
	}()
	dials := 0
	n := network{id: id}
	cfg := n.config()
	cfg.Road.TCP = func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials++
		return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
	}
	c := New(cfg)
	defer c.Close()
	for round := range 3 {
		for i := range each {
			if i == 1 {
				if err := c.Send(t.Context(), testToken, hub.Telemetry{Body: make([]byte, 250<<10)}); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				continue
			}
			if r, ok, err := c.Receive(t.Context(), testToken); err != nil || !ok || r.Message.ID != "m1" {
				t.Fatalf("round %d, request %d: %+v, %v, %v", round, i, r, ok, err)
			}
		}
		if <-ended; dials != round+1 {
			t.Fatalf("%d connections after %d rounds", dials, round+1)
		}
	}
}
