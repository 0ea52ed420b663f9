package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/hub"
	"actuatord/hub/localhub"
	"actuatord/persist"
)

// alarms are what the hub has been told of alarms, as "name state".
func (r *rig) alarms() (all []string) {
	for _, rep := range r.reports() {
		if rep.Kind == command.KindAlarm {
			all = append(all, rep.Alarm+" "+rep.State)
		}
	}
	return all
}

func (p *process) raised() (names []string) {
	for _, a := range p.ask(Request{Verb: AskStatus}).Status.Alarms {
		names = append(names, a.Name)
	}
	return names
}

func TestAlarm(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Minute)
		raisedAt := time.Now()
		p.inLoop(func(a *Agent) {
			a.clear(command.AlarmClock) // which is not raised
			a.raise(command.AlarmUnrejectable, "2 messages")
			a.raise(command.AlarmClock, strings.Repeat("x", 1000))
		})
		settle(time.Minute)
		p.inLoop(func(a *Agent) { a.raise(command.AlarmUnrejectable, "3 messages") })
		settle(time.Minute)
		if got, want := r.alarms(), []string{"unrejectable raised", "clock raised"}; !slices.Equal(got, want) {
			t.Errorf("reported %q; want %q", got, want)
		}
		shown := p.ask(Request{Verb: AskStatus}).Status.Alarms
		if len(shown) != 2 || shown[0].Name != command.AlarmClock || len(shown[0].Detail) > 300 ||
			shown[1] != (Alarm{command.AlarmUnrejectable, "3 messages", raisedAt.UTC()}) {
			t.Errorf("status shows %+v; want both by name, the second as it was raised last", shown)
		}
		p.inLoop(func(a *Agent) { a.clear(command.AlarmUnrejectable); a.clear(command.AlarmUnrejectable) })
		settle(time.Minute)
		if got, want := r.alarms()[2:], []string{"unrejectable cleared"}; !slices.Equal(got, want) {
			t.Errorf("then reported %q; want %q", got, want)
		}
		for _, rep := range r.reports() {
			if rep.Alarm == command.AlarmUnrejectable && rep.State == command.StateRaised && (rep.Detail != "2 messages" || !rep.At.Equal(raisedAt) || rep.Clock == "") {
				t.Errorf("report %+v; want what was said, when it was said", rep)
			}
		}
		if got := p.raised(); !slices.Equal(got, []string{command.AlarmClock}) {
			t.Errorf("status shows %q; want the clock alone", got)
		}
		p.stop()
	})
}

// TestAlarmWithoutJournal: what is raised while there is none is in status at once,
// and is reported behind the start once there is one, dated as it was; what came
// and went in between does not pile up.
func TestAlarmWithoutJournal(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		r.mangle = func(o *Options) {
			open := o.Open
			o.Open = func(ctx context.Context, now time.Time) (*persist.Journal, persist.Opened, error) {
				if broken.Load() {
					return nil, persist.Opened{}, &persist.StorageError{Op: "open", Err: syscall.EIO}
				}
				return open(ctx, now)
			}
		}
		p := r.start()
		settle(time.Second)
		raisedAt := time.Now()
		p.inLoop(func(a *Agent) {
			a.raise(command.AlarmSameID, "dac")
			for range 20 {
				a.raise(command.AlarmClock, "unset")
				a.clear(command.AlarmClock)
			}
			if n := len(a.alarms.untold); n > 4 { // and the storage's own
				t.Errorf("%d reports wait for a journal", n)
			}
		})
		if got := p.raised(); !slices.Contains(got, command.AlarmSameID) || slices.Contains(got, command.AlarmClock) {
			t.Errorf("status shows %q; want that of the board and not the clock", got)
		}
		settle(time.Hour)
		broken.Store(false)
		settle(time.Minute)
		var got []string
		for _, rep := range r.reports() {
			if got = append(got, strings.TrimSpace(rep.Kind+" "+rep.Alarm+" "+rep.State)); rep.Alarm == command.AlarmSameID && !rep.At.Equal(raisedAt) {
				t.Errorf("dated %v; want %v", rep.At, raisedAt)
			}
		}
		got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, command.AlarmStorage) })
		if want := []string{"start", "alarm same-id-elsewhere raised", "alarm clock raised", "alarm clock cleared"}; !slices.Equal(got, want) {
			t.Errorf("reported %q; want %q", got, want)
		}
		p.stop()
	})
}

// TestAlarmOutlivesALostCommit: a batch that came to nothing takes no alarm along.
func TestAlarmOutlivesALostCommit(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		p.agent.events <- func() error {
			a := p.agent
			a.raise(command.AlarmBus, "dac")
			if err := a.journal.Close(); err != nil {
				return err
			}
			err := a.commit()
			if err == nil || len(a.alarms.untold) != 1 {
				t.Errorf("commit: %v, %d alarms left to tell; want an error and one", err, len(a.alarms.untold))
			}
			return err
		}
		<-p.ended
		p.board.Close()
	})
}

// TestHistoryAlarm follows the journal's doubt about itself: raised by a loss and
// at each start, cleared by a person or by age.
func TestHistoryAlarm(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(p *process)
	}{
		{"reset", func(p *process) { p.ask(Request{Verb: AskReset}) }},
		{"age", func(*process) { settle(49 * time.Hour) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
				p := r.start()
				settle(time.Second)
				p.stop()
				r.dir = memoryDir(t) // the card is another
				p = r.start()
				settle(time.Minute)
				p.stop()
				p = r.start()
				settle(time.Minute)
				if got := p.raised(); !slices.Equal(got, []string{command.AlarmHistory}) {
					t.Errorf("raised after a restart: %q", got)
				}
				tt.end(p)
				settle(time.Minute)
				if got := p.raised(); len(got) != 0 {
					t.Errorf("still raised: %q", got)
				}
				if got, want := r.alarms(), []string{"history-lost raised", "history-lost raised", "history-lost cleared"}; !slices.Equal(got, want) {
					t.Errorf("reported %q; want %q", got, want)
				}
				p.stop()
			})
		})
	}
}

// TestBusAlarm: what is out of use for longer than disturbances last needs a
// person, whether line or register, until all has been well for a while.
func TestBusAlarm(t *testing.T) {
	const never = 1 << 30
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Minute)
		break1 := func(n int) {
			p.sim.FailOuts("GPIO27", n, syscall.EIO, false)
			p.sim.FailRequests("GPIO27", n, syscall.EIO)
		}
		break1(never)
		r.send("short", `{"target":"lamp","action":"on"}`)
		settle(50 * time.Second)
		break1(0)
		settle(5 * time.Minute)
		if got := r.alarms(); len(got) != 0 {
			t.Errorf("50 s out of use: reported %q; want no alarm", got)
		}

		break1(never)
		p.sim.FailTransfers("1", never, syscall.ENXIO)
		r.send("long", `{"target":"lamp","action":"on"}`)
		r.send("w", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
		settle(5 * time.Minute)
		shown := p.ask(Request{Verb: AskStatus}).Status.Alarms
		if len(shown) != 1 || shown[0].Name != command.AlarmBus || !strings.HasPrefix(shown[0].Detail, "dac, lamp cannot be used") {
			t.Errorf("status shows %+v; want one alarm that names both", shown)
		}
		break1(0)
		settle(30 * time.Minute)
		shown = p.ask(Request{Verb: AskStatus}).Status.Alarms
		if len(shown) != 1 || !strings.HasPrefix(shown[0].Detail, "dac cannot be used: ") || !strings.Contains(shown[0].Detail, "no acknowledge") {
			t.Errorf("status shows %+v; want the register that is left, and why", shown)
		}
		p.sim.FailTransfers("1", 0, nil)
		r.send("w2", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
		settle(5 * time.Minute)
		if got := p.raised(); len(got) != 1 {
			t.Errorf("after 5 min without a fault %q; want it raised still", got)
		}
		settle(10 * time.Minute)
		if got, want := r.alarms(), []string{"bus raised", "bus cleared"}; !slices.Equal(got, want) {
			t.Errorf("reported %q; want %q", got, want)
		}
		p.stop()
	})
}

// TestLooseContact: a fault that comes and goes for hours does not wear the card.
func TestLooseContact(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Minute)
		for i := range 6 * 20 {
			r.send(fmt.Sprint("m", i), `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
			p.sim.FailTransfers("1", (1-i%2)<<30, syscall.ENXIO)
			settle(3 * time.Minute)
		}
		if n := len(r.alarms()); n == 0 || n > 6*12 {
			t.Errorf("%d reports of alarms in six hours", n)
		}
		p.sim.FailTransfers("1", 0, nil)
		p.stop()
	})
}

// TestStatusAfterAClockStep: what status says of times, it says by the clock as it
// is known now, whatever it was when they were noted.
func TestStatusAfterAClockStep(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		const wrong = 24 * time.Hour
		var synced atomic.Bool
		r.noREST.Store(true) // its Date would tell the time
		r.mangle = func(o *Options) {
			o.Kernel = func() (time.Time, bool) {
				if synced.Load() {
					return time.Now(), true
				}
				return time.Now().Add(wrong), false
			}
			o.Time = func(context.Context, hub.ConnectionString, func() time.Time, bool) (date, arrived time.Time, err error) {
				return time.Time{}, time.Time{}, errors.New("no hub to ask")
			}
		}
		began := time.Now()
		p := r.start()
		settle(time.Minute)
		p.ask(Request{Verb: AskDo, Payload: []byte(`{"target":"pump","action":"on","for":"5m"}`)})
		on := time.Now()
		s := p.ask(Request{Verb: AskStatus}).Status
		if s.Clock.Trusted || !strings.Contains(s.Clock.Why, "no hub to ask") || !s.Now.Equal(on.Add(wrong)) {
			t.Errorf("clock %+v at %v; want it not trusted, and why", s.Clock, s.Now)
		}
		synced.Store(true)
		settle(time.Minute)
		s = p.ask(Request{Verb: AskStatus}).Status
		if !s.Clock.Trusted || s.Clock.Source != "kernel" || !s.Now.Equal(time.Now()) {
			t.Errorf("clock %+v at %v; want it trusted", s.Clock, s.Now)
		}
		if !s.Since.Equal(began) || !s.Outputs[0].Until.Equal(on.Add(5*time.Minute)) || s.Link.Since.After(s.Now) {
			t.Errorf("since %v, pump until %v, link since %v", s.Since, s.Outputs[0].Until, s.Link.Since)
		}
		for _, a := range s.Alarms {
			if a.Since.After(s.Now) {
				t.Errorf("alarm %+v is of the future", a)
			}
		}
		p.stop()
	})
}

// TestAlarmsEnd: an alarm about a link does not outlive its trouble.
func TestAlarmsEnd(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		p := r.start()
		settle(5 * time.Minute)
		r.noLink.Store(true)
		r.pull()
		settle(10 * time.Minute)
		if got := p.raised(); !slices.Contains(got, command.AlarmUnreachable) {
			t.Errorf("raised %q after a poll that got no answer", got)
		}
		r.noLink.Store(false)
		settle(time.Hour)
		if got := p.raised(); len(got) != 0 {
			t.Errorf("raised %q, and the link stands", got)
		}
		p.stop()
	})
	bubble(t, localhub.Options{DefaultTTL: 30 * time.Minute}, func(t *testing.T, r *rig) {
		r.known(t)
		p := r.start()
		settle(5 * time.Minute)
		r.noREST.Store(true)
		r.send("bad", `{"target":"nuke","action":"on"}`)
		settle(20 * time.Minute)
		if got := p.raised(); !slices.Contains(got, command.AlarmUnrejectable) {
			t.Errorf("raised %q while a message is held and 443 is blocked", got)
		}
		settle(3 * time.Hour)
		if got := p.raised(); len(got) != 0 {
			t.Errorf("raised %q, and nothing is held", got)
		}
		p.stop()
	})
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.inject(t, localhub.Fault{Packet: localhub.PacketSubscribe, Effect: localhub.Refuse, Times: -1})
		p := r.start()
		settle(4 * time.Hour)
		s := p.ask(Request{Verb: AskStatus}).Status
		if s.Link.Cause != hub.CauseSubscription || slices.ContainsFunc(s.Alarms, func(a Alarm) bool { return a.Name == command.AlarmSameID }) {
			t.Errorf("link %+v, alarms %+v; want the refused SUBSCRIBE, and no other device suspected", s.Link, s.Alarms)
		}
		p.stop()
	})
	// A poll that was answered and refused says what it was answered.
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		r.known(t)
		r.noMQTT.Store(true)
		r.inject(t, localhub.Fault{Packet: localhub.PacketHTTPReceive, Effect: localhub.Refuse, Code: 429, Times: -1, Retry: 10 * time.Minute})
		p := r.start()
		settle(10 * time.Minute)
		if a := p.ask(Request{Verb: AskStatus}).Status.Alarms; len(a) != 1 || !strings.Contains(a[0].Detail, "429") {
			t.Errorf("alarms %+v; want the answer in it", a)
		}
		p.stop()
	})
}
