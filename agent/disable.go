package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"actuatord/agent/command"
	"actuatord/board"
	"actuatord/persist"
)

// longestWhy bounds what a person says and who he is, in bytes: with names and a date
// it fits into the 300 of a detail.
const longestWhy, longestWho = 160, 64

// ErrEnabled says that a target was not disabled.
var ErrEnabled = errors.New("it was not disabled")

// Disabling answers list with d in it. What is disabled already keeps its date, and
// has the new words. p says what may be named.
func Disabling(list []persist.Disabled, d persist.Disabled, p board.Profile) ([]persist.Disabled, error) {
	if err := known(d.Target, p); err != nil {
		return nil, err
	}
	d.Who, d.Why = plain(d.Who, longestWho), plain(d.Why, longestWhy)
	list = slices.Clone(list)
	if i := indexOf(list, d.Target); i >= 0 {
		d.Since = list[i].Since
		list[i] = d
		return list, nil
	}
	return append(list, d), nil
}

// Enabling answers list without target; "all" leaves nothing in it. What "all" has
// disabled is not enabled by itself.
func Enabling(list []persist.Disabled, target string, p board.Profile) ([]persist.Disabled, error) {
	if target == board.All {
		return []persist.Disabled{}, nil
	}
	at, all := indexOf(list, target), indexOf(list, board.All)
	if all >= 0 {
		return nil, fmt.Errorf("%s stays disabled, since everything is, %s: 'actuatord enable all' first, and then disable what is to stay so", target, phrase(list[all]))
	}
	if at < 0 {
		if err := known(target, p); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", target, ErrEnabled)
	}
	return slices.Delete(slices.Clone(list), at, at+1), nil
}

// EverythingDisabled is what is to be taken as disabled where that cannot be read.
func EverythingDisabled(now time.Time) []persist.Disabled {
	return []persist.Disabled{{Target: board.All, Since: now, Who: "actuatord itself", Why: "what was disabled could not be read; 'actuatord enable all' begins anew"}}
}

func indexOf(list []persist.Disabled, target string) int {
	return slices.IndexFunc(list, func(d persist.Disabled) bool { return d.Target == target })
}

func known(target string, p board.Profile) error {
	names := []string{board.All}
	for _, o := range p.Outputs {
		names = append(names, o.Name)
	}
	for _, w := range p.Levels {
		names = append(names, w.Name)
	}
	for _, r := range p.Registers {
		names = append(names, r.Name)
	}
	if !slices.Contains(names, target) {
		return fmt.Errorf("there is no output, level or register %.64q", target)
	}
	return nil
}

// plain is text on one line, of at most so many bytes, that moves no cursor.
func plain(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-3], "") + "..."
	}
	return text
}

// phrase is what stands behind "disabled".
func phrase(d persist.Disabled) string {
	text := "by " + d.Who
	if !d.Since.IsZero() {
		text += " since " + d.Since.UTC().Format(time.RFC3339)
	}
	if d.Why != "" {
		text += ": " + d.Why
	}
	return text
}

// Sentence says what d means.
func Sentence(d persist.Disabled) string { return d.Target + " is disabled " + phrase(d) }

// phrases is what is disabled, for reports and for the board; nil if nothing is.
func phrases(list []persist.Disabled) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list))
	for _, d := range list {
		m[d.Target] = phrase(d)
	}
	return m
}

func (a *Agent) disabledPath() string { return persist.DisabledPath(a.o.Config.Journal.Path) }

// readDisabled tells the board what is disabled, before anything else can be asked of
// it. If nobody can know, everything is.
func (a *Agent) readDisabled() {
	list, err := persist.ReadDisabled(a.disabledPath())
	if err != nil {
		list = EverythingDisabled(a.datedNow())
		a.raise(command.AlarmDisabled, err.Error())
	}
	a.disabled = list
	for _, d := range list {
		a.log.Warn("disabled", "target", d.Target, "what", phrase(d))
	}
	if len(list) == 0 {
		return
	}
	if r := a.o.Board.Disable(phrases(list)); !r.OK() { // it is in force all the same
		a.log.Error("not everything that is disabled is at its safe level", "error", r.Err)
	}
}

// datedNow is the time, if anybody knows it.
func (a *Agent) datedNow() time.Time {
	if !a.clock.Trusted() {
		return time.Time{}
	}
	return a.now().UTC().Truncate(time.Second)
}

// outOfUse is why a plan must not run since people have disabled what it touches, or
// nil.
func (a *Agent) outOfUse(p command.Plan) *command.Refusal {
	if !p.Away {
		return nil
	}
	for _, target := range p.Touches {
		for _, name := range []string{target, board.All} {
			if i := indexOf(a.disabled, name); i >= 0 {
				return command.Refuse(command.OutOfUse, "%s is disabled %s", target, phrase(a.disabled[i]))
			}
		}
	}
	return nil
}

// disable takes a target out of use, overtakes what was received for it, and tells.
func (a *Agent) disable(r Request) error {
	answer, done := a.takeOut(r)
	if done {
		i := indexOf(a.disabled, r.Target)
		told, err := a.hearBoard(r.Target)
		if err == nil {
			err = a.overtake(a.named(r.Target))
		}
		if hand := a.line.hand; err == nil && hand != nil {
			if why := a.outOfUse(hand.life.Plan); why != nil {
				err = a.endWait(why)
			}
		}
		if err != nil {
			return err
		}
		if !told {
			a.tellPeople(r.Target, board.CauseDisabled, phrase(a.disabled[i]))
		}
	}
	r.Reply <- answer
	return nil
}

// takeOut has the board stop at once, and then makes that durable; done: the board
// has it. What could not be written holds until the daemon ends.
func (a *Agent) takeOut(r Request) (answer Answer, done bool) {
	d := persist.Disabled{Target: r.Target, Since: a.datedNow(), Who: r.Who, Why: r.Why}
	list, err := Disabling(a.disabled, d, a.o.Config.Profile)
	if err != nil {
		return Answer{Error: err.Error()}, false
	}
	a.disabled = list
	res := a.o.Board.Disable(phrases(list))
	a.log.Warn("disabled by a person", "target", r.Target, "what", phrase(list[indexOf(list, r.Target)]), "error", res.Err)
	a.o.Edge("before writing what is disabled")
	if err := persist.WriteDisabled(a.disabledPath(), list); err != nil {
		a.log.Error("what is disabled cannot be written down", "error", err)
		return Answer{Error: fmt.Sprintf("%s is disabled until this daemon ends, and may not be afterwards: %v; make room or look at the disk, and disable it again", r.Target, err)}, true
	}
	a.o.Edge("what is disabled is written")
	a.clear(command.AlarmDisabled)
	return a.afterSafe(res.Err), true
}

// enable puts a target back into use. Nothing that was received until then acts.
func (a *Agent) enable(r Request) error {
	answer, done := a.takeBack(r)
	if done {
		if err := a.overtake(a.named(r.Target)); err != nil {
			return err
		}
		a.tellPeople(r.Target, "enabled", "by "+plain(r.Who, longestWho))
	}
	r.Reply <- answer
	return nil
}

// takeBack makes it durable first: what cannot be written stays as it is.
func (a *Agent) takeBack(r Request) (answer Answer, done bool) {
	list, err := Enabling(a.disabled, r.Target, a.o.Config.Profile)
	if errors.Is(err, ErrEnabled) {
		return Answer{Was: ErrEnabled.Error()}, false
	}
	if err != nil {
		return Answer{Error: err.Error()}, false
	}
	a.o.Edge("before writing what is disabled")
	if err := persist.WriteDisabled(a.disabledPath(), list); err != nil {
		return Answer{Error: fmt.Sprintf("%s stays disabled while this daemon runs; what is on the disk may say otherwise: %v; enable it again, or disable it again", r.Target, err)}, false
	}
	a.o.Edge("what is disabled is written")
	a.disabled = list
	a.clear(command.AlarmDisabled)
	res := a.o.Board.Disable(phrases(list))
	a.log.Warn("enabled by a person", "target", r.Target, "who", plain(r.Who, longestWho), "error", res.Err)
	return Answer{Levels: named(a.o.Board.Levels())}, true
}

// named is every target that target means.
func (a *Agent) named(target string) (all []string) {
	all = a.driven()
	for _, g := range a.o.Config.Profile.Registers {
		all = append(all, g.Name)
	}
	if target == board.All {
		return all
	}
	return []string{target}
}

// hearBoard takes the changes that are there now; told: one of them is that target
// went safe since it was disabled.
func (a *Agent) hearBoard(target string) (told bool, err error) {
	for {
		select {
		case c := <-a.o.Board.Changes():
			told = told || c.Target == target && c.Cause == board.CauseDisabled
			if err := a.moved(c); err != nil {
				return told, err
			}
		default:
			return told, nil
		}
	}
}

// tellPeople reports what a person has done where no output's movement tells of it.
func (a *Agent) tellPeople(target, cause, detail string) {
	rep := command.Report{Kind: command.KindChange, Target: target, Cause: cause, Detail: command.Refuse("", "%s", detail).Detail}
	rep.Level, rep.Percent = a.level(target)
	a.pending.batch.Report(a.stamped(rep))
	a.pending.urge(time.Now())
}
