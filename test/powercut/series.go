package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"actuatord/hub/localhub"
	"actuatord/test/hil/machine"
	"actuatord/test/powercut/card"
	"actuatord/test/torture/judge"
)

// series is one device and its card, over many lives.
type series struct {
	r          *run
	id, dir    string
	connection string
	draw       *rand.Rand
	record     *record
	trace      *trace
	sender     *sender
	medium     []byte // what is on the card while there is no power
	begins     []int  // where in the trace each boot begins
	tally      tally

	mu       sync.Mutex
	lives    []judge.Life
	stopping bool
	odd      []string      // ends and faults that no cut explains
	dead     bool          // the card could not be mounted any more
	hung     time.Time     // when the machine said that it is about to
	said     chan struct{} // closed and made anew when one of these changes
	stopped  bool
}

// tally is what was done to cards, and what was found on them.
type tally struct {
	boots, cuts, early, atRest int
	clocks                     int // lives that began with a clock in the past
	cards                      card.Stats
	fsck                       map[int]int // by exit code
	setAside                   int
}

func newSeries(r *run, number int) (*series, error) {
	id := fmt.Sprintf("p%d", number)
	s := &series{
		r: r, id: id, dir: filepath.Join(r.place, id), record: newRecord(), said: make(chan struct{}),
		draw: rand.New(rand.NewPCG(r.seed, uint64(number))), medium: append([]byte(nil), r.empty...), tally: tally{fsck: map[int]int{}},
	}
	if err := errors.Join(os.Mkdir(s.dir, 0o755), os.Mkdir(filepath.Join(s.dir, "trace"), 0o755)); err != nil {
		return nil, err
	}
	var err error
	if s.connection, err = r.site.device(id); err != nil {
		return nil, err
	}
	s.trace = newTrace(filepath.Join(s.dir, "trace", "trace.jsonl"))
	s.sender = &sender{hub: r.site.hub, record: s.record, id: id, draw: rand.New(rand.NewPCG(r.seed, uint64(number)<<8|'s'))}
	r.site.watch(id, func(e localhub.Event) {
		s.trace.look()
		s.record.observe(e)
	})
	return s, nil
}

// follow reads the trace as it comes, until end is called.
func (s *series) follow() (end func()) {
	var watching sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	watching.Go(func() { s.trace.watch(ctx) })
	return func() {
		cancel()
		watching.Wait()
		s.trace.close()
	}
}

// plan is what one life is to be.
type plan struct {
	early bool          // it is cut while it boots and recovers
	after int           // completions before the cut is prepared, else
	write int           // the cut comes in this write from then on
	clock time.Duration // how far the guest's clock is behind
}

// Writes and completions of a life: some thirty writes are what mounting, recovering
// and connecting take; a command takes one to three, and ext4 a few every 5 s.
const (
	earlyWrites = 30
	lateWrites  = 10
	completions = 6
)

func (s *series) plan(first bool) plan {
	p := plan{after: 1 + s.draw.IntN(completions), write: 1 + s.draw.IntN(lateWrites)}
	if !first && s.draw.IntN(5) == 0 {
		p.early, p.write = true, 1+s.draw.IntN(earlyWrites)
	}
	if s.draw.IntN(4) == 0 {
		p.clock = time.Duration(1+s.draw.IntN(72)) * time.Hour
	}
	return p
}

// cut is one life that ends with a power cut.
func (s *series) cut(ctx context.Context, first bool) error {
	p := s.plan(first)
	return s.life(ctx, p.clock, func(ctx context.Context, g *guest) error {
		var sending sync.WaitGroup
		defer sending.Wait()
		ctx, end := context.WithCancel(ctx)
		defer end()
		var sendErr error
		start := func() { sending.Go(func() { sendErr = s.sender.send(ctx) }) }
		switch {
		case p.early:
			g.card.CutAt(p.write)
			s.tally.early++
			start()
		default:
			// A new journal refuses once-only commands until its first session.
			if first && !s.wait(ctx, g, bootWithin, localhub.KindSubscribed, 1) {
				return s.broke("no session", g)
			}
			start()
			if !first {
				s.wait(ctx, g, sessionWithin, localhub.KindConnected, 1)
			}
			if s.wait(ctx, g, workWithin, localhub.KindCompleted, p.after) {
				g.card.CutAt(p.write)
			} else {
				g.card.CutAt(1)
			}
		}
		rest := time.NewTimer(restAfter)
		defer rest.Stop()
		select {
		case <-g.card.Gone():
		case <-g.Ended:
			return s.broke("the machine ended by itself", g)
		case <-rest.C:
			s.tally.atRest++
			g.card.Cut()
		case <-ctx.Done():
		}
		s.tally.cuts++
		end()
		sending.Wait()
		return sendErr
	})
}

const (
	// bootWithin is what a start to the first session has, which takes 3 s on an idle
	// machine; one that is shared by many has been seen to take a minute.
	bootWithin = 4 * time.Minute

	// sessionWithin is what a later start has before a life is cut without one: it may
	// begin with a poll or a visit.
	sessionWithin = 15 * time.Second

	// workWithin is how long a life waits for completions, which take some seconds here.
	// A device that holds a full window behind a refused message has none for up to a
	// minute, and a longer wait would spend most of a run on that.
	workWithin = 10 * time.Second

	// restAfter is when the power goes from a card that is not written to: well after
	// the time at which ext4 writes what it has, 5 s.
	restAfter = 10 * time.Second
)

// life boots from the card as it is, does what is to be done, and takes the power.
func (s *series) life(ctx context.Context, clock time.Duration, do func(context.Context, *guest) error) error {
	c, err := card.New(s.medium, s.r.card(s.draw.Uint64()))
	if err != nil {
		return err
	}
	var extra machine.Options
	if clock > 0 {
		extra.Append = append(extra.Append, fmt.Sprintf("hil.clock=%d", time.Now().Add(-clock).Unix()))
		s.tally.clocks++
	}
	moves, err := s.trace.all()
	if err != nil {
		return err
	}
	s.begins = append(s.begins, len(moves))
	g, err := s.boot(ctx, c, s.tell, extra)
	if err != nil {
		return err
	}
	s.tally.boots++
	err = errors.Join(do(ctx, g), g.end())
	s.note(func() {
		if n := len(s.lives); n > 0 && s.lives[n-1].End.IsZero() {
			s.lives[n-1].End, s.lives[n-1].Killed = time.Now(), true
		}
	})
	s.medium = c.Medium()
	s.tally.cards = sum(s.tally.cards, c.Stats())
	return errors.Join(err, s.fsck(ctx))
}

// tell takes what the console says.
func (s *series) tell(line string) {
	word, ok := strings.CutPrefix(strings.TrimSpace(line), "RIG ")
	if !ok {
		if strings.Contains(line, "the journal was set aside") {
			s.note(func() { s.tally.setAside++ })
		}
		return
	}
	s.note(func() {
		code, ended := strings.CutPrefix(word, "end ")
		switch {
		case word == "start":
			if n := len(s.lives); n > 0 && s.lives[n-1].End.IsZero() { // a reset, of which nobody tells
				s.lives[n-1].End, s.lives[n-1].Killed = time.Now(), true
			}
			s.lives = append(s.lives, judge.Life{Start: time.Now(), Why: fmt.Sprintf("boot %d", s.tally.boots+1)})
		case ended:
			l := &s.lives[len(s.lives)-1]
			l.End, l.Why = time.Now(), l.Why+", exit "+code
			if !s.stopping || code != "0" {
				s.odd = append(s.odd, fmt.Sprintf("the daemon ended by itself with %s", code))
			}
		case word == "hang":
			s.hung = time.Now()
		case word == "crash": // from now on the daemon can do nothing any more
			s.hung = time.Now()
			s.lives[len(s.lives)-1].End, s.lives[len(s.lives)-1].Killed = s.hung, true
		case word == "stopped":
			s.stopped = true
		case word == "no card":
			s.dead = true
			s.odd = append(s.odd, "the card could not be mounted")
		default:
			s.odd = append(s.odd, word)
		}
	})
}

// note changes something and wakes who waits for it.
func (s *series) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.said)
	s.said = make(chan struct{})
}

// wait waits until n more events of a kind have come; false: they did not in time, or
// the power went, or there is nothing to wait for any more.
func (s *series) wait(ctx context.Context, g *guest, within time.Duration, kind localhub.Kind, n int) bool {
	late := time.NewTimer(within)
	defer late.Stop()
	before, _ := s.record.count(kind)
	for {
		s.mu.Lock()
		dead, said := s.dead, s.said
		s.mu.Unlock()
		now, next := s.record.count(kind)
		if now >= before+n || dead {
			return !dead
		}
		select {
		case <-next:
		case <-said:
		case <-late.C:
			return false
		case <-g.card.Gone():
			return false
		case <-g.Ended:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// broke is an error, unless a cut has been and the card or the daemon is one with which
// a machine may break: then it is what was noticed.
func (s *series) broke(what string, g *guest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.r.sound() && s.tally.cuts > 0 {
		s.dead = true
		s.odd = append(s.odd, what)
		return nil
	}
	return fmt.Errorf("%s: %s; its console is %s", s.id, what, g.console.Name())
}
