package localhub

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/gorilla/websocket"
)

// TestUpgrade: what is a way to MQTT over WebSocket and what is not.
func TestUpgrade(t *testing.T) {
	const path = "/$iothub/websocket"
	good := upgradeText(path, "mqtt")
	cases := map[string]struct{ text, want string }{
		"as SDKs do":         {good, "101 mqtt"},
		"as Java does":       {upgradeText(path+"?iothub-no-client-cert=true", "mqtt"), "101 mqtt"},
		"escaped":            {upgradeText("/%24iothub/websocket", "mqtt"), "101 mqtt"},
		"one of several":     {upgradeText(path, "mqttv3.1, mqtt"), "101 mqtt"},
		"from a page":        {strings.Replace(good, "\r\n", "\r\nOrigin: https://example.com\r\n", 1), "101 mqtt"},
		"no subprotocol":     {upgradeText(path, ""), "400 "},
		"another":            {upgradeText(path, "mqttv3.1"), "400 "},
		"AMQP":               {upgradeText(path, "AMQPWSB10"), "400 "},
		"no upgrade":         {"GET " + path + " HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", "400 "},
		"POST":               {strings.Replace(good, "GET", "POST", 1), "405 "},
		"another version":    {strings.Replace(good, "Version: 13", "Version: 8", 1), "400 "},
		"bad key":            {strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "short", 1), "400 "},
		"another path":       {upgradeText("/$iothub/websockets", "mqtt"), "404 "},
		"a path below":       {upgradeText(path+"/", "mqtt"), "404 "},
		"of devices":         {upgradeText("/devices/pump-1", "mqtt"), "401 "},
		"without patience":   {good + "\x82\x80\x00\x00\x00\x00", "broken"},
		"with a body before": {strings.Replace(good, "\r\n", "\r\nContent-Length: 4\r\n", 1) + "body", "broken"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTestHub(t, Options{})
				defer h.Close()
				w := &webClient{dial: func() net.Conn { return dialWeb(h) }}
				defer w.hangUp()
				a := w.exchange(c.text)
				got := a.why
				if a.status != 0 {
					got = fmt.Sprintf("%d %s", a.status, a.header.Get("Sec-WebSocket-Protocol"))
				}
				if got != c.want {
					t.Errorf("the answer is %s; want %s", got, c.want)
				}
			})
		})
	}
}

// TestWebSocketFrames: packets are a stream, whatever frames they come in, and
// each packet of the hub is one binary message.
func TestWebSocketFrames(t *testing.T) {
	for _, piece := range []int{0, 1, 7} {
		synctest.Test(t, func(t *testing.T) {
			s := newWebStage(t, Options{})
			defer s.h.Close()
			d, err := s.h.AddDevice("pump-1")
			if err != nil {
				t.Fatal(err)
			}
			ws := s.upgrade()
			ws.piece = piece
			var b bytes.Buffer
			if err := connectAs(d, "test.hub").Write(&b); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the ends of frames are not those of packets
				if err := packets.NewControlPacket(packets.Pingreq).Write(&b); err != nil {
					t.Fatal(err)
				}
			}
			go func() { _, _ = ws.Write(b.Bytes()) }()
			for _, want := range []string{"CONNACK 0 present=false", "PINGRESP", "PINGRESP"} {
				kind, message, err := ws.ws.ReadMessage()
				if err != nil || kind != websocket.BinaryMessage {
					t.Fatalf("read kind %d, %v", kind, err)
				}
				p, err := packets.ReadPacket(bytes.NewReader(message))
				if err != nil || describePacket(p) != want || len(message) > 4 {
					t.Errorf("read %v, %v; want %s in a message of its own", p, err, want)
				}
			}
		})
	}
}

// TestHostileWebSocket: none of this does more than end its own connection.
func TestHostileWebSocket(t *testing.T) {
	masked := func(first byte, body string) string { // with a mask of zeros
		return string([]byte{first, 0x80 | byte(len(body)), 0, 0, 0, 0}) + body
	}
	cases := map[string]struct{ frames, want string }{
		"text":                   {masked(0x81, "hello"), "malformed packet: a WebSocket message that is not binary"},
		"not masked":             {"\x82\x02\xc0\x00", "websocket: bad MASK"},
		"a reserved bit":         {masked(0xc2, "x"), "websocket: RSV1 set"},
		"an unknown opcode":      {masked(0x83, "x"), "websocket: bad opcode 3"},
		"a continuation first":   {masked(0x80, "x"), "websocket: continuation after FIN"},
		"a huge frame":           {"\x82\xff" + string(binary.BigEndian.AppendUint64(nil, 1<<62)) + "\x00\x00\x00\x00", "no CONNECT in time"},
		"a negative length":      {"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "websocket: "},
		"empty frames":           {strings.Repeat(masked(0x82, ""), 1000), "no CONNECT in time"},
		"pings only":             {strings.Repeat(masked(0x89, "x"), 100), "no CONNECT in time"},
		"a fragmented ping":      {masked(0x09, "x"), "websocket: FIN not set on control"},
		"a packet without bound": {masked(0x82, "\x10\xff\xff\xff\x7f"), "malformed packet: "},
		"close":                  {masked(0x88, "\x03\xe8bye"), "closed by the device without DISCONNECT"},
		"close within a packet":  {masked(0x82, "\x10") + masked(0x88, "\x03\xe8"), "unexpected EOF"},
		"nothing":                {"", "no CONNECT in time"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTestHub(t, Options{})
				defer h.Close()
				w := &webClient{dial: func() net.Conn { return dialWeb(h) }}
				defer w.hangUp()
				if a := w.exchange(upgradeText("/$iothub/websocket", "mqtt")); a.status != 101 {
					t.Fatalf("the upgrade gave %+v", a)
				}
				_ = w.nc.SetDeadline(time.Time{})
				go func() { _, _ = io.WriteString(w.nc, c.frames) }()
				_, _ = io.Copy(io.Discard, w.nc) // until the hub closes
				synctest.Wait()
				events := h.Events()
				if last := events[len(events)-1]; last.Kind != KindClosed || !strings.HasPrefix(last.Text, c.want) {
					t.Errorf("it ended with %v; want %q", last, c.want)
				}
			})
		})
	}
}

// TestServeEndsStalled: a connection that a fault has made deaf ends with serving.
func TestServeEndsStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.Close()
		d, err := h.AddDevice("pump-1")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Inject(Fault{Packet: PacketConnect, Effect: Stall}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ln := &pipes{dialled: make(chan net.Conn)}
		served := make(chan error, 1)
		go func() { served <- h.Serve(ctx, ln) }()
		near, far := net.Pipe()
		defer near.Close()
		ln.dialled <- far
		if err := write(near, connectAs(d, "test.hub")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve gave %v", err)
		}
	})
}
