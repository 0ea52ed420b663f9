package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	paho "github.com/eclipse/paho.mqtt.golang"

	"actuatord/hub"
	"actuatord/hub/dial"
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

// open makes everything that carries MQTT.
func open(ctx context.Context, cfg Config) (*guard, error) {
	conn, raw, err := dial.TLS(ctx, cfg.Road, cfg.Gateway, cfg.Port)
	if err != nil {
		return nil, err
	}
	if !cfg.WebSocket {
		return newGuard(conn, raw, cfg.PacketLimit), nil
	}
	w, err := upgrade(ctx, cfg, conn, raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return newGuard(w, raw, cfg.PacketLimit), nil
}

// Probe opens the road as [Connect] would, up to the point where CONNECT would
// be sent, and closes it: what it says about the network and the proof of the
// hub's identity is what Connect would find. No byte of MQTT is sent. An error is
// a [*hub.Error].
func Probe(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := open(ctx, cfg.withDefaults())
	if err != nil {
		return err
	}
	_ = conn.Close()
	return nil
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
	o.SetConnectTimeout(connectLimit + writeLimit) // the context ends it before, with the better word
	o.SetWriteTimeout(writeLimit)
	// Before CONNECT: what a stored session held comes right after CONNACK, and
	// without a handler paho would drop it until the next session.
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { s.receive(m) })
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { s.fail(lost("keep the session", err)) })
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return s.conn, nil })
	return o
}
