package handlers

import (
	"time"

	"actuatord/agent/command"
	"actuatord/board"
)

const (
	// minFor is the shortest time an output can be asked to spend away from
	// its safe level. It is near what a Linux timer on such a board can keep;
	// a request below it is taken for a wrong unit.
	minFor = time.Millisecond

	// maxPulse bounds a pulse, because a pulse holds up every later command
	// (design §5, Order). Longer times are leases: "on" with "for".
	maxPulse = 5 * time.Second
)

// planOutput plans "on", "off", "toggle" and "pulse". Only the first two are
// repeatable: doing them twice leaves the same level.
func planOutput(o board.Output, c command.Command, level LevelFunc) (command.Plan, *command.Refusal) {
	p := command.Plan{Touches: []string{o.Name}, MaxAge: o.MaxAge}
	var op command.Op
	var refusal *command.Refusal
	switch c.Action {
	case "on", "off":
		op, refusal = setOp(o, c)
		p.Away = op.On != o.SafeOn
	case "toggle":
		op, refusal = toggleOp(o, c, level)
		p.Away = op.On != o.SafeOn
		p.OnceOnly = true
	case "pulse":
		op, refusal = pulseOp(o, c)
		p.Away, p.OnceOnly = true, true
	default:
		refusal = unknownAction(c, "on", "off", "toggle", "pulse")
	}
	if refusal != nil {
		return command.Plan{}, refusal
	}
	p.Op = op
	return p, nil
}

func setOp(o board.Output, c command.Command) (command.Op, *command.Refusal) {
	op := command.Op{Kind: command.OpSet, Target: o.Name, On: c.Action == "on", For: c.For}
	if r := refuseOperands(c, "for"); r != nil {
		return op, r
	}
	if c.For == 0 {
		return op, nil
	}
	if op.On == o.SafeOn {
		return op, command.Refuse(command.BadValue, `"for" bounds the time away from the safe level, and "%s" is the safe level of "%s"; leave "for" out`, c.Action, o.Name)
	}
	return op, checkFor(o.Name, o.MaxOn, c.For)
}

// checkFor refuses a time that the target may not spend away from safe. A
// command made on this machine has not been through Decode.
func checkFor(name string, maxOn, d time.Duration) *command.Refusal {
	if d < minFor {
		return command.Refuse(command.OutOfRange, `"for" is %s; the shortest time is %s`, short(d), short(minFor))
	}
	if maxOn > 0 && d > maxOn {
		return command.Refuse(command.OverMaxOn, `"for" is %s, and "%s" may be on for at most %s (max_on)`, short(d), name, short(maxOn))
	}
	return nil
}

func toggleOp(o board.Output, c command.Command, level LevelFunc) (command.Op, *command.Refusal) {
	op := command.Op{Kind: command.OpSet, Target: o.Name}
	if r := refuseOperands(c); r != nil {
		return op, r
	}
	on, known := level(o.Name)
	if !known {
		return op, command.Refuse(command.LevelUnknown, `the level of "%s" is not known, so there is nothing to toggle from; send "on" or "off"`, o.Name)
	}
	op.On = !on
	return op, nil
}

func pulseOp(o board.Output, c command.Command) (command.Op, *command.Refusal) {
	op := command.Op{Kind: command.OpPulse, Target: o.Name, For: c.For}
	if r := refuseOperands(c, "for"); r != nil {
		return op, r
	}
	if c.For == 0 {
		return op, command.Refuse(command.BadValue, `a pulse of "%s" needs "for", %s to %s, such as "for":"200ms"`, o.Name, short(minFor), short(maxPulse))
	}
	if c.For > maxPulse {
		away := "on"
		if o.SafeOn {
			away = "off"
		}
		return op, command.Refuse(command.OutOfRange, `"for" is %s, and a pulse lasts %s to %s; for longer send "%s" with "for"`, short(c.For), short(minFor), short(maxPulse), away)
	}
	return op, checkFor(o.Name, o.MaxOn, c.For)
}
