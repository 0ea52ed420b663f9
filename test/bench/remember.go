package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"actuatord/agent/command"
	"actuatord/persist"
)

// remember gives a rival the memory of n commands, spread over the last six days: a
// week is what a journal keeps, so none of them is forgotten while it is measured.
func (v *rival) remember(ctx context.Context, n int) error {
	if err := v.forget(); err != nil {
		return err
	}
	first := time.Now().Add(-6 * 24 * time.Hour)
	at := func(i int) time.Time { return first.Add(time.Duration(i) * (6 * 24 * time.Hour) / time.Duration(n)) }
	if v.ours {
		return v.fillJournal(ctx, n, at)
	}
	return v.fillLog(n, at)
}

// pastID looks as the ids do that most senders make.
func pastID(i int) string { return fmt.Sprintf("0192f0c1-7a3e-7000-8000-%012x", i) }

// fillJournal writes what a daemon would have, its reports sent, and stops clean.
func (v *rival) fillJournal(ctx context.Context, n int, at func(int) time.Time) (err error) {
	id := persist.Identity{Hub: v.rig.hub.Host(), Device: v.device.ID}
	j, _, err := persist.Open(ctx, v.memory, id, time.Now(), persist.Options{Volatile: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	const together = 1000 // of it the outbox holds ten times as many
	for i := 0; i < n; {
		var b persist.Batch
		for range min(together, n-i) {
			i++
			r := command.Record{
				Key: command.Key("m:" + pastID(i)), State: command.Done, MessageID: pastID(i), Target: "lamp", Action: "on",
				Fingerprint: command.Fingerprint{byte(i), byte(i >> 8), byte(i >> 16)}, Away: true, Touches: []string{"lamp"},
				Arrival: uint64(i), FirstSeen: at(i), LastSeen: at(i),
			}
			b.Conclude(r, command.Report{V: 1, Kind: command.KindOutcome, MessageID: r.MessageID, At: at(i)})
			b.Confirm(uint64(i)) // the report's seq: the journal is new
		}
		if i == n {
			b.Clean()
		}
		if err := j.Commit(&b); err != nil {
			return err
		}
	}
	return nil
}

func (v *rival) fillLog(n int, at func(int) time.Time) (err error) {
	f, err := os.Create(v.memory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintf(w, `{"id":%q,"at":%q,"outcome":"done"}`+"\n", pastID(i), at(i).UTC().Format(time.RFC3339Nano)) // an error stays until Flush
	}
	return errors.Join(w.Flush(), f.Sync())
}
