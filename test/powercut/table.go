package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"actuatord/test/torture/judge"
)

// stories is how many faults of a series are told at length.
const stories = 5

// total is what came of all series so far.
type total struct {
	tally
	verdict          judge.Verdict
	told             told
	odd              []string
	series, unharmed int
	noticed, silent  int            // of a run with cards that lie
	words            map[string]int // in how many series it was noticed by what
}

func (t *total) convicted() bool { return len(t.verdict.Faults) > 0 || len(t.odd) > 0 }

// take adds a series, and says whether its directory is of interest.
func (r *run) take(s *series, v judge.Verdict) (interesting bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, told := &r.total, s.record.told()
	words := told.words()
	if s.tally.setAside > 0 {
		words = append(words, "journal set aside")
	}
	for _, odd := range s.odd {
		words = append(words, strings.SplitN(odd, ":", 2)[0])
	}
	if r.flags.card == "honest" && len(words) > len(s.odd) {
		s.odd = append(s.odd, fmt.Sprintf("on an honest card: %v", words))
	}
	if slices.ContainsFunc(v.Faults, numbered) {
		words = append(words, "reports' numbers")
	}
	t.add(s, v, told)
	verdict := "every promise was kept"
	switch {
	case len(words) > 0:
		t.noticed++
		verdict = "noticed: " + strings.Join(words, ", ")
	case len(v.Faults) == 0:
		t.unharmed++
	default:
		t.silent++
		verdict = "BROKEN, and nobody said a word"
	}
	slices.Sort(words)
	for _, w := range slices.Compact(words) {
		t.words[w]++
	}
	fmt.Printf("%6.0f s  %-5s %2d cuts, %4d commands, %3d interrupted, faults %d: %s\n", time.Since(r.began).Seconds(), s.id, s.tally.cuts, v.Commands,
		told.causes["cut-off"], len(v.Faults), verdict)
	interesting = len(v.Faults) > 0 && len(words) == 0 || len(s.odd) > 0 && r.flags.card == "honest"
	if interesting && r.mutant == "" {
		for _, odd := range s.odd {
			fmt.Printf("%s: %s\n", s.id, odd)
		}
		tell(v.Faults)
	}
	return interesting
}

// numbered tells a fault that a back end sees by itself: a report whose number it has
// already, with another content, or one that never comes.
func numbered(f judge.Fault) bool {
	return len(f.Story) == 0 && (strings.HasPrefix(f.Says, "report ") || strings.HasPrefix(f.Says, "seq "))
}

func tell(faults []judge.Fault) {
	for i, f := range faults {
		if i == stories {
			fmt.Printf("and %d more\n", len(faults)-i)
			return
		}
		fmt.Printf("\n%s on %s: %s\n", f.Kind, f.Device, f.Says)
		for _, line := range f.Story {
			fmt.Println("   ", line)
		}
	}
}

func (t *total) add(s *series, v judge.Verdict, told told) {
	if t.fsck == nil {
		t.fsck, t.words = map[int]int{}, map[string]int{}
		t.told.starts, t.told.alarms, t.told.causes = map[string]int{}, map[string]int{}, map[string]int{}
	}
	t.series++
	t.boots += s.tally.boots
	t.cuts += s.tally.cuts
	t.early += s.tally.early
	t.atRest += s.tally.atRest
	t.clocks += s.tally.clocks
	t.setAside += s.tally.setAside
	t.cards = sum(t.cards, s.tally.cards)
	for code, n := range s.tally.fsck {
		t.fsck[code] += n
	}
	for to, from := range map[*map[string]int]map[string]int{&t.told.starts: told.starts, &t.told.alarms: told.alarms, &t.told.causes: told.causes} {
		for k, n := range from {
			(*to)[k] += n
		}
	}
	t.odd = append(t.odd, s.odd...)
	v.Commands += t.verdict.Commands
	v.Completed += t.verdict.Completed
	v.Rejected += t.verdict.Rejected
	v.HubRejected += t.verdict.HubRejected
	v.Expired += t.verdict.Expired
	v.Reports += t.verdict.Reports
	v.Moves += t.verdict.Moves
	v.Unsafe += t.verdict.Unsafe
	v.Faults = append(t.verdict.Faults, v.Faults...)
	t.verdict = v
}

// guilty: a promise was not kept, or a fault not found.
func (r *run) guilty() bool {
	switch {
	case r.mutant != "":
		return !r.total.convicted()
	case r.flags.card != "honest":
		return r.total.silent > 0
	}
	return r.total.convicted()
}

func (r *run) print(took time.Duration) {
	t, v := &r.total, r.total.verdict
	row := func(name string, value any) { fmt.Printf("  %-34s %10v\n", name, value) }
	fmt.Printf("\nseed %d, card %s, %v\n", r.seed, r.flags.card, took.Round(time.Second))
	row("cuts", t.cuts)
	row("  while it boots and recovers", t.early)
	row("  of a card at rest", t.atRest)
	row("boots", t.boots)
	row("  with a clock in the past", t.clocks)
	row("sectors written since the last flush", t.cards.Lost+t.cards.Kept)
	row("  lost at the cut", t.cards.Lost)
	row("writes", t.cards.Writes)
	row("flushes", t.cards.Flushes)
	row("  that were lies", t.cards.Lies)
	for _, code := range slices.Sorted(maps.Keys(t.fsck)) {
		row(fmt.Sprintf("e2fsck exits with %d", code), t.fsck[code])
	}
	row("journal set aside", t.setAside)
	row("commands", v.Commands)
	row("  completed", v.Completed)
	row("  rejected", v.Rejected)
	row("  expired", v.Expired)
	row("reports", v.Reports)
	row("  interrupted by a cut", t.told.causes["cut-off"])
	row("  leases ended by a start", t.told.causes["lease-cut"])
	row("movements", v.Moves)
	for _, k := range []judge.Kind{judge.Lost, judge.Duplicated, judge.OutOfOrder, judge.Early, judge.FalseAnswer, judge.Late} {
		row(string(k), v.Count(k))
	}
	row("unsafe seconds", fmt.Sprintf("%.1f", v.Unsafe.Seconds()))
	row("what no cut explains", len(t.odd))
	if r.flags.card != "honest" {
		row("series unharmed", t.unharmed)
		row("  broken and noticed", t.noticed)
		row("  broken and silent", t.silent)
		for _, w := range slices.Sorted(maps.Keys(t.words)) {
			row("    "+w, t.words[w])
		}
	}
	if r.mutant != "" {
		row("the mutant was caught", t.convicted())
	}
}
