package main

import (
	"context"
	"os/exec"
	"time"
)

// cardFlush is what is added to every flush to have a disk like an SD card's: of
// some ms on a good one, tens on a worn one (package persist). Double it and the
// ratios come nearer still to the counts of flushes; half does not change which
// side of a bound they are on.
const cardFlush = 5 * time.Millisecond

// card is latency and backlog on a disk whose flushes are slow: this machine's may
// be so fast that what is measured is the processor.
func (b *bench) card(ctx context.Context) error {
	if _, err := exec.LookPath("strace"); err != nil {
		b.note("no strace: flushes cannot be made slow, card is left out")
		return nil
	}
	few := *b // the rows are b's in the end; a round takes a hundred times as long
	few.commands, few.rounds = min(b.commands, 50), min(b.rounds, 5)
	few.report = report{}
	t, backlogs, err := few.turns(ctx, "card", cardFlush)
	if err != nil {
		return err
	}
	few.tellLatency(t, "slow flush: ")
	r := &few.report
	ours, peer := each(backlogs[0], span), each(backlogs[1], span)
	theirs := none
	if len(peer) > 0 {
		theirs = over(peer).in(" ms")
		r.atLeast("slow flush: backlog of 50: rate / the peer's", ratios(peer, ours).median, 5, "")
	}
	r.row("slow flush: backlog of 50", over(ours).in(" ms"), theirs, "")
	b.report.rows = append(b.report.rows, r.rows...)
	b.report.targets = append(b.report.targets, r.targets...)
	b.report.remark("Slow flush: strace holds every fdatasync of every competitor back by %v at its end (seccomp: no other call is touched), as a card would; %d rounds of %d commands.",
		cardFlush, few.rounds, few.commands)
	return nil
}
