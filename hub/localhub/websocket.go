package localhub

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// upgrade makes a connection one of MQTT over WebSocket and serves it. It is
// recorded like a request.
func (w *web) upgrade(rw http.ResponseWriter, r *http.Request, f Fault) {
	req := request{kind: PacketWebSocket}
	answered := false
	no := func(because *refusal) {
		answered, req.stray = true, because
		if f.Effect != Refuse { // what is left of it does not concern an answer that says no
			f = Fault{}
		}
		w.act(req, r.Method, f).write(rw)
	}
	offered := websocket.Subprotocols(r)
	switch {
	case f.Effect == Refuse:
		no(nil)
		return
	case slices.Contains(offered, "mqtt"):
	case slices.Contains(offered, "AMQPWSB10"):
		no(refuse(http.StatusBadRequest, "AMQP over WebSocket is not supported"))
		return
	default:
		no(refuse(http.StatusBadRequest, "the subprotocol mqtt is missing"))
		return
	}
	up := websocket.Upgrader{
		HandshakeTimeout: writeTime,
		Subprotocols:     []string{"mqtt"},
		CheckOrigin:      func(*http.Request) bool { return true }, // a page of any origin may connect; CONNECT proves who it is
		Error: func(_ http.ResponseWriter, _ *http.Request, status int, reason error) {
			no(refuse(status, reason.Error()))
		},
	}
	ws, err := up.Upgrade(rw, r, http.Header{"Date": rw.Header()["Date"]})
	if answered {
		return
	}
	defer w.finish()
	defer w.end("")
	if err != nil { // it broke, or the device did not wait for the answer
		return
	}
	c := w.h.open(&stream{ws: ws, Conn: w.nc}, w.nc)
	if c == nil {
		return
	}
	w.become(c, req, r.Method, f)
	c.run()
}

// become ties a connection to the MQTT on it.
func (w *web) become(c *conn, req request, method string, f Fault) {
	h := w.h
	h.mu.Lock()
	defer h.unlock()
	w.mqtt = c
	h.noteRequest(req, method, http.StatusSwitchingProtocols, "")
	switch {
	case w.ended:
		h.end(c, "closed meanwhile")
	case f.Effect == DropAfter:
		h.end(c, "fault: "+f.String())
	}
}

// stream is what comes and goes in the binary frames of a WebSocket: a stream of
// bytes, whatever the frames. Close, addresses and the deadline of reading are
// those of the connection below.
type stream struct {
	net.Conn
	ws       *websocket.Conn
	frame    io.Reader    // what is left of the current message; nil: nothing
	deadline atomic.Int64 // of the next write, in Unix nanoseconds; 0: none
}

// Read implements net.Conn. After an error, a deadline's too, a WebSocket cannot
// be read any more.
func (s *stream) Read(p []byte) (int, error) {
	for {
		if s.frame == nil {
			kind, frame, err := s.ws.NextReader()
			switch {
			case err != nil:
				return 0, plain(err)
			case kind != websocket.BinaryMessage:
				return 0, fmt.Errorf("%w: a WebSocket message that is not binary", errMalformed)
			}
			s.frame = frame
		}
		n, err := s.frame.Read(p)
		switch {
		case errors.Is(err, io.EOF):
			s.frame = nil
			err = nil
		case err != nil:
			return n, plain(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

// plain gives errors the names they have without a WebSocket.
func plain(err error) error {
	var t net.Error
	var gone *websocket.CloseError
	switch {
	case errors.As(err, &t) && t.Timeout():
		return os.ErrDeadlineExceeded
	case errors.As(err, &gone): // a frame that says so, or the end without one
		return io.EOF
	}
	return err
}

// Write implements net.Conn: one message for each call.
func (s *stream) Write(p []byte) (int, error) {
	var at time.Time
	if n := s.deadline.Load(); n != 0 {
		at = time.Unix(0, n)
	}
	_ = s.ws.SetWriteDeadline(at) // never fails
	if err := s.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetWriteDeadline implements net.Conn, for writes that begin after it: the
// WebSocket's own is for the writer only.
func (s *stream) SetWriteDeadline(t time.Time) error {
	n := int64(0)
	if !t.IsZero() {
		n = t.UnixNano()
	}
	s.deadline.Store(n)
	return nil
}
