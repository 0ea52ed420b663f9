package linux

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"actuatord/board"
)

// Requests and flags of i2c-dev, from linux/i2c-dev.h and linux/i2c.h.
const (
	i2cRetries = 0x0701
	i2cTimeout = 0x0702 // in units of 10 ms
	i2cFuncs   = 0x0705
	i2cRDWR    = 0x0707

	i2cFuncI2C = 0x1 // plain transfers, as opposed to SMBus only
	i2cRead    = 0x1 // a message's direction
)

// A transfer may take 0.2 s and is tried once more if arbitration was lost: two
// transfers of a verified write then end within the second that board gives
// them. 33 bytes at 100 kHz take 3 ms, so half would do for all but
// clock-stretching devices; double would be found stuck by board. Both settings
// are the adapter's, so other users of the bus share them.
const (
	transferTimeout = 20 // × 10 ms
	transferRetries = 1
)

// maxTransfer bounds a message: its length is 16 bits to the kernel, and i2c-dev
// refuses more than 8192.
const maxTransfer = 8192

// message is struct i2c_msg. Go lays it out as C does on each of our targets:
// the pointer is at offset 8 on 32 and 64 bits. It stays an unsafe.Pointer, so
// that the garbage collector sees the buffer.
type message struct {
	address uint16
	flags   uint16
	length  uint16
	buffer  unsafe.Pointer
}

// transfer is struct i2c_rdwr_ioctl_data.
type transfer struct {
	messages unsafe.Pointer
	count    uint32
}

// bus is an open adapter, used by one goroutine.
type bus struct {
	k    kernel
	fd   int // -1 once closed
	name string
}

var errBusNumber = errors.New(`buses are named by their number, such as "1" for /dev/i2c-1`)

func openBus(k kernel, name string) (i2c.BusCloser, error) {
	fail := func(kind board.BusFault, err error) (i2c.BusCloser, error) {
		return nil, &board.BusError{Bus: name, Fault: kind, Err: err}
	}
	if n, err := strconv.ParseUint(name, 10, 16); err != nil || strconv.FormatUint(n, 10) != name {
		return fail(board.NoSuchBus, errBusNumber)
	}
	fd, err := k.open("/dev/i2c-" + name)
	if err != nil {
		kind := board.BusFaultOf(err)
		if errors.Is(err, unix.ENXIO) { // here it means the device node alone is left
			kind = board.NoSuchBus
		}
		return fail(kind, err)
	}
	b := &bus{k: k, fd: fd, name: name}
	if err := b.prepare(); err != nil {
		k.close(fd)
		return fail(board.BusFaultOf(err), err)
	}
	return b, nil
}

func (b *bus) prepare() error {
	var funcs uintptr // unsigned long to the kernel
	if err := b.k.ioctl(b.fd, i2cFuncs, unsafe.Pointer(&funcs)); err != nil {
		return fmt.Errorf("ask the adapter: %w", err)
	}
	if funcs&i2cFuncI2C == 0 {
		return unix.EOPNOTSUPP
	}
	if err := b.k.ioctlInt(b.fd, i2cTimeout, transferTimeout); err != nil {
		return fmt.Errorf("set the adapter's timeout: %w", err)
	}
	if err := b.k.ioctlInt(b.fd, i2cRetries, transferRetries); err != nil {
		return fmt.Errorf("set the adapter's retries: %w", err)
	}
	return nil
}

// Tx writes w and then, without letting the bus go, reads r.
func (b *bus) Tx(address uint16, w, r []byte) error {
	err := b.tx(address, w, r)
	if err != nil {
		return &board.BusError{Bus: b.name, Address: address, Fault: board.BusFaultOf(err), Err: err}
	}
	return nil
}

func (b *bus) tx(address uint16, w, r []byte) error {
	switch {
	case b.fd < 0:
		return os.ErrClosed
	case address > 0x7f:
		return fmt.Errorf("address %#x has more than 7 bits: %w", address, unix.EINVAL)
	case len(w) > maxTransfer || len(r) > maxTransfer:
		return fmt.Errorf("%d bytes out, %d in; a message has at most %d: %w", len(w), len(r), maxTransfer, unix.EINVAL)
	}
	// The kernel follows these pointers while this goroutine waits, and a
	// goroutine's stack may be moved: what is pinned is on the heap, and stays.
	var pin runtime.Pinner
	defer pin.Unpin()
	messages := make([]message, 0, 2)
	add := func(buffer []byte, flags uint16) {
		if len(buffer) == 0 {
			return
		}
		pin.Pin(&buffer[0])
		messages = append(messages, message{address, flags, uint16(len(buffer)), unsafe.Pointer(&buffer[0])})
	}
	add(w, 0)
	add(r, i2cRead)
	if len(messages) == 0 {
		return nil
	}
	pin.Pin(&messages[0])
	t := &transfer{unsafe.Pointer(&messages[0]), uint32(len(messages))}
	pin.Pin(t)
	return b.k.ioctl(b.fd, i2cRDWR, unsafe.Pointer(t))
}

// SetSpeed is not to be had from user space: the device tree sets it.
func (b *bus) SetSpeed(physic.Frequency) error { return unix.EOPNOTSUPP }

func (b *bus) String() string { return "i2c-" + b.name }

// Close lets the adapter go.
func (b *bus) Close() error {
	if b.fd < 0 {
		return nil
	}
	fd := b.fd
	b.fd = -1
	return b.k.close(fd)
}
