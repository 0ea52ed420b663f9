package mqtt

import "slices"

// ackQueue holds the deliveries of one session that are not yet acknowledged,
// in order of receipt. It is a plain value without lock or I/O.
type ackQueue struct{ entries []ackEntry }

type ackEntry struct {
	seq    uint64
	packet uint16 // MQTT packet id
	done   bool   // completed; acknowledged as soon as it is the head
	ack    func() // sends the PUBACK; may block
}

// push adds a delivery at the tail. An entry with the same packet id is the
// same message, delivered again before it was acknowledged: it is dropped, as
// its acknowledgement would now be out of order, and its old seq is forgotten.
func (q *ackQueue) push(e ackEntry) {
	q.drop(e.packet)
	q.entries = append(q.entries, e)
}

// drop forgets the entry of a packet id.
func (q *ackQueue) drop(packet uint16) {
	q.entries = slices.DeleteFunc(q.entries, func(e ackEntry) bool { return e.packet == packet })
}

// find is where the entry with that seq is; -1: there is none.
func (q *ackQueue) find(seq uint64) int {
	return slices.IndexFunc(q.entries, func(e ackEntry) bool { return e.seq == seq })
}

func (q *ackQueue) holds(seq uint64) bool { return q.find(seq) >= 0 }

// complete marks an entry; it reports false if there is none with that seq.
func (q *ackQueue) complete(seq uint64) bool {
	i := q.find(seq)
	if i < 0 {
		return false
	}
	q.entries[i].done = true
	return true
}

// pop takes the head if it is completed.
func (q *ackQueue) pop() (ackEntry, bool) {
	if len(q.entries) == 0 || !q.entries[0].done {
		return ackEntry{}, false
	}
	head := q.entries[0]
	q.entries = slices.Delete(q.entries, 0, 1) // clears the slot, so that the message can be collected
	return head, true
}

func (q *ackQueue) len() int { return len(q.entries) }
