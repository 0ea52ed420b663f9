package mqtt

import (
	"cmp"
	"log/slog"
	"time"

	"actuatord/hub/dial"
)

// Limits that are not for the user to set.
const (
	// connectLimit bounds dialling, TLS and CONNECT together. The C SDK waits
	// 30 s for CONNACK alone; a slow board needs seconds for the handshake.
	connectLimit = time.Minute
	// writeLimit bounds one write. A peer that does not take a packet of some
	// kilobytes within it is gone; half would cut off a modem that changes cells.
	writeLimit = 20 * time.Second
	// pingLimit bounds the wait for PINGRESP; paho looks every 5 s.
	pingLimit = 20 * time.Second
	// drainLimit bounds how long Close waits for PUBACKs to be written.
	drainLimit = 5 * time.Second
	// hangUpLimit bounds the wait for the hub to close the connection behind
	// DISCONNECT: a slow round trip of a mobile link, and half of quiesce.
	hangUpLimit = time.Second
	// How long paho may take to write what it holds and DISCONNECT, in
	// milliseconds; and to notice that it need not, on a broken connection.
	quiesce, quiesceBroken = 2000, 250
	// maxTelemetry is the hub's bound on a device-to-cloud message, properties
	// included. A larger one would end the connection.
	maxTelemetry = 256 << 10
	// maxTopic is MQTT's bound. Paho would cut a longer topic without a word.
	maxTopic = 65535
	// maxKeepAlive is 1767 s / 1.5: the hub never waits longer than 29.45 min.
	maxKeepAlive = 1177 * time.Second
)

// Config says which hub to connect to, as whom, and within which bounds.
type Config struct {
	Host     string // the hub's name: part of the user name, and where to connect unless Gateway is set
	Gateway  string // "": Host; otherwise the name to connect to and to verify
	Port     int    // 0: 8883, or 443 with WebSocket
	DeviceID string

	// Road is how the connection is made, and whose certificates are believed.
	Road dial.Config

	// WebSocket has MQTT carried by wss://, for networks that let out nothing but
	// port 443.
	WebSocket bool

	// KeepAlive is the longest silence before a PINGREQ; 0: 60 s; at most
	// 1177 s. Whole seconds.
	KeepAlive time.Duration

	// Log gets what has nobody to be returned to: messages on foreign topics
	// and overflows. nil: nowhere.
	Log *slog.Logger

	// PacketLimit bounds an inbound packet, in bytes after the fixed header; 0:
	// 256 KiB. A message has at most 64 KiB with its properties, which escaping
	// in the topic can triple. A larger packet ends the session before any
	// memory is taken for it.
	PacketLimit int

	// Queue bounds the deliveries nobody has received yet; 0: 64. The hub keeps
	// at most 50 messages for a device, so that it overflows only if the same
	// are delivered again and again to an agent that does not look.
	Queue int
}

func (c Config) withDefaults() Config {
	c.Gateway = cmp.Or(c.Gateway, c.Host)
	if c.WebSocket {
		c.Port = cmp.Or(c.Port, 443)
	}
	c.Port = cmp.Or(c.Port, 8883)
	c.KeepAlive = min(max(cmp.Or(c.KeepAlive, time.Minute), time.Second), maxKeepAlive) // paho takes less than 1 s for none
	c.PacketLimit = cmp.Or(c.PacketLimit, 256<<10)
	c.Queue = cmp.Or(c.Queue, 64)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
