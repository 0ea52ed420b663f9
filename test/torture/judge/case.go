package judge

import (
	"encoding/json"
	"slices"
	"time"

	"actuatord/hub/localhub"
)

// device is everything that concerns one device.
type device struct {
	id       string
	board    Board
	tales    map[string]*tale // by the name in the hub's record
	commands []*command
	trace    []Move
	lives    []Life
	reports  []report
	nameless int // outcomes that nothing connects with a message
	end      time.Time
	slack    time.Duration

	keys    map[string][]*command
	known   map[string]int // reports, by id
	causes  map[string][]*command
	history map[string][]Move // of each output's level
}

// tale is what the hub recorded of one name, which may be that of two messages.
type tale struct {
	name       string
	sent       int
	ack        bool // feedback was asked for
	events     []localhub.Event
	held       int // deliveries that a device has in hand
	deliveries []time.Time
	completed  []time.Time
	rejected   int // by a device
	own        int // by the hub itself
	others     int // expired, or another end
	told       int // feedback
	commands   []*command
}

func (t *tale) ended() int { return len(t.completed) + t.rejected + t.own + t.others }

// command is all messages of one key and one meaning.
type command struct {
	intent
	key, cause, text string
	named            bool
	numbers          []int // of its messages
	sent             map[*tale]int
	first            time.Time // when it was first sent
	deadline         time.Time // the latest of its messages'; zero: never
	imposter         bool      // another meaning has the same key
	outcomes         []report
	unsure           bool // without an id it was done, came again and was refused: either answer is one
	moves            []Move
	at               []int // the moves' places in the trace
}

// report is one distinct report, as it came first.
type report struct {
	Kind, ReportID, MessageID, ID string
	Target, Action, Outcome       string
	Reason, Detail                string
	Seq                           uint64
	Attempt                       int
	At                            time.Time
	Meta                          struct{ N int }

	raw         string
	received    time.Time
	contradicts bool // it came again with another text
}

// cases sorts a record by device.
func cases(r Record) []*device {
	byID := map[string]*device{}
	var all []*device
	get := func(id string) *device {
		d := byID[id]
		if d == nil {
			d = &device{id: id, board: r.Board, tales: map[string]*tale{}, trace: r.Traces[id], lives: r.Lives[id], end: r.End, slack: r.Slack,
				keys: map[string][]*command{}, known: map[string]int{}, causes: map[string][]*command{}, history: map[string][]Move{}}
			byID[id] = d
			all = append(all, d)
		}
		return d
	}
	for _, s := range r.Sent {
		get(s.Device).take(s)
	}
	for _, e := range r.Events {
		if e.Device != "" {
			get(e.Device).event(e)
		}
	}
	for _, d := range all {
		d.connect()
	}
	return all
}

// take notes a message that was sent.
func (d *device) take(s Sent) {
	in := read(s.Body)
	key, cause := s.key(in)
	same := d.keys[key]
	i := slices.IndexFunc(same, func(c *command) bool { return c.meaning(c.text) == in.meaning(s.Body) })
	if i < 0 {
		i, same = len(same), append(same, &command{
			intent: in, key: key, cause: cause, text: s.Body, named: key[0] != 'h', sent: map[*tale]int{}, first: s.At, deadline: d.board.deadline(s, in),
		})
		d.keys[key] = same
		d.commands = append(d.commands, same[i])
	}
	c := same[i]
	for _, each := range same {
		each.imposter = len(same) > 1
	}
	t := d.tale(s.Name)
	t.sent++
	t.ack = s.Ack == "full"
	c.sent[t]++
	if !slices.Contains(t.commands, c) {
		t.commands = append(t.commands, c)
	}
	c.numbers = append(c.numbers, in.n)
	if by := d.board.deadline(s, in); by.IsZero() || !c.deadline.IsZero() && by.After(c.deadline) {
		c.deadline = by
	}
}

func (d *device) tale(name string) *tale {
	if d.tales[name] == nil {
		d.tales[name] = &tale{name: name}
	}
	return d.tales[name]
}

// event notes one of the hub's events.
func (d *device) event(e localhub.Event) {
	if e.Kind == localhub.KindTelemetry {
		d.report(e)
		return
	}
	t := d.tales[e.ID]
	if e.ID == "" || t == nil {
		return
	}
	t.events = append(t.events, e)
	switch e.Kind {
	case localhub.KindDelivered:
		t.held++
		t.deliveries = append(t.deliveries, e.At)
	case localhub.KindReleased:
		t.held = max(0, t.held-1)
	case localhub.KindCompleted:
		t.held = max(0, t.held-1)
		t.completed = append(t.completed, e.At)
	case localhub.KindFeedback:
		t.told++
	case localhub.KindDeadLettered:
		switch {
		case e.Status != localhub.Rejected:
			t.others++
		case t.held > 0:
			t.rejected++
		default:
			t.own++
		}
		t.held = max(0, t.held-1)
	}
}

// report notes telemetry; the same report may come again.
func (d *device) report(e localhub.Event) {
	r := report{raw: string(e.Telemetry.Body), received: e.At}
	if json.Unmarshal(e.Telemetry.Body, &r) != nil || r.ReportID == "" {
		return // an alarm that was told without a journal
	}
	if i, came := d.known[r.ReportID]; came {
		d.reports[i].contradicts = d.reports[i].contradicts || d.reports[i].raw != r.raw
		return
	}
	d.known[r.ReportID] = len(d.reports)
	d.reports = append(d.reports, r)
}

// connect gives every outcome and every movement to its command.
func (d *device) connect() {
	numbers := map[int]*command{}
	for _, c := range d.commands {
		d.causes[c.cause] = append(d.causes[c.cause], c)
		for _, n := range c.numbers {
			numbers[n] = c
		}
	}
	for _, r := range d.reports {
		if r.Kind != "outcome" {
			continue
		}
		of := d.keys["m:"+r.MessageID]
		switch {
		case r.MessageID == "" && r.ID != "":
			of = d.keys["b:"+r.ID]
		case r.MessageID == "" && r.Meta.N != 0 && numbers[r.Meta.N] != nil:
			of = []*command{numbers[r.Meta.N]}
		}
		c := meant(of, r.Target, func(c *command) bool { return c.action == r.Action })
		switch {
		case c == nil:
			d.nameless++
		case !c.named && c.outcome() == "done" && r.Reason == "id-required":
			c.unsure = true
		default:
			c.outcomes = append(c.outcomes, r)
		}
	}
	for i, m := range d.trace {
		if m.Level != "" {
			d.history[m.Target] = append(d.history[m.Target], m)
		}
		if c := meant(d.causes[m.Cause], m.Target, func(c *command) bool { return true }); c != nil {
			c.moves, c.at = append(c.moves, m), append(c.at, i)
		}
	}
}

// meant is the one of several commands of one key that target (and fits) names.
func meant(of []*command, target string, fits func(*command) bool) *command {
	if len(of) == 1 {
		return of[0]
	}
	for _, c := range of {
		if c.target == target && fits(c) {
			return c
		}
	}
	return nil
}
