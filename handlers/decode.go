package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"actuatord/agent/command"
)

const (
	// MaxPayload is the longest body that is read, in bytes. IoT Hub takes no
	// C2D message above 64 KB, so only a local command can meet it.
	MaxPayload = 64 << 10

	// maxDepth bounds nesting, the command's own object included. A command
	// has one level; the rest is for "meta". It bounds the walker's recursion.
	maxDepth = 8
)

// example ends the sentences that refuse something that is no command at all.
const example = `send one JSON object, such as {"target":"pump","action":"on"}`

// Decode reads a message's payload. The command it gives always has a
// fingerprint: of the payload where the command cannot be understood, of the
// command's canonical form otherwise. With a refusal the other fields hold what
// could be read all the same, so that the report can name them.
//
// If the table logs by default, a payload that is no JSON object with "target"
// or "action" becomes the command "log". An object that names either before it
// breaks off was meant as a command and is refused: its sender would take the
// completion for the deed.
func (t *Table) Decode(payload []byte) (command.Command, *command.Refusal) {
	d := decoder{payload: payload}
	if len(payload) > MaxPayload {
		d.c.Address = -1
		d.c.Fingerprint = command.FingerprintOfPayload(payload)
		return d.c, command.Refuse(command.TooLarge, "the payload has %d bytes; at most %d are read", len(payload), MaxPayload)
	}
	d.read()
	if !d.meant && t.log {
		return logCommand(payload), nil
	}
	if d.refusal != nil {
		d.c.Fingerprint = command.FingerprintOfPayload(payload)
		return d.c, d.refusal
	}
	d.c.Fingerprint = command.FingerprintOf(d.c)
	return d.c, nil
}

// A decoder walks one payload, token by token: Unmarshal would take the last of
// two equal names, names in any case, null for anything, and cannot be stopped
// at a depth.
type decoder struct {
	payload []byte
	json    *json.Decoder
	c       command.Command
	meant   bool // a field "target" or "action" was seen: it is no foreign message
	refusal *command.Refusal
}

// refuse keeps the first refusal, except that a malformed payload outweighs
// whatever one of its fields was refused for: the rest of it is unknowable.
func (d *decoder) refuse(reason command.Reason, format string, args ...any) {
	if d.refusal == nil || reason == command.Malformed && d.refusal.Reason != command.Malformed {
		d.refusal = command.Refuse(reason, format, args...)
	}
}

// read walks the whole payload; it goes on after a bad field, so that an id
// that comes later is still found, and stops only where JSON itself breaks.
func (d *decoder) read() {
	d.c.Address = -1
	d.checkText()
	d.json = json.NewDecoder(bytes.NewReader(d.payload))
	d.json.UseNumber() // a float64 would round what the sender wrote

	tok, err := d.json.Token()
	switch {
	case err != nil:
		d.broken()
		return
	case tok == json.Delim('['):
		d.refuse(command.NotSupported, "the payload is an array; arrays of commands are not supported: send one message for each command")
		return
	case tok != json.Delim('{'):
		d.refuse(command.Malformed, "the payload is %s; %s", describe(tok), example)
		return
	}
	if !d.object() {
		return
	}
	end := int(d.json.InputOffset())
	if rest := bytes.TrimLeft(d.payload[end:], " \t\r\n"); len(rest) > 0 {
		d.refuse(command.Malformed, "after the object's end, at byte %d, there is still %s; %s", len(d.payload)-len(rest), quote(string(rest)), example)
	}
	d.complete()
}

// checkText refuses bytes that encoding/json would quietly replace.
func (d *decoder) checkText() {
	switch at := invalidUTF8(d.payload); {
	case len(bytes.TrimLeft(d.payload, " \t\r\n")) == 0:
		d.refuse(command.Malformed, "the payload is empty; %s", example)
	case at >= 0:
		d.refuse(command.Malformed, "byte %d (0x%02x) of the payload is not UTF-8; %s", at, d.payload[at], example)
	case bytes.HasPrefix(d.payload, []byte("\ufeff")):
		d.refuse(command.Malformed, "the payload starts with a byte order mark; send UTF-8 without one")
	}
}

// invalidUTF8 gives the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// object reads the command's fields. It gives false where JSON breaks.
func (d *decoder) object() bool {
	seen := map[string]bool{}
	for d.json.More() {
		name, ok := d.name(seen)
		if !ok {
			return false
		}
		twice := seen[name]
		seen[name] = true
		d.meant = d.meant || name == "target" || name == "action"
		start := d.json.InputOffset()
		tok, ok := d.value(1)
		if !ok {
			return false
		}
		if !twice { // of two, the first is kept: the command is refused anyway
			raw := d.payload[start:d.json.InputOffset()]
			d.field(name, tok, bytes.TrimLeft(raw, ": \t\r\n"))
		}
	}
	return d.end()
}

// name reads a field's name and refuses one that is there already: readers
// differ on which of two counts.
func (d *decoder) name(seen map[string]bool) (string, bool) {
	tok, err := d.json.Token()
	name, isString := tok.(string)
	if err != nil || !isString {
		d.broken()
		return "", false
	}
	if seen[name] {
		d.refuse(command.Malformed, "the field %s is there twice; send it once", quote(name))
	}
	return name, true
}

// value reads one value inside depth levels of nesting and gives its first
// token; what lies in an object or array is checked and passed over.
func (d *decoder) value(depth int) (json.Token, bool) {
	tok, err := d.json.Token()
	if err != nil {
		d.broken()
		return nil, false
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return tok, true
	}
	if depth == maxDepth {
		d.refuse(command.Malformed, "the payload is nested deeper than %d levels at byte %d; a command needs one, and meta may have the rest", maxDepth, d.json.InputOffset()-1)
		return nil, false
	}
	seen := map[string]bool{}
	for d.json.More() {
		if open == '{' {
			name, ok := d.name(seen)
			if !ok {
				return nil, false
			}
			seen[name] = true
		}
		if _, ok := d.value(depth + 1); !ok {
			return nil, false
		}
	}
	return tok, d.end()
}

// end reads the closing brace or bracket, which the JSON decoder matches.
func (d *decoder) end() bool {
	_, err := d.json.Token()
	if err != nil {
		d.broken()
	}
	return err == nil
}

// broken refuses what is no JSON. The walker's own error says neither where nor
// what as well as a second reading does; its words quote at most one character,
// escaped.
func (d *decoder) broken() {
	var syntax *json.SyntaxError
	err := json.Unmarshal(d.payload, new(json.RawMessage))
	switch {
	case !errors.As(err, &syntax):
		d.refuse(command.Malformed, "the payload is not JSON at byte %d; %s", d.json.InputOffset(), example)
	case syntax.Offset >= int64(len(d.payload)) && strings.HasPrefix(syntax.Error(), "unexpected end"):
		d.refuse(command.Malformed, "the payload breaks off at byte %d, inside the JSON; %s", len(d.payload), example)
	default:
		d.refuse(command.Malformed, "the payload is not JSON at byte %d: %v; %s", syntax.Offset-1, syntax, example)
	}
}

// complete refuses an object that lacks what every command has.
func (d *decoder) complete() {
	switch {
	case d.refusal != nil:
	case d.c.Target == "" && d.c.Action == "":
		d.refuse(command.BadValue, `the fields "target" and "action" are missing; %s`, example)
	case d.c.Target == "":
		d.refuse(command.BadValue, `the field "target" is missing; %s`, example)
	case d.c.Action == "":
		d.refuse(command.BadValue, `the field "action" is missing; %s`, example)
	case d.c.Action == logWord:
		d.refuse(command.UnknownAction, `"log" is no action that can be sent; %s`, example)
	}
}
