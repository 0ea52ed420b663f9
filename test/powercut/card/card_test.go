package card

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const sectors = 64

func fresh(t *testing.T, o Options) *Card {
	t.Helper()
	c, err := New(make([]byte, sectors*Sector), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// filled is n sectors of one byte.
func filled(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n*Sector) }

// at is the first byte of a sector of an image.
func at(image []byte, s int) byte { return image[s*Sector] }

func TestFlushedStays(t *testing.T) {
	for seed := range uint64(50) {
		c := fresh(t, Options{Seed: seed})
		if !c.write(filled(1, 4), 0, false) || !c.flush() || !c.write(filled(2, 1), 8*Sector, true) {
			t.Fatal("a card with power did not answer")
		}
		c.write(filled(3, 4), 2*Sector, false)
		got := make([]byte, 8*Sector)
		c.read(got, 0)
		if at(got, 1) != 1 || at(got, 2) != 3 || at(got, 5) != 3 {
			t.Fatal("what was written is not read back")
		}
		m := c.Medium()
		if at(m, 0) != 1 || at(m, 1) != 1 || at(m, 8) != 2 {
			t.Fatalf("seed %d: flushed sectors are %d %d %d", seed, at(m, 0), at(m, 1), at(m, 8))
		}
		for s := 2; s < 6; s++ {
			if before := byte(1); at(m, s) != 3 && at(m, s) != before && (s < 4 || at(m, s) != 0) {
				t.Fatalf("sector %d is %d, which was never written there", s, at(m, s))
			}
		}
	}
}

// A cut must lose, tear and reorder, and bring an older content back: or the rig above
// it tries nothing.
func TestUnflushedIsTornLostAndReordered(t *testing.T) {
	torn, reordered, older, all, none := 0, 0, 0, 0, 0
	for seed := range uint64(300) {
		c := fresh(t, Options{Seed: seed})
		c.write(filled(1, 4), 0, false)
		c.write(filled(2, 4), 8*Sector, false)
		c.write(filled(3, 4), 0, false)
		m := c.Medium()
		first, second := 0, 0
		for s := range 4 {
			if at(m, s) == 3 {
				first++
			}
			if at(m, s) == 1 {
				older++
			}
			if at(m, 8+s) == 2 {
				second++
			}
		}
		if first > 0 && first < 4 {
			torn++
		}
		if first > 0 && second == 0 {
			reordered++
		}
		if s := c.Stats(); s.Lost == 0 {
			all++
		} else if s.Kept == 0 {
			none++
		}
	}
	t.Logf("of 300 cuts %d tore, %d reordered, %d lost nothing, %d lost all; %d sectors had an older content", torn, reordered, all, none, older)
	if torn == 0 || reordered == 0 || older == 0 || all == 0 || none == 0 {
		t.Fatal("the card is too kind")
	}
}

// An atom is never torn, and yet lost; a write is torn between two.
func TestAtoms(t *testing.T) {
	lost, old, torn := 0, 0, 0
	for seed := range uint64(300) {
		c := fresh(t, Options{Seed: seed, Atom: 4096})
		c.write(filled(1, 16), 8*Sector, false)
		c.write(filled(2, 16), 8*Sector, false)
		m := c.Medium()
		for s := 8; s < 24; s++ {
			if first := s / 8 * 8; at(m, s) != at(m, first) {
				t.Fatalf("seed %d: sector %d is %d, sector %d is %d", seed, s, at(m, s), first, at(m, first))
			}
		}
		switch at(m, 8) {
		case 0:
			lost++
		case 1:
			old++
		}
		if at(m, 8) != at(m, 16) {
			torn++
		}
	}
	if lost == 0 || old == 0 || torn == 0 {
		t.Fatalf("of 300 cuts %d lost an atom, %d brought an older one back, %d tore a write", lost, old, torn)
	}
}

func TestCutComesInAWrite(t *testing.T) {
	c := fresh(t, Options{})
	c.write(filled(1, 1), 0, false)
	c.CutAt(2)
	if !c.write(filled(1, 1), 0, false) {
		t.Fatal("the power went too early")
	}
	select {
	case <-c.Gone():
		t.Fatal("the power is gone already")
	default:
	}
	if c.write(filled(2, 8), 8*Sector, true) {
		t.Fatal("the write in which the power went was answered")
	}
	<-c.Gone()
	if c.flush() || c.write(filled(3, 1), 0, true) || c.read(make([]byte, Sector), 0) {
		t.Fatal("a card without power answers")
	}
	if at(c.Medium(), 0) == 3 {
		t.Fatal("a card without power writes")
	}
}

func TestLiar(t *testing.T) {
	c := fresh(t, Options{Honest: 1, Of: 4, Seed: 7})
	for range 400 {
		c.write(filled(1, 1), 0, false)
		if !c.flush() {
			t.Fatal("it does not even say that it flushed")
		}
	}
	if lies := c.Stats().Lies; lies < 260 || lies > 340 {
		t.Fatalf("%d of 400 flushes were lies, not about 300", lies)
	}
	if all := c.dirty[0]; len(all) > versions {
		t.Fatalf("%d contents of one sector are kept", len(all))
	}
	never := fresh(t, Options{Of: 1})
	for s := range int64(sectors) {
		never.write(filled(1, 1), s*Sector, true)
	}
	if never.Medium(); never.Stats().Lost == 0 {
		t.Fatal("a card that never flushes lost nothing")
	}
}

func TestImageMustBeSectors(t *testing.T) {
	for _, n := range []int{0, 1, Sector + 1} {
		if _, err := New(make([]byte, n), Options{}); err == nil {
			t.Errorf("a card of %d bytes was made", n)
		}
	}
}

// served is c at a socket for the length of t.
func served(t *testing.T, c *Card) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Serve(ctx, ln) }()
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// qemu's own client, which is what the card is for.
func TestQemuClient(t *testing.T) {
	qemu, err := exec.LookPath("qemu-io")
	if err != nil {
		t.Skip("qemu-io is not here (Debian: qemu-utils): the protocol is tried out with nothing but itself")
	}
	c := fresh(t, Options{})
	socket := served(t, c)
	script := []string{"write -P 1 0 8k", "flush", "write -f -P 2 8k 512", "read -P 1 512 7k", "read -P 2 8k 512", "write -P 3 512 512", "read -P 3 512 512", "length"}
	args := []string{"-f", "raw", "-t", "none"}
	for _, line := range script {
		args = append(args, "-c", line)
	}
	said, err := exec.Command(qemu, append(args, "nbd:unix:"+socket)...).CombinedOutput()
	if err != nil || bytes.Contains(said, []byte("verification failed")) || !bytes.Contains(said, []byte("32 KiB")) {
		t.Fatalf("qemu-io: %v\n%s", err, said)
	}
	if s := c.Stats(); s.Flushes == 0 || s.Forced != 1 || s.Writes != 3 {
		t.Fatalf("the card saw %+v", s)
	}
	c.CutAt(1)
	last := exec.Command(qemu, "-f", "raw", "-c", "write -P 9 0 4k", "nbd:unix:"+socket)
	var answer bytes.Buffer
	last.Stdout, last.Stderr = &answer, &answer
	if err := last.Start(); err != nil {
		t.Fatal(err)
	}
	<-c.Gone()
	_ = last.Process.Kill()
	if _ = last.Wait(); answer.Len() > 0 {
		t.Fatalf("the write in which the power went was answered: %s", answer.Bytes())
	}
	m := c.Medium()
	for s := range 17 {
		got := at(m, s)
		want := []byte{1, 9}
		switch {
		case s == 1:
			want = []byte{1, 3, 9}
		case s == 16:
			want = []byte{2}
		case s >= 8:
			want = []byte{1}
		}
		if !bytes.Contains(want, []byte{got}) {
			t.Errorf("sector %d is %d, not one of %v", s, got, want)
		}
	}
}

// greeted is a client that has the card by its old name.
func greeted(t *testing.T, c *Card) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", served(t, c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	send(t, conn, uint32(0), magicOption, optionExportName, uint32(0))
	answer := make([]byte, 18+8+2+124)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	if size := binary.BigEndian.Uint64(answer[18:]); size != sectors*Sector {
		t.Fatalf("the card is %d bytes", size)
	}
	return conn
}

func send(t *testing.T, w io.Writer, fields ...any) {
	t.Helper()
	if err := (&session{out: w}).put(fields...); err != nil {
		t.Fatal(err)
	}
}

// What is no request of this card is refused, or ends the connection; the card goes on.
func TestBadRequests(t *testing.T) {
	for _, test := range []struct {
		name          string
		magic         uint32
		command       uint16
		off           uint64
		length, error uint32 // error 0: the connection ends
	}{
		{"another protocol", 1, commandRead, 0, 512, 0},
		{"too long", magicRequest, commandRead, 0, longestRequest + 1, 0},
		{"a command unknown to it", magicRequest, 99, 0, 512, errorInvalid},
		{"reading beyond the end", magicRequest, commandRead, sectors*Sector - 512, 1024, errorInvalid},
		{"reading far beyond", magicRequest, commandRead, 1<<64 - 512, 1024, errorInvalid},
		{"writing beyond the end", magicRequest, commandWrite, sectors * Sector, 512, errorNoSpace},
		{"half a sector", magicRequest, commandWrite, 0, 256, errorInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := greeted(t, fresh(t, Options{}))
			var data []byte
			if test.command == commandWrite {
				data = make([]byte, test.length)
			}
			send(t, conn, test.magic, uint16(0), test.command, uint64(5), test.off, test.length, data)
			answer := make([]byte, 16)
			_, err := io.ReadFull(conn, answer)
			if test.error == 0 {
				if !errors.Is(err, io.EOF) {
					t.Fatalf("the connection stays: %v, %x", err, answer)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := binary.BigEndian.Uint32(answer[4:]); got != test.error {
				t.Fatalf("error %d, not %d", got, test.error)
			}
			send(t, conn, magicRequest, uint16(0), commandFlush, uint64(6), uint64(0), uint32(0))
			if _, err := io.ReadFull(conn, answer); err != nil {
				t.Fatalf("it does not go on: %v", err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	c := fresh(t, Options{})
	conn, err := net.Dial("unix", served(t, c))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, uint32(handshakeNoZeros), magicOption, uint32(8), uint32(3), []byte("abc")) // structured replies: we have none
	send(t, conn, magicOption, optionAbort, uint32(0))
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 18+20+20 || binary.BigEndian.Uint32(all[18+12:]) != replyUnsupported || binary.BigEndian.Uint32(all[38+12:]) != replyAck {
		t.Fatalf("answers %x", all)
	}
	conn, err = net.Dial("unix", served(t, c))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, uint32(0), magicOption, optionGo, uint32(longestOption+1), []byte(strings.Repeat("x", 10)))
	if all, err = io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") || len(all) > 18 {
		t.Fatalf("an endless option: %v, %x", err, all)
	}
}
