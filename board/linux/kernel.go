package linux

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is what this package asks of the system. Tests put another in its
// place.
type kernel struct {
	chips    func() ([]string, error) // paths of the GPIO chips
	model    func() string            // of the machine; "" where nobody says
	open     func(path string) (int, error)
	close    func(fd int) error
	ioctl    func(fd int, request uint, arg unsafe.Pointer) error // arg points to the request's struct
	ioctlInt func(fd int, request uint, arg int) error
	sys      fs.FS // /sys

	readFile  func(path string) ([]byte, error)
	writeFile func(path, text string) error // of a file that is there, in one write

	// stream answers the events of a line's request. The descriptor is its own from
	// then on; its Close ends a Read that waits.
	stream func(fd int) (io.ReadCloser, error)
}

func system() kernel {
	return kernel{
		chips:    func() ([]string, error) { return filepath.Glob("/dev/gpiochip*") },
		model:    Model,
		open:     func(path string) (int, error) { return unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0) },
		close:    unix.Close,
		ioctl:    ioctl,
		ioctlInt: unix.IoctlSetInt,
		sys:      os.DirFS("/sys"),

		readFile:  os.ReadFile,
		writeFile: writeFile,
		stream:    stream,
	}
}

func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// stream: a descriptor that does not block is waited for by Go's own poller, so that
// Close wakes who reads. Of a blocking one it could not.
func stream(fd int) (io.ReadCloser, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "input"), nil
}

// ioctl repeats a call that a signal interrupted; Go's own preemption signals do
// that.
func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}
