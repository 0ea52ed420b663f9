package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"actuatord/hub/localhub"
	"actuatord/test/powercut/card"
	"actuatord/test/torture/judge"
)

const (
	// settleWithin is what a device has in the end: a settle visit comes a minute
	// after the last, and a link that failed often waits.
	settleWithin = 3 * time.Minute

	// reportsWithin is what reports have in a run where some may never come, once the
	// queue is empty.
	reportsWithin = 15 * time.Second

	// stopWithin is what a stop may take: 5 s by promise, on an emulated processor.
	stopWithin = 30 * time.Second

	// slack is how much later than it must a device may be. An emulated processor gets
	// from its host what there is: with forty others waiting a start took 9 s to its
	// first output, and a timer was a second late. That outputs come first is held
	// without any time: see restless.
	slack = 20 * time.Second
)

// settle is the last life: every message comes to its end, and the daemon is stopped.
func (s *series) settle(ctx context.Context) error {
	return s.life(ctx, 0, func(ctx context.Context, g *guest) error {
		if !s.wait(ctx, g, bootWithin, localhub.KindConnected, 1) {
			return s.broke("no session", g)
		}
		// A device that holds many deliveries behind one which it must reject makes
		// its visit at once.
		for range 12 {
			s.sender.n++
			if err := s.sender.put(ctx, s.sender.named(`"target":"all","action":"read"`)); err != nil {
				return err
			}
		}
		s.await(ctx, g)
		return errors.Join(s.stop(ctx, g), ctx.Err())
	})
}

// await waits until nothing is pending, or the time for it is over: then the judge
// will say what is lost.
func (s *series) await(ctx context.Context, g *guest) {
	end := time.Now().Add(settleWithin)
	look := time.NewTicker(500 * time.Millisecond)
	defer look.Stop()
	for time.Now().Before(end) {
		sent, events := s.record.all()
		if judge.Pending(judge.Record{Board: board(), Sent: sent, Events: events, End: time.Now()}) == nil {
			return
		}
		if soon := time.Now().Add(reportsWithin); !s.r.sound() && len(s.r.site.hub.Queue(s.id)) == 0 && soon.Before(end) {
			end = soon
		}
		select {
		case <-look.C:
		case <-g.Ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// stop ends the daemon as systemd does, and takes the card out when it is at rest.
func (s *series) stop(ctx context.Context, g *guest) error {
	s.note(func() { s.stopping = true })
	if err := g.Ready(); err != nil {
		return err
	}
	if _, err := g.Must("touch /run/stop; kill -TERM $(cat /run/pid)"); err != nil {
		return err
	}
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	for {
		s.mu.Lock()
		stopped, said := s.stopped, s.said
		s.mu.Unlock()
		if stopped {
			return nil
		}
		select {
		case <-said:
		case <-late.C:
			return fmt.Errorf("%s did not stop within %v; its console is %s", s.id, stopWithin, g.console.Name())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fsck looks at a copy of what is on the card, as a boot's check would: the machine
// boots from what no check has put right. Exit 1 is the journal's replay and counts
// put right, which a cut explains; from 4 on something is wrong that it does not.
func (s *series) fsck(ctx context.Context) error {
	file := filepath.Join(s.dir, "after.img")
	if err := writeSparse(file, s.medium); err != nil {
		return err
	}
	said, err := exec.CommandContext(ctx, s.r.kit.Tool("e2fsck"), "-f", "-p", file).CombinedOutput()
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return fmt.Errorf("e2fsck: %w", err)
	}
	s.tally.fsck[code]++
	if code >= 4 {
		s.note(func() { s.odd = append(s.odd, fmt.Sprintf("e2fsck exits with %d: %s", code, said)) })
	}
	return nil
}

// restless are the boots that did not begin with every output at its safe level, before
// anything else moved. A boot may be cut before it has driven them all.
func restless(moves []judge.Move, begins []int) (faults []string) {
	for i, from := range begins {
		to := len(moves)
		if i+1 < len(begins) {
			to = begins[i+1]
		}
		left := map[string]string{}
		for _, o := range board().Outputs {
			left[o.Name] = "off"
			if o.SafeOn {
				left[o.Name] = "on"
			}
		}
		for _, m := range moves[from:to] {
			if m.Level == "" {
				continue
			}
			if len(left) == 0 {
				break
			}
			if m.Cause != "safe" || left[m.Target] != m.Level {
				faults = append(faults, fmt.Sprintf("boot %d moved %s %s (%s) before all outputs were safe", i+1, m.Target, m.Level, m.Cause))
				break
			}
			delete(left, m.Target)
		}
	}
	return faults
}

// evidence is all that the judge looks at.
func (s *series) evidence() (judge.Record, error) {
	sent, events := s.record.all()
	moves, err := s.trace.all()
	s.mu.Lock()
	defer s.mu.Unlock()
	return judge.Record{
		Board: board(), Sent: sent, Events: events, End: time.Now(),
		Traces: map[string][]judge.Move{s.id: moves}, Lives: map[string][]judge.Life{s.id: slices.Clone(s.lives)}, Slack: slack,
	}, err
}

func sum(a, b card.Stats) card.Stats {
	return card.Stats{
		Reads: a.Reads + b.Reads, Writes: a.Writes + b.Writes, Flushes: a.Flushes + b.Flushes, Forced: a.Forced + b.Forced,
		Lies: a.Lies + b.Lies, Lost: a.Lost + b.Lost, Kept: a.Kept + b.Kept,
	}
}
