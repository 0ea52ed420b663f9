package mqtt

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
)

// WebSocket opcodes and bits, by RFC 6455 §5.2.
const (
	opMore, opText, opBinary, opClose, opPing, opPong = 0, 1, 2, 8, 9, 10
	fin                                               = 0x80
	masked                                            = 0x80
)

// webPeer is the hub's end of a WebSocket: a stream to whoever reads packets
// from it, whatever the frames are; each Write is one message.
type webPeer struct {
	net.Conn // TLS, or a pipe
	r        *bufio.Reader
	left     []byte       // of a frame's payload
	control  []webControl // control frames that came
}

type webControl struct {
	op      byte
	payload string
}

func newWebPeer(conn net.Conn) *webPeer { return &webPeer{Conn: conn, r: bufio.NewReader(conn)} }

// request reads a request for an upgrade and gives it, with its key taken out.
func (w *webPeer) request() (request, key string, err error) {
	var text strings.Builder
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		if k, ok := strings.CutPrefix(line, "Sec-WebSocket-Key: "); ok {
			key = strings.TrimSpace(k)
			continue
		}
		if text.WriteString(line); line == "\r\n" {
			return text.String(), key, nil
		}
	}
}

// acceptance is what proves that a request with this key was understood.
func acceptance(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// accepted is the answer that makes a WebSocket.
func accepted(key string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + acceptance(key) +
		"\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
}

// frame is one frame from the hub.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

func (w *webPeer) Write(p []byte) (int, error) {
	if _, err := w.Conn.Write(frame(fin|opBinary, string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *webPeer) Read(p []byte) (int, error) {
	for len(w.left) == 0 {
		op, payload, err := w.next()
		switch {
		case err != nil:
			return 0, err
		case op < opClose:
			w.left = payload
		default:
			w.control = append(w.control, webControl{op, string(payload)})
			if op == opClose {
				return 0, io.EOF
			}
		}
	}
	n := copy(p, w.left)
	w.left = w.left[n:]
	return n, nil
}

// next reads one frame of a client, and refuses what RFC 6455 forbids one.
func (w *webPeer) next() (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(w.r, head[:]); err != nil {
		return 0, nil, err
	}
	if op = head[0] & 15; head[1]&masked == 0 || head[0]&0x70 != 0 || op == opText {
		return 0, nil, fmt.Errorf("a client's frame begins % x", head)
	}
	n := uint64(head[1] & 0x7f)
	if long := map[uint64]int{126: 2, 127: 8}[n]; long > 0 {
		var b [8]byte
		if _, err := io.ReadFull(w.r, b[8-long:]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	body := make([]byte, 4+n)
	if _, err := io.ReadFull(w.r, body); err != nil {
		return 0, nil, err
	}
	payload = body[4:]
	for i := range payload {
		payload[i] ^= body[i&3]
	}
	return op, payload, nil
}

// scripted dials to a peer that reads a request for an upgrade, does what f says
// with its key, and then reads until the end.
func (n *network) scripted(f func(conn net.Conn, key string)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer func() { _ = far.Close() }()
			conn := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{n.id.cert}})
			_, key, err := newWebPeer(conn).request()
			if err == nil {
				f(conn, key)
			}
			_, _ = io.Copy(io.Discard, far)
		}()
		return socket{near}, nil
	}
}
