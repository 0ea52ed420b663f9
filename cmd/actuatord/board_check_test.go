package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"actuatord/agent"
	"actuatord/agent/command"
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
		Levels:    []board.PWM{{Name: "fan", Line: "pwmchip250:0", Frequency: 25000}},
		Expanders: []board.Expander{{Name: "relays", Bus: "250", Address: 0x38, Chip: board.PCF8574}},
	}}, env{})
	for _, want := range []string{
		"ok    output lamp: line 3 of the pcf8574 at 0x38 on bus 250\n",
		"FAIL  level fan: line \"pwmchip250:0\": there is no such PWM chip",
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

// TestWordsOfLevels: what a person is told of a level says how much.
func TestWordsOfLevels(t *testing.T) {
	of := command.Percent(1250)
	plan := command.Plan{Op: command.Op{Kind: command.OpLevel, Target: "fan", Percent: of, For: time.Minute}}
	if got, want := explain(command.Command{ID: "a"}, plan), "it would set fan to 12.5 %, and back to its safe level after 1m0s"; got != want {
		t.Errorf("check --command says %q; want %q", got, want)
	}
	var out bytes.Buffer
	if err := told(&out, command.Report{Outcome: "done", Target: "fan", Action: "set", Level: "on", Percent: &of}); err != nil || out.String() != "done: fan set, now on at 12.5 % (0 ms)\n" {
		t.Errorf("do says %q, %v", out.String(), err)
	}
	out.Reset()
	now := time.Now()
	printOutputs(&out, agent.Status{Outputs: []agent.Output{
		{Name: "fan", Level: "on", Percent: &of, Cause: "m:1", Until: now.Add(time.Minute)}, {Name: "dim", Level: "unknown", Fault: "it burns"}, {Name: "pump", Level: "off"},
	}}, now)
	if want := "level\tfan 12.5 %, by m:1, safe again in 1 min\noutput\tdim unknown: it burns\noutput\tpump off\n"; out.String() != want {
		t.Errorf("status says %q; want %q", out.String(), want)
	}
}

// TestDoPercent: what is no number is a wrong word, and no command.
func TestDoPercent(t *testing.T) {
	for _, p := range []string{"much", "5,5", "0x10", "5%"} {
		err := runDo([]string{"fan", "set", "--percent", p}, env{})
		if _, wrong := err.(*usageError); !wrong {
			t.Errorf("--percent %s: %v", p, err)
		}
	}
}
