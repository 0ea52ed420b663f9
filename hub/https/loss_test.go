package https

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub"
)

const (
	empty   = "HTTP/1.1 204 No Content\r\nDate: Sat, 01 Jan 2000 00:00:07 GMT\r\n\r\n"
	chunked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nETag: \"" + testLock + "\"\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5\r\n{\"v\":\r\n2\r\n1}\r\n0\r\n\r\n"
)

// TestCut ends the connection after each number of bytes of an answer, with TLS's
// farewell and without: a message is received whole, or nobody knows. So is a 204.
func TestCut(t *testing.T) {
	for name, test := range map[string]struct {
		said string
		want Received
		ok   bool
	}{
		"message": {whole, wholeMessage(), true},
		"chunked": {chunked, Received{Message: hub.Message{Body: []byte(`{"v":1}`)}, Lock: testLock}, true},
		"empty":   {empty, Received{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cut, farewell := 0, false
			bubble(t, func(p *peer) {
				p.request()
				said, bye := test.said[:cut], farewell
				p.say("%s", said)
				if bye {
					_ = p.conn.Close()
				}
			}, func(t *testing.T, _ *network, c *Client) {
				for i := range 2*len(test.said) + 2 {
					cut, farewell = i/2, i%2 == 1
					want, ok := test.want, test.ok
					f := done
					if cut < len(test.said) {
						want, ok, f = Received{}, false, unsure
					}
					r, gotOK, err := c.Receive(t.Context(), testToken)
					wantError(t, err, f, hub.RetrySoon, hub.CauseNetwork)
					if !reflect.DeepEqual(r, want) || gotOK != ok {
						t.Errorf("after %d bytes: %+v, %v", cut, r, gotOK)
					}
				}
			})
		})
	}
}

// TestNobodyRepeats: what was sent and not answered is not sent again, on a
// connection that has served before, with or without a first byte of an answer.
// A GET may have locked a message.
func TestNobodyRepeats(t *testing.T) {
	for _, part := range []string{"", "HTTP/1.1 20"} {
		for name, call := range calls() {
			t.Run(name+part, func(t *testing.T) {
				requests := 0
				bubble(t, func(p *peer) {
					for p.request() != "" {
						if requests++; requests == 2 {
							p.say("%s", part)
							return
						}
						p.say("%s", empty)
					}
				}, func(t *testing.T, n *network, c *Client) {
					if err := call(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					wantError(t, call(t.Context(), c), unsure, hub.RetrySoon, hub.CauseNetwork)
					if requests != 2 || len(n.dials) != 1 {
						t.Errorf("%d requests on %d connections; want 2 on 1", requests, len(n.dials))
					}
					if err := call(t.Context(), c); err != nil || len(n.dials) != 2 {
						t.Errorf("the next: %v, %d connections; want another connection", err, len(n.dials))
					}
				})
			})
		}
	}
}

// TestEndedBetween: a connection that ended while nobody used it, or on which the
// hub said something unasked, costs the caller nothing. Nothing reaches the log,
// where it would be the peer's words.
func TestEndedBetween(t *testing.T) {
	var logged bytes.Buffer
	defer log.SetOutput(log.Writer()) // what it is now
	log.SetOutput(&logged)
	for name, end := range map[string]func(p *peer){
		"cut":           func(*peer) {},
		"farewell":      func(p *peer) { _ = p.conn.Close() },
		"unasked":       func(p *peer) { p.say("HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 0\r\n\r\n"); p.listen() },
		"alert":         func(p *peer) { _, _ = p.raw.Write([]byte("\x15\x03\x03\x00\x02\x02\x28")); p.listen() },
		"not TLS":       func(p *peer) { _, _ = p.raw.Write([]byte("HTTP/1.1 408\r\n")); p.listen() },
		"a byte of TLS": func(p *peer) { _, _ = p.raw.Write([]byte("\x17")) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(p *peer) {
				p.request()
				p.say("%s", empty)
				if p.n == 0 {
					end(p)
					return
				}
				p.listen()
			}, func(t *testing.T, n *network, c *Client) {
				for range 2 {
					if _, ok, err := c.Receive(t.Context(), testToken); ok || err != nil {
						t.Fatalf("Receive = %v, %v", ok, err)
					}
					synctest.Wait()
				}
				if len(n.dials) != 2 {
					t.Errorf("%d connections; want 2", len(n.dials))
				}
			})
		})
	}
	if logged.Len() > 0 {
		t.Errorf("logged: %s", logged.String())
	}
}

// TestNotKept: a connection on which something may be left of an answer, or that
// the hub wants to end, carries no other request. The peer here would answer it
// wrongly.
func TestNotKept(t *testing.T) {
	for name, said := range map[string]string{
		"close":    "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		"HTTP/1.0": "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"too long": "HTTP/1.1 404 No\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", maxError+1),
		"cut":      "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(p *peer) {
				p.request()
				if p.n == 0 {
					p.say("%s", said)
					p.answer("HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 0\r\n\r\n")
					return
				}
				p.say("%s", empty)
				p.listen()
			}, func(t *testing.T, n *network, c *Client) {
				_ = c.Complete(t.Context(), testToken, testLock)
				if _, ok, err := c.Receive(t.Context(), testToken); ok || err != nil || len(n.dials) != 2 {
					t.Errorf("Receive = %v, %v on %d connections; want another that says 204", ok, err, len(n.dials))
				}
			})
		})
	}
}

// The word for what is wrong is the same on a connection that has served before.
func TestCauseOnKept(t *testing.T) {
	bubble(t, func(p *peer) {
		p.request()
		p.say("%s", empty)
		p.answer("HTTP/1.1 what\r\n\r\n")
	}, func(t *testing.T, n *network, c *Client) {
		_ = c.Complete(t.Context(), testToken, testLock)
		wantError(t, c.Complete(t.Context(), testToken, testLock), unsure, hub.RetrySoon, hub.CauseProtocol)
		if len(n.dials) != 1 {
			t.Errorf("%d connections", len(n.dials))
		}
	})
}

// An answer that comes with more behind it is taken, and the rest is not the
// answer to anything.
func TestMoreThanAnAnswer(t *testing.T) {
	bubble(t, func(p *peer) {
		p.request()
		p.say("%s", empty+"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 0\r\n\r\n")
		p.answer(empty)
	}, func(t *testing.T, n *network, c *Client) {
		for range 2 {
			if _, ok, err := c.Receive(t.Context(), testToken); ok || err != nil {
				t.Fatalf("Receive = %v, %v", ok, err)
			}
		}
		if len(n.dials) != 2 {
			t.Errorf("%d connections; want 2", len(n.dials))
		}
	})
}

// limited ends a connection after so many bytes to the client.
type limited struct {
	net.Conn
	left *int
}

func (l limited) Write(p []byte) (int, error) {
	n := min(len(p), *l.left)
	*l.left -= n
	if n > 0 {
		if _, err := l.Conn.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	if n < len(p) {
		_ = l.Close()
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// TestCutBelow ends the connection after each number of bytes below TLS: up to a
// point the request was not sent, from there on nobody knows, until all is there.
func TestCutBelow(t *testing.T) {
	rank := map[fate]int{unsent: 1, unsure: 2, done: 3}
	limit, last := 0, 1
	for total := 0; last < 3; total += 3 {
		bubble(t, func(p *peer) { p.answer(empty) }, func(t *testing.T, n *network, c *Client) {
			limit = total
			n.wrap = func(far net.Conn) net.Conn { return limited{far, &limit} }
			_, _, err := c.Receive(t.Context(), testToken)
			f := fateOf(err)
			wantError(t, err, f, hub.RetrySoon, hub.CauseNetwork)
			if rank[f] < last || total > 4000 {
				t.Fatalf("after %d bytes: %v (%s)", total, err, f)
			}
			last = rank[f]
		})
		if t.Failed() {
			return
		}
	}
}

// TestNoConnection: whoever is not proved to be the hub hears nothing.
func TestNoConnection(t *testing.T) {
	foreign, err := newIdentity(testHost, time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	heard := ""
	script := func(p *peer) { heard += p.request() }
	bubble(t, script, func(t *testing.T, n *network, _ *Client) {
		for name, change := range map[string]func(cfg *Config){
			"foreign root": func(cfg *Config) { cfg.Road.Roots = foreign.pool },
			"another name": func(cfg *Config) { cfg.Gateway = "other.example" },
			"no name":      func(cfg *Config) { cfg.Host = "" },
			"expired": func(cfg *Config) {
				cfg.Road.Now = func() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }
			},
			"no route": func(cfg *Config) {
				cfg.Road.TCP = func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }
			},
			"odd name": func(cfg *Config) { cfg.Gateway = "a b" },
		} {
			cfg := n.config()
			change(&cfg)
			for call, f := range calls() {
				c := New(cfg)
				err := f(t.Context(), c)
				if fateOf(err) != unsent || c.wire != nil {
					t.Errorf("%s, %s: %v (%s)", name, call, err, fateOf(err))
				}
				wantPresentable(t, err)
				if date, _ := c.Date(); !date.IsZero() {
					t.Errorf("%s: a date from nobody: %v", name, date)
				}
			}
		}
		synctest.Wait()
		if heard != "" {
			t.Errorf("it heard %q", heard)
		}
	})
}
