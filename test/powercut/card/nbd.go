package card

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
)

// The protocol's numbers: https://github.com/NetworkBlockDevice/nbd, doc/proto.md.
const (
	magicServer  uint64 = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption  uint64 = 0x49484156454f5054 // "IHAVEOPT"
	magicReply   uint64 = 0x0003e889045565a9 // to an option
	magicRequest uint32 = 0x25609513
	magicAnswer  uint32 = 0x67446698 // to a request

	handshakeFixed   uint16 = 1 << 0
	handshakeNoZeros uint16 = 1 << 1

	optionExportName uint32 = 1
	optionAbort      uint32 = 2
	optionInfo       uint32 = 6
	optionGo         uint32 = 7

	replyAck         uint32 = 1
	replyInfo        uint32 = 3
	replyUnsupported uint32 = 1<<31 | 1

	infoExport    uint16 = 0
	infoBlockSize uint16 = 3

	exportHasFlags  uint16 = 1 << 0
	exportSendFlush uint16 = 1 << 2
	exportSendFUA   uint16 = 1 << 3
	exportFlags            = exportHasFlags | exportSendFlush | exportSendFUA

	commandRead  uint16 = 0
	commandWrite uint16 = 1
	commandLeave uint16 = 2
	commandFlush uint16 = 3

	flagFUA uint16 = 1 << 0

	errorInvalid uint32 = 22
	errorNoSpace uint32 = 28
)

const (
	// longestOption and longestRequest are what a client may send at once: a name is
	// at most 4096 bytes, and qemu asks for at most 32 MiB.
	longestOption  = 8 << 10
	longestRequest = 32 << 20
)

var errOff = errors.New("the power is off")

// Serve serves the card at a listener until ctx ends; then it closes the listener and
// every connection. When the power goes they stay, and nothing is said any more: a
// connection that ended would be an error for the client to act on.
func (c *Card) Serve(ctx context.Context, ln net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("serve card: %w", err)
		}
		all.Go(func() {
			hangUp := context.AfterFunc(ctx, func() { conn.Close() })
			defer hangUp()
			defer conn.Close()
			if err := c.client(conn); errors.Is(err, errOff) {
				<-ctx.Done()
			}
		})
	}
}

// client is one connection.
func (c *Card) client(conn io.ReadWriter) error {
	s := &session{c: c, in: bufio.NewReaderSize(conn, 1<<20), out: conn}
	if err := s.greet(); err != nil {
		return err
	}
	for {
		if err := s.request(); err != nil {
			return err
		}
	}
}

// session is one client's conversation.
type session struct {
	c   *Card
	in  *bufio.Reader
	out io.Writer
	no  bool // the client wants no zeros behind an export
}

func (s *session) put(fields ...any) error {
	var b []byte
	for _, f := range fields {
		b, _ = binary.Append(b, binary.BigEndian, f) // every field has a size
	}
	_, err := s.out.Write(b)
	return err
}

func (s *session) take(fields ...any) error {
	for _, f := range fields {
		if err := binary.Read(s.in, binary.BigEndian, f); err != nil {
			return err
		}
	}
	return nil
}

// greet goes through the options, until the client has chosen the only export.
func (s *session) greet() error {
	var flags uint32
	if err := errors.Join(s.put(magicServer, magicOption, handshakeFixed|handshakeNoZeros), s.take(&flags)); err != nil {
		return err
	}
	s.no = flags&uint32(handshakeNoZeros) != 0
	for {
		var magic uint64
		var option, length uint32
		if err := s.take(&magic, &option, &length); err != nil {
			return err
		}
		if magic != magicOption || length > longestOption {
			return fmt.Errorf("greet client: option %d has magic %x and %d bytes", option, magic, length)
		}
		if _, err := s.in.Discard(int(length)); err != nil {
			return err
		}
		if chosen, err := s.option(option); chosen || err != nil {
			return err
		}
	}
}

func (s *session) option(option uint32) (chosen bool, err error) {
	reply := func(kind uint32, data []byte) error {
		return s.put(magicReply, option, kind, uint32(len(data)), data)
	}
	size := uint64(len(s.c.now))
	switch option {
	case optionExportName:
		zeros := make([]byte, 124)
		if s.no {
			zeros = nil
		}
		return true, s.put(size, exportFlags, zeros)
	case optionInfo, optionGo:
		info := binary.BigEndian.AppendUint16(nil, infoExport)
		info = binary.BigEndian.AppendUint64(info, size)
		info = binary.BigEndian.AppendUint16(info, exportFlags)
		blocks := binary.BigEndian.AppendUint16(nil, infoBlockSize)
		for _, n := range []uint32{Sector, 4096, longestRequest} { // at least, better, at most
			blocks = binary.BigEndian.AppendUint32(blocks, n)
		}
		return option == optionGo, errors.Join(reply(replyInfo, info), reply(replyInfo, blocks), reply(replyAck, nil))
	case optionAbort:
		return false, errors.Join(reply(replyAck, nil), io.EOF)
	}
	return false, reply(replyUnsupported, nil)
}

// request answers one request. Of a card without power there is no answer.
func (s *session) request() error {
	var magic uint32
	var flags, command uint16
	var handle, off uint64
	var length uint32
	if err := s.take(&magic, &flags, &command, &handle, &off, &length); err != nil {
		return err
	}
	if magic != magicRequest || length > longestRequest {
		return fmt.Errorf("read request: magic %x, %d bytes", magic, length)
	}
	var data []byte
	if command == commandWrite {
		data = make([]byte, length)
		if _, err := io.ReadFull(s.in, data); err != nil {
			return err
		}
	}
	code, answer, err := s.do(command, flags, off, length, data)
	if err != nil {
		return err
	}
	return s.put(magicAnswer, code, handle, answer)
}

func (s *session) do(command, flags uint16, off uint64, length uint32, data []byte) (code uint32, answer []byte, err error) {
	size := uint64(len(s.c.now))
	inside := off <= size && uint64(length) <= size-off
	ok := true
	switch {
	case command == commandLeave:
		return 0, nil, io.EOF
	case command == commandFlush:
		ok = s.c.flush()
	case command == commandRead && inside:
		answer = make([]byte, length)
		ok = s.c.read(answer, int64(off))
	case command == commandWrite && !inside:
		return errorNoSpace, nil, nil
	case command == commandWrite && off%Sector == 0 && length%Sector == 0:
		ok = s.c.write(data, int64(off), flags&flagFUA != 0)
	default:
		return errorInvalid, nil, nil
	}
	if !ok {
		return 0, nil, errOff
	}
	return 0, answer, nil
}

func sorted(m map[int64][][]byte) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
