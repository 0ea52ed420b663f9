package main

import (
	"bytes"
	"strings"
	"testing"

	"actuatord/agent/config"
	"actuatord/board"
)

// TestCheckExpander: of an expander's line it is said where it is, and its bus is
// looked up, though no register is on it.
func TestCheckExpander(t *testing.T) {
	var out bytes.Buffer
	k := checker{out: &out}
	k.board(config.Config{Board: config.Board{Driver: config.DriverLinux}, Profile: board.Profile{
		Outputs:   []board.Output{{Name: "lamp", Line: "relays:3"}},
		Expanders: []board.Expander{{Name: "relays", Bus: "250", Address: 0x38, Chip: board.PCF8574}},
	}}, env{})
	for _, want := range []string{
		"ok    output lamp: line 3 of the pcf8574 at 0x38 on bus 250\n",
		"FAIL  bus 250: bus \"250\": no such bus",
		"warn  after the process: an expander keeps the last levels",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s\ndoes not say %q", out.String(), want)
		}
	}
	if !k.failed {
		t.Error("it did not fail")
	}
}
