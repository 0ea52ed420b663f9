package linux

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"actuatord/board"
)

// TestTxFromAnyDepth: the buffers and the messages stay where the kernel was told
// they are, though the stack under the caller moves meanwhile.
func TestTxFromAnyDepth(t *testing.T) {
	_, d := pi()
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var at func(depth int) error
	at = func(depth int) error {
		if depth > 0 {
			return at(depth - 1)
		}
		var w, r [4]byte
		copy(w[:], []byte{0x40, 1, 2, 3})
		if err := b.Tx(0x60, w[:], nil); err != nil {
			return err
		}
		if err := b.Tx(0x60, w[:1], r[:3]); err != nil || !bytes.Equal(r[:3], w[1:]) {
			return fmt.Errorf("read %x, %w; want %x", r[:3], err, w[1:])
		}
		return nil
	}
	for depth := range 40 {
		done := make(chan error)
		go func() { done <- at(depth * 8) }() // a fresh goroutine starts with a small stack
		if err := <-done; err != nil {
			t.Fatalf("at depth %d: %v", depth*8, err)
		}
	}
}

func TestBusSettings(t *testing.T) {
	m, d := pi()
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	if a := m.adapters["/dev/i2c-1"]; a.timeout != 20 || a.retries != 1 {
		t.Errorf("timeout %d, retries %d; want 20 × 10 ms and 1", a.timeout, a.retries)
	}
	if b.String() != "i2c-1" || b.SetSpeed(1) == nil {
		t.Errorf("%v sets its speed", b)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := b.Tx(0x60, []byte{1, 2}, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("tx on a closed bus: %v", err)
	}
}

func TestBusErrors(t *testing.T) {
	for _, c := range []struct {
		name, bus string
		arrange   func(*adapter)
		fault     board.BusFault
		errno     error
		says      string
	}{
		{"no such bus", "7", nil, board.NoSuchBus, unix.ENOENT, "no such bus"},
		{"not a number", "i2c-1", nil, board.NoSuchBus, errBusNumber, "/dev/i2c-1"},
		{"a path", "1/../0", nil, board.NoSuchBus, errBusNumber, ""},
		{"leading zero", "01", nil, board.NoSuchBus, errBusNumber, ""},
		{"adapter gone", "1", func(a *adapter) { a.refuse = unix.ENXIO }, board.NoSuchBus, unix.ENXIO, ""},
		{"no permission", "1", func(a *adapter) { a.refuse = unix.EACCES }, board.BusPermission, unix.EACCES, "group i2c"},
		{"SMBus only", "1", func(a *adapter) { a.funcs = 0x0eff0000 }, board.NotSupported, unix.EOPNOTSUPP, "plain I2C"},
		{"no answer", "1", func(a *adapter) { a.broken = unix.EIO }, board.BusIO, unix.EIO, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, d := pi()
			if c.arrange != nil {
				c.arrange(m.adapters["/dev/i2c-1"])
			}
			_, err := d.Bus(c.bus)
			var e *board.BusError
			if !errors.As(err, &e) || e.Fault != c.fault || !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want fault %d, %v, and %q", err, c.fault, c.errno, c.says)
			}
			if len(m.open) != 0 {
				t.Errorf("%d descriptors are open", len(m.open))
			}
		})
	}
}

func TestTxErrors(t *testing.T) {
	m, d := pi()
	b, err := d.Bus("1")
	if err != nil {
		t.Fatal(err)
	}
	for errno, fault := range map[unix.Errno]board.BusFault{
		unix.ENXIO: board.NACK, unix.EREMOTEIO: board.NACK, unix.ETIMEDOUT: board.BusTimeout,
		unix.EIO: board.BusIO, unix.EAGAIN: board.BusIO, unix.EOPNOTSUPP: board.NotSupported,
	} {
		m.adapters["/dev/i2c-1"].fail = errno
		err := b.Tx(0x60, []byte{1, 2}, nil)
		var e *board.BusError
		if !errors.As(err, &e) || e.Fault != fault || !errors.Is(err, errno) || e.Address != 0x60 {
			t.Errorf("%v: %v; want fault %d", errno, err, fault)
		}
	}
	m.calls = nil
	for _, c := range []struct {
		address uint16
		w       []byte
	}{{0x80, []byte{1}}, {0x60, make([]byte, maxTransfer+1)}} {
		if err := b.Tx(c.address, c.w, nil); !errors.Is(err, unix.EINVAL) {
			t.Errorf("tx to %#x of %d bytes: %v; want it refused", c.address, len(c.w), err)
		}
	}
	if err := b.Tx(0x60, nil, nil); err != nil {
		t.Errorf("tx of nothing: %v", err)
	}
	if len(m.calls) != 0 {
		t.Errorf("calls %#x; want none", m.calls)
	}
}
