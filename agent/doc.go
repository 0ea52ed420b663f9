// Package agent is the loop: one goroutine that owns commands, journal and
// settlement, and performs what the pure machines ask for.
//
// # Promises
//
// A message is completed only behind the commit that says it was done; what is
// known to be done is never done again. Commands are carried out one at a time,
// in the order in which their messages arrived. Outcome and report become
// durable in one transaction. An error of the journal ends the loop: nobody
// knows then what is on disk, so the outputs go safe and a new process reads it.
//
// # Who does what
//
// Messages wait in line (commands.go), one is in hand. What it came to waits in
// pending (pending.go) for the next commit, so that deliveries already waiting
// share one; behind the commit the settlements leave. The uplink (uplink.go)
// does what package link says, and so does the drain (drain.go), one HTTPS visit to
// the queue; the outbox (outbox.go) sends reports, one at a time. While the journal
// cannot be opened none of this is there: storage.go waits, and tells the hub so.
// Network calls run in goroutines of their own and send the loop a function to run;
// nothing else crosses.
//
// # What it costs
//
// One commit (one flush) for a repeatable command, two for a once-only one,
// fewer when several wait; a report's confirmation rides on a later commit.
//
// # Power loss
//
// What was not committed did not happen as far as the hub knows: it delivers
// again. A once-only command is written as started before its first edge, so a
// cut behind that is found and reported as interrupted at the next start.
package agent
