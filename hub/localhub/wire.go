package localhub

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// maxTelemetry is the documented limit of a device-to-cloud message.
const maxTelemetry = 256 << 10

// maxPacket bounds what a peer can have us allocate: the largest telemetry, the
// longest topic and a header. The codec itself takes any length it is told.
const maxPacket = maxTelemetry + maxTopic + 16

var errMalformed = errors.New("malformed packet")

// readPacket reads one packet. What it returns was whole and exactly as long as
// its parts, which the codec alone does not check. io.EOF means that the stream
// ended between packets.
func readPacket(r io.Reader) (packets.ControlPacket, error) {
	frame, err := readFrame(r)
	if err != nil {
		return nil, err
	}
	if err := checkFlags(frame[0]); err != nil {
		return nil, err
	}
	p, err := packets.ReadPacket(bytes.NewReader(frame))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	// The codec pads strings that the packet is too short for and ignores bytes
	// that are too many. Written again, such a packet has another length.
	var again bytes.Buffer
	if err := p.Write(&again); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if again.Len() != len(frame) {
		return nil, fmt.Errorf("%w: %s whose fields do not fill it", errMalformed, packets.PacketNames[frame[0]>>4])
	}
	return p, nil
}

// readFrame reads a fixed header and as many bytes as it announces.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 1, 64) // most packets are smaller
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	length := 0
	for shift := 0; ; shift += 7 {
		if shift > 21 {
			return nil, fmt.Errorf("%w: its length has more than 4 bytes", errMalformed)
		}
		var b [1]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil, cutOff(err)
		}
		frame = append(frame, b[0])
		length |= int(b[0]&0x7f) << shift
		if b[0]&0x80 == 0 {
			break
		}
	}
	if length > maxPacket {
		return nil, fmt.Errorf("%w: %d bytes announced; %d are allowed", errMalformed, length, maxPacket)
	}
	head := len(frame)
	frame = append(frame, make([]byte, length)...)
	if _, err := io.ReadFull(r, frame[head:]); err != nil {
		return nil, cutOff(err)
	}
	return frame, nil
}

// cutOff keeps an end inside a packet apart from one between packets.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// checkFlags knows the reserved bits of MQTT 3.1.1, table 2.2.
func checkFlags(first byte) error {
	kind, flags := first>>4, first&0x0f
	want := byte(0)
	switch kind {
	case packets.Publish:
		return nil // QoS 3 is told from QoS 2 by nobody: both close the connection
	case packets.Pubrel, packets.Subscribe, packets.Unsubscribe:
		want = 2
	}
	if flags != want {
		return fmt.Errorf("%w: reserved flags of %s", errMalformed, packets.PacketNames[kind])
	}
	return nil
}
