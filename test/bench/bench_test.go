package main

import (
	"testing"
)

// TestQuantile: the nearest rank, also where there is hardly anything to rank.
func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[99-i] = float64(i + 1)
	}
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{nil, 0.5, 0}, {[]float64{7}, 0.99, 7}, {[]float64{3, 1, 2}, 0.5, 2}, {[]float64{1, 2, 3, 4}, 0.5, 2},
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %v of %d values: %v, want %v", c.q, len(c.values), got, c.want)
		}
	}
}

// TestRatios: a ratio is taken in each round, so a round that is slow for both does
// not show.
func TestRatios(t *testing.T) {
	got := ratios([]float64{1, 20, 3}, []float64{2, 40, 6})
	if want := (spread{0.5, 0.5, 0.5}); got != want {
		t.Errorf("ratios: %v, want %v", got, want)
	}
	if got := ratios([]float64{1}, []float64{0}); got != (spread{}) {
		t.Errorf("ratio to nothing: %v", got)
	}
}

// TestVerdict: a bound that is met holds, and a missed one says by how much.
func TestVerdict(t *testing.T) {
	var r report
	r.atMost("a", 2, 2, "")
	r.atMost("b", 3, 2, "")
	r.atLeast("c", 5, 5, "")
	r.atLeast("d", 4, 5, "")
	for i, want := range []string{"holds", "missed: 1.50× the bound", "holds", "missed: 0.80 of the bound"} {
		if got := r.targets[i][3]; got != want {
			t.Errorf("%s: %q, want %q", r.targets[i][0], got, want)
		}
	}
}

// TestCountCalls: calls that another thread's line parted count once, and those that
// had not returned when strace left do not count.
func TestCountCalls(t *testing.T) {
	const trace = `20217 pwrite64(11, ""..., 4096, 307200 <unfinished ...>
20216 futex(0x1, FUTEX_WAKE_PRIVATE, 1) = 1
20217 <... pwrite64 resumed>) = 4096
20217 pwrite64(11, ""..., 100, 0)       = 100
20217 fdatasync(11)                     = 0
20221 fsync(11 <unfinished ...>
20221 <... fsync resumed>)              = 0
20217 fdatasync(11)                     = -1 EIO (Input/output error)
20217 fdatasync(11 <unfinished ...>
20217 --- SIGURG {si_signo=SIGURG} ---
`
	if got, want := countCalls([]byte(trace)), (calls{syncs: 2, writes: 2, bytes: 4196}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// TestGuest: of an emulated program's process only what lies at the program's own
// addresses is the program's.
func TestGuest(t *testing.T) {
	const smaps = `00010000-00095000 r--p 00000000 fe:00 10022740                           /x/actuatord
Size:                532 kB
Rss:                 532 kB
Pss:                 500 kB
Pss_Dirty:             0 kB
VmFlags: rd mr mw me
5500801000-5500802000 r--p 00000000 00:00 0 
Rss:                   4 kB
Pss:                   4 kB
55555d96b000-55555e2ce000 rw-p 00000000 00:00 0                          [heap]
Rss:                9572 kB
Pss:                9572 kB
6c7554400000-6c7554800000 rw-p 00000000 00:00 0 
Rss:                 376 kB
Pss:                 376 kB
7f2f96400000-7f2f9e3ff000 rwxp 00000000 00:00 0 
Rss:                2048 kB
Pss:                2048 kB
7f2f9f028000-7f2f9f4a7000 r-xp 00228000 fe:00 10166369                   /usr/bin/qemu-aarch64-static
Rss:                2520 kB
Pss:                1260 kB
`
	regions, err := parseSmaps([]byte(smaps))
	if err != nil {
		t.Fatal(err)
	}
	var whole, own, resident float64
	for _, r := range regions {
		whole, resident = whole+r.pss, resident+r.rss
	}
	for _, r := range guestOf(regions) {
		own += r.pss
	}
	if whole != 13760 || own != 880 || resident != 15052 {
		t.Errorf("PSS %v, of which the program's own %v; RSS %v; want 13760, 880, 15052", whole, own, resident)
	}
}

// TestField: one word may be the end of another.
func TestField(t *testing.T) {
	const io = "wchar: 1\ncancelled_write_bytes: 3\nwrite_bytes: 2\n"
	if n, err := field(io, "write_bytes:"); n != 2 || err != nil {
		t.Errorf("read %d, %v; want 2", n, err)
	}
	if _, err := field(io, "rchar:"); err == nil {
		t.Error("read what is not there")
	}
}
