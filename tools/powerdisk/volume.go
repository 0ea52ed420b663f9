package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// kind is what an operation does.
type kind uint8

const (
	opWrite kind = iota
	opSize       // of a file
	opSync       // of a file
	opCreate
	opRename
	opUnlink
	opSyncDir
)

// op is one operation, as it was asked for.
type op struct {
	kind     kind
	file     int // which, by the order of creation
	off      int64
	data     []byte
	size     int64
	name, to string
}

// volume is a disk: what every program sees now, and how it came about.
type volume struct {
	mu    sync.Mutex
	words words

	log    []op
	failed *op            // the write that the power went out in
	names  map[string]int // of the directory, as it is seen
	files  [][]byte       // as they are seen
}

func newVolume(w words) *volume { return &volume{words: w, names: map[string]int{}} }

// step counts an operation, and fails it if it is to fail or the power is gone.
func (v *volume) step(o op) syscall.Errno {
	w := v.words
	n := w[wordOps].Load()
	switch {
	case w[wordGone].Load() != 0:
		return syscall.EIO
	case w[wordCut].Load() == n+1:
		w[wordGone].Store(1)
		v.failed = &o
		return syscall.EIO
	}
	w[wordOps].Store(n + 1)
	if w[wordFail].Load() == n+1 {
		return syscall.Errno(w[wordErrno].Load())
	}
	switch o.kind {
	case opSync, opSyncDir:
		w[wordSyncs].Add(1)
		if w[wordLies].Load() != 0 {
			return 0
		}
	case opWrite:
		w[wordBytes].Add(uint32(len(o.data)))
	}
	v.log = append(v.log, o)
	return 0
}

func (v *volume) write(file int, data []byte, off int64) syscall.Errno {
	o := op{kind: opWrite, file: file, off: off, data: bytes.Clone(data)}
	if errno := v.step(o); errno != 0 {
		return errno
	}
	v.files[file] = put(v.files[file], o.off, o.data)
	return 0
}

func (v *volume) resize(file int, size int64) syscall.Errno {
	if errno := v.step(op{kind: opSize, file: file, size: size}); errno != 0 {
		return errno
	}
	v.files[file] = sized(v.files[file], size)
	return 0
}

func (v *volume) sync(file int) syscall.Errno { return v.step(op{kind: opSync, file: file}) }
func (v *volume) syncDir() syscall.Errno      { return v.step(op{kind: opSyncDir}) }

func (v *volume) create(name string) (file int, errno syscall.Errno) {
	file = len(v.files)
	if errno := v.step(op{kind: opCreate, file: file, name: name}); errno != 0 {
		return 0, errno
	}
	v.files, v.names[name] = append(v.files, nil), file
	return file, 0
}

func (v *volume) rename(name, to string) syscall.Errno {
	if errno := v.step(op{kind: opRename, name: name, to: to}); errno != 0 {
		return errno
	}
	v.names[to] = v.names[name]
	delete(v.names, name)
	return 0
}

func (v *volume) unlink(name string) syscall.Errno {
	if errno := v.step(op{kind: opUnlink, name: name}); errno != 0 {
		return errno
	}
	delete(v.names, name)
	return 0
}

// image is what the disk may hold if the power goes now, by name.
func (v *volume) image(keep string, seed uint64) (map[string][]byte, error) {
	random := rand.New(rand.NewPCG(seed, 0))
	var survives func() bool
	switch keep {
	case "none":
		survives = func() bool { return false }
	case "all":
		survives = func() bool { return true }
	case "some":
		share := 1 + random.IntN(9) // of ten: few, half or most
		survives = func() bool { return random.IntN(10) < share }
	default:
		return nil, fmt.Errorf("keep %q: there are none, all and some", keep)
	}
	log := v.log
	if v.failed != nil && v.failed.kind == opWrite {
		log = append(log[:len(log):len(log)], *v.failed) // it was on its way
	}
	flushed := v.flushed(log)
	content := make([][]byte, len(v.files))
	names := map[string]int{}
	lost := false // one lost change of the directory or of a size, and all behind it are
	for i, o := range log {
		safe := flushed[i]
		switch o.kind {
		case opWrite:
			content[o.file] = writeSectors(content[o.file], o, func() bool { return safe || survives() })
		case opSize:
			if safe || !lost && survives() {
				content[o.file] = sized(content[o.file], o.size)
			} else {
				lost = true
			}
		case opCreate, opRename, opUnlink:
			if !safe && (lost || !survives()) {
				lost = true
				continue
			}
			apply(names, o)
		}
	}
	files := map[string][]byte{}
	for name, file := range names {
		files[name] = content[file]
	}
	return files, nil
}

// flushed tells for each operation whether a flush has made it durable.
func (v *volume) flushed(log []op) []bool {
	safe := make([]bool, len(log))
	dir, files := false, map[int]bool{}
	for i := len(log) - 1; i >= 0; i-- {
		switch o := log[i]; o.kind {
		case opSyncDir:
			dir = true
		case opSync:
			files[o.file] = true
		case opWrite, opSize:
			safe[i] = files[o.file]
		default:
			safe[i] = dir
		}
	}
	return safe
}

func apply(names map[string]int, o op) {
	switch o.kind {
	case opCreate:
		names[o.name] = o.file
	case opRename:
		if file, there := names[o.name]; there {
			names[o.to] = file
			delete(names, o.name)
		}
	case opUnlink:
		delete(names, o.name)
	}
}

// writeSectors writes those of o's sectors that survive.
func writeSectors(content []byte, o op, survives func() bool) []byte {
	for at := int64(0); at < int64(len(o.data)); {
		end := min(int64(len(o.data)), (o.off+at)/sector*sector+sector-o.off)
		if survives() {
			content = put(content, o.off+at, o.data[at:end])
		}
		at = end
	}
	return content
}

func put(content []byte, off int64, data []byte) []byte {
	if end := off + int64(len(data)); end > int64(len(content)) {
		content = sized(content, end)
	}
	copy(content[off:], data)
	return content
}

func sized(content []byte, size int64) []byte {
	if size <= int64(len(content)) {
		return content[:size:size]
	}
	return append(content, make([]byte, size-int64(len(content)))...)
}
