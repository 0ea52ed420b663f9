package board

import (
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
)

// Driver is a kind of board: board/linux has real lines and buses, board/sim a
// trace file. Output and Close are called by the board's own goroutine, Bus by
// the goroutine of that bus. Its conformance suite is board/boardtest.
type Driver interface {
	// Output takes a line and makes it an output at level, in one atomic
	// request: direction, logical level, active-low, open-drain and consumer
	// together, so that the line never passes through the other level. Levels given to the
	// pin's Out later are logical too: the pin knows that it is active-low. A
	// pin that is also an io.Closer is closed to let its line go. Errors are
	// *LineError, or, of a line behind a bus, *BusError.
	Output(spec LineSpec, level gpio.Level) (gpio.PinIO, error)

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
	Consumer  string // what the kernel shows as the line's user
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
