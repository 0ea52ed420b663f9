package handlers

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/board"
)

// profile is the board of all tests here: every kind of output and register.
func profile() board.Profile {
	return board.Profile{
		Outputs: []board.Output{
			{Name: "pump", Line: "GPIO17", MaxOn: 10 * time.Minute, MaxAge: time.Hour},
			{Name: "valve-1", Line: "GPIO18", MaxOn: 2 * time.Second},
			{Name: "lamp", Line: "GPIO19"},
			{Name: "fan", Line: "GPIO20", SafeOn: true, MaxAge: time.Minute},
		},
		Levels: []board.PWM{
			{Name: "dim", Line: "pwmchip0:0", Frequency: 1000, Safe: 2000, MaxOn: time.Minute, MaxAge: time.Hour},
			{Name: "vent", Line: "pwmchip0:1", Frequency: 1000},
		},
		Registers: []board.Register{
			{Name: "dac", Bus: "1", Address: 0x60, Registers: []byte{0x40, 0x41}, Repeatable: true,
				Safe: &board.SafeWrite{Register: 0x40, Bytes: []byte{0, 0}}, MaxAge: 2 * time.Minute},
			{Name: "fifo", Bus: "1", Address: 0x61},
		},
	}
}

func table() *Table { return New(profile(), false) }

var (
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	cest = time.Date(2026, 11, 23, 12, 0, 0, 500_000_000, time.FixedZone("", 2*3600))
)

func percent(p command.Percent) *command.Percent { return &p }

// want fills in what every decoded command has.
func want(c command.Command) command.Command {
	if c.Address == 0 {
		c.Address = -1
	}
	c.Fingerprint = command.FingerprintOf(c)
	return c
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		payload string
		want    command.Command
	}{
		{`{"target":"pump","action":"on"}`, command.Command{Target: "pump", Action: "on"}},
		{" \t\r\n{ \"target\" : \"pump\" ,\n\"action\":\"off\" } \r\n", command.Command{Target: "pump", Action: "off"}},
		{`{"t\u0061rget":"p\u0075mp","action":"toggle"}`, command.Command{Target: "pump", Action: "toggle"}},
		{`{"target":"pump","action":"pulse","for":"200ms"}`, command.Command{Target: "pump", Action: "pulse", For: 200 * time.Millisecond}},
		{`{"target":"pump","action":"on","for":"1h30m"}`, command.Command{Target: "pump", Action: "on", For: 90 * time.Minute}},
		{`{"target":"pump","action":"on","for":"1.5s"}`, command.Command{Target: "pump", Action: "on", For: 1500 * time.Millisecond}},
		{`{"target":"dac","action":"write","register":64,"bytes":"0fFF"}`, command.Command{Target: "dac", Action: "write", Address: 64, Bytes: []byte{0x0f, 0xff}}},
		{`{"target":"dim","action":"set","percent":30}`, command.Command{Target: "dim", Action: "set", Percent: percent(3000)}},
		{`{"target":"dim","action":"set","percent":12.50}`, command.Command{Target: "dim", Action: "set", Percent: percent(1250)}},
		{`{"target":"dim","action":"set","percent":0,"for":"1s"}`, command.Command{Target: "dim", Action: "set", Percent: percent(0), For: time.Second}},
		{`{"target":"all","action":"safe"}`, command.Command{Target: "all", Action: "safe"}},
		{`{"target":"Pümpe","action":"on"}`, command.Command{Target: "Pümpe", Action: "on"}},
		{`{"target":"pump","action":"on","sent":"2026-11-23T12:00:00Z","expires":"2026-11-23T12:00:00.5+02:00","id":"a-Z0:.+%_#*?!(),=@;$'"}`,
			command.Command{Target: "pump", Action: "on", Sent: noon, Expires: cest, ID: "a-Z0:.+%_#*?!(),=@;$'"}},
		{`{"target":"pump","action":"on","meta": { "user" : "ann", "n":[1, 2.50] } }`,
			command.Command{Target: "pump", Action: "on", Meta: []byte(`{"user":"ann","n":[1,2.50]}`)}},
		{`{"target":"pump","action":"on","meta":null}`, command.Command{Target: "pump", Action: "on", Meta: []byte(`null`)}},
		{`{"target":"pump","action":"on","meta":":"}`, command.Command{Target: "pump", Action: "on", Meta: []byte(`":"`)}},
		{`{"target":"pump","action":"on","meta": "` + strings.Repeat("m", 1022) + `"}`, command.Command{Target: "pump", Action: "on", Meta: []byte(`"` + strings.Repeat("m", 1022) + `"`)}},
		{`{"target":"pump","action":"on","meta":[[[[[[[]]]]]]]}`, command.Command{Target: "pump", Action: "on", Meta: []byte(`[[[[[[[]]]]]]]`)}},
	} {
		t.Run(tt.payload, func(t *testing.T) {
			got, refusal := table().Decode([]byte(tt.payload))
			if refusal != nil {
				t.Fatalf("refused: %v", refusal)
			}
			if !got.Sent.Equal(tt.want.Sent) || !got.Expires.Equal(tt.want.Expires) {
				t.Errorf("sent %v, expires %v; want %v, %v", got.Sent, got.Expires, tt.want.Sent, tt.want.Expires)
			}
			got.Sent, got.Expires = tt.want.Sent, tt.want.Expires
			if w := want(tt.want); !reflect.DeepEqual(got, w) {
				t.Errorf("got  %+v\nwant %+v", got, w)
			}
		})
	}
}

// TestDecodeRefusals has a row for everything a payload can be refused for,
// with the sentence its sender gets.
func TestDecodeRefusals(t *testing.T) {
	const ex = `send one JSON object, such as {"target":"pump","action":"on"}`
	const fields = `the fields are target, action, for, percent, register, bytes, expires, sent, id, meta`
	field := func(rest string) string { return `{"target":"pump","action":"on",` + rest + `}` }
	for _, tt := range []struct {
		name, payload string
		reason        command.Reason
		detail        string
	}{
		{"empty", "", command.Malformed, "the payload is empty; " + ex},
		{"blank", " \n", command.Malformed, "the payload is empty; " + ex},
		{"text", "Cloud to device message.", command.Malformed, "the payload is not JSON at byte 0: invalid character 'C' looking for beginning of value; " + ex},
		{"control character", "\x00", command.Malformed, `the payload is not JSON at byte 0: invalid character '\x00' looking for beginning of value; ` + ex},
		{"string", `"on"`, command.Malformed, `the payload is "on"; ` + ex},
		{"number", `-1.5e3`, command.Malformed, `the payload is the number -1.5e3; ` + ex},
		{"null", `null`, command.Malformed, `the payload is null; ` + ex},
		{"array", `[{"target":"pump","action":"on"}]`, command.NotSupported, "the payload is an array; arrays of commands are not supported: send one message for each command"},
		{"broken array", `[`, command.NotSupported, "the payload is an array; arrays of commands are not supported: send one message for each command"},
		{"open object", `{`, command.Malformed, "the payload breaks off at byte 1, inside the JSON; " + ex},
		{"open string", `{"target":"pu`, command.Malformed, "the payload breaks off at byte 13, inside the JSON; " + ex},
		{"open value", `{"target":`, command.Malformed, "the payload breaks off at byte 10, inside the JSON; " + ex},
		{"open meta", field(`"meta":[1`)[:40], command.Malformed, "the payload breaks off at byte 40, inside the JSON; " + ex},
		{"comma at the end", `{"target":"pump","action":"on",}`, command.Malformed, "the payload is not JSON at byte 31: invalid character '}' looking for beginning of object key string; " + ex},
		{"no quotes", `{target:"pump"}`, command.Malformed, "the payload is not JSON at byte 1: invalid character 't' looking for beginning of object key string; " + ex},
		{"number as name", `{1:2}`, command.Malformed, "the payload is not JSON at byte 1: invalid character '1' looking for beginning of object key string; " + ex},
		{"no colon", `{"target" "pump"}`, command.Malformed, `the payload is not JSON at byte 10: invalid character '"' after object key; ` + ex},
		{"wrong bracket", `{"target":"pump"]`, command.Malformed, "the payload is not JSON at byte 16: invalid character ']' after object key:value pair; " + ex},
		{"single quotes", `{'target':'pump'}`, command.Malformed, `the payload is not JSON at byte 1: invalid character '\'' looking for beginning of object key string; ` + ex},
		{"NaN", `{"target":NaN}`, command.Malformed, "the payload is not JSON at byte 10: invalid character 'N' looking for beginning of value; " + ex},
		{"text after", `{"target":"pump","action":"on"} x` + "\x1b[31m", command.Malformed, `after the object's end, at byte 32, there is still "x\x1b[31m"; ` + ex},
		{"object after", `{"target":"pump","action":"on"}{"target":"pump","action":"off","for":"10s"}`, command.Malformed, `after the object's end, at byte 31, there is still "{\"target\":\"pump\",\"action\":\"off\","...; ` + ex},
		{"not UTF-8", "{\"target\":\"pump\xff\",\"action\":\"on\"}", command.Malformed, "byte 15 (0xff) of the payload is not UTF-8; " + ex},
		{"byte order mark", "\ufeff" + `{"target":"pump","action":"on"}`, command.Malformed, "the payload starts with a byte order mark; send UTF-8 without one"},
		{"same field twice", `{"target":"pump","action":"on","target":"lamp"}`, command.Malformed, `the field "target" is there twice; send it once`},
		{"same field twice, escaped", `{"target":"pump","action":"on","t\u0061rget":"pump"}`, command.Malformed, `the field "target" is there twice; send it once`},
		{"same field twice in meta", field(`"meta":{"a":{"b":1,"b":2}}`), command.Malformed, `the field "b" is there twice; send it once`},
		{"deep", field(`"meta":[[[[[[[[]]]]]]]]`), command.Malformed, "the payload is nested deeper than 8 levels at byte 45; a command needs one, and meta may have the rest"},
		{"deep objects", strings.Repeat(`{"target":`, 6000), command.Malformed, "the payload is nested deeper than 8 levels at byte 80; a command needs one, and meta may have the rest"},
		{"too large", strings.Repeat(" ", MaxPayload+1), command.TooLarge, "the payload has 65537 bytes; at most 65536 are read"},

		{"unknown field", field(`"force":true`), command.UnknownField, `there is no field "force"; ` + fields},
		{"misspelt field", field(`"regsiter":1`), command.UnknownField, `there is no field "regsiter"; did you mean "register"?; ` + fields},
		{"capital field", field(`"For":"1s"`), command.UnknownField, `there is no field "For"; did you mean "for"?; ` + fields},
		{"strange field", field(`"brightness":7`), command.UnknownField, `there is no field "brightness"; ` + fields},
		{"no name", field(`"":1`), command.UnknownField, `there is no field ""; ` + fields},
		{"hostile field", field(`"` + strings.Repeat("a", 39) + `ü\u202e\u0007":1`), command.UnknownField, `there is no field "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"...; ` + fields},

		{"nothing", `{}`, command.BadValue, `the fields "target" and "action" are missing; ` + ex},
		{"no target", `{"action":"on"}`, command.BadValue, `the field "target" is missing; ` + ex},
		{"no action", `{"target":"pump"}`, command.BadValue, `the field "action" is missing; ` + ex},
		{"action log", `{"target":"log","action":"log"}`, command.UnknownAction, `"log" is no action that can be sent; ` + ex},

		{"percent text", `{"target":"dim","action":"set","percent":"30"}`, command.BadValue, `the field "percent" is "30"; send a number from 0 to 100 with at most two decimals, such as 30 or 12.5`},
		{"percent fine", `{"target":"dim","action":"set","percent":29.999}`, command.BadValue, `the field "percent" is the number 29.999; send a number from 0 to 100 with at most two decimals, such as 30 or 12.5`},
		{"percent power", `{"target":"dim","action":"set","percent":3e1}`, command.BadValue, `the field "percent" is the number 3e1; send a number from 0 to 100 with at most two decimals, such as 30 or 12.5`},
		{"percent null", `{"target":"dim","action":"set","percent":null}`, command.BadValue, `the field "percent" is null; send a number from 0 to 100 with at most two decimals, such as 30 or 12.5`},
		{"percent more", `{"target":"dim","action":"set","percent":100.01}`, command.OutOfRange, `the field "percent" is the number 100.01; send a number from 0 to 100 with at most two decimals, such as 30 or 12.5`},
		{"percent less", `{"target":"dim","action":"set","percent":-1}`, command.OutOfRange, `the field "percent" is the number -1; send a number from 0 to 100 with at most two decimals, such as 30 or 12.5`},
		{"target null", `{"target":null,"action":"on"}`, command.BadValue, `the field "target" is null; send the name of an output, level or register, or "all"`},
		{"target empty", `{"target":"","action":"on"}`, command.BadValue, `the field "target" is ""; send the name of an output, level or register, or "all"`},
		{"target list", `{"target":["pump"],"action":"on"}`, command.BadValue, `the field "target" is an array; send the name of an output, level or register, or "all"`},
		{"target control", `{"target":"pump\n","action":"on"}`, command.BadValue, `the field "target" is "pump\n"; send the name of an output, level or register, or "all"`},
		{"target long", `{"target":"` + strings.Repeat("p", 65) + `","action":"on"}`, command.BadValue, `the field "target" is "` + strings.Repeat("p", 40) + `"...; send the name of an output, level or register, or "all"`},
		{"action bool", `{"target":"pump","action":true}`, command.BadValue, `the field "action" is true; send an action, such as "on"`},
		{"action object", `{"target":"pump","action":{}}`, command.BadValue, `the field "action" is an object; send an action, such as "on"`},

		{"for number", field(`"for":10`), command.BadValue, `the field "for" is the number 10; send ` + wantFor},
		{"for long number", field(`"for":` + strings.Repeat("1", 50)), command.BadValue, `the field "for" is the number ` + strings.Repeat("1", 40) + `...; send ` + wantFor},
		{"for without unit", field(`"for":"10"`), command.BadValue, `the field "for" is "10"; send ` + wantFor},
		{"for in days", field(`"for":"1d"`), command.BadValue, `the field "for" is "1d"; send ` + wantFor},
		{"for bare zero", field(`"for":"0"`), command.BadValue, `the field "for" is "0"; send ` + wantFor},
		{"for with plus", field(`"for":"+1s"`), command.BadValue, `the field "for" is "+1s"; send ` + wantFor},
		{"for empty", field(`"for":""`), command.BadValue, `the field "for" is ""; send ` + wantFor},
		{"for huge", field(`"for":"9999999h"`), command.BadValue, `the field "for" is "9999999h"; send ` + wantFor},
		{"for zero", field(`"for":"0s"`), command.OutOfRange, `the field "for" is "0s"; the shortest time is 1ms`},
		{"for negative", field(`"for":"-5s"`), command.OutOfRange, `the field "for" is "-5s"; the shortest time is 1ms`},
		{"for tiny", field(`"for":"999us"`), command.OutOfRange, `the field "for" is "999us"; the shortest time is 1ms`},

		{"register string", field(`"register":"0x40"`), command.BadValue, `the field "register" is "0x40"; send a whole number from 0 to 255, in decimal`},
		{"register fraction", field(`"register":64.0`), command.BadValue, `the field "register" is the number 64.0; send a whole number from 0 to 255, in decimal`},
		{"register exponent", field(`"register":1e1`), command.BadValue, `the field "register" is the number 1e1; send a whole number from 0 to 255, in decimal`},
		{"register negative", field(`"register":-1`), command.OutOfRange, `the field "register" is the number -1; send a whole number from 0 to 255, in decimal`},
		{"register large", field(`"register":256`), command.OutOfRange, `the field "register" is the number 256; send a whole number from 0 to 255, in decimal`},
		{"register hex", field(`"register":0x40`), command.Malformed, `the payload is not JSON at byte 43: invalid character 'x' after object key:value pair; ` + ex},
		{"bytes odd", field(`"bytes":"fff"`), command.BadValue, `the field "bytes" is "fff"; send ` + wantBytes},
		{"bytes prefixed", field(`"bytes":"0xff"`), command.BadValue, `the field "bytes" is "0xff"; send ` + wantBytes},
		{"bytes empty", field(`"bytes":""`), command.BadValue, `the field "bytes" is ""; send ` + wantBytes},
		{"bytes list", field(`"bytes":[15,255]`), command.BadValue, `the field "bytes" is an array; send ` + wantBytes},

		{"expires number", field(`"expires":1795348800`), command.BadValue, `the field "expires" is the number 1795348800; send ` + wantTime},
		{"expires no zone", field(`"expires":"2026-11-23T08:00:00"`), command.BadValue, `the field "expires" is "2026-11-23T08:00:00"; send ` + wantTime},
		{"expires comma", field(`"expires":"2026-11-23T08:00:00,5Z"`), command.BadValue, `the field "expires" is "2026-11-23T08:00:00,5Z"; send ` + wantTime},
		{"expires short hour", field(`"expires":"2026-11-23T8:00:00Z"`), command.BadValue, `the field "expires" is "2026-11-23T8:00:00Z"; send ` + wantTime},
		{"expires zero", field(`"expires":"0001-01-01T00:00:00Z"`), command.OutOfRange, `the field "expires" is "0001-01-01T00:00:00Z"; dates lie between 1970 and 9999, in UTC`},
		{"sent over the edge", field(`"sent":"9999-12-31T23:59:59-01:00"`), command.OutOfRange, `the field "sent" is "9999-12-31T23:59:59-01:00"; dates lie between 1970 and 9999, in UTC`},
		{"sent null", field(`"sent":null`), command.BadValue, `the field "sent" is null; send ` + wantTime},
		{"id number", field(`"id":7`), command.BadValue, `the field "id" is the number 7; send ` + wantID},
		{"id empty", field(`"id":""`), command.BadValue, `the field "id" is ""; send ` + wantID},
		{"id blank", field(`"id":"a b"`), command.BadValue, `the field "id" is "a b"; send ` + wantID},
		{"id slash", field(`"id":"a/b"`), command.BadValue, `the field "id" is "a/b"; send ` + wantID},
		{"id long", field(`"id":"` + strings.Repeat("x", 129) + `"`), command.BadValue, `the field "id" is "` + strings.Repeat("x", 40) + `"...; send ` + wantID},
		{"id surrogate", field(`"id":"\ud800"`), command.BadValue, "the field \"id\" is \"\ufffd\"; send " + wantID},
		{"meta large", field(`"meta":"` + strings.Repeat("m", 1023) + `"`), command.TooLarge, `the field "meta" has 1025 bytes; at most 1024 are echoed`},
		{"first fault counts", field(`"for":1,"id":2`), command.BadValue, `the field "for" is the number 1; send ` + wantFor},
		{"malformed outweighs", field(`"for":1,"for":2`), command.Malformed, `the field "for" is there twice; send it once`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, refusal := table().Decode([]byte(tt.payload))
			if refusal == nil {
				t.Fatalf("accepted: %+v", c)
			}
			if refusal.Reason != tt.reason || refusal.Detail != tt.detail {
				t.Errorf("got  %v\nwant %v: %s", refusal, tt.reason, tt.detail)
			}
			if c.Fingerprint != command.FingerprintOfPayload([]byte(tt.payload)) {
				t.Errorf("fingerprint is not the payload's")
			}
		})
	}
}

// TestDecodeReadsOn: what can be read of a refused command is kept for its
// report, and what cannot be trusted there is not.
func TestDecodeReadsOn(t *testing.T) {
	for _, tt := range []struct {
		payload string
		want    command.Command
	}{
		{`{"for":1,"target":"pump","action":"on","id":"m1","sent":"2026-11-23T12:00:00Z","meta":{"a": 1}}`,
			command.Command{Target: "pump", Action: "on", ID: "m1", Sent: noon, Meta: []byte(`{"a":1}`)}},
		{`{"target":"pump","id":"m1","expires":"2026-11-23T12:00:00Z","action":`, command.Command{Target: "pump", ID: "m1", Expires: noon}},
		{`{"id":"m1","id":"m2","target":"a\nb","action":"on"}`, command.Command{ID: "m1", Action: "on"}},
		{`{"target":"` + strings.Repeat("p", 65) + `","id":"m1"}`, command.Command{ID: "m1"}},
		{"{\"meta\":\"\xff\",\"id\":\"m1\"}", command.Command{ID: "m1"}},
		{"[]", command.Command{}},
	} {
		got, refusal := table().Decode([]byte(tt.payload))
		if refusal == nil {
			t.Fatalf("%s: accepted", tt.payload)
		}
		tt.want.Address = -1
		tt.want.Fingerprint = command.FingerprintOfPayload([]byte(tt.payload))
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", tt.payload, got, tt.want)
		}
	}
}

func TestDecodeLog(t *testing.T) {
	logs := New(profile(), true)
	for _, payload := range []string{
		"Cloud to device message.", "", "7", `"pump"`, `null`, "\xff\xfe", `{}`, `{"temperature":21}`, `{"id":"m1"}`,
		`{"Target":"pump"}`, `[{"target":"pump","action":"on"}]`, `{"a":{"target":"pump","action":"on"}}`, `{"a":`, `{"a":1,"a":2}`,
		`{"a":` + strings.Repeat("[", 60000),
	} {
		c, refusal := logs.Decode([]byte(payload))
		if refusal != nil {
			t.Errorf("%.40q: refused: %v", payload, refusal)
		}
		if w := want(command.Command{Target: "log", Action: "log", Text: payload}); !reflect.DeepEqual(c, w) {
			t.Errorf("%.40q: got %+v", payload, c)
		}
		p, refusal := logs.Plan(c, nil)
		if w := (command.Plan{Op: command.Op{Kind: command.OpLog, Target: "log", Text: payload}}); refusal != nil || !reflect.DeepEqual(p, w) {
			t.Errorf("%.40q: plan %+v, %v; want %+v", payload, p, refusal, w)
		}
	}
	// What was meant as a command is never only logged.
	for payload, reason := range map[string]command.Reason{
		`{"target":"pump"}`:                         command.BadValue,
		`{"action":"on"}`:                           command.BadValue,
		`{"target":"pump","action":"on"`:            command.Malformed,
		`{"target":"pump","action":"on"} x`:         command.Malformed,
		`{"target":7,"action":"on"}`:                command.BadValue,
		`{"target":"log","action":"log"}`:           command.UnknownAction,
		`{"target":"pump","action":"on","x":1}`:     command.UnknownField,
		"{\"action\":\"on\",\"target\":\"a\xff\"}":  command.Malformed,
		string(bytes.Repeat([]byte{' '}, 64<<10+1)): command.TooLarge,
	} {
		if _, refusal := logs.Decode([]byte(payload)); refusal == nil || refusal.Reason != reason {
			t.Errorf("%.60q: refusal %v; want %v", payload, refusal, reason)
		}
	}
}
