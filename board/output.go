package board

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// output is one output and its timers. Only the board's goroutine touches it.
type output struct {
	spec  Output
	pwm   *PWM       // of a level; its spec has what it shares with outputs
	safe  Percent    // 0 or Full, but for a level
	pin   gpio.PinIO // nil: the line is not ours
	level Level
	now   Percent   // where it is, unless the level is Unknown
	err   error     // why it is Unknown; nil otherwise
	edge  time.Time // away: just before it left its safe level
	until time.Time // away: end of the lease; zero: no bound
	off   time.Time // since when it is known to be off; min_off counts from here
	retry time.Time // Unknown: the next try to make it safe
	check time.Time // when its hardware is asked next; zero: it is not to be asked
	by    string    // away: the cause of the operation that has the lease
	pulse *request  // the pulse whose answer is owed

	disabled string // why it is out of use; empty: it is not

	lapsed  time.Time // when an input of its permit was last known not to permit it, and
	lapseOf string    // which
}

func (o *output) away() bool   { return o.level != Unknown && o.now != o.safe }
func (o *output) isSafe() bool { return o.level != Unknown && o.now == o.safe }

// asked is where op wants the output.
func (o *output) asked(op Op) Percent {
	switch {
	case o.pwm != nil && op.Kind == Set:
		return op.Percent
	case op.Kind == Pulse && !o.spec.SafeOn, op.Kind == Set && op.On:
		return Full
	}
	return 0
}

func refuse(reason Reason, format string, args ...any) Result {
	return Result{Refused: reason, Detail: fmt.Sprintf(format, args...)}
}

func (k *keeper) handleOutput(o *output, r request) {
	switch {
	case o.pwm != nil && r.op.Kind == Pulse:
		k.b.answer(r, o.result(refuse(UnknownAction, "%s is a level: it can be set", o.spec.Name)))
	case r.op.Kind == Write || r.op.Kind < Set || r.op.Kind > Safe:
		k.b.answer(r, o.result(refuse(UnknownAction, "%s is an output: it can be set or pulsed", o.spec.Name)))
	case o.asked(r.op) > Full:
		k.b.answer(r, o.result(refuse(OutOfRange, "%s can be at most at %v %%", o.spec.Name, Full)))
	case r.op.Kind == Safe, r.op.Kind == Set && o.asked(r.op) == o.safe:
		changed, err := k.toSafe(o, r.op.Cause)
		k.b.answer(r, o.result(Result{Attempted: true, Changed: changed, Err: err, Transient: Transient(err)}))
	default:
		k.leave(o, r)
	}
}

// result adds what every answer about an output says.
func (o *output) result(r Result) Result {
	r.Level = o.level
	if o.away() {
		r.Until = o.until
	}
	return r
}

// leave takes an output away from its safe level, if every rule allows it.
func (k *keeper) leave(o *output, r request) {
	k.lookAtPermits(o)
	now := time.Now()
	if no := k.forbids(o, r.op, now); no.Refused != "" {
		k.b.answer(r, o.result(no))
		return
	}
	want, was := o.asked(r.op), o.away()
	if was && o.now == want { // a Set: forbids lets no pulse through here
		k.cut(o, r.op.Cause, nil)
		o.lease(r.op, now)
		k.b.answer(r, o.result(Result{Attempted: true}))
		return
	}
	err := k.out(o, want, r.op.Cause)
	if err != nil {
		o.level, o.err = Unknown, err
		// The line may have moved before it failed. What toSafe says adds
		// nothing for the sender: the level in the answer tells.
		_, _ = k.toSafe(o, CauseSafe)
		k.b.answer(r, o.result(Result{Attempted: true, Err: err, Transient: Transient(err)}))
		return
	}
	o.level, o.now = levelOf(want > 0), want
	if !was {
		o.edge = now // which is before the edge: a lease is never long
	}
	if o.level == Off {
		o.off = time.Now()
	}
	o.lease(r.op, now)
	k.show(o)
	if r.op.Kind == Pulse {
		o.pulse = &r
		return
	}
	k.b.answer(r, o.result(Result{Attempted: true, Changed: true}))
}

// lease gives an output that is away its time: what op says, and in no case
// more than max_on from the edge, so that no repetition can hold an output on.
func (o *output) lease(op Op, now time.Time) {
	o.until, o.by = time.Time{}, op.Cause
	if op.For > 0 {
		o.until = now.Add(op.For)
	}
	if o.spec.MaxOn == 0 {
		return
	}
	if end := o.edge.Add(o.spec.MaxOn); o.until.IsZero() || end.Before(o.until) {
		o.until = end
	}
}

// forbids is the last look before an edge away from the safe level. It answers
// the first rule that stands against it, or a Result with no reason.
func (k *keeper) forbids(o *output, op Op, now time.Time) Result {
	name := o.spec.Name
	switch {
	case o.disabled != "":
		return refuse(Disabled, "%s is disabled %s", name, o.disabled)
	case passed(op.Deadline, now):
		return refuse(Expired, "its time had passed when %s was about to be driven", name)
	case op.For < 0, op.Kind == Pulse && op.For == 0:
		return refuse(OutOfRange, "for=%v is no time to keep %s away from its safe level", op.For, name)
	case o.spec.MaxOn > 0 && op.For > o.spec.MaxOn:
		return refuse(OverMaxOn, "for=%v is beyond max_on=%v of %s", op.For, o.spec.MaxOn, name)
	case o.level == Unknown:
		no := refuse(LevelUnknown, "%s could not be driven to its safe level yet: %v", name, o.err)
		no.Transient = Transient(o.err)
		return no
	case k.withheld(o) != "":
		return refuse(NotPermitted, "%s", k.withheld(o))
	case !op.Asked.IsZero() && o.lapsed.After(op.Asked):
		return refuse(NotPermitted, "%s was not active, or could not be read, since this was asked for; it takes a new command", o.lapseOf)
	case o.away() && op.Kind == Pulse:
		return refuse(AlreadyAway, "%s is %v already; a pulse starts at %v", name, o.level, o.spec.Safe())
	case o.away() || o.spec.SafeOn:
		return Result{} // what is left concerns the edge to on
	}
	if rest := o.spec.MinOff - now.Sub(o.off); rest > 0 {
		return refuse(MinOff, "%s must be off for min_off=%v; %v to go", name, o.spec.MinOff, rest.Round(time.Millisecond))
	}
	for _, other := range k.group(o) {
		if other.level == On {
			return refuse(Interlocked, "%s is on", other.spec.Name)
		}
		if other.level == Unknown {
			return refuse(Interlocked, "the level of %s is unknown, which counts as on", other.spec.Name)
		}
	}
	return Result{}
}

// group is the others of an output's interlock.
func (k *keeper) group(o *output) []*output {
	var others []*output
	for _, other := range k.outputs {
		if other != o && o.spec.Interlock != "" && other.spec.Interlock == o.spec.Interlock {
			others = append(others, other)
		}
	}
	return others
}

// toSafe takes an output to its safe level, and answers a pulse that it thereby
// cuts. If it fails the output is Unknown and will be tried again each second.
// It sends no Change: its callers know who asked.
func (k *keeper) toSafe(o *output, cause string) (changed bool, err error) {
	if o.spec.SafeOn {
		k.makeWay(o)
	}
	before, was := o.level, o.now
	err = k.out(o, o.safe, cause)
	if err != nil && o.pin != nil {
		// The line may be held by a dead descriptor (its chip was unplugged and
		// came back): only a new request helps then.
		closePin(o)
		err = k.out(o, o.safe, cause)
	}
	now := time.Now()
	o.edge, o.until, o.retry, o.by, o.err = time.Time{}, time.Time{}, time.Time{}, "", err
	o.checked(now)
	if err != nil {
		o.level, o.retry = Unknown, now.Add(retryEvery)
	} else if o.level, o.now = o.spec.Safe(), o.safe; o.level == Off && before != Off {
		o.off = now
	}
	k.show(o)
	k.cut(o, cause, err)
	return before != o.level || was != o.now, err
}

// drop takes an output to its safe level for a reason that people want to hear: a
// Change has it, and so has the answer of a pulse that it cuts.
func (k *keeper) drop(o *output, cause, why string) (changed bool, err error) {
	by, pulse := o.by, o.pulse
	o.pulse = nil
	changed, err = k.toSafe(o, cause)
	if changed || err != nil {
		k.tell(o, Change{Cause: cause, By: by, Why: why, Err: err})
	}
	if pulse != nil {
		res := Result{Attempted: true, Changed: true, Cut: cause, Detail: why, Err: err, Transient: Transient(err)}
		k.b.answer(*pulse, o.result(res))
	}
	return changed, err
}

// makeWay keeps an interlock where one member is safe on: its way to safety is
// never refused, so the others give way to it first. One that cannot be driven
// does not hold it up.
func (k *keeper) makeWay(o *output) {
	for _, other := range k.group(o) {
		if other.level == Off || other.spec.SafeOn {
			continue
		}
		by := other.by
		if changed, err := k.toSafe(other, CauseInterlock); changed {
			k.tell(other, Change{Cause: CauseInterlock, By: by, Err: err})
		}
	}
}

// out drives the line, requesting it first if it is not ours. A line is only
// ever requested at its safe level.
func (k *keeper) out(o *output, want Percent, cause string) error {
	if o.pin == nil {
		pin, err := k.take(o)
		if err != nil {
			return err
		}
		o.pin = pin
		if want == o.safe {
			return nil
		}
	}
	if c, ok := o.pin.(Caused); ok {
		c.Because(o.spec.Name, cause)
	}
	if o.pwm != nil {
		return o.pin.PWM(want.Duty(), physic.Frequency(o.pwm.Frequency)*physic.Hertz)
	}
	return o.pin.Out(gpio.Level(want > 0))
}

// take requests a line at its safe level.
func (k *keeper) take(o *output) (gpio.PinIO, error) {
	if o.pwm == nil {
		spec := LineSpec{Target: o.spec.Name, Line: o.spec.Line, ActiveLow: o.spec.ActiveLow, OpenDrain: o.spec.OpenDrain, Consumer: Consumer}
		return k.d.Output(spec, gpio.Level(o.spec.SafeOn))
	}
	d, ok := k.d.(Dimmer)
	if !ok {
		return nil, &LineError{Target: o.spec.Name, Line: o.spec.Line, Fault: NoSuchLine, Err: errors.ErrUnsupported}
	}
	spec := PWMSpec{Target: o.spec.Name, Line: o.spec.Line, Consumer: Consumer, Frequency: physic.Frequency(o.pwm.Frequency) * physic.Hertz}
	return d.PWM(spec, o.safe.Duty())
}

// cut answers a running pulse whose output another operation took over.
func (k *keeper) cut(o *output, by string, err error) {
	if o.pulse == nil {
		return
	}
	r := *o.pulse
	o.pulse = nil
	res := Result{Attempted: true, Changed: true, Cut: cmp.Or(by, CauseSafe), Err: err, Transient: Transient(err)}
	k.b.answer(r, o.result(res))
}

// expire ends a lease or a pulse.
func (k *keeper) expire(o *output) {
	pulse, by := o.pulse, o.by
	o.pulse = nil
	if pulse == nil {
		_, err := k.toSafe(o, CauseLease)
		k.tell(o, Change{Cause: CauseLease, By: by, Err: err})
		return
	}
	_, err := k.toSafe(o, pulse.op.Cause)
	k.b.answer(*pulse, o.result(Result{Attempted: true, Changed: true, Err: err, Transient: Transient(err)}))
}

// retry is one more attempt to make an unknown output safe.
func (k *keeper) retry(o *output) {
	if _, err := k.toSafe(o, CauseSafe); err == nil {
		k.tell(o, Change{Cause: CauseSafe})
	}
}

// checkEvery is how often an output is asked for whose hardware can lose its level
// behind our back: how long it may be believed to be what it is not. Half would ask
// twice as often for what happens once in a chip's life, double would be longer
// than a person looks before he does something about it.
const checkEvery = 5 * time.Second

// checked sets the next question, if there is somebody to ask.
func (o *output) checked(now time.Time) {
	o.check = time.Time{}
	if _, ok := o.pin.(Checked); ok {
		o.check = now.Add(checkEvery)
	}
}

// ask trips an output whose hardware is not as it was left: nobody knows since
// when, nor what it did meanwhile.
func (k *keeper) ask(o *output, now time.Time) {
	o.checked(now)
	c, ok := o.pin.(Checked)
	if !ok || o.level == Unknown {
		return // it is being driven safe each second, which is as good
	}
	err := c.Check()
	if err == nil {
		return
	}
	by := o.by
	o.level, o.err = Unknown, err
	k.show(o)
	k.tell(o, Change{Cause: CauseTrip, By: by, Err: err})
	if _, err := k.toSafe(o, CauseSafe); err == nil {
		k.tell(o, Change{Cause: CauseSafe, By: by})
	}
}
