package expander

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"

	"actuatord/board"
	"actuatord/board/boardtest"
)

// pca is a PCA9685 (NXP, Rev. 4).
type pca struct {
	b       *bench
	safe    map[uint]board.Percent // of the channels with a level
	regs    [256]byte
	stopped bool // it slept with channels running, and nobody has started them again (§7.3.1.1)
}

func (c *pca) reset() {
	c.regs = [256]byte{0x00: 0x11, 0x01: 0x04, 0xfe: 0x1e}
	for n := range 16 {
		c.regs[0x06+4*n+3] = 0x10
	}
	c.stopped = false
}

func (c *pca) transfer(out, in []byte) error {
	a := out[0]
	next := func() {
		if c.regs[0]&0x20 != 0 {
			if a++; a == 0x46 {
				a = 0
			}
		}
	}
	for _, v := range out[1:] {
		c.write(a, v)
		next()
	}
	for i := range in {
		in[i] = c.regs[a]
		next()
	}
	return nil
}

func (c *pca) write(a, v byte) {
	switch {
	case a == 0x00:
		c.mode(v)
	case a == 0xfe:
		if c.regs[0]&0x10 != 0 { // blocked while it is awake (table 4, note 1)
			c.regs[a] = max(v, 3)
		}
	case a >= 0x06 && a <= 0x45:
		if a&1 == 1 { // ON_H and OFF_H
			v &= 0x1f
		}
		c.regs[a] = v
		c.stopped, c.regs[0] = false, c.regs[0]&0x7f
	case a == 0x01:
		c.regs[a] = v & 0x1f
	}
}

// mode is a write of MODE1.
func (c *pca) mode(v byte) {
	was := c.regs[0]
	c.regs[0] = v&0x7f | was&0x80 | was&0x40
	switch {
	case was&0x10 == 0 && v&0x10 != 0: // falls asleep
		for n := range uint(16) {
			if s := c.programmed(n); s > 0 {
				c.stopped = true
				c.regs[0] |= 0x80
			}
		}
	case was&0x10 != 0 && v&0x10 == 0: // wakes
		for n, safe := range c.safe {
			if got := c.programmed(n); got+2 < safe || got > safe+2 {
				c.b.broken = append(c.b.broken, fmt.Sprintf("it woke with channel %d at %v %%", n, got))
			}
		}
	}
	if v&0x80 != 0 && was&0x90 == 0x80 { // started again
		c.regs[0] &= 0x7f
		c.stopped = false
	}
}

// programmed is a channel's share by its registers.
func (c *pca) programmed(n uint) board.Percent {
	r := c.regs[0x06+4*n:]
	on, off := int(r[0])|int(r[1]&0x0f)<<8, int(r[2])|int(r[3]&0x0f)<<8
	switch {
	case r[3]&0x10 != 0:
		return 0
	case r[1]&0x10 != 0:
		return board.Full
	}
	return board.Percent(((off - on + 4096) % 4096 * 10000) / 4096)
}

// share is what the wire shows.
func (c *pca) share(n uint) board.Percent {
	s := c.programmed(n)
	if c.regs[0]&0x10 != 0 || c.stopped {
		s = 0
	}
	if c.regs[1]&0x10 != 0 {
		s = board.Full - s
	}
	return s
}

func (c *pca) wire(n uint) (bool, bool) { return true, c.share(n) > 0 }

func (b *bench) share(n uint) board.Percent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.chips[0x40].(*pca).share(n)
}

func dimmers(levels ...board.PWM) board.Profile {
	return board.Profile{
		Levels:    levels,
		Expanders: []board.Expander{{Name: "x", Bus: "1", Address: 0x40, Chip: board.PCA9685, Verify: true}},
	}
}

func level(channel int, safe board.Percent) board.PWM {
	return board.PWM{Name: fmt.Sprint("l", channel), Line: fmt.Sprint("x:", channel), Frequency: 100, Safe: safe}
}

func TestConformanceOfLevels(t *testing.T) {
	boardtest.Suite(t, func(t *testing.T) boardtest.Rig {
		p := dimmers(level(15, 2000))
		chips := newBench(t)
		chips.put(p)
		rig := func() boardtest.Rig {
			b := newBench(t) // its lines are the wrapped driver's, which ends with each process
			b.chips = chips.chips
			return boardtest.Rig{
				Driver: patient(New(b, p)),
				Lines:  []string{"GPIO17", "GPIO4"}, High: b.High,
				PWM: "x:15", Share: func(string) board.Percent { return b.share(15) }, Step: 2,
			}
		}
		r := rig()
		r.Again = rig
		t.Cleanup(func() { r.Driver.Close() })
		return r
	})
}

func dim(t *testing.T, d *Driver, n int, at board.Percent) *channel {
	t.Helper()
	p, err := d.PWM(board.PWMSpec{Target: "fan", Line: fmt.Sprint("x:", n), Consumer: board.Consumer, Frequency: 100 * physic.Hertz}, at.Duty())
	if err != nil {
		t.Fatalf("take %d: %v", n, err)
	}
	return p.(*channel)
}

// TestSequenceOfAPCA9685: out of a reset, byte by byte: safe before it wakes, and
// once more when it has.
func TestSequenceOfAPCA9685(t *testing.T) {
	p := dimmers(level(1, 0), level(2, 5000))
	b := newBench(t)
	b.put(p)
	d := patient(New(b, p))
	defer d.Close()
	x := dim(t, d, 1, 0)
	want(t, b.take(),
		"40: 00>11", "40: 00>11", "40: 0030", "40: 00>30", // asleep, auto-increment, no All Call
		"40: 01>04",                         // MODE2 is as it should be
		"40: 0a00000010", "40: 0a>00000010", // channel 1 safe
		"40: 0e00000008", "40: 0e>00000008", // channel 2 safe
		"40: fe>1e", "40: 00>30", "40: fe3c", "40: fe>3c", // 100 Hz
		"40: 00>30", "40: 0020", "40: 00>20", // awake
		"40: 00>20", // nothing waits for a restart
		"40: 0a00000010", "40: 0a>00000010", "40: 0e00000008", "40: 0e>00000008",
	)
	if err := x.PWM(board.Percent(2500).Duty(), 100*physic.Hertz); err != nil {
		t.Fatal(err)
	}
	l := b.take()
	if len(l) != 5 || l[3] != "40: 0a00000004" || l[4] != "40: 0a>00000004" {
		t.Errorf("25 %%: %q; want the channel in one transfer, and read back", l)
	}
	if err := x.PWM(board.Full.Duty(), 100*physic.Hertz); err != nil {
		t.Fatal(err)
	}
	if l := b.take(); len(l) != 5 || l[3] != "40: 0a00100000" {
		t.Errorf("100 %%: %q; want full on", l)
	}
	if err := x.PWM(0, 50*physic.Hertz); err == nil || b.share(1) != board.Full {
		t.Errorf("another frequency: %v", err)
	}
}

// TestScale: table 5's example, 200 Hz, and the ends (§7.3.5).
func TestScale(t *testing.T) {
	for hertz, want := range map[int]byte{200: 0x1e, 1526: 3, 24: 0xfd, 50: 0x79, 1000: 5, 0: 0xff, -5: 0xff, 1 << 30: 3} {
		if got := scaleOf(hertz); got != want {
			t.Errorf("%d Hz: %#02x; want %#02x", hertz, got, want)
		}
	}
}

// TestARunningChip is not stopped by a restart of the daemon, and another's
// channels go on as they were; with another frequency it has to sleep for a moment,
// and they go on behind that.
func TestARunningChip(t *testing.T) {
	for _, scale := range []byte{0x3c, 0x1e} {
		p := dimmers(level(1, 0))
		b := newBench(t)
		b.put(p)
		c := b.chips[0x40].(*pca)
		c.regs[0], c.regs[0xfe] = 0x01, scale
		copy(c.regs[0x06:], []byte{0, 0, 0, 8, 0, 0x10, 0, 0}) // channel 0 at 50 %, ours full on
		d := patient(New(b, p))
		dim(t, d, 1, 0)
		if b.share(0) != 5000 || b.share(1) != 0 || c.regs[0]&0x7f != 0x20 || c.regs[0xfe] != 0x3c {
			t.Errorf("scale %#02x: channel 0 at %v, ours at %v, MODE1 %02x", scale, b.share(0), b.share(1), c.regs[0])
		}
		slept := false
		for _, l := range b.take() {
			slept = slept || l == "40: 0030"
		}
		if slept != (scale != 0x3c) {
			t.Errorf("scale %#02x: slept=%v", scale, slept)
		}
		d.Close()
	}
}

// TestInverted: a chip that somebody made inverting would be full on at nothing.
func TestInverted(t *testing.T) {
	p := dimmers(level(1, 0))
	b := newBench(t)
	b.put(p)
	c := b.chips[0x40].(*pca)
	c.regs[0], c.regs[1] = 0x00, 0x1c
	d := patient(New(b, p))
	defer d.Close()
	x := dim(t, d, 1, 0)
	if b.share(1) != 0 || c.regs[1] != 0x04 {
		t.Errorf("at %v, MODE2 %02x", b.share(1), c.regs[1])
	}
	c.regs[1] = 0x14
	x.c.looked = time.Time{}
	if err := x.Check(); board.BusFaultOf(err) != board.Mismatch || b.share(1) != 0 {
		t.Errorf("made inverting behind our back: %v, at %v", err, b.share(1))
	}
	c.regs[0] |= 0x40
	x.c.looked = time.Time{}
	if err := x.Check(); err == nil {
		t.Error("an external clock is no fault")
	}
}

// TestLevelFaultsAtEveryTransfer sweeps a board with levels as the outputs' sweep
// does.
func TestLevelFaultsAtEveryTransfer(t *testing.T) {
	runs := 0
	for _, kind := range []fault{nack, lost, after, hang, sleepy} {
		for _, many := range rounds(0, 5) {
			for at := 0; ; at++ {
				reached := false
				synctest.Test(t, func(t *testing.T) {
					y := &dimming{t: t, p: dimmers(level(0, 0), level(7, 3000)), b: newBench(t)}
					y.b.put(y.p)
					y.name = fmt.Sprintf("fault %d at transfer %d and %d more", kind, at, many)
					y.b.strike(at, many, kind)
					go func() { // what hangs does so for three seconds
						for range 30 {
							time.Sleep(3 * time.Second)
							select {
							case y.b.gate <- struct{}{}:
							default:
							}
						}
					}()
					y.run()
					reached = y.b.n > at
					time.Sleep(90 * time.Second) // the gate's keeper ends
				})
				if runs++; !reached || t.Failed() {
					break
				}
			}
		}
	}
	t.Logf("%d runs", runs)
}

type dimming struct {
	t    *testing.T
	b    *bench
	p    board.Profile
	k    *board.Board
	name string
}

func (y *dimming) look() {
	y.t.Helper()
	if err := y.k.Ping(y.t.Context()); err != nil {
		y.t.Fatal(err)
	}
	for _, w := range y.p.Levels {
		_, n, _ := y.p.OnExpander(w.Line)
		if want, known := y.k.Percents()[w.Name]; known {
			if got := y.b.share(uint(n)); got+2 < want || got > want+2 {
				y.t.Errorf("%s: %s is at %v %% and believed at %v %%", y.name, w.Name, got, want)
			}
		}
	}
}

func (y *dimming) run() {
	y.k = board.Open(y.p, New(y.b, y.p), nil)
	y.look()
	for _, s := range []struct {
		target string
		to     board.Percent
		length time.Duration
		then   time.Duration
	}{
		{"l0", 5000, 0, time.Second}, {"l7", 0, 2 * time.Second, 3 * time.Second}, {"l0", board.Full, 0, 6 * time.Second},
		{"l7", board.Full, 0, 0}, {"l0", 0, 0, time.Second}, {"l7", 3000, 0, time.Second},
	} {
		done := make(chan board.Result, 1)
		y.k.Do(board.Op{Kind: board.Set, Target: s.target, Percent: s.to, For: s.length}, done)
		<-done
		y.look()
		time.Sleep(s.then)
		y.look()
	}
	y.b.strike(-1, 0, nack)
	time.Sleep(6 * time.Second)
	y.look()
	if f := y.k.Faults(); f != nil {
		y.t.Errorf("%s: faults in the end: %v", y.name, f)
	}
	y.k.Close()
	for _, w := range y.p.Levels {
		_, n, _ := y.p.OnExpander(w.Line)
		if got := y.b.share(uint(n)); got+2 < w.Safe || got > w.Safe+2 {
			y.t.Errorf("%s: %s is at %v %% after Close", y.name, w.Name, got)
		}
	}
	for _, s := range y.b.broken {
		y.t.Errorf("%s: %s", y.name, s)
	}
}

// TestLevelReset: a chip that lost its power comes back with everything off; where
// safe is something else that is found, told, and put right.
func TestLevelReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := &dimming{t: t, p: dimmers(level(0, 0), level(7, 3000)), b: newBench(t), name: "reset"}
		y.b.put(y.p)
		y.k = board.Open(y.p, New(y.b, y.p), nil)
		done := make(chan board.Result, 1)
		y.k.Do(board.Op{Kind: board.Set, Target: "l0", Percent: 5000, Cause: "m1"}, done)
		<-done
		time.Sleep(time.Second)
		y.b.reset(0x40)
		time.Sleep(5 * time.Second)
		y.look()
		if y.b.share(0) != 0 || y.b.share(7) < 2998 {
			t.Errorf("at %v %% and %v %%; want both safe", y.b.share(0), y.b.share(7))
		}
		causes := map[string]int{}
		for len(y.k.Changes()) > 0 {
			c := <-y.k.Changes()
			causes[c.Target+" "+c.Cause]++
		}
		if causes["l0 trip"] != 1 || causes["l0 safe"] != 1 || causes["l7 trip"] != 1 || causes["l7 safe"] != 1 || len(causes) != 4 {
			t.Errorf("changes %v; want a trip and a return of each", causes)
		}
		y.k.Close()
	})
}
