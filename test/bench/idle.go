package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// quiet is one program that does nothing, and what was seen of it.
type quiet struct {
	*process
	what          string
	samples       []memory
	before, after effort
}

// effort is what the kernel counts of a process's threads.
type effort struct {
	ran   time.Duration // on a processor
	woken uint64        // times that a thread had gone to sleep by itself, and came back
}

// idle: connected, subscribed, and nothing to do. The method is the one by which
// Greengrass nucleus lite publishes its own: a sample every 10 s, the median of them.
func (b *bench) idle(ctx context.Context) error {
	all, err := b.quietOnes(ctx)
	if err != nil {
		return err
	}
	if err := wait(ctx, b.warmUp); err != nil {
		return err
	}
	began := time.Now()
	for _, q := range all {
		if q.before, err = readEffort(q.pid); err != nil {
			return err
		}
	}
	for time.Since(began) < b.window {
		if err := wait(ctx, b.every); err != nil {
			return err
		}
		for _, q := range all {
			m, err := q.readMemory()
			if err != nil {
				return err
			}
			q.samples = append(q.samples, m)
		}
	}
	took := time.Since(began)
	for _, q := range all {
		if q.after, err = readEffort(q.pid); err != nil {
			return err
		}
	}
	b.tellIdle(all, took)
	for _, q := range all {
		if err := q.end(endSoftly); err != nil {
			return err
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// quietOnes starts everything that is looked at. All are idle at the same time: what
// one costs the others is a few wake-ups.
func (b *bench) quietOnes(ctx context.Context) ([]*quiet, error) {
	rivals, err := b.pair("idle")
	if err != nil {
		return nil, err
	}
	var all []*quiet
	for _, v := range rivals {
		p, err := v.start(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, &quiet{process: p, what: v.name})
	}
	emulated, err := b.emulated(ctx)
	return append(all, emulated...), err
}

// readEffort adds up the threads. Go keeps its threads, so none that worked is
// missing at the end.
func readEffort(pid int) (e effort, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return e, err
	}
	for _, t := range tasks {
		sched, err := os.ReadFile(filepath.Join(t, "schedstat"))
		if err != nil {
			return e, err
		}
		var ran uint64
		if _, err := fmt.Sscan(string(sched), &ran); err != nil {
			return e, fmt.Errorf("read schedstat %q: %w", sched, err)
		}
		text, err := os.ReadFile(filepath.Join(t, "status"))
		if err != nil {
			return e, err
		}
		woken, err := field(string(text), "voluntary_ctxt_switches:")
		if err != nil {
			return e, err
		}
		e.ran, e.woken = e.ran+time.Duration(ran), e.woken+woken
	}
	return e, nil
}

// median takes one figure of the samples, in MiB.
func (q *quiet) median(get func(memory) float64) float64 {
	var all []float64
	for _, m := range q.samples {
		all = append(all, get(m)/1024)
	}
	return quantile(all, 0.5)
}

func pss(m memory) float64    { return m.pss }
func rss(m memory) float64    { return m.rss }
func guest(m memory) float64  { return m.guest }
func binary(m memory) float64 { return m.binary }

func (b *bench) tellIdle(all []*quiet, took time.Duration) {
	r := &b.report
	busy := func(q *quiet) float64 { return 100 * float64(q.after.ran-q.before.ran) / float64(took) }
	woken := func(q *quiet) float64 { return float64(q.after.woken-q.before.woken) / took.Seconds() }
	ours, peer := all[0], (*quiet)(nil)
	if len(all) > 1 && !all[1].ours {
		peer = all[1]
	}
	for _, c := range []struct {
		name, unit string
		get        func(*quiet) float64
	}{
		{"idle, " + native() + ": PSS", " MiB", func(q *quiet) float64 { return q.median(pss) }},
		{"… RSS", " MiB", func(q *quiet) float64 { return q.median(rss) }},
		{"… processor", " %", busy},
		{"… wake-ups of threads a second", "", woken},
	} {
		theirs := none
		if peer != nil {
			theirs = figure(c.get(peer)) + c.unit
		}
		r.row(c.name, figure(c.get(ours))+c.unit, theirs, "")
	}
	r.row("… of the PSS the binary's own file", figure(ours.median(binary))+" MiB", "", "")
	r.atMost("idle processor", busy(ours), 0.1, " %")
	if native() == "arm64" {
		r.atMost("idle PSS, arm64", ours.median(pss), 10, " MiB")
	}
	b.tellEmulated(all)
	r.remark("Idle: %d samples of /proc/PID/smaps in %.0f s, after %.0f s to settle; keep-alive 60 s, and fed watchdog as under systemd. (Greengrass lite: 10 min after 5: -warmup 5m -window 10m.)",
		len(ours.samples), took.Seconds(), b.warmUp.Seconds())
}

// tellEmulated writes what can be known of other processors here.
func (b *bench) tellEmulated(all []*quiet) {
	trivial := map[string]float64{}
	for _, q := range all {
		if arch, found := strings.CutPrefix(q.what, "trivial "); found {
			trivial[arch] = q.median(pss)
		}
	}
	told := false
	for _, q := range all {
		arch, found := strings.CutPrefix(q.what, "emulated ")
		if !found {
			continue
		}
		told = true
		b.report.row("idle, "+arch+" under qemu-user: PSS of the program's own mappings", figure(q.median(guest))+" MiB", "", "")
		b.report.row("… of it the binary's own file", figure(q.median(binary))+" MiB", "", "")
		b.report.row("… PSS with the emulator", figure(q.median(pss))+" MiB", "", "")
		b.report.row("… more than a Go program that only waits, same emulator", figure(q.median(pss)-trivial[arch])+" MiB", "", "")
		if arch == "arm64" {
			b.report.atMost("idle PSS, arm64 (its own mappings, emulated)", q.median(guest), 10, " MiB")
		}
	}
	if told {
		b.report.remark("Under qemu-user the process holds the emulator and its translations too, so three figures are given: what is mapped at the program's own addresses, the whole, and the whole less a waiting Go program's. The amd64 binary under the same emulator is there to compare the first with the native row.")
	}
}
