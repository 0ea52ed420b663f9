package localhub

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

// client is a device's end of one connection, at the level of packets.
type client struct {
	nc net.Conn
	id uint16 // last packet id of SUBSCRIBE and PUBLISH

	mu    sync.Mutex
	lines []string
}

func dial(h *Hub) *client {
	near, far := net.Pipe()
	go h.ServeConn(far)
	return newClient(near)
}

func newClient(near net.Conn) *client {
	c := &client{nc: near}
	go func() {
		for {
			p, err := packets.ReadPacket(near)
			line := "closed"
			if err == nil {
				line = describePacket(p)
			}
			c.mu.Lock()
			c.lines = append(c.lines, line)
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return c
}

func (c *client) received() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := c.lines
	c.lines = nil
	return lines
}

func describePacket(p packets.ControlPacket) string {
	switch p := p.(type) {
	case *packets.ConnackPacket:
		return fmt.Sprintf("CONNACK %d present=%t", p.ReturnCode, p.SessionPresent)
	case *packets.SubackPacket:
		return fmt.Sprintf("SUBACK %d %x", p.MessageID, p.ReturnCodes)
	case *packets.UnsubackPacket:
		return fmt.Sprintf("UNSUBACK %d", p.MessageID)
	case *packets.PubackPacket:
		return fmt.Sprintf("PUBACK %d", p.MessageID)
	case *packets.PingrespPacket:
		return "PINGRESP"
	case *packets.PublishPacket:
		return fmt.Sprintf("PUBLISH qos=%d dup=%t packet=%d %s %s", p.Qos, p.Dup, p.MessageID, p.TopicName, p.Payload)
	}
	return fmt.Sprintf("unexpected %T", p)
}

// do sends one packet.
func (c *client) do(t *testing.T, h *Hub, verb string, args []string) string {
	o := parseOptions(args)
	var p packets.ControlPacket
	switch verb {
	case "connect":
		p = connectPacket(t, h, o)
	case "subscribe":
		c.id++
		p = &packets.SubscribePacket{FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, MessageID: c.id,
			Topics: []string{o.get("filter", hub.DeviceboundFilter("pump-1"))}, Qoss: []byte{o.get("qos", "1")[0] - '0'}}
	case "unsubscribe":
		c.id++
		p = &packets.UnsubscribePacket{FixedHeader: packets.FixedHeader{MessageType: packets.Unsubscribe, Qos: 1}, MessageID: c.id,
			Topics: []string{hub.DeviceboundFilter("pump-1")}}
	case "publish":
		c.id++
		p = &packets.PublishPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Qos: o.get("qos", "1")[0] - '0', Retain: o["retain"] != ""},
			MessageID: c.id, TopicName: o.get("topic", hub.FormatEvents("pump-1", hub.Telemetry{CorrelationID: o["cid"]})), Payload: []byte(o.plain(0))}
	case "puback":
		n, _ := strconv.ParseUint(o.plain(0), 10, 16)
		p = &packets.PubackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Puback}, MessageID: uint16(n)}
	case "ping":
		p = packets.NewControlPacket(packets.Pingreq)
	case "disconnect":
		p = packets.NewControlPacket(packets.Disconnect)
	case "hangup":
		_ = c.nc.Close()
		return ""
	case "raw":
		b, err := hex.DecodeString(o.plain(0))
		if err != nil {
			t.Fatal(err)
		}
		return c.write(b)
	default:
		t.Fatalf("unknown verb %s", verb)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return c.write(b.Bytes())
}

func (c *client) write(b []byte) string {
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Millisecond))
	switch _, err := c.nc.Write(b); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "the hub does not read"
	case err != nil:
		return "the connection is closed"
	}
	return ""
}

// connectPacket makes the CONNECT of an honest device, except for what o says.
func connectPacket(t *testing.T, h *Hub, o options) packets.ControlPacket {
	id := o.get("device", "pump-1")
	key := hub.NewSecret([]byte("unknown"))
	if d, err := h.AddDevice("pump-1"); err == nil && o["key"] != "wrong" {
		key = d.Primary
		if o["key"] == "secondary" {
			key = d.Secondary
		}
	}
	expiry := time.Now().Add(duration(t, o.get("token", "1h")))
	n, err := strconv.ParseUint(o.get("keepalive", "0"), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	p := &packets.ConnectPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Connect}, ProtocolName: o.get("protocol", "MQTT"), ProtocolVersion: o.get("level", "4")[0] - '0',
		CleanSession: o["clean"] != "", Keepalive: uint16(n), ClientIdentifier: o.get("client", id),
		UsernameFlag: true, Username: o.get("user", hub.Username(o.get("host", "test.hub"), id)),
		PasswordFlag: o["nopassword"] == "", Password: []byte(hub.SignSAS(o.get("resource", hub.Resource("test.hub", id)), key, o["policy"], expiry)),
	}
	if o["nopassword"] != "" {
		p.Password = nil
	}
	if o["will"] != "" {
		p.WillFlag, p.WillQos, p.WillTopic, p.WillMessage = true, o.get("willqos", "1")[0]-'0', o.get("willtopic", "devices/pump-1/messages/events/"), []byte(o["will"])
	}
	return p
}
