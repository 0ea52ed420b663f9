package localhub

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

// attacked is a hub in a bubble with m1 to m3 in the queue of pump-1, whose stored
// session is subscribed, and what became of it.
type attacked struct {
	*testing.T
	h      *Hub
	device Device
	token  string
	out    bytes.Buffer // what the attacked connection answered
}

// attack has serve take a connection on which parts come, each when nothing is left to
// be done about the one before; then its peer goes.
func attack(t *testing.T, o Options, serve func(*Hub, net.Conn), parts func(a *attacked) [][]byte, judge func(a *attacked)) {
	synctest.Test(t, func(t *testing.T) {
		a := &attacked{T: t, h: newTestHub(t, o)}
		defer a.h.Close()
		var err error
		if a.device, err = a.h.AddDevice("pump-1"); err != nil {
			t.Fatal(err)
		}
		a.token = hub.SignSAS("test.hub/devices/pump-1", a.device.Primary, "", time.Now().Add(time.Hour))
		a.talk((*Hub).ServeConn, [][]byte{a.packets(connectAs(a.device, "test.hub"), subscribePacket("pump-1"))})
		for n := 1; n <= 3; n++ {
			if _, err := a.h.Send("pump-1", hub.Message{ID: fmt.Sprint("m", n), Ack: "full", Body: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		a.out.Reset()
		if took := a.talk(serve, parts(a)); took > requestTime {
			t.Errorf("it was served for another %v", took)
		}
		judge(a)
		a.wantRecord()
	})
}

// talk answers how long it was served after its end.
func (a *attacked) talk(serve func(*Hub, net.Conn), parts [][]byte) time.Duration {
	near, far := net.Pipe()
	served, heard := make(chan struct{}), make(chan struct{})
	go func() {
		serve(a.h, far)
		close(served)
	}()
	go func() {
		_, _ = io.Copy(&a.out, near)
		close(heard)
	}()
	for _, part := range parts {
		go func() { _, _ = near.Write(part) }() // the hub may not read it
		synctest.Wait()
	}
	_ = near.Close()
	gone := time.Now()
	<-served
	<-heard
	return time.Since(gone)
}

func (a *attacked) packets(ps ...packets.ControlPacket) []byte {
	var b bytes.Buffer
	for _, p := range ps {
		if err := p.Write(&b); err != nil {
			a.Fatal(err)
		}
	}
	return b.Bytes()
}

func subscribePacket(id string) packets.ControlPacket {
	return &packets.SubscribePacket{FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, MessageID: 1, Topics: []string{hub.DeviceboundFilter(id)}, Qoss: []byte{1}}
}

// ends counts the messages that ended, and how many of them were completed.
func (a *attacked) ends() (ended map[string]int, completed int) {
	ended = map[string]int{}
	for _, e := range a.h.Events() {
		switch e.Kind {
		case KindCompleted:
			completed++
			fallthrough
		case KindDeadLettered:
			ended[e.ID]++
		}
	}
	return ended, completed
}

// wantRecord: each message ended once or is in the queue, each event is one line of
// bounded length, and the device can connect.
func (a *attacked) wantRecord() {
	a.Helper()
	ended, _ := a.ends()
	for _, m := range a.h.Queue("pump-1") {
		ended[m.Name]++
	}
	if len(ended) != 3 || ended["m1"] != 1 || ended["m2"] != 1 || ended["m3"] != 1 {
		a.Errorf("what became of the messages: %v", ended)
	}
	for _, e := range a.h.Events() {
		if line := e.String(); strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || e.Kind != KindTelemetry && len(line) > 1000 {
			a.Errorf("an event of %d bytes: %.200q", len(line), line)
		}
	}
	a.out.Reset()
	a.talk((*Hub).ServeConn, [][]byte{a.packets(connectAs(a.device, "test.hub"))})
	if p, err := packets.ReadPacket(&a.out); err != nil || !strings.HasPrefix(describePacket(p), "CONNACK 0 ") {
		a.Errorf("the next connection: %v, %v", p, err)
	}
}

// FuzzServeConn: whatever packets a peer sends, with a device's credentials or without,
// the hub answers in whole packets and goes on. Without them nothing is taken and
// nothing given out; with them no more is completed than was acknowledged.
func FuzzServeConn(f *testing.F) {
	f.Add([]byte{0x40, 2, 0, 2, 0x40, 2, 0, 3, 0xe0, 0}, true, uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, known bool, options uint8) {
		o := Options{IgnoreAckOrder: options&1 != 0, IgnoreLateAck: options&2 != 0, RedeliverOnExpiry: options&4 != 0, LocksOutliveConnection: options&8 != 0, Window: int(options >> 4)}
		parts := func(a *attacked) [][]byte {
			if !known {
				return [][]byte{b}
			}
			return [][]byte{a.packets(connectAs(a.device, "test.hub")), b}
		}
		attack(t, o, (*Hub).ServeConn, parts, func(a *attacked) {
			acks := 0
			for r := bytes.NewReader(b); ; acks++ {
				p, err := readPacket(r)
				if err != nil {
					break
				}
				if _, ok := p.(*packets.PubackPacket); !ok {
					acks--
				}
			}
			if _, completed := a.ends(); completed > acks || completed > 0 && !known {
				t.Errorf("%d were completed by %d PUBACKs", completed, acks)
			}
			for a.out.Len() > 0 {
				p, err := packets.ReadPacket(&a.out)
				if err != nil || strings.HasPrefix(describePacket(p), "unexpected") {
					t.Fatalf("the hub wrote %v, %v", p, err)
				}
				if _, given := p.(*packets.PublishPacket); given && !known {
					t.Errorf("given out: %v", p)
				}
			}
		})
	})
}

// FuzzServeWeb: whatever requests come, TOKEN being a device's, and whatever WebSocket
// frames behind an upgrade, the hub answers in HTTP first and goes on. Nothing is given
// out, taken or settled without a token.
func FuzzServeWeb(f *testing.F) {
	get := "GET /devices/pump-1/messages/devicebound?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\nAuthorization: TOKEN\r\n\r\n"
	f.Add([]byte(get+get), []byte{}, false)
	f.Add([]byte(upgradeText("/$iothub/websocket", "mqtt")), []byte{0x40, 2, 0, 2}, true)
	f.Fuzz(func(t *testing.T, request, rest []byte, framed bool) {
		known := framed || bytes.Contains(request, []byte("TOKEN"))
		parts := func(a *attacked) [][]byte {
			all := [][]byte{bytes.ReplaceAll(request, []byte("TOKEN"), []byte(a.token)), rest}
			if framed {
				all[1] = append(maskedFrame(a.packets(connectAs(a.device, "test.hub"))), maskedFrame(rest)...)
			}
			return all
		}
		attack(t, Options{}, (*Hub).ServeWebConn, parts, func(a *attacked) {
			if _, completed := a.ends(); !known && (completed > 0 || len(a.h.Queue("pump-1")) != 3) {
				t.Errorf("without a token %d are completed, and the queue is %+v", completed, a.h.Queue("pump-1"))
			}
			for _, e := range a.h.Events() {
				if !known && (e.Kind == KindTelemetry || e.Kind == KindDelivered) {
					t.Errorf("without a token: %v", e)
				}
			}
			if a.out.Len() == 0 {
				return
			}
			method, _, _ := strings.Cut(string(request), " ")
			resp, err := http.ReadResponse(bufio.NewReader(&a.out), &http.Request{Method: method})
			if err != nil {
				t.Fatalf("answered %v", err)
			}
			if body, err := io.ReadAll(resp.Body); err != nil && resp.StatusCode != http.StatusSwitchingProtocols || len(body) > 1<<16 {
				t.Errorf("answered %d with %d bytes, %v", resp.StatusCode, len(body), err)
			}
		})
	})
}

// maskedFrame is b as one binary message of a device, with a mask of zeros.
func maskedFrame(b []byte) []byte {
	head := binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, uint64(len(b)))
	return append(append(head, 0, 0, 0, 0), b...)
}
