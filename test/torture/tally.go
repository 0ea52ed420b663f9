package main

import (
	"errors"
	"sync"
)

// tally counts what was done to the devices, by its name.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	errs   []error
}

func (t *tally) count(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[name]++
}

// fail notes that a trouble could not be made, or not taken back.
func (t *tally) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.errs = append(t.errs, err)
	}
}

func (t *tally) err() error { return errors.Join(t.errs...) }
