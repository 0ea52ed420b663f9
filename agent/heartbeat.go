package agent

import (
	"context"
	"time"
)

// heartbeat feeds the service manager's watchdog, and only when the board's
// timer has answered and the loop has come round to hear it: a hang of either
// ends the process.
type heartbeat struct {
	every time.Duration
	at    time.Time // the next beat; zero: nobody watches
}

func (a *Agent) startHeartbeat(now time.Time) {
	// A third of the limit leaves room for one beat that comes late.
	if a.pulse.every = a.o.Notify.Watchdog() / 3; a.pulse.every > 0 {
		a.pulse.at = now
	}
}

// beat asks the board, if it is time to. The question ends with the beat it
// belongs to, so that no more than two are ever out.
func (a *Agent) beat(now time.Time) {
	h := &a.pulse
	if h.at.IsZero() || now.Before(h.at) {
		return
	}
	h.at = now.Add(h.every)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), h.every)
		defer cancel()
		if err := a.o.Board.Ping(ctx); err != nil {
			return // unfed is what the watchdog understands
		}
		a.post(ctx, func() error { a.notify(a.o.Notify.Alive()); return nil })
	}()
}
