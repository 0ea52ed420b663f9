package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The words of a volume, as persist/persisttest has them too.
const (
	wordOps   = 0 // operations so far
	wordCut   = 1 // lose power at this operation, plus 1; 0: never
	wordGone  = 2 // it has
	wordFail  = 3 // fail this one operation, plus 1; 0: none
	wordErrno = 4 // with this
	wordLies  = 5 // flushes are answered and not obeyed
	wordSyncs = 6 // flushes so far
	wordBytes = 7 // written so far

	wordsEach = 8
	volumes   = 4096
)

// words is one volume's.
type words []atomic.Uint32

// mapWords maps the file that is shared with the test.
func mapWords(path string) ([]atomic.Uint32, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, volumes*wordsEach*4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return unsafe.Slice((*atomic.Uint32)(unsafe.Pointer(&b[0])), volumes*wordsEach), nil
}
