package handlers

import (
	"slices"

	"actuatord/agent/command"
	"actuatord/board"
)

// logWord is the target and the action of a payload that is only logged.
const logWord = "log"

// A LevelFunc gives an output's logical level at this moment; known is false
// where the board cannot tell.
type LevelFunc func(output string) (on, known bool)

// A Table knows the targets of one board and what can be asked of each. It
// never changes and needs no closing.
type Table struct {
	outputs   map[string]board.Output
	levels    map[string]board.PWM
	registers map[string]board.Register
	inputs    map[string]bool
	names     []string // of the targets, as configured, then "all"
	log       bool
}

// New makes the table of a board's profile. With logDefault, payloads that are
// no commands are logged instead of refused ([default] handler = "log").
func New(p board.Profile, logDefault bool) *Table {
	t := &Table{
		outputs: map[string]board.Output{}, levels: map[string]board.PWM{}, registers: map[string]board.Register{}, inputs: map[string]bool{}, log: logDefault,
	}
	for _, o := range p.Outputs {
		t.outputs[o.Name] = o
		t.names = append(t.names, o.Name)
	}
	for _, w := range p.Levels {
		t.levels[w.Name] = w
		t.names = append(t.names, w.Name)
	}
	for _, r := range p.Registers {
		t.registers[r.Name] = r
		t.names = append(t.names, r.Name)
	}
	for _, in := range p.Inputs {
		t.inputs[in.Name] = true
	}
	t.names = append(t.names, board.All)
	return t
}

// Plan says which operations c means on this board. It asks level only for a
// toggle, which is fixed to a level here: planned again after it moved, it
// would move back. The board checks interlocks, min_off and levels once more
// when the plan is carried out.
func (t *Table) Plan(c command.Command, level LevelFunc) (command.Plan, *command.Refusal) {
	if t.log && c.Target == logWord && c.Action == logWord {
		return planLog(c), nil
	}
	if c.Target == board.All {
		return t.planAll(c)
	}
	if o, ok := t.outputs[c.Target]; ok {
		return planOutput(o, c, level)
	}
	if w, ok := t.levels[c.Target]; ok {
		return planLevel(w, c)
	}
	if r, ok := t.registers[c.Target]; ok {
		return planRegister(r, c)
	}
	if t.inputs[c.Target] {
		return command.Plan{}, command.Refuse(command.UnknownTarget, `%s is an input: nothing can be done to it; {"target":"all","action":"read"} reports what it is`, quote(c.Target))
	}
	return command.Plan{}, command.Refuse(command.UnknownTarget, "there is no target %s; targets are %s", quote(c.Target), list(t.names))
}

// planAll plans what concerns the whole board. "safe" is the newest command of
// every target that has a safe level. It has no age limit: max_age belongs to a
// target, and the one way to safety that names none must not be closed by it.
func (t *Table) planAll(c command.Command) (command.Plan, *command.Refusal) {
	if c.Action != "safe" && c.Action != "read" {
		return command.Plan{}, unknownAction(c, "safe", "read")
	}
	if r := refuseOperands(c); r != nil {
		return command.Plan{}, r
	}
	if c.Action == "read" {
		return command.Plan{Op: command.Op{Kind: command.OpRead, Target: board.All}}, nil
	}
	p := command.Plan{Op: command.Op{Kind: command.OpSafe, Target: board.All}}
	for _, name := range t.names {
		_, isOutput := t.outputs[name]
		_, isLevel := t.levels[name]
		if isOutput || isLevel || t.registers[name].Safe != nil {
			p.Touches = append(p.Touches, name)
		}
	}
	return p, nil
}

func unknownAction(c command.Command, known ...string) *command.Refusal {
	return command.Refuse(command.UnknownAction, "%s has no action %s; its actions are %s", quote(c.Target), quote(c.Action), list(known))
}

// refuseOperands refuses every operand that c carries and its action does not
// take: a sender who wrote it expects it to have an effect.
func refuseOperands(c command.Command, takes ...string) *command.Refusal {
	for _, operand := range []struct {
		name  string
		given bool
	}{
		{"for", c.For != 0},
		{"percent", c.Percent != nil},
		{"register", c.Address >= 0},
		{"bytes", c.Bytes != nil},
	} {
		if operand.given && !slices.Contains(takes, operand.name) {
			return command.Refuse(command.BadValue, `the action "%s" of "%s" takes no "%s"; leave it out`, c.Action, c.Target, operand.name)
		}
	}
	return nil
}
