package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
	"actuatord/hub/https"
	"actuatord/hub/mqtt"
)

// TestHubProcessHTTPS is a message's way over HTTPS through a real process, and a
// session over WebSocket on the same port.
func TestHubProcessHTTPS(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "--dir", dir, "--device", "pump-1", "--date-offset", "48h")
	addr := strings.TrimPrefix(p.expect("listening on https 127.0.0.1:"), "listening on https ")
	text, err := os.ReadFile(filepath.Join(dir, "pump-1.connection-string"))
	if err != nil {
		t.Fatal(err)
	}
	c, token, road := p.device(string(text), dir)
	device := https.New(https.Config{Host: c.HostName, Port: port(t, addr), DeviceID: c.DeviceID, Road: road})
	defer device.Close()

	p.say(`send pump-1 {"target":"pump","action":"on"} id=m1 ack=full note="a b"`)
	p.expect("enqueued m1 device=pump-1")
	r, ok, err := device.Receive(t.Context(), token)
	if err != nil || !ok || r.Message.ID != "m1" || r.Message.Properties["note"] != "a b" || string(r.Message.Body) != `{"target":"pump","action":"on"}` {
		t.Fatalf("received %+v, %v, %v", r, ok, err)
	}
	p.expect("delivered m1 via=https device=pump-1")
	p.expect("request GET receive 200 device=pump-1")
	if date, at := device.Date(); date.Sub(at) < 47*time.Hour || date.Sub(at) > 49*time.Hour {
		t.Errorf("Date was %v at %v; want it two days ahead", date, at)
	}
	if err := device.Send(t.Context(), token, hub.Telemetry{CorrelationID: "m1", Body: []byte("report")}); err != nil {
		t.Fatal(err)
	}
	p.expect("telemetry pump-1 report")
	p.say("fault pump-1 lock-lost http-reject")
	p.expect("ok fault")
	if err := device.Reject(t.Context(), token, r.Lock); !errors.Is(err, https.ErrLockLost) {
		t.Errorf("Reject gave %v; want a lost lock", err)
	}
	p.expect("request DELETE reject 412 device=pump-1")
	if r, ok, err = device.Receive(t.Context(), token); err != nil || !ok {
		t.Fatalf("received %v, %v", ok, err)
	}
	if err := device.Reject(t.Context(), token, r.Lock); err != nil {
		t.Fatal(err)
	}
	p.expect("feedback m1 Rejected device=pump-1")

	s, err := mqtt.Connect(t.Context(), mqtt.Config{Host: c.HostName, Port: port(t, addr), DeviceID: c.DeviceID, Road: road, WebSocket: true}, 1, token)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p.expect("connected pump-1 session=new via=websocket")
	p.say("quit")
	p.expect("ok quit")
	p.end(0)
}
