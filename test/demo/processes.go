package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// hub is a running `c2d hub`: what it has printed so far, and its input.
type hub struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	mu    sync.Mutex // guards what follows
	lines []string
	from  int           // lines before it belong to earlier steps
	more  chan struct{} // closed and renewed at every line
	ended error
}

func startHub(ctx context.Context, c2d, dir string) (*hub, error) {
	h := &hub{cmd: exec.Command(c2d, "hub", "--dir", dir, "--mqtt-port", "0", "--https-port", "0", "--device", device), more: make(chan struct{})}
	var err error
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.cmd.Stderr = os.Stderr
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the hub: %w", err)
	}
	go h.read(out)
	if err := h.await(ctx, "listening on https "); err != nil {
		return nil, errors.Join(err, h.stop())
	}
	return h, nil
}

func (h *hub) read(out io.Reader) {
	for in := bufio.NewScanner(out); ; {
		ok := in.Scan()
		h.mu.Lock()
		if ok {
			h.lines = append(h.lines, in.Text())
		} else {
			h.ended = errors.New("the hub has ended")
		}
		close(h.more)
		h.more = make(chan struct{})
		h.mu.Unlock()
		if !ok {
			return
		}
	}
}

// mark begins a new step: await and since look no further back.
func (h *hub) mark() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.from = len(h.lines)
}

func (h *hub) say(line string) error {
	_, err := io.WriteString(h.in, line+"\n")
	return err
}

// find answers the first line of this step that fits.
func (h *hub) find(fits func(string) bool) (line string, more <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lines[h.from:] {
		if fits(l) {
			return l, nil, nil
		}
	}
	return "", h.more, h.ended
}

func (h *hub) awaitLine(ctx context.Context, what string, fits func(string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		line, more, err := h.find(fits)
		if line != "" || err != nil {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("the hub did not say %q: %w", what, ctx.Err())
		}
	}
}

func (h *hub) await(ctx context.Context, prefix string) error {
	return h.awaitLine(ctx, prefix, func(l string) bool { return strings.HasPrefix(l, prefix) })
}

func (h *hub) awaitReport(ctx context.Context, id string) error {
	return h.awaitLine(ctx, "telemetry: the outcome of "+id, func(l string) bool { return reportOf(l).MessageID == id })
}

// report is what the demo looks at of a report.
type report struct {
	Kind, MessageID, Outcome, Reason string
}

// reportOf reads an outcome's report from a line of the hub; empty: it is none.
func reportOf(line string) report {
	var r report
	body, found := strings.CutPrefix(line, "telemetry "+device+" ")
	if !found || json.Unmarshal([]byte(body), &r) != nil || r.Kind != "outcome" {
		return report{}
	}
	return r
}

func (h *hub) outcome(id string) (outcome, reason string) {
	line, _, _ := h.find(func(l string) bool { return reportOf(l).MessageID == id })
	r := reportOf(line)
	return r.Outcome, r.Reason
}

// since counts the lines of this step that begin so.
func (h *hub) since(prefix string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, l := range h.lines[h.from:] {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// fact answers the rest of the ready line that begins so.
func (h *hub) fact(prefix string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lines {
		if rest, found := strings.CutPrefix(l, prefix); found && !strings.Contains(rest, " ") {
			return rest
		}
	}
	return ""
}

func (h *hub) stop() error {
	_ = h.say("quit") // it may have ended by itself, which Wait tells
	return wait(h.cmd, "the hub")
}

// wait gives a process that was asked to end its time, and no more.
func wait(cmd *exec.Cmd, name string) error {
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s ended with %w", name, err)
	}
	return nil
}

// daemon is a running actuatord on the simulated board.
type daemon struct {
	cmd        *exec.Cmd
	trace, log string
}

func startDaemon(_ context.Context, actuatord []string, dir string, h *hub) (*daemon, error) {
	d := &daemon{trace: filepath.Join(dir, "trace.jsonl"), log: filepath.Join(dir, "actuatord.log")}
	_, port, err := net.SplitHostPort(h.fact("listening on "))
	if err != nil {
		return nil, err
	}
	_, web, err := net.SplitHostPort(h.fact("listening on https "))
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(configuration, h.fact("connection-string-file "+device+" "), h.fact("ca-file "), port, web, web, filepath.Join(dir, "journal.db"), d.trace)
	config := filepath.Join(dir, "actuatord.toml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.cmd = exec.Command(actuatord[0], append(actuatord[1:], "run", "--config", config)...)
	d.cmd.Stderr = log
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start actuatord: %w", err)
	}
	return d, nil
}

func (d *daemon) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself, which Wait tells
	return wait(d.cmd, "actuatord")
}

// said is actuatord's log, for when something went wrong.
func (d *daemon) said() error {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err
	}
	return fmt.Errorf("actuatord said:\n%s", text)
}

// all is the trace: every movement so far, as "target level (cause)".
func (d *daemon) all() []string { return d.read(func(string) bool { return true }, " (%s)") }

// moves is what one message moved, as "target level".
func (d *daemon) moves(cause string) []string {
	return d.read(func(c string) bool { return c == cause }, "%.0s")
}

func (d *daemon) read(fits func(cause string) bool, suffix string) []string {
	text, err := os.ReadFile(d.trace)
	if err != nil {
		return nil // not there yet
	}
	var moves []string
	for line := range strings.Lines(string(text)) {
		var e struct{ Target, Level, Write, Cause string }
		if json.Unmarshal([]byte(line), &e) == nil && fits(e.Cause) {
			moves = append(moves, e.Target+" "+e.Level+e.Write+fmt.Sprintf(suffix, e.Cause))
		}
	}
	return moves
}

// awaitMove waits for a movement that was not in the trace before.
func (d *daemon) awaitMove(ctx context.Context, move string, before []string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		for _, m := range d.all()[len(before):] {
			if m == move {
				return nil
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%q did not happen: %w", move, ctx.Err())
		}
	}
}
