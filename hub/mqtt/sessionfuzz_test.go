package mqtt

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

// FuzzSession: whatever a hub sends behind its CONNACK, the session hands over what
// was whole before the first fault, in order, acknowledges each packet no more often
// than it came, and in order of receipt; and it ends, with an error of ours and with
// nothing of it left running. In the bubble a panic of paho's would end the process.
func FuzzSession(f *testing.F) {
	mustIdentity(&testing.T{}) // outside of the bubbles, which share it
	f.Add(stream[4:], false)
	f.Fuzz(func(t *testing.T, b []byte, backwards bool) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t, false)
			s, p := n.connect(n.config(), 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			go func() { _ = s.Publish(ctx, hub.Telemetry{}) }()
			synctest.Wait()
			go p.sendRaw(b...)
			synctest.Wait()
			want, sound, simple := sent(b)
			got := taken(s)
			for i, d := range got {
				if i >= len(want) || d.Seq != uint64(i)+1 || d.Session != 1 || !bytes.Equal(d.Message.Body, want[i].Payload) {
					t.Fatalf("delivery %d is %+v of %v", i, d, want)
				}
			}
			whole := sound && s.Err() == nil && len(want) <= cap(s.deliveries)
			if whole && len(got) != len(want) {
				t.Errorf("%d deliveries of %v", len(got), want)
			}
			if backwards {
				slices.Reverse(got)
			}
			for _, d := range got {
				s.Complete(d.Seq)
			}
			synctest.Wait()
			s.Close()
			wantFinal(t, s.Err())
			if acks, due := acknowledged(p), receipts(want); whole && simple && !slices.Equal(acks, due) || simple && len(acks) > len(want) {
				t.Errorf("PUBACKs %v; want %v", acks, due)
			}
		})
	})
}

// wantFinal: an error of ours, in one short line.
func wantFinal(t *testing.T, err error) {
	t.Helper()
	wantNoSecret(t, err)
	if err == nil || hub.CauseOf(err) == "" || len(err.Error()) > 300 || strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("it ended with %v", err)
	}
}

// sent is the messages to this device in b, up to the first fault; whether there is
// none; and whether there is nothing else.
func sent(b []byte) (messages []*packets.PublishPacket, sound, simple bool) {
	frames, own := frames{limit: 256 << 10, begun: true}, strings.TrimSuffix(hub.DeviceboundFilter(testDevice), "/#")
	simple = true
	for r := bytes.NewReader(b); r.Len() > 0; {
		at := len(b) - r.Len()
		packet, err := packets.ReadPacket(r)
		if err != nil || frames.inspect(b[at:len(b)-r.Len()]) != nil {
			return messages, false, false
		}
		if m, ok := packet.(*packets.PublishPacket); ok && strings.HasPrefix(m.TopicName, own) {
			messages = append(messages, m)
		} else {
			simple = false
		}
	}
	return messages, true, simple
}

func taken(s *Session) (all []hub.Delivery) {
	for {
		select {
		case d := <-s.Deliveries():
			all = append(all, d)
		default:
			return all
		}
	}
}

// receipts is the ids of messages with QoS 1 in order of receipt; what came again
// stands at its last place.
func receipts(messages []*packets.PublishPacket) (ids []uint16) {
	for _, m := range messages {
		if m.Qos > 0 {
			ids = slices.DeleteFunc(ids, func(id uint16) bool { return id == m.MessageID })
			ids = append(ids, m.MessageID)
		}
	}
	return ids
}

func acknowledged(p *peer) (ids []uint16) {
	for packet := p.read(); packet != nil; packet = p.read() {
		if a, ok := packet.(*packets.PubackPacket); ok {
			ids = append(ids, a.MessageID)
		}
	}
	return ids
}
