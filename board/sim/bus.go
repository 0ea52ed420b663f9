package sim

import (
	"bytes"
	"errors"
	"slices"
	"syscall"
	"time"

	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

// wires is one bus and the devices on it.
type wires struct {
	missing bool
	devices map[uint16]*[256][]byte // each register keeps what was last written to it
	absent  map[uint16]bool
	fails   fault
	flip    fault         // reads that come back with a wrong bit
	slow    time.Duration // how long a transfer takes
	hang    chan struct{} // transfers wait for it to be closed; nil: they do not
	writes  int
}

func (d *Driver) wires(name string) *wires {
	if d.buses[name] == nil {
		d.buses[name] = &wires{devices: map[uint16]*[256][]byte{}, absent: map[uint16]bool{}}
	}
	return d.buses[name]
}

func (w *wires) device(address uint16) *[256][]byte {
	if w.devices[address] == nil {
		w.devices[address] = new([256][]byte)
	}
	return w.devices[address]
}

// bus is an open bus, used by one goroutine.
type bus struct {
	d             *Driver
	w             *wires
	name          string
	target, cause string
}

func (b *bus) Because(target, cause string) { b.target, b.cause = target, cause }

// Tx writes w[1:] to register w[0], then reads r from register w[0]. A register
// holds as many bytes as were written to it, so that what is read back is what
// was written.
func (b *bus) Tx(address uint16, w, r []byte) error {
	b.d.mu.Lock()
	slow, hang := b.w.slow, b.w.hang
	b.d.mu.Unlock()
	if slow > 0 {
		t := time.NewTimer(slow)
		defer t.Stop()
		select {
		case <-t.C:
		case <-b.d.closed:
		}
	}
	if hang != nil {
		select {
		case <-hang:
		case <-b.d.closed:
		}
	}
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	return b.tx(address, w, r)
}

func (b *bus) tx(address uint16, w, r []byte) error {
	err := b.w.fails.take()
	switch {
	case b.d.stopped:
		err = syscall.ENODEV
	case b.w.absent[address]:
		err = syscall.ENXIO
	case err == nil && len(w) == 0:
		err = errors.New("a transfer starts with the register")
	}
	if err == nil && len(w) > 1 {
		b.w.writes++
		err = b.d.write(Event{Target: b.target, Write: hexWrite(w), Cause: b.cause})
	}
	if err != nil {
		return &board.BusError{Bus: b.name, Address: address, Fault: board.BusFaultOf(err), Err: err}
	}
	cells := b.w.device(address)
	if len(w) > 1 {
		cells[w[0]] = bytes.Clone(w[1:])
	}
	clear(r)
	copy(r, cells[w[0]])
	if len(r) > 0 && b.w.flip.take() != nil {
		r[0] ^= 1
	}
	return nil
}

func (b *bus) SetSpeed(physic.Frequency) error { return errors.New("a simulated bus has no speed") }
func (b *bus) String() string                  { return b.name }
func (b *bus) Close() error                    { return nil }

// Memory answers what was last written to a register of a device.
func (d *Driver) Memory(bus string, address uint16, register byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.wires(bus).device(address)[register])
}
