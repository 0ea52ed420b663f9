package persist

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actuatord/agent/command"
)

// A snapshot is a journal's file, cut to the pages in use, so that each of them
// matters, and what it tells.
type snapshot struct {
	file    []byte
	picture string
	log     [logIDSize]byte
}

func snap(t *testing.T, j *Journal) snapshot {
	t.Helper()
	file, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot{file[:j.Stats().Size], picture(t, j), j.logID}
}

// aged is a journal with some life behind it: as it is, and one commit earlier.
func aged(t *testing.T) (now, earlier snapshot) {
	t.Helper()
	j, _ := unlogged(t)
	for n := range 60 {
		earlier = snap(t, j)
		commit(t, j, func(b *Batch) {
			r := record(n+1, command.Done)
			b.Conclude(r, report(command.Done, r.MessageID))
			b.Acted("pump", command.Newest{Key: r.Key, Arrival: r.Arrival})
			b.Start(record(1000, command.Started))
			if n%3 == 0 {
				b.Confirm(uint64(n))
			}
		})
	}
	now = snap(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return now, earlier
}

// A damage is one way to spoil a page.
type damage struct {
	name string
	do   func(file []byte, page int) []byte
}

func damages(older []byte) []damage {
	return []damage{
		{"zeroed", func(f []byte, p int) []byte { clear(f[p*pageSize : (p+1)*pageSize]); return f }},
		{"all ones", func(f []byte, p int) []byte {
			copy(f[p*pageSize:], bytes.Repeat([]byte{0xff}, pageSize))
			return f
		}},
		{"bit flipped in its head", func(f []byte, p int) []byte { f[p*pageSize+9] ^= 1; return f }},
		{"bit flipped in its count", func(f []byte, p int) []byte { f[p*pageSize+10] ^= 4; return f }},
		{"bit flipped in an element", func(f []byte, p int) []byte { f[p*pageSize+22] ^= 0x40; return f }},
		{"bit flipped at its end", func(f []byte, p int) []byte { f[(p+1)*pageSize-9] ^= 1; return f }},
		{"file cut off there", func(f []byte, p int) []byte { return f[:p*pageSize] }},
		{"file cut off within", func(f []byte, p int) []byte { return f[:p*pageSize+700] }},
		{"overwritten by the page before", func(f []byte, p int) []byte {
			copy(f[p*pageSize:(p+1)*pageSize], f[max(p-1, 0)*pageSize:])
			return f
		}},
		{"left behind from a commit before", func(f []byte, p int) []byte {
			if (p+1)*pageSize <= len(older) {
				copy(f[p*pageSize:(p+1)*pageSize], older[p*pageSize:])
			}
			return f
		}},
	}
}

// TestDamage spoils each page in each way. A file either passes the check, and
// then tells exactly what was committed, or it is found bad; the check may crash
// over it or hang, never pass with other data.
func TestDamage(t *testing.T) {
	now, earlier := aged(t)
	dir := t.TempDir()
	var paths []string
	for _, d := range damages(earlier.file) {
		for page := range len(now.file) / pageSize {
			path := filepath.Join(dir, fmt.Sprintf("page %d %s", page, d.name))
			if err := errors.Join(os.WriteFile(path, d.do(bytes.Clone(now.file), page), 0o600), makeLog(path, now.log, 0)); err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
	}
	verdicts := sweep(t, dir, paths)
	tally := map[string]int{}
	for _, path := range paths {
		v := verdicts[path]
		kind, _, _ := strings.Cut(v, " ")
		tally[kind]++
		o := Options{Check: func(context.Context, string) error { return nil }}
		if kind != "sound" {
			o.Check = func(context.Context, string) error { return badContent("%s", v) }
		}
		j, found := openAt(t, path, o)
		if kind == "sound" {
			if got := picture(t, j); found.SetAside != "" || got != now.picture && !(got == earlier.picture && whole(path)) {
				t.Errorf("%s: passed the check and tells something else", filepath.Base(path))
			}
		} else if found.SetAsideWhy != WhyContent || j.History().State != HistoryLost {
			t.Errorf("%s: %s, and yet %+v", filepath.Base(path), v, found)
		}
		j.Close()
	}
	t.Logf("%d files: %v", len(paths), tally)
	if tally["sound"] == 0 || tally["bad"] == 0 || tally["odd"] != 0 {
		t.Errorf("verdicts: %v", tally)
	}
}

// whole reports whether the damage took a commit away without a trace: a meta page
// as it was before. Nothing in the file can tell (see the package doc), and what
// it then tells is the commit before, whole.
func whole(path string) bool {
	name := filepath.Base(path)
	return strings.Contains(name, "left behind") && (strings.HasPrefix(name, "page 0 ") || strings.HasPrefix(name, "page 1 "))
}

// sweep has one child check many files, and another one go on where it crashed.
func sweep(t *testing.T, dir string, paths []string) map[string]string {
	t.Helper()
	verdicts := map[string]string{}
	for left := paths; len(left) > 0; {
		list := filepath.Join(dir, "list")
		if err := os.WriteFile(list, []byte(strings.Join(left, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), self(), "child-sweep", list).Output()
		n := 0
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			if line := lines.Text(); line != greeting {
				verdicts[left[n]] = line
				n++
			}
		}
		if err != nil && n < len(left) {
			verdicts[left[n]] = "crash " + err.Error()
			n++
		} else if n < len(left) {
			t.Fatalf("the sweep ended early: %d of %d", n, len(left))
		}
		left = left[n:]
	}
	return verdicts
}

// exitHung is what a check ends with that bbolt turns round in. A slow machine may
// end a sound one so, too, and then the file merely counts as bad.
const exitHung = 50

// sweepChild prints one verdict a line.
func sweepChild(list string) int {
	text, err := os.ReadFile(list)
	if err != nil || LimitChild() != nil {
		return exitUnknown
	}
	for _, path := range strings.Split(string(text), "\n") {
		hung := time.AfterFunc(2*time.Second, func() { os.Exit(exitHung) })
		var bad *ContentError
		switch err := CheckFile(path); {
		case err == nil:
			fmt.Println("sound")
		case errors.As(err, &bad):
			fmt.Println("bad", strings.ReplaceAll(bad.Why, "\n", " "))
		default:
			fmt.Println("odd", err)
		}
		hung.Stop()
	}
	return 0
}

// FuzzCheckFile changes a byte or two anywhere in a journal. The check runs in
// this process: whatever the bytes say, it comes to its end, and what it passes
// tells what was committed.
func FuzzCheckFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "journal.db")
	j, _ := openAt(f, path, Options{LogPages: -1})
	commit(f, j, func(b *Batch) {
		for n := range 20 {
			b.Conclude(record(n+1, command.Done), report(command.Done, fmt.Sprint(n)))
		}
	})
	want, size, id := picture(f, j), j.Stats().Size, j.logID
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(2*pageSize+10), byte(1), uint32(3*pageSize+16), byte(0xff))
	f.Add(uint32(pageSize+40), byte(3), uint32(48), byte(3))
	f.Fuzz(func(t *testing.T, at uint32, x byte, at2 uint32, x2 byte) {
		spoilt := bytes.Clone(file[:size])
		spoilt[int64(at)%size] ^= x
		spoilt[int64(at2)%size] ^= x2
		if got := pictureOf(t, filepath.Join(t.TempDir(), "journal.db"), spoilt, id); got != "" && got != want {
			t.Errorf("believed: %s", got)
		}
	})
}
