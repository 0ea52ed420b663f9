package clock

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	boot  = time.Now() // with a monotonic reading, as the agent's
	build = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// TestGuess: before anybody has said anything, whatever the kernel wakes up with.
func TestGuess(t *testing.T) {
	for _, tt := range []struct {
		name              string
		wall, floor, want time.Time
	}{
		{"1970", time.Unix(0, 0), build, build},
		{"no time at all", time.Time{}, build, build},
		{"a nanosecond early", build.Add(-1), build, build},
		{"at the floor", build, build, build},
		{"later", noon, build, noon},
		{"32 bits ran out", time.Unix(math.MaxInt32, 0), build, time.Unix(math.MaxInt32, 0).UTC()},
		{"32 bits wrapped", time.Unix(math.MinInt32, 0), build, build},
		{"an RTC with every bit set", time.Unix(math.MaxUint32, 0), build, time.Unix(math.MaxUint32, 0).UTC()},
		{"the end of time", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), build, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"another zone", noon.In(time.FixedZone("", 3600)), build, noon},
		{"no floor", time.Unix(1, 0), time.Time{}, time.Unix(1, 0).UTC()},
		{"the same reading", boot, build, plain(boot)},
	} {
		c := New(boot, tt.wall, tt.floor)
		if got := c.Now(boot); got != tt.want { // ==: also the zone, and no monotonic reading
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
		if got := c.Now(boot.Add(1000 * time.Hour)); !got.Equal(tt.want.Add(1000 * time.Hour)) {
			t.Errorf("%s: after 1000 h %v", tt.name, got)
		}
		if c.Trusted() || c.Source() != None || !c.Since().Equal(tt.want) {
			t.Errorf("%s: trusted %v, by %v since %v", tt.name, c.Trusted(), c.Source(), c.Since())
		}
	}
}

// A saying is one thing that a clock is told, after a while.
type saying struct {
	after time.Duration
	say   func(c Clock, mono time.Time) (Clock, time.Duration)
}

func kernel(after time.Duration, wall time.Time, synchronised bool) saying {
	return saying{after, func(c Clock, mono time.Time) (Clock, time.Duration) { return c.Kernel(mono, wall, synchronised) }}
}

// date is a Date that has lain about for age.
func date(after time.Duration, d time.Time, age time.Duration) saying {
	return saying{after, func(c Clock, mono time.Time) (Clock, time.Duration) { return c.Hub(mono, mono.Add(-age), d) }}
}

func raise(after time.Duration, floor time.Time) saying {
	return saying{after, func(c Clock, mono time.Time) (Clock, time.Duration) { return c.Raise(mono, floor) }}
}

// TestSayings starts at the build's date, with a kernel that woke in 1970.
func TestSayings(t *testing.T) {
	const s, h = time.Second, time.Hour
	for _, tt := range []struct {
		name    string
		sayings []saying
		want    time.Time // behind the last
		step    time.Duration
		source  Source
	}{
		{"the kernel knows", []saying{kernel(h, noon, true)}, noon, noon.Sub(build.Add(h)), Kernel},
		{"the kernel knows that it is earlier than the build", []saying{kernel(h, build.Add(-h), true)}, build.Add(-h), -2 * h, Kernel},
		{"set by hand, not synchronised", []saying{kernel(h, noon, false)}, build.Add(h), 0, None},
		{"set back by hand, not synchronised", []saying{kernel(h, build.Add(-h), false)}, build.Add(h), 0, None},
		{"the hub knows", []saying{date(h, noon, 0)}, noon, noon.Sub(build.Add(h)), Hub},
		{"the hub knows that it is earlier than the build", []saying{date(h, build.Add(-h), 0)}, build.Add(-h), -2 * h, Hub},
		{"the hub's answer took its time to be read", []saying{date(h, noon, 5*s)}, noon.Add(5 * s), noon.Add(5 * s).Sub(build.Add(h)), Hub},
		{"a Date of the future's answer counts as new", []saying{date(h, noon, -5*s)}, noon, noon.Sub(build.Add(h)), Hub},
		{"the hub agrees, nearly", []saying{date(h, build.Add(h+2*s-1), 0)}, build.Add(h), 0, Hub},
		{"the hub agrees, nearly, behind", []saying{date(h, build.Add(h-2*s+1), 0)}, build.Add(h), 0, Hub},
		{"two seconds are a step", []saying{date(h, build.Add(h+2*s), 0)}, build.Add(h + 2*s), 2 * s, Hub},
		{"two seconds back are a step", []saying{date(h, build.Add(h-2*s), 0)}, build.Add(h - 2*s), -2 * s, Hub},
		{"no Date", []saying{date(h, time.Time{}, 0)}, build.Add(h), 0, None},
		{"the kernel beats the hub", []saying{kernel(h, noon, true), date(0, noon.Add(h), 0)}, noon, 0, Kernel},
		{"the kernel corrects the hub", []saying{date(h, noon, 0), kernel(0, noon.Add(h), true)}, noon.Add(h), h, Kernel},
		{"the kernel lost it and time goes on", []saying{kernel(h, noon, true), kernel(h, noon.Add(9*h), false)}, noon.Add(h), 0, Kernel},
		{"the kernel lost it and the hub corrects", []saying{kernel(h, noon, true), kernel(h, noon, false), date(h, noon, 0)}, noon, -2 * h, Hub},
		{"the hub agrees with a kernel that lost it", []saying{kernel(h, noon, true), kernel(h, noon, false), date(h, noon.Add(2*h+s), 0)}, noon.Add(2 * h), 0, Hub},
		{"the kernel finds it again", []saying{kernel(h, noon, true), kernel(h, noon, false), kernel(h, noon.Add(3*h), true)}, noon.Add(3 * h), h, Kernel},
		{"a little forward is no step", []saying{kernel(h, noon, true), kernel(h, noon.Add(h+s), true)}, noon.Add(h + s), 0, Kernel},
		{"a little back stands still", []saying{kernel(h, noon, true), kernel(h, noon.Add(h-s), true)}, noon.Add(h), 0, Kernel},
		{"little by little back is a step in the end", []saying{kernel(h, noon, true), kernel(0, noon.Add(-s), true), kernel(0, noon.Add(-2*s), true)}, noon.Add(-2 * s), -2 * s, Kernel},
		{"a floor from the journal", []saying{raise(h, noon)}, noon, noon.Sub(build.Add(h)), None},
		{"a floor below our time", []saying{raise(h, build.Add(time.Minute))}, build.Add(h), 0, None},
		{"a floor a second above", []saying{raise(h, build.Add(h+s))}, build.Add(h + s), 0, None},
		{"a floor once trusted", []saying{kernel(h, build, true), raise(0, noon)}, build, 0, Kernel},
		{"below a raised floor, but known", []saying{raise(h, noon), date(h, build, 0)}, build, -(noon.Add(h).Sub(build)), Hub},
		{"the year 9999", []saying{kernel(h, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), true)}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), math.MaxInt64, Kernel},
		{"and back", []saying{kernel(h, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), true), kernel(h, noon, true)}, noon, math.MinInt64, Kernel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mono, c, step := boot, New(boot, time.Unix(0, 0), build), time.Duration(0)
			for _, say := range tt.sayings {
				mono = mono.Add(say.after)
				c, step = say.say(c, mono)
			}
			if got := c.Now(mono); got != tt.want || step != tt.step {
				t.Errorf("%v after a step of %v; want %v after %v", got, step, tt.want, tt.step)
			}
			if c.Source() != tt.source || c.Trusted() != (tt.source != None) {
				t.Errorf("by %v, trusted %v; want by %v", c.Source(), c.Trusted(), tt.source)
			}
		})
	}
}

// TestStandsStill until the kernel has caught up, and not longer.
func TestStandsStill(t *testing.T) {
	c, _ := New(boot, noon, build).Kernel(boot, noon.Add(-time.Second), true)
	for after, want := range map[time.Duration]time.Duration{
		0: 0, time.Second / 2: 0, time.Second: 0, time.Second + 1: 1, time.Minute: 59 * time.Second,
	} {
		if got := c.Now(boot.Add(after)).Sub(noon); got != want {
			t.Errorf("after %v our time went on by %v; want %v", after, got, want)
		}
	}
}

// TestSince is dated by what is known today, not by the guess of then.
func TestSince(t *testing.T) {
	c := New(boot, time.Unix(0, 0), build)
	c, _ = c.Hub(boot.Add(time.Minute), boot.Add(time.Minute), noon)
	c, _ = c.Hub(boot.Add(2*time.Minute), boot.Add(2*time.Minute), noon.Add(time.Hour))
	if got := c.Since(); !got.Equal(noon.Add(59 * time.Minute)) {
		t.Errorf("trusted since %v; want a minute before %v", got, noon.Add(time.Hour))
	}
	c, _ = c.Kernel(boot.Add(3*time.Minute), noon.Add(time.Hour+time.Minute), true)
	if got := c.Since(); !got.Equal(noon.Add(61 * time.Minute)) {
		t.Errorf("by the kernel since %v", got)
	}
}

// dates are what a kernel, a hub or a journal may come up with.
func dates() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		near := noon.Add(time.Duration(rapid.Int64Range(int64(-5*time.Second), int64(5*time.Second)).Draw(t, "near")))
		return rapid.SampledFrom([]time.Time{
			near, near, near, near.Add(24 * time.Hour), build, time.Unix(0, 0), time.Unix(math.MinInt32, 0), time.Unix(math.MaxInt32, 0), time.Unix(math.MaxUint32, 0),
			time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "s"), 0),
		}).Draw(t, "date")
	})
}

// TestPromises holds every saying, in any order, against the package's promises.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		floor := dates().Draw(t, "floor")
		mono, c := boot, New(boot, dates().Draw(t, "wall"), floor)
		last, synced := c.Now(mono), false
		for range 12 {
			pass := time.Duration(rapid.SampledFrom([]int64{0, 1, 1e9, 1e9, 36e11, 9e16}).Draw(t, "passes"))
			mono = mono.Add(pass)
			before, was := c.Now(mono), c
			if on := before.Sub(last); on < 0 || on > pass {
				t.Fatalf("our time went on by %v in %v", on, pass)
			}
			var step time.Duration
			d := dates().Draw(t, "says")
			switch rapid.IntRange(0, 3).Draw(t, "who") {
			case 0:
				synced = false
				if c, step = c.Kernel(mono, d, false); c.Now(mono) != before {
					t.Fatal("a kernel that does not know changed our time")
				}
			case 1:
				synced = true
				c, step = c.Kernel(mono, d, true)
				if off := c.Now(mono).Sub(d); !c.Trusted() || off < 0 || off >= stepFrom {
					t.Fatalf("the kernel knows, and we are off by %v", off)
				}
			case 2:
				c, step = c.Hub(mono, mono, d)
				if synced && c != was {
					t.Fatal("the hub beat a kernel that knows")
				}
				if off := c.Now(mono).Sub(d); !synced && !d.IsZero() && (!c.Trusted() || off.Abs() >= stepFrom) {
					t.Fatalf("the hub knows, and we are off by %v", off)
				}
			case 3:
				if c, step = c.Raise(mono, d); !c.Trusted() && d.After(floor) {
					floor = d
				}
			}
			last = c.Now(mono)
			switch jump := last.Sub(before); {
			case !c.Trusted() && last.Before(floor):
				t.Fatalf("untrusted, and %v is below the floor %v", last, floor)
			case was.Trusted() && !c.Trusted():
				t.Fatal("no longer trusted")
			case jump.Abs() >= stepFrom && step != jump, jump.Abs() < stepFrom && step != 0:
				t.Fatalf("jumped by %v, reported %v", jump, step)
			case step == 0 && jump < 0:
				t.Fatalf("ran backwards by %v without a step", jump)
			}
		}
	})
}

func TestSourceNames(t *testing.T) {
	for s, want := range map[Source]string{None: "none", Kernel: "kernel", Hub: "hub", 9: "none"} {
		if s.String() != want {
			t.Errorf("%d is called %s; want %s", s, s, want)
		}
	}
}
