package dial

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const testHost = "hub.example"

func year(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	der  [][]byte // what a server shows of the way up to a root
}

// issue makes a certificate; a nil issuer makes a root.
func issue(t *testing.T, by *authority, template x509.Certificate) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.BasicConstraintsValid = big.NewInt(1), true
	a := &authority{key: key}
	parent, signer := &template, key
	if by != nil {
		parent, signer, a.der = by.cert, by.key, by.der
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if by != nil {
		a.der = append([][]byte{der}, by.der...)
	}
	return a
}

// ca is an authority valid in those years.
func ca(t *testing.T, by *authority, from, until int) *authority {
	return issue(t, by, x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, NotBefore: year(from), NotAfter: year(until), IsCA: true, KeyUsage: x509.KeyUsageCertSign})
}

// leaf is a server's certificate of testHost and of 192.0.2.1, valid in those
// years.
func leaf(t *testing.T, by *authority, from, until int) tls.Certificate {
	return certificate(issue(t, by, serverTemplate(from, until)))
}

func serverTemplate(from, until int) x509.Certificate {
	return x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{testHost}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		NotBefore: year(from), NotAfter: year(until), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func certificate(a *authority) tls.Certificate {
	return tls.Certificate{Certificate: a.der, PrivateKey: a.key}
}

func pool(a *authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// wire is what Config.TCP of a test connects to: each dial makes a pipe whose
// far end does what serve says and is closed.
type wire struct {
	serve func(far net.Conn)
	mu    sync.Mutex
	addrs []string
	near  net.Conn // of the last dial
}

// wantClosed insists on our end of the last connection being closed.
func (w *wire) wantClosed(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.near.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the connection was left open: %v", err)
	}
}

func (w *wire) dial(_ context.Context, _, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addrs = append(w.addrs, addr)
	near, end := net.Pipe()
	w.near = near
	go func() {
		far := buffered(end)
		defer func() { _ = far.Close() }()
		w.serve(far)
	}()
	return near, nil
}

// handshake serves TLS with cert, and says a word for whoever trusts it.
func handshake(cfg *tls.Config) func(net.Conn) {
	return func(far net.Conn) {
		conn := tls.Server(far, cfg)
		_, _ = conn.Write([]byte("hello"))
	}
}

func serve(cert tls.Certificate) *wire {
	return &wire{serve: handshake(&tls.Config{Certificates: []tls.Certificate{cert}})}
}

// request reads what is asked of a proxy.
func request(far net.Conn) string {
	var text strings.Builder
	r := bufio.NewReaderSize(far, 16)
	for !strings.HasSuffix(text.String(), "\r\n\r\n") {
		c, err := r.ReadByte()
		if err != nil {
			break
		}
		text.WriteByte(c)
	}
	return text.String()
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
