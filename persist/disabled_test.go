package persist

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"actuatord/persist/persisttest"
)

// lockouts is the life of a file: each is what is disabled after one more step.
func lockouts() [][]Disabled {
	since := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	pump := Disabled{Target: "pump", Since: since, Who: "kim (uid 1000)", Why: "blades off"}
	all := Disabled{Target: "all", Who: "root", Why: strings.Repeat("x", 4000)} // more than a sector
	return [][]Disabled{{pump}, {pump, all}, {all}, {}, {pump}}
}

// lockOut writes one after the other, and answers how many were acknowledged.
func lockOut(dir string) (acked int) {
	for _, list := range lockouts() {
		if err := WriteDisabled(filepath.Join(dir, "disabled.json"), list); err != nil {
			return acked
		}
		acked++
	}
	return acked
}

func TestDisabled(t *testing.T) {
	path := DisabledPath(filepath.Join(t.TempDir(), "journal.db"))
	if list, err := ReadDisabled(path); list != nil || err != nil {
		t.Errorf("without a file: %v, %v", list, err)
	}
	for i, want := range lockouts() {
		if err := WriteDisabled(path, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadDisabled(path)
		if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("step %d: %v, %v; want %v", i, got, err, want)
		}
	}
	if names := files(t, path); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestDisabledBelongsToTheDaemon: root may write it while none runs, and the daemon,
// which is not root, has to read it.
func TestDisabledBelongsToTheDaemon(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, 12346); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "disabled.json")
	if err := WriteDisabled(path, lockouts()[0]); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 12345 || s.Gid != 12346 {
		t.Errorf("it is %d:%d's; want its directory's owner's", s.Uid, s.Gid)
	}
}

// TestDisabledDamage: of a file that is not whole nothing is believed. Each of its
// bits is turned over, and it is cut off at each byte.
func TestDisabledDamage(t *testing.T) {
	text, err := encodeDisabled(lockouts()[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeDisabled(text); err != nil {
		t.Fatal(err)
	}
	for i := range text {
		for bit := range 8 {
			bad := bytes.Clone(text)
			bad[i] ^= 1 << bit
			if list, err := decodeDisabled(bad); err == nil {
				t.Fatalf("bit %d of byte %d is wrong, and it says %v", bit, i, list)
			}
		}
		if list, err := decodeDisabled(text[:i]); err == nil {
			t.Fatalf("cut off after %d bytes it says %v", i, list)
		}
	}
	if _, err := decodeDisabled(append(text, '\n')); err == nil {
		t.Error("what follows is overlooked")
	}
}

// TestDisabledUnreadable: whatever keeps it from being read is an error that says how
// to get out.
func TestDisabledUnreadable(t *testing.T) {
	sealed := func(line string) string {
		text := line + "\n"
		return text + fmt.Sprintf("%08x", disabledSum([]byte(line))) + "\n"
	}
	for name, make := range map[string]func(path string) error{
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"zeros":     func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{0}, 4096), 0o600) },
		"text":      func(path string) error { return os.WriteFile(path, []byte("pump\n"), 0o600) },
		"too long":  func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{'x'}, disabledMost+2), 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("/dev/null", path) },
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"newer":     func(path string) error { return os.WriteFile(path, []byte(sealed(`{"v":2,"disabled":[]}`)), 0o600) },
		"no JSON":   func(path string) error { return os.WriteFile(path, []byte(sealed(`disabled`)), 0o600) },
		"nobody":    func(path string) error { return os.WriteFile(path, []byte(sealed(`{"v":1,"disabled":[{}]}`)), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disabled.json")
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			list, err := ReadDisabled(path)
			var bad *DisabledError
			if !errors.As(err, &bad) || list != nil || !strings.Contains(err.Error(), "actuatord enable all") || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, %v; want an error that says where and what to do", list, err)
			}
		})
	}
	if list, err := decodeDisabled([]byte(sealed(`{"v":1,"disabled":[{"target":"a"}]}`))); err != nil || len(list) != 1 {
		t.Errorf("a sound one: %v, %v", list, err)
	}
}

// rightDisabled holds what a disk tells against what was acknowledged: that, or the
// one that was under way.
func rightDisabled(dir string, acked int) error {
	got, err := ReadDisabled(filepath.Join(dir, "disabled.json"))
	if err != nil {
		return err
	}
	told := append([][]Disabled{nil}, lockouts()...)
	for _, want := range told[acked:min(acked+2, len(told))] {
		if len(got) == len(want) && (len(want) == 0 || reflect.DeepEqual(got, want)) {
			return nil
		}
	}
	return errors.New("it tells neither what was acknowledged nor what was under way")
}

// TestDisabledPowerLoss lets the power go at every operation, and fails each: the file
// is the one before or the one after, and never none.
func TestDisabledPowerLoss(t *testing.T) {
	disk := persisttest.Start(t)
	whole := disk.Volume(t)
	if n := lockOut(whole.Dir()); n != len(lockouts()) {
		t.Fatalf("%d of %d written on a disk without faults", n, len(lockouts()))
	}
	images := 0
	for cut := range whole.Ops() {
		v := disk.Volume(t)
		v.CutAt(cut)
		acked := lockOut(v.Dir())
		for _, keep := range persisttest.Keeps(cut, 4) {
			images++
			dir := t.TempDir()
			v.Image(t, dir, keep)
			if err := rightDisabled(dir, acked); err != nil {
				t.Fatalf("cut %d, %v, %d acknowledged: %v", cut, keep, acked, err)
			}
		}
		for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
			v := disk.Volume(t)
			v.FailAt(cut, errno)
			acked := lockOut(v.Dir())
			dir := t.TempDir()
			v.Image(t, dir, persisttest.Keep{What: "all"})
			if err := rightDisabled(dir, acked); err != nil {
				t.Fatalf("operation %d failed with %v, %d acknowledged: %v", cut, errno, acked, err)
			}
		}
	}
	t.Logf("%d operations, each cut and failed; %d images", whole.Ops(), images)
}

// TestDisabledOnALyingDisk: the same sweep finds a disk that does not flush.
func TestDisabledOnALyingDisk(t *testing.T) {
	disk := persisttest.Start(t)
	whole := disk.Volume(t)
	lockOut(whole.Dir())
	caught := 0
	for cut := range whole.Ops() {
		v := disk.Volume(t)
		v.Lie()
		v.CutAt(cut)
		acked := lockOut(v.Dir())
		for _, keep := range persisttest.Keeps(cut, 2) {
			dir := t.TempDir()
			v.Image(t, dir, keep)
			if rightDisabled(dir, acked) != nil {
				caught++
			}
		}
	}
	if caught == 0 {
		t.Error("no image of a disk that lies was found wrong: the sweep shows nothing")
	}
}

// TestDisabledBehindALeftover: root may have been cut off while it wrote, before it
// gave the new file away. It is in nobody's way.
func TestDisabledBehindALeftover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disabled.json")
	if err := os.WriteFile(path+".new", []byte("{"), 0o400); err != nil {
		t.Fatal(err)
	}
	as(t, filepath.Dir(path), 12345, func() {
		if err := WriteDisabled(path, lockouts()[0]); err != nil {
			t.Error(err)
		}
		if list, err := ReadDisabled(path); err != nil || len(list) != 1 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// as runs fn in dir as who owns it, where root runs the test: root could do anything.
func as(t *testing.T, dir string, uid int, fn func()) {
	if os.Geteuid() != 0 {
		fn()
		return
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	for up := filepath.Dir(dir); up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() { // on a thread that nobody uses again
		defer close(done)
		runtime.LockOSThread()
		if _, _, err := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); err != 0 {
			t.Error(err)
			return
		}
		fn()
	}()
	<-done
}
