package judge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// tolerance is how far a device's clock may lag behind the truth; see the
// package's doc.
const tolerance = 2500 * time.Millisecond

// longestPulse is a bound of the product: a longer one is refused.
const longestPulse = 5 * time.Second

// intent is what a body asks for, as the documents say it.
type intent struct {
	valid          bool
	target, action string
	lease          time.Duration // "for"
	register       int
	bytes          string
	id             string
	n              int // the number in meta; 0: none
	expires, sent  time.Time
}

// read decodes a body. What is no command stays invalid.
func read(body string) intent {
	var b struct {
		Target, Action, For, Bytes, ID string
		Register                       *int
		Expires, Sent                  time.Time
		Meta                           struct{ N int }
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if d.Decode(&b) != nil || b.Target == "" || b.Action == "" {
		return intent{}
	}
	in := intent{valid: true, target: b.Target, action: b.Action, bytes: strings.ToLower(b.Bytes), id: b.ID, n: b.Meta.N, expires: b.Expires, sent: b.Sent, register: -1}
	if b.Register != nil {
		in.register = *b.Register
	}
	if b.For != "" {
		var err error
		if in.lease, err = time.ParseDuration(b.For); err != nil {
			return intent{}
		}
	}
	return in
}

// meaning is the same for two bodies that ask for the same.
func (in intent) meaning(body string) string {
	if !in.valid {
		return "no command: " + body
	}
	return fmt.Sprintf("%s %s %v %d:%s", in.target, in.action, in.lease, in.register, in.bytes)
}

// key is what makes messages one command, and cause what the trace calls it.
func (s Sent) key(in intent) (key, cause string) {
	switch {
	case s.ID != "":
		return "m:" + s.ID, s.ID
	case in.id != "":
		return "b:" + in.id, "b:" + in.id
	}
	sum := sha256.Sum256([]byte(s.Body))
	key = "h:" + hex.EncodeToString(sum[:])
	return key, key
}

// deadline is when it becomes too late for a message; zero: never.
func (b Board) deadline(s Sent, in intent) time.Time {
	at := earliest(s.Expiry, in.expires)
	if o := b.output(in.target); o != nil && o.MaxAge > 0 {
		if dated := earliest(s.Dated, in.sent); !dated.IsZero() {
			at = earliest(at, dated.Add(o.MaxAge))
		}
	}
	return at
}

func (b Board) output(name string) *Output {
	if i := slices.IndexFunc(b.Outputs, func(o Output) bool { return o.Name == name }); i >= 0 {
		return &b.Outputs[i]
	}
	return nil
}

func (b Board) register(name string) *Register {
	if i := slices.IndexFunc(b.Registers, func(r Register) bool { return r.Name == name }); i >= 0 {
		return &b.Registers[i]
	}
	return nil
}

func (o Output) safe() string { return level(o.SafeOn) }
func (o Output) away() string { return level(!o.SafeOn) }

func level(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// onceOnly tells commands that must never have a second first edge.
func (b Board) onceOnly(in intent) bool {
	r := b.register(in.target)
	return in.action == "toggle" || in.action == "pulse" || in.action == "write" && r != nil && !r.Repeatable
}

// impossible is why a command can never be done; "": it can.
func (b Board) impossible(in intent, named bool) string {
	o, r := b.output(in.target), b.register(in.target)
	switch {
	case !in.valid:
		return "it is no command"
	case !named && (b.onceOnly(in) || in.lease > 0):
		return "it needs an id"
	case in.target == "all":
		return unless(in.action == "safe" || in.action == "read", "no such action")
	case r != nil:
		return unless(in.action == "write" && slices.Contains(r.Allowed, in.register), "no such action, or a register that is not allowed")
	case o == nil:
		return "no such target"
	case !slices.Contains([]string{"on", "off", "toggle", "pulse"}, in.action):
		return "no such action"
	case in.action == "pulse" && (in.lease == 0 || in.lease > longestPulse):
		return "no such pulse"
	case o.MaxOn > 0 && in.lease > o.MaxOn:
		return "longer than max_on"
	}
	return ""
}

func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}

// explains tells whether a possible command may be refused for reason.
func (b Board) explains(reason string, in intent, deadline time.Time, imposter bool) bool {
	o := b.output(in.target)
	switch reason {
	case "superseded":
		return in.target != "all" && (o == nil || in.action != o.safe())
	case "expired", "too-old":
		return !deadline.IsZero()
	case "age-unknown":
		return o != nil && o.MaxAge > 0
	case "clock-unset":
		return !deadline.IsZero() || b.onceOnly(in) || o != nil && o.MaxAge > 0
	case "already-away":
		return in.action == "pulse"
	case "id-reused":
		return imposter
	}
	return false
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
