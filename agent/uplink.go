package agent

import (
	"context"
	"log/slog"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/link"
	"actuatord/hub/mqtt"
	"actuatord/persist"
)

// connectWithin bounds one attempt at a session: name, TCP, TLS, CONNECT. The
// C SDK waits 30 s for the CONNACK alone (hub document §8); a mobile link needs
// as much again for the rest.
const connectWithin = 60 * time.Second

// noSessionFor is how long a device may live on polls before a person should know:
// well past what a hub's maintenance or a provider's bad hour takes.
const noSessionFor = time.Hour

// subackEvery is how often a SUBACK is written: the link takes one for good for a
// day, and a session is renewed every 48 minutes.
const subackEvery = 6 * time.Hour

// uplink is the session or the drain, as package link wants it.
type uplink struct {
	machine    *link.Machine
	started    bool
	identity   hub.ConnectionString
	session    *mqtt.Session // nil: none
	drain      *drain        // nil: none; never together with a session
	subscribed bool
	first      bool   // the journal's very first CONNECT is on its way
	told       [2]int // unsettled and owed, as last told to the machine
	cause      error  // why we close the session, where we do
	ctx        context.Context
	cancel     context.CancelFunc
	giveUp     context.CancelFunc // ends the attempt under way

	inSession   []unsettled                 // what the present session delivered, in order, from the oldest unsettled on
	delivered   time.Time                   // when a session last delivered something
	outstanding map[command.Key][]unsettled // what dead sessions delivered and nobody has settled since
	held        []held                      // deliveries of this session that are owed a reject
	owed        map[sameAs]time.Time        // since when, over sessions
	deaf        bool                        // HTTPS was of no use at the last settle visit …
	deafAt      time.Time                   // … or an earlier one
	since       time.Time                   // of the session
	blind       bool                        // the CONNECT under way was not preceded by the drain that it needed
	leaving     bool                        // the session is being left
	forgot      bool                        // the hub has no subscription of ours, as it said
	strayed     bool                        // a CONNECT without a journal may have made a session at the hub
}

// close ends every goroutine that works for the uplink.
func (u *uplink) close() {
	u.cancel()
	if u.session != nil {
		go u.session.Close()
	}
	if u.drain != nil && !u.drain.busy { // a request under way closes it at its end
		go u.drain.client.Close()
	}
}

// leave says goodbye to the hub, behind the PUBACKs that are due, and waits no
// longer than leaveWithin for it: a PUBACK that is lost costs a redelivery, which
// the journal answers.
func (u *uplink) leave() {
	if u.session == nil {
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		u.session.Close()
	}()
	late := time.NewTimer(leaveWithin)
	defer late.Stop()
	select {
	case <-gone:
	case <-late.C:
	}
}

// leaveWithin is what is left of a stop's 5 s once the board has had its three.
const leaveWithin = time.Second

func (u *uplink) settled() <-chan struct{} {
	if u.session == nil {
		return nil
	}
	return u.session.Settled()
}

func (u *uplink) lost() <-chan struct{} {
	if u.session == nil {
		return nil
	}
	return u.session.Done()
}

// perform does what the link machine asks for.
func (a *Agent) perform(actions []link.Action) error {
	for _, action := range actions {
		switch do := action.(type) {
		case link.Probe:
			a.probe(do)
		case link.Connect:
			if err := a.intend(); err != nil {
				return err
			}
			a.connect(do)
		case link.Forget:
			a.uplink.forgot = true
			a.note(func(f *persist.LinkFacts) { f.LastSuback = time.Time{} })
			if err := a.commit(); err != nil {
				return err
			}
		case link.Subscribe:
			a.subscribe()
		case link.OpenDrain:
			if err := a.openDrain(do); err != nil {
				return err
			}
		case link.Disconnect:
			a.log.Info("leaving the session", "generation", do.Generation, "why", do.Why)
			if s := a.uplink.session; s != nil && s.Generation() == do.Generation {
				a.uplink.leaving = true
				go s.Close()
			} else {
				a.uplink.giveUp() // the attempt that is still under way
			}
		}
	}
	a.judgeLink()
	return nil
}

// note changes what the link must not forget, with the next commit.
func (a *Agent) note(change func(*persist.LinkFacts)) {
	change(&a.facts)
	a.pending.batch.Link(a.facts)
}

// judgeLink says what a person should know of the link, and writes which rung
// carried a stable session, with whatever commit comes: a restart begins with it.
func (a *Agent) judgeLink() {
	s := a.uplink.machine.Status()
	if s.Cause == hub.CauseClosedEarly {
		a.raise(command.AlarmSameID, "sessions end seconds after they begin: another program or device uses this device's id, or the link is very bad")
	}
	if a.uplink.started && !s.Stable && !s.Unstable.IsZero() && time.Since(s.Unstable) >= noSessionFor {
		detail := "no session for long: commands come by polls, 25 minutes apart"
		if s.Detail != "" {
			detail += ": " + s.Detail
		}
		a.raise(command.AlarmNoSession, detail)
	}
	if !s.Stable {
		return
	}
	a.clear(command.AlarmSameID)
	a.clear(command.AlarmFirstSubscribe)
	a.clear(command.AlarmUnreachable) // it is not needed now
	a.clear(command.AlarmNoSession)
	if u := &a.uplink; len(u.held) == 0 && !u.deafAt.IsZero() && time.Since(u.deafAt) > unrejectableFor {
		a.clear(command.AlarmUnrejectable)
	}
	if good := a.uplink.machine.Good(); link.Rung(a.facts.Rung) != good {
		a.note(func(f *persist.LinkFacts) { f.Rung = uint8(good) })
		a.pending.lazily(time.Now())
	}
}

// probe looks whether the hub can be reached, outside the loop.
func (a *Agent) probe(do link.Probe) {
	ctx, cancel := context.WithTimeout(a.uplink.ctx, connectWithin)
	a.uplink.giveUp = cancel
	id, at := a.uplink.identity, a.at()
	go func() {
		defer cancel()
		err := a.o.Probe(ctx, do.Rung, id, at)
		a.post(a.uplink.ctx, func() error {
			now := time.Now()
			if err != nil {
				a.log.Warn("the hub cannot be reached", "rung", do.Rung.String(), "cause", hub.CauseOf(err), "error", err)
				return a.perform(a.uplink.machine.Step(link.Refused{Generation: do.Generation, Err: err}, now))
			}
			return a.perform(a.uplink.machine.Step(link.Reached{Generation: do.Generation}, now))
		})
	}()
}

// intend makes durable that a CONNECT is about to be sent, before the first one
// ever is: a session found at the hub later may then be our own.
func (a *Agent) intend() error {
	if a.facts.Connect != persist.ConnectNever {
		return nil
	}
	a.note(func(f *persist.LinkFacts) { f.Connect = persist.ConnectIntended })
	a.uplink.first = !a.uplink.strayed
	return a.commit()
}

// connect makes one attempt, outside the loop.
func (a *Agent) connect(do link.Connect) {
	a.uplink.blind = do.Blind
	ctx, cancel := context.WithTimeout(a.uplink.ctx, do.Within)
	a.uplink.giveUp = cancel
	id, at, token := a.uplink.identity, a.at(), a.token()
	go func() {
		defer cancel()
		s, err := a.o.Connect(ctx, do.Rung, do.Generation, id, at, token)
		taken := a.post(a.uplink.ctx, func() error { return a.connected(do.Generation, s, err) })
		if !taken && s != nil {
			s.Close()
		}
	}()
}

// connected takes an attempt's result.
func (a *Agent) connected(generation uint64, s *mqtt.Session, err error) error {
	now := time.Now()
	if err != nil {
		a.uplink.first = false // its CONNECT may have reached the hub and made a session there
		a.log.Warn("no session", "cause", hub.CauseOf(err), "error", err)
		return a.perform(a.uplink.machine.Step(link.Refused{Generation: generation, Err: err}, now))
	}
	u := &a.uplink
	u.since = now
	u.session, u.subscribed, u.leaving, u.told, u.cause, u.held, u.inSession = s, false, false, [2]int{}, nil, nil, nil
	a.log.Info("session", "generation", s.Generation(), "stored", s.SessionPresent())
	// A session that the hub has kept had its SUBSCRIBE, unless drains say otherwise:
	// this one's own is the only one since the last SUBACK.
	if kept := s.SessionPresent() && a.facts.FirstDrains <= 1 && !a.opened.Fresh && !u.forgot && !u.strayed; u.blind && !kept {
		a.raise(command.AlarmFirstSubscribe, "the queue could not be emptied over HTTPS before the first SUBSCRIBE: the hub may have rejected what was waiting")
	}
	if err := a.judgeHistory(s.SessionPresent()); err != nil {
		return err
	}
	return a.perform(u.machine.Step(link.Connected{
		Generation: generation, Stored: s.SessionPresent(),
		Renew80: now.Add(tokenLife * 80 / 100), Renew95: now.Add(tokenLife * 95 / 100),
	}, now))
}

// subscribe asks for messages on the present session, outside the loop.
func (a *Agent) subscribe() {
	u, s := &a.uplink, a.uplink.session
	if s == nil {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(u.ctx, connectWithin)
		defer cancel()
		err := s.Subscribe(ctx)
		a.post(u.ctx, func() error { return a.subscribed(s, err) })
	}()
}

// judgeHistory reads from the first CONNACK what it says of the past. Without a
// stored session nobody was ever here: nothing was lost. With one, a journal
// was, and is gone; unless an earlier CONNECT of our own may have made it, then
// the doubt stays.
func (a *Agent) judgeHistory(present bool) error {
	if a.facts.Connect == persist.ConnectAnswered {
		return nil
	}
	a.note(func(f *persist.LinkFacts) { f.Connect = persist.ConnectAnswered })
	h := a.journal.History()
	wall, trusted := a.now(), a.clock.Trusted()
	switch {
	case h.State != persist.HistoryInDoubt:
	case !present:
		a.pending.batch.History(persist.History{State: persist.HistoryClear, Since: wall, Dated: trusted})
	case a.uplink.first:
		a.log.Warn("the hub remembers this device and the journal does not: once-only commands are refused until 'actuatord journal reset', 48 h, or a later \"sent\"")
		a.pending.batch.History(persist.History{State: persist.HistoryLost, Since: wall, Dated: trusted})
	}
	return a.commit()
}

func (a *Agent) subscribed(s *mqtt.Session, err error) error {
	if a.uplink.session != s {
		return nil // it has ended meanwhile
	}
	if err != nil {
		a.log.Warn("not subscribed", "cause", hub.CauseOf(err), "error", err)
		a.uplink.cause = err
		go s.Close()
		return nil
	}
	a.uplink.subscribed, a.uplink.forgot, a.uplink.strayed = true, false, false
	a.outbox.more = true
	now, trusted := a.now(), a.clock.Trusted()
	if a.facts.Starts > 0 {
		a.note(func(f *persist.LinkFacts) { f.Starts = 0 })
		a.pending.lazily(time.Now())
	}
	if a.facts.FirstDrains > 0 || trusted && now.Sub(a.facts.LastSuback).Abs() >= subackEvery {
		a.note(func(f *persist.LinkFacts) {
			if f.FirstDrains = 0; trusted { // without a date the next start drains first, which costs one request
				f.LastSuback = now
			}
		})
		a.pending.urge(time.Now())
	}
	a.log.Info("subscribed", "generation", s.Generation())
	a.notify(a.o.Notify.Status("connected over " + a.uplink.machine.Status().Rung.String()))
	return a.perform(a.uplink.machine.Step(link.Subscribed{Generation: s.Generation()}, time.Now()))
}

// sessionEnded forgets the session. What it delivered is carried out, in order,
// before anything newer; the settlements will find it gone and be dropped, and
// the hub delivers again. What does not fit into the line comes again too.
func (a *Agent) sessionEnded() error {
	u := &a.uplink
	for more := true; more && len(a.line.waiting) < 2*queueBound; {
		select {
		case d := <-u.session.Deliveries():
			a.receive(d)
		default:
			more = false
		}
	}
	err, generation := u.session.Err(), u.session.Generation()
	if u.cause != nil {
		err = u.cause
	}
	level := slog.LevelWarn
	if hub.CauseOf(err) == hub.CauseClosed { // we left it, and said why
		level = slog.LevelInfo
	}
	a.log.Log(context.Background(), level, "session ended", "generation", generation, "cause", hub.CauseOf(err), "error", err)
	s := u.session
	u.bury()
	a.notify(a.o.Notify.Status("not connected: " + hub.CauseOf(err)))
	go func() {
		s.Close() // returns when the connection is closed: two of ours would take turns in throwing each other out
		a.post(u.ctx, func() error {
			return a.perform(u.machine.Step(link.Lost{Generation: generation, Err: err}, time.Now()))
		})
	}()
	return nil
}

// tellUnsettled lets the machine know whether a renewal would cost a redelivery,
// and whether there is something that only a settle visit can answer.
func (a *Agent) tellUnsettled() error {
	u := &a.uplink
	if u.session == nil {
		return nil
	}
	n := u.session.Unsettled()
	u.inSession = u.inSession[max(0, len(u.inSession)-n):]
	if told := [2]int{n, len(u.held)}; told != u.told {
		u.told = told
		return a.perform(u.machine.Step(link.Unsettled{N: n, Owed: len(u.held)}, time.Now()))
	}
	return nil
}
