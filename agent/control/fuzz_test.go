package control

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"testing"
	"time"
	"unicode/utf8"

	"actuatord/agent"
)

// client is a connection on which one line comes, some bytes at a time; it then waits
// for its answer, or has gone if the line has no end.
type client struct {
	net.Conn
	line   []byte
	piece  int
	got    bytes.Buffer
	closed chan struct{}
}

func (c *client) Read(p []byte) (int, error) {
	if len(c.line) == 0 {
		<-c.closed
		return 0, net.ErrClosed
	}
	n := copy(p[:min(len(p), c.piece)], c.line)
	if c.line = c.line[n:]; len(c.line) == 0 && p[n-1] != '\n' {
		return n, io.EOF
	}
	return n, nil
}

func (c *client) Write(p []byte) (int, error)      { return c.got.Write(p) }
func (c *client) SetReadDeadline(time.Time) error  { return nil }
func (c *client) SetWriteDeadline(time.Time) error { return nil }
func (c *client) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

// FuzzServe: whatever a client sends, it gets one line of JSON: what the loop answers
// if it could be asked, and otherwise an error that is short. The loop is asked once,
// about what was sent, as of now; and no place stays taken.
func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"verb":"do","payload":"e30="}`+"\n"), uint8(7))
	f.Fuzz(func(t *testing.T, line []byte, piece uint8) {
		if head, _, whole := bytes.Cut(line, []byte("\n")); whole {
			line = append(bytes.Clone(head), '\n')
		}
		if len(line) == 0 {
			return
		}
		loop := make(chan agent.Request)
		s := server{loop: loop, free: make(chan struct{}, most), turns: make(chan struct{}, doing)}
		c := &client{line: line, piece: int(piece) + 1, closed: make(chan struct{})}
		began, served := time.Now(), make(chan struct{})
		go func() {
			s.serve(context.Background(), c)
			close(served)
		}()
		var asked []agent.Request
		for ended := false; !ended; {
			select {
			case r := <-loop:
				asked = append(asked, r)
				r.Reply <- agent.Answer{Was: "asked"}
			case <-served:
				ended = true
			}
		}
		var a agent.Answer
		said := c.got.Bytes()
		if err := json.Unmarshal(said, &a); err != nil || bytes.IndexByte(said, '\n') != len(said)-1 || len(said) > 500 || !utf8.Valid(said) {
			t.Fatalf("answered %q: %v", said, err)
		}
		var fields map[string]any
		object := json.Unmarshal(line, &fields) == nil && line[len(line)-1] == '\n'
		switch {
		case len(asked) > 1 || len(s.turns) > 0 || (len(asked) == 1) != (a.Was == "asked") || (len(asked) == 0) != (a.Error != ""):
			t.Errorf("asked %d times and answered %+v; %d turns are taken", len(asked), a, len(s.turns))
		case len(asked) == 1 && (!object || asked[0].Asked.Before(began) || cap(asked[0].Reply) != 1):
			t.Errorf("%q is asked as %+v", line, asked[0])
		}
		if len(asked) == 1 {
			wantSame(t, asked[0])
		}
	})
}

// wantSame: what Ask writes is read as what it was.
func wantSame(t *testing.T, r agent.Request) {
	t.Helper()
	c := &client{closed: make(chan struct{})}
	writeLine(c, r)
	var again agent.Request
	if err := readLine(&c.got, &again); err != nil || again.Verb != r.Verb || again.Count != r.Count || !bytes.Equal(again.Payload, r.Payload) {
		t.Errorf("%+v is read as %+v, %v", r, again, err)
	}
}
