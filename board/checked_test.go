package board_test

import (
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
	"actuatord/board/sim"
)

// forgetful is the simulated board with pins whose hardware can lose its level.
type forgetful struct {
	*sim.Driver
	mu    sync.Mutex
	err   error // what the next checks answer
	asked []time.Time
}

func (d *forgetful) answers(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.asked = err, nil
}

type checkedPin struct {
	gpio.PinIO
	io.Closer
	d *forgetful
}

func (p *checkedPin) Check() error {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.d.asked = append(p.d.asked, time.Now())
	return p.d.err
}

func (d *forgetful) Output(spec board.LineSpec, l gpio.Level) (gpio.PinIO, error) {
	p, err := d.Driver.Output(spec, l)
	if err != nil {
		return nil, err
	}
	return &checkedPin{PinIO: p, Closer: p.(io.Closer), d: d}, nil
}

// TestCheckedPinIsAsked every five seconds while its level is believed, and not
// while it is unknown: then it is driven safe each second anyhow.
func TestCheckedPinIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := sim.New("")
		if err != nil {
			t.Fatal(err)
		}
		d := &forgetful{Driver: s}
		b := board.Open(pump(), d, nil)
		start := time.Now()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		var at []time.Duration
		for _, a := range d.asked {
			at = append(at, a.Sub(start))
		}
		if want := []time.Duration{5e9, 10e9, 15e9, 20e9}; !slices.Equal(at, want) {
			t.Errorf("asked at %v; want %v", at, want)
		}
		d.answers(errIO)
		s.FailOuts("GPIO17", 1<<20, errIO, false)
		s.FailRequests("GPIO17", 1<<20, errIO)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(d.asked) != 1 || b.Levels()["pump"] != board.Unknown {
			t.Errorf("asked %d times, level %v; want it tripped, and asked once", len(d.asked), b.Levels()["pump"])
		}
		b.Close()
	})
}

// TestCheckedPinTrips: an output whose hardware is not as it was left is unknown,
// is driven safe, and both are told with the command that had left it on; it does
// not go back by itself.
func TestCheckedPinTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := sim.New("")
		if err != nil {
			t.Fatal(err)
		}
		d := &forgetful{Driver: s}
		b := board.Open(pump(), d, nil)
		done := make(chan board.Result, 1)
		b.Do(on("pump", time.Hour), done)
		<-done
		d.answers(&board.BusError{Bus: "1", Fault: board.Mismatch})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		d.answers(nil)
		trip, safe := <-b.Changes(), <-b.Changes()
		if trip.Cause != board.CauseTrip || trip.Level != board.Unknown || trip.By != "m-on" || !errors.As(trip.Err, new(*board.BusError)) {
			t.Errorf("first change %+v; want the trip", trip)
		}
		if safe.Cause != board.CauseSafe || safe.Level != board.Off || safe.By != "m-on" || safe.Err != nil {
			t.Errorf("second change %+v; want it safe", safe)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if on, _ := s.Level("GPIO17"); on || b.Faults() != nil || len(b.Changes()) != 0 {
			t.Errorf("on=%v, faults %v, %d changes two hours later", on, b.Faults(), len(b.Changes()))
		}
		b.Close()
	})
}
