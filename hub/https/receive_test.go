package https

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
)

// whole is a message with everything in it, in the form of the Azure CLI's test.
const whole = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nContent-Type: application/octet-stream\r\n" +
	"ETag: \"" + testLock + "\"\r\nDate: Sat, 01 Jan 2000 00:00:07 GMT\r\n" +
	"iothub-messageid: m1\r\niothub-correlationid: c1\r\niothub-userid: u1\r\niothub-to: /devices/pump-1/messages/deviceBound\r\n" +
	"iothub-sequencenumber: 3\r\niothub-deliverycount: 2\r\niothub-enqueuedtime: 12/09/2019 12:00:00 PM\r\niothub-expiry: 12/10/2019 1:02:03 AM\r\n" +
	"iothub-ack: full\r\niothub-app-Sent: 2019-12-09T12:00:00Z\r\niothub-app-empty:\r\nContentType: application/json\r\nContentEncoding: utf-8\r\n\r\n" +
	"{\"action\":\"on\"}"

func wholeMessage() Received {
	return Received{
		Message: hub.Message{
			ID: "m1", CorrelationID: "c1", UserID: "u1", To: "/devices/pump-1/messages/deviceBound",
			Expiry: time.Date(2019, 12, 10, 1, 2, 3, 0, time.UTC), Enqueued: time.Date(2019, 12, 9, 12, 0, 0, 0, time.UTC),
			ContentType: "application/json", ContentEncoding: "utf-8", Ack: "full",
			Properties: map[string]string{"sent": "2019-12-09T12:00:00Z", "empty": ""},
			Body:       []byte(`{"action":"on"}`),
		},
		Lock: testLock, Deliveries: 2, Sequence: 3,
	}
}

func TestReceive(t *testing.T) {
	want := wholeMessage()
	bubble(t, func(p *peer) { p.answer(whole) }, func(t *testing.T, _ *network, c *Client) {
		r, ok, err := c.Receive(t.Context(), testToken)
		if err != nil || !ok || !reflect.DeepEqual(r, want) {
			t.Errorf("Receive = %+v, %v, %v\nwant %+v", r, ok, err, want)
		}
	})
	bubble(t, func(p *peer) { p.answer("HTTP/1.1 204 No Content\r\n\r\n") }, func(t *testing.T, _ *network, c *Client) {
		if r, ok, err := c.Receive(t.Context(), testToken); err != nil || ok || !reflect.DeepEqual(r, Received{}) {
			t.Errorf("Receive of an empty queue = %+v, %v, %v", r, ok, err)
		}
	})
}

// The largest body is received; one more byte is not cut but refused.
func TestReceiveLargest(t *testing.T) {
	for _, test := range []struct {
		size int
		want fate
	}{{0, done}, {64 << 10, done}, {maxMessage, done}, {maxMessage + 1, unsure}} {
		bubble(t, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: %d\r\n\r\n%s", test.size, strings.Repeat("b", test.size))
			p.listen()
		}, func(t *testing.T, _ *network, c *Client) {
			r, _, err := c.Receive(t.Context(), testToken)
			wantError(t, err, test.want, hub.RetrySoon, hub.CauseProtocol)
			if err == nil && len(r.Message.Body) != test.size {
				t.Errorf("%d bytes of %d", len(r.Message.Body), test.size)
			}
		})
	}
}

// TestReceiveManyProperties: as many as fit into the hub's 64 KB, each of which is
// longer here than the hub counts it.
func TestReceiveManyProperties(t *testing.T) {
	const many = 64 << 10 / 6
	var headers strings.Builder
	for n := range many {
		fmt.Fprintf(&headers, "iothub-app-%05x: v\r\n", n)
	}
	bubble(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nETag: x\r\n%sContent-Length: 0\r\n\r\n", headers.String())
		p.listen()
	}, func(t *testing.T, _ *network, c *Client) {
		r, ok, err := c.Receive(t.Context(), testToken)
		if err != nil || !ok || r.Fault != nil || len(r.Message.Properties) != many {
			t.Errorf("%d properties of %d, %v, %v", len(r.Message.Properties), many, r.Fault, err)
		}
	})
}

func header(pairs ...string) http.Header {
	h := http.Header{"Etag": {testLock}}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestReadLock(t *testing.T) {
	tests := []struct {
		etags []string
		want  string
	}{
		{[]string{`"` + testLock + `"`}, testLock},
		{[]string{testLock}, testLock},
		{[]string{strings.Repeat("l", maxLock)}, strings.Repeat("l", maxLock)},
		{[]string{`"` + strings.Repeat("l", maxLock+1) + `"`}, ""},
		{nil, ""},
		{[]string{""}, ""},
		{[]string{`"`}, ""},
		{[]string{`""`}, ""},
		{[]string{`"a`}, ""},
		{[]string{`"a"b"`}, ""},
		{[]string{`W/"a"`}, ""},
		{[]string{"../../other"}, ""},
		{[]string{"."}, ""},
		{[]string{".."}, ""},
		{[]string{"a b"}, ""},
		{[]string{"a\tb"}, ""},
		{[]string{`a\b`}, ""},
		{[]string{"ä"}, ""},
		{[]string{"a", "a"}, ""},
	}
	for _, test := range tests {
		r, err := readHeaders(http.Header{"Etag": test.etags})
		if r.Lock != test.want || errors.Is(err, errLock) != (test.want == "") {
			t.Errorf("ETag %q gives lock %q, %v; want %q", test.etags, r.Lock, err, test.want)
		}
	}
}

// Without a lock nothing can be done with a message, and nobody is told that the
// hub refused anything.
func TestReceiveUseless(t *testing.T) {
	for name, said := range map[string]string{
		"no ETag":         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"odd ETag":        "HTTP/1.1 200 OK\r\nETag: a/b\r\nContent-Length: 0\r\n\r\n",
		"created":         "HTTP/1.1 201 Created\r\nETag: x\r\nContent-Length: 0\r\n\r\n",
		"partial":         "HTTP/1.1 206 Partial Content\r\nETag: x\r\nContent-Length: 1\r\n\r\na",
		"no length":       "HTTP/1.1 200 OK\r\nETag: x\r\n\r\nbody",
		"HTTP/2":          "HTTP/2.0 200 OK\r\nETag: x\r\nContent-Length: 0\r\n\r\n",
		"control":         "HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 0\r\nX: \x1b[2J\r\n\r\n",
		"odd header":      "HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 0\r\n" + strings.Repeat("(", 5000) + ": 1\r\n\r\n",
		"two lengths":     "HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\na",
		"negative length": "HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: -1\r\n\r\n",
		"huge length":     "HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 999999999999999999999\r\n\r\n",
		"odd encoding":    "HTTP/1.1 200 OK\r\nETag: x\r\nTransfer-Encoding: gzip\r\n\r\n",
		"odd chunk":       "HTTP/1.1 200 OK\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"no HTTP":         "SSH-2.0-OpenSSH_9.6\r\n\r\n",
		"no status":       "HTTP/1.1 \r\n\r\n",
		"echo":            "HTTP/1.1 " + testToken[len(testToken)-4:] + strings.Repeat("z", 3000) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(p *peer) {
				p.request()
				p.say("%s", said)
				_ = p.conn.Close() // with TLS's farewell: what came before it is whole
			}, func(t *testing.T, _ *network, c *Client) {
				r, ok, err := c.Receive(t.Context(), testToken)
				wantError(t, err, unsure, hub.RetrySoon, hub.CauseProtocol)
				if ok || !reflect.DeepEqual(r, Received{}) {
					t.Errorf("beside the error: %+v, %v", r, ok)
				}
			})
		})
	}
}

// What cannot be read leaves the body and the lock, to reject it by.
func TestFaults(t *testing.T) {
	tests := []struct {
		name string
		h    http.Header
		want string
	}{
		{"id twice", header(headMessageID, "a", headMessageID, "a"), `second header "iothub-messageid"`},
		{"content type twice", header("ContentType", "a", "ContentType", "b"), `second header "contenttype"`},
		{"expiry twice", header(headExpiry, "", headExpiry, ""), "second header"},
		{"property twice", header("iothub-app-a", "1", "iothub-app-A", "2"), `second header "iothub-app-a"`},
		{"property twice by case", http.Header{"Etag": {testLock}, "iothub-app-a b": {"1"}, "iothub-app-A b": {"2"}}, `second header "iothub-app-a b"`},
		{"no property name", header("iothub-app-", "1"), "empty property name"},
		{"oversize id", header(headMessageID, strings.Repeat("i", 129)), "oversize message id"},
		{"expiry", header(headExpiry, "tomorrow"), `expiry "tomorrow" is no time`},
		{"long expiry", header(headExpiry, strings.Repeat("9", 60000)), `expiry "99`},
		{"expiry over the edge", header(headExpiry, "9999-12-31T23:59:59-01:00"), "is no time"},
		{"UTF-8 in a value", header("iothub-app-a", "\xff"), `invalid UTF-8 in header "iothub-app-a"`},
		{"UTF-8 in an id", header(headMessageID, "\xc3"), "invalid UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := readHeaders(test.h)
			var fault *hub.PropertyError
			if err != nil || !errors.As(r.Fault, &fault) || fault.Pos != -1 || !strings.Contains(fault.Reason, test.want) {
				t.Fatalf("readHeaders = %v, fault %v; want a fault with %q", err, r.Fault, test.want)
			}
			if r.Lock != testLock || !reflect.DeepEqual(r.Message, hub.Message{}) {
				t.Errorf("beside the fault: %+v", r)
			}
			wantPresentable(t, r.Fault)
		})
	}
	said := "HTTP/1.1 200 OK\r\nETag: x\r\niothub-expiry: never\r\nContent-Length: 1\r\n\r\nb"
	bubble(t, func(p *peer) { p.answer(said) }, func(t *testing.T, _ *network, c *Client) {
		r, ok, err := c.Receive(t.Context(), testToken)
		if err != nil || !ok || r.Fault == nil || r.Lock != "x" || string(r.Message.Body) != "b" {
			t.Errorf("Receive = %+v, %v, %v; want a fault with lock and body", r, ok, err)
		}
	})
}

// What is no fault: what the hub leaves empty, what only informs, what is new.
func TestNoFaults(t *testing.T) {
	tests := []struct {
		name string
		h    http.Header
		want Received
	}{
		{"nothing", header(), Received{}},
		{"all empty", header(headMessageID, "", headCorrelationID, "", headUserID, "", headTo, "", headExpiry, "", headEnqueued, "", headAck, "",
			headDeliveries, "", headSequence, "", "ContentType", "", "ContentEncoding", ""), Received{}},
		{"longest id", header(headMessageID, strings.Repeat("i", 128)), Received{Message: hub.Message{ID: strings.Repeat("i", 128)}}},
		{"UTF-8", header("iothub-app-a", "ä"), Received{Message: hub.Message{Properties: map[string]string{"a": "ä"}}}},
		{"not unescaped", header("iothub-app-a%20b", "%41"), Received{Message: hub.Message{Properties: map[string]string{"a%20b": "%41"}}}},
		{"odd numbers", header(headDeliveries, "-1", headSequence, "-1"), Received{}},
		{"no numbers", header(headDeliveries, "many", headSequence, "many"), Received{}},
		{"numbers too large", header(headDeliveries, "18446744073709551616", headSequence, "18446744073709551616"), Received{}},
		{"odd enqueued time", header(headEnqueued, "yesterday"), Received{}},
		{"no expiry in .NET", header(headExpiry, "01/01/0001 00:00:00"), Received{}},
		{"new headers", header("iothub-new", "1", "iothub-new", "2", "Content-Type", "text/plain", "iothub-contenttype", "x"), Received{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := readHeaders(test.h)
			test.want.Lock = testLock
			if err != nil || !reflect.DeepEqual(r, test.want) {
				t.Errorf("readHeaders = %+v, %v; want %+v", r, err, test.want)
			}
		})
	}
}

func TestReadTime(t *testing.T) {
	noon := time.Date(2019, 12, 9, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"12/09/2019 12:00:00 PM":          noon,
		"12/9/2019 12:00:00 PM":           noon,
		"12/09/2019 12:00:00":             noon,
		"12/09/2019 13:00:00 +01:00":      noon,
		"12/9/2019 1:00:00 PM +01:00":     noon,
		"1/2/2019 3:04:05 AM":             time.Date(2019, 1, 2, 3, 4, 5, 0, time.UTC),
		"2019-12-09T12:00:00Z":            noon,
		"2019-12-09T12:00:00":             noon,
		"2019-12-09T12:00:00.0000000Z":    noon,
		"2019-12-09T13:00:00.0+01:00":     noon,
		"2019-12-09T12:00:00.12345678":    noon.Add(123456700),
		"2019-12-09 12:00:00Z":            noon,
		"Mon, 09 Dec 2019 12:00:00 GMT":   noon,
		"Mon, 09 Dec 2019 12:00:00 -0000": noon,
		"":                                {},
	} {
		if got, ok := readTime(s); !ok || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("readTime(%q) = %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"0", "13/13/2019 12:00:00", "12/09/2019", "Mon, 09 Dec 2019 12:00:00 CET", "0001-01-01T00:00:00+01:00", "2019-12-09T12:00:00Z "} {
		if got, ok := readTime(s); ok {
			t.Errorf("readTime(%q) = %v; want no time", s, got)
		}
	}
}
