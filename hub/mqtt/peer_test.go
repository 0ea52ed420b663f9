package mqtt

import (
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
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
	"actuatord/hub/dial"
)

const (
	testHost   = "hub.example"
	testDevice = "pump-1"
	testToken  = "SharedAccessSignature sr=x&sig=hunter2&se=1"
	bound      = "devices/pump-1/messages/devicebound/"
)

// identity is a certificate that testHost can show, and the pool that trusts it.
// It is valid from 1990 to 2100, since a synctest bubble lives in the year 2000.
type identity struct {
	cert tls.Certificate
	pool *x509.CertPool
}

func newIdentity(host string) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
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

var testIdentity = sync.OnceValues(func() (identity, error) { return newIdentity(testHost) })

func mustIdentity(t *testing.T) identity {
	t.Helper()
	id, err := testIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// peer is the hub's end of one connection, at the level of packets. It reads all
// the time, answers PINGREQ, and keeps the rest for the test.
type peer struct {
	t    *testing.T
	conn net.Conn // TLS, or a WebSocket on it
	in   chan packets.ControlPacket
	mute chan struct{} // closed: PINGREQ is not answered any more
	stop chan struct{} // closed: nothing is read any more
	late atomic.Int64  // nanoseconds between DISCONNECT and hanging up
}

// read takes the next packet that is not a PINGREQ; nil when the connection has
// ended.
func (p *peer) read() packets.ControlPacket { return <-p.in }

func (p *peer) run() {
	defer close(p.in)
	for {
		select {
		case <-p.stop:
			return
		default:
		}
		packet, err := packets.ReadPacket(p.conn)
		if err != nil {
			return
		}
		if _, ping := packet.(*packets.PingreqPacket); !ping {
			p.in <- packet
			if _, bye := packet.(*packets.DisconnectPacket); bye {
				go func() {
					time.Sleep(time.Duration(p.late.Load() + 1)) // what is sent with DISCONNECT is read
					_ = p.conn.Close()
				}()
			}
			continue
		}
		select {
		case <-p.mute:
		default:
			p.send(packets.NewControlPacket(packets.Pingresp))
		}
	}
}

func (p *peer) send(packet packets.ControlPacket) { _ = packet.Write(p.conn) }

func (p *peer) sendRaw(b ...byte) { _, _ = p.conn.Write(b) }

func (p *peer) connack(code byte, present bool) {
	c := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	c.ReturnCode, c.SessionPresent = code, present
	p.send(c)
}

func (p *peer) publish(id uint16, topic, body string) {
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.MessageID, m.TopicName, m.Payload = id, topic, []byte(body)
	if id != 0 {
		m.Qos = 1
	}
	p.send(m)
}

func (p *peer) puback(id uint16) {
	a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	a.MessageID = id
	p.send(a)
}

// expect takes the next packet and insists on its type.
func expect[P packets.ControlPacket](p *peer) P {
	p.t.Helper()
	got := p.read()
	want, ok := got.(P)
	if !ok {
		p.t.Fatalf("peer got %v; want a %T", got, want)
	}
	return want
}

// pubacks takes what has arrived by now and gives the ids of PUBACKs; anything
// else fails the test.
func (p *peer) pubacks() []uint16 {
	p.t.Helper()
	synctest.Wait()
	var ids []uint16
	for {
		select {
		case packet, open := <-p.in:
			if !open {
				return ids
			}
			a, ok := packet.(*packets.PubackPacket)
			if !ok {
				p.t.Fatalf("peer got %v; want PUBACK", packet)
			}
			ids = append(ids, a.MessageID)
		default:
			return ids
		}
	}
}

// network is what Config.Road of a test connects to: each dial makes a pipe with
// a peer at the other end, after its TLS handshake and its WebSocket's.
type network struct {
	t     *testing.T
	id    identity
	web   bool // over a WebSocket
	peers chan *peer
	dials []string
	asked []string // requests for an upgrade
}

func newNetwork(t *testing.T, web bool) *network {
	return &network{t: t, id: mustIdentity(t), web: web, peers: make(chan *peer, 8)}
}

func (n *network) dial(_ context.Context, _, addr string) (net.Conn, error) {
	n.dials = append(n.dials, addr)
	near, far := net.Pipe()
	go func() {
		conn, err := n.accept(far)
		if err != nil {
			_ = far.Close()
			return
		}
		p := &peer{t: n.t, conn: conn, in: make(chan packets.ControlPacket, 1000), mute: make(chan struct{}), stop: make(chan struct{})}
		n.t.Cleanup(func() { _ = far.Close() })
		n.peers <- p
		p.run()
	}()
	return socket{near}, nil
}

func (n *network) accept(far net.Conn) (net.Conn, error) {
	conn := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{n.id.cert}})
	if err := conn.Handshake(); err != nil || !n.web {
		return conn, err
	}
	w := newWebPeer(conn)
	request, key, err := w.request()
	if err != nil {
		return nil, err
	}
	n.asked = append(n.asked, request)
	_, err = conn.Write([]byte(accepted(key)))
	return w, err
}

// port is the one that is dialled if none is given.
func (n *network) port() string {
	if n.web {
		return ":443"
	}
	return ":8883"
}

// socket says what a socket says when it is read after it was closed; paho
// knows it by these words.
type socket struct{ net.Conn }

func (s socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if errors.Is(err, io.ErrClosedPipe) {
		err = net.ErrClosed
	}
	return n, err
}

func (n *network) config() Config {
	return Config{Host: testHost, DeviceID: testDevice, WebSocket: n.web, Road: dial.Config{Roots: n.id.pool, Proxy: "none", TCP: n.dial}}
}

// connect makes a session and its peer, with CONNECT accepted.
func (n *network) connect(cfg Config, generation uint64) (*Session, *peer) {
	n.t.Helper()
	peers := make(chan *peer, 1)
	go func() {
		p := <-n.peers
		if _, ok := p.read().(*packets.ConnectPacket); ok {
			p.connack(0, true)
		}
		peers <- p
	}()
	s, err := Connect(n.t.Context(), cfg, generation, testToken)
	if err != nil {
		n.t.Fatalf("connect: %v", err)
	}
	return s, <-peers
}

// refuse connects to a peer that behaves as script says, and gives the error.
func (n *network) refuse(ctx context.Context, cfg Config, script func(p *peer)) error {
	n.t.Helper()
	stop := make(chan struct{})
	go func() {
		select {
		case p := <-n.peers:
			script(p)
		case <-stop:
		}
	}()
	defer close(stop)
	s, err := Connect(ctx, cfg, 1, testToken)
	if err == nil {
		s.Close()
		n.t.Fatal("connected; want an error")
	}
	return err
}

// bubble runs f over each transport, in a synctest bubble: its time is virtual,
// and it fails when a goroutine is left at the end. Each test with a session
// thereby proves that nothing of it runs after Close.
func bubble(t *testing.T, f func(t *testing.T, n *network)) {
	t.Helper()
	mustIdentity(t) // outside: it is shared by all bubbles
	for i, name := range []string{"TLS", "WebSocket"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newNetwork(t, i == 1)) })
		})
	}
}

// wantError insists on class and cause, and on there being no secret in it.
func wantError(t *testing.T, err error, class hub.Class, cause string) {
	t.Helper()
	var e *hub.Error
	if !errors.As(err, &e) || e.Class != class || e.Cause != cause {
		t.Errorf("error is %v (%v, %s); want %v, %s", err, hub.ClassOf(err), hub.CauseOf(err), class, cause)
	}
	wantNoSecret(t, err)
}

func recvDelivery(t *testing.T, s *Session) hub.Delivery {
	t.Helper()
	synctest.Wait()
	select {
	case d := <-s.Deliveries():
		return d
	default:
		t.Fatalf("no delivery; session error: %v", s.Err())
		return hub.Delivery{}
	}
}
