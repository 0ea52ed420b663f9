package https

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"

	"actuatord/hub"
)

// TestRequests holds every request to its bytes.
func TestRequests(t *testing.T) {
	const (
		queue   = "/devices/pump-1/messages/devicebound"
		version = "api-version=2021-04-12"
		head    = " HTTP/1.1\r\nHost: hub.example\r\nUser-Agent: actuatord\r\n"
		auth    = "Authorization: " + testToken + "\r\n"
		match   = "If-Match: \"" + testLock + "\"\r\n"
	)
	want := map[string]string{
		"receive":  "GET " + queue + "?" + version + head + auth + "\r\n",
		"complete": "DELETE " + queue + "/" + testLock + "?" + version + head + auth + match + "\r\n",
		"reject":   "DELETE " + queue + "/" + testLock + "?reject=true&" + version + head + auth + match + "\r\n",
		"abandon":  "POST " + queue + "/" + testLock + "/abandon?" + version + head + "Content-Length: 0\r\n" + auth + match + "\r\n",
		"send": "POST /devices/pump-1/messages/events?" + version + head + "Content-Length: 7\r\n" + auth +
			"Content-Type: application/octet-stream\r\n\r\n{\"v\":1}",
	}
	for name, call := range calls() {
		t.Run(name, func(t *testing.T) {
			var got string
			bubble(t, func(p *peer) { got = p.request(); p.say("HTTP/1.1 204 No Content\r\n\r\n"); p.listen() },
				func(t *testing.T, n *network, c *Client) {
					if err := call(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					if got != want[name] {
						t.Errorf("sent\n%s\nwant\n%s", got, want[name])
					}
					if n.dials[0] != "hub.example:443" {
						t.Errorf("dialled %s", n.dials[0])
					}
				})
		})
	}
}

// The gateway is who is asked; an id with odd characters stays one part of the path.
func TestRequestElsewhere(t *testing.T) {
	var got string
	bubble(t, func(p *peer) { got = p.request(); p.say("HTTP/1.1 204 No Content\r\n\r\n"); p.listen() },
		func(t *testing.T, n *network, _ *Client) {
			cfg := n.config()
			cfg.Host, cfg.Gateway, cfg.Port, cfg.DeviceID = "other.example", testHost, 8443, "a/b?#%"
			c := New(cfg)
			defer c.Close()
			if err := c.Complete(t.Context(), testToken, "a?b#c%d&e"); err != nil {
				t.Fatal(err)
			}
			if want := "DELETE /devices/a%2Fb%3F%23%25/messages/devicebound/a%3Fb%23c%25d%26e?api-version=2021-04-12 HTTP/1.1\r\nHost: hub.example:8443\r\n"; !strings.HasPrefix(got, want) {
				t.Errorf("sent %q; want it to begin %q", got, want)
			}
			if n.dials[0] != "hub.example:8443" {
				t.Errorf("dialled %s", n.dials[0])
			}
		})
}

// TestSend: what goes out is a valid header whatever a report holds, and what the
// hub takes goes out as it is.
func TestSend(t *testing.T) {
	tests := []struct {
		name string
		t    hub.Telemetry
		want string // of the headers, one after the other, sorted
	}{
		{"a report", hub.Telemetry{
			MessageID: "b7-1", CorrelationID: "m:1(x)", ContentType: "application/json", ContentEncoding: "utf-8",
			Properties: map[string]string{"kind": "outcome", "Case": "Kept", "odd!#$%&'*+-.^_`|~": "!#$%&'*+-.^_`|~"},
		}, "iothub-app-Case: Kept|iothub-app-kind: outcome|iothub-app-odd!#$%&'*+-.^_`|~: !#$%&'*+-.^_`|~|" +
			"iothub-contentencoding: utf-8|iothub-contenttype: application/json|iothub-correlationid: m:1(x)|iothub-messageid: b7-1"},
		{"not ASCII", hub.Telemetry{CorrelationID: "ä", Properties: map[string]string{"ö": "ü"}},
			"iothub-app-%C3%B6: %C3%BC|iothub-correlationid: %C3%A4"},
		{"injection", hub.Telemetry{CorrelationID: "a\r\nX: y\r\n\r\n", Properties: map[string]string{"a: b\r\nc": "d\x00e\xff"}},
			"iothub-app-a%3A%20b%0D%0Ac: d%00e%FF|iothub-correlationid: a%0D%0AX%3A%20y%0D%0A%0D%0A"},
		{"blanks", hub.Telemetry{CorrelationID: " a", Properties: map[string]string{"k": "50% off", "t": "x/y"}},
			"iothub-app-k: 50%25%20off|iothub-app-t: x%2Fy|iothub-correlationid: %20a"},
		{"no name", hub.Telemetry{Properties: map[string]string{"": "x", "k": ""}}, "iothub-app-k: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got string
			bubble(t, func(p *peer) { got = p.request(); p.say("HTTP/1.1 204 No Content\r\n\r\n"); p.listen() },
				func(t *testing.T, _ *network, c *Client) {
					if err := c.Send(t.Context(), testToken, test.t); err != nil {
						t.Fatal(err)
					}
					var ours []string
					for line := range strings.SplitSeq(got, "\r\n") {
						if strings.HasPrefix(line, "iothub-") {
							ours = append(ours, line)
						}
					}
					if s := strings.Join(ours, "|"); s != test.want {
						t.Errorf("sent %q; want %q", s, test.want)
					}
					if lines := strings.Count(got, "\r\n"); lines != len(ours)+7 {
						t.Errorf("the request has %d lines:\n%s", lines, got)
					}
				})
		})
	}
}

// What the hub would not take is not sent; what it just takes is.
func TestSendLimit(t *testing.T) {
	bubble(t, func(p *peer) { p.answer("HTTP/1.1 204 No Content\r\n\r\n") }, func(t *testing.T, n *network, c *Client) {
		fits := maxTelemetry - len("Content-Typeapplication/octet-stream")
		err := c.Send(t.Context(), testToken, hub.Telemetry{Body: make([]byte, fits+1)})
		wantError(t, err, refused, hub.RetrySlowly, hub.CauseProtocol)
		if len(n.dials) != 0 {
			t.Error("too large telemetry was sent")
		}
		if err := c.Send(t.Context(), testToken, hub.Telemetry{Body: make([]byte, fits)}); err != nil {
			t.Error(err)
		}
	})
}

// One connection serves a whole drain, whatever is asked in it, over the TLS 1.2
// of the hub's classic name and over 1.3.
func TestOneConnection(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { oneConnection(t, version) })
	}
}

func oneConnection(t *testing.T, version uint16) {
	answers := []string{
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nETag: \"" + testLock + "\"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 2\r\n\r\nab",
	}
	bubble(t, func(p *peer) {
		for i := 0; p.request() != ""; i++ {
			p.say("%s", answers[i%len(answers)])
		}
	}, func(t *testing.T, n *network, c *Client) {
		n.newest = version
		for range 5 {
			for name, call := range calls() {
				if err := call(t.Context(), c); fateOf(err) != done && fateOf(err) != refused {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		if len(n.dials) != 1 {
			t.Errorf("%d connections; want one", len(n.dials))
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := c.Receive(ended, testToken); fateOf(err) != unsent || len(n.dials) != 1 {
			t.Errorf("with a context that has ended: %v (%s)", err, fateOf(err))
		}
		c.Close()
		c.Close()
		if _, _, err := c.Receive(context.Background(), testToken); err != nil || len(n.dials) != 2 {
			t.Errorf("after Close: %v, %d connections", err, len(n.dials))
		}
	})
}
