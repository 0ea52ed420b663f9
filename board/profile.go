package board

import "time"

// Level is the logical level of an output: On may be a low voltage. The numbers
// do not leave the process, the words do.
type Level uint8

// The levels. The zero Level is Unknown on purpose: what nobody has driven, or
// what failed to be driven, is not off.
const (
	Unknown Level = 0
	Off     Level = 1
	On      Level = 2
)

// String answers "unknown", "off" or "on", as reports have it.
func (l Level) String() string {
	switch l {
	case Off:
		return "off"
	case On:
		return "on"
	}
	return "unknown"
}

func levelOf(on bool) Level {
	if on {
		return On
	}
	return Off
}

// All is the target that means every output, level and register; no profile may use it
// as a name.
const All = "all"

// Profile is what is wired to the board. It is a value; a Board copies it.
type Profile struct {
	Outputs   []Output
	Levels    []PWM
	Registers []Register
	Expanders []Expander
	Inputs    []Input
}

// Output is one line that the board drives.
type Output struct {
	Name      string
	Line      string        // a kernel line name ("GPIO17"), chip-label:offset or expander:number
	ActiveLow bool          // on is a low voltage
	OpenDrain bool          // low is driven, high is left to a pull-up
	SafeOn    bool          // the safe level is on; otherwise it is off
	MaxOn     time.Duration // longest time on, counted from the off→on edge; 0: none
	MinOff    time.Duration // shortest time off before the next on; 0: none
	Interlock string        // group in which at most one output is on; empty: none
	Permit    []string      // inputs that must all be active while it is away from its safe level; nil: none
	MaxAge    time.Duration // oldest command that may act; judged by the agent, not here; 0: none
}

// Safe is the output's safe level.
func (o Output) Safe() Level { return levelOf(o.SafeOn) }

// Input is one line that the board reads.
type Input struct {
	Name      string
	Line      string // as of an output
	ActiveLow bool   // active is a low voltage
	Bias      Bias
	Debounce  time.Duration // a level counts once it has stood so long; 0: at once
}

// Bias says what pulls an input's line where nothing drives it. The numbers do
// not leave the process, the words do.
type Bias uint8

// The biases. The zero Bias leaves the line as it is found.
const (
	BiasAsIs Bias = 0
	BiasNone Bias = 1
	PullUp   Bias = 2
	PullDown Bias = 3
)

// String is the bias as the configuration has it.
func (b Bias) String() string {
	switch b {
	case BiasNone:
		return "none"
	case PullUp:
		return "pull-up"
	case PullDown:
		return "pull-down"
	}
	return "as-is"
}

// InputState is what an input was last read to be. The numbers do not leave the
// process, the words do.
type InputState uint8

// The states of an input. The zero state is unknown on purpose: it permits nothing.
const (
	InputUnknown InputState = 0
	Inactive     InputState = 1
	Active       InputState = 2
)

// String answers "unknown", "inactive" or "active", as reports have it.
func (s InputState) String() string {
	switch s {
	case Inactive:
		return "inactive"
	case Active:
		return "active"
	}
	return "unknown"
}

// Register is one device on a bus whose registers may be written.
type Register struct {
	Name       string
	Bus        string // the bus's number, such as "1"
	Address    uint16 // 7 bits
	Registers  []byte // the registers the cloud may write; nil: any
	Verify     bool   // read back after each write and compare
	Repeatable bool   // writing the same again leaves the same state; false for FIFO and command registers
	Safe       *SafeWrite
	MaxAge     time.Duration // as for an output
}

// SafeWrite is what is written to a device at start, at stop and by `safe`.
type SafeWrite struct {
	Register byte
	Bytes    []byte // 1 to MaxWrite
}

// MaxWrite is the most bytes one write carries: what an SMBus block write can,
// which every adapter manages; twice that is refused by some of them.
const MaxWrite = 32
