package hil_test

import (
	"fmt"
	"strings"
	"testing"

	"actuatord/test/hil/machine"
)

// virt is a generic ARM board with gpio-sim in place of a Pi's header and i2c-regsim
// in place of its bus.
type virt struct {
	*guest
	pins string // where gpio-sim shows its lines
}

// What the guest does before it takes commands: the journal's disk, and a chip whose
// lines have a Pi's names. GPIO17, GPIO27 and GPIO5 get the pull-up that the relay
// board's wiring must have.
const virtStart = `
mkdir -p /var/lib/actuatord
mount -t ext4 /dev/vda /var/lib/actuatord || echo "HIL-FAULT no disk"
header=/sys/kernel/config/gpio-sim/header
mkdir -p $header/bank0
echo 28 >$header/bank0/num_lines
line=0
while [ $line -lt 28 ]; do
	mkdir $header/bank0/line$line
	echo GPIO$line >$header/bank0/line$line/name
	line=$((line + 1))
done
plug() {
	echo 1 >$header/live
	cd /sys/devices/platform/gpio-sim.*/gpiochip*/ || echo "HIL-FAULT no gpio-sim"
	pins=$PWD
	cd /
	for line in 17 27 5; do echo pull-up >$pins/sim_gpio$line/pull; done
}
plug
bus=/sys/bus/i2c/devices/i2c-1
`

func bootVirt(t *testing.T, k machine.Kit) *virt {
	simulator := func(name, params string) machine.Module {
		return machine.Module{Path: k.Simulator(name), Params: params}
	}
	g := boot(t, target{arch: "arm64"}, machine.Options{
		Kit: k, Board: machine.VirtARM64(),
		Args: []string{"-drive", "if=none,id=disk,format=raw,file=" + disk(t, k), "-device", "virtio-blk-pci,drive=disk"},
		Initramfs: machine.Initramfs{
			Modules: []machine.Module{
				{Name: "virtio_blk"}, {Name: "crc32c_generic"}, {Name: "ext4"}, {Name: "configfs"}, {Name: "i2c-dev"},
				simulator("irqsim", ""), simulator("gpio-sim", ""), simulator("i2c-regsim", "bus=1 chips=0x60,0x61"),
			},
			Files: []machine.File{{Path: "/start.sh", Data: []byte(virtStart), Mode: 0o644}},
		},
	})
	return &virt{guest: g, pins: g.must(t, "echo $pins")}
}

func (v *virt) bench() *bench {
	return &bench{station: v.station, name: onVirt,
		number: func(t *testing.T, output string) int { return v.base(t, "gpio-sim") + lineOf(output) },
		on: func(t *testing.T, output string) bool {
			high := v.must(t, "cat %s/sim_gpio%d/value", v.pins, lineOf(output)) == "1"
			return high == (output == "beacon") // the others are active low
		},
		holds: func(t *testing.T, address, reg byte) string {
			offset := int(address-lamps)*256 + int(reg)
			return v.must(t, "dd if=$bus/regs bs=1 skip=%d count=1 2>/dev/null | hexdump -e '1/1 \"%%02x\"'", offset)
		},
	}
}

// lineOf is the number in an output's line name.
func lineOf(output string) int {
	return map[string]int{"pump": 17, "valve": 27, "beacon": 22}[output]
}

// TestVirt: everything that needs both sides of a pin and a bus that can be made to
// fail.
func TestVirt(t *testing.T) {
	k := kit(t)
	t.Parallel()
	v := bootVirt(t, k)
	note("%s: Linux %s, %d s to the first command.", onVirt, v.Kernel.Version, int(v.booted.Seconds()))
	b := v.bench()
	check(t, b.name, "the board suite passes on the kernel's lines and bus", func(t *testing.T) {
		v.conformance(t, "ACTUATORD_TEST_REGISTERS=1:0x60:0x40:0x10", "inputs", "closed_input", "held_input", "permits")
		v.must(t, "dd if=/dev/zero of=$bus/regs bs=512 count=1 2>/dev/null")
	})
	v.catches(t, b, "GPIO5", v.base(t, "gpio-sim")+5)
	check(t, b.name, "`actuatord check` finds lines and bus, and takes none", func(t *testing.T) { v.checks(t) })
	v.listen(t)
	v.start(t)
	v.fromBoot(t, b)
	b.everyday(t)
	v.noGlitch(t, b)
	v.faults(t, b)
	v.stuck(t, b)
	v.unplugged(t, b)
	check(t, b.name, "a stop leaves outputs and registers safe", func(t *testing.T) {
		b.command(t, `{"target":"pump","action":"on"}`, "done")
		b.command(t, `{"target":"lamps","action":"write","register":6,"bytes":"00"}`, "done")
		if code := v.end(t, "TERM"); code != 0 {
			t.Errorf("exit code %d\n%s", code, v.log())
		}
		b.wires(t)
		b.device(t, lamps, lights, "55")
	})
}

// fault has every transfer of the bus do something; "" is nothing.
func (v *virt) fault(t *testing.T, settings string) {
	t.Helper()
	line := "echo 0 >$bus/fault; echo -1 >$bus/faults; echo 0 >$bus/delay_ms; echo 0 >$bus/stuck_ms"
	for _, s := range strings.Fields(settings) {
		name, value, _ := strings.Cut(s, "=")
		line += fmt.Sprintf("; echo %s >$bus/%s", value, name)
	}
	v.must(t, "%s", line)
}

// What a transfer ends with, from errno.h.
const (
	eio   = "fault=5"
	enxio = "fault=6"
)

// faults: what each does to a command that may not be repeated and to one that may.
func (v *virt) faults(t *testing.T, b *bench) {
	const sound = `{"target":"horn","action":"write","register":6,"bytes":"01"}`
	for _, c := range []struct{ name, fault, want string }{
		{"a device that does not answer", enxio, "interrupted nack"},
		{"an adapter that fails", eio, "interrupted io-error"},
		// Below what the kernel waits by itself (1 s), above what we have it wait
		// (0.2 s): the timeout that is found is ours.
		{"a transfer that takes too long", "delay_ms=600", "interrupted timeout"},
		{"a transfer that takes its time", "delay_ms=100", "done"},
		{"no fault any more", "", "done"},
	} {
		check(t, b.name, c.name+": a write that is made once is "+c.want, func(t *testing.T) {
			before := v.number(t, "cat $bus/transfers")
			v.fault(t, c.fault)
			b.command(t, sound, c.want)
			writes := 1
			if c.want == "done" {
				writes = 2 // and its reading back
			}
			if n := v.number(t, "cat $bus/transfers") - before; n != writes {
				t.Errorf("%d transfers; want %d", n, writes)
			}
			v.fault(t, "")
		})
	}
	check(t, b.name, "a disturbance that passes: a write that may be repeated is done", func(t *testing.T) {
		v.fault(t, eio+" faults=2")
		b.command(t, `{"target":"lamps","action":"write","register":6,"bytes":"51"}`, "done")
		b.device(t, lamps, lights, "51")
	})
	check(t, b.name, "safe bytes that a dead bus kept off are written when it is back", func(t *testing.T) {
		if code := v.end(t, "TERM"); code != 0 {
			t.Errorf("exit code %d\n%s", code, v.log())
		}
		v.must(t, "dd if=/dev/zero of=$bus/regs bs=512 count=1 2>/dev/null")
		v.fault(t, enxio)
		v.start(t)
		b.command(t, `{"target":"pump","action":"pulse","for":"100ms"}`, "done") // outputs do not wait for it
		b.device(t, lamps, lights, "00")
		v.fault(t, "")
		eventually(t, "the safe bytes", func() bool { return b.holds(t, lamps, lights) == "55" }, v.log)
	})
}

// stuck: a transfer that the kernel does not give back for 15 s, several times the
// second after which the board gives it up, and more than the watchdog's 9 s.
func (v *virt) stuck(t *testing.T, b *bench) {
	const write = `{"target":"lamps","action":"write","register":7,"bytes":"44"}`
	began := len(v.beats(t))
	check(t, b.name, "a bus that hangs holds up no output and no lease", func(t *testing.T) {
		v.fault(t, "stuck_ms=15000")
		b.command(t, `{"target":"horn","action":"write","register":6,"bytes":"01"}`, "interrupted timeout")
		leases := b.moves("pump", "lease")
		b.command(t, `{"target":"pump","action":"on","for":"1s"}`, "done")
		b.changed(t, "pump", "lease", "off", leases+1)
		b.wires(t)
		if out := v.status(t); !strings.Contains(out, "pump") {
			t.Errorf("status does not answer:\n%s", out)
		}
	})
	check(t, b.name, "a write that may be repeated has failed after half a minute of it", func(t *testing.T) {
		b.command(t, write, "failed timeout")
	})
	check(t, b.name, "the watchdog is fed all the while", func(t *testing.T) {
		all := v.beats(t)
		if n := len(all) - began; n < 4 {
			t.Errorf("%d beats in half a minute", n)
		}
		for i := began; i < len(all); i++ {
			if gap := all[i] - all[i-1]; gap > watchdogMicroseconds/1000 {
				t.Errorf("%d ms without a beat", gap)
			}
		}
	})
	check(t, b.name, "a stop does not wait for the bus to make outputs safe", func(t *testing.T) {
		b.command(t, `{"target":"pump","action":"on"}`, "done")
		v.must(t, "kill -TERM $(cat /run/pid)")
		eventually(t, "the pump is off", func() bool { return !b.on(t, "pump") }, v.log)
		v.fault(t, "")
		v.end(t, "TERM") // its exit code tells of the register that was not made safe
		v.start(t)
		b.command(t, write, "done")
		b.device(t, lamps, 7, "44")
	})
}

// unplugged: the lines' chip goes while the daemon has them, as an expander on a
// cable does, and comes back.
func (v *virt) unplugged(t *testing.T, b *bench) {
	check(t, b.name, "a chip that goes makes its outputs unknown", func(t *testing.T) {
		b.command(t, `{"target":"pump","action":"on"}`, "done")
		v.must(t, "echo 0 >$header/live")
		if r := b.command(t, `{"target":"pump","action":"off"}`, "failed io-error"); r.Level != "unknown" {
			t.Errorf("level %q; want unknown", r.Level)
		}
		b.command(t, `{"target":"pump","action":"on"}`, "refused level-unknown")
		if out := v.status(t); !strings.Contains(out, "unknown") {
			t.Errorf("status does not say unknown:\n%s", out)
		}
		if r := b.command(t, `{"target":"all","action":"read"}`, "done"); r.Levels["pump"] != "unknown" || r.Levels["valve"] != "off" {
			t.Errorf("levels %v", r.Levels)
		}
	})
	check(t, b.name, "and when it is back they are driven safe, and work", func(t *testing.T) {
		safe := b.moves("pump", "safe")
		v.pins = v.must(t, "plug; echo $pins")
		b.changed(t, "pump", "safe", "off", safe+1)
		b.wires(t)
		b.command(t, `{"target":"pump","action":"on"}`, "done")
		b.wires(t, "pump")
	})
}
