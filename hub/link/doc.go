// Package link decides how and when the hub is reached, as a pure machine.
// Nothing here dials, sleeps or reads a clock: [Machine.Step] takes what
// happened and the time it happened, and answers what must now be done; package
// agent does it and feeds back what came of it. [Machine.Next] says when to
// come again with a [Tick].
//
//	                 no SUBACK of late           Connected
//	idle ─▶ probing ─────────────▶ draining ─▶ connecting ─▶ up
//	  └────────────▶ connecting      ▲  │          │ Refused  │ Lost
//	                                 │  ▼          ▼          │
//	                     25 minutes  └─ waiting ◀─────────────┤
//	                                    ▲                     ▼
//	                          token old └─────────────── leaving ─▶ draining (settle visit)
//
// The ladder: MQTT on 8883, MQTT over WebSocket on 443, HTTPS polls. A closed
// road has the other rung tried before the round counts as failed; the rung that
// carried a stable session comes first in the next round and after a restart.
// [Drain] is one HTTPS visit to the queue, from its first GET to its last.
//
// # Promises
//
// At most one connection is asked for at a time: the hub lets the newer of two
// win, so a second one would take over our own; and none while a drain is open,
// nor a drain while there is one. There is always a next attempt: whatever the
// hub said, it only changes how long the wait is. Waits are drawn at random (full
// jitter above a floor of 1 s), so that a fleet that lost its hub together does
// not come back together. Polls are never nearer to each other than
// Policy.PollEvery, settle visits than Policy.VisitEvery (but for Policy.Rush urgent
// ones), whatever restarts and clocks do; without a stable session a poll is never further away than PollEvery
// and the minute by which polls are spread. Two things may put one off: what the
// hub asks for by Retry-After, and a drain of another kind. The same seed and the same inputs give the same answers.
//
// # Cost and power loss
//
// A step allocates at most one small slice. What must survive a restart comes in
// with [Start], and goes out with [OpenDrain], before the drain begins, and with
// [Machine.Good]: when the last poll and the last visit began, how many
// first-subscribe drains there were, which rung was good. The caller makes them
// durable; after power loss between the two nothing was asked of the hub.
package link
