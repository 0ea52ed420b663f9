package agent

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"actuatord/agent/command"
	"actuatord/persist"
)

// Verb is what a person asks of the running daemon. The words are the socket's.
type Verb string

const (
	AskStatus  Verb = "status"  // how everything stands
	AskDo      Verb = "do"      // carry out Payload as a local command, in its turn
	AskSafe    Verb = "safe"    // drive everything safe now, ahead of everything
	AskHistory Verb = "history" // the last Count commands
	AskDisable Verb = "disable" // Target is out of use from now on, for Why
	AskEnable  Verb = "enable"  // and it is not any more
	AskReset   Verb = "reset"   // a person declares that nothing from before the journal can still come
)

// Request is one question.
type Request struct {
	Verb    Verb          `json:"verb"`
	Payload []byte        `json:"payload,omitempty"` // do: the command, as the cloud would send it
	Count   int           `json:"count,omitempty"`   // history: how many
	Target  string        `json:"target,omitempty"`  // disable, enable: a target's name, or "all"
	Why     string        `json:"why,omitempty"`     // disable: for people
	Who     string        `json:"-"`                 // who asks; as the socket knows, not as he says
	Asked   time.Time     `json:"-"`                 // when it came; zero: now
	Reply   chan<- Answer `json:"-"`                 // has room for one answer; gets exactly one
}

// Answer is what comes back; the field of the verb is set, or Error.
type Answer struct {
	Error   string            `json:"error,omitempty"`
	Status  *Status           `json:"status,omitempty"`
	Outcome *command.Report   `json:"outcome,omitempty"`
	History []command.Record  `json:"history,omitempty"`
	Was     string            `json:"was,omitempty"`    // reset: what history was
	Faults  map[string]string `json:"faults,omitempty"` // safe, disable: what is not at its safe level, and why
	Levels  map[string]string `json:"levels,omitempty"` // safe: the levels afterwards
}

// answer takes a request in the loop.
func (a *Agent) answer(r Request) error {
	switch r.Verb {
	case AskStatus:
		last, err := a.journal.Recent(5)
		if err != nil {
			return unknown(err)
		}
		s := a.status(time.Now())
		s.Last = last
		r.Reply <- Answer{Status: &s}
	case AskDo:
		return a.do(r)
	case AskSafe:
		return a.safeNow(r)
	case AskHistory:
		records, err := a.journal.Recent(min(max(r.Count, 1), 1000))
		if err != nil {
			return unknown(err)
		}
		r.Reply <- Answer{History: records}
	case AskDisable:
		return a.disable(r)
	case AskEnable:
		return a.enable(r)
	case AskReset:
		return a.reset(r)
	default:
		r.Reply <- Answer{Error: "unknown verb"}
	}
	return nil
}

// do puts a local command in line. It is journalled like any other, under an id
// made here, and its outcome is both reported and told to the person.
func (a *Agent) do(r Request) error {
	if len(a.line.waiting) >= queueBound {
		r.Reply <- Answer{Error: "too many commands are waiting; try again"}
		return nil
	}
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		r.Reply <- Answer{Error: "no random id: " + err.Error()}
		return nil
	}
	c, undecoded := a.table.Decode(r.Payload)
	m := command.Message{ID: hex.EncodeToString(id), Body: r.Payload}
	m.Expiry = a.now().Add(DoPatience)
	if !r.Asked.IsZero() { // it may have waited for a loop that was stopped
		m.Expiry = m.Expiry.Add(-time.Since(r.Asked))
	}
	a.join(&item{life: a.newLife(command.Local, m, c, undecoded), received: time.Now(), reply: r.Reply})
	return nil
}

// DoPatience is how long a local command may wait for its turn. Who asked is told
// that it was not done, and then it must not be done behind his back.
const DoPatience = 2 * time.Minute

// safeNow drives everything safe at once. Whoever waits for another try at
// leaving the safe level has been overtaken, and whatever else was received
// before this is older than it: it is superseded unless it goes the same way.
func (a *Agent) safeNow(r Request) error {
	unsafe := a.safe("local")
	targets := a.driven()
	for _, g := range a.o.Config.Profile.Registers {
		if g.Safe != nil {
			targets = append(targets, g.Name)
		}
	}
	if err := a.overtake(targets); err != nil {
		return err
	}
	if err := a.endWait(nil); err != nil {
		return err
	}
	r.Reply <- a.afterSafe(unsafe)
	return nil
}

// overtake makes this moment the newest command of targets: what was received before
// is older, and superseded unless it goes towards safety.
func (a *Agent) overtake(targets []string) error {
	a.line.arrival++
	now := command.Record{Key: command.Key(fmt.Sprintf("l:safe-%d", a.line.arrival)), Arrival: a.line.arrival, Touches: targets}
	if err := a.supersede(now, true); err != nil {
		return err
	}
	a.pending.urge(time.Now())
	return nil
}

// endWait ends the command in hand if it waits for another try at leaving the safe
// level: for why, or as superseded if that is nil.
func (a *Agent) endWait(why *command.Refusal) error {
	if a.line.hand == nil || a.line.hand.life.Phase != command.Waiting {
		return nil
	}
	if err := a.step(command.Input{Kind: command.Overtaken, Refusal: why}); err != nil {
		return err
	}
	if a.line.hand == nil {
		a.line.retryAt = time.Time{}
	}
	return nil
}

// afterSafe is what came of driving everything safe.
func (a *Agent) afterSafe(unsafe error) Answer {
	answer := Answer{Levels: named(a.o.Board.Levels())}
	if unsafe != nil { // such as a board that hangs, of which no output has heard yet
		answer.Faults = map[string]string{"board": unsafe.Error()}
	}
	for _, f := range a.o.Board.Faults() {
		if f.Input {
			continue
		}
		if answer.Faults == nil {
			answer.Faults = map[string]string{}
		}
		answer.Faults[f.Target] = f.Err.Error()
	}
	return answer
}

func (a *Agent) reset(r Request) error {
	was := a.journal.History().State
	wall, trusted := a.now(), a.clock.Trusted()
	a.pending.batch.History(persist.History{State: persist.HistoryClear, Since: wall, Dated: trusted})
	if err := a.commit(); err != nil {
		return err
	}
	a.log.Warn("history reset by a person", "was", was.String())
	r.Reply <- Answer{Was: was.String()}
	return nil
}

// told is what a person hears of a local command.
func (a *Agent) told(it *item) *command.Report {
	rep := a.stamped(it.life.Report(a.now()))
	rep.Level, rep.Percent = a.level(rep.Target)
	if k := it.life.Plan.Op.Kind; k == command.OpRead || k == command.OpSafe {
		rep.Levels, rep.Percents = named(a.o.Board.Levels()), percents(a.o.Board.Percents())
		rep.Inputs, rep.Disabled = named(a.o.Board.Inputs()), phrases(a.disabled)
	}
	return &rep
}

// answerWithoutJournal serves what can be served while the storage is out of order.
func (a *Agent) answerWithoutJournal(r Request, why error) {
	switch r.Verb {
	case AskStatus:
		s := a.bareStatus(time.Now())
		s.Storage = why.Error()
		r.Reply <- Answer{Status: &s}
	case AskSafe:
		r.Reply <- a.afterSafe(a.safe("local"))
	case AskDisable:
		answer, _ := a.takeOut(r)
		r.Reply <- answer
	case AskEnable:
		answer, _ := a.takeBack(r)
		r.Reply <- answer
	default:
		r.Reply <- Answer{Error: "the journal cannot be used: " + why.Error()}
	}
}
