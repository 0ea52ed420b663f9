package persist

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// child is what the test binary does as a child: the real check, or one of the
// ways in which a check can go wrong.
func child(mode, path string) int {
	switch mode {
	case "child-check":
		return CheckMain(path, os.Stdout)
	case "child-usage":
		fmt.Fprintln(os.Stderr, "unknown command")
		return 2
	}
	fmt.Println(greeting)
	forever := make(chan os.Signal, 1)
	signal.Notify(forever, syscall.SIGUSR1) // without it the runtime calls a wait for ever a deadlock
	switch mode {
	case "child-sweep":
		return sweepChild(path)
	case "child-once":
		if os.Remove(path+".once") == nil {
			return 2
		}
		return 0
	case "child-hang":
		<-forever
	case "child-eat":
		if err := LimitChild(); err != nil {
			fmt.Println(err)
			return exitUnknown
		}
		var all [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			if len(all) > 64 {
				return 0 // 1 GiB and no limit
			}
		}
	case "child-bus":
		f, err := os.Open(path)
		if err != nil {
			return exitUnknown
		}
		b, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return exitUnknown
		}
		return int(b[len(b)-1]) // beyond the file's end
	case "child-term", "child-kill", "child-abort":
		s := map[string]syscall.Signal{"child-term": syscall.SIGTERM, "child-kill": syscall.SIGKILL, "child-abort": syscall.SIGABRT}[mode]
		_ = syscall.Kill(os.Getpid(), s)
		<-forever
	}
	return 1
}

func TestCheckInChild(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.db")
	j, _ := openAt(t, good, Options{})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte("not a journal"), 0o600); err != nil {
		t.Fatal(err)
	}
	type kind int
	const (
		sound kind = iota
		content
		storage
	)
	for _, c := range []struct {
		mode, path string
		limit      time.Duration
		want       kind
		text       string
	}{
		{"child-check", good, time.Minute, sound, ""},
		{"child-check", garbage, time.Minute, content, "it ends within the meta page"},
		{"child-check", dir + "/none", time.Minute, storage, "no such file"},
		{"child-bus", garbage, time.Minute, content, "twice: "},
		{"child-abort", garbage, time.Minute, content, "twice: "},
		{"child-eat", garbage, time.Minute, content, "twice: "},
		{"child-hang", garbage, 300 * time.Millisecond, content, "it took more than"},
		{"child-term", good, time.Minute, storage, "from outside: terminated"},
		{"child-kill", good, time.Minute, storage, "from outside: killed"},
		{"child-usage", good, time.Minute, storage, "did not run the check"},
		{"child-other", good, time.Minute, storage, "exit status 1"},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			if c.mode == "child-eat" && emulated() {
				t.Skip("an emulator does not limit memory")
			}
			err := checkInChild(t.Context(), c.limit, self(), []string{c.mode}, c.path)
			for limit := c.limit; errors.As(err, new(*StorageError)) && errors.Is(err, errTooLong); {
				limit *= 2 // this machine had not even started it
				err = checkInChild(t.Context(), limit, self(), []string{c.mode}, c.path)
			}
			if c.mode == "child-eat" && strings.Contains(fmt.Sprint(err), "exit status 66") {
				t.Skip("the race detector met the limit first, and has its own way to end")
			}
			var bad *ContentError
			var disk *StorageError
			got := map[bool]kind{true: content}[errors.As(err, &bad)]
			if errors.As(err, &disk) {
				got = storage
			}
			if got != c.want || (err == nil) != (c.want == sound) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("crashes once", func(t *testing.T) {
		if err := os.WriteFile(garbage+".once", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := CheckInChild(t.Context(), self(), []string{"child-once"}, garbage); err != nil {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(garbage + ".once"); err == nil {
			t.Error("it did not crash")
		}
	})
	t.Run("no program", func(t *testing.T) {
		var disk *StorageError
		if err := CheckInChild(t.Context(), dir+"/none", nil, good); !errors.As(err, &disk) {
			t.Errorf("%v", err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := CheckInChild(ctx, self(), []string{"child-hang"}, good); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// self is this program, for a child. Under an emulator argv[0] names a way back
// through it (test/arm/exec.sh), and os.Executable does not.
func self() string { return os.Args[0] }

// emulated reports whether this is qemu-user, as test/arm/exec.sh says.
func emulated() bool { return os.Getenv("QEMU") != "" }

// TestNewerSchemaThroughChild: the number comes through the exit status and a line.
func TestNewerSchemaThroughChild(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j, _ := openAt(t, path, Options{})
	makeNewer(t, j)
	var newer *SchemaError
	err := CheckInChild(t.Context(), self(), []string{"child-check"}, path)
	if !errors.As(err, &newer) || newer.Found != 7 || newer.Known != schema || newer.Path != path {
		t.Errorf("%v", err)
	}
}
