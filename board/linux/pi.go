package linux

import (
	"slices"
	"strconv"
	"strings"
)

// piModel begins the model of every Raspberry Pi's device tree.
const piModel = "Raspberry Pi"

// piChips are the labels of the chip that a Raspberry Pi's header is on: Zero to 3,
// 4, and 5 (drivers/pinctrl/bcm/pinctrl-bcm2835.c, drivers/pinctrl/pinctrl-rp1.c). On
// each of them GPIOn is line n. Which gpiochipN it is, is no help: on a Pi 5 that was
// 4 until Linux 6.6.45 and is 0 since (raspberrypi/linux#6144), where Raspberry Pi OS
// keeps gpiochip4 as a link.
func piChips() []string {
	return []string{"pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"}
}

// piHeader is the last GPIO on a Pi's header. Those behind it drive what is soldered
// on: the SD card, the radio, the power switch of the USB ports. Whoever means one of
// them names its place.
const piHeader = 27

// piLine finds GPIOn on a Raspberry Pi where no line has that name: some device trees
// name none, and mainline's call GPIO2 "SDA1" (bcm2711-rpi-4-b.dts). All chips have
// been read by then, so the name is nowhere.
func (all chips) piLine(line string) []place {
	n, ok := piNumber(line)
	if !ok || !strings.HasPrefix(all.model, piModel) {
		return nil
	}
	var places []place
	for _, c := range all.all {
		if slices.Contains(piChips(), c.label) && n < len(c.lines) {
			places = append(places, c.place(n))
		}
	}
	return places
}

// piNumber reads GPIO0 to GPIO27, in the one way to write it.
func piNumber(line string) (int, bool) {
	digits, ok := strings.CutPrefix(line, "GPIO")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 0 && n <= piHeader && strconv.Itoa(n) == digits
}

// piPins are the pins of a Raspberry Pi's header, pin 1 first; none for what has no
// header of its own (a compute module) or is no Raspberry Pi. From the pinout in
// Raspberry Pi's documentation ("GPIO and the 40-pin header"), which periph's package
// rpi has too; that one cannot be imported without its drivers registering themselves.
func piPins(model string) []string {
	if !strings.HasPrefix(model, piModel+" ") || strings.HasPrefix(model, piModel+" Compute Module") {
		return nil
	}
	pins := strings.Fields(`3V3 5V  GPIO2 5V  GPIO3 GND  GPIO4 GPIO14  GND GPIO15  GPIO17 GPIO18  GPIO27 GND  GPIO22 GPIO23
		3V3 GPIO24  GPIO10 GND  GPIO9 GPIO25  GPIO11 GPIO8  GND GPIO7
		GPIO0 GPIO1  GPIO5 GND  GPIO6 GPIO12  GPIO13 GND  GPIO19 GPIO16  GPIO26 GPIO20  GND GPIO21`)
	// The first two models have 26 pins, and the very first has other lines on three.
	if strings.HasPrefix(model, piModel+" Model A Rev") || strings.HasPrefix(model, piModel+" Model B Rev") {
		pins = pins[:26]
	}
	if strings.HasPrefix(model, piModel+" Model B Rev 1") {
		pins[3-1], pins[5-1], pins[13-1] = "GPIO0", "GPIO1", "GPIO21"
	}
	return pins
}
