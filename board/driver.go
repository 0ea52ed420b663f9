package board

import (
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
)

// Driver is a kind of board: board/linux has real lines and buses, board/sim a
// trace file. Output, Input and Close are called by the board's own goroutine, Bus
// by the goroutine of that bus. Its conformance suite is board/boardtest.
type Driver interface {
	// Output takes a line and makes it an output at level, in one atomic
	// request: direction, logical level, active-low, open-drain and consumer
	// together, so that the line never passes through the other level. Levels given to the
	// pin's Out later are logical too: the pin knows that it is active-low. A
	// pin that is also an io.Closer is closed to let its line go. Errors are
	// *LineError, or, of a line behind a bus, *BusError.
	Output(spec LineSpec, level gpio.Level) (gpio.PinIO, error)

	// Input takes a line as an input, and has tell called at each edge from then
	// until the pin is closed, by goroutines of the driver's own. Where a line cannot
	// tell of its edges the driver looks at it often enough by itself. An edge that
	// it may have missed is told as one to inactive. If it cannot go on, for any
	// reason, it tells so in a last Edge with an error. tell does not block, and calls
	// nothing of the driver; it is not called any more once Close has returned. Errors
	// are *LineError with Input set.
	Input(spec InputSpec, tell func(Edge)) (InputPin, error)

	// Bus opens a bus. Its Tx may block, but never for ever. Errors, also those
	// of Tx, are *BusError.
	Bus(name string) (i2c.BusCloser, error)

	// Close lets go of whatever the driver holds itself.
	Close() error
}

// LineSpec says which line, and how it is wired.
type LineSpec struct {
	Target    string // the output's name, for errors and traces
	Line      string // a kernel line name, chip-label:offset or expander:number
	ActiveLow bool
	OpenDrain bool
	Input     bool   // it is to be read, and not driven
	Consumer  string // what the kernel shows as the line's user
}

// InputSpec says which line, and how it is to be read.
type InputSpec struct {
	LineSpec
	Bias     Bias
	Debounce time.Duration
}

// Edge is what an input has just become, or why nobody can tell from here on.
type Edge struct {
	Active bool
	Err    error // nothing follows it; the pin is to be closed
}

// InputPin is an input that is held. It is used by one goroutine.
type InputPin interface {
	// Read asks the line itself. It changes nothing about it.
	Read() (active bool, err error)
	// Close lets the line go.
	Close() error
}

// Consumer is the name under which the kernel lists our lines.
const Consumer = "actuatord"

// Caused is what a driver's pins and buses may also be: told why, right before
// each Out or Tx, by the goroutine that makes the call.
type Caused interface {
	// Because names the target and the cause of what comes next.
	Because(target, cause string)
}

// Checked is what a driver's pins may also be: those whose hardware can lose its
// level behind our back, as a chip does that has a power of its own.
type Checked interface {
	// Check asks the hardware whether it still is as the last Out left it. It may
	// make the line safe; it never takes it away from there. Like Out it is called
	// by the board's own goroutine, and must not hold it up.
	Check() error
}
