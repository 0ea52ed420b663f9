// Package expander gives a board the lines of I/O expanders, the chips of relay
// boards: PCF8574, MCP23008 and MCP23017, and the channels of a PCA9685 to its
// levels. Its [Driver] wraps another one, whose buses it uses, and whose lines, buses
// and end it passes on.
//
// # Promises
//
// A chip is set up with the safe levels of all its configured lines in its latch
// before any line is made an output, so none passes through the other level. Lines
// that no output names stay as they were found: their bits are read and written
// back (a PCF8574's stay 1, as at power-on: its latch cannot be read).
//
// A PCA9685 has all its configured channels at their safe levels before its
// oscillator runs; one that runs already is not stopped. All and nothing are its
// full-on and full-off bits, and a channel changes at the end of one transfer. Its
// outputs are made plain ones, that drive both levels and are not inverted, and it
// answers to no other address; what the OE pin is wired to is beyond us.
//
// Every write is read back. Before every write, and whenever the board asks a pin
// (board.Checked), the chip is looked at: one that is no longer as it was left has
// lost its power, was reset, or was written to by somebody else. It is set up anew,
// all lines safe, and each pin answers a mismatch once, so that the board learns
// it. A check that the bus fails is tried once more. No line is ever taken away from
// its safe level but by the Out that asks for it now.
//
// A call is bounded. The chips of a bus have a goroutine, the only one that may
// hang; a call hands its work over and waits 250 ms at most. After that it answers
// that the bus timed out, and until the goroutine is back every call on that bus
// answers at once that it is stuck. Work that was given up takes no line away from
// its safe level any more. A bus that fails slowly may cost its callers 0.1 s in
// 0.9 s, and one whole wait; then it answers with its last fault, untried, so that
// sixteen outputs on a dying bus do not hold up the lease of a seventeenth.
//
// Why a bus and not a chip is what has a goroutine and an account: what is slow is
// the bus. A chip that is absent answers within a byte's time.
//
// # What it costs
//
// An Out is 7 transfers on an MCP23017, 5 on an MCP23008, 3 on a PCF8574, of 2 to 4
// bytes: 2.6, 1.8 and 0.6 ms at 100 kHz by their bits; a PCA9685's change is 5, one of
// them of 64 bytes, and 8 ms. A check is shared by the lines of a chip for a second.
//
// # Power loss
//
// Nothing is stored. A chip keeps its levels when this process ends, however it
// ends, since nobody takes them back: ExecStopPost has to. A chip that loses its
// own power comes back with its lines as inputs, or at a weak high for a PCF8574,
// until it is found, which is at the next check: the wiring must pull to safe.
//
// # Reading it
//
// driver.go is what the board sees; link.go is a bus, its bound and its goroutine;
// chip.go is the sequences, the same for every chip; registers.go is what differs,
// with the datasheets' pages; pca9685.go is the same for levels.
package expander
