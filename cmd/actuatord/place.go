package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// journalReserve is what the journal takes when it is made, and journalMost what
	// it never grows beyond (package persist).
	journalReserve, journalMost = 16 << 20, 64 << 20
)

// place tells on what the journal lies, or will lie: kind, writable, room. Whether
// it survives a power cut at all is k.journal's business.
func (k *checker) place(journal string) {
	dir := filepath.Dir(journal)
	for { // the service's first start makes it
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		k.bad("journal's disk", fmt.Errorf("look at %s: %w", dir, err), "the service's user must be able to reach it")
		return
	}
	made := int64(0)
	if info, err := os.Stat(journal); err == nil {
		made = info.Size()
	}
	free := int64(min(uint64(st.Bavail)*uint64(st.Bsize), 1<<62)) // types differ between architectures
	what := fmt.Sprintf("%s, %d MiB free", fileSystem(uint32(st.Type)), free>>20)
	switch {
	case st.Flags&unix.ST_RDONLY != 0:
		k.bad("journal's disk", fmt.Errorf("%s is read-only (%s)", dir, what), "mount it writable, or put [journal] path on one that is; a card that turned read-only by itself is dying")
	case free < journalReserve-made:
		k.bad("journal's disk", errors.New(what), fmt.Sprintf("the journal takes %d MiB when it is made", journalReserve>>20))
	case free < journalMost-made:
		k.warn("journal's disk", fmt.Sprintf("%s; the journal may grow to %d MiB: make room", what, journalMost>>20))
	default:
		k.line("journal's disk", nil, what)
	}
}

// fileSystem names the kinds that boards have (statfs(2)).
func fileSystem(magic uint32) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4" // and ext2 and ext3, which have the same number
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.MSDOS_SUPER_MAGIC:
		return "vfat"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	}
	return fmt.Sprintf("file system %#x", magic)
}

// watchdog tells whether something will reset a board whose kernel hangs. The
// daemon's own watchdog is systemd; this one watches systemd. class is the kernel's
// directory of them.
func (k *checker) watchdog(class string) {
	const what, arm = "hardware watchdog", `put "[Manager]" and "RuntimeWatchdogSec=14" (a Raspberry Pi can do 15) into /etc/systemd/system.conf.d/watchdog.conf and reboot`
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(class, "watchdog0", name))
		if err != nil {
			return ""
		}
		return strings.ToValidUTF8(strings.TrimSpace(string(text[:min(len(text), 60)])), "?")
	}
	if _, err := os.Stat(filepath.Join(class, "watchdog0")); err != nil {
		k.warn(what, "none: a kernel that hangs stays so, with outputs as they are; load its driver (on a Raspberry Pi: dtparam=watchdog=on in config.txt), then "+arm)
		return
	}
	name := fmt.Sprintf("%q, %s s", read("identity"), read("timeout"))
	switch read("state") {
	case "active":
		k.line(what, nil, name+", armed")
	case "inactive":
		k.warn(what, name+", not armed: a kernel that hangs stays so; "+arm)
	default: // a kernel without CONFIG_WATCHDOG_SYSFS
		k.warn(what, "there is one, and the kernel does not tell whether it is armed; systemctl show -p RuntimeWatchdogUSec does. If that is 0, "+arm)
	}
}
