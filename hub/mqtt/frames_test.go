package mqtt

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"pgregory.net/rapid"

	"actuatord/hub"
)

// stream is CONNACK, a message, PUBACK, SUBACK for 5, PINGRESP: all a hub sends.
var stream = []byte{
	0x20, 2, 1, 0,
	0x32, 7, 0, 1, 'a', 0, 9, 'h', 'i',
	0x40, 2, 0, 3,
	0x90, 3, 0, 5, 1,
	0xd0, 0,
}

func newFrames() *frames {
	f := &frames{limit: 1000}
	f.expectSuback([]byte{0x82, 0x85, 0x00, 0, 5}) // a length in two bytes
	return f
}

// TestFramesInAnyPieces: how the stream is cut into reads does not matter.
func TestFramesInAnyPieces(t *testing.T) {
	for piece := 1; piece <= len(stream); piece++ {
		f := newFrames()
		for at := 0; at < len(stream); at += piece {
			if err := f.inspect(stream[at:min(at+piece, len(stream))]); err != nil {
				t.Fatalf("pieces of %d: at byte %d: %v", piece, at, err)
			}
		}
		if f.left != 0 || len(f.head) != 0 || !f.begun {
			t.Errorf("pieces of %d: the end of a frame was missed", piece)
		}
	}
}

// TestFramesRefused: each packet is put after a CONNACK; each is refused before
// its last byte could reach paho.
func TestFramesRefused(t *testing.T) {
	tests := []struct {
		name  string
		frame []byte
	}{
		{"reserved type 0", []byte{0x00, 0}},
		{"CONNECT", []byte{0x10, 0}},
		{"PUBREC", []byte{0x50, 2}},
		{"PUBREL", []byte{0x62, 2}},
		{"PUBCOMP", []byte{0x70, 2}},
		{"SUBSCRIBE", []byte{0x82, 0}},
		{"UNSUBSCRIBE", []byte{0xa2, 0}},
		{"UNSUBACK", []byte{0xb0, 2}},
		{"PINGREQ", []byte{0xc0, 0}},
		{"DISCONNECT", []byte{0xe0, 0}},
		{"reserved type 15", []byte{0xf0, 0}},
		{"second CONNACK", []byte{0x20, 2}},
		{"QoS 2", []byte{0x34, 5}},
		{"QoS 3", []byte{0x36, 5}},
		{"oversize", []byte{0x30, 0xe9, 0x07}},
		{"oversize in four bytes", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}},
		{"five bytes of length", []byte{0x30, 0x80, 0x80, 0x80, 0x80}},
		{"long PUBACK", []byte{0x40, 3}},
		{"short PUBACK", []byte{0x40, 1}},
		{"long SUBACK", []byte{0x90, 4}},
		{"empty SUBACK", []byte{0x90, 0}},
		{"SUBACK nobody waits for", []byte{0x90, 3, 0, 6, 1}},
		{"PUBACK for the SUBSCRIBE", []byte{0x40, 2, 0, 5}},
		{"long PINGRESP", []byte{0xd0, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFrames()
			if err := f.inspect(stream[:4]); err != nil {
				t.Fatal(err)
			}
			last := len(test.frame) - 1
			if err := f.inspect(test.frame[:last]); err != nil {
				t.Errorf("refused after %d bytes: %v", last, err)
			}
			err := f.inspect(test.frame[last:])
			if hub.ClassOf(err) != hub.RetrySlowly || hub.CauseOf(err) != hub.CauseProtocol {
				t.Errorf("% x: %v; want a protocol error", test.frame, err)
			}
		})
	}
}

// TestFramesSubackOnce: the second SUBACK for one SUBSCRIBE is refused: paho may
// have given the id to a PUBLISH since.
func TestFramesSubackOnce(t *testing.T) {
	f := newFrames()
	if err := f.inspect(stream); err != nil {
		t.Fatal(err)
	}
	if err := f.inspect([]byte{0x90, 3, 0, 5, 1}); err == nil {
		t.Error("a second SUBACK passed")
	}
	f.expectSuback([]byte{0x82, 0x05, 0}) // no packet: nothing is expected
	if err := newFrames().inspect([]byte{0xd0, 0}); err == nil {
		t.Error("a PINGRESP passed before CONNACK")
	}
}

// FuzzFrames: whatever passes can be read by paho, frame by frame, without a
// panic and without a packet above the limit; and the cut into reads does not
// change what passes.
func FuzzFrames(f *testing.F) {
	f.Add(stream, 3)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		piece = max(1, min(piece, len(b)))
		whole, cut := newFrames(), newFrames()
		verdict := whole.inspect(b)
		passed := 0
		var err error
		for passed < len(b) && err == nil {
			next := min(passed+piece, len(b))
			if err = cut.inspect(b[passed:next]); err == nil {
				passed = next
			}
		}
		if (verdict == nil) != (err == nil) {
			t.Fatalf("in one piece: %v; in pieces of %d: %v", verdict, piece, err)
		}
		r := bytes.NewReader(b[:passed])
		for {
			packet, err := packets.ReadPacket(r)
			if err != nil {
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || r.Len() == 0 {
					return
				}
				continue // a PUBLISH whose topic is longer than it is: paho ends the session
			}
			if s, ok := packet.(*packets.SubackPacket); ok && len(s.ReturnCodes) != 1 {
				t.Fatalf("a SUBACK with %d codes passed", len(s.ReturnCodes))
			}
			if m, ok := packet.(*packets.PublishPacket); ok && len(m.Payload) > whole.limit {
				t.Fatalf("a message of %d bytes passed", len(m.Payload))
			}
		}
	})
}

// TestAckQueue compares the queue with what it promises, over any sequence of
// receipts (with few packet ids, so that they repeat), completions and pops.
func TestAckQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q ackQueue
		var order []uint64 // live seqs in order of receipt
		packet, done := map[uint64]uint16{}, map[uint64]bool{}
		seq := uint64(0)
		remove := func(id uint16) {
			for i, s := range order {
				if packet[s] == id {
					order = append(order[:i:i], order[i+1:]...)
					return
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"receive": func(t *rapid.T) {
				seq++
				id := rapid.Uint16Range(1, 5).Draw(t, "id")
				remove(id)
				order = append(order, seq)
				packet[seq] = id
				q.push(ackEntry{seq: seq, packet: id})
			},
			"complete": func(t *rapid.T) {
				s := rapid.Uint64Range(0, seq+1).Draw(t, "seq")
				live := false
				for _, o := range order {
					live = live || o == s
				}
				done[s] = done[s] || live
				if got := q.complete(s); got != live {
					t.Fatalf("complete(%d) = %v; want %v", s, got, live)
				}
			},
			"drop": func(t *rapid.T) {
				id := rapid.Uint16Range(1, 5).Draw(t, "id")
				remove(id)
				q.drop(id)
			},
			"pop": func(t *rapid.T) {
				e, ok := q.pop()
				if want := len(order) > 0 && done[order[0]]; ok != want {
					t.Fatalf("pop gives %v; want %v", ok, want)
				}
				if ok {
					if e.seq != order[0] || e.packet != packet[order[0]] {
						t.Fatalf("pop gives %d; want the head %d", e.seq, order[0])
					}
					order = order[1:]
				}
			},
			"": func(t *rapid.T) {
				if q.len() != len(order) {
					t.Fatalf("%d entries; want %d", q.len(), len(order))
				}
			},
		})
	})
}
