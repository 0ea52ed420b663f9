package clock

import "time"

// stepFrom is the smallest jump that is a step. A Date has whole seconds, and its
// way here takes some tenths: with half of this, two right answers could differ by
// a step; twice would hide what a command of some seconds' validity feels.
const stepFrom = 2 * time.Second

// Source is who said what time it is. The numbers never leave the process.
type Source uint8

// The sources.
const (
	None   Source = iota // nobody: a guess that is not below the floor
	Kernel               // the kernel, synchronised
	Hub                  // the hub, by a verified Date
)

func (s Source) String() string {
	switch s {
	case Kernel:
		return "kernel"
	case Hub:
		return "hub"
	}
	return "none"
}

// Clock is a value: its methods answer the clock as it is afterwards. It is made
// by New.
//
// Every argument called mono is what time.Now answered at that moment, as it came:
// its monotonic reading is what counts. Of two calls the later must not have the
// earlier mono.
type Clock struct {
	mono   time.Time // a moment …
	wall   time.Time // … and our time at it; no monotonic reading
	least  time.Time // our time is not below this: the floor, or what it was when it was found to be early
	source Source
	since  time.Time // the moment at which source became what it is
	synced bool      // the kernel's last word
}

// New is the clock at a start: the kernel's time, or floor if that is later. Of
// wall only the date counts, so it may be mono itself.
func New(mono, wall, floor time.Time) Clock {
	c := Clock{mono: mono, wall: plain(wall), least: plain(floor), since: mono}
	if c.wall.Before(c.least) {
		c.wall = c.least
	}
	return c
}

// plain is t without its monotonic reading, in UTC.
func plain(t time.Time) time.Time { return t.Round(0).UTC() }

// Now is our time at mono: UTC, without a monotonic reading.
func (c Clock) Now(mono time.Time) time.Time {
	now := c.wall.Add(mono.Sub(c.mono))
	if now.Before(c.least) {
		return c.least
	}
	return now
}

// Trusted reports whether somebody who knows has said what time it is.
func (c Clock) Trusted() bool { return c.source != None }

// Source is who said so last.
func (c Clock) Source() Source { return c.source }

// Since is when Source became what it is, by what our time is known to be today.
func (c Clock) Since() time.Time { return c.wall.Add(c.since.Sub(c.mono)) }

// Kernel takes the kernel's clock: wall is what it showed at mono, so the two are
// read together (one time.Now can be both). While it is synchronised its time is
// ours; otherwise wall says nothing. step is how far our time has jumped: 0 if less
// than 2 s, negative if backwards, and at most the 292 years that a Duration holds.
func (c Clock) Kernel(mono, wall time.Time, synchronised bool) (after Clock, step time.Duration) {
	c.synced = synchronised
	if !synchronised {
		return c, 0
	}
	return c.by(Kernel, mono).set(mono, plain(wall), 0)
}

// Hub takes a Date that came at the moment at, over a connection that was fully
// verified. It changes nothing while the kernel is synchronised, and our time only
// if it is wrong by a step. step is as Kernel's.
func (c Clock) Hub(mono, at, date time.Time) (after Clock, step time.Duration) {
	if c.synced || date.IsZero() {
		return c, 0
	}
	return c.by(Hub, mono).set(mono, plain(date).Add(max(mono.Sub(at), 0)), stepFrom)
}

// Raise makes floor the least that our time is while nobody is trusted: the last
// trusted time, once the journal that has it is open. It changes nothing once the
// clock is trusted. step is as Kernel's.
func (c Clock) Raise(mono, floor time.Time) (after Clock, step time.Duration) {
	floor = plain(floor)
	if c.Trusted() || !floor.After(c.Now(mono)) {
		return c, 0
	}
	return c.set(mono, floor, 0)
}

// by is c with s as who said so.
func (c Clock) by(s Source, mono time.Time) Clock {
	if c.source != s {
		c.source, c.since = s, mono
	}
	return c
}

// set makes wall our time at mono, unless it differs by less than exact. Backwards
// it runs by a step or not at all.
func (c Clock) set(mono, wall time.Time, exact time.Duration) (after Clock, step time.Duration) {
	before := c.Now(mono)
	step = wall.Sub(before)
	if step.Abs() < exact {
		return c, 0
	}
	c.mono, c.wall, c.least = mono, wall, time.Time{}
	if step.Abs() >= stepFrom {
		return c, step
	}
	if step < 0 {
		c.least = before
	}
	return c, 0
}
