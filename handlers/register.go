package handlers

import (
	"bytes"
	"fmt"
	"slices"

	"actuatord/agent/command"
	"actuatord/board"
)

// planRegister plans "write". It is repeatable unless the configuration says
// that the register is not level-like (a FIFO, a command register).
//
// The allow-list names the register a write starts at. Whether a chip goes on
// to the next register after the first byte is the chip's affair: whoever lists
// a register allows what a longest write there reaches.
func planRegister(r board.Register, c command.Command) (command.Plan, *command.Refusal) {
	if refusal := checkWrite(r, c); refusal != nil {
		return command.Plan{}, refusal
	}
	register := byte(c.Address)
	return command.Plan{
		Op:       command.Op{Kind: command.OpWrite, Target: r.Name, Register: register, Bytes: bytes.Clone(c.Bytes)},
		OnceOnly: !r.Repeatable,
		// Without safe bytes nobody can say what is safe: an older write must
		// not come after a newer one there.
		Away:    r.Safe == nil || r.Safe.Register != register || !bytes.Equal(r.Safe.Bytes, c.Bytes),
		Touches: []string{r.Name},
		MaxAge:  r.MaxAge,
	}, nil
}

func checkWrite(r board.Register, c command.Command) *command.Refusal {
	if c.Action != "write" {
		return unknownAction(c, "write")
	}
	if refusal := refuseOperands(c, "register", "bytes"); refusal != nil {
		return refusal
	}
	switch {
	case c.Address < 0:
		return command.Refuse(command.BadValue, `a write to "%s" needs "register", %s`, r.Name, wantRegister)
	case c.Address > 0xff:
		return command.Refuse(command.OutOfRange, `"register" is %d; send %s`, c.Address, wantRegister)
	case len(c.Bytes) == 0:
		return command.Refuse(command.BadValue, `a write to "%s" needs "bytes", %s`, r.Name, wantBytes)
	case len(c.Bytes) > board.MaxWrite:
		return command.Refuse(command.OutOfRange, `"bytes" holds %d bytes; one write has 1 to %d`, len(c.Bytes), board.MaxWrite)
	case r.Registers != nil && !slices.Contains(r.Registers, byte(c.Address)):
		return command.Refuse(command.NotAllowed, `register %d (0x%02x) of "%s" may not be written; allowed are %s`, c.Address, c.Address, r.Name, numbers(r.Registers))
	}
	return nil
}

// numbers lists registers as a command writes them, in decimal, with the
// configuration's hexadecimal beside it.
func numbers(registers []byte) string {
	names := make([]string, len(registers))
	for i, r := range registers {
		names[i] = fmt.Sprintf("%d (0x%02x)", r, r)
	}
	return list(names)
}
