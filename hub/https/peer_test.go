package https

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub"
	"actuatord/hub/dial"
)

const (
	testHost   = "hub.example"
	testDevice = "pump-1"
	testToken  = "SharedAccessSignature sr=x&sig=hunter2&se=1"
	testLock   = "b1d3c1a5-0000-4d3e-9b1a-8c1c2f5f0a77"
)

// identity is a certificate that host can show, and the pool that trusts it.
type identity struct {
	cert tls.Certificate
	pool *x509.CertPool
}

func newIdentity(host string, from, to time.Time) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return identity{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return identity{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool: pool}, nil
}

// testIdentity is valid from 1990 to 2100: a synctest bubble lives in the year 2000.
var testIdentity = sync.OnceValues(func() (identity, error) {
	return newIdentity(testHost, time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
})

// peer is the hub's end of one connection, behind its TLS handshake.
type peer struct {
	n    int      // number of the connection, from 0
	conn net.Conn // TLS
	raw  net.Conn
	buf  *bufio.Reader
}

// request reads one request up to the end of its body, literally; "" at the end.
func (p *peer) request() string {
	var got bytes.Buffer
	length := 0
	for {
		line, err := p.buf.ReadString('\n')
		got.WriteString(line)
		if err != nil {
			return ""
		}
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
		if line == "\r\n" {
			break
		}
	}
	if _, err := io.CopyN(&got, p.buf, int64(length)); err != nil {
		return ""
	}
	return got.String()
}

func (p *peer) say(format string, args ...any) { _, _ = fmt.Fprintf(p.conn, format, args...) }

// answer says the same to every request.
func (p *peer) answer(s string) {
	for p.request() != "" {
		p.say("%s", s)
	}
}

// listen reads until the connection ends.
func (p *peer) listen() { _, _ = io.Copy(io.Discard, p.buf) }

// drip says s once a second until the connection ends.
func (p *peer) drip(s string) {
	for {
		if _, err := io.WriteString(p.conn, s); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// ignore reads nothing until the connection ends.
func (p *peer) ignore() {
	for {
		if _, err := p.raw.Write(nil); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// socket is an end of a pipe that has a send buffer, of eight writes, as sockets
// have. Without one, two that both speak wait for each other, which TLS does when
// it refuses a certificate.
type socket struct {
	net.Conn
	out  chan []byte
	done chan struct{}
	once sync.Once
}

func newPipe() (near, far net.Conn) {
	end, far := net.Pipe()
	s := &socket{Conn: end, out: make(chan []byte, 8), done: make(chan struct{})}
	go func() {
		for {
			select {
			case b := <-s.out:
				_, _ = end.Write(b)
			case <-s.done:
				return
			}
		}
	}()
	return s, far
}

func (s *socket) Write(p []byte) (int, error) {
	select {
	case s.out <- bytes.Clone(p):
		return len(p), nil
	case <-s.done:
		return 0, net.ErrClosed
	}
}

func (s *socket) Close() error {
	s.once.Do(func() { close(s.done) })
	return s.Conn.Close()
}

// network is what Config.Road.TCP of a test connects to.
type network struct {
	id     identity
	script func(p *peer)               // plays each connection; afterwards it is closed, without a TLS farewell
	wrap   func(far net.Conn) net.Conn // around the hub's end, below TLS
	newest uint16                      // TLS version the hub speaks; 0: 1.3
	dials  []string
	peers  sync.WaitGroup
}

func (n *network) dial(_ context.Context, _, addr string) (net.Conn, error) {
	number := len(n.dials)
	n.dials = append(n.dials, addr)
	near, far := newPipe()
	if n.wrap != nil {
		far = n.wrap(far)
	}
	n.peers.Go(func() {
		defer func() { _ = far.Close() }()
		conn := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{n.id.cert}, MaxVersion: n.newest})
		if conn.Handshake() == nil {
			n.script(&peer{n: number, conn: conn, raw: far, buf: bufio.NewReader(conn)})
		}
	})
	return near, nil
}

func (n *network) config() Config {
	return Config{Host: testHost, DeviceID: testDevice, Road: dial.Config{Roots: n.id.pool, TCP: n.dial, Proxy: "none"}}
}

// bubble runs f in a synctest bubble, with a client of a hub that plays script.
// The bubble fails if a goroutine is left at its end.
func bubble(t *testing.T, script func(p *peer), f func(t *testing.T, n *network, c *Client)) {
	t.Helper()
	id, err := testIdentity() // outside: all bubbles share it
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := &network{id: id, script: script}
		c := New(n.config())
		defer n.peers.Wait() // a peer that sleeps notices only then that nobody is there
		defer c.Close()
		f(t, n, c)
	})
}

// fate is what an error says about the request.
type fate string

const (
	done     fate = "done"
	unsent   fate = "not sent"
	refused  fate = "refused"
	unsure   fate = "no answer"
	nonsense fate = "not a *hub.Error"
)

func fateOf(err error) fate {
	var e *hub.Error
	var status *StatusError
	switch {
	case err == nil:
		return done
	case !errors.As(err, &e):
		return nonsense
	case errors.Is(err, ErrNotSent):
		return unsent
	case errors.As(err, &status):
		return refused
	}
	return unsure
}

// wantError insists on fate, class and cause, and on the text being one short
// line without a secret.
func wantError(t *testing.T, err error, f fate, class hub.Class, cause string) {
	t.Helper()
	if fateOf(err) != f || err != nil && (hub.ClassOf(err) != class || hub.CauseOf(err) != cause) {
		t.Errorf("error is %v (%s, %v, %s); want %s, %v, %s", err, fateOf(err), hub.ClassOf(err), hub.CauseOf(err), f, class, cause)
	}
	wantPresentable(t, err)
}

func wantPresentable(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if s := err.Error(); strings.Contains(s, "hunter2") || len(s) > 700 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("error text of %d bytes, with a secret or not printable: %q", len(s), s)
	}
}

// calls are all that a client can do; each gives what it has.
func calls() map[string]func(ctx context.Context, c *Client) error {
	return map[string]func(ctx context.Context, c *Client) error{
		"receive":  func(ctx context.Context, c *Client) error { _, _, err := c.Receive(ctx, testToken); return err },
		"complete": func(ctx context.Context, c *Client) error { return c.Complete(ctx, testToken, testLock) },
		"reject":   func(ctx context.Context, c *Client) error { return c.Reject(ctx, testToken, testLock) },
		"abandon":  func(ctx context.Context, c *Client) error { return c.Abandon(ctx, testToken, testLock) },
		"send": func(ctx context.Context, c *Client) error {
			return c.Send(ctx, testToken, hub.Telemetry{Body: []byte(`{"v":1}`)})
		},
	}
}
