package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"actuatord/hub/localhub"
	"actuatord/test/hil/machine"
	"actuatord/test/powercut/card"
	"actuatord/test/torture/judge"
)

//go:embed feed.sh
var feedScript []byte

const (
	// heartbeat is the hardware's time in seconds. A Raspberry Pi's can be 15 s at
	// most, and systemd feeds it at half of RuntimeWatchdogSec.
	heartbeat = 5

	// resetWithin is from the hang to the next start of the daemon.
	resetWithin = time.Minute

	// safeWithin is promised from a hang to outputs that are safe again.
	safeWithin = 45 * time.Second
)

// a hang is a way in which a machine stops: what is said to its shell, and how long
// after that the pulse is sent, so that it is in hand when the reset comes.
type hang struct {
	name, line string
	after      time.Duration
}

func hangs() []hang {
	return []hang{
		{"the kernel crashes", "(sleep 2; echo RIG crash; echo c >/proc/sysrq-trigger) >/dev/console 2>&1 &", 0},
		{"only the first process hangs", "touch /run/hang", 2 * time.Second},
	}
}

// resets has a watchdog reset the machine in each way.
func (r *run) resets(ctx context.Context) (guilty bool, err error) {
	for i, h := range hangs() {
		s, err := newSeries(r, i+1)
		if err != nil {
			return true, err
		}
		faults, took, err := s.reset(ctx, h)
		if err != nil {
			return true, fmt.Errorf("%s: %w", h.name, err)
		}
		fmt.Printf("%s: %.1f s to the next start, %.1f s to all outputs safe, %d faults\n", h.name,
			s.lives[1].Start.Sub(s.hung).Seconds(), took.Seconds(), len(faults))
		for _, f := range faults {
			fmt.Println("FAULT:", f)
		}
		guilty = guilty || len(faults) > 0
	}
	return guilty, nil
}

// reset is one machine's life over a reset. took: from the hang to outputs that are safe.
func (s *series) reset(ctx context.Context, h hang) (faults []string, took time.Duration, err error) {
	end := s.follow()
	defer end()
	c, err := card.New(s.medium, s.r.card(s.draw.Uint64()))
	if err != nil {
		return nil, 0, err
	}
	g, err := s.boot(ctx, c, s.tell, machine.Options{
		Initramfs: machine.Initramfs{
			Modules: []machine.Module{{Name: "i6300esb", Params: fmt.Sprintf("heartbeat=%d", heartbeat)}},
			Files:   []machine.File{{Path: "/feed.sh", Data: feedScript, Mode: 0o644}},
		},
		Args:   []string{"-device", "i6300esb", "-action", "watchdog=reset,reboot=reset"},
		Append: []string{"panic=0"}, // it stays as it is, for the watchdog to find
	})
	if err != nil {
		return nil, 0, err
	}
	var names [2]string // of the command under a lease, and of the pulse
	names, err = s.hang(ctx, g, h)
	if err == nil {
		s.await(ctx, g)
		err = s.stop(ctx, g)
	}
	if err = errors.Join(err, g.end()); err != nil {
		return nil, 0, err
	}
	evidence, err := s.evidence()
	if err != nil {
		return nil, 0, err
	}
	for _, f := range judge.Judge(evidence).Faults {
		faults = append(faults, fmt.Sprintf("%s: %s", f.Kind, f.Says))
	}
	if took = s.safe(evidence.Traces[s.id]).Sub(s.hung); took > safeWithin {
		faults = append(faults, fmt.Sprintf("outputs were safe %v after the hang, later than %v", took, safeWithin))
	}
	return append(append(faults, s.odd...), s.unreported(evidence, names)...), took, nil
}

// hang brings the device to where it holds an output under a lease and a pulse, has
// it hang, and waits for its next start.
func (s *series) hang(ctx context.Context, g *guest, h hang) (names [2]string, err error) {
	if !s.wait(ctx, g, bootWithin, localhub.KindSubscribed, 1) {
		return names, s.broke("no session", g)
	}
	send := func(body string) (string, error) {
		s.sender.n++
		m := s.sender.named(body)
		return m.ID, s.sender.put(ctx, m)
	}
	if names[0], err = send(`"target":"valve","action":"on","for":"100s"`); err != nil {
		return names, err
	}
	if !s.wait(ctx, g, bootWithin, localhub.KindCompleted, 1) {
		return names, errors.New("an output was not switched on")
	}
	if err := g.Ready(); err != nil {
		return names, err
	}
	if _, err := g.Must(h.line); err != nil {
		return names, err
	}
	pause(ctx, h.after)
	if names[1], err = send(`"target":"bell","action":"pulse","for":"5s"`); err != nil {
		return names, err
	}
	late := time.NewTimer(resetWithin)
	defer late.Stop()
	for {
		s.mu.Lock()
		lives, said := len(s.lives), s.said
		s.mu.Unlock()
		if lives > 1 {
			return names, nil
		}
		select {
		case <-said:
		case <-late.C:
			return names, fmt.Errorf("no reset within %v", resetWithin)
		case <-g.Ended:
			return names, errors.New("the emulator ended instead of a reset")
		case <-ctx.Done():
			return names, ctx.Err()
		}
	}
}

// safe is when the last output was driven safe at the start after the reset; long
// after everything if one was not.
func (s *series) safe(moves []judge.Move) (at time.Time) {
	seen := map[string]bool{}
	for _, m := range moves {
		if m.At.After(s.hung) && m.Level != "" && m.Cause == "safe" && !seen[m.Target] {
			seen[m.Target], at = true, m.At
		}
	}
	if len(seen) < len(board().Outputs) {
		return s.hung.Add(time.Hour)
	}
	return at
}

// unreported is what the reports should say of the two commands, and do not; and what
// the trace should say of their outputs.
func (s *series) unreported(r judge.Record, names [2]string) (faults []string) {
	cut, interrupted := false, false
	for _, e := range r.Events {
		var rep struct{ Kind, MessageID, Target, Outcome, Reason string }
		if e.Kind != localhub.KindTelemetry || json.Unmarshal(e.Telemetry.Body, &rep) != nil {
			continue
		}
		cut = cut || rep.Kind == "change" && rep.MessageID == names[0] && rep.Target == "valve" && rep.Reason == "lease-cut"
		interrupted = interrupted || rep.Kind == "outcome" && rep.MessageID == names[1] && rep.Outcome == "interrupted" && rep.Reason == "cut-off"
	}
	if !cut {
		faults = append(faults, "the lease that the reset ended was not reported lease-cut")
	}
	if !interrupted {
		faults = append(faults, "the pulse that the reset cut was not reported interrupted")
	}
	for _, target := range []string{"valve", "bell"} {
		var levels []string
		for _, m := range r.Traces[s.id] {
			if m.Target == target {
				levels = append(levels, m.Level+" "+m.Cause)
			}
		}
		name := names[slices.Index([]string{"valve", "bell"}, target)]
		// Safe at the start, on for the command, safe at the start after the reset.
		if want := []string{"off safe", "on " + name, "off safe"}; !slices.Equal(levels, want) {
			faults = append(faults, fmt.Sprintf("%s moved %s, not %s", target, strings.Join(levels, ", "), strings.Join(want, ", ")))
		}
	}
	return faults
}
