package persist

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"actuatord/agent/command"
)

// times are moments that a sender may choose.
func times() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-62135596799, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
}

func TestRecordRoundTrip(t *testing.T) {
	text := rapid.StringN(0, 60, maxText)
	rapid.Check(t, func(rt *rapid.T) {
		want := command.Record{
			Key: command.Key(text.Draw(rt, "key")), State: rapid.SampledFrom([]command.State{1, 2, 3, 4, 5}).Draw(rt, "state"),
			Reason: command.Reason(text.Draw(rt, "reason")), Detail: text.Draw(rt, "detail"), MessageID: text.Draw(rt, "mid"),
			Target: text.Draw(rt, "target"), Action: text.Draw(rt, "action"), OnceOnly: rapid.Bool().Draw(rt, "once"), Away: rapid.Bool().Draw(rt, "away"),
			Arrival: rapid.Uint64().Draw(rt, "arrival"), Sent: times().Draw(rt, "sent"), FirstSeen: times().Draw(rt, "first"), LastSeen: times().Draw(rt, "last"),
			Interruptions: rapid.Byte().Draw(rt, "interruptions"), Owes: command.Debt(rapid.IntRange(0, 2).Draw(rt, "owes")),
		}
		for range rapid.IntRange(0, 3).Draw(rt, "touches") {
			want.Touches = append(want.Touches, text.Draw(rt, "touch"))
		}
		copy(want.Fingerprint[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "fingerprint"))
		payload := encodeRecord(want)
		got, err := decodeRecord(payload)
		if err != nil || !reflect.DeepEqual(got, want) {
			rt.Fatalf("%v\n got %+v\nwant %+v", err, got, want)
		}
		for n := range payload { // cut anywhere, it is refused
			if _, err := decodeRecord(payload[:n]); err == nil {
				rt.Fatalf("%d of %d bytes are a record", n, len(payload))
			}
		}
	})
}

// TestStoredForms pins the bytes that are in journals in the field. If this test
// fails, old journals cannot be read: raise the version instead.
func TestStoredForms(t *testing.T) {
	at := time.Unix(1, 2).UTC()
	r := command.Record{
		Key: "m:1", State: command.Failed, Reason: "nack", Target: "dac", Action: "write", OnceOnly: true, Touches: []string{"dac"},
		Arrival: 300, FirstSeen: at, Interruptions: 1, Owes: command.OwesReject,
	}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"record": {encodeRecord(r), "\x01\x04\x01\x01\x01\x00" + strings.Repeat("\x00", 16) + "\xac\x02" +
			"\x03m:1\x04nack\x00\x00\x03dac\x05write\x01\x03dac\x00\x01\x02\x02\x00"},
		"newest": {encodeNewest(command.Newest{Key: "m:1", Arrival: 2, Sent: at}), "\x01\x03m:1\x02\x01\x02\x02"},
		"lease":  {encodeLease(command.Lease{Output: "p", Key: "m:1", MessageID: "1", Since: at}), "\x01\x01p\x03m:1\x011\x01\x02\x02\x00"},
		"link": {encodeLink(LinkFacts{
			Connect: ConnectAnswered, LastPoll: at, PollTrusted: true, LastVisit: at, FirstDrains: 3, Rung: 2, Starts: 4,
		}), "\x03\x02\x00\x01\x02\x02\x00\x01\x02\x02\x01\x00\x03\x02\x04"},
		"history":  {encodeHistory(History{State: HistoryLost, Since: at, Dated: true}), "\x01\x03\x01\x02\x02\x01"},
		"identity": {encodeIdentity(identity{Identity{"h", "d"}, "t"}), "\x01\x01h\x01d\x01t"},
		"counters": {encodeCounters(counters{1, true, 2, 3, 4, 5, 6, 8, 7}), "\x02\x01\x01\x02\x03\x04\x05\x06\x08\x00\x00\x00\x00\x00\x00\x00\x07"},
		"sealed":   {seal(tableLeases, []byte("p"), []byte("x")), "x\xb2\x95\x12\xe9"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
	got, err := decodeRecord(encodeRecord(r))
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%v, %+v", err, got)
	}
}

// Link facts as earlier versions wrote them: answered, no SUBACK, a poll and a
// trusted time; and the second version's a visit, two drains and a rung.
const (
	linkV1 = "\x01\x02\x00\x01\x02\x02\x01\x04\x00"
	linkV2 = "\x02\x02\x00\x01\x02\x02\x01\x04\x00\x01\x06\x00\x01\x01\x02\x01"
)

// TestEarlierLinkFacts: an earlier version's are read, what they cannot say is zero,
// and the next commit writes them anew.
func TestEarlierLinkFacts(t *testing.T) {
	v1 := LinkFacts{Connect: ConnectAnswered, LastPoll: time.Unix(1, 2).UTC(), LastTrusted: time.Unix(2, 0).UTC()}
	v2 := v1
	v2.LastVisit, v2.PollTrusted, v2.VisitTrusted, v2.FirstDrains, v2.Rung = time.Unix(3, 0).UTC(), true, true, 2, 1
	for old, want := range map[string]LinkFacts{linkV1: v1, linkV2: v2} {
		for n := range old { // cut anywhere, it is refused
			if _, err := decodeLink([]byte(old[:n])); err == nil {
				t.Errorf("%d of %d bytes are link facts", n, len(old))
			}
		}
		j, _ := newJournal(t)
		w := &writer{tx: j.tx, facts: j.facts}
		err := w.put(tableJournal, []byte(keyLink), []byte(old))
		if err == nil {
			err = w.putCounters()
		}
		if err == nil {
			_, err = j.commit(false)
		}
		if err != nil {
			t.Fatal(err)
		}
		j = reopen(t, j) // whose commit of the start writes the present one
		same(t, "link facts", j.LinkFacts(), want)
		j = reopen(t, j)
		same(t, "link facts, written anew", j.LinkFacts(), want)
		if err := j.view("look", func(tx *bbolt.Tx) error {
			payload, err := must(tx, tableJournal, keyLink)
			if err == nil && payload[0] != linkVersion {
				t.Errorf("still of version %d", payload[0])
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnknownForms(t *testing.T) {
	var newer *SchemaError
	var bad *ContentError
	good := encodeRecord(record(1, command.Done))
	for name, c := range map[string]struct {
		payload []byte
		want    any
	}{
		"newer version":     {append([]byte{recordVersion + 1}, good[1:]...), &newer},
		"version 0":         {append([]byte{0}, good[1:]...), &bad},
		"state 6":           {append([]byte{recordVersion, 6}, good[2:]...), &bad},
		"something left":    {append(bytes.Clone(good), 0), &bad},
		"a length of 2^63":  {append(bytes.Clone(good[:24]), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), &bad},
		"nothing":           {nil, &bad},
		"nanoseconds of 5s": {append(bytes.Clone(good[:len(good)-5]), 0x80, 0xb6, 0x99, 0xd2, 0x12), &bad},
	} {
		if _, err := decodeRecord(c.payload); !errors.As(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSealKnowsItsPlace: a value moved to another key or table is refused there.
func TestSealKnowsItsPlace(t *testing.T) {
	v := seal(tableLeases, []byte("pump"), []byte("payload"))
	if p, err := unseal(tableLeases, []byte("pump"), v); err != nil || string(p) != "payload" {
		t.Errorf("%q, %v", p, err)
	}
	for _, c := range []struct {
		t   table
		key string
		v   []byte
	}{
		{tableNewest, "pump", v}, {tableLeases, "pumP", v}, {tableLeases, "pump", v[1:]}, {tableLeases, "pump", v[:3]}, {tableLeases, "pump", nil},
	} {
		if _, err := unseal(c.t, []byte(c.key), c.v); err == nil {
			t.Errorf("%s %s %q is believed", c.t, c.key, c.v)
		}
	}
}

func TestShortKey(t *testing.T) {
	for _, n := range []int{1, maxText, maxText + 1, 70_000} {
		k := command.Key(strings.Repeat("k", n))
		s := shortKey(k)
		if len(s) > maxText || shortKey(s) != s || !bytes.Equal(index(s), index(k)) || (n <= maxText) != (s == k) {
			t.Errorf("%d bytes: %.20s", n, s)
		}
	}
}

// wantDocumented: what cannot be read is bad content, or from a newer program.
func wantDocumented(t *testing.T, err error) {
	t.Helper()
	var content *ContentError
	var newer *SchemaError
	if !errors.As(err, &content) && !errors.As(err, &newer) {
		t.Errorf("error %v (%T)", err, err)
	}
}

// wantRoundTrip: what can be read, cut as encode cuts it, is read again as it was.
func wantRoundTrip[V any](t *testing.T, payload []byte, decode func([]byte) (V, error), cut func(*V), encode func(V) []byte) {
	t.Helper()
	v, err := decode(payload)
	if err != nil {
		wantDocumented(t, err)
		return
	}
	cut(&v)
	if again, err := decode(encode(v)); err != nil || !reflect.DeepEqual(again, v) {
		t.Errorf("%v\n got %+v\nwant %+v", err, again, v)
	}
}

// FuzzDecodeRecord: see wantRoundTrip.
func FuzzDecodeRecord(f *testing.F) {
	f.Add(encodeRecord(record(1, command.Done)))
	f.Add(encodeRecord(command.Record{Key: "m:1", State: command.Started}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		wantRoundTrip(t, payload, decodeRecord, func(r *command.Record) {
			r.Key, r.Reason = shortKey(r.Key), command.Reason(clip(string(r.Reason)))
			for _, s := range []*string{&r.Detail, &r.MessageID, &r.Target, &r.Action} {
				*s = clip(*s)
			}
			for i := range r.Touches {
				r.Touches[i] = clip(r.Touches[i])
			}
		}, encodeRecord)
	})
}

// FuzzDecodeReport: what can be read can be written in the bounds of the journal,
// and is then read again as it was.
func FuzzDecodeReport(f *testing.F) {
	payload, err := encodeReport(report(command.Done, "m1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Add([]byte("\x01\x00{}"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		rep, _, err := decodeReport(payload)
		if err != nil {
			wantDocumented(t, err)
			return
		}
		rep = bounded(rep)
		payload, err = encodeReport(rep)
		if err != nil {
			t.Fatalf("a bounded report cannot be written: %v", err)
		}
		again, done, err := decodeReport(payload)
		if err != nil || done != isDone(rep) || again.Seq != rep.Seq || len(again.Meta) > maxMeta || len(again.Detail) > 3*maxText {
			t.Fatalf("%v: %+v", err, again)
		}
		if twice, err := encodeReport(bounded(again)); err != nil || !bytes.Equal(twice, payload) {
			t.Errorf("%v\n got %q\nwant %q", err, twice, payload)
		}
	})
}

// FuzzDecodeFacts: the small forms; see wantRoundTrip.
func FuzzDecodeFacts(f *testing.F) {
	f.Add(encodeLink(LinkFacts{Connect: ConnectAnswered, LastPoll: start, LastVisit: start, VisitTrusted: true, FirstDrains: 3, Rung: 1}))
	f.Add([]byte(linkV1))
	f.Add([]byte(linkV2))
	f.Add(encodeHistory(History{State: HistoryLost, Since: start}))
	f.Add(encodeNewest(command.Newest{Key: "m:1", Arrival: 1, Sent: start}))
	f.Add(encodeLease(command.Lease{Output: "pump", Key: "m:1", Since: start}))
	f.Add(encodeCounters(counters{boot: 1, sum: 1 << 60}))
	f.Add(encodeIdentity(identity{pump, "b7"}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		wantRoundTrip(t, payload, decodeLink, func(*LinkFacts) {}, encodeLink)
		wantRoundTrip(t, payload, decodeHistory, func(*History) {}, encodeHistory)
		wantRoundTrip(t, payload, decodeCounters, func(*counters) {}, encodeCounters)
		wantRoundTrip(t, payload, decodeIdentity, func(*identity) {}, encodeIdentity)
		wantRoundTrip(t, payload, decodeNewest, func(n *command.Newest) { n.Key = shortKey(n.Key) }, encodeNewest)
		wantRoundTrip(t, payload, decodeLease, func(l *command.Lease) { l.Key, l.MessageID = shortKey(l.Key), clip(l.MessageID) }, encodeLease)
	})
}

func TestClip(t *testing.T) {
	for _, s := range []string{"", "short", strings.Repeat("x", maxText), strings.Repeat("ä", maxText), strings.Repeat("€", maxText), strings.Repeat("\x80", 400)} {
		c := clip(s)
		if len(c) > maxText || utf8.ValidString(s) != utf8.ValidString(c) || (len(s) <= maxText) != (c == s) {
			t.Errorf("%d bytes: %q", len(s), c)
		}
	}
}

func TestBoundedMeta(t *testing.T) {
	for meta, kept := range map[string]bool{`{"a":1}`: true, `{"a":`: false, "": false, `"` + strings.Repeat("x", maxMeta) + `"`: false} {
		rep := bounded(command.Report{Meta: json.RawMessage(meta), At: start})
		if (rep.Meta != nil) != kept {
			t.Errorf("meta %.10q: kept %v", meta, rep.Meta != nil)
		}
		if _, err := encodeReport(rep); err != nil {
			t.Errorf("meta %.10q: %v", meta, err)
		}
	}
}
