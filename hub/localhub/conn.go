package localhub

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

const (
	// connectTime is how long a peer may take for TLS and CONNECT. Half of it
	// could fail a slow board's handshake, the double would do no harm.
	connectTime = 30 * time.Second

	// writeTime bounds one write: a peer that does not read for this long is
	// gone. The keep-alive notices most of them sooner.
	writeTime = 30 * time.Second

	// backlog is how many packets may wait to be written. Deliveries are bounded
	// by the window, so only a peer that sends and never reads gets there.
	backlog = 1024
)

// conn is one MQTT connection. Its reader is the goroutine that called
// ServeConn, its writer a second one; Hub.end is the only way it ends.
type conn struct {
	h     *Hub
	nc    net.Conn      // the stream of packets
	below net.Conn      // what nc runs on, if that is a WebSocket; otherwise nc
	raw   net.Conn      // below all: closing it never waits, not even for TLS
	wake  chan struct{} // room for one: there is news for the writer
	done  chan struct{} // closed by Hub.end
	wrote chan struct{} // closed by the writer when it ends

	// Guarded by the Hub's mutex.
	name      string  // device id of the CONNECT, true or not
	dev       *device // nil until a CONNECT is accepted
	ended     bool
	last      bool          // close the connection when out is written
	mode      Effect        // BlackHole or Stall, once such a fault struck: nothing is written any more
	cutAt     time.Time     // when that ends the connection; zero: never
	tokenEnd  time.Time     // when the token does; zero: not connected yet
	silence   time.Duration // how long the device may send nothing
	out       []outgoing
	inflight  []flight        // deliveries not yet acknowledged, in order
	delivered map[uint64]bool // what was delivered on this connection, by sequence number
	will      *hub.Telemetry
}

// outgoing is a packet to be written, and what to record just before.
type outgoing struct {
	kind   Packet
	packet packets.ControlPacket
	event  *Event
}

// flight is a delivery that waits for its PUBACK.
type flight struct {
	packet uint16
	token  Token
}

func newConn(h *Hub, nc, below net.Conn) *conn {
	return &conn{h: h, nc: nc, below: below, raw: rawOf(below), silence: connectTime, delivered: map[uint64]bool{},
		wake: make(chan struct{}, 1), done: make(chan struct{}), wrote: make(chan struct{})}
}

// rawOf gives what a connection runs on if it is TLS, otherwise itself.
func rawOf(nc net.Conn) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return t.NetConn()
	}
	return nc
}

// Serve takes connections from ln, which speaks TLS if it is to speak TLS,
// until ctx ends; then it closes ln, ends its connections and returns nil. An
// error is one of ln's, and ends the connections too.
func (h *Hub) Serve(ctx context.Context, ln net.Listener) error {
	return serve(ctx, ln, h.serveConn)
}

func serve(ctx context.Context, ln net.Listener, one func(context.Context, net.Conn)) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = ln.Close() })
	for {
		nc, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		serving.Go(func() { one(ctx, nc) })
	}
}

// ServeConn serves one MQTT connection on nc, which carries MQTT in the clear
// or is a *tls.Conn, and returns when the connection has ended. It closes nc.
func (h *Hub) ServeConn(nc net.Conn) { h.serveConn(context.Background(), nc) }

func (h *Hub) serveConn(ctx context.Context, nc net.Conn) {
	c := h.open(nc, nc)
	if c == nil {
		_ = nc.Close()
		return
	}
	stop := context.AfterFunc(ctx, func() { h.finish(c, whyStopped) })
	defer stop()
	c.run()
}

const whyStopped = "the hub stops serving"

// run serves a connection that was opened, until it has ended.
func (c *conn) run() {
	defer c.h.running.Done()
	go c.write()
	c.h.finish(c, c.read())
	<-c.wrote
}

// open registers a connection; nil: the hub takes none now.
func (h *Hub) open(nc, below net.Conn) *conn {
	h.mu.Lock()
	defer h.unlock()
	if h.closed || time.Now().Before(h.down) {
		return nil
	}
	c := newConn(h, nc, below)
	h.conns = append(h.conns, c)
	h.running.Add(1)
	return c
}

// finish ends c, unless somebody did already.
func (h *Hub) finish(c *conn, why string) {
	h.mu.Lock()
	defer h.unlock()
	h.end(c, why)
}

// end ends a connection, under the mutex: the socket is closed, the device is
// not connected any more, and what it had not acknowledged is let go.
func (h *Hub) end(c *conn, why string) {
	if c.ended {
		return
	}
	now := time.Now()
	d := c.dev
	if d != nil {
		h.report(d, now) // what its last packet did comes first in the record
	}
	c.ended = true
	close(c.done)
	_ = c.raw.Close()
	h.conns = slices.DeleteFunc(h.conns, func(o *conn) bool { return o == c })
	h.add(Event{Kind: KindClosed, Device: c.name, Text: why})
	if d == nil {
		return
	}
	d.conn = nil
	if d.session.clean {
		d.session = nil
	}
	if c.will != nil {
		h.add(Event{Kind: KindTelemetry, Device: d.ID, Telemetry: *c.will})
	}
	if !h.options.LocksOutliveConnection {
		for _, f := range c.inflight {
			_ = d.queue.release(f.token, now) // a lock that has lapsed needs no release
		}
	}
	h.report(d, now)
}

// read takes packets until the connection ends and says why it did.
func (c *conn) read() (why string) {
	for {
		switch c.await() {
		case BlackHole:
			_, err := io.Copy(io.Discard, c.below)
			return c.explain(err)
		case Stall:
			<-c.done
			return "stalled"
		}
		p, err := readPacket(c.nc)
		if err != nil {
			if c.await() != "" { // the fault's way of waking us
				continue
			}
			return c.explain(err)
		}
		if why := c.take(p); why != "" {
			return why
		}
	}
}

// await sets the deadline for the next packet, or says which way of not
// reading on the connection is in. To wait for the last packet to be written
// is the same as to be stalled.
func (c *conn) await() Effect {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	var at time.Time
	switch {
	case c.last:
		return Stall
	case c.mode == "":
		at = time.Now().Add(c.silence)
	}
	_ = c.nc.SetReadDeadline(at) // fails only on a closed connection, which the read will notice
	if c.dev == nil {
		_ = c.nc.SetWriteDeadline(at) // for the TLS handshake, which the first read makes
	}
	return c.mode
}

// explain gives the end of a connection in words.
func (c *conn) explain(err error) string {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return "closed by the device without DISCONNECT"
	case errors.Is(err, os.ErrDeadlineExceeded) && c.dev == nil: // only this goroutine sets dev
		return "no CONNECT in time"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silent for more than 1.5 times its keep-alive (404104)"
	}
	return err.Error()
}

// write sends what is in out until the connection ends.
func (c *conn) write() {
	defer close(c.wrote)
	for {
		o, f, ok := c.next()
		if !ok {
			return
		}
		if f.Effect == Delay {
			c.wait(f.For)
		}
		c.note(o)
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTime)) // as above
		if err := o.packet.Write(c.nc); err != nil {
			c.h.finish(c, "write: "+err.Error())
			return
		}
		if f.Effect == DropAfter {
			c.h.finish(c, "fault: "+f.String())
			return
		}
	}
}

// next waits for a packet to write and for what a fault does to it. ok is false
// when the connection has ended.
func (c *conn) next() (o outgoing, f Fault, ok bool) {
	for {
		select {
		case <-c.done:
			return o, f, false
		case <-c.wake:
		}
		if o, f, ok = c.pop(); ok {
			return o, f, true
		}
	}
}

// pop takes the next packet off out; ok is false if there is none to be written.
func (c *conn) pop() (o outgoing, f Fault, ok bool) {
	h := c.h
	h.mu.Lock()
	defer h.unlock()
	for len(c.out) > 0 && c.mode == "" && !c.ended {
		o = c.out[0]
		c.out = c.out[1:]
		f = h.strike(c, o.kind)
		switch f.Effect {
		case DropBefore:
			h.end(c, "fault: "+f.String())
		case BlackHole, Stall:
			c.hush(f)
		case Swallow:
		default:
			c.news()
			return o, f, true
		}
	}
	if c.last && !c.ended {
		h.end(c, "CONNECT refused")
	}
	return o, f, false
}

// note records what is about to be written. It comes before the write, since
// the device's answer may be here before the write returns.
func (c *conn) note(o outgoing) {
	c.h.mu.Lock()
	defer c.h.unlock()
	if o.event != nil && !c.ended {
		c.h.add(*o.event)
	}
}

// send queues a packet for the writer, under the mutex.
func (c *conn) send(kind Packet, p packets.ControlPacket, e *Event) {
	if c.ended || c.mode != "" {
		return
	}
	if len(c.out) >= backlog {
		c.h.end(c, "does not read what it is sent")
		return
	}
	c.out = append(c.out, outgoing{kind, p, e})
	c.news()
}

// news wakes the writer.
func (c *conn) news() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake
	}
}

// hush begins a black hole or a stall, under the mutex. The reader is woken by
// a deadline in the past.
func (c *conn) hush(f Fault) {
	c.mode = f.Effect
	if f.For > 0 {
		c.cutAt = time.Now().Add(f.For)
	}
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection
}

// wait waits, unless the connection ends.
func (c *conn) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.done:
	}
}
