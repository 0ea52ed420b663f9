// Package mqtt carries one session with an IoT Hub: CONNECT, deliveries, PUBACKs
// and telemetry over MQTT 3.1.1, on TLS (port 8883) or on a WebSocket (port 443)
// along the road that hub/dial makes. A [Session] is made by [Connect], ends once
// and is never used again; package hub/link decides when to make the next.
//
// # Promises
//
// A delivery is acknowledged only after [Session.Complete], and PUBACKs leave
// strictly in the order of receipt, as MQTT demands and the hub enforces. What
// was not completed when the session ends stays on the hub. Complete for a
// delivery of another session, or one that came again in the meantime, does
// nothing: packet ids are reused by the hub and never leave this package.
//
// [Session.Publish] returns nil only if the PUBACK of this very session came.
// Any other return means: perhaps the hub has it, perhaps not; send it again.
//
// A session that does not work ends: within keep-alive plus 30 s if the peer
// fell silent, within 20 s of a write that the peer does not take. Whatever the
// peer sends, memory stays bounded (Config.PacketLimit and Config.Queue). All
// this holds over both transports.
//
// [Probe] sends no byte of MQTT, so the hub does not take it for the device: no
// session of ours is ended by it and no message touched.
//
// # What it costs
//
// About a dozen goroutines while a session stands, nearly all of them paho's. A
// delivery costs its body, its topic and one map. A WebSocket adds 8 KiB of
// buffers, and to each packet 6 to 14 bytes of ours and 2 to 10 of the hub's.
// Nothing is written to disk; after power loss the hub delivers again what was not
// acknowledged.
//
// # How paho is used
//
// One client per session, without its reconnecting, its stores and its
// automatic acknowledgement. Below it sits a connection of ours (guard) that
// reads every frame's header before paho does, because paho allocates whatever
// length a peer claims, panics on a SUBACK with too many codes, and takes an
// unknown CONNACK code for success; and that gives every write a deadline,
// because paho gives one to PUBLISH only. Paho's own WebSocket is not used: it
// bounds neither the answer to the upgrade nor a message, takes a text for a
// packet, and gives up the connection when a pong cannot be written within 1 s.
//
// One goroutine of ours hands PUBACKs to paho, since Message.Ack may block.
package mqtt
