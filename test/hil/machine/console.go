package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// console keeps the lines that were said.
type console struct {
	mu    sync.Mutex
	lines []string
	next  int           // the first that nobody has waited past
	grown chan struct{} // closed, and made anew, with each line
}

// longLine bounds a line: a file that is shown in one piece may be that long.
const longLine = 4 << 20

func (c *console) read(r io.Reader, log io.Writer) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, longLine)
	for s.Scan() {
		line := strings.TrimRight(s.Text(), "\r")
		if log != nil {
			_, _ = fmt.Fprintln(log, line)
		}
		c.mu.Lock()
		c.lines = append(c.lines, line)
		close(c.grown)
		c.grown = make(chan struct{})
		c.mu.Unlock()
	}
}

// take answers the next line, or what to wait on for one.
func (c *console) take() (line string, ok bool, grown chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == len(c.lines) {
		return "", false, c.grown
	}
	c.next++
	return c.lines[c.next-1], true, nil
}

// tail is the end of what was said, for an error.
func (c *console) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines[max(0, len(c.lines)-40):], "\n")
}

var (
	errLate  = errors.New("it did not come in time")
	errEnded = errors.New("the machine has ended")
)

// line waits for the console's next line.
func (m *Machine) line(late <-chan time.Time) (string, error) {
	for {
		line, ok, grown := m.console.take()
		if ok {
			return line, nil
		}
		select {
		case <-grown:
		case <-m.Ended:
			if line, ok, _ := m.console.take(); ok {
				return line, nil
			}
			return "", errEnded
		case <-late:
			return "", errLate
		}
	}
}

// until answers the lines before the one that begins with prefix, and what follows
// prefix there.
func (m *Machine) until(prefix string) (before []string, rest string, err error) {
	late := time.After(patience)
	for {
		line, err := m.line(late)
		if err != nil {
			return before, "", fmt.Errorf("wait for %q on the console of %s: %w; its last lines:\n%s", prefix, m.Board.Name, err, m.console.tail())
		}
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return before, rest, nil
		}
		before = append(before, line)
	}
}

// Await waits for a line of the console that begins with prefix and answers what
// follows there. Lines before it are passed over.
func (m *Machine) Await(prefix string) (string, error) {
	_, rest, err := m.until(prefix)
	return rest, err
}

// Ready waits until the guest takes commands. A module that could not be loaded, or
// a network that did not come, is an error.
func (m *Machine) Ready() error {
	before, _, err := m.until("HIL-READY ")
	if err != nil {
		return err
	}
	for _, line := range before {
		if fault, ok := strings.CutPrefix(line, "HIL-FAULT "); ok {
			return fmt.Errorf("boot %s: %s", m.Board.Name, fault)
		}
	}
	return nil
}

// Run has the guest's shell carry out one line, and answers what it wrote, without
// the last newline, and its exit code. The line may leave processes behind; their
// output must go elsewhere.
func (m *Machine) Run(line string) (out string, code int, err error) {
	// A terminal hands over no longer line, and a newline would end it.
	const longest = 4000
	if len(line) > longest || strings.Contains(line, "\n") {
		return "", 0, fmt.Errorf("run %.40q…: a command is one line of at most %d bytes", line, longest)
	}
	m.turn.Lock()
	defer m.turn.Unlock()
	m.number++
	n := strconv.Itoa(m.number)
	if _, err := fmt.Fprintln(m.stdin, n, line); err != nil {
		return "", 0, fmt.Errorf("run %q: %w", line, err)
	}
	if _, _, err := m.until("<<" + n); err != nil {
		return "", 0, err
	}
	said, exit, err := m.until(">>" + n + " ")
	if err != nil {
		return "", 0, err
	}
	if code, err = strconv.Atoi(exit); err != nil {
		return "", 0, fmt.Errorf("run %q: exit code %q: %w", line, exit, err)
	}
	return strings.TrimSuffix(strings.Join(said, "\n"), "\n"), code, nil
}

// Must is Run of a line that has to succeed.
func (m *Machine) Must(line string) (string, error) {
	out, code, err := m.Run(line)
	if err == nil && code != 0 {
		err = fmt.Errorf("run %q on %s: exit code %d\n%s", line, m.Board.Name, code, out)
	}
	return out, err
}
