package handlers

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"actuatord/agent/command"
)

// FuzzDecode: whatever the bytes are, Decode answers, with a sentence that fits
// and is printable, and never accepts what two readers could take differently. Its corpus is in
// testdata/fuzz.
func FuzzDecode(f *testing.F) {
	refuses, logs := New(profile(), false), New(profile(), true)
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, refusal := refuses.Decode(payload)
		checkDecoded(t, payload, c, refusal)
		if _, r := logs.Decode(payload); r != nil && refusal == nil {
			t.Errorf("refused only where foreign payloads are logged: %v", r)
		}
		p, planRefusal := refuses.Plan(c, func(string) (bool, bool) { return len(payload)%2 == 0, len(payload)%3 > 0 })
		if planRefusal != nil {
			checkSentence(t, planRefusal)
		} else if p.Op.Kind == 0 {
			t.Errorf("neither plan nor refusal for %q", payload)
		}
	})
}

func checkDecoded(t *testing.T, payload []byte, c command.Command, refusal *command.Refusal) {
	t.Helper()
	if c.Meta != nil && (len(c.Meta) > maxMeta || !json.Valid(c.Meta) || !utf8.Valid(c.Meta)) {
		t.Errorf("meta %q cannot be echoed", c.Meta)
	}
	if len(c.ID) > maxID || strings.ContainsFunc(c.ID, notInID) || len(c.Target) > maxWord || len(c.Action) > maxWord {
		t.Errorf("kept what cannot be recorded: %+v", c)
	}
	for _, at := range []time.Time{c.Sent, c.Expires} { // in UTC, as the journal keeps it and people are shown it
		if _, err := at.UTC().MarshalJSON(); err != nil || !at.IsZero() && at.Unix() < 0 {
			t.Errorf("kept a date that cannot be shown: %v, %v", at, err)
		}
	}
	if refusal != nil {
		checkSentence(t, refusal)
		if c.Fingerprint != command.FingerprintOfPayload(payload) {
			t.Errorf("fingerprint of a refused payload is %v", c.Fingerprint)
		}
		return
	}
	if !json.Valid(payload) || !utf8.Valid(payload) {
		t.Errorf("accepted what is no JSON: %q", payload)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil {
		t.Errorf("accepted what is no object: %q", payload)
	}
	for name := range fields {
		if !slices.Contains(fieldNames(), name) {
			t.Errorf("accepted the field %q", name)
		}
	}
	if c.Fingerprint != command.FingerprintOf(c) {
		t.Errorf("fingerprint of an accepted command is not its own")
	}
	checkPlain(t, payload, c)
}

// checkPlain holds an accepted command against what encoding/json reads.
func checkPlain(t *testing.T, payload []byte, c command.Command) {
	t.Helper()
	var plain struct {
		Target, Action, ID, For, Bytes string
		Register                       *int
		Percent                        *float64
		Sent, Expires                  time.Time
		Meta                           json.RawMessage
	}
	if err := json.Unmarshal(payload, &plain); err != nil {
		t.Fatalf("accepted %q: %v", payload, err)
	}
	address, length := -1, time.Duration(0)
	if plain.Register != nil {
		address = *plain.Register
	}
	if plain.For != "" {
		length, _ = time.ParseDuration(plain.For)
	}
	if (c.Percent == nil) != (plain.Percent == nil) || c.Percent != nil && math.Abs(float64(*c.Percent)-100*(*plain.Percent)) > 1e-6 {
		t.Errorf("%q is read as %v %%", payload, c.Percent)
	}
	if c.Target != plain.Target || c.Action != plain.Action || c.ID != plain.ID || c.For != length || c.Address != address ||
		hex.EncodeToString(c.Bytes) != strings.ToLower(plain.Bytes) || !c.Sent.Equal(plain.Sent) || !c.Expires.Equal(plain.Expires) || (c.Meta == nil) != (plain.Meta == nil) {
		t.Errorf("%q is read as %+v; encoding/json reads %+v", payload, c, plain)
	}
}

func checkSentence(t *testing.T, r *command.Refusal) {
	t.Helper()
	if r.Reason == "" || r.Detail == "" || len(r.Detail) >= 300 || !utf8.ValidString(r.Detail) {
		t.Errorf("a poor refusal (%d bytes): %v", len(r.Detail), r)
	}
	for _, c := range r.Detail {
		if c < ' ' || c == 0x7f || c == 0x202e {
			t.Errorf("%U reaches the log unescaped: %v", c, r)
		}
	}
}

// drawCommand draws a command's essence: the fields its fingerprint covers.
func drawCommand(t *rapid.T) map[string]any {
	m := map[string]any{
		"target": rapid.SampledFrom([]string{"pump", "valve-1", "lamp", "fan", "dim", "vent", "dac", "fifo", "all", "nothing"}).Draw(t, "target"),
		"action": rapid.SampledFrom([]string{"on", "off", "toggle", "pulse", "set", "write", "safe", "read", "blink"}).Draw(t, "action"),
	}
	if rapid.Bool().Draw(t, "with for") {
		m["for"] = time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Hour)).Draw(t, "for")).String()
	}
	if rapid.Bool().Draw(t, "with percent") {
		m["percent"] = command.Percent(rapid.IntRange(0, 10000).Draw(t, "percent"))
	}
	if rapid.Bool().Draw(t, "with register") {
		m["register"] = rapid.IntRange(0, 255).Draw(t, "register")
	}
	if rapid.Bool().Draw(t, "with bytes") {
		m["bytes"] = fmt.Sprintf("%x", rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "bytes"))
	}
	return m
}

// dress writes m as JSON in a drawn order, with drawn blanks, and with drawn
// fields that are not part of what is asked for.
func dress(t *rapid.T, m map[string]any) []byte {
	fields := map[string]any{}
	for k, v := range m {
		fields[k] = v
	}
	for k, v := range map[string]any{
		"id":      rapid.StringMatching(`[A-Za-z0-9:._-]{1,20}`).Draw(t, "id"),
		"sent":    time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "sent"), 0).UTC().Format(time.RFC3339),
		"expires": time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "expires"), 0).UTC().Format(time.RFC3339),
		"meta":    rapid.MapOf(rapid.String(), rapid.Int()).Filter(func(m map[string]int) bool { return len(m) < 4 }).Draw(t, "meta"),
	} {
		if rapid.Bool().Draw(t, "with "+k) {
			fields[k] = v
		}
	}
	names := make([]string, 0, len(fields))
	for _, n := range fieldNames() {
		if _, ok := fields[n]; ok {
			names = append(names, n)
		}
	}
	names = rapid.Permutation(names).Draw(t, "order")
	blank := rapid.SampledFrom([]string{"", " ", "\n\t", "\r\n"})
	var b strings.Builder
	b.WriteString("{")
	for i, n := range names {
		if i > 0 {
			b.WriteString(",")
		}
		if p, ok := fields[n].(command.Percent); ok && rapid.Bool().Draw(t, "written out") {
			fields[n] = json.Number(fmt.Sprintf("%d.%02d", p/100, p%100)) // 12.50 for 12.5
		}
		v, err := json.Marshal(fields[n])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s%q%s:%s%s%s", blank.Draw(t, "b"), n, blank.Draw(t, "b"), blank.Draw(t, "b"), v, blank.Draw(t, "b"))
	}
	b.WriteString("}")
	return []byte(b.String())
}

// TestFingerprint: one command has one fingerprint however it is written and
// whatever it is called, and another command has another.
func TestFingerprint(t *testing.T) {
	tab := table()
	rapid.Check(t, func(t *rapid.T) {
		m, other := drawCommand(t), drawCommand(t)
		decode := func(m map[string]any) command.Command {
			payload := dress(t, m)
			c, refusal := tab.Decode(payload)
			if refusal != nil && refusal.Reason != command.TooLarge {
				t.Fatalf("%s: %v", payload, refusal)
			}
			c.Fingerprint = command.FingerprintOf(c) // also of one whose meta is too large
			return c
		}
		a, b, o := decode(m), decode(m), decode(other)
		if a.Fingerprint != b.Fingerprint {
			t.Fatalf("two spellings of %v differ", m)
		}
		if same := fmt.Sprint(m) == fmt.Sprint(other); same != (a.Fingerprint == o.Fingerprint) {
			t.Fatalf("%v and %v: same is %v, fingerprints %v and %v", m, other, same, a.Fingerprint, o.Fingerprint)
		}
	})
}

// TestPlanFacts: what a plan says of itself agrees with what it would do.
func TestPlanFacts(t *testing.T) {
	tab, prof := table(), profile()
	rapid.Check(t, func(t *rapid.T) {
		c, refusal := tab.Decode(dress(t, drawCommand(t)))
		if refusal != nil {
			t.Skip("refused")
		}
		on, known := rapid.Bool().Draw(t, "on"), rapid.Bool().Draw(t, "known")
		p, refusal := tab.Plan(c, func(string) (bool, bool) { return on, known })
		if refusal != nil {
			return
		}
		for _, o := range prof.Outputs {
			if o.Name != c.Target {
				continue
			}
			pulse := p.Op.Kind == command.OpPulse
			if want := pulse || p.Op.On != o.SafeOn; p.Away != want {
				t.Fatalf("%+v on %+v: away is %v", c, o, p.Away)
			}
			if o.MaxOn > 0 && p.Op.For > o.MaxOn || pulse && (p.Op.For <= 0 || p.Op.For > maxPulse) {
				t.Fatalf("%+v on %+v: for %v", c, o, p.Op.For)
			}
			if p.Op.For > 0 && !p.Away {
				t.Fatalf("%+v: a lease on the safe level", c)
			}
		}
		for _, w := range prof.Levels {
			if w.Name != c.Target {
				continue
			}
			if p.Op.Kind != command.OpLevel || p.Op.Percent != *c.Percent || p.Away != (p.Op.Percent != command.Percent(w.Safe)) || p.OnceOnly {
				t.Fatalf("%+v on %+v: %+v", c, w, p)
			}
			if w.MaxOn > 0 && p.Op.For > w.MaxOn || p.Op.For > 0 && !p.Away {
				t.Fatalf("%+v on %+v: for %v", c, w, p.Op.For)
			}
		}
		if once := c.Action == "toggle" || c.Action == "pulse" || c.Target == "fifo"; p.OnceOnly != once {
			t.Fatalf("%+v: once-only is %v", c, p.OnceOnly)
		}
		switch {
		case c.Action == "read":
			if len(p.Touches) > 0 || p.Away || p.OnceOnly {
				t.Fatalf("a read does something: %+v", p)
			}
		case c.Target != "all" && !slices.Equal(p.Touches, []string{c.Target}):
			t.Fatalf("%+v touches %v", c, p.Touches)
		case c.Target == "all" && p.Away:
			t.Fatalf("safe leads away from safe: %+v", p)
		}
	})
}

// TestDecodeAnything feeds random text made of JSON's own pieces, which random
// bytes would hardly ever hit.
func TestDecodeAnything(t *testing.T) {
	piece := rapid.SampledFrom([]string{"{", "}", "[", "]", ",", ":", `"target"`, `"action"`, `"for"`, `"pump"`, `"on"`, `"1s"`, "1", "-", "e", "null", "true", `"`, `\`, " ", "\xff", "\u202e", "\x00"})
	tab := table()
	rapid.Check(t, func(rt *rapid.T) {
		payload := []byte(strings.Join(rapid.SliceOfN(piece, 0, 30).Draw(rt, "payload"), ""))
		c, refusal := tab.Decode(payload)
		checkDecoded(t, payload, c, refusal)
	})
}

// TestHostilePayloads: the longest payloads of each kind are answered without
// recursion or memory getting out of hand; their sentences stay short.
func TestHostilePayloads(t *testing.T) {
	fill := func(head, piece, tail string) []byte {
		n := (MaxPayload - len(head) - len(tail)) / len(piece)
		return []byte(head + strings.Repeat(piece, n) + tail)
	}
	var names strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&names, `"%x":%d,`, i, i%10)
	}
	for name, payload := range map[string][]byte{
		"brackets":     fill("", "[", ""),
		"braces":       fill("", `{"a":`, ""),
		"long string":  fill(`{"target":"`, "p", `","action":"on"}`),
		"long name":    fill(`{"`, "p", `":1}`),
		"long number":  fill(`{"register":`, "9", `}`),
		"long for":     fill(`{"target":"pump","action":"on","for":"`, "1ns", `"}`),
		"long bytes":   fill(`{"target":"dac","action":"write","register":64,"bytes":"`, "ab", `"}`),
		"long date":    fill(`{"sent":"2026-11-23T12:00:00.`, "1", `Z"}`),
		"wide meta":    fill(`{"target":"pump","action":"on","meta":[`, "1,", `1]}`),
		"many names":   []byte(`{"meta":{` + names.String() + `"end":1}}`),
		"escapes":      fill(`{"target":"`, `\u0000`, `"}`),
		"blanks":       fill("{", " ", "}"),
		"same field":   fill("{", `"a":1,`, `"a":1}`),
		"text":         fill("", "x", ""),
		"not UTF-8":    fill("", "\xc0", ""),
		"text between": fill(`{"target":"pump","action":"on"}`, "\x1b", ""),
	} {
		c, refusal := table().Decode(payload)
		if refusal == nil { // well formed: then the board's limits refuse it
			_, refusal = table().Plan(c, levels{}.of)
		}
		if refusal == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		checkSentence(t, refusal)
	}
}
