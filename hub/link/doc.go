// Package link decides how and when the hub is reached, as a pure machine.
// Nothing here dials, sleeps or reads a clock: [Machine.Step] takes what
// happened and the time it happened, and answers what must now be done; package
// agent does it and feeds back what came of it. [Machine.Next] says when to
// come again with a [Tick].
//
//	        Start              Connected
//	idle ──────────▶ connecting ────────▶ up
//	                  ▲  │ Refused,        │ Lost
//	             Tick │  ▼ Lost            ▼
//	                 waiting ◀──────────────
//	                  ▲  renewal: no wait  │ token old, or Stop
//	                  └───── leaving ◀─────┘
//	                            └──▶ stopped
//
// # Promises
//
// At most one connection is asked for at a time: the hub lets the newer of two
// win, so a second one would take over our own. There is always a next attempt
// unless the machine was stopped: whatever the hub said, it only changes how
// long the wait is. Waits are drawn at random (full jitter above a floor of
// 1 s), so that a fleet that lost its hub together does not come back together.
// The same seed and the same inputs give the same answers.
//
// # Cost and power loss
//
// A step allocates at most one small slice. Nothing is kept over a restart: the
// first attempt after one is immediate.
//
// Only MQTT on port 8883 is on the ladder so far. [Rung] and the sealed [Action]
// are where WebSocket, drains and polls will go.
package link
