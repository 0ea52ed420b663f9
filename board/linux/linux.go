package linux

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/host/v3/distro"

	"actuatord/board"
)

// Flags of a line, from linux/gpio.h (enum gpio_v2_line_flag); x/sys has the
// structs and not these.
const (
	lineActiveLow = 1 << 1
	lineOutput    = 1 << 3
	lineOpenDrain = 1 << 6
)

// Driver is the board this process runs on. Its pins hold the lines; it only
// remembers which output has which, so it is used by one goroutine at a time.
type Driver struct {
	k     kernel
	held  map[spot]board.LineSpec
	taken map[string]bool // the PWM channels that this process has
}

// New is the real board. It opens nothing yet, so it cannot fail.
func New() *Driver { return newDriver(system()) }

func newDriver(k kernel) *Driver { return &Driver{k: k, held: map[spot]board.LineSpec{}} }

// Model names the machine as its device tree does ("Raspberry Pi 4 Model B Rev
// 1.4"), for messages; empty where there is none.
func Model() string {
	if m := distro.DTModel(); m != "<unknown>" {
		return m
	}
	return ""
}

// Close does nothing: pins and buses are closed one by one.
func (d *Driver) Close() error { return nil }

// Bus opens /dev/i2c-name.
func (d *Driver) Bus(name string) (i2c.BusCloser, error) { return openBus(d.k, name) }

// Output finds a line and takes it. A kernel line name wins over the form
// chip-label:offset and over a Raspberry Pi's GPIOn, which are only tried where no
// line has that name.
func (d *Driver) Output(spec board.LineSpec, level gpio.Level) (gpio.PinIO, error) {
	at, err := d.lookUp(spec)
	if err != nil {
		return nil, err
	}
	chip, err := d.k.open(at.path)
	if err != nil {
		return nil, &board.LineError{Target: spec.Target, Line: spec.Line, Fault: faultOf(err), Err: err}
	}
	defer d.k.close(chip) // the request has its own descriptor
	fd, err := d.request(chip, at.offset, spec, level)
	if err != nil {
		e := &board.LineError{Target: spec.Target, Line: spec.Line, Fault: faultOf(err), Err: err}
		if e.Fault == board.LineBusy {
			e.Holder, e.Twin = d.holder(chip, at.offset), d.held[at.spot]
		}
		return nil, e
	}
	d.held[at.spot] = spec
	gone := func() { delete(d.held, at.spot) }
	return &pin{k: d.k, fd: fd, spec: spec, offset: int(at.offset), gone: gone}, nil
}

// lookUp finds the one place of a line. Errors are *board.LineError.
func (d *Driver) lookUp(spec board.LineSpec) (place, error) {
	found, err := d.find(spec.Line)
	e := &board.LineError{Target: spec.Target, Line: spec.Line, Fault: found.fault, Err: err}
	switch {
	case err == nil && len(found.places) == 1:
		return found.places[0], nil
	case len(found.places) > 1:
		e.Fault = board.AmbiguousLine
		for _, p := range found.places {
			e.Places = append(e.Places, p.String())
		}
	}
	return place{}, e
}

// request takes a line as an output at level in one request. Asking for the
// line first and for its direction later would drive it low in between.
func (d *Driver) request(chip int, offset uint32, spec board.LineSpec, level gpio.Level) (int, error) {
	r := unix.GPIOV2LineRequest{Num_lines: 1}
	r.Offsets[0] = offset
	copy(r.Consumer[:len(r.Consumer)-1], spec.Consumer) // the kernel wants a final zero
	r.Config.Flags = lineOutput
	if spec.ActiveLow {
		r.Config.Flags |= lineActiveLow // from here on values are logical
	}
	if spec.OpenDrain {
		r.Config.Flags |= lineOpenDrain // a chip that cannot is made an input for high, by the kernel
	}
	r.Config.Num_attrs = 1
	r.Config.Attrs[0].Mask = 1 // bit 0: the first line of the request
	r.Config.Attrs[0].Attr.Id = unix.GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES
	r.Config.Attrs[0].Attr.Flags = bit(level) // a union: here it is the values
	if err := d.k.ioctl(chip, unix.GPIO_V2_GET_LINE_IOCTL, unsafe.Pointer(&r)); err != nil {
		return -1, err
	}
	return int(r.Fd), nil
}

func bit(l gpio.Level) uint64 {
	if l == gpio.High {
		return 1
	}
	return 0
}

func (d *Driver) holder(chip int, offset uint32) string {
	info := unix.GPIOV2LineInfo{Offset: offset}
	if err := d.k.ioctl(chip, unix.GPIO_V2_GET_LINEINFO_IOCTL, unsafe.Pointer(&info)); err != nil {
		return "" // the line is busy all the same
	}
	return unix.ByteSliceToString(info.Consumer[:])
}

func faultOf(err error) board.LineFault {
	switch {
	case errors.Is(err, unix.EBUSY):
		return board.LineBusy
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return board.LinePermission
	}
	return board.LineIO
}
