package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal with a program at the other end, whose controlling
// terminal it is: what is typed here is echoed, edited and turned into signals by the
// kernel, as for a person.
type terminal struct {
	t     *testing.T
	hand  *os.File // the person's side
	glass *os.File // the program's side
	cmd   *exec.Cmd

	mu   sync.Mutex
	seen bytes.Buffer
}

func newTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	hand, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED LOUDLY: this machine has no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { hand.Close() })
	if err := unix.IoctlSetPointerInt(int(hand.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(hand.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	glass, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { glass.Close() }) // held until then, so that modes can be asked for
	c := &terminal{t: t, hand: hand, glass: glass, cmd: exec.Command(os.Args[0], args...)}
	c.cmd.Env = append(os.Environ(), asMain+"=1")
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = glass, glass, glass
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := hand.Read(b)
			if err != nil {
				return
			}
			c.mu.Lock()
			c.seen.Write(b[:n])
			c.mu.Unlock()
		}
	}()
	return c
}

func (c *terminal) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.String()
}

// until waits for a text on the screen, or gives the test up.
func (c *terminal) until(text string) {
	c.t.Helper()
	<-waitFor(func() bool { return strings.Contains(c.text(), text) })
	if !strings.Contains(c.text(), text) {
		c.t.Fatalf("no %q on the screen:\n%s", text, c.text())
	}
}

func (c *terminal) typed(keys string) {
	c.t.Helper()
	if _, err := c.hand.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

func (c *terminal) echo() bool {
	c.t.Helper()
	modes, err := unix.IoctlGetTermios(int(c.glass.Fd()), unix.TCGETS)
	if err != nil {
		c.t.Fatal(err)
	}
	return modes.Lflag&unix.ECHO != 0
}

// ended waits for the program and answers its exit code.
func (c *terminal) ended() int {
	c.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.cmd.Wait()
	}()
	select {
	case <-done:
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		c.t.Fatalf("it has not ended:\n%s", c.text())
		return -1
	}
}
