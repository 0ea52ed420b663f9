package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a small ext4 on a loop device, for one journal. It has a journal of its
// own, so that it comes back whole after it failed.
type disk struct {
	image, device, dir string
	fill               string // a file that takes what is free
}

// diskSize has room for the journal of a long run, and is sparse.
const diskSize = 96 << 20

// newDisk makes and mounts one. An error says why there is none on this machine.
func newDisk(dir string) (*disk, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("not root")
	}
	d := &disk{image: filepath.Join(dir, "disk.img"), dir: filepath.Join(dir, "disk")}
	d.fill = filepath.Join(d.dir, "fill")
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(d.image, diskSize); err != nil {
		return nil, err
	}
	if _, err := tool("mkfs.ext4", "-q", "-b", "1024", d.image); err != nil {
		return nil, err
	}
	if err := d.attach(); err != nil {
		return nil, err
	}
	if err := d.mount(); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

// attach gives the image a loop device.
func (d *disk) attach() (err error) {
	d.device, err = tool("losetup", "--find", "--show", d.image)
	return err
}

func tool(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, text)
	}
	return text, nil
}

func (d *disk) mount() error {
	if err := unix.Mount(d.device, d.dir, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", d.device, err)
	}
	return nil
}

// unmount waits for what still has a file open there, such as a child that outlived
// the daemon which was killed.
func (d *disk) unmount(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := unix.Unmount(d.dir, 0)
		if err == nil || errors.Is(err, unix.EINVAL) { // it is not mounted
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("unmount %s: %w", d.dir, err)
		}
	}
}

func (d *disk) remove() error {
	err := d.unmount(context.Background())
	_, detach := tool("losetup", "--detach", d.device)
	return errors.Join(err, detach)
}

// full takes all room that is left, but for the last blocks, which it takes in
// ever smaller pieces.
func (d *disk) full() error {
	f, err := os.Create(d.fill)
	if err != nil {
		return err
	}
	size := int64(0)
	for piece := int64(16 << 20); piece >= 1024; piece /= 2 {
		for {
			err := unix.Fallocate(int(f.Fd()), 0, size, piece)
			if errors.Is(err, unix.ENOSPC) {
				break
			}
			if err != nil {
				return errors.Join(fmt.Errorf("fill the disk: %w", err), f.Close())
			}
			size += piece
		}
	}
	return f.Close()
}

// free gives the room back.
func (d *disk) free() error { return os.Remove(d.fill) }

// fail has every read and write of the device fail with EIO from now on: the loop
// device shrinks to nothing under the file system. What is cached stays readable.
func (d *disk) fail() error { return d.limit(4096) }

// heal mounts the file system anew, on a device of its full size: what was written
// since it failed is lost. Nobody may use it meanwhile. The device is another one: a
// container that was started on this machine meanwhile has a copy of every mount, which
// keeps the failed file system, read-only for good, on the old device.
func (d *disk) heal(ctx context.Context) error {
	if err := d.unmount(ctx); err != nil {
		return err
	}
	if _, err := tool("losetup", "--detach", d.device); err != nil { // later, if it is still in use
		return err
	}
	if err := d.attach(); err != nil {
		return err
	}
	return d.mount()
}

func (d *disk) limit(size uint64) error {
	f, err := os.OpenFile(d.device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if err == nil {
		info.Sizelimit = size
		err = unix.IoctlLoopSetStatus64(int(f.Fd()), info)
	}
	if err != nil {
		return fmt.Errorf("limit %s to %d: %w", d.device, size, err)
	}
	return nil
}

// readOnly mounts it read-only or writable again. Nobody may have a file open for
// writing when it becomes read-only.
func (d *disk) readOnly(yes bool) error {
	flags := uintptr(unix.MS_REMOUNT)
	if yes {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(d.device, d.dir, "ext4", flags, ""); err != nil {
		return fmt.Errorf("remount %s: %w", d.dir, err)
	}
	return nil
}
