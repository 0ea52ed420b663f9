package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"actuatord/hub"
)

// TestConnackCodes: every code MQTT has and some it has not; the answer ends the attempt in one
// CONNECT, without a second one in an older version of the protocol.
func TestConnackCodes(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		for _, code := range []byte{1, 2, 3, 4, 5, 6, 128, 254, 255} {
			want := hub.ConnackError(code)
			before := len(n.dials)
			err := n.refuse(t.Context(), n.config(), func(p *peer) { p.read(); p.connack(code, true) })
			wantError(t, err, hub.ClassOf(want), hub.CauseOf(want))
			if len(n.dials) != before+1 {
				t.Fatalf("code %d: dialled %d times; want once", code, len(n.dials)-before)
			}
		}
	})
}

// TestConnectFaults: a peer that does anything but answer CONNECT with CONNACK.
func TestConnectFaults(t *testing.T) {
	tests := []struct {
		name   string
		script func(p *peer)
		class  hub.Class
		cause  string
	}{
		{"closes", func(p *peer) { p.read(); _ = p.conn.Close() }, hub.RetrySoon, hub.CauseNetwork},
		{"is silent", func(p *peer) { p.read() }, hub.RetrySoon, hub.CauseNetwork},
		{"answers with PINGRESP", func(p *peer) { p.read(); p.sendRaw(0xd0, 0) }, hub.RetrySlowly, hub.CauseProtocol},
		{"answers with HTTP", func(p *peer) { p.read(); p.sendRaw([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")...) }, hub.RetrySlowly, hub.CauseProtocol},
		{"answers with a message", func(p *peer) { p.read(); p.publish(1, bound, "") }, hub.RetrySlowly, hub.CauseProtocol},
		{"sends half a CONNACK", func(p *peer) { p.read(); p.sendRaw(0x20, 2, 0); _ = p.conn.Close() }, hub.RetrySoon, hub.CauseNetwork},
		{"sends a long CONNACK", func(p *peer) { p.read(); p.sendRaw(0x20, 3, 0, 0, 0) }, hub.RetrySlowly, hub.CauseProtocol},
		{"announces 256 MiB", func(p *peer) { p.read(); p.sendRaw(0x20, 0xff, 0xff, 0xff, 0x7f) }, hub.RetrySlowly, hub.CauseProtocol},
		{"sends a length without end", func(p *peer) { p.read(); p.sendRaw(0x20, 0xff, 0xff, 0xff, 0xff, 0xff) }, hub.RetrySlowly, hub.CauseProtocol},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				start := time.Now()
				wantError(t, n.refuse(t.Context(), n.config(), test.script), test.class, test.cause)
				if d := time.Since(start); d > connectLimit {
					t.Errorf("took %v; want %v at most", d, connectLimit)
				}
			})
		})
	}
}

// TestConnectIsCancelled at each of the points where it can wait.
func TestConnectIsCancelled(t *testing.T) {
	silent := func(*network) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			return near, nil
		}
	}
	noUpgrade := func(n *network) func(context.Context, string, string) (net.Conn, error) {
		return n.scripted(func(net.Conn, string) {})
	}
	tests := []struct {
		name string
		dial func(*network) func(context.Context, string, string) (net.Conn, error)
	}{
		{"dial", func(*network) func(context.Context, string, string) (net.Conn, error) {
			return func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		}},
		{"TLS", silent},
		{"upgrade", noUpgrade},
		{"CONNACK", nil},
	}
	for _, test := range tests {
		for _, cancelled := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", test.name, cancelled), func(t *testing.T) {
				bubble(t, func(t *testing.T, n *network) {
					cfg := n.config()
					if test.dial != nil {
						cfg.Road.TCP = test.dial(n)
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					limit, why := connectLimit, context.DeadlineExceeded
					if cancelled {
						limit, why = 5*time.Second, context.Canceled
						defer time.AfterFunc(limit, cancel).Stop()
					}
					start := time.Now()
					err := n.refuse(ctx, cfg, func(p *peer) { p.read() })
					wantError(t, err, hub.RetrySoon, hub.CauseNetwork)
					if d := time.Since(start); d != limit || !errors.Is(err, why) {
						t.Errorf("gave up after %v because of %v; want %v, %v", d, err, limit, why)
					}
				})
			})
		}
	}
}

// TestGateway: the gateway's name is dialled and verified, the hub's name is
// what we are known by.
func TestGateway(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		cfg := n.config()
		cfg.Host, cfg.Gateway, cfg.Port = "contoso.azure-devices.net", testHost, 443
		s, _ := n.connect(cfg, 1)
		defer s.Close()
		if n.dials[0] != "hub.example:443" {
			t.Errorf("dialled %v", n.dials)
		}
	})
}
