package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error shows the token: %v", err)
	}
}

// TestConnectPacket: what the hub must see in CONNECT.
func TestConnectPacket(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		got := make(chan *packets.ConnectPacket, 1)
		go func() {
			p := <-n.peers
			got <- expect[*packets.ConnectPacket](p)
			p.connack(0, false)
		}()
		cfg := n.config()
		cfg.KeepAlive = time.Hour // more than the hub allows
		s, err := Connect(t.Context(), cfg, 7, testToken)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		c := <-got
		if c.ProtocolName != "MQTT" || c.ProtocolVersion != 4 || c.CleanSession || c.WillFlag || c.ClientIdentifier != testDevice ||
			c.Username != "hub.example/pump-1/?api-version=2021-04-12" || string(c.Password) != testToken || c.Keepalive != 1177 {
			t.Errorf("CONNECT is %v", c)
		}
		if s.SessionPresent() || s.Generation() != 7 || s.Err() != nil || s.Unsettled() != 0 || n.dials[0] != testHost+n.port() {
			t.Errorf("session: present %v, generation %d, %v, %d unsettled, dialled %v", s.SessionPresent(), s.Generation(), s.Err(), s.Unsettled(), n.dials)
		}
	})
}

// TestDeliveriesBeforeSubscribe: what a stored session held comes right after
// CONNACK and must not be lost.
func TestDeliveriesBeforeSubscribe(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		go func() {
			p := <-n.peers
			p.read()
			p.connack(0, true)
			p.publish(5, bound+"%24.mid=m1&k=v", "one")
			p.publish(6, bound+"%24.mid=m2&k=%", "two")
			n.peers <- p
		}()
		s, err := Connect(t.Context(), n.config(), 3, testToken)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		d := recvDelivery(t, s)
		if d.Message.ID != "m1" || d.Message.Properties["k"] != "v" || string(d.Message.Body) != "one" || d.Fault != nil || d.Via != hub.MQTT || d.Session != 3 || d.Seq != 1 {
			t.Errorf("first delivery is %+v", d)
		}
		d = recvDelivery(t, s)
		var fault *hub.PropertyError
		if !errors.As(d.Fault, &fault) || string(d.Message.Body) != "two" || d.Seq != 2 {
			t.Errorf("second delivery is %+v; want its fault, and its body all the same", d)
		}
		if !s.SessionPresent() || s.Unsettled() != 2 {
			t.Errorf("session present %v, %d unsettled; want true, 2", s.SessionPresent(), s.Unsettled())
		}
		s.Complete(1)
		s.Complete(2)
		if got := (<-n.peers).pubacks(); !slices.Equal(got, []uint16{5, 6}) {
			t.Errorf("PUBACKs %v; want 5, 6", got)
		}
	})
}

// TestPubackOrder completes five deliveries in every order; PUBACKs must leave
// in the order of receipt, each as early as that allows.
func TestPubackOrder(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s, p := n.connect(n.config(), 1)
		defer s.Close()
		seq := uint64(0)
		for order := range permutations(5) {
			for i := range 5 {
				p.publish(uint16(100+i), bound, fmt.Sprint(i))
			}
			synctest.Wait()
			var acked []uint16
			done := map[int]bool{}
			for _, i := range order {
				s.Complete(seq + uint64(i) + 1)
				s.Complete(seq + uint64(i) + 1) // a second time changes nothing
				done[i] = true
				acked = append(acked, p.pubacks()...)
				var want []uint16
				for j := 0; done[j]; j++ {
					want = append(want, uint16(100+j))
				}
				if !slices.Equal(acked, want) || s.Unsettled() != 5-len(want) {
					t.Fatalf("order %v: after completing %d PUBACKs were %v, %d unsettled; want %v", order, i, acked, s.Unsettled(), want)
				}
			}
			for range 5 {
				recvDelivery(t, s)
			}
			seq += 5
		}
		select {
		case <-s.Settled():
		default:
			t.Error("Settled holds nothing after everything was settled")
		}
	})
}

// permutations yields all orders of 0 … n-1.
func permutations(n int) func(func([]int) bool) {
	return func(yield func([]int) bool) {
		var rec func(order, rest []int) bool
		rec = func(order, rest []int) bool {
			if len(rest) == 0 {
				return yield(order)
			}
			for i, x := range rest {
				if !rec(append(slices.Clone(order), x), slices.Delete(slices.Clone(rest), i, i+1)) {
					return false
				}
			}
			return true
		}
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		rec(nil, all)
	}
}

// TestRedeliveredOnLiveSession: the same packet id again goes to the tail; the
// first handing-over can no longer be completed.
func TestRedeliveredOnLiveSession(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s, p := n.connect(n.config(), 1)
		defer s.Close()
		p.publish(1, bound+"%24.mid=a", "")
		p.publish(2, bound+"%24.mid=b", "")
		p.publish(1, bound+"%24.mid=a", "")
		for seq, id := range []string{"a", "b", "a"} {
			if d := recvDelivery(t, s); d.Message.ID != id || d.Seq != uint64(seq+1) {
				t.Fatalf("delivery is %+v; want %s as number %d", d, id, seq+1)
			}
		}
		if s.Unsettled() != 2 {
			t.Errorf("%d unsettled; want 2", s.Unsettled())
		}
		s.Complete(1)
		s.Complete(3)
		if got := p.pubacks(); got != nil {
			t.Errorf("PUBACKs %v; want none: b is the head now", got)
		}
		s.Complete(2)
		if got := p.pubacks(); !slices.Equal(got, []uint16{2, 1}) {
			t.Errorf("PUBACKs %v; want 2, 1", got)
		}
	})
}

// TestDeadSession: completing what a dead session delivered acknowledges nothing,
// although the next one uses the same packet id for another message.
func TestDeadSession(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		old, p := n.connect(n.config(), 1)
		p.publish(1, bound+"%24.mid=a", "")
		a := recvDelivery(t, old)
		_ = p.conn.Close()
		<-old.Done()
		wantError(t, old.Err(), hub.RetrySoon, hub.CauseNetwork)

		s, p := n.connect(n.config(), 2)
		defer s.Close()
		p.publish(1, bound+"%24.mid=b", "")
		b := recvDelivery(t, s)
		old.Complete(a.Seq)
		if got := p.pubacks(); got != nil || b.Session != 2 {
			t.Errorf("PUBACKs %v on session %d; want none on session 2", got, b.Session)
		}
		s.Complete(b.Seq)
		if got := p.pubacks(); !slices.Equal(got, []uint16{1}) {
			t.Errorf("PUBACKs %v; want 1", got)
		}
		old.Close()
		old.Complete(a.Seq)
	})
}

// TestForeignTopics: what another program subscribed to is acknowledged in its
// turn, so that it cannot block commands; it is not delivered.
func TestForeignTopics(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s, p := n.connect(n.config(), 1)
		defer s.Close()
		p.publish(1, bound, "a")
		p.publish(2, "devices/other/messages/devicebound/", "x")
		p.publish(0, "$iothub/methods/POST/reboot/?$rid=1", "x")
		p.publish(0, bound, "already completed by the hub")
		p.publish(3, strings.TrimSuffix(bound, "/"), "b")
		for _, want := range []string{"a", "already completed by the hub", "b"} {
			if d := recvDelivery(t, s); string(d.Message.Body) != want || d.Fault != nil {
				t.Errorf("delivery is %+v; want %s", d, want)
			}
		}
		s.Complete(2) // QoS 0: nothing to send
		if got := p.pubacks(); got != nil {
			t.Errorf("PUBACKs %v; want none before the head", got)
		}
		s.Complete(1)
		if got := p.pubacks(); !slices.Equal(got, []uint16{1, 2}) {
			t.Errorf("PUBACKs %v; want 1 and then the foreign 2", got)
		}
		s.Complete(3)
		if got := p.pubacks(); !slices.Equal(got, []uint16{3}) || s.Unsettled() != 0 {
			t.Errorf("PUBACKs %v, %d unsettled; want 3, 0", got, s.Unsettled())
		}
	})
}

// TestQueueOverflow: what has no room is not handed over and never acknowledged,
// nor is anything after it; when all before it is settled the session ends, as
// only a new one brings it again.
func TestQueueOverflow(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		cfg := n.config()
		cfg.Queue = 3
		s, p := n.connect(cfg, 1)
		defer s.Close()
		for id := range uint16(5) {
			p.publish(id+1, bound, fmt.Sprint(id+1))
		}
		for seq := range uint64(3) {
			if d := recvDelivery(t, s); d.Seq != seq+1 {
				t.Fatalf("delivery is %+v; want number %d", d, seq+1)
			}
		}
		p.publish(6, bound, "there is room again, but its turn has not come")
		p.publish(7, "devices/other/messages/devicebound/", "nor this one's to be acknowledged")
		synctest.Wait()
		if len(s.Deliveries()) != 0 || s.Err() != nil {
			t.Errorf("%d deliveries, %v; want none after the overflow, and the session alive", len(s.Deliveries()), s.Err())
		}
		for seq := range uint64(9) {
			s.Complete(seq + 1)
		}
		for id := range uint16(3) {
			if a := expect[*packets.PubackPacket](p); a.MessageID != id+1 {
				t.Errorf("PUBACK %d; want %d", a.MessageID, id+1)
			}
		}
		expect[*packets.DisconnectPacket](p)
		<-s.Done()
		wantError(t, s.Err(), hub.RetrySoon, hub.CauseOverflow)
	})
}

// TestClose: PUBACKs that are due leave first, then DISCONNECT, then silence.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s, p := n.connect(n.config(), 1)
		for id := range uint16(40) {
			s.Complete(uint64(id + 1)) // before it came: no-op
			p.publish(id+1, bound, "")
		}
		synctest.Wait()
		for seq := range uint64(39) { // the last one stays
			s.Complete(seq + 1)
		}
		start := time.Now()
		go s.Close()
		s.Close()
		if d := time.Since(start); d > time.Microsecond {
			t.Errorf("Close took %v; want no wait with a peer that answers", d)
		}
		for id := range uint16(39) {
			if a := expect[*packets.PubackPacket](p); a.MessageID != id+1 {
				t.Fatalf("PUBACK %d; want %d", a.MessageID, id+1)
			}
		}
		expect[*packets.DisconnectPacket](p)
		if p.read() != nil {
			t.Error("something came after DISCONNECT")
		}
		wantError(t, s.Err(), hub.RetrySoon, hub.CauseClosed)
		s.Close()
		s.Complete(40)
		if err := s.Publish(t.Context(), hub.Telemetry{}); err == nil {
			t.Error("published on a closed session")
		}
		wantError(t, s.Subscribe(t.Context()), hub.RetrySoon, hub.CauseClosed)
	})
}

// TestCloseWaitsForTheHub: what the session left unacknowledged can be received over
// HTTPS when Close is over. A hub that does not hang up costs a second.
func TestCloseWaitsForTheHub(t *testing.T) {
	for late, want := range map[time.Duration]time.Duration{0: 0, 300 * time.Millisecond: 300 * time.Millisecond, time.Hour: hangUpLimit} {
		bubble(t, func(t *testing.T, n *network) {
			s, p := n.connect(n.config(), 1)
			p.late.Store(int64(late))
			start := time.Now()
			s.Close()
			if d := time.Since(start); d < want || d > want+time.Microsecond {
				t.Errorf("the hub hangs up %v after DISCONNECT: Close took %v; want %v", late, d, want)
			}
			time.Sleep(late)
		})
	}
}

// TestCloseIsBounded: a peer that reads nothing cannot hold Close.
func TestCloseIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s, p := n.connect(n.config(), 1)
		const many = 8 // more than paho holds between us and the wire
		for id := range uint16(many) {
			p.publish(id+1, bound, "")
		}
		synctest.Wait()
		close(p.stop) // it takes one packet more
		for seq := range uint64(many) {
			s.Complete(seq + 1)
		}
		start := time.Now()
		s.Close()
		if d := time.Since(start); d < drainLimit || d > drainLimit+3*time.Second {
			t.Errorf("Close took %v; want %v and a little", d, drainLimit)
		}
	})
}

// TestSubscribe: only QoS 1 granted is success.
func TestSubscribe(t *testing.T) {
	tests := []struct {
		name   string
		answer func(p *peer, id byte)
		class  hub.Class // 0: success
		cause  string
		ends   bool // the session ends with it
	}{
		{"granted", func(p *peer, id byte) { p.sendRaw(0x90, 3, 0, id, 1) }, 0, "", false},
		{"refused", func(p *peer, id byte) { p.sendRaw(0x90, 3, 0, id, 0x80) }, hub.RetrySlowly, hub.CauseSubscription, false},
		{"granted QoS 0", func(p *peer, id byte) { p.sendRaw(0x90, 3, 0, id, 0) }, hub.RetrySlowly, hub.CauseSubscription, false},
		{"too many codes", func(p *peer, id byte) { p.sendRaw(0x90, 4, 0, id, 1, 1) }, hub.RetrySlowly, hub.CauseProtocol, true},
		{"no code", func(p *peer, id byte) { p.sendRaw(0x90, 2, 0, id) }, hub.RetrySlowly, hub.CauseProtocol, true},
		{"another id", func(p *peer, id byte) { p.sendRaw(0x90, 3, 0, id+1, 1) }, hub.RetrySlowly, hub.CauseProtocol, true},
		{"PUBACK instead", func(p *peer, id byte) { p.sendRaw(0x40, 2, 0, id) }, hub.RetrySlowly, hub.CauseProtocol, true},
		{"closed", func(p *peer, id byte) { _ = p.conn.Close() }, hub.RetrySoon, hub.CauseNetwork, true},
		{"silence", func(p *peer, id byte) {}, hub.RetrySoon, hub.CauseNetwork, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				s, p := n.connect(n.config(), 1)
				defer s.Close()
				go func() {
					sub := expect[*packets.SubscribePacket](p)
					if !slices.Equal(sub.Topics, []string{bound + "#"}) || !slices.Equal(sub.Qoss, []byte{1}) {
						t.Errorf("SUBSCRIBE of %v with QoS %v", sub.Topics, sub.Qoss)
					}
					test.answer(p, byte(sub.MessageID))
				}()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if err := s.Subscribe(ctx); test.class == 0 {
					if err != nil {
						t.Errorf("Subscribe: %v", err)
					}
				} else {
					wantError(t, err, test.class, test.cause)
				}
				synctest.Wait()
				if ended := s.Err() != nil; ended != test.ends {
					t.Errorf("session ended: %v (%v); want %v", ended, s.Err(), test.ends)
				}
			})
		})
	}
}
