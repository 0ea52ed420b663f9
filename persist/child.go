package persist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// checkTimeout bounds one check in the child. The slowest sound case is a
	// 64 MiB file on a card that reads 5 MB/s, with a Pi Zero's 5 s of checksums:
	// under 20 s. Half would cut that off; twice would try systemd's patience.
	checkTimeout = 30 * time.Second
	// checkMemory is what the child may add to what it has at its start. The
	// maps of a 64 MiB file's pages take 5 MiB; a false count asks for gigabytes.
	checkMemory = 192 << 20
	// checkStack ends a walk through pages that lead back to themselves.
	checkStack = 32 << 20
)

// How the child ends, beside 0. They stay clear of 1 and 2, with which programs
// and the Go runtime end for their own reasons. Parent and child are the same
// executable, but an upgrade may come between them: never renumber.
const (
	exitSchema  = 40 // a newer one; its number is the second line
	exitContent = 41 // bad content; the reason is the second line
	exitUnknown = 42 // could not judge; the reason is the second line
)

// greeting is the child's first line. Without it, what ended was not a check of
// ours, whatever it ended with.
const greeting = "journal check 1"

// CheckMain is the child: it limits itself, checks the file at path, writes its
// answer to w and returns the exit status. `actuatord` runs it as a hidden
// subcommand: os.Exit(persist.CheckMain(path, os.Stdout)).
func CheckMain(path string, w io.Writer) (exit int) {
	if _, err := fmt.Fprintln(w, greeting); err != nil {
		return exitUnknown
	}
	err := LimitChild()
	if err == nil {
		err = CheckFile(path)
	}
	var newer *SchemaError
	var content *ContentError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &newer):
		fmt.Fprintln(w, newer.Found)
		return exitSchema
	case errors.As(err, &content):
		fmt.Fprintln(w, content.Why)
		return exitContent
	}
	fmt.Fprintln(w, err)
	return exitUnknown
}

// LimitChild bounds the memory of the process it is called in, beyond what it has
// now, for good. RLIMIT_AS would count the address space that the Go runtime sets
// apart and never uses; RLIMIT_DATA counts what can be written to.
func LimitChild() error {
	debug.SetMaxStack(checkStack)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return fmt.Errorf("limit memory of check: %w", err)
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 6 {
		return fmt.Errorf("limit memory of check: statm is %q", statm)
	}
	pages, err := strconv.ParseUint(fields[5], 10, 40)
	if err != nil {
		return fmt.Errorf("limit memory of check: %w", err)
	}
	limit := pages*uint64(os.Getpagesize()) + checkMemory
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return fmt.Errorf("limit memory of check: %w", err)
	}
	return nil
}

// CheckInChild has the program exe, started with args and then path, run
// CheckMain, and answers as CheckFile would. A child that crashes or takes too
// long or too much is asked once more; the second time the content is bad. A
// child that cannot be started, or that somebody ended, says nothing about the
// content: *StorageError.
func CheckInChild(ctx context.Context, exe string, args []string, path string) error {
	return checkInChild(ctx, checkTimeout, exe, args, path)
}

func checkInChild(ctx context.Context, limit time.Duration, exe string, args []string, path string) error {
	var crash *crashError
	for range 2 {
		err := runCheck(ctx, limit, exe, args, path)
		if !errors.As(err, &crash) {
			return err
		}
	}
	return &ContentError{Path: path, Why: "the check did not come to its end, twice: " + crash.how}
}

// crashError: the check began and the file brought it down.
type crashError struct{ how string }

func (e *crashError) Error() string { return e.how }

func runCheck(ctx context.Context, limit time.Duration, exe string, args []string, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooLong)
	defer cancel()
	out, faults := head{room: 4096}, head{room: 4096}
	cmd := exec.CommandContext(ctx, exe, append(append([]string(nil), args...), path)...)
	cmd.Stdout, cmd.Stderr = &out, &faults
	cmd.Env = []string{"GOTRACEBACK=none"}
	cmd.WaitDelay = time.Second
	// A check must not outlive the agent: it holds a lock on the file. The kernel
	// ties this to the thread that started it, hence the lock on the thread.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if err == nil && out.line(0) == greeting {
		return nil
	}
	could := func(err error) error { return &StorageError{Op: "check", Path: path, Err: err} }
	var exit *exec.ExitError
	switch {
	case errors.Is(context.Cause(ctx), errTooLong) && out.line(0) == greeting:
		return &crashError{fmt.Sprintf("it took more than %v", limit)}
	case ctx.Err() != nil:
		return could(context.Cause(ctx))
	case out.line(0) != greeting:
		return could(fmt.Errorf("%s did not run the check: %w", exe, errors.Join(err, errNoGreeting)))
	case !errors.As(err, &exit):
		return could(err)
	}
	return verdict(exit, path, &out, &faults, could)
}

var (
	errTooLong    = errors.New("the check took too long")
	errNoGreeting = errors.New("it did not say so")
)

// verdict reads how a check ended that was neither sound nor stopped by us.
func verdict(exit *exec.ExitError, path string, out, faults *head, could func(error) error) error {
	switch exit.ExitCode() {
	case exitSchema:
		if found, err := strconv.Atoi(out.line(1)); err == nil {
			return &SchemaError{Path: path, Found: found, Known: schema}
		}
	case exitContent:
		return &ContentError{Path: path, Why: out.line(1)}
	case 2: // the Go runtime's: a panic, a page beyond the mapping, no memory left
		return &crashError{faults.line(0)}
	case -1:
		status, ok := exit.Sys().(syscall.WaitStatus)
		if !ok {
			break
		}
		switch s := status.Signal(); s {
		case syscall.SIGBUS, syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGILL, syscall.SIGFPE:
			return &crashError{"signal: " + s.String()}
		default: // a stop of the service, or the kernel short of memory for all
			return could(fmt.Errorf("the check was ended from outside: %v", s))
		}
	}
	return could(fmt.Errorf("the check ended with %v: %s", exit, out.line(1)))
}

// head keeps the beginning of what is written to it.
type head struct {
	b    []byte
	room int
}

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), h.room-len(h.b))]...)
	return len(p), nil
}

// line is line n, from 0; empty when there is none.
func (h *head) line(n int) string {
	lines := bytes.Split(h.b, []byte("\n"))
	if n >= len(lines) {
		return ""
	}
	return clip(string(lines[n]))
}
