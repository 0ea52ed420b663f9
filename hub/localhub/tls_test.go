package localhub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

func TestTLSConfigKeepsItsCertificates(t *testing.T) {
	dir := t.TempDir()
	first, ca, err := TLSConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	caText := readFile(t, ca)
	second, _, err := TLSConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first.Certificates[0].Certificate[0], second.Certificates[0].Certificate[0]) {
		t.Error("the server certificate was made anew without need")
	}
	third, _, err := TLSConfig(dir, "hub.example")
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(first.Certificates[0].Certificate[0], third.Certificates[0].Certificate[0]) {
		t.Error("the server certificate was not made anew for another host")
	}
	if readFile(t, ca) != caText {
		t.Error("the CA changed: devices would not trust the hub any more")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(caText)) {
		t.Fatal("the CA file has no certificate")
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "hub.example"} {
		if _, err := third.Certificates[0].Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("verify for %s: %v", host, err)
		}
	}
	if third.MaxVersion != tls.VersionTLS12 {
		t.Error("the real hub's classic names speak TLS 1.2 at most")
	}
	for name, mode := range map[string]fs.FileMode{caKeyFile: 0o600, serverKeyFile: 0o600, caFile: 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v (%v); want %v", name, info.Mode(), err, mode)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".new-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTLSConfigDamage removes or damages each file in turn: the server's pair
// is made anew; a CA that devices trust is never replaced in silence, but a CA
// key without certificate (an interrupted first run) is.
func TestTLSConfigDamage(t *testing.T) {
	remove := func(path string) error { return os.Remove(path) }
	spoil := func(path string) error { return os.WriteFile(path, []byte("nothing"), 0o600) }
	cases := []struct {
		file   string
		damage func(string) error
		want   string // in the error; "": it works again
	}{
		{caFile, remove, ""},
		{caFile, spoil, "delete "},
		{caKeyFile, remove, "delete "},
		{caKeyFile, spoil, "delete "},
		{serverFile, remove, ""},
		{serverFile, spoil, ""},
		{serverKeyFile, remove, ""},
		{serverKeyFile, spoil, ""},
	}
	for _, c := range cases {
		dir := t.TempDir()
		if _, _, err := TLSConfig(dir); err != nil {
			t.Fatal(err)
		}
		if err := c.damage(filepath.Join(dir, c.file)); err != nil {
			t.Fatal(err)
		}
		config, ca, err := TLSConfig(dir)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s damaged: %v; want an error that says what to delete", c.file, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s damaged: %v", c.file, err)
			continue
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(readFile(t, ca)))
		if _, err := config.Certificates[0].Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "localhost"}); err != nil {
			t.Errorf("%s damaged: the server certificate does not fit the CA: %v", c.file, err)
		}
	}
	if _, _, err := TLSConfig(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory gave %v", err)
	}
}

// TestCertificateTimes: in virtual time, a server certificate is renewed before
// it ends, and an expired CA is an error.
func TestCertificateTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		first, _, err := TLSConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(serverLife - renewBefore + time.Minute)
		second, _, err := TLSConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(first.Certificates[0].Certificate[0], second.Certificates[0].Certificate[0]) {
			t.Error("the server certificate was not renewed")
		}
		time.Sleep(caLife)
		if _, _, err := TLSConfig(dir); err == nil || !strings.Contains(err.Error(), "expired on") {
			t.Errorf("an expired CA gave %v", err)
		}
	})
}

// TestServeOverTLS connects as a device does, over a real socket, and ends with
// the context.
func TestServeOverTLS(t *testing.T) {
	config, ca, err := TLSConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	h := New(Options{})
	defer h.Close()
	d, err := h.AddDevice("pump-1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(ctx, ln) }()

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(readFile(t, ca)))
	if nc, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{ServerName: "localhost"}); err == nil {
		nc.Close()
		t.Error("a device without the CA file connected")
	}
	nc, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := connectAs(d, "localhost").Write(nc); err != nil {
		t.Fatal(err)
	}
	p, err := packets.ReadPacket(nc)
	if err != nil || describePacket(p) != "CONNACK 0 present=false" {
		t.Fatalf("read %v, %v; want CONNACK", p, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve ended with %v; want nil", err)
	}
	if _, err := packets.ReadPacket(nc); err == nil {
		t.Error("the connection outlived Serve")
	}
}

// TestServeEndsWithItsListener: an error of the listener is Serve's.
func TestServeEndsWithItsListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	h := New(Options{})
	defer h.Close()
	if err := h.Serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve on a closed listener gave %v", err)
	}
}

// TestTLSPeerThatNeverReads cannot hold up a connection in its handshake, nor
// anybody who drops it later.
func TestTLSPeerThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{})
		defer h.Close()
		d, err := h.AddDevice("pump-1")
		if err != nil {
			t.Fatal(err)
		}
		config, ca, err := TLSConfig(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		served := make(chan struct{})
		go func() {
			h.ServeConn(tls.Server(far, config))
			close(served)
		}()
		hello := &helloOnly{nc: near}
		_ = tls.Client(hello, &tls.Config{ServerName: "localhost"}).Handshake() // ends after its first flight
		begun := time.Now()
		<-served
		if took := time.Since(begun); took > connectTime {
			t.Errorf("a handshake nobody reads was given up after %v; want %v", took, connectTime)
		}

		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(readFile(t, ca)))
		near, far = net.Pipe()
		go h.ServeConn(tls.Server(far, config))
		nc := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err := connectAs(d, "localhost").Write(nc); err != nil {
			t.Fatal(err)
		}
		if _, err := packets.ReadPacket(nc); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		if err := h.Drop("pump-1"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("dropping a peer that does not read took %v", took)
		}
	})
}

// helloOnly lets a TLS client write and then fails it, leaving the connection
// open and unread.
type helloOnly struct {
	net.Conn
	nc net.Conn
}

func (c *helloOnly) Write(b []byte) (int, error) { return c.nc.Write(b) }
func (c *helloOnly) Read([]byte) (int, error)    { return 0, os.ErrDeadlineExceeded }
func (c *helloOnly) Close() error                { return nil }

// TestTLSInABubble: TLS over net.Pipe in virtual time, and a fault that wakes
// the reader by a deadline leaves TLS readable: the black hole sees the device
// leave.
func TestTLSInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{})
		defer h.Close()
		d, err := h.AddDevice("pump-1")
		if err != nil {
			t.Fatal(err)
		}
		config, ca, err := TLSConfig(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(readFile(t, ca)))
		near, far := net.Pipe()
		go h.ServeConn(tls.Server(far, config))
		nc := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err := connectAs(d, "localhost").Write(nc); err != nil {
			t.Fatal(err)
		}
		if p, err := packets.ReadPacket(nc); err != nil || describePacket(p) != "CONNACK 0 present=false" {
			t.Fatalf("read %v, %v; want CONNACK", p, err)
		}
		if err := h.Inject(Fault{Packet: PacketPong, Effect: BlackHole}); err != nil {
			t.Fatal(err)
		}
		for range 3 { // into the hole
			if err := packets.NewControlPacket(packets.Pingreq).Write(nc); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		if connected, _ := h.Status("pump-1"); !connected {
			t.Error("the black hole ended by itself")
		}
		if err := nc.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if connected, _ := h.Status("pump-1"); connected {
			t.Error("the black hole did not see the device leave")
		}
	})
}

func connectAs(d Device, host string) *packets.ConnectPacket {
	token := hub.SignSAS(hub.Resource(host, d.ID), d.Primary, "", time.Now().Add(2*time.Hour))
	return &packets.ConnectPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Connect}, ProtocolName: "MQTT", ProtocolVersion: 4,
		ClientIdentifier: d.ID, UsernameFlag: true, Username: hub.Username(host, d.ID), PasswordFlag: true, Password: []byte(token), Keepalive: 60}
}
