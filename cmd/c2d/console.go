package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
)

// console is the standard input of c2d hub: a line is a command, and each is
// answered by one line or more: an event, "ok …" or "error …".
type console struct {
	hub  *localhub.Hub
	out  *lines
	quit context.CancelFunc
}

// order is one command of the console.
type order struct {
	name string
	form string // its words, for help and for errors
	help string
	min  int // fewest words after the name
	max  int // most; -1: any
	do   func(c *console, args []word) error

	answers bool // it prints its own answer; the others get "ok"
}

func orders() []order {
	device := func(f func(h *localhub.Hub, id string) error) func(*console, []word) error {
		return func(c *console, args []word) error { return f(c.hub, args[0].text) }
	}
	return []order{
		{"send", "send DEVICE BODY [KEY=VALUE]…", "put a message into the device's queue; \"help send\" tells more", 2, -1, (*console).send, true},
		{"queue", "queue DEVICE", "list what is in the device's queue, oldest first", 1, 1, (*console).queue, true},
		{"fault", "fault DEVICE EFFECT PACKET [skip=N] [times=N|forever] [code=N] [retry=SECONDS] [for=5s]", "break something at a given packet or request; DEVICE * is any; \"help fault\" tells more", 3, -1, (*console).fault, false},
		{"heal", "heal DEVICE", "take back the faults that are not used up; * is all", 1, 1, (*console).heal, false},
		{"drop", "drop DEVICE", "break the device's connections", 1, 1, device((*localhub.Hub).Drop), false},
		{"forget", "forget DEVICE", "break its connection and lose its stored session", 1, 1, device((*localhub.Hub).ForgetSession), false},
		{"restart", "restart [DOWN]", "break all connections and take none for the time DOWN, such as 10s; queues stay", 0, 1, (*console).restart, false},
		{"disable", "disable DEVICE", "refuse the device, with CONNACK 3 and 401", 1, 1, device(func(h *localhub.Hub, id string) error { return h.SetEnabled(id, false) }), false},
		{"enable", "enable DEVICE", "take it back", 1, 1, device(func(h *localhub.Hub, id string) error { return h.SetEnabled(id, true) }), false},
		{"purge", "purge DEVICE", "dead letter everything in the device's queue", 1, 1, device(func(h *localhub.Hub, id string) error { _, err := h.Purge(id); return err }), false},
		{"help", "help [send|fault]", "this", 0, 1, (*console).help, true},
		{"quit", "quit", "end the hub", 0, 0, (*console).end, true},
	}
}

// maxLine is longer than the longest message, written in hexadecimal.
const maxLine = 1 << 20

// read performs lines until in ends.
func (c *console) read(in io.Reader) {
	r := bufio.NewReaderSize(in, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			c.out.print("error the line is longer than %d bytes", maxLine)
			for errors.Is(err, bufio.ErrBufferFull) { // the rest of it
				_, err = r.ReadSlice('\n')
			}
		} else if text := strings.TrimSpace(string(line)); text != "" && text[0] != '#' {
			c.perform(text)
		}
		if err != nil {
			return
		}
	}
}

func (c *console) perform(line string) {
	words, err := split(line)
	if err != nil {
		c.out.print("error %v", err)
		return
	}
	name, args := words[0].text, words[1:]
	i := slices.IndexFunc(orders(), func(o order) bool { return o.name == name })
	if i < 0 {
		c.out.print("error there is no command %q; \"help\" lists them", short(name))
		return
	}
	o := orders()[i]
	if len(args) < o.min || o.max >= 0 && len(args) > o.max {
		c.out.print("error %s wants: %s", name, o.form)
		return
	}
	switch err := o.do(c, args); {
	case err != nil:
		c.out.print("error %v", err)
	case !o.answers:
		c.out.print("ok %s", line)
	}
}

// end answers first: the process may be gone before a later line.
func (c *console) end([]word) error {
	c.out.print("ok quit")
	c.quit()
	return nil
}

// send's answer is the event "enqueued".
func (c *console) send(args []word) error {
	m, err := message(args[1], args[2:], time.Now())
	if err != nil {
		return err
	}
	_, err = c.hub.Send(args[0].text, m)
	return err
}

// message reads a body and properties. A message without id= gets a random one;
// id= alone sends none, as the Azure portal does.
func message(body word, properties []word, now time.Time) (hub.Message, error) {
	m := hub.Message{ID: "c2d-" + strings.ToLower(rand.Text()[:10]), Body: []byte(body.text)}
	if text, ok := strings.CutPrefix(body.text, "hex:"); ok && !body.quoted {
		b, err := hex.DecodeString(text)
		if err != nil {
			return m, fmt.Errorf("body: %w; hex: is followed by pairs of hexadecimal digits", err)
		}
		m.Body = b
	}
	for _, p := range properties {
		key, value, ok := strings.Cut(p.text, "=")
		if !ok || key == "" {
			return m, fmt.Errorf("%q is not KEY=VALUE; a body with blanks that is not JSON goes in double quotes", short(p.text))
		}
		switch key {
		case "id":
			m.ID = value
		case "ack":
			m.Ack = value
		case "cid":
			m.CorrelationID = value
		case "uid":
			m.UserID = value
		case "to":
			m.To = value
		case "ct":
			m.ContentType = value
		case "ce":
			m.ContentEncoding = value
		case "expires":
			at, err := expiry(value, now)
			if err != nil {
				return m, err
			}
			m.Expiry = at
		default:
			if m.Properties == nil {
				m.Properties = map[string]string{}
			}
			m.Properties[key] = value
		}
	}
	return m, nil
}

// expiry reads a time, or a duration from now.
func expiry(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, fmt.Errorf("expires: %q is neither a duration, such as 10m, nor a time, such as 2026-11-23T12:00:00Z", short(s))
	}
	return at, nil
}

func (c *console) queue(args []word) error {
	id := args[0].text
	if err := c.hub.Known(id); err != nil {
		return err
	}
	list := c.hub.Queue(id)
	connected, subscribed := c.hub.Status(id)
	c.out.print("queue %s messages=%d connected=%t subscribed=%t", id, len(list), connected, subscribed)
	for _, m := range list {
		c.out.print("queued %s %s delivery-count=%d expires=%s device=%s", m.Name, m.State, m.Deliveries, m.Expires.UTC().Format(time.RFC3339), id)
	}
	return nil
}

func (c *console) fault(args []word) error {
	var rest []string
	for _, w := range args[1:] {
		rest = append(rest, w.text)
	}
	f, err := localhub.ParseFault(rest)
	if err != nil {
		return err
	}
	f.Device = anyDevice(args[0])
	return c.hub.Inject(f)
}

func (c *console) heal(args []word) error {
	id := anyDevice(args[0])
	if id != "" {
		if err := c.hub.Known(id); err != nil {
			return err
		}
	}
	c.hub.ClearFaults(id)
	return nil
}

// anyDevice reads "*" as any device.
func anyDevice(w word) string {
	if w.text == "*" {
		return ""
	}
	return w.text
}

func (c *console) restart(args []word) error {
	var down time.Duration
	if len(args) > 0 {
		var err error
		if down, err = time.ParseDuration(args[0].text); err != nil || down < 0 {
			return fmt.Errorf("restart: %q is not a duration, such as 10s", short(args[0].text))
		}
	}
	c.hub.Restart(down)
	return nil
}

func (c *console) help(args []word) error {
	topic := ""
	if len(args) > 0 {
		topic = args[0].text
	}
	text := ""
	switch topic {
	case "":
		for _, o := range orders() {
			text += fmt.Sprintf("%s\n    %s\n", o.form, o.help)
		}
	case "send":
		text = sendHelp
	case "fault":
		text = faultHelp()
	default:
		return fmt.Errorf("there is no help on %q; there is on send and fault", short(topic))
	}
	for line := range strings.Lines(text) {
		c.out.print("help  %s", strings.TrimRight(line, "\n"))
	}
	return nil
}

const sendHelp = `send DEVICE BODY [KEY=VALUE]…
BODY is one of
  {"target":"pump","action":"on"}    JSON: an object or array, blanks allowed, sent as it is written
  "Cloud to device message."         text in double quotes, written as a JSON string
  hello                              one word
  hex:00ff                           bytes
KEY is one of
  id       message id; without it one is made up; id= sends none
  ack      the feedback wanted: none, positive, negative, full
  expires  10m, or 2026-11-23T12:00:00Z
  cid uid to ct ce                   correlation id, user id, address, content type, content encoding
  any other word                     an application property
VALUE may be in double quotes: note="two words"
`

func faultHelp() string {
	return fmt.Sprintf(`fault DEVICE EFFECT PACKET [skip=N] [times=N|forever] [code=N] [retry=SECONDS] [for=5s]
The fault waits for PACKET, lets skip=N of them pass, and strikes once, or times=N.
EFFECT is one of %v:
  drop-before  the connection breaks first: the packet takes no effect, or is not sent
  drop-after   it takes effect but is not answered, or is sent; then the connection breaks
  swallow      it vanishes; the hub believes that it sent it
  refuse       connect (CONNACK code=1 to 5, or 3), subscribe (SUBACK 0x80), or a
               request (HTTP status code=400 to 599, or 500; retry=SECONDS is its Retry-After)
  black-hole   from here on the hub takes in everything and answers nothing, for=5s or until "drop"
  stall        from here on the hub reads and writes nothing, for=5s or until "drop"
  delay        it and all behind it in its direction wait for=5s
  forget       connect: the stored session is lost first
  lock-lost    http-complete, -reject, -abandon: the lock lapses first; the answer is 412
PACKET is one of %v
  delivery is a message on its way to the device, puback the device's answer to it;
  http-… are requests over HTTPS, http-any is each of them; websocket is the upgrade
  of MQTT over WebSocket, which names no device: its DEVICE is *
`, localhub.Effects(), localhub.Packets())
}

// printEvent prints an event, and the properties of telemetry on a line of
// their own: its body is the rest of its line.
func printEvent(out *lines, e localhub.Event) {
	out.print("%s", e)
	if e.Kind != localhub.KindTelemetry {
		return
	}
	t := e.Telemetry
	var b strings.Builder
	add := func(key, value string) { fmt.Fprintf(&b, " %s=%s", oneWord(key), oneWord(value)) }
	for _, p := range [][2]string{{"$.mid", t.MessageID}, {"$.cid", t.CorrelationID}, {"$.ct", t.ContentType}, {"$.ce", t.ContentEncoding}} {
		if p[1] != "" {
			add(p[0], p[1])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(t.Properties)) {
		add(key, t.Properties[key])
	}
	if b.Len() > 0 {
		out.print("properties %s%s", e.Device, b.String())
	}
}

// oneWord gives s as it is if that is one plain word, otherwise as a JSON string.
func oneWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r > '~' }) {
		return s
	}
	return localhub.Quote(s)
}
