package https

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
)

// TestEndless: whatever a peer sends, a call ends within 30 s and takes no more
// than its bound.
func TestEndless(t *testing.T) {
	many := strings.Repeat("x", 1<<16)
	forever := func(p *peer, s string) {
		for {
			if _, err := io.WriteString(p.conn, s); err != nil {
				return
			}
		}
	}
	for name, test := range map[string]struct {
		script func(p *peer)
		cause  string
		within time.Duration // virtual: exact
	}{
		"no answer":   {func(p *peer) { p.request(); p.listen() }, hub.CauseNetwork, requestLimit},
		"not read":    {func(p *peer) { p.ignore() }, hub.CauseNetwork, requestLimit},
		"status line": {func(p *peer) { p.request(); p.say("HTTP/1.1 200 "); forever(p, many) }, hub.CauseProtocol, 0},
		"header line": {func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\nX: "); forever(p, many) }, hub.CauseProtocol, 0},
		"headers":     {func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\n"); forever(p, "X: y\r\n") }, hub.CauseProtocol, 0},
		"interim":     {func(p *peer) { p.request(); forever(p, "HTTP/1.1 100 Continue\r\n\r\n") }, hub.CauseProtocol, 0},
		"body": {func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 1000000000\r\n\r\n")
			forever(p, many)
		}, hub.CauseProtocol, 0},
		"body unbounded": {func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\nETag: x\r\n\r\n"); forever(p, many) }, hub.CauseProtocol, 0},
		"chunks": {func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			forever(p, "10000\r\n"+many+"\r\n")
		}, hub.CauseProtocol, 0},
		"chunk extension": {func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n1;")
			forever(p, many)
		}, hub.CauseProtocol, 0},
		"tiny chunks": {func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n", strings.Repeat("1\r\nx\r\n", maxMessage/4))
			p.listen()
		}, hub.CauseProtocol, 0},
		"trailer": {func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
			forever(p, "X: y\r\n")
		}, hub.CauseProtocol, 0},
		"drip": {func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 1000\r\n\r\n")
			p.drip("x")
		}, hub.CauseNetwork, requestLimit},
		"drip of headers": {func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\n")
			p.drip("X: y\r\n")
		}, hub.CauseNetwork, requestLimit},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, test.script, func(t *testing.T, n *network, c *Client) {
				start := time.Now()
				_, ok, err := c.Receive(t.Context(), testToken)
				wantError(t, err, unsure, hub.RetrySoon, test.cause)
				if took := time.Since(start); took != test.within || ok {
					t.Errorf("ended after %v, ok %v; want %v", took, ok, test.within)
				}
			})
		})
	}
}

// TestGiveUp: the caller's end of patience ends a request at once, wherever it is.
func TestGiveUp(t *testing.T) {
	for name, test := range map[string]struct {
		script func(p *peer)
		want   fate
	}{
		"waiting": {func(p *peer) { p.request(); p.listen() }, unsure},
		"body": {func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 9\r\n\r\n")
			p.listen()
		}, unsure},
		"refused": {func(p *peer) { p.request(); p.say("HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n"); p.listen() }, refused},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, test.script, func(t *testing.T, _ *network, c *Client) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				_, _, err := c.Receive(ctx, testToken)
				if fateOf(err) != test.want || time.Since(start) != time.Second || errors.Is(err, context.DeadlineExceeded) != (test.want == unsure) {
					t.Errorf("after %v: %v (%s)", time.Since(start), err, fateOf(err))
				}
				if _, _, err := c.Receive(ctx, testToken); fateOf(err) != unsent || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("with a context that has ended: %v (%s)", err, fateOf(err))
				}
			})
		})
	}
}

// TestAnswerBeforeEnd: the hub may refuse what it has not read to the end.
func TestAnswerBeforeEnd(t *testing.T) {
	bubble(t, func(p *peer) {
		_, _ = p.buf.ReadString('\n')
		p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
		p.ignore()
	}, func(t *testing.T, n *network, c *Client) {
		start := time.Now()
		err := c.Send(t.Context(), testToken, hub.Telemetry{Body: make([]byte, 200<<10)})
		wantError(t, err, refused, hub.RetrySlowly, hub.CauseProtocol)
		if took := time.Since(start); took != writeGrace {
			t.Errorf("took %v; want %v", took, writeGrace)
		}
		if c.wire != nil {
			t.Error("the connection was kept, with half a request on it")
		}
	})
}
