package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
	"actuatord/test/torture/judge"
)

// sender sends a device's commands.
type sender struct {
	hub    *localhub.Hub
	record *record
	id     string
	draw   *rand.Rand
	n      int
	past   []hub.Message // to be sent again
}

// gap is at most between two bursts of commands. A queue has room for 50, and behind a
// message that must be rejected, such as one that a cut interrupted, it empties once a
// minute: twice as many commands would leave nothing to cut in most of the time.
const gap = 3 * time.Second

// send sends until ctx ends: one, or a burst, and then nothing for a moment. What is
// sent while the device has no power waits at the hub.
func (s *sender) send(ctx context.Context) error {
	for ctx.Err() == nil {
		burst := 1 + s.draw.IntN(3)
		if s.draw.IntN(8) == 0 {
			burst = 10
		}
		for range burst {
			if err := s.put(ctx, s.message()); err != nil {
				return err
			}
		}
		pause(ctx, time.Duration(s.draw.Int64N(int64(gap))))
	}
	return nil
}

// put hands a message to the hub; one whose queue is full takes it later.
func (s *sender) put(ctx context.Context, m hub.Message) error {
	for ctx.Err() == nil {
		sent := judge.Sent{Device: s.id, ID: m.ID, Body: string(m.Body), Expiry: m.Expiry, Ack: m.Ack, At: time.Now()}
		var err error
		if sent.Name, err = s.hub.Send(s.id, m); err == nil {
			s.record.took(sent)
			return nil
		}
		if !errors.Is(err, localhub.ErrQueueFull) {
			return fmt.Errorf("send to %s: %w", s.id, err)
		}
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

// message draws one.
func (s *sender) message() hub.Message {
	s.n++
	if len(s.past) > 0 && s.draw.IntN(15) == 0 {
		return s.past[s.draw.IntN(len(s.past))] // what may be done, refused, cut off or not here yet
	}
	m := s.named(s.body())
	if s.draw.IntN(20) == 0 {
		m.Expiry = time.Now().Add(time.Second + time.Duration(s.draw.Int64N(int64(8*time.Second))))
	}
	if s.past = append(s.past, m); len(s.past) > 20 {
		s.past = s.past[1:]
	}
	return m
}

// body draws a body's rest behind its meta. Half are once-only: those are what a cut
// can double. A refusal costs a settle visit, of which there is one a minute.
func (s *sender) body() string {
	switch s.draw.IntN(16) {
	case 0, 1:
		return `"target":"lamp","action":"toggle"`
	case 2, 3:
		return fmt.Sprintf(`"target":"bell","action":"pulse","for":"%dms"`, 5+s.draw.IntN(250))
	case 4, 5, 6, 7:
		return fmt.Sprintf(`"target":"fifo","action":"write","register":1,"bytes":"%02x"`, s.draw.IntN(256))
	case 8, 9:
		return fmt.Sprintf(`"target":"pump","action":"on","for":"%dms"`, 200+s.draw.IntN(4000))
	case 10:
		return fmt.Sprintf(`"target":"fan","action":"off","for":"%dms"`, 100+s.draw.IntN(3000))
	case 11, 12:
		return fmt.Sprintf(`"target":"dac","action":"write","register":64,"bytes":"%04x"`, s.draw.IntN(4096))
	case 13:
		if s.draw.IntN(4) == 0 {
			return `"target":"all","action":"safe"`
		}
		return `"target":"all","action":"read"`
	case 14:
		if s.draw.IntN(8) == 0 {
			return `"target":"moon","action":"on"`
		}
	}
	return fmt.Sprintf(`"target":%q,"action":%q`, []string{"pump", "lamp"}[s.draw.IntN(2)], []string{"on", "off"}[s.draw.IntN(2)])
}

func (s *sender) named(rest string) hub.Message {
	return hub.Message{ID: fmt.Sprintf("%s-%d", s.id, s.n), Ack: "full", Body: []byte(fmt.Sprintf(`{"meta":{"n":%d},%s}`, s.n, rest))}
}

// pause waits for a time; false: ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
