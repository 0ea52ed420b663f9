package localhub

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub"
)

// TestHostileHTTP: none of this does more than end its own connection, and that
// in bounded time; the hub serves the next one.
func TestHostileHTTP(t *testing.T) {
	get := "GET /devices/pump-1/messages/devicebound?api-version=2021-04-12 HTTP/1.1\r\n"
	post := "POST /devices/pump-1/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\n"
	cases := map[string]struct{ text, want string }{
		"nothing":                   {"", "broken"},
		"garbage":                   {"\x00\x01\x02\r\n\r\n", "400"},
		"no HTTP":                   {"CONNECT\r\n\r\n", "400"},
		"HTTP/2":                    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404"},
		"no host":                   {get + "\r\n", "400"},
		"header without end":        {get + "Host: h\r\nX: ", "broken"},
		"header too large":          {get + "Host: h\r\nX: " + strings.Repeat("x", maxHeader+8192) + "\r\n\r\n", "431"},
		"blank in a header's name":  {get + "Host: h\r\nIf Match: x\r\n\r\n", "400"},
		"escape in a path":          {"GET /devices/%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		"long device id":            {"GET /devices/" + strings.Repeat("x", 1000) + "/messages/devicebound HTTP/1.1\r\nHost: h\r\n\r\n", "404"},
		"long token":                {get + "Host: h\r\nAuthorization: SharedAccessSignature sr=" + strings.Repeat("x", 100_000) + "&sig=eA%3D%3D&se=1\r\n\r\n", "401"},
		"negative length":           {post + "Content-Length: -1\r\n\r\n", "400"},
		"two lengths":               {post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", "400"},
		"length and chunks":         {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "401"},
		"length beyond every bound": {post + "Content-Length: 99999999999999999999\r\n\r\n", "400"},
		"body without end":          {post + "Content-Length: 100\r\n\r\nx", "401"},
		"bad chunks":                {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "401"},
		"everything":                {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "200"},
		"absolute":                  {"GET http://other/devices/pump-1 HTTP/1.1\r\nHost: h\r\n\r\n", "401"},
		"TRACE":                     {"TRACE /devices/pump-1 HTTP/1.1\r\nHost: h\r\n\r\n", "405"},
		"upgrade to something":      {get + "Host: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "401"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTestHub(t, Options{})
				defer h.Close()
				near, far := net.Pipe()
				served := make(chan struct{})
				go func() {
					h.ServeWebConn(far)
					close(served)
				}()
				go func() { _, _ = io.WriteString(near, c.text) }()
				got := "broken"
				if resp, err := http.ReadResponse(bufio.NewReader(near), nil); err == nil {
					got = fmt.Sprint(resp.StatusCode)
				}
				if got != c.want {
					t.Errorf("the answer is %s; want %s", got, c.want)
				}
				_ = near.Close()
				begun := time.Now()
				<-served
				if took := time.Since(begun); took > requestTime {
					t.Errorf("it was served for another %v", took)
				}
				for _, e := range h.Events() {
					if line := e.String(); len(line) > 1000 {
						t.Errorf("an event of %d bytes: %.200s", len(line), line)
					}
				}
				next := &webClient{dial: func() net.Conn { return dialWeb(h) }}
				if a := next.exchange(next.webRequest(t, h, "receive", options{})); a.status != http.StatusNoContent {
					t.Errorf("the next device got %+v", a)
				}
			})
		})
	}
}

// TestWebTelemetryLimits: 256 KiB with the properties and not a byte more, however
// they come.
func TestWebTelemetryLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWebStage(t, Options{})
		defer s.h.Close()
		token := "Authorization: " + webToken(t, s.h, "pump-1", options{}) + "\r\n"
		post := func(headers, body string) int {
			return s.exchange("POST /devices/pump-1/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\n" + token + headers + "\r\n" + body).status
		}
		sized := func(n int, headers string) int {
			return post(fmt.Sprintf("Content-Length: %d\r\n%s", n, headers), strings.Repeat("x", n))
		}
		if got := sized(256<<10, ""); got != 204 {
			t.Errorf("256 KiB gave %d", got)
		}
		if got := sized(256<<10+1, ""); got != 413 {
			t.Errorf("256 KiB and a byte gave %d", got)
		}
		if got := sized(256<<10-2, "iothub-app-k: v\r\n"); got != 204 {
			t.Errorf("256 KiB with a property gave %d", got)
		}
		if got := sized(256<<10-1, "iothub-app-k: v\r\n"); got != 413 {
			t.Errorf("256 KiB and a byte with a property gave %d", got)
		}
		chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("x", 64<<10))
		if got := post("Transfer-Encoding: chunked\r\n", strings.Repeat(chunk, 4)+"0\r\n\r\n"); got != 204 {
			t.Errorf("256 KiB in chunks gave %d", got)
		}
		if got := post("Transfer-Encoding: chunked\r\n", strings.Repeat(chunk, 5)+"0\r\n\r\n"); got != 413 {
			t.Errorf("320 KiB in chunks gave %d", got)
		}
	})
}

// TestBatch reads what Microsoft's Node and C SDKs send, and refuses what is not
// of that form.
func TestBatch(t *testing.T) {
	post := func(t *testing.T, body string) (int, []hub.Telemetry) {
		h := newTestHub(t, Options{})
		defer h.Close()
		c := &webClient{dial: func() net.Conn { return dialWeb(h) }}
		defer c.hangUp()
		a := c.exchange(fmt.Sprintf("POST /devices/pump-1/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n"+
			"Content-Type: application/vnd.microsoft.iothub.json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s", webToken(t, h, "pump-1", options{}), len(body), body))
		var all []hub.Telemetry
		for _, e := range h.Events() {
			if e.Kind == KindTelemetry {
				all = append(all, e.Telemetry)
			}
		}
		return a.status, all
	}
	status, all := post(t, `[{"body":"`+base64.StdEncoding.EncodeToString([]byte("one"))+`","properties":{"iothub-app-Key":"v","iothub-messageid":"t1"}},{"body":"two","base64Encoded":false}]`)
	if status != 204 || len(all) != 2 || string(all[0].Body) != "one" || string(all[1].Body) != "two" || all[0].MessageID != "t1" || all[0].Properties["key"] != "v" {
		t.Errorf("status %d, %+v", status, all)
	}
	item := `{"body":""}`
	bad := []string{``, `{`, `{}`, `[{}]`, `["x"]`, `[{"body":1}]`, `[{"body":"not base64"}]`, `[{"body":"","properties":[]}]`, "[" + strings.Repeat(item+",", maxBatch) + item + "]"}
	for _, body := range bad {
		if status, all := post(t, body); status != 400 || len(all) != 0 {
			t.Errorf("%.40s gave %d and %d messages", body, status, len(all))
		}
	}
}

// TestWebLockTokens: they look like GUIDs, differ, and are not kept for ever.
func TestWebLockTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.Close()
		c := &webClient{dial: func() net.Conn { return dialWeb(h) }}
		if _, err := h.Send("pump-1", hub.Message{ID: "m1", Expiry: time.Now().Add(47 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		guid := regexp.MustCompile(`^"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"$`)
		seen := map[string]bool{}
		for range 100 {
			a := c.exchange(c.webRequest(t, h, "receive", options{"token": "48h"}))
			lock := a.header.Get("ETag")
			if !guid.MatchString(lock) || seen[lock] {
				t.Fatalf("the lock token is %s; seen before: %v", lock, seen[lock])
			}
			seen[lock] = true
			time.Sleep(time.Minute)
		}
		if n := len(h.devices["pump-1"].locks); n > queueDepth {
			t.Errorf("%d lock tokens are kept", n)
		}
		c.hangUp()
	})
}

// TestWebHeadersOfAnything: whatever a sender put into a message, the answer is
// HTTP with the whole body, and no header that the sender wrote.
func TestWebHeadersOfAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWebStage(t, Options{})
		defer s.h.Close()
		body := []byte("\x00\r\n\r\nbinary\xff")
		m := hub.Message{ID: "m1", Body: body, CorrelationID: "a\r\nX-Evil: 1", UserID: "\x00\x7f", ContentType: "text/html",
			Properties: map[string]string{"ok": "ü ", "not ok": "v", "b\r\nX-Evil": "1", "c:d": "v", "ETag": "x", "A": "1", "a": "2"}}
		if _, err := s.h.Send("pump-1", m); err != nil {
			t.Fatal(err)
		}
		a := s.ask("receive")
		if a.status != 200 || a.body != string(body) {
			t.Fatalf("received %+v", a)
		}
		want := map[string]string{"X-Evil": "", "Iothub-Correlationid": "a  X-Evil: 1", "Iothub-App-Ok": "ü", "Contenttype": "text/html", "Content-Type": "", "Iothub-App-Etag": "x"}
		for name, value := range want {
			if got := a.header.Get(name); got != value {
				t.Errorf("header %s is %q; want %q", name, got, value)
			}
		}
		if both := a.header["Iothub-App-A"]; len(both) != 2 {
			t.Errorf("names that differ in case only gave %q", both)
		}
	})
}

// TestWebDate: the Date header is the hub's idea of the time, on every answer.
func TestWebDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWebStage(t, Options{Date: func(now time.Time) time.Time { return now.AddDate(26, 0, 0) }})
		defer s.h.Close()
		for _, verb := range []string{"receive", "identity", "telemetry"} {
			if got := s.ask(verb, "hello").header.Get("Date"); got != "Thu, 01 Jan 2026 00:00:00 GMT" {
				t.Errorf("%s: Date is %q", verb, got)
			}
		}
		if got := s.ask("receive", "authorization=").header.Get("Date"); got != "Thu, 01 Jan 2026 00:00:00 GMT" {
			t.Errorf("401: Date is %q", got)
		}
	})
}

// FuzzWebRequest: any bytes that Go takes for a request are read without harm, and
// what is then to be performed is well formed.
func FuzzWebRequest(f *testing.F) {
	f.Add([]byte("GET /devices/pump-1/messages/devicebound?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\nIotHub-MessageLockTimeout: 60\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		req := readRequest(r)
		req.readBody(r.Body)
		if len(req.device) > maxMessageID {
			t.Errorf("a device id of %d bytes", len(req.device))
		}
		if req.stray != nil || req.bad != nil || req.kind == PacketWebSocket {
			return
		}
		size := 0
		for _, m := range req.telemetry {
			size += len(m.Body)
		}
		switch {
		case req.device == "" || !req.kind.rest() || req.kind == packetHTTPOther || req.kind == PacketHTTPAny:
			t.Errorf("%s of device %q is to be performed", req.kind, req.device)
		case req.kind.settles() && !isGUID(req.lock):
			t.Errorf("lock token %q", req.lock)
		case req.kind == PacketHTTPReceive && (req.hold <= 0 || req.hold > longestHold):
			t.Errorf("a lock for %v", req.hold)
		case req.kind == PacketHTTPTelemetry && (size > maxTelemetry || len(req.telemetry) > maxBatch):
			t.Errorf("%d messages of %d bytes", len(req.telemetry), size)
		}
	})
}
