package linux

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"actuatord/board"
)

// TestLocate: looking for a line takes nothing and moves nothing; a daemon that
// runs does not make its own lines look busy.
func TestLocate(t *testing.T) {
	m, d := pi()
	if at, err := d.locate("GPIO17"); err != nil || at != "pinctrl-rp1:2" {
		t.Errorf("locate: %q, %v", at, err)
	}
	if w := m.chips["/dev/gpiochip0"].lines[2]; w.edges != nil || w.consumer != "" || len(m.open) != 0 {
		t.Errorf("the line after it: %+v, %d descriptors open", w, len(m.open))
	}
	if _, err := d.Output(spec("GPIO17"), gpio.Low); err != nil {
		t.Fatal(err)
	}
	if _, err := d.locate("GPIO17"); err != nil {
		t.Errorf("locate our own: %v", err)
	}
	m.chips["/dev/gpiochip0"].lines[1].consumer = "w1"
	var e *board.LineError
	if _, err := d.locate("GPIO4"); !errors.As(err, &e) || e.Fault != board.LineBusy || e.Holder != "w1" {
		t.Errorf("locate somebody else's: %v; want it busy by w1", err)
	}
	if _, err := d.locate("GPIO99"); !errors.As(err, &e) || e.Fault != board.NoSuchLine {
		t.Errorf("locate what is not there: %v; want no such line", err)
	}
	m.chips["/dev/gpiochip0"].refuse = unix.EACCES
	if _, err := d.locate("GPIO17"); !errors.As(err, &e) || e.Fault != board.LinePermission {
		t.Errorf("locate without permission: %v", err)
	}
}

func TestFindBusOnThisMachine(t *testing.T) {
	var e *board.BusError
	if err := FindBus("65535"); !errors.As(err, &e) || e.Fault != board.NoSuchBus {
		t.Errorf("a bus that is not there: %v; want no such bus", err)
	}
}

// TestAfterExit: what the kernel says wins over what the model suggests, and in
// each case the wiring is named.
func TestAfterExit(t *testing.T) {
	for _, c := range []struct{ model, persist, says string }{
		{"Raspberry Pi 4 Model B Rev 1.4", "Y", "keeps a line's last level"},
		{"Raspberry Pi 4 Model B Rev 1.4", "N", "makes a line an input"},
		{"Raspberry Pi 4 Model B Rev 1.4", "", "Raspberry Pi OS keeps"},
		{"", "", "most kernels make a line an input"},
	} {
		if got := afterExit(c.model, c.persist); !strings.Contains(got, c.says) || !strings.Contains(got, "wiring must pull") {
			t.Errorf("afterExit(%q, %q) = %q; want it to say %q", c.model, c.persist, got, c.says)
		}
	}
	if AfterExit() == "" {
		t.Error("nothing is said about this machine")
	}
}
