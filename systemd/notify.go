package systemd

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// patience bounds how long one message waits for room in the manager's queue.
	// The caller is the loop that moves outputs: twice as long would still be well
	// within WatchdogSec, half as long would lose messages to an ordinary reload.
	patience = time.Second

	// statusLimit keeps a status to what `systemctl status` shows on a few lines.
	// A datagram could carry some 200 KiB, but nobody reads that.
	statusLimit = 512
)

// Notifier talks to the service manager that started this process. The nil
// Notifier is a process without one: every method then does nothing.
//
// Its methods may be called by any goroutine. An error means that the manager
// may not have heard it; there is nothing to repair, only to log: a manager that
// hears nothing ends the service by its timeouts.
type Notifier struct {
	socket   string
	watchdog time.Duration
	fault    error // what was wrong with the environment; Ready tells
	patience time.Duration
	started  atomic.Bool
}

// FromEnv reads what systemd puts into the environment (sd_notify(3),
// sd_watchdog_enabled(3)): NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. It is
// nil where NOTIFY_SOCKET is unset or empty. Values that cannot be read do not
// stop a daemon from starting: the error of [Notifier.Ready] tells of them.
func FromEnv(getenv func(string) string) *Notifier {
	socket := getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	n := &Notifier{socket: socket, patience: patience}
	// A path or, from containers, an abstract name. Other address families
	// (vsock:, for virtual machines) never reach a service.
	if (socket[0] != '/' && socket[0] != '@') || len(socket) == 1 {
		n.fault = fmt.Errorf("NOTIFY_SOCKET %q is neither a path nor an abstract socket", socket)
	}
	var err error
	n.watchdog, err = watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), os.Getpid())
	n.fault = errors.Join(n.fault, err)
	return n
}

// watchdog is the time within which process pid must say that it is alive; 0 if
// nobody waits for that. Microseconds are read as 64 bits everywhere: an int
// holds no more than 35 minutes of them on a 32-bit board.
func watchdog(usec, owner string, pid int) (time.Duration, error) {
	if usec == "" || (owner != "" && owner != strconv.Itoa(pid)) {
		return 0, nil // none wanted, or it was meant for the process that started us
	}
	us, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || us <= 0 || us > math.MaxInt64/int64(time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC %q is not a number of microseconds", usec)
	}
	return time.Duration(us) * time.Microsecond, nil
}

// Watchdog is the time after the last [Notifier.Alive] at which systemd takes the
// process for hung and ends it; 0 if it does not. Say alive at least every half
// of it, as sd_watchdog_enabled(3) advises.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the start is complete: outputs are at their safe levels and the
// journal has been probed. Its error also tells what was wrong with the
// environment, since this is the first message of every daemon.
func (n *Notifier) Ready() error {
	if n == nil {
		return nil
	}
	n.started.Store(true)
	return errors.Join(n.fault, n.send("READY=1"))
}

// Started tells whether Ready has been called, so that the end of a reload is not
// taken for the end of the start. Without systemd it is true.
func (n *Notifier) Started() bool { return n == nil || n.started.Load() }

// Alive feeds the watchdog.
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// Stopping says that the daemon has begun to stop by itself or by a signal.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Reloading says that the configuration is being read again; Ready ends it.
// monotonic is CLOCK_MONOTONIC since boot, by which systemd tells this reload
// from an earlier one.
func (n *Notifier) Reloading(monotonic time.Duration) error {
	return n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(monotonic.Microseconds(), 10))
}

// Status sets the line that `systemctl status` shows. Control characters become
// blanks, because a line break would begin another assignment: a status that
// quotes a message from the hub could otherwise say READY=1. Invalid UTF-8, for
// which systemd would drop the whole line, is replaced.
func (n *Notifier) Status(text string) error {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r // an invalid byte comes as U+FFFD, and is written as that
	}, text)
	if len(text) > statusLimit {
		text = strings.ToValidUTF8(text[:statusLimit-3], "") + "..."
	}
	return n.send("STATUS=" + text)
}

// send opens a socket for each message, as libsystemd does: the daemon lives for
// years, and a socket kept that long would outlive the manager's end of it.
func (n *Notifier) send(message string) error {
	if n == nil {
		return nil
	}
	verb, _, _ := strings.Cut(message, "=")
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd of %s: %w", verb, err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(n.patience)); err != nil {
		return fmt.Errorf("notify systemd of %s: %w", verb, err)
	}
	if _, err := c.Write([]byte(message)); err != nil {
		return fmt.Errorf("notify systemd of %s: %w", verb, err)
	}
	return nil
}
