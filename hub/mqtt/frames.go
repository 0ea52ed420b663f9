package mqtt

import (
	"encoding/binary"
	"fmt"
	"sync"

	"actuatord/hub"
)

// MQTT packet types, as in the upper half of a packet's first byte.
const (
	typeConnack    = 2
	typePublish    = 3
	typePuback     = 4
	typeSubscribe  = 8
	typeSuback     = 9
	typePingresp   = 13
	typeDisconnect = 14
)

// broken says how the peer broke the protocol.
func broken(format string, args ...any) error {
	return &hub.Error{Class: hub.RetrySlowly, Cause: hub.CauseProtocol, Err: fmt.Errorf("the hub sent "+format, args...)}
}

// frames follows the inbound byte stream frame by frame and refuses what a hub
// has no reason to send and paho might not survive.
type frames struct {
	limit int

	head   []byte // first byte and length of the present frame, until complete
	left   int    // bytes of its body still to come
	short  []byte // body of a frame that is not a PUBLISH: 3 bytes at most
	begun  bool   // CONNACK was seen
	expect suback
}

// suback is the id of the SUBSCRIBE that awaits its answer; 0: none does. It is
// written by the writing goroutine and read by the reading one.
type suback struct {
	mu sync.Mutex
	id uint16
}

func (f *frames) expectSuback(subscribe []byte) {
	at := 1
	for at < 5 && at < len(subscribe) && subscribe[at]&0x80 != 0 {
		at++
	}
	if at+3 > len(subscribe) {
		return
	}
	f.expect.mu.Lock()
	defer f.expect.mu.Unlock()
	f.expect.id = binary.BigEndian.Uint16(subscribe[at+1:])
}

// inspect goes through the next bytes of the stream.
func (f *frames) inspect(p []byte) error {
	for len(p) > 0 {
		if f.left == 0 {
			f.head = append(f.head, p[0])
			p = p[1:]
			if err := f.header(); err != nil {
				return err
			}
			continue
		}
		n := min(f.left, len(p))
		if f.head[0]>>4 != typePublish {
			f.short = append(f.short, p[:n]...)
		}
		f.left -= n
		p = p[n:]
		if f.left == 0 {
			if err := f.end(); err != nil {
				return err
			}
		}
	}
	return nil
}

// header looks at the header so far: a byte of type and flags, then a length of
// one to four bytes.
func (f *frames) header() error {
	last := len(f.head) - 1
	if last == 0 || f.head[last]&0x80 != 0 {
		if last == 4 {
			return broken("a packet length of more than four bytes")
		}
		return nil
	}
	length := 0
	for i, b := range f.head[1:] {
		length |= int(b&0x7f) << (7 * i)
	}
	if err := f.check(f.head[0]>>4, length); err != nil {
		return err
	}
	if f.left = length; length == 0 {
		return f.end()
	}
	return nil
}

// check refuses a frame by its header, before a byte of its body is read.
func (f *frames) check(kind byte, length int) error {
	if !f.begun && kind != typeConnack {
		return broken("packet type %d instead of CONNACK", kind)
	}
	want := length
	switch kind {
	case typeConnack:
		if f.begun {
			return broken("a second CONNACK")
		}
		want = 2
	case typePublish:
		if qos := f.head[0] >> 1 & 3; qos > 1 {
			return broken("a message with QoS %d", qos)
		}
	case typePuback:
		want = 2
	case typeSuback:
		want = 3 // id and one code: paho panics on more codes than topics
	case typePingresp:
		want = 0
	default:
		return broken("packet type %d, which it has no reason to", kind)
	}
	switch {
	case length != want:
		return broken("packet type %d with %d bytes instead of %d", kind, length, want)
	case length > f.limit:
		return broken("a packet of %d bytes; the limit is %d", length, f.limit)
	}
	return nil
}

// end looks at the body of a short frame that is now complete.
func (f *frames) end() error {
	kind, body := f.head[0]>>4, f.short
	f.head, f.short = f.head[:0], f.short[:0]
	switch kind {
	case typeConnack:
		f.begun = true
		return hub.ConnackError(body[1])
	case typeSuback, typePuback:
		f.expect.mu.Lock()
		defer f.expect.mu.Unlock()
		id := binary.BigEndian.Uint16(body)
		// Paho completes whatever waits under an id, whichever packet answers.
		switch waits := id != 0 && id == f.expect.id; {
		case kind == typeSuback && !waits:
			return broken("SUBACK for packet id %d, which was no SUBSCRIBE", id)
		case kind == typePuback && waits:
			return broken("PUBACK for packet id %d, which was a SUBSCRIBE", id)
		case waits:
			f.expect.id = 0
		}
	}
	return nil
}
