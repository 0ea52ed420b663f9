package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// sampleEvery is cheap: reading smaps_rollup walks some thousand pages.
	sampleEvery = 5 * time.Second

	// window is what is told as one row.
	window = 5 * time.Minute

	// shortestSoak has both halves long enough for traffic and for outages; the heap
	// comes to the size at which it is collected in the first minutes.
	shortestSoak = 4 * window
)

// sample is what the kernel says of one process at one time.
type sample struct {
	at, pid        int // at: seconds since the beginning
	pss, anonymous int // KiB; anonymous is what only swapping could take: heap and stacks
	files, threads int
}

func readSample(pid int) (s sample, err error) {
	proc := fmt.Sprintf("/proc/%d", pid)
	text, err := os.ReadFile(filepath.Join(proc, "smaps_rollup"))
	if err != nil {
		return s, err
	}
	s.pid = pid
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		to := map[string]*int{"Pss": &s.pss, "Pss_Anon": &s.anonymous}[name]
		if to == nil {
			continue
		}
		if _, err := fmt.Sscan(rest, to); err != nil {
			return s, fmt.Errorf("read %q: %w", line, err)
		}
	}
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	threads, err2 := os.ReadDir(filepath.Join(proc, "task"))
	s.files, s.threads = len(files), len(threads)
	return s, errors.Join(err, err2)
}

// watch samples the daemons until ctx ends.
func (r *run) watch(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, s := range r.stations {
				if err := s.sample(int(now.Sub(began).Seconds())); err != nil {
					r.tally.fail(fmt.Errorf("look at %s: %w", s.id, err))
				}
			}
		}
	}
}

func (s *station) sample(at int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return errors.New("it does not run")
	}
	one, err := readSample(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	one.at = at
	s.samples = append(s.samples, one)
	return nil
}

// measure is one figure of a sample, and by how much its peak may rise without a
// reason that lies in the time that has passed: some times what it was seen to differ
// by between one half hour and the next.
type measure struct {
	name  string
	of    func(sample) int
	slack int
}

func measures() []measure {
	return []measure{
		{"PSS KiB", func(s sample) int { return s.pss }, 1 << 30}, // told only: the journal's file and the program's are in it
		{"anonymous KiB", func(s sample) int { return s.anonymous }, 512},
		{"files", func(s sample) int { return s.files }, 3},
		{"threads", func(s sample) int { return s.threads }, 3},
	}
}

// grown says what came to a higher peak in the second half of the time than in the
// first, or that it was not one process. A median would tell of the traffic: with
// commands coming the heap is at the size at which it is collected, and in quiet
// minutes Go gives half of it back.
func grown(all []sample) (faults []string) {
	first, second := all[:len(all)/2], all[len(all)/2:]
	if len(first) == 0 {
		return []string{"it was not looked at"}
	}
	if slices.ContainsFunc(all, func(s sample) bool { return s.pid != all[0].pid }) {
		return []string{"it was not one process: nothing can be said of its growth"}
	}
	for _, m := range measures() {
		before, after := slices.Max(m.each(first)), slices.Max(m.each(second))
		if after > before+m.slack {
			faults = append(faults, fmt.Sprintf("%s: at most %d in the first half of the time, and %d in the second", m.name, before, after))
		}
	}
	return faults
}

func (m measure) each(samples []sample) (all []int) {
	for _, s := range samples {
		all = append(all, m.of(s))
	}
	return all
}

// printSoak tells how the daemons stood, window by window. guilty: something grew.
func (r *run) printSoak() (guilty bool) {
	fmt.Printf("\nthe daemons, every %v: first, median and last\n%-10s", window, "")
	for _, m := range measures() {
		fmt.Printf("  %20s", m.name)
	}
	fmt.Println()
	for _, s := range r.stations {
		const row = int(window / sampleEvery)
		for part := range slices.Chunk(s.samples, row) {
			fmt.Printf("%-4s %3dm ", s.id, part[0].at/60)
			for _, m := range measures() {
				all := m.each(part)
				fmt.Printf("  %6d %6d %6d", all[0], slices.Sorted(slices.Values(all))[len(all)/2], all[len(all)-1])
			}
			fmt.Println()
		}
		for _, fault := range grown(s.samples) {
			fmt.Printf("GROWTH: %s: %s\n", s.id, fault)
			guilty = true
		}
	}
	return guilty
}
