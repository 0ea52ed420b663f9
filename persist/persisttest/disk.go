// Package persisttest gives tests a disk that loses power: a real file system (by
// FUSE, from tools/powerdisk) on which each operation has a number, power goes at
// the one that is chosen, and what was not flushed by then is lost, torn or
// reordered. It is for tests; nothing that ships imports it.
//
// A sweep runs what it is about, with the power going at operation 0, then 1, and
// so on until a run has no such operation, and looks each time at what the disk may
// hold: [Volume.Image]. What the disk promises is what POSIX and ext4 do and no
// more: see tools/powerdisk.
//
// It needs Linux, root and /dev/fuse; elsewhere [Start] skips the test, loudly. All
// calls but Start and Image touch no more than shared memory, so that they may be
// made in virtual time.
package persisttest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The words of a volume, as tools/powerdisk has them too.
const (
	wordOps   = 0
	wordCut   = 1
	wordGone  = 2
	wordFail  = 3
	wordErrno = 4
	wordLies  = 5
	wordSyncs = 6
	wordBytes = 7

	wordsEach = 8
	volumes   = 4096
)

// Disk is a running file system. It belongs to one goroutine.
type Disk struct {
	mount string
	words []atomic.Uint32
	next  int
	in    io.WriteCloser
	out   *bufio.Reader
}

// Start mounts a disk for the length of t.
func Start(t testing.TB) *Disk {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("a disk that loses power needs Linux and root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("a disk that loses power needs FUSE: %v", err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "powerdisk")
	build := exec.Command("go", "build", "-C", tools(t), "-o", program, "./powerdisk")
	// For the machine that runs this, whatever the tests are built for.
	build.Env = append(os.Environ(), "GOARCH=", "GOARM=", "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build powerdisk: %v\n%s", err, said)
	}
	d := &Disk{mount: filepath.Join(dir, "mnt")}
	if err := errors.Join(os.Mkdir(d.mount, 0o700), d.share(filepath.Join(dir, "words"))); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, d.mount, filepath.Join(dir, "words"))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("powerdisk ended with %v", err)
		}
	})
	d.in, d.out = stdin, bufio.NewReader(stdout)
	if _, err := d.out.ReadBytes('\n'); err != nil {
		t.Fatalf("powerdisk did not start: %v", err)
	}
	return d
}

// tools is the directory of that module, above the package that is being tested.
func tools(t testing.TB) string {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		at := filepath.Join(dir, "tools")
		if _, err := os.Stat(filepath.Join(at, "powerdisk")); err == nil {
			return at
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	t.Fatalf("no tools/powerdisk above the working directory: %v", err)
	return ""
}

// share makes the words and maps them.
func (d *Disk) share(path string) error {
	const size = volumes * wordsEach * 4
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	d.words = unsafe.Slice((*atomic.Uint32)(unsafe.Pointer(&b[0])), volumes*wordsEach)
	return nil
}

// Volume is one disk of its own: a directory without directories in it.
type Volume struct {
	d    *Disk
	name string
	w    []atomic.Uint32
}

// Volume makes an empty one, for the length of t.
func (d *Disk) Volume(t testing.TB) *Volume {
	t.Helper()
	n := d.next
	if d.next++; n >= volumes {
		t.Fatalf("more than %d volumes", volumes)
	}
	v := &Volume{d: d, name: strconv.Itoa(n), w: d.words[n*wordsEach : (n+1)*wordsEach]}
	if err := os.Mkdir(v.Dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	return v
}

// Dir is where the volume is mounted.
func (v *Volume) Dir() string { return filepath.Join(v.d.mount, v.name) }

// Ops is how many operations there were so far.
func (v *Volume) Ops() int { return int(v.w[wordOps].Load()) }

// Syncs and Bytes are how many of them were flushes, and what was written, modulo 2^32.
func (v *Volume) Syncs() int { return int(v.w[wordSyncs].Load()) }

// Bytes is what was written so far, modulo 2^32.
func (v *Volume) Bytes() int { return int(v.w[wordBytes].Load()) }

// CutAt has the power go at operation n, counted from the volume's beginning.
func (v *Volume) CutAt(n int) { v.w[wordCut].Store(uint32(n) + 1) }

// FailAt has operation n fail with errno, and nothing else.
func (v *Volume) FailAt(n int, errno syscall.Errno) {
	v.w[wordErrno].Store(uint32(errno))
	v.w[wordFail].Store(uint32(n) + 1)
}

// Lie has flushes answered and not obeyed from now on.
func (v *Volume) Lie() { v.w[wordLies].Store(1) }

// Gone reports whether the power has gone.
func (v *Volume) Gone() bool { return v.w[wordGone].Load() != 0 }

// Keep is what is left, after the power went, of what was not flushed.
type Keep struct {
	What string // "none", "all", or "some": any sectors, torn and out of order
	Seed uint64 // decides which
}

// Keeps are the ways to lose something that a sweep tries at each cut: nothing
// kept, all kept, and some in n ways.
func Keeps(cut, n int) []Keep {
	all := []Keep{{What: "none"}, {What: "all"}}
	for i := range n {
		all = append(all, Keep{"some", uint64(cut*n + i)})
	}
	return all
}

func (k Keep) String() string { return strings.TrimSpace(fmt.Sprint(k.What, " kept, seed ", k.Seed)) }

// Image writes what the volume may hold if the power goes now (or went) into dir,
// which is on another file system.
func (v *Volume) Image(t testing.TB, dir string, keep Keep) {
	t.Helper()
	question, err := json.Marshal(map[string]any{"volume": v.name, "dir": dir, "keep": keep.What, "seed": keep.Seed})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.d.in.Write(append(question, '\n')); err != nil {
		t.Fatal(err)
	}
	line, err := v.d.out.ReadBytes('\n')
	var answer struct{ Error string }
	if err == nil {
		err = json.Unmarshal(line, &answer)
	}
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	if err != nil {
		t.Fatalf("no image of volume %s: %v", v.name, err)
	}
}
