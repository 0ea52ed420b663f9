package persist

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"actuatord/agent/command"
)

var (
	pump  = Identity{Hub: "hub.example.test", Device: "pump-1"}
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// TestMain lets the test binary be the child of CheckInChild.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && strings.HasPrefix(os.Args[1], "child-") {
		os.Exit(child(os.Args[1], os.Args[2]))
	}
	os.Exit(m.Run())
}

// openAt opens the journal at path for a test on any file system.
func openAt(t testing.TB, path string, o Options) (*Journal, Opened) {
	t.Helper()
	o.Volatile = true
	j, found, err := Open(t.Context(), path, pump, start, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { j.Close() })
	return j, found
}

func newJournal(t testing.TB) (*Journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	j, _ := openAt(t, path, Options{})
	return j, path
}

// unlogged is a new journal whose commits are all bbolt's, for tests of its file.
func unlogged(t testing.TB) (*Journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	j, _ := openAt(t, path, Options{LogPages: -1})
	return j, path
}

// reopen closes j, proves its file and opens it again.
func reopen(t testing.TB, j *Journal) *Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	j, found := openAt(t, j.path, Options{})
	if found.Fresh || found.SetAside != "" {
		t.Fatalf("reopened: %+v", found)
	}
	return j
}

func commit(t testing.TB, j *Journal, fill func(b *Batch)) {
	t.Helper()
	var b Batch
	fill(&b)
	if err := j.Commit(&b); err != nil {
		t.Fatalf("commit: %v", err)
	}
	if !b.Empty() || b.Len() != 0 {
		t.Fatalf("a committed batch holds %d changes", b.Len())
	}
}

// record is the n-th command of a test, in state s.
func record(n int, s command.State) command.Record {
	at := start.Add(time.Duration(n) * time.Second)
	return command.Record{
		Key: command.Key(fmt.Sprintf("m:%d", n)), State: s, Reason: command.Interlocked, Detail: "valve-2 is on",
		Fingerprint: command.FingerprintOfPayload([]byte{byte(n)}), MessageID: fmt.Sprint(n), Target: "pump", Action: "on",
		OnceOnly: n%2 == 0, Away: true, Touches: []string{"pump", "dac"}, Arrival: uint64(n), Sent: at.Add(-time.Minute),
		FirstSeen: at, LastSeen: at.Add(time.Millisecond), Interruptions: 2, Owes: command.OwesAbandon,
	}
}

func report(outcome command.State, text string) command.Report {
	return command.Report{
		V: 1, Kind: command.KindOutcome, MessageID: text, Target: "pump", Action: "on", Outcome: outcome.String(),
		Levels: map[string]string{"pump": "on"}, At: start, Clock: "trusted", Meta: json.RawMessage(`{"a":[1]}`),
	}
}

func lookUp(t testing.TB, j *Journal, k command.Key) command.Record {
	t.Helper()
	r, found, err := j.Lookup(k)
	if err != nil || !found {
		t.Fatalf("lookup %s: found %v, %v", k, found, err)
	}
	return r
}

func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func outbox(t testing.TB, j *Journal) []command.Report {
	t.Helper()
	reps, err := j.Outbox(0, 1<<20)
	if err != nil {
		t.Fatalf("outbox: %v", err)
	}
	return reps
}

// keys are the message ids of reps, for short comparisons.
func keys(reps []command.Report) (ids []string) {
	for _, r := range reps {
		ids = append(ids, r.MessageID)
	}
	return ids
}

func TestCommandsSurvive(t *testing.T) {
	j, _ := newJournal(t)
	commit(t, j, func(b *Batch) { b.Start(record(2, command.Started)) })
	commit(t, j, func(b *Batch) {
		b.Conclude(record(1, command.Refused), report(command.Refused, "1"))
		b.Start(record(3, command.Started))
	})
	j = reopen(t, j)
	for n, s := range map[int]command.State{1: command.Refused, 2: command.Started, 3: command.Started} {
		same(t, "record", lookUp(t, j, record(n, s).Key), record(n, s))
	}
	if _, found, err := j.Lookup("m:4"); found || err != nil {
		t.Errorf("lookup of an unknown key: %v, %v", found, err)
	}
	unfinished, err := j.Unfinished()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "unfinished", unfinished, []command.Record{record(2, command.Started), record(3, command.Started)})

	commit(t, j, func(b *Batch) { b.Conclude(record(2, command.Done), report(command.Done, "2")) })
	j = reopen(t, j)
	unfinished, _ = j.Unfinished()
	same(t, "unfinished after one was concluded", unfinished, []command.Record{record(3, command.Started)})
	recent, err := j.Recent(2)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "recent", recent, []command.Record{record(3, command.Started), record(2, command.Done)})
	same(t, "arrival", j.Arrival(), 3)
	same(t, "commands", j.Stats().Commands, 3)
	same(t, "outbox", keys(outbox(t, j)), []string{"1", "2"})
}

// TestSharedArrival: two records with one arrival are a fault of the caller, and
// no reason to lose one of them.
func TestSharedArrival(t *testing.T) {
	j, _ := newJournal(t)
	a, b := record(1, command.Done), record(2, command.Done)
	b.Arrival = a.Arrival
	commit(t, j, func(batch *Batch) {
		batch.Conclude(a, report(command.Done, "a"))
		batch.Conclude(b, report(command.Done, "b"))
	})
	moved := b
	moved.Arrival = 7
	commit(t, j, func(batch *Batch) { batch.Conclude(moved, report(command.Done, "b")) })
	j = reopen(t, j)
	same(t, "first", lookUp(t, j, a.Key), a)
	same(t, "second", lookUp(t, j, b.Key), moved)
}

func TestLongTexts(t *testing.T) {
	j, _ := newJournal(t)
	long := strings.Repeat("ä", 40_000)
	r := record(1, command.Refused)
	r.Key, r.Target, r.Detail = command.Key("b:"+long), long, long
	twin := r
	twin.Key, twin.Arrival = r.Key+"x", 2
	rep := report(command.Refused, long)
	rep.Meta = json.RawMessage(`"` + strings.Repeat("m", 2000) + `"`)
	rep.At = time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)
	commit(t, j, func(b *Batch) {
		b.Conclude(r, rep)
		b.Conclude(twin, rep)
	})
	j = reopen(t, j)
	got := lookUp(t, j, r.Key)
	if got.Key != r.Key || len(got.Target) > maxText || !strings.HasPrefix(got.Target, "ää") || !strings.HasSuffix(got.Detail, "ä...") {
		t.Errorf("record of long texts: %.40q %.40q", got.Key, got.Target)
	}
	if other := lookUp(t, j, twin.Key); other.Arrival != 2 {
		t.Error("two long keys with the same beginning are one record")
	}
	all, _ := j.Recent(1)
	same(t, "by its short key", lookUp(t, j, all[0].Key).Arrival, all[0].Arrival)
	if rep := outbox(t, j)[0]; len(rep.MessageID) > maxText || rep.Meta != nil || !rep.At.IsZero() {
		t.Errorf("report is not bounded: %+v", rep)
	}
}

func TestNewestIsTheLastToActAndTheLatestOfAll(t *testing.T) {
	j, _ := newJournal(t)
	n := func(key command.Key, arrival uint64, sent time.Time) command.Newest {
		return command.Newest{Key: key, Arrival: arrival, Sent: sent}
	}
	late := start.Add(time.Hour)
	for _, step := range []struct{ acted, want command.Newest }{
		{n("m:2", 2, late), n("m:2", 2, late)},
		{n("m:3", 3, start), n("m:3", 3, late)},
		{n("m:1", 1, late.Add(1)), n("m:1", 3, late.Add(1))},
		{n("m:4", 4, time.Time{}), n("m:4", 4, late.Add(1))},
	} {
		commit(t, j, func(b *Batch) { b.Acted("pump", step.acted) })
		j = reopen(t, j)
		got, err := j.Newest("pump")
		if err != nil {
			t.Fatal(err)
		}
		same(t, "newest", got, step.want)
	}
	if got, err := j.Newest("dac"); err != nil || got != (command.Newest{}) {
		t.Errorf("newest of a target that never acted: %+v, %v", got, err)
	}
}

func TestLeases(t *testing.T) {
	j, _ := newJournal(t)
	a := command.Lease{Output: "a", Key: "m:1", MessageID: "1", Since: start, Until: start.Add(time.Minute)}
	b := command.Lease{Output: "b", Key: "m:2", Since: start}
	commit(t, j, func(x *Batch) { x.OpenLease(b); x.OpenLease(a); x.CloseLease("never opened") })
	a.Until = start.Add(time.Hour)
	commit(t, j, func(x *Batch) { x.OpenLease(a) })
	j = reopen(t, j)
	got, err := j.Leases()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "leases", got, []command.Lease{a, b})
	commit(t, j, func(x *Batch) { x.CloseLease("a") })
	j = reopen(t, j)
	got, _ = j.Leases()
	same(t, "leases after one was closed", got, []command.Lease{b})
}

func TestFactsSurvive(t *testing.T) {
	j, _ := newJournal(t)
	same(t, "history of a new journal", j.History(), History{State: HistoryInDoubt, Since: start})
	same(t, "link facts of a new journal", j.LinkFacts(), LinkFacts{})
	f := LinkFacts{
		Connect: ConnectIntended, LastSuback: start, LastPoll: start.Add(1), PollTrusted: true,
		LastVisit: start.Add(3), LastTrusted: start.Add(2), FirstDrains: 255, Rung: 2, Starts: 255,
	}
	h := History{State: HistoryClear, Since: start.Add(time.Hour), Dated: true}
	commit(t, j, func(b *Batch) { b.Link(f); b.History(h) })
	j = reopen(t, j)
	same(t, "link facts", j.LinkFacts(), f)
	same(t, "history", j.History(), h)
	same(t, "identity", j.Identity(), pump)
}

func TestSeen(t *testing.T) {
	j, _ := newJournal(t)
	r := record(1, command.Done)
	commit(t, j, func(b *Batch) { b.Conclude(r, report(command.Done, "1")) })
	for _, step := range []struct{ at, want time.Time }{
		{r.LastSeen.Add(time.Hour), r.LastSeen.Add(time.Hour)},
		{r.LastSeen, r.LastSeen.Add(time.Hour)}, // a clock that was set back shortens nothing
		{time.Time{}, time.Time{}},
		{r.LastSeen, r.LastSeen},
	} {
		commit(t, j, func(b *Batch) { b.Seen(r.Key, step.at); b.Seen("m:gone", step.at) })
		j = reopen(t, j)
		want := r
		want.LastSeen = step.want
		same(t, "seen", lookUp(t, j, r.Key), want)
	}
	same(t, "commands", j.Stats().Commands, 1)
}

func TestCleanStop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	for boot, run := range []struct {
		end     func(b *Batch)
		unclean bool // as this run finds it
	}{
		{func(b *Batch) {}, false},
		{func(b *Batch) { b.Clean() }, true},
		{func(b *Batch) { b.Report(report(command.Done, "last")); b.Clean() }, false},
		{func(b *Batch) { b.Confirm(1) }, false},
		{func(b *Batch) { b.Clean() }, true},
	} {
		j, found := openAt(t, path, Options{})
		same(t, "boot", found.Boot, uint64(boot+1))
		same(t, fmt.Sprintf("unclean at boot %d", boot+1), found.Unclean, run.unclean)
		commit(t, j, run.end)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// A commit after the clean mark takes it away.
	j, _ := openAt(t, path, Options{})
	commit(t, j, func(b *Batch) { b.Clean() })
	if err := j.Probe(start); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if _, found := openAt(t, path, Options{}); !found.Unclean {
		t.Error("a commit after Clean left the mark")
	}
}

func TestClosed(t *testing.T) {
	j, _ := newJournal(t)
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Fatalf("close twice: %v", err)
	}
	var b Batch
	b.Clean()
	_, _, lookup := j.Lookup("m:1")
	_, prune := j.Prune(start, 1)
	for _, err := range []error{j.Commit(&b), j.Commit(&Batch{}), j.Probe(start), lookup, prune, j.Err()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	}
	same(t, "size after close", j.Stats().Size, 0)
}

func TestReadOnly(t *testing.T) {
	j, path := newJournal(t)
	r := record(1, command.Done)
	commit(t, j, func(b *Batch) { b.Conclude(r, report(command.Done, "1")); b.Clean() })
	var locked *LockedError
	if _, err := ReadOnly(path); !errors.As(err, &locked) {
		t.Errorf("while the journal is open: %v", err)
	}
	j.Close()
	before, _ := os.ReadFile(path)
	ro, err := ReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "record", lookUp(t, ro, r.Key), r)
	same(t, "stats", ro.Stats().Outbox, 1)
	var b Batch
	b.Report(report(command.Done, "2"))
	_, prune := ro.Prune(start, 1)
	for _, err := range []error{ro.Commit(&b), ro.Probe(start), prune} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("write to a journal for reading: %v", err)
		}
	}
	same(t, "record after refused writes", lookUp(t, ro, r.Key), r)
	if err := ro.Close(); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(path)
	if string(before) != string(after) {
		t.Error("reading changed the file")
	}
	if _, found := openAt(t, path, Options{}); found.Unclean || found.Boot != 2 {
		t.Errorf("reading counted as a run: %+v", found)
	}
	var access *AccessError
	if _, err := ReadOnly(path + ".none"); !errors.As(err, &access) {
		t.Errorf("no file: %v", err)
	}
}
