package localhub

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

// TestChaosLosesNothing runs devices that acknowledge everything in order,
// over MQTT, WebSocket and HTTPS in turn, through a long day of random faults, for each of the hub's ways to behave.
// Afterwards every message has ended exactly once or is still queued; what was
// completed was received; and a day's worth of goroutines is gone.
func TestChaosLosesNothing(t *testing.T) {
	for name, o := range map[string]Options{
		"as the real hub": {},
		"redeliver":       {RedeliverOnExpiry: true, Window: 3},
		"ignore":          {IgnoreAckOrder: true, IgnoreLateAck: true},
		"locks stay":      {LocksOutliveConnection: true, Window: 1, FeedbackBatch: true},
	} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { chaos(t, o, rand.New(rand.NewPCG(seed, 1))) })
			})
		}
	}
}

func chaos(t *testing.T, o Options, r *rand.Rand) {
	o.Host = "test.hub"
	h := New(o)
	d, err := h.AddDevice("pump-1")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	dev := &steadyDevice{hub: h, device: d, stop: stop, received: map[string]bool{}}
	var done sync.WaitGroup
	done.Go(dev.run)

	sent := map[string]bool{}
	for i := range 200 {
		time.Sleep(time.Duration(r.IntN(20)) * time.Second)
		if r.IntN(3) == 0 {
			f := randomFault(r)
			if err := h.Inject(f); err != nil {
				t.Fatal(err)
			}
		}
		switch r.IntN(40) {
		case 0:
			h.Restart(time.Duration(r.IntN(5)) * time.Second)
		case 1:
			if err := h.ForgetSession("pump-1"); err != nil {
				t.Fatal(err)
			}
		}
		id := fmt.Sprint("m", i)
		if _, err := h.Send("pump-1", hub.Message{ID: id, Ack: "full"}); err == nil {
			sent[id] = true
		}
	}
	h.ClearFaults("")
	if err := h.Drop("pump-1"); err != nil { // out of a black hole
		t.Fatal(err)
	}
	time.Sleep(30 * time.Minute)
	close(stop)
	if err := h.Drop("pump-1"); err != nil {
		t.Fatal(err)
	}
	done.Wait()
	left := h.Queue("pump-1")
	h.Close()
	checkChaos(t, h.Events(), sent, left, dev.received)
}

func checkChaos(t *testing.T, events []Event, sent map[string]bool, left []QueuedMessage, received map[string]bool) {
	ended, feedback := map[string]Kind{}, map[string]Status{}
	struck, drained := 0, 0
	for _, e := range events {
		switch e.Kind {
		case KindCompleted, KindDeadLettered:
			if was, twice := ended[e.ID]; twice {
				t.Errorf("%s was %s and then %s", e.ID, was, e.Kind)
			}
			ended[e.ID] = e.Kind
			if e.Kind == KindCompleted && !received[e.ID] {
				t.Errorf("%s was completed and never received", e.ID)
			}
		case KindFeedback:
			if was, twice := feedback[e.ID]; twice {
				t.Errorf("feedback for %s twice: %s, %s", e.ID, was, e.Status)
			}
			feedback[e.ID] = e.Status
		case KindFault:
			struck++
		case KindDelivered:
			if e.Via == hub.HTTPS {
				drained++
			}
		}
	}
	if len(ended)+len(left) != len(sent) || len(feedback) != len(ended) {
		t.Errorf("%d sent, %d ended, %d left, %d fed back", len(sent), len(ended), len(left), len(feedback))
	}
	if struck < 10 || len(received) < 50 || drained == 0 {
		t.Errorf("only %d faults struck and %d messages came, %d over HTTPS: nothing was tested", struck, len(received), drained)
	}
}

func randomFault(r *rand.Rand) Fault {
	for {
		f := Fault{Packet: Packets()[r.IntN(len(Packets()))], Effect: Effects()[r.IntN(len(Effects()))], Skip: r.IntN(3)}
		switch f.Effect {
		case Delay:
			f.For = time.Duration(1+r.IntN(90)) * time.Second
		case BlackHole, Stall:
			f.For = time.Duration(1+r.IntN(200)) * time.Second
		}
		if f.check() == nil {
			return f
		}
	}
}

// steadyDevice connects for ever and acknowledges what comes, in order.
type steadyDevice struct {
	hub      *Hub
	device   Device
	stop     chan struct{}
	received map[string]bool
	visits   int
}

func (d *steadyDevice) run() {
	for {
		select {
		case <-d.stop:
			return
		case <-time.After(time.Second):
			d.visit()
		}
	}
}

// visit takes each way to the hub in turn, as a device with a bad link does.
func (d *steadyDevice) visit() {
	d.visits++
	serve := d.hub.ServeWebConn
	if d.visits%3 == 0 {
		serve = d.hub.ServeConn
	}
	near, far := net.Pipe()
	var served sync.WaitGroup
	served.Go(func() { serve(far) })
	defer served.Wait()
	defer near.Close()
	switch d.visits % 3 {
	case 0:
		d.session(near)
	case 1:
		if ws, why := dialWebSocket(near, 0); why == "" {
			d.session(ws)
		}
	case 2:
		d.drain(near)
	}
}

// drain receives and completes over HTTPS until there is nothing, or no answer.
func (d *steadyDevice) drain(near net.Conn) {
	c := &webClient{dial: func() net.Conn { return near }}
	headers := " HTTP/1.1\r\nHost: test.hub\r\nAuthorization: " +
		hub.SignSAS("test.hub/devices/pump-1", d.device.Primary, "", time.Now().Add(time.Hour)) + "\r\n"
	path := "/devices/pump-1/messages/devicebound"
	for {
		a := c.exchange("GET " + path + "?api-version=2021-04-12" + headers + "\r\n")
		if a.status != 200 {
			return
		}
		d.received[a.header.Get("iothub-messageid")] = true
		lock := strings.Trim(a.header.Get("ETag"), `"`)
		if c.exchange("DELETE "+path+"/"+lock+"?api-version=2021-04-12"+headers+"If-Match: "+lock+"\r\n\r\n").why != "" {
			return
		}
	}
}

func (d *steadyDevice) session(near net.Conn) {
	c := connectAs(d.device, "test.hub")
	s := &packets.SubscribePacket{FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, MessageID: 1,
		Topics: []string{hub.DeviceboundFilter("pump-1")}, Qoss: []byte{1}}
	if write(near, c) != nil || write(near, s) != nil {
		return
	}
	for {
		_ = near.SetReadDeadline(time.Now().Add(2 * time.Minute)) // a net.Pipe takes any deadline
		p, err := packets.ReadPacket(near)
		if err != nil {
			return
		}
		if p, ok := p.(*packets.PublishPacket); ok {
			m, err := hub.ParseDevicebound("pump-1", p.TopicName)
			if err != nil {
				return
			}
			d.received[m.ID] = true
			ack := &packets.PubackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Puback}, MessageID: p.MessageID}
			ping := packets.NewControlPacket(packets.Pingreq)
			if write(near, ack) != nil || write(near, ping) != nil {
				return
			}
		}
	}
}

func write(nc net.Conn, p packets.ControlPacket) error {
	_ = nc.SetWriteDeadline(time.Now().Add(time.Minute)) // as above
	return p.Write(io.Writer(nc))
}
