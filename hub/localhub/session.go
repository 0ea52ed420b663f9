package localhub

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"actuatord/hub"
)

// MQTT as IoT Hub speaks it. Everything here runs under the Hub's mutex, except
// take, meet and handle, which take it. A non-empty answer ends the connection
// and says why.

// CONNACK return codes of MQTT 3.1.1. The hub answers nearly everything with 5;
// a disabled device gets 3 (captures).
const (
	codeBadProtocol   = 1
	codeBadID         = 2
	codeUnavailable   = 3
	codeNotAuthorized = 5
)

// take applies a fault to a packet from the device and acts on what is left.
func (c *conn) take(p packets.ControlPacket) (why string) {
	f := c.meet(p)
	switch f.Effect {
	case DropBefore:
		return "fault: " + f.String()
	case Swallow, BlackHole, Stall:
		return ""
	case Delay:
		c.wait(f.For)
	}
	return c.handle(p, f)
}

// meet finds the fault that a packet from the device meets.
func (c *conn) meet(p packets.ControlPacket) Fault {
	c.h.mu.Lock()
	defer c.h.unlock()
	if p, ok := p.(*packets.ConnectPacket); ok && c.dev == nil {
		c.name = p.ClientIdentifier
	}
	f := c.h.strike(c, kindOf(p))
	if f.Effect == BlackHole || f.Effect == Stall {
		c.hush(f)
	}
	return f
}

// strike finds the fault that a packet of c meets and records it.
func (h *Hub) strike(c *conn, p Packet) Fault {
	f, struck := h.faults.strike(c.name, p)
	if struck {
		h.add(Event{Kind: KindFault, Device: c.name, Text: f.String()})
	}
	return f
}

// kindOf names a packet from the device.
func kindOf(p packets.ControlPacket) Packet {
	switch p.(type) {
	case *packets.ConnectPacket:
		return PacketConnect
	case *packets.PublishPacket:
		return PacketTelemetry
	case *packets.PubackPacket:
		return PacketPuback
	case *packets.SubscribePacket:
		return PacketSubscribe
	case *packets.UnsubscribePacket:
		return PacketUnsubscribe
	case *packets.PingreqPacket:
		return PacketPing
	case *packets.DisconnectPacket:
		return PacketDisconnect
	}
	return ""
}

// handle acts on one packet. If that ends the connection, it does so before
// anything else is delivered on it.
func (c *conn) handle(p packets.ControlPacket, f Fault) (why string) {
	h := c.h
	h.mu.Lock()
	defer h.unlock()
	now := time.Now()
	if c.ended {
		return "ended"
	}
	why = c.dispatch(p, f, now)
	if why == "" && f.Effect == DropAfter {
		why = "fault: " + f.String()
	}
	if why != "" {
		h.end(c, why)
	}
	if c.dev != nil {
		h.follow(c.dev, now)
	}
	return why
}

func (c *conn) dispatch(p packets.ControlPacket, f Fault, now time.Time) (why string) {
	connect, first := p.(*packets.ConnectPacket)
	switch {
	case first && c.dev != nil:
		return "second CONNECT"
	case first:
		return c.connect(connect, f, now)
	case c.dev == nil:
		return "first packet is not CONNECT"
	}
	switch p := p.(type) {
	case *packets.SubscribePacket:
		return c.subscribe(p, f)
	case *packets.UnsubscribePacket:
		return c.unsubscribe(p)
	case *packets.PublishPacket:
		return c.publish(p)
	case *packets.PubackPacket:
		return c.puback(p.MessageID, now)
	case *packets.PingreqPacket:
		c.send(PacketPong, packets.NewControlPacket(packets.Pingresp), nil)
		return ""
	case *packets.DisconnectPacket:
		c.will = nil
		return "device disconnected"
	}
	return "a packet that a device does not send"
}

// connect answers CONNECT.
func (c *conn) connect(p *packets.ConnectPacket, f Fault, now time.Time) (why string) {
	h := c.h
	switch code := p.Validate(); {
	case code == packets.ErrProtocolViolation || p.ProtocolName == "":
		return "CONNECT breaks the protocol"
	case code == packets.ErrRefusedBadProtocolVersion || p.ProtocolVersion != 4:
		return c.refuse(codeBadProtocol, fmt.Sprintf("protocol %s level %d; wanted is MQTT 3.1.1", p.ProtocolName, p.ProtocolVersion))
	case code == packets.ErrRefusedIDRejected:
		return c.refuse(codeBadID, "client id is empty")
	case f.Effect == Refuse:
		return c.refuse(cmp.Or(byte(f.Code), codeUnavailable), "fault: "+f.String())
	}
	d, expiry, why := h.authenticate(p.ClientIdentifier, p.Username, string(p.Password), now)
	if why != "" {
		return c.refuse(codeNotAuthorized, why)
	}
	if d.disabled {
		return c.refuse(codeUnavailable, "device is disabled")
	}
	if why := c.keepWill(d, p); why != "" {
		return why
	}
	if d.conn != nil {
		h.end(d.conn, "another connection of this device took over (400027)")
	}
	if p.CleanSession || f.Effect == Forget {
		d.session = nil
	}
	present := d.session != nil
	if !present {
		d.session = &session{clean: p.CleanSession}
	}
	d.conn, c.dev = c, d
	c.tokenEnd = expiry.Add(h.options.TokenGrace)
	c.silence = silence(p.Keepalive)
	text := "session=new"
	if present {
		text = "session=present"
	}
	h.add(Event{Kind: KindConnected, Device: d.ID, Text: text, WebSocket: c.nc != c.below})
	ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	ack.SessionPresent = present
	c.send(PacketConnack, ack, nil)
	return "" // what a stored session waits for follows at once
}

// refuse answers CONNECT with a code, after which the connection is closed.
func (c *conn) refuse(code byte, why string) string {
	c.h.add(Event{Kind: KindRefused, Device: c.name, Code: code, Text: why})
	ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	ack.ReturnCode = code
	c.send(PacketConnack, ack, nil)
	c.last = true
	return ""
}

// keepWill stores the will, which becomes telemetry when the connection breaks.
func (c *conn) keepWill(d *device, p *packets.ConnectPacket) (why string) {
	if !p.WillFlag {
		return ""
	}
	if p.WillQos > 1 {
		return "QoS 2 is not supported"
	}
	t, err := hub.ParseEvents(d.ID, p.WillTopic)
	if err != nil {
		return "will: " + err.Error()
	}
	t.Body = p.WillMessage
	setProperty(&t, "iothub-MessageType", "Will")
	c.will = &t
	return ""
}

func setProperty(t *hub.Telemetry, key, value string) {
	if t.Properties == nil {
		t.Properties = map[string]string{}
	}
	t.Properties[key] = value
}

// The hub closes a connection that was silent for 1.5 × keep-alive, and never
// later than 29.45 min: what the load balancer before it allows (Microsoft's
// MQTT page). No keep-alive counts as the longest.
const (
	longestKeepAlive = 1177 // seconds
	longestSilence   = 1767 * time.Second
)

func silence(keepAlive uint16) time.Duration {
	if keepAlive == 0 || keepAlive > longestKeepAlive {
		return longestSilence
	}
	return time.Duration(keepAlive) * 1500 * time.Millisecond
}

// subscribe answers SUBSCRIBE. Only the device's own messages can be subscribed
// to; the local hub has no twin and no methods.
func (c *conn) subscribe(p *packets.SubscribePacket, f Fault) (why string) {
	d, filter := c.dev, hub.DeviceboundFilter(c.dev.ID)
	ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	ack.MessageID = p.MessageID
	if len(p.Topics) == 0 || p.MessageID == 0 {
		return "SUBSCRIBE breaks the protocol"
	}
	for i, topic := range p.Topics {
		switch {
		case topic != filter:
			return fmt.Sprintf("topic filter %q is not supported; there is %q", topic, filter)
		case p.Qoss[i] > 2:
			return "SUBSCRIBE breaks the protocol"
		case f.Effect == Refuse:
			ack.ReturnCodes = append(ack.ReturnCodes, 0x80)
			continue
		}
		s := d.session
		if !s.subscribed { // a repeated SUBSCRIBE does not make it younger
			s.subscribed, s.after = true, d.queue.last
		}
		s.qos = min(p.Qoss[i], 1)
		ack.ReturnCodes = append(ack.ReturnCodes, s.qos)
		c.h.add(Event{Kind: KindSubscribed, Device: d.ID, Text: topic})
	}
	c.send(PacketSuback, ack, nil)
	return ""
}

func (c *conn) unsubscribe(p *packets.UnsubscribePacket) (why string) {
	if len(p.Topics) == 0 || p.MessageID == 0 {
		return "UNSUBSCRIBE breaks the protocol"
	}
	for _, topic := range p.Topics {
		if topic == hub.DeviceboundFilter(c.dev.ID) {
			c.dev.session.subscribed = false
			c.h.add(Event{Kind: KindUnsubscribed, Device: c.dev.ID, Text: topic})
		}
	}
	ack := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
	ack.MessageID = p.MessageID
	c.send(PacketUnsubscribeAck, ack, nil)
	return ""
}

// publish takes telemetry.
func (c *conn) publish(p *packets.PublishPacket) (why string) {
	switch {
	case p.Qos > 1:
		return "QoS 2 is not supported"
	case p.Qos == 1 && p.MessageID == 0:
		return "PUBLISH breaks the protocol"
	case len(p.Payload) > maxTelemetry:
		return fmt.Sprintf("telemetry of %d bytes; %d are allowed", len(p.Payload), maxTelemetry)
	}
	t, err := hub.ParseEvents(c.dev.ID, p.TopicName)
	if err != nil {
		return "telemetry: " + err.Error()
	}
	t.Body = p.Payload
	if p.Retain { // not retained; the property says that it was asked for
		setProperty(&t, "mqtt-retain", "true")
	}
	c.h.add(Event{Kind: KindTelemetry, Device: c.dev.ID, Telemetry: t})
	if p.Qos == 1 {
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		c.send(PacketTelemetryAck, ack, nil)
	}
	return ""
}

// puback completes the oldest unacknowledged delivery; any other is an error.
func (c *conn) puback(id uint16, now time.Time) (why string) {
	ignored := func(why string) string {
		c.h.add(Event{Kind: KindAckIgnored, Device: c.dev.ID, Packet: id, Text: why})
		return ""
	}
	if len(c.inflight) == 0 || c.inflight[0].packet != id {
		why := fmt.Sprintf("PUBACK %d is out of order", id)
		if len(c.inflight) > 0 {
			why += fmt.Sprintf("; %d is next", c.inflight[0].packet)
		}
		if c.h.options.IgnoreAckOrder {
			return ignored(why)
		}
		return why
	}
	f := c.inflight[0]
	c.inflight = c.inflight[1:]
	if err := c.dev.queue.complete(f.token, now); err != nil {
		why := fmt.Sprintf("PUBACK %d came too late: %v (412002)", id, err)
		if c.h.options.IgnoreLateAck {
			return ignored(why)
		}
		return why
	}
	return ""
}

// deliver sends what the window has room for.
func (c *conn) deliver(now time.Time) {
	q, s := &c.dev.queue, c.dev.session
	var skip func(uint64) bool
	if c.h.options.RedeliverOnExpiry {
		// What has lapsed leaves the window, to come back at its end.
		c.inflight = slices.DeleteFunc(c.inflight, func(f flight) bool { return !q.holds(f.token) })
	} else {
		skip = func(seq uint64) bool { return c.delivered[seq] }
	}
	for s.subscribed && !c.ended && len(c.inflight) < c.h.options.Window {
		e, ok := q.receive(now, lockTime, skip)
		switch {
		case !ok:
			return
		case e.seq <= s.after:
			// The first-subscribe trap: what was sent before the subscription
			// existed is rejected, not delivered (field reports; the gateway).
			_ = q.reject(e.token, now) // cannot fail: received this instant
		default:
			c.publishMessage(e, now)
		}
	}
}

// publishMessage sends one message that was received from the queue.
func (c *conn) publishMessage(e entry, now time.Time) {
	d := c.dev
	c.delivered[e.seq] = true
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName = hub.FormatDevicebound(d.ID, e.message)
	p.Payload = e.message.Body
	p.Qos = d.session.qos
	event := Event{Kind: KindDelivered, Device: d.ID, ID: nameOf(e)}
	if p.Qos == 0 {
		// At most once: completed before it is sent, and sent only the first time.
		_ = d.queue.complete(e.token, now) // cannot fail: received this instant
		if e.deliveries == 0 {
			c.send(PacketDelivery, p, &event)
		}
		return
	}
	p.MessageID = uint16(e.seq&0x3fff) + 1 // as the gateway does: the same on redelivery
	p.Dup = e.deliveries > 0               // … and so 0 on most redeliveries
	event.Packet, event.Dup = p.MessageID, p.Dup
	c.inflight = append(c.inflight, flight{p.MessageID, e.token})
	c.send(PacketDelivery, p, &event)
}
