package main

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
)

func fresh() *volume { return newVolume(make([]atomic.Uint32, wordsEach)) }

func must(t *testing.T, v *volume, keep string, seed uint64) map[string][]byte {
	t.Helper()
	files, err := v.image(keep, seed)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestImage: what was flushed is there whatever is kept; of the rest nothing, all,
// or some.
func TestImage(t *testing.T) {
	v := fresh()
	file, _ := v.create("a")
	v.syncDir()
	v.write(file, bytes.Repeat([]byte{1}, 4*sector), 0)
	v.sync(file)
	v.write(file, bytes.Repeat([]byte{2}, 4*sector), sector)
	v.create("b")
	if got := must(t, v, "none", 0); len(got) != 1 || !bytes.Equal(got["a"], bytes.Repeat([]byte{1}, 4*sector)) {
		t.Errorf("nothing kept: %d files, a of %d bytes", len(got), len(got["a"]))
	}
	whole := append(bytes.Repeat([]byte{1}, sector), bytes.Repeat([]byte{2}, 4*sector)...)
	if got := must(t, v, "all", 0); len(got) != 2 || !bytes.Equal(got["a"], whole) {
		t.Errorf("all kept: %d files, a of %d bytes", len(got), len(got["a"]))
	}
	kinds := map[string]bool{}
	for seed := range uint64(300) {
		a := must(t, v, "some", seed)["a"]
		if !bytes.Equal(a[:sector], whole[:sector]) {
			t.Fatal("a flushed sector is gone")
		}
		var kind strings.Builder
		for at := sector; at < len(a); at += sector {
			if b := a[at : at+sector]; bytes.Count(b, b[:1]) != sector {
				t.Fatal("half a sector")
			}
			kind.WriteByte('0' + a[at])
		}
		kinds[kind.String()] = true
	}
	if len(kinds) < 12 { // the last of four may lie behind the end, which then is missing or zero
		t.Errorf("%d ways to lose some of four sectors: %v", len(kinds), kinds)
	}
}

// TestRenameIsLostOrNot: without a flush of the directory, a new name is there or
// not, and never without the one before it.
func TestRenameIsLostOrNot(t *testing.T) {
	v := fresh()
	file, _ := v.create("new")
	v.write(file, []byte("x"), 0)
	v.sync(file)
	v.rename("new", "real")
	seen := map[string]bool{}
	for seed := range uint64(100) {
		var names []string
		for name := range must(t, v, "some", seed) {
			names = append(names, name)
		}
		seen[strings.Join(names, ",")] = true
	}
	if !seen["real"] || !seen["new"] || !seen[""] || len(seen) != 3 {
		t.Errorf("seen %v; want none, the old name, and the new one", seen)
	}
	v.syncDir()
	if got := must(t, v, "none", 0); string(got["real"]) != "x" {
		t.Errorf("flushed: %v", got)
	}
}

// TestCut: at its operation the power goes, for good; the write that it met may be
// there in part.
func TestCut(t *testing.T) {
	v := fresh()
	file, _ := v.create("a")
	v.syncDir()
	v.words[wordCut].Store(2 + 1)
	if errno := v.write(file, bytes.Repeat([]byte{7}, 8*sector), 0); errno == 0 || v.words[wordGone].Load() == 0 {
		t.Fatal("the power did not go")
	}
	if v.sync(file) == 0 || v.words[wordOps].Load() != 2 {
		t.Error("operations go on in the dark")
	}
	parts := 0
	for seed := range uint64(50) {
		if n := bytes.Count(must(t, v, "some", seed)["a"], []byte{7}); n > 0 && n < 8*sector {
			parts++
		}
	}
	if parts == 0 {
		t.Error("the write that was under way is never there in part")
	}
}

// TestFailAndLie: one operation fails and the next does not; a flush that is not
// obeyed keeps nothing.
func TestFailAndLie(t *testing.T) {
	v := fresh()
	v.words[wordFail].Store(1)
	v.words[wordErrno].Store(28)
	if _, errno := v.create("a"); errno != 28 {
		t.Errorf("the first operation answers %d", errno)
	}
	file, errno := v.create("a")
	if errno != 0 {
		t.Fatalf("the second answers %d", errno)
	}
	v.words[wordLies].Store(1)
	v.write(file, []byte("x"), 0)
	if v.sync(file) != 0 || v.syncDir() != 0 || len(must(t, v, "none", 0)) != 0 {
		t.Error("a disk that lies has kept something")
	}
}
