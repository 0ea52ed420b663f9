package board_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"actuatord/board"
)

// TestErrorsSayWhatToDo: what a person on site reads.
func TestErrorsSayWhatToDo(t *testing.T) {
	line := func(f board.LineFault) *board.LineError {
		return &board.LineError{Target: "pump", Line: "GPIO17", Fault: f}
	}
	bus := func(f board.BusFault) *board.BusError { return &board.BusError{Bus: "1", Address: 0x60, Fault: f} }
	busy, two, cause := line(board.LineBusy), line(board.AmbiguousLine), line(board.LineIO)
	busy.Holder, two.Places, cause.Err = "spi0 CS1", []string{"chip-a:1", "chip-b:2"}, syscall.ENODEV
	for _, c := range []struct {
		err    error
		says   []string
		reason string
	}{
		{line(board.NoSuchChip), []string{"pump", "GPIO17", "no GPIO chip has that label"}, "io-error"},
		{line(board.NoSuchLine), []string{"no GPIO chip has that line"}, "io-error"},
		{line(board.LinePermission), []string{"group gpio"}, "io-error"},
		{busy, []string{"in use", "spi0 CS1"}, "io-error"},
		{line(board.LineBusy), []string{"in use"}, "io-error"},
		{two, []string{"chip-a:1", "chip-b:2"}, "io-error"},
		{cause, []string{"cannot be driven", syscall.ENODEV.Error()}, "io-error"},
		{&board.LineError{Target: "fan", Line: "pwmchip0:1", Fault: board.NoSuchChip}, []string{"fan", "pwmchip0:1", "no such PWM chip"}, "io-error"},
		{&board.LineError{Line: "pwmchip0:1", Fault: board.NoSuchLine}, []string{"no such channel"}, "io-error"},
		{&board.LineError{Line: "pwmchip0:1", Fault: board.LineBusy}, []string{"in use"}, "io-error"},
		{&board.LineError{Line: "pwmchip0:1", Fault: board.LinePermission, Err: syscall.EROFS}, []string{"pwm.conf", syscall.EROFS.Error()}, "io-error"},
		{&board.LineError{Err: syscall.ETIMEDOUT}, nil, "timeout"},
		{bus(board.NoSuchBus), []string{`bus "1"`, "no such bus"}, "io-error"},
		{bus(board.BusPermission), []string{"group i2c"}, "io-error"},
		{bus(board.NACK), []string{"0x60", "no acknowledge"}, "nack"},
		{bus(board.BusTimeout), []string{"no answer in time"}, "timeout"},
		{bus(board.BusStuck), []string{"earlier transaction"}, "timeout"},
		{bus(board.Mismatch), []string{"read-back differs"}, "mismatch"},
		{bus(board.NotSupported), []string{"plain I2C"}, "io-error"},
		{bus(board.BusIO), []string{"transfer failed"}, "io-error"},
		{errors.New("anything"), nil, "io-error"},
	} {
		for _, s := range c.says {
			if !strings.Contains(c.err.Error(), s) {
				t.Errorf("%q does not say %q", c.err, s)
			}
		}
		if got := board.ReasonOf(fmt.Errorf("wrapped: %w", c.err)); got != c.reason {
			t.Errorf("%q: reason %s; want %s", c.err, got, c.reason)
		}
	}
}

func TestTransient(t *testing.T) {
	wrapped := func(e error) error { return &board.LineError{Err: os.NewSyscallError("ioctl", e)} }
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("anything"), false},
		{board.ErrClosed, false},
		{wrapped(syscall.EAGAIN), true},
		{wrapped(syscall.EINTR), true},
		{wrapped(syscall.EIO), true},
		{wrapped(syscall.ETIMEDOUT), true},
		{wrapped(syscall.EBUSY), true},
		{wrapped(syscall.ENXIO), true},
		{wrapped(syscall.EREMOTEIO), true},
		{wrapped(syscall.EACCES), false},
		{wrapped(syscall.ENODEV), false},
		{wrapped(syscall.ENOENT), false},
		{wrapped(syscall.EOPNOTSUPP), false},
		{wrapped(syscall.EINVAL), false},
		{&board.LineError{Fault: board.NoSuchLine}, false},
		{&board.BusError{Fault: board.BusTimeout}, true},
		{&board.BusError{Fault: board.BusStuck}, true},
		{&board.BusError{Fault: board.Mismatch, Err: errors.New("wrote 1, read 2")}, true},
		{&board.BusError{Fault: board.NotSupported, Err: syscall.EOPNOTSUPP}, false},
		{errors.Join(wrapped(syscall.EIO), wrapped(syscall.EBUSY)), true},
		{errors.Join(wrapped(syscall.EIO), wrapped(syscall.ENODEV)), false},
	} {
		if got := board.Transient(c.err); got != c.want {
			t.Errorf("Transient(%v) = %v; want %v", c.err, got, c.want)
		}
	}
}

func TestLevelWords(t *testing.T) {
	for l, want := range map[board.Level]string{board.Unknown: "unknown", board.Off: "off", board.On: "on", 9: "unknown"} {
		if l.String() != want {
			t.Errorf("%d: %s; want %s", l, l, want)
		}
	}
}
