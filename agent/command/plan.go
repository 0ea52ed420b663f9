package command

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Command is a message's decoded payload: what the sender asked for, before
// anything was looked up or checked against the board.
type Command struct {
	ID      string          // the body field "id"; the message id wins over it
	Target  string          // an output, a level, a register, "all", or "log"
	Action  string          // "on", "off", "toggle", "pulse", "set", "write", "safe", "read", "log"
	For     time.Duration   // the operand "for"; 0: not given
	Percent *Percent        // the operand "percent"; nil: not given
	Address int             // the operand "register"; -1: not given
	Bytes   []byte          // the operand "bytes"
	Text    string          // the whole payload of a "log" command
	Sent    time.Time       // the body field "sent"; zero: not given
	Expires time.Time       // the body field "expires"; zero: not given
	Meta    json.RawMessage // echoed in the report; at most 1 KiB

	// Fingerprint tells two commands under one id apart. It covers target,
	// action and operands, and leaves out id, sent, expires and meta, so that
	// a sender may repeat a command with a fresh date.
	Fingerprint Fingerprint
}

// Fingerprint is the first half of a SHA-256: 16 bytes tell commands apart, they
// are no signature.
type Fingerprint [16]byte

func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText writes f as hex.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err == nil && len(b) != len(f) {
		err = fmt.Errorf("a fingerprint has %d bytes, not %d", len(f), len(b))
	}
	copy(f[:], b)
	return err
}

// FingerprintOf is the fingerprint of c's canonical form.
func FingerprintOf(c Command) Fingerprint {
	var b []byte
	for _, s := range []string{c.Target, c.Action, string(c.Bytes), c.Text} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.For))
	b = binary.BigEndian.AppendUint64(b, uint64(int64(c.Address)))
	if c.Percent != nil { // behind the rest, and only then: journals in the field have fingerprints without
		b = binary.BigEndian.AppendUint64(b, uint64(*c.Percent))
	}
	return fingerprint("command", b)
}

// Percent is a share of the time in hundredths of a percent, as package board has it:
// 12.5 and 12.50 are one command.
type Percent uint16

func (p Percent) String() string {
	s := fmt.Sprintf("%d.%02d", p/100, p%100)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// MarshalJSON writes p as a number, such as 12.5.
func (p Percent) MarshalJSON() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Percent) UnmarshalJSON(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < 0 || f > 100 {
		return fmt.Errorf("%.20q is no percentage", text)
	}
	*p = Percent(f*100 + 0.5)
	return nil
}

// FingerprintOfPayload stands in where a payload could not be decoded.
func FingerprintOfPayload(payload []byte) Fingerprint { return fingerprint("payload", payload) }

// The kind keeps a payload that happens to spell a canonical form apart from it.
func fingerprint(kind string, b []byte) Fingerprint {
	h := sha256.New()
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write(b)
	return Fingerprint(h.Sum(nil)[:16])
}

// A Plan is the checked operation a command means on this board. It is a
// value: package handlers makes it, and only package agent can have it done.
type Plan struct {
	Op Op

	// OnceOnly: after the first edge was attempted this must never be tried
	// again (toggle, pulse, a register that is not level-like). Every other
	// plan is repeatable: done twice it leaves the same state.
	OnceOnly bool

	// Away: it may take a target away from its safe level. Only
	// such a plan can be superseded; the way to safety is always open.
	Away bool

	Touches []string      // the outputs, levels and registers it is the newest command of; empty for log and read
	MaxAge  time.Duration // its target's max_age; 0: none
}

// OpKind says what an operation does. The numbers are not stored.
type OpKind uint8

const (
	OpSet   OpKind = iota + 1 // drive output Target to On; For bounds its time away from the safe level
	OpPulse                   // drive output Target away from its safe level for For, then back; done when it is back
	OpWrite                   // write Bytes to Register of register target Target
	OpSafe                    // drive every output, level and register to its safe level
	OpRead                    // put every output's and level's level into the report
	OpLog                     // write Text to the log
	OpLevel                   // set level Target to Percent; For bounds its time away from the safe level
)

// Op is what a plan does.
type Op struct {
	Kind     OpKind
	Target   string
	On       bool          // OpSet: the logical level
	Percent  Percent       // OpLevel
	For      time.Duration // OpSet, OpLevel: 0 leaves the target's own max_on; OpPulse: the length
	Register byte
	Bytes    []byte
	Text     string
}
