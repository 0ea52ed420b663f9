package agent

import (
	"context"
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

// uplink is the session, as package link wants it.
type uplink struct {
	machine    *link.Machine
	session    *mqtt.Session // nil: none
	subscribed bool
	first      bool      // the journal's very first CONNECT is on its way
	unsettled  int       // as last told to the machine
	held       int       // deliveries of this session that are owed a reject
	renewAt    time.Time // when the session is renewed because of them; zero: none is held
	cause      error     // why we close the session, where we do
	ctx        context.Context
	cancel     context.CancelFunc
	giveUp     context.CancelFunc // ends the attempt under way
}

// close ends every goroutine that works for the uplink.
func (u *uplink) close() {
	u.cancel()
	if u.session != nil {
		go u.session.Close()
	}
}

// leave says goodbye to the hub, behind the PUBACKs that are due, and waits no
// longer than leaveWithin for it: a PUBACK that is lost costs a redelivery, which
// the journal answers.
func (u *uplink) leave() {
	if u.session == nil {
		return
	}
	s := u.session
	go s.Close()
	late := time.NewTimer(leaveWithin)
	defer late.Stop()
	select {
	case <-s.Done():
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
		case link.Connect:
			if err := a.intend(); err != nil {
				return err
			}
			a.connect(do.Generation)
		case link.Disconnect:
			a.log.Info("leaving the session", "generation", do.Generation, "why", do.Why)
			if s := a.uplink.session; s != nil && s.Generation() == do.Generation {
				go s.Close()
			} else {
				a.uplink.giveUp() // the attempt that is still under way
			}
		}
	}
	return nil
}

// intend makes durable that a CONNECT is about to be sent, before the first one
// ever is: a session found at the hub later may then be our own.
func (a *Agent) intend() error {
	f := a.journal.LinkFacts()
	if f.Connect != persist.ConnectNever {
		return nil
	}
	f.Connect = persist.ConnectIntended
	a.pending.batch.Link(f)
	a.uplink.first = true
	return a.commit()
}

// connect makes one attempt, outside the loop.
func (a *Agent) connect(generation uint64) {
	expiry := a.now().Add(tokenLife)
	id := a.o.Identity
	ctx, cancel := context.WithTimeout(a.uplink.ctx, connectWithin)
	a.uplink.giveUp = cancel
	go func() {
		defer cancel()
		token := hub.SignSAS(id.HostName+"/devices/"+id.DeviceID, id.Key, "", expiry)
		s, err := a.o.Connect(ctx, generation, token)
		taken := a.post(a.uplink.ctx, func() error { return a.connected(generation, s, err) })
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
	u.session, u.subscribed, u.unsettled, u.cause, u.held, u.renewAt = s, false, 0, nil, 0, time.Time{}
	a.log.Info("session", "generation", s.Generation(), "stored", s.SessionPresent())
	if err := a.judgeHistory(s.SessionPresent()); err != nil {
		return err
	}
	go func() {
		ctx, cancel := context.WithTimeout(u.ctx, connectWithin)
		defer cancel()
		err := s.Subscribe(ctx)
		a.post(u.ctx, func() error { return a.subscribed(s, err) })
	}()
	return a.perform(u.machine.Step(link.Connected{
		Generation: generation, Renew80: now.Add(tokenLife * 80 / 100), Renew95: now.Add(tokenLife * 95 / 100),
	}, now))
}

// judgeHistory reads from the first CONNACK what it says of the past. Without a
// stored session nobody was ever here: nothing was lost. With one, a journal
// was, and is gone; unless an earlier CONNECT of our own may have made it, then
// the doubt stays.
func (a *Agent) judgeHistory(present bool) error {
	f := a.journal.LinkFacts()
	if f.Connect == persist.ConnectAnswered {
		return nil
	}
	f.Connect = persist.ConnectAnswered
	a.pending.batch.Link(f)
	h := a.journal.History()
	wall, trusted := a.o.Clock()
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
	a.uplink.subscribed = true
	a.outbox.more = true
	f := a.journal.LinkFacts()
	f.LastSuback = a.now()
	a.pending.batch.Link(f)
	a.pending.lazily(time.Now())
	a.log.Info("subscribed", "generation", s.Generation())
	a.notify(a.o.Notify.Status("connected over MQTT"))
	return nil
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
	a.log.Warn("session ended", "generation", generation, "cause", hub.CauseOf(err), "error", err)
	s := u.session
	u.session, u.subscribed, u.held, u.renewAt = nil, false, 0, time.Time{}
	a.notify(a.o.Notify.Status("not connected: " + hub.CauseOf(err)))
	go func() {
		s.Close() // returns when the connection is closed: two of ours would take turns in throwing each other out
		a.post(u.ctx, func() error {
			return a.perform(u.machine.Step(link.Lost{Generation: generation, Err: err}, time.Now()))
		})
	}()
	return nil
}

// tellUnsettled lets the machine know whether a renewal would cost a redelivery.
func (a *Agent) tellUnsettled() error {
	u := &a.uplink
	if u.session == nil {
		return nil
	}
	n := u.session.Unsettled()
	if n == u.unsettled {
		return nil
	}
	u.unsettled = n
	return a.perform(u.machine.Step(link.Unsettled{N: n}, time.Now()))
}

// settle answers the hub, or the person at the board. It is called behind the
// commit that the answer rests on.
func (a *Agent) settle(it *item, verb command.Duty) {
	if it.reply != nil {
		it.reply <- Answer{Outcome: a.told(it)}
		return
	}
	s := a.uplink.session
	if s == nil || s.Generation() != it.delivery.Session {
		return // its session is gone: the hub delivers again, and the journal knows the answer
	}
	if verb == command.Complete {
		s.Complete(it.delivery.Seq)
		return
	}
	// MQTT can only complete, and a completion would tell the sender Success.
	// The delivery stays unacknowledged: later ones are carried out, as far as
	// the hub's window reaches, and their completions wait behind it. The settle
	// visits over HTTPS (design §6) are where this changes: they leave the
	// session, reject it there, and return. Until then the session is renewed
	// at the times of those visits, so that what has expired at the hub clears.
	u := &a.uplink
	if u.held++; u.renewAt.IsZero() {
		u.renewAt = time.Now().Add(a.visitEvery())
	}
	a.log.Warn("held at the hub: MQTT cannot reject, and completions behind it wait", "key", string(it.life.Record.Key), "held", u.held)
}

// visitEvery is how far apart sessions are left because of held deliveries.
func (a *Agent) visitEvery() time.Duration {
	return time.Hour / time.Duration(max(a.o.Config.Hub.SettleVisits, 1))
}
