package linux

import (
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"actuatord/board"
)

// lineUsed is GPIO_V2_LINE_FLAG_USED: somebody has the line, the kernel included.
const lineUsed = 1 << 0

// Find says where a line is, such as "pinctrl-bcm2711:17", without taking it. A
// line that cannot be had, somebody else's included, is a [*board.LineError].
func Find(line string) (string, error) { return New().locate(line) }

func (d *Driver) locate(line string) (string, error) {
	at, err := d.lookUp(board.LineSpec{Line: line})
	if err != nil {
		return "", err
	}
	chip, err := d.k.open(at.path)
	if err != nil {
		return "", &board.LineError{Line: line, Fault: faultOf(err), Err: err}
	}
	defer d.k.close(chip)
	info := unix.GPIOV2LineInfo{Offset: at.offset}
	if err := d.k.ioctl(chip, unix.GPIO_V2_GET_LINEINFO_IOCTL, unsafe.Pointer(&info)); err != nil {
		return "", &board.LineError{Line: line, Fault: faultOf(err), Err: err}
	}
	if holder := unix.ByteSliceToString(info.Consumer[:]); info.Flags&lineUsed != 0 && holder != board.Consumer {
		return "", &board.LineError{Line: line, Fault: board.LineBusy, Holder: holder, Err: unix.EBUSY}
	}
	return at.String(), nil
}

// FindBus reports whether a bus is there and takes plain I2C transfers. It makes
// none.
func FindBus(name string) error {
	b, err := openBus(system(), name)
	if err != nil {
		return err
	}
	return b.Close()
}

// persistParameters are where Raspberry Pi's pin controllers say whether a line
// keeps its level when its holder goes (raspberrypi/linux#6117 and #6150; the
// second is the Pi 5's).
func persistParameters() []string {
	return []string{
		"/sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs",
		"/sys/module/pinctrl_rp1/parameters/persist_gpio_outputs",
	}
}

// AfterExit says what becomes of an output's level when the process that holds
// the line ends, on this board, as far as the kernel tells.
func AfterExit() string {
	for _, path := range persistParameters() {
		if value, err := os.ReadFile(path); err == nil {
			return afterExit(Model(), strings.TrimSpace(string(value)))
		}
	}
	return afterExit(Model(), "")
}

// afterExit: mainline kernels make a released line an input; Raspberry Pi's own
// keep it driven unless their parameter says N.
func afterExit(model, persist string) string {
	const pull = "wiring must pull every output to its safe level"
	switch {
	case persist == "Y":
		return "this kernel keeps a line's last level when the daemon ends; " + pull
	case persist == "N":
		return "this kernel makes a line an input when the daemon ends; " + pull
	case strings.HasPrefix(model, piModel):
		return model + ": Raspberry Pi OS keeps a line's last level when the daemon ends, other kernels make it an input; " + pull
	}
	return "most kernels make a line an input when the daemon ends; " + pull
}
