// Package judge finds out whether actuatord kept its promises in a run of
// test/torture. It knows nothing of the product but the documents: it reads what
// was sent, what the hub recorded, what the boards' traces say moved, and when
// the kernel said that a process began and ended.
//
// # What it calls a fault
//
//   - lost: a message that has no end on the hub when the run is over; or one that a
//     device completed or rejected without ever reporting an outcome; or a number
//     missing in the reports' seq.
//   - duplicated: a once-only command (toggle, pulse, a write to a register that is
//     not repeatable) with a second first edge; a repeatable one that moved again
//     although no process ended since; anything that moved after its completion; a
//     second outcome for one command.
//   - out of order: see below.
//   - early: a message that was completed before what it asks for was in the trace.
//   - false answer: completed without the outcome done; rejected without one of
//     refused, interrupted and failed; done without the movement; refused although
//     it moved; an outcome that nothing about the command explains.
//   - late: a movement after the command's expiry or its target's max_age.
//   - unsafe: an output away from its safe level longer than its lease or max_on
//     while its daemon ran, or beyond the start of the next one.
//
// A hub itself rejects what waits when a subscription is made: a Rejected that
// meets a message which no one holds is its own answer, and is only counted.
//
// # Order
//
// Two messages A and B that moved the same target are out of order if the last
// delivery of A before A moved came before the first delivery of B, and yet B moved
// first. What was delivered to a process that then died, or over a connection that
// lost it, is delivered again before it moves, so it is that later delivery which
// counts: nobody promises an order across those.
//
// # Time
//
// The hub, the boards and the judge share one machine's clock, so times are
// compared as they are. Where the device's own clock matters (lateness) 2.5 s are
// granted: it corrects itself by steps of 2 s, and a Date has whole seconds. A
// timer may be late by a second, since the machine is shared; a process has 5 s
// from its start to make an output safe, and from its stop likewise (design §2). A
// killed process moves nothing: the time until the next one starts is nobody's.
//
// A record of emulated devices may grant them more (Record.Slack). A bus that has a
// second for a transfer may then be too slow as well: a register write that was
// reported with several attempts, or with the reason timeout, was what it says.
//
// # Identity
//
// All messages of a device with one key (the message id, else the body's id, else
// the body's hash) and one meaning (target, action, operands) are one command,
// and are done once. The trace names a command by its message id, or by "b:" and
// the body's id, or "h:" and the SHA-256 of the body. A report is matched by message
// id, body id, or the number in meta, n, that the sender gives to each message
// without an id. What has none of the three is only counted.
//
// Nothing here outlives a call; power loss means nothing to it.
package judge
