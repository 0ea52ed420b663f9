package linux

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
)

// TestAddressing: where a line is on the boards that people have, whatever the order
// and the numbers of their chips; and what is refused there.
func TestAddressing(t *testing.T) {
	for _, c := range []struct {
		name string
		m    *machine
		line string
		at   string // place and path; "" if it is refused
		says string // then: what with
	}{
		{"Pi 3, name", newPi3(), "GPIO17", "pinctrl-bcm2835:17 /dev/gpiochip0", ""},
		{"Pi 3, other chip", newPi3(), "BT_ON", "raspberrypi-exp-gpio:0 /dev/gpiochip1", ""},
		{"Pi 4, name", newPi4(), "GPIO17", "pinctrl-bcm2711:17 /dev/gpiochip0", ""},
		{"Pi 4, place", newPi4(), "pinctrl-bcm2711:17", "pinctrl-bcm2711:17 /dev/gpiochip0", ""},
		{"Pi 4, another's label", newPi4(), "pinctrl-bcm2835:17", "", "no GPIO chip has that label"},
		{"Pi 4, chip's number", newPi4(), "gpiochip0:17", "", "no GPIO chip has that label"},
		{"Pi 5, name", newPi5(false), "GPIO17", "pinctrl-rp1:17 /dev/gpiochip0", ""},
		{"Pi 5, place", newPi5(false), "pinctrl-rp1:17", "pinctrl-rp1:17 /dev/gpiochip0", ""},
		{"Pi 5 before 6.6.45, name", newPi5(true), "GPIO17", "pinctrl-rp1:17 /dev/gpiochip4", ""},
		{"Pi 5 before 6.6.45, place", newPi5(true), "pinctrl-rp1:17", "pinctrl-rp1:17 /dev/gpiochip4", ""},
		{"Pi 5, HAT pins by place", newPi5(false), "pinctrl-rp1:0", "pinctrl-rp1:0 /dev/gpiochip0", ""},
		{"Pi 5, HAT pins by number", newPi5(false), "GPIO0", "pinctrl-rp1:0 /dev/gpiochip0", ""},

		{"no names, Pi 3", newPiUnnamed("Raspberry Pi 3 Model B Rev 1.2", "pinctrl-bcm2835", 54), "GPIO17", "pinctrl-bcm2835:17 /dev/gpiochip0", ""},
		{"no names, Pi 4", newPiUnnamed("Raspberry Pi 4 Model B Rev 1.1", "pinctrl-bcm2711", 58), "GPIO27", "pinctrl-bcm2711:27 /dev/gpiochip0", ""},
		{"no names, Pi 5", newPiUnnamed("Raspberry Pi 5 Model B Rev 1.0", "pinctrl-rp1", 54), "GPIO4", "pinctrl-rp1:4 /dev/gpiochip0", ""},
		{"mainline's names", newPiMainline(), "GPIO2", "pinctrl-bcm2711:2 /dev/gpiochip0", ""},
		{"mainline's own name", newPiMainline(), "SDA1", "pinctrl-bcm2711:2 /dev/gpiochip0", ""},
		{"behind the header", newPi4(), "GPIO28", "", "no GPIO chip has that line"},
		{"two ways to write a number", newPiUnnamed("Raspberry Pi 4 Model B", "pinctrl-bcm2711", 58), "GPIO04", "", "no GPIO chip has that line"},
		{"a negative one", newPiUnnamed("Raspberry Pi 4 Model B", "pinctrl-bcm2711", 58), "GPIO-4", "", "no GPIO chip has that line"},
		{"in small letters", newPiMainline(), "gpio2", "", "no GPIO chip has that line"},
		{"a chip that is too small", newPiUnnamed("Raspberry Pi 4 Model B", "pinctrl-bcm2711", 17), "GPIO17", "", "no GPIO chip has that line"},
		{"a Pi's chip in another machine", newPiUnnamed("Some other board", "pinctrl-bcm2711", 58), "GPIO17", "", "no GPIO chip has that line"},
		{"no Pi", newOther(), "GPIO17", "", "no GPIO chip has that line"},
		{"no Pi, whose chip is called GPIO1", newOther(), "GPIO1:17", "GPIO1:17 /dev/gpiochip0", ""},
		{"no chips", newMachine(), "GPIO17", "", "no GPIO chip has that line"},
		{"no permission", newForbidden(), "GPIO17", "", "group gpio"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDriver(c.m.kernel())
			at, err := d.lookUp(board.LineSpec{Target: "pump", Line: c.line})
			if err == nil && at.String()+" "+at.path != c.at {
				t.Errorf("found at %s %s; want %q", at, at.path, c.at)
			}
			if err != nil && (c.says == "" || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v; want %q %q", err, c.at, c.says)
			}
		})
	}
}

// TestNameOnTwoChips: an expander that names a line like the SoC does is refused with
// both places, wherever it comes in the order, and is had by its place.
func TestNameOnTwoChips(t *testing.T) {
	for _, first := range []bool{true, false} {
		m := newPi4()
		m.addChip("/dev/gpiochip2", "gpiochip2", "1-0020", "GPIO17", "")
		if first {
			slices.Reverse(m.paths)
		}
		d := newDriver(m.kernel())
		var e *board.LineError
		if _, err := d.Output(spec("GPIO17"), gpio.Low); !errors.As(err, &e) || e.Fault != board.AmbiguousLine ||
			!strings.Contains(err.Error(), `"pinctrl-bcm2711:17"`) || !strings.Contains(err.Error(), `"1-0020:0"`) {
			t.Errorf("expander first %v: %v; want both places", first, err)
		}
		if len(m.requests) != 0 {
			t.Error("one of them was taken")
		}
		for _, line := range []string{"pinctrl-bcm2711:17", "1-0020:0"} {
			if _, err := d.Output(spec(line), gpio.Low); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestNumberOnTwoChips: nor is the SoC's chip settled by order where no line is named.
func TestNumberOnTwoChips(t *testing.T) {
	m := newPiUnnamed("Raspberry Pi 4 Model B", "pinctrl-bcm2711", 58)
	m.addChip("/dev/gpiochip1", "gpiochip1", "pinctrl-rp1", make([]string, 54)...)
	var e *board.LineError
	if _, err := newDriver(m.kernel()).locate("GPIO17"); !errors.As(err, &e) || e.Fault != board.AmbiguousLine || len(e.Places) != 2 {
		t.Errorf("%v; want both places", err)
	}
}

// TestNumberBesideAnUnreadChip: the name may be on the chip that could not be read,
// so the number does not stand in for it.
func TestNumberBesideAnUnreadChip(t *testing.T) {
	m := newPiMainline()
	m.chips["/dev/gpiochip1"].refuse = unix.EACCES
	var e *board.LineError
	if _, err := newDriver(m.kernel()).locate("GPIO2"); !errors.As(err, &e) || e.Fault != board.LinePermission {
		t.Errorf("%v; want it to say that a chip may not be read", err)
	}
}

func lines(pairs ...string) []board.LineSpec {
	var all []board.LineSpec
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, board.LineSpec{Target: pairs[i], Line: pairs[i+1]})
	}
	return all
}

// TestTwins: lines that are one are found however they are written, and not two that
// only look alike.
func TestTwins(t *testing.T) {
	twoAlike := newOther()
	for _, c := range twoAlike.chips {
		c.label = "GPIO1"
	}
	twoAlike.chips["/dev/gpiochip0"].lines[3].name, twoAlike.chips["/dev/gpiochip1"].lines[3].name = "RELAY1", "RELAY2"
	for _, c := range []struct {
		name  string
		m     *machine
		lines []board.LineSpec
		twins []string // the target of each, and what it must say
	}{
		{"name and place", newPi4(), lines("pump", "GPIO17", "lamp", "GPIO27", "fan", "pinctrl-bcm2711:17"),
			[]string{"fan", `output "fan", line "pinctrl-bcm2711:17": in use by "pump", whose line "GPIO17" is the same one; each needs a line of its own: both are pinctrl-bcm2711:17`}},
		{"name and number", newPiMainline(), lines("pump", "SDA1", "fan", "GPIO2"), []string{"fan", "pinctrl-bcm2711:2"}},
		{"three of them", newPiMainline(), lines("pump", "SDA1", "fan", "GPIO2", "lamp", "pinctrl-bcm2711:2"), []string{"fan", `"pump"`, "lamp", `"pump"`}},
		{"a chip with two paths", newPi5(false), lines("pump", "GPIO17", "fan", "pinctrl-rp1:17"), []string{"fan", "pinctrl-rp1:17"}},
		{"neighbours", newPi4(), lines("pump", "GPIO17", "fan", "pinctrl-bcm2711:18"), nil},
		{"one offset, two chips", newPi4(), lines("pump", "pinctrl-bcm2711:1", "fan", "WL_ON"), nil},
		{"one offset, two chips of one label", twoAlike, lines("pump", "RELAY1", "fan", "RELAY2"), nil},
		{"not there", newPi4(), lines("pump", "GPIO99", "fan", "GPIO99"), nil},
		{"no permission", newForbidden(), lines("pump", "GPIO17", "fan", "pinctrl-bcm2711:17"), nil},
		{"none", newPi4(), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			twins := newDriver(c.m.kernel()).twins(c.lines)
			if len(twins) != len(c.twins)/2 {
				t.Errorf("%v; want %d", twins, len(c.twins)/2)
			}
			for i := 0; i < len(c.twins); i += 2 {
				if err := twins[c.twins[i]]; err == nil || !strings.Contains(err.Error(), c.twins[i+1]) {
					t.Errorf("%s: %v; want %q", c.twins[i], err, c.twins[i+1])
				}
			}
			if len(c.m.requests) != 0 || len(c.m.open) != 0 {
				t.Errorf("%d lines were taken, %d descriptors are open", len(c.m.requests), len(c.m.open))
			}
		})
	}
}

// TestTwinIsTaken: where a twin appears only later the kernel says busy; both outputs
// are named then, until the first lets go.
func TestTwinIsTaken(t *testing.T) {
	m := newPi4()
	d := newDriver(m.kernel())
	p, err := d.Output(spec("GPIO17"), gpio.Low)
	if err != nil {
		t.Fatal(err)
	}
	fan := board.LineSpec{Target: "fan", Line: "pinctrl-bcm2711:17", Consumer: board.Consumer}
	_, err = d.Output(fan, gpio.High)
	for _, want := range []string{`"fan"`, `"pinctrl-bcm2711:17"`, `"pump"`, `"GPIO17"`, "line of its own"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want it to say %s", err, want)
		}
	}
	if w := m.chips["/dev/gpiochip0"].lines[17]; !slices.Equal(w.edges, []bool{false}) {
		t.Errorf("the wire saw %v", w.edges)
	}
	if err := p.(*pin).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Output(fan, gpio.Low); err != nil {
		t.Errorf("once it is free: %v", err)
	}
	m.chips["/dev/gpiochip0"].lines[27].consumer = board.Consumer // another process of ours
	var e *board.LineError
	if _, err := d.Output(spec("GPIO27"), gpio.Low); !errors.As(err, &e) || e.Holder != board.Consumer || e.Twin.Target != "" {
		t.Errorf("held by another process: %v; want no twin", err)
	}
}
