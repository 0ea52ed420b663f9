package localhub

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// idleTime is how long an HTTPS connection may do nothing: what Windows'
	// HTTP server, which answers for a real hub, allows by default.
	idleTime = 2 * time.Minute

	// requestTime bounds the arrival of a request: 256 KiB at 1 KiB/s.
	requestTime = 5 * time.Minute

	// maxHeader bounds what the headers of a request may take: the properties of
	// the largest telemetry, each with the name of its header, and some.
	maxHeader = 1 << 20
)

// web is one HTTPS connection: REST requests one after the other, or one
// upgrade to WebSocket. Hub.endWeb is the only way it ends.
type web struct {
	h      *Hub
	nc     net.Conn
	raw    net.Conn // as conn.raw
	done   chan struct{}
	over   chan struct{} // closed when nothing is read from nc any more
	finish func()        // closes over, once

	// Guarded by the Hub's mutex.
	device string // whom the latest request was about
	mqtt   *conn  // what an upgrade made of it
	ended  bool
}

// ServeWeb is Serve for HTTPS: what ServeWebConn serves, on each connection of
// ln.
func (h *Hub) ServeWeb(ctx context.Context, ln net.Listener) error {
	return serve(ctx, ln, h.serveWeb)
}

// ServeWebConn serves one HTTP/1.1 connection on nc, in the clear or a *tls.Conn,
// and returns when it has ended: the device REST of IoT Hub, and MQTT over
// WebSocket at /$iothub/websocket. It closes nc.
func (h *Hub) ServeWebConn(nc net.Conn) { h.serveWeb(context.Background(), nc) }

func (h *Hub) serveWeb(ctx context.Context, nc net.Conn) {
	w := h.openWeb(nc)
	if w == nil {
		_ = nc.Close()
		return
	}
	defer h.running.Done()
	defer w.end("")
	stop := context.AfterFunc(ctx, func() { w.end(whyStopped) })
	defer stop()
	if !w.handshake() {
		return
	}
	server := http.Server{
		Handler:           w,
		ReadHeaderTimeout: connectTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0),
		Protocols:         new(http.Protocols),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				w.finish()
			}
		},
	}
	server.Protocols.SetHTTP1(true)
	_ = server.Serve(&once{w: w}) // ends with an error always: the listener's, when the connection is over
}

// openWeb registers a connection; nil: the hub takes none now.
func (h *Hub) openWeb(nc net.Conn) *web {
	h.mu.Lock()
	defer h.unlock()
	if h.closed || time.Now().Before(h.down) {
		return nil
	}
	w := &web{h: h, nc: nc, raw: rawOf(nc), done: make(chan struct{}), over: make(chan struct{})}
	w.finish = sync.OnceFunc(func() { close(w.over) })
	h.webs = append(h.webs, w)
	h.running.Add(1)
	return w
}

// handshake makes the TLS of the connection, so that one that fails is in the
// record; faults for PacketHTTPS come before it.
func (w *web) handshake() bool {
	f := w.meet(request{kind: PacketHTTPS}, "")
	switch f.Effect {
	case DropBefore:
		return false
	case BlackHole, Swallow, Stall:
		w.silence(w.raw, f) // below TLS, which reading would begin
		return false
	case Delay:
		w.wait(f.For)
	}
	t, ok := w.nc.(*tls.Conn)
	if !ok {
		return f.Effect != DropAfter
	}
	_ = t.SetDeadline(time.Now().Add(connectTime)) // fails only on a closed connection, which the handshake will notice
	err := t.Handshake()
	_ = t.SetDeadline(time.Time{})
	if err == nil {
		return f.Effect != DropAfter
	}
	w.h.mu.Lock()
	defer w.h.unlock()
	if !w.ended {
		w.h.add(Event{Kind: KindClosed, Text: "TLS: " + err.Error()})
	}
	return false
}

// end ends the connection. why is for the MQTT on it.
func (w *web) end(why string) {
	w.h.mu.Lock()
	defer w.h.unlock()
	w.h.endWeb(w, why)
}

// endWeb ends a connection, under the mutex.
func (h *Hub) endWeb(w *web, why string) {
	if w.ended {
		return
	}
	w.ended = true
	if w.mqtt != nil {
		h.end(w.mqtt, why)
	}
	close(w.done)
	_ = w.raw.Close()
	h.webs = slices.DeleteFunc(h.webs, func(o *web) bool { return o == w })
}

// endWebs ends the connections of a device, "": all, under the mutex.
func (h *Hub) endWebs(device, why string) {
	for _, w := range slices.Clone(h.webs) {
		if device == "" || w.device == device {
			h.endWeb(w, why)
		}
	}
}

// once is the listener of a server for one connection: after that, Accept waits
// until the connection is over.
type once struct {
	w     *web
	taken bool // only Serve's goroutine asks
}

func (l *once) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.w.nc, nil
	}
	<-l.w.over
	return nil, net.ErrClosed
}

func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return l.w.nc.LocalAddr() }

// ServeHTTP answers one request. It is called by the web's own server.
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rw.Header()["Date"] = []string{w.h.options.Date(time.Now()).UTC().Format(http.TimeFormat)}
	req := readRequest(r)
	f := w.meet(req, r.Method)
	if silent(req, f) {
		w.vanish(rw, f)
		return
	}
	if f.Effect == Delay {
		w.wait(f.For)
	}
	if req.kind == PacketWebSocket {
		w.upgrade(rw, r, f)
		return
	}
	req.readBody(r.Body)
	a := w.act(req, r.Method, f)
	switch f.Effect {
	case DropAfter, Swallow:
		w.vanish(rw, f)
		return
	}
	a.write(rw)
}

// silent tells whether f leaves a request without effect and without an answer:
// an upgrade has no effect but its answer.
func silent(req request, f Fault) bool {
	return f.Effect == DropBefore || f.Effect == BlackHole || f.Effect == Stall || f.Effect == Swallow && req.kind == PacketWebSocket
}

// meet finds the fault that a request meets. One that will not even be acted on
// is in the record with that.
func (w *web) meet(req request, method string) Fault {
	h := w.h
	h.mu.Lock()
	defer h.unlock()
	w.device = req.device
	f, struck := h.faults.strike(req.device, req.kind)
	if struck {
		h.add(Event{Kind: KindFault, Device: req.device, Text: f.String()})
	}
	if silent(req, f) && req.kind != PacketHTTPS {
		h.noteRequest(req, method, 0, "fault: "+f.String())
	}
	return f
}

// act performs a request and records it.
func (w *web) act(req request, method string, f Fault) answer {
	h := w.h
	h.mu.Lock()
	defer h.unlock()
	if w.ended {
		return answer{} // nobody is there to have it written to
	}
	a := h.perform(req, f, time.Now())
	status, why := a.status, a.why
	if f.Effect == DropAfter || f.Effect == Swallow {
		status, why = 0, "fault: "+f.String()
	}
	h.noteRequest(req, method, status, why)
	return a
}

func (h *Hub) noteRequest(req request, method string, status int, why string) {
	const longest = 16 // longer than any method there is
	if len(method) > longest {
		method = method[:longest]
	}
	h.add(Event{Kind: KindRequest, Device: req.device, Method: method, Request: req.kind, HTTP: status, Text: why})
}

// write writes the answer.
func (a answer) write(rw http.ResponseWriter) {
	for name, values := range a.header {
		rw.Header()[name] = values
	}
	// After a delay the server's own deadline may be over.
	_ = http.NewResponseController(rw).SetWriteDeadline(time.Now().Add(writeTime)) // fails only on a closed connection
	if a.status != 0 {
		rw.WriteHeader(a.status)
	}
	_, _ = rw.Write(a.body) // a device that is gone will ask again
}

// vanish does what a fault does instead of answering: it breaks the connection,
// or lets it stand and never answers again.
func (w *web) vanish(rw http.ResponseWriter, f Fault) {
	if f.Effect == DropBefore || f.Effect == DropAfter {
		w.end("") // what the server writes after this goes nowhere
		return
	}
	nc, _, err := http.NewResponseController(rw).Hijack()
	if err != nil { // it broke by itself
		w.end("")
		return
	}
	defer w.finish()
	defer w.end("")
	w.silence(nc, f)
}

// silence is a connection that is never written to again, nor read with a stall.
func (w *web) silence(nc net.Conn, f Fault) {
	switch {
	case f.Effect == Stall && f.For > 0:
		w.wait(f.For)
	case f.Effect == Stall:
		<-w.done
	default:
		var until time.Time
		if f.For > 0 {
			until = time.Now().Add(f.For)
		}
		_ = nc.SetReadDeadline(until) // as in handshake
		_, _ = io.Copy(io.Discard, nc)
	}
}

// wait waits, unless the connection is ended.
func (w *web) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.done:
	}
}
