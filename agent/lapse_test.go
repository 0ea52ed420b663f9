package agent

import (
	"syscall"
	"testing"
	"time"
)

// TestAPermitThatLapsed: a command that is being tried again, and one that waits in
// line, do not begin to act because somebody lets go of the emergency stop.
func TestAPermitThatLapsed(t *testing.T) {
	permitting(t, func(t *testing.T, r *rig) {
		p := r.start()
		p.sim.Drive("GPIO5", true)
		settle(time.Second)
		p.sim.FailOuts("GPIO17", 1, syscall.EIO, false)
		r.send("again", onPump) // and once more, after a pause
		settle(50 * time.Millisecond)
		p.sim.Drive("GPIO5", false)
		settle(50 * time.Millisecond)
		p.sim.Drive("GPIO5", true)
		settle(time.Minute)
		r.expect(t, "again", "failed not-permitted")
		r.send("pulse", `{"target":"lamp","action":"pulse","for":"2s"}`)
		r.send("behind", onPump)
		settle(100 * time.Millisecond)
		p.sim.Drive("GPIO5", false)
		settle(100 * time.Millisecond)
		p.sim.Drive("GPIO5", true)
		settle(time.Minute)
		r.expect(t, "pulse", "done", "lamp on", "lamp off")
		r.expect(t, "behind", "refused not-permitted")
		r.send("new", onPump)
		settle(time.Second)
		r.expect(t, "new", "done", "pump on")
		p.stop()
	})
}
