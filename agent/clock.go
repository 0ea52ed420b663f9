package agent

import (
	"context"
	"time"

	"actuatord/agent/command"
	"actuatord/hub/link"
	"actuatord/persist"
)

const (
	// The kernel is asked often while its time is not known to be right, and
	// now and then afterwards: a step must not wait for the next command.
	syncUntrusted, syncTrusted = time.Second, 30 * time.Second

	// The hub is asked for its Date from soon to rarely: it is one request without
	// credentials, and each is a TLS handshake.
	firstAsk, longestAsk = 5 * time.Second, 5 * time.Minute

	// stepMatters is a step that makes tokens and ages of the running session
	// wrong. The hub tolerates 5 minutes (hub document §1.3).
	stepMatters = 30 * time.Second

	// trustedEvery is how often the trusted time is written, with whatever commit
	// comes: it only has to keep an untrusted clock from starting years back.
	trustedEvery = 6 * time.Hour
)

// timekeeping is when the clock is looked at.
type timekeeping struct {
	sync   time.Time // the kernel, next
	ask    time.Time // the hub, next
	pause  time.Duration
	asking bool
	err    error // why the hub did not tell the time, last
}

func (a *Agent) now() time.Time { return a.clock.Now(time.Now()) }

// at answers the agent's time for another goroutine: as the clock stands now.
func (a *Agent) at() func() time.Time {
	c := a.clock
	return func() time.Time { return c.Now(time.Now()) }
}

// trust is how reports call the clock.
func (a *Agent) trust() string {
	if a.clock.Trusted() {
		return "trusted"
	}
	return "untrusted"
}

// keepTime follows the time, and keeps it for a start without any.
func (a *Agent) keepTime(now time.Time) error {
	err := a.lookAtClock(now)
	if at := a.now(); a.clock.Trusted() && at.Sub(a.facts.LastTrusted).Abs() >= trustedEvery {
		a.note(func(f *persist.LinkFacts) { f.LastTrusted = at })
		a.pending.lazily(now)
	}
	return err
}

// lookAtClock looks at the kernel's clock when that is due, and asks the hub where
// it cannot be trusted. It needs no journal.
func (a *Agent) lookAtClock(now time.Time) error {
	k := &a.timekeeping
	if now.Before(k.sync) {
		return nil
	}
	trusted := a.clock.Trusted()
	wall, synchronised := a.o.Kernel()
	c, step := a.clock.Kernel(time.Now(), wall, synchronised) // together: what lies between would look like drift
	a.clock = c
	k.sync = now.Add(syncTrusted)
	if !a.clock.Trusted() {
		k.sync = now.Add(syncUntrusted)
		a.askTime(now)
	}
	return a.stepped(trusted, step)
}

func (a *Agent) askTime(now time.Time) {
	k := &a.timekeeping
	if k.asking || now.Before(k.ask) || a.o.Time == nil {
		return
	}
	k.asking = true
	k.pause = min(max(2*k.pause, firstAsk), longestAsk)
	ctx, cancel := context.WithTimeout(a.uplink.ctx, connectWithin)
	identity, at := a.uplink.identity, a.at()
	go func() {
		defer cancel()
		date, arrived, err := a.o.Time(ctx, identity, at, true)
		a.post(a.uplink.ctx, func() error {
			k.asking, k.ask, k.err = false, time.Now().Add(k.pause), err
			if err != nil {
				a.log.Warn("the hub did not tell the time", "error", err, "again", k.pause)
				return nil
			}
			return a.dated(date, arrived)
		})
	}()
}

// dated takes the Date of a hub that has proven to be the hub.
func (a *Agent) dated(date, arrived time.Time) error {
	if date.IsZero() {
		return nil
	}
	trusted := a.clock.Trusted()
	c, step := a.clock.Hub(time.Now(), arrived, date)
	a.clock = c
	return a.stepped(trusted, step)
}

// stepped follows a clock that has become right, or has jumped.
func (a *Agent) stepped(wasTrusted bool, step time.Duration) error {
	if a.uplink.machine == nil {
		return nil
	}
	now := time.Now()
	if !wasTrusted && a.clock.Trusted() && a.uplink.started {
		a.log.Info("the clock is trusted now", "source", a.clock.Source().String(), "step", step)
		a.clear(command.AlarmClock)
		if err := a.perform(a.uplink.machine.Step(link.ClockSet{Wall: a.now()}, now)); err != nil {
			return err
		}
	}
	if step.Abs() >= stepMatters {
		a.log.Warn("the clock was set", "step", step)
		if d := a.uplink.drain; d != nil {
			d.token, d.resigned = a.token(), true
		}
		return a.perform(a.uplink.machine.Step(link.Resign{}, now))
	}
	return nil
}

// begin starts the link once the clock is trusted, or its time to become so is
// over: a token that is signed with a wrong time is refused, and a refusal costs
// more than the wait.
func (a *Agent) begin(now time.Time) error {
	u := &a.uplink
	if u.started || !a.clock.Trusted() && now.Sub(a.boot) < a.o.Config.Clock.Wait {
		return nil
	}
	u.started = true
	if !a.clock.Trusted() {
		a.raise(command.AlarmClock, "no trusted time: commands with an expiry, an age limit or once-only are refused clock-unset")
	}
	f := a.facts
	return a.perform(u.machine.Step(link.Start{Past: link.Past{
		Wall: a.now(), Trusted: a.clock.Trusted(),
		LastPoll: f.LastPoll, PollTrusted: f.PollTrusted, LastVisit: f.LastVisit, VisitTrusted: f.VisitTrusted,
		LastSuback: f.LastSuback, FirstDrains: int(f.FirstDrains), Starts: int(f.Starts), Rung: link.Rung(f.Rung),
	}}, now))
}
