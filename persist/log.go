package persist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// logPages is the log's length: half a megabyte, some hundred commands. The
	// longer it is, the more commits share the pages that bbolt writes when it is
	// full, and the more of them wait in memory.
	logPages = 128

	// foldOps bounds what waits in the log by the changes in it: each may have bbolt
	// write a leaf of its own, and keeps one in memory until then.
	foldOps = 1000

	// foldRoom is what bbolt's file must have to spare for a commit to go into the
	// log: foldOps leaves, their branches, and twice the log itself. What is in the
	// log must fit into the file, or no start could get it there.
	foldRoom = 8 << 20

	// logHead is what a page of the log begins with; pageHead reads it.
	logHead = 4 + logIDSize + 8 + 2 + 2 + 2
	logRoom = pageSize - logHead

	logIDSize = 8

	// logBegin is the page of the first entry; page 0 says whose log it is, and how
	// long.
	logBegin = 1
)

// A frontLog is the file in front of bbolt's: what a commit changes is appended
// there with one write and one flush, where bbolt needs two and rewrites whole
// pages. Only when the log is full does bbolt commit, and the log begins anew.
//
// An entry begins on a page of its own, so that a torn write can only hurt what
// was not yet acknowledged. A page's checksum covers where it stands, whose log it
// is, and its entry's number, which goes up by one without end: what an earlier
// round or another journal left behind is never taken for an entry of this one.
//
// What cannot be told from a write that a power cut tore: a last entry that the
// disk lost afterwards, or several at the end together. One behind which another
// follows can, and so can a log that is gone whole.
type frontLog struct {
	file *os.File
	path string
	id   [logIDSize]byte
	size int // pages
	next int // page
}

// pageHead is the beginning of a page of the log. Its numbers are in journals in
// the field: never renumber.
type pageHead struct {
	id          [logIDSize]byte
	entry       uint64
	part, parts uint16
	length      uint16 // of the entry in this page
}

// logPage is one page, sealed for page at of the log.
func logPage(h pageHead, at int, payload []byte) []byte {
	b := make([]byte, pageSize)
	p := append(b[:4], h.id[:]...)
	p = binary.BigEndian.AppendUint64(p, h.entry)
	for _, u := range []uint16{h.part, h.parts, h.length} {
		p = binary.BigEndian.AppendUint16(p, u)
	}
	copy(b[logHead:], payload)
	binary.BigEndian.PutUint32(b, logSum(at, b))
	return b
}

// logSum is the checksum of a page, which stands at its beginning.
func logSum(at int, page []byte) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	c := crc32.Update(0, castagnoli, binary.BigEndian.AppendUint32(nil, uint32(at)))
	return crc32.Update(c, castagnoli, page[4:])
}

// readLogPage proves a page of the log; ok is false for one that is none.
func readLogPage(at int, page []byte) (h pageHead, payload []byte, ok bool) {
	if logSum(at, page) != binary.BigEndian.Uint32(page) {
		return h, nil, false
	}
	copy(h.id[:], page[4:])
	b := page[4+logIDSize:]
	h.entry = binary.BigEndian.Uint64(b)
	h.part, h.parts, h.length = binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:]), binary.BigEndian.Uint16(b[12:])
	if int(h.length) > logRoom || h.part >= h.parts {
		return h, nil, false
	}
	return h, page[logHead : logHead+int(h.length)], true
}

// pagesFor is how many pages an entry of n bytes takes.
func pagesFor(n int) int { return max(1, (n+logRoom-1)/logRoom) }

// fits reports whether an entry of n bytes can be appended.
func (l *frontLog) fits(n int) bool { return l.next+pagesFor(n) <= l.size }

// append makes entry durable under number n, and says how many bytes it wrote.
func (l *frontLog) append(n uint64, entry []byte) (written int, err error) {
	parts := pagesFor(len(entry))
	pages := make([]byte, 0, parts*pageSize)
	for part := range parts {
		payload := entry[part*logRoom : min(len(entry), (part+1)*logRoom)]
		h := pageHead{id: l.id, entry: n, part: uint16(part), parts: uint16(parts), length: uint16(len(payload))}
		pages = append(pages, logPage(h, l.next+part, payload)...)
	}
	if _, err := l.file.WriteAt(pages, int64(l.next)*pageSize); err != nil {
		return 0, err
	}
	// The pages are there since the log was made, so nothing but their content is
	// to be flushed.
	if err := retry(func() error { return unix.Fdatasync(int(l.file.Fd())) }); err != nil {
		return 0, err
	}
	l.next += parts
	return len(pages), nil
}

// retry repeats what a signal has interrupted.
func retry(fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// entries calls fn with every entry behind number folded, in order. The first that
// is not whole ends them: it was being written when the power went. An entry behind
// such a one was acknowledged, and so was what is missing: a ContentError.
func (l *frontLog) entries(folded uint64, fn func(n uint64, entry []byte) error) error {
	all, err := l.read()
	if err != nil {
		return err
	}
	at, n := logBegin, folded+1
	for {
		entry, parts := l.entry(all, at, n)
		if parts == 0 {
			break
		}
		if err := fn(n, entry); err != nil {
			return err
		}
		at, n = at+parts, n+1
	}
	for ; at < len(all)/pageSize; at++ {
		if h, _, ok := readLogPage(at, all[at*pageSize:(at+1)*pageSize]); ok && h.id == l.id && h.entry > n {
			return badContent("entry %d of its log is missing or damaged, and entry %d is there", n, h.entry)
		}
	}
	return nil
}

// read is the whole log. Its length is what it was made with.
func (l *frontLog) read() ([]byte, error) {
	all := make([]byte, l.size*pageSize)
	if _, err := l.file.ReadAt(all, 0); err != nil {
		return nil, classify("read log of", l.path, err)
	}
	return all, nil
}

// entry is entry n, which begins on page at, and its pages; 0: it is not there.
func (l *frontLog) entry(all []byte, at int, n uint64) (entry []byte, pages int) {
	for part := 0; ; part++ {
		if at+part >= len(all)/pageSize {
			return nil, 0
		}
		h, payload, ok := readLogPage(at+part, all[(at+part)*pageSize:(at+part+1)*pageSize])
		if !ok || h.id != l.id || h.entry != n || int(h.part) != part {
			return nil, 0
		}
		if entry = append(entry, payload...); part == int(h.parts)-1 {
			return entry, part + 1
		}
	}
}

// makeLog makes the log id of the journal at path, empty, in place of whatever bears
// its name. Its pages are written, not only reserved: an append then changes nothing
// of the file but their content.
func makeLog(path string, id [logIDSize]byte, pages int) error {
	temporary := path + suffixLog + suffixNew
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	all := make([]byte, (logBegin+pages)*pageSize)
	copy(all, logFirst(id, logBegin+pages))
	_, err = f.Write(all)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path+suffixLog); err != nil {
		return err
	}
	return syncDir(path)
}

// logFirst is page 0 of a log of so many pages. No entry has its number, 0.
func logFirst(id [logIDSize]byte, pages int) []byte {
	length := binary.BigEndian.AppendUint32(nil, uint32(pages))
	return logPage(pageHead{id: id, parts: 1, length: uint16(len(length))}, 0, length)
}

// openLog opens log id of the journal at path. A journal that lacks its log, or has
// another, may lack acknowledged commits.
func openLog(path string, flag int, id [logIDSize]byte) (*frontLog, error) {
	f, err := openExisting(path+suffixLog, flag|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return nil, badContent("its log %s is missing", path+suffixLog)
	}
	if err != nil {
		return nil, classify("open log of", path, err)
	}
	l, err := readLogFirst(f, path, id)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

func readLogFirst(f *os.File, path string, id [logIDSize]byte) (*frontLog, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, classify("open log of", path, err)
	}
	if size := info.Size(); !info.Mode().IsRegular() || size < logBegin*pageSize || size%pageSize != 0 || size > 1<<30 {
		return nil, badContent("its log %s is %d bytes of %v", path+suffixLog, size, info.Mode())
	}
	first := make([]byte, pageSize)
	if _, err := f.ReadAt(first, 0); err != nil {
		return nil, classify("read log of", path, err)
	}
	l := &frontLog{file: f, path: path, id: id, size: int(info.Size() / pageSize), next: logBegin}
	if !bytes.Equal(first, logFirst(id, l.size)) {
		return nil, badContent("its log %s is another's, cut off, or lost its beginning", path+suffixLog)
	}
	return l, nil
}

// An entry is what one transaction changed: the forms below, one behind the other.
const (
	entryVersion byte = 1

	redoEnd    byte = 0    // the counters follow, to the end
	redoDelete byte = 0x80 // with a table's number: the key follows, and else a value too
)

// noted takes down for the log that payload was put under key.
func (w *writer) noted(t table, key, payload []byte) {
	w.ops++
	w.entry.byte(t.number())
	w.entry.string(string(key))
	w.entry.string(string(payload))
}

// notedGone takes down for the log that key was deleted.
func (w *writer) notedGone(t table, key []byte) {
	w.ops++
	w.entry.byte(t.number() | redoDelete)
	w.entry.string(string(key))
}

// replay does again what entry n says.
func (w *writer) replay(n uint64, entry []byte) error {
	d := decode("entry of the log", entry, entryVersion)
	for d.err == nil {
		kind := d.byte()
		if d.err != nil || kind == redoEnd {
			break
		}
		t, known := tableOf(kind &^ redoDelete)
		key := []byte(d.string())
		switch {
		case d.err != nil:
		case !known:
			return badContent("entry %d of its log changes table %d", n, kind)
		case kind&redoDelete != 0:
			if _, err := w.delete(t, key); err != nil {
				return err
			}
		default:
			value := []byte(d.string())
			if d.err != nil {
				break
			}
			if err := w.put(t, key, value); err != nil {
				return err
			}
		}
	}
	if d.err != nil {
		return d.err
	}
	c, err := decodeCounters(d.b)
	if err == nil && (c.sum != w.counters.sum || c.entry != n) {
		err = badContent("entry %d of its log does not fit to the journal", n)
	}
	if err != nil {
		return err
	}
	w.counters = c
	return w.putCounters()
}

// replayAll brings tx to where the log ends.
func (l *frontLog) replayAll(w *writer) error {
	err := l.entries(w.counters.entry, func(n uint64, entry []byte) error { return w.replay(n, entry) })
	if err != nil {
		return err
	}
	after, err := readFacts(w.tx)
	if err != nil {
		return fmt.Errorf("behind its log: %w", err)
	}
	w.facts = after
	return nil
}
