// Package board keeps outputs, levels and registers under safe levels, leases and
// limits. It is the only way from the agent to hardware.
//
// # Promises
//
// Every output has a safe level. [Open] drives each one there before it
// returns, [Board.Close] drives each one there again, and in between no output
// stays away from it past its lease or max_on, whatever the rest of the process
// does: one goroutine, which does nothing else, owns the outputs and their
// timers. A command towards the safe level is never refused.
//
// A level ([PWM]) is an output that is on for a share of the time. It has one safe
// level like any other, and everything else is away from it: a lease and max_on count
// from when it left, however often the share is changed meanwhile.
//
// Unknown is a level of its own. Any error on a line makes its output unknown
// until it was driven safe; a safe drive that does not succeed is tried again
// each second, for ever. Unknown counts as on where an interlock asks. A pin that
// can lose its level behind our back ([Checked]) is asked every five seconds, and
// what is not as it was left trips: it is Unknown, driven safe, and told.
//
// An output with a permit leaves its safe level only while all of those inputs are
// active: they are asked right before the edge, and it is driven back the moment
// one of them is not, or cannot be read, however short that was. It does not come back
// by itself. What [Board.Disable] has taken out of use does not leave its safe level at
// all, and says so to what was on its way already.
//
// Every [Board.Do] is answered with exactly one [Result].
//
// # What it costs
//
// An operation on an output is one ioctl on the board's goroutine, and one more for
// each input of its permit; an input costs one a second besides. Buses may
// hang, so each has a goroutine of its own: a transaction that does not come
// back in time is answered as a timeout, holds up no lease, and keeps its own
// bus closed until it returns. The same holds for an output on an expander of the
// profile, whose driver (board/expander) bounds how long it is waited for. One
// behind an expander that a kernel driver has can hold the board's goroutine for as
// long as that driver waits; [Board.Ping] then goes unanswered, and the watchdog
// decides.
//
// # Power loss
//
// Nothing is stored here; what is disabled is package agent's to keep, and to say again
// before it asks for anything. After a power cut the levels are the wiring's until Open
// has run; leases are not resumed, they are cut. After the process died the
// levels are the kernel's: some kernels keep them, others make the lines
// inputs, so the wiring must pull to safe.
//
// Leases run on the monotonic clock. It stands still while a machine is
// suspended, which the boards this is made for do not do.
package board
