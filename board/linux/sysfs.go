package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bus is one I2C adapter.
type Bus struct {
	Number    int      `json:"number"`
	Adapter   string   `json:"adapter"`         // what its driver calls it
	Plain     bool     `json:"plain"`           // it takes the transfers that actuatord makes
	Fault     string   `json:"fault,omitempty"` // why it cannot be used, or was not asked
	Scanned   bool     `json:"scanned"`
	Addresses []Answer `json:"addresses,omitempty"` // that are in use or answered
}

// PWM is one of the kernel's PWM chips.
type PWM struct {
	Name     string `json:"name"`   // "pwmchip0"; its number may change with the next boot
	Device   string `json:"device"` // what it belongs to, such as "fe20c000.pwm"
	Channels int    `json:"channels"`
}

// buses lists what sysfs has, and asks each what it can do.
func (d *Driver) buses() []Bus {
	buses := []Bus{}
	for _, n := range d.numbered("bus/i2c/devices", "i2c-") {
		b := Bus{Number: n, Adapter: d.word(fmt.Sprintf("bus/i2c/devices/i2c-%d/name", n))}
		plain, err := d.takesPlain(n)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO):
			b.Fault = fmt.Sprintf("there is no /dev/i2c-%d: sudo modprobe i2c-dev (the service does that by itself)", n)
		case err != nil:
			b.Fault = reading(err, "i2c")
		case !plain:
			b.Fault = "SMBus only: the adapter cannot do plain I2C transfers"
		}
		b.Plain = plain
		buses = append(buses, b)
	}
	return buses
}

// takesPlain asks an adapter what it can do; unlike opening it for use, that leaves
// its timeout alone, which it shares with every other user.
func (d *Driver) takesPlain(bus int) (bool, error) {
	fd, err := d.k.open(fmt.Sprintf("/dev/i2c-%d", bus))
	if err != nil {
		return false, err
	}
	defer d.k.close(fd)
	var funcs uintptr
	err = d.k.ioctl(fd, i2cFuncs, unsafe.Pointer(&funcs))
	return funcs&i2cFuncI2C != 0, err
}

func (d *Driver) pwm() []PWM {
	chips := []PWM{}
	for _, n := range d.numbered("class/pwm", "pwmchip") {
		name := fmt.Sprintf("pwmchip%d", n)
		channels, _ := strconv.Atoi(d.word("class/pwm/" + name + "/npwm"))
		chips = append(chips, PWM{Name: name, Device: d.linked("class/pwm/" + name + "/device"), Channels: channels})
	}
	return chips
}

// numbered answers the numbers of a directory's entries of the form prefix-number, in
// order. A directory that is not there has none: the kernel part is missing.
func (d *Driver) numbered(dir, prefix string) []int {
	entries, err := fs.ReadDir(d.k.sys, dir)
	if err != nil {
		return nil
	}
	var numbers []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), prefix)
		if n, err := strconv.ParseUint(digits, 10, 16); ok && err == nil && strconv.FormatUint(n, 10) == digits {
			numbers = append(numbers, int(n))
		}
	}
	slices.Sort(numbers)
	return numbers
}

// maxWord is twice what the kernel has room for in an adapter's name (48 bytes).
const maxWord = 96

// word reads a file of one line. A USB adapter chooses its own name, so what cannot
// be shown is not.
func (d *Driver) word(name string) string {
	text, err := fs.ReadFile(d.k.sys, name)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text[:min(len(text), maxWord)]), "\n")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, ""))
}

// linked is the last part of what a link points to; "" where there is none.
func (d *Driver) linked(name string) string {
	to, err := fs.ReadLink(d.k.sys, name)
	if err != nil {
		return ""
	}
	return path.Base(to)
}
