package mqtt

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

// TestPublishTruth: Publish returns nil if and only if the PUBACK for it came in
// this session.
func TestPublishTruth(t *testing.T) {
	tests := []struct {
		name   string
		answer func(p *peer, s *Session, id uint16)
		ok     bool
		class  hub.Class // of the session's error; 0: it stands
		cause  string
	}{
		{"PUBACK", func(p *peer, _ *Session, id uint16) { p.puback(id) }, true, 0, ""},
		{"PUBACK after a minute", func(p *peer, _ *Session, id uint16) { time.Sleep(time.Minute); p.puback(id) }, true, 0, ""},
		{"silence", func(*peer, *Session, uint16) {}, false, 0, ""},
		{"another id", func(p *peer, _ *Session, id uint16) { p.puback(id + 1) }, false, 0, ""},
		{"closed by the hub", func(p *peer, _ *Session, _ uint16) { _ = p.conn.Close() }, false, hub.RetrySoon, hub.CauseNetwork},
		{"closed by us", func(_ *peer, s *Session, _ uint16) { s.Close() }, false, hub.RetrySoon, hub.CauseClosed},
		{"SUBACK with its id", func(p *peer, _ *Session, id uint16) { p.sendRaw(0x90, 3, 0, byte(id), 1) }, false, hub.RetrySlowly, hub.CauseProtocol},
		{"UNSUBACK with its id", func(p *peer, _ *Session, id uint16) { p.sendRaw(0xb0, 2, 0, byte(id)) }, false, hub.RetrySlowly, hub.CauseProtocol},
		{"PUBCOMP with its id", func(p *peer, _ *Session, id uint16) { p.sendRaw(0x70, 2, 0, byte(id)) }, false, hub.RetrySlowly, hub.CauseProtocol},
		{"PUBREC with its id", func(p *peer, _ *Session, id uint16) { p.sendRaw(0x50, 2, 0, byte(id)) }, false, hub.RetrySlowly, hub.CauseProtocol},
		{"a second CONNACK", func(p *peer, _ *Session, _ uint16) { p.connack(0, true) }, false, hub.RetrySlowly, hub.CauseProtocol},
		{"a QoS 2 message", func(p *peer, _ *Session, _ uint16) { p.sendRaw(0x34, 5, 0, 1, 'a', 0, 1) }, false, hub.RetrySlowly, hub.CauseProtocol},
		{"a message without a topic", func(p *peer, _ *Session, _ uint16) { p.sendRaw(0x30, 0) }, false, hub.RetrySoon, hub.CauseNetwork},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				s, p := n.connect(n.config(), 1)
				defer s.Close()
				go func() {
					m := expect[*packets.PublishPacket](p)
					if m.Qos != 1 || m.Dup || m.Retain || m.TopicName != "devices/pump-1/messages/events/%24.ct=application%2Fjson&kind=start" || string(m.Payload) != "{}" {
						t.Errorf("PUBLISH is %v", m)
					}
					test.answer(p, s, m.MessageID)
				}()
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				err := s.Publish(ctx, hub.Telemetry{ContentType: "application/json", Properties: map[string]string{"kind": "start"}, Body: []byte("{}")})
				if (err == nil) != test.ok {
					t.Errorf("Publish: %v; want success %v", err, test.ok)
				}
				wantNoSecret(t, err)
				synctest.Wait()
				if test.class == 0 {
					if s.Err() != nil {
						t.Errorf("session ended: %v", s.Err())
					}
				} else {
					wantError(t, s.Err(), test.class, test.cause)
				}
			})
		})
	}
}

// TestPublishOfOldSession: a PUBACK in the next session, for the same packet id,
// says nothing about what the last one sent.
func TestPublishOfOldSession(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		old, p := n.connect(n.config(), 1)
		result := make(chan error, 1)
		go func() { result <- old.Publish(context.Background(), hub.Telemetry{}) }()
		id := expect[*packets.PublishPacket](p).MessageID
		_ = p.conn.Close()
		s, p := n.connect(n.config(), 2)
		defer s.Close()
		p.puback(id)
		if err := <-result; err == nil {
			t.Error("Publish of a lost session: nil; want an error")
		}
	})
}

func TestPublishTooLarge(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s, _ := n.connect(n.config(), 1)
		defer s.Close()
		for _, m := range []hub.Telemetry{
			{Body: make([]byte, maxTelemetry)},
			{Properties: map[string]string{"k": strings.Repeat("%", 30000)}}, // paho would cut the topic
		} {
			if err := s.Publish(t.Context(), m); err == nil || s.Err() != nil {
				t.Errorf("Publish of too much: %v, session %v; want it refused here and the session alive", err, s.Err())
			}
		}
	})
}

// TestOversizePacket: five bytes that announce 256 MiB end the session and cost
// nothing; a packet at the limit passes.
func TestOversizePacket(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		cfg := n.config()
		cfg.PacketLimit = 1000
		s, p := n.connect(cfg, 1)
		body := strings.Repeat("x", 1000-len(bound)-4)
		p.publish(1, bound, body)
		if d := recvDelivery(t, s); string(d.Message.Body) != body {
			t.Fatalf("body of %d bytes; want %d", len(d.Message.Body), len(body))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p.sendRaw(0x30, 0xff, 0xff, 0xff, 0x7f)
		<-s.Done()
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%d bytes were allocated", grown)
		}
		wantError(t, s.Err(), hub.RetrySlowly, hub.CauseProtocol)
		s.Close()

		s, p = n.connect(cfg, 2)
		p.publish(1, bound, body+"x")
		<-s.Done()
		wantError(t, s.Err(), hub.RetrySlowly, hub.CauseProtocol)
		s.Close()
	})
}

// TestPeerStopsReading: whatever we have to say, the session ends within the
// limit of one write, or of the next PINGREQ when we have nothing to say.
func TestPeerStopsReading(t *testing.T) {
	tests := []struct {
		name string
		say  func(s *Session, p *peer)
		most time.Duration
	}{
		{"PUBLISH", func(s *Session, _ *peer) { go func() { _ = s.Publish(context.Background(), hub.Telemetry{}) }() }, writeLimit},
		{"PUBACK", func(s *Session, _ *peer) { s.Complete(1) }, writeLimit},
		{"SUBSCRIBE", func(s *Session, _ *peer) { go func() { _ = s.Subscribe(context.Background()) }() }, writeLimit},
		{"nothing", func(*Session, *peer) {}, time.Minute + 5*time.Second + writeLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				s, p := n.connect(n.config(), 1)
				defer s.Close()
				p.publish(1, bound, "")
				recvDelivery(t, s)
				// The peer's goroutine waits in a read. This packet is the last it takes.
				close(p.stop)
				if err := writeLast(s); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				test.say(s, p)
				<-s.Done()
				if d := time.Since(start); d > test.most {
					t.Errorf("the session ended after %v; want %v at most", d, test.most)
				}
				wantError(t, s.Err(), hub.RetrySoon, hub.CauseNetwork)
			})
		})
	}
}

// writeLast writes a packet of which nothing else takes note.
func writeLast(s *Session) error {
	return packets.NewControlPacket(packets.Pingreq).Write(s.conn)
}

// TestKeepAlive: hours of silence with a peer that answers PINGREQ, then a peer
// that does not.
func TestKeepAlive(t *testing.T) {
	for _, keepAlive := range []time.Duration{8 * time.Second, time.Minute, maxKeepAlive} {
		t.Run(keepAlive.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				cfg := n.config()
				cfg.KeepAlive = keepAlive
				s, p := n.connect(cfg, 1)
				defer s.Close()
				select {
				case <-s.Done():
					t.Fatalf("ended while the peer answered: %v", s.Err())
				case <-time.After(min(24*time.Hour, 500*keepAlive)):
				}
				close(p.mute)
				start := time.Now()
				<-s.Done()
				if d := time.Since(start); d > keepAlive+30*time.Second {
					t.Errorf("silence was noticed after %v; want %v and 30 s at most", d, keepAlive)
				}
				wantError(t, s.Err(), hub.RetrySoon, hub.CauseNetwork)
			})
		})
	}
}

// TestNothingIsLeft: however a session ends, nothing of it runs after Close; the
// bubble fails if something does, and time stands still in it by then.
func TestNothingIsLeft(t *testing.T) {
	ends := map[string]func(s *Session, p *peer){
		"closed by us":   func(s *Session, _ *peer) { s.Close() },
		"closed by hub":  func(_ *Session, p *peer) { _ = p.conn.Close() },
		"protocol error": func(_ *Session, p *peer) { p.sendRaw(0x30, 0xff, 0xff, 0xff, 0x7f) },
		"while publishing": func(s *Session, p *peer) {
			go func() { _ = s.Publish(context.Background(), hub.Telemetry{}) }()
			p.read()
			p.sendRaw(0xf0, 0)
		},
		"while acknowledging": func(s *Session, p *peer) {
			for id := range uint16(50) {
				p.publish(id+1, bound, "")
			}
			synctest.Wait()
			close(p.stop)
			for id := range uint64(50) {
				s.Complete(id + 1)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				s, p := n.connect(n.config(), 1)
				end(s, p)
				<-s.Done()
				_ = p.conn.Close()
				s.Close()
			})
		})
	}
}

// TestGuardOwnsTheDeadline: paho's deadlines for writing do not reach the
// connection.
func TestGuardOwnsTheDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s, _ := n.connect(n.config(), 1)
		defer s.Close()
		past := time.Now().Add(-time.Hour)
		if err := s.conn.SetWriteDeadline(past); err != nil {
			t.Fatal(err)
		}
		if err := writeLast(s); err != nil || s.Err() != nil {
			t.Errorf("write: %v, session: %v; want our own deadline only", err, s.Err())
		}
	})
}

// slowConn takes a write when it is told to, and counts deadlines.
type slowConn struct {
	net.Conn
	take      chan struct{}
	deadlines atomic.Int32
}

func (c *slowConn) SetWriteDeadline(time.Time) error { c.deadlines.Add(1); return nil }
func (c *slowConn) Write(p []byte) (int, error)      { <-c.take; return len(p), nil }

// TestGuardWritesOneByOne: PINGREQ is written by another goroutine than all
// else. It must not move the deadline of a write that is under way.
func TestGuardWritesOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &slowConn{take: make(chan struct{})}
		g := newGuard(conn, conn, 1000)
		for range 2 {
			go func() { _, _ = g.Write([]byte{0xc0, 0}) }()
		}
		for want := range int32(2) {
			synctest.Wait()
			if got := conn.deadlines.Load(); got != want+1 {
				t.Errorf("%d deadlines were set when %d writes were done; want %d", got, want, want+1)
			}
			conn.take <- struct{}{}
		}
	})
}
