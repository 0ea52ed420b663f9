package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"actuatord/hub/localhub"
)

// outage makes trouble for all devices at once.
type outage struct {
	r    *run
	draw *rand.Rand
}

func newOutage(r *run) *outage {
	return &outage{r: r, draw: rand.New(rand.NewPCG(r.seed, 'o'))}
}

// make makes one outage after the other until ctx ends. What each breaks it puts
// right before it returns.
func (o *outage) make(ctx context.Context) {
	calm := 12 * time.Second
	if o.r.long() {
		calm = time.Minute
	}
	for pause(ctx, time.Duration(o.draw.Int64N(int64(2*calm)))) {
		o.r.tally.fail(o.one(ctx))
	}
}

func (o *outage) one(ctx context.Context) error {
	site, some := o.r.site, time.Duration(500+o.draw.IntN(5000))*time.Millisecond
	if o.r.soak {
		some *= 10
	}
	switch o.draw.IntN(6) {
	case 0:
		o.r.tally.count("hub restarted")
		site.hub.Restart(some / 2)
	case 1:
		o.r.tally.count("8883 closed")
		return closed(ctx, some, site.mqtt)
	case 2:
		o.r.tally.count("443 closed")
		return closed(ctx, some, site.web)
	case 3:
		o.r.tally.count("both ports closed")
		return closed(ctx, some, site.mqtt, site.web)
	case 4:
		o.r.tally.count("the hub's date wrong")
		site.ahead.Store(int64(time.Duration(1+o.draw.IntN(40)) * time.Minute))
		pause(ctx, 2*some)
		site.ahead.Store(0)
	case 5:
		o.r.tally.count("443 answers badly")
		f := localhub.Fault{Packet: localhub.PacketHTTPS, Effect: []localhub.Effect{localhub.DropBefore, localhub.Stall, localhub.BlackHole}[o.draw.IntN(3)], Times: 1 + o.draw.IntN(4)}
		if f.Effect != localhub.DropBefore {
			f.For = 2 * time.Second
		}
		if err := site.hub.Inject(f); err != nil {
			return err
		}
		pause(ctx, some)
		site.hub.ClearFaults("")
	}
	return nil
}

func closed(ctx context.Context, d time.Duration, ports ...*port) error {
	var errs []error
	for _, p := range ports {
		errs = append(errs, p.shut())
	}
	pause(ctx, d)
	for _, p := range ports {
		errs = append(errs, p.open())
	}
	return errors.Join(errs...)
}
