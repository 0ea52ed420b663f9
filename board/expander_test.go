package board_test

import (
	"strings"
	"testing"

	"actuatord/board"
)

func relays() board.Profile {
	return board.Profile{
		Outputs: []board.Output{{Name: "pump", Line: "relays:7"}, {Name: "lamp", Line: "GPIO4"}, {Name: "fan", Line: "pinctrl:99"}},
		Expanders: []board.Expander{
			{Name: "relays", Bus: "1", Address: 0x3f, Chip: board.PCF8574},
			{Name: "more", Bus: "1", Address: 0x20, Chip: board.MCP23017, Verify: true},
		},
		Registers: []board.Register{{Name: "dac", Bus: "1", Address: 0x60}},
	}
}

// TestCheckExpanders: each line breaks one rule of a profile that is otherwise
// right.
func TestCheckExpanders(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*board.Profile)
		want  []string
	}{
		{"nothing wrong", func(*board.Profile) {}, nil},
		{"no name", func(p *board.Profile) { p.Expanders[1].Name = "" }, []string{"expander 1: name"}},
		{"a colon in it", func(p *board.Profile) { p.Expanders[1].Name = "a:b" }, []string{"expander 1: name"}},
		{"name twice", func(p *board.Profile) { p.Expanders[1].Name = "relays" }, []string{"expander 1: name"}},
		{"no bus", func(p *board.Profile) { p.Expanders[0].Bus = "" }, []string{"expander 0: bus"}},
		{"no chip", func(p *board.Profile) { p.Expanders[0].Chip = "" }, []string{"expander 0: chip"}},
		{"no such chip", func(p *board.Profile) { p.Expanders[0].Chip = "pcf8575" }, []string{"expander 0: chip"}},
		{"no address", func(p *board.Profile) { p.Expanders[0].Address = 0 }, []string{"expander 0: address"}},
		{"a PCF8574A's address", func(p *board.Profile) { p.Expanders[1].Address = 0x38 }, []string{"expander 1: address"}},
		{"address beyond", func(p *board.Profile) { p.Expanders[1].Address = 0x28 }, []string{"expander 1: address"}},
		{"two at one place", func(p *board.Profile) { p.Expanders[0].Address = 0x20 }, []string{"expander 1: address"}},
		{"two at one address of two buses", func(p *board.Profile) { p.Expanders[0].Address, p.Expanders[0].Bus = 0x20, "2" }, nil},
		{"a register at its place", func(p *board.Profile) { p.Registers[0].Address = 0x20 }, []string{"register 0: address"}},
		{"an MCP unverified", func(p *board.Profile) { p.Expanders[1].Verify = false }, []string{"expander 1: verify"}},
		{"line beyond the chip", func(p *board.Profile) { p.Outputs[0].Line = "relays:8" }, []string{"output 0: line"}},
		{"last line", func(p *board.Profile) { p.Outputs[0].Line = "more:15" }, nil},
		{"line that is no number", func(p *board.Profile) { p.Outputs[0].Line = "relays:x" }, []string{"output 0: line"}},
		{"line of nothing", func(p *board.Profile) { p.Outputs[0].Line = "relays:" }, []string{"output 0: line"}},
		{"line written another way", func(p *board.Profile) { p.Outputs[0].Line = "relays:07" }, []string{"output 0: line"}},
		{"an open drain on a PCF8574", func(p *board.Profile) { p.Outputs[0].OpenDrain = true }, nil},
		{"an open drain on an MCP", func(p *board.Profile) { p.Outputs[0].Line, p.Outputs[0].OpenDrain = "more:0", true }, []string{"output 0: drive"}},
		{"line twice", func(p *board.Profile) { p.Outputs[1].Line = "relays:7" }, []string{"output 1: line"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := relays()
			c.spoil(&p)
			faults := p.Check()
			if len(faults) != len(c.want) {
				t.Fatalf("faults %v; want %v", faults, c.want)
			}
			for i, f := range faults {
				if !strings.HasPrefix(f.String(), c.want[i]+" = ") || f.Rule == "" {
					t.Errorf("fault %v; want %s", f, c.want[i])
				}
			}
		})
	}
}

// TestOwnLinesFirst: what is behind a bus is driven safe after what is not, and in
// each of the two the outputs that are safe off come first.
func TestOwnLinesFirst(t *testing.T) {
	p := board.Profile{
		Outputs: []board.Output{
			{Name: "a", Line: "relays:0"}, {Name: "b", Line: "relays:1", SafeOn: true},
			{Name: "c", Line: "GPIO4", SafeOn: true}, {Name: "d", Line: "relays:2"}, {Name: "e", Line: "GPIO5"},
		},
		Expanders: []board.Expander{{Name: "relays", Bus: "1", Address: 0x20, Chip: board.PCF8574}},
	}
	bubble(t, p, nil, func(r *rig) {
		var order string
		for _, e := range r.events() {
			order += e.Target
		}
		if order != "ecadb" {
			t.Errorf("driven safe in the order %s; want ecadb", order)
		}
	})
}
