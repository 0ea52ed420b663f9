package mqtt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"actuatord/hub"
)

// tape is a connection whose peer answers the upgrade and then sends what is on
// it, some bytes at a time, whatever we say.
type tape struct {
	net.Conn
	answer func(key string) string
	frames []byte
	piece  int

	asked []byte
	in    []byte
	out   bytes.Buffer // after the request
	taken int
}

func (c *tape) Write(p []byte) (int, error) {
	if c.in != nil {
		return c.out.Write(p)
	}
	if c.asked = append(c.asked, p...); bytes.HasSuffix(c.asked, []byte("\r\n\r\n")) {
		_, rest, _ := strings.Cut(string(c.asked), "Sec-WebSocket-Key: ")
		key, _, _ := strings.Cut(rest, "\r\n")
		c.in = append([]byte(c.answer(key)), c.frames...)
	}
	return len(p), nil
}

func (c *tape) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), max(1, c.piece))], c.in)
	c.in, c.taken = c.in[n:], c.taken+n
	return n, nil
}

func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }
func (c *tape) Close() error                     { return nil }

// upgraded is a WebSocket that gets these frames, in reads of piece bytes.
func upgraded(t *testing.T, frames []byte, piece int) (*web, *tape) {
	t.Helper()
	c := &tape{answer: accepted, frames: frames, piece: piece}
	w, err := upgrade(context.Background(), Config{Host: testHost}.withDefaults(), c, c)
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

// TestWebSocketFraming: how packets lie in messages, messages in frames and
// frames in reads does not matter, nor what control frames come between.
func TestWebSocketFraming(t *testing.T) {
	text := string(stream) + strings.Repeat("x", 300)
	long := append([]byte{fin | opBinary, 127}, binary.BigEndian.AppendUint64(nil, uint64(len(text)))...) // longer than need be
	for size := 1; size <= len(text); size++ {
		var messages, fragments []byte
		kind := byte(opBinary)
		for at := 0; at < len(text); at += size {
			part := text[at:min(at+size, len(text))]
			messages = slices.Concat(messages, frame(fin|opBinary, part), frame(fin|opBinary, ""))
			fragments = slices.Concat(fragments, frame(kind, part), frame(fin|opPing, "x"), frame(opMore, ""), frame(fin|opPong, ""))
			kind = opMore
		}
		for _, sent := range [][]byte{messages, append(fragments, frame(fin|opMore, "")...), append(slices.Clone(long), text...)} {
			w, _ := upgraded(t, sent, size)
			got, err := io.ReadAll(io.LimitReader(w, int64(len(text)+1)))
			if string(got) != text || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("pieces of %d: got %d bytes, %v; want %d", size, len(got), err, len(text))
			}
		}
	}
}

// payload is what RFC 6455 takes for the bytes of binary messages in b, up to
// its end or to the first frame that a hub may not send, and how many pings are
// whole before that.
func payload(b []byte) (out []byte, pings int) {
	open, total := false, uint64(0)
	for len(b) >= 2 {
		op, last, n, size := b[0]&15, b[0]&fin != 0, uint64(b[1]&0x7f), 2
		control := op >= opClose
		if b[0]&0x70 != 0 || b[1]&masked != 0 || op > opPong || op > opBinary && !control || control && (!last || n > 125) || !control && (op == opMore) != open {
			return out, pings
		}
		if long := map[uint64]int{126: 2, 127: 8}[n]; long > 0 {
			if size += long; len(b) < size {
				return out, pings
			}
			n = binary.BigEndian.Uint64(append(make([]byte, 8-long), b[2:size]...))
		}
		b = b[size:]
		part := b[:min(n, uint64(len(b)))]
		b = b[len(part):]
		switch {
		case control && uint64(len(part)) < n:
			return out, pings
		case op == opClose:
			return out, pings
		case op == opPing:
			pings++
		case control:
		case op == opText:
			return out, pings
		default:
			if total += n; n > messageLimit || total > messageLimit {
				return out, pings
			}
			if out, open = append(out, part...), !last; last {
				total = 0
			}
		}
	}
	return out, pings
}

// FuzzWebSocket: whatever a peer sends, in whatever pieces, what is read is what
// the protocol says, pings are answered, what we say is well-formed, and the
// error stays.
func FuzzWebSocket(f *testing.F) {
	f.Add(frame(fin|opBinary, string(stream)), 3)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		w, c := upgraded(t, b, piece)
		got, err := io.ReadAll(w)
		want, pings := payload(b)
		if !bytes.Equal(got, want) || err == nil {
			t.Fatalf("read % x, %v; want % x and an error", got, err, want)
		}
		if n, again := w.Read(make([]byte, 1)); n != 0 || again != err {
			t.Errorf("read again: %d, %v; want %v", n, again, err)
		}
		if len(err.Error()) > 600 || !utf8.ValidString(err.Error()) {
			t.Errorf("error of %d bytes: %q", len(err.Error()), err)
		}
		said := newWebPeer(&tape{in: c.out.Bytes(), piece: 100})
		if _, err := io.ReadAll(said); err != nil {
			t.Errorf("we said % x: %v", c.out.Bytes(), err)
		}
		for _, answer := range said.control[:min(pings, len(said.control))] {
			if answer.op == opPong {
				pings--
			}
		}
		if pings != 0 {
			t.Errorf("%d pings were not answered", pings)
		}
	})
}

// FuzzUpgrade: whatever answers the upgrade, in whatever pieces, the limit holds
// and an error is one of ours. KEY stands for the proof that it was understood.
func FuzzUpgrade(f *testing.F) {
	f.Add([]byte("HTTP/1.1 403 Forbidden\r\n\r\n"), 3)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		c := &tape{piece: piece, answer: func(key string) string {
			return string(bytes.ReplaceAll(b, []byte("KEY"), []byte(acceptance(key))))
		}}
		w, err := upgrade(context.Background(), Config{Host: testHost}.withDefaults(), c, c)
		if c.taken > answerLimit {
			t.Errorf("%d bytes were read", c.taken)
		}
		if err == nil {
			if head, _, whole := strings.Cut(strings.ToLower(string(b)), "\n\r\n"); whole && strings.Contains(head, "sec-websocket-extensions:") || w.ws.Subprotocol() != webProtocol || !bytes.Contains(b, []byte("KEY")) {
				t.Errorf("passed: %q", b)
			}
			return
		}
		var e *hub.Error
		if !errors.As(err, &e) || len(err.Error()) > 300 || !utf8.ValidString(err.Error()) {
			t.Errorf("error: %q", err)
		}
	})
}
