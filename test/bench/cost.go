package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// What a card lives for is an assumption, so it is written down: 16 GB, of which
// each byte can be written 1000 times (what makers of consumer TLC cards let one
// hope for), and a hundred bytes written inside the card for each that it is handed:
// small synced writes are the worst that can be done to its large erase blocks.
// Half the amplification, or double the cycles, doubles the years.
const (
	cardBytes, cardCycles, cardAmplification = 16e9, 1000, 100
	commandsADay                             = 100
)

// dear is what a kind of command costs, each.
type dear struct {
	what string
	n    int
	account
	calls
}

// cost: what a command writes, one at a time.
func (b *bench) cost(ctx context.Context) error {
	rivals, err := b.pair("cost") // without a trace, as in backlog
	if err != nil {
		return err
	}
	for _, v := range rivals {
		if err := v.remember(ctx, remembered); err != nil {
			return err
		}
	}
	ps, err := b.startAll(ctx, rivals)
	if err != nil {
		return err
	}
	defer endAll(ps)
	ours, err := ps[0].dear(ctx, "repeatable", b.commands, onOff)
	if err != nil {
		return err
	}
	once, err := ps[0].dear(ctx, "once-only", b.commands, toggle)
	if err != nil {
		return err
	}
	var peer *dear
	if len(ps) > 1 {
		if peer, err = ps[1].dear(ctx, "repeatable", b.commands, onOff); err != nil {
			return err
		}
	}
	b.tellCost(ours, peer)
	b.tellCost(once, nil)
	b.report.atMost("a single repeatable command: written", ours.each(ours.written())/1024, 16, " KiB")
	b.report.remark("Card life: %d commands a day, one at a time, on a card of %.0f GB that lasts %d rewrites, at a write amplification of %d; all three are assumptions, and years fall in proportion.",
		commandsADay, cardBytes/1e9, int(cardCycles), int(cardAmplification))
	b.report.remark("Written: of actuatord the journal's own count, which strace's pwrite64 confirms; of the peer write_bytes. write_bytes counts a whole folio for each dirty page, on ext4 of several pages since Linux 6.16, so it is no measure of the journal; what reached the disk shows that.")
	b.report.remark("fdatasync and pwrite64 are counted by strace over %d commands that no other figure is taken from.", traced)
	return nil
}

// traced is how many commands strace looks at: each costs the same but for a page
// that splits, one in some twenty.
const traced = 40

func (p *process) dear(ctx context.Context, what string, n int, body func(int) string) (*dear, error) {
	if _, err := p.singly(ctx, 10, body, true); err != nil { // the start's own reports are out then
		return nil, err
	}
	before, err := p.account(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := p.singly(ctx, n, body, true); err != nil {
		return nil, err
	}
	after, err := p.account(ctx)
	if err != nil {
		return nil, err
	}
	d := &dear{what: what, n: n, account: after.since(before)}
	d.calls, err = p.straced(ctx, func() error {
		_, err := p.singly(ctx, traced, body, true)
		return err
	})
	if errors.Is(err, exec.ErrNotFound) {
		p.rig.note("no strace: its counts are left out")
		err = nil
	}
	return d, err
}

func (b *bench) tellCost(d, peer *dear) {
	cell := func(get func(*dear) string) (ours, theirs string) {
		if peer == nil {
			return get(d), none
		}
		return get(d), get(peer)
	}
	for _, c := range []struct {
		name string
		get  func(*dear) string
	}{
		{d.what + " command: written", func(d *dear) string { return figure(d.each(d.written())/1024) + " KiB" }},
		{"… /proc/PID/io, write_bytes", func(d *dear) string { return figure(d.each(d.dirtied)/1024) + " KiB" }},
		{"… the whole disk meanwhile, file system's journal included", func(d *dear) string { return figure(d.each(d.disk)/1024) + " KiB" }},
		{"… pwrite64 (strace)", func(d *dear) string { return d.traced(d.writes, "") + ", " + d.traced(d.bytes/1024, " KiB") }},
		{"… fdatasync (strace)", func(d *dear) string { return d.traced(d.syncs, "") }},
		{"… 100 a day: a year's writing, and the years of the card", func(d *dear) string { return d.life() }},
	} {
		ours, theirs := cell(c.get)
		b.report.row(c.name, ours, theirs, "")
	}
}

func (d *dear) each(n uint64) float64 { return float64(n) / float64(d.n) }

// traced is a count of strace's for each command.
func (d *dear) traced(n int, unit string) string {
	if d.syncs == 0 {
		return none
	}
	return figure(float64(n)/traced) + unit
}

func (d *dear) life() string {
	day := commandsADay * d.each(d.written())
	return fmt.Sprintf("%s GiB, %s years", figure(365*day/(1<<30)), figure(cardBytes*cardCycles/cardAmplification/day/365))
}
