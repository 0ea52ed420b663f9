package board

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// sampleEvery is how often an input is read though it told of no edge, so that a
// lost one is not lost for ever, and how long one that cannot be read is left alone.
// It is one ioctl an input. At half of it an idle board wakes twice as often, at
// double a lost edge is behind what a hand at an emergency stop would forgive.
const sampleEvery = time.Second

// errClosedInput is what an input says before it was read for the first time.
var errClosedInput = errors.New("it was not read yet")

// input is one input. All of it but news is the board's goroutine's.
type input struct {
	spec   Input
	pin    InputPin // nil: the line is not ours
	active bool     // as last read or told
	err    error    // why that is not known; nil otherwise
	look   time.Time
	news   news
}

// news is what an input's driver has told and the board has not taken yet. It is
// one place for any number of edges: all that matters of them is the last, and
// whether the input was inactive in between.
type news struct {
	mu     sync.Mutex
	told   bool
	dipped bool
	gone   time.Time // when it was told last that it is not active
	last   Edge
}

func (n *news) tell(e Edge) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last.Err != nil {
		return // it said that nothing follows
	}
	n.told, n.last = true, e
	if !e.Active {
		n.dipped, n.gone = true, time.Now()
	}
}

// take answers what was told since the last time; gone: it was inactive meanwhile, last
// at that time.
func (n *news) take() (last Edge, gone time.Time, told bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last, told = n.last, n.told; n.dipped {
		gone = n.gone
	}
	n.told, n.dipped = false, false
	return last, gone, told
}

func (n *news) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told, n.dipped, n.last = false, false, Edge{}
}

func (in *input) state() InputState {
	switch {
	case in.err != nil || in.pin == nil:
		return InputUnknown
	case in.active:
		return Active
	}
	return Inactive
}

// denies is one sentence that says why the input permits nothing; empty: it does.
func (in *input) denies() string {
	switch in.state() {
	case Active:
		return ""
	case Inactive:
		return in.spec.Name + " is not active"
	}
	err := in.err
	if err == nil {
		err = errClosedInput
	}
	return fmt.Sprintf("%s cannot be read, which counts as not active: %v", in.spec.Name, err)
}

// letGo gives the line back. What its driver told before that is forgotten: it
// tells nothing behind it.
func (in *input) letGo() {
	if in.pin != nil {
		// As with an output: a later request of the line says what is wrong.
		_ = in.pin.Close()
	}
	in.pin = nil
	in.news.forget()
}

// look reads an input, requesting its line first if it is not ours.
func (k *keeper) look(in *input) {
	in.look = time.Now().Add(sampleEvery)
	if in.pin == nil {
		pin, err := k.d.Input(InputSpec{
			LineSpec: LineSpec{Target: in.spec.Name, Line: in.spec.Line, ActiveLow: in.spec.ActiveLow, Input: true, Consumer: Consumer},
			Bias:     in.spec.Bias, Debounce: in.spec.Debounce,
		}, func(e Edge) {
			in.news.tell(e)
			k.b.nudge()
		})
		if err != nil {
			k.learn(in, Edge{Err: err}, time.Now())
			return
		}
		in.pin = pin
	}
	active, err := in.pin.Read()
	k.learn(in, Edge{Active: active, Err: err}, time.Now())
}

// hear takes what an input's driver has told. An input that was inactive for a
// moment has withdrawn its permit, whatever it is now.
func (k *keeper) hear(in *input) {
	last, gone, told := in.news.take()
	if !told {
		return
	}
	if !gone.IsZero() && last.Active {
		k.learn(in, Edge{}, gone)
	}
	k.learn(in, last, gone)
}

// learn is the one place where an input becomes something. What it permitted is
// over the moment it does not any more, which was at that time.
func (k *keeper) learn(in *input, e Edge, at time.Time) {
	in.active, in.err = e.Active, e.Err
	if e.Err != nil {
		in.letGo() // the next look requests the line anew
	}
	k.b.mu.Lock()
	k.b.inputs[in.spec.Name] = in.state()
	k.b.mu.Unlock()
	k.showFault(in.spec.Name, true, in.err)
	if in.state() != Active {
		k.withdraw(in, at)
	}
}

// withdraw takes every output that in permitted to its safe level. None of them
// comes back by itself: that takes a new command, and one that waits since before is
// none.
func (k *keeper) withdraw(in *input, at time.Time) {
	for _, o := range k.outputs {
		if !slices.Contains(o.spec.Permit, in.spec.Name) {
			continue
		}
		if at.After(o.lapsed) {
			o.lapsed, o.lapseOf = at, in.spec.Name
		}
		if o.away() {
			k.drop(o, CausePermit, in.denies())
		}
	}
}

// lookAtPermits is the last look before an edge. If it finds a permit gone, what
// that held up is at its safe level when it returns.
func (k *keeper) lookAtPermits(o *output) {
	for _, in := range k.inputs {
		if slices.Contains(o.spec.Permit, in.spec.Name) {
			k.hear(in)
			k.look(in)
		}
	}
}

// withheld is why an output may not leave its safe level now, for all that its
// permit says; empty: it may.
func (k *keeper) withheld(o *output) string {
	for _, name := range o.spec.Permit {
		i := slices.IndexFunc(k.inputs, func(in *input) bool { return in.spec.Name == name })
		if i < 0 {
			return "no input is named " + name // Profile.Check refuses such a profile
		}
		if why := k.inputs[i].denies(); why != "" {
			return why
		}
	}
	return ""
}
