// Package persist is the agent's memory across power loss: the journal of
// commands, outcomes, leases and reports, in a bbolt file and a log in front of it.
//
// # Promises
//
// A Commit that returned nil is on the disk: an entry of the log, one write and one
// fdatasync. When the log is full, and at start and stop, what it holds becomes one
// commit of bbolt's and it begins anew; a start does again what only the log has.
// An outcome and its report are written by one method, so no power
// cut can part them. After any other answer of Commit nobody can know whether
// the batch is there; the journal then refuses every further call, and the agent
// makes its outputs safe and exits: the next start goes by what the disk says.
// What is held in memory (counters, link facts, history) follows the commit and
// never precedes it.
//
// What is read back is proven. Every value ends in a CRC-32C over its table, its
// key and itself, and a sum over all of them is part of each transaction, so a
// page that is torn, swapped, zeroed or left behind from an earlier commit is
// found when the file is checked at start. So is an entry of the log that is damaged
// or gone while a later one is there. A file whose content is bad is set
// aside (kept beside the journal, one copy) and counts as a loss of history. A
// file that is locked, unreadable, of a newer schema, or of a disk that answers
// with errors is left exactly as it is.
//
// Beside it, and independent of it, is the file of what people have disabled (see
// [Disabled]).
//
// What no check can find: a card that loses its newest commits whole and
// without a trace, because it says "flushed" and lies. Then the journal is
// a true picture of a moment further back. The same goes for damage that takes the
// log's last entry, or its last ones together, and none before: it cannot be told from
// a write that the power cut tore.
//
// # What power loss does
//
// Nothing to what was committed. During a commit: all of the batch or nothing; an
// entry begins on a page of its own, so a torn one hurts none before it.
// While the file is being made: it is made under another name, synced and
// renamed, so a half-made journal is never seen. While a bad one is being
// replaced: the copy set aside is there first, and a journal that is missing
// beside it is a loss, not a first start.
//
// # What it costs
//
// A page of 4 KiB and one flush a commit, a page more for each few commands in the
// batch: milliseconds on a good SD card, tens on a worn one. One commit in a hundred
// or so is bbolt's, with two flushes and a few pages for each command since the last:
// 4 MB at the worst, with 100 000 commands remembered (go test -bench Commit prints the
// mean; Stats counts the bytes). So it is called at the edges of a command's life,
// never for a reading. Opening costs a check of the whole file in a child process.
//
// The file reserves 16 MiB when it is made, so that a disk filled by others does not
// stop the agent, and never grows much beyond 64 MiB; its log takes half a megabyte.
// What the log holds has its place reserved in the file: while that cannot be had,
// because the file is near its limit or the disk is full, every commit is bbolt's.
//
// # Who may call it
//
// One goroutine, package agent's loop. A Journal has no lock of its own: a
// second caller would be a fault in the design, not a race to be papered over.
package persist
