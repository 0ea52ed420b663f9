package persist

import (
	"encoding/binary"
	"time"
)

// Identity is whose journal it is: the hub's host name and the device id.
type Identity struct{ Hub, Device string }

// ConnectFact is how far the very first CONNECT of this journal has come. The
// numbers are in journals in the field: never renumber.
type ConnectFact uint8

const (
	ConnectNever    ConnectFact = 0 // none was sent
	ConnectIntended ConnectFact = 1 // written before the very first CONNECT was sent
	ConnectAnswered ConnectFact = 2 // a CONNACK has come
)

// LinkFacts is what the link must not forget over a restart. Each date is the
// agent's clock's, which may be wrong while it is not trusted: the flag beside a
// date that a wait is counted from says what it is worth.
type LinkFacts struct {
	Connect      ConnectFact
	LastSuback   time.Time // of this hub and device; zero: none yet
	LastPoll     time.Time // written before a poll's first GET; zero: none yet
	PollTrusted  bool      // the clock was trusted when LastPoll was written
	LastVisit    time.Time // the same for a settle visit; zero: none yet
	VisitTrusted bool      // the clock was trusted when LastVisit was written
	LastTrusted  time.Time // the latest trusted time known; the floor of an untrusted clock
	FirstDrains  uint8     // first-subscribe drains since the last SUBACK
	Starts       uint8     // starts since the last SUBACK or poll, the present one included
	Rung         uint8     // package link's number of the last rung that carried a stable session; 0: none yet
}

// HistoryState says how far the journal's memory can be relied on. The numbers
// are in journals in the field: never renumber.
type HistoryState uint8

const (
	HistoryClear   HistoryState = 1 // what is not in the journal was never done
	HistoryInDoubt HistoryState = 2 // a new journal: an earlier one may have been lost
	HistoryLost    HistoryState = 3 // an earlier one was lost
)

func (s HistoryState) String() string {
	switch s {
	case HistoryClear:
		return "clear"
	case HistoryInDoubt:
		return "in doubt"
	case HistoryLost:
		return "lost"
	}
	return "invalid"
}

// History is the state and since when.
type History struct {
	State HistoryState
	Since time.Time // as the clock said then
	Dated bool      // Since is trusted time; Open cannot know, so it leaves this false
}

// counters are written with every transaction.
type counters struct {
	boot     uint64 // starts of the agent on this journal
	clean    bool   // the last commit was a clean stop
	arrival  uint64 // the greatest Record.Arrival
	seq      uint64 // the last report's
	lost     uint64 // reports thrown out of the outbox
	commands uint64
	outbox   uint64
	entry    uint64 // transactions since the journal has a log; the log's entries bear these numbers

	// sum adds up the CRCs of all other values in the file. A page that was
	// left behind from an earlier commit is right in itself, and only a sum over
	// everything can tell.
	sum uint64
}

func encodeCounters(c counters) []byte {
	e := encoder{countersVersion}
	e.bool(c.clean)
	for _, u := range []uint64{c.boot, c.arrival, c.seq, c.lost, c.commands, c.outbox, c.entry} {
		e.uint(u)
	}
	return binary.BigEndian.AppendUint64(e, c.sum)
}

// decodeCounters reads version 1 too, from before there was a log.
func decodeCounters(payload []byte) (counters, error) {
	d := decode("counters", payload, countersVersion)
	c := counters{clean: d.bool()}
	for _, u := range []*uint64{&c.boot, &c.arrival, &c.seq, &c.lost, &c.commands, &c.outbox} {
		*u = d.uint()
	}
	if d.version > 1 {
		c.entry = d.uint()
	}
	if b := d.bytes(8); b != nil {
		c.sum = binary.BigEndian.Uint64(b)
	}
	return c, d.end("counters")
}

func encodeLink(f LinkFacts) []byte {
	e := encoder{linkVersion, byte(f.Connect)}
	e.time(f.LastSuback)
	e.time(f.LastPoll)
	e.time(f.LastTrusted)
	e.time(f.LastVisit)
	e.bool(f.PollTrusted)
	e.bool(f.VisitTrusted)
	e.byte(f.FirstDrains)
	e.byte(f.Rung)
	e.byte(f.Starts)
	return e
}

// decodeLink reads version 1 too, which ended behind LastTrusted, and 2, which ended
// behind Rung: what they do not say is zero, so a date in them counts as not trusted
// and makes waits longer, never shorter.
func decodeLink(payload []byte) (LinkFacts, error) {
	d := decode("link facts", payload, linkVersion)
	f := LinkFacts{Connect: ConnectFact(d.byte()), LastSuback: d.time(), LastPoll: d.time(), LastTrusted: d.time()}
	if d.version > 1 {
		f.LastVisit, f.PollTrusted, f.VisitTrusted = d.time(), d.bool(), d.bool()
		f.FirstDrains, f.Rung = d.byte(), d.byte()
	}
	if d.version > 2 {
		f.Starts = d.byte()
	}
	return f, d.end("link facts")
}

func encodeHistory(h History) []byte {
	e := encoder{historyVersion, byte(h.State)}
	e.time(h.Since)
	e.bool(h.Dated)
	return e
}

func decodeHistory(payload []byte) (History, error) {
	d := decode("history", payload, historyVersion)
	h := History{State: HistoryState(d.byte()), Since: d.time(), Dated: d.bool()}
	if err := d.end("history"); err != nil {
		return History{}, err
	}
	if h.State < HistoryClear || h.State > HistoryLost {
		return History{}, badContent("history in state %d", h.State)
	}
	return h, nil
}

// identity is the journal's own: whose it is, and the tag in its report ids.
type identity struct {
	Identity
	tag string
}

func encodeIdentity(id identity) []byte {
	e := encoder{identityVersion}
	e.string(id.Hub)
	e.string(id.Device)
	e.string(id.tag)
	return e
}

func decodeIdentity(payload []byte) (identity, error) {
	d := decode("identity", payload, identityVersion)
	id := identity{Identity{d.string(), d.string()}, d.string()}
	return id, d.end("identity")
}
