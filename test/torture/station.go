package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"actuatord/test/torture/judge"
)

const (
	kill      = syscall.SIGKILL
	terminate = syscall.SIGTERM

	// restartAfter is how long a daemon that ended stays down. The unit waits 5 s;
	// a shorter time finds more in the same time.
	restartAfter = time.Second

	// stopWithin is what a stop may take: 5 s by promise, and a machine that others
	// use too.
	stopWithin = 20 * time.Second
)

// station is one device: its place on the disk, and the daemon that is kept
// running there, as systemd would.
type station struct {
	id, dir, config, log string
	program              string
	disk                 *disk // nil: the journal has none of its own
	noDisk               string
	draw                 *rand.Rand // of the keeper only

	mu      sync.Mutex
	cmd     *exec.Cmd // nil: none runs
	lives   []judge.Life
	held    bool          // it must not be started
	sick    bool          // its disk was within the last minute: it may end by itself
	odd     []string      // ends that nothing explains
	changed chan struct{} // closed and made anew at every change of the above
	samples []sample      // of a soak
}

func newStation(r *run, id string, n uint64) (*station, error) {
	s := &station{id: id, dir: filepath.Join(r.dir, id), program: r.program, draw: rand.New(rand.NewPCG(r.seed, 'k'+n<<8)), changed: make(chan struct{})}
	s.config, s.log = filepath.Join(s.dir, "actuatord.toml"), filepath.Join(s.dir, "log")
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return nil, err
	}
	device, err := r.site.hub.AddDevice(id)
	if err != nil {
		return nil, err
	}
	secret := filepath.Join(s.dir, "connection-string")
	if err := os.WriteFile(secret, []byte(device.ConnectionString("localhost")), 0o600); err != nil {
		return nil, err
	}
	journal := s.dir
	if s.disk, err = newDisk(s.dir); err != nil {
		s.noDisk = err.Error()
	} else {
		journal = s.disk.dir
	}
	text := fmt.Sprintf(configuration, secret, r.site.ca, r.site.mqtt.number, r.site.web.number, filepath.Join(journal, "journal.db"), filepath.Join(s.dir, "trace.jsonl"))
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// keep runs the daemon again and again until ctx ends; what runs then is left to
// stop.
func (s *station) keep(ctx context.Context) {
	for {
		if !s.until(ctx, func() bool { return !s.held }) {
			return
		}
		clean, err := s.live("run")
		if err == nil && !clean && s.draw.IntN(2) == 0 { // the unit always does; without it the next start must
			_, err = s.live("safe")
		}
		if err != nil {
			s.note(func() { s.odd = append(s.odd, err.Error()) })
		}
		again := time.NewTimer(restartAfter)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

// live is one process from its start to its end. clean: it ended with 0.
func (s *station) live(word string) (clean bool, err error) {
	log, err := os.OpenFile(s.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return false, err
	}
	defer log.Close()
	cmd := exec.Command(s.program, word, "--config", s.config)
	cmd.Stderr = log
	started := false
	s.note(func() {
		if s.held {
			return // it was just decided otherwise
		}
		s.lives = append(s.lives, judge.Life{Start: time.Now(), Why: word})
		if err = cmd.Start(); err == nil {
			s.cmd, started = cmd, true
		}
	})
	if !started {
		return true, err
	}
	_ = cmd.Wait() // the state says it all
	s.note(func() {
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		l := &s.lives[len(s.lives)-1]
		l.End, l.Killed = time.Now(), status.Signaled() && status.Signal() == kill
		l.Why += ", " + cmd.ProcessState.String()
		if clean = status.Exited() && status.ExitStatus() == 0; !clean && !l.Killed && !s.sick {
			s.odd = append(s.odd, fmt.Sprintf("%s: %s ended by itself at %s: %v", s.id, word, l.End.UTC().Format("15:04:05.000"), cmd.ProcessState))
		}
		s.cmd = nil
	})
	return clean, nil
}

// note changes something and wakes who waits for it.
func (s *station) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// until waits for ok, which is asked under the lock; false: ctx ended before.
func (s *station) until(ctx context.Context, ok func() bool) bool {
	for {
		s.mu.Lock()
		yes, changed := ok(), s.changed
		s.mu.Unlock()
		if yes {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// signal sends a signal to the process, if one runs.
func (s *station) signal(sig syscall.Signal) (sent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd != nil && s.cmd.Process.Signal(sig) == nil
}

// freeze stops the process for a time without its knowledge.
func (s *station) freeze(ctx context.Context, d time.Duration) (done bool) {
	from := time.Now()
	s.mu.Lock()
	cmd := s.cmd
	s.mu.Unlock()
	if cmd == nil || cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return false
	}
	pause(ctx, d)
	_ = cmd.Process.Signal(syscall.SIGCONT) // it may have been killed meanwhile
	s.note(func() {
		l := &s.lives[len(s.lives)-1]
		l.Frozen = append(l.Frozen, judge.Span{From: from, To: time.Now()})
	})
	return true
}

// down kills the process and keeps it down until up.
func (s *station) down(ctx context.Context) bool {
	s.note(func() { s.held = true })
	s.signal(kill)
	return s.until(ctx, func() bool { return s.cmd == nil })
}

func (s *station) up() { s.note(func() { s.held = false }) }

// ill says whether the disk is in trouble, so that a daemon may end by itself.
func (s *station) ill(yes bool) { s.note(func() { s.sick = yes }) }

// stop ends the daemon for good, as systemd would.
func (s *station) stop(ctx context.Context) error {
	s.note(func() { s.held = true })
	s.signal(terminate)
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	if s.until(ctx, func() bool { return s.cmd == nil }) {
		return nil
	}
	s.signal(kill)
	return fmt.Errorf("%s did not stop within %v", s.id, stopWithin)
}

// past is every life so far.
func (s *station) past() []judge.Life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lives)
}

func (s *station) close() error {
	if s.disk == nil {
		return nil
	}
	return s.disk.remove()
}

// pause waits for a drawn time; false: ctx ended before.
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
