package persist

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"actuatord/agent/command"
)

func TestOutboxOrderAndIDs(t *testing.T) {
	j, _ := newJournal(t)
	commit(t, j, func(b *Batch) {
		b.Report(report(command.Done, "1"))
		b.Report(report(command.Failed, "2"))
	})
	commit(t, j, func(b *Batch) { b.Report(report(command.Refused, "3")); b.Confirm(1); b.Confirm(99) })
	j = reopen(t, j)
	reps := outbox(t, j)
	want := []command.Report{report(command.Failed, "2"), report(command.Refused, "3")}
	for i := range want {
		want[i].Seq = uint64(i + 2)
		want[i].ReportID = fmt.Sprintf("%s-%d", j.id.tag, i+2)
	}
	same(t, "outbox", reps, want)
	if len(j.id.tag) != 6 {
		t.Errorf("tag %q", j.id.tag)
	}
	for _, c := range []struct {
		after uint64
		limit int
		want  []string
	}{{0, 1, []string{"2"}}, {1, 9, []string{"2", "3"}}, {2, 9, []string{"3"}}, {3, 9, nil}, {0, 0, nil}} {
		got, err := j.Outbox(c.after, c.limit)
		if err != nil || !slices.Equal(keys(got), c.want) {
			t.Errorf("outbox after %d, at most %d: %v, %v; want %v", c.after, c.limit, keys(got), err, c.want)
		}
	}
	// Seq goes on when the outbox is empty: a gap is a loss, a restart is none.
	commit(t, j, func(b *Batch) { b.Confirm(2); b.Confirm(3) })
	j = reopen(t, j)
	commit(t, j, func(b *Batch) { b.Report(report(command.Done, "4")) })
	same(t, "next seq", outbox(t, j)[0].Seq, 4)
	same(t, "lost", j.Stats().LostReports, 0)
}

// TestLose: a report that no hub takes is gone, counted, and its number is a gap.
func TestLose(t *testing.T) {
	j, _ := newJournal(t)
	commit(t, j, func(b *Batch) { b.Report(report(command.Done, "1")); b.Report(report(command.Done, "2")) })
	commit(t, j, func(b *Batch) { b.Lose(1); b.Lose(1); b.Lose(99) })
	j = reopen(t, j)
	same(t, "lost", j.Stats().LostReports, 1)
	same(t, "waiting", j.Stats().Outbox, 1)
	same(t, "left", outbox(t, j)[0].Seq, 2)
}

// TestAlarmReport: an alarm keeps what it says, and is bounded like the rest.
func TestAlarmReport(t *testing.T) {
	j, _ := newJournal(t)
	want := command.Report{V: 1, Kind: command.KindAlarm, Alarm: command.AlarmBus, State: command.StateRaised, Detail: "dac: no answer", At: start, Clock: "untrusted"}
	long := want
	long.Alarm, long.State = strings.Repeat("a", 1000), strings.Repeat("s", 1000)
	commit(t, j, func(b *Batch) { b.Report(want); b.Report(long) })
	j = reopen(t, j)
	reps := outbox(t, j)
	want.Seq, want.ReportID = 1, j.id.tag+"-1"
	same(t, "alarm", reps[0], want)
	if n, m := len(reps[1].Alarm), len(reps[1].State); n > maxText || m > maxText {
		t.Errorf("an alarm of %d bytes in a state of %d was kept", n, m)
	}
}

// TestFullOutbox: the oldest report of a done command goes first, then the oldest
// of all, also over a restart and within one batch.
func TestFullOutbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	o := Options{outboxLimit: 3}
	j, _ := openAt(t, path, o)
	for _, step := range []struct {
		add  []command.Report
		want []string
		lost uint64
	}{
		{[]command.Report{report(command.Refused, "r1")}, []string{"r1"}, 0},
		{[]command.Report{report(command.Done, "d2"), report(command.Done, "d3")}, []string{"r1", "d2", "d3"}, 0},
		{[]command.Report{report(command.Failed, "f4")}, []string{"r1", "d3", "f4"}, 1},
		{[]command.Report{report(command.Done, "d5")}, []string{"r1", "f4", "d5"}, 2},
		{[]command.Report{report(command.Interrupted, "i6"), report(command.Refused, "r7")}, []string{"f4", "i6", "r7"}, 4},
		{[]command.Report{{Kind: command.KindAlarm, MessageID: "a8", Outcome: "done"}}, []string{"i6", "r7", "a8"}, 5},
		{[]command.Report{report(command.Done, "d9"), report(command.Done, "d10")}, []string{"r7", "a8", "d10"}, 7},
	} {
		commit(t, j, func(b *Batch) {
			for _, rep := range step.add {
				b.Report(rep)
			}
		})
		same(t, "outbox", keys(outbox(t, j)), step.want)
		same(t, "lost", j.Stats().LostReports, step.lost)
		j.Close()
		if err := CheckFile(path); err != nil {
			t.Fatal(err)
		}
		j, _ = openAt(t, path, o)
		same(t, "lost after a restart", j.Stats().LostReports, step.lost)
	}
}

// TestOutboxModel: against a list, with any mix of reports, confirmations and
// commits that fail; what is left out shows as a gap and is counted.
func TestOutboxModel(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		j, _ := openAt(t, filepath.Join(dir, fmt.Sprint(n)), Options{outboxLimit: 4})
		defer j.Close()
		type entry struct {
			seq  uint64
			done bool
		}
		var model []entry
		seq, lost := uint64(0), uint64(0)
		for range rapid.IntRange(1, 6).Draw(rt, "commits") {
			var b Batch
			for range rapid.IntRange(0, 4).Draw(rt, "changes") {
				if c := rapid.IntRange(0, 9).Draw(rt, "change"); c < 7 {
					s := rapid.SampledFrom([]command.State{command.Done, command.Refused}).Draw(rt, "outcome")
					b.Report(report(s, ""))
					if len(model) == 4 {
						i := max(0, slices.IndexFunc(model, func(e entry) bool { return e.done }))
						model = slices.Delete(model, i, i+1)
						lost++
					}
					seq++
					model = append(model, entry{seq, s == command.Done})
				} else {
					gone := rapid.Uint64Range(1, 12).Draw(rt, "taken out")
					there := slices.ContainsFunc(model, func(e entry) bool { return e.seq == gone })
					if c == 9 {
						b.Lose(gone)
					} else {
						b.Confirm(gone)
					}
					if c == 9 && there {
						lost++
					}
					model = slices.DeleteFunc(model, func(e entry) bool { return e.seq == gone })
				}
			}
			if err := j.Commit(&b); err != nil {
				rt.Fatal(err)
			}
		}
		var want, got []entry
		want = append(want, model...)
		for _, rep := range outbox(t, j) {
			got = append(got, entry{rep.Seq, isDone(rep)})
		}
		if !slices.Equal(got, want) || j.Stats().LostReports != lost || j.Stats().Outbox != uint64(len(want)) {
			rt.Fatalf("outbox %v, want %v; %+v, want %d lost", got, want, j.Stats(), lost)
		}
	})
}
