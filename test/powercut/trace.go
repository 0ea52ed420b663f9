package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"actuatord/test/torture/judge"
)

// lookEvery is how often a trace is looked at. Between a movement and its completion
// lie a flush of the emulated disk and a packet of the emulated network, some
// milliseconds each; ten times this would let the judge miss an order.
const lookEvery = time.Millisecond

// trace is what a board moved, with this machine's times.
type trace struct {
	file string

	mu    sync.Mutex
	in    *os.File // nil: it is not there yet
	rest  []byte   // of a line that is not whole
	last  time.Time
	moves []judge.Move
	bad   error
}

func newTrace(file string) *trace { return &trace{file: file, last: time.Now()} }

// watch looks until ctx ends.
func (t *trace) watch(ctx context.Context) {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			t.look()
		case <-ctx.Done():
			return
		}
	}
}

// look takes the lines that have come since the last look. When they came is not
// known better than that: their time is the last look's, so that nothing is ever
// called late, or behind something, that was not.
func (t *trace) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	defer func() { t.last = now }()
	if t.in == nil {
		f, err := os.Open(t.file)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		t.in, t.bad = f, errors.Join(t.bad, err)
	}
	more, err := io.ReadAll(t.in)
	t.bad = errors.Join(t.bad, err)
	t.rest = append(t.rest, more...)
	for {
		line, rest, whole := bytes.Cut(t.rest, []byte{'\n'})
		if !whole {
			return
		}
		t.rest = rest
		var m judge.Move
		if err := json.Unmarshal(line, &m); err == nil { // else a cut tore it: no movement
			m.At = t.last
			t.moves = append(t.moves, m)
		}
	}
}

// all is every movement so far.
func (t *trace) all() ([]judge.Move, error) {
	t.look()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bad != nil {
		return nil, fmt.Errorf("read trace: %w", t.bad)
	}
	return t.moves, nil
}

func (t *trace) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.in != nil {
		t.in.Close()
	}
}
