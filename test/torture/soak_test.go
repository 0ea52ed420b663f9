package main

import (
	"os"
	"slices"
	"testing"
)

// TestReadSample: a process is looked at as it is, and one that is gone is told.
func TestReadSample(t *testing.T) {
	before, err := readSample(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	after, err := readSample(os.Getpid())
	if err != nil || after.files != before.files+1 || after.threads < 1 || after.anonymous < 1 || after.pss <= after.anonymous {
		t.Errorf("first %+v, and with one file more %+v, %v", before, after, err)
	}
	if _, err := readSample(1 << 30); err == nil {
		t.Error("read what is not there")
	}
}

// TestGrown: growth is a peak that a first half never had, whatever the traffic.
func TestGrown(t *testing.T) {
	soak := func(change func(n int, s *sample)) (all []sample) {
		for n := range 240 {
			s := sample{at: 5 * n, pid: 7, pss: 9000 + 10*n, anonymous: 4500 + 3000*(n/5%2), files: 13 + n%3, threads: 8}
			change(n, &s)
			all = append(all, s)
		}
		return all
	}
	for _, c := range []struct {
		name   string
		change func(n int, s *sample)
		want   []string
	}{
		{"level", func(int, *sample) {}, nil},
		{"it settles first", func(n int, s *sample) { s.anonymous -= max(0, 2000-50*n) }, nil},
		{"quiet, then busy", func(n int, s *sample) { s.anonymous = 4500 + 3000*min(n/100, 1) }, nil},
		{"memory", func(n int, s *sample) { s.anonymous += 5 * n }, []string{"anonymous KiB: at most 8095 in the first half of the time, and 8695 in the second"}},
		{"files", func(n int, s *sample) { s.files += n / 30 }, []string{"files: at most 18 in the first half of the time, and 22 in the second"}},
		{"threads", func(n int, s *sample) { s.threads += n / 25 }, []string{"threads: at most 12 in the first half of the time, and 17 in the second"}},
		{"another process", func(n int, s *sample) { s.pid += n / 200 }, []string{"it was not one process: nothing can be said of its growth"}},
	} {
		if got := grown(soak(c.change)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
	}
	if grown(nil) == nil {
		t.Error("found nothing wrong with what was not looked at")
	}
}
