package machine

import "fmt"

// Board is a machine that qemu emulates, and what must be known to boot it.
type Board struct {
	Name    string
	Arch    string   // of the kernel
	Modules []Module // without which it has no network

	program string   // of qemu
	args    []string // the machine itself
	console string   // as the kernel calls the serial port that qemu gives us
	onboard bool     // it has a network device of its own
	tree    string   // the kernel's device tree for it; empty: the emulator makes one
}

// The boards. Memory is what the smallest of the boards we drive has, 512 MB, but
// where the emulated board has soldered memory.
func pci() []Module { return []Module{{Name: "virtio_pci"}, {Name: "virtio_net"}} }

// VirtARM64 is qemu's generic ARM board with the processor of a Raspberry Pi 3.
func VirtARM64() Board {
	return Board{
		Name: "virt arm64", Arch: "arm64", program: "qemu-system-aarch64", console: "ttyAMA0", Modules: pci(),
		args: []string{"-M", "virt", "-cpu", "cortex-a53", "-m", "512"},
	}
}

// VirtARM is the same with 32 bits. highmem=off: Debian's kernel for it, which has no
// LPAE, could not reach the PCI devices otherwise.
func VirtARM() Board {
	return Board{
		Name: "virt armhf", Arch: "armhf", program: "qemu-system-arm", console: "ttyAMA0", Modules: pci(),
		args: []string{"-M", "virt,highmem=off", "-cpu", "cortex-a15", "-m", "512"},
	}
}

// PC is a desk's machine.
func PC() Board {
	return Board{
		Name: "q35 amd64", Arch: "amd64", program: "qemu-system-x86_64", console: "ttyS0", Modules: pci(),
		args: []string{"-M", "q35", "-cpu", "max", "-m", "512"},
	}
}

// AST2600 is a 32-bit board whose GPIO and I2C controllers qemu emulates, pins and
// devices reachable by QMP. Power off does not end it; its caller does.
func AST2600() Board {
	return Board{
		Name: "ast2600-evb armhf", Arch: "armhf", program: "qemu-system-arm", console: "ttyS4,115200",
		onboard: true, tree: "aspeed-ast2600-evb.dtb",
		Modules: []Module{{Name: "mdio_aspeed"}, {Name: "ftgmac100"}},
		args:    []string{"-M", "ast2600-evb"},
	}
}

// Forward lets the guest reach one loopback port of the host, and no other.
type Forward struct {
	Guest int // the port at 10.0.2.100, as the guest sees it
	Host  int // the port at 127.0.0.1
}

// Peer is the address at which a guest finds the host's forwarded ports.
const Peer = "10.0.2.100"

// address is that of the guest's network device, by which it is told from others
// that the board may have.
const address = "52:54:00:12:34:56"

// network are qemu's arguments for a guest's network: none, or one that refuses
// whatever is not forwarded. romfile= is empty because a network boot needs a
// package that nothing else does.
func (b Board) network(k Kit, forwards []Forward) []string {
	if len(forwards) == 0 {
		return []string{"-nic", "none"}
	}
	user := "user,id=net,restrict=on"
	for _, f := range forwards {
		user += fmt.Sprintf(",guestfwd=tcp:%s:%d-cmd:%s nc 127.0.0.1 %d", Peer, f.Guest, k.relay(), f.Host)
	}
	if b.onboard {
		return []string{"-nic", user + ",mac=" + address}
	}
	return []string{"-netdev", user, "-device", "virtio-net-pci,netdev=net,romfile=,mac=" + address}
}
