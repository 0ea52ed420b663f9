package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// calls is what strace saw a process do to the disk.
type calls struct {
	syncs, writes, bytes int // fdatasync and fsync; pwrite64, and how much in them
}

// straced runs do while strace looks at p. It slows p down, so nothing is timed
// under it.
func (p *process) straced(ctx context.Context, do func() error) (c calls, err error) {
	out := filepath.Join(p.dir, "strace")
	// No -f is needed for threads that are there already: -p takes all of them, but
	// -f also those that Go starts meanwhile.
	cmd := exec.CommandContext(ctx, "strace", "-f", "-s", "0", "-e", "trace=fdatasync,fsync,pwrite64", "-o", out, "-p", strconv.Itoa(p.pid))
	said, err := cmd.StderrPipe()
	if err != nil {
		return c, err
	}
	if err := cmd.Start(); err != nil {
		return c, fmt.Errorf("start strace: %w", err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	in := bufio.NewReader(said)
	if line, err := in.ReadString('\n'); !strings.Contains(line, "attached") {
		return c, errors.Join(fmt.Errorf("attach strace: it said %q", line), err, cmd.Process.Kill(), cmd.Wait())
	}
	err = do()
	err = errors.Join(err, cmd.Process.Signal(os.Interrupt))
	_, _ = io.Copy(io.Discard, in) // what it says of detaching; Wait wants it read
	_ = cmd.Wait()                 // it ends by the signal it was sent
	if err != nil {
		return c, err
	}
	text, err := os.ReadFile(out)
	return countCalls(text), err
}

// countCalls counts the calls that returned, also those that another thread's line
// parted in two.
func countCalls(text []byte) (c calls) {
	returned := regexp.MustCompile(`(fdatasync|fsync|pwrite64)(?:\(| resumed>).*= (\d+)$`)
	for line := range bytes.Lines(text) {
		m := returned.FindSubmatch(bytes.TrimSpace(line))
		if m == nil {
			continue
		}
		if string(m[1]) != "pwrite64" {
			c.syncs++
			continue
		}
		n, err := strconv.Atoi(string(m[2]))
		if err != nil {
			continue // more digits than any write has
		}
		c.writes, c.bytes = c.writes+1, c.bytes+n
	}
	return c
}
