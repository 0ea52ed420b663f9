package main

import (
	"context"
	"errors"
	"time"

	"actuatord/hub/localhub"
)

// queueful is the backlog: all that a hub keeps for a device.
const queueful = 50

// gathering is how long the hub holds back the first delivery of a backlog, and so
// all behind it. Queueing 50 messages takes it a millisecond or two; half of this
// would do, and the backlog is refused below if it ever does not.
const gathering = 200 * time.Millisecond

// haul is 50 commands: how long from the first delivery to the last PUBACK, and what
// was written meanwhile.
type haul struct {
	span float64 // ms
	account
}

// hauls are a program's, a round each.
type hauls struct{ waiting, singly []haul }

// backlog: 50 commands that are already there, and 50 that come one by one. The peer
// takes part twice, the second time with a socket that does not hold back its
// PUBACKs (peer.js); a target is judged by the first, which is what one would write.
func (b *bench) backlog(ctx context.Context) error {
	rivals, err := b.pair("backlog") // without a trace: its pages would count as written
	if err != nil {
		return err
	}
	prompt, err := b.peer("backlog-prompt", "nodelay")
	if err != nil {
		return err
	}
	if prompt != nil {
		rivals = append(rivals, prompt)
	}
	for _, v := range rivals {
		if err := v.remember(ctx, remembered); err != nil {
			return err
		}
	}
	ps, err := b.startAll(ctx, rivals)
	if err != nil {
		return err
	}
	defer endAll(ps)
	all := make([]hauls, 3)
	for round := range b.rounds + 1 {
		for n, p := range ps {
			w, err := p.haul(ctx, p.allAtOnce)
			if err != nil {
				return err
			}
			s, err := p.haul(ctx, p.oneByOne)
			if err != nil {
				return err
			}
			if round > 0 { // the first warms up
				all[n].waiting, all[n].singly = append(all[n].waiting, w), append(all[n].singly, s)
			}
		}
	}
	b.tellBacklog(all[0], all[1], all[2])
	return nil
}

func (p *process) haul(ctx context.Context, send func(context.Context) ([]asked, []trip, error)) (haul, error) {
	before, err := p.account(ctx)
	if err != nil {
		return haul{}, err
	}
	all, trips, err := send(ctx)
	if err != nil {
		return haul{}, err
	}
	// Before the reports are waited for: what takes them out of the outbox later is
	// not part of it.
	after, err := p.account(ctx)
	if err != nil {
		return haul{}, err
	}
	span := trips[len(trips)-1].settled.Sub(trips[0].delivered)
	return haul{ms(span), after.since(before)}, p.rest(ctx, all)
}

func (p *process) oneByOne(ctx context.Context) (all []asked, trips []trip, err error) {
	for i := range queueful {
		a, err := p.send(onOff(i))
		if err != nil {
			return nil, nil, err
		}
		t, err := p.settle(ctx, a)
		if err != nil {
			return nil, nil, err
		}
		all, trips = append(all, a), append(trips, t)
	}
	return all, trips, nil
}

// allAtOnce has the hub hold 50 commands and write them back to back, as it does
// when a device comes back.
func (p *process) allAtOnce(ctx context.Context) (all []asked, trips []trip, err error) {
	hold := localhub.Fault{Device: p.device.ID, Packet: localhub.PacketDelivery, Effect: localhub.Delay, For: gathering}
	if err := p.rig.hub.Inject(hold); err != nil {
		return nil, nil, err
	}
	for i := range queueful {
		a, err := p.send(onOff(i))
		if err != nil {
			return nil, nil, err
		}
		all = append(all, a)
	}
	queued := time.Now()
	for _, a := range all {
		t, err := p.settle(ctx, a)
		if err != nil {
			return nil, nil, err
		}
		trips = append(trips, t)
	}
	if trips[0].delivered.Before(queued) {
		return nil, nil, errors.New("queueing the backlog took longer than the hub held it back: this machine is too busy to measure")
	}
	return all, trips, nil
}

// each takes one figure out of every round.
func each(all []haul, get func(haul) float64) []float64 {
	var values []float64
	for _, h := range all {
		values = append(values, get(h))
	}
	return values
}

func span(h haul) float64         { return h.span }
func transactions(h haul) float64 { return float64(h.commits) }
func flushes(h haul) float64      { return float64(h.commits) / queueful }
func kib(h haul) float64          { return float64(h.written()) / queueful / 1024 }

func (b *bench) tellBacklog(ours, peer, prompt hauls) {
	r := &b.report
	cell := func(all []haul, get func(haul) float64, unit string) string {
		if len(all) == 0 {
			return none
		}
		return over(each(all, get)).in(unit)
	}
	for _, c := range []struct {
		name               string
		ours, peer, prompt []haul
	}{{"backlog of 50", ours.waiting, peer.waiting, prompt.waiting}, {"50 one by one", ours.singly, peer.singly, prompt.singly}} {
		r.row(c.name+": first delivery → last settled", cell(c.ours, span, " ms"), cell(c.peer, span, " ms"), "")
		r.row("… peer with TCP_NODELAY", "", cell(c.prompt, span, " ms"), "")
		r.row("… transactions", cell(c.ours, transactions, ""), "", "")
		r.row("… fdatasync a command (one a transaction, two where it is bbolt's)", cell(c.ours, flushes, ""), cell(c.peer, func(haul) float64 { return 1 }, ""), "") // one for each, by its text
		r.row("… written a command", cell(c.ours, kib, " KiB"), cell(c.peer, kib, " KiB"), "")
	}
	r.atMost("backlog of 50: transactions", over(each(ours.waiting, transactions)).median, 5, "")
	r.atMost("backlog of 50: written a command", over(each(ours.waiting, kib)).median, 2, " KiB")
	if len(peer.waiting) > 0 {
		rate := ratios(each(peer.waiting, span), each(ours.waiting, span))
		r.atLeast("backlog of 50: rate / the peer's", rate.median, 5, "")
		r.row("backlog of 50: rate / the peer's", rate.in("×"), "1", "")
		r.row("… / the peer's with TCP_NODELAY", ratios(each(prompt.waiting, span), each(ours.waiting, span)).in("×"), "1", "")
	}
	r.remark("A backlog: the hub holds the first delivery back for %v while 50 are queued (window 50), then writes them back to back.", gathering)
}
