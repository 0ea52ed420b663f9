// Package command is the life of one command, as a pure machine, and the
// vocabulary of what is kept and told about it.
//
// Nothing here reads a clock, a disk or a pin. [Step] takes what happened and
// when, and answers with duties; package agent performs them in the order given
// and feeds back what came of it. Same inputs, same answer: a test can walk
// every path in microseconds.
//
//	            Look          MakePlan       WriteStart         Act
//	Arrived ──────────▶ Looking ──▶ Planning ──▶ Starting ──▶ Acting ◀─▶ Waiting
//	                      │            │            │           │          │
//	                      │ seen       │ refused    │ late      │ outcome  │ late
//	                      ▼            ▼            ▼           ▼          ▼
//	                   settle       ───────── WriteOutcome, then settle ─────────
//
// # Promises
//
// The first edge of a once-only plan is attempted only after WriteStart is
// durable, and never under a record that says it was attempted before.
// Expiry and age are judged at the moment Act is asked for, each time it is.
// Complete is asked for only behind a record that says Done. What a record has
// once said of a key it says for ever, but for two ways back to Planning: a
// repeatable command that a stop interrupted, and a failed one that the hub
// was asked to hand out again.
//
// # Power loss
//
// A Life is lost with the power; the record is what is left. A record that says
// Started is resolved by [Recover] before any message is looked at.
package command
