package command

// successors answers every state that one step leads to from s. A step is good if
// it needs neither a fault nor an accident, nor time to pass.
func (m *model) successors(s modelState, yield func(by modelEvent, next modelState, good bool)) {
	try := func(what string, who int, good bool, do func(*modelState)) {
		next := s
		do(&next)
		next.renumber()
		yield(modelEvent{what, int8(who)}, next, good)
	}
	fault := func(what string, who int, do func(*modelState)) {
		if s.faults > 0 {
			try(what, who, false, func(s *modelState) { s.faults--; do(s) })
		}
	}
	m.hubSteps(&s, try, fault)
	if s.down {
		try("restart", -1, true, m.restart)
		return
	}
	m.linkSteps(&s, try, fault)
	m.agentSteps(&s, try)
	m.boardSteps(&s, try, fault)
	if s.crashes > 0 {
		try("crash", -1, false, func(s *modelState) { s.crashes--; m.crash(s) })
	}
}

type (
	tryStep   func(what string, who int, good bool, do func(*modelState))
	tryFault  func(what string, who int, do func(*modelState))
	stateStep func(*modelState)
)

// requeue puts a message back into the queue, or gives it up.
func (m *model) requeue(s *modelState, i int8) {
	if s.place[i] = free; m.cap > 0 && s.count[i] >= m.cap {
		s.place[i] = dead
	}
}

// hubSteps is what the hub and the clock do by themselves.
func (m *model) hubSteps(s *modelState, try tryStep, fault tryFault) {
	for i, p := range s.place {
		switch {
		case p == lockedSeen || p == lockedLost:
			// That takes a minute, and a drain that does not wait for it is over before.
			try("the lock lapses of", i, p == lockedSeen || s.mode != drain, func(s *modelState) { m.requeue(s, int8(i)) })
		case p == inDrain:
			fault("the lock lapses early of", i, func(s *modelState) { m.requeue(s, int8(i)) })
		case p == free && s.minute > 0 && m.messages[i].expires:
			try("the hub gives up", i, false, func(s *modelState) { s.place[i] = dead })
		}
	}
	if s.minute < m.ticks {
		try("a minute passes", -1, false, func(s *modelState) { s.minute++ })
	}
}

// deliver hands the agent a message, over what connects them now.
func (m *model) deliver(s *modelState, i int8, src Source) {
	if m.cap > 0 {
		s.count[i]++
	}
	s.arrival++
	if c := m.class[i]; s.first[c] == 0 {
		s.first[c] = s.arrival
	}
	s.line[s.nLine] = modelItem{i, src, true, s.unseen[m.base[i]] > 0, s.arrival}
	s.nLine++
	if src == OverMQTT {
		m.seen(s, i)
	}
}

// seen notes that a message that a dead session delivered is not locked any more.
func (m *model) seen(s *modelState, i int8) {
	if s.unseen[m.base[i]] > 0 {
		s.unseen[m.base[i]]--
	}
}

func (s *modelState) next() int8 {
	for i, p := range s.place {
		if p == free {
			return int8(i)
		}
	}
	return -1
}

func (s *modelState) has(p place) bool {
	for _, is := range s.place {
		if is == p {
			return true
		}
	}
	return false
}

// linkSteps is what passes between the hub and the agent.
func (m *model) linkSteps(s *modelState, try tryStep, fault tryFault) {
	room := s.nLine+s.nSettles < modelLine-1 || s.nLine+s.nSettles < modelLine && s.hand.phase == Arrived
	switch s.mode {
	case noLink:
		try("a session stands", -1, true, func(s *modelState) { s.mode = session })
		if s.links > 0 {
			try("a poll begins", -1, false, func(s *modelState) { s.links--; s.mode = drain })
		}
	case session:
		m.sessionSteps(s, room, try, fault)
	case drain:
		m.drainSteps(s, room, try, fault)
	}
}

func (m *model) sessionSteps(s *modelState, room bool, try tryStep, fault tryFault) {
	if i := s.next(); i >= 0 && room {
		try("MQTT delivers", int(i), true, func(s *modelState) {
			s.place[i] = inSession
			s.acks[s.nAcks] = ack{i, none}
			s.nAcks++
			m.deliver(s, i, OverMQTT)
		})
	}
	if s.nAcks > 0 && s.acks[0].is == acked {
		try("the hub takes the PUBACK of", int(s.acks[0].msg), true, func(s *modelState) {
			s.place[s.acks[0].msg] = completed
			s.dropAck(0)
		})
	}
	for k := range s.nAcks {
		if i := s.acks[k].msg; room {
			fault("MQTT delivers once more", int(i), func(s *modelState) {
				s.dropAck(k)
				s.acks[s.nAcks] = ack{i, none}
				s.nAcks++
				s.bury(func(it modelItem) bool { return it.msg == i })
				m.deliver(s, i, OverMQTT)
			})
		}
		if s.acks[k].is == held && !m.do.visitForgotten {
			try("the session is left for a visit: held is", int(s.acks[k].msg), true, func(s *modelState) { m.hangUp(s, false); s.mode = drain })
			break
		}
	}
	if s.links > 0 {
		try("the session is lost", -1, false, func(s *modelState) { s.links--; m.hangUp(s, false) })
	}
}

func (m *model) drainSteps(s *modelState, room bool, try tryStep, fault tryFault) {
	i := s.next()
	switch {
	case s.asked:
		do := s.request
		answer := func(s *modelState) { s.request, s.asked, s.taken = modelSettle{}, false, false }
		try("the hub takes the settlement of", int(do.item.msg), true, func(s *modelState) {
			if answer(s); s.place[do.item.msg] == inDrain { // otherwise 412
				m.seen(s, do.item.msg)
				s.place[do.item.msg] = map[Duty]place{Complete: completed, Reject: rejected}[do.verb]
			}
		})
		fault("the settlement is lost of", int(do.item.msg), func(s *modelState) {
			if answer(s); s.place[do.item.msg] == inDrain {
				s.place[do.item.msg] = lockedSeen
			}
		})
	case s.taken:
	case i >= 0 && room:
		try("GET brings", int(i), true, func(s *modelState) { m.got(s, i) })
		fault("no answer to the GET of", int(i), func(s *modelState) { s.place[i] = lockedSeen })
	case i < 0 && (m.do.drainHurries || !s.has(lockedSeen)):
		try("the drain ends", -1, true, func(s *modelState) {
			for _, msg := range s.failed {
				if msg > 0 && s.place[msg-1] == inDrain {
					m.requeue(s, msg-1)
				}
			}
			m.hangUp(s, false)
		})
	}
	if s.links > 0 {
		try("the drain breaks off", -1, false, func(s *modelState) { s.links--; m.hangUp(s, false) })
	}
}

// got takes a message in a drain. One that failed before in this drain is not
// tried again: only its newest lock is kept.
func (m *model) got(s *modelState, i int8) {
	s.place[i] = inDrain
	if c := m.class[i]; s.failed[c] > 0 {
		if m.cap > 0 {
			s.count[i]++
		}
		if old := s.failed[c] - 1; old != i && s.place[old] == inDrain {
			s.place[old] = lockedLost // nobody will abandon it
		}
		s.failed[c] = i + 1
		return
	}
	s.taken = true
	m.deliver(s, i, OverHTTPS)
}

func (s *modelState) dropAck(k uint8) {
	copy(s.acks[k:], s.acks[k+1:])
	s.nAcks--
	s.acks[s.nAcks] = ack{}
}

// bury takes deliveries for those of something dead: nothing can settle them.
func (s *modelState) bury(which func(modelItem) bool) {
	for i := range s.line {
		s.line[i].live = s.line[i].live && !which(s.line[i])
	}
	var n uint8
	for _, do := range s.settles[:s.nSettles] {
		if !which(do.item) {
			s.settles[n] = do
			n++
		}
	}
	for ; s.nSettles > n; s.nSettles-- {
		s.settles[s.nSettles-1] = modelSettle{}
	}
	s.hand.item.live = s.hand.item.live && !which(s.hand.item)
}

// hangUp ends the session or the drain. Over MQTT the hub may hand out at once
// what was not acknowledged, or not before its lock lapses; over HTTPS the latter.
func (m *model) hangUp(s *modelState, crash bool) {
	for i, p := range s.place {
		switch {
		case p == inSession && !m.lasting:
			m.requeue(s, int8(i))
		case p == inSession && !crash:
			s.place[i] = lockedSeen
		case p == inSession, p == inDrain, p == lockedSeen && (crash || s.mode == drain):
			s.place[i] = lockedLost
		}
	}
	for _, a := range s.acks[:s.nAcks] {
		if m.do.againIsLast { // nothing else is decided by it
			s.unseen[m.base[a.msg]]++
		}
	}
	s.bury(func(modelItem) bool { return true })
	s.mode, s.acks, s.nAcks = noLink, [modelMessages]ack{}, 0
	s.taken, s.request, s.asked, s.failed = false, modelSettle{}, false, [modelMessages]int8{}
}

// agentSteps is what the loop does when it can.
func (m *model) agentSteps(s *modelState, try tryStep) {
	if s.hand.phase == Arrived && s.nLine > 0 {
		try("the agent begins", int(s.line[0].msg), true, m.begin)
	}
	if s.hand.phase == Waiting {
		try("the pause is over of", int(s.hand.item.msg), true, func(s *modelState) { m.resume(s, Input{Kind: RetryDue}) })
	}
	if s.urgent {
		try("commit", -1, true, m.commit)
		if s.crashes > 0 {
			try("commit fails, and the disk has it", -1, false, func(s *modelState) { s.crashes--; m.commitFails(s, true) })
			try("commit fails, and the disk has nothing", -1, false, func(s *modelState) { s.crashes--; m.commitFails(s, false) })
		}
	}
	if s.safes > 0 && s.board == nothing && s.hand.phase != Starting {
		try("somebody drives all safe", -1, false, func(s *modelState) { s.safes--; m.safe(s) })
	}
}

// boardSteps is what the board does with an operation.
func (m *model) boardSteps(s *modelState, try tryStep, fault tryFault) {
	who := int(s.hand.item.msg)
	answer := func(in Input) stateStep {
		in.Kind = Acted
		return func(s *modelState) { s.board = nothing; m.resume(s, in) }
	}
	switch s.board {
	case given:
		l := m.life(s.hand)
		if d := l.Deadline(); !d.IsZero() && !m.now(s).Before(d) && !m.do.deadlineForgotten {
			try("the board finds it too late for", who, true, answer(Input{Refusal: Refuse(Expired, "x")}))
			return
		}
		try("first edge of", who, true, func(s *modelState) { m.edge(s) })
		fault("the board refuses", who, answer(Input{Refusal: Refuse(Interlocked, "x")}))
		fault("the board refuses for the moment", who, answer(Input{Refusal: Refuse(LevelUnknown, "x"), Transient: true}))
		fault("before its edge there is a passing error of", who, answer(Input{Fault: NACK, Transient: true}))
		fault("before its edge there is a lasting error of", who, answer(Input{Fault: IOError}))
	case edged:
		try("the board has done", who, true, func(s *modelState) {
			s.worked[m.class[who]] = true
			answer(Input{Attempted: true})(s)
		})
		fault("behind its edge there is a passing error of", who, answer(Input{Fault: NACK, Attempted: true, Transient: true}))
		fault("behind its edge there is a lasting error of", who, answer(Input{Fault: IOError, Attempted: true}))
	}
}
