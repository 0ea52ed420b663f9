package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

// webBubble is bubble, for tests that only the WebSocket is asked to pass.
func webBubble(t *testing.T, f func(t *testing.T, n *network)) {
	t.Helper()
	mustIdentity(t)
	synctest.Test(t, func(t *testing.T) { f(t, newNetwork(t, true)) })
}

// TestUpgradeRequest: what the hub must see.
func TestUpgradeRequest(t *testing.T) {
	webBubble(t, func(t *testing.T, n *network) {
		for i, port := range []int{0, 443, 8443} {
			cfg := n.config()
			cfg.Host, cfg.Gateway, cfg.Port = "contoso.azure-devices.net", testHost, port
			s, _ := n.connect(cfg, 1)
			s.Close()
			host := testHost
			if port == 8443 {
				host += ":8443"
			}
			want := "GET /$iothub/websocket?iothub-no-client-cert=true HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: Go-http-client/1.1\r\n" +
				"Connection: Upgrade\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n"
			if got := n.asked[i]; got != want {
				t.Errorf("port %d: asked\n%s\nwant\n%s", port, got, want)
			}
		}
	})
}

// TestUpgradeRefused: each answer but the right one becomes a sentence, and
// CONNECT with the token is not sent.
func TestUpgradeRefused(t *testing.T) {
	status := func(line string) func(string) string {
		return func(string) string { return "HTTP/1.1 " + line + "\r\nContent-Length: 7\r\n\r\nhunter2" }
	}
	without := func(header, instead string) func(string) string {
		return func(key string) string {
			return strings.Replace(strings.ReplaceAll(accepted(key), acceptance(key), "KEY"), header, instead, 1)
		}
	}
	with := func(header string) func(string) string {
		return func(key string) string {
			return strings.Replace(accepted(key), "\r\n\r\n", "\r\n"+header+"\r\n\r\n", 1)
		}
	}
	tests := []struct {
		name   string
		answer func(key string) string
		class  hub.Class
		cause  string
		words  string
	}{
		{"401", status("401 hunter2"), hub.RetrySlowly, hub.CauseProtocol, "status 401"},
		{"403", status("403 Forbidden"), hub.RetrySlowly, hub.CauseProtocol, "start a WebSocket with hub.example:443: refused with status 403"},
		{"404", status("404 Not Found"), hub.RetrySlowly, hub.CauseProtocol, "status 404"},
		{"redirected", status("302 Found\r\nLocation: http://hunter2.example/"), hub.RetrySlowly, hub.CauseProtocol, "status 302"},
		{"200", status("200 OK"), hub.RetrySlowly, hub.CauseProtocol, "status 200"},
		{"407", status("407 Proxy Authentication Required"), hub.RetrySlowly, hub.CauseProxy, "HTTPS_PROXY"},
		{"429", status("429 Too Many Requests"), hub.RetrySoon, hub.CauseNetwork, "status 429"},
		{"500", status("500 Internal Server Error"), hub.RetrySoon, hub.CauseNetwork, "status 500"},
		{"502", status("502 Bad Gateway"), hub.RetrySoon, hub.CauseNetwork, "status 502"},
		{"101 to another key", without("", ""), hub.RetrySlowly, hub.CauseProtocol, "status 101"},
		{"101 without Upgrade", func(key string) string { return strings.Replace(accepted(key), "Upgrade: websocket\r\n", "", 1) }, hub.RetrySlowly, hub.CauseProtocol, "status 101"},
		{"101 to another protocol", func(key string) string { return strings.Replace(accepted(key), "websocket", "h2c", 1) }, hub.RetrySlowly, hub.CauseProtocol, "status 101"},
		{"no subprotocol", func(key string) string {
			return strings.Replace(accepted(key), "Sec-WebSocket-Protocol: mqtt\r\n", "", 1)
		}, hub.RetrySlowly, hub.CauseProtocol, `subprotocol "" instead of "mqtt"`},
		{"another subprotocol", func(key string) string { return strings.Replace(accepted(key), ": mqtt", ": AMQPWSB10", 1) }, hub.RetrySlowly, hub.CauseProtocol, "AMQPWSB10"},
		{"compression", with("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"), hub.RetrySlowly, hub.CauseProtocol, "extensions"},
		{"compression in another way", with("Sec-WebSocket-Extensions: permessage-deflate"), hub.RetrySlowly, hub.CauseProtocol, "status 101"},
		{"an unknown extension", with("Sec-WebSocket-Extensions: x"), hub.RetrySlowly, hub.CauseProtocol, "extensions"},
		{"no HTTP", func(string) string { return "220 smtp.example hunter2\r\n" }, hub.RetrySlowly, hub.CauseProtocol, "no HTTP"},
		{"MQTT", func(string) string { return "\x20\x02\x00\x00\r\n" }, hub.RetrySlowly, hub.CauseProtocol, "no HTTP"},
		{"headers without end", func(string) string {
			return "HTTP/1.1 101 Switching Protocols\r\n" + strings.Repeat("X: hunter2\r\n", answerLimit)
		}, hub.RetrySlowly, hub.CauseProtocol, "more than 16384 bytes"},
		{"a line without end", func(string) string { return "HTTP/1.1 101 " + strings.Repeat("x", 2*answerLimit) }, hub.RetrySlowly, hub.CauseProtocol, "more than 16384 bytes"},
		{"closes", func(string) string { return "" }, hub.RetrySoon, hub.CauseNetwork, "EOF"},
		{"closes within its answer", func(string) string { return "HTTP/1.1 101 Switch" }, hub.RetrySoon, hub.CauseNetwork, "EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			webBubble(t, func(t *testing.T, n *network) {
				cfg := n.config()
				cfg.Road.TCP = n.scripted(func(conn net.Conn, key string) {
					_, _ = conn.Write([]byte(test.answer(key)))
					_ = conn.Close()
				})
				err := n.refuse(t.Context(), cfg, nil)
				wantError(t, err, test.class, test.cause)
				if !strings.Contains(err.Error(), test.words) || len(err.Error()) > 300 {
					t.Errorf("error is %v; want %q in it", err, test.words)
				}
				wantError(t, Probe(t.Context(), cfg), test.class, test.cause)
			})
		})
	}
}

// TestUpgradeRefusedAtOnce: a peer that refuses and then neither reads nor says any
// more cannot hold us, and what it said is heard.
func TestUpgradeRefusedAtOnce(t *testing.T) {
	for said, cause := range map[string]string{
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n":                 hub.CauseProtocol,
		"HTTP/1.1 403 Forbidden\r\n\r\nno":                                    hub.CauseProtocol,
		"HTTP/1.1 403 Forbidden\nContent-Length: 7\n\nno":                     hub.CauseProtocol,
		"HTTP/1.1 407 Proxy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n": hub.CauseProxy,
		"HTTP/1.1 407 Proxy\r\nX: y\r\n\r\n":                                  hub.CauseProxy,
	} {
		webBubble(t, func(t *testing.T, n *network) {
			end := make(chan struct{})
			defer close(end)
			cfg := n.config()
			cfg.Road.TCP = n.scripted(func(conn net.Conn, _ string) {
				for _, part := range strings.SplitAfter(said, "\r") { // a line's end may be in two reads
					_, _ = conn.Write([]byte(part))
				}
				<-end
			})
			start := time.Now()
			wantError(t, n.refuse(t.Context(), cfg, nil), hub.RetrySlowly, cause)
			if d := time.Since(start); d != 0 {
				t.Errorf("%q took %v; want no wait", said, d)
			}
		})
	}
}

// TestProbe opens the road, sends nothing on it and closes it; what keeps
// Connect from opening it, Probe says too.
func TestProbe(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		if err := Probe(t.Context(), n.config()); err != nil {
			t.Fatalf("probe: %v", err)
		}
		if packet := (<-n.peers).read(); packet != nil { // nil: the connection was closed
			t.Errorf("the peer got %v", packet)
		}
		if len(n.dials) != 1 || n.dials[0] != testHost+n.port() {
			t.Errorf("dialled %v; want %s once", n.dials, n.port())
		}
		cfg := n.config()
		cfg.Road.TCP = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") }
		wantError(t, Probe(t.Context(), cfg), hub.RetrySoon, hub.CauseNetwork)
		cfg.Road.TCP = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		start := time.Now()
		wantError(t, Probe(t.Context(), cfg), hub.RetrySoon, hub.CauseNetwork)
		if d := time.Since(start); d != connectLimit {
			t.Errorf("gave up after %v; want %v", d, connectLimit)
		}
	})
}

// TestWebSocketEnds: whatever ends a session over a WebSocket has its class.
func TestWebSocketEnds(t *testing.T) {
	tests := []struct {
		name  string
		sends []byte
		class hub.Class
		cause string
		words string
	}{
		{"text", frame(fin|opText, "hello"), hub.RetrySlowly, hub.CauseProtocol, "text"},
		{"empty text", frame(fin|opText, ""), hub.RetrySlowly, hub.CauseProtocol, "text"},
		{"masked", []byte{fin | opBinary, masked | 1, 1, 2, 3, 4, 5}, hub.RetrySlowly, hub.CauseProtocol, "bad MASK"},
		{"compressed", frame(fin|0x40|opBinary, "x"), hub.RetrySlowly, hub.CauseProtocol, "RSV1"},
		{"reserved bits", frame(fin|0x30|opBinary, "x"), hub.RetrySlowly, hub.CauseProtocol, "RSV2 set, RSV3 set"},
		{"reserved opcode", frame(fin|3, "x"), hub.RetrySlowly, hub.CauseProtocol, "bad opcode 3"},
		{"reserved control opcode", frame(fin|11, "x"), hub.RetrySlowly, hub.CauseProtocol, "bad opcode 11"},
		{"continues nothing", frame(fin|opMore, "x"), hub.RetrySlowly, hub.CauseProtocol, "continuation"},
		{"begins within a message", slices.Concat(frame(opBinary, "\xd0"), frame(fin|opBinary, "\x00")), hub.RetrySlowly, hub.CauseProtocol, "data before FIN"},
		{"a ping in pieces", frame(opPing, "x"), hub.RetrySlowly, hub.CauseProtocol, "FIN not set on control"},
		{"a long ping", frame(fin|opPing, strings.Repeat("x", 126)), hub.RetrySlowly, hub.CauseProtocol, "len > 125"},
		{"a length of 2^63", []byte{fin | opBinary, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, hub.RetrySlowly, hub.CauseProtocol, "read limit"},
		{"a length of 1 TiB", []byte{fin | opBinary, 127, 0, 0, 1, 0, 0, 0, 0, 0}, hub.RetrySlowly, hub.CauseProtocol, "read limit"},
		{"a message without end", slices.Concat(frame(opBinary, "\xd0\x00"), []byte{opMore, 127, 0, 0, 0, 0, 1, 0, 0, 0}), hub.RetrySlowly, hub.CauseProtocol, "read limit"},
		{"closes", frame(fin|opClose, "\x03\xe8bye"), hub.RetrySoon, hub.CauseNetwork, `code 1000 and the words "bye"`},
		{"goes away", frame(fin|opClose, "\x03\xe9"), hub.RetrySoon, hub.CauseNetwork, "code 1001"},
		{"closes without a code", frame(fin|opClose, ""), hub.RetrySoon, hub.CauseNetwork, "code 1005"},
		{"closes with a code there is not", frame(fin|opClose, "\x03\xee"), hub.RetrySlowly, hub.CauseProtocol, "bad close code 1006"},
		{"closes with bad words", frame(fin|opClose, "\x03\xe8\xff"), hub.RetrySlowly, hub.CauseProtocol, "utf8"},
		{"cuts the connection", nil, hub.RetrySoon, hub.CauseNetwork, "the hub closed the connection"},
		{"cuts it within a frame", frame(fin|opBinary, "\x30\x7fxx")[:4], hub.RetrySoon, hub.CauseNetwork, "the hub closed the connection"},
		{"cuts it within a header", []byte{fin}, hub.RetrySoon, hub.CauseNetwork, "the hub closed the connection"},
		{"a bad packet", frame(fin|opBinary, "\xf0\x00"), hub.RetrySlowly, hub.CauseProtocol, "packet type 15"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			webBubble(t, func(t *testing.T, n *network) {
				s, p := n.connect(n.config(), 1)
				_, _ = p.conn.(*webPeer).Conn.Write(test.sends)
				if test.words == "the hub closed the connection" {
					_ = p.conn.Close()
				}
				<-s.Done()
				wantError(t, s.Err(), test.class, test.cause)
				if !strings.Contains(s.Err().Error(), test.words) {
					t.Errorf("error is %v; want %q in it", s.Err(), test.words)
				}
				s.Close()
			})
		})
	}
}

// TestWebSocketFarewell: DISCONNECT is followed by a Close frame, and a Close
// frame is answered by one.
func TestWebSocketFarewell(t *testing.T) {
	webBubble(t, func(t *testing.T, n *network) {
		s, p := n.connect(n.config(), 1)
		s.Close()
		expect[*packets.DisconnectPacket](p)
		if p.read() != nil {
			t.Error("something came after DISCONNECT")
		}
		if got := p.conn.(*webPeer).control; !slices.Equal(got, []webControl{{opClose, "\x03\xe8"}}) {
			t.Errorf("behind DISCONNECT came %q; want Close with 1000", got)
		}

		s, p = n.connect(n.config(), 2)
		_, _ = p.conn.(*webPeer).Conn.Write(frame(fin|opClose, "\x03\xe9going"))
		p.read()
		if got := p.conn.(*webPeer).control; !slices.Equal(got, []webControl{{opClose, "\x03\xe9"}}) {
			t.Errorf("the answer to Close was %q; want Close with 1001", got)
		}
		s.Close()
	})
}

// TestWebSocketPing: a ping is answered; one whose answer the peer does not take
// at once neither holds up what is sent nor ends the session before any other
// write would.
func TestWebSocketPing(t *testing.T) {
	webBubble(t, func(t *testing.T, n *network) {
		s, p := n.connect(n.config(), 1)
		defer s.Close()
		w := p.conn.(*webPeer)
		_, _ = w.Conn.Write(slices.Concat(frame(fin|opPing, "one"), frame(fin|opPong, "nobody asked"), frame(fin|opPing, strings.Repeat("x", 125))))
		p.publish(1, bound, "")
		recvDelivery(t, s)
		s.Complete(1)
		if got := p.pubacks(); !slices.Equal(got, []uint16{1}) {
			t.Errorf("PUBACKs %v; want 1", got)
		}
		if want := []webControl{{opPong, "one"}, {opPong, strings.Repeat("x", 125)}}; !slices.Equal(w.control, want) {
			t.Errorf("the answers are %q; want %q", w.control, want)
		}
	})
	for _, test := range []struct {
		away time.Duration
		ends bool
	}{{writeLimit - time.Second, false}, {writeLimit + time.Second, true}} {
		webBubble(t, func(t *testing.T, n *network) {
			s, p := n.connect(n.config(), 1)
			synctest.Wait() // the peer's goroutine waits in a read; this packet is the last it takes
			close(p.stop)
			if err := writeLast(s); err != nil {
				t.Fatal(err)
			}
			w := p.conn.(*webPeer)
			_, _ = w.Conn.Write(frame(fin|opPing, "one"))
			time.Sleep(test.away)
			go func() { _, _ = io.Copy(io.Discard, w.Conn) }()
			synctest.Wait()
			if ended := s.Err() != nil; ended != test.ends {
				t.Errorf("ended when the peer read nothing for %v: %v (%v); want %v", test.away, ended, s.Err(), test.ends)
			}
			if test.ends {
				wantError(t, s.Err(), hub.RetrySoon, hub.CauseNetwork)
			}
			s.Close()
		})
	}
}

// TestWebSocketCarriesAll: what is longer than any buffer between arrives whole,
// in both directions and at once with pings.
func TestWebSocketCarriesAll(t *testing.T) {
	webBubble(t, func(t *testing.T, n *network) {
		s, p := n.connect(n.config(), 1)
		defer s.Close()
		w := p.conn.(*webPeer)
		long := strings.Repeat("0123456789", 20<<10)
		for i := range uint16(3) {
			go func() { _, _ = w.Conn.Write(frame(fin|opPing, fmt.Sprint(i))) }()
			result := make(chan error, 1)
			go func() { result <- s.Publish(t.Context(), hub.Telemetry{Body: []byte(long)}) }()
			m := expect[*packets.PublishPacket](p)
			if string(m.Payload) != long {
				t.Errorf("the peer got %d bytes; want %d", len(m.Payload), len(long))
			}
			p.puback(m.MessageID)
			p.publish(i+1, bound, long)
			if d := recvDelivery(t, s); string(d.Message.Body) != long {
				t.Errorf("delivery of %d bytes; want %d", len(d.Message.Body), len(long))
			}
			if err := <-result; err != nil {
				t.Errorf("publish: %v", err)
			}
		}
	})
}
