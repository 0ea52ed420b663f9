// Package control is the daemon's socket: one request and one answer a
// connection, a line of JSON each way.
//
// The socket lies beside the journal, mode 0660: who may use it is who may open
// it, which is the user and the group that the daemon runs as. Requests are
// bounded and read with a deadline, the connections served at once are bounded
// too, and fewer of them may wait for a command's turn, so that there is always
// room for "safe". A client that goes away gives its place back at once. Who asks is
// what the kernel says of the other end, not what it says of itself.
// Nothing here survives power loss or needs to: a command given by "do" is
// journalled by the loop like any other.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"actuatord/agent"
)

const (
	// largest is the longest request or answer line: a command is at most
	// 64 KiB, base64 makes it 88; a history of 1000 records stays below a MiB.
	largest = 4 << 20

	// most bounds the connections served at once, each with two goroutines, and
	// doing those of them that wait for a command's turn, which may take minutes.
	most, doing = 8, 4

	// patience is how long a client may take to ask, or to take its answer. Both
	// are one line on a local socket; who is slower is silent, and others wait.
	patience = time.Second
)

// Path is where the socket of the daemon with this journal is.
func Path(journal string) string { return filepath.Join(filepath.Dir(journal), "control.sock") }

// Listen makes the socket. One left behind by a killed daemon is taken away;
// the caller holds the daemon's lock, so no live one can be using it.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("make room for the socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("set the socket's mode: %w", err), l.Close())
	}
	return l, nil
}

// Serve answers requests on l by passing them to the loop, until ctx ends. It
// closes l.
func Serve(ctx context.Context, l net.Listener, loop chan<- agent.Request) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	s := server{loop: loop, free: make(chan struct{}, most), turns: make(chan struct{}, doing)}
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, most likely: nothing is gained by spinning.
			select {
			case <-time.After(time.Second):
				continue
			case <-ctx.Done():
				return
			}
		}
		// When all places are taken the next client waits in the socket's own
		// queue: silent ones lose their place after a second.
		select {
		case s.free <- struct{}{}:
			go func() {
				defer func() { <-s.free }()
				s.serve(ctx, c)
			}()
		case <-ctx.Done():
			c.Close()
			return
		}
	}
}

type server struct {
	loop        chan<- agent.Request
	free, turns chan struct{}
}

func (s server) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return
	}
	var r agent.Request
	if err := readLine(c, &r); err != nil {
		writeLine(c, agent.Answer{Error: "the request cannot be read: " + err.Error()})
		return
	}
	if r.Verb == agent.AskDo {
		select {
		case s.turns <- struct{}{}:
			defer func() { <-s.turns }()
		default:
			writeLine(c, agent.Answer{Error: "too many commands wait for their turn; try again"})
			return
		}
	}
	go func() { // nothing more is expected of the client, so this ends when it goes, or we do
		_ = c.SetReadDeadline(time.Time{})
		_, _ = c.Read(make([]byte, 1))
		cancel()
	}()
	reply := make(chan agent.Answer, 1)
	r.Reply, r.Asked, r.Who = reply, time.Now(), peer(c)
	select {
	case s.loop <- r:
	case <-ctx.Done():
		return
	}
	select {
	case a := <-reply:
		writeLine(c, a)
	case <-ctx.Done():
	}
}

// peer names who opened the other end, as the kernel knows him.
func peer(c net.Conn) string {
	uid := -1
	if u, ok := c.(*net.UnixConn); ok {
		if raw, err := u.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { // it has left uid alone, then
				if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
					uid = int(cred.Uid)
				}
			})
		}
	}
	return Person(uid)
}

// Person is how a user is named to others: by name, where he has one, and number.
func Person(uid int) string {
	if uid < 0 {
		return "somebody"
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("%s (uid %d)", u.Username, uid)
	}
	return fmt.Sprintf("uid %d", uid)
}

func readLine(r io.Reader, v any) error {
	line, err := bufio.NewReader(io.LimitReader(r, largest)).ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

func writeLine(c net.Conn, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	// A client that does not read is its own loss; the deadline bounds ours.
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, _ = c.Write(append(b, '\n'))
}

// NoDaemonError reports that nothing answers at the socket.
type NoDaemonError struct {
	Path string
	Err  error
}

func (e *NoDaemonError) Error() string {
	return fmt.Sprintf("no actuatord runs with this configuration (%s: %v); start it with 'systemctl start actuatord' or 'actuatord run'", e.Path, e.Err)
}

// Unwrap answers what the kernel said.
func (e *NoDaemonError) Unwrap() error { return e.Err }

// Ask puts one request to the daemon at path and waits for its answer. It
// returns a [*NoDaemonError] if there is none, and the daemon's own refusal as
// an error.
func Ask(ctx context.Context, path string, r agent.Request) (agent.Answer, error) {
	var a agent.Answer
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return a, &NoDaemonError{path, err}
	case errors.Is(err, fs.ErrPermission):
		return a, fmt.Errorf("ask the daemon at %s: %w; it answers root and the group actuatord", path, err)
	case err != nil:
		return a, fmt.Errorf("ask the daemon: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	writeLine(c, r)
	if err := readLine(c, &a); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return a, fmt.Errorf("the daemon did not answer: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}
