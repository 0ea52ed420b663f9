package sim

import (
	"errors"
	"time"

	"actuatord/board"
)

// FailOuts makes the next n Outs on a line fail with err. If moving, the line
// moves nonetheless, as one does whose answer was lost on the way back.
func (d *Driver) FailOuts(line string, n int, err error, moving bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.line(line)
	l.outs, l.moving = fault{n, err}, moving
}

// FailRequests makes the next n requests of a line fail with err.
func (d *Driver) FailRequests(line string, n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line(line).opens = fault{n, err}
}

// Hold gives a line to another consumer, as a kernel driver or process would
// have it. An empty consumer lets it go.
func (d *Driver) Hold(line, consumer string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line(line).held = consumer
}

// Level answers a line's logical level; driven is false while nobody ever made
// it an output.
func (d *Driver) Level(line string) (on, driven bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.line(line)
	return bool(l.level), l.driven
}

// Percent answers how much of the time a line for levels is on.
func (d *Driver) Percent(line string) board.Percent {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.line(line).percent
}

// High answers the level on the wire, which an active-low line inverts.
func (d *Driver) High(line string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.line(line)
	return bool(l.level) != l.inverts
}

// Touched counts the requests and Outs that a line has seen, failing ones too.
func (d *Driver) Touched(line string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.line(line).touched
}

// FailTransfers makes the next n transfers on a bus fail with err; a device that
// does not acknowledge is syscall.ENXIO.
func (d *Driver) FailTransfers(bus string, n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wires(bus).fails = fault{n, err}
}

// FlipReads gives the next n reads on a bus a wrong bit.
func (d *Driver) FlipReads(bus string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wires(bus).flip = fault{n, errors.New("flip")}
}

// Remove takes the device at an address off its bus.
func (d *Driver) Remove(bus string, address uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wires(bus).absent[address] = true
}

// RemoveBus makes a bus one that cannot be opened.
func (d *Driver) RemoveBus(bus string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wires(bus).missing = true
}

// Slow makes each transfer on a bus take this long.
func (d *Driver) Slow(bus string, each time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wires(bus).slow = each
}

// Hang makes transfers on a bus wait until release is called, or the driver is
// closed. Call release once.
func (d *Driver) Hang(bus string) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.wires(bus).hang = gate
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.wires(bus).hang = nil
		close(gate)
	}
}

// Writes counts the register writes that reached a device of a bus.
func (d *Driver) Writes(bus string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wires(bus).writes
}
