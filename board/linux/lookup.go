package linux

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"actuatord/board"
)

// spot is one line of this boot: its chip as the kernel names it, and the offset.
// Two lines may be written alike (two chips of one label) or one line in several
// ways; spots are equal where the line is.
type spot struct {
	chip   string // "gpiochip0"
	offset uint32
}

// place is where a line is.
type place struct {
	spot
	path  string // of the chip's device; it may be another after the next boot
	label string // of the chip; it stays
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.label, p.offset) }

// search is where a name was found. With no place, fault says why.
type search struct {
	places []place
	fault  board.LineFault
}

// chips is every GPIO chip, as it was read at one moment.
type chips struct {
	all    []chipState
	unread error // why one of them could not be read; the last, if several
	model  string
}

// chipState is one chip and what the kernel tells of its lines.
type chipState struct {
	chipInfo
	path  string
	also  []string // other paths to it: gpiochip4 is a link to gpiochip0 on some systems
	lines []unix.GPIOV2LineInfo
	err   error // it could not be read
}

func (c chipState) place(offset int) place {
	return place{spot{c.name, uint32(offset)}, c.path, c.label}
}

// readChips reads every chip once. It takes no line, so it moves none.
func (d *Driver) readChips() (chips, error) {
	paths, err := d.k.chips()
	if err != nil {
		return chips{}, err
	}
	all := chips{model: d.k.model()}
	for _, path := range paths {
		c, err := d.readChip(path)
		if err != nil {
			all.unread = fmt.Errorf("%s: %w", path, err)
			all.all = append(all.all, chipState{path: path, err: err})
			continue
		}
		same := func(o chipState) bool { return o.err == nil && o.name == c.name }
		if i := slices.IndexFunc(all.all, same); i >= 0 {
			o := &all.all[i]
			if path == "/dev/"+c.name { // the link came first
				o.path, path = path, o.path
			}
			o.also = append(o.also, path)
			continue
		}
		all.all = append(all.all, c)
	}
	return all, nil
}

// find looks for a line on every chip: a name that is on two of them must not be
// settled by the order in which chips appeared.
func (d *Driver) find(line string) (search, error) {
	all, err := d.readChips()
	if err != nil {
		return search{fault: board.LineIO}, err
	}
	return all.find(line)
}

func (all chips) find(line string) (search, error) {
	label, offset, isPlace := splitPlace(line)
	var byName, byPlace []place
	labelSeen := false
	for _, c := range all.all {
		for i := range c.lines {
			if unix.ByteSliceToString(c.lines[i].Name[:]) == line {
				byName = append(byName, c.place(i))
			}
		}
		if isPlace && c.err == nil && c.label == label {
			labelSeen = true
			if offset < uint32(len(c.lines)) {
				byPlace = append(byPlace, c.place(int(offset)))
			}
		}
	}
	switch {
	case len(byName) > 0:
		return search{places: byName}, nil
	case len(byPlace) > 0:
		return search{places: byPlace}, nil
	case all.unread != nil: // it may well be on the chip that could not be read
		return search{fault: faultOf(all.unread)}, all.unread
	case isPlace && !labelSeen:
		return search{fault: board.NoSuchChip}, nil
	}
	return search{places: all.piLine(line), fault: board.NoSuchLine}, nil
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

// readChip asks a chip who it is, and for each of its lines.
func (d *Driver) readChip(path string) (chipState, error) {
	fd, err := d.k.open(path)
	if err != nil {
		return chipState{}, err
	}
	defer d.k.close(fd)
	var info unix.GPIOChipInfo
	if err := d.k.ioctl(fd, unix.GPIO_GET_CHIPINFO_IOCTL, unsafe.Pointer(&info)); err != nil {
		return chipState{}, err
	}
	c := chipState{path: path, chipInfo: chipInfo{unix.ByteSliceToString(info.Name[:]), unix.ByteSliceToString(info.Label[:])}}
	c.lines = make([]unix.GPIOV2LineInfo, min(info.Lines, maxLines))
	for i := range c.lines {
		c.lines[i].Offset = uint32(i)
		if err := d.k.ioctl(fd, unix.GPIO_V2_GET_LINEINFO_IOCTL, unsafe.Pointer(&c.lines[i])); err != nil {
			return chipState{}, err
		}
	}
	return c, nil
}
