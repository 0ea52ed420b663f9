package mqtt

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"actuatord/hub"
)

// guard is the connection that paho is given. It looks at every inbound frame
// before paho does, puts a deadline on every write, and keeps the first error:
// paho drops some and rewords others.
type guard struct {
	net.Conn          // TLS, or a WebSocket on it
	raw      net.Conn // below: closing this one never waits
	frames   frames   // used by the one goroutine that reads

	// writing holds one value while a write and its deadline, which belong
	// together, are under way. It is no mutex because waiting for a mutex would
	// stop the clock of a synctest bubble, and a write may wait long.
	writing chan struct{}

	over  chan struct{} // closed by the reader: nothing more comes
	ended sync.Once     // closes it

	mu     sync.Mutex // guards what follows
	first  error
	report func(error)
}

func newGuard(conn, raw net.Conn, limit int) *guard {
	return &guard{Conn: conn, raw: raw, frames: frames{limit: limit}, writing: make(chan struct{}, 1), over: make(chan struct{})}
}

// Read gives bytes to paho only after their frame was found good. Paho asks for
// a header byte by byte, so a bad length is seen before anything is allocated.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	bad := g.frames.inspect(p[:n])
	if bad != nil {
		n, err = 0, bad
	} else if err != nil {
		bad = lost("read from the hub", err)
	}
	if err != nil {
		g.fail(bad)
		g.ended.Do(func() { close(g.over) })
	}
	return n, err
}

// Write sends one whole packet: paho writes each with one call. Behind DISCONNECT it
// waits a moment for the hub to hang up, as it should (MQTT 3.1.1 §3.14.4): only then
// has the hub let the session's deliveries go, which the next GET asks for, and is a
// new CONNECT sure not to meet this connection.
func (g *guard) Write(p []byte) (int, error) {
	g.writing <- struct{}{}
	defer func() { <-g.writing }()
	if len(p) > 4 && p[0]>>4 == typeSubscribe {
		g.frames.expectSuback(p)
	}
	err := g.Conn.SetWriteDeadline(time.Now().Add(writeLimit))
	if err != nil {
		g.fail(lost("write to the hub", err))
		return 0, err
	}
	n, err := g.Conn.Write(p)
	if err != nil {
		g.fail(lost("write to the hub", err))
		return n, err
	}
	if len(p) > 0 && p[0]>>4 == typeDisconnect {
		late := time.NewTimer(hangUpLimit)
		defer late.Stop()
		select {
		case <-g.over:
		case <-late.C:
		}
	}
	return n, nil
}

// SetDeadline is called by paho around CONNECT and CONNACK: only its half for
// reading counts, writes have their own.
func (g *guard) SetDeadline(t time.Time) error { return g.Conn.SetReadDeadline(t) }

// SetWriteDeadline does nothing: paho would take ours off.
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

// Close closes the TCP connection without TLS's farewell, which could wait 5 s
// for a peer that does not read. DISCONNECT is MQTT's farewell.
func (g *guard) Close() error { return g.raw.Close() }

// fail keeps the first error, and passes it on if somebody watches.
func (g *guard) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first == nil {
		g.first = err
		if g.report != nil {
			g.report(err)
		}
	}
}

// watch has f called with the first error, at once if it was already there. f
// must not block.
func (g *guard) watch(f func(error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.report = f
	if g.first != nil {
		f(g.first)
	}
}

// err gives the first error.
func (g *guard) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.first
}

// lost classifies an error of the connection, unless it has a class.
func lost(doing string, err error) error {
	var known *hub.Error
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the hub closed the connection: %w", err)
	}
	return &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseNetwork, Err: fmt.Errorf("%s: %w", doing, err)}
}
