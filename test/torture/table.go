package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"actuatord/test/torture/judge"
)

// stories is how many faults are told at length.
const stories = 20

// print tells how the run went. guilty: not as promised.
func (r *run) print(v judge.Verdict, took time.Duration) (guilty bool) {
	kills, troubles := 0, 0
	fmt.Println("\nwhat was done to them:")
	for _, name := range sorted(r.tally.counts) {
		n := r.tally.counts[name]
		fmt.Printf("  %6d  %s\n", n, name)
		troubles += n
		if strings.HasPrefix(name, "killed") {
			kills += n
		}
	}
	fmt.Printf("  %6d  faults of the link struck\n", r.record.struck)
	if len(r.alone) > 0 {
		fmt.Printf("without a session for too long, and started anew: %s\n", strings.Join(r.alone, ", "))
	}
	if len(r.last) > 0 {
		fmt.Printf("waited for last: %d, such as %s\n", len(r.last), strings.Join(r.last[:min(len(r.last), 5)], "; "))
	}
	var odd []string
	for _, s := range r.stations {
		odd = append(odd, s.odd...)
	}
	for _, text := range odd {
		fmt.Println("UNEXPLAINED END:", text)
	}
	for i, f := range v.Faults {
		if i == stories {
			fmt.Printf("and %d more\n", len(v.Faults)-i)
			break
		}
		fmt.Printf("\n%s on %s: %s\n", f.Kind, f.Device, f.Says)
		for _, line := range f.Story {
			fmt.Println("   ", line)
		}
	}
	if err := r.tally.err(); err != nil {
		fmt.Println("trouble that could not be made:", err)
		guilty = true
	}
	if r.soak {
		guilty = r.printSoak() || guilty
	}
	fmt.Printf("\nseed %d: %v, of which %v to settle\n", r.seed, took.Round(time.Second), r.settled.Round(time.Second))
	row := func(name string, value any) { fmt.Printf("  %-22s %10v\n", name, value) }
	row("commands", v.Commands)
	row("  completed", v.Completed)
	row("  rejected", v.Rejected)
	row("  expired", v.Expired)
	row("  rejected by the hub", v.HubRejected)
	row("reports", v.Reports)
	row("movements", v.Moves)
	row("kills", kills)
	row("faults", troubles-kills+r.record.struck)
	for _, k := range []judge.Kind{judge.Lost, judge.Duplicated, judge.OutOfOrder, judge.Early, judge.FalseAnswer, judge.Late} {
		row(string(k), v.Count(k))
	}
	row("unsafe seconds", fmt.Sprintf("%.1f", v.Unsafe.Seconds()))
	row("unexplained ends", len(odd))
	return guilty || len(v.Faults) > 0 || len(odd) > 0
}

func sorted(counts map[string]int) []string {
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
