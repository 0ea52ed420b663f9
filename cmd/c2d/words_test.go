package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"actuatord/hub/localhub"
)

func TestSplit(t *testing.T) {
	cases := map[string][]word{
		``:                           nil,
		"  \t ":                      nil,
		`quit`:                       {{text: "quit"}},
		`send pump-1 hello`:          {{text: "send"}, {text: "pump-1"}, {text: "hello"}},
		`s p {"a": [1, {"b":" }"}]}`: {{text: "s"}, {text: "p"}, {text: `{"a": [1, {"b":" }"}]}`}},
		`s {"a":1} ack=full`:         {{text: "s"}, {text: `{"a":1}`}, {text: "ack=full"}},
		`s [1, 2]`:                   {{text: "s"}, {text: "[1, 2]"}},
		`s "two \"words\"\n"`:        {{text: "s"}, {text: "two \"words\"\n", quoted: true}},
		`s "hex:00"`:                 {{text: "s"}, {text: "hex:00", quoted: true}},
		`s b note="two words" x=y`:   {{text: "s"}, {text: "b"}, {text: "note=two words"}, {text: "x=y"}},
		`s b note="" id=`:            {{text: "s"}, {text: "b"}, {text: "note="}, {text: "id="}},
		"s\tb":                       {{text: "s"}, {text: "b"}},
	}
	for line, want := range cases {
		if got, err := split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s splits into %+v, %v; want %+v", line, got, err, want)
		}
	}
	bad := map[string]string{
		`s {"a"`:             "starts like JSON but is not",
		`s {oops}`:           "in double quotes",
		`s "open`:            "not closed",
		`s "bad \q"`:         "not a JSON string",
		`s {"a":1}x`:         "a blank is missing",
		`s "a"b`:             "a blank is missing",
		`s b note="open`:     "not closed",
		`s b note="a"b`:      "a blank is missing",
		`s [1,2`:             "starts like JSON but is not",
		`s {` + big(100_000): "starts like JSON but is not",
	}
	for line, want := range bad {
		_, err := split(line)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s gave error %v; want one with %q", line, err, want)
		} else if len(err.Error()) > 400 {
			t.Errorf("%.60s gave an answer of %d bytes", line, len(err.Error()))
		}
	}
}

func big(n int) string { return strings.Repeat("x", n) }

func TestMessage(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m, err := message(word{text: "hex:00Ff"}, []word{{text: "id=m1"}, {text: "ack=full"}, {text: "expires=10m"}, {text: "cid=c"}, {text: "uid=u"},
		{text: "to=/x"}, {text: "ct=a/b"}, {text: "ce=utf-8"}, {text: "sent=now"}, {text: "k=a=b"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != "m1" || m.Ack != "full" || !m.Expiry.Equal(now.Add(10*time.Minute)) || m.CorrelationID != "c" || m.UserID != "u" || m.To != "/x" ||
		m.ContentType != "a/b" || m.ContentEncoding != "utf-8" || m.Properties["sent"] != "now" || m.Properties["k"] != "a=b" || string(m.Body) != "\x00\xff" {
		t.Errorf("read %+v", m)
	}
	if m, err = message(word{text: "hex:zz", quoted: true}, []word{{text: "id="}, {text: "expires=2026-11-23T13:00:00+01:00"}}, now); err != nil ||
		string(m.Body) != "hex:zz" || m.ID != "" || !m.Expiry.Equal(now) {
		t.Errorf("read %+v, %v", m, err)
	}
	a, err1 := message(word{}, nil, now)
	b, err2 := message(word{}, nil, now)
	if err1 != nil || err2 != nil || a.ID == "" || a.ID == b.ID {
		t.Errorf("made up ids are %q and %q", a.ID, b.ID)
	}
	for _, bad := range []struct{ body, property, want string }{
		{"hex:0", "a=b", "hexadecimal"},
		{"x", "word", "not KEY=VALUE"},
		{"x", "=v", "not KEY=VALUE"},
		{"x", "expires=soon", "neither a duration"},
		{"x", "expires=10", "neither a duration"},
	} {
		if _, err := message(word{text: bad.body}, []word{{text: bad.property}}, now); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s %s gave %v; want an error with %q", bad.body, bad.property, err, bad.want)
		}
	}
}

// FuzzSplit: no line makes it panic or loop, words hold no more than the line did, and
// written as JSON strings they are the same words.
func FuzzSplit(f *testing.F) {
	for _, line := range []string{`send pump-1 {"a": 1} ack=full`, `s "x\ty" k="v"`, `{[`, `"\u00`, `a="`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		n := 0
		quoted := make([]string, len(words))
		for i, w := range words {
			n += len(w.text)
			b, err := json.Marshal(w.text)
			if err != nil {
				t.Fatal(err)
			}
			quoted[i] = string(b)
		}
		if n > 3*len(line) { // an invalid byte in a JSON string becomes U+FFFD, three bytes
			t.Fatalf("%d bytes came out of %d", n, len(line))
		}
		again, err := split(strings.Join(quoted, " "))
		if err != nil || !slices.EqualFunc(again, words, func(a, b word) bool { return a.quoted && a.text == string([]rune(b.text)) }) {
			t.Errorf("%q is %+v, and again %+v, %v", line, words, again, err)
		}
	})
}

// FuzzConsole: every line is answered, in lines that each begin with a word of ours and
// are shown as they are; a fault that is taken reads again from what it is told as.
func FuzzConsole(f *testing.F) {
	f.Add(`send pump-1 {"target": "pump"} id="m 1" ack=full note="two words"`)
	f.Add("fault pump-1 refuse http-receive code=429 retry=9 times=forever")
	f.Add("restart 10ms")
	f.Fuzz(func(t *testing.T, line string) {
		if strings.Contains(line, "\n") || strings.TrimSpace(line) == "" || strings.TrimSpace(line)[0] == '#' {
			return
		}
		said := talk(t, line+"\n")
		if said[0] == "" {
			t.Fatalf("%q is not answered", line)
		}
		for _, answer := range said {
			first, _, _ := strings.Cut(answer, " ")
			if !slices.Contains([]string{"ok", "error", "help", "queue", "queued", "enqueued", "dead-lettered", "feedback"}, first) {
				t.Errorf("%q is answered %q", line, answer)
			}
			if first != "ok" && strings.ContainsFunc(answer, func(r rune) bool { return !unicode.IsPrint(r) }) { // "ok" repeats what was typed
				t.Errorf("%q is answered %q", line, answer)
			}
		}
		words, err := split(line)
		if err != nil || len(words) < 3 || words[0].text != "fault" {
			return
		}
		var args []string
		for _, w := range words[2:] {
			args = append(args, w.text)
		}
		if fault, err := localhub.ParseFault(args); err == nil {
			again, err := localhub.ParseFault(strings.Fields(fault.String()))
			again.Skip, again.Times = fault.Skip, fault.Times // it tells neither
			if err != nil || again != fault {
				t.Errorf("%q is %+v, and again %+v, %v", line, fault, again, err)
			}
		}
	})
}
