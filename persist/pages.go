package persist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"os"
)

// This file reads bbolt's file format (version 2, unchanged since 2014) to prove
// that its pages form a tree, within the file, each page used once. bbolt's own
// check relies on just that: on other files it reads beyond its mapping, which
// ends the process, or walks in a circle for ever. Numbers are in the byte order
// of the machine.
//
//	page      id 8, flags 2, count 2, overflow 4, then count elements
//	meta      magic 4, version 4, page size 4, flags 4, root page 8, sequence 8,
//	          freelist page 8, pages in use 8, transaction 8, FNV-64a 8
//	branch    position 4, key size 4, page 8        (position: from the element)
//	leaf      flags 4, position 4, key size 4, value size 4
//	bucket    root page 8, sequence 8; root page 0: a page follows, inline
//	freelist  page ids, 8 each; count 65535: the first is the count
const (
	pageHeader    = 16
	elementSize   = 16
	bucketHeader  = 16
	flagBranch    = 0x01
	flagLeaf      = 0x02
	flagMeta      = 0x04
	flagFreelist  = 0x10
	elementBucket = 0x01
	// maxDepth is far above what 64 MiB can reach with pages of 1 KiB and keys of
	// 300 bytes: three keys a page give 11 levels in each of two buckets.
	maxDepth = 64
)

// meta is what the walk needs of a meta page.
type meta struct {
	pageSize uint32
	root     uint64
	freelist uint64
	pages    uint64 // pages in use, counted from the file's begin
	txid     uint64
}

func readMeta(f *os.File, offset int64) (meta, error) {
	const body = 56
	var b [pageHeader + body + 8]byte
	switch _, err := f.ReadAt(b[:], offset); {
	case errors.Is(err, io.EOF):
		return meta{}, badContent("it ends within the meta page at byte %d", offset)
	case err != nil:
		return meta{}, err
	}
	m, order := b[pageHeader:], binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(m[:body])
	if order.Uint16(b[8:]) != flagMeta || order.Uint32(m) != 0xED0CDAED || order.Uint32(m[4:]) != 2 || order.Uint64(m[body:]) != sum.Sum64() {
		return meta{}, badContent("the meta page at byte %d is not one", offset)
	}
	size := order.Uint32(m[8:])
	if size < 1024 || size > 64<<10 || size&(size-1) != 0 {
		return meta{}, badContent("pages of %d bytes", size)
	}
	return meta{size, order.Uint64(m[16:]), order.Uint64(m[32:]), order.Uint64(m[40:]), order.Uint64(m[48:])}, nil
}

// A walk goes once through all pages of a file.
type walk struct {
	f    *os.File
	meta meta
	seen []bool
}

// walkPages proves the tree under m. What cannot be read is the disk's error.
func walkPages(f *os.File, m meta) error {
	w := walk{f: f, meta: m, seen: make([]bool, m.pages)}
	if m.pages < 4 {
		return badContent("%d pages", m.pages)
	}
	w.seen[0], w.seen[1] = true, true
	free, flags, err := w.page(m.freelist)
	if err != nil {
		return err
	}
	if flags != flagFreelist {
		return badContent("page %d is no freelist", m.freelist)
	}
	if err := w.free(free); err != nil {
		return err
	}
	if err := w.tree(m.root, 0); err != nil {
		return err
	}
	for id, seen := range w.seen {
		if !seen {
			return badContent("page %d is neither used nor free", id)
		}
	}
	return nil
}

// use takes page id for one purpose.
func (w *walk) use(id uint64) error {
	if id >= w.meta.pages {
		return badContent("page %d of %d", id, w.meta.pages)
	}
	if w.seen[id] {
		return badContent("page %d is used twice", id)
	}
	w.seen[id] = true
	return nil
}

// page reads page id with its overflow, and takes them.
func (w *walk) page(id uint64) (page []byte, flags uint16, err error) {
	if err := w.use(id); err != nil {
		return nil, 0, err
	}
	size := int64(w.meta.pageSize)
	page = make([]byte, size)
	if _, err := w.f.ReadAt(page, int64(id)*size); err != nil {
		return nil, 0, err
	}
	order := binary.NativeEndian
	overflow := uint64(order.Uint32(page[12:]))
	if order.Uint64(page) != id || overflow >= w.meta.pages-id {
		return nil, 0, badContent("page %d calls itself %d and goes on for %d", id, order.Uint64(page), overflow)
	}
	for n := uint64(1); n <= overflow; n++ {
		if err := w.use(id + n); err != nil {
			return nil, 0, err
		}
	}
	if overflow > 0 {
		page = make([]byte, size*int64(overflow+1))
		if _, err := w.f.ReadAt(page, int64(id)*size); err != nil {
			return nil, 0, err
		}
	}
	return page, order.Uint16(page[8:]), nil
}

func (w *walk) free(page []byte) error {
	order := binary.NativeEndian
	count, ids := uint64(order.Uint16(page[10:])), page[pageHeader:]
	if count == 0xFFFF {
		count, ids = order.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return badContent("a freelist of %d pages", count)
	}
	for n := range count {
		if err := w.use(order.Uint64(ids[8*n:])); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) tree(id uint64, depth int) error {
	page, flags, err := w.page(id)
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return badContent("page %d is %d levels deep", id, depth)
	}
	if flags != flagBranch && flags != flagLeaf {
		return badContent("page %d has flags %#x", id, flags)
	}
	return w.elements(id, page, flags, depth)
}

// elements proves what a branch or leaf page says, and goes on below it. page may
// be an inline one, within the value of page id.
func (w *walk) elements(id uint64, page []byte, flags uint16, depth int) error {
	order := binary.NativeEndian
	count := int(order.Uint16(page[10:]))
	if pageHeader+count*elementSize > len(page) || count == 0 && flags == flagBranch {
		return badContent("page %d has %d elements", id, count)
	}
	var last []byte
	for n := range count {
		at := page[pageHeader+n*elementSize:]
		e := element{branch: flags == flagBranch}
		if !e.read(at) {
			return badContent("element %d of page %d runs past its end", n, id)
		}
		if n > 0 && bytes.Compare(last, e.key) >= 0 {
			return badContent("element %d of page %d is out of order", n, id)
		}
		last = e.key
		if err := w.below(id, e, depth); err != nil {
			return err
		}
	}
	return nil
}

// below goes on to what an element refers to.
func (w *walk) below(id uint64, e element, depth int) error {
	switch {
	case e.branch:
		return w.tree(e.page, depth+1)
	case !e.bucket:
		return nil
	case len(e.value) < bucketHeader:
		return badContent("page %d holds a table of %d bytes", id, len(e.value))
	}
	if root := binary.NativeEndian.Uint64(e.value); root != 0 {
		return w.tree(root, depth+1)
	}
	inline := e.value[bucketHeader:]
	if depth > maxDepth || len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != flagLeaf {
		return badContent("page %d holds a table that is none", id)
	}
	return w.elements(id, inline, flagLeaf, depth+1)
}

// element is one entry of a branch or leaf page.
type element struct {
	branch, bucket bool
	page           uint64
	key, value     []byte
}

// read takes the element that begins at; what it refers to follows, up to the
// page's end.
func (e *element) read(at []byte) bool {
	order := binary.NativeEndian
	var pos, key, value uint64
	if e.branch {
		pos, key, e.page = uint64(order.Uint32(at)), uint64(order.Uint32(at[4:])), order.Uint64(at[8:])
	} else {
		e.bucket = order.Uint32(at)&elementBucket != 0
		pos, key, value = uint64(order.Uint32(at[4:])), uint64(order.Uint32(at[8:])), uint64(order.Uint32(at[12:]))
	}
	if pos+key+value > uint64(len(at)) {
		return false
	}
	e.key, e.value = at[pos:pos+key], at[pos+key:pos+key+value]
	return true
}
