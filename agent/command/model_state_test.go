package command

import (
	"fmt"
	"slices"
	"time"
)

// The bounds of the model. What is stored in a modelState has a fixed size, so
// that a state is its own key in the set of those that were seen.
const (
	modelMessages = 3
	modelKeys     = 2 * modelMessages // one for each, and one apart for an imposter
	modelLine     = 4
	modelTargets  = 2

	safeSlot = modelKeys // the key of somebody's safe drive at the board
)

// place is where the hub has a message.
type place uint8

const (
	nowhere    place = iota // there is no such message
	free                    // in the queue
	inSession               // delivered over the present session
	inDrain                 // delivered in the present drain
	lockedSeen              // locked by a connection that is gone, and the agent knows
	lockedLost              // the same, and it does not
	completed
	rejected
	dead // given up by the hub itself: expired, or delivered too often
)

func (p place) gone() bool { return p == nowhere || p >= completed }

type mode uint8

const (
	noLink mode = iota
	session
	drain
)

// verdict is what the agent said of a delivery of the present session.
type verdict uint8

const (
	none verdict = iota
	acked
	held // owed a reject, which MQTT cannot give
)

type ack struct {
	msg int8
	is  verdict
}

// A modelRecord is a Record without what nothing is decided by.
type modelRecord struct {
	state         State // 0: there is none, or not yet
	class         int8  // whose fingerprint it has
	planned       bool
	owes          Debt
	interruptions uint8
	arrival       uint8
}

type modelNewest struct{ slot, arrival uint8 } // slot counts from 1; 0: none

// A modelItem is a delivery that waits in the agent's line.
type modelItem struct {
	msg     int8
	source  Source
	live    bool // what delivered it is still there, and has not delivered it again
	again   bool // a dead session of this run has delivered it, and it was not settled
	arrival uint8
}

// A modelLife is a Life without what nothing is decided by.
type modelLife struct {
	phase   Phase // Arrived: there is no command in hand
	item    modelItem
	slot    uint8
	rec     modelRecord
	attempt uint8
	acted   bool
	began   uint8
}

type modelSettle struct {
	item modelItem
	verb Duty
}

// boardHas is how far the board is with an operation.
type boardHas uint8

const (
	nothing boardHas = iota
	given            // an operation, and no edge yet
	edged            // attempted the first edge, and not answered yet
)

// A modelState is everything: the hub, the link, the agent, the disk, the board,
// what may still go wrong, and what a witness has noted.
type modelState struct {
	place   [modelMessages]place
	count   [modelMessages]uint8 // deliveries, where the hub counts them
	mode    mode
	acks    [modelMessages]ack // of the session, in order of receipt
	nAcks   uint8
	taken   bool                // the drain has a delivery that is not settled
	request modelSettle         // of the drain, on its way
	asked   bool                // there is one
	failed  [modelMessages]int8 // by class: the message to abandon at the drain's end, from 1
	unseen  [modelKeys]uint8    // by key: deliveries of dead sessions that nobody has settled
	line    [modelLine]modelItem
	nLine   uint8
	hand    modelLife
	board   boardHas
	down    bool
	careful bool
	minute  uint8
	arrival uint8

	disk        [modelKeys]modelRecord
	diskNewest  [modelTargets]modelNewest
	diskArrival uint8
	batch       [modelKeys]modelRecord
	batchNewest [modelTargets]modelNewest
	settles     [modelLine]modelSettle
	nSettles    uint8
	urgent      bool

	crashes, links, faults, safes uint8 // that may still happen

	// The witness.
	tried  [modelMessages]bool  // by class: a first edge was attempted
	worked [modelMessages]bool  // by class: the board said that it succeeded
	first  [modelMessages]uint8 // by class: its first arrival, as far as anybody can know
	acted  [modelTargets]uint8  // the greatest first arrival of what has acted there
	downs  [modelMessages]uint8 // by class: crashes while the board had it
	tell   [modelMessages]bool  // the batch tells that it was refused, failed or interrupted
	told   [modelMessages]bool  // and that is durable
}

// A modelMessage is what a sender sent.
type modelMessage struct {
	id      string
	cmd     Command
	expires bool // half a minute after the start
	refused bool // there is no plan for it
}

// A model is a scenario with what follows from it. Its methods answer states;
// fault is set by what must not happen on the way from one to another.
type model struct {
	modelScenario
	do conduct

	class   [modelMessages]int8  // the first message of the same key and fingerprint
	base    [modelMessages]uint8 // the slot of its key
	apart   [modelMessages]uint8 // the slot of its key as an imposter
	keys    []Key                // by slot
	fresh   [modelMessages][2]Life
	plans   [modelMessages]Plan
	targets []string

	fault string
}

// A modelScenario is what the senders do, how the hub is, and how much may go
// wrong.
type modelScenario struct {
	name     string
	messages []modelMessage
	lasting  bool  // locks outlive the connection that they belong to
	cap      uint8 // deliveries after which the hub gives a message up; 0: never
	careful  bool  // Started is written for every plan
	ticks    uint8 // minutes that may pass

	crashes, links, faults, safes uint8
}

func newModel(sc modelScenario, do conduct) *model {
	m := &model{modelScenario: sc, do: do}
	slot := func(k Key) uint8 {
		if i := slices.Index(m.keys, k); i >= 0 {
			return uint8(i)
		}
		m.keys = append(m.keys, k)
		return uint8(len(m.keys) - 1)
	}
	for i, msg := range sc.messages {
		hub := Message{ID: msg.id, Body: []byte(msg.cmd.Action + " " + msg.cmd.Target)}
		if msg.expires {
			hub.Expiry = noon.Add(30 * time.Second)
		}
		for _, src := range []Source{OverMQTT, OverHTTPS} {
			m.fresh[i][src] = New(src, hub, msg.cmd, nil, 0, noon)
		}
		l := m.fresh[i][OverMQTT]
		m.plans[i] = planOf(msg.cmd)
		m.base[i] = slot(l.Record.Key)
		apart, _, _ := lookApart(l)
		m.apart[i] = slot(apart.Record.Key)
		m.class[i] = int8(i)
		for j := range i {
			if m.base[j] == m.base[i] && sc.messages[j].cmd.Fingerprint == msg.cmd.Fingerprint {
				m.class[i] = m.class[j]
				break
			}
		}
		if !slices.Contains(m.targets, msg.cmd.Target) {
			m.targets = append(m.targets, msg.cmd.Target)
		}
	}
	return m
}

func (m *model) start() modelState {
	s := modelState{careful: m.careful, crashes: m.crashes, links: m.links, faults: m.faults, safes: m.safes}
	for i := range m.messages {
		s.place[i] = free
	}
	return s
}

func (m *model) now(s *modelState) time.Time {
	return noon.Add(time.Duration(s.minute) * time.Minute)
}

func (m *model) target(name string) int { return slices.Index(m.targets, name) }

func (m *model) broken(format string, args ...any) {
	if m.fault == "" {
		m.fault = fmt.Sprintf(format, args...)
	}
}

// record is the Record that r stands for.
func (m *model) record(slot uint8, r modelRecord) Record {
	full := m.fresh[r.class][OverMQTT].Record
	full.Key, full.State, full.Owes, full.Interruptions, full.Arrival = m.keys[slot], r.state, r.owes, r.interruptions, uint64(r.arrival)
	if r.planned {
		p := m.plans[r.class]
		full.OnceOnly, full.Away, full.Touches = p.OnceOnly, p.Away, p.Touches
	}
	return full
}

// abridged is r without what nothing is decided by.
func (m *model) abridged(r Record, class int8) modelRecord {
	if want := m.messages[class].cmd.Fingerprint; r.Fingerprint != want {
		m.broken("m%d's record has another's fingerprint", class)
	}
	return modelRecord{state: r.State, class: class, planned: len(r.Touches) > 0, owes: r.Owes, interruptions: r.Interruptions, arrival: uint8(r.Arrival)}
}

// life is the Life that h stands for.
func (m *model) life(h modelLife) Life {
	l := m.fresh[h.item.msg][h.item.source]
	l.Phase, l.Attempt, l.Acted = h.phase, int(h.attempt), h.acted
	l.Record = m.record(h.slot, h.rec)
	if h.rec.planned {
		l.Plan = m.plans[h.item.msg]
	}
	if h.attempt > 0 {
		l.Began = noon.Add(time.Duration(h.began) * time.Minute)
	}
	return l
}

func (m *model) inHand(l Life, it modelItem) modelLife {
	h := modelLife{phase: l.Phase, item: it, slot: uint8(slices.Index(m.keys, l.Record.Key)), rec: m.abridged(l.Record, m.class[it.msg]), attempt: uint8(l.Attempt), acted: l.Acted}
	if l.Attempt > 0 {
		h.began = uint8(l.Began.Sub(noon) / time.Minute)
	}
	return h
}

// renumber gives arrivals the smallest numbers in the same order: nothing depends
// on more than which came first.
func (s *modelState) renumber() {
	all := make([]*uint8, 0, 64)
	for i := range s.nLine {
		all = append(all, &s.line[i].arrival)
	}
	for i := range modelKeys {
		all = append(all, &s.disk[i].arrival, &s.batch[i].arrival)
	}
	for i := range modelTargets {
		all = append(all, &s.diskNewest[i].arrival, &s.batchNewest[i].arrival, &s.acted[i])
	}
	for i := range modelMessages {
		all = append(all, &s.first[i])
	}
	all = append(all, &s.arrival, &s.diskArrival, &s.hand.rec.arrival)
	var used uint64
	for _, n := range all {
		used |= 1 << *n
	}
	var rank [64]uint8
	next := uint8(1)
	for n := 1; n < 64; n++ {
		if used&(1<<n) != 0 {
			rank[n] = next
			next++
		}
	}
	for _, n := range all {
		*n = rank[*n]
	}
}
