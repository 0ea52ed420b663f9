package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Kit is the cache that fetch.sh filled.
type Kit struct{ dir string }

// Open names a cache, and asks whether its tools are there.
func Open(dir string) (Kit, error) {
	k := Kit{dir}
	if _, err := os.Stat(k.Tool("qemu-system-aarch64")); err != nil {
		return Kit{}, fmt.Errorf("look for qemu in the cache: %w; test/hil/fetch.sh fills it", err)
	}
	return k, nil
}

// Tool is the path of a program: qemu-system-…, dtc, fdtput, mke2fs, e2fsck,
// debugfs, busybox.
func (k Kit) Tool(name string) string { return filepath.Join(k.dir, "tools", "tool", name) }

// Simulator is the path of a module that was built here: irqsim, gpio-sim,
// i2c-regsim, all for arm64.
func (k Kit) Simulator(name string) string {
	return filepath.Join(k.dir, "simulators", name+".ko")
}

// Kernel is a stock kernel with its modules.
type Kernel struct {
	Arch    string // Debian's name for it: arm64, armhf, amd64
	Version string // as uname -r says it
	Image   string // the path of what qemu boots
	BusyBox string // a static busybox of the architecture

	root string
}

// Kernel finds the kernel of an architecture.
func (k Kit) Kernel(arch string) (Kernel, error) {
	root := filepath.Join(k.dir, arch)
	text, err := os.ReadFile(filepath.Join(root, "version"))
	if err != nil {
		return Kernel{}, fmt.Errorf("look for the %s kernel in the cache: %w; test/hil/fetch.sh %[1]s brings it", arch, err)
	}
	version := strings.TrimSpace(string(text))
	return Kernel{
		Arch: arch, Version: version, root: root,
		Image:   filepath.Join(root, "boot", "vmlinuz-"+version),
		BusyBox: filepath.Join(root, "bin", "busybox"),
	}, nil
}

// DeviceTree is the path of a device tree that comes with the kernel, such as
// "aspeed-ast2600-evb.dtb".
func (k Kernel) DeviceTree(name string) string {
	return filepath.Join(k.root, "usr", "lib", "linux-image-"+k.Version, name)
}

// relay is the program that carries a forwarded connection: static, so that it
// starts without the shell that Tool's scripts are.
func (k Kit) relay() string { return filepath.Join(k.dir, "tools", "bin", "busybox") }
