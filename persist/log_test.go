package persist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"actuatord/agent/command"
)

// A logged journal is one whose log holds some entries, long and short, and what it
// told after each commit, from the one that the file itself has.
type logged struct {
	file, log []byte
	told      []string
	ends      []int // the pages behind each entry
}

func newLogged(t testing.TB) logged {
	t.Helper()
	j, path := newJournal(t)
	commit(t, j, func(b *Batch) {
		for n := range 5 {
			b.Conclude(record(100+n, command.Done), report(command.Done, fmt.Sprint(n)))
		}
	})
	if err := j.fold("begin the log", func(*writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	l := logged{told: []string{picture(t, j)}}
	for n := range 12 {
		commit(t, j, func(b *Batch) {
			for i := range 1 + n%4*9 {
				r := record(10+100*n+i, command.Done)
				b.Conclude(r, report(command.Done, r.MessageID))
			}
			b.Confirm(uint64(n))
			b.Start(record(2, command.Started))
			b.OpenLease(command.Lease{Output: fmt.Sprint("valve-", n%2)})
			b.CloseLease(fmt.Sprint("valve-", (n+1)%2))
		})
		l.told, l.ends = append(l.told, picture(t, j)), append(l.ends, j.log.next)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	var err1, err2 error
	l.file, err1 = os.ReadFile(path)
	l.log, err2 = os.ReadFile(path + suffixLog)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	l.file = l.file[:j.writtenTo(t)]
	return l
}

// writtenTo is the length of the pages that bbolt has ever used.
func (j *Journal) writtenTo(t testing.TB) int64 {
	ro, err := ReadOnly(j.path)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	return ro.Stats().Size
}

// tells is what a journal of l's file and log tells; "" when it is found bad.
func (l logged) tells(t testing.TB, log []byte) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := errors.Join(os.WriteFile(path, l.file, 0o600), os.WriteFile(path+suffixLog, log, 0o600)); err != nil {
		t.Fatal(err)
	}
	j, err := ReadOnly(path)
	if err != nil {
		return "", err
	}
	defer j.Close()
	return picture(t, j), nil
}

// TestDamagedLog spoils each page of the log in each way. Of a page that is in use
// the damage is found, but for the last entry's, which may have been torn by a power
// cut: then it is as if that commit had not been made. Any other page says nothing.
func TestDamagedLog(t *testing.T) {
	l := newLogged(t)
	last := len(l.told) - 1
	used, lastFrom := l.ends[last-1], l.ends[last-2]
	if used-lastFrom < 3 {
		t.Fatalf("the last entry has %d pages", used-lastFrom)
	}
	verdicts := map[string]int{}
	for _, d := range damages(nil) {
		if strings.HasPrefix(d.name, "file cut off") || strings.HasPrefix(d.name, "left behind") {
			continue
		}
		for page := range used + 3 {
			got, err := l.tells(t, d.do(bytes.Clone(l.log), page))
			var bad *ContentError
			want := "bad"
			switch {
			case page >= lastFrom && page < used:
				want = l.told[last-1]
			case page >= used, page == 0 && d.name == "overwritten by the page before": // itself
				want = l.told[last]
			}
			if err != nil && !errors.As(err, &bad) {
				t.Errorf("page %d %s: %v", page, d.name, err)
			}
			if err != nil {
				got = "bad"
			}
			if got != want {
				t.Errorf("page %d %s: %.100s (%v); want %.100s", page, d.name, got, err, want)
			}
			verdicts[map[bool]string{true: "bad", false: "believed"}[err != nil]]++
		}
	}
	t.Logf("%v", verdicts)
}

// TestForeignLog: a log that is not this journal's, or none, is found: what it had
// of this journal is gone.
func TestForeignLog(t *testing.T) {
	l, other := newLogged(t), newLogged(t)
	if got, err := l.tells(t, slices.Concat(l.log[:logBegin*pageSize], make([]byte, len(l.log)-logBegin*pageSize))); got != l.told[0] {
		t.Errorf("made anew: %.100s (%v); want what the file has", got, err)
	}
	for name, log := range map[string][]byte{
		"empty":                  {},
		"zeroed":                 make([]byte, len(l.log)),
		"erased":                 bytes.Repeat([]byte{0xff}, len(l.log)),
		"of another journal":     other.log,
		"cut off":                l.log[:20*pageSize],
		"cut off within a page":  l.log[:pageSize+7],
		"longer":                 slices.Concat(l.log, make([]byte, pageSize)),
		"first page of another":  slices.Concat(other.log[:pageSize], l.log[pageSize:]),
		"first entry of another": slices.Concat(l.log[:pageSize], other.log[pageSize:2*pageSize], l.log[2*pageSize:]),
		"pages in another order": slices.Concat(l.log[:pageSize], l.log[2*pageSize:3*pageSize], l.log[pageSize:2*pageSize], l.log[3*pageSize:]),
	} {
		var bad *ContentError
		if got, err := l.tells(t, log); !errors.As(err, &bad) {
			t.Errorf("%s: %.100s (%v); want it found bad", name, got, err)
		}
	}
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(path, l.file, 0o600); err != nil {
		t.Fatal(err)
	}
	var bad *ContentError
	if _, err := ReadOnly(path); !errors.As(err, &bad) || !strings.Contains(err.Error(), "log") {
		t.Errorf("no log: %v", err)
	}
	if j, found := openAt(t, path, Options{}); found.SetAsideWhy != WhyContent || j.History().State != HistoryLost {
		t.Errorf("no log: %+v", found)
	}
}

// TestLogRounds: whatever lies behind in the log of earlier rounds, of other lengths,
// a kill behind any commit leaves what was committed.
func TestLogRounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	o := Options{LogPages: 7}
	j, _ := openAt(t, path, o)
	for n := range 120 {
		commit(t, j, func(b *Batch) {
			for i := range 1 + (n*n)%13 {
				r := record(1+100*n+i, command.Done)
				b.Conclude(r, report(command.Done, strings.Repeat("x", n%3*200)))
			}
			b.Confirm(uint64(n))
		})
		want := picture(t, j)
		if n%5 != 0 {
			continue
		}
		j.Close()
		ro, err := ReadOnly(path)
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("for reading, after %d commits", n+1), picture(t, ro), want)
		ro.Close()
		if j, _ = openAt(t, path, o); picture(t, j) != want {
			t.Fatalf("after %d commits it tells something else", n+1)
		}
	}
}

// TestSchema1: a journal from before there was a log is read, and has one from the
// next start on.
func TestSchema1(t *testing.T) {
	j, path := unlogged(t)
	commit(t, j, func(b *Batch) { b.Conclude(record(1, command.Done), report(command.Done, "1")) })
	want := picture(t, j)
	err := j.fold("as schema 1", func(w *writer) error {
		_, err := w.delete(tableJournal, []byte(keyLog))
		return errors.Join(err, w.put(tableJournal, []byte(keySchema), binary.AppendUvarint(nil, 1)))
	})
	if err := errors.Join(err, j.Close(), os.Remove(path+suffixLog)); err != nil {
		t.Fatal(err)
	}
	ro, err := ReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "for reading", picture(t, ro), want)
	ro.Close()
	same(t, "files", files(t, path), []string{"journal.db"})
	for range 2 {
		j, found := openAt(t, path, Options{})
		if found.Fresh || picture(t, j) != want || j.schema != schema {
			t.Fatalf("%+v, schema %d", found, j.schema)
		}
		commit(t, j, func(b *Batch) { b.Start(record(2, command.Started)) })
		want = picture(t, j)
		j.Close()
	}
}

// TestCountersOfVersion1 are those of a journal without a log.
func TestCountersOfVersion1(t *testing.T) {
	got, err := decodeCounters([]byte("\x01\x01\x01\x02\x03\x04\x05\x06\x00\x00\x00\x00\x00\x00\x00\x07"))
	same(t, "counters", got, counters{boot: 1, clean: true, arrival: 2, seq: 3, lost: 4, commands: 5, outbox: 6, sum: 7})
	if err != nil {
		t.Error(err)
	}
}

// FuzzLog changes bytes anywhere in a log: what is believed is what some commit left.
func FuzzLog(f *testing.F) {
	l := newLogged(f)
	used := l.ends[len(l.ends)-1] * pageSize
	f.Add(uint32(0), byte(1), uint32(pageSize+20), byte(0xff), true)
	f.Add(uint32(used-pageSize), byte(3), uint32(logHead+1), byte(3), false)
	f.Fuzz(func(t *testing.T, at uint32, x byte, at2 uint32, x2 byte, sealed bool) {
		log := bytes.Clone(l.log)
		log[int(at)%used] ^= x
		log[int(at2)%used] ^= x2
		for page := 0; sealed && page < used/pageSize; page++ { // with checksums that fit
			p := log[page*pageSize : (page+1)*pageSize]
			binary.BigEndian.PutUint32(p, logSum(page, p))
		}
		if got, err := l.tells(t, log); err == nil && !sealed && !slices.Contains(l.told, got) {
			t.Errorf("believed: %s", got)
		}
	})
}
