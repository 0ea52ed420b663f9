package localhub

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"actuatord/hub"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newTestQueue() *queue {
	return &queue{limits: limits{depth: queueDepth, deliveries: defaultDeliveries, ttl: defaultTTL, maxTTL: longestTTL}}
}

// op is one call in a story about a queue.
type op struct {
	at   time.Duration // after noon
	do   func(t *testing.T, q *queue, now time.Time)
	want []string // "id state why", the changes of this call
}

func TestQueueStories(t *testing.T) {
	send := func(id string, ttl time.Duration) func(*testing.T, *queue, time.Time) {
		return func(t *testing.T, q *queue, now time.Time) {
			m := hub.Message{ID: id}
			if ttl != 0 {
				m.Expiry = noon.Add(ttl)
			}
			if _, err := q.enqueue(m, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	receive := func(want string) func(*testing.T, *queue, time.Time) {
		return func(t *testing.T, q *queue, now time.Time) {
			e, ok := q.receive(now, lockTime, nil)
			if got := e.message.ID; got != want || ok != (want != "") {
				t.Fatalf("received %q, %v; want %q", got, ok, want)
			}
		}
	}
	settle := func(f func(*queue, Token, time.Time) error, token Token, want error) func(*testing.T, *queue, time.Time) {
		return func(t *testing.T, q *queue, now time.Time) {
			if err := f(q, token, now); !errors.Is(err, want) {
				t.Fatalf("settled with error %v; want %v", err, want)
			}
		}
	}
	complete, reject := (*queue).complete, (*queue).reject
	abandon, release := (*queue).abandon, (*queue).release

	stories := map[string][]op{
		"complete": {
			{0, send("a", 0), nil},
			{1, receive("a"), nil},
			{2, settle(complete, 1, nil), []string{"a completed Success"}},
			{3, settle(complete, 1, ErrLockLost), nil},
			{4, receive(""), nil},
		},
		"reject": {
			{0, send("a", 0), nil},
			{1, receive("a"), nil},
			{2, settle(reject, 1, nil), []string{"a dead-lettered Rejected"}},
		},
		"order of receipt is order of sending; a locked one is skipped": {
			{0, send("a", 0), nil},
			{0, send("b", 0), nil},
			{1, receive("a"), nil},
			{1, receive("b"), nil},
			{1, receive(""), nil},
			{2, settle(complete, 2, nil), []string{"b completed Success"}},
			{2, settle(complete, 1, nil), []string{"a completed Success"}},
		},
		"a lapsed lock gives the message back and its token is worth nothing": {
			{0, send("a", 0), nil},
			{0, receive("a"), nil},
			{lockTime - 1, receive(""), nil},
			{lockTime, settle(complete, 1, ErrLockLost), []string{"a enqueued lock lapsed"}},
			{lockTime, receive("a"), nil},
			{lockTime, settle(complete, 1, ErrLockLost), nil},
			{lockTime, settle(complete, 2, nil), []string{"a completed Success"}},
		},
		"a released lock too": {
			{0, send("a", 0), nil},
			{0, receive("a"), nil},
			{1, settle(release, 1, nil), []string{"a enqueued its connection ended"}},
			{1, settle(release, 1, ErrLockLost), nil},
			{1, receive("a"), nil},
		},
		"no token is no lock": {
			{0, send("a", 0), nil},
			{0, settle(complete, 0, ErrLockLost), nil},
		},
		"abandoned and received again before newer ones": {
			{0, send("a", 0), nil},
			{0, send("b", 0), nil},
			{0, receive("a"), nil},
			{1, settle(abandon, 1, nil), []string{"a enqueued abandoned"}},
			{1, receive("a"), nil},
		},
		"default TTL": {
			{0, send("a", 0), nil},
			{defaultTTL - 1, receive("a"), nil},
			{defaultTTL - 1, settle(release, 1, nil), []string{"a enqueued its connection ended"}},
			{defaultTTL, receive(""), []string{"a dead-lettered Expired"}},
		},
		"the sender's expiry": {
			{0, send("a", time.Second), nil},
			{time.Second, receive(""), []string{"a dead-lettered Expired"}},
		},
		"an expiry in the past": {
			{0, send("a", -time.Second), nil},
			{0, receive(""), []string{"a dead-lettered Expired"}},
		},
		"a lock outlasts the expiry, and a completion in time counts": {
			{0, send("a", time.Second), nil},
			{0, receive("a"), nil},
			{2 * time.Second, settle(complete, 1, nil), []string{"a completed Success"}},
		},
		"given back after its expiry it is expired": {
			{0, send("a", time.Second), nil},
			{0, receive("a"), nil},
			{2 * time.Second, settle(release, 1, nil), []string{"a enqueued its connection ended", "a dead-lettered Expired"}},
		},
		"lock and expiry both long past": {
			{0, send("a", time.Second), nil},
			{0, receive("a"), nil},
			{time.Hour, receive(""), []string{"a enqueued lock lapsed", "a dead-lettered Expired"}},
		},
		"purge takes locked ones too": {
			{0, send("a", 0), nil},
			{0, send("b", 0), nil},
			{0, receive("a"), nil},
			{1, func(t *testing.T, q *queue, now time.Time) {
				if n := q.purge(now); n != 2 {
					t.Errorf("purged %d; want 2", n)
				}
			}, []string{"a dead-lettered Purged", "b dead-lettered Purged"}},
			{2, settle(complete, 1, ErrLockLost), nil},
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			q := newTestQueue()
			for i, o := range story {
				o.do(t, q, noon.Add(o.at))
				if got := describe(q.changes()); !slices.Equal(got, o.want) {
					t.Fatalf("step %d: changes %q; want %q", i, got, o.want)
				}
			}
		})
	}
}

func describe(changes []change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, c.entry.message.ID+" "+c.to.String()+" "+string(c.status)+c.why)
	}
	return out
}

func TestQueueDeliveryCountIsRaisedByAbandonOnly(t *testing.T) {
	q := newTestQueue()
	now := noon
	if _, err := q.enqueue(hub.Message{ID: "a"}, now); err != nil {
		t.Fatal(err)
	}
	for range 20 { // lapsed and released locks do not count
		e, ok := q.receive(now, lockTime, nil)
		if !ok || e.deliveries != 0 {
			t.Fatalf("received %v with delivery count %d; want 0", ok, e.deliveries)
		}
		now = now.Add(lockTime)
	}
	for i := range defaultDeliveries {
		e, ok := q.receive(now, lockTime, nil)
		if !ok || e.deliveries != i {
			t.Fatalf("received %v with delivery count %d; want %d", ok, e.deliveries, i)
		}
		q.changes()
		if err := q.abandon(e.token, now); err != nil {
			t.Fatal(err)
		}
	}
	if got := describe(q.changes()); !slices.Equal(got, []string{"a dead-lettered DeliveryCountExceeded"}) {
		t.Errorf("the last abandon gave %q; want it dead lettered", got)
	}
}

func TestQueueRefuses(t *testing.T) {
	q := newTestQueue()
	if _, err := q.enqueue(hub.Message{Expiry: noon.Add(longestTTL + 1)}, noon); !errors.Is(err, ErrInvalid) {
		t.Errorf("an expiry beyond 48 h gave %v; want ErrInvalid", err)
	}
	for i := range queueDepth {
		if _, err := q.enqueue(hub.Message{Expiry: noon.Add(longestTTL)}, noon); err != nil {
			t.Fatalf("message %d: %v", i+1, err)
		}
	}
	q.receive(noon, lockTime, nil)
	if _, err := q.enqueue(hub.Message{}, noon); !errors.Is(err, ErrQueueFull) {
		t.Errorf("message 51 gave %v; want ErrQueueFull, locked messages included", err)
	}
}

func TestQueueSkip(t *testing.T) {
	q := newTestQueue()
	for _, id := range []string{"a", "b"} {
		if _, err := q.enqueue(hub.Message{ID: id}, noon); err != nil {
			t.Fatal(err)
		}
	}
	e, ok := q.receive(noon, lockTime, func(seq uint64) bool { return seq == 1 })
	if !ok || e.message.ID != "b" {
		t.Errorf("received %q; want b, as a is skipped", e.message.ID)
	}
}

// TestQueueKeepsEveryMessage drives random calls and checks after each: a
// message ends once or is pending; the depth holds; a token settles only what
// it was given for and only while its lock lasts; next never lies.
func TestQueueKeepsEveryMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newTestQueue()
		q.limits.deliveries = 3
		now, sent := noon, 0
		ended := map[string]Status{}
		type lock struct {
			id    string
			until time.Time
		}
		locks := map[Token]lock{}
		settle := func(f func(*queue, Token, time.Time) error) func(*rapid.T) {
			return func(t *rapid.T) {
				token := Token(rapid.Uint64Range(0, uint64(q.tokens)+1).Draw(t, "token"))
				l, known := locks[token]
				err := f(q, token, now)
				if live := known && now.Before(l.until); live != (err == nil) {
					t.Fatalf("token %d, lock live %v: %v", token, live, err)
				}
				delete(locks, token)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				m := hub.Message{ID: strconv.Itoa(sent)}
				if d := rapid.IntRange(-1, 200).Draw(t, "ttl"); d > 0 {
					m.Expiry = now.Add(time.Duration(d) * time.Second)
				}
				if _, err := q.enqueue(m, now); err == nil {
					sent++
				} else if !errors.Is(err, ErrQueueFull) || len(q.pending) != queueDepth {
					t.Fatal(err)
				}
			},
			"receive": func(t *rapid.T) {
				e, ok := q.receive(now, lockTime, nil)
				if !ok {
					return
				}
				for token, l := range locks {
					if l.id == e.message.ID && now.Before(l.until) {
						t.Fatalf("%s is locked by %d and was received again", l.id, token)
					}
				}
				locks[e.token] = lock{e.message.ID, now.Add(lockTime)}
			},
			"complete": settle((*queue).complete),
			"reject":   settle((*queue).reject),
			"abandon":  settle((*queue).abandon),
			"release":  settle((*queue).release),
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
				q.advance(now)
			},
			"wait for next": func(t *rapid.T) {
				next := q.next()
				if next.IsZero() {
					if len(q.pending) > 0 {
						t.Fatal("messages are pending and nothing is ever due")
					}
					return
				}
				q.changes()
				if now.Before(next) {
					q.advance(next.Add(-1))
					if len(q.out) != 0 {
						t.Fatal("something was due before next")
					}
					now = next
				}
				q.advance(now)
				if len(q.out) == 0 {
					t.Fatal("nothing was due at next")
				}
			},
			"": func(t *rapid.T) {
				for _, c := range q.changes() {
					if c.to == Enqueued {
						continue
					}
					if s, twice := ended[c.entry.message.ID]; twice {
						t.Fatalf("%s ended as %s and again as %s", c.entry.message.ID, s, c.status)
					}
					ended[c.entry.message.ID] = c.status
				}
				if len(q.pending) > queueDepth {
					t.Fatalf("%d messages are pending", len(q.pending))
				}
			},
		})
		for _, c := range q.changes() {
			if c.to != Enqueued {
				ended[c.entry.message.ID] = c.status
			}
		}
		if len(ended)+len(q.pending) != sent {
			t.Fatalf("%d sent, %d ended, %d pending", sent, len(ended), len(q.pending))
		}
	})
}
