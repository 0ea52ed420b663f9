package localhub

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

func TestReadPacketEnds(t *testing.T) {
	ping := []byte{0xc0, 0}
	publish := []byte{0x30, 4, 0, 1, 'a', 'x'}
	for n := range publish {
		_, err := readPacket(bytes.NewReader(publish[:n]))
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("cut after %d bytes: %v; want %v", n, err, want)
		}
	}
	r := iotest.OneByteReader(bytes.NewReader(append(ping, publish...)))
	for _, want := range []Packet{PacketPing, PacketTelemetry} {
		p, err := readPacket(r)
		if err != nil || kindOf(p) != want {
			t.Errorf("read %v, %v; want %s", p, err, want)
		}
	}
}

func TestReadPacketRefuses(t *testing.T) {
	cases := map[string][]byte{
		"type 0":                        {0x00, 0},
		"type 15":                       {0xf0, 0},
		"reserved flags of PINGREQ":     {0xc1, 0},
		"reserved flags of SUBSCRIBE":   {0x80, 6, 0, 1, 0, 1, 'a', 0},
		"too long":                      {0x30, 0xff, 0xff, 0xff, 0x7f},
		"length of five bytes":          {0x30, 0x80, 0x80, 0x80, 0x80, 0x01},
		"PINGREQ with a body":           {0xc0, 1, 0},
		"PUBACK of one byte":            {0x40, 1, 0},
		"PUBACK of three bytes":         {0x40, 3, 0, 1, 2},
		"topic longer than its packet":  {0x30, 3, 0, 5, 'a'},
		"filter longer than its packet": {0x82, 6, 0, 1, 0, 9, 'a', 1},
		"SUBSCRIBE without a QoS":       {0x82, 5, 0, 1, 0, 1, 'a'},
		"CONNECT with bytes left over":  {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0, 9},
		"length written too long":       {0xc0, 0x80, 0x00},
	}
	for name, b := range cases {
		if p, err := readPacket(bytes.NewReader(b)); !errors.Is(err, errMalformed) {
			t.Errorf("%s: read %v, %v; want it refused as malformed", name, p, err)
		}
	}
}

// TestReadPacketAllocatesWhatItReads: an announcement costs nothing beyond the
// bound.
func TestReadPacketAllocatesWhatItReads(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		_, _ = readPacket(bytes.NewReader([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})) // refused: see above
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("100 announcements of 256 MiB allocated %d bytes", n)
	}
}

// FuzzReadPacket: no bytes make it panic, and what it takes is what it would
// write.
func FuzzReadPacket(f *testing.F) {
	f.Add([]byte{0xc0, 0})
	f.Add([]byte{0x30, 4, 0, 1, 'a', 'x'})
	f.Add([]byte{0x82, 6, 0, 1, 0, 1, 'a', 1})
	f.Add([]byte{0xa2, 5, 0, 1, 0, 1, 'a'})
	f.Add([]byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		p, err := readPacket(r)
		if err != nil {
			return
		}
		taken := b[:len(b)-r.Len()]
		var again bytes.Buffer
		if err := p.Write(&again); err != nil {
			t.Fatal(err)
		}
		if again.Len() != len(taken) {
			t.Fatalf("took %x and would write %x", taken, again.Bytes())
		}
		if p, ok := p.(*packets.SubscribePacket); ok && len(p.Topics) != len(p.Qoss) {
			t.Fatalf("%d topics and %d QoS", len(p.Topics), len(p.Qoss))
		}
	})
}
