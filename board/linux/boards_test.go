package linux

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// The machines that people have, as their kernels show them: labels, numbers of lines
// and names after raspberrypi/linux (bcm2710-rpi-3-b.dts, bcm2711-rpi-4-b.dts,
// bcm2712-rpi-5-b.dts) and the gpiodetect listings of raspberrypi/linux#6144 and
// WiringPi#280.

// headerNames are the first lines of a Pi's chip as Raspberry Pi OS names them.
func headerNames() []string {
	names := []string{"ID_SDA", "ID_SCL"}
	for n := 2; n <= 27; n++ {
		names = append(names, fmt.Sprintf("GPIO%d", n))
	}
	return names
}

// padded fills names up to n lines; the others have none.
func padded(names []string, n int) []string {
	return append(slices.Clone(names), make([]string, n-len(names))...)
}

func newPi3() *machine {
	m := newMachine()
	m.model = "Raspberry Pi 3 Model B Rev 1.2"
	m.addChip("/dev/gpiochip0", "gpiochip0", "pinctrl-bcm2835", padded(append(headerNames(), "HDMI_HPD_N", "STATUS_LED_G", "CTS0", "RTS0"), 54)...)
	m.addChip("/dev/gpiochip1", "gpiochip1", "raspberrypi-exp-gpio", "BT_ON", "WL_ON", "STATUS_LED_R", "LAN_RUN", "", "CAM_GPIO0", "CAM_GPIO1", "")
	return m
}

func newPi4() *machine {
	m := newMachine()
	m.model = "Raspberry Pi 4 Model B Rev 1.4"
	m.addChip("/dev/gpiochip0", "gpiochip0", "pinctrl-bcm2711", padded(append(headerNames(), "RGMII_MDIO", "RGMIO_MDC"), 58)...)
	m.addChip("/dev/gpiochip1", "gpiochip1", "raspberrypi-exp-gpio", "BT_ON", "WL_ON", "PWR_LED_OFF", "GLOBAL_RESET", "VDD_SD_IO_SEL", "CAM_GPIO", "SD_PWR_ON", "")
	return m
}

// newPi5 is a Pi 5 since Linux 6.6.45; old is one before. Both look for chips in the
// order of their names, as glob does.
func newPi5(old bool) *machine {
	m := newMachine()
	m.model = "Raspberry Pi 5 Model B Rev 1.0"
	soc := []struct {
		label string
		lines []string
	}{
		{"gpio-brcmstb@107d508500", padded([]string{"-", "2712_BOOT_CS_N", "2712_BOOT_MISO", "2712_BOOT_MOSI", "2712_BOOT_SCLK"}, 32)},
		{"gpio-brcmstb@107d508520", padded(nil, 4)},
		{"gpio-brcmstb@107d517c00", padded([]string{"RP1_SDA", "RP1_SCL", "RP1_RUN"}, 17)},
		{"gpio-brcmstb@107d517c20", padded([]string{"HDMI0_SCL", "HDMI0_SDA"}, 6)},
	}
	header := padded(append(headerNames(), "PCIE_RP1_WAKE", "FAN_TACH"), 54)
	first := 10
	if old {
		first = 0
	}
	var rp1 *chip
	if !old {
		rp1 = m.addChip("/dev/gpiochip0", "gpiochip0", "pinctrl-rp1", header...)
	}
	for i, c := range soc {
		name := fmt.Sprintf("gpiochip%d", first+i)
		m.addChip("/dev/"+name, name, c.label, c.lines...)
	}
	if old {
		m.addChip("/dev/gpiochip4", "gpiochip4", "pinctrl-rp1", header...)
	} else {
		m.paths = append(m.paths, "/dev/gpiochip4") // Raspberry Pi OS's link
		m.chips["/dev/gpiochip4"] = rp1
	}
	return m
}

// newPiUnnamed is a Pi whose device tree names no line.
func newPiUnnamed(model, label string, lines int) *machine {
	m := newMachine()
	m.model = model
	m.addChip("/dev/gpiochip0", "gpiochip0", label, make([]string, lines)...)
	return m
}

// newPiMainline is a Pi 4 under Debian's own kernel, whose device tree names lines
// for what they are used for.
func newPiMainline() *machine {
	m := newPi4()
	for offset, name := range map[int]string{2: "SDA1", 3: "SCL1", 4: "GPIO_GCLK", 7: "SPI_CE1_N", 8: "SPI_CE0_N", 9: "SPI_MISO", 10: "SPI_MOSI", 11: "SPI_SCLK", 14: "TXD1", 15: "RXD1"} {
		m.chips["/dev/gpiochip0"].lines[offset].name = name
	}
	return m
}

// newOther is no Raspberry Pi, and names nothing.
func newOther() *machine {
	m := newMachine()
	m.model = "Globalscale Marvell ESPRESSOBin Board"
	m.addChip("/dev/gpiochip0", "gpiochip0", "GPIO1", make([]string, 36)...)
	m.addChip("/dev/gpiochip1", "gpiochip1", "GPIO2", make([]string, 30)...)
	return m
}

// newForbidden is a Pi 4 whose user is in no group.
func newForbidden() *machine {
	m := newPi4()
	for _, c := range m.chips {
		c.refuse = unix.EACCES
	}
	return m
}
