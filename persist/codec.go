package persist

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"time"
	"unicode/utf8"

	"actuatord/agent/command"
)

// Every payload begins with the version of its form. A higher one than is known
// here was written by a newer program: the file is whole, and not ours to touch.
const (
	recordVersion   = 1
	newestVersion   = 1
	leaseVersion    = 1
	reportVersion   = 1
	countersVersion = 2
	linkVersion     = 3
	historyVersion  = 1
	identityVersion = 1
)

// maxText bounds every text that a sender can choose, in bytes. 300 is what
// command.Refuse allows a sentence; IoT Hub's own ids end at 128. Without a bound
// 10 000 reports that quote 60 KiB targets would fill the file.
const maxText = 300

// maxMeta is the bound of "meta" (design §8). Package handlers enforces it; here
// it only keeps a slip there from filling the file.
const maxMeta = 1024

// clip cuts s to maxText bytes, never inside a character.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	const room = maxText - len("...")
	for n := room; n > room-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return s[:n] + "..."
		}
	}
	return s[:room] + "..." // it is no UTF-8 at all
}

// shortKey keeps a key as it is up to maxText bytes; of a longer one it keeps the
// beginning, for people, and a hash, for identity. shortKey(shortKey(k)) ==
// shortKey(k), so a key read from a record finds that record.
func shortKey(k command.Key) command.Key {
	if len(k) <= maxText {
		return k
	}
	h := sha256.Sum256([]byte(k))
	return k[:100] + command.Key("~"+hex.EncodeToString(h[:]))
}

// index is where a command is filed: a hash, because bbolt bounds its keys and
// because 16 bytes keep the pages full.
func index(k command.Key) []byte {
	h := sha256.Sum256([]byte(shortKey(k)))
	return h[:16]
}

// encoder appends fields to a payload.
type encoder []byte

func (e *encoder) byte(b byte)    { *e = append(*e, b) }
func (e *encoder) bytes(b []byte) { *e = append(*e, b...) }
func (e *encoder) uint(u uint64)  { *e = binary.AppendUvarint(*e, u) }
func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) bool(b bool) {
	if b {
		e.byte(1)
		return
	}
	e.byte(0)
}

// time writes seconds and nanoseconds apart: a sender's "sent" may be in the
// year 9999, where UnixNano has long wrapped.
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.byte(0)
		return
	}
	e.byte(1)
	*e = binary.AppendVarint(*e, t.Unix())
	e.uint(uint64(t.Nanosecond()))
}

// decoder takes the same fields off again. After the first fault it answers
// zeros, and end tells the fault.
type decoder struct {
	b       []byte
	version byte // of the form; 0 only behind a fault
	err     error
}

// decode starts on a payload of what, whose newest known version is known.
func decode(what string, payload []byte, known byte) *decoder {
	d := &decoder{b: payload}
	d.version = d.byte()
	if d.err == nil && d.version > known {
		d.err = &SchemaError{Found: int(d.version), Known: int(known)}
	} else if d.err == nil && d.version == 0 {
		d.err = badContent("%s of version 0", what)
	}
	return d
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = badContent("%s runs past its end", what)
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("byte")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bool() bool { return d.byte() != 0 }

func (d *decoder) bytes(n int) []byte {
	if n < 0 || len(d.b) < n {
		d.fail("field")
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail("text")
		return ""
	}
	return string(d.bytes(int(n)))
}

func (d *decoder) time() time.Time {
	if !d.bool() {
		return time.Time{}
	}
	sec, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("time")
		return time.Time{}
	}
	d.b = d.b[n:]
	nsec := d.uint()
	if nsec > 999_999_999 {
		d.fail("nanoseconds")
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

// end is the first fault, or that something is left over.
func (d *decoder) end(what string) error {
	if d.err == nil && len(d.b) != 0 {
		d.err = badContent("%s has %d bytes too many", what, len(d.b))
	}
	return d.err
}

func encodeRecord(r command.Record) []byte {
	e := encoder{recordVersion, byte(r.State), byte(r.Owes), r.Interruptions}
	e.bool(r.OnceOnly)
	e.bool(r.Away)
	e.bytes(r.Fingerprint[:])
	e.uint(r.Arrival)
	for _, s := range []string{string(shortKey(r.Key)), string(r.Reason), r.Detail, r.MessageID, r.Target, r.Action} {
		e.string(clip(s))
	}
	e.uint(uint64(len(r.Touches)))
	for _, t := range r.Touches {
		e.string(clip(t))
	}
	e.time(r.Sent)
	e.time(r.FirstSeen)
	e.time(r.LastSeen)
	return e
}

func decodeRecord(payload []byte) (command.Record, error) {
	var r command.Record
	d := decode("command", payload, recordVersion)
	r.State, r.Owes, r.Interruptions = command.State(d.byte()), command.Debt(d.byte()), d.byte()
	r.OnceOnly, r.Away = d.bool(), d.bool()
	copy(r.Fingerprint[:], d.bytes(len(r.Fingerprint)))
	r.Arrival = d.uint()
	r.Key, r.Reason, r.Detail = command.Key(d.string()), command.Reason(d.string()), d.string()
	r.MessageID, r.Target, r.Action = d.string(), d.string(), d.string()
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		r.Touches = append(r.Touches, d.string())
	}
	r.Sent, r.FirstSeen, r.LastSeen = d.time(), d.time(), d.time()
	if err := d.end("command"); err != nil {
		return command.Record{}, err
	}
	if r.State != command.Started && !r.State.Final() {
		return command.Record{}, badContent("command in state %d", r.State)
	}
	return r, nil
}

func encodeNewest(n command.Newest) []byte {
	e := encoder{newestVersion}
	e.string(string(shortKey(n.Key)))
	e.uint(n.Arrival)
	e.time(n.Sent)
	return e
}

func decodeNewest(payload []byte) (command.Newest, error) {
	d := decode("newest", payload, newestVersion)
	n := command.Newest{Key: command.Key(d.string()), Arrival: d.uint(), Sent: d.time()}
	return n, d.end("newest")
}

func encodeLease(l command.Lease) []byte {
	e := encoder{leaseVersion}
	e.string(l.Output)
	e.string(string(shortKey(l.Key)))
	e.string(clip(l.MessageID))
	e.time(l.Since)
	e.time(l.Until)
	return e
}

func decodeLease(payload []byte) (command.Lease, error) {
	d := decode("lease", payload, leaseVersion)
	l := command.Lease{Output: d.string(), Key: command.Key(d.string()), MessageID: d.string(), Since: d.time(), Until: d.time()}
	return l, d.end("lease")
}

// bounded is rep as it fits the journal: see maxText and maxMeta. What
// encoding/json would refuse is left out rather than letting a report stop the
// outcome it belongs to.
func bounded(rep command.Report) command.Report {
	for _, s := range []*string{&rep.MessageID, &rep.ID, &rep.Target, &rep.Action, &rep.Outcome, &rep.Detail, &rep.Cause, &rep.Alarm, &rep.State} {
		*s = clip(*s)
	}
	if len(rep.Meta) > maxMeta || !json.Valid(rep.Meta) {
		rep.Meta = nil
	}
	if y := rep.At.Year(); y < 0 || y > 9999 {
		rep.At = time.Time{}
	}
	return rep
}

// isDone reports whether rep is the first kind to go when the outbox is full:
// nobody acts on "it was done" as they act on everything else.
func isDone(rep command.Report) bool {
	return rep.Kind == command.KindOutcome && rep.Outcome == command.Done.String()
}

// encodeReport keeps the report in the form in which it travels.
func encodeReport(rep command.Report) ([]byte, error) {
	e := encoder{reportVersion}
	e.bool(isDone(rep))
	text, err := json.Marshal(rep)
	if err != nil {
		return nil, err
	}
	e.bytes(text)
	return e, nil
}

func decodeReport(payload []byte) (rep command.Report, done bool, err error) {
	d := decode("report", payload, reportVersion)
	done = d.bool()
	if d.err != nil {
		return rep, false, d.err
	}
	if err := json.Unmarshal(d.b, &rep); err != nil {
		return command.Report{}, false, badContent("report: %v", err)
	}
	return rep, done, nil
}
