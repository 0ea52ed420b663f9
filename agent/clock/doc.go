// Package clock is the agent's time: an offset on the monotonic clock, and
// whether it can be trusted. It is pure: every reading is handed in.
//
// A board without a battery wakes in 1970, or at the hour it was switched off,
// and is put right minutes later or never. So the kernel's time is taken as a
// guess at the start, never below a floor (the build's date, the last trusted
// time in the journal), and from then on our time goes by the monotonic clock
// alone until somebody who knows it says what it is:
//
//   - the kernel, while it says that it is synchronised (adjtimex without
//     STA_UNSYNC: an NTP client has told it so). Then its time is ours, always.
//   - the hub, by the Date of a connection that was fully verified. The kernel
//     beats it while it is synchronised.
//
// Everybody else is ignored. In particular a kernel whose clock is set while it
// says "not synchronised" changes nothing here, neither forward nor back: an
// administrator's date -s, a late driver of an RTC whose battery is empty, a program
// that means well. Who sets the time by hand starts the agent again, which takes
// the kernel's time as its guess.
//
// # Promises
//
// While it is not trusted our time is never below the floor. Once trusted it stays
// trusted: what was right and goes on by the monotonic clock is right to some
// seconds a day. It never runs backwards but at a step, which is a jump of 2 s or
// more and is reported to the caller: ages, tokens and certificates that were
// judged before it may be judged wrong. Where the kernel is less than that behind
// us (a leap second), our time stands still until it has caught up.
//
// What it cannot know: a verified Date has whole seconds and has travelled, so a
// time from the hub is behind by up to a second and the answer's way; what differs
// by less than 2 s is let be. A monotonic clock that stands still while the board
// sleeps (CLOCK_MONOTONIC does) leaves us behind until the next who knows.
//
// # What it costs
//
// Some additions. Nothing is kept over a power cut: the caller writes the last
// trusted time now and then, and hands it back as the floor.
package clock
