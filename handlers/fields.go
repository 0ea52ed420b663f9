package handlers

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"actuatord/agent/command"
	"actuatord/board"
)

const (
	maxID   = 128  // IoT Hub's bound for a message id; a body's id is used like one
	maxMeta = 1024 // bytes, as compact JSON: it is echoed in every report
	maxWord = 64   // bytes of a target or action: as long as a name in the configuration can be
)

// idPunctuation is what a message id may hold beside letters and digits (IoT
// Hub's rule for the system property message-id).
const idPunctuation = `-:.+%_#*?!(),=@;$'`

// What would be right in each field, as the refusals say it.
const (
	wantTarget   = `the name of an output, level or register, or "all"`
	wantAction   = `an action, such as "on"`
	wantFor      = `a duration with its unit as a string, such as "200ms", "10s" or "1h30m"`
	wantPercent  = `a number from 0 to 100 with at most two decimals, such as 30 or 12.5`
	wantRegister = `a whole number from 0 to 255, in decimal`
	wantBytes    = `hex digits as a string, two for each byte, such as "0fff"`
	wantTime     = `a date as RFC 3339, such as "2026-11-23T08:00:00Z"`
	wantID       = `1 to 128 characters of A-Z a-z 0-9 ` + idPunctuation
)

// fieldNames are all fields a command can have, in the order of the docs.
func fieldNames() []string {
	return []string{"target", "action", "for", "percent", "register", "bytes", "expires", "sent", "id", "meta"}
}

// field reads one field of the command: its first token, and its text.
func (d *decoder) field(name string, tok json.Token, raw []byte) {
	switch name {
	case "target":
		d.c.Target = d.word(name, tok, wantTarget)
	case "action":
		d.c.Action = d.word(name, tok, wantAction)
	case "for":
		d.c.For = d.duration(name, tok)
	case "percent":
		d.c.Percent = d.percent(name, tok)
	case "register":
		d.c.Address = d.register(name, tok)
	case "bytes":
		d.c.Bytes = d.bytes(name, tok)
	case "expires":
		d.c.Expires = d.time(name, tok)
	case "sent":
		d.c.Sent = d.time(name, tok)
	case "id":
		d.c.ID = d.id(name, tok)
	case "meta":
		d.c.Meta = d.meta(raw)
	default:
		d.unknown(name)
	}
}

func (d *decoder) unknown(name string) {
	hint := ""
	if n := nearest(name, fieldNames()); n != "" {
		hint = `; did you mean "` + n + `"?`
	}
	d.refuse(command.UnknownField, "there is no field %s%s; the fields are %s", quote(name), hint, strings.Join(fieldNames(), ", "))
}

func (d *decoder) bad(name string, tok json.Token, want string) {
	d.refuse(command.BadValue, `the field "%s" is %s; send %s`, name, describe(tok), want)
}

// word reads a target or an action. One that cannot be a name is not kept: it
// would travel into the journal and the report.
func (d *decoder) word(name string, tok json.Token, want string) string {
	s, ok := tok.(string)
	if !ok || s == "" || len(s) > maxWord || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		d.bad(name, tok, want)
		return ""
	}
	return s
}

func (d *decoder) duration(name string, tok json.Token) time.Duration {
	s, ok := tok.(string)
	v, err := time.ParseDuration(s)
	switch {
	case !ok || err != nil || s == "0" || s[0] == '+':
		d.bad(name, tok, wantFor)
		return 0
	case v < minFor:
		d.refuse(command.OutOfRange, `the field "%s" is %s; the shortest time is %s`, name, describe(tok), short(minFor))
		return 0
	}
	return v
}

// percent wants at most two decimals: what is finer no hardware here can do, and a
// program that computes 29.999999999999996 meant something else.
func (d *decoder) percent(name string, tok json.Token) *command.Percent {
	number, ok := tok.(json.Number)
	p, err := board.ParsePercent(string(number))
	switch {
	case ok && errors.Is(err, board.ErrPercentRange):
		d.refuse(command.OutOfRange, `the field "%s" is %s; send %s`, name, describe(tok), wantPercent)
		return nil
	case !ok || err != nil:
		d.bad(name, tok, wantPercent)
		return nil
	}
	of := command.Percent(p)
	return &of
}

// register wants an integer written as one: 64.0 and 6.4e1 are how a program
// that computes with floats writes registers it did not mean.
func (d *decoder) register(name string, tok json.Token) int {
	number, ok := tok.(json.Number)
	if !ok || strings.ContainsAny(string(number), ".eE") {
		d.bad(name, tok, wantRegister)
		return -1
	}
	n, err := strconv.ParseUint(string(number), 10, 8)
	if err != nil { // JSON made sure of the digits: it is negative or too large
		d.refuse(command.OutOfRange, `the field "%s" is %s; send %s`, name, describe(tok), wantRegister)
		return -1
	}
	return int(n)
}

func (d *decoder) bytes(name string, tok json.Token) []byte {
	s, ok := tok.(string)
	b, err := hex.DecodeString(s)
	if !ok || err != nil || len(b) == 0 {
		d.bad(name, tok, wantBytes)
		return nil
	}
	return b
}

func (d *decoder) time(name string, tok json.Token) time.Time {
	s, ok := tok.(string)
	v, err := ReadDate(s)
	switch {
	case ok && errors.Is(err, errDateRange):
		d.refuse(command.OutOfRange, `the field "%s" is %s; %v`, name, describe(tok), err)
	case !ok || err != nil:
		d.bad(name, tok, wantTime)
	}
	return v
}

var (
	errDate      = errors.New("not a date as RFC 3339")
	errDateRange = errors.New("dates lie between 1970 and 9999, in UTC")
)

// ReadDate reads a date as a command may name it, in a field or in the property
// "sent"; with an error it is the zero time. That one means "not given" and must not
// be something that can be sent: dates begin in 1970. They end with the year 9999,
// also in UTC, where an offset can carry them over the edge: of a later one nothing
// can be written as JSON, so one record of it would hide the whole history.
func ReadDate(s string) (time.Time, error) {
	v, err := time.Parse(time.RFC3339, s)
	// time.Parse lets two forms through that RFC 3339 does not have: a comma
	// before the fraction, and an hour of one digit.
	switch {
	case err != nil || strings.Contains(s, ",") || s[len("2026-11-23T08")] != ':':
		return time.Time{}, errDate
	case v.Unix() < 0 || v.UTC().Year() > 9999:
		return time.Time{}, errDateRange
	}
	return v, nil
}

func (d *decoder) id(name string, tok json.Token) string {
	s, ok := tok.(string)
	if !ok || s == "" || len(s) > maxID || strings.ContainsFunc(s, notInID) {
		d.bad(name, tok, wantID)
		return ""
	}
	return s
}

func notInID(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(idPunctuation, r)
}

// meta keeps any JSON value, since only its sender reads it; without the
// blanks, so that its size is that of its echo.
func (d *decoder) meta(raw []byte) json.RawMessage {
	var b bytes.Buffer
	if !utf8.Valid(raw) || json.Compact(&b, raw) != nil {
		return nil // the payload is refused for it already; an echo would break the report
	}
	if b.Len() > maxMeta {
		d.refuse(command.TooLarge, `the field "meta" has %d bytes; at most %d are echoed`, b.Len(), maxMeta)
		return nil
	}
	return b.Bytes()
}
