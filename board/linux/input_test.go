package linux

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
)

func inputSpec(line string) board.InputSpec {
	s := spec(line)
	s.Target = "float-ok"
	return board.InputSpec{LineSpec: s, Debounce: 10 * time.Millisecond}
}

// TestOneInputRequest: direction, polarity, bias, both edges and debouncing go in one
// request, and nothing is driven.
func TestOneInputRequest(t *testing.T) {
	for _, c := range []struct {
		bias      board.Bias
		activeLow bool
		debounce  time.Duration
		flags     uint64
		micros    uint32
	}{
		{board.BiasAsIs, false, 0, 4 | 16 | 32, 0},
		{board.BiasNone, false, 10 * time.Millisecond, 4 | 16 | 32 | 1024, 10_000},
		{board.PullUp, true, 5 * time.Second, 4 | 16 | 32 | 256 | 2, 5_000_000},
		{board.PullDown, false, time.Microsecond, 4 | 16 | 32 | 512, 1},
	} {
		m, d := pi()
		s := inputSpec("GPIO17")
		s.Bias, s.ActiveLow, s.Debounce = c.bias, c.activeLow, c.debounce
		p, err := d.Input(s, func(board.Edge) {})
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 592)
		le.PutUint32(want, 2) // offsets[0]
		copy(want[256:], board.Consumer)
		le.PutUint64(want[288:], c.flags)
		if c.debounce > 0 {
			le.PutUint32(want[296:], 1) // attributes
			le.PutUint32(want[320:], 3) // debounce
			le.PutUint32(want[328:], c.micros)
			le.PutUint64(want[336:], 1) // of line 0 of the request
		}
		le.PutUint32(want[560:], 1) // lines
		if len(m.requests) != 1 || !bytes.Equal(m.requests[0], want) {
			t.Errorf("%+v: requests %x; want one, %x", c, m.requests, want)
		}
		if w := m.chips["/dev/gpiochip0"].lines[2]; w.edges != nil {
			t.Errorf("%+v: the wire was driven: %v", c, w.edges)
		}
		if err := p.Close(); err != nil || len(m.open) != 0 {
			t.Errorf("close: %v, %d descriptors open", err, len(m.open))
		}
	}
	if eventSize != 48 {
		t.Errorf("an event is %d bytes; want 48", eventSize)
	}
}

// ears is an input in a bubble, and what it told.
type ears struct {
	m    *machine
	w    *wire
	p    board.InputPin
	mu   sync.Mutex
	told []string
}

func (e *ears) hears(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.told, want) {
		t.Errorf("told %q; want %q", e.told, want)
	}
	e.told = nil
}

func listenTo(t *testing.T, arrange func(*wire), f func(*ears)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, d := pi()
		e := &ears{m: m, w: m.chips["/dev/gpiochip0"].lines[2]}
		if arrange != nil {
			arrange(e.w)
		}
		var err error
		e.p, err = d.Input(inputSpec("GPIO17"), func(edge board.Edge) {
			word := map[bool]string{true: "active", false: "inactive"}[edge.Active]
			if edge.Err != nil {
				var line *board.LineError
				if !errors.As(edge.Err, &line) || !line.Input || line.Target != "float-ok" {
					t.Errorf("told %v; want a *LineError of the input", edge.Err)
				}
				word = "error"
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			e.told = append(e.told, word)
		})
		if err != nil {
			t.Fatal(err)
		}
		f(e)
		if err := e.p.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(m.open) != 0 {
			t.Errorf("%d descriptors are open at the end", len(m.open))
		}
	})
}

// TestLostEdges: an event that cannot follow the one before it is behind one that was
// lost, and the line may have been inactive then.
func TestLostEdges(t *testing.T) {
	listenTo(t, func(w *wire) { w.high = true }, func(e *ears) {
		e.w.listener.event(true) // it was active before
		e.hears(t, "inactive", "active")
		e.w.listener.event(false)
		e.w.listener.event(true)
		e.hears(t, "inactive", "active")
		e.w.listener.event(false)
		e.w.listener.seqno += 2 // the kernel's queue was full
		e.w.listener.event(true)
		e.hears(t, "inactive", "inactive", "active")
		e.w.listener.event(false)
		e.w.listener.seqno += 2
		e.w.listener.event(false)
		e.hears(t, "inactive", "inactive")
	})
}

// TestListenerEnds: whatever ends it, it says so, once.
func TestListenerEnds(t *testing.T) {
	for name, end := range map[string]func(*request){
		"error":       func(r *request) { r.ended <- unix.EIO },
		"chip gone":   func(r *request) { r.ended <- unix.ENODEV },
		"end of file": func(r *request) { r.ended <- io.EOF },
		"nothing":     func(r *request) { r.events <- nil },
		"half an event": func(r *request) {
			r.events <- make([]byte, 47)
		},
	} {
		t.Run(name, func(t *testing.T) {
			listenTo(t, nil, func(e *ears) {
				end(e.w.listener)
				e.hears(t, "error")
				e.m.drive(e.w, true)
				e.hears(t)
			})
		})
	}
}

// TestWithoutEdges: a line without an interrupt is looked at, and a level counts when
// it has stood for the debounce time; a bounce is none.
func TestWithoutEdges(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENXIO, unix.ENODEV, unix.EINVAL, unix.EOPNOTSUPP, 524} {
		t.Run(fmt.Sprint(int(errno)), func(t *testing.T) {
			listenTo(t, func(w *wire) { w.noEdges = errno }, func(e *ears) {
				if n := len(e.m.requests); n != 2 || le.Uint64(e.m.requests[1][288:]) != 4 || le.Uint32(e.m.requests[1][296:]) != 0 {
					t.Fatalf("%d requests; want a second one without edges and debouncing", n)
				}
				set := func(high bool) { e.m.drive(e.w, high) }
				set(true)
				if active, err := e.p.Read(); err != nil || active {
					t.Errorf("a level that has not stood is believed: %v, %v", active, err)
				}
				time.Sleep(lookEvery + time.Millisecond)
				e.hears(t)
				set(false) // a bounce
				time.Sleep(lookEvery)
				set(true)
				time.Sleep(lookEvery)
				e.hears(t)
				time.Sleep(lookEvery)
				e.hears(t, "active")
				if active, err := e.p.Read(); err != nil || !active {
					t.Errorf("read %v, %v", active, err)
				}
				set(false)
				if active, err := e.p.Read(); err != nil || active {
					t.Errorf("a line that is inactive now is read as active: %v, %v", active, err)
				}
				time.Sleep(2 * lookEvery)
				e.hears(t, "inactive")
				e.m.mu.Lock()
				e.w.fail = unix.EIO
				e.m.mu.Unlock()
				time.Sleep(2 * lookEvery)
				e.hears(t, "error")
			})
		})
	}
}

// TestInputErrors: each keeps its errno, says that it is an input's, and leaves no
// descriptor open.
func TestInputErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrange func(*machine, *wire)
		fault   board.LineFault
		errno   error
	}{
		{"held", func(_ *machine, w *wire) { w.consumer = "w1" }, board.LineBusy, unix.EBUSY},
		{"no permission", func(m *machine, _ *wire) { m.chips["/dev/gpiochip0"].refuse = unix.EACCES }, board.LinePermission, unix.EACCES},
		{"cannot be read", func(_ *machine, w *wire) { w.fail = unix.EIO }, board.LineIO, unix.EIO},
		{"no memory", func(_ *machine, w *wire) { w.noEdges = unix.ENOMEM }, board.LineIO, unix.ENOMEM},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, d := pi()
			c.arrange(m, m.chips["/dev/gpiochip0"].lines[2])
			_, err := d.Input(inputSpec("GPIO17"), func(board.Edge) {})
			var e *board.LineError
			if !errors.As(err, &e) || e.Fault != c.fault || !e.Input || e.Target != "float-ok" || !errors.Is(err, c.errno) {
				t.Errorf("%v; want fault %d with its errno", err, c.fault)
			}
			if len(m.open) != 0 {
				t.Errorf("%d descriptors are open", len(m.open))
			}
		})
	}
	m, d := pi()
	d.k.stream = func(int) (io.ReadCloser, error) { return nil, unix.EBADF }
	if _, err := d.Input(inputSpec("GPIO17"), nil); !errors.Is(err, unix.EBADF) || len(m.open) != 0 {
		t.Errorf("no stream: %v, %d descriptors open", err, len(m.open))
	}
	if _, err := d.Output(spec("GPIO17"), gpio.Low); err != nil {
		t.Errorf("the line afterwards: %v", err)
	}
}

// TestStream: who waits for events is woken by Close. Of a descriptor that blocks he
// would not be, and the board's end would wait for an edge that never comes.
func TestStream(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	s, err := stream(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() {
		b := make([]byte, 64)
		n, err := s.Read(b)
		if n != 5 {
			t.Errorf("read %d", n)
		}
		read <- err
		_, err = s.Read(b)
		read <- err
	}()
	if _, err := unix.Write(fds[1], []byte("event")); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; err == nil {
		t.Error("a closed stream goes on")
	}
}

// TestInputTwins: a line that is an output's already, by another name, is said to be.
func TestInputTwins(t *testing.T) {
	_, d := pi()
	p, err := d.Output(spec("GPIO17"), gpio.Low)
	if err != nil {
		t.Fatal(err)
	}
	in := inputSpec("pinctrl-rp1:2")
	in.Input = true
	var e *board.LineError
	if _, err := d.Input(in, func(board.Edge) {}); !errors.As(err, &e) || e.Twin.Target != "pump" || !strings.Contains(err.Error(), `input "float-ok", line "pinctrl-rp1:2": in use by "pump", whose line "GPIO17"`) {
		t.Errorf("%v; want it to name the pump", err)
	}
	if err := p.(*pin).Close(); err != nil {
		t.Fatal(err)
	}
	held, err := d.Input(in, func(board.Edge) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Output(spec("GPIO17"), gpio.Low); !errors.As(err, &e) || e.Twin.Target != "float-ok" {
		t.Errorf("%v; want it to name the input", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Output(spec("GPIO17"), gpio.Low); err != nil {
		t.Errorf("once it is free: %v", err)
	}
	twins := d.twins([]board.LineSpec{spec("GPIO4"), {Target: "float-ok", Line: "pinctrl-rp1:1", Input: true}})
	if err := twins["float-ok"]; !errors.As(err, &e) || !e.Input || e.Twin.Target != "pump" {
		t.Errorf("%v; want the input's twin found before", err)
	}
}
