package linux

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
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
)

// Driver is the board this process runs on. It holds nothing itself.
type Driver struct {
	k kernel
}

// New is the real board. It opens nothing yet, so it cannot fail.
func New() *Driver { return &Driver{k: system()} }

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
// chip-label:offset, which is only tried where no line has that name.
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
			e.Holder = d.holder(chip, at.offset)
		}
		return nil, e
	}
	return &pin{k: d.k, fd: fd, spec: spec, offset: int(at.offset)}, nil
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

// place is a line's place: a chip, and an offset on it.
type place struct {
	path   string // of the chip's device; it may be another after the next boot
	label  string // of the chip; it stays
	offset uint32
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.label, p.offset) }

// search is where a name was found. With no place, fault says why.
type search struct {
	places []place
	fault  board.LineFault
}

// find looks for a line on every chip: a name that is on two of them must not be
// settled by the order in which chips appeared.
func (d *Driver) find(line string) (search, error) {
	paths, err := d.k.chips()
	if err != nil {
		return search{fault: board.LineIO}, err
	}
	label, offset, isPlace := splitPlace(line)
	var byName, byPlace []place
	var unread error
	labelSeen := false
	seen := map[string]bool{} // a chip may have two paths: gpiochip4 is a link to gpiochip0 on some systems
	for _, path := range paths {
		chip, names, err := d.read(path)
		if err != nil {
			unread = fmt.Errorf("%s: %w", path, err)
			continue
		}
		if seen[chip.name] {
			continue
		}
		seen[chip.name] = true
		for i, name := range names {
			if name == line {
				byName = append(byName, place{path, chip.label, uint32(i)})
			}
		}
		if isPlace && chip.label == label {
			labelSeen = true
			if offset < uint32(len(names)) {
				byPlace = append(byPlace, place{path, chip.label, offset})
			}
		}
	}
	switch {
	case len(byName) > 0:
		return search{places: byName}, nil
	case len(byPlace) > 0:
		return search{places: byPlace}, nil
	case unread != nil: // it may well be on the chip that could not be read
		return search{fault: faultOf(unread)}, unread
	case isPlace && !labelSeen:
		return search{fault: board.NoSuchChip}, nil
	}
	return search{fault: board.NoSuchLine}, nil
}

// splitPlace reads chip-label:offset; the label may have colons of its own. One line
// has one way to be written: of two outputs on it the configuration is refused.
func splitPlace(s string) (label string, offset uint32, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 1 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 32)
	return s[:i], uint32(n), err == nil && strconv.FormatUint(n, 10) == s[i+1:]
}

type chipInfo struct{ name, label string }

// maxLines bounds what a chip may claim to have: the kernel's own limit for
// dynamic numbering is far below.
const maxLines = 4096

// read answers a chip and the name of each of its lines.
func (d *Driver) read(path string) (chipInfo, []string, error) {
	fd, err := d.k.open(path)
	if err != nil {
		return chipInfo{}, nil, err
	}
	defer d.k.close(fd)
	var info unix.GPIOChipInfo
	if err := d.k.ioctl(fd, unix.GPIO_GET_CHIPINFO_IOCTL, unsafe.Pointer(&info)); err != nil {
		return chipInfo{}, nil, err
	}
	chip := chipInfo{unix.ByteSliceToString(info.Name[:]), unix.ByteSliceToString(info.Label[:])}
	names := make([]string, min(info.Lines, maxLines))
	for i := range names {
		line := unix.GPIOV2LineInfo{Offset: uint32(i)}
		if err := d.k.ioctl(fd, unix.GPIO_V2_GET_LINEINFO_IOCTL, unsafe.Pointer(&line)); err != nil {
			return chipInfo{}, nil, err
		}
		names[i] = unix.ByteSliceToString(line.Name[:])
	}
	return chip, names, nil
}
