package mqtt

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
)

// TestWithLocalHub: the whole life of a message over each transport with the hub
// that people try things on, which was written by the protocol's description and
// not by this client.
func TestWithLocalHub(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := localhub.New(localhub.Options{Host: testHost})
		defer h.Close()
		device, err := h.AddDevice(testDevice)
		if err != nil {
			t.Fatal(err)
		}
		serve := h.ServeConn
		if n.web {
			serve = h.ServeWebConn
		}
		cfg := n.config()
		cfg.Road.TCP = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go serve(tls.Server(far, &tls.Config{Certificates: []tls.Certificate{n.id.cert}}))
			return socket{near}, nil
		}
		if err := Probe(t.Context(), cfg); err != nil {
			t.Fatalf("probe: %v", err)
		}
		if connected, _ := h.Status(testDevice); connected {
			t.Error("the hub took a probe for the device")
		}
		token := hub.SignSAS(hub.Resource(testHost, testDevice), device.Primary, "", time.Now().Add(time.Hour))
		s, err := Connect(t.Context(), cfg, 1, token)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Subscribe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Send(testDevice, hub.Message{ID: "m1", Body: []byte("hello"), Properties: map[string]string{"k": "v"}}); err != nil {
			t.Fatal(err)
		}
		d := recvDelivery(t, s)
		if d.Message.ID != "m1" || string(d.Message.Body) != "hello" || d.Message.Properties["k"] != "v" {
			t.Errorf("delivery is %+v", d)
		}
		if err := s.Publish(t.Context(), hub.Telemetry{Body: []byte("report")}); err != nil {
			t.Errorf("publish: %v", err)
		}
		if q := h.Queue(testDevice); len(q) != 1 {
			t.Errorf("%d messages are on the hub before it is completed; want 1", len(q))
		}
		s.Complete(d.Seq)
		synctest.Wait()
		if q := h.Queue(testDevice); len(q) != 0 || s.Err() != nil {
			t.Errorf("%d messages are on the hub, %v; want none", len(q), s.Err())
		}
		if !slices.ContainsFunc(h.Events(), func(e localhub.Event) bool { return e.Kind == localhub.KindConnected && e.WebSocket == n.web }) {
			t.Errorf("the hub saw no connection whose being a WebSocket is %v", n.web)
		}
		if !slices.ContainsFunc(h.Events(), func(e localhub.Event) bool { return string(e.Telemetry.Body) == "report" }) {
			t.Error("the hub has no report")
		}
	})
}
