package localhub

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub"
)

// webStage is a hub, its only device, and that device's HTTPS over TLS.
type webStage struct {
	*testing.T
	h *Hub
	webClient
}

func newWebStage(t *testing.T, o Options) *webStage {
	t.Helper()
	s := &webStage{T: t, h: newTestHub(t, o)}
	config, ca, err := TLSConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(readFile(t, ca)))
	s.dial = func() net.Conn { return dialTLS(s.h, config, roots) }
	t.Cleanup(s.hangUp)
	return s
}

func (s *webStage) ask(verb string, words ...string) answered {
	s.Helper()
	a := s.exchange(s.webRequest(s.T, s.h, verb, parseOptions(words)))
	if lock := a.header.Get("ETag"); lock != "" {
		s.locks = append(s.locks, strings.Trim(lock, `"`))
	}
	return a
}

// state is everything a request can change, in words.
func (s *webStage) state() string {
	var b strings.Builder
	for _, m := range s.h.Queue("pump-1") {
		fmt.Fprintf(&b, "%s %v count=%d ", m.Name, m.State, m.Deliveries)
	}
	for _, e := range s.h.Events() {
		switch e.Kind {
		case KindTelemetry, KindCompleted, KindDeadLettered:
			fmt.Fprintf(&b, "%s %s ", e.Kind, e.Status)
		}
	}
	return strings.TrimSpace(b.String())
}

// TestWebFaults: each request meets each effect that can strike it. What the
// device hears and what has changed are the effect's; afterwards the next
// connection works, the request was recorded once, and nothing is left running.
func TestWebFaults(t *testing.T) {
	// What a request finds, and what it leaves behind.
	verbs := map[Packet]struct{ verb, before, after string }{
		PacketHTTPReceive:   {"receive", "m1 enqueued count=0", "m1 locked count=0"},
		PacketHTTPComplete:  {"complete", "m1 locked count=0", "completed"},
		PacketHTTPReject:    {"reject", "m1 locked count=0", "dead-lettered Rejected"},
		PacketHTTPAbandon:   {"abandon", "m1 locked count=0", "m1 enqueued count=1"},
		PacketHTTPTelemetry: {"telemetry", "m1 enqueued count=0", "m1 enqueued count=0 telemetry"},
	}
	// What the device hears, and whether anything has changed.
	effects := map[Effect]struct {
		hears   string
		changed bool
	}{
		"": {"", true}, Delay: {"", true}, DropBefore: {"broken", false}, DropAfter: {"broken", true}, Swallow: {"no answer", true},
		BlackHole: {"no answer", false}, Stall: {"no answer", false}, Refuse: {"500", false}, LockLost: {"412", false},
	}
	for packet, v := range verbs {
		for effect, want := range effects {
			for _, waits := range []Packet{packet, PacketHTTPAny} {
				f := Fault{Packet: waits, Effect: effect, Device: "pump-1"}
				if effect == Delay {
					f.For = 20 * time.Second
				}
				if effect != "" && f.check() != nil {
					continue
				}
				t.Run(f.String()+" "+v.verb, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						after := v.before
						if want.changed {
							after = v.after
						}
						if effect == LockLost {
							after = "m1 enqueued count=0"
						}
						webFault(newWebStage(t, Options{}), v.verb, f, want.hears, after)
					})
				})
			}
		}
	}
}

func webFault(s *webStage, verb string, f Fault, hears, after string) {
	defer s.h.Close()
	if _, err := s.h.Send("pump-1", hub.Message{ID: "m1"}); err != nil {
		s.Fatal(err)
	}
	words := []string{"0"}
	if verb != "receive" && verb != "telemetry" {
		if a := s.ask("receive"); a.status != 200 {
			s.Fatalf("receive gave %+v", a)
		}
		words = []string{"1"}
	}
	if f.Effect != "" {
		if err := s.h.Inject(f); err != nil {
			s.Fatal(err)
		}
	}
	requests := count(s.h, KindRequest)
	a := s.ask(verb, words...)
	heard := a.why
	switch {
	case hears == "" && a.status/100 == 2:
		heard = ""
	case a.status != 0:
		heard = fmt.Sprint(a.status)
	}
	if heard != hears {
		s.Errorf("the device heard %q; want %q", heard, hears)
	}
	synctest.Wait()
	if got := s.state(); got != after {
		s.Errorf("then it is %q; want %q", got, after)
	}
	if n := count(s.h, KindRequest) - requests; n != 1 {
		s.Errorf("the request is %d times in the record", n)
	}
	s.hangUp()
	if a := s.ask("telemetry", "again"); a.status != http.StatusNoContent {
		s.Errorf("the next request gave %+v", a)
	}
	if len(s.h.faults) != 0 {
		s.Errorf("%v did not strike", s.h.faults)
	}
}

func count(h *Hub, k Kind) (n int) {
	for _, e := range h.Events() {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// TestWebEnds: whatever an HTTPS connection is at, the end of the hub, of serving
// or of the device's patience ends it.
func TestWebEnds(t *testing.T) {
	begin := map[string]func(s *webStage){
		"before TLS":    func(s *webStage) { s.nc = s.dial() },
		"idle":          func(s *webStage) { s.ask("receive") },
		"in a request":  func(s *webStage) { s.begin("GET / HTTP/1.1\r\nHost:") },
		"in a body":     func(s *webStage) { s.begin(s.webRequest(s.T, s.h, "telemetry", options{"0": "hello"})[:200]) },
		"in a fault":    func(s *webStage) { s.inject(BlackHole, PacketHTTPAny); s.ask("receive") },
		"stalled":       func(s *webStage) { s.inject(Stall, PacketHTTPAny); s.ask("receive") },
		"never begun":   func(s *webStage) { s.inject(Stall, PacketHTTPS); s.ask("receive") },
		"slow":          func(s *webStage) { s.inject(Delay, PacketHTTPAny); s.ask("receive") },
		"upgraded":      func(s *webStage) { s.upgrade() },
		"silent MQTT":   func(s *webStage) { s.inject(BlackHole, PacketConnect); s.connect(s.upgrade()) },
		"stalled MQTT":  func(s *webStage) { s.inject(Stall, PacketConnect); s.connect(s.upgrade()) },
		"slow MQTT":     func(s *webStage) { s.inject(Delay, PacketConnect); s.connect(s.upgrade()) },
		"a WebSocket":   func(s *webStage) { s.connect(s.upgrade()) },
		"not WebSocket": func(s *webStage) { s.upgrade(); s.begin("GET / HTTP/1.1\r\n\r\n") },
	}
	end := map[string]func(s *webStage, cancel func()){
		"the hub closes":   func(s *webStage, _ func()) { s.h.Close() },
		"the hub restarts": func(s *webStage, _ func()) { s.h.Restart(0) },
		"serving ends":     func(_ *webStage, cancel func()) { cancel() },
	}
	for what, begin := range begin {
		for why, end := range end {
			t.Run(what+", "+why, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newWebStage(t, Options{})
					ctx, cancel := context.WithCancel(t.Context())
					ln := &pipes{dialled: make(chan net.Conn)}
					served := make(chan error, 1)
					go func() { served <- s.h.ServeWeb(ctx, ln) }()
					config, ca, err := TLSConfig(t.TempDir())
					if err != nil {
						t.Fatal(err)
					}
					roots := x509.NewCertPool()
					roots.AppendCertsFromPEM([]byte(readFile(t, ca)))
					s.dial = func() net.Conn {
						near, far := net.Pipe()
						ln.dialled <- tls.Server(far, config)
						return tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "localhost"})
					}
					begin(s)
					synctest.Wait()
					begun := time.Now()
					end(s, cancel)
					synctest.Wait()
					if len(s.h.webs) != 0 || len(s.h.conns) != 0 {
						t.Errorf("%d and %d connections are left", len(s.h.webs), len(s.h.conns))
					}
					if took := time.Since(begun); took != 0 {
						t.Errorf("the end took %v", took)
					}
					cancel()
					if err := <-served; err != nil {
						t.Errorf("ServeWeb gave %v", err)
					}
				})
			})
		}
	}
}

// pipes is a listener of net.Pipes.
type pipes struct {
	dialled chan net.Conn
	net.Listener
}

func (p *pipes) Accept() (net.Conn, error) {
	nc, ok := <-p.dialled
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}

func (p *pipes) Close() error {
	close(p.dialled)
	return nil
}

func (s *webStage) inject(e Effect, p Packet) {
	f := Fault{Effect: e, Packet: p}
	if e == Delay {
		f.For = time.Hour
	}
	if err := s.h.Inject(f); err != nil {
		s.Fatal(err)
	}
}

// begin writes part of a request.
func (s *webStage) begin(text string) {
	if s.nc == nil {
		s.nc = s.dial()
	}
	_ = s.nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(s.nc, text); err != nil {
		s.Fatal(err)
	}
}

func (s *webStage) upgrade() *webSocket {
	s.hangUp()
	nc := s.dial()
	ws, why := dialWebSocket(nc, 0)
	if why != "" {
		s.Fatalf("the upgrade failed: %s", why)
	}
	s.nc = nc
	return ws
}

func (s *webStage) connect(ws *webSocket) {
	d, err := s.h.AddDevice("pump-1")
	if err != nil {
		s.Fatal(err)
	}
	if err := write(ws, connectAs(d, "test.hub")); err != nil {
		s.Fatal(err)
	}
}

// TestWebTLS: a device that does not trust the hub is in the record, and one that
// never finishes its handshake is given up.
func TestWebTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.Close()
		config, _, err := TLSConfig(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		stranger := dialTLS(h, config, x509.NewCertPool())
		if _, err := stranger.Write([]byte("GET")); err == nil {
			t.Error("a device without the CA connected")
		}
		_ = stranger.Close()
		synctest.Wait()
		if e := h.Events(); len(e) != 1 || !strings.HasPrefix(e[0].String(), "closed - TLS: ") {
			t.Errorf("recorded is %v", e)
		}
		near, far := net.Pipe()
		begun := time.Now()
		h.ServeWebConn(tls.Server(far, config))
		if took := time.Since(begun); took != connectTime {
			t.Errorf("a device that never speaks was given up after %v; want %v", took, connectTime)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("its connection gave %v", err)
		}
	})
}

// TestServeWebOverTLS is the real thing once: sockets, TLS, keep-alive, the end.
func TestServeWebOverTLS(t *testing.T) {
	config, ca, err := TLSConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	h := newTestHub(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.ServeWeb(ctx, ln) }()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(readFile(t, ca)))
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableCompression: true}}
	body := bytes.Repeat([]byte{0, 255}, 30_000)
	if _, err := h.Send("pump-1", hub.Message{ID: "m1", Body: body}); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+ln.Addr().String()+"/devices/pump-1/messages/devicebound?api-version=2021-04-12", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", webToken(t, h, "pump-1", options{}))
	for i, want := range []int{200, 204, 204} {
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want || want == 200 && !bytes.Equal(got, body) {
			t.Errorf("GET %d gave %d, %d bytes, %v; want %d", i, resp.StatusCode, len(got), err, want)
		}
	}
	h.mu.Lock()
	n := len(h.webs)
	h.mu.Unlock()
	if n != 1 {
		t.Errorf("three requests took %d connections", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ServeWeb ended with %v; want nil", err)
	}
	if _, err := c.Do(r); err == nil {
		t.Error("somebody answered after the end")
	}
}
