package localhub

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"actuatord/hub"
)

// State is where a message stands.
//
//	Enqueued ── receive ──────────────────────────────► Locked
//	Enqueued ── expired, purged ──────────────────────► DeadLettered
//	Locked   ── complete ─────────────────────────────► Completed
//	Locked   ── abandon, release, lock lapsed ────────► Enqueued
//	Locked   ── reject, the last abandon, purged ─────► DeadLettered
//
// Microsoft's page on cloud-to-device messages calls Locked "Invisible".
type State uint8

// The states. Completed and DeadLettered are final: the queue forgets the
// message once it has reported them.
const (
	Enqueued State = iota + 1
	Locked
	Completed
	DeadLettered
)

// String gives the word used in the record and by c2d: "enqueued" and so on.
func (s State) String() string {
	switch s {
	case Enqueued:
		return "enqueued"
	case Locked:
		return "locked"
	case Completed:
		return "completed"
	case DeadLettered:
		return "dead-lettered"
	}
	return "unknown state"
}

// Status is how a message ended, spelled as in the hub's feedback messages.
type Status string

// The statuses.
const (
	Success               Status = "Success"
	Expired               Status = "Expired"
	DeliveryCountExceeded Status = "DeliveryCountExceeded"
	Rejected              Status = "Rejected"
	Purged                Status = "Purged"
)

// Token is the lock of one receiver on one message. A token is good for one
// settlement, and only while its lock lasts. Zero is no lock.
type Token uint64

// limits are a hub's settings for its device queues.
type limits struct {
	depth      int           // messages per device, locked ones included
	deliveries int           // abandons after which a message is dead lettered
	ttl        time.Duration // for messages without an expiry of their own
	maxTTL     time.Duration // how far ahead a sender may set an expiry
}

// Fixed by the service or its documented defaults (Microsoft, "Send
// cloud-to-device messages from IoT Hub", 2026-02-11).
const (
	queueDepth        = 50
	defaultDeliveries = 10
	defaultTTL        = time.Hour
	longestTTL        = 48 * time.Hour
	lockTime          = time.Minute
	maxMessage        = 64 << 10 // body, system property values, application property names and values
	maxMessageID      = 128
)

// entry is one message in a queue.
type entry struct {
	seq         uint64 // position in the queue, from 1; never reused
	message     hub.Message
	expires     time.Time // the sender's expiry or the default TTL
	deliveries  int       // raised by abandon only, as on the real hub
	token       Token     // zero: enqueued
	lockedUntil time.Time
}

func (e *entry) state() State {
	if e.token != 0 {
		return Locked
	}
	return Enqueued
}

// change is something that happened to a message and that somebody may have to
// be told about: it ended, or it went back to Enqueued.
type change struct {
	entry  entry
	to     State  // Enqueued, Completed or DeadLettered
	status Status // for the final states
	why    string // for Enqueued: "abandoned", "lock lapsed", "its connection ended"
}

// queue is one device's queue. It is a value without clock or lock: every
// method takes the time and first does what that time made due. Times must not
// go backwards. What happened to messages is collected until changes is called.
//
// A message keeps its place when it goes back to Enqueued; later ones may have
// been delivered meanwhile, which is how order is lost on the real hub too.
type queue struct {
	limits  limits
	last    uint64 // sequence number of the newest message ever
	tokens  Token  // newest token ever
	pending []*entry
	out     []change
}

// enqueue takes a message whose form has been checked.
func (q *queue) enqueue(m hub.Message, now time.Time) (seq uint64, err error) {
	q.advance(now)
	if len(q.pending) >= q.limits.depth {
		return 0, fmt.Errorf("%w: %d messages are pending", ErrQueueFull, len(q.pending))
	}
	expires := now.Add(q.limits.ttl)
	if !m.Expiry.IsZero() {
		if m.Expiry.After(now.Add(q.limits.maxTTL)) {
			return 0, fmt.Errorf("%w: expiry is more than %v ahead", ErrInvalid, q.limits.maxTTL)
		}
		expires = m.Expiry
	}
	q.last++
	m.Enqueued = now
	q.pending = append(q.pending, &entry{seq: q.last, message: m, expires: expires})
	return q.last, nil
}

// receive locks the oldest enqueued message for which skip (may be nil) says no.
func (q *queue) receive(now time.Time, lock time.Duration, skip func(seq uint64) bool) (entry, bool) {
	q.advance(now)
	for _, e := range q.pending {
		if e.token == 0 && (skip == nil || !skip(e.seq)) {
			q.tokens++
			e.token, e.lockedUntil = q.tokens, now.Add(lock)
			return *e, true
		}
	}
	return entry{}, false
}

// complete, reject and abandon settle the message that t locks. [ErrLockLost]:
// the lock lapsed, or the message was settled or released before.
func (q *queue) complete(t Token, now time.Time) error {
	return q.settle(t, now, func(i int) { q.end(i, Completed, Success) })
}

func (q *queue) reject(t Token, now time.Time) error {
	return q.settle(t, now, func(i int) { q.end(i, DeadLettered, Rejected) })
}

func (q *queue) abandon(t Token, now time.Time) error {
	return q.settle(t, now, func(i int) {
		q.pending[i].deliveries++
		if q.pending[i].deliveries >= q.limits.deliveries {
			q.end(i, DeadLettered, DeliveryCountExceeded)
			return
		}
		q.unlock(i, "abandoned")
	})
}

// release ends a lock without counting a delivery: its holder went away.
func (q *queue) release(t Token, now time.Time) error {
	return q.settle(t, now, func(i int) { q.unlock(i, "its connection ended") })
}

// lapse ends a lock before its time.
func (q *queue) lapse(t Token, now time.Time) error {
	return q.settle(t, now, func(i int) { q.unlock(i, "lock lapsed") })
}

func (q *queue) settle(t Token, now time.Time, do func(i int)) error {
	q.advance(now)
	i := slices.IndexFunc(q.pending, func(e *entry) bool { return t != 0 && e.token == t })
	if i < 0 {
		return ErrLockLost
	}
	do(i)
	q.advance(now) // a message that was only kept by its lock may have expired
	return nil
}

// holds tells whether t is a lock that lasts.
func (q *queue) holds(t Token) bool {
	return slices.ContainsFunc(q.pending, func(e *entry) bool { return t != 0 && e.token == t })
}

// purge dead letters everything, locked or not, and says how much that was.
func (q *queue) purge(now time.Time) int {
	q.advance(now)
	n := len(q.pending)
	for len(q.pending) > 0 {
		q.end(0, DeadLettered, Purged)
	}
	return n
}

// advance ends the locks and expires the messages that are due. A lock wins
// over an expiry: what is locked can still be completed, and expires when its
// lock ends (not documented; it is how Service Bus queues do it).
func (q *queue) advance(now time.Time) {
	for i := 0; i < len(q.pending); {
		e := q.pending[i]
		if e.token != 0 && !now.Before(e.lockedUntil) {
			q.unlock(i, "lock lapsed")
		}
		if e.token == 0 && !now.Before(e.expires) {
			q.end(i, DeadLettered, Expired)
			continue
		}
		i++
	}
}

// next is when advance will have something to do; zero: never.
func (q *queue) next() time.Time {
	var t time.Time
	for _, e := range q.pending {
		due := e.expires
		if e.token != 0 {
			due = e.lockedUntil
		}
		t = earlier(t, due)
	}
	return t
}

// changes gives what happened since the last call, in order.
func (q *queue) changes() []change {
	out := q.out
	q.out = nil
	return out
}

func (q *queue) unlock(i int, why string) {
	e := q.pending[i]
	e.token, e.lockedUntil = 0, time.Time{}
	q.out = append(q.out, change{entry: *e, to: Enqueued, why: why})
}

func (q *queue) end(i int, to State, s Status) {
	q.out = append(q.out, change{entry: *q.pending[i], to: to, status: s})
	q.pending = slices.Delete(q.pending, i, i+1)
}

// earlier gives the earlier of two times, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// Why a message was not taken or not settled; the service side of later
// transports maps them to its own codes. All come wrapped in a sentence.
var (
	ErrUnknownDevice = errors.New("unknown device")
	ErrQueueFull     = errors.New("device queue is full")             // 403004 on the real hub
	ErrTooLarge      = errors.New("message is too large")             // 413001
	ErrInvalid       = errors.New("invalid message")                  // argument error; 403009 for an expiry
	ErrLockLost      = errors.New("the lock on the message was lost") // 412002
	ErrClosed        = errors.New("the hub is closed")
)
