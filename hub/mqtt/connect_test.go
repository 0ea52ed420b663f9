package mqtt

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	silent := func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		return near, nil
	}
	tests := []struct {
		name string
		dial func(context.Context, string, string) (net.Conn, error)
	}{
		{"dial", func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }},
		{"TLS", silent},
		{"CONNACK", nil},
	}
	for _, test := range tests {
		for _, cancelled := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", test.name, cancelled), func(t *testing.T) {
				bubble(t, func(t *testing.T, n *network) {
					cfg := n.config()
					if test.dial != nil {
						cfg.Dial = test.dial
					}
					ctx, cancel, want := t.Context(), func() {}, connectLimit
					if cancelled {
						want = 5 * time.Second
						ctx, cancel = context.WithTimeout(ctx, want)
					}
					defer cancel()
					start := time.Now()
					wantError(t, n.refuse(ctx, cfg, func(p *peer) { p.read() }), hub.RetrySoon, hub.CauseNetwork)
					if d := time.Since(start); d != want {
						t.Errorf("gave up after %v; want %v", d, want)
					}
				})
			})
		}
	}
}

// TestTLS: nobody but the hub gets to see the token.
func TestTLS(t *testing.T) {
	stranger, err := newIdentity(testHost)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newIdentity("other.example")
	if err != nil {
		t.Fatal(err)
	}
	trustOther := mustIdentity(t).pool.Clone()
	trustOther.AddCert(other.cert.Leaf)
	tests := []struct {
		name  string
		peer  func(c *tls.Config)
		cfg   func(c *Config)
		class hub.Class
		cause string
	}{
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, nil, hub.RetrySlowly, hub.CauseTLS},
		{"unknown root", func(c *tls.Config) { c.Certificates = []tls.Certificate{stranger.cert} }, nil, hub.RetrySlowly, hub.CauseTLS},
		{"wrong name", func(c *tls.Config) { c.Certificates = []tls.Certificate{other.cert} }, func(c *Config) { c.Roots = trustOther }, hub.RetrySlowly, hub.CauseTLS},
		{"suite without forward secrecy", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}, nil, hub.RetrySlowly, hub.CauseTLS},
		{"not yet valid by our clock", nil, func(c *Config) {
			c.Now = func() time.Time { return time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC) }
		}, hub.RetrySlowly, hub.CauseTLS},
		{"only the Azure roots", nil, func(c *Config) { c.Roots = AzureRoots() }, hub.RetrySlowly, hub.CauseTLS},
		{"no TLS", nil, func(c *Config) {
			c.Dial = script(func(conn net.Conn) { _, _ = conn.Write([]byte("220 smtp.example ESMTP\r\n")) })
		}, hub.RetrySlowly, hub.CauseTLS},
		{"closed", nil, func(c *Config) { c.Dial = script(func(net.Conn) {}) }, hub.RetrySoon, hub.CauseNetwork},
		{"refused", nil, func(c *Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
		}, hub.RetrySoon, hub.CauseNetwork},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				n.wrap = buffered
				if test.peer != nil {
					test.peer(n.tls)
				}
				cfg := n.config()
				if test.cfg != nil {
					test.cfg(&cfg)
				}
				err := n.refuse(t.Context(), cfg, func(*peer) { t.Error("the handshake succeeded") })
				wantError(t, err, test.class, test.cause)
			})
		})
	}
}

// buffered gives a peer's end of a pipe what a socket has: room for what it
// writes. Without it both ends wait when each has something to say, as when one
// sends its certificate and the other its refusal of it.
func buffered(conn net.Conn) net.Conn {
	b := &bufferedConn{Conn: conn, out: make(chan []byte, 100)}
	go func() {
		for p := range b.out {
			if _, err := conn.Write(p); err != nil {
				break
			}
		}
		_ = conn.Close()
	}()
	return b
}

type bufferedConn struct {
	net.Conn
	out  chan []byte
	once sync.Once
}

func (b *bufferedConn) Write(p []byte) (int, error) {
	b.out <- slices.Clone(p)
	return len(p), nil
}

func (b *bufferedConn) Close() error {
	b.once.Do(func() { close(b.out) }) // what is in it is still written, as TCP does
	return nil
}

// script dials to a peer that reads once, does what f says, and closes.
func script(f func(net.Conn)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer func() { _ = far.Close() }()
			_, _ = far.Read(make([]byte, 4096))
			f(far)
		}()
		return near, nil
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

// TestDialer: a real connection over loopback can be made with our options.
func TestDialer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	conn, err := Config{}.withDefaults().Dial(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	checkUserTimeout(t, conn)
}

// TestAzureRoots compares what is shipped with the fingerprints published by
// DigiCert and Microsoft, and looks at validity.
func TestAzureRoots(t *testing.T) {
	want := map[string]string{
		"DigiCert Global Root G2":                       "cb3ccbb76031e5e0138f8dd39a23f9de47ffc35e43c1144cea27d46a5ab1cb5f",
		"DigiCert Global Root G3":                       "31ad6648f8104138c738f39ea4320133393e3a18cc02296ef97c2ac9ef6731d0",
		"Microsoft RSA Root Certificate Authority 2017": "c741f70f4b2a8d88bf2e71c14122ef53ef10eba0cfa5e64cfa20f418853073e0",
		"Microsoft ECC Root Certificate Authority 2017": "358df39d764af9e1b766e9c972df352ee15cfac227af6ad1d70e8e4a6edcba02",
	}
	pool := x509.NewCertPool()
	for _, text := range []string{digiCertGlobalRootG2, digiCertGlobalRootG3, microsoftRSARoot2017, microsoftECCRoot2017} {
		block, rest := pem.Decode([]byte(text))
		if block == nil || strings.TrimSpace(string(rest)) != "" {
			t.Fatalf("not one PEM block: %.60s…", text)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(cert.Raw)
		if got := hex.EncodeToString(sum[:]); want[cert.Subject.CommonName] != got {
			t.Errorf("%s has fingerprint %s", cert.Subject.CommonName, got)
		}
		delete(want, cert.Subject.CommonName)
		if !cert.IsCA || cert.NotAfter.Before(time.Date(2038, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s is a CA: %v, until %v; want at least until 2038", cert.Subject.CommonName, cert.IsCA, cert.NotAfter)
		}
		pool.AddCert(cert)
	}
	if len(want) > 0 || !AzureRoots().Equal(pool) {
		t.Errorf("missing: %v", want)
	}
}

func TestRoots(t *testing.T) {
	id := mustIdentity(t)
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Certificate[0]}))
	want := AzureRoots()
	want.AddCert(id.cert.Leaf)
	for path, pool := range map[string]*x509.CertPool{good: want, "": AzureRoots()} {
		if got, err := Roots(path); err != nil || !got.Equal(pool) {
			t.Errorf("Roots(%q): %v; want the Azure roots and the file's", path, err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "absent"), dir, file("empty", nil), file("text", []byte("hello")), file("huge", make([]byte, maxRoots+1))} {
		if _, err := Roots(path); err == nil || !strings.HasPrefix(err.Error(), "read trust roots") {
			t.Errorf("Roots(%q): %v; want an error", path, err)
		}
	}
}
