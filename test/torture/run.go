package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"actuatord/hub/localhub"
	"actuatord/test/torture/judge"
)

// run is one run: a hub, devices, and what was done to them.
type run struct {
	flags
	record   *record
	site     *site
	stations []*station
	senders  []*sender
	tally    tally
	settled  time.Duration // how long the devices took in the end
	alone    []string      // who had no session after some time, and was started anew
	last     []string      // what was waited for last
}

func newRun(f flags) (*run, error) {
	r := &run{flags: f, record: newRecord(), tally: tally{counts: map[string]int{}}}
	var err error
	if r.site, err = newSite(f, r.record); err != nil {
		return nil, err
	}
	for i := range f.devices {
		s, err := newStation(r, fmt.Sprintf("t%d", i+1), uint64(i))
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.stations, r.senders = append(r.stations, s), append(r.senders, newSender(r, s, uint64(i)))
	}
	return r, nil
}

// whole is the run from the first start to the judge's verdict.
func (r *run) whole(ctx context.Context) (v judge.Verdict, err error) {
	fmt.Printf("seed %d, %d devices, %v of trouble, up to %v to settle\nhub: %s\ndisk: %s\n",
		r.seed, r.devices, r.time, r.settle, r.site.variant, r.disks())
	var keepers sync.WaitGroup
	keeping, end := context.WithCancel(context.WithoutCancel(ctx))
	defer keepers.Wait()
	defer end()
	for _, s := range r.stations {
		keepers.Go(func() { s.keep(keeping) })
	}
	// What is sent before the first session belongs to the first-subscribe drain,
	// where a new journal refuses once-only commands.
	for _, s := range r.stations {
		if !r.record.once(ctx, s.id, localhub.KindSubscribed, time.Minute) {
			return v, fmt.Errorf("%s did not connect within a minute; its log is %s", s.id, s.log)
		}
	}
	r.trouble(ctx)
	if err := ctx.Err(); err != nil {
		return v, errors.Join(err, r.stop(context.WithoutCancel(ctx)))
	}
	if err := r.settleAll(ctx); err != nil {
		return v, errors.Join(err, r.stop(context.WithoutCancel(ctx)))
	}
	if err := r.stop(ctx); err != nil {
		return v, err
	}
	evidence, err := r.evidence()
	if err != nil {
		return v, err
	}
	return judge.Judge(evidence), nil
}

// trouble sends commands and makes trouble until the time is over; what it broke
// is whole again when it returns.
func (r *run) trouble(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.time)
	defer cancel()
	var all sync.WaitGroup
	for i, s := range r.stations {
		all.Go(func() { r.senders[i].send(ctx) })
		if r.troubles {
			all.Go(func() { newMischief(r, s, uint64(i)).make(ctx) })
		}
	}
	if r.troubles {
		all.Go(func() { newOutage(r).make(ctx) })
	}
	if r.soak {
		all.Go(func() { r.watch(ctx) })
	}
	all.Wait()
}

// settleAll waits until nothing is pending, or the time for it is over.
func (r *run) settleAll(ctx context.Context) error {
	began := time.Now()
	defer func() { r.settled = time.Since(began) }()
	r.site.hub.ClearFaults("")
	for _, s := range r.stations {
		if err := r.site.hub.Drop(s.id); err != nil {
			return err
		}
	}
	for i, s := range r.stations {
		if len(r.site.hub.Queue(s.id)) > 0 {
			tail, cancel := context.WithTimeout(ctx, time.Second) // a full queue is tail enough
			r.senders[i].tail(tail)
			cancel()
		}
	}
	anew := began.Add(5 * time.Second) // who has no session by then waits for a while
	if r.long() {
		anew = began.Add(r.settle / 2)
	}
	look := time.NewTicker(time.Second) // of each, Pending takes a good part in a long run
	defer look.Stop()
	for restarted := false; time.Since(began) < r.settle; {
		if !restarted && !time.Now().Before(anew) {
			restarted = true
			r.anew()
		}
		waits := r.pending()
		if waits == nil {
			return nil
		}
		r.last = waits
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil // the judge will say what is lost
}

// anew starts daemons without a session anew, as a person would who has waited long
// enough.
func (r *run) anew() {
	for _, s := range r.stations {
		if connected, _ := r.site.hub.Status(s.id); !connected {
			r.alone = append(r.alone, s.id)
			s.signal(terminate)
		}
	}
}

func (r *run) pending() []string {
	sent, events := r.record.all()
	return judge.Pending(judge.Record{Board: board(), Sent: sent, Events: events, End: time.Now()})
}

// stop ends every daemon as systemd would, for good.
func (r *run) stop(ctx context.Context) error {
	var errs []error
	for _, s := range r.stations {
		errs = append(errs, s.stop(ctx))
	}
	return errors.Join(errs...)
}

func (r *run) evidence() (judge.Record, error) {
	sent, events := r.record.all()
	e := judge.Record{Board: board(), Sent: sent, Events: events, End: time.Now(), Traces: map[string][]judge.Move{}, Lives: map[string][]judge.Life{}}
	for _, s := range r.stations {
		moves, err := judge.ReadTrace(filepath.Join(s.dir, "trace.jsonl"))
		if err != nil {
			return e, err
		}
		e.Traces[s.id], e.Lives[s.id] = moves, s.past()
	}
	return e, nil
}

// disks says on what the journals lie.
func (r *run) disks() string {
	for _, s := range r.stations {
		if s.disk == nil {
			return "no disk of their own (" + s.noDisk + "): no storage trouble is made"
		}
	}
	return "a loop device each: full, failing, read-only"
}

func (r *run) close() error {
	var errs []error
	for _, s := range r.stations {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, r.site.close())...)
}
