package linux

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"actuatord/board"
)

// Survey is what a board has, read and not touched: no line is requested, so no
// direction and no level changes, and nothing is said on a bus. The names of its
// fields in JSON are kept.
type Survey struct {
	Model  string `json:"model"` // as the device tree has it; "" where there is none
	Chips  []Chip `json:"chips"`
	Header []Pin  `json:"header"` // of a Raspberry Pi, pin 1 first; empty elsewhere
	Buses  []Bus  `json:"buses"`
	PWM    []PWM  `json:"pwm"`
}

// Chip is one GPIO chip.
type Chip struct {
	Path  string   `json:"path"`
	Also  []string `json:"also,omitempty"` // other paths to the same chip
	Name  string   `json:"name"`           // the kernel's; its number may change with the next boot
	Label string   `json:"label"`          // stays
	Lines []Line   `json:"lines"`
	Fault string   `json:"fault,omitempty"` // why it could not be read
}

// Line is one line of a chip, as the kernel has it at this moment.
type Line struct {
	Offset    uint32 `json:"offset"`
	Name      string `json:"name"`
	Used      bool   `json:"used"`      // somebody has it: nobody else can
	Holder    string `json:"holder"`    // who, if the kernel was told
	Direction string `json:"direction"` // "input", "output"
	ActiveLow bool   `json:"activeLow"`
	Bias      string `json:"bias,omitempty"`  // "pull-up", "pull-down", "disabled"; "": as the hardware has it
	Drive     string `json:"drive,omitempty"` // "open-drain", "open-source"; "": both ways
	Target    string `json:"target,omitempty"`
}

// Pin is one pin of a Raspberry Pi's header.
type Pin struct {
	Number int    `json:"pin"`
	Name   string `json:"name"`            // "GPIO17", "3V3", "5V", "GND"
	Place  string `json:"place,omitempty"` // of its line; "" for a supply, and where it could not be found
	Used   bool   `json:"used"`
	Holder string `json:"holder,omitempty"`
	Target string `json:"target,omitempty"`
}

// Flags of a line beyond those that we set, from linux/gpio.h.
const (
	lineOpenSource   = 1 << 7
	lineBiasPullUp   = 1 << 8
	lineBiasPullDown = 1 << 9
	lineBiasDisabled = 1 << 10
)

// Look reads this board, and marks what the profile uses. What could not be read has
// its Fault; the rest is there all the same.
func Look(lines []board.LineSpec) Survey { return New().look(lines) }

func (d *Driver) look(lines []board.LineSpec) Survey {
	s := Survey{Model: d.k.model(), Chips: []Chip{}, Header: []Pin{}, Buses: d.buses(), PWM: d.pwm()}
	all, err := d.readChips()
	if err != nil {
		s.Chips = append(s.Chips, Chip{Lines: []Line{}, Fault: err.Error()})
	}
	targets := map[spot]string{}
	for _, l := range lines {
		if found, err := all.find(l.Line); err == nil && len(found.places) == 1 {
			targets[found.places[0].spot] = l.Target
		}
	}
	for _, c := range all.all {
		s.Chips = append(s.Chips, c.show(targets))
	}
	for i := range s.Chips { // a dozen at most, nearly in order: glob puts gpiochip10 before gpiochip2
		for j := i; j > 0 && pathNumber(s.Chips[j].Path) < pathNumber(s.Chips[j-1].Path); j-- {
			s.Chips[j], s.Chips[j-1] = s.Chips[j-1], s.Chips[j]
		}
	}
	s.Header = all.header(targets)
	return s
}

// pathNumber is the number at the end of a device's path: gpiochip10 comes behind
// gpiochip9.
func pathNumber(path string) int {
	n, _ := strconv.Atoi(path[len(strings.TrimRight(path, "0123456789")):])
	return n
}

func (c chipState) show(targets map[spot]string) Chip {
	s := Chip{Path: c.path, Also: c.also, Name: c.name, Label: c.label, Lines: []Line{}}
	if c.err != nil {
		s.Fault = reading(c.err, "gpio")
	}
	for i := range c.lines {
		l := showLine(&c.lines[i])
		l.Target = targets[spot{c.name, uint32(i)}]
		s.Lines = append(s.Lines, l)
	}
	return s
}

func showLine(info *unix.GPIOV2LineInfo) Line {
	has := func(flag uint64) bool { return info.Flags&flag != 0 }
	l := Line{
		Offset: info.Offset, Name: unix.ByteSliceToString(info.Name[:]), Used: has(lineUsed),
		Holder: unix.ByteSliceToString(info.Consumer[:]), Direction: "input", ActiveLow: has(lineActiveLow),
	}
	if has(lineOutput) {
		l.Direction = "output"
	}
	for _, f := range []struct {
		flag uint64
		to   *string
		word string
	}{
		{lineBiasPullUp, &l.Bias, "pull-up"}, {lineBiasPullDown, &l.Bias, "pull-down"}, {lineBiasDisabled, &l.Bias, "disabled"},
		{lineOpenDrain, &l.Drive, "open-drain"}, {lineOpenSource, &l.Drive, "open-source"},
	} {
		if has(f.flag) {
			*f.to = f.word
		}
	}
	return l
}

// reading is why something could not be read, with what to do about a right that is
// missing: group has it, by our udev rules and by Raspberry Pi OS's.
func reading(err error, group string) string {
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return fmt.Sprintf("no permission: be in group %s (sudo usermod -aG %s $USER, then log in again), or use sudo", group, group)
	}
	return err.Error()
}

// header is what a Raspberry Pi's pins are and who has them.
func (all chips) header(targets map[spot]string) []Pin {
	pins := []Pin{}
	for i, name := range piPins(all.model) {
		p := Pin{Number: i + 1, Name: name}
		if found, err := all.find(name); err == nil && len(found.places) == 1 {
			at := found.places[0]
			for _, c := range all.all {
				if c.err == nil && c.name == at.chip {
					l := showLine(&c.lines[at.offset])
					p.Place, p.Used, p.Holder, p.Target = at.String(), l.Used, l.Holder, targets[at.spot]
				}
			}
		}
		pins = append(pins, p)
	}
	return pins
}
