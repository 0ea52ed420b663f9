package agent

import (
	"fmt"
	"testing"
	"time"

	"actuatord/agent/command"
	"actuatord/persist"
)

// fill puts many commands into the journal that are older than it remembers any.
func (r *rig) fill(t *testing.T, many int) {
	t.Helper()
	j, _, err := persist.Open(t.Context(), r.journal(), persist.Identity{Hub: "localhost", Device: r.device.ID}, time.Now(), persist.Options{Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	old := time.Now().Add(-30 * 24 * time.Hour)
	for n := 0; n < many; {
		var b persist.Batch
		for range min(1000, many-n) {
			n++
			b.Conclude(command.Record{Key: command.Key(fmt.Sprint("m:old", n)), State: command.Done, Arrival: uint64(n), FirstSeen: old, LastSeen: old}, command.Report{Kind: command.KindOutcome})
		}
		if err := j.Commit(&b); err != nil {
			t.Fatal(err)
		}
	}
}
