package persist

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"syscall"

	berrors "go.etcd.io/bbolt/errors"
)

// LockedError: another process has the journal. The file is untouched.
type LockedError struct{ Path string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("journal %s is in use by another process: stop that one first (systemctl stop actuatord), or ask it (actuatord status)", e.Path)
}

// SchemaError: a newer actuatord wrote the journal. The file is untouched.
type SchemaError struct {
	Path  string
	Found int // what the file says
	Known int // the newest this program reads
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("journal %s has schema %d and this actuatord knows up to %d: install the newer actuatord again", e.Path, e.Found, e.Known)
}

// AccessError: the journal cannot be had for a reason that waiting will not
// cure: permission, a missing directory, something that is no regular file. The
// file is untouched.
type AccessError struct {
	Path string
	Hint string // what the operator does next
	Err  error
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("open journal %s: %v: %s", e.Path, e.Err, e.Hint)
}

// Unwrap gives what the kernel said.
func (e *AccessError) Unwrap() error { return e.Err }

// VolatileError: the journal's directory is on a file system that forgets at
// power loss. Nothing was made there.
type VolatileError struct {
	Path string
	FS   string // "tmpfs", "ramfs" or "overlay"
}

func (e *VolatileError) Error() string {
	return fmt.Sprintf("journal %s is on %s, which forgets at power loss: set [journal] path to a disk or a card", e.Path, e.FS)
}

// StorageError: the disk answered with an error (EIO, full, read-only, out of
// memory). It may pass; the content was not judged and the file is untouched.
type StorageError struct {
	Op   string // "open", "check", "create", "commit", …
	Path string
	Err  error
}

func (e *StorageError) Error() string {
	text := fmt.Sprintf("%s journal %s: %v", e.Op, e.Path, e.Err)
	if next := nextStep(e.Err); next != "" {
		text += ": " + next
	}
	return text
}

// nextStep is what the operator does about err; empty where nobody can say.
func nextStep(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on its disk (df -h)"
	case errors.Is(err, berrors.ErrMaxSizeReached):
		return "it holds as many commands as it may: shorten [journal] keep"
	case errors.Is(err, syscall.EROFS):
		return "its disk is mounted read-only, often since it failed: see dmesg, then remount or replace it"
	case errors.Is(err, syscall.EIO):
		return "its disk answers with errors: see dmesg, and replace the card"
	}
	return ""
}

// Unwrap gives what the kernel or bbolt said.
func (e *StorageError) Unwrap() error { return e.Err }

// ContentError: the file can be read and what it says cannot be true. Open
// sets such a file aside; a read that meets one means the same to the caller as
// a Commit that failed: make the outputs safe, exit, let the next start judge.
type ContentError struct {
	Path string
	Why  string
}

func (e *ContentError) Error() string {
	return fmt.Sprintf("journal %s has bad content: %s", e.Path, e.Why)
}

var (
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("journal is closed")
	// ErrReadOnly is returned by Commit, Prune and Probe on a journal from ReadOnly.
	ErrReadOnly = errors.New("journal was opened for reading only")
	// ErrBatch is wrapped by Commit for a batch that no agent should make, such as
	// an outcome that is none. Nothing was written.
	ErrBatch = errors.New("batch is wrong")
)

// badContent is a ContentError before its path is known.
func badContent(format string, args ...any) error {
	return &ContentError{Why: fmt.Sprintf(format, args...)}
}

// withPath fills the path into the errors that are made without it.
func withPath(path string, err error) error {
	var content *ContentError
	var schema *SchemaError
	switch {
	case errors.As(err, &content):
		return &ContentError{Path: path, Why: content.Why}
	case errors.As(err, &schema):
		return &SchemaError{Path: path, Found: schema.Found, Known: schema.Known}
	}
	return err
}

// classify turns what the kernel or bbolt said about path into the error that
// the agent decides by. What is not known to be anything else is the disk's.
func classify(op, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, berrors.ErrTimeout):
		return &LockedError{Path: path}
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return &ContentError{Path: path, Why: err.Error()}
	case errors.Is(err, syscall.EROFS):
		return &StorageError{Op: op, Path: path, Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &AccessError{Path: path, Err: err, Hint: "give it and its directory to the user that runs actuatord (chown actuatord:)"}
	case errors.Is(err, fs.ErrNotExist):
		return &AccessError{Path: path, Err: err, Hint: "make its directory, owned by the user that runs actuatord (systemd: StateDirectory=actuatord)"}
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ELOOP):
		return &AccessError{Path: path, Err: err, Hint: "set [journal] path to a file"}
	}
	return &StorageError{Op: op, Path: path, Err: err}
}

// guarded calls fn and turns a panic of bbolt's into a ContentError: bbolt
// panics where its pages contradict each other. So does a page that the disk
// cannot give any more: bbolt reads through a mapping, where that is a signal,
// and SetPanicOnFault makes the signal a panic (in this goroutine only).
func guarded(what string, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = badContent("%s: %v", what, p)
		}
	}()
	return fn()
}
