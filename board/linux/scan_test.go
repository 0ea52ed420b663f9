package linux

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"actuatord/board"
)

func scanned(m *machine, bus int) ([]string, error) {
	var found []string
	err := newDriver(m.kernel()).scan(bus, func(a Answer) {
		found = append(found, strings.TrimSpace(fmt.Sprint(a.Address, " ", a.State, " ", a.Driver, a.Fault)))
	})
	return found, err
}

// TestScan: each address that a device may have is asked for one byte, once; those of
// kernel drivers are not, and nothing is written.
func TestScan(t *testing.T) {
	m := busy()
	a := m.adapters["/dev/i2c-1"]
	found, err := scanned(m, 1)
	want := []string{"0x20 answers", "0x60 answers", "0x68 driver rtc-ds1307"}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("%q, %v; want %q", found, err, want)
	}
	var asked []int
	for address := 0x08; address <= 0x77; address++ {
		if address != 0x68 {
			asked = append(asked, address)
		}
	}
	if !slices.Equal(a.asked, asked) {
		t.Errorf("asked %#x; want each from 0x08 to 0x77 but 0x68, once", a.asked)
	}
	for address, device := range a.devices {
		if len(device) != 0 {
			t.Errorf("%#x was written: %v", address, device)
		}
	}
	if len(m.open) != 0 {
		t.Errorf("%d descriptors are open", len(m.open))
	}
}

// TestScanEnds: a bus that something holds is given up after three timeouts; what is
// no timeout is said and passed.
func TestScanEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		fail  error
		asked int
		found int
		says  string
	}{
		{"held down", unix.ETIMEDOUT, 3, 2, "given up at 0x0a: 3 addresses ran into the timeout"},
		{"arbitration lost", unix.EAGAIN, 0x78 - 0x08 - 1, 0x78 - 0x08, ""}, // and one driver's
		{"nobody there", unix.EREMOTEIO, 0x78 - 0x08 - 1, 1, ""},
	} {
		m := busy()
		a := m.adapters["/dev/i2c-1"]
		a.fail = c.fail
		found, err := scanned(m, 1)
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || !errors.Is(err, c.fail)) {
			t.Errorf("%s: %v; want %q", c.name, err, c.says)
		}
		if len(a.asked) != c.asked || len(found) != c.found {
			t.Errorf("%s: %d asked, found %q; want %d and %d", c.name, len(a.asked), found, c.asked, c.found)
		}
	}
}

func TestScanOfNoBus(t *testing.T) {
	var e *board.BusError
	if _, err := scanned(busy(), 7); !errors.As(err, &e) || e.Fault != board.NotSupported {
		t.Errorf("an SMBus: %v", err)
	}
	if _, err := scanned(busy(), 20); !errors.As(err, &e) || e.Fault != board.NoSuchBus {
		t.Errorf("a bus without its device: %v", err)
	}
	m := busy()
	m.adapters["/dev/i2c-1"].refuse = unix.EACCES
	if _, err := scanned(m, 1); err == nil || !strings.Contains(err.Error(), "group i2c") {
		t.Errorf("without permission: %v", err)
	}
}
