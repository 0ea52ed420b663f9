package hil_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"actuatord/test/hil/machine"
)

// ast is an AST2600: a real board's GPIO and I2C controllers, emulated down to their
// registers and driven by the kernel's own drivers for them.
type ast struct{ *guest }

// The pins are named as a Pi's are, by the device tree, as on a Pi. They are those of
// bank P, which no other controller of this board claims: first the configuration's,
// then two for the board suite.
const (
	astPins  = "GPIO17 GPIO27 GPIO22 GPIO23 GPIO24"
	astFirst = 8 * ('P' - 'A') // the chip's number of P0
)

// astPin is the emulator's name of an output's pin, and its number on the chip.
func astPin(output string) (name string, offset int) {
	i := map[string]int{"pump": 0, "valve": 1, "beacon": 2}[output]
	return fmt.Sprintf("gpioP%d", i), astFirst + i
}

const (
	astGPIO = "/machine/soc/gpio"
	astBus  = "bus=aspeed.i2c.bus.1" // i2c-1 to the kernel

	astStart = `
mkdir -p /var/lib/actuatord
tries=0
until card=$(ls /dev/mmcblk?) 2>/dev/null || [ $tries -gt 200 ]; do sleep 0.1; tries=$((tries + 1)); done
mount -t ext4 "$card" /var/lib/actuatord || echo "HIL-FAULT no card"
`
)

func bootAST(t *testing.T, k machine.Kit) *ast {
	kernel, err := k.Kernel("armhf")
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "named.dtb")
	text, err := os.ReadFile(kernel.DeviceTree("aspeed-ast2600-evb.dtb"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tree, text, 0o600); err != nil {
		t.Fatal(err)
	}
	names := append(make([]string, astFirst), strings.Fields(astPins)...)
	for _, args := range [][]string{
		append([]string{"-t", "s", tree, "/ahb/apb/gpio@1e780000", "gpio-line-names"}, names...),
		{tree, "/ahb/apb/sdc@1e740000/sdhci@1e740100", "disable-wp"}, // the emulator's card says it is write-protected
	} {
		if out, err := exec.Command(k.Tool("fdtput"), args...).CombinedOutput(); err != nil {
			t.Fatalf("fdtput %q: %v\n%s", args, err, out)
		}
	}
	return &ast{boot(t, target{arch: "arm", arm: "7"}, machine.Options{
		Kit: k, Board: machine.AST2600(), DeviceTree: tree,
		Args: []string{
			"-drive", "if=sd,index=0,format=raw,file=" + disk(t, k),
			"-device", "pca9552,id=lamps,address=0x60," + astBus,
			"-device", "ds1338,address=0x68," + astBus,
		},
		Initramfs: machine.Initramfs{
			Modules: []machine.Module{
				{Name: "gpio-aspeed"}, {Name: "i2c-dev"}, {Name: "i2c-aspeed"},
				{Name: "gpio-regulator"}, {Name: "sdhci-of-aspeed"}, {Name: "crc32c_generic"}, {Name: "ext4"},
			},
			Files: []machine.File{{Path: "/start.sh", Data: []byte(astStart), Mode: 0o644}},
		},
	})}
}

func (a *ast) bench() *bench {
	return &bench{station: a.station, name: onAST,
		number: func(t *testing.T, output string) int {
			_, offset := astPin(output)
			return a.base(t, "1e780000.gpio") + offset
		},
		on: func(t *testing.T, output string) bool {
			pin, _ := astPin(output)
			var high bool
			if err := a.Property(astGPIO, pin, &high); err != nil {
				t.Fatal(err)
			}
			return high == (output == "beacon") // the others are active low
		},
		holds: func(t *testing.T, address, reg byte) string {
			if address != lamps || reg != lights {
				t.Fatalf("only the first four lamps are looked at")
			}
			return a.lamps(t)
		},
	}
}

// lamps is the first LED selector as the lamps themselves show it: two bits each,
// the first in the lowest.
func (a *ast) lamps(t *testing.T) string {
	t.Helper()
	selector := 0
	for i := range 4 {
		var state string
		if err := a.Property("/machine/peripheral/lamps", fmt.Sprintf("led%d", i), &state); err != nil {
			t.Fatal(err)
		}
		selector |= map[string]int{"on": 0, "off": 1, "pwm0": 2, "pwm1": 3}[state] << (2 * i)
	}
	return fmt.Sprintf("%02x", selector)
}

// TestAST2600: the controllers and drivers of a real board.
func TestAST2600(t *testing.T) {
	k := kit(t)
	t.Parallel()
	a := bootAST(t, k)
	note("%s: Linux %s, %d s to the first command.", onAST, a.Kernel.Version, int(a.booted.Seconds()))
	b := a.bench()
	// The pull-ups of the relay board's wiring: what an input sees.
	for _, output := range []string{"pump", "valve"} {
		pin, _ := astPin(output)
		if err := a.SetProperty(astGPIO, pin, true); err != nil {
			t.Fatal(err)
		}
	}
	check(t, b.name, "the board suite passes on the kernel's lines and bus", func(t *testing.T) {
		a.conformance(t, "ACTUATORD_TEST_LINES=GPIO23,GPIO24 ACTUATORD_TEST_REGISTERS=1:0x68:0x10:0x10")
	})
	if err := a.SetProperty(astGPIO, "gpioP4", true); err != nil {
		t.Fatal(err)
	}
	a.catches(t, b, "GPIO24", a.base(t, "1e780000.gpio")+astFirst+4)
	check(t, b.name, "`actuatord check` finds lines and bus, and takes none", func(t *testing.T) { a.checks(t) })
	a.listen(t)
	a.start(t)
	a.fromBoot(t, b)
	b.everyday(t)
	a.noGlitch(t, b)
	check(t, b.name, "a device that does not answer: a write that is made once is interrupted nack", func(t *testing.T) {
		b.command(t, `{"target":"horn","action":"write","register":6,"bytes":"01"}`, "interrupted nack")
	})
	check(t, b.name, "a stop leaves outputs and registers safe", func(t *testing.T) {
		b.command(t, `{"target":"pump","action":"on"}`, "done")
		b.command(t, `{"target":"lamps","action":"write","register":6,"bytes":"00"}`, "done")
		if code := a.end(t, "TERM"); code != 0 {
			t.Errorf("exit code %d\n%s", code, a.log())
		}
		b.wires(t)
		b.device(t, lamps, lights, "55")
	})
}
