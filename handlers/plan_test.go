package handlers

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/board"
)

// levels says of each output whether it is on; one that is missing is unknown.
type levels map[string]bool

func (l levels) of(output string) (on, known bool) {
	on, known = l[output]
	return on, known
}

func set(target string, on bool, d time.Duration) command.Op {
	return command.Op{Kind: command.OpSet, Target: target, On: on, For: d}
}

// TestInputIsNoTarget: who takes an input for one is told how to ask for it.
func TestInputIsNoTarget(t *testing.T) {
	table := New(board.Profile{Inputs: []board.Input{{Name: "float-ok"}}}, false)
	c, refusal := table.Decode([]byte(`{"target":"float-ok","action":"on"}`))
	if refusal == nil {
		_, refusal = table.Plan(c, levels{}.of)
	}
	if refusal == nil || refusal.Reason != command.UnknownTarget || !strings.Contains(refusal.Detail, "is an input") {
		t.Errorf("%v; want it told apart from a name that nobody has", refusal)
	}
}

// TestPlan decodes and plans, as the agent does.
func TestPlan(t *testing.T) {
	now := levels{"pump": false, "lamp": true, "fan": true}
	pump, hour := []string{"pump"}, time.Hour
	dac := func(register byte, bytes ...byte) command.Op {
		return command.Op{Kind: command.OpWrite, Target: "dac", Register: register, Bytes: bytes}
	}
	for _, tt := range []struct {
		payload string
		want    command.Plan
	}{
		{`{"target":"pump","action":"on"}`, command.Plan{Op: set("pump", true, 0), Away: true, Touches: pump, MaxAge: hour}},
		{`{"target":"pump","action":"off"}`, command.Plan{Op: set("pump", false, 0), Touches: pump, MaxAge: hour}},
		{`{"target":"pump","action":"on","for":"10m"}`, command.Plan{Op: set("pump", true, 10*time.Minute), Away: true, Touches: pump, MaxAge: hour}},
		{`{"target":"lamp","action":"on","for":"1000h"}`, command.Plan{Op: set("lamp", true, 1000*hour), Away: true, Touches: []string{"lamp"}}},
		{`{"target":"fan","action":"on"}`, command.Plan{Op: set("fan", true, 0), Touches: []string{"fan"}, MaxAge: time.Minute}},
		{`{"target":"fan","action":"off"}`, command.Plan{Op: set("fan", false, 0), Away: true, Touches: []string{"fan"}, MaxAge: time.Minute}},
		{`{"target":"fan","action":"off","for":"1h"}`, command.Plan{Op: set("fan", false, hour), Away: true, Touches: []string{"fan"}, MaxAge: time.Minute}},
		{`{"target":"pump","action":"toggle"}`, command.Plan{Op: set("pump", true, 0), OnceOnly: true, Away: true, Touches: pump, MaxAge: hour}},
		{`{"target":"lamp","action":"toggle"}`, command.Plan{Op: set("lamp", false, 0), OnceOnly: true, Touches: []string{"lamp"}}},
		{`{"target":"fan","action":"toggle"}`, command.Plan{Op: set("fan", false, 0), OnceOnly: true, Away: true, Touches: []string{"fan"}, MaxAge: time.Minute}},
		{`{"target":"pump","action":"pulse","for":"1ms"}`, command.Plan{Op: command.Op{Kind: command.OpPulse, Target: "pump", For: time.Millisecond},
			OnceOnly: true, Away: true, Touches: pump, MaxAge: hour}},
		{`{"target":"lamp","action":"pulse","for":"5s"}`, command.Plan{Op: command.Op{Kind: command.OpPulse, Target: "lamp", For: 5 * time.Second},
			OnceOnly: true, Away: true, Touches: []string{"lamp"}}},
		{`{"target":"dac","action":"write","register":64,"bytes":"0fff"}`, command.Plan{Op: dac(0x40, 0x0f, 0xff), Away: true, Touches: []string{"dac"}, MaxAge: 2 * time.Minute}},
		{`{"target":"dac","action":"write","register":64,"bytes":"0000"}`, command.Plan{Op: dac(0x40, 0, 0), Touches: []string{"dac"}, MaxAge: 2 * time.Minute}},
		{`{"target":"dac","action":"write","register":65,"bytes":"0000"}`, command.Plan{Op: dac(0x41, 0, 0), Away: true, Touches: []string{"dac"}, MaxAge: 2 * time.Minute}},
		{`{"target":"fifo","action":"write","register":255,"bytes":"` + strings.Repeat("ab", 32) + `"}`, command.Plan{
			Op:       command.Op{Kind: command.OpWrite, Target: "fifo", Register: 255, Bytes: []byte(strings.Repeat("\xab", 32))},
			OnceOnly: true, Away: true, Touches: []string{"fifo"}}},
		{`{"target":"all","action":"safe"}`, command.Plan{Op: command.Op{Kind: command.OpSafe, Target: "all"},
			Touches: []string{"pump", "valve-1", "lamp", "fan", "dim", "vent", "dac"}}},
		{`{"target":"dim","action":"set","percent":12.5,"for":"1m"}`, command.Plan{Op: command.Op{Kind: command.OpLevel, Target: "dim", Percent: 1250, For: time.Minute},
			Away: true, Touches: []string{"dim"}, MaxAge: hour}},
		{`{"target":"dim","action":"set","percent":20}`, command.Plan{Op: command.Op{Kind: command.OpLevel, Target: "dim", Percent: 2000}, Touches: []string{"dim"}, MaxAge: hour}},
		{`{"target":"dim","action":"set","percent":0}`, command.Plan{Op: command.Op{Kind: command.OpLevel, Target: "dim"}, Away: true, Touches: []string{"dim"}, MaxAge: hour}},
		{`{"target":"vent","action":"set","percent":0}`, command.Plan{Op: command.Op{Kind: command.OpLevel, Target: "vent"}, Touches: []string{"vent"}}},
		{`{"target":"all","action":"read"}`, command.Plan{Op: command.Op{Kind: command.OpRead, Target: "all"}}},
	} {
		t.Run(tt.payload, func(t *testing.T) {
			c, refusal := table().Decode([]byte(tt.payload))
			if refusal != nil {
				t.Fatalf("not decoded: %v", refusal)
			}
			got, refusal := table().Plan(c, now.of)
			if refusal != nil {
				t.Fatalf("refused: %v", refusal)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestPlanRefusals has a row for every way a command can be understood and yet
// not be possible here.
func TestPlanRefusals(t *testing.T) {
	unknown := levels{}
	for _, tt := range []struct {
		payload string
		reason  command.Reason
		detail  string
	}{
		{`{"target":"pmp","action":"on"}`, command.UnknownTarget, `there is no target "pmp"; targets are pump, valve-1, lamp, fan, dim, vent, dac, fifo, all`},
		{`{"target":"Pump","action":"on"}`, command.UnknownTarget, `there is no target "Pump"; targets are pump, valve-1, lamp, fan, dim, vent, dac, fifo, all`},
		{`{"target":"log","action":"on"}`, command.UnknownTarget, `there is no target "log"; targets are pump, valve-1, lamp, fan, dim, vent, dac, fifo, all`},
		{`{"target":"pump","action":"ON"}`, command.UnknownAction, `"pump" has no action "ON"; its actions are on, off, toggle, pulse`},
		{`{"target":"pump","action":"write"}`, command.UnknownAction, `"pump" has no action "write"; its actions are on, off, toggle, pulse`},
		{`{"target":"pump","action":"safe"}`, command.UnknownAction, `"pump" has no action "safe"; its actions are on, off, toggle, pulse`},
		{`{"target":"all","action":"off"}`, command.UnknownAction, `"all" has no action "off"; its actions are safe, read`},
		{`{"target":"dac","action":"on"}`, command.UnknownAction, `"dac" has no action "on"; its actions are write`},

		{`{"target":"pump","action":"off","for":"1s"}`, command.BadValue, `"for" bounds the time away from the safe level, and "off" is the safe level of "pump"; leave "for" out`},
		{`{"target":"fan","action":"on","for":"1s"}`, command.BadValue, `"for" bounds the time away from the safe level, and "on" is the safe level of "fan"; leave "for" out`},
		{`{"target":"pump","action":"toggle","for":"1s"}`, command.BadValue, `the action "toggle" of "pump" takes no "for"; leave it out`},
		{`{"target":"pump","action":"on","register":0}`, command.BadValue, `the action "on" of "pump" takes no "register"; leave it out`},
		{`{"target":"pump","action":"pulse","for":"1s","bytes":"00"}`, command.BadValue, `the action "pulse" of "pump" takes no "bytes"; leave it out`},
		{`{"target":"all","action":"safe","for":"1s"}`, command.BadValue, `the action "safe" of "all" takes no "for"; leave it out`},
		{`{"target":"all","action":"read","register":1}`, command.BadValue, `the action "read" of "all" takes no "register"; leave it out`},
		{`{"target":"dac","action":"write","register":64,"bytes":"00","for":"1s"}`, command.BadValue, `the action "write" of "dac" takes no "for"; leave it out`},

		{`{"target":"pump","action":"on","for":"10m1ms"}`, command.OverMaxOn, `"for" is 10m0.001s, and "pump" may be on for at most 10m (max_on)`},
		{`{"target":"pump","action":"on","for":"2h"}`, command.OverMaxOn, `"for" is 2h, and "pump" may be on for at most 10m (max_on)`},
		{`{"target":"valve-1","action":"pulse","for":"3s"}`, command.OverMaxOn, `"for" is 3s, and "valve-1" may be on for at most 2s (max_on)`},
		{`{"target":"pump","action":"pulse"}`, command.BadValue, `a pulse of "pump" needs "for", 1ms to 5s, such as "for":"200ms"`},
		{`{"target":"pump","action":"pulse","for":"5001ms"}`, command.OutOfRange, `"for" is 5.001s, and a pulse lasts 1ms to 5s; for longer send "on" with "for"`},
		{`{"target":"fan","action":"pulse","for":"1m"}`, command.OutOfRange, `"for" is 1m, and a pulse lasts 1ms to 5s; for longer send "off" with "for"`},
		{`{"target":"pump","action":"toggle"}`, command.LevelUnknown, `the level of "pump" is not known, so there is nothing to toggle from; send "on" or "off"`},

		{`{"target":"dim","action":"on"}`, command.UnknownAction, `"dim" has no action "on"; its actions are set`},
		{`{"target":"pump","action":"set","percent":5}`, command.UnknownAction, `"pump" has no action "set"; its actions are on, off, toggle, pulse`},
		{`{"target":"pump","action":"on","percent":5}`, command.BadValue, `the action "on" of "pump" takes no "percent"; leave it out`},
		{`{"target":"all","action":"safe","percent":5}`, command.BadValue, `the action "safe" of "all" takes no "percent"; leave it out`},
		{`{"target":"dim","action":"set"}`, command.BadValue, `the action "set" of "dim" needs "percent", a number from 0 to 100 with at most two decimals, such as 30 or 12.5`},
		{`{"target":"dim","action":"set","percent":5,"register":1}`, command.BadValue, `the action "set" of "dim" takes no "register"; leave it out`},
		{`{"target":"dim","action":"set","percent":20.0,"for":"1s"}`, command.BadValue, `"for" bounds the time away from the safe level, and 20 is the safe level of "dim"; leave "for" out`},
		{`{"target":"dim","action":"set","percent":21,"for":"61s"}`, command.OverMaxOn, `"for" is 1m1s, and "dim" may be on for at most 1m (max_on)`},

		{`{"target":"dac","action":"write","bytes":"00"}`, command.BadValue, `a write to "dac" needs "register", a whole number from 0 to 255, in decimal`},
		{`{"target":"dac","action":"write","register":64}`, command.BadValue, `a write to "dac" needs "bytes", hex digits as a string, two for each byte, such as "0fff"`},
		{`{"target":"dac","action":"write","register":66,"bytes":"00"}`, command.NotAllowed, `register 66 (0x42) of "dac" may not be written; allowed are 64 (0x40), 65 (0x41)`},
		{`{"target":"dac","action":"write","register":64,"bytes":"` + strings.Repeat("00", 33) + `"}`, command.OutOfRange, `"bytes" holds 33 bytes; one write has 1 to 32`},
	} {
		t.Run(tt.payload, func(t *testing.T) {
			c, refusal := table().Decode([]byte(tt.payload))
			if refusal != nil {
				t.Fatalf("not decoded: %v", refusal)
			}
			p, refusal := table().Plan(c, unknown.of)
			if refusal == nil {
				t.Fatalf("planned: %+v", p)
			}
			if refusal.Reason != tt.reason || refusal.Detail != tt.detail {
				t.Errorf("got  %v\nwant %v: %s", refusal, tt.reason, tt.detail)
			}
			if !reflect.DeepEqual(p, command.Plan{}) {
				t.Errorf("a refused command left a plan: %+v", p)
			}
		})
	}
}

// TestPlanLocal: a command made on this machine has not been through Decode, so
// Plan stands alone.
func TestPlanLocal(t *testing.T) {
	for _, tt := range []struct {
		c      command.Command
		reason command.Reason
		detail string
	}{
		{command.Command{Target: "pump", Action: "on", Address: -1, For: -time.Second}, command.OutOfRange, `"for" is -1s; the shortest time is 1ms`},
		{command.Command{Target: "pump", Action: "pulse", Address: -1, For: time.Microsecond}, command.OutOfRange, `"for" is 1µs; the shortest time is 1ms`},
		{command.Command{Target: "dim", Action: "set", Address: -1, Percent: percent(10001)}, command.OutOfRange, `"percent" is 100.01; send a number from 0 to 100 with at most two decimals, such as 30 or 12.5`},
		{command.Command{Target: "dac", Action: "write", Address: 256, Bytes: []byte{1}}, command.OutOfRange, `"register" is 256; send a whole number from 0 to 255, in decimal`},
		{command.Command{Target: "log", Action: "log", Address: -1}, command.UnknownTarget, `there is no target "log"; targets are pump, valve-1, lamp, fan, dim, vent, dac, fifo, all`},
		{command.Command{Target: "a\x1b[2Jb", Action: "on", Address: -1}, command.UnknownTarget, `there is no target "a\x1b[2Jb"; targets are pump, valve-1, lamp, fan, dim, vent, dac, fifo, all`},
	} {
		if _, refusal := table().Plan(tt.c, levels{}.of); refusal == nil || refusal.Reason != tt.reason || refusal.Detail != tt.detail {
			t.Errorf("%+v: got %v\nwant %v: %s", tt.c, refusal, tt.reason, tt.detail)
		}
	}
}

// TestPlanKeepsNoBytes: the plan outlives the command's buffers.
func TestPlanKeepsNoBytes(t *testing.T) {
	c := command.Command{Target: "dac", Action: "write", Address: 0x40, Bytes: []byte{1, 2}}
	p, refusal := table().Plan(c, nil)
	if refusal != nil {
		t.Fatal(refusal)
	}
	c.Bytes[0] = 9
	if p.Op.Bytes[0] != 1 {
		t.Error("the plan changed with the command")
	}
}

// TestSentencesStayShort: a board with many targets still has whole sentences.
func TestSentencesStayShort(t *testing.T) {
	var p board.Profile
	for i := range 200 {
		p.Outputs = append(p.Outputs, board.Output{Name: fmt.Sprintf("output-%03d", i), Line: fmt.Sprint("GPIO", i)})
	}
	_, refusal := New(p, false).Plan(command.Command{Target: strings.Repeat("\x00", 500), Action: "on", Address: -1}, nil)
	const end = "output-010, output-011 and 189 more"
	if refusal == nil || !strings.HasSuffix(refusal.Detail, end) || strings.Contains(refusal.Detail, "\x00") {
		t.Errorf("got %v; want it to end in %q", refusal, end)
	}
}

func TestEmptyBoard(t *testing.T) {
	none := New(board.Profile{}, false)
	p, refusal := none.Plan(command.Command{Target: "all", Action: "safe", Address: -1}, nil)
	if w := (command.Plan{Op: command.Op{Kind: command.OpSafe, Target: "all"}}); refusal != nil || !reflect.DeepEqual(p, w) {
		t.Errorf("got %+v, %v; want %+v", p, refusal, w)
	}
}

func TestNearest(t *testing.T) {
	for s, want := range map[string]string{
		"Target": "target", "tagret": "target", "targt": "target", "regster": "register", "byte": "bytes", "expire": "expires",
		"ID": "id", "xd": "", "": "", "foo": "for", "zzz": "", "actions": "action", "time": "", strings.Repeat("target", 20): "",
	} {
		if got := nearest(s, fieldNames()); got != want {
			t.Errorf("nearest(%q) = %q; want %q", s, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Minute: "10m", 2 * time.Hour: "2h", 90 * time.Second: "1m30s", 20 * time.Second: "20s", 0: "0s",
		time.Hour + time.Second: "1h0m1s", 200 * time.Millisecond: "200ms", 10 * time.Hour: "10h",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%d) = %q; want %q", d, got, want)
		}
	}
}
