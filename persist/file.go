package persist

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	berrors "go.etcd.io/bbolt/errors"
)

// CheckPlace reports whether a journal may be at path: a *VolatileError if its
// directory forgets at power loss. Open asks the same.
func CheckPlace(path string) error { return refuseVolatile(path) }

// refuseVolatile: a journal that a power cut empties would let every message of
// the last hours act again.
func refuseVolatile(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
		return classify("open", path, &fs.PathError{Op: "statfs", Path: filepath.Dir(path), Err: err})
	}
	// The field's type differs between architectures; the magic numbers are 32 bits.
	switch uint32(st.Type) {
	case unix.TMPFS_MAGIC:
		return &VolatileError{Path: path, FS: "tmpfs"}
	case unix.RAMFS_MAGIC:
		return &VolatileError{Path: path, FS: "ramfs"}
	case unix.OVERLAYFS_SUPER_MAGIC:
		return &VolatileError{Path: path, FS: "overlay"}
	}
	return nil
}

// lockBeside takes the lock that stays while files are renamed: bbolt's own is
// on the file, and a file that is set aside takes its lock along.
func lockBeside(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path+suffixLock, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, classify("lock", path, err)
	}
	if err := lock(ctx, f, unix.LOCK_EX, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lock takes a lock on f, for the journal at path, once others let it go.
func lock(ctx context.Context, f *os.File, kind int, path string) error {
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	again := time.NewTicker(lockTimeout / 20)
	defer again.Stop()
	for {
		err := unix.Flock(int(f.Fd()), kind|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return classify("lock", path, err)
		}
		select {
		case <-ctx.Done():
			return &LockedError{Path: path}
		case <-again.C:
		}
	}
}

// access learns whether the file can be opened, before a check that could only
// say that it could not.
func access(path string) error {
	f, err := openExisting(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// openExisting never makes a file: bbolt would fill a missing or empty one with a
// new database, and the journal would be gone without a word.
func openExisting(path string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag&^os.O_CREATE, mode)
}

// reserveAndSync takes size bytes from the disk for path and flushes the file. A
// file system that cannot reserve is used without; a full one is an error now
// rather than at the hundredth command.
func reserveAndSync(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if size > 0 {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			err = nil
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// reservedFor reports whether n bytes of f are sure to find their place on the disk, and
// takes more of it, ahead, when they are not. Others may fill it any time.
func reservedFor(f *os.File, n int64) bool {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false
	}
	if st.Blocks*512 >= n {
		return true
	}
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, n+foldRoom)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		var fs unix.Statfs_t
		err = unix.Fstatfs(int(f.Fd()), &fs)
		return err == nil && int64(fs.Bavail)*int64(fs.Bsize) >= 2*foldRoom
	}
	return err == nil
}

// syncDir makes the names in path's directory durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return classify("sync directory of", path, err)
	}
	return classify("sync directory of", path, errors.Join(d.Sync(), d.Close()))
}

// classifyBolt is classify for errors of bbolt's Open, where a panic has already
// become a ContentError.
func classifyBolt(op, path string, err error) error {
	var content *ContentError
	var locked *LockedError
	if err == nil || errors.As(err, &content) || errors.As(err, &locked) || errors.Is(err, berrors.ErrInvalid) {
		return err
	}
	return classify(op, path, err)
}
