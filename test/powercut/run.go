package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"actuatord/test/hil/machine"
	"actuatord/test/powercut/card"
	"actuatord/test/torture/judge"
)

// kind answers how many of how many flushes a kind of card carries out.
func kind(name string) (honest, of int, known bool) {
	switch name {
	case "honest":
		return 0, 0, true
	case "liar":
		return 1, 4, true
	case "never":
		return 0, 1, true
	}
	return 0, 0, false
}

// run is one run of several series.
type run struct {
	flags
	kit     machine.Kit
	place   string // of everything
	program string // actuatord, for the guest
	site    *site
	empty   []byte // a card that nothing was written to
	began   time.Time

	mu    sync.Mutex
	total total
}

func newRun(f flags, kit machine.Kit, dir, program string) (*run, error) {
	r := &run{flags: f, kit: kit, place: dir, program: program, began: time.Now()}
	var err error
	if r.empty, err = filesystem(context.Background(), kit.Tool("mke2fs"), dir); err != nil {
		return nil, err
	}
	r.site, err = newSite(filepath.Join(dir, "hub"))
	return r, err
}

func (r *run) close() error { return r.site.close() }

// card is how a card of this run is.
func (r *run) card(seed uint64) card.Options {
	honest, of, _ := kind(r.flags.card)
	return card.Options{Seed: seed, Atom: r.atom, Honest: honest, Of: of}
}

// sound: neither the card nor the daemon has a fault, so that nothing may break.
func (r *run) sound() bool { return r.flags.card == "honest" && r.mutant == "" }

// whole makes all series, and tells.
func (r *run) whole(ctx context.Context) (guilty bool, err error) {
	fmt.Printf("seed %d: %d cuts, series of %d, %d at a time, card %s\n", r.seed, r.cuts, r.each, r.lanes, r.flags.card)
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	numbers := make(chan int)
	var lanes sync.WaitGroup
	errs := make([]error, r.lanes)
	for i := range r.lanes {
		lanes.Go(func() {
			for n := range numbers {
				if err := r.one(ctx, n, min(r.each, r.cuts-(n-1)*r.each)); err != nil {
					errs[i] = err
					enough()
				}
				if r.mutant != "" && r.total.convicted() {
					enough()
				}
			}
		})
	}
	for n := 1; n <= (r.cuts+r.each-1)/r.each && ctx.Err() == nil; n++ {
		select {
		case numbers <- n:
		case <-ctx.Done():
		}
	}
	close(numbers)
	lanes.Wait()
	err = errors.Join(errs...)
	if r.mutant != "" && r.total.convicted() {
		err = nil // the other lanes were ended in the middle
	}
	r.print(time.Since(r.began))
	return r.guilty(), err
}

// one is a whole series of so many cuts.
func (r *run) one(ctx context.Context, number, cuts int) error {
	s, err := newSeries(r, number)
	if err != nil {
		return err
	}
	end := s.follow()
	defer end()
	for n := 0; n < cuts && !s.dead; n++ {
		if err := errors.Join(s.cut(ctx, n == 0), ctx.Err()); err != nil {
			return err
		}
	}
	if !s.dead {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	evidence, err := s.evidence()
	if err != nil {
		return err
	}
	v := judge.Judge(evidence)
	s.odd = append(s.odd, restless(evidence.Traces[s.id], s.begins)...)
	if r.take(s, v) || r.flags.dir != "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
