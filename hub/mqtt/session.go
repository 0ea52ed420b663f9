package mqtt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"actuatord/hub"
)

// Session is one connection to the hub, from CONNACK to its end. Its methods
// may be called from any goroutine.
type Session struct {
	cfg        Config
	generation uint64
	present    bool
	client     paho.Client
	conn       *guard

	deliveries chan hub.Delivery
	settled    chan struct{} // capacity 1
	wake       chan struct{} // capacity 1: the ack goroutine has something to look at
	drained    chan struct{} // closed when Close has been asked for and no PUBACK is due
	done       chan struct{}
	torn       chan struct{} // closed when paho was told to end

	mu       sync.Mutex // guards what follows
	queue    ackQueue
	seq      uint64
	acking   bool // the ack goroutine is sending a PUBACK
	overflow bool // something was not handed over; from then on nothing is
	closing  bool // Close waits for drained
	emptied  bool // drained is closed
	err      error
}

func newSession(cfg Config, generation uint64, conn *guard) *Session {
	return &Session{
		cfg: cfg, generation: generation, conn: conn,
		deliveries: make(chan hub.Delivery, cfg.Queue),
		settled:    make(chan struct{}, 1),
		wake:       make(chan struct{}, 1),
		drained:    make(chan struct{}),
		done:       make(chan struct{}),
		torn:       make(chan struct{}),
	}
}

// begin starts the ack goroutine; from now on errors end the session.
func (s *Session) begin() {
	go s.acknowledge()
	s.conn.watch(s.fail)
}

// abandon ends a session that nobody will ever see.
func (s *Session) abandon() {
	s.fail(closed())
	<-s.torn
}

// Generation is the number given to [Connect].
func (s *Session) Generation() uint64 { return s.generation }

// SessionPresent tells whether the hub kept a session of ours, with its
// subscription, from before.
func (s *Session) SessionPresent() bool { return s.present }

// Deliveries gives what the hub delivers, in order of receipt. It is never
// closed: receive from [Session.Done] as well. What is left in it when the
// session ends was delivered and is still to be carried out, or will come again.
func (s *Session) Deliveries() <-chan hub.Delivery { return s.deliveries }

// Settled gets a value when [Session.Unsettled] falls to 0. It holds one value,
// so one may be stale: look at Unsettled.
func (s *Session) Settled() <-chan struct{} { return s.settled }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err tells why the session has ended, a [*hub.Error]; nil while it has not.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// receive is paho's handler. It runs in the goroutine that also handles PUBACK
// and PINGRESP, so it must not block.
func (s *Session) receive(m paho.Message) {
	own := strings.TrimSuffix(hub.DeviceboundFilter(s.cfg.DeviceID), "/#")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
	case !strings.HasPrefix(m.Topic(), own):
		// Left over from another program with our id that subscribed to more
		// than we do. It is no command; unacknowledged it would block all that
		// comes after it.
		s.cfg.Log.Warn("message on a topic nobody subscribed to", "topic", m.Topic()[:min(len(m.Topic()), 200)])
		s.enqueue(m, 0, true)
	case s.overflow || s.queue.len() >= 16*s.cfg.Queue || !s.handOver(m):
		if !s.overflow {
			s.cfg.Log.Warn("more deliveries than can be kept: the rest stays on the hub", "queue", s.cfg.Queue)
		}
		s.overflow = true
		s.queue.drop(m.MessageID())
		s.nudge()
	}
}

// handOver puts a message into Deliveries; false: there is no room.
func (s *Session) handOver(m paho.Message) bool {
	d := hub.Delivery{Via: hub.MQTT, Session: s.generation, Seq: s.seq + 1}
	d.Message, d.Fault = hub.ParseDevicebound(s.cfg.DeviceID, m.Topic())
	d.Message.Body = m.Payload()
	select {
	case s.deliveries <- d:
	default:
		return false
	}
	s.seq++
	s.enqueue(m, d.Seq, false)
	return true
}

// enqueue remembers that m is to be acknowledged. A message of QoS 0 is not: the
// hub has forgotten it already.
func (s *Session) enqueue(m paho.Message, seq uint64, done bool) {
	if m.Qos() > 0 && !s.overflow {
		s.queue.push(ackEntry{seq: seq, packet: m.MessageID(), done: done, ack: m.Ack})
		s.nudge()
	}
}

// Complete has the delivery acknowledged, once all before it are. It never
// blocks; for a delivery that is not of this session, was acknowledged or was
// delivered again since, it does nothing. It says nothing about whether the
// PUBACK arrives: if it does not, the message comes again.
func (s *Session) Complete(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq > 0 && s.queue.complete(seq) {
		s.nudge()
	}
}

// Holds tells whether the delivery with this number is still to be acknowledged
// under it. It is not if it was delivered again, under a later number.
func (s *Session) Holds(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.holds(seq)
}

// Unsettled counts the deliveries whose PUBACK has not been sent.
func (s *Session) Unsettled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acking {
		return s.queue.len() + 1
	}
	return s.queue.len()
}

func (s *Session) nudge() { signal(s.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// acknowledge is the goroutine that sends PUBACKs.
func (s *Session) acknowledge() {
	for {
		if ack := s.nextAck(); ack != nil {
			ack() // may block until the connection takes it or is closed
			continue
		}
		select {
		case <-s.wake:
		case <-s.done:
			return
		}
	}
}

// nextAck gives the PUBACK that is due, or nil and sees to what waits for there
// being none.
func (s *Session) nextAck() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		s.acking = false
		return nil
	}
	if head, ok := s.queue.pop(); ok {
		s.acking = true
		return head.ack
	}
	if s.acking && s.queue.len() == 0 {
		signal(s.settled)
	}
	s.acking = false
	if s.overflow && s.queue.len() == 0 {
		// Everything before the first message without room is settled. Only a
		// new session can bring that message again.
		s.end(&hub.Error{Class: hub.RetrySoon, Cause: hub.CauseOverflow, Err: errors.New("more deliveries than can be kept")}, true)
	}
	if s.closing && !s.emptied {
		s.emptied = true
		close(s.drained)
	}
	return nil
}

// Subscribe asks for cloud-to-device messages with QoS 1 and waits for the
// hub's answer, until ctx or the session ends. An error is a [*hub.Error]; the
// session then still stands if it did before.
func (s *Session) Subscribe(ctx context.Context) error {
	filter := hub.DeviceboundFilter(s.cfg.DeviceID)
	token, err := s.await(ctx, func() paho.Token { return s.client.Subscribe(filter, 1, nil) })
	if err != nil {
		return classify(fmt.Errorf("subscribe: %w", err))
	}
	granted := byte(0x80)
	if t, ok := token.(*paho.SubscribeToken); ok {
		granted = t.Result()[filter]
	}
	// With QoS 0 the hub would complete messages before we have seen them.
	if granted != 1 {
		return &hub.Error{Class: hub.RetrySlowly, Cause: hub.CauseSubscription, Err: fmt.Errorf("hub answered SUBSCRIBE of %s with code %#02x instead of QoS 1", filter, granted)}
	}
	return nil
}

// Publish sends telemetry with QoS 1 and waits for its PUBACK, until ctx or the
// session ends. After an error the hub may have it all the same.
func (s *Session) Publish(ctx context.Context, t hub.Telemetry) error {
	topic := hub.FormatEvents(s.cfg.DeviceID, t)
	if len(topic) > maxTopic || len(topic)+len(t.Body) > maxTelemetry {
		return fmt.Errorf("publish telemetry: topic of %d and body of %d bytes are more than the hub takes", len(topic), len(t.Body))
	}
	if _, err := s.await(ctx, func() paho.Token { return s.client.Publish(topic, 1, false, t.Body) }); err != nil {
		return fmt.Errorf("publish telemetry: %w", err)
	}
	return nil
}

// await sends something and waits for its answer. Sending is a goroutine of its
// own because paho hands packets to its writer without regard to ctx; it ends
// within writeLimit.
func (s *Session) await(ctx context.Context, send func() paho.Token) (paho.Token, error) {
	if err := cmp.Or(s.Err(), ctx.Err()); err != nil {
		return nil, err
	}
	answered := make(chan paho.Token, 1)
	go func() {
		token := send()
		select {
		case <-token.Done():
			answered <- token
		case <-s.done: // some tokens never complete once the connection is gone
		case <-ctx.Done():
		}
	}()
	select {
	case token := <-answered:
		if err := token.Error(); err != nil {
			return nil, cmp.Or(s.Err(), err) // paho's word for it says less
		}
		return token, nil
	case <-s.done:
		return nil, s.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close acknowledges what is completed and can be in order (5 s at most), says
// DISCONNECT and ends the session. It may be called again, and after the session
// ended by itself.
func (s *Session) Close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.nudge()
	timer := time.NewTimer(drainLimit)
	defer timer.Stop()
	select {
	case <-s.drained:
	case <-s.done:
	case <-timer.C:
	}
	s.mu.Lock()
	s.end(closed(), true)
	s.mu.Unlock()
	<-s.torn
}

func closed() error { return &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseClosed} }

// fail ends the session because of err; later errors are echoes.
func (s *Session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(err, false)
}

// end must be called with the lock held.
func (s *Session) end(err error, farewell bool) {
	if s.err != nil {
		return
	}
	s.err = classify(err)
	close(s.done)
	go s.tearDown(farewell)
}

// tearDown tells paho to end. It must be told even when the connection is gone:
// some errors it does not report, and its goroutines would stay.
func (s *Session) tearDown(farewell bool) {
	defer close(s.torn)
	if farewell {
		s.client.Disconnect(quiesce)
	}
	_ = s.conn.Close()
	s.client.Disconnect(quiesceBroken)
}
