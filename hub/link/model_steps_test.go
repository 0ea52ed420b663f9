package link

import (
	"io"
	"slices"
	"strings"
	"time"
)

// modelHorizon bounds how far into the future is looked: past three polls.
const modelHorizon = 80 * time.Minute

type yieldWorld func(what string, w modelWorld)

// successors answers every world that one step leads to. An accident uses up one of
// the few that may happen; everything else is the machine's own doing, an answer,
// or time going by.
func (m *model) successors(w modelWorld, yield yieldWorld) {
	for _, m.draws.most = range []bool{false, true} {
		try := func(what string, do func(*modelWorld)) {
			next := w
			do(&next)
			yield(what, next)
		}
		m.answers(&w, try)
		m.time(&w, try)
		if w.accidents > 0 {
			m.misfortunes(&w, func(what string, do func(*modelWorld)) {
				if m.only == nil || slices.ContainsFunc(m.only, func(p string) bool { return strings.HasPrefix(what, p) }) {
					try(what, func(w *modelWorld) { w.accidents--; do(w) })
				}
			})
		}
	}
}

type tryWorld func(what string, do func(*modelWorld))

// answers is what comes back for what is outstanding.
func (m *model) answers(w *modelWorld, try tryWorld) {
	if w.leaving {
		try("it is left", func(w *modelWorld) { m.refuse(w, nil) })
		try("it is left, slowly", func(w *modelWorld) { w.pass(5 * time.Second); m.refuse(w, nil) })
		return
	}
	switch w.wire {
	case probed:
		if w.open[w.rung] {
			try("reached", func(w *modelWorld) { w.over(); m.step(w, Reached{w.gen}) })
			return
		}
		m.closed(try)
	case dialled:
		switch {
		case !w.open[w.rung]:
			m.closed(try)
		case w.refuses:
			try("CONNACK 5", func(w *modelWorld) { m.refuse(w, refused5) })
		default:
			try("CONNACK", m.accept)
		}
	case standing:
		if w.asked {
			try("SUBACK", m.suback)
		}
		if w.owed && !w.told && w.m.subscribed {
			try("a delivery is refused", func(w *modelWorld) {
				w.told = true
				m.step(w, Unsettled{map[bool]int{true: pressing, false: 1}[w.many], 1})
			})
		}
	case drained:
		try("the drain ends", func(w *modelWorld) {
			if w.rest == restSilent {
				w.passTo(w.since.Add(w.kind.patience()))
			}
			m.endByRest(w)
		})
	}
}

func (m *model) closed(try tryWorld) {
	try("no way", func(w *modelWorld) { m.refuse(w, io.EOF) })
	try("no way, slowly", func(w *modelWorld) { w.passTo(w.since.Add(w.within)); m.refuse(w, io.EOF) })
}

// time goes by: to the machine's next tick, and under a session also to the times
// at which its end means something else.
func (m *model) time(w *modelWorld, try tryWorld) {
	if w.wire != idleWire && w.wire != standing || w.leaving || w.asked {
		return // the answer is on its way
	}
	next := w.m.Next()
	if !next.IsZero() {
		try("tick", func(w *modelWorld) {
			w.passTo(next)
			before := w.m
			m.step(w, Tick{})
			if after := w.m.Next(); w.wire == idleWire && w.m.phase == before.phase && !after.IsZero() && !after.After(w.now) {
				w.broken("a tick that was due changed nothing, and is due again")
			}
		})
	}
	for _, d := range []time.Duration{20 * time.Second, 3 * time.Minute} {
		if w.wire == standing && (next.IsZero() || w.now.Add(d).Before(next)) && w.now.Sub(w.since) < 5*time.Minute {
			try(d.String(), func(w *modelWorld) { w.pass(d) })
		}
	}
}

// misfortunes is what the network, the hub, the clock and the power may do at any
// moment, and people.
func (m *model) misfortunes(w *modelWorld, try tryWorld) {
	for r := RungMQTT; r <= RungWebSocket; r++ {
		try(map[bool]string{true: "closed: ", false: "opened: "}[w.open[r]]+r.String(), func(w *modelWorld) { w.open[r] = !w.open[r] })
	}
	for r := range restModes {
		if r != w.rest {
			try([...]string{"HTTPS answers", "HTTPS is silent", "HTTPS refuses", "HTTPS throttles"}[r], func(w *modelWorld) { w.rest = r })
		}
	}
	try(map[bool]string{true: "the hub takes us", false: "the hub refuses us"}[w.refuses], func(w *modelWorld) { w.refuses = !w.refuses })
	if w.session {
		try("the hub forgets our session", func(w *modelWorld) { w.session, w.filter = false, false })
	}
	switch {
	case w.wire == standing && !w.leaving:
		try("lost", func(w *modelWorld) { m.refuse(w, io.EOF) })
	case w.wire == drained:
		try("the drain breaks off", func(w *modelWorld) { m.end(w, Drained{Answered: true, Err: io.EOF}) })
	case w.wire == dialled && !w.leaving && w.open[w.rung] && !w.refuses:
		try("the CONNACK is lost", func(w *modelWorld) { w.session = true; m.refuse(w, io.EOF) })
	}
	if !w.owed && w.wire == standing {
		try("a message comes that will be refused", func(w *modelWorld) { w.owed = true })
		if m.policy.Rush > 0 {
			try("messages come in plenty, and one will be refused", func(w *modelWorld) { w.owed, w.many = true, true })
		}
	}
	m.people(w, try)
	for _, trusted := range []bool{true, false} {
		name := map[bool]string{true: "power cut", false: "power cut, and the clock is lost"}[trusted]
		try(name, func(w *modelWorld) { m.restart(w, 0, trusted) })
		try(name+", for ten minutes", func(w *modelWorld) { m.restart(w, 10*time.Minute, trusted) })
	}
}

func (m *model) people(w *modelWorld, try tryWorld) {
	if !w.past.Trusted {
		try("the clock is set", func(w *modelWorld) {
			w.past.Wall, w.past.Trusted = w.now, true
			w.holds = w.holds || !w.past.LastSuback.IsZero()
			m.step(w, ClockSet{w.now})
			m.step(w, Resign{})
		})
	}
	try("new credentials", func(w *modelWorld) {
		w.past.FirstDrains = 0
		m.step(w, Credentials{})
	})
	if w.wire == standing {
		try("a renewal", func(w *modelWorld) { m.step(w, Renew{"x"}) })
	}
}

func (m *model) restart(w *modelWorld, down time.Duration, trusted bool) {
	if g := w.m.Good(); w.m.Status().Stable {
		w.past.Rung = g
	}
	w.over()
	w.clean = false
	w.pass(down)
	m.boot(w, trusted)
}

// calm opens everything and answers everything at once, drawing the longest waits,
// and answers how long it takes until a session stands and the hub owes nobody a
// reject, or what goes wrong meanwhile.
func (m *model) calm(w modelWorld) (time.Duration, string) {
	m.draws.most = true
	begun := w.now
	w.open[RungMQTT], w.open[RungWebSocket], w.rest, w.refuses = true, true, restOpen, false
	for range 200 {
		if w.wire == standing && !w.leaving && w.m.subscribed && !w.owed {
			return w.now.Sub(begun), w.fault
		}
		moved := false
		once := func(_ string, do func(*modelWorld)) {
			if !moved {
				moved = true
				do(&w)
			}
		}
		if m.answers(&w, once); !moved {
			m.time(&w, once)
		}
		if w.fault != "" {
			return 0, w.fault
		}
		if !moved {
			break
		}
	}
	return 0, "no session comes about, or what is owed stays so, although everything is open"
}
