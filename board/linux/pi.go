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
