package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"

	paho "github.com/eclipse/paho.mqtt.golang"

	"actuatord/hub"
)

// Connect dials, proves the hub's identity, sends CONNECT and waits for
// CONNACK; a minute at most. Deliveries may come from that moment on, before
// any [Session.Subscribe], if the hub kept our subscription. password is a
// token of hub.SignSAS. generation numbers the session and is copied into its
// deliveries. An error is a [*hub.Error].
func Connect(ctx context.Context, cfg Config, generation uint64, password string) (*Session, error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := newSession(cfg, generation, conn)
	s.client = paho.NewClient(options(s, password))

	// Paho knows no context: an end of ours closes the connection under it.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	token := s.client.Connect()
	<-token.Done() // bounded: reads and writes end when conn is closed
	cut := !stop()
	if err := token.Error(); err != nil {
		_ = conn.Close()
		if first := conn.err(); first != nil {
			err = first // paho has but one word for all of them
		}
		if cut {
			err = ctx.Err()
		}
		return nil, classify(fmt.Errorf("connect to %s: %w", cfg.Gateway, err))
	}
	if cut { // at the very moment of CONNACK
		s.abandon()
		return nil, classify(fmt.Errorf("connect to %s: %w", cfg.Gateway, ctx.Err()))
	}
	if t, ok := token.(*paho.ConnectToken); ok {
		s.present = t.SessionPresent()
	}
	s.begin()
	return s, nil
}

// classify makes sure that an error has a class.
func classify(err error) error {
	var e *hub.Error
	if errors.As(err, &e) {
		return e
	}
	return &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseNetwork, Err: err}
}

// open makes the TCP connection and TLS on top of it.
func open(ctx context.Context, cfg Config) (*guard, error) {
	addr := net.JoinHostPort(cfg.Gateway, strconv.Itoa(cfg.Port))
	raw, err := cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseNetwork, Err: fmt.Errorf("dial %s: %w", addr, err)}
	}
	conn := tls.Client(raw, tlsConfig(cfg))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, tlsError(addr, err)
	}
	return newGuard(conn, raw, cfg.PacketLimit), nil
}

// tlsConfig accepts TLS 1.2, which is what the hub speaks, and later, with the
// suites its documentation lists; the CBC ones among them are left out.
func tlsConfig(cfg Config) *tls.Config {
	return &tls.Config{
		ServerName: cfg.Gateway,
		RootCAs:    cfg.Roots,
		MinVersion: tls.VersionTLS12,
		Time:       cfg.Now,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
	}
}

// tlsError tells a broken connection from a peer that is not the hub. The
// second may be a captive portal, a proxy or a clock that is not set, all of
// which pass: it is retried slowly and not counted as misconfiguration.
func tlsError(addr string, err error) error {
	class, cause := hub.RetrySlowly, hub.CauseTLS
	var op *net.OpError
	switch {
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"): // a TLS alert
	case op != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		class, cause = hub.RetrySoon, hub.CauseNetwork
	}
	return &hub.Error{Class: class, Cause: cause, Err: fmt.Errorf("start TLS with %s: %w", addr, err)}
}

// options sets everything in which paho's defaults would retry, store,
// acknowledge or fall back on its own.
func options(s *Session, password string) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.AddBroker("tls://" + s.cfg.Gateway) // never dialled: see SetCustomOpenConnectionFn
	o.SetClientID(s.cfg.DeviceID)
	user := hub.Username(s.cfg.Host, s.cfg.DeviceID)
	o.SetCredentialsProvider(func() (string, string) { return user, password })
	o.SetProtocolVersion(4)   // without it a refused CONNECT is repeated as MQTT 3.1
	o.SetCleanSession(false)  // with true the hub drops the subscription, and with it what is queued
	o.SetAutoReconnect(false) // its tokens succeed on a re-send, without a PUBACK
	o.SetConnectRetry(false)
	o.SetAutoAckDisabled(true)
	o.SetOrderMatters(true)
	o.SetKeepAlive(s.cfg.KeepAlive)
	o.SetPingTimeout(pingLimit)
	o.SetConnectTimeout(connectLimit)
	o.SetWriteTimeout(writeLimit)
	// Before CONNECT: what a stored session held comes right after CONNACK, and
	// without a handler paho would drop it until the next session.
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { s.receive(m) })
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { s.fail(lost("keep the session", err)) })
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return s.conn, nil })
	return o
}
