package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"actuatord/hub/localhub"
)

// patience is how long anything may take: an emulated ARMv6 needs seconds for a
// TLS handshake, and 100 000 records some for their check.
const patience = time.Minute

// process is a rival at work.
type process struct {
	*rival
	cmd        *exec.Cmd
	pid        int
	began      time.Time // just before it was made
	subscribed time.Time // when it asked the hub for messages
	ended      chan struct{}
	said       *tail
}

// start starts a rival and waits until it has subscribed.
func (v *rival) start(ctx context.Context) (*process, error) {
	subscribed := sign{localhub.KindSubscribed, v.device.ID, ""}
	ready := v.rig.watch.expect(subscribed)
	p := v.process()
	err := p.launch()
	if err != nil {
		return nil, err
	}
	p.subscribed, err = p.await(ctx, ready, subscribed)
	return p, err
}

// process is one that has not been made yet.
func (v *rival) process() *process {
	argv := slowly(v.flush, v.program...)
	p := &process{rival: v, cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{}), said: &tail{}}
	p.cmd.Env = append(os.Environ(), v.env...)
	p.cmd.Dir = v.dir
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said // a pipe, as under systemd: no file, whose pages would count as written
	return p
}

// launch makes it. Close of the rig ends it, if nobody does before.
func (p *process) launch() error {
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.pid = p.cmd.Process.Pid
	p.rig.running.Go(func() {
		_ = p.cmd.Wait() // how it ended is told by who missed it
		close(p.ended)
	})
	p.rig.closing = append(p.rig.closing, func() error { return p.end(syscall.SIGKILL) })
	return nil
}

// await waits for what the hub will see.
func (p *process) await(ctx context.Context, ch <-chan time.Time, what sign) (time.Time, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	var err error
	select {
	case at := <-ch:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case <-p.ended:
		err = fmt.Errorf("%s ended", p.name)
	case <-late.C:
		err = fmt.Errorf("%s took longer than %v", p.name, patience)
	}
	return time.Time{}, fmt.Errorf("wait for %v: %w; it said:\n%s", what, err, p.said)
}

// end ends the process by a signal; SIGTERM becomes SIGKILL when it is late.
func (p *process) end(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.ended
	return nil
}

func endAll(ps []*process) {
	for _, p := range ps {
		_ = p.end(syscall.SIGTERM)
	}
}

// tail keeps the end of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text); n > 2*tailSize {
		t.text = append(t.text[:0], t.text[n-tailSize:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
