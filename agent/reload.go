package agent

import (
	"context"
	"fmt"
	"time"

	"actuatord/hub"
	"actuatord/hub/link"
	"actuatord/persist"
)

// checkWithin bounds the question whether the hub takes a new key: one request.
const checkWithin = 20 * time.Second

// reload takes up a changed connection string: the next session and the next
// request are signed with it. Nothing in hand is touched. A key that the hub says it
// does not know is not taken up: the old one may be all that still reaches this
// device.
func (a *Agent) reload(r Reload) error {
	u := &a.uplink
	if r.Identity.HostName != u.identity.HostName || r.Identity.DeviceID != u.identity.DeviceID {
		r.Done <- fmt.Errorf("the connection string is for device %s at %s, and the journal is for %s at %s: restart the service to take it up, with a new journal; what the old one has not told its hub yet stays in it",
			r.Identity.DeviceID, r.Identity.HostName, u.identity.DeviceID, u.identity.HostName)
		return nil
	}
	if a.o.CheckKey == nil || !a.clock.Trusted() { // a token by a wrong clock is refused for any key
		return a.takeUp(r)
	}
	at, token := a.at(), a.sign(r.Identity)
	go func() {
		ctx, cancel := context.WithTimeout(u.ctx, checkWithin)
		defer cancel()
		err := a.o.CheckKey(ctx, r.Identity, at, token)
		a.post(u.ctx, func() error {
			if status, _ := said(err); status.Status == 401 {
				r.Done <- fmt.Errorf("the hub does not take the new connection string: %w", err)
				return nil
			}
			return a.takeUp(r)
		})
	}()
	return nil
}

// takeUp puts a connection string into use.
func (a *Agent) takeUp(r Reload) error {
	u := &a.uplink
	u.identity = r.Identity
	if a.facts.FirstDrains > 0 {
		a.note(func(f *persist.LinkFacts) { f.FirstDrains = 0 })
		a.pending.lazily(time.Now())
	}
	if u.drain != nil {
		u.drain.token = a.token()
	}
	r.Done <- nil
	a.log.Info("a new connection string is in use")
	if !u.started {
		return nil
	}
	return a.perform(u.machine.Step(link.Credentials{}, time.Now()))
}

// token signs for everything that belongs to the device, for tokenLife from now.
func (a *Agent) token() string { return a.sign(a.uplink.identity) }

func (a *Agent) sign(id hub.ConnectionString) string {
	return hub.SignSAS(hub.Resource(id.HostName, id.DeviceID), id.Key, "", a.now().Add(tokenLife))
}
