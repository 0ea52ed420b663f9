package link

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"actuatord/hub"
)

// extremes is a source of jitter that draws the least or (nearly) the most of every
// span: what lies between can only be waited for between the two.
type extremes struct{ most bool }

func (e *extremes) Uint64() uint64 {
	if e.most {
		return ^uint64(0)
	}
	return 1 << 32 // 0 would be drawn again and again, to be fair
}

// restMode is what becomes of HTTPS requests.
type restMode uint8

const (
	restOpen restMode = iota
	restSilent
	restRefuses   // 401
	restThrottles // 429, with a Retry-After
	restModes
)

// retryAfter is what a hub that throttles asks for.
const retryAfter = 10 * time.Minute

// what is outstanding: at most one thing ever is.
type outstanding uint8

const (
	idleWire outstanding = iota
	probed
	dialled
	standing // a session
	drained
)

// A modelWorld is the machine, the network, the hub, what is durable, and what a
// witness has noted. It is a value: a copy goes its own way.
type modelWorld struct {
	m   Machine
	now time.Time

	open    [RungWebSocket + 1]bool
	rest    restMode
	refuses bool // CONNECT is answered by CONNACK 5
	session bool // the hub has one of ours stored
	filter  bool // and it holds a subscription: what comes is queued and not rejected
	owed    bool // the hub has a message that must be rejected
	many    bool // and so many behind it that it delivers no more
	told    bool // the machine knows

	wire    outstanding
	gen     uint64
	rung    Rung
	since   time.Time // of wire
	within  time.Duration
	kind    DrainKind
	leaving bool
	asked   bool // SUBSCRIBE was sent

	past  Past // durable; Wall and Trusted are of the present run
	fault string

	// The witness.
	poll   time.Time    // when the last one began; zero: never
	visits [3]time.Time // the same of the last visits, the last one first
	clean  bool         // the queue was drained to its end, and no CONNECT has been answered since
	blind  bool         // the present CONNECT said that it was not
	stored bool         // the present CONNACK said so
	holds  bool         // the machine may go by a SUBACK
	forgot bool         // a CONNACK has said that the hub has no session of ours, and no SUBACK came since

	accidents int // that may still happen
}

// conduct is how the caller performs what the machine asks for; each field is a
// way to get it wrong, or a machine that asks for the wrong thing.
type conduct struct {
	before       func(w *modelWorld)                       // tampers with the machine
	after        func(w *modelWorld, do []Action) []Action // and with what it asks for
	pollUnkept   bool                                      // when a poll began is not written
	visitUnkept  bool
	trustsClock  bool // a wrong clock is taken for a good one
	firstsUnkept bool
	subackKept   bool // that the hub has forgotten our subscription is not written
}

// A model drives worlds.
type model struct {
	do      conduct
	draws   *extremes
	policy  Policy
	horizon time.Duration
	only    []string // accidents whose names begin so; none: all
}

func (m *model) world(past Past, open bool, accidents int) modelWorld {
	w := modelWorld{past: past, now: noon, accidents: accidents, session: !past.LastSuback.IsZero(), filter: !past.LastSuback.IsZero()}
	w.open[RungMQTT], w.open[RungWebSocket] = open, open
	m.boot(&w, true)
	return w
}

// boot starts a machine on what is durable.
func (m *model) boot(w *modelWorld, trusted bool) {
	w.past.Starts = min(w.past.Starts+1, startsLimit)
	w.m = *New(1, m.policy)
	w.m.jitter = rand.New(m.draws)
	w.m.spread = w.m.draw(pollSpread)
	w.past.Wall, w.past.Trusted = w.now, trusted
	if !trusted {
		w.past.Wall = w.now.Add(-100 * time.Hour)
		if m.do.trustsClock {
			w.past.Wall, w.past.Trusted = w.now.Add(time.Hour), true
		}
	}
	w.holds = trusted && !w.past.LastSuback.IsZero()
	m.step(w, Start{w.past})
}

func (w *modelWorld) broken(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
	}
}

// step tells the machine, and performs what it asks for.
func (m *model) step(w *modelWorld, in Input) {
	if m.do.before != nil {
		m.do.before(w)
	}
	do := w.m.Step(in, w.now)
	if m.do.after != nil {
		do = m.do.after(w, do)
	}
	for _, a := range do {
		m.perform(w, a)
	}
	if w.m.phase != idle && w.wire == idleWire && w.m.Next().IsZero() {
		w.broken("wedged: nothing is outstanding and no tick is due")
	}
}

// begin takes a new thing that is outstanding.
func (w *modelWorld) begin(what outstanding, gen uint64) {
	if w.wire != idleWire {
		w.broken("two at a time: %v %d while %v %d is outstanding", what, gen, w.wire, w.gen)
	}
	w.wire, w.gen, w.since, w.leaving, w.asked = what, gen, w.now, false, false
}

func (w *modelWorld) over() { w.wire, w.leaving, w.asked, w.told = idleWire, false, false, false }

func (o outstanding) String() string {
	return [...]string{"nothing", "probe", "connect", "session", "drain"}[o]
}

func (m *model) perform(w *modelWorld, a Action) {
	switch a := a.(type) {
	case Probe:
		w.begin(probed, a.Generation)
		w.rung, w.within = a.Rung, fullTry
	case Connect:
		w.begin(dialled, a.Generation)
		w.rung, w.within, w.blind = a.Rung, a.Within, a.Blind
	case Forget:
		if !m.do.subackKept {
			w.past.LastSuback = time.Time{}
		}
		w.holds = false
	case Subscribe:
		w.asked = true
		// What waits at a hub that has no subscription of ours is rejected now. That
		// it forgot a session of which we hold a SUBACK, and that a CONNECT without
		// an answer made another one since, nobody can know.
		if !w.filter && !w.clean && !w.blind && !(w.stored && w.holds && !w.forgot) {
			w.broken("SUBSCRIBE although the queue was not drained, and nobody said so")
		}
	case Disconnect:
		if a.Generation == w.gen {
			w.leaving, w.since = true, w.now
		}
	case OpenDrain:
		w.begin(drained, a.Generation)
		m.opened(w, a)
	}
}

// opened notes a drain, and makes durable what must be before its first GET.
func (m *model) opened(w *modelWorld, a OpenDrain) {
	w.kind = a.Kind
	near := func(last time.Time, every time.Duration) {
		if age := w.now.Sub(last); !last.IsZero() && age < every {
			w.broken("a %v only %v after the last", a.Kind, age)
		}
	}
	wall, trusted := w.past.Wall, w.past.Trusted
	switch a.Kind {
	case Poll:
		near(w.poll, m.policy.PollEvery)
		if w.poll = w.now; !m.do.pollUnkept {
			w.past.LastPoll, w.past.PollTrusted, w.past.Starts = wall, trusted, 0
		}
	case Visit:
		near(w.visits[0], min(rushGap, m.policy.VisitEvery))
		near(w.visits[m.policy.Rush], m.policy.VisitEvery) // no more than Rush in between
		if w.visits = [3]time.Time{w.now, w.visits[0], w.visits[1]}; !m.do.visitUnkept {
			w.past.LastVisit, w.past.VisitTrusted = wall, trusted
		}
	}
	if !m.do.firstsUnkept {
		w.past.FirstDrains = a.FirstDrains
	}
}

// pass lets time go by, for every clock.
func (w *modelWorld) pass(d time.Duration) {
	w.now, w.past.Wall = w.now.Add(d), w.past.Wall.Add(d)
}

func (w *modelWorld) passTo(t time.Time) { w.pass(max(0, t.Sub(w.now))) }

// The answers to what is outstanding.

func (m *model) refuse(w *modelWorld, err error) {
	lost := w.wire == standing
	w.over()
	w.clean = false
	if lost {
		m.step(w, Lost{w.gen, err})
		return
	}
	m.step(w, Refused{w.gen, err})
}

func (m *model) accept(w *modelWorld) {
	w.stored, w.session = w.session, true
	w.forgot = w.forgot || !w.stored
	w.wire, w.since = standing, w.now
	m.step(w, Connected{Generation: w.gen, Stored: w.stored, Renew80: w.now.Add(48 * time.Minute), Renew95: w.now.Add(57 * time.Minute)})
}

func (m *model) suback(w *modelWorld) {
	w.asked, w.filter, w.clean, w.holds, w.forgot = false, true, false, true, false
	w.past.FirstDrains, w.past.Starts = 0, 0
	if w.past.Trusted {
		w.past.LastSuback = w.past.Wall
	}
	m.step(w, Subscribed{w.gen})
}

// end answers a drain.
func (m *model) end(w *modelWorld, d Drained) {
	w.over()
	d.Generation = w.gen
	if w.clean = d.Answered && d.Err == nil; w.clean {
		w.owed, w.many = false, false
	}
	m.step(w, d)
}

func (m *model) endByRest(w *modelWorld) {
	switch w.rest {
	case restOpen:
		m.end(w, Drained{Answered: true})
	case restSilent:
		m.end(w, Drained{Err: io.EOF})
	case restRefuses:
		m.end(w, Drained{Err: &hub.Error{Class: hub.RetrySlowly, Cause: hub.CauseCredential, Err: io.EOF}})
	case restThrottles:
		m.end(w, Drained{Err: &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseThrottled, Err: io.EOF}, Wait: retryAfter})
	}
}
