package linux

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"actuatord/board"
)

// i2cSlave names the address that read() and write() on a descriptor would use. It
// says nothing on the bus; what it is good for here is its refusal, EBUSY, where a
// driver of the kernel has the address, on this bus or behind its multiplexers.
const i2cSlave = 0x0703

// Answer is one address that is in use, or where something answered.
type Answer struct {
	Address string `json:"address"`          // "0x40"
	State   string `json:"state"`            // "answers", "driver" (not asked: the kernel has it), "fault"
	Driver  string `json:"driver,omitempty"` // "driver": which, where sysfs tells
	Fault   string `json:"fault,omitempty"`
	Target  string `json:"target,omitempty"`
}

// The addresses that a device may have (UM10204, table 3); the others mean something
// to every device, so nothing is said to them.
const (
	firstAddress = 0x08
	lastAddress  = 0x77
)

// maxTimeouts ends a scan: something holds the bus, and each further address would
// cost 0.4 s to say so again. One device that stretches its clock too long is no
// reason, so not the first.
const maxTimeouts = 3

// Scan asks every address of a bus for one byte, and answers those where something
// is. It is the one thing in this package that talks without being told what to.
//
// One byte is read and none written: a device acknowledges its address or does not.
// That is i2cdetect -r, and safe for nearly all there is. It is not for a device whose
// reading has an effect (a FIFO, a status that clears itself), and a device that
// knows no reading may hold the bus until its power goes; i2cdetect's other way, a
// quick write, is no transfer that adapters such as the Raspberry Pi's can make, and
// destroys the contents of some EEPROMs. An address that a kernel driver has is left
// alone.
//
// It ends: each transfer is bounded by the adapter's timeout, and after three that ran
// into it the rest is not tried. found is called in the order of addresses.
func Scan(bus int, found func(Answer)) error { return New().scan(bus, found) }

func (d *Driver) scan(number int, found func(Answer)) error {
	opened, err := openBus(d.k, fmt.Sprint(number))
	if err != nil {
		return err
	}
	defer opened.Close()
	b, timeouts := opened.(*bus), 0
	for address := uint16(firstAddress); address <= lastAddress; address++ {
		a := Answer{Address: fmt.Sprintf("0x%02x", address)}
		if d.k.ioctlInt(b.fd, i2cSlave, int(address)) == unix.EBUSY {
			a.State, a.Driver = "driver", d.linked(fmt.Sprintf("bus/i2c/devices/%d-%04x/driver", number, address))
			found(a)
			continue
		}
		var one [1]byte
		err := b.tx(address, nil, one[:])
		switch {
		case err == nil:
			a.State = "answers"
			found(a)
		case board.BusFaultOf(err) == board.NACK:
		case errors.Is(err, unix.ETIMEDOUT):
			if timeouts++; timeouts == maxTimeouts {
				return fmt.Errorf("bus %d: given up at %s: %d addresses ran into the timeout, so something holds the bus (a line at ground, pull-ups that are missing, a device without power): %w", number, a.Address, timeouts, err)
			}
			fallthrough
		default:
			a.State, a.Fault = "fault", err.Error()
			found(a)
		}
	}
	return nil
}
