package command

// edge is the first edge of the operation that the board has: the moment at which
// most promises are kept or broken.
func (m *model) edge(s *modelState) {
	msg := s.hand.item.msg
	c := m.class[msg]
	p := m.plans[msg]
	if m.messages[msg].expires && s.minute > 0 {
		m.broken("promise 6: m%d acts after its expiry", msg)
	}
	if p.OnceOnly && s.tried[c] {
		m.broken("promise 2: m%d is once-only, and its first edge is attempted a second time", msg)
	}
	for _, r := range []modelRecord{s.disk[m.base[msg]], s.batch[m.base[msg]]} {
		if r.state.Final() && r.state != Failed && r.class == c {
			m.broken("promise 2: m%d acts although its record says %v", msg, r.state)
		}
	}
	for _, name := range p.Touches {
		t := m.target(name)
		if p.Away && s.acted[t] > s.first[c] {
			m.broken("order: m%d leads away from the safe level after something newer has acted on %s", msg, name)
		}
		s.acted[t] = max(s.acted[t], s.first[c])
	}
	s.tried[c], s.board = true, edged
}

// forget takes from the witness, at a crash, what nobody can know any more: an
// order of which no record tells.
func (m *model) forget(s *modelState) {
	for c := range s.first {
		if r := s.disk[m.base[c]]; r.state == 0 || r.class != int8(c) {
			s.first[c] = 0
		}
	}
	for t, n := range s.diskNewest {
		s.acted[t] = n.arrival
	}
	for _, r := range s.disk {
		if r.state != Started {
			continue
		}
		for _, name := range m.plans[r.class].Touches { // it may have acted
			t := m.target(name)
			s.acted[t] = max(s.acted[t], r.arrival)
		}
	}
}

// check holds a state against the promises that can be read from it.
func (m *model) check(s *modelState) string {
	for i := range m.messages {
		of := m.outcomes(s, int8(i))
		switch s.place[i] {
		case completed:
			if !of[Done] {
				m.broken("promise 1: m%d is completed, and the disk does not say that it is done", i)
			}
			if s.told[i] {
				m.broken("promise 4: m%d is completed, and was refused", i)
			}
		case rejected:
			if !of[Refused] && !of[Interrupted] && !of[Failed] {
				m.broken("promise 4: m%d is rejected, and the disk does not say why", i)
			}
		case dead:
			if m.cap == 0 && !m.messages[i].expires {
				m.broken("promise 3: m%d is lost", i)
			}
		case nowhere:
			m.broken("promise 3: m%d is nowhere", i)
		}
	}
	for slot, r := range s.disk {
		m.truth(s, slot, r)
		m.truth(s, slot, s.batch[slot])
	}
	return m.fault
}

// truth holds a record against what the board has seen.
func (m *model) truth(s *modelState, slot int, r modelRecord) {
	once := r.planned && m.plans[r.class].OnceOnly
	switch {
	case r.state == Done && !s.worked[r.class]:
		m.broken("promise 1: %s is done, and the board never said so", m.keys[slot])
	case once && (r.state == Refused || r.state == Failed) && s.tried[r.class]:
		m.broken("promise 4: %s is %v, and its first edge was attempted", m.keys[slot], r.state)
	}
}

// outcomes is what the disk says of a message's command.
func (m *model) outcomes(s *modelState, i int8) (of [Interrupted + 1]bool) {
	for _, slot := range []uint8{m.base[i], m.apart[i]} {
		if r := s.disk[slot]; r.class == m.class[i] {
			of[r.state] = true
		}
	}
	return of
}

// ended reports whether nothing is left to do.
func (m *model) ended(s *modelState) bool {
	for _, p := range s.place {
		if !p.gone() {
			return false
		}
	}
	return !s.down && s.nLine == 0 && s.hand.phase == Arrived && !s.urgent
}
