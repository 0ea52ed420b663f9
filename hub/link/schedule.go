package link

import "time"

// subackGood is how long a SUBACK is taken to last at the hub. How long a hub
// keeps a stored session is not documented; an SDK's maintainer says "within a
// certain timeframe" (hub document §2.6). A drain a day too many costs one
// request, one too few costs commands.
const subackGood = 24 * time.Hour

// firstLimit is how many first-subscribe drains may go without a SUBACK before
// the next one waits for a poll: they are drains that no 25 minutes bound.
const firstLimit = 3

// startsLimit is how many starts there may be without a SUBACK or a poll before a
// poll comes first: whoever never runs for FallbackAfter would otherwise never look
// at the queue. Three, so that a board that is being set up does not.
const startsLimit = 3

// pollSpread is how far polls of devices that lost their hub together are spread:
// at most so much is added to each wait for one. A unit of an S1 hub takes 1 000
// receives a minute (docs/fleet.md).
const pollSpread = time.Minute

const (
	// pressing is how many unsettled deliveries, one of them owed a reject, make a
	// visit urgent: the hub may deliver no more, not even an "off". How many it
	// leaves unacknowledged is not documented; the open-source gateway is shipped
	// with 10 (hub document §2.4).
	pressing = 8

	// rushGap keeps urgent visits apart: the time for a session to show whether the
	// last one has helped.
	rushGap = 20 * time.Second
)

// growth bounds how far visits that fail stretch the time between them. Also those
// that are answered, with "no": each keeps the session away for minutes.
const growth = 4

// schedule is what bounds drains: the times before which none may begin. All are
// on the monotonic clock, so that no wrong clock can bring one forward or stop it.
type schedule struct {
	started   time.Time
	reminded  bool // the stored times were read with a trusted clock
	past      Past
	unstable  time.Time     // since when there is no stable session; zero: there is one
	pollFloor time.Time     // no poll before
	polled    bool          // in this run
	restless  bool          // there were startsLimit starts without a SUBACK or a poll
	spread    time.Duration // of the next poll behind its time
	resume    time.Time     // when the attempt is due that a poll came before

	visitFloor time.Time // no visit before; zero: at once
	rushFloor  time.Time // nor an urgent one before; zero: at once
	rushSpent  time.Time // until then the store of urgent visits is empty; Policy.Rush times VisitEvery later it is full
	visited    bool      // in this run
	deaf       int       // visits in a row that failed: without an answer, or with one that settles nothing

	subacked   bool      // the hub has a subscription of ours, as far as we know
	subackAt   time.Time // when, in this run or earlier
	forgotten  bool      // in this run: the hub has no subscription of ours, although it had
	drainedFor bool      // the queue was drained for the CONNECT that follows
	firsts     int       // first-subscribe drains since the last SUBACK
	refused    bool      // a CONNACK has refused us since then
	blocked    bool      // so the next drain, and its CONNECT, wait for a poll …
	blockedAt  time.Time // … since then
}

// remember reads what the journal has kept. A stored time that lies ahead, or
// that a wrong clock wrote or would have to read, counts as this very start: a
// crash loop cannot poll faster, and a wrong clock cannot stop it for longer.
func (m *Machine) remember(p Past, now time.Time) {
	m.started, m.past, m.reminded, m.unstable = now, p, p.Trusted, now
	m.look = now
	if p.Rung == RungMQTT || p.Rung == RungWebSocket {
		m.rung, m.good = p.Rung, p.Rung
	}
	m.firsts, m.restless = p.FirstDrains, p.Starts >= startsLimit
	m.pollFloor = floor(p.LastPoll, p.PollTrusted, p, m.policy.PollEvery, now)
	m.visitsFrom(floor(p.LastVisit, p.VisitTrusted, p, m.policy.VisitEvery, now))
	m.recall(p, now)
}

// visitsFrom is for when nothing is known but the last visit: all urgent ones count
// as used up.
func (m *Machine) visitsFrom(floor time.Time) {
	m.visitFloor, m.rushFloor, m.rushSpent = floor, floor, floor
}

// visiting counts a visit. Those that are not urgent are VisitEvery apart; urgent
// ones draw on a store of Rush, which fills by one in VisitEvery.
func (m *Machine) visiting(now time.Time) {
	every := m.policy.VisitEvery
	m.rushSpent = later(m.rushSpent, now.Add(-time.Duration(m.policy.Rush)*every)).Add(every)
	m.visitFloor, m.visited = later(now.Add(every), m.rushSpent), true
	m.rushFloor = later(now.Add(min(rushGap, every)), m.rushSpent)
}

// nextVisit is when deliveries that are owed a reject are settled.
func (m *Machine) nextVisit() time.Time {
	if m.unsettled >= pressing {
		return m.rushFloor
	}
	return m.visitFloor
}

// recall takes a SUBACK of an earlier run for good, if it is. First-subscribe
// drains of earlier runs since then say that the hub has forgotten it; those of this
// run may come of a clock that could not tell.
func (m *Machine) recall(p Past, now time.Time) {
	if age := p.Wall.Sub(p.LastSuback); p.Trusted && !p.LastSuback.IsZero() && age >= 0 && age < subackGood && p.FirstDrains == 0 && !m.forgotten {
		m.subacked, m.subackAt = true, now.Add(-age)
	}
}

// floor is the moment before which the next may not begin, after one at last.
func floor(last time.Time, trusted bool, p Past, every time.Duration, now time.Time) time.Time {
	age := p.Wall.Sub(last)
	switch {
	case last.IsZero():
		return time.Time{}
	case !p.Trusted || !trusted || age < 0:
		return now.Add(every)
	}
	return now.Add(max(0, every-age))
}

// remind looks at the stored times again, with a clock that can be trusted now.
func (m *Machine) remind(wall, now time.Time) {
	if m.phase == idle || m.reminded {
		return
	}
	m.reminded = true
	p := m.past
	p.Wall, p.Trusted = wall, true
	if !m.subacked {
		m.recall(p, now)
	}
	again := func(last time.Time, trusted bool, every time.Duration) time.Time {
		if !trusted {
			return m.started.Add(every)
		}
		return earlier(floor(last, true, p, every, now), m.started.Add(every))
	}
	if !m.polled && !p.LastPoll.IsZero() {
		m.pollFloor = again(p.LastPoll, p.PollTrusted, m.policy.PollEvery)
	}
	if !m.visited && !p.LastVisit.IsZero() {
		m.visitsFrom(again(p.LastVisit, p.VisitTrusted, m.policy.VisitEvery))
	}
}

// held reports whether a CONNECT may be sent without a first-subscribe drain.
func (m *Machine) held(now time.Time) bool {
	return m.drainedFor || m.subacked && now.Sub(m.subackAt) < subackGood
}

func (m *Machine) firstBlocked() bool { return m.refused || m.firsts >= firstLimit }

// pollDue is when the next poll is due while there is no stable session.
func (m *Machine) pollDue() time.Time {
	since := m.unstable
	if since.IsZero() {
		since = m.since
	}
	if m.blocked {
		return later(m.blockedAt, m.pollFloor).Add(m.spread) // no rung is being tried meanwhile
	}
	if !m.restless {
		since = since.Add(m.policy.FallbackAfter)
	}
	return later(since, m.pollFloor).Add(m.spread)
}

// unsteady notes that there is no stable session from now on.
func (m *Machine) unsteady(now time.Time) {
	if m.unstable.IsZero() {
		m.unstable = now
	}
}

// open begins a drain. Its time counts from here, whatever comes of it.
func (m *Machine) open(k DrainKind, now time.Time) []Action {
	attempt := m.due
	m.enter(draining, now)
	m.generation++
	m.drain = k
	switch k {
	case Poll:
		m.resume = attempt
		m.pollFloor, m.polled, m.spread, m.restless = now.Add(m.policy.PollEvery), true, m.draw(pollSpread), false
	case Visit:
		m.visiting(now)
	}
	return []Action{OpenDrain{Generation: m.generation, Kind: k, FirstDrains: m.firsts}}
}

func (m *Machine) drained(in Drained, now time.Time) []Action {
	if in.Generation != m.generation || m.phase != draining {
		return nil
	}
	clean := in.Answered && in.Err == nil // what a first SUBSCRIBE may rest on
	switch m.drain {
	case First:
		m.drainedFor = true
		return m.connect(!clean, now)
	case Visit:
		m.deaf++
		if in.Err == nil {
			m.deaf = 0
		}
		m.visitFloor = later(m.visitFloor.Add(m.policy.VisitEvery*time.Duration(min(m.deaf, growth-1))), now.Add(in.Wait))
		if m.rushFloor = later(m.rushFloor, now.Add(in.Wait)); m.deaf > 0 {
			m.rushFloor = m.visitFloor
		}
		m.drainedFor = clean
		return m.connect(false, now) // the rung that we left works
	}
	m.pollFloor = later(m.pollFloor, now.Add(in.Wait))
	if in.Err != nil && m.err == nil {
		m.note(in.Err)
	}
	if !m.held(now) {
		// What would have been a first-subscribe drain, and its CONNECT.
		m.drainedFor = true
		return m.connect(!clean, now)
	}
	m.enter(waiting, now)
	m.due = later(m.resume, now.Add(floorSoon))
	return nil
}
