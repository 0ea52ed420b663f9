package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"actuatord/hub"
)

// wantError insists on class and cause, and on what is in the text and is not.
func wantError(t *testing.T, err error, class hub.Class, cause, words string) {
	t.Helper()
	var e *hub.Error
	if !errors.As(err, &e) || e.Class != class || e.Cause != cause || !strings.Contains(err.Error(), words) {
		t.Errorf("error is %v (%v, %s); want %v, %s and %q", err, hub.ClassOf(err), hub.CauseOf(err), class, cause, words)
	}
	if err == nil {
		return
	}
	if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "aHVudGVyMg") || strings.ContainsFunc(text, unicode.IsControl) || len(text) > 800 {
		t.Errorf("error shows a password, moves the cursor, or has %d bytes: %q", len(text), text)
	}
}

// attempt dials host and, if that works, proves that both ends can talk.
func attempt(t *testing.T, w *wire, cfg Config, host string) error {
	t.Helper()
	cfg.TCP = w.dial
	if cfg.Proxy == "" {
		cfg.Proxy = "none"
	}
	conn, raw, err := TLS(t.Context(), cfg, host, 8883)
	if err != nil {
		if conn != nil || raw != nil {
			t.Error("a connection came with the error")
		}
		w.wantClosed(t)
		return err
	}
	defer func() { _ = raw.Close() }()
	word := make([]byte, 5)
	if _, err := io.ReadFull(conn, word); err != nil || string(word) != "hello" {
		t.Errorf("read %q, %v; want hello", word, err)
	}
	return nil
}

// at is a clock that stands in that year.
func at(y int) func() time.Time { return func() time.Time { return year(y) } }

// TestDates: what a chain is refused for, told apart; and what judging it at its
// leaf's date changes: dates, and nothing but dates.
func TestDates(t *testing.T) {
	root, other := ca(t, nil, 2000, 2100), ca(t, nil, 2000, 2100) // of one name, with different keys
	between, spent, later := ca(t, root, 2010, 2090), ca(t, root, 2010, 2015), ca(t, root, 2025, 2090)
	client := serverTemplate(2020, 2030)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	forClients := certificate(issue(t, root, client))
	cut := leaf(t, between, 2020, 2030)
	cut.Certificate = cut.Certificate[:1]
	tests := []struct {
		name  string
		cert  tls.Certificate
		year  int
		host  string
		words string // "": accepted
		only  bool   // wrong for its dates only, so that LeafDate accepts it
	}{
		{"good", leaf(t, root, 2020, 2030), 2025, testHost, "", true},
		{"good chain", leaf(t, between, 2020, 2030), 2025, testHost, "", true},
		{"good address", leaf(t, root, 2020, 2030), 2025, "192.0.2.1", "", true},
		{"expired", leaf(t, root, 2020, 2030), 2031, testHost, "is after 2030", true},
		{"not yet valid", leaf(t, root, 2020, 2030), 1970, testHost, "is before 2020", true},
		{"chain not yet valid", leaf(t, between, 2020, 2030), 1970, testHost, "is before 2020", true},
		{"address, not yet valid", leaf(t, root, 2020, 2030), 1970, "192.0.2.1", "is before 2020", true},
		{"intermediate expired", leaf(t, spent, 2012, 2030), 2025, testHost, "is after 2015", true},
		{"intermediate later than its leaf", leaf(t, later, 2020, 2030), 1970, testHost, "is before 2020", false},
		{"wrong host", leaf(t, root, 2020, 2030), 2025, "other.example", "is valid for hub.example, not other.example", false},
		{"wrong host and expired", leaf(t, root, 2020, 2030), 2031, "other.example", "is after 2030", false},
		{"wrong address", leaf(t, root, 2020, 2030), 2025, "192.0.2.2", "is valid for 192.0.2.1, not 192.0.2.2", false},
		{"wrong address and expired", leaf(t, root, 2020, 2030), 2031, "192.0.2.2", "is after 2030", false},
		{"unknown root", leaf(t, other, 2020, 2030), 2025, testHost, "unknown authority", false},
		{"unknown root and expired", leaf(t, other, 2020, 2030), 2031, testHost, "is after 2030", false},
		{"intermediate not shown and expired", cut, 2031, testHost, "is after 2030", false},
		{"for clients only", forClients, 2025, testHost, "incompatible key usage", false},
		{"for clients only and expired", forClients, 2031, testHost, "is after 2030", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := Config{Roots: pool(root), Now: at(test.year)}
			err := attempt(t, serve(test.cert), cfg, test.host)
			if test.words == "" {
				if err != nil || OnlyDates(err) {
					t.Errorf("refused: %v", err)
				}
			} else {
				wantError(t, err, hub.RetrySlowly, hub.CauseTLS, test.words)
				if OnlyDates(err) != test.only {
					t.Errorf("OnlyDates: %v; want %v", OnlyDates(err), test.only)
				}
			}
			cfg.LeafDate = true
			if err := attempt(t, serve(test.cert), cfg, test.host); (err == nil) != test.only {
				t.Errorf("at the leaf's date: %v; want it accepted: %v", err, test.only)
			} else if err != nil {
				wantError(t, err, hub.RetrySlowly, hub.CauseTLS, "failed to verify")
				if OnlyDates(err) {
					t.Error("what LeafDate refuses cannot be wrong for its dates only")
				}
			}
		})
	}
}

// TestNoName: without a name to verify nobody is believed, not even for a date.
func TestNoName(t *testing.T) {
	root := ca(t, nil, 2000, 2100)
	for _, lax := range []bool{false, true} {
		err := attempt(t, serve(leaf(t, root, 2000, 2100)), Config{Roots: pool(root), LeafDate: lax}, "")
		wantError(t, err, hub.RetrySlowly, hub.CauseTLS, "start TLS")
	}
}

// after reads once, says what is given, and closes.
func after(answer string) func(net.Conn) {
	return func(far net.Conn) {
		_, _ = far.Read(make([]byte, 4096))
		_, _ = far.Write([]byte(answer))
	}
}

// TestPeers: nobody but the host gets a connection, and each reason not to give
// one has its class.
func TestPeers(t *testing.T) {
	root := ca(t, nil, 2000, 2100)
	cert := leaf(t, root, 2000, 2100)
	old := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	plain := &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}
	strict := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
	many := serverTemplate(2000, 2100)
	many.DNSNames = append(many.DNSNames, "\x1b[2J.example")
	for i := range 90 { // of more than 100 package x509 says only how many there are
		many.DNSNames = append(many.DNSNames, fmt.Sprintf("%s%d.example", strings.Repeat("x", 40), i))
	}
	tests := []struct {
		name  string
		host  string
		serve func(net.Conn)
		class hub.Class
		cause string
		words string
	}{
		{"TLS 1.1", testHost, handshake(old), hub.RetrySlowly, hub.CauseTLS, "protocol version"},
		{"no suite with forward secrecy", testHost, handshake(plain), hub.RetrySlowly, hub.CauseTLS, "handshake failure"},
		{"wants a client certificate", testHost, handshake(strict), hub.RetrySlowly, hub.CauseTLS, "remote error"},
		{"names without end", "other.example", handshake(&tls.Config{Certificates: []tls.Certificate{certificate(issue(t, root, many))}}), hub.RetrySlowly, hub.CauseTLS, "is valid for hub.example, ?[2J.example"},
		{"no TLS", testHost, after("220 smtp.example ESMTP\r\n"), hub.RetrySlowly, hub.CauseTLS, "TLS handshake"},
		{"closes", testHost, after(""), hub.RetrySoon, hub.CauseNetwork, "EOF"},
		{"closes within a record", testHost, after("\x16\x03\x03"), hub.RetrySoon, hub.CauseNetwork, "EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := attempt(t, &wire{serve: test.serve}, Config{Roots: pool(root)}, test.host)
			wantError(t, err, test.class, test.cause, test.words)
		})
	}
	t.Run("cannot be dialled", func(t *testing.T) {
		_, _, err := TLS(t.Context(), Config{Proxy: "none", TCP: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no route")
		}}, testHost, 443)
		wantError(t, err, hub.RetrySoon, hub.CauseNetwork, "dial hub.example:443: no route")
	})
	t.Run("only the Azure roots", func(t *testing.T) {
		wantError(t, attempt(t, serve(cert), Config{Roots: AzureRoots()}, testHost), hub.RetrySlowly, hub.CauseTLS, "unknown authority")
	})
}

// TestEveryAttemptEnds: wherever a peer falls silent, with the context or after
// a minute; and nothing is left, or the bubble fails.
func TestEveryAttemptEnds(t *testing.T) {
	silent := func(far net.Conn) { _, _ = io.Copy(io.Discard, far) }
	drip := func(far net.Conn) {
		gone := make(chan struct{})
		go func() { silent(far); close(gone) }()
		for {
			select {
			case <-gone:
				return
			case <-time.After(time.Second):
				_, _ = far.Write([]byte("x"))
			}
		}
	}
	tests := []struct {
		name  string
		proxy string
		serve func(net.Conn)
		dial  func(context.Context, string, string) (net.Conn, error)
	}{
		{"TCP", "none", nil, func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }},
		{"TLS", "none", silent, nil},
		{"proxy", "http://proxy.example:3128", silent, nil},
		{"proxy that does not read", "http://proxy.example:3128", nil, nil},
		{"proxy that drips", "http://proxy.example:3128", drip, nil},
	}
	for _, test := range tests {
		for _, limit := range []time.Duration{5 * time.Second, time.Hour} {
			t.Run(fmt.Sprintf("%s/%v", test.name, limit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := &wire{serve: test.serve}
					if test.serve == nil {
						end := make(chan struct{})
						defer close(end)
						w.serve = func(net.Conn) { <-end }
					}
					cfg := Config{Proxy: test.proxy, TCP: w.dial}
					if test.dial != nil {
						cfg.TCP = test.dial
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					defer time.AfterFunc(limit, cancel).Stop()
					start := time.Now()
					_, _, err := TLS(ctx, cfg, testHost, 8883)
					wantError(t, err, hub.RetrySoon, hub.CauseNetwork, "context")
					if d, want := time.Since(start), min(limit, attemptLimit); d != want {
						t.Errorf("gave up after %v; want %v", d, want)
					}
				})
			})
		}
	}
}

// TestDialer: a real connection over loopback can be made with our options.
func TestDialer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	conn, err := Config{}.withDefaults().TCP(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	checkUserTimeout(t, conn)
}
