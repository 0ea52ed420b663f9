// Command powerdisk is a disk that loses power: a file system in memory, by FUSE,
// on which nothing is durable that was not flushed. Package persist/persisttest
// builds and runs it for the power-loss sweeps; it is no part of the product.
//
// Each directory in its root is a volume with a life of its own. Every operation on
// a volume that changes something, or flushes, is numbered from 0. A volume can be
// told to lose power at a number: that operation and every later one fail with
// EIO. Then its image can be asked for, which is what a disk with a volatile cache
// may hold after such a cut: of each file all that was flushed, and of what was
// written since any of the 512-byte sectors, torn and out of order; of directories
// and sizes what was flushed and any number of the changes since, in order.
//
// It is a process of its own because bbolt reads its file through a mapping: were
// the file served by the process that reads it, a page fault could wait for a
// goroutine that the runtime has stopped.
//
//	powerdisk MOUNTPOINT SHARED
//
// SHARED is a file that both sides map: for each volume some words, so that a test
// in virtual time can set a cut and see it without any I/O. Images are asked for on
// standard input and answered on standard output, a line of JSON each. At the end
// of standard input it unmounts and ends.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "powerdisk:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: powerdisk MOUNTPOINT SHARED")
	}
	words, err := mapWords(args[1])
	if err != nil {
		return err
	}
	root := &rootNode{words: words, volumes: map[string]*volume{}}
	fresh := time.Duration(0) // nothing is remembered by the kernel for longer than it must
	server, err := fs.Mount(args[0], root, &fs.Options{
		EntryTimeout: &fresh, AttrTimeout: &fresh, NegativeTimeout: &fresh,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "powerdisk", MaxWrite: 1 << 20},
	})
	if err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	fmt.Println("{}") // it is there
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		answer := struct {
			Error string `json:"error,omitempty"`
		}{}
		if err := root.serve(in.Bytes()); err != nil {
			answer.Error = err.Error()
		}
		if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
			return err
		}
	}
	return errors.Join(in.Err(), server.Unmount())
}

// request asks for the image of a volume, as files in a directory.
type request struct {
	Volume string `json:"volume"`
	Dir    string `json:"dir"`
	Keep   string `json:"keep"` // of what was not flushed: "none", "all" or "some"
	Seed   uint64 `json:"seed"` // decides which, for "some"
}

func (r *rootNode) serve(line []byte) error {
	var q request
	if err := json.Unmarshal(line, &q); err != nil {
		return err
	}
	r.mu.Lock()
	v := r.volumes[q.Volume]
	r.mu.Unlock()
	if v == nil {
		return fmt.Errorf("there is no volume %q", q.Volume)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	files, err := v.image(q.Keep, q.Seed)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(q.Dir+"/"+name, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
