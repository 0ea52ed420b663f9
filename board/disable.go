package board

import (
	"bytes"
	"cmp"
)

// Disable takes targets out of use: those that set names, with for each a phrase that
// says by whom and why, and no others; [All] names every one, also where it has no
// phrase of its own. An output that is out of use is driven to its safe level and does
// not leave it, whoever asks; a register is written its safe bytes, if it has any, and
// takes nothing else. The way to safety stays open.
//
// It answers like [Board.Safe], when all of that has happened to what set newly names:
// with an error where something is not at its safe level, which changes nothing about
// its being out of use. Outputs that moved are Changes of CauseDisabled.
func (b *Board) Disable(set map[string]string) Result {
	own := map[string]string{}
	for name, why := range set {
		own[name] = cmp.Or(why, "and nobody says why")
	}
	return b.ask(request{op: Op{Target: All, Cause: CauseDisabled}, disable: own})
}

// disable is Disable in the board's goroutine.
func (k *keeper) disable(r request) {
	g := &gather{pending: 1, then: func(res Result) { k.b.answer(r, res) }}
	for _, o := range k.outputs {
		was := o.disabled
		o.disabled = cmp.Or(r.disable[o.spec.Name], r.disable[All])
		if o.disabled != "" && (was == "" || !o.isSafe()) {
			g.note(k.drop(o, CauseDisabled, o.disabled))
		}
	}
	for _, x := range k.registers {
		was := x.disabled
		x.disabled = cmp.Or(r.disable[x.spec.Name], r.disable[All])
		if x.disabled == "" {
			continue
		}
		k.refuseWaiting(x)
		if x.spec.Safe != nil && (was == "" || x.err != nil) {
			k.writeSafe(x, CauseDisabled, g)
		}
	}
	g.less()
}

// refuseWaiting keeps from the bus what waits for it and is not safe any more.
func (k *keeper) refuseWaiting(x *register) {
	waiting := x.bus.waiting
	x.bus.waiting = nil
	for _, j := range waiting {
		if j.reg == x && !j.last && !x.isSafe(j.op.op) {
			j.finish(k, x.outOfUse())
			continue
		}
		x.bus.waiting = append(x.bus.waiting, j)
	}
}

func (x *register) outOfUse() Result {
	return refuse(Disabled, "%s is disabled %s", x.spec.Name, x.disabled)
}

// isSafe reports whether op writes the register's safe bytes.
func (x *register) isSafe(op Op) bool {
	s := x.spec.Safe
	return s != nil && op.Register == s.Register && bytes.Equal(op.Bytes, s.Bytes)
}
