package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/localhub"
	"actuatord/persist"
)

// TestSoak: an agent that has one hard day after the other holds no more at the end
// of a late day than at that of an early one: nothing in its own maps and slices, no
// goroutine, no file, no heap, and a day makes no more lines in the log.
func TestSoak(t *testing.T) {
	days, stride := 6, 1
	if testing.Short() {
		days, stride = 5, 7
	}
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.fill(t, 1500) // the journal keeps its newest 1000 whatever their age: it is at its level from here on
		s := &soak{rig: r, stride: stride, reload: make(chan Reload)}
		r.mangle = func(o *Options) {
			o.Reload = s.reload
			o.Open = func(ctx context.Context, now time.Time) (*persist.Journal, persist.Opened, error) {
				return persist.Open(ctx, r.journal(), persist.Identity{Hub: "localhost", Device: r.device.ID}, now, persist.Options{Volatile: true, Keep: persist.MinKeep})
			}
		}
		s.p = r.start()
		held := newCensus(days)
		for s.day = range days {
			s.live()
			s.count(held)
		}
		for _, fault := range held.grown(settlingDays) {
			t.Error(fault)
		}
		s.p.stop()
		s.hub.Close()
	})
}

// settlingDays are the first, which are not held against the later ones: what the
// journal keeps for 48 h, and what a program allocates once, is not there before.
const settlingDays = 2

// A soak is one agent through many days. Each day has the same troubles.
type soak struct {
	*rig
	p      *process
	day    int
	stride int // of the hub's faults, each such one is injected in a day
	reload chan Reload
}

func (s *soak) put(name, body string, edit ...func(*hub.Message)) {
	s.send(fmt.Sprintf("%s-%d", name, s.day), body, edit...)
}

func within(d time.Duration) func(*hub.Message) {
	return func(m *hub.Message) { m.Expiry = time.Now().Add(d) }
}

const (
	soakOn     = `{"target":"pump","action":"on","for":"2s"}`
	soakToggle = `{"target":"lamp","action":"toggle"}`
	soakPulse  = `{"target":"valve-2","action":"pulse","for":"4s"}`
	soakWrite  = `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`
	soakNo     = `{"target":"nuke","action":"on"}`
)

// live is one day. It ends in quiet hours, with all done and told.
func (s *soak) live() {
	begun := time.Now()
	for _, part := range []func(){
		s.everyOutcome, s.byPeople, s.withoutLink, s.withoutMQTT, s.withoutHTTPS, s.withoutLamp, s.endingSessions, s.everyFault,
	} {
		part()
	}
	settle(2 * time.Hour)
	s.wantTold()
	s.anotherHub()
	settle(time.Until(begun.Add(24 * time.Hour)))
}

// everyOutcome has commands done, refused, failed and interrupted, and garbage.
func (s *soak) everyOutcome() {
	for n := range 20 {
		s.put(fmt.Sprint("on-", n), soakOn)
	}
	settle(time.Minute)
	s.put("toggle", soakToggle)
	s.put("toggle", soakToggle) // seen before
	s.put("pulse", soakPulse)
	s.put("write", soakWrite)
	s.send("", `{"target":"pump","action":"on"}`)
	s.put("safe", `{"target":"all","action":"safe"}`)
	s.put("read", `{"target":"all","action":"read"}`)
	settle(time.Minute)
	for n, garbage := range []string{"\x00\xff{{{", strings.Repeat(" ", 65000), `[]`, soakNo, `{"target":"pump","action":"on","for":"2h"}`} {
		s.put(fmt.Sprint("garbage-", n), garbage)
		s.send("", garbage)
	}
	s.put("late", `{"target":"valve-1","action":"on"}`, sent(time.Now().Add(-time.Hour)))
	settle(20 * time.Minute)
	s.p.sim.FailTransfers("1", 1000, syscall.ENXIO)
	s.put("nack", soakWrite)
	settle(time.Minute)
	s.p.sim.FailTransfers("1", 0, nil)
	s.p.sim.FailOuts("GPIO27", 1, syscall.EIO, true)
	s.put("torn", soakToggle)
	settle(10 * time.Minute)
}

// byPeople is what is asked at the control socket, and a new key.
func (s *soak) byPeople() {
	s.p.ask(Request{Verb: AskDo, Payload: []byte(soakOn)})
	s.p.ask(Request{Verb: AskSafe})
	s.p.ask(Request{Verb: AskHistory, Count: 10})
	done := make(chan error, 1)
	s.reload <- Reload{hub.ConnectionString{HostName: "localhost", DeviceID: s.device.ID, Key: s.device.Secondary}, done}
	if err := <-done; err != nil {
		s.t.Errorf("day %d: reload: %v", s.day, err)
	}
	settle(10 * time.Minute)
}

// withoutLink has the network away while messages are delivered, wait and expire.
func (s *soak) withoutLink() {
	s.put("unsettled", soakPulse)
	s.send("", `{"target":"lamp","action":"on"}`)
	settle(time.Second)
	s.noLink.Store(true)
	s.pull()
	for n := range 9 {
		settle(10 * time.Minute)
		s.put(fmt.Sprint("brief-", n), soakToggle, within(15*time.Minute))
		s.put(fmt.Sprint("bad-", n), soakNo)
		s.p.ask(Request{Verb: AskDo, Payload: []byte(soakOn)})
	}
	s.noLink.Store(false)
	settle(30 * time.Minute)
}

// withoutMQTT lives on polls, of which some find HTTPS closed too, and then on 443.
func (s *soak) withoutMQTT() {
	s.noMQTT.Store(true)
	s.pull()
	for n := range 3 {
		s.put(fmt.Sprint("polled-", n), soakToggle)
		s.put(fmt.Sprint("polled-bad-", n), soakNo)
		s.put(fmt.Sprint("polled-write-", n), soakWrite)
		if n == 1 {
			s.p.sim.FailTransfers("1", 1000, syscall.ENXIO) // and abandoned
		}
		settle(30 * time.Minute)
		s.p.sim.FailTransfers("1", 0, nil)
	}
	s.noREST.Store(true)
	settle(time.Hour)
	s.noREST.Store(false)
	s.no8883.Store(true)
	s.noMQTT.Store(false)
	settle(time.Hour)
	s.no8883.Store(false)
	s.pull()
	settle(20 * time.Minute)
}

// withoutHTTPS cannot reject: what is refused blocks the queue until it has expired.
func (s *soak) withoutHTTPS() {
	s.noREST.Store(true)
	for n := range 6 {
		s.put(fmt.Sprint("stays-", n), soakNo, within(time.Duration(5*(n+1))*time.Minute))
	}
	s.send("", "garbage that expires", within(20*time.Minute))
	s.put("behind", soakToggle)
	settle(time.Hour)
	s.noREST.Store(false)
	settle(2 * time.Hour)
}

// withoutLamp has a line out of use for longer than disturbances last.
func (s *soak) withoutLamp() {
	const never = 1 << 30
	s.p.sim.FailOuts("GPIO27", never, syscall.EIO, false)
	s.p.sim.FailRequests("GPIO27", never, syscall.EIO)
	s.put("dead", `{"target":"lamp","action":"on"}`)
	settle(5 * time.Minute)
	s.p.sim.FailOuts("GPIO27", 0, nil, false)
	s.p.sim.FailRequests("GPIO27", 0, nil)
	settle(20 * time.Minute)
}

// endingSessions ends sessions early, at reports and for good.
func (s *soak) endingSessions() {
	for n := range 10 {
		s.put(fmt.Sprint("early-", n), soakOn)
		settle(10 * time.Second)
		s.pull()
	}
	settle(30 * time.Minute)
	s.inject(s.t, localhub.Fault{Packet: localhub.PacketTelemetry, Effect: localhub.DropBefore, Times: 5})
	s.put("spited", soakOn)
	settle(2 * time.Hour)
	s.hub.Restart(time.Minute)
	settle(20 * time.Minute)
	if err := s.hub.ForgetSession(s.device.ID); err != nil {
		s.t.Fatal(err)
	}
	settle(20 * time.Minute)
}

// everyFault is each that the hub knows, with a command on its way.
func (s *soak) everyFault() {
	n := 0
	for _, p := range localhub.Packets() {
		for _, e := range localhub.Effects() {
			f := localhub.Fault{Packet: p, Effect: e}
			if e == localhub.Delay || e == localhub.BlackHole || e == localhub.Stall {
				f.For = 2 * time.Second
			}
			if n++; n%s.stride != 0 || s.hub.Inject(f) != nil { // there is no such fault
				continue
			}
			s.put(fmt.Sprint("fault-", n), soakOn)
			if n%3 == 0 {
				s.put(fmt.Sprint("fault-no-", n), soakNo)
			}
			settle(2 * time.Minute)
			s.hub.ClearFaults("")
		}
	}
}

// wantTold holds the day to its troubles: one without them would prove nothing.
func (s *soak) wantTold() {
	told := map[string]bool{}
	for _, rep := range s.reports() {
		told[rep.Kind+" "+rep.Outcome+rep.Alarm+rep.State] = true
	}
	want := []string{"outcome done", "outcome refused", "outcome failed", "outcome interrupted"}
	for _, alarm := range []string{command.AlarmNoSession, command.AlarmUnreachable, command.AlarmUnrejectable, command.AlarmBus, command.AlarmSameID} {
		want = append(want, "alarm "+alarm+command.StateRaised, "alarm "+alarm+command.StateCleared)
	}
	want = slices.DeleteFunc(want, func(w string) bool { return told[w] })
	if left := s.hub.Queue(s.device.ID); len(want) > 0 || len(left) > 0 {
		s.t.Errorf("day %d: told of %q, and never of %q; %d messages left at the hub", s.day, slices.Sorted(maps.Keys(told)), want, len(left))
	}
}

// anotherHub puts a new hub in the place of the one that remembers the day, and
// forgets the rig's own record of it: the heap holds the agent's days only.
func (s *soak) anotherHub() {
	s.noLink.Store(true)
	s.pull()
	s.hub.Close()
	synctest.Wait()
	s.hub = localhub.New(localhub.Options{})
	if err := s.hub.PutDevice(s.device); err != nil {
		s.t.Fatal(err)
	}
	s.edgesMu.Lock()
	s.edges = nil
	s.edgesMu.Unlock()
	s.noLink.Store(false)
}
