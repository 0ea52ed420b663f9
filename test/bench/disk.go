package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// bareFigures are what measureDisk's child prints, in milliseconds.
type bareFigures struct{ Write, Commit []float64 }

// measureDisk has a child of this program measure the disk alone: a child, so that
// its flushes can be made slow as the rivals' are.
func (b *bench) measureDisk(ctx context.Context, flush time.Duration) (f bareFigures, err error) {
	exe, err := os.Executable()
	if err != nil {
		return f, err
	}
	argv := slowly(flush, exe, "-disk", b.dir, "-n", strconv.Itoa(b.commands))
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("measure the disk: %w", err)
	}
	return f, json.Unmarshal(out, &f)
}

// printDisk is that child.
func printDisk(dir string, n int) (err error) {
	d, err := openDisk(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	var f bareFigures
	if f.Write, err = d.bare(n); err != nil {
		return err
	}
	if f.Commit, err = d.commit(n); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// slowly is argv with a flush that takes so much longer: strace holds every fdatasync
// back at its end, and by seccomp sees no other call. -D: the program, and not
// strace, is the child. 0: argv as it is.
func slowly(flush time.Duration, argv ...string) []string {
	if flush == 0 {
		return argv
	}
	return append([]string{"strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null",
		"-e", "trace=fdatasync", "-e", fmt.Sprintf("inject=fdatasync:delay_exit=%d", flush.Microseconds())}, argv...)
}

// disk is what the programs are measured beside, on the same disk: the least that
// any program can do to make something durable, and the least that one which keeps
// its journal in bbolt can.
type disk struct {
	file *os.File
	db   *bbolt.DB
}

const blockSize = 4096

func openDisk(dir string) (*disk, error) {
	f, err := os.OpenFile(filepath.Join(dir, "bare"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a file to write to: %w", err)
	}
	// Written once before, so that no measured write allocates anything.
	if _, err := f.WriteAt(make([]byte, blockSize), 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// As package persist opens its own.
	db, err := bbolt.Open(filepath.Join(dir, "empty.db"), 0o600, &bbolt.Options{PageSize: blockSize, FreelistType: bbolt.FreelistMapType, Timeout: time.Second})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open an empty bbolt file: %w", err), f.Close())
	}
	return &disk{f, db}, errors.Join(f.Sync(), db.Update(func(*bbolt.Tx) error { return nil }))
}

func (d *disk) close() error { return errors.Join(d.file.Close(), d.db.Close()) }

// bare is n times one 4 KiB write in place with fdatasync, in milliseconds.
func (d *disk) bare(n int) ([]float64, error) {
	block := make([]byte, blockSize)
	return timed(n, func(i int) error {
		block[0] = byte(i)
		if _, err := d.file.WriteAt(block, 0); err != nil {
			return err
		}
		return unix.Fdatasync(int(d.file.Fd()))
	})
}

// commit is n times a transaction of bbolt that changes nothing: it writes its
// freelist and a meta page, each with fdatasync.
func (d *disk) commit(n int) ([]float64, error) {
	return timed(n, func(int) error { return d.db.Update(func(*bbolt.Tx) error { return nil }) })
}

func timed(n int, do func(i int) error) ([]float64, error) {
	all := make([]float64, 0, n)
	for i := range n {
		began := time.Now()
		if err := do(i); err != nil {
			return nil, err
		}
		all = append(all, ms(time.Since(began)))
	}
	return all, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
