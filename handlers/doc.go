// Package handlers says what each command means: a message's payload becomes a
// command, and a command becomes a plan. It cannot act: it holds no pin, no
// file and no clock, so a new command can be wrong but cannot move anything.
//
// # Promises
//
// [Table.Decode] reads any bytes at all without a panic, in time and memory
// linear in their number, and never takes more than [MaxPayload] of them. It
// is stricter than encoding/json, because a command that two readers would
// understand differently must not move a machine: names are matched with their
// case, no field may be there twice or be null, nothing may follow the object.
//
// [Table.Plan] checks everything that can be known before the board is asked.
// Every refusal has a stable reason for the back end's program and one sentence
// for its developer: what was wrong, quoted and cut short with its control
// characters escaped, and what would be right.
//
// # What it costs, and who may call it
//
// A few microseconds a command. A Table never changes after [New]; any
// goroutine may use it. Nothing is kept between calls, so a loss of power costs
// nothing here: the same payload is planned again, with a toggle fixed anew to
// the level of that moment.
//
// # Reading it
//
// decode.go walks the JSON; fields.go reads one field each; table.go finds the
// target; output.go, level.go, register.go and log.go hold one kind of target
// each.
package handlers
