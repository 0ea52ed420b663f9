package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"actuatord/board"
)

// starts are a program's, in milliseconds from before it was made: a value a round.
type starts struct{ safe, subscribed []float64 }

// beginning is one way to start.
type beginning struct {
	name     string
	ids      int // remembered; 0: nothing is, and the hub does not know the device either
	end      syscall.Signal
	targeted bool
}

// start: from the process's making to its outputs safe, and to its SUBSCRIBE.
func (b *bench) start(ctx context.Context) error {
	rivals, err := b.pair("start")
	if err != nil {
		return err
	}
	if err := rivals[0].configure(filepath.Join(rivals[0].dir, "trace")); err != nil {
		return err
	}
	for _, w := range []beginning{
		{name: "first start", end: syscall.SIGTERM},
		{name: "start", ids: remembered, end: syscall.SIGTERM, targeted: true},
		{name: fmt.Sprintf("start after SIGKILL, %d ids", b.many), ids: b.many, end: syscall.SIGKILL},
	} {
		all, err := b.begin(ctx, rivals, w)
		if err != nil {
			return err
		}
		b.tellStart(w, all[0], all[1])
	}
	return nil
}

func (b *bench) begin(ctx context.Context, rivals []*rival, w beginning) ([]starts, error) {
	all := make([]starts, 2)
	for round := range b.starts + 1 {
		for n, v := range rivals {
			if round == 0 && w.ids > 0 {
				if err := v.remember(ctx, w.ids); err != nil {
					return nil, err
				}
			}
			if w.ids == 0 {
				if err := v.forget(); err != nil {
					return nil, err
				}
			}
			safe, subscribed, err := v.once(ctx, w.end)
			if err != nil {
				return nil, err
			}
			if round > 0 { // the first is the one behind remember: the hub does not know the device yet
				all[n].safe, all[n].subscribed = append(all[n].safe, safe), append(all[n].subscribed, subscribed)
			}
		}
	}
	return all, nil
}

// once starts and ends a program.
func (v *rival) once(ctx context.Context, end syscall.Signal) (safe, subscribed float64, err error) {
	if v.trace != "" {
		if err := os.RemoveAll(v.trace); err != nil {
			return 0, 0, err
		}
	}
	p, err := v.start(ctx)
	if err != nil {
		return 0, 0, err
	}
	if v.trace != "" {
		if safe, err = p.madeSafe(); err != nil {
			return 0, 0, err
		}
	}
	// One command, so that the subscription is on disk before the end: a daemon that
	// is killed sooner has to drain the queue first, for as long as a lock lasts.
	if _, err := p.singly(ctx, 1, onOff, true); err != nil {
		return 0, 0, err
	}
	return safe, ms(p.subscribed.Sub(p.began)), p.end(end)
}

// madeSafe is when the last output reached its safe level at the start.
func (p *process) madeSafe() (float64, error) {
	events, err := readTrace(p.trace)
	if err != nil {
		return 0, err
	}
	if len(events) < outputs || events[outputs-1].Cause != board.CauseSafe {
		return 0, fmt.Errorf("the trace begins with %v: not every output was made safe", events)
	}
	return ms(events[outputs-1].At.Sub(p.began.Round(0))), nil
}

func (b *bench) tellStart(w beginning, ours, peer starts) {
	r := &b.report
	r.row(w.name+" → outputs safe", over(ours.safe).in(" ms"), "", "")
	if len(peer.subscribed) == 0 {
		r.row("… → subscribed", over(ours.subscribed).in(" ms"), "", "")
		return
	}
	r.row("… → subscribed", over(ours.subscribed).in(" ms"), over(peer.subscribed).in(" ms"), "")
	if ratio := ratios(ours.subscribed, peer.subscribed); w.targeted {
		r.atMost("start → subscribed / the peer's", ratio.median, 0.25, "")
	} else {
		r.row("… / the peer's", ratio.in("×"), "1", "")
	}
}
