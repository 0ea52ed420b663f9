package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actuatord/agent"
	"actuatord/agent/command"
)

// serveWith runs the socket with a loop that answers by fn.
func serveWith(t *testing.T, fn func(agent.Request) agent.Answer) string {
	return serveAsync(t, func(r agent.Request) { r.Reply <- fn(r) })
}

func TestAsk(t *testing.T) {
	rec := command.Record{Key: "m:1", State: command.Interrupted, Fingerprint: command.FingerprintOfPayload([]byte("x"))}
	path := serveWith(t, func(r agent.Request) agent.Answer {
		switch r.Verb {
		case agent.AskHistory:
			return agent.Answer{History: []command.Record{rec}}
		case agent.AskDo:
			return agent.Answer{Outcome: &command.Report{Detail: string(r.Payload)}}
		}
		return agent.Answer{Error: "the loop says no"}
	})
	if mode := stat(t, path); mode.Perm() != 0o660 {
		t.Errorf("socket has mode %v; want 0660", mode.Perm())
	}
	a, err := Ask(context.Background(), path, agent.Request{Verb: agent.AskHistory})
	if err != nil || len(a.History) != 1 || a.History[0].State != rec.State || a.History[0].Fingerprint != rec.Fingerprint {
		t.Errorf("history = %+v, %v; want what the loop answered", a, err)
	}
	big := strings.Repeat("x", 64<<10)
	if a, err = Ask(context.Background(), path, agent.Request{Verb: agent.AskDo, Payload: []byte(big)}); err != nil || a.Outcome.Detail != big {
		t.Errorf("a payload of 64 KiB did not come through: %v", err)
	}
	if _, err = Ask(context.Background(), path, agent.Request{Verb: agent.AskStatus}); err == nil || err.Error() != "the loop says no" {
		t.Errorf("refusal came as %v", err)
	}
}

// TestWhoAsks: it is the kernel who says so.
func TestWhoAsks(t *testing.T) {
	path := serveWith(t, func(r agent.Request) agent.Answer { return agent.Answer{Was: r.Who} })
	a, err := Ask(context.Background(), path, agent.Request{Verb: agent.AskDisable, Who: "the king"})
	if want := fmt.Sprintf("uid %d", os.Getuid()); err != nil || !strings.Contains(a.Was, want) {
		t.Errorf("%q, %v; want %s", a.Was, err, want)
	}
	for uid, want := range map[int]string{0: "root (uid 0)", 4242424: "uid 4242424", -1: "somebody"} {
		if got := Person(uid); got != want {
			t.Errorf("%d is %q; want %q", uid, got, want)
		}
	}
}

func stat(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// TestNobodyThere: no socket, and a socket that a killed daemon left.
func TestNobodyThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	var none *NoDaemonError
	if _, err := Ask(context.Background(), path, agent.Request{}); !errors.As(err, &none) {
		t.Errorf("no socket: %v; want a NoDaemonError", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := Ask(context.Background(), path, agent.Request{}); !errors.As(err, &none) {
		t.Errorf("dead socket: %v; want a NoDaemonError", err)
	}
	if l, err = Listen(path); err != nil {
		t.Fatalf("listen over a dead socket: %v", err)
	}
	l.Close()
}

// TestSafeGetsThrough: commands that wait for their turn, and people who gave up
// on them, leave room for "safe".
func TestSafeGetsThrough(t *testing.T) {
	waiting := make(chan struct{}, 64)
	hold := make(chan struct{})
	defer close(hold)
	path := serveAsync(t, func(r agent.Request) {
		if r.Verb == agent.AskDo {
			waiting <- struct{}{}
			<-hold
		}
		r.Reply <- agent.Answer{Levels: map[string]string{"pump": "off"}}
	})
	for range most {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(`{"verb":"do"}` + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	for range doing {
		<-waiting
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for { // those that were one too many leave their places in their own time
		a, err := Ask(ctx, path, agent.Request{Verb: agent.AskSafe})
		if err == nil && a.Levels["pump"] == "off" {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("safe does not get through: %v", err)
		}
	}
	if len(waiting) > 0 {
		t.Errorf("%d commands more than %d were let in to wait", len(waiting), doing)
	}
}

// TestHangUp: a client that goes away gives its place back, whatever the loop
// still does for it.
func TestHangUp(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	asked := make(chan struct{}, 64)
	path := serveAsync(t, func(r agent.Request) {
		if r.Verb == agent.AskDo {
			asked <- struct{}{}
			<-hold
		}
		r.Reply <- agent.Answer{}
	})
	deadline := time.After(20 * time.Second)
	for range 3 * doing {
		for in := false; !in; {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte(`{"verb":"do"}` + "\n")); err != nil {
				t.Fatal(err)
			}
			refused := make(chan struct{})
			go func() { // an answer means that there was no place; the loop gives none
				_, _ = c.Read(make([]byte, 1))
				close(refused)
			}()
			select {
			case <-asked:
				in = true
			case <-refused:
			case <-deadline:
				t.Fatal("a place of somebody who hung up was not given back")
			}
			c.Close()
			<-refused
		}
	}
}

// serveAsync is serveWith for a loop that answers each request by itself.
func serveAsync(t *testing.T, fn func(agent.Request)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "actd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := Path(filepath.Join(dir, "journal.db"))
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	loop, done := make(chan agent.Request), make(chan struct{})
	go func() {
		Serve(ctx, l, loop)
		close(done)
	}()
	go func() {
		for {
			select {
			case r := <-loop:
				go fn(r)
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return path
}

// TestRudeClients: garbage, silence and a flood cost the loop nothing.
func TestRudeClients(t *testing.T) {
	asked := make(chan agent.Request, 64)
	path := serveWith(t, func(r agent.Request) agent.Answer { asked <- r; return agent.Answer{Error: "no"} })
	for _, bytes := range []string{"garbage\n", "{\n", "", "{\"verb\":1}\n", strings.Repeat("x", largest+10) + "\n"} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(bytes)) // the server may hang up in the middle
		c.Close()
	}
	var silent []net.Conn
	for range most {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	for _, c := range silent {
		c.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for { // the places of those that hung up come free in their own time
		_, err := Ask(ctx, path, agent.Request{Verb: "polite"})
		if err != nil && err.Error() == "no" {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("a polite client is not served any more: %v", err)
		}
	}
	close(asked)
	for r := range asked {
		if r.Verb != "polite" {
			t.Errorf("the loop was asked %+v", r)
		}
	}
}
