package persist

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"actuatord/agent/command"
)

// TestDiskFilledByOthers: what the log took has its place in bbolt's file, although
// the disk is full now; the daemon goes on, and starts again.
func TestDiskFilledByOthers(t *testing.T) {
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	run := func(name string, args ...string) error {
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
		return nil
	}
	for _, step := range [][]string{
		{"truncate", "-s", "60M", image}, {"mkfs.ext4", "-q", "-m", "0", image},
		{"mkdir", mount}, {"mount", "-o", "loop", image, mount},
	} {
		if err := run(step[0], step[1:]...); err != nil {
			t.Skipf("SKIPPED: no disk to fill: %v", err)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mount).CombinedOutput(); err != nil { //nolint:noctx // the test's is over
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	path := filepath.Join(mount, "journal.db")
	j, _, err := Open(t.Context(), path, pump, start, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	n := 0
	for j.Stats().Size < reserved-1<<20 { // nearly all that was taken when it was made
		commit(t, j, func(b *Batch) {
			for range 200 {
				n++
				b.record(record(n, command.Done))
			}
		})
	}
	for round := range 4 { // changes all over the file
		commit(t, j, func(b *Batch) {
			for i := range 240 {
				b.Seen(record(2+round+i*n/240, command.Done).Key, start.Add(9001*time.Hour))
			}
		})
	}
	if err := run("sh", "-c", "dd if=/dev/zero of="+mount+"/others bs=64k 2>/dev/null; true"); err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		commit(t, j, func(b *Batch) { b.Start(record(n+i+1, command.Started)) })
	}
	j.Close()
	if j, _, err = Open(t.Context(), path, pump, start, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := j.Probe(start); err != nil {
		t.Error(err)
	}
	j.Close()
	if _, err := os.Stat(path + suffixBad); err == nil {
		t.Error("it was set aside")
	}
}
