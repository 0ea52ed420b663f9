// Package config turns the one configuration file into a valid immutable
// [Config], or into the full list of what is wrong with it.
//
// # Promises
//
// A Config that [Parse] gives needs no further check: every value is in range,
// every unit resolved, every default filled in, and the board's profile passes
// its own rules. Otherwise all faults come in one error, sorted, each with its
// line, key, value and the rule it broke; only a file that is no TOML at all
// gives just that fault. Unknown keys are faults: a misspelt max_on must not
// quietly mean "for ever". What is allowed but unwise is in Config.Warnings.
//
// No error ever shows a secret. People paste connection strings into wrong
// places, so values that look like one are hidden.
//
// [Outputs] and [LoadOutputs] serve `actuatord safe`, which must do what it can
// with a file that somebody broke while the daemon ran: they give every output
// whose line, polarity and safe level are beyond doubt.
//
// # What it costs, and who may call it
//
// One read of at most 64 KiB at start. There is no state: any goroutine may
// call anything. Nothing is written, so a loss of power costs nothing.
//
// # Reading it
//
// config.go is the value; tree.go gives every key its line; section.go reads
// keys by their rules; agent.go and profile.go hold the rules; salvage.go reads
// broken files; credential.go reads the connection string.
package config
