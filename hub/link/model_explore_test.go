package link

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// A modelKey is what tells two worlds apart. Times are taken relative to now, in
// buckets, and no further back or ahead than they matter; generations are left out,
// since the world answers none but the present one.
type modelKey struct {
	phase, rung, good, then, drain, class, failures, early, deaf, firsts int
	cause                                                                string

	other, subscribed, unstable, subacked, stale, forgotten, drainedFor, refused, reminded bool

	since, asked, due, look, renew80, renew95, lacking, pollFloor, spread, resume, visitFloor, started int

	wire                                               outstanding
	open                                               [RungWebSocket + 1]bool
	rest                                               restMode
	connackNo, session, filter, owed, told, leaving    bool
	sent, clean, blind, stored, holds, forgot, trusted bool
	lastPoll                                           int
	visits                                             [3]int
	many, broken                                       bool
	rushFloor, rushSpent, blocked                      int
	pollTrusted, visitTrusted, suback                  bool
	firstDrains, lastRung, accidents, starts           int
	restless                                           bool
}

// bucket is d in steps that grow with it: a second up to ten, five up to five
// minutes, half a minute beyond. Worlds that differ by less count as one, and the
// first that was found stands for them: of all that is left out here, this alone may
// hide something.
func bucket(d time.Duration) int {
	switch abs := d.Abs(); {
	case abs <= 10*time.Second:
		return int(d.Round(time.Second) / time.Second)
	case abs <= 5*time.Minute:
		return int(d.Round(5*time.Second) / time.Second)
	}
	return int(d.Round(30*time.Second) / time.Second)
}

func (w *modelWorld) key() modelKey {
	m := &w.m
	ahead := func(t time.Time) int { // what has passed has passed
		if t.IsZero() {
			return -1
		}
		return bucket(max(0, t.Sub(w.now)))
	}
	ago := func(t time.Time, most time.Duration) int { // older than most is old
		if t.IsZero() {
			return -1
		}
		return bucket(min(most, w.now.Sub(t)))
	}
	k := modelKey{
		phase: int(m.phase), rung: int(m.rung), good: int(m.good), class: int(m.class), cause: m.cause,
		failures: min(m.failures, 9), early: min(m.early, earlyLimit), deaf: min(m.deaf, growth), firsts: min(m.firsts, firstLimit),
		other: m.other, subacked: m.subacked, stale: m.subacked && w.now.Sub(m.subackAt) >= subackGood,
		forgotten: m.forgotten, drainedFor: m.drainedFor, refused: m.refused, reminded: m.reminded, unstable: !m.unstable.IsZero(),
		asked: ago(m.asked, floorSoon), due: ahead(m.due), look: ago(m.look, 0), lacking: ago(m.unstable, policy.FallbackAfter),
		pollFloor: ahead(m.pollFloor), spread: bucket(m.spread), visitFloor: ahead(m.visitFloor), rushFloor: ahead(m.rushFloor),
		wire: w.wire, open: w.open, rest: w.rest, connackNo: w.refuses, session: w.session, filter: w.filter, owed: w.owed, told: w.told,
		leaving: w.leaving, sent: w.asked, clean: w.clean, blind: w.blind, stored: w.stored, holds: w.holds, forgot: w.forgot, trusted: w.past.Trusted,
		lastPoll: ago(w.poll, policy.PollEvery), many: w.many,
		pollTrusted: w.past.PollTrusted, visitTrusted: w.past.VisitTrusted, suback: !w.past.LastSuback.IsZero(),
		firstDrains: min(w.past.FirstDrains, firstLimit), lastRung: int(w.past.Rung), accidents: w.accidents,
		starts: w.past.Starts, restless: m.restless,
	}
	if m.phase == up {
		k.subscribed, k.since, k.renew80, k.renew95 = m.subscribed, ago(m.since, stableAfter), ahead(m.renew80), ahead(m.renew95)
	}
	if m.policy.Rush > 0 && !m.rushSpent.IsZero() {
		k.rushSpent = bucket(max(m.rushSpent.Sub(w.now), -time.Duration(m.policy.Rush)*m.policy.VisitEvery))
	}
	if m.blocked {
		k.blocked = 1 + ago(m.blockedAt, policy.PollEvery)
	}
	switch m.phase {
	case leaving:
		k.then = int(m.then)
	case draining:
		k.drain, k.resume = int(m.drain), ahead(m.resume)
	}
	if !m.reminded {
		k.started = ago(m.started, policy.PollEvery)
	}
	for i, at := range w.visits {
		k.visits[i] = ago(at, policy.VisitEvery)
	}
	return k
}

// An exploration is every world that can be reached within the horizon, breadth
// first.
type exploration struct {
	seed    maphash.Seed
	ids     map[[2]uint64]int32
	ahead   []modelWorld
	parent  []int32
	by      []string
	steps   int
	longest time.Duration // until a session stands and nothing is owed, once all is open
	fault   string
	trace   []string
}

func explore(m *model, from modelWorld) *exploration {
	x := &exploration{seed: maphash.MakeSeed(), ids: map[[2]uint64]int32{}}
	x.add(from, -1, "start")
	for id := int32(0); len(x.ahead) > 0; id++ {
		w := x.ahead[0]
		x.ahead = x.ahead[1:]
		if x.judge(m, &w, id); x.fault != "" {
			return x
		}
		if w.now.Sub(noon) > m.horizon {
			continue
		}
		m.successors(w, func(what string, next modelWorld) {
			x.steps++
			x.add(next, id, what)
		})
	}
	return x
}

func (x *exploration) add(w modelWorld, from int32, by string) {
	k := w.key()
	k.broken = w.fault != ""
	hash := [2]uint64{maphash.Comparable(x.seed, k), maphash.Comparable(x.seed, struct {
		modelKey
		again bool
	}{k, true})}
	if _, known := x.ids[hash]; known {
		return
	}
	x.ids[hash] = int32(len(x.parent))
	x.ahead, x.parent, x.by = append(x.ahead, w), append(x.parent, from), append(x.by, by)
}

// patienceForAll is how long everything may take once the road and the hub are open
// again: half an hour that a misconfiguration waits or a hub asked for, the way
// there, and what a visit waits for.
const patienceForAll = 60 * time.Minute

// judge holds a world against the promises: what the way there broke, and whether
// it comes to a good end once everything is open.
func (x *exploration) judge(m *model, w *modelWorld, id int32) {
	if x.fault = w.fault; x.fault == "" {
		var calm time.Duration
		calm, x.fault = m.calm(*w)
		if x.longest = max(x.longest, calm); calm > patienceForAll {
			x.fault = fmt.Sprintf("everything is open, and it takes %v until all is well", calm)
		}
	}
	if x.fault == "" {
		return
	}
	for ; id >= 0; id = x.parent[id] {
		x.trace = append(x.trace, x.by[id])
	}
	slices.Reverse(x.trace)
	x.trace = append(x.trace, fmt.Sprintf("at %v: %+v", w.now.Sub(noon).Round(time.Second), w.m.Status()))
}

func (x *exploration) transcript() string { return strings.Join(x.trace, "\n  ") }
