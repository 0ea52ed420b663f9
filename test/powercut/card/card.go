// Package card is a memory card that loses power: a disk with a volatile write
// cache, served over NBD (the network block device protocol) to a virtual machine.
// It is for tests; nothing that ships imports it.
//
// # What it promises, and no more
//
// What was written is read back. What was written before a flush that was answered
// is on the medium; so is a write that asked to be forced through (FUA). An atom
// ([Options]; a sector of 512 bytes or more) is written whole or not at all.
//
// Everything else is the card's to do as it likes, and it does: until a flush, of
// each atom the medium holds, after a cut, any of what was written to it since the
// last flush, or what was there before. So a write may be lost, torn between any two
// atoms, or be there while one before it is not.
//
// # Power loss
//
// The cut comes in the middle of a write, which the card is told beforehand
// ([Card.CutAt]): a cut at a random time would almost always meet a disk at rest.
// Nothing is answered afterwards, so that whoever reads "written" or "flushed" has
// read it from a card with power. What is left is [Card.Medium].
//
// # Liars
//
// A card can be made that answers a flush and does nothing ([Options]): that is what
// cheap and worn ones do. It is how one knows that the rest of a rig sees lost data.
//
// # Cost
//
// The card is in memory twice, and each sector written since the last flush up to
// versions times.
package card

import (
	"fmt"
	"math/rand/v2"
	"sync"
)

// Sector is what a card can be asked for at least.
const Sector = 512

// versions is how many unflushed contents of one sector are remembered; of more, the
// oldest are forgotten. A sector is rewritten often without a flush only on a card
// that lies, where half of it would find as much, and all of it would need the memory
// of everything that was ever written.
const versions = 4

// Options are how a card is.
type Options struct {
	Seed uint64

	// Atom is how many bytes, whole sectors at a place that is a multiple of it, are
	// written whole or not at all; 0: a sector. Flash programs 4 KiB or more at once,
	// and ext4 with blocks of that size is not safe with less: it writes its superblock
	// in place at each mount, and a commit of its journal, each with a checksum over
	// more than a sector. Cards with atoms of a sector ended with a file system that
	// the kernel would not mount twice in twenty cuts, and once in two hundred.
	Atom int

	// Honest is how many of each Of flushes are carried out, drawn by chance.
	// Zero Of: all of them.
	Honest, Of int
}

// Stats counts what a card was asked for, and what a cut took.
type Stats struct {
	Reads, Writes, Flushes, Forced int
	Lies                           int // flushes and forced writes that were answered and not done
	Lost, Kept                     int // unflushed sectors at the cut: back to what the medium had, or newer
}

// Card is a memory card. Its methods may be called from any goroutine.
type Card struct {
	mu      sync.Mutex
	options Options
	random  *rand.Rand
	now     []byte             // what is read back
	medium  []byte             // what is there without power
	dirty   map[int64][][]byte // by sector: unflushed contents, oldest first
	cutAt   int                // the power goes in this write; 0: it stays
	stats   Stats
	gone    chan struct{} // closed by the cut
}

// New is a card with image on its medium, which it takes over. Its length must be
// whole sectors.
func New(image []byte, o Options) (*Card, error) {
	if len(image) == 0 || len(image)%Sector != 0 {
		return nil, fmt.Errorf("make card: %d bytes are no whole sectors", len(image))
	}
	return &Card{
		options: o, random: rand.New(rand.NewPCG(o.Seed, 'c')),
		now: append([]byte(nil), image...), medium: image, dirty: map[int64][][]byte{}, gone: make(chan struct{}),
	}, nil
}

// CutAt has the power go in the middle of the n'th write from now on.
func (c *Card) CutAt(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutAt = c.stats.Writes + n
}

// Cut has the power go now, if it has not.
func (c *Card) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut()
}

// Gone is closed when the power is gone.
func (c *Card) Gone() <-chan struct{} { return c.gone }

// Medium is what is on the medium, to be kept: the card must not be used any more.
func (c *Card) Medium() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut()
	return c.medium
}

// Stats is what has happened so far.
func (c *Card) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// read fills b from off. ok: there is power, and such a place.
func (c *Card) read(b []byte, off int64) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Reads++
	copy(b, c.now[off:])
	return !c.off()
}

// write takes b at off, both whole sectors; forced: it is on the medium when this
// returns.
func (c *Card) write(b []byte, off int64, forced bool) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off() {
		return false
	}
	c.stats.Writes++
	copy(c.now[off:], b)
	for at := 0; at < len(b); at += Sector {
		s := (off + int64(at)) / Sector
		all := append(c.dirty[s], append([]byte(nil), b[at:at+Sector]...))
		c.dirty[s] = all[max(0, len(all)-versions):]
	}
	if c.stats.Writes == c.cutAt {
		c.cut()
		return false
	}
	if forced {
		c.stats.Forced++
		if c.lies() {
			return true
		}
		for s := off / Sector; s < (off+int64(len(b)))/Sector; s++ {
			c.settle(s)
		}
	}
	return true
}

// flush puts on the medium what was written.
func (c *Card) flush() (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off() {
		return false
	}
	c.stats.Flushes++
	if c.lies() {
		return true
	}
	for s := range c.dirty {
		c.settle(s)
	}
	return true
}

func (c *Card) settle(s int64) {
	copy(c.medium[s*Sector:(s+1)*Sector], c.now[s*Sector:])
	delete(c.dirty, s)
}

func (c *Card) lies() bool {
	if c.options.Of == 0 || c.random.IntN(c.options.Of) < c.options.Honest {
		return false
	}
	c.stats.Lies++
	return true
}

func (c *Card) off() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// cut decides what of each unflushed atom the medium has. How many survive is drawn
// once for a cut: few, half or most, since each finds other faults.
func (c *Card) cut() {
	if c.off() {
		return
	}
	close(c.gone)
	share := 1 + c.random.IntN(9) // of ten
	atom, age := int64(-1), 0
	for _, s := range sorted(c.dirty) {
		if of := s * Sector / int64(max(c.options.Atom, Sector)); of != atom {
			atom, age = of, c.draw(share)
		}
		all := c.dirty[s]
		if age < 0 {
			c.stats.Lost++
			continue
		}
		c.stats.Kept++
		copy(c.medium[s*Sector:(s+1)*Sector], all[age%len(all)])
	}
}

// draw answers which of an atom's unflushed contents survives, modulo how many there
// are; negative: none.
func (c *Card) draw(share int) int {
	if c.random.IntN(10) >= share {
		return -1
	}
	return c.random.IntN(1 << 16)
}
