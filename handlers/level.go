package handlers

import (
	"actuatord/agent/command"
	"actuatord/board"
)

// planLevel plans "set". It is repeatable: done twice it leaves the same share.
func planLevel(w board.PWM, c command.Command) (command.Plan, *command.Refusal) {
	if c.Action != "set" {
		return command.Plan{}, unknownAction(c, "set")
	}
	if r := refuseOperands(c, "percent", "for"); r != nil {
		return command.Plan{}, r
	}
	switch {
	case c.Percent == nil:
		return command.Plan{}, command.Refuse(command.BadValue, `the action "set" of "%s" needs "percent", %s`, w.Name, wantPercent)
	case *c.Percent > command.Percent(board.Full):
		return command.Plan{}, command.Refuse(command.OutOfRange, `"percent" is %v; send %s`, *c.Percent, wantPercent)
	}
	away := *c.Percent != command.Percent(w.Safe)
	switch {
	case c.For != 0 && !away:
		return command.Plan{}, command.Refuse(command.BadValue, `"for" bounds the time away from the safe level, and %v is the safe level of "%s"; leave "for" out`, *c.Percent, w.Name)
	case c.For != 0:
		if r := checkFor(w.Name, w.MaxOn, c.For); r != nil {
			return command.Plan{}, r
		}
	}
	return command.Plan{
		Op:      command.Op{Kind: command.OpLevel, Target: w.Name, Percent: *c.Percent, For: c.For},
		Away:    away,
		Touches: []string{w.Name},
		MaxAge:  w.MaxAge,
	}, nil
}
