package localhub

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"actuatord/hub"
)

// webClient is a device's end of HTTPS connections, one at a time, written after
// Microsoft's description of the protocol: what it sends and expects is spelt out
// here and not taken from the hub's code. Go's own HTTP client would repeat
// requests by itself, which hides what a fault did.
type webClient struct {
	dial func() net.Conn
	nc   net.Conn // nil: none
	r    *bufio.Reader

	locks []string // of messages received, in order
}

// answered is what came back: status 0 and why, if nothing did.
type answered struct {
	status int
	header http.Header
	body   string
	why    string
}

// patience is how long the client waits for an answer: shorter than a lock.
const patience = 30 * time.Second

func dialWeb(h *Hub) net.Conn {
	near, far := net.Pipe()
	go h.ServeWebConn(far)
	return near
}

// dialTLS is dialWeb with TLS; roots nil: the system's, which are not the hub's.
func dialTLS(h *Hub, config *tls.Config, roots *x509.CertPool) net.Conn {
	near, far := net.Pipe()
	go h.ServeWebConn(tls.Server(far, config))
	return tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "localhost"})
}

// exchange sends text and reads one answer.
func (c *webClient) exchange(text string) answered {
	if c.nc == nil {
		c.nc = c.dial()
		c.r = bufio.NewReader(c.nc)
	}
	_ = c.nc.SetDeadline(time.Now().Add(patience))
	if t, ok := c.nc.(*tls.Conn); ok { // now, since a bubble's time stands while two wait for a handshake's mutex
		if err := t.Handshake(); err != nil {
			c.hangUp()
			return because(answered{}, err)
		}
	}
	method, _, _ := strings.Cut(text, " ")
	wrote := make(chan struct{})
	go func(nc net.Conn) { // an answer may come before all is written
		defer close(wrote)
		_, _ = io.WriteString(nc, text)
	}(c.nc)
	a, err := c.read(method)
	if err != nil || a.header.Get("Connection") == "close" {
		c.hangUp()
	}
	<-wrote
	return because(a, err)
}

func because(a answered, err error) answered {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		a.why = "no answer"
	case err != nil:
		a.why = "broken"
	}
	return a
}

func (c *webClient) read(method string) (a answered, err error) {
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return a, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	a = answered{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if resp.Close {
		a.header.Set("Connection", "close")
	}
	return a, nil
}

func (c *webClient) hangUp() {
	if c.nc != nil {
		_ = c.nc.Close()
		c.nc = nil
	}
}

// webRequest gives a request's text: what an honest device sends, but for what o
// says.
func (c *webClient) webRequest(t *testing.T, h *Hub, verb string, o options) string {
	id := o.get("device", "pump-1")
	lock := o.get("lock", "")
	if n, err := strconv.Atoi(o.plain(0)); err == nil && lock == "" && n <= len(c.locks) {
		lock = c.locks[n-1]
	}
	base := "/devices/" + url.PathEscape(id) + "/messages/"
	method, path := o["method"], ""
	set := func(m, p string) {
		if method == "" {
			method = m
		}
		path = p
	}
	query := "?" + o.get("query", "api-version="+o.get("version", "2021-04-12"))
	var headers []string
	body := ""
	switch verb {
	case "receive":
		set("GET", base+"devicebound")
	case "complete", "reject":
		set("DELETE", base+"devicebound/"+lock)
		if verb == "reject" {
			query += "&reject=true"
		}
	case "abandon":
		set("POST", base+"devicebound/"+lock+"/abandon")
		headers = append(headers, "Content-Length: 0")
	case "telemetry":
		set("POST", base+"events")
		body = o.plain(0)
		headers = append(headers, "Content-Length: "+strconv.Itoa(len(body)), "iothub-app-kind: outcome", "iothub-contenttype: application/json", "iothub-correlationid: m1")
	case "identity":
		set("GET", "/devices/"+id)
	default:
		t.Fatalf("unknown verb %s", verb)
	}
	if lock != "" {
		headers = append(headers, "If-Match: "+o.get("if-match", lock))
	}
	if o["timeout"] != "" {
		headers = append(headers, "IotHub-MessageLockTimeout: "+o["timeout"])
	}
	if token := webToken(t, h, id, o); token != "" {
		headers = append(headers, "Authorization: "+token)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\nHost: test.hub\r\n", method, o.get("path", path), query)
	for _, line := range headers {
		if name, _, _ := strings.Cut(line, ":"); name != o["without"] {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String() + "\r\n" + body
}

// webToken signs a token as connectPacket does, from the same words.
func webToken(t *testing.T, h *Hub, id string, o options) string {
	key := hub.NewSecret([]byte("unknown"))
	if d, err := h.AddDevice("pump-1"); err == nil && id == "pump-1" && o["key"] != "wrong" {
		key = d.Primary
		if o["key"] == "secondary" {
			key = d.Secondary
		}
	}
	if id == "pump-2" {
		d, err := h.AddDevice("pump-2")
		if err != nil {
			t.Fatal(err)
		}
		key = d.Primary
	}
	return o.get("authorization", hub.SignSAS(o.get("resource", "test.hub/devices/"+id), key, o["policy"], time.Now().Add(duration(t, o.get("token", "1h")))))
}

// do performs a line of a story and says in one what came back.
func (c *webClient) do(t *testing.T, h *Hub, verb string, args []string) string {
	if verb == "hangup" {
		c.hangUp()
		return ""
	}
	o := parseOptions(args)
	a := c.exchange(c.webRequest(t, h, verb, o))
	if lock := a.header.Get("ETag"); lock != "" {
		c.locks = append(c.locks, strings.Trim(lock, `"`))
	}
	return c.describe(a, o)
}

func (c *webClient) describe(a answered, o options) string {
	switch {
	case a.why != "":
		return a.why
	case a.status >= 300:
		s := fmt.Sprintf("%d %s", a.status, a.header.Get("iothub-errorcode"))
		if retry := a.header.Get("Retry-After"); retry != "" {
			s += " retry-after=" + retry
		}
		if o["body"] != "" {
			s += " " + errorBody(a.body)
		}
		return s
	case o["headers"] != "":
		return c.everything(a)
	case a.status == http.StatusOK:
		return fmt.Sprintf("200 lock %d: %s, delivery count %s, %s", len(c.locks), a.header.Get("iothub-messageid"), a.header.Get("iothub-deliverycount"), a.body)
	}
	return strconv.Itoa(a.status)
}

// everything gives the status, all headers and the body.
func (c *webClient) everything(a answered) string {
	s := strconv.Itoa(a.status)
	var lines []string
	for name, values := range a.header {
		for _, v := range values {
			if name == "Etag" {
				v = fmt.Sprintf(`"lock %d"`, len(c.locks))
			}
			lines = append(lines, strings.TrimSuffix(fmt.Sprintf(" [%s: %s]", strings.ToLower(name), v), "\n"))
		}
	}
	slices.Sort(lines)
	return s + strings.Join(lines, "") + strings.TrimRight(" "+a.body, " ")
}

// errorBody gives the JSON of an error without what is random in it.
func errorBody(body string) string {
	var e struct{ Message, ExceptionMessage string }
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		return "not JSON: " + body
	}
	var inner struct {
		ErrorCode           int
		TrackingID, Message string
	}
	if json.Unmarshal([]byte(e.Message), &inner) == nil && inner.TrackingID != "" && e.ExceptionMessage == "" {
		return fmt.Sprintf("nested %d %q", inner.ErrorCode, inner.Message)
	}
	before, _, _ := strings.Cut(e.ExceptionMessage, ":")
	return fmt.Sprintf("%q %s:…", e.Message, before)
}

// upgradeText is how a WebSocket begins (RFC 6455).
func upgradeText(path, protocol string) string {
	text := "GET " + path + " HTTP/1.1\r\nHost: test.hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if protocol != "" {
		text += "Sec-WebSocket-Protocol: " + protocol + "\r\n"
	}
	return text + "\r\n"
}

// webSocket is the device's end of MQTT over WebSocket as a stream. piece, if
// set, is how many bytes go into a frame, the first of which is empty.
type webSocket struct {
	net.Conn
	ws    *websocket.Conn
	rest  []byte
	piece int
}

// dialWebSocket upgrades a connection; the answer to a failed one is in why.
func dialWebSocket(nc net.Conn, piece int) (s *webSocket, why string) {
	u := url.URL{Scheme: "ws", Host: "test.hub", Path: "/$iothub/websocket"}
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: patience,
		NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
	ws, resp, err := d.Dial(u.String(), nil)
	switch {
	case err == nil && ws.Subprotocol() != "mqtt":
		return nil, "the subprotocol is " + ws.Subprotocol()
	case err == nil:
		return &webSocket{Conn: nc, ws: ws, piece: piece}, ""
	case resp != nil:
		return nil, strconv.Itoa(resp.StatusCode)
	case errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(err.Error(), "timeout"):
		return nil, "no answer"
	}
	return nil, "broken"
}

func (s *webSocket) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		kind, b, err := s.ws.ReadMessage()
		if err != nil {
			return 0, err
		}
		if kind != websocket.BinaryMessage {
			return 0, errors.New("a message that is not binary")
		}
		s.rest = b
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *webSocket) Write(p []byte) (int, error) {
	if s.piece == 0 {
		return len(p), s.ws.WriteMessage(websocket.BinaryMessage, p)
	}
	for chunk := range slices.Chunk(p, s.piece) {
		if err := s.ws.WriteMessage(websocket.BinaryMessage, chunk); err != nil {
			return 0, err
		}
	}
	return len(p), s.ws.WriteMessage(websocket.BinaryMessage, nil)
}

func (s *webSocket) SetWriteDeadline(t time.Time) error { return s.ws.SetWriteDeadline(t) }
