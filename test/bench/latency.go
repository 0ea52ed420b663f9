package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"actuatord/board/sim"
)

// remembered is the age of the journals in all measures but that of 100 000: what
// is never forgotten (design §5, retention), and a week of 140 commands a day.
const remembered = 1000

// quantiles are of one competitor, a value for each round.
type quantiles struct{ p50, p99 []float64 }

func (q *quantiles) add(values []float64) {
	q.p50 = append(q.p50, quantile(values, 0.5))
	q.p99 = append(q.p99, quantile(values, 0.99))
}

// times are the rounds of everybody.
type times struct{ bare, empty, level, ours, peer quantiles }

// latency: one command at a time, at rest before each.
func (b *bench) latency(ctx context.Context) error {
	t, _, err := b.turns(ctx, "latency", 0)
	if err != nil {
		return err
	}
	b.tellLatency(t, "")
	return b.traceError()
}

// turns is the rounds: the disk, then each program. The first round warms up and is
// not counted. With flush the backlogs are measured too, since a backlog is where
// the time of a flush counts.
func (b *bench) turns(ctx context.Context, name string, flush time.Duration) (t times, backlogs [2][]haul, err error) {
	ps, err := b.startTraced(ctx, name, flush)
	if err != nil {
		return t, backlogs, err
	}
	defer endAll(ps)
	for round := range b.rounds + 1 {
		if round == 1 {
			t, backlogs = times{}, [2][]haul{}
		}
		f, err := b.measureDisk(ctx, flush)
		if err != nil {
			return t, backlogs, err
		}
		t.bare.add(f.Write)
		t.empty.add(f.Commit)
		for n, p := range ps {
			if err := p.turn(ctx, b.commands, &t); err != nil {
				return t, backlogs, err
			}
			if flush == 0 {
				continue
			}
			h, err := p.haul(ctx, p.allAtOnce)
			if err != nil {
				return t, backlogs, err
			}
			backlogs[n] = append(backlogs[n], h)
		}
	}
	return t, backlogs, nil
}

// startTraced starts a pair, of which actuatord writes what moves.
func (b *bench) startTraced(ctx context.Context, name string, flush time.Duration) ([]*process, error) {
	rivals, err := b.pair(name)
	if err != nil {
		return nil, err
	}
	if err := rivals[0].configure(filepath.Join(rivals[0].dir, "trace")); err != nil {
		return nil, err
	}
	for _, v := range rivals {
		v.flush = flush
		if err := v.remember(ctx, remembered); err != nil {
			return nil, err
		}
	}
	return b.startAll(ctx, rivals)
}

// turn is one program's in a round.
func (p *process) turn(ctx context.Context, n int, t *times) error {
	trips, err := p.singly(ctx, n, onOff, true)
	if err != nil {
		return err
	}
	if !p.ours {
		t.peer.add(settled(trips))
		return nil
	}
	t.ours.add(settled(trips))
	moved, err := p.moved(trips)
	if err != nil {
		return err
	}
	t.level.add(moved)
	return nil
}

func (b *bench) tellLatency(t times, on string) {
	r := &b.report
	cell := func(values []float64) string {
		if len(values) == 0 {
			return none
		}
		return over(values).in(" ms")
	}
	r.row(on+"4 KiB write + fdatasync, p50", "", "", cell(t.bare.p50))
	r.row("… p99", "", "", cell(t.bare.p99))
	r.row(on+"bbolt's empty commit, p50", "", "", cell(t.empty.p50))
	r.row("… p99", "", "", cell(t.empty.p99))
	r.row(on+"delivery → level change, p50", cell(t.level.p50), "", "")
	r.row("… p99", cell(t.level.p99), "", "")
	r.row(on+"delivery → settled, p50", cell(t.ours.p50), cell(t.peer.p50), "")
	r.row("… p99", cell(t.ours.p99), cell(t.peer.p99), "")
	r.row("… p50, × bbolt's empty commit", ratios(t.ours.p50, t.empty.p50).in(""), ratios(t.peer.p50, t.empty.p50).in(""), "")
	r.atMost(on+"delivery → settled p50 / bbolt's empty commit p50", ratios(t.ours.p50, t.empty.p50).median, 1.3, "")
	if len(t.peer.p50) > 0 {
		r.atMost(on+"delivery → settled p50 / the peer's", ratios(t.ours.p50, t.peer.p50).median, 1, "")
		r.atMost(on+"delivery → level change p99 / the peer's delivery → settled p50", ratios(t.level.p99, t.peer.p50).median, 1.0/3, "")
	}
}

// traceError measures how much later than its date a line is in the trace: the same
// encoding and write, into a file of the same directory.
func (b *bench) traceError() (err error) {
	f, err := os.Create(filepath.Join(b.dir, "trace-error"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var all []float64
	for range 1000 {
		e := sim.Event{At: time.Now().UTC(), Target: "lamp", Level: "on", Cause: "c-00000001"}
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := f.Write(append(text, '\n')); err != nil {
			return err
		}
		all = append(all, ms(time.Since(e.At)))
	}
	b.report.remark("A level change is dated by the simulated board before its line is written; the line is there %.3f ms later (p50; p99 %.3f ms), which is the error of that row.",
		quantile(all, 0.5), quantile(all, 0.99))
	return nil
}
