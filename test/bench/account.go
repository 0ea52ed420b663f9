package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"actuatord/persist"
)

// account is what a process has written so far, as several counters see it.
//
// None is the truth by itself. A kernel that keeps files in large folios (ext4 since
// Linux 6.16) counts a whole folio in /proc/PID/io when one page of it is made
// dirty, so that counter says several times too much of a journal that is written
// page by page; the journal's own count is what it hands over in pwrite64, which
// strace confirms (cost); and the disk's is of everybody.
type account struct {
	commits uint64 // the journal's transactions; of ours only
	journal uint64 // and the bytes in them
	dirtied uint64 // /proc/PID/io, write_bytes
	disk    uint64 // bytes the whole disk took: the file system's own journal, and whatever else the machine writes
}

func (a account) since(b account) account {
	return account{a.commits - b.commits, a.journal - b.journal, a.dirtied - b.dirtied, a.disk - b.disk}
}

func (p *process) account(ctx context.Context) (a account, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.pid))
	if err != nil {
		return a, err
	}
	if a.dirtied, err = field(string(text), "write_bytes:"); err != nil {
		return a, err
	}
	a.disk = diskWritten(p.dir)
	if !p.ours {
		return a, nil
	}
	s, err := p.status(ctx)
	a.commits, a.journal = s.Journal.Commits, s.Journal.Written
	return a, err
}

// written is the best that is known: the journal's own count, and of the peer, which
// appends a line to a file of small folios, the kernel's.
func (a account) written() uint64 {
	if a.journal > 0 {
		return a.journal
	}
	return a.dirtied
}

// field reads the number behind a word of one of proc's texts.
func field(text, word string) (n uint64, err error) {
	_, rest, found := strings.Cut("\n"+text, "\n"+word)
	if !found {
		return 0, fmt.Errorf("find %s in %q: not there", word, text)
	}
	if _, err := fmt.Sscan(rest, &n); err != nil {
		return 0, fmt.Errorf("read %s of %q: %w", word, text, err)
	}
	return n, nil
}

// diskWritten is what the disk below dir has taken since the machine's start; 0
// where the kernel does not tell.
func diskWritten(dir string) uint64 {
	info, err := os.Stat(dir)
	if err != nil {
		return 0
	}
	dev := info.Sys().(*syscall.Stat_t).Dev
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(dev), unix.Minor(dev)))
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 6 {
		var sectors uint64
		if _, err := fmt.Sscan(fields[6], &sectors); err == nil {
			return sectors * 512
		}
	}
	return 0
}

// status is what is needed of `actuatord status --json`.
type status struct {
	Journal persist.Stats
	Clock   struct{ Source string }
}

// status asks the daemon, as a person would. Its exit code tells of alarms, which
// are none of our business.
func (p *process) status(ctx context.Context) (s status, err error) {
	cmd := exec.CommandContext(ctx, p.binary, "status", "--json", "--config", filepath.Join(p.dir, "a.toml"))
	out, failed := cmd.Output()
	if err := json.Unmarshal(out, &s); err != nil {
		return s, fmt.Errorf("ask %s for its status: %w (%v)", p.name, err, failed)
	}
	return s, nil
}
