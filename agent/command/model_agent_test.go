package command

import "time"

// A conduct is how the agent in the model performs what the machine asks for.
// The zero value, with the real functions, is package agent's way; each field is
// a way to get it wrong that the exploration must find guilty.
type conduct struct {
	step    func(Life, Input, time.Time) (Life, []Duty, error)
	recover func(Record) (Record, bool)

	ackBeforeCommit   bool // settlements do not wait for the commit
	startUnwritten    bool // Durable is answered although nothing was written
	errorIsSuccess    bool // a commit that failed is taken for done
	errorIsNothing    bool // a commit that failed is taken for not done: its commands are begun again
	batchForgotten    bool // a look-up asks the disk only
	newestForgotten   bool // that a command has acted is not noted
	deadlineForgotten bool // the board is not told when it is too late
	heldIsAcked       bool // what is owed a reject is completed
	rejectIsAbandon   bool // in a drain, what is to be rejected is handed back
	drainHurries      bool // a drain does not wait for locks of dead sessions
	againIsLast       bool // what a dead session has delivered is no second sending, whatever has acted since
	visitForgotten    bool // a session with something held is never left for it
}

func rightConduct() conduct { return conduct{step: Step, recover: Recover} }

// begin takes the next delivery in hand.
func (m *model) begin(s *modelState) {
	it := s.line[0]
	copy(s.line[:], s.line[1:])
	s.nLine--
	s.line[s.nLine] = modelItem{}
	l := m.fresh[it.msg][it.source]
	l.Record.Arrival = uint64(it.arrival)
	it.arrival = 0
	m.run(s, l, it, Input{Kind: Begin})
}

// resume feeds the command in hand what happened to it.
func (m *model) resume(s *modelState, in Input) { m.run(s, m.life(s.hand), s.hand.item, in) }

// run steps a command until its next input has to be waited for, as Agent.step
// does. Nothing of it can be seen from outside before the next commit or edge,
// so that a crash in the middle is one at its beginning.
func (m *model) run(s *modelState, l Life, it modelItem, in Input) {
	for next := &in; next != nil; {
		stepped, duties, err := m.do.step(l, *next, m.now(s))
		if err != nil {
			m.broken("m%d: %v", it.msg, err)
			return
		}
		l, next = stepped, nil
		for _, d := range duties {
			next = m.duty(s, l, it, d)
		}
	}
	s.hand = modelLife{}
	if l.Phase != Concluded {
		s.hand = m.inHand(l, it)
	}
}

func (m *model) duty(s *modelState, l Life, it modelItem, d Duty) *Input {
	switch d {
	case Look:
		return m.look(s, l, it)
	case MakePlan:
		return m.plan(s, l, it)
	case WriteStart:
		if m.do.startUnwritten {
			return &Input{Kind: Durable}
		}
		m.put(s, l.Record, it) // and the commit is a step of its own
		s.urgent = true
	case Act:
		if m.careful && s.downs[m.class[it.msg]] >= crashLimit {
			m.broken("m%d is tried again although the agent went down %d times over it", it.msg, crashLimit)
		}
		s.board = given
	case WriteOutcome:
		if l.Acted && l.Record.State != Refused {
			m.supersede(s, l.Record, true)
		}
		m.put(s, l.Record, it)
		s.urgent = true
	case Complete, Reject, Abandon:
		it.arrival, it.again = 0, false
		s.tell[it.msg] = s.tell[it.msg] || d == Reject && s.urgent
		if !it.live || !s.urgent || m.do.ackBeforeCommit {
			m.settle(s, modelSettle{it, d})
			break
		}
		s.settles[s.nSettles] = modelSettle{it, d}
		s.nSettles++
	}
	return nil
}

func (m *model) slot(k Key) uint8 {
	for i, known := range m.keys {
		if known == k {
			return uint8(i)
		}
	}
	m.broken("nobody expected the key %q", k)
	return 0
}

// put joins r to the batch.
func (m *model) put(s *modelState, r Record, it modelItem) {
	s.batch[m.slot(r.Key)] = m.abridged(r, m.class[it.msg])
}

func (m *model) look(s *modelState, l Life, it modelItem) *Input {
	in := &Input{Kind: Found, Last: true}
	slot := m.slot(l.Record.Key)
	r := s.disk[slot]
	if p := s.batch[slot]; p.state != 0 && !m.do.batchForgotten {
		r = p
	}
	if r.state == 0 {
		return in
	}
	rec := m.record(slot, r)
	in.Seen = &rec
	for _, t := range rec.Touches {
		in.Last = in.Last && (m.newest(s, t).slot == slot+1 || it.again && m.do.againIsLast)
	}
	return in
}

func (m *model) newest(s *modelState, target string) modelNewest {
	t := m.target(target)
	if n := s.batchNewest[t]; n.slot != 0 {
		return n
	}
	return s.diskNewest[t]
}

func (m *model) plan(s *modelState, l Life, it modelItem) *Input {
	if m.messages[it.msg].refused {
		return &Input{Kind: Planned, Refusal: Refuse(UnknownTarget, "x")}
	}
	in := &Input{Kind: Planned, Plan: m.plans[it.msg], Facts: Facts{Careful: s.careful}}
	for _, t := range in.Plan.Touches {
		n := m.newest(s, t)
		in.Facts.Newest = append(in.Facts.Newest, Newest{Key: m.keyOf(n), Arrival: uint64(n.arrival)})
	}
	return in
}

func (m *model) keyOf(n modelNewest) Key {
	switch n.slot {
	case 0:
		return ""
	case safeSlot + 1:
		return "l:safe"
	}
	return m.keys[n.slot-1]
}

// supersede is Agent.supersede.
func (m *model) supersede(s *modelState, r Record, last bool) {
	for _, target := range r.Touches {
		n, old := modelNewest{m.slot(r.Key) + 1, uint8(r.Arrival)}, m.newest(s, target)
		if !last && old.arrival > n.arrival {
			n.slot = old.slot
		}
		n.arrival = max(n.arrival, old.arrival)
		m.noteActed(s, m.target(target), n)
	}
}

func (m *model) noteActed(s *modelState, target int, n modelNewest) {
	if !m.do.newestForgotten {
		s.batchNewest[target] = n
	}
}

// settle answers the hub, if what delivered the message is still there.
func (m *model) settle(s *modelState, do modelSettle) {
	if !do.item.live {
		return
	}
	if do.item.source == OverHTTPS {
		m.settleDrained(s, do)
		return
	}
	for i := range s.nAcks {
		if s.acks[i].msg != do.item.msg {
			continue
		}
		if s.acks[i].is = held; do.verb == Complete || m.do.heldIsAcked {
			s.acks[i].is = acked
		}
	}
}

func (m *model) settleDrained(s *modelState, do modelSettle) {
	if do.verb == Reject && m.do.rejectIsAbandon {
		s.taken = false
		m.requeue(s, do.item.msg)
		return
	}
	if do.verb == Abandon {
		s.failed[m.class[do.item.msg]] = do.item.msg + 1
		s.taken = false
		m.seen(s, do.item.msg)
		return
	}
	s.request, s.asked = do, true
}

// commit makes the batch durable and lets the settlements behind it leave.
func (m *model) commit(s *modelState) {
	m.write(s)
	leave, n := s.settles, s.nSettles
	m.clearBatch(s)
	for _, do := range leave[:n] {
		m.settle(s, do)
	}
	if s.hand.phase == Starting {
		m.resume(s, Input{Kind: Durable})
	}
}

// write is what a commit does to the disk.
func (m *model) write(s *modelState) {
	for slot, r := range s.batch {
		if r.state == 0 {
			continue
		}
		old := s.disk[slot]
		if old.state.Final() && old.state != Failed && old.state != r.state {
			m.broken("%s was %v and is now %v", m.keys[slot], old.state, r.state)
		}
		if old.state != 0 && old.class != r.class {
			m.broken("%s: another command took over the record", m.keys[slot])
		}
		s.disk[slot] = r
		s.diskArrival = max(s.diskArrival, r.arrival)
	}
	for i, is := range s.tell {
		s.told[i] = s.told[i] || is
	}
	for t, n := range s.batchNewest {
		if n.slot != 0 {
			s.diskNewest[t] = n
			s.diskArrival = max(s.diskArrival, n.arrival)
		}
	}
}

func (m *model) clearBatch(s *modelState) {
	s.batch, s.batchNewest = [modelKeys]modelRecord{}, [modelTargets]modelNewest{}
	s.settles, s.nSettles, s.urgent, s.tell = [modelLine]modelSettle{}, 0, false, [modelMessages]bool{}
}

// commitFails: the journal answers with an error, whatever the disk has. Nothing
// may be assumed, so the agent ends.
func (m *model) commitFails(s *modelState, durable bool) {
	if durable {
		m.write(s)
	}
	switch {
	case m.do.errorIsSuccess:
		leave, n := s.settles, s.nSettles
		m.clearBatch(s)
		for _, do := range leave[:n] {
			m.settle(s, do)
		}
		if s.hand.phase == Starting {
			m.resume(s, Input{Kind: Durable})
		}
	case m.do.errorIsNothing:
		var again []modelItem
		for _, do := range s.settles[:s.nSettles] {
			again = append(again, do.item)
		}
		if s.hand.phase == Starting {
			again = append(again, s.hand.item)
			s.hand = modelLife{}
		}
		again = append(again, s.line[:s.nLine]...)
		s.nLine = uint8(copy(s.line[:], again))
		m.clearBatch(s)
	default:
		m.crash(s)
	}
}

// crash ends the agent: what is not on disk is lost.
func (m *model) crash(s *modelState) {
	if s.board != nothing {
		s.downs[m.class[s.hand.item.msg]]++
	}
	m.hangUp(s, true)
	m.clearBatch(s)
	s.unseen = [modelKeys]uint8{}
	s.line, s.nLine, s.hand, s.board = [modelLine]modelItem{}, 0, modelLife{}, nothing
	s.down, s.arrival, s.careful = true, 0, false
	m.forget(s)
}

// restart begins a run: what was left started is resolved, in one commit.
func (m *model) restart(s *modelState) {
	s.down, s.arrival, s.careful = false, s.diskArrival, m.careful
	for slot, r := range s.disk {
		if r.state != Started {
			continue
		}
		after, outcome := m.do.recover(m.record(uint8(slot), r))
		m.supersede(s, after, false)
		if outcome {
			s.batch[slot] = m.abridged(after, r.class)
		}
	}
	m.write(s)
	m.clearBatch(s)
}

// safe is somebody at the board who has everything driven safe: what was received
// before and leads away from there is superseded.
func (m *model) safe(s *modelState) {
	s.arrival++
	for t := range m.targets {
		m.noteActed(s, t, modelNewest{safeSlot + 1, s.arrival})
		s.acted[t] = s.arrival
	}
	s.urgent = true
	if s.hand.phase == Waiting {
		m.resume(s, Input{Kind: Overtaken})
	}
}
