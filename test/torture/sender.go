package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
	"actuatord/test/torture/judge"
)

// sender sends one device's commands.
type sender struct {
	r      *run
	s      *station
	draw   *rand.Rand
	n      int
	past   []hub.Message // with an id, to be sent again
	began  time.Time     // of its sending
	number int           // of the device, so that no two messages have one number
}

func newSender(r *run, s *station, n uint64) *sender {
	return &sender{r: r, s: s, draw: rand.New(rand.NewPCG(r.seed, 's'+n<<8)), number: int(n)}
}

// send sends until ctx ends: a burst, or one, or nothing for a while.
func (s *sender) send(ctx context.Context) {
	s.began = time.Now()
	for ctx.Err() == nil {
		burst, gap := 1, 20*time.Millisecond
		switch s.draw.IntN(4) {
		case 0:
			burst, gap = 2+s.draw.IntN(20), time.Millisecond
		case 1:
			burst, gap = 2+s.draw.IntN(10), 50*time.Millisecond
		}
		for range burst {
			s.put(ctx, s.message())
			pause(ctx, time.Duration(s.draw.Int64N(int64(2*gap))))
		}
		pause(ctx, time.Duration(s.draw.Int64N(int64(1200*time.Millisecond))))
	}
}

// put hands a message to the hub, which may have no room for it at first.
func (s *sender) put(ctx context.Context, m hub.Message) {
	for ctx.Err() == nil {
		sent := judge.Sent{Device: s.s.id, ID: m.ID, Body: string(m.Body), Expiry: m.Expiry, Ack: m.Ack, At: time.Now()}
		if at, err := time.Parse(time.RFC3339, m.Properties["sent"]); err == nil {
			sent.Dated = at
		}
		var err error
		if sent.Name, err = s.r.site.hub.Send(s.s.id, m); err == nil {
			s.r.record.took(sent)
			return
		}
		if !errors.Is(err, localhub.ErrQueueFull) {
			s.r.tally.fail(fmt.Errorf("send to %s: %w", s.s.id, err))
			return
		}
		s.r.record.next(ctx, s.s.id, localhub.KindCompleted, 0, time.Second)
	}
}

// refusable tells whether messages that must or may be refused are sent now. Each
// costs a settle visit, of which there is one a minute, and holds up what is behind
// it: a short run has time for one at its beginning and one at its end.
func (s *sender) refusable() bool {
	since := time.Since(s.began)
	if !s.r.long() {
		return since > s.r.time-4*time.Second
	}
	return since%(3*time.Minute) < 45*time.Second
}

// tail sends some commands that only look, at the end: a daemon that holds many
// deliveries behind one which it must reject makes its visit at once.
func (s *sender) tail(ctx context.Context) {
	for range 12 {
		s.n++
		s.put(ctx, s.named(`"target":"all","action":"read"`))
	}
}

// message draws one.
func (s *sender) message() hub.Message {
	s.n++
	if s.n == 1 { // the first visit comes at once, and is over when the trouble begins
		return s.named(`"target":"moon","action":"on"`)
	}
	if s.refusable() && s.draw.IntN(6) == 0 {
		return s.dubious()
	}
	if len(s.past) > 0 && s.draw.IntN(25) == 0 {
		return s.past[s.draw.IntN(len(s.past))] // a repeat of what may be done, refused or not here yet
	}
	m := s.named(s.possible())
	switch s.draw.IntN(20) {
	case 0:
		m.Expiry = time.Now().Add(10 * time.Minute)
	case 1:
		m.Properties = map[string]string{"sent": now(0)}
	}
	if s.past = append(s.past, m); len(s.past) > 20 {
		s.past = s.past[1:]
	}
	if s.draw.IntN(15) == 0 { // without a message id, only what may be repeated
		s.past = s.past[:len(s.past)-1]
		return s.nameless(s.plain())
	}
	return m
}

// possible draws the rest of a body, behind its meta, that can be done.
func (s *sender) possible() string {
	switch s.draw.IntN(12) {
	case 0, 1:
		return fmt.Sprintf(`"target":"pump","action":"on","for":"%dms"`, 200+s.draw.IntN(4000))
	case 2:
		return fmt.Sprintf(`"target":"valve","action":"on","for":"%dms"`, 50+s.draw.IntN(2900))
	case 3:
		return `"target":"lamp","action":"toggle"`
	case 4:
		return fmt.Sprintf(`"target":"bell","action":"pulse","for":"%dms"`, 5+s.draw.IntN(250))
	case 5:
		return fmt.Sprintf(`"target":"fifo","action":"write","register":1,"bytes":"%02x"`, s.draw.IntN(256))
	case 6:
		if s.draw.IntN(4) == 0 {
			return `"target":"all","action":"safe"`
		}
		return `"target":"all","action":"read"`
	case 7:
		return fmt.Sprintf(`"target":"fan","action":"off","for":"%dms"`, 100+s.draw.IntN(3000))
	}
	return s.plain()
}

// plain draws what may be repeated and has no end of its own.
func (s *sender) plain() string {
	switch s.draw.IntN(5) {
	case 0:
		return fmt.Sprintf(`"target":"dac","action":"write","register":64,"bytes":"%04x"`, s.draw.IntN(4096))
	case 1:
		return `"target":"fan","action":"on"`
	}
	return fmt.Sprintf(`"target":%q,"action":%q`, []string{"pump", "lamp", "valve"}[s.draw.IntN(3)], []string{"on", "off"}[s.draw.IntN(2)])
}

// dubious draws what must or may be refused.
func (s *sender) dubious() hub.Message {
	switch s.draw.IntN(12) {
	case 0:
		return s.named(`"target":"moon","action":"on"`)
	case 1:
		return s.named(`"target":"pump","action":"dance"`)
	case 2:
		return s.named(`"target":"pump","action":"on","for":"9h"`)
	case 3:
		return s.named(`"target":"dac","action":"write","register":65,"bytes":"00"`)
	case 4:
		return s.named(`"target":"pump","action":"on","colour":"red"`)
	case 5: // garbage, with and without an id
		m := hub.Message{Body: []byte(fmt.Sprintf("\x00{garbage %d.%d", s.number, s.n))}
		if s.draw.IntN(2) == 0 {
			m.ID, m.Ack = s.id(), "full"
		}
		return m
	case 6: // too late already
		return s.named(fmt.Sprintf(`"target":"lamp","action":"toggle","expires":%q`, now(-10*time.Second)))
	case 7: // too late soon
		return s.named(fmt.Sprintf(`"target":"lamp","action":"toggle","expires":%q`, now(time.Duration(s.draw.IntN(3000))*time.Millisecond)))
	case 8: // the hub's own expiry, which may meet it in the queue or on its way
		m := s.named(`"target":"fifo","action":"write","register":1,"bytes":"ee"`)
		m.Expiry = time.Now().Add(time.Duration(s.draw.IntN(2000)) * time.Millisecond)
		return m
	case 9:
		m := s.named(`"target":"door","action":"on"`)
		m.Properties = map[string]string{"sent": now(-time.Duration(s.draw.IntN(10)) * time.Second)}
		return m
	case 10: // once-only without an id
		return s.nameless(`"target":"lamp","action":"toggle"`)
	}
	if len(s.past) == 0 {
		return s.named(`"target":"moon","action":"off"`)
	}
	// The id of one that was sent, on a target that none of those is for; but "all safe"
	// moves every output.
	old := s.past[s.draw.IntN(len(s.past))]
	if bytes.Contains(old.Body, []byte(`"safe"`)) {
		return s.named(`"target":"moon","action":"off"`)
	}
	m := s.named(`"target":"door","action":"toggle"`)
	m.ID = old.ID
	m.Properties = map[string]string{"sent": now(0)}
	return m
}

func now(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }

func (s *sender) id() string { return fmt.Sprintf("%s-%d", s.s.id, s.n) }

func (s *sender) named(body string) hub.Message {
	return hub.Message{ID: s.id(), Ack: "full", Body: []byte(s.body(body))}
}

// nameless is a message without a message id; its body has one where one without
// any is not wanted: that is refused if it is delivered again too late.
func (s *sender) nameless(body string) hub.Message {
	if !s.refusable() || s.draw.IntN(3) == 0 {
		body += fmt.Sprintf(`,"id":"body-%d"`, s.n)
	}
	return hub.Message{Body: []byte(s.body(body))}
}

// body puts the message's number in front, by which its report is known.
func (s *sender) body(rest string) string {
	return fmt.Sprintf(`{"meta":{"n":%d},%s}`, (s.number+1)<<24|s.n, rest)
}
