package board_test

import (
	"strings"
	"testing"
	"time"

	"actuatord/board"
)

// TestCheck: each line breaks one rule of a profile that is otherwise right.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*board.Profile)
		want  []string // table index key, of each fault
	}{
		{"nothing wrong", func(*board.Profile) {}, nil},
		{"reserved name", func(p *board.Profile) { p.Outputs[0].Name = "all" }, []string{"output 0: name"}},
		{"reserved register name", func(p *board.Profile) { p.Registers[0].Name = "all" }, []string{"register 0: name"}},
		{"no name", func(p *board.Profile) { p.Outputs[0].Name = "" }, []string{"output 0: name"}},
		{"blank in a name", func(p *board.Profile) { p.Outputs[0].Name = "a pump" }, []string{"output 0: name"}},
		{"name too long", func(p *board.Profile) { p.Outputs[0].Name = strings.Repeat("n", 65) }, []string{"output 0: name"}},
		{"name twice", func(p *board.Profile) { p.Outputs[1].Name = "brake" }, []string{"output 1: name"}},
		{"name of an output and a register", func(p *board.Profile) { p.Registers[0].Name = "motor" }, []string{"register 0: name"}},
		{"no line", func(p *board.Profile) { p.Outputs[2].Line = "" }, []string{"output 2: line"}},
		{"line twice", func(p *board.Profile) { p.Outputs[3].Line = "L0" }, []string{"output 3: line"}},
		{"negative max_on", func(p *board.Profile) { p.Outputs[1].MaxOn = -1 }, []string{"output 1: max_on"}},
		{"negative min_off", func(p *board.Profile) { p.Outputs[1].MinOff = -1 }, []string{"output 1: min_off"}},
		{"negative max_age", func(p *board.Profile) { p.Outputs[1].MaxAge = -1 }, []string{"output 1: max_age"}},
		{"max_on with safe on", func(p *board.Profile) { p.Outputs[0].MaxOn = time.Minute }, []string{"output 0: max_on"}},
		{"min_off with safe on", func(p *board.Profile) { p.Outputs[0].MinOff = time.Minute }, []string{"output 0: min_off"}},
		{"group of one", func(p *board.Profile) { p.Outputs[1].Interlock = "wter" }, []string{"output 1: interlock", "output 2: interlock"}},
		{"two safe on in a group", func(p *board.Profile) { p.Outputs[3].SafeOn = true }, []string{"output 3: interlock"}},
		{"no bus", func(p *board.Profile) { p.Registers[0].Bus = "" }, []string{"register 0: bus"}},
		{"address reserved", func(p *board.Profile) { p.Registers[0].Address = 0x07 }, []string{"register 0: address"}},
		{"address of 8 bits", func(p *board.Profile) { p.Registers[0].Address = 0xc0 }, []string{"register 0: address"}},
		{"no register allowed", func(p *board.Profile) { p.Registers[0].Registers = []byte{} }, []string{"register 0: registers"}},
		{"register's negative max_age", func(p *board.Profile) { p.Registers[0].MaxAge = -1 }, []string{"register 0: max_age"}},
		{"no safe bytes", func(p *board.Profile) { p.Registers[0].Safe = &board.SafeWrite{} }, []string{"register 0: safe"}},
		{"too many safe bytes", func(p *board.Profile) {
			p.Registers[0].Safe = &board.SafeWrite{Bytes: make([]byte, board.MaxWrite+1)}
		}, []string{"register 0: safe"}},
		{"input's name taken", func(p *board.Profile) { p.Inputs[0].Name = "motor" }, []string{"input 0: name", "output 1: permit"}},
		{"register's name is an input's", func(p *board.Profile) { p.Registers[0].Name = "e-stop" }, []string{"register 0: name"}},
		{"input without a line", func(p *board.Profile) { p.Inputs[0].Line = "" }, []string{"input 0: line"}},
		{"input on an output's line", func(p *board.Profile) { p.Inputs[0].Line = "L1" }, []string{"input 0: line"}},
		{"negative debounce", func(p *board.Profile) { p.Inputs[0].Debounce = -1 }, []string{"input 0: debounce"}},
		{"debounce too long", func(p *board.Profile) { p.Inputs[0].Debounce = 5*time.Second + 1 }, []string{"input 0: debounce"}},
		{"permit of nobody", func(p *board.Profile) { p.Outputs[1].Permit = []string{"float"} }, []string{"output 1: permit"}},
		{"permit of an output", func(p *board.Profile) { p.Outputs[1].Permit = []string{"motor"} }, []string{"output 1: permit"}},
		{"permit twice", func(p *board.Profile) { p.Outputs[1].Permit = []string{"e-stop", "e-stop"} }, []string{"output 1: permit"}},
		{"empty permit", func(p *board.Profile) { p.Outputs[1].Permit = []string{} }, []string{"output 1: permit"}},
		{"all at once", func(p *board.Profile) { p.Outputs[0].Name, p.Outputs[0].Line, p.Registers[0].Bus = "", "", "" },
			[]string{"output 0: name", "output 0: line", "register 0: bus"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := valves()
			p.Registers = dac().Registers
			p.Inputs = []board.Input{{Name: "e-stop", Line: "I0", Debounce: 5 * time.Second}}
			p.Outputs[1].Permit = []string{"e-stop"}
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
