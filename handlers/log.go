package handlers

import "actuatord/agent/command"

// logCommand makes a foreign payload the command "log". Nothing in it was
// understood, so nothing is taken from it: no id, no date.
func logCommand(payload []byte) command.Command {
	c := command.Command{Target: logWord, Action: logWord, Address: -1, Text: string(payload)}
	c.Fingerprint = command.FingerprintOf(c)
	return c
}

// planLog plans to write the payload into the log: repeatable, no target, no
// age limit. The text is the sender's, byte for byte; the log must quote it.
func planLog(c command.Command) command.Plan {
	return command.Plan{Op: command.Op{Kind: command.OpLog, Target: logWord, Text: c.Text}}
}
