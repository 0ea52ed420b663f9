package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"actuatord/hub"
	"actuatord/hub/dial"
)

const (
	// The address of MQTT on port 443, by the SDKs of all languages. The query is
	// the Java SDK's: with it the hub's front end does not ask for a certificate
	// of ours. A hub or gateway that does not know it ignores it.
	webPath, webQuery = "/$iothub/websocket", "iothub-no-client-cert=true"
	// webProtocol is the subprotocol that MQTT 3.1.1 (§6) demands.
	webProtocol = "mqtt"
	// answerLimit bounds what is read before the upgrade is done, which package
	// http would not. Azure's front ends answer with less than 1 KiB.
	answerLimit = 16 << 10
	// messageLimit bounds a WebSocket message. None is held in memory, and where
	// one ends means nothing to MQTT: it only has to end. A hub that put all the
	// 50 messages it keeps for a device into one would need 13 MiB.
	messageLimit = 16 << 20
)

// web is a WebSocket as a stream of bytes, which is what MQTT takes it for: a
// packet may span frames and messages, and share them.
type web struct {
	net.Conn // TLS: addresses, and the deadline for reading
	ws       *websocket.Conn
	message  io.Reader // what is being read; nil: the next is due
	err      error     // what ended reading
}

// upgrade makes a WebSocket of conn, until ctx ends. raw is the connection below.
func upgrade(ctx context.Context, cfg Config, conn, raw net.Conn) (*web, error) {
	addr := net.JoinHostPort(cfg.Gateway, strconv.Itoa(cfg.Port))
	bounded := &beforeUpgrade{Conn: conn, left: answerLimit}
	d := websocket.Dialer{
		NetDialTLSContext: func(context.Context, string, string) (net.Conn, error) { return bounded, nil },
		Subprotocols:      []string{webProtocol},
	}
	u := url.URL{Scheme: "wss", Host: strings.TrimSuffix(addr, ":443"), Path: webPath, RawQuery: webQuery}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	ws, answer, err := d.DialContext(context.WithoutCancel(ctx), u.String(), nil) // it would look at ctx's deadline only
	status := 0
	if answer != nil {
		status = answer.StatusCode
	}
	if !stop() {
		status, err = 0, ctx.Err()
	}
	switch {
	case err != nil:
		return nil, upgradeError(addr, status, err)
	case ws.Subprotocol() != webProtocol:
		return nil, broken("a WebSocket with subprotocol %.20q instead of %q", ws.Subprotocol(), webProtocol)
	case len(answer.Header.Values("Sec-WebSocket-Extensions")) > 0:
		return nil, broken("a WebSocket with extensions, which nobody asked for")
	}
	bounded.done = true
	ws.SetReadLimit(messageLimit)
	w := &web{Conn: conn, ws: ws}
	ws.SetPingHandler(w.pong)
	return w, nil
}

// upgradeError says what the answer to the upgrade means. It quotes nothing of
// it but the status, whoever it may be that answered.
func upgradeError(addr string, status int, err error) error {
	var known *hub.Error
	e := &hub.Error{Class: hub.RetrySlowly, Cause: hub.CauseProtocol}
	switch {
	case status == 0 && errors.As(err, &known):
		return known
	case status == 0 && dial.Broke(err):
		e.Class, e.Cause = hub.RetrySoon, hub.CauseNetwork
		e.Err = fmt.Errorf("start a WebSocket with %s: %w", addr, err)
	case status == 0:
		e.Err = fmt.Errorf("start a WebSocket with %s: the answer is no HTTP", addr)
	case status == 101:
		e.Err = fmt.Errorf("start a WebSocket with %s: the answer (status 101) breaks the protocol", addr)
	case status == 407:
		e.Cause = hub.CauseProxy
		e.Err = fmt.Errorf("start a WebSocket with %s: a proxy on the way wants credentials (status 407): set HTTPS_PROXY", addr)
	case status == 429 || status >= 500:
		e.Class, e.Cause = hub.RetrySoon, hub.CauseNetwork
		e.Err = fmt.Errorf("start a WebSocket with %s: the hub, or a proxy before it, cannot serve it now (status %d)", addr, status)
	default:
		e.Err = fmt.Errorf("start a WebSocket with %s: refused with status %d: is it an IoT Hub, and does nothing on the way forbid WebSockets?", addr, status)
	}
	return e
}

// pong answers a ping. It differs from the library's own answer in giving up no
// sooner than other writes do: after a write that was given up, nothing can be
// written any more.
func (w *web) pong(data string) error {
	if err := w.ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(writeLimit)); err != nil {
		return fmt.Errorf("answer a WebSocket ping: %w", err)
	}
	return nil
}

// Read gives what binary messages have in them.
func (w *web) Read(p []byte) (int, error) {
	for w.err == nil && len(p) > 0 {
		if w.message == nil {
			var kind int
			kind, w.message, w.err = w.ws.NextReader()
			if w.err = webError(w.err); w.err == nil && kind != websocket.BinaryMessage {
				w.err = broken("a WebSocket message of text")
			}
			continue
		}
		n, err := w.message.Read(p)
		if err == io.EOF { // of this message
			w.message, err = nil, nil
		}
		if w.err = webError(err); n > 0 {
			return n, nil
		}
	}
	return 0, w.err
}

// webError tells a peer that breaks the protocol from one that ends the
// connection, and from a connection that breaks. The library has a type only
// for the second; the errors of its own all begin with one word.
func webError(err error) error {
	var end *websocket.CloseError
	switch {
	case errors.As(err, &end) && end.Code == websocket.CloseAbnormalClosure:
		return io.ErrUnexpectedEOF // the library's number for: no Close frame came
	case errors.As(err, &end):
		return fmt.Errorf("the hub closed the WebSocket with code %d and the words %q", end.Code, end.Text)
	case err != nil && strings.HasPrefix(err.Error(), "websocket: "):
		return broken("a WebSocket frame against the rules: %w", err)
	}
	return err
}

// Write sends p as one message. Behind DISCONNECT nothing may follow, so the
// WebSocket's own farewell goes with it.
func (w *web) Write(p []byte) (int, error) {
	if err := w.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	if len(p) > 0 && p[0]>>4 == typeDisconnect {
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		if err := w.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(writeLimit)); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// SetWriteDeadline is for the message that is written next; pongs have their own.
func (w *web) SetWriteDeadline(t time.Time) error { return w.ws.SetWriteDeadline(t) }

// beforeUpgrade is the connection that the upgrade is made on, and bounds what
// is read of its answer.
type beforeUpgrade struct {
	net.Conn      // TLS
	left     int  // bytes that may still be read before done
	blank    bool // the line so far is empty
	headed   bool // the headers are through
	done     bool
}

func (b *beforeUpgrade) Read(p []byte) (int, error) {
	if b.done {
		return b.Conn.Read(p)
	}
	if b.left == 0 {
		return 0, broken("more than %d bytes in answer to the WebSocket upgrade", answerLimit)
	}
	if b.headed {
		// The library would read on for the first KiB of a refusal's body, and wait
		// for one that never comes.
		return 0, io.EOF
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	for _, c := range p[:n] {
		if c == '\n' {
			b.headed = b.headed || b.blank
		}
		b.blank = c == '\n' || b.blank && c == '\r'
	}
	return n, err
}

// Close does nothing. The library closes what it cannot upgrade, which in TLS
// can take 5 s; open closes what is below.
func (b *beforeUpgrade) Close() error { return nil }
