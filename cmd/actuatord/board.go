package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"actuatord/agent/config"
	"actuatord/board/linux"
)

// runBoard shows what this board has and who uses it. It works without a
// configuration, beside a daemon, and as a user of the groups gpio and i2c. Nothing
// moves by it; only --scan says anything on a bus.
func runBoard(args []string, e env) error {
	f := newFlags("board")
	asJSON := f.Bool("json", false, "as JSON")
	scan := f.Bool("scan", false, "read one byte at every address of a bus")
	only := f.Int("bus", -1, "this bus only")
	if err := f.noWords(args); err != nil {
		return err
	}
	w, err := f.wiring(e)
	if err != nil {
		return err
	}
	used := wired(w.Profile)
	if w.Board.Driver == config.DriverSim {
		used = nil // its lines are somewhere else
	}
	s := e.hardware().look(used)
	if f.given("bus") {
		if s.Buses, err = pick(s.Buses, *only); err != nil {
			return err
		}
	}
	var scanErr error
	if *scan {
		if scanErr = scanBus(s.Buses, w, e); errors.As(scanErr, new(*usageError)) {
			return scanErr
		}
	}
	switch {
	case *asJSON:
		err = printJSON(e.out, s)
	default:
		err = drawing{w: plain{e.out}, width: terminalWidth(e)}.board(s, !f.given("bus"))
	}
	unread := slices.ContainsFunc(s.Chips, func(c linux.Chip) bool { return c.Fault != "" })
	if err = errors.Join(err, scanErr); err == nil && unread {
		err = &exitError{exitFailed}
	}
	return err
}

// wiring is what the configuration uses, as far as it can be read. Where nobody named
// one it is no fault that there is none, or that this user may not read it.
func (f *flags) wiring(e env) (config.Wiring, error) {
	w, err := config.LoadOutputs(f.config)
	if err == nil || f.given("config") {
		return w, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(plain{e.err}, "actuatord: what the configuration uses is not marked: %v\n", err)
	}
	return config.Wiring{}, nil
}

func pick(buses []linux.Bus, number int) ([]linux.Bus, error) {
	i := slices.IndexFunc(buses, func(b linux.Bus) bool { return b.Number == number })
	if i < 0 {
		return nil, &usageError{fmt.Errorf("--bus %d: there is no such bus; %s", number, busesThere(buses))}
	}
	return buses[i : i+1], nil
}

func busesThere(buses []linux.Bus) string {
	if len(buses) == 0 {
		return noBuses
	}
	text := "there are"
	for _, b := range buses {
		text += fmt.Sprintf(" %d (%s)", b.Number, b.Adapter)
	}
	return text
}

// scanWarning comes before anything is said on a bus.
const scanWarning = "actuatord: bus %d: one byte is read at every address from 0x08 to 0x77, but not where a driver of the kernel is. " +
	"That disturbs a device whose reading has an effect (a FIFO, a status that clears itself), and one that knows no reading may hold the bus until its power goes.\n"

// scanPatience bounds a scan. At 100 kHz it takes 30 ms; three timeouts, after which
// it ends by itself, 1.2 s. What takes longer hangs in the kernel.
const scanPatience = 15 * time.Second

// scanBus scans one bus and notes what answered: the one that is named, or the only
// one. On a bus that nobody named there may be a monitor or the board's own parts.
func scanBus(buses []linux.Bus, w config.Wiring, e env) error {
	if len(buses) != 1 {
		return &usageError{fmt.Errorf("--scan needs --bus N; %s", busesThere(buses))}
	}
	b := &buses[0]
	fmt.Fprintf(e.err, scanWarning, b.Number)
	type result struct {
		answers []linux.Answer
		err     error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = e.hardware().scan(b.Number, func(a linux.Answer) { r.answers = append(r.answers, a) })
		done <- r
	}()
	select {
	case r := <-done:
		b.Scanned, b.Addresses = r.err == nil, r.answers
		for i, a := range b.Addresses {
			for _, t := range w.Profile.Registers {
				if t.Bus == strconv.Itoa(b.Number) && fmt.Sprintf("0x%02x", t.Address) == a.Address && w.Board.Driver != config.DriverSim {
					b.Addresses[i].Target = t.Name
				}
			}
		}
		return r.err
	case <-time.After(scanPatience):
		return fmt.Errorf("bus %d: the scan did not come back within %v: its adapter hangs", b.Number, scanPatience)
	}
}
